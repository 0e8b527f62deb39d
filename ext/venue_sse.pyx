"""Codec of Shanghai's TDGW binary protocol, both ends; touches bytes and one struct, looks nothing up."""

from libc.stdint cimport INT64_MAX
from libc.string cimport memcmp, memcpy, memset
from ext.codes cimport (
    LIMIT, MARKET_BEST5_CANCEL, MARKET_BEST5_LIMIT, MARKET_OPPOSITE_BEST, MARKET_OWN_BEST, XSHG,
)
from ext.venue cimport (
    REPORT_ACCEPTED, REPORT_BUSINESS_REJECT, REPORT_CANCEL_REJECTED, REPORT_CANCELED, REPORT_REJECTED, REPORT_TRADE,
)
from ext.wire cimport (
    FAULT_ACCOUNT, FAULT_APPLICATION, FAULT_INDEX, FAULT_LENGTH, FAULT_MSG_TYPE, FAULT_ORD_TYPE, FAULT_OWNER_TYPE,
    FAULT_PRICE, FAULT_QUANTITY, FAULT_SIDE, FAULT_STATUS, FAULT_SYMBOL, FAULT_TIME, FRAME_CANCEL, FRAME_ORDER,
    FRAME_REPORT, FRAME_SESSION, FrameKind, MAX_BODY, be32toh, be64toh, clock_ns, clock_of, date_of, day_start_ns, fill_char, fits,
    get_symbol, htobe32, htobe64, is_blank, is_owner_type, is_sealed, is_side, is_whole, put_name, put_symbol,
    seal, status_of,
)

from ext.wire import SessionMessage

cdef enum:
    PRICE_SCALE = 10                   # i64 of 1e-5 yuan to 1e-4
    QTY_SCALE = 1000                   # i64 of 1e-3 shares to shares
    NTIME_UNIT_NS = 100
    MAX_SYMBOL = 999999

MESSAGES: dict[int, SessionMessage] = {
    SSE_LOGON: SessionMessage("Logon", "sender_comp_id:c32 target_comp_id:c32 heart_bt_int:u16 prtc_version:c8 "
                                       "trade_date:u32 q_size:u32"),
    SSE_LOGOUT: SessionMessage("Logout", "session_status:u32 text:c64"),
    SSE_HEARTBEAT: SessionMessage("Heartbeat", ""),
    SSE_PLATFORM_STATE: SessionMessage("PlatformState", "platform_id:u16 platform_state:u16"),
    SSE_EXEC_RPT_INFO: SessionMessage("ExecRptInfo", "platform_id:u16 pbus:u16*[pbu:c8] set_ids:u16*[set_id:u32]"),
    SSE_EXEC_RPT_SYNC: SessionMessage("ExecRptSync", "groups:u16*[pbu:c8 set_id:u32 begin_report_index:u64]"),
    SSE_EXEC_RPT_SYNC_RSP: SessionMessage(
        "ExecRptSyncRsp",
        "groups:u16*[pbu:c8 set_id:u32 begin_report_index:u64 end_report_index:u64 rej_reason:u32 text:c64]"),
    SSE_EXEC_RPT_END_OF_STREAM: SessionMessage("ExecRptEndOfStream", "pbu:c8 set_id:u32 end_report_index:u64"),
}


# ---- frames

cdef inline size_t fixed_body(uint32_t msg_type) noexcept nogil:
    """Body length of an order, cancel or report; 0 for a session message."""
    if msg_type == SSE_NEW_ORDER:
        return sizeof(SseNewOrder) - sizeof(SseHeader) - 4
    if msg_type == SSE_CANCEL:
        return sizeof(SseCancel) - sizeof(SseHeader) - 4
    if msg_type == SSE_EXECUTION_REPORT:
        return sizeof(SseExecutionReport) - sizeof(SseHeader) - 4
    if msg_type == SSE_TRADE_REPORT:
        return sizeof(SseTradeReport) - sizeof(SseHeader) - 4
    if msg_type == SSE_CANCEL_FAIL:
        return sizeof(SseCancelFail) - sizeof(SseHeader) - 4
    if msg_type == SSE_ORDER_REJECT:
        return sizeof(SseOrderReject) - sizeof(SseHeader) - 4
    return 0


