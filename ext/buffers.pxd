# Bytes on their way out: OutBuf holds them, an Outlet owns one per peer, a Turn flushes every outlet that has something
# once per loop turn, so that one turn makes one write per peer.
from libc.stdint cimport uint8_t
from ext.gate cimport Gate

cdef class OutBuf:
    cdef uint8_t *data
    cdef size_t start                  # first byte not yet consumed
    cdef size_t end                    # one past the last byte written
    cdef size_t capacity
    cdef readonly size_t limit         # most unconsumed bytes it may hold
    cdef readonly bint overflowed      # a reserve was refused: the peer reads too slowly and must be cut

    cdef uint8_t *reserve(self, size_t size) noexcept   # room for size bytes, or NULL (and overflowed) past the limit
    cdef void commit(self, size_t size) noexcept        # size bytes of the reserved room are now written
    cdef const uint8_t *head(self) noexcept
    cdef size_t size(self) noexcept
    cdef void consume(self, size_t size) noexcept

cdef class Outlet:
    cdef readonly OutBuf out
    cdef Turn turn
    cdef bint marked

    cdef void mark(self) noexcept      # there are bytes to leave: flush me at the end of this turn
    cdef void flush(self) noexcept     # overridden: hand out's bytes to the socket

cdef class Turn:
    cdef list outlets
    cdef object call_soon
    cdef readonly Gate gate            # None: whatever leaves may leave at once

    cdef void add(self, Outlet outlet) noexcept
    cdef void send(self, object transport, bytes octets) except *    # through the gate
    cdef void close(self, object transport) except *
