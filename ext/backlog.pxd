# What a session has yet to hear of the past: offsets of journal frames, found a few at a time, given out oldest first.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from ext.journal cimport Journal

cdef enum:
    MOST_OFFSETS = 2097152             # of one session: 16 MB
    SMALL_OFFSETS = 4096               # what a session may always have, however much the others hold

cdef class BacklogRoom:                # shared by the sessions of one shard
    cdef readonly int64_t held         # offsets over all of them
    cdef readonly int64_t most

cdef struct Chain:                     # one account's events, newest first, down to what the session has seen
    uint64_t seen
    uint64_t offset                    # of the next frame to look at; 0: done

cdef class Backlog:
    cdef Journal journal
    cdef BacklogRoom room
    cdef uint64_t *offsets             # a heap, the oldest on top
    cdef size_t count, capacity
    cdef Chain *chains
    cdef uint32_t chain_count, chain_capacity
    cdef readonly bint overflowed      # an offset found no room: the session must be ended, for events would be missing

    cdef bint add_chain(self, uint64_t seen, uint64_t newest_offset) noexcept
    cdef bint add(self, uint64_t offset) noexcept
    cdef bint walk(self, uint32_t most) noexcept       # look at that many frames; True when every chain is done
    cdef uint64_t take(self) noexcept                  # the oldest offset; 0: none is left
    cdef void clear(self) noexcept
