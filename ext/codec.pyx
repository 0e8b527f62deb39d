"""Hand-written protobuf for the hot messages. Touches bytes and one struct: no look-up, no default, no exception on hostile input."""

from libc.string cimport memcpy, memset

from ext.varints cimport BYTES, LONG_BITS, VARINT, Cursor, read_tag, read_text, read_varint, skip_field


cdef bint is_utf8(const uint8_t *at, size_t size) noexcept nogil:
    """Strict UTF-8, as proto3 demands of every string: no overlong form, no surrogate, nothing above U+10FFFF."""
    cdef const uint8_t *end = at + size
    cdef uint8_t lead
    cdef int more, k
    while at < end:
        lead = at[0]
        at += 1
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        if end - at < more:
            return False
        if (lead == 0xE0 and at[0] < 0xA0) or (lead == 0xED and at[0] > 0x9F):
            return False
        if (lead == 0xF0 and at[0] < 0x90) or (lead == 0xF4 and at[0] > 0x8F):
            return False
        for k in range(more):
            if at[k] & 0xC0 != 0x80:
                return False
        at += more
    return True


cdef int decode_client_message(const uint8_t *message, size_t size, Text *body) noexcept nogil:
    cdef Cursor cursor = Cursor(message, message + size)
    cdef uint32_t field
    cdef int wire_type
    if size == 0 or not read_tag(&cursor, &field, &wire_type) or field == 0:
        return KIND_COLD if size == 0 else KIND_MALFORMED
    if wire_type != BYTES or (field != KIND_NEW_ORDER and field != KIND_CANCEL_ORDER):
        return KIND_COLD
    if not read_text(&cursor, body):
        return KIND_MALFORMED
    # Members that repeat must be merged, which is protobuf's work.
    return <int>field if cursor.at == cursor.end else KIND_COLD


cdef bint decode_new_order(const uint8_t *message, size_t size, NewOrder *order) noexcept nogil:
    cdef Cursor cursor = Cursor(message, message + size)
    cdef uint32_t field
    cdef int wire_type
    cdef uint64_t value
    cdef Text text
    memset(order, 0, sizeof(NewOrder))
    while cursor.at < cursor.end:
        if not read_tag(&cursor, &field, &wire_type) or field == 0:
            return False
        if wire_type == BYTES and field <= 3:
            if not read_text(&cursor, &text) or not is_utf8(text.at, text.size):
                return False
            if field == 1:
                order.cl_ord_id = text
            elif field == 2:
                order.account = text
            else:
                order.symbol = text
        elif wire_type == VARINT and 4 <= field <= 10:
            if not read_varint(&cursor, &value, LONG_BITS):
                return False
            if field == 4:
                order.security_exchange = <int>value
            elif field == 5:
                order.side = <int>value
            elif field == 6:
                order.ord_type = <int>value
            elif field == 7:
                order.order_qty_shares = <int64_t>value
            elif field == 8:
                order.price_e4 = <int64_t>value
            elif field == 9:
                order.time_in_force = <int>value
            else:
                order.planned_ns = <int64_t>value
        elif not read_rare_field(&cursor, field, wire_type, order):
            return False
    return True


cdef bint read_rare_field(Cursor *cursor, uint32_t field, int wire_type, NewOrder *order) noexcept nogil:
    """What few orders have: strategy, parent, short sale; or a field of a later version."""
    cdef uint64_t value
    cdef Text text
    if wire_type == BYTES and 11 <= field <= 12:
        if not read_text(cursor, &text) or not is_utf8(text.at, text.size):
            return False
        if field == 11:
            order.strategy = text
        else:
            order.parent_id = text
        return True
    if wire_type == VARINT and 13 <= field <= 14:
        if not read_varint(cursor, &value, LONG_BITS):
            return False
        if field == 13:
            order.parent_qty_shares = <int64_t>value
        else:
            order.short_sale = value != 0
        return True
    return skip_field(cursor, field, wire_type, 0)


cdef bint decode_cancel_order(const uint8_t *message, size_t size, CancelOrder *cancel) noexcept nogil:
    cdef Cursor cursor = Cursor(message, message + size)
    cdef uint32_t field
    cdef int wire_type
    cdef uint64_t value
    cdef Text text
    memset(cancel, 0, sizeof(CancelOrder))
    while cursor.at < cursor.end:
        if not read_tag(&cursor, &field, &wire_type) or field == 0:
            return False
        if wire_type == BYTES and field <= 3:
            if not read_text(&cursor, &text) or not is_utf8(text.at, text.size):
                return False
            if field == 1:
                cancel.cl_ord_id = text
            elif field == 2:
                cancel.account = text
            else:
                cancel.orig_cl_ord_id = text
        elif wire_type == VARINT and 4 <= field <= 5:
            if not read_varint(&cursor, &value, LONG_BITS):
                return False
            if field == 4:
                cancel.order_id = value
            else:
                cancel.planned_ns = <int64_t>value
        elif not skip_field(&cursor, field, wire_type, 0):
            return False
    return True