cdef inline bint is_session_body(uint32_t msg_type, size_t body) noexcept nogil:
    """Whether a session message of this type may have a body this long; the counts inside are checked when it is decoded."""
    if msg_type == SSE_HEARTBEAT:
        return body == 0
    if msg_type == SSE_LOGON:
        return body == 82
    if msg_type == SSE_LOGOUT:
        return body == 68
    if msg_type == SSE_PLATFORM_STATE:
        return body == 4
    if msg_type == SSE_EXEC_RPT_INFO:
        return 6 <= body <= MAX_BODY
    if msg_type == SSE_EXEC_RPT_SYNC or msg_type == SSE_EXEC_RPT_SYNC_RSP:
        return 2 <= body <= MAX_BODY
    if msg_type == SSE_EXEC_RPT_END_OF_STREAM:
        return body == 20
    return False


cdef ssize_t peek_frame(const uint8_t *p, size_t size) noexcept nogil:
    cdef const SseHeader *header = <const SseHeader *>p
    cdef uint32_t msg_type
    cdef size_t body, fixed, total
    # Partial header.
    if size < sizeof(SseHeader):
        return 0
    msg_type = be32toh(header.msg_type)
    body = be32toh(header.msg_body_len)
    fixed = fixed_body(msg_type)
    if fixed != 0 and body != fixed:
        return -1
    if fixed == 0 and not is_session_body(msg_type, body):
        return -1
    total = sizeof(SseHeader) + body + 4
    # Partial body.
    if size < total:
        return 0
    return <ssize_t>total if is_sealed(p, total) else -1


cdef inline void begin_frame(uint8_t *dst, uint32_t msg_type, uint64_t msg_seq_num, size_t size) noexcept nogil:
    """Header, and spaces everywhere: a text field that is not set is blank."""
    cdef SseHeader *header = <SseHeader *>dst
    memset(dst, 32, size)
    header.msg_type = htobe32(msg_type)
    header.msg_seq_num = htobe64(msg_seq_num)
    header.msg_body_len = htobe32(<uint32_t>(size - sizeof(SseHeader) - 4))


# ---- codes

cdef inline char ord_type_char(uint8_t ord_type) noexcept nogil:
    """The wire's OrdType; 0 for a type that Shanghai does not have."""
    if ord_type == LIMIT:
        return b"2"
    if ord_type == MARKET_BEST5_CANCEL:
        return b"1"
    if ord_type == MARKET_BEST5_LIMIT:
        return b"3"
    if ord_type == MARKET_OWN_BEST:
        return b"4"
    if ord_type == MARKET_OPPOSITE_BEST:
        return b"5"
    return 0


cdef inline uint8_t ord_type_of(char code) noexcept nogil:
    if code == b"2":
        return LIMIT
    if code == b"1":
        return MARKET_BEST5_CANCEL
    if code == b"3":
        return MARKET_BEST5_LIMIT
    if code == b"4":
        return MARKET_OWN_BEST
    if code == b"5":
        return MARKET_OPPOSITE_BEST
    return 0


# ---- orders and cancels

cdef size_t encode_new_order(uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num,
                             const SseIdentity *identity) noexcept nogil:
    cdef SseNewOrder *m = <SseNewOrder *>dst
    cdef char ord_type = ord_type_char(order.ord_type)
    if ord_type == 0 or not is_side(order.side) or order.symbol > MAX_SYMBOL or not is_owner_type(order.owner_type):
        return 0
    if not fits(order.price_e4, PRICE_SCALE) or not fits(order.order_qty_shares, QTY_SCALE) or order.time_ns < 0:
        return 0
    begin_frame(dst, SSE_NEW_ORDER, msg_seq_num, sizeof(SseNewOrder))
    m.biz_id = htobe32(SSE_BIZ_ID)
    memcpy(m.biz_pbu, identity.biz_pbu, sizeof(m.biz_pbu))
    memcpy(m.cl_ord_id, order.cl_ord_id, sizeof(m.cl_ord_id))
    put_symbol(m.security_id, order.symbol)
    memcpy(m.account, order.account, sizeof(order.account))
    m.owner_type = <uint8_t>order.owner_type
    m.side = 48 + order.side
    m.price = htobe64(<uint64_t>(order.price_e4 * PRICE_SCALE))
    m.order_qty = htobe64(<uint64_t>(order.order_qty_shares * QTY_SCALE))
    m.ord_type = ord_type
    m.time_in_force = b"0"
    m.transact_time = htobe64(clock_of(order.time_ns, NTIME_UNIT_NS))
    memcpy(m.clearing_firm, identity.clearing_firm, sizeof(m.clearing_firm))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    return seal(dst, sizeof(SseNewOrder))


