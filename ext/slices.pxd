# Reading in turns: what one client sends at once is taken a slice a loop turn, in the order in which it came.
from libc.stdint cimport int64_t
from ext.http2 cimport Http2Connection

cdef class ReadingTurns

cdef class SlicedConnection(Http2Connection):
    cdef ReadingTurns turns
    cdef object unread                     # deque of (octets, the first not yet taken, when they were read)
    cdef int64_t unread_size
    cdef bint halted                       # too much is unread: nothing more is read from the socket

    cdef Py_ssize_t take_slice(self, bytes octets, Py_ssize_t at, int64_t recv_ns) except -1   # as far as it came
    cdef void go_on(self) except *         # the next slice of what waits

cdef class ReadingTurns:                   # shared by the connections of one server
    cdef object call_soon
    cdef list behind                       # connections with octets that wait, each for its slice of the next loop turn
    cdef readonly int64_t unread_size      # octets that wait, over all connections

    cdef void put_behind(self, SlicedConnection connection)
