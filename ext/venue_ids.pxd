# The exchange's 10-character ClOrdID of our orders and cancels: a kind, two base-36 digits of shard, seven of number.
# Arithmetic both ways, so no table maps them; the number is journaled with its order before the bytes leave.
from libc.stdint cimport uint32_t, uint64_t

cdef enum VenueIdKind:
    ID_FOREIGN = 0                     # not ours
    ID_ORDER = 78                      # 'N'
    ID_CANCEL = 67                     # 'C'

cdef inline void encode_venue_id(char *dst, int kind, uint32_t shard, uint64_t number) noexcept nogil:
    cdef int k
    cdef uint64_t digit
    dst[0] = <char>kind
    for k in range(9, 0, -1):
        if k == 2:
            number = shard
        digit = number % 36
        number //= 36
        dst[k] = <char>(48 + digit if digit < 10 else 55 + digit)

cdef inline int decode_venue_id(const char *id, uint32_t shard, uint64_t *number) noexcept nogil:
    cdef uint64_t digits[2]
    cdef int k
    cdef char c
    digits[0] = digits[1] = 0
    for k in range(1, 10):
        c = id[k]
        if c'0' <= c <= c'9':
            digits[k > 2] = digits[k > 2] * 36 + (c - 48)
        elif c'A' <= c <= c'Z':
            digits[k > 2] = digits[k > 2] * 36 + (c - 55)
        else:
            return ID_FOREIGN
    number[0] = digits[1]
    if digits[0] != shard or (id[0] != ID_ORDER and id[0] != ID_CANCEL):
        return ID_FOREIGN
    return id[0]
