"""Codec of Shenzhen's binary protocol (V5, cash auction), both ends; touches bytes and one struct, looks nothing up."""

from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcmp, memcpy, memset
from ext.codes cimport (
    LIMIT, MARKET_BEST5_CANCEL, MARKET_FOK, MARKET_IOC, MARKET_OPPOSITE_BEST, MARKET_OWN_BEST, XSHE,
)
from ext.venue cimport (
    REPORT_ACCEPTED, REPORT_BUSINESS_REJECT, REPORT_CANCEL_REJECTED, REPORT_CANCELED, REPORT_REJECTED, REPORT_TRADE,
)
from ext.wire cimport (
    FAULT_APPLICATION, FAULT_INDEX, FAULT_LENGTH, FAULT_MSG_TYPE, FAULT_ORD_TYPE, FAULT_OWNER_TYPE, FAULT_PRICE,
    FAULT_QUANTITY, FAULT_SIDE, FAULT_STATUS, FAULT_SYMBOL, FAULT_TIME, FRAME_CANCEL, FRAME_ORDER, FRAME_REPORT,
    FRAME_SESSION, FrameKind, MAX_BODY, be16toh, be32toh, be64toh, clock_ns, clock_of, date_of, day_start_ns, fill_char, fits,
    get_symbol, htobe16, htobe32, htobe64, is_blank, is_owner_type, is_sealed, is_side, is_whole, put_name, put_symbol,
    seal, status_char, status_of,
)

from ext.wire import SessionMessage

cdef enum:
    QTY_SCALE = 100                    # i64 of 1e-2 shares to shares; prices are carried as they are
    TIME_UNIT_NS = 1000000
    MAX_SYMBOL = 999999
    MAX_REASON = 65535

cdef int64_t CLOCK_SPAN = 1000000000   # HHMMSSsss takes nine digits of TransactTime

MESSAGES: dict[int, SessionMessage] = {
    SZSE_LOGON: SessionMessage("Logon", "sender_comp_id:c20 target_comp_id:c20 heart_bt_int:i32 password:c16 "
                                        "default_appl_ver_id:c32"),
    SZSE_LOGOUT: SessionMessage("Logout", "session_status:i32 text:c200"),
    SZSE_HEARTBEAT: SessionMessage("Heartbeat", ""),
    SZSE_REPORT_SYNCHRONIZATION: SessionMessage("ReportSynchronization", "partitions:u32*[partition_no:i32 report_index:i64]"),
    SZSE_PLATFORM_STATE: SessionMessage("PlatformStateInfo", "platform_id:u16 platform_state:u16"),
    SZSE_REPORT_FINISHED: SessionMessage("ReportFinished", "partition_no:i32 report_index:i64 platform_id:u16"),
    SZSE_PLATFORM_INFO: SessionMessage("PlatformInfo", "platform_id:u16 partitions:u32*[partition_no:i32]"),
}


# ---- frames

cdef inline size_t fixed_body(uint32_t msg_type) noexcept nogil:
    """Body length of an order, cancel or report; 0 for a session message."""
    if msg_type == SZSE_NEW_ORDER:
        return sizeof(SzseNewOrder) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_CANCEL:
        return sizeof(SzseCancel) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_EXECUTION_REPORT:
        return sizeof(SzseExecutionReport) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_TRADE_REPORT:
        return sizeof(SzseTradeReport) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_CANCEL_REJECT:
        return sizeof(SzseCancelReject) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_BUSINESS_REJECT:
        return sizeof(SzseBusinessReject) - sizeof(SzseHeader) - 4
    return 0


cdef inline bint is_session_body(uint32_t msg_type, size_t body) noexcept nogil:
    """Whether a session message of this type may have a body this long; the counts inside are checked when it is decoded."""
    if msg_type == SZSE_HEARTBEAT:
        return body == 0
    if msg_type == SZSE_LOGON:
        return body == 92
    if msg_type == SZSE_LOGOUT:
        return body == 204
    if msg_type == SZSE_PLATFORM_STATE:
        return body == 4
    if msg_type == SZSE_REPORT_FINISHED:
        return body == 14
    if msg_type == SZSE_PLATFORM_INFO:
        return 6 <= body <= MAX_BODY
    if msg_type == SZSE_REPORT_SYNCHRONIZATION:
        return 4 <= body <= MAX_BODY
    return False


