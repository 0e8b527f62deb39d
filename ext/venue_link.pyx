"""Both ends of a connection to an exchange, below the session: framing, numbering, hot messages; no session rule."""

from libc.string cimport memcpy
from ext.buffers cimport Turn
from ext.clock cimport now_ns
from ext.venue cimport REPORT_APPLIED, REPORT_DUPLICATE, REPORT_GAP, ReportSink
from ext.wire cimport FRAME_REPORT, FRAME_SESSION, MAX_FRAME

from ext.wire import fault_name

cdef enum:
    PARTIAL_LIMIT = 1 << 20
    WRITE_HIGH_WATER = 1 << 18


cdef class VenuePeer(VenueOutlet):
    """An asyncio protocol for either end; the same object serves one connection after another.

    wire: the exchange's protocol; limit: most octets waiting for the socket before the peer is cut.
    """

    def __init__(self, Turn turn not None, VenueWire wire not None, size_t limit=1 << 22):
        VenueOutlet.__init__(self, turn, limit)
        self.wire = wire
        self.limit = limit
        self.why = ""

    # ---- asyncio's side

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.out = OutBuf(self.limit)
        self.partial = OutBuf(PARTIAL_LIMIT)
        self.paused = False
        self.paused_ns = 0
        self.why = ""
        self.msg_seq_num = 0
        self.last_recv_ns = self.last_sent_ns = now_ns()
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if self.on_connected is not None:
            self.on_connected()

    def connection_lost(self, exception) -> None:
        self.transport = self.closing = None
        if self.on_closed is not None:
            self.on_closed(self.why or (f"connection lost: {exception}" if exception else "peer closed the connection"))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.paused = True
        self.paused_ns = now_ns()

    def resume_writing(self) -> None:
        self.paused = False
        self.paused_ns = 0
        self.mark()

    def data_received(self, bytes octets) -> None:
        cdef const uint8_t *p = <const uint8_t *><const char *>octets
        cdef size_t size = len(octets)
        cdef ssize_t taken
        if self.transport is None:
            return
        self.last_recv_ns = now_ns()
        if self.partial.size() == 0:
            # The usual case: whole frames, read where they lie.
            taken = self.split(p, size, self.last_recv_ns)
            if taken >= 0 and <size_t>taken < size and not self.partial.write(octets[taken:]):
                self.stop("incomplete frame past the input limit")
            return
        if not self.partial.write(octets):
            self.stop("incomplete frame past the input limit")
            return
        taken = self.split(self.partial.head(), self.partial.size(), self.last_recv_ns)
        if taken > 0:
            self.partial.consume(taken)

    # ---- frames

    cdef ssize_t split(self, const uint8_t *p, size_t size, int64_t now_ns) noexcept:
        """Dispatch every whole frame; octets taken, or -1 when the connection is over."""
        cdef size_t at = 0
        cdef ssize_t frame_size
        while at < size:
            frame_size = self.wire.peek(p + at, size - at)
            # Partial frame.
            if frame_size == 0:
                break
            if frame_size < 0:
                head = (<const char *>p + at)[:min(size - at, 16)].hex()
                self.stop(f"malformed frame: {head}, expected a known type with its length and checksum")
                return -1
            if not self.on_frame(self.wire.kind(p + at), p + at, frame_size, now_ns):
                # Says so only where on_frame itself gave no reason: a callback failed.
                self.stop("a frame could not be dispatched")
                return -1
            at += frame_size
            # What was dispatched may have closed the connection.
            if self.transport is None:
                return -1
        return at

    cdef bint on_frame(self, FrameKind kind, const uint8_t *frame, size_t size, int64_t now_ns) noexcept:
        if kind != FRAME_SESSION:
            self.stop(f"{self.wire.type_of(frame)}: not a message for this end")
            return False
        try:
            msg_type, fields = self.wire.decode_session((<const char *>frame)[:size])
        except ValueError as error:
            self.stop(f"malformed message: {error}")
            return False
        self.on_message(msg_type, fields)
        return True

    # ---- out

    cdef void fill(self) noexcept:
        pass

    cdef bint has_more(self) noexcept:
        return False

    cdef void flush(self) noexcept:
        if self.transport is None:
            return
        if self.out.overflowed:
            self.stop(f"peer reads too slowly: {self.out.size()} octets waiting, limit {self.limit}")
            return
        if self.paused:
            return
        self.fill()
        if self.out.size() == 0:
            return
        self.last_sent_ns = now_ns()
        self.turn.send(self.transport, self.out.take())
        if not self.paused and self.has_more():
            self.mark()

    def send(self, msg_type: int, dict fields not None) -> None:
        """Queue one session message; it leaves at the end of the turn, in order with what was queued around it."""
        if self.transport is None:
            return
        self.msg_seq_num += 1
        self.out.write(self.wire.encode_session(msg_type, fields, self.msg_seq_num))
        self.mark()

    cdef void stop(self, str reason):
        """Close now, unsent octets and all; `on_closed` hears the reason."""
        transport = self.closing if self.transport is None else self.transport
        if transport is None:
            return
        self.why = self.why or reason
        self.transport = self.closing = None
        transport.abort()

    def cut(self, str reason not None) -> None:
        """Close now, dropping what has not been written."""
        self.stop(reason)

    def close(self, str reason not None) -> None:
        """Write what is queued, then close; a peer that does not read it can still be cut."""
        if self.transport is None:
            return
        self.flush()
        if self.transport is not None:
            self.why = reason
            self.closing, self.transport = self.transport, None
            self.turn.close(self.closing)

    @property
    def connected(self) -> bool:
        return self.transport is not None


