# What the gRPC server and the load client share: a connection over one nghttp2 session, and streams that cut their
# bytes into gRPC messages. A subclass says what a header, a message and the end of a stream mean.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from ext.buffers cimport OutBuf, Outlet
from ext.nghttp2 cimport nghttp2_frame, nghttp2_frame_hd, nghttp2_data_source, nghttp2_session, nghttp2_settings_entry
from ext.rpc cimport Carrier

cdef ssize_t read_out(nghttp2_session *session, int32_t stream_id, uint8_t *room, size_t size, uint32_t *flags,
                      nghttp2_data_source *source, void *user) noexcept   # the data provider of every stream

cdef class Counters:                       # shared by the connections of one server, or of one client
    cdef public int64_t connections, streams, messages_in, messages_out, bytes_in, bytes_out, writes
    cdef public int64_t resets, sink_errors, protocol_errors
    cdef dict cuts                         # reason -> count

    cdef void cut(self, str reason)

cdef class Http2Stream(Carrier):
    cdef int32_t id                        # 0 until it is open
    cdef Http2Connection connection
    cdef OutBuf out                        # framed messages on their way out
    cdef bint out_ended                    # nothing will be added to out
    cdef bint deferred                     # nghttp2 waits for resume_data
    cdef bint deaf                         # what still arrives is dropped
    cdef bint closed
    cdef size_t unconsumed                 # received while the peer did not read: its window stays shut for these
    cdef uint8_t *partial                  # the beginning of a message whose rest has not arrived
    cdef size_t partial_size
    cdef size_t partial_capacity

    # for a subclass to override
    cdef void push(self) noexcept                                   # at the end of the turn: submit or resume
    cdef bint end_out(self) noexcept                                # out has drained and ended; True: END_STREAM on DATA
    cdef void take(self, const uint8_t *message, size_t size, int64_t recv_ns) except *
    cdef void refuse(self, int compressed, size_t size)             # a message prefix that cannot be accepted
    cdef void refuse_partial(self)                                  # too many bytes of unfinished messages
    cdef void break_off(self)                                       # take raised
    cdef void on_half_close(self)                                   # the peer ended its side
    cdef void on_close(self, uint32_t error_code)                   # the stream is gone

    cdef void feed(self, const uint8_t *chunk, size_t size, int64_t recv_ns) except *
    cdef size_t fill(self, const uint8_t *chunk, size_t size, int64_t recv_ns) except? 0
    cdef bint keep(self, const uint8_t *at, size_t size) except -1
    cdef void drop_partial(self) noexcept

cdef class Http2Connection(Outlet):
    cdef nghttp2_session *session          # NULL before the connection is made and after it is lost
    cdef object transport
    cdef readonly Counters counters
    cdef dict streams                      # stream id -> Http2Stream
    cdef list ready_streams                # to push at the end of this turn
    cdef size_t max_message                # bytes
    cdef size_t max_partial                # bytes of unfinished messages, over all streams
    cdef size_t partial_size               # bytes of unfinished messages now
    cdef bint paused                       # the socket's own buffer is full: nothing more is handed to it
    cdef bint closing
    cdef int64_t recv_ns                   # when the last bytes arrived
    cdef int64_t paused_ns                 # since when it is paused
    cdef int64_t closing_ns                # since when it is closing; 0: it is not

    cdef bint take_in(self, const uint8_t *octets, size_t size) except -1   # feed the session; False: it is broken
    cdef void open_session(self, bint server, nghttp2_settings_entry *settings, size_t count, int32_t window) except *
    cdef Http2Stream stream(self, int32_t stream_id)
    cdef void report(self, error) noexcept # count what a sink raised and hand it to the loop's exception handler
    cdef void write_out(self) noexcept
    cdef void write_chunk(self) except *
    cdef void shut(self) noexcept          # close once everything has been written

    # for a subclass to override
    cdef int on_begin_headers(self, const nghttp2_frame *frame) except -1
    cdef int on_header(self, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size) except -1
    cdef int on_frame(self, const nghttp2_frame *frame) except -1
    cdef int on_frame_sent(self, const nghttp2_frame *frame) except -1
    cdef int on_invalid_frame(self, const nghttp2_frame *frame, int error) except -1
