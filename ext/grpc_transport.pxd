# The native gRPC server: connections and calls.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from ext.buffers cimport Turn
from ext.http2 cimport Counters, Http2Stream
from ext.rpc cimport Method, StreamSink
from ext.slices cimport ReadingTurns, SlicedConnection

cdef class ServerContext:                  # what the connections of one server share
    cdef readonly Turn turn
    cdef readonly Counters counters
    cdef readonly set connections
    cdef object loop
    cdef readonly ReadingTurns turns
    cdef object later                  # (step): runs it beside the orders of others, until it is done
    cdef object limits
    cdef dict methods                      # path octets -> Method
    cdef size_t max_header_bytes
    cdef int64_t control_frames_per_s, resets_per_s

cdef class ServerStream(Http2Stream):
    cdef StreamSink sink                   # None before the call is open and after it is over
    cdef Method method
    cdef dict metadata
    cdef bytes path
    cdef size_t header_bytes               # name + value + 32 each, as HTTP/2 counts them
    cdef int64_t timeout_ns                # 0: none; -1: malformed
    cdef int64_t deadline_ns               # 0: none
    cdef size_t taken                      # messages
    cdef bint post
    cdef bint grpc_type
    cdef bint encoded                      # grpc-encoding names a compression
    cdef bint responded                    # response headers are submitted

    cdef void open(self, int64_t recv_ns)
    cdef void open_sink(self, int64_t recv_ns)
    cdef void cut(self, int status, str text, str reason)
    cdef void refuse_http(self, bytes http_status, str reason)
    cdef void submit_trailers_only(self, int status, str text)
    cdef void submit_trailers(self, int status, str text) noexcept
    cdef void release(self)                # tell the sink, once, that the call is over

cdef class ServerConnection(SlicedConnection):
    cdef ServerContext context
    cdef str peer
    cdef int64_t made_ns, idle_ns, ping_ns, headers_ns, draining_ns
    cdef int64_t next_deadline_ns          # when deadline_timer fires; 0: not set
    cdef object deadline_timer
    cdef bint greeted                      # the client's SETTINGS arrived
    cdef bint going                        # the final GOAWAY is submitted
    cdef bint calmed                       # that one was for a flood
    cdef int64_t second_ns                 # the flood counters' current second
    cdef int64_t control_frames, resets

    cdef void end_stream(self, ServerStream stream)   # the client ended its side
    cdef void count_control_frame(self)
    cdef void count_reset(self)
    cdef void roll_second(self)
    cdef void calm(self, str reason)
    cdef void watch_deadline(self, int64_t deadline_ns)
