"""HTTP/2 connections over nghttp2 for the gRPC server and client alike. Knows no method, no status, no service."""

from asyncio import get_running_loop

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from ext.clock cimport now_ns
from ext.nghttp2 cimport *

cdef enum:
    PREFIX_SIZE = 5                    # gRPC: one compressed flag, four bytes of length
    WRITE_CHUNK = 131072               # most bytes handed to the socket at once
    KEPT_PARTIAL = 65536               # a bigger reassembly buffer is given back after its message
    HIGH_WATER = 262144                # bytes in the socket's own buffer at which nothing more is handed to it


cdef class Counters:
    """What the connections of one server or client have seen, since it started."""

    def __init__(self):
        self.cuts = {}

    cdef void cut(self, str reason):
        self.cuts[reason] = self.cuts.get(reason, 0) + 1

    def snapshot(self) -> dict:
        """All counters by name; `cuts` maps a reason to how often a call or connection was ended for it."""
        names = ("connections", "streams", "messages_in", "messages_out", "bytes_in", "bytes_out", "writes", "resets",
                 "sink_errors", "protocol_errors")
        return {name: getattr(self, name) for name in names} | {"cuts": dict(self.cuts)}


cdef inline size_t message_size(const uint8_t *prefix) noexcept nogil:
    return (<size_t>prefix[1] << 24) | (<size_t>prefix[2] << 16) | (<size_t>prefix[3] << 8) | prefix[4]


cdef class Http2Stream(Carrier):
    """One stream: cuts what arrives into messages and drains `out` into DATA frames."""

    def __dealloc__(self):
        free(self.partial)

    cdef void ready(self) noexcept:
        self.connection.ready_streams.append(self)
        self.connection.mark()

    cdef void push(self) noexcept:
        pass

    cdef bint end_out(self) noexcept:
        return True

    cdef void take(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        pass

    cdef void refuse(self, int compressed, size_t size):
        self.deaf = True

    cdef void refuse_partial(self):
        self.deaf = True

    cdef void break_off(self):
        self.deaf = True

    cdef void on_half_close(self):
        pass

    cdef void on_close(self, uint32_t error_code):
        pass

    cdef void feed(self, const uint8_t *chunk, size_t size, int64_t recv_ns) except *:
        """Take every whole message of the chunk, and keep the beginning of one whose rest is still to come."""
        cdef size_t at = 0
        cdef size_t length
        if self.partial_size > 0:
            at = self.fill(chunk, size, recv_ns)
        while size - at >= PREFIX_SIZE and not self.deaf:
            length = message_size(chunk + at)
            if chunk[at] != 0 or length > self.connection.max_message:
                self.refuse(chunk[at], length)
                return
            if size - at - PREFIX_SIZE < length:
                break
            self.connection.counters.messages_in += 1
            self.take(chunk + at + PREFIX_SIZE, length, recv_ns)
            at += PREFIX_SIZE + length
        if at < size and not self.deaf:
            self.keep(chunk + at, size - at)

    cdef size_t fill(self, const uint8_t *chunk, size_t size, int64_t recv_ns) except? 0:
        """Complete the kept beginning from the chunk and take it; returns how much of the chunk was used."""
        cdef size_t wanted = PREFIX_SIZE
        cdef size_t at = 0
        cdef size_t step
        cdef bint prefixed = False
        while not prefixed:
            prefixed = self.partial_size >= PREFIX_SIZE
            if prefixed:
                wanted = PREFIX_SIZE + message_size(self.partial)
                if self.partial[0] != 0 or wanted - PREFIX_SIZE > self.connection.max_message:
                    self.refuse(self.partial[0], wanted - PREFIX_SIZE)
                    return size
            step = min(wanted - self.partial_size, size - at)
            if not self.keep(chunk + at, step):
                return size
            at += step
            if self.partial_size < wanted:
                return size
        self.drop_partial()
        self.connection.counters.messages_in += 1
        self.take(self.partial + PREFIX_SIZE, wanted - PREFIX_SIZE, recv_ns)
        if self.partial_capacity > KEPT_PARTIAL:
            free(self.partial)
            self.partial = NULL
            self.partial_capacity = 0
        return at

    cdef void drop_partial(self) noexcept:
        self.connection.partial_size -= self.partial_size
        self.partial_size = 0

    cdef bint keep(self, const uint8_t *at, size_t size) except -1:
        """Append to the kept beginning; False when the connection holds too much of unfinished messages."""
        cdef size_t capacity = max(self.partial_capacity, <size_t>256)
        cdef uint8_t *grown
        if self.connection.partial_size + size > self.connection.max_partial:
            self.refuse_partial()
            return False
        while capacity < self.partial_size + size:
            capacity *= 2
        if capacity > self.partial_capacity:
            grown = <uint8_t *>realloc(self.partial, capacity)
            if grown == NULL:
                raise MemoryError(f"no memory for a message of {capacity} bytes")
            self.partial = grown
            self.partial_capacity = capacity
        memcpy(self.partial + self.partial_size, at, size)
        self.partial_size += size
        self.connection.partial_size += size
        return True


cdef ssize_t read_out(nghttp2_session *session, int32_t stream_id, uint8_t *room, size_t size, uint32_t *flags,
                      nghttp2_data_source *source, void *user) noexcept:
    """nghttp2 asks for the payload of a DATA frame: it gets what waits in the stream's `out`."""
    cdef Http2Stream stream = <Http2Stream>source.ptr
    cdef OutBuf out = stream.out
    cdef size_t taken = min(out.size(), size)
    memcpy(room, out.head(), taken)
    out.consume(taken)
    if stream.out_ended and out.size() == 0:
        flags[0] |= NGHTTP2_DATA_FLAG_EOF
        if not stream.end_out():
            flags[0] |= NGHTTP2_DATA_FLAG_NO_END_STREAM
        return taken
    if taken == 0:
        stream.deferred = True
        return NGHTTP2_ERR_DEFERRED
    return taken


cdef int begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) noexcept:
    try:
        return (<Http2Connection>user).on_begin_headers(frame)
    except Exception as error:
        (<Http2Connection>user).report(error)
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int receive_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                        const uint8_t *value, size_t value_size, uint8_t flags, void *user) noexcept:
    try:
        return (<Http2Connection>user).on_header(frame, name, name_size, value, value_size)
    except Exception as error:
        (<Http2Connection>user).report(error)
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int receive_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) noexcept:
    try:
        return (<Http2Connection>user).on_frame(frame)
    except Exception as error:
        (<Http2Connection>user).report(error)
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int send_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) noexcept:
    try:
        return (<Http2Connection>user).on_frame_sent(frame)
    except Exception as error:
        (<Http2Connection>user).report(error)
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int receive_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user) noexcept:
    try:
        return (<Http2Connection>user).on_invalid_frame(frame, code)
    except Exception as error:
        (<Http2Connection>user).report(error)
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int receive_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *chunk, size_t size,
                       void *user) noexcept:
    cdef Http2Connection connection = <Http2Connection>user
    cdef void *found = nghttp2_session_get_stream_user_data(session, stream_id)
    cdef Http2Stream stream
    if found == NULL:
        nghttp2_session_consume(session, stream_id, size)
        return 0
    stream = <Http2Stream>found
    if not stream.deaf:
        try:
            stream.feed(chunk, size, connection.recv_ns)
        except Exception as error:
            connection.report(error)
            stream.break_off()
    if connection.paused:
        stream.unconsumed += size
    else:
        nghttp2_session_consume(session, stream_id, size)
    return 0


