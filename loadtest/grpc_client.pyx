"""A gRPC client for load over nghttp2: streams and unary calls on one connection. Measures nothing, retries nothing."""

from asyncio import CancelledError, get_running_loop, wait_for
from base64 import b64encode
from socket import IPPROTO_TCP, TCP_NODELAY

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ext.buffers cimport OutBuf
from ext.grpc_headers cimport constant, is_word
from ext.http2 cimport Counters, read_out
from ext.nghttp2 cimport *
from ext.rpc cimport CANCELLED, INTERNAL, OK, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN

from ext.grpc_headers import decode_text
from ext.rpc import RpcError

cdef enum:
    PREFIX_SIZE = 5                    # gRPC: one compressed flag, four bytes of length
    STREAM_WINDOW = 16777216
    CONNECTION_WINDOW = 268435456
    CONNECT_TIMEOUT_S = 10


cdef class RequestHead:
    """The request headers of one method.

    path: "/package.Service/Method". metadata: lower-case key -> str, or bytes for keys ending in -bin.
    """

    def __init__(self, str path, metadata=None, str authority="localhost", str scheme="http"):
        headers = {":method": "POST", ":scheme": scheme, ":authority": authority, ":path": path, "te": "trailers",
                   "content-type": "application/grpc", "user-agent": "tidegate-load"} | dict(metadata or {})
        self.path = path
        self.kept = [(key.encode("ascii"), b64encode(value) if key.endswith("-bin") else value.encode("ascii"))
                     for key, value in headers.items()]
        self.count = len(self.kept)
        self.pairs = <nghttp2_nv *>calloc(self.count, sizeof(nghttp2_nv))
        if self.pairs == NULL:
            raise MemoryError("no memory for request headers")
        for i, (key, value) in enumerate(self.kept):
            self.pairs[<size_t>i] = constant(key, value)

    def __dealloc__(self):
        free(self.pairs)


cdef class ClientConnection(Http2Connection):
    """One connection to a gRPC server; use `connect`."""

    def __init__(self, turn, size_t max_message=1 << 24):
        Http2Connection.__init__(self, turn, Counters(), max_message, CONNECTION_WINDOW)
        self.greeted = get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        """Greet the server."""
        cdef nghttp2_settings_entry settings[2]
        settings[0] = nghttp2_settings_entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)
        settings[1] = nghttp2_settings_entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW)
        transport.get_extra_info("socket").setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self.open_session(False, settings, 2, CONNECTION_WINDOW)
        Http2Connection.connection_made(self, transport)

    def connection_lost(self, error) -> None:
        """End every call with UNAVAILABLE."""
        cdef ClientStream stream
        self.lost = True
        for stream in self.ready_streams:
            stream.finish(UNAVAILABLE, "the connection was lost")
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError("the server closed the connection before its first frame"))
        Http2Connection.connection_lost(self, error)

    cdef int on_header(self, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size) except -1:
        cdef ClientStream stream
        if name[0] != c'g' and name[0] != c':':
            return 0
        stream = <ClientStream>self.stream(frame.hd.stream_id)
        if stream is None:
            return 0
        if is_word(name, name_size, b"grpc-status", 11):
            stream.status = value[0] - c'0' if value_size == 1 else int((<const char *>value)[:value_size])
        elif is_word(name, name_size, b"grpc-message", 12):
            stream.status_text = decode_text((<const char *>value)[:value_size])
        elif is_word(name, name_size, b":status", 7) and not is_word(value, value_size, b"200", 3):
            stream.http_status = int((<const char *>value)[:value_size])
        return 0

    cdef int on_frame(self, const nghttp2_frame *frame) except -1:
        cdef ClientStream stream
        if frame.hd.type == NGHTTP2_GOAWAY:
            self.going_away = True
        elif frame.hd.type == NGHTTP2_SETTINGS and not self.greeted.done():
            self.greeted.set_result(None)
        elif frame.hd.type <= NGHTTP2_HEADERS and frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
            stream = <ClientStream>self.stream(frame.hd.stream_id)
            if stream is not None:
                stream.on_half_close()
        return 0

    def counters_snapshot(self) -> dict:
        """What this connection has seen; see ext.http2.Counters."""
        return self.counters.snapshot()

    def close(self) -> None:
        """Close at once; running calls end with UNAVAILABLE."""
        if self.transport is not None:
            self.closing = True
            self.transport.abort()


