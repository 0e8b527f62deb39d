"""Codec of Shanghai's TDGW binary reports, both ends; touches bytes and one struct, looks nothing up."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from ext.venue cimport (
    REPORT_ACCEPTED, REPORT_BUSINESS_REJECT, REPORT_CANCEL_REJECTED, REPORT_CANCELED, REPORT_REJECTED, REPORT_TRADE,
    VenueReport,
)
from ext.wire cimport (
    be32toh, be64toh, clock_ns, clock_of, date_of, day_start_ns, FAULT_ACCOUNT, FAULT_APPLICATION, FAULT_INDEX,
    FAULT_LENGTH, FAULT_MSG_TYPE, FAULT_ORD_TYPE, FAULT_PRICE, FAULT_QUANTITY, FAULT_SIDE, FAULT_STATUS, FAULT_SYMBOL,
    FAULT_TIME, fill_char, fits, get_symbol, htobe32, htobe64, is_blank, is_side, is_whole, put_symbol, seal,
    status_of,
)
from ext.sse_layout cimport (
    begin_frame, fixed_body, MAX_SYMBOL, NTIME_UNIT_NS, ord_type_char, ord_type_of, PRICE_SCALE, QTY_SCALE,
    SSE_BIZ_ID, SSE_CANCEL_FAIL, SSE_EXECUTION_REPORT, SSE_ORDER_REJECT, SSE_TRADE_REPORT, SseCancelFail,
    SseExecutionReport, SseHeader, SseIdentity, SseOrderReject, SseTradeReport,
)


# ---- encoded

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


# ---- decoded

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
