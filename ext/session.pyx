"""Streams and unary calls of front ends: hot messages straight to the engine, everything else to the shell.

A session that names the last events it saw is first given the rest from the journal, then live ones, without gap or repeat.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ext.backlog cimport Backlog
from ext.clock cimport now_ns as clock_ns
from ext.codec cimport (
    KIND_CANCEL_ORDER, KIND_MALFORMED, KIND_NEW_ORDER, MOST_REPORT_SIZE, CancelOrder, NewOrder, Text, decode_cancel_order,
    decode_client_message, decode_new_order,
)
from ext.codes cimport XSHG
from ext.orders cimport find_order
from ext.reports cimport Refusal, encode_event
from ext.rpc cimport INVALID_ARGUMENT, OK, RESOURCE_EXHAUSTED
from ext.shedding cimport SHED_NOTHING, Load
from ext.state cimport NONE
from ext.venue cimport VenueOutlet

cdef enum:
    MOST_EARLY = 65536                 # octets of what a client sends before its LogonAck came
    EVERYTHING = 0x7FFFFFFF


cdef bint is_known(Engine engine, const NewOrder *order) noexcept:
    """Whether the account's cl_ord_id is taken: then this is a repetition, and no new order."""
    cdef uint32_t account = engine.state.find_account(order.account.at, order.account.size)
    return account != NONE and find_order(engine.state, engine.journal, account, order.cl_ord_id.at, order.cl_ord_id.size) != 0


