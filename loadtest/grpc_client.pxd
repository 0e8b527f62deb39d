# A gRPC client on uvloop over nghttp2, for load: a callback per message in C, no Python object per message.
# Connect with `await connect(...)`; subclass ClientStream for a stream or a unary call; see grpc_client.pyx.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from ext.http2 cimport Http2Connection, Http2Stream
from ext.nghttp2 cimport nghttp2_nv

cdef class RequestHead:                    # the request headers of one method, made once and used for every call of it
    cdef readonly str path
    cdef list kept                         # the octets that `pairs` points to
    cdef nghttp2_nv *pairs
    cdef size_t count

cdef class ClientConnection(Http2Connection):
    cdef object greeted                    # a future: the server's SETTINGS arrived
    cdef readonly bint lost
    cdef readonly bint going_away          # the server sent GOAWAY

cdef class ClientStream(Http2Stream):
    cdef RequestHead head
    cdef readonly int status               # gRPC status; -1 while the call runs
    cdef readonly str status_text
    cdef bint finished
    cdef bint marked
    cdef int http_status

    # for a subclass to override
    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *
    cdef void on_finished(self, int status, str text) except *   # the call is over; once

    # what the caller uses
    cdef uint8_t *begin_message(self, size_t max_size) noexcept  # room for one message, or NULL: the server reads too slowly
    cdef void end_message(self, size_t size) noexcept            # that message is size bytes long; leaves at the end of the turn
    cdef void flush(self) noexcept                               # or now
    cdef void end_sending(self) noexcept                         # half-close once everything sent has left

    cdef void finish(self, int status, str text)

cdef class UnaryCall(ClientStream):
    cdef readonly object response          # a future of bytes; RpcError when the status is not OK
    cdef bytes message