cdef class ClientStream(Http2Stream):
    """One call. A subclass overrides on_message and on_finished.

    limit: most bytes that may wait for a slow server before begin_message gives NULL.
    """

    def __init__(self, ClientConnection connection, RequestHead head, size_t limit=1 << 24):
        self.connection = connection
        self.head = head
        self.out = OutBuf(limit)
        self.status = -1
        self.status_text = ""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        pass

    cdef void on_finished(self, int status, str text) except *:
        pass

    cdef uint8_t *begin_message(self, size_t max_size) noexcept:
        cdef uint8_t *room = self.out.reserve(max_size + PREFIX_SIZE)
        return NULL if room == NULL else room + PREFIX_SIZE

    cdef void end_message(self, size_t size) noexcept:
        cdef uint8_t *prefix = self.out.data + self.out.end
        prefix[0] = 0
        prefix[1] = <uint8_t>(size >> 24)
        prefix[2] = <uint8_t>(size >> 16)
        prefix[3] = <uint8_t>(size >> 8)
        prefix[4] = <uint8_t>size
        self.out.commit(size + PREFIX_SIZE)
        self.connection.counters.messages_out += 1
        self.ready()

    cdef void ready(self) noexcept:
        if (<ClientConnection>self.connection).lost:
            self.finish(UNAVAILABLE, "the connection was lost")
        elif not self.marked:
            self.marked = True
            Http2Stream.ready(self)

    cdef void flush(self) noexcept:
        self.connection.flush()

    cdef void end_sending(self) noexcept:
        self.out_ended = True
        self.ready()

    cdef void push(self) noexcept:
        cdef nghttp2_data_provider provider
        self.marked = False
        if self.closed or self.finished:
            return
        if self.id == 0:
            provider.source.ptr = <void *>self
            provider.read_callback = read_out
            self.id = nghttp2_submit_request(self.connection.session, NULL, self.head.pairs, self.head.count, &provider,
                                             <void *>self)
            if self.id < 0:
                self.finish(UNAVAILABLE, "the connection takes no more streams")
                return
            self.connection.streams[self.id] = self
            self.connection.counters.streams += 1
        elif self.deferred:
            self.deferred = False
            nghttp2_session_resume_data(self.connection.session, self.id)

    cdef void take(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.on_message(message, size, recv_ns)

    cdef void refuse(self, int compressed, size_t size):
        self.reset()
        if compressed:
            self.finish(UNIMPLEMENTED, "the server compressed a message")
        else:
            self.finish(RESOURCE_EXHAUSTED, f"the message has {size} bytes; at most {self.connection.max_message}")

    cdef void break_off(self):
        self.reset()
        self.finish(INTERNAL, "the caller failed on this message")

    cdef void on_half_close(self):
        if self.status >= 0:
            self.finish(self.status, self.status_text)
        elif self.http_status != 0:
            self.finish(UNKNOWN, f"HTTP status {self.http_status}")
        else:
            self.finish(UNKNOWN, "the server ended the call without a status")
        if not self.out_ended:
            self.reset()

    cdef void on_close(self, uint32_t error_code):
        lost = (<ClientConnection>self.connection).lost
        self.finish(UNAVAILABLE if lost else CANCELLED, "the connection was lost" if lost else f"reset with code {error_code}")

    cdef void finish(self, int status, str text):
        if self.finished:
            return
        self.finished = True
        self.deaf = True
        self.status = status
        self.status_text = text
        self.on_finished(status, text)

    def open(self) -> None:
        """Open the call at the end of this turn, even without a message."""
        self.ready()

    def send(self, bytes message) -> bool:
        """Queue one message (cold path); False when the server reads too slowly."""
        cdef size_t size = len(message)
        cdef uint8_t *room = self.begin_message(size)
        if room == NULL:
            return False
        memcpy(room, <const uint8_t *>message, size)
        self.end_message(size)
        return True

    def half_close(self) -> None:
        """No more messages will be sent."""
        self.end_sending()

    def reset(self) -> None:
        """Cancel the call."""
        if self.id > 0 and not self.closed and self.connection.session != NULL:
            nghttp2_submit_rst_stream(self.connection.session, NGHTTP2_FLAG_NONE, self.id, NGHTTP2_CANCEL)
            self.connection.mark()


cdef class UnaryCall(ClientStream):
    """One unary call as a future, for set-up and tests; load subclasses ClientStream instead."""

    def __init__(self, ClientConnection connection, RequestHead head, bytes request):
        ClientStream.__init__(self, connection, head)
        self.response = get_running_loop().create_future()
        self.message = b""
        self.send(request)
        self.end_sending()

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.message = (<const char *>message)[:size]

    cdef void on_finished(self, int status, str text) except *:
        if self.response.done():
            return
        if status == OK:
            self.response.set_result(self.message)
        else:
            self.response.set_exception(RpcError(status, text))


async def connect(turn, str host, int port, tls=None, timeout_s=CONNECT_TIMEOUT_S):
    """A connection whose server has greeted. tls: an ssl.SSLContext, or None for plain text.

    Raises OSError (ConnectionError included) or TimeoutError.
    """
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    _, connection = await get_running_loop().create_connection(
        lambda: ClientConnection(turn), host, port, ssl=tls, server_hostname=host if tls is not None else None)
    try:
        await wait_for((<ClientConnection>connection).greeted, timeout_s)
    except (TimeoutError, CancelledError):
        connection.close()
        raise
    return connection
