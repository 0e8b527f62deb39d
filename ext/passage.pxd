# The way of tables to a file or from it. Whoever uses it gives what writes or reads octets.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    GROUP_WORDS = 64                   # of 8 octets, with a bit for each that is not zero: only those are kept
    PIECE_GROUPS = 128                 # left out when all of them are zero
    PIECE_WORDS = PIECE_GROUPS * GROUP_WORDS
    BATCH_PIECES = 64                  # packed and moved at once
    BATCH_WORDS = BATCH_PIECES * PIECE_WORDS
    PACKED_WORDS = 1 + BATCH_PIECES * PIECE_GROUPS + BATCH_WORDS   # at most, of a batch

cdef class Passage:                    # one way, to the file or from it; both ways meet the same rows in the same order
    cdef object move                   # write(octets), or read(octets) -> how many were filled
    cdef readonly bint is_loading
    cdef readonly uint64_t octets      # moved so far
    cdef uint32_t crc                  # of these
    cdef uint64_t *packed              # room for one batch

    cdef carry(self, void *at, size_t size)
    cdef carry_octets(self, void *at, size_t size)
    cdef finish(self)

cdef uint32_t crc_of(const uint8_t *octets, size_t size, uint32_t seed) noexcept
