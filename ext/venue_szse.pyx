"""Codec of Shenzhen's binary protocol (V5, cash auction), both ends; touches bytes and one struct, looks nothing up."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from ext.codes cimport XSHE
from ext.venue cimport VenueOrder, VenueCancel, VenueReport
from ext.wire cimport (
    be16toh, be32toh, be64toh, FAULT_APPLICATION, FAULT_LENGTH, FAULT_MSG_TYPE, FAULT_ORD_TYPE, FAULT_OWNER_TYPE,
    FAULT_PRICE, FAULT_QUANTITY, FAULT_SIDE, FAULT_SYMBOL, FAULT_TIME, fits, FRAME_CANCEL, FRAME_ORDER, FRAME_REPORT,
    FRAME_SESSION, FrameKind, get_symbol, htobe16, htobe64, is_owner_type, is_sealed, is_side, is_whole, MAX_BODY,
    put_name, put_symbol, seal, VenueWire,
)
from ext.szse_layout cimport (
    begin_frame, fixed_body, is_cash_auction, MAX_SYMBOL, ord_type_of, QTY_SCALE, SZSE_CANCEL, SZSE_HEARTBEAT,
    SZSE_LOGON, SZSE_LOGOUT, SZSE_NEW_ORDER, SZSE_PLATFORM_PARTITIONS, SZSE_PLATFORM_STATE, SZSE_REPORT_FINISHED,
    SZSE_REPORT_SYNCHRONIZATION, SzseCancel, SzseHeader, SzseIdentity, SzseNewOrder, Terms, terms_of, time_of,
    wire_time,
)
from ext.szse_reports cimport decode_report, encode_report

from ext.wire import SessionMessage

MESSAGES: dict[int, SessionMessage] = {
    SZSE_LOGON: SessionMessage("Logon", "sender_comp_id:c20 target_comp_id:c20 heart_bt_int:i32 password:c16 "
                                        "default_appl_ver_id:c32"),
    SZSE_LOGOUT: SessionMessage("Logout", "session_status:i32 text:c200"),
    SZSE_HEARTBEAT: SessionMessage("Heartbeat", ""),
    SZSE_REPORT_SYNCHRONIZATION: SessionMessage("ReportSynchronization",
                                                "partitions:u32*[partition_no:i32 report_index:i64]"),
    SZSE_PLATFORM_STATE: SessionMessage("PlatformStateInfo", "platform_id:u16 platform_state:u16"),
    SZSE_REPORT_FINISHED: SessionMessage("ReportFinished", "partition_no:i32 report_index:i64 platform_id:u16"),
    SZSE_PLATFORM_PARTITIONS: SessionMessage("PlatformInfo", "platform_id:u16 partitions:u32*[partition_no:i32]"),
}


# ---- frames

cdef inline bint is_session_body(uint32_t msg_type, size_t body) noexcept nogil:
    """Whether a session message of this type may have a body this long; its counts are checked when it is decoded."""
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
    if msg_type == SZSE_PLATFORM_PARTITIONS:
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
        cdef const SzseNewOrder *m = <const SzseNewOrder *>frame
        return memcmp(m.submitting_pbu_id, self.identity.pbu_id, sizeof(self.identity.pbu_id)) == 0

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
