"""Codec of Shanghai's TDGW binary protocol, both ends; touches bytes and one struct, looks nothing up."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from ext.codes cimport XSHG
from ext.venue cimport REPORT_BUSINESS_REJECT, VenueOrder, VenueCancel, VenueReport
from ext.wire cimport (
    be32toh, be64toh, clock_ns, clock_of, day_start_ns, FAULT_ACCOUNT, FAULT_APPLICATION, FAULT_LENGTH,
    FAULT_MSG_TYPE, FAULT_ORD_TYPE, FAULT_OWNER_TYPE, FAULT_PBU, FAULT_PRICE, FAULT_QUANTITY, FAULT_SIDE, FAULT_SYMBOL,
    FAULT_TIME, fits, FRAME_CANCEL, FRAME_ORDER, FRAME_REPORT, FRAME_SESSION, FrameKind, get_symbol, htobe32, htobe64,
    is_owner_type, is_sealed, is_side, is_whole, MAX_BODY, put_name, put_symbol, seal, VenueWire,
)
from ext.sse_layout cimport (
    begin_frame, fixed_body, MAX_SYMBOL, NTIME_UNIT_NS, ord_type_char, ord_type_of, PRICE_SCALE, QTY_SCALE,
    SSE_BIZ_ID, SSE_CANCEL, SSE_EXEC_RPT_END_OF_STREAM, SSE_EXEC_RPT_GROUPS, SSE_EXEC_RPT_SYNC, SSE_EXEC_RPT_SYNC_RSP,
    SSE_HEARTBEAT, SSE_LOGON, SSE_LOGOUT, SSE_NEW_ORDER, SSE_PLATFORM_STATE, SseCancel, SseExecutionReport, SseHeader,
    SseIdentity, SseNewOrder,
)
from ext.sse_reports cimport decode_report, encode_report

from ext.wire import SessionMessage

MESSAGES: dict[int, SessionMessage] = {
    SSE_LOGON: SessionMessage("Logon", "sender_comp_id:c32 target_comp_id:c32 heart_bt_int:u16 prtc_version:c8 "
                                       "trade_date:u32 q_size:u32"),
    SSE_LOGOUT: SessionMessage("Logout", "session_status:u32 text:c64"),
    SSE_HEARTBEAT: SessionMessage("Heartbeat", ""),
    SSE_PLATFORM_STATE: SessionMessage("PlatformState", "platform_id:u16 platform_state:u16"),
    SSE_EXEC_RPT_GROUPS: SessionMessage("ExecRptInfo", "platform_id:u16 pbus:u16*[pbu:c8] set_ids:u16*[set_id:u32]"),
    SSE_EXEC_RPT_SYNC: SessionMessage("ExecRptSync", "groups:u16*[pbu:c8 set_id:u32 begin_report_index:u64]"),
    SSE_EXEC_RPT_SYNC_RSP: SessionMessage(
        "ExecRptSyncRsp",
        "groups:u16*[pbu:c8 set_id:u32 begin_report_index:u64 end_report_index:u64 rej_reason:u32 text:c64]"),
    SSE_EXEC_RPT_END_OF_STREAM: SessionMessage("ExecRptEndOfStream", "pbu:c8 set_id:u32 end_report_index:u64"),
}


# ---- frames

cdef inline bint is_session_body(uint32_t msg_type, size_t body) noexcept nogil:
    """Whether a session message of this type may have a body this long; its counts are checked when it is decoded."""
    if msg_type == SSE_HEARTBEAT:
        return body == 0
    if msg_type == SSE_LOGON:
        return body == 82
    if msg_type == SSE_LOGOUT:
        return body == 68
    if msg_type == SSE_PLATFORM_STATE:
        return body == 4
    if msg_type == SSE_EXEC_RPT_GROUPS:
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


cdef ssize_t decode_new_order(const uint8_t *frame, size_t size, const SseIdentity *identity,
                              VenueOrder *order) noexcept nogil:
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


cdef ssize_t decode_cancel(const uint8_t *frame, size_t size, const SseIdentity *identity,
                           VenueCancel *cancel) noexcept nogil:
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
        cdef ssize_t taken = decode_report(frame, size, report)
        cdef const SseExecutionReport *m = <const SseExecutionReport *>frame
        # Partitions are numbered per PBU: another's report would pass for one of ours. An OrderReject has no Pbu.
        if taken > 0 and report.kind != REPORT_BUSINESS_REJECT and memcmp(m.pbu, self.identity.biz_pbu, 8) != 0:
            return FAULT_PBU
        return taken

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
