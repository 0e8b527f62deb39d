"""Codec of Shenzhen's binary (V5) reports, both ends; touches bytes and one struct, looks nothing up."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from ext.venue cimport (
    REPORT_ACCEPTED, REPORT_BUSINESS_REJECT, REPORT_CANCEL_REJECTED, REPORT_CANCELED, REPORT_REJECTED, REPORT_TRADE,
    VenueReport,
)
from ext.wire cimport (
    be16toh, be32toh, be64toh, FAULT_APPLICATION, FAULT_INDEX, FAULT_LENGTH, FAULT_MSG_TYPE, FAULT_ORD_TYPE,
    FAULT_PRICE, FAULT_QUANTITY, FAULT_SIDE, FAULT_STATUS, FAULT_SYMBOL, FAULT_TIME, fill_char, fits, get_symbol,
    htobe16, htobe32, htobe64, is_blank, is_side, is_whole, put_symbol, seal, status_char, status_of,
)
from ext.szse_layout cimport (
    begin_frame, fixed_body, is_cash_auction, MAX_REASON, MAX_SYMBOL, ord_type_of, QTY_SCALE, SZSE_BUSINESS_REJECT,
    SZSE_CANCEL, SZSE_CANCEL_REJECT, SZSE_EXECUTION_REPORT, SZSE_NEW_ORDER, SZSE_TRADE_REPORT, SzseBusinessReject,
    SzseCancelReject, SzseExecutionReport, SzseHeader, SzseIdentity, SzseReportHead, SzseTradeReport, Terms, terms_of,
    time_of, wire_time,
)


# ---- encoded

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


cdef inline size_t encode_confirmation(uint8_t *dst, const VenueReport *report, char code,
                                       const SzseIdentity *identity) noexcept nogil:
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


cdef inline size_t encode_cancel_reject(uint8_t *dst, const VenueReport *report,
                                        const SzseIdentity *identity) noexcept nogil:
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


cdef inline size_t encode_business_reject(uint8_t *dst, const VenueReport *report,
                                          const SzseIdentity *identity) noexcept nogil:
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


# ---- decoded

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
