# The load client: sessions that send what is due and hand every report to the tracker.
from libc.stdint cimport int32_t, int64_t, uint8_t
from loadtest.grpc_client cimport ClientStream
from loadtest.tracker cimport OrderTracker

cdef class LoadClient

cdef class LoadSession(ClientStream):
    cdef readonly OrderTracker tracker
    cdef const int32_t[::1] numbers    # the requests of this session, in the order they are due
    cdef readonly Py_ssize_t next      # the first of them that has not been sent
    cdef readonly object logon_ack     # a future of the LogonAck
    cdef object pong                   # a future: the Heartbeat sent by ping was answered
    cdef readonly str broken           # why the session ended before it was told to, or empty
    cdef bint stopping
    cdef LoadClient client

    cdef int64_t send_due(self, int64_t now_ns) noexcept   # when its next request is due (UTC ns), 0: none is left

cdef class LoadClient:
    cdef readonly OrderTracker tracker
    cdef readonly list sessions
    cdef readonly object all_sent      # a future: every request has been sent, or cannot be
    cdef object loop
    cdef int timer_fd
    cdef int64_t burst_ns
    cdef int64_t next_due_ns           # when the timer is set for; 0: nothing is left to send
    cdef bint waking                   # a wake-up of this loop turn is already asked for

    cdef void wake_if_due(self, int64_t now_ns) except *   # something arrived: what is due need not wait for the timer
    cdef void send_all_due(self) noexcept
    cdef void arm(self, int64_t due_ns, int64_t now_ns) noexcept