cdef ssize_t peek_frame(const uint8_t *p, size_t size) noexcept nogil:
    cdef const SzseHeader *header = <const SzseHeader *>p
    cdef uint32_t msg_type
    cdef size_t body, fixed, total
    # Partial header.
    if size < sizeof(SzseHeader):
        return 0
    msg_type = be32toh(header.msg_type)
    body = be32toh(header.body_length)
    fixed = fixed_body(msg_type)
    if fixed != 0 and body != fixed:
        return -1
    if fixed == 0 and not is_session_body(msg_type, body):
        return -1
    total = sizeof(SzseHeader) + body + 4
    # Partial body.
    if size < total:
        return 0
    return <ssize_t>total if is_sealed(p, total) else -1


cdef inline void begin_frame(uint8_t *dst, uint32_t msg_type, size_t size) noexcept nogil:
    """Header, and spaces everywhere: a text field that is not set is blank."""
    cdef SzseHeader *header = <SzseHeader *>dst
    memset(dst, 32, size)
    header.msg_type = htobe32(msg_type)
    header.body_length = htobe32(<uint32_t>(size - sizeof(SzseHeader) - 4))


# ---- codes and times

cdef inline uint64_t wire_time(int64_t time_ns) noexcept nogil:
    return htobe64(<uint64_t>date_of(time_ns) * <uint64_t>CLOCK_SPAN + clock_of(time_ns, TIME_UNIT_NS))


cdef inline int64_t time_of(uint64_t transact_time) noexcept nogil:
    """UTC ns of a TransactTime off the wire; -1 where that is no moment."""
    cdef uint64_t stamp = be64toh(transact_time)
    cdef uint64_t date = stamp // <uint64_t>CLOCK_SPAN
    cdef int64_t start_ns, since_midnight_ns
    if date > 99991231:
        return -1
    start_ns = day_start_ns(<uint32_t>date)
    since_midnight_ns = clock_ns(stamp % <uint64_t>CLOCK_SPAN, TIME_UNIT_NS)
    if start_ns == INT64_MAX or since_midnight_ns < 0 or start_ns + since_midnight_ns < 0:
        return -1
    return start_ns + since_midnight_ns


cdef struct Terms:                     # how Shenzhen spells an order type
    char ord_type
    char time_in_force
    uint16_t max_price_levels
    bint all_or_none                   # MinQty is OrderQty, else 0


cdef inline Terms terms_of(uint8_t ord_type) noexcept nogil:
    """ord_type 0 in the answer: Shenzhen has no such type."""
    cdef Terms terms
    terms.ord_type = b"1"
    terms.time_in_force = b"3"
    terms.max_price_levels = 0
    terms.all_or_none = ord_type == MARKET_FOK
    if ord_type == LIMIT:
        terms.ord_type = b"2"
        terms.time_in_force = b"0"
    elif ord_type == MARKET_OWN_BEST:
        terms.ord_type = b"U"
        terms.time_in_force = b"0"
    elif ord_type == MARKET_OPPOSITE_BEST:
        terms.time_in_force = b"0"
        terms.max_price_levels = 1
    elif ord_type == MARKET_BEST5_CANCEL:
        terms.max_price_levels = 5
    elif ord_type != MARKET_IOC and ord_type != MARKET_FOK:
        terms.ord_type = 0
    return terms


cdef inline uint8_t ord_type_of(char ord_type, char time_in_force, uint16_t max_price_levels, uint64_t min_qty,
                                uint64_t order_qty) noexcept nogil:
    """The order type that five fields spell (levels in host order, quantities as they came); 0 where they spell none."""
    if min_qty != 0:
        return MARKET_FOK if ord_type == b"1" and time_in_force == b"3" and max_price_levels == 0 and min_qty == order_qty else 0
    if ord_type == b"2" and time_in_force == b"0" and max_price_levels == 0:
        return LIMIT
    if ord_type == b"U" and time_in_force == b"0" and max_price_levels == 0:
        return MARKET_OWN_BEST
    if ord_type != b"1":
        return 0
    if time_in_force == b"0" and max_price_levels == 1:
        return MARKET_OPPOSITE_BEST
    if time_in_force == b"3" and max_price_levels == 5:
        return MARKET_BEST5_CANCEL
    return MARKET_IOC if time_in_force == b"3" and max_price_levels == 0 else 0


