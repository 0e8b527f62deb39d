"""The native gRPC server's connections and calls: HTTP/2 in, whole messages to sinks, statuses out. Decides nothing else."""

from socket import IPPROTO_TCP, TCP_NODELAY

from ext.clock cimport now_ns
from ext.grpc_headers cimport add_metadata, constant, encode_text, is_grpc, is_word, pair, timeout_ns
from ext.http2 cimport read_out
from ext.nghttp2 cimport *
from ext.rpc cimport (
    DEADLINE_EXCEEDED, INTERNAL, INVALID_ARGUMENT, OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED, Call,
)

from ext.rpc import SERVICE_FAILED, RpcError

cdef enum:
    SECOND_NS = 1000000000
    SHUTDOWN_NOTICE_NS = 50000000      # between the notice of shutdown and the GOAWAY that names the last stream
    HEADER_OVERHEAD = 32               # HTTP/2 counts this per header, on top of name and value
    HEADER_BLOCK_FACTOR = 4            # a block this many times the limit ends the connection, not only its call

cdef nghttp2_nv RESPONSE[3]
cdef nghttp2_nv TRAILER_OK
RESPONSE[0] = constant(b":status", b"200")
RESPONSE[1] = constant(b"content-type", b"application/grpc")
RESPONSE[2] = constant(b"grpc-accept-encoding", b"identity")
TRAILER_OK = constant(b"grpc-status", b"0")


cdef class ServerContext:
    """What the connections of one server share.

    methods: path -> Method. limits: see gateway.transport.Limits. loop: the event loop that arms deadlines.
    later: called with what can wait (it returns True once it is done).
    """

    def __init__(self, Turn turn, dict methods, limits, loop, later):
        self.turn = turn
        self.counters = Counters()
        self.connections = set()
        self.loop = loop
        self.later = later
        self.turns = ReadingTurns(loop.call_soon)
        self.limits = limits
        self.methods = {path.encode("ascii"): method for path, method in methods.items()}
        self.max_header_bytes = limits.max_header_bytes
        self.control_frames_per_s = limits.control_frames_per_s
        self.resets_per_s = limits.resets_per_s