cdef inline uint8_t *put_varint(uint8_t *dst, uint64_t value) noexcept nogil:
    while value >= 0x80:
        dst[0] = <uint8_t>(value | 0x80)
        dst += 1
        value >>= 7
    dst[0] = <uint8_t>value
    return dst + 1


# A field whose value is the default is left out, as proto3 does.
cdef inline uint8_t *put_number(uint8_t *dst, uint32_t field, uint64_t value) noexcept nogil:
    if value == 0:
        return dst
    return put_varint(put_varint(dst, field << 3), value)


cdef inline uint8_t *put_text(uint8_t *dst, uint32_t field, const Text *text) noexcept nogil:
    if text.size == 0:
        return dst
    dst = put_varint(put_varint(dst, field << 3 | BYTES), text.size)
    memcpy(dst, text.at, text.size)
    return dst + text.size


cdef inline uint8_t *put_symbol(uint8_t *dst, uint32_t field, uint32_t symbol) noexcept nogil:
    cdef int k
    if symbol == NO_SYMBOL:
        return dst
    dst = put_varint(put_varint(dst, field << 3 | BYTES), 6)
    for k in range(5, -1, -1):
        dst[k] = <uint8_t>(48 + symbol % 10)
        symbol //= 10
    return dst + 6


cdef inline uint8_t *put_code(uint8_t *dst, uint32_t field, uint32_t code) noexcept nogil:
    """A reject code as text: R and four digits."""
    cdef int k
    if code == 0:
        return dst
    dst = put_varint(put_varint(dst, field << 3 | BYTES), 5)
    dst[0] = c'R'
    for k in range(4, 0, -1):
        dst[k] = <uint8_t>(48 + code % 10)
        code //= 10
    return dst + 5


# The inner message was written 3 bytes in: one byte of tag, and its length as a two-byte varint.
cdef inline size_t wrap(uint8_t *dst, uint32_t field, size_t size) noexcept nogil:
    dst[0] = <uint8_t>(field << 3 | BYTES)
    dst[1] = <uint8_t>(size & 0x7F | 0x80)
    dst[2] = <uint8_t>(size >> 7)
    return size + 3


cdef size_t encode_execution_report(uint8_t *dst, const ExecutionReport *report, uint32_t wrap_field) noexcept nogil:
    cdef uint8_t *body = dst + (3 if wrap_field else 0)
    cdef uint8_t *at = put_number(body, 1, report.event_seq)
    at = put_text(at, 2, &report.account)
    at = put_text(at, 3, &report.cl_ord_id)
    at = put_number(at, 4, report.order_id)
    at = put_number(at, 5, report.exec_id)
    at = put_number(at, 6, report.exec_type)
    at = put_number(at, 7, report.ord_status)
    at = put_symbol(at, 8, report.symbol)
    at = put_number(at, 9, report.security_exchange)
    at = put_number(at, 10, report.side)
    at = put_number(at, 11, report.ord_type)
    at = put_number(at, 12, <uint64_t>report.order_qty_shares)
    at = put_number(at, 13, <uint64_t>report.price_e4)
    at = put_number(at, 14, <uint64_t>report.last_qty_shares)
    at = put_number(at, 15, <uint64_t>report.last_px_e4)
    at = put_number(at, 16, <uint64_t>report.leaves_qty_shares)
    at = put_number(at, 17, <uint64_t>report.cum_qty_shares)
    at = put_number(at, 18, <uint64_t>report.cum_notional_e4)
    at = put_text(at, 19, &report.venue_order_id)
    at = put_code(at, 20, report.reject_code)
    at = put_number(at, 21, report.ord_rej_reason)
    at = put_text(at, 22, &report.text)
    at = put_number(at, 23, <uint64_t>report.time_ns)
    at = put_number(at, 24, <uint64_t>report.planned_ns)
    at = put_number(at, 25, report.possible_duplicate)
    at = put_number(at, 26, <uint64_t>report.confirm_by_ns)
    at = put_text(at, 27, &report.redirect)
    return wrap(dst, wrap_field, at - body) if wrap_field else <size_t>(at - body)


cdef size_t encode_cancel_reject(uint8_t *dst, const CancelReject *reject, uint32_t wrap_field) noexcept nogil:
    cdef uint8_t *body = dst + (3 if wrap_field else 0)
    cdef uint8_t *at = put_number(body, 1, reject.event_seq)
    at = put_text(at, 2, &reject.account)
    at = put_text(at, 3, &reject.cl_ord_id)
    at = put_text(at, 4, &reject.orig_cl_ord_id)
    at = put_number(at, 5, reject.order_id)
    at = put_number(at, 6, reject.ord_status)
    at = put_code(at, 7, reject.reject_code)
    at = put_number(at, 8, reject.cxl_rej_reason)
    at = put_text(at, 9, &reject.text)
    at = put_number(at, 10, <uint64_t>reject.time_ns)
    at = put_number(at, 11, <uint64_t>reject.planned_ns)
    at = put_text(at, 12, &reject.redirect)
    return wrap(dst, wrap_field, at - body) if wrap_field else <size_t>(at - body)
