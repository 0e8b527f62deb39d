# A hash table from a 16-byte key to a number, for order look-ups without a Python object each.
from libc.stdint cimport uint64_t

cdef struct Entry:
    uint64_t high
    uint64_t low
    uint64_t value                     # 0: the place is free

cdef class KeyTable:
    cdef Entry *entries
    cdef uint64_t mask                 # places - 1, places a power of two
    cdef readonly uint64_t count

    cdef uint64_t find(self, uint64_t high, uint64_t low) noexcept    # 0 when absent
    cdef bint put(self, uint64_t high, uint64_t low, uint64_t value) noexcept  # value not 0; False: memory is out
    cdef void remove(self, uint64_t high, uint64_t low) noexcept
    cdef uint64_t place_of(self, uint64_t high, uint64_t low) noexcept
    cdef bint grow(self) noexcept
