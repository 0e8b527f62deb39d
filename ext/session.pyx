"""Streams and unary calls of front ends: hot messages straight to the engine, everything else to the shell.

A session that names the last events it saw is first given the rest from the journal, then live ones, without gap or repeat.
"""

from ext.clock cimport now_ns as clock_ns
from ext.codec cimport (
    KIND_CANCEL_ORDER, KIND_MALFORMED, KIND_NEW_ORDER, MOST_REPORT_SIZE, CancelOrder, NewOrder, Text, decode_cancel_order,
    decode_client_message, decode_new_order,
)
from ext.events cimport Frame
from ext.reports cimport encode_event
from ext.rpc cimport INVALID_ARGUMENT, OK, RESOURCE_EXHAUSTED
from ext.state cimport NONE


cdef class Stages:
    """Latency histograms of one shard's order path."""

    def __init__(self):
        self.decided = Histogram()


cdef class Session(Caller):
    """One OrderEntry.Session stream.

    shell: object with on_cold(session, message: bytes, recv_ns), on_malformed(session) and on_end(session); it logs the
    session on (log_on) and answers the cold messages.
    """

    def __init__(self, turn, Engine engine, Stages stages, shell, size_t limit=1 << 22):
        Caller.__init__(self, turn, limit)
        self.engine = engine
        self.stages = stages
        self.shell = shell
        self.accounts = []
        self.backlog = []
        self.cursors = {}

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef Text body
        cdef NewOrder order
        cdef CancelOrder cancel
        cdef int kind = decode_client_message(message, size, &body)
        if self.slot == NONE or kind not in (KIND_NEW_ORDER, KIND_CANCEL_ORDER, KIND_MALFORMED):
            self.shell.on_cold(self, (<const char *>message)[:size], recv_ns)
        elif kind == KIND_NEW_ORDER and decode_new_order(body.at, body.size, &order):
            self.engine.on_new_order(self, &order, recv_ns)
            self.stages.decided.record(clock_ns() - recv_ns)
        elif kind == KIND_CANCEL_ORDER and decode_cancel_order(body.at, body.size, &cancel):
            self.engine.on_cancel(self, &cancel, recv_ns)
            self.stages.decided.record(clock_ns() - recv_ns)
        else:
            self.shell.on_malformed(self)

    cdef void on_half_close(self) except *:
        self.finish(OK, "")

    cdef void on_closed(self) except *:
        if not self.ended:
            self.ended = True
            self.shell.on_end(self)

    def order(self, bytes new_order, int64_t recv_ns) -> None:
        """One NewOrder that reached the cold path (an unusual but valid encoding)."""
        cdef NewOrder order
        if decode_new_order(<const uint8_t *>new_order, len(new_order), &order):
            self.engine.on_new_order(self, &order, recv_ns)

    def cancel(self, bytes cancel_order, int64_t recv_ns) -> None:
        """One CancelOrder that reached the cold path."""
        cdef CancelOrder cancel
        if decode_cancel_order(<const uint8_t *>cancel_order, len(cancel_order), &cancel):
            self.engine.on_cancel(self, &cancel, recv_ns)

    def log_on(self, uint32_t port, dict cursors) -> None:
        """Watch these accounts from the last event sequence each has seen: {account index: event_seq}."""
        self.engine.audience.connect(self, port)
        self.accounts = list(cursors)
        self.cursors = dict(cursors)
        self.catching_up = True
        for account in self.accounts:
            self.engine.audience.watch(self, account)

    def log_off(self) -> None:
        """Stop watching."""
        if self.slot != NONE:
            self.engine.audience.disconnect(self, self.accounts)
            self.accounts = []

    def catch_up(self) -> bool:
        """Put old events into the stream while it has room for them; True once the session is live."""
        cdef uint64_t offset
        cdef const Frame *frame
        cdef uint8_t *room
        if not self.catching_up or self.ended:
            return True
        while self.out.size() < self.out.limit // 2:
            if not self.backlog and not self.find_backlog():
                self.catching_up = False
                self.cursors = {}
                return True
            offset = self.backlog.pop()
            frame = self.engine.journal.at(offset)
            room = self.begin_message(MOST_REPORT_SIZE)
            if room == NULL:
                return False
            self.end_message(encode_event(room, self.engine.state, self.engine.journal, frame, True))
        return False

    cdef bint find_backlog(self):
        """Offsets of every event past the cursors, newest first, and the cursors moved to the newest."""
        cdef uint64_t offset
        cdef uint32_t account
        cdef const Frame *frame
        offsets = []
        for account, seen in self.cursors.items():
            offset = self.engine.state.accounts[account].last_offset
            newest = self.engine.state.accounts[account].event_seq
            while offset:
                frame = self.engine.journal.at(offset)
                if frame.event_seq <= seen:
                    break
                offsets.append(offset)
                offset = frame.prev_offset
            self.cursors[account] = newest
        # The journal's order is the order in which it happened, across accounts.
        offsets.sort(reverse=True)
        self.backlog = offsets
        return bool(offsets)


cdef class UnaryOrder(Caller):
    """One Submit or Cancel call: one message, one answer."""

    def __init__(self, turn, Engine engine, Stages stages, uint32_t port, bint is_cancel):
        Caller.__init__(self, turn, 1 << 16)
        self.engine = engine
        self.stages = stages
        self.port = port
        self.is_cancel = is_cancel

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef NewOrder order
        cdef CancelOrder cancel
        if self.is_cancel and decode_cancel_order(message, size, &cancel):
            self.engine.on_cancel(self, &cancel, recv_ns)
        elif not self.is_cancel and decode_new_order(message, size, &order):
            self.engine.on_new_order(self, &order, recv_ns)
        else:
            self.finish(INVALID_ARGUMENT, "the request is not a valid protobuf message of this method")
            return
        self.stages.decided.record(clock_ns() - recv_ns)
        self.finish(RESOURCE_EXHAUSTED if self.throttled else OK, "R1203 RATE_IN: this token's rate is used up" if self.throttled else "")

    cdef void on_half_close(self) except *:
        pass
