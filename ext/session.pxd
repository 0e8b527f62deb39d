# The front end's side of the engine: one Session per stream, one UnaryOrder per hot unary call.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.audience cimport Caller
from ext.engine cimport Engine
from ext.histogram cimport Histogram

cdef class Stages:                     # the gateway's own times, from the clock reading at the socket
    cdef readonly Histogram decided    # read from the socket -> decision journaled, report encoded, order encoded

cdef class Session(Caller):
    cdef Engine engine
    cdef Stages stages
    cdef object shell                  # gateway's side: on_cold(session, message), on_end(session)
    cdef public list accounts          # indexes it watches
    cdef list backlog                  # offsets of events still to be resent, newest first
    cdef dict cursors                  # account -> last event sequence put into the stream, while catching up
    cdef readonly bint ended

    cdef bint find_backlog(self)

cdef class UnaryOrder(Caller):
    cdef Engine engine
    cdef Stages stages
    cdef bint is_cancel