cdef class Stages:
    """One shard's order path: what may be taken on, and how long it took.

    shedder: None sheds nothing.
    """

    def __init__(self, Shedder shedder=None):
        self.decided = Histogram()
        self.shedder = shedder if shedder is not None else Shedder()

    cdef void decide(self, Engine engine, Caller caller, const NewOrder *order, int64_t recv_ns) noexcept:
        """One new order: to the engine, or shed."""
        cdef Refusal refusal
        cdef VenueOutlet link = engine.xshg if order.security_exchange == XSHG else engine.xshe
        # As of the order before: a clock reading saved, and on an idle shard no order has waited.
        cdef Load load = Load(self.last_ns - recv_ns, self.shedder.held_bytes, 0, 0)
        if link is not None:
            load.venue_bytes = link.out.size()
            load.venue_silent_ns = link.silent_ns(recv_ns)
        if self.shedder.sheds(&load, &refusal) != SHED_NOTHING and not is_known(engine, order):
            engine.refuse(caller, order, &refusal, recv_ns)
        else:
            engine.on_new_order(caller, order, recv_ns)
        self.last_ns = clock_ns()
        self.decided.record(self.last_ns - recv_ns)

    cdef void cancel(self, Engine engine, Caller caller, const CancelOrder *order, int64_t recv_ns) noexcept:
        """One cancel: to the engine, whatever else waits."""
        engine.on_cancel(caller, order, recv_ns)
        self.last_ns = clock_ns()
        self.decided.record(self.last_ns - recv_ns)


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
        self.early = []

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef Text body
        cdef NewOrder order
        cdef CancelOrder cancel
        cdef int kind
        if self.joining:
            self.put_off(message, size, recv_ns)
            return
        kind = decode_client_message(message, size, &body)
        if self.slot == NONE or kind not in (KIND_NEW_ORDER, KIND_CANCEL_ORDER, KIND_MALFORMED):
            self.shell.on_cold(self, (<const char *>message)[:size], recv_ns)
        elif kind == KIND_NEW_ORDER and decode_new_order(body.at, body.size, &order):
            self.stages.decide(self.engine, self, &order, recv_ns)
        elif kind == KIND_CANCEL_ORDER and decode_cancel_order(body.at, body.size, &cancel):
            self.stages.cancel(self.engine, self, &cancel, recv_ns)
        else:
            self.shell.on_malformed(self)

    cdef void on_half_close(self) except *:
        self.half_closed = True
        if not self.joining:
            self.finish(OK, "")

    cdef void on_closed(self) except *:
        if not self.ended:
            self.ended = True
            self.shell.on_end(self)

    def order(self, bytes new_order, int64_t recv_ns) -> None:
        """One NewOrder that reached the cold path (an unusual but valid encoding)."""
        cdef NewOrder order
        if decode_new_order(<const uint8_t *>new_order, len(new_order), &order):
            self.stages.decide(self.engine, self, &order, recv_ns)

    def cancel(self, bytes cancel_order, int64_t recv_ns) -> None:
        """One CancelOrder that reached the cold path."""
        cdef CancelOrder cancel
        if decode_cancel_order(<const uint8_t *>cancel_order, len(cancel_order), &cancel):
            self.stages.cancel(self.engine, self, &cancel, recv_ns)

    # Logging on

    def join(self) -> None:
        """Its Logon is being read: messages wait until `joined`."""
        self.joining = True

    cdef void put_off(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.early_size += size
        if self.early_size > MOST_EARLY:
            self.finish(RESOURCE_EXHAUSTED, f"{MOST_EARLY} octets came before the answer to the Logon")
            return
        self.early.append(((<const char *>message)[:size], recv_ns))

    def joined(self, int most=EVERYTHING) -> bool:
        """Take what came meanwhile, at most so many messages; True once nothing waits."""
        cdef bytes message
        self.joining = False
        taken, self.early = self.early[:most], self.early[most:]
        for message, recv_ns in taken:
            if not self.ended and self.status < 0:
                self.on_message(<const uint8_t *>message, len(message), recv_ns)
        self.joining = bool(self.early)
        if self.joining:
            return False
        self.early_size = 0
        if self.half_closed:
            self.finish(OK, "")
        return True

    def connect(self, uint32_t port) -> None:
        """A session of this port, without any account yet. Nothing live reaches it before its backlog has."""
        self.engine.audience.connect(self, port)
        self.catching_up = True
        self.backlog = Backlog(self.engine.journal, self.engine.audience.room)

    def watch(self, uint32_t account, uint64_t seen) -> bool:
        """Watch one account past the event sequence last seen; False when nobody more can watch it."""
        if not self.engine.audience.watch(self, account):
            return False
        self.accounts.append(account)
        return self.backlog.add_chain(seen, self.engine.state.accounts[account].last_offset)

    def log_on(self, uint32_t port, dict cursors) -> None:
        """Watch these accounts at once: {account index: event_seq last seen}."""
        self.connect(port)
        for account, seen in cursors.items():
            self.watch(account, seen)

    def log_off(self, int most=EVERYTHING) -> bool:
        """Stop watching, at most so many accounts in one call; True once it watches none and has no slot."""
        if self.slot == NONE:
            return True
        self.catching_up = True
        self.backlog = None
        leaving = self.accounts[-most:]
        del self.accounts[-most:]
        for account in leaving:
            self.engine.audience.unwatch(self, account)
        if self.accounts:
            return False
        self.engine.audience.disconnect(self, [])
        return True

    # The past

    @property
    def behind(self) -> bool:
        """It has yet to hear of old events, and the buffer is too full for more of them."""
        return self.catching_up and self.out.size() >= self.out.limit // 2

    def catch_up(self, int most=EVERYTHING) -> bool:
        """Put old events into the stream while it has room, in at most so many steps; True once the session is live.

        Raises OverflowError when more is missing than a session may be given.
        """
        cdef uint64_t offset
        if not self.catching_up or self.ended or self.backlog is None:
            return True
        while not self.backlog.walk(min(most, 64)) and most > 64:
            most -= 64
        if self.backlog.overflowed:
            raise OverflowError(f"{self.backlog.count} events are missing")
        if self.backlog.chain_count:
            return False
        while self.out.size() < self.out.limit // 2 and most > 0:
            most -= 1
            offset = self.backlog.take()
            if offset == 0:
                self.catching_up = False
                self.backlog = None
                return True
            if not self.resend(offset):
                return False
        return False

    cdef bint resend(self, uint64_t offset) noexcept:
        cdef uint8_t *room = self.begin_message(MOST_REPORT_SIZE)
        if room == NULL:
            return False
        self.end_message(encode_event(room, self.engine.state, self.engine.journal, self.engine.journal.at(offset), True))
        return True


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
            self.stages.cancel(self.engine, self, &cancel, recv_ns)
        elif not self.is_cancel and decode_new_order(message, size, &order):
            self.stages.decide(self.engine, self, &order, recv_ns)
        else:
            self.finish(INVALID_ARGUMENT, "the request is not a valid protobuf message of this method")
            return
        self.finish(RESOURCE_EXHAUSTED if self.throttled else OK, "R1203 RATE_IN: this token's rate is used up" if self.throttled else "")

    cdef void on_half_close(self) except *:
        pass
