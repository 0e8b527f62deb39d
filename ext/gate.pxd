# The way out: nothing leaves the shard before the journal that it rests on is as safe as was promised.
from libc.stdint cimport int64_t, uint64_t
from ext.journal cimport Journal

cdef enum:
    ALWAYS_SAFE = 0xFFFFFFFFFFFFFFFF
    FOR_EVER = 0x7FFFFFFFFFFFFFFF

cdef class Gate:
    cdef Journal journal
    cdef readonly uint64_t safe_end        # journal octets that are safe; ALWAYS_SAFE: the journal is, as it is written
    cdef readonly int64_t until_ns         # the clock's time until which this process may speak for the shard
    cdef readonly bint is_shut             # it may never again
    cdef readonly int64_t held_bytes
    cdef object held                       # (journal end, transport, octets; None: close), oldest first
    cdef public object on_unsafe           # (): journal octets wait to be made safe; called at the end of a turn

    cdef void send(self, object transport, bytes octets) except *
    cdef void close(self, object transport) except *
    cdef void end_turn(self) except *
    cdef bint may_speak(self) noexcept     # by the clock
    cdef bint is_open(self) noexcept
    cdef void hold(self, object transport, object octets) except *
    cdef void release(self) except *
