# Protobuf's wire, read field by field from bytes that may be hostile: no copy, no exception, False where it breaks off.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from ext.codec cimport Text

cdef enum:
    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    GROUP_START = 3
    GROUP_END = 4
    FIXED32 = 5
    LONG_BITS = 70
    SHORT_BITS = 35
    MOST_NESTING = 100                 # protobuf's own limit for groups

cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end


# most_bits: 70 for a value (ten bytes), 35 for a tag or a length (five); protobuf refuses longer ones, even of zeros.
cdef inline bint read_varint(Cursor *cursor, uint64_t *value, int most_bits) noexcept nogil:
    cdef uint64_t result = 0
    cdef int shift = 0
    cdef uint8_t octet
    while cursor.at < cursor.end and shift < most_bits:
        octet = cursor.at[0]
        cursor.at += 1
        result |= <uint64_t>(octet & 0x7F) << shift
        if octet < 0x80:
            value[0] = result
            return True
        shift += 7
    return False


cdef inline bint read_tag(Cursor *cursor, uint32_t *field, int *wire_type) noexcept nogil:
    cdef uint64_t tag
    if not read_varint(cursor, &tag, SHORT_BITS) or tag >> 32:
        return False
    field[0] = <uint32_t>(tag >> 3)
    wire_type[0] = tag & 7
    return True


cdef inline bint read_text(Cursor *cursor, Text *text) noexcept nogil:
    cdef uint64_t size
    if not read_varint(cursor, &size, SHORT_BITS) or size > <uint64_t>(cursor.end - cursor.at):
        return False
    text.at = cursor.at
    text.size = <uint32_t>size
    cursor.at += size
    return True


cdef inline bint skip_field(Cursor *cursor, uint32_t field, int wire_type, int nesting) noexcept nogil:
    """An unknown field, whatever it holds, as protobuf skips it."""
    cdef uint64_t ignored
    cdef Text text
    cdef uint32_t inner
    cdef int inner_type
    if wire_type == VARINT:
        return read_varint(cursor, &ignored, LONG_BITS)
    if wire_type == BYTES:
        return read_text(cursor, &text)
    if wire_type == FIXED64 or wire_type == FIXED32:
        ignored = 8 if wire_type == FIXED64 else 4
        if ignored > <uint64_t>(cursor.end - cursor.at):
            return False
        cursor.at += ignored
        return True
    if wire_type != GROUP_START or nesting >= MOST_NESTING:
        return False
    # Field number 0 is refused in a message and let pass in an unknown group, by protobuf and so here.
    while read_tag(cursor, &inner, &inner_type):
        if inner_type == GROUP_END:
            return inner == field
        if not skip_field(cursor, inner, inner_type, nesting + 1):
            return False
    return False