cdef inline bint is_cash_auction(const char *appl_id, const char *security_id_source) noexcept nogil:
    return memcmp(appl_id, b"010", 3) == 0 and memcmp(security_id_source, b"102 ", 4) == 0


# ---- orders and cancels

cdef size_t encode_new_order(uint8_t *dst, const VenueOrder *order, const SzseIdentity *identity) noexcept nogil:
    cdef SzseNewOrder *m = <SzseNewOrder *>dst
    cdef Terms terms = terms_of(order.ord_type)
    if terms.ord_type == 0 or not is_side(order.side) or order.symbol > MAX_SYMBOL or not is_owner_type(order.owner_type):
        return 0
    if order.price_e4 < 0 or not fits(order.order_qty_shares, QTY_SCALE) or order.time_ns < 0:
        return 0
    # All or none of nothing cannot be told from the type without a minimum.
    if terms.all_or_none and order.order_qty_shares == 0:
        return 0
    begin_frame(dst, SZSE_NEW_ORDER, sizeof(SzseNewOrder))
    memcpy(m.appl_id, b"010", 3)
    memcpy(m.submitting_pbu_id, identity.pbu_id, sizeof(m.submitting_pbu_id))
    put_symbol(m.security_id, order.symbol)
    memcpy(m.security_id_source, b"102 ", 4)
    m.owner_type = htobe16(order.owner_type)
    memcpy(m.clearing_firm, identity.clearing_firm, sizeof(m.clearing_firm))
    m.transact_time = wire_time(order.time_ns)
    memcpy(m.cl_ord_id, order.cl_ord_id, sizeof(m.cl_ord_id))
    memcpy(m.account_id, order.account, sizeof(m.account_id))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    m.side = 48 + order.side
    m.ord_type = terms.ord_type
    m.order_qty = htobe64(<uint64_t>(order.order_qty_shares * QTY_SCALE))
    m.price = htobe64(<uint64_t>order.price_e4)
    m.stop_px = 0
    m.min_qty = m.order_qty if terms.all_or_none else 0
    m.max_price_levels = htobe16(terms.max_price_levels)
    m.time_in_force = terms.time_in_force
    m.cash_margin = b"1"
    return seal(dst, sizeof(SzseNewOrder))


cdef ssize_t decode_new_order(const uint8_t *frame, size_t size, VenueOrder *order) noexcept nogil:
    cdef const SzseNewOrder *m = <const SzseNewOrder *>frame
    cdef int64_t price, order_qty
    cdef long symbol
    if size != sizeof(SzseNewOrder):
        return FAULT_LENGTH
    if be32toh(m.header.msg_type) != SZSE_NEW_ORDER:
        return FAULT_MSG_TYPE
    memcpy(order.cl_ord_id, m.cl_ord_id, sizeof(order.cl_ord_id))
    memcpy(order.account, m.account_id, sizeof(order.account))
    symbol = get_symbol(m.security_id, sizeof(m.security_id))
    order.symbol = 0 if symbol < 0 else <uint32_t>symbol
    if not is_cash_auction(m.appl_id, m.security_id_source) or m.cash_margin != b"1":
        return FAULT_APPLICATION
    if symbol < 0:
        return FAULT_SYMBOL
    if not is_owner_type(be16toh(m.owner_type)):
        return FAULT_OWNER_TYPE
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    order.ord_type = ord_type_of(m.ord_type, m.time_in_force, be16toh(m.max_price_levels), m.min_qty, m.order_qty)
    if order.ord_type == 0 or m.stop_px != 0:
        return FAULT_ORD_TYPE
    price = <int64_t>be64toh(m.price)
    if price < 0:
        return FAULT_PRICE
    order_qty = <int64_t>be64toh(m.order_qty)
    if not is_whole(order_qty, QTY_SCALE):
        return FAULT_QUANTITY
    order.time_ns = time_of(m.transact_time)
    if order.time_ns < 0:
        return FAULT_TIME
    order.side = <uint8_t>(m.side - 48)
    order.owner_type = be16toh(m.owner_type)
    order.price_e4 = price
    order.order_qty_shares = order_qty // QTY_SCALE
    return sizeof(SzseNewOrder)