cdef class VenueLink(VenuePeer):
    """The gateway's end: sends orders and cancels while `ready`, hands every report to `sink`.

    A gap in the reports, or a report that could not be read, cuts the connection: the next one resynchronises.
    """

    def connection_made(self, transport) -> None:
        self.ready = False
        self.asked_ns = 0
        self.last_report_ns = self.last_transact_ns = 0
        VenuePeer.connection_made(self, transport)

    def connection_lost(self, exception) -> None:
        self.set_down()
        VenuePeer.connection_lost(self, exception)

    def data_received(self, bytes octets) -> None:
        self.asked_ns = 0
        VenuePeer.data_received(self, octets)

    cdef int64_t silent_ns(self, int64_t now_ns) noexcept:
        """The longer of two: since an order or cancel left and nothing at all came back; since its socket takes no more."""
        cdef int64_t since_ns = self.asked_ns or now_ns
        if self.paused_ns and self.paused_ns < since_ns:
            since_ns = self.paused_ns
        return now_ns - since_ns

    cdef void set_down(self):
        self.ready = False
        if self.sink is not None:
            self.sink.on_link_down(self.wire.venue)

    cdef void stop(self, str reason):
        self.set_down()
        VenuePeer.stop(self, reason)

    def close(self, str reason not None) -> None:
        self.set_down()
        VenuePeer.close(self, reason)

    cdef void send_new_order(self, const VenueOrder *order) noexcept:
        cdef uint8_t *room
        cdef size_t size = 0
        if self.ready:
            room = self.out.reserve(MAX_FRAME)
            if room != NULL:
                size = self.wire.encode_new_order(room, order, self.msg_seq_num + 1)
        self.commit_frame(size, order.time_ns)

    cdef void send_cancel(self, const VenueCancel *cancel) noexcept:
        cdef uint8_t *room
        cdef size_t size = 0
        if self.ready:
            room = self.out.reserve(MAX_FRAME)
            if room != NULL:
                size = self.wire.encode_cancel(room, cancel, self.msg_seq_num + 1)
        self.commit_frame(size, cancel.time_ns)

    cdef void commit_frame(self, size_t size, int64_t now_ns) noexcept:
        # A full buffer must be noticed at the end of the turn, too.
        if self.transport is not None:
            self.mark()
        if size == 0:
            self.refused += 1
            return
        if self.asked_ns == 0:
            self.asked_ns = now_ns
        self.msg_seq_num += 1
        self.out.commit(size)

    cdef bint on_frame(self, FrameKind kind, const uint8_t *frame, size_t size, int64_t now_ns) noexcept:
        cdef VenueReport report
        cdef ssize_t taken
        cdef int verdict
        if kind != FRAME_REPORT:
            return VenuePeer.on_frame(self, kind, frame, size, now_ns)
        taken = self.wire.decode_report(frame, size, &report)
        if taken < 0:
            self.stop(f"unreadable report {self.wire.type_of(frame)}: {fault_name(taken)} out of range")
            return False
        self.reports += 1
        self.last_report_ns = now_ns
        self.last_transact_ns = report.time_ns
        verdict = self.sink.on_report(self.wire.venue, &report, now_ns)
        if verdict == REPORT_APPLIED:
            return True
        if verdict == REPORT_DUPLICATE:
            self.duplicates += 1
            return True
        trouble = "gap in the reports" if verdict == REPORT_GAP else "report not applied"
        self.stop(f"{trouble}: partition {report.partition}, index {report.report_index}")
        return False
