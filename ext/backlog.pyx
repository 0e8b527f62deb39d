"""Old events that a session has yet to be given, by journal offset. Bounded in memory and in the work of one call; sends nothing."""

from libc.stdlib cimport free, realloc

from ext.events cimport Frame

cdef enum:
    FIRST_OFFSETS = 64
    FIRST_CHAINS = 4


cdef class BacklogRoom:
    """How many offsets all sessions of one shard hold. most: past it only small backlogs grow on."""

    def __init__(self, int64_t most=1 << 24):
        self.most = most


cdef class Backlog:
    """One session's backlog. Accounts are added as they are watched; what happens from then on is added as it happens."""

    def __init__(self, Journal journal, BacklogRoom room):
        self.journal = journal
        self.room = room

    def __dealloc__(self):
        if self.room is not None:
            self.room.held -= self.count
        free(self.offsets)
        free(self.chains)

    cdef bint add_chain(self, uint64_t seen, uint64_t newest_offset) noexcept:
        """An account whose events past `seen` are wanted; False without memory."""
        cdef uint32_t capacity = max(2 * self.chain_capacity, <uint32_t>FIRST_CHAINS)
        cdef Chain *grown
        if newest_offset == 0:
            return True
        if self.chain_count == self.chain_capacity:
            grown = <Chain *>realloc(self.chains, capacity * sizeof(Chain))
            if grown == NULL:
                self.overflowed = True
                return False
            self.chains = grown
            self.chain_capacity = capacity
        self.chains[self.chain_count] = Chain(seen, newest_offset)
        self.chain_count += 1
        return True

    cdef bint add(self, uint64_t offset) noexcept:
        """One more event; False (and overflowed) when there is no room for it."""
        cdef size_t capacity = max(2 * self.capacity, <size_t>FIRST_OFFSETS)
        cdef size_t at = self.count
        cdef uint64_t *grown
        if self.count >= MOST_OFFSETS or (self.count >= SMALL_OFFSETS and self.room.held >= self.room.most):
            self.overflowed = True
            return False
        if self.count == self.capacity:
            grown = <uint64_t *>realloc(self.offsets, capacity * sizeof(uint64_t))
            if grown == NULL:
                self.overflowed = True
                return False
            self.offsets = grown
            self.capacity = capacity
        while at > 0 and self.offsets[(at - 1) // 2] > offset:
            self.offsets[at] = self.offsets[(at - 1) // 2]
            at = (at - 1) // 2
        self.offsets[at] = offset
        self.count += 1
        self.room.held += 1
        return True

    cdef bint walk(self, uint32_t most) noexcept:
        cdef Chain *chain
        cdef const Frame *frame
        while self.chain_count > 0 and not self.overflowed:
            if most == 0:
                return False
            most -= 1
            chain = &self.chains[self.chain_count - 1]
            frame = self.journal.at(chain.offset)
            if frame.event_seq <= chain.seen:
                self.chain_count -= 1
                continue
            self.add(chain.offset)
            chain.offset = frame.prev_offset
            if chain.offset == 0:
                self.chain_count -= 1
        return True

    cdef uint64_t take(self) noexcept:
        cdef uint64_t oldest, last
        cdef size_t at = 0, child = 1
        if self.count == 0:
            return 0
        oldest = self.offsets[0]
        self.count -= 1
        self.room.held -= 1
        last = self.offsets[self.count]
        while child < self.count:
            if child + 1 < self.count and self.offsets[child + 1] < self.offsets[child]:
                child += 1
            if self.offsets[child] >= last:
                break
            self.offsets[at] = self.offsets[child]
            at = child
            child = 2 * at + 1
        self.offsets[at] = last
        return oldest

    cdef void clear(self) noexcept:
        """Forget it all, memory too."""
        self.room.held -= self.count
        self.count = self.capacity = 0
        self.chain_count = self.chain_capacity = 0
        free(self.offsets)
        free(self.chains)
        self.offsets = NULL
        self.chains = NULL
