# The seam between a gRPC transport and a service. A service is a mapping of method path -> Method; a method opens one
# StreamSink per call; the transport feeds it whole messages and sends what it puts into `out`. Hot methods subclass
# StreamSink in Cython, so an order crosses the seam through a C vtable; both transports drive the same subclass.
from libc.stdint cimport int64_t, uint8_t
from ext.buffers cimport Outlet, Turn

cpdef enum Status:                         # gRPC status codes; a transport never invents another
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

cdef class Call:                           # what a method may know of the call it serves
    cdef readonly str path                 # "/package.Service/Method"
    cdef readonly str peer                 # "host:port" of the client
    cdef readonly dict metadata            # lower-case key -> str, or bytes for keys ending in -bin
    cdef readonly int64_t deadline_ns      # UTC; 0: the client set none

cdef class Carrier:                        # a transport's end of one call
    cdef void ready(self) noexcept         # the sink has bytes, or its status: send them at the end of this turn

cdef class StreamSink(Outlet):
    cdef size_t queued                     # messages put into `out` since the transport last looked
    cdef Carrier carrier                   # set by the transport once the method has opened the call
    cdef readonly int status               # gRPC status the service ended the call with; -1 while it runs
    cdef readonly str status_text

    # transport -> service. What these raise ends this call alone, with INTERNAL; an override may be `noexcept`
    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *  # one whole message, no gRPC prefix
    cdef void on_half_close(self) except *     # the client sent its last message
    cdef void on_closed(self) except *         # the call is over, however it ended; nothing more may be sent

    # service -> transport
    cdef uint8_t *begin_message(self, size_t max_size) noexcept  # room for one message (after its 5-byte prefix), NULL: cut
    cdef void end_message(self, size_t size) noexcept            # that message is size bytes long: prefix it and mark the sink
    cdef void finish(self, int status, str text)                 # end the call with this status once `out` has drained

cdef class Method:
    cdef readonly bint streaming               # False: exactly one message each way
    cdef StreamSink open(self, Call call, Turn turn)
