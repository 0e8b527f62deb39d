# The seam between a gRPC transport and a service. A service method is a factory that gives one StreamSink per call; the
# transport feeds it whole messages and sends what it puts into `out`. Hot methods subclass it in Cython, so an order
# crosses the seam through a C vtable; both transports (native, grpcio) drive the same subclass.
from libc.stdint cimport int64_t, uint8_t
from ext.buffers cimport Outlet

cdef class StreamSink(Outlet):
    cdef public object on_finish               # set by the transport: called (once) at flush time when the call must end
    cdef public object on_flush                # set by a Python transport (grpcio): called when out has bytes; the native one overrides by `stream`
    cdef object stream                         # the native transport's stream object (a cdef class it knows), else None
    cdef readonly int status                   # gRPC status the service ended the call with; -1 while it runs
    cdef readonly str status_text

    # transport -> service
    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) noexcept  # one whole message, no gRPC prefix
    cdef void on_half_close(self) noexcept     # the client sent its last message
    cdef void on_closed(self) noexcept         # the call is over, however it ended; nothing more may be sent

    # service -> transport
    cdef uint8_t *begin_message(self, size_t max_size) noexcept  # room for one message (after its 5-byte prefix), NULL: cut
    cdef void end_message(self, size_t size) noexcept            # that message is size bytes long: prefix it and mark the outlet
    cdef void finish(self, int status, str text)                 # end the call with this status once `out` has drained
