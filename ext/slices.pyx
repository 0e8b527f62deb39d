"""An HTTP/2 connection that takes what it reads a slice a loop turn, so that one client's burst is not every other's wait.

What waits keeps the time at which it was read: how long an order waited is told from it. Decides nothing about messages.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from ext.clock cimport now_ns

cdef enum:
    SLICE = 2048                       # octets taken between two looks at the clock
    SLICE_NS = 100000                  # of one connection in one loop turn; the others wait no longer for it
    MOST_UNREAD = 4194304              # octets of one connection that wait, before its socket is left alone
    MOST_UNREAD_IN_ALL = 67108864


cdef class ReadingTurns:
    """The connections of one server that are behind. call_soon: the loop's."""

    def __init__(self, call_soon):
        self.call_soon = call_soon
        self.behind = []

    cdef void put_behind(self, SlicedConnection connection):
        if not self.behind:
            self.call_soon(self.work)
        self.behind.append(connection)

    def work(self) -> None:
        """Once a loop turn: a slice for every connection that is behind."""
        cdef SlicedConnection connection
        behind, self.behind = self.behind, []
        for connection in behind:
            connection.go_on()
            if connection.unread:
                self.put_behind(connection)


cdef class SlicedConnection(Http2Connection):
    """See the module's docstring."""

    def __init__(self, ReadingTurns turns, turn, counters, size_t max_message, size_t max_partial):
        Http2Connection.__init__(self, turn, counters, max_message, max_partial)
        self.turns = turns
        self.unread = deque()

    def data_received(self, bytes octets) -> None:
        """Take what one turn allows; the rest waits, with the time at which it was read."""
        cdef int64_t now = now_ns()
        cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
        cdef Py_ssize_t at = 0
        if self.session == NULL or self.closing:
            return
        self.counters.bytes_in += size
        if not self.unread:
            at = self.take_slice(octets, 0, now)
            if at == size:
                return
            self.turns.put_behind(self)
        self.unread.append((octets, at, now))
        self.unread_size += size - at
        self.turns.unread_size += size - at
        if not self.halted and (self.unread_size > MOST_UNREAD or self.turns.unread_size > MOST_UNREAD_IN_ALL):
            self.halted = True
            self.transport.pause_reading()

    cdef Py_ssize_t take_slice(self, bytes octets, Py_ssize_t at, int64_t recv_ns) except -1:
        cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(octets)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
        cdef Py_ssize_t step
        cdef int64_t until_ns = 0
        self.recv_ns = recv_ns
        while at < size:
            step = min(size - at, <Py_ssize_t>SLICE)
            if self.session == NULL or not self.take_in(start + at, step):
                return size
            at += step
            if at == size:
                break
            if until_ns == 0:
                until_ns = now_ns() + SLICE_NS
            elif now_ns() >= until_ns:
                break
        return at

    cdef void go_on(self) except *:
        cdef Py_ssize_t at
        if not self.unread:
            return
        octets, before, recv_ns = self.unread.popleft()
        at = self.take_slice(octets, before, recv_ns)
        self.unread_size -= at - before
        self.turns.unread_size -= at - before
        if at < PyBytes_GET_SIZE(octets):
            self.unread.appendleft((octets, at, recv_ns))
        elif self.halted and not self.unread and self.transport is not None:
            self.halted = False
            self.transport.resume_reading()