cdef ssize_t decode_new_order(const uint8_t *frame, size_t size, const SseIdentity *identity, VenueOrder *order) noexcept nogil:
    cdef const SseNewOrder *m = <const SseNewOrder *>frame
    cdef int64_t price, order_qty, since_midnight_ns
    cdef long symbol
    if size != sizeof(SseNewOrder):
        return FAULT_LENGTH
    if be32toh(m.header.msg_type) != SSE_NEW_ORDER:
        return FAULT_MSG_TYPE
    memcpy(order.cl_ord_id, m.cl_ord_id, sizeof(order.cl_ord_id))
    memcpy(order.account, m.account, sizeof(order.account))
    symbol = get_symbol(m.security_id, sizeof(m.security_id))
    order.symbol = 0 if symbol < 0 else <uint32_t>symbol
    if be32toh(m.biz_id) != SSE_BIZ_ID:
        return FAULT_APPLICATION
    if symbol < 0:
        return FAULT_SYMBOL
    if m.account[12] != 32:
        return FAULT_ACCOUNT
    if not is_owner_type(m.owner_type):
        return FAULT_OWNER_TYPE
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    order.ord_type = ord_type_of(m.ord_type)
    if order.ord_type == 0 or m.time_in_force != b"0":
        return FAULT_ORD_TYPE
    price = <int64_t>be64toh(m.price)
    if not is_whole(price, PRICE_SCALE):
        return FAULT_PRICE
    order_qty = <int64_t>be64toh(m.order_qty)
    if not is_whole(order_qty, QTY_SCALE):
        return FAULT_QUANTITY
    since_midnight_ns = clock_ns(be64toh(m.transact_time), NTIME_UNIT_NS)
    if since_midnight_ns < 0:
        return FAULT_TIME
    order.side = <uint8_t>(m.side - 48)
    order.owner_type = m.owner_type
    order.price_e4 = price // PRICE_SCALE
    order.order_qty_shares = order_qty // QTY_SCALE
    order.time_ns = identity.day_start_ns + since_midnight_ns
    return sizeof(SseNewOrder)