cdef int close_stream(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user) noexcept:
    cdef Http2Connection connection = <Http2Connection>user
    cdef Http2Stream stream = connection.streams.pop(stream_id, None)
    if stream is None:
        return 0
    nghttp2_session_set_stream_user_data(session, stream_id, NULL)
    if stream.unconsumed > 0:
        nghttp2_session_consume_connection(session, stream.unconsumed)
        stream.unconsumed = 0
    stream.closed = True
    stream.deaf = True
    stream.drop_partial()
    try:
        stream.on_close(error_code)
    except Exception as error:
        connection.report(error)
    return 0


cdef nghttp2_session_callbacks *callbacks = NULL
cdef nghttp2_option *options = NULL


cdef void prepare_callbacks() except *:
    global callbacks, options
    if nghttp2_session_callbacks_new(&callbacks) != 0 or nghttp2_option_new(&options) != 0:
        raise MemoryError("no memory for nghttp2's callbacks")
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers)
    nghttp2_session_callbacks_set_on_header_callback(callbacks, receive_header)
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, receive_frame)
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, send_frame)
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, receive_invalid_frame)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, receive_chunk)
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, close_stream)
    # Windows open as messages are taken (receive_chunk), and the reset limit is the server's own, with its own answer.
    nghttp2_option_set_no_auto_window_update(options, 1)
    nghttp2_option_set_no_closed_streams(options, 1)
    nghttp2_option_set_stream_reset_rate_limit(options, 1 << 30, 1 << 30)


prepare_callbacks()


