# The front end's side of the engine: one Session per stream, one UnaryOrder per hot unary call.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.audience cimport Caller
from ext.codec cimport CancelOrder, NewOrder
from ext.engine cimport Engine
from ext.histogram cimport Histogram
from ext.shedding cimport Shedder

cdef class Stages:                     # the gateway's own times, from the clock reading at the socket
    cdef readonly Histogram decided    # read from the socket -> decision journaled, report encoded, order encoded
    cdef readonly Shedder shedder
    cdef int64_t last_ns               # when the newest of these was decided

    cdef void decide(self, Engine engine, Caller caller, const NewOrder *order, int64_t recv_ns) noexcept
    cdef void cancel(self, Engine engine, Caller caller, const CancelOrder *order, int64_t recv_ns) noexcept

cdef class Session(Caller):
    cdef Engine engine
    cdef Stages stages
    cdef object shell                  # gateway's side: on_cold(session, message), on_end(session)
    cdef public list accounts          # indexes it watches
    cdef readonly bint ended
    cdef bint half_closed              # the client sends no more
    cdef bint joining                  # its Logon is being read: what comes after it waits
    cdef list early                    # (message, recv_ns) of these, oldest last once they are worked off
    cdef size_t early_size             # octets

    cdef void put_off(self, const uint8_t *message, size_t size, int64_t recv_ns) except *
    cdef bint resend(self, uint64_t offset) noexcept

cdef class UnaryOrder(Caller):
    cdef Engine engine
    cdef Stages stages
    cdef bint is_cancel