cdef size_t encode_cancel(uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num,
                          const SseIdentity *identity) noexcept nogil:
    cdef SseCancel *m = <SseCancel *>dst
    if not is_side(cancel.side) or cancel.symbol > MAX_SYMBOL or not is_owner_type(cancel.owner_type) or cancel.time_ns < 0:
        return 0
    begin_frame(dst, SSE_CANCEL, msg_seq_num, sizeof(SseCancel))
    m.biz_id = htobe32(SSE_BIZ_ID)
    memcpy(m.biz_pbu, identity.biz_pbu, sizeof(m.biz_pbu))
    memcpy(m.cl_ord_id, cancel.cl_ord_id, sizeof(m.cl_ord_id))
    put_symbol(m.security_id, cancel.symbol)
    memcpy(m.account, cancel.account, sizeof(cancel.account))
    m.owner_type = <uint8_t>cancel.owner_type
    m.side = 48 + cancel.side
    memcpy(m.orig_cl_ord_id, cancel.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    m.transact_time = htobe64(clock_of(cancel.time_ns, NTIME_UNIT_NS))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    return seal(dst, sizeof(SseCancel))


cdef ssize_t decode_cancel(const uint8_t *frame, size_t size, const SseIdentity *identity, VenueCancel *cancel) noexcept nogil:
    cdef const SseCancel *m = <const SseCancel *>frame
    cdef int64_t since_midnight_ns
    cdef long symbol
    if size != sizeof(SseCancel):
        return FAULT_LENGTH
    if be32toh(m.header.msg_type) != SSE_CANCEL:
        return FAULT_MSG_TYPE
    memcpy(cancel.cl_ord_id, m.cl_ord_id, sizeof(cancel.cl_ord_id))
    memcpy(cancel.orig_cl_ord_id, m.orig_cl_ord_id, sizeof(cancel.orig_cl_ord_id))
    memcpy(cancel.account, m.account, sizeof(cancel.account))
    memset(cancel.venue_order_id, 32, sizeof(cancel.venue_order_id))
    symbol = get_symbol(m.security_id, sizeof(m.security_id))
    cancel.symbol = 0 if symbol < 0 else <uint32_t>symbol
    if be32toh(m.biz_id) != SSE_BIZ_ID:
        return FAULT_APPLICATION
    if symbol < 0:
        return FAULT_SYMBOL
    if m.account[12] != 32:
        return FAULT_ACCOUNT
    if not is_owner_type(m.owner_type):
        return FAULT_OWNER_TYPE
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    since_midnight_ns = clock_ns(be64toh(m.transact_time), NTIME_UNIT_NS)
    if since_midnight_ns < 0:
        return FAULT_TIME
    cancel.side = <uint8_t>(m.side - 48)
    cancel.owner_type = m.owner_type
    cancel.order_qty_shares = 0
    cancel.time_ns = identity.day_start_ns + since_midnight_ns
    return sizeof(SseCancel)


# ---- reports, encoded

cdef inline size_t encode_confirmation(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num, char code,
                                       const SseIdentity *identity) noexcept nogil:
    """32: accepted (code 0), cancelled (4), rejected (8)."""
    cdef SseExecutionReport *m = <SseExecutionReport *>dst
    cdef char ord_type = ord_type_char(report.ord_type)
    if ord_type == 0 or not is_side(report.side) or not fits(report.price_e4, PRICE_SCALE):
        return 0
    if not fits(report.leaves_qty_shares, QTY_SCALE) or not fits(report.canceled_qty_shares, QTY_SCALE):
        return 0
    begin_frame(dst, SSE_EXECUTION_REPORT, msg_seq_num, sizeof(SseExecutionReport))
    memcpy(m.pbu, identity.biz_pbu, sizeof(m.pbu))
    m.set_id = htobe32(<uint32_t>report.partition)
    m.report_index = htobe64(report.report_index)
    m.biz_id = htobe32(SSE_BIZ_ID)
    m.exec_type = code
    memcpy(m.biz_pbu, identity.biz_pbu, sizeof(m.biz_pbu))
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    put_symbol(m.security_id, report.symbol)
    memcpy(m.account, report.account, sizeof(report.account))
    m.owner_type = 0
    m.side = 48 + report.side
    m.price = htobe64(<uint64_t>(report.price_e4 * PRICE_SCALE))
    m.order_qty = htobe64(<uint64_t>(report.order_qty_shares * QTY_SCALE))
    m.leaves_qty = htobe64(<uint64_t>(report.leaves_qty_shares * QTY_SCALE))
    m.cxl_qty = htobe64(<uint64_t>(report.canceled_qty_shares * QTY_SCALE))
    m.ord_type = ord_type
    m.time_in_force = b"0"
    m.ord_status = code
    memcpy(m.orig_cl_ord_id, report.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    memcpy(m.clearing_firm, identity.clearing_firm, sizeof(m.clearing_firm))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    m.ord_rej_reason = htobe32(report.reason)
    memcpy(m.ord_cnfm_id, report.venue_order_id, sizeof(m.ord_cnfm_id))
    # A cancel that was asked for names the order it ended in the field of the original's number, too.
    if not is_blank(report.orig_cl_ord_id, sizeof(report.orig_cl_ord_id)):
        memcpy(m.orig_ord_cnfm_id, report.venue_order_id, sizeof(m.orig_ord_cnfm_id))
    m.trade_date = htobe32(date_of(report.time_ns))
    m.transact_time = htobe64(clock_of(report.time_ns, NTIME_UNIT_NS))
    return seal(dst, sizeof(SseExecutionReport))


cdef inline size_t encode_cancel_fail(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num,
                                      const SseIdentity *identity) noexcept nogil:
    """59."""
    cdef SseCancelFail *m = <SseCancelFail *>dst
    begin_frame(dst, SSE_CANCEL_FAIL, msg_seq_num, sizeof(SseCancelFail))
    memcpy(m.pbu, identity.biz_pbu, sizeof(m.pbu))
    m.set_id = htobe32(<uint32_t>report.partition)
    m.report_index = htobe64(report.report_index)
    m.biz_id = htobe32(SSE_BIZ_ID)
    memcpy(m.biz_pbu, identity.biz_pbu, sizeof(m.biz_pbu))
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    put_symbol(m.security_id, report.symbol)
    memcpy(m.orig_cl_ord_id, report.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    m.cxl_rej_reason = htobe32(report.reason)
    m.trade_date = htobe32(date_of(report.time_ns))
    m.transact_time = htobe64(clock_of(report.time_ns, NTIME_UNIT_NS))
    return seal(dst, sizeof(SseCancelFail))


cdef inline size_t encode_trade(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num,
                                const SseIdentity *identity) noexcept nogil:
    """103."""
    cdef SseTradeReport *m = <SseTradeReport *>dst
    if not is_side(report.side) or not fits(report.last_px_e4, PRICE_SCALE) or not fits(report.last_qty_shares, QTY_SCALE):
        return 0
    if not fits(report.leaves_qty_shares, QTY_SCALE):
        return 0
    # The amount must fit, too.
    if report.last_px_e4 > 0 and report.last_qty_shares > INT64_MAX // PRICE_SCALE // report.last_px_e4:
        return 0
    begin_frame(dst, SSE_TRADE_REPORT, msg_seq_num, sizeof(SseTradeReport))
    memcpy(m.pbu, identity.biz_pbu, sizeof(m.pbu))
    m.set_id = htobe32(<uint32_t>report.partition)
    m.report_index = htobe64(report.report_index)
    m.biz_id = htobe32(SSE_BIZ_ID)
    m.exec_type = b"F"
    memcpy(m.biz_pbu, identity.biz_pbu, sizeof(m.biz_pbu))
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    put_symbol(m.security_id, report.symbol)
    memcpy(m.account, report.account, sizeof(report.account))
    m.owner_type = 0
    m.order_entry_time = 0
    m.last_px = htobe64(<uint64_t>(report.last_px_e4 * PRICE_SCALE))
    m.last_qty = htobe64(<uint64_t>(report.last_qty_shares * QTY_SCALE))
    m.gross_trade_amt = htobe64(<uint64_t>(report.last_px_e4 * PRICE_SCALE * report.last_qty_shares))
    m.side = 48 + report.side
    m.order_qty = htobe64(<uint64_t>(report.order_qty_shares * QTY_SCALE))
    m.leaves_qty = htobe64(<uint64_t>(report.leaves_qty_shares * QTY_SCALE))
    m.ord_status = fill_char(report.leaves_qty_shares)
    memcpy(m.clearing_firm, identity.clearing_firm, sizeof(m.clearing_firm))
    memcpy(m.branch_id, identity.branch_id, sizeof(m.branch_id))
    memcpy(m.trd_cnfm_id, report.exec_id, sizeof(m.trd_cnfm_id))
    memcpy(m.ord_cnfm_id, report.venue_order_id, sizeof(m.ord_cnfm_id))
    m.trade_date = htobe32(date_of(report.time_ns))
    m.transact_time = htobe64(clock_of(report.time_ns, NTIME_UNIT_NS))
    return seal(dst, sizeof(SseTradeReport))


cdef inline size_t encode_order_reject(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num,
                                       const SseIdentity *identity) noexcept nogil:
    """204. A SecurityID that was not readable (symbol 0) stays blank."""
    cdef SseOrderReject *m = <SseOrderReject *>dst
    begin_frame(dst, SSE_ORDER_REJECT, msg_seq_num, sizeof(SseOrderReject))
    m.biz_id = htobe32(SSE_BIZ_ID)
    memcpy(m.biz_pbu, identity.biz_pbu, sizeof(m.biz_pbu))
    memcpy(m.cl_ord_id, report.cl_ord_id, sizeof(m.cl_ord_id))
    if report.symbol > 0:
        put_symbol(m.security_id, report.symbol)
    m.ord_rej_reason = htobe32(report.reason)
    m.trade_date = htobe32(date_of(report.time_ns))
    m.transact_time = htobe64(clock_of(report.time_ns, NTIME_UNIT_NS))
    return seal(dst, sizeof(SseOrderReject))


cdef size_t encode_report(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num,
                          const SseIdentity *identity) noexcept nogil:
    if report.symbol > MAX_SYMBOL or report.time_ns < 0:
        return 0
    if report.kind == REPORT_BUSINESS_REJECT:
        return encode_order_reject(dst, report, msg_seq_num, identity)
    if report.partition < 1 or report.report_index == 0 or not fits(report.order_qty_shares, QTY_SCALE):
        return 0
    if report.kind == REPORT_ACCEPTED:
        return encode_confirmation(dst, report, msg_seq_num, b"0", identity)
    if report.kind == REPORT_TRADE:
        return encode_trade(dst, report, msg_seq_num, identity)
    if report.kind == REPORT_CANCELED:
        return encode_confirmation(dst, report, msg_seq_num, b"4", identity)
    if report.kind == REPORT_REJECTED:
        return encode_confirmation(dst, report, msg_seq_num, b"8", identity)
    if report.kind == REPORT_CANCEL_REJECTED:
        return encode_cancel_fail(dst, report, msg_seq_num, identity)
    return 0


# ---- reports, decoded

cdef inline ssize_t put_time(VenueReport *report, uint32_t trade_date, uint64_t transact_time) noexcept nogil:
    """1 when the two make a moment, which goes into the report."""
    cdef int64_t start_ns = day_start_ns(be32toh(trade_date))
    cdef int64_t since_midnight_ns = clock_ns(be64toh(transact_time), NTIME_UNIT_NS)
    if start_ns == INT64_MAX or since_midnight_ns < 0 or start_ns + since_midnight_ns < 0:
        return FAULT_TIME
    report.time_ns = start_ns + since_midnight_ns
    return 1


cdef inline ssize_t put_place(VenueReport *report, uint32_t set_id, uint64_t report_index, uint32_t biz_id,
                              const char *security_id) noexcept nogil:
    """1 when partition, index, business and symbol are in range; they go into the report."""
    cdef long symbol = get_symbol(security_id, 12)
    if be32toh(biz_id) != SSE_BIZ_ID:
        return FAULT_APPLICATION
    if not 1 <= be32toh(set_id) <= 0x7fffffff or be64toh(report_index) == 0:
        return FAULT_INDEX
    if symbol < 0:
        return FAULT_SYMBOL
    report.partition = <int>be32toh(set_id)
    report.report_index = be64toh(report_index)
    report.symbol = <uint32_t>symbol
    return 1


cdef inline ssize_t decode_confirmation(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SseExecutionReport *m = <const SseExecutionReport *>frame
    cdef int64_t price = <int64_t>be64toh(m.price), order_qty = <int64_t>be64toh(m.order_qty)
    cdef int64_t leaves_qty = <int64_t>be64toh(m.leaves_qty), cxl_qty = <int64_t>be64toh(m.cxl_qty)
    cdef bint by_request = not is_blank(m.orig_cl_ord_id, sizeof(m.orig_cl_ord_id))
    cdef ssize_t placed = put_place(report, m.set_id, m.report_index, m.biz_id, m.security_id)
    if placed < 0:
        return placed
    if m.exec_type == b"0":
        report.kind = REPORT_ACCEPTED
    elif m.exec_type == b"4":
        report.kind = REPORT_CANCELED
    elif m.exec_type == b"8":
        report.kind = REPORT_REJECTED
    else:
        return FAULT_STATUS
    if m.ord_status != m.exec_type:
        return FAULT_STATUS
    report.ord_status = status_of(m.ord_status)
    if m.account[12] != 32:
        return FAULT_ACCOUNT
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    report.ord_type = ord_type_of(m.ord_type)
    if report.ord_type == 0:
        return FAULT_ORD_TYPE
    if not is_whole(price, PRICE_SCALE):
        return FAULT_PRICE
    if not is_whole(order_qty, QTY_SCALE) or not is_whole(leaves_qty, QTY_SCALE) or not is_whole(cxl_qty, QTY_SCALE):
        return FAULT_QUANTITY
    report.side = <uint8_t>(m.side - 48)
    report.price_e4 = price // PRICE_SCALE
    report.order_qty_shares = order_qty // QTY_SCALE
    report.leaves_qty_shares = leaves_qty // QTY_SCALE
    report.canceled_qty_shares = cxl_qty // QTY_SCALE
    report.reason = be32toh(m.ord_rej_reason)
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    memcpy(report.orig_cl_ord_id, m.orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
    memcpy(report.account, m.account, sizeof(report.account))
    if by_request:
        memcpy(report.venue_order_id, m.orig_ord_cnfm_id, sizeof(report.venue_order_id))
    else:
        memcpy(report.venue_order_id, m.ord_cnfm_id, sizeof(report.venue_order_id))
    return put_time(report, m.trade_date, m.transact_time)


cdef inline ssize_t decode_trade(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SseTradeReport *m = <const SseTradeReport *>frame
    cdef int64_t last_px = <int64_t>be64toh(m.last_px), last_qty = <int64_t>be64toh(m.last_qty)
    cdef int64_t order_qty = <int64_t>be64toh(m.order_qty), leaves_qty = <int64_t>be64toh(m.leaves_qty)
    cdef ssize_t placed = put_place(report, m.set_id, m.report_index, m.biz_id, m.security_id)
    if placed < 0:
        return placed
    if m.exec_type != b"F" or m.ord_status != fill_char(leaves_qty):
        return FAULT_STATUS
    if m.account[12] != 32:
        return FAULT_ACCOUNT
    if not is_side(<uint8_t>(m.side - 48)):
        return FAULT_SIDE
    if not is_whole(last_px, PRICE_SCALE):
        return FAULT_PRICE
    if not is_whole(order_qty, QTY_SCALE) or not is_whole(leaves_qty, QTY_SCALE) or not is_whole(last_qty, QTY_SCALE):
        return FAULT_QUANTITY
    report.kind = REPORT_TRADE
    report.ord_status = status_of(m.ord_status)
    report.side = <uint8_t>(m.side - 48)
    report.last_px_e4 = last_px // PRICE_SCALE
    report.last_qty_shares = last_qty // QTY_SCALE
    report.order_qty_shares = order_qty // QTY_SCALE
    report.leaves_qty_shares = leaves_qty // QTY_SCALE
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    memcpy(report.account, m.account, sizeof(report.account))
    memcpy(report.exec_id, m.trd_cnfm_id, sizeof(report.exec_id))
    memcpy(report.venue_order_id, m.ord_cnfm_id, sizeof(report.venue_order_id))
    return put_time(report, m.trade_date, m.transact_time)


cdef inline ssize_t decode_cancel_fail(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SseCancelFail *m = <const SseCancelFail *>frame
    cdef ssize_t placed = put_place(report, m.set_id, m.report_index, m.biz_id, m.security_id)
    if placed < 0:
        return placed
    report.kind = REPORT_CANCEL_REJECTED
    report.reason = be32toh(m.cxl_rej_reason)
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    memcpy(report.orig_cl_ord_id, m.orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
    return put_time(report, m.trade_date, m.transact_time)


cdef inline ssize_t decode_order_reject(const uint8_t *frame, VenueReport *report) noexcept nogil:
    cdef const SseOrderReject *m = <const SseOrderReject *>frame
    cdef long symbol = 0
    if not is_blank(m.security_id, sizeof(m.security_id)):
        symbol = get_symbol(m.security_id, sizeof(m.security_id))
    if symbol < 0:
        return FAULT_SYMBOL
    report.kind = REPORT_BUSINESS_REJECT
    report.symbol = <uint32_t>symbol
    report.reason = be32toh(m.ord_rej_reason)
    memcpy(report.cl_ord_id, m.cl_ord_id, sizeof(report.cl_ord_id))
    return put_time(report, m.trade_date, m.transact_time)


cdef ssize_t decode_report(const uint8_t *frame, size_t size, VenueReport *report) noexcept nogil:
    cdef uint32_t msg_type
    cdef ssize_t taken = FAULT_MSG_TYPE
    if size < sizeof(SseHeader):
        return FAULT_LENGTH
    msg_type = be32toh((<const SseHeader *>frame).msg_type)
    if size != sizeof(SseHeader) + fixed_body(msg_type) + 4:
        return FAULT_LENGTH
    memset(report, 0, sizeof(VenueReport))
    memset(report.cl_ord_id, 32, sizeof(report.cl_ord_id))
    memset(report.orig_cl_ord_id, 32, sizeof(report.orig_cl_ord_id))
    memset(report.venue_order_id, 32, sizeof(report.venue_order_id))
    memset(report.exec_id, 32, sizeof(report.exec_id))
    memset(report.account, 32, sizeof(report.account))
    if msg_type == SSE_EXECUTION_REPORT:
        taken = decode_confirmation(frame, report)
    elif msg_type == SSE_TRADE_REPORT:
        taken = decode_trade(frame, report)
    elif msg_type == SSE_CANCEL_FAIL:
        taken = decode_cancel_fail(frame, report)
    elif msg_type == SSE_ORDER_REJECT:
        taken = decode_order_reject(frame, report)
    return <ssize_t>size if taken > 0 else taken


# ---- the wire as an object

cdef class SseWire(VenueWire):
    """Shanghai's protocol with the names of one PBU.

    trade_date: YYYYMMDD, the date of order times (orders carry only the time of day).
    """

    def __init__(self, str pbu not None, uint32_t trade_date, str clearing_firm="", str branch_id=""):
        self.venue = XSHG
        self.heartbeat_type = SSE_HEARTBEAT
        self.logon_type = SSE_LOGON
        self.logout_type = SSE_LOGOUT
        self.messages = MESSAGES
        put_name(self.identity.biz_pbu, sizeof(self.identity.biz_pbu), "pbu", pbu)
        put_name(self.identity.clearing_firm, sizeof(self.identity.clearing_firm), "clearing_firm", clearing_firm)
        put_name(self.identity.branch_id, sizeof(self.identity.branch_id), "branch_id", branch_id)
        self.identity.day_start_ns = day_start_ns(trade_date)
        if self.identity.day_start_ns == INT64_MAX:
            raise ValueError(f"trade_date: {trade_date}, expected YYYYMMDD")

    cdef ssize_t peek(self, const uint8_t *p, size_t size) noexcept:
        return peek_frame(p, size)

    cdef FrameKind kind(self, const uint8_t *frame) noexcept:
        cdef uint32_t msg_type = be32toh((<const SseHeader *>frame).msg_type)
        if msg_type == SSE_NEW_ORDER:
            return FRAME_ORDER
        if msg_type == SSE_CANCEL:
            return FRAME_CANCEL
        return FRAME_SESSION if fixed_body(msg_type) == 0 else FRAME_REPORT

    cdef ssize_t decode_new_order(self, const uint8_t *frame, size_t size, VenueOrder *order) noexcept:
        return decode_new_order(frame, size, &self.identity, order)

    cdef ssize_t decode_cancel(self, const uint8_t *frame, size_t size, VenueCancel *cancel) noexcept:
        return decode_cancel(frame, size, &self.identity, cancel)

    cdef ssize_t decode_report(self, const uint8_t *frame, size_t size, VenueReport *report) noexcept:
        return decode_report(frame, size, report)

    cdef size_t encode_new_order(self, uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num) noexcept:
        return encode_new_order(dst, order, msg_seq_num, &self.identity)

    cdef size_t encode_cancel(self, uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num) noexcept:
        return encode_cancel(dst, cancel, msg_seq_num, &self.identity)

    cdef size_t encode_report(self, uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num) noexcept:
        return encode_report(dst, report, msg_seq_num, &self.identity)

    cdef void number(self, uint8_t *frame, size_t size, uint64_t msg_seq_num) noexcept:
        (<SseHeader *>frame).msg_seq_num = htobe64(msg_seq_num)
        seal(frame, size)

    cdef bint names_our_pbu(self, const uint8_t *frame) noexcept:
        # Order and cancel begin alike: BizID, BizPbu.
        return memcmp((<const SseNewOrder *>frame).biz_pbu, self.identity.biz_pbu, sizeof(self.identity.biz_pbu)) == 0

    cdef bytes body_of(self, bytes frame):
        return frame[sizeof(SseHeader):len(frame) - 4]

    cdef bytes frame_of(self, uint32_t msg_type, bytes body, uint64_t msg_seq_num):
        cdef size_t size = sizeof(SseHeader) + len(body) + 4
        cdef bytearray frame = bytearray(size)
        cdef uint8_t *dst = <uint8_t *><char *>frame
        begin_frame(dst, msg_type, msg_seq_num, size)
        memcpy(dst + sizeof(SseHeader), <const char *>body, len(body))
        seal(dst, size)
        return bytes(frame)