cdef class Http2Connection(Outlet):
    """An asyncio protocol that drives one nghttp2 session; all it sends leaves at the end of the loop turn.

    max_message: most bytes of one gRPC message received. max_partial: most bytes of unfinished messages held at a time.
    """

    def __init__(self, turn, Counters counters, size_t max_message, size_t max_partial):
        Outlet.__init__(self, turn)
        self.max_partial = max_partial
        self.counters = counters
        self.max_message = max_message
        self.streams = {}
        self.ready_streams = []

    def __dealloc__(self):
        if self.session != NULL:
            nghttp2_session_del(self.session)

    cdef void open_session(self, bint server, nghttp2_settings_entry *settings, size_t count, int32_t window) except *:
        cdef int error
        if server:
            error = nghttp2_session_server_new2(&self.session, callbacks, <void *>self, options)
        else:
            error = nghttp2_session_client_new2(&self.session, callbacks, <void *>self, options)
        if error != 0:
            raise MemoryError("no memory for an HTTP/2 session")
        nghttp2_submit_settings(self.session, NGHTTP2_FLAG_NONE, settings, count)
        nghttp2_session_set_local_window_size(self.session, NGHTTP2_FLAG_NONE, 0, window)

    cdef void report(self, error) noexcept:
        self.counters.sink_errors += 1
        get_running_loop().call_exception_handler({"message": "a call or its service failed", "exception": error})

    cdef Http2Stream stream(self, int32_t stream_id):
        cdef void *found = nghttp2_session_get_stream_user_data(self.session, stream_id)
        return None if found == NULL else <Http2Stream>found

    cdef int on_begin_headers(self, const nghttp2_frame *frame) except -1:
        return 0

    cdef int on_header(self, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size) except -1:
        return 0

    cdef int on_frame(self, const nghttp2_frame *frame) except -1:
        return 0

    cdef int on_frame_sent(self, const nghttp2_frame *frame) except -1:
        return 0

    cdef int on_invalid_frame(self, const nghttp2_frame *frame, int error) except -1:
        self.counters.protocol_errors += 1
        return 0

    # The asyncio protocol.

    def connection_made(self, transport) -> None:
        """Start the session; a subclass has called open_session before."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self.recv_ns = now_ns()
        self.counters.connections += 1
        self.mark()

    def data_received(self, bytes octets) -> None:
        """Feed the session; every message in octets is taken before this returns."""
        if self.session == NULL or self.closing:
            return
        self.recv_ns = now_ns()
        self.counters.bytes_in += PyBytes_GET_SIZE(octets)
        self.take_in(<const uint8_t *>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))

    cdef bint take_in(self, const uint8_t *octets, size_t size) except -1:
        if nghttp2_session_mem_recv(self.session, octets, size) < 0:
            self.counters.protocol_errors += 1
            self.write_out()
            self.shut()
            return False
        if not self.marked and (nghttp2_session_want_write(self.session) or not nghttp2_session_want_read(self.session)):
            self.mark()
        return True

    def eof_received(self) -> bool:
        """The peer sends no more: nothing can be answered by HTTP/2's rules, so the connection closes."""
        return False

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self.paused = True
        self.paused_ns = now_ns()

    def resume_writing(self) -> None:
        """The socket drained: open the windows of what was received meanwhile, and go on sending."""
        cdef Http2Stream stream
        self.paused = False
        if self.session == NULL:
            return
        for stream in self.streams.values():
            if stream.unconsumed > 0:
                nghttp2_session_consume(self.session, stream.id, stream.unconsumed)
                stream.unconsumed = 0
        self.mark()

    def connection_lost(self, error) -> None:
        """End every stream; the session is gone."""
        cdef Http2Stream stream
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.closed = True
            stream.deaf = True
            try:
                stream.on_close(NGHTTP2_CANCEL)
            except Exception as error:
                self.report(error)
        self.ready_streams.clear()
        if self.session != NULL:
            nghttp2_session_del(self.session)
            self.session = NULL
        self.transport = None
        self.closing = True

    # Sending.

    cdef void flush(self) noexcept:
        cdef Http2Stream stream
        if self.session == NULL:
            return
        ready, self.ready_streams = self.ready_streams, []
        for stream in ready:
            stream.push()
        self.write_out()

    cdef void write_out(self) noexcept:
        """Hand everything the session wants to send to the socket, until the socket's buffer is full."""
        cdef const uint8_t *piece
        cdef uint8_t *room
        cdef ssize_t size = 0
        if self.session == NULL or self.transport is None:
            return
        try:
            while not self.paused:
                size = nghttp2_session_mem_send(self.session, &piece)
                room = self.out.reserve(size) if size > 0 else NULL
                if room == NULL:
                    break
                memcpy(room, piece, size)
                self.out.commit(size)
                if self.out.size() >= WRITE_CHUNK:
                    self.write_chunk()
            self.write_chunk()
            if size < 0 or not (nghttp2_session_want_read(self.session) or nghttp2_session_want_write(self.session)):
                self.shut()
        except Exception as error:
            self.report(error)
            self.shut()

    cdef void write_chunk(self) except *:
        cdef size_t size = self.out.size()
        if size == 0:
            return
        octets = PyBytes_FromStringAndSize(<const char *>self.out.head(), size)
        self.out.consume(size)
        self.counters.bytes_out += size
        self.counters.writes += 1
        self.turn.send(self.transport, octets)

    cdef void shut(self) noexcept:
        if not self.closing and self.transport is not None:
            self.closing = True
            self.closing_ns = now_ns()
            try:
                self.turn.close(self.transport)
            except Exception as error:
                self.report(error)
