"""Writes orders and reads reports as protobuf, without an object per message. Looks nothing up and refuses what is malformed."""

from libc.string cimport memcpy, memset

cdef enum:
    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


# --- writing ---

cdef inline uint8_t *put_varint(uint8_t *dst, uint64_t value) noexcept nogil:
    while value >= 0x80:
        dst[0] = <uint8_t>(value | 0x80)
        dst += 1
        value >>= 7
    dst[0] = <uint8_t>value
    return dst + 1


cdef inline uint8_t *put_number(uint8_t *dst, int field, int64_t value) noexcept nogil:
    if value == 0:
        return dst
    dst[0] = <uint8_t>(field << 3 | VARINT)
    return put_varint(dst + 1, <uint64_t>value)


cdef inline uint8_t *put_bytes(uint8_t *dst, int field, const uint8_t *octets, size_t size) noexcept nogil:
    dst[0] = <uint8_t>(field << 3 | BYTES)
    dst[1] = <uint8_t>size
    memcpy(dst + 2, octets, size)
    return dst + 2 + size


cdef inline uint8_t *put_symbol(uint8_t *dst, int field, uint32_t symbol) noexcept nogil:
    cdef int at
    dst[0] = <uint8_t>(field << 3 | BYTES)
    dst[1] = 6
    for at in range(6):
        dst[7 - at] = <uint8_t>(48 + symbol % 10)
        symbol //= 10
    return dst + 8


cdef inline size_t close_envelope(uint8_t *dst, int field, size_t size) noexcept nogil:
    # A body of 128 bytes or more needs a second length byte: move it up by one.
    cdef size_t at
    dst[0] = <uint8_t>(field << 3 | BYTES)
    if size < 0x80:
        dst[1] = <uint8_t>size
        return size + 2
    for at in range(size):
        dst[size + 2 - at] = dst[size + 1 - at]
    put_varint(dst + 1, size)
    return size + 3


cdef size_t encode_new_order(uint8_t *dst, const OrderRequest *request) noexcept nogil:
    cdef uint8_t *end = put_bytes(dst + 2, 1, request.cl_ord_id, CL_ORD_ID_SIZE)
    end = put_bytes(end, 2, request.account, request.account_size)
    end = put_symbol(end, 3, request.symbol)
    end = put_number(end, 4, request.security_exchange)
    end = put_number(end, 5, request.side)
    end = put_number(end, 6, request.ord_type)
    end = put_number(end, 7, request.order_qty_shares)
    end = put_number(end, 8, request.price_e4)
    end = put_number(end, 10, request.planned_ns)
    return close_envelope(dst, 2, end - dst - 2)


cdef size_t encode_cancel_order(uint8_t *dst, const OrderRequest *request) noexcept nogil:
    cdef uint8_t *end = put_bytes(dst + 2, 1, request.cl_ord_id, CL_ORD_ID_SIZE)
    end = put_bytes(end, 2, request.account, request.account_size)
    end = put_bytes(end, 3, request.orig_cl_ord_id, CL_ORD_ID_SIZE)
    end = put_number(end, 5, request.planned_ns)
    return close_envelope(dst, 3, end - dst - 2)


# --- reading ---

cdef struct Field:
    int number
    int wire_type
    uint64_t value                     # VARINT; the size for BYTES
    const uint8_t *octets              # BYTES


cdef const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, uint64_t *value) noexcept nogil:
    cdef int shift
    value[0] = 0
    for shift in range(0, 70, 7):
        if at == end:
            return NULL
        value[0] |= <uint64_t>(at[0] & 0x7F) << shift
        if at[0] < 0x80:
            return at + 1
        at += 1
    return NULL


cdef const uint8_t *get_field(const uint8_t *at, const uint8_t *end, Field *field) noexcept nogil:
    # One field and where the next begins; NULL when the message is malformed.
    cdef uint64_t tag
    at = get_varint(at, end, &tag)
    if at == NULL or tag >> 3 == 0 or tag >> 3 > 0x1FFFFFFF:
        return NULL
    field.number = <int>(tag >> 3)
    field.wire_type = <int>(tag & 7)
    field.value = 0
    if field.wire_type == VARINT:
        return get_varint(at, end, &field.value)
    if field.wire_type == BYTES:
        at = get_varint(at, end, &field.value)
        if at == NULL or field.value > <uint64_t>(end - at):
            return NULL
        field.octets = at
        return at + field.value
    field.value = 8 if field.wire_type == FIXED64 else 4 if field.wire_type == FIXED32 else <uint64_t>-1
    return at + field.value if field.value <= <uint64_t>(end - at) else NULL


cdef int code_of(const uint8_t *text, size_t size) noexcept nogil:
    # "R1301" -> 1301; -1 for anything else that is not empty.
    cdef size_t at
    cdef int code = 0
    if size == 0:
        return 0
    if size != 5 or text[0] != 82:
        return -1
    for at in range(1, 5):
        if not 48 <= text[at] <= 57:
            return -1
        code = code * 10 + text[at] - 48
    return code


cdef void take_report_field(const Field *field, ServerEvent *event) noexcept nogil:
    if field.wire_type == BYTES:
        if field.number == 2:
            event.account, event.account_size = field.octets, field.value
        elif field.number == 3:
            event.cl_ord_id, event.cl_ord_id_size = field.octets, field.value
        elif field.number == 20:
            event.reject_code = code_of(field.octets, field.value)
    elif field.wire_type == VARINT:
        if field.number == 1:
            event.event_seq = field.value
        elif field.number == 6:
            event.exec_type = <int>field.value
        elif field.number == 7:
            event.ord_status = <int>field.value
        elif field.number == 14:
            event.last_qty_shares = <int64_t>field.value
        elif field.number == 16:
            event.leaves_qty_shares = <int64_t>field.value
        elif field.number == 17:
            event.cum_qty_shares = <int64_t>field.value
        elif field.number == 23:
            event.time_ns = <int64_t>field.value
        elif field.number == 25:
            event.possible_duplicate = field.value != 0


