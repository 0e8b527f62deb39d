"""Outgoing bytes: bounded buffers, and the flush of all of them once per loop turn. Touches no socket itself."""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memmove

cdef enum:
    FIRST_CAPACITY = 1024


cdef class OutBuf:
    """Bytes waiting for one peer; holds at most `limit` of them."""

    def __cinit__(self, size_t limit=1 << 22):
        self.capacity = FIRST_CAPACITY
        self.limit = limit
        self.data = <uint8_t *>malloc(self.capacity)
        if self.data == NULL:
            raise MemoryError(f"no memory for an output buffer of {self.capacity} bytes")

    def __dealloc__(self):
        free(self.data)

    cdef uint8_t *reserve(self, size_t size) noexcept:
        cdef size_t used = self.end - self.start
        cdef size_t capacity = self.capacity
        cdef size_t wanted
        cdef uint8_t *grown
        if used + size > self.limit:
            self.overflowed = True
            return NULL
        if self.end + size <= capacity:
            return self.data + self.end
        wanted = used + size
        if self.start > 0:
            # Half of it free after a move: a full buffer that drains a little at a time is not moved again and again.
            memmove(self.data, self.data + self.start, used)
            self.start = 0
            self.end = used
            wanted = max(wanted, 2 * used)
        if wanted > capacity:
            while wanted > capacity:
                capacity *= 2
            grown = <uint8_t *>realloc(self.data, capacity)
            if grown == NULL:
                self.overflowed = True
                return NULL
            self.data = grown
            self.capacity = capacity
        return self.data + self.end

    cdef void commit(self, size_t size) noexcept:
        self.end += size

    cdef const uint8_t *head(self) noexcept:
        return self.data + self.start

    cdef size_t size(self) noexcept:
        return self.end - self.start

    cdef void consume(self, size_t size) noexcept:
        self.start += size
        if self.start == self.end:
            self.start = 0
            self.end = 0

    def write(self, bytes octets) -> bool:
        """Append octets; False when that would pass the limit (then nothing is written)."""
        cdef size_t size = len(octets)
        cdef uint8_t *room = self.reserve(size)
        if room == NULL:
            return False
        memmove(room, <const uint8_t *>octets, size)
        self.commit(size)
        return True

    def take(self) -> bytes:
        """All waiting bytes, consumed."""
        cdef size_t size = self.size()
        octets = (<const char *>self.head())[:size]
        self.consume(size)
        return octets

    def __len__(self):
        return self.size()


cdef class Outlet:
    """One peer's way out. A subclass says in `flush` how the bytes reach the socket."""

    def __init__(self, Turn turn, size_t limit=1 << 22):
        self.turn = turn
        self.out = OutBuf(limit)

    cdef void mark(self) noexcept:
        if not self.marked:
            self.marked = True
            self.turn.add(self)

    cdef void flush(self) noexcept:
        pass


cdef class Turn:
    """The outlets that have something to send in this loop turn.

    call_soon: schedules a callable for the end of the turn (the loop's own call_soon); it is called once per turn with work.
    gate: what every octet passes on its way out, where the journal has to be made safe first.
    """

    def __init__(self, call_soon, Gate gate=None):
        self.outlets = []
        self.call_soon = call_soon
        self.gate = gate

    cdef void add(self, Outlet outlet) noexcept:
        if not self.outlets:
            self.call_soon(self.run)
        self.outlets.append(outlet)

    def run(self) -> None:
        """Flush every marked outlet; an outlet marked meanwhile waits for the next turn."""
        cdef Outlet outlet
        outlets, self.outlets = self.outlets, []
        for outlet in outlets:
            outlet.marked = False
            outlet.flush()
        if self.gate is not None:
            self.gate.end_turn()

    cdef void send(self, object transport, bytes octets) except *:
        if self.gate is None:
            transport.write(octets)
        else:
            self.gate.send(transport, octets)

    cdef void close(self, object transport) except *:
        if self.gate is None:
            transport.close()
        else:
            self.gate.close(transport)

    def write(self, transport, bytes octets) -> None:
        """Octets of a peer that has no outlet, to its transport; not before they may leave."""
        self.send(transport, octets)
        if self.gate is not None:
            self.gate.end_turn()