cdef size_t encode_cancel(uint8_t *dst, const VenueCancel *cancel, const SzseIdentity *identity) noexcept nogil:
    cdef SzseCancel *m = <SzseCancel *>dst
    if not is_side(cancel.side) or cancel.symbol > MAX_SYMBOL or not is_owner_type(cancel.owner_type) or cancel.time_ns < 0:
        return 0
    if not fits(cancel.order_qty_shares, QTY_SCALE):
        return 0
    begin_frame(dst, SZSE_CANCEL, sizeof(SzseCancel))
    memcpy(m.appl_id, b"010", 3)
    memcpy(m.submitting_pbu_id, identity.pbu_id, sizeof(m.submitting_pbu_id))
    put_symbol(m.security_id, cancel.symbol)
    memcpy(m.security_id_source, b"102 ", 4)
    m.owner_type = htobe16(cancel.owner_type)
    memcpy(m.clearing_firm, identity.clearing_firm, sizeof(m.clearing_firm))
    m.transact_time = wire_time(cancel.time_ns)
    memcpy(m.cl_ord_id, cancel.cl_ord_id, sizeof(m.cl_ord_id))
    memcpy(m.orig_cl_ord_id, cancel.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    m.side = 48 + cancel.side
    memcpy(m.order_id, cancel.venue_order_id, sizeof(m.order_id))
    m.order_qty = htobe64(<uint64_t>(cancel.order_qty_shares * QTY_SCALE))
    return seal(dst, sizeof(SzseCancel))


cdef ssize_t decode_cancel(const uint8_t *frame, size_t size, VenueCancel *cancel) noexcept nogil:
    cdef const SzseCancel *m = <const SzseCancel *>frame
    cdef int64_t order_qty
    cdef long symbol
    if size != sizeof(SzseCancel):
        return FAULT_LENGTH
    if be32toh(m.header.msg_type) != SZSE_CANCEL:
        return FAULT_MSG_TYPE
    memcpy(cancel.cl_ord_id, m.cl_ord_id, sizeof(cancel.cl_ord_id))
    memcpy(cancel.orig_cl_ord_id, m.orig_cl_ord_id, sizeof(cancel.orig_cl_ord_id))
    memcpy(cancel.venue_order_id, m.order_id, sizeof(cancel.venue_order_id))
    # The account is not part of this message.
    memset(cancel.account, 32, sizeof(cancel.account))
    symbol = get_symbol(m.security_id, sizeof(m.security_id))
    cancel.symbol = 0 if symbol < 0 else <uint32_t>symbol
    if not is_cash_auction(m.appl_id, m.security_id_source):
        return FAULT_APPLICATION
    if symbol < 0:
        return FAULT_SYMBOL
    if not is_owner_type(be16toh(m.owner_type)):
        return FAULT_OWNER_TYPE
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    order_qty = <int64_t>be64toh(m.order_qty)
    if not is_whole(order_qty, QTY_SCALE):
        return FAULT_QUANTITY
    cancel.time_ns = time_of(m.transact_time)
    if cancel.time_ns < 0:
        return FAULT_TIME
    cancel.side = <uint8_t>(m.side - 48)
    cancel.owner_type = be16toh(m.owner_type)
    cancel.order_qty_shares = order_qty // QTY_SCALE
    return sizeof(SzseCancel)


# ---- reports, encoded

cdef inline void put_head(uint8_t *dst, const VenueReport *report, const SzseIdentity *identity) noexcept nogil:
    cdef SzseReportHead *m = <SzseReportHead *>dst
    m.partition_no = htobe32(<uint32_t>report.partition)
    m.report_index = htobe64(report.report_index)
    memcpy(m.appl_id, b"010", 3)
    memcpy(m.reporting_pbu_id, identity.pbu_id, sizeof(m.reporting_pbu_id))
    memcpy(m.submitting_pbu_id, identity.pbu_id, sizeof(m.submitting_pbu_id))
    put_symbol(m.security_id, report.symbol)
    memcpy(m.security_id_source, b"102 ", 4)
    m.owner_type = 0
    memcpy(m.clearing_firm, identity.clearing_firm, sizeof(m.clearing_firm))
    m.transact_time = wire_time(report.time_ns)


cdef inline size_t encode_confirmation(uint8_t *dst, const VenueReport *report, char code, const SzseIdentity *identity) noexcept nogil:
    """200102: accepted (code 0), cancelled (4), rejected (8)."""
    cdef SzseExecutionReport *m = <SzseExecutionReport *>dst
    cdef Terms terms = terms_of(report.ord_type)
    cdef int64_t cum_qty = report.order_qty_shares - report.leaves_qty_shares - report.canceled_qty_shares
    if report.kind == REPORT_REJECTED:
        cum_qty = 0
    if terms.ord_type == 0 or not is_side(report.side) or report.price_e4 < 0 or report.reason > MAX_REASON:
        return 0
    if cum_qty < 0 or report.leaves_qty_shares < 0 or report.canceled_qty_shares < 0:
        return 0
    if terms.all_or_none and report.order_qty_shares == 0:
        return 0
    begin_frame(dst, SZSE_EXECUTION_REPORT, sizeof(SzseExecutionReport))
    put_head(dst, report, identity)
    memcpy(m.order_id, report.venue_order_id, sizeof(m.order_id))
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    memcpy(m.orig_cl_ord_id, report.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    memcpy(m.exec_id, report.exec_id, sizeof(m.exec_id))
    m.exec_type = code
    m.ord_status = code
    m.ord_rej_reason = htobe16(<uint16_t>report.reason)
    m.leaves_qty = htobe64(<uint64_t>(report.leaves_qty_shares * QTY_SCALE))
    m.cum_qty = htobe64(<uint64_t>(cum_qty * QTY_SCALE))
    m.side = 48 + report.side
    m.ord_type = terms.ord_type
    m.order_qty = htobe64(<uint64_t>(report.order_qty_shares * QTY_SCALE))
    m.price = htobe64(<uint64_t>report.price_e4)
    memcpy(m.account_id, report.account, sizeof(m.account_id))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    m.stop_px = 0
    m.min_qty = m.order_qty if terms.all_or_none else 0
    m.max_price_levels = htobe16(terms.max_price_levels)
    m.time_in_force = terms.time_in_force
    m.cash_margin = b"1"
    return seal(dst, sizeof(SzseExecutionReport))


cdef inline size_t encode_trade(uint8_t *dst, const VenueReport *report, const SzseIdentity *identity) noexcept nogil:
    """200115."""
    cdef SzseTradeReport *m = <SzseTradeReport *>dst
    cdef int64_t cum_qty = report.order_qty_shares - report.leaves_qty_shares
    if not is_side(report.side) or report.last_px_e4 < 0 or not fits(report.last_qty_shares, QTY_SCALE):
        return 0
    if cum_qty < 0 or report.leaves_qty_shares < 0:
        return 0
    begin_frame(dst, SZSE_TRADE_REPORT, sizeof(SzseTradeReport))
    put_head(dst, report, identity)
    memcpy(m.order_id, report.venue_order_id, sizeof(m.order_id))
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    memcpy(m.exec_id, report.exec_id, sizeof(m.exec_id))
    m.exec_type = b"F"
    m.ord_status = fill_char(report.leaves_qty_shares)
    m.last_px = htobe64(<uint64_t>report.last_px_e4)
    m.last_qty = htobe64(<uint64_t>(report.last_qty_shares * QTY_SCALE))
    m.leaves_qty = htobe64(<uint64_t>(report.leaves_qty_shares * QTY_SCALE))
    m.cum_qty = htobe64(<uint64_t>(cum_qty * QTY_SCALE))
    m.side = 48 + report.side
    memcpy(m.account_id, report.account, sizeof(m.account_id))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    m.cash_margin = b"1"
    return seal(dst, sizeof(SzseTradeReport))


cdef inline size_t encode_cancel_reject(uint8_t *dst, const VenueReport *report, const SzseIdentity *identity) noexcept nogil:
    """290008."""
    cdef SzseCancelReject *m = <SzseCancelReject *>dst
    cdef char status = status_char(report.ord_status)
    if status == 0 or not is_side(report.side) or report.reason > MAX_REASON:
        return 0
    begin_frame(dst, SZSE_CANCEL_REJECT, sizeof(SzseCancelReject))
    put_head(dst, report, identity)
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    memcpy(m.orig_cl_ord_id, report.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    m.side = 48 + report.side
    m.ord_status = status
    m.cxl_rej_reason = htobe16(<uint16_t>report.reason)
    memcpy(m.order_id, report.venue_order_id, sizeof(m.order_id))
    return seal(dst, sizeof(SzseCancelReject))


cdef inline size_t encode_business_reject(uint8_t *dst, const VenueReport *report, const SzseIdentity *identity) noexcept nogil:
    """4. A SecurityID that was not readable (symbol 0) stays blank; what has an orig_cl_ord_id was a cancel."""
    cdef SzseBusinessReject *m = <SzseBusinessReject *>dst
    cdef bint is_order = is_blank(report.orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
    if report.reason > MAX_REASON:
        return 0
    begin_frame(dst, SZSE_BUSINESS_REJECT, sizeof(SzseBusinessReject))
    memcpy(m.appl_id, b"010", 3)
    m.transact_time = wire_time(report.time_ns)
    memcpy(m.submitting_pbu_id, identity.pbu_id, sizeof(m.submitting_pbu_id))
    if report.symbol > 0:
        put_symbol(m.security_id, report.symbol)
    memcpy(m.security_id_source, b"102 ", 4)
    m.ref_seq_num = 0
    m.ref_msg_type = htobe32(SZSE_NEW_ORDER if is_order else SZSE_CANCEL)
    memcpy(m.business_reject_ref_id, report.cl_ord_id, sizeof(m.business_reject_ref_id))
    m.business_reject_reason = htobe16(<uint16_t>report.reason)
    return seal(dst, sizeof(SzseBusinessReject))


cdef size_t encode_report(uint8_t *dst, const VenueReport *report, const SzseIdentity *identity) noexcept nogil:
    if report.symbol > MAX_SYMBOL or report.time_ns < 0:
        return 0
    if report.kind == REPORT_BUSINESS_REJECT:
        return encode_business_reject(dst, report, identity)
    if report.partition < 1 or not 1 <= report.report_index <= <uint64_t>INT64_MAX:
        return 0
    if not fits(report.order_qty_shares, QTY_SCALE):
        return 0
    if report.kind == REPORT_ACCEPTED:
        return encode_confirmation(dst, report, b"0", identity)
    if report.kind == REPORT_TRADE:
        return encode_trade(dst, report, identity)
    if report.kind == REPORT_CANCELED:
        return encode_confirmation(dst, report, b"4", identity)
    if report.kind == REPORT_REJECTED:
        return encode_confirmation(dst, report, b"8", identity)
    if report.kind == REPORT_CANCEL_REJECTED:
        return encode_cancel_reject(dst, report, identity)
    return 0


# ---- reports, decoded

cdef inline ssize_t get_head(const uint8_t *frame, VenueReport *report) noexcept nogil:
    """1 when application, partition, index, symbol and time are in range; they go into the report."""
    cdef const SzseReportHead *m = <const SzseReportHead *>frame
    cdef long symbol = get_symbol(m.security_id, sizeof(m.security_id))
    if not is_cash_auction(m.appl_id, m.security_id_source):
        return FAULT_APPLICATION
    report.partition = <int>be32toh(m.partition_no)
    report.report_index = be64toh(m.report_index)
    if report.partition < 1 or not 1 <= report.report_index <= <uint64_t>INT64_MAX:
        return FAULT_INDEX
    if symbol < 0:
        return FAULT_SYMBOL
    report.symbol = <uint32_t>symbol
    report.time_ns = time_of(m.transact_time)
    return FAULT_TIME if report.time_ns < 0 else 1


cdef inline ssize_t get_exec_type(char exec_type, char ord_status, VenueReport *report) noexcept nogil:
    if exec_type == b"0":
        report.kind = REPORT_ACCEPTED
    elif exec_type == b"4":
        report.kind = REPORT_CANCELED
    elif exec_type == b"8":
        report.kind = REPORT_REJECTED
    else:
        return FAULT_STATUS
    report.ord_status = status_of(ord_status)
    return 1 if exec_type == ord_status else FAULT_STATUS


cdef inline ssize_t decode_confirmation(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SzseExecutionReport *m = <const SzseExecutionReport *>frame
    cdef int64_t order_qty = <int64_t>be64toh(m.order_qty), leaves_qty = <int64_t>be64toh(m.leaves_qty)
    cdef int64_t cum_qty = <int64_t>be64toh(m.cum_qty)
    cdef ssize_t taken = get_exec_type(m.exec_type, m.ord_status, report)
    if taken < 0:
        return taken
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    report.ord_type = ord_type_of(m.ord_type, m.time_in_force, be16toh(m.max_price_levels), m.min_qty, m.order_qty)
    if report.ord_type == 0:
        return FAULT_ORD_TYPE
    report.price_e4 = <int64_t>be64toh(m.price)
    if report.price_e4 < 0:
        return FAULT_PRICE
    if not is_whole(order_qty, QTY_SCALE) or not is_whole(leaves_qty, QTY_SCALE) or not is_whole(cum_qty, QTY_SCALE):
        return FAULT_QUANTITY
    if leaves_qty > order_qty or cum_qty > order_qty - leaves_qty:
        return FAULT_QUANTITY
    report.side = <uint8_t>(m.side - 48)
    report.order_qty_shares = order_qty // QTY_SCALE
    report.leaves_qty_shares = leaves_qty // QTY_SCALE
    if report.kind == REPORT_CANCELED:
        report.canceled_qty_shares = (order_qty - cum_qty) // QTY_SCALE
    report.reason = be16toh(m.ord_rej_reason)
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    memcpy(report.orig_cl_ord_id, m.orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
    memcpy(report.account, m.account_id, sizeof(report.account))
    memcpy(report.venue_order_id, m.order_id, sizeof(report.venue_order_id))
    memcpy(report.exec_id, m.exec_id, sizeof(report.exec_id))
    return 1


cdef inline ssize_t decode_trade(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SzseTradeReport *m = <const SzseTradeReport *>frame
    cdef int64_t last_qty = <int64_t>be64toh(m.last_qty), leaves_qty = <int64_t>be64toh(m.leaves_qty)
    cdef int64_t cum_qty = <int64_t>be64toh(m.cum_qty)
    if m.exec_type != b"F" or m.ord_status != fill_char(leaves_qty):
        return FAULT_STATUS
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    report.last_px_e4 = <int64_t>be64toh(m.last_px)
    if report.last_px_e4 < 0:
        return FAULT_PRICE
    if not is_whole(last_qty, QTY_SCALE) or not is_whole(leaves_qty, QTY_SCALE) or not is_whole(cum_qty, QTY_SCALE):
        return FAULT_QUANTITY
    # OrderQty is not part of this message: it is what is left plus what is done, and must be a number again.
    if cum_qty > INT64_MAX - leaves_qty:
        return FAULT_QUANTITY
    report.kind = REPORT_TRADE
    report.ord_status = status_of(m.ord_status)
    report.side = <uint8_t>(m.side - 48)
    report.last_qty_shares = last_qty // QTY_SCALE
    report.leaves_qty_shares = leaves_qty // QTY_SCALE
    report.order_qty_shares = (leaves_qty + cum_qty) // QTY_SCALE
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    memcpy(report.account, m.account_id, sizeof(report.account))
    memcpy(report.exec_id, m.exec_id, sizeof(report.exec_id))
    memcpy(report.venue_order_id, m.order_id, sizeof(report.venue_order_id))
    return 1


cdef inline ssize_t decode_cancel_reject(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SzseCancelReject *m = <const SzseCancelReject *>frame
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    report.kind = REPORT_CANCEL_REJECTED
    report.ord_status = status_of(m.ord_status)
    if report.ord_status == 0:
        return FAULT_STATUS
    report.side = <uint8_t>(m.side - 48)
    report.reason = be16toh(m.cxl_rej_reason)
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    memcpy(report.orig_cl_ord_id, m.orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
    memcpy(report.venue_order_id, m.order_id, sizeof(report.venue_order_id))
    return 1


cdef inline ssize_t decode_business_reject(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SzseBusinessReject *m = <const SzseBusinessReject *>frame
    cdef long symbol = 0
    if not is_blank(m.security_id, sizeof(m.security_id)):
        symbol = get_symbol(m.security_id, sizeof(m.security_id))
    if symbol < 0:
        return FAULT_SYMBOL
    report.kind = REPORT_BUSINESS_REJECT
    report.symbol = <uint32_t>symbol
    report.reason = be16toh(m.business_reject_reason)
    memcpy(report.cl_ord_id, m.business_reject_ref_id, sizeof(report.cl_ord_id))
    report.time_ns = time_of(m.transact_time)
    return FAULT_TIME if report.time_ns < 0 else 1


cdef ssize_t decode_report(const uint8_t *frame, size_t size, VenueReport *report) noexcept nogil:
    cdef uint32_t msg_type
    cdef ssize_t taken
    if size < sizeof(SzseHeader):
        return FAULT_LENGTH
    msg_type = be32toh((<const SzseHeader *>frame).msg_type)
    if size != sizeof(SzseHeader) + fixed_body(msg_type) + 4:
        return FAULT_LENGTH
    memset(report, 0, sizeof(VenueReport))
    memset(report.cl_ord_id, 32, sizeof(report.cl_ord_id))
    memset(report.orig_cl_ord_id, 32, sizeof(report.orig_cl_ord_id))
    memset(report.venue_order_id, 32, sizeof(report.venue_order_id))
    memset(report.exec_id, 32, sizeof(report.exec_id))
    memset(report.account, 32, sizeof(report.account))
    if msg_type == SZSE_BUSINESS_REJECT:
        taken = decode_business_reject(frame, report)
        return <ssize_t>size if taken > 0 else taken
    if msg_type != SZSE_EXECUTION_REPORT and msg_type != SZSE_TRADE_REPORT and msg_type != SZSE_CANCEL_REJECT:
        return FAULT_MSG_TYPE
    taken = get_head(frame, report)
    if taken < 0:
        return taken
    if msg_type == SZSE_EXECUTION_REPORT:
        taken = decode_confirmation(frame, report)
    elif msg_type == SZSE_TRADE_REPORT:
        taken = decode_trade(frame, report)
    else:
        taken = decode_cancel_reject(frame, report)
    return <ssize_t>size if taken > 0 else taken


# ---- the wire as an object

cdef class SzseWire(VenueWire):
    """Shenzhen's protocol with the names of one PBU."""

    def __init__(self, str pbu not None, str clearing_firm="", str branch_id=""):
        self.venue = XSHE
        self.heartbeat_type = SZSE_HEARTBEAT
        self.logon_type = SZSE_LOGON
        self.logout_type = SZSE_LOGOUT
        self.messages = MESSAGES
        put_name(self.identity.pbu_id, sizeof(self.identity.pbu_id), "pbu", pbu)
        put_name(self.identity.clearing_firm, sizeof(self.identity.clearing_firm), "clearing_firm", clearing_firm)
        put_name(self.identity.branch_id, sizeof(self.identity.branch_id), "branch_id", branch_id)

    cdef ssize_t peek(self, const uint8_t *p, size_t size) noexcept:
        return peek_frame(p, size)

    cdef FrameKind kind(self, const uint8_t *frame) noexcept:
        cdef uint32_t msg_type = be32toh((<const SzseHeader *>frame).msg_type)
        if msg_type == SZSE_NEW_ORDER:
            return FRAME_ORDER
        if msg_type == SZSE_CANCEL:
            return FRAME_CANCEL
        return FRAME_SESSION if fixed_body(msg_type) == 0 else FRAME_REPORT

    cdef ssize_t decode_new_order(self, const uint8_t *frame, size_t size, VenueOrder *order) noexcept:
        return decode_new_order(frame, size, order)

    cdef ssize_t decode_cancel(self, const uint8_t *frame, size_t size, VenueCancel *cancel) noexcept:
        return decode_cancel(frame, size, cancel)

    cdef ssize_t decode_report(self, const uint8_t *frame, size_t size, VenueReport *report) noexcept:
        return decode_report(frame, size, report)

    cdef size_t encode_new_order(self, uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num) noexcept:
        return encode_new_order(dst, order, &self.identity)

    cdef size_t encode_cancel(self, uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num) noexcept:
        return encode_cancel(dst, cancel, &self.identity)

    cdef size_t encode_report(self, uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num) noexcept:
        return encode_report(dst, report, &self.identity)

    cdef bint names_our_pbu(self, const uint8_t *frame) noexcept:
        # Order and cancel begin alike: ApplID, SubmittingPBUID.
        return memcmp((<const SzseNewOrder *>frame).submitting_pbu_id, self.identity.pbu_id, sizeof(self.identity.pbu_id)) == 0

    cdef bytes body_of(self, bytes frame):
        return frame[sizeof(SzseHeader):len(frame) - 4]

    cdef bytes frame_of(self, uint32_t msg_type, bytes body, uint64_t msg_seq_num):
        cdef size_t size = sizeof(SzseHeader) + len(body) + 4
        cdef bytearray frame = bytearray(size)
        cdef uint8_t *dst = <uint8_t *><char *>frame
        begin_frame(dst, msg_type, size)
        memcpy(dst + sizeof(SzseHeader), <const char *>body, len(body))
        seal(dst, size)
        return bytes(frame)