cdef void take_cancel_reject_field(const Field *field, ServerEvent *event) noexcept nogil:
    if field.wire_type == BYTES:
        if field.number == 2:
            event.account, event.account_size = field.octets, field.value
        elif field.number == 3:
            event.cl_ord_id, event.cl_ord_id_size = field.octets, field.value
        elif field.number == 7:
            event.reject_code = code_of(field.octets, field.value)
    elif field.wire_type == VARINT:
        if field.number == 1:
            event.event_seq = field.value
        elif field.number == 6:
            event.ord_status = <int>field.value
        elif field.number == 10:
            event.time_ns = <int64_t>field.value


cdef void decode_server_message(const uint8_t *message, size_t size, ServerEvent *event) noexcept nogil:
    cdef Field field
    cdef const uint8_t *at = message
    cdef const uint8_t *end = message + size
    memset(event, 0, sizeof(ServerEvent))
    at = get_field(at, end, &field)
    # Exactly one known message inside
    if at != end or field.wire_type != BYTES or field.number > EVENT_RISK_NOTICE:
        return
    event.body, event.body_size = field.octets, field.value
    event.kind = field.number
    at, end = event.body, event.body + event.body_size
    while at != end:
        at = get_field(at, end, &field)
        if at == NULL:
            event.kind = EVENT_MALFORMED
            return
        if event.kind == EVENT_EXECUTION_REPORT:
            take_report_field(&field, event)
        elif event.kind == EVENT_CANCEL_REJECT:
            take_cancel_reject_field(&field, event)


# --- the other end, for the mirror ---

cdef void decode_client_message(const uint8_t *message, size_t size, ClientRequest *request) noexcept nogil:
    cdef Field field
    cdef const uint8_t *at = message
    cdef const uint8_t *end = message + size
    cdef int id_field
    memset(request, 0, sizeof(ClientRequest))
    at = get_field(at, end, &field)
    if at != end or field.wire_type != BYTES:
        return
    request.body, request.body_size, request.kind = field.octets, field.value, field.number
    id_field = 3 if request.kind == 3 else 1
    at, end = request.body, request.body + request.body_size
    while at != end:
        at = get_field(at, end, &field)
        if at == NULL:
            request.kind = 0
            return
        if field.number == id_field and field.wire_type == BYTES:
            request.cl_ord_id, request.cl_ord_id_size = field.octets, field.value
        elif field.number == 2 and field.wire_type == BYTES:
            request.account, request.account_size = field.octets, field.value


cdef size_t encode_report(uint8_t *dst, const ClientRequest *request, uint64_t event_seq, int exec_type,
                          int ord_status) noexcept nogil:
    cdef uint8_t *end = put_number(dst + 2, 1, <int64_t>event_seq)
    end = put_bytes(end, 2, request.account, request.account_size)
    end = put_bytes(end, 3, request.cl_ord_id, request.cl_ord_id_size)
    end = put_number(end, 6, exec_type)
    end = put_number(end, 7, ord_status)
    return close_envelope(dst, EVENT_EXECUTION_REPORT, end - dst - 2)


# --- for tests ---

def encode(str kind, dict fields) -> bytes:
    """Write one `new_order` or `cancel_order` from the fields of an OrderRequest (ids and account as bytes)."""
    cdef OrderRequest request
    cdef uint8_t room[MAX_REQUEST_SIZE]
    cdef bytes account = fields["account"]
    cdef bytes orig = fields.get("orig_cl_ord_id", b"0" * CL_ORD_ID_SIZE)
    memcpy(request.cl_ord_id, <const uint8_t *>(<bytes>fields["cl_ord_id"]), CL_ORD_ID_SIZE)
    memcpy(request.orig_cl_ord_id, <const uint8_t *>orig, CL_ORD_ID_SIZE)
    request.account, request.account_size = account, len(account)
    request.symbol = fields.get("symbol", 0)
    request.security_exchange = fields.get("security_exchange", 0)
    request.side, request.ord_type = fields.get("side", 0), fields.get("ord_type", 0)
    request.order_qty_shares, request.price_e4 = fields.get("order_qty_shares", 0), fields.get("price_e4", 0)
    request.planned_ns = fields["planned_ns"]
    size = encode_new_order(room, &request) if kind == "new_order" else encode_cancel_order(room, &request)
    return room[:size]


def decode(bytes message) -> dict:
    """What decode_server_message reads from one message."""
    cdef ServerEvent event
    decode_server_message(message, len(message), &event)
    return {
        "kind": event.kind, "event_seq": event.event_seq, "exec_type": event.exec_type, "ord_status": event.ord_status,
        "last_qty_shares": event.last_qty_shares, "leaves_qty_shares": event.leaves_qty_shares,
        "cum_qty_shares": event.cum_qty_shares, "reject_code": event.reject_code, "time_ns": event.time_ns,
        "possible_duplicate": event.possible_duplicate,
        "account": event.account[:event.account_size] if event.account != NULL else b"",
        "cl_ord_id": event.cl_ord_id[:event.cl_ord_id_size] if event.cl_ord_id != NULL else b"",
    }