cdef class ServerStream(Http2Stream):
    """One call, from its first header to the end of its stream."""

    cdef void push(self) noexcept:
        cdef nghttp2_data_provider provider
        cdef StreamSink sink = self.sink
        if sink is None or self.closed:
            return
        sink.marked = False
        self.connection.counters.messages_out += sink.queued
        sink.queued = 0
        if self.out.overflowed:
            self.cut(RESOURCE_EXHAUSTED, f"the client reads too slowly: {self.out.limit} bytes wait for it", "slow_reader")
            return
        if sink.status >= 0:
            self.out_ended = True
            self.deaf = True
        if self.responded:
            if self.deferred:
                self.deferred = False
                nghttp2_session_resume_data(self.connection.session, self.id)
            return
        if self.out_ended and self.out.size() == 0:
            self.submit_trailers_only(sink.status, sink.status_text)
            return
        self.responded = True
        provider.source.ptr = <void *>self
        provider.read_callback = read_out
        nghttp2_submit_response(self.connection.session, self.id, RESPONSE, 3, &provider)

    cdef bint end_out(self) noexcept:
        if self.sink is not None:
            self.submit_trailers(self.sink.status, self.sink.status_text)
        return False

    cdef void take(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.taken += 1
        if self.taken > 1 and not self.method.streaming:
            self.cut(INTERNAL, "a unary call carries one message, this one carried more", "cardinality")
            return
        self.sink.on_message(message, size, recv_ns)
        if self.sink is not None and self.sink.status >= 0:
            self.deaf = True

    cdef void refuse(self, int compressed, size_t size):
        if compressed == 1:
            self.cut(UNIMPLEMENTED, "the message is compressed; accepted: identity", "compressed")
        elif compressed != 0:
            self.cut(INTERNAL, f"the message's compressed flag is {compressed}; expected 0 or 1", "bad_prefix")
        else:
            self.cut(RESOURCE_EXHAUSTED, f"the message has {size} bytes; at most {self.connection.max_message}",
                     "message_size")

    cdef void refuse_partial(self):
        self.cut(RESOURCE_EXHAUSTED, f"unfinished messages hold {self.connection.max_partial} bytes of this connection",
                 "partial_messages")

    cdef void break_off(self):
        self.cut(INTERNAL, SERVICE_FAILED, "sink_error")

    cdef void on_half_close(self):
        if self.sink is None or self.sink.status >= 0 or self.deaf:
            return
        if self.partial_size > 0:
            self.cut(INTERNAL, "the stream ended inside a message", "truncated")
        elif self.taken == 0 and not self.method.streaming:
            self.cut(INTERNAL, "a unary call carries one message, this one carried none", "cardinality")
        else:
            self.sink.on_half_close()

    cdef void on_close(self, uint32_t error_code):
        (<ServerConnection>self.connection).headers_ns = 0
        self.release()

    cdef void release(self):
        cdef StreamSink sink = self.sink
        if sink is None:
            return
        self.sink = None
        sink.carrier = None
        try:
            sink.on_closed()
        except Exception as error:
            self.connection.report(error)

    cdef void open(self, int64_t recv_ns):
        """The request's headers are complete: answer what is wrong with them, or open the call."""
        if self.header_bytes > (<ServerConnection>self.connection).context.max_header_bytes:
            limit = (<ServerConnection>self.connection).context.max_header_bytes
            self.cut(RESOURCE_EXHAUSTED, f"the metadata has {self.header_bytes} bytes; at most {limit}", "header_size")
        elif not self.post:
            self.refuse_http(b"405", "http_method")
        elif not self.grpc_type:
            self.refuse_http(b"415", "content_type")
        elif self.method is None:
            self.cut(UNIMPLEMENTED, f"unknown method {self.path.decode('latin-1')}", "unknown_method")
        elif self.encoded:
            self.cut(UNIMPLEMENTED, "grpc-encoding names a compression; accepted: identity", "compressed")
        elif self.timeout_ns < 0:
            self.cut(INVALID_ARGUMENT, "grpc-timeout is malformed; expected up to 8 digits and a unit of H M S m u n", "timeout")
        else:
            self.open_sink(recv_ns)

    cdef void open_sink(self, int64_t recv_ns):
        cdef ServerConnection connection = <ServerConnection>self.connection
        cdef StreamSink sink
        if self.timeout_ns > 0:
            self.deadline_ns = recv_ns + self.timeout_ns
            connection.watch_deadline(self.deadline_ns)
        try:
            call = Call(self.path.decode("ascii"), connection.peer, self.metadata, self.deadline_ns)
            sink = self.method.open(call, connection.turn)
        except RpcError as error:
            self.cut(error.status, error.text, "refused")
            return
        except Exception as error:
            connection.report(error)
            self.cut(INTERNAL, SERVICE_FAILED, "sink_error")
            return
        self.sink = sink
        self.out = sink.out
        sink.carrier = self
        if sink.marked:
            self.ready()

    cdef void cut(self, int status, str text, str reason):
        """End the call now with this status; what waits in `out` is dropped."""
        if self.closed or (self.deaf and self.sink is None and self.responded):
            return
        self.connection.counters.cut(reason)
        self.deaf = True
        if self.responded:
            self.submit_trailers(status, text)
        else:
            self.submit_trailers_only(status, text)
        if self.out is not None:
            self.out.consume(self.out.size())
        self.drop_partial()
        self.release()
        self.connection.mark()

    cdef void refuse_http(self, bytes http_status, str reason):
        cdef nghttp2_nv nv = pair(b":status", http_status)
        self.connection.counters.cut(reason)
        self.deaf = True
        self.responded = True
        nghttp2_submit_response(self.connection.session, self.id, &nv, 1, NULL)

    cdef void submit_trailers_only(self, int status, str text):
        cdef nghttp2_nv nv[5]
        cdef bytes code = str(status).encode("ascii")
        cdef bytes message = encode_text(text)
        nv[0] = RESPONSE[0]
        nv[1] = RESPONSE[1]
        nv[2] = RESPONSE[2]
        nv[3] = pair(b"grpc-status", code)
        nv[4] = pair(b"grpc-message", message)
        self.responded = True
        nghttp2_submit_response(self.connection.session, self.id, nv, 5 if text else 4, NULL)

    cdef void submit_trailers(self, int status, str text) noexcept:
        cdef nghttp2_nv nv[2]
        cdef bytes code, message
        if status == OK and not text:
            nghttp2_submit_trailer(self.connection.session, self.id, &TRAILER_OK, 1)
            return
        code = str(status).encode("ascii")
        message = encode_text(text)
        nv[0] = pair(b"grpc-status", code)
        nv[1] = pair(b"grpc-message", message)
        nghttp2_submit_trailer(self.connection.session, self.id, nv, 2 if text else 1)


cdef class ServerConnection(SlicedConnection):
    """One client's connection."""

    def __init__(self, ServerContext context):
        SlicedConnection.__init__(self, context.turns, context.turn, context.counters, context.limits.max_message_bytes,
                                  context.limits.max_partial_bytes)
        self.context = context

    def connection_made(self, transport) -> None:
        """Greet the client, unless TLS ended in a protocol that is not HTTP/2 or the server is full."""
        cdef nghttp2_settings_entry settings[3]
        limits = self.context.limits
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None and ssl_object.selected_alpn_protocol() != "h2":
            return self.turn_away(transport, "alpn")
        if len(self.context.connections) >= limits.max_connections:
            return self.turn_away(transport, "max_connections")
        settings[0] = nghttp2_settings_entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams)
        settings[1] = nghttp2_settings_entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window_bytes)
        settings[2] = nghttp2_settings_entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_header_bytes)
        self.open_session(True, settings, 3, limits.connection_window_bytes)
        transport.get_extra_info("socket").setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        host, port = transport.get_extra_info("peername")[:2]
        self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.context.connections.add(self)
        SlicedConnection.connection_made(self, transport)
        self.made_ns = self.idle_ns = self.recv_ns

    def turn_away(self, transport, str reason) -> None:
        """Close a connection that never started."""
        self.counters.cut(reason)
        self.closing = True
        transport.abort()

    def connection_lost(self, error) -> None:
        """End every call of this client, beside the orders of others: a thousand may be lost at once."""
        self.closing = True
        self.transport = None
        self.context.connections.discard(self)
        if self.deadline_timer is not None:
            self.deadline_timer.cancel()
            self.deadline_timer = None
        self.context.later(self.end)

    def end(self) -> bool:
        """The calls of a connection that was lost are over, once what came before is taken."""
        if self.unread:
            return False
        SlicedConnection.connection_lost(self, None)
        return True

    # What the session reports.

    cdef int on_begin_headers(self, const nghttp2_frame *frame) except -1:
        cdef ServerStream stream
        if frame.headers.cat != NGHTTP2_HCAT_REQUEST:
            return 0
        stream = ServerStream()
        stream.id = frame.hd.stream_id
        stream.connection = self
        stream.metadata = {}
        self.streams[stream.id] = stream
        self.headers_ns = self.recv_ns
        self.counters.streams += 1
        nghttp2_session_set_stream_user_data(self.session, stream.id, <void *>stream)
        return 0

    cdef int on_header(self, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size) except -1:
        cdef ServerStream stream = <ServerStream>self.stream(frame.hd.stream_id)
        if stream is None:
            return 0
        stream.header_bytes += name_size + value_size + HEADER_OVERHEAD
        if stream.header_bytes > self.context.max_header_bytes:
            if stream.header_bytes > HEADER_BLOCK_FACTOR * self.context.max_header_bytes:
                self.calm("header_flood")
            return 0
        if frame.headers.cat != NGHTTP2_HCAT_REQUEST:
            return 0
        if name[0] == c':':
            if is_word(name, name_size, b":path", 5):
                stream.path = (<const char *>value)[:value_size]
                stream.method = self.context.methods.get(stream.path)
            elif is_word(name, name_size, b":method", 7):
                stream.post = is_word(value, value_size, b"POST", 4)
        elif is_word(name, name_size, b"content-type", 12):
            stream.grpc_type = is_grpc(value, value_size)
        elif is_word(name, name_size, b"grpc-timeout", 12):
            stream.timeout_ns = timeout_ns(value, value_size)
            stream.timeout_ns = 1 if stream.timeout_ns == 0 else stream.timeout_ns
        elif is_word(name, name_size, b"grpc-encoding", 13):
            stream.encoded = not is_word(value, value_size, b"identity", 8)
        elif not is_word(name, name_size, b"te", 2) and not is_word(name, name_size, b"grpc-accept-encoding", 20):
            add_metadata(stream.metadata, name, name_size, value, value_size)
        return 0

    cdef int on_frame(self, const nghttp2_frame *frame) except -1:
        cdef ServerStream stream
        # A header block is contiguous: a whole frame of any kind means that none is unfinished.
        self.headers_ns = 0
        if frame.hd.type == NGHTTP2_HEADERS or frame.hd.type == NGHTTP2_DATA:
            stream = <ServerStream>self.stream(frame.hd.stream_id)
            if stream is None:
                return 0
            if frame.hd.type == NGHTTP2_HEADERS and frame.headers.cat == NGHTTP2_HCAT_REQUEST:
                stream.open(self.recv_ns)
            elif frame.hd.type == NGHTTP2_DATA and frame.hd.length == 0 and not frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
                self.count_control_frame()
            if frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
                self.end_stream(stream)
        elif frame.hd.type == NGHTTP2_SETTINGS and not frame.hd.flags & NGHTTP2_FLAG_ACK:
            self.greeted = True
            self.count_control_frame()
        elif frame.hd.type == NGHTTP2_PING and not frame.hd.flags & NGHTTP2_FLAG_ACK:
            self.count_control_frame()
        elif frame.hd.type == NGHTTP2_PRIORITY:
            self.count_control_frame()
        elif frame.hd.type == NGHTTP2_RST_STREAM:
            self.count_reset()
        return 0

    cdef void end_stream(self, ServerStream stream):
        try:
            stream.on_half_close()
        except Exception as error:
            self.report(error)
            stream.break_off()

    cdef int on_frame_sent(self, const nghttp2_frame *frame) except -1:
        cdef Http2Stream stream
        if frame.hd.type != NGHTTP2_HEADERS or not frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
            return 0
        # The status has left but the client may still be sending: it is told to stop, without an error.
        stream = self.stream(frame.hd.stream_id)
        if stream is not None and nghttp2_session_get_stream_remote_close(self.session, frame.hd.stream_id) == 0:
            nghttp2_submit_rst_stream(self.session, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR)
        return 0

    cdef int on_invalid_frame(self, const nghttp2_frame *frame, int error) except -1:
        self.counters.protocol_errors += 1
        # nghttp2 answers with a reset, which costs us a call as much as the client's own resets do.
        self.count_reset()
        return 0

    # Floods.

    cdef void roll_second(self):
        if self.recv_ns - self.second_ns > SECOND_NS:
            self.second_ns = self.recv_ns
            self.control_frames = 0
            self.resets = 0

    cdef void count_control_frame(self):
        self.roll_second()
        self.control_frames += 1
        if self.control_frames > self.context.control_frames_per_s:
            self.calm("too_many_pings")

    cdef void count_reset(self):
        self.counters.resets += 1
        self.roll_second()
        self.resets += 1
        if self.resets > self.context.resets_per_s:
            self.calm("rapid_reset")

    cdef void calm(self, str reason):
        """End the connection: this client costs more than it may."""
        cdef bytes debug = reason.encode("ascii")
        if self.calmed:
            return
        self.calmed = self.going = True
        self.counters.cut(reason)
        nghttp2_submit_goaway(self.session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(self.session),
                              NGHTTP2_ENHANCE_YOUR_CALM, <const uint8_t *>debug, len(debug))
        nghttp2_session_terminate_session(self.session, NGHTTP2_ENHANCE_YOUR_CALM)
        self.mark()

    # Time.

    cdef void watch_deadline(self, int64_t deadline_ns):
        """Arm the one timer of this connection for the earliest deadline of its calls."""
        if self.next_deadline_ns != 0 and self.next_deadline_ns <= deadline_ns:
            return
        if self.deadline_timer is not None:
            self.deadline_timer.cancel()
        self.next_deadline_ns = deadline_ns
        delay_s = max(deadline_ns - now_ns(), 0) / <double>SECOND_NS
        self.deadline_timer = self.context.loop.call_later(delay_s, self.end_late_calls)

    def end_late_calls(self) -> None:
        """End every call whose deadline has passed, and arm the timer for the next one."""
        cdef ServerStream stream
        cdef int64_t now = now_ns()
        cdef int64_t earliest = 0
        self.deadline_timer = None
        self.next_deadline_ns = 0
        for stream in list(self.streams.values()):
            if stream.deadline_ns == 0 or stream.sink is None:
                continue
            if stream.deadline_ns <= now:
                stream.cut(DEADLINE_EXCEEDED, "the deadline passed before the call ended", "deadline")
            elif earliest == 0 or stream.deadline_ns < earliest:
                earliest = stream.deadline_ns
        if earliest != 0:
            self.watch_deadline(earliest)

    def tick(self) -> None:
        """Look after the connection's time limits; called a few times per shortest limit."""
        cdef int64_t now = now_ns()
        limits = self.context.limits
        if self.session == NULL:
            return
        if self.streams:
            self.idle_ns = now
        reason = self.overdue(now, limits)
        if reason is not None:
            self.counters.cut(reason)
            self.closing = True
            self.transport.abort()
        elif now - self.idle_ns > limits.idle_ns and self.draining_ns == 0:
            self.counters.cut("idle")
            self.drain()
        elif now - max(self.recv_ns, self.ping_ns) > limits.keepalive_ns:
            self.ping_ns = now
            nghttp2_submit_ping(self.session, NGHTTP2_FLAG_NONE, NULL)
            self.mark()
        if self.draining_ns != 0 and now - self.draining_ns > SHUTDOWN_NOTICE_NS:
            self.go_away()

    def overdue(self, int64_t now, limits):
        """Why this connection must end at once, or None."""
        if self.paused and now - self.paused_ns > limits.write_stall_ns:
            return "write_stall"
        if self.closing_ns != 0 and now - self.closing_ns > limits.write_stall_ns:
            return "write_stall"
        if not self.greeted and now - self.made_ns > limits.handshake_ns:
            return "handshake"
        if self.headers_ns != 0 and now - self.headers_ns > limits.handshake_ns:
            return "header_stall"
        if self.ping_ns > self.recv_ns and now - self.ping_ns > limits.keepalive_timeout_ns:
            return "keepalive"
        return None

    # Shutdown.

    def drain(self) -> None:
        """Ask the client to open no more streams; the running ones go on."""
        if self.session != NULL and self.draining_ns == 0:
            self.draining_ns = now_ns()
            nghttp2_submit_shutdown_notice(self.session)
            self.mark()

    def go_away(self) -> None:
        """Refuse streams opened from now on, and close when none is left."""
        if self.session == NULL:
            return
        if not self.going:
            self.going = True
            nghttp2_submit_goaway(self.session, NGHTTP2_FLAG_NONE,
                                  nghttp2_session_get_last_proc_stream_id(self.session), NGHTTP2_NO_ERROR, NULL, 0)
        if not self.streams:
            nghttp2_session_terminate_session(self.session, NGHTTP2_NO_ERROR)
        self.mark()

    def end_calls(self, int status, str text) -> None:
        """End every call of this connection now."""
        cdef ServerStream stream
        for stream in list(self.streams.values()):
            if not stream.deaf:
                stream.cut(status, text, "shutdown")

    def abort(self) -> None:
        """Close the socket at once."""
        if self.transport is not None:
            self.closing = True
            self.transport.abort()
