"""The whole client as a machine without input or output: sessions to every shard, requests until answered, events
exactly once.

Inputs are method calls with the time in nanoseconds (any clock that only goes forward); what is to be done comes out of
take(). Two clients fed with the same inputs and the same random numbers are the same.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.client.errors import ClientError, Full, InDoubt, NotSent, Refused
from gateway.client.requests import CANCEL_PENDING, DONE, MOVED, NOT_OPEN, Answer, Key, Request
from gateway.client.session_state import Close, Open, Patience, Phase, Send, SessionState, pause_ns
from gateway.pb import order_entry_pb2 as pb


@dataclass(frozen=True)
class Event:
    """The next event of an account, in sequence."""

    message: pb.ExecutionReport | pb.CancelReject


@dataclass(frozen=True)
class Answered:
    request: Request
    answer: Answer


@dataclass(frozen=True)
class Failed:
    """The request ends without an answer."""

    request: Request
    error: ClientError


@dataclass(frozen=True)
class Notice:
    message: pb.RiskNotice


@dataclass(frozen=True)
class Broken:
    """The client cannot go on."""

    error: ClientError


Output = Open | Close | Send | Event | Answered | Failed | Notice | Broken


@dataclass(eq=False)
class AccountState:
    """seq: the newest event delivered. newest: what the gateway said at the newest logon. doubted: orders that ended in
    doubt: the same one asked again is in doubt from its start."""

    name: str
    seq: int
    session: SessionState
    newest: int = 0
    requests: dict[Key, Request] = field(default_factory=dict)
    doubted: set[Key] = field(default_factory=set)

    def doubt(self) -> None:
        """The stream is gone: what was sent and not answered may or may not have arrived."""
        for request in self.requests.values():
            request.in_doubt = request.in_doubt or (request.sends > 0 and request.last_refusal is None)


class ClientState:
    """accounts: of one token, with the last event that was seen of each (0: none of today). seeds: host:port of some
    shards."""

    def __init__(
        self,
        seeds: list[str],
        token: str,
        accounts: dict[str, int],
        random: Callable[[], float],
        *,
        patience: Patience | None = None,
        grace_ms: int | None = None,
        most_unanswered: int = 10_000,
        most_orders: int = 200_000,
    ) -> None:
        self.seeds = seeds
        self.token = token
        self.random = random
        self.patience = patience or Patience()
        self.grace_ms = grace_ms
        self.most_unanswered = most_unanswered
        self.most_orders = most_orders
        self.outputs: list[Output] = []
        self.streams = 0
        self.known: list[str] = []  # addresses from the topology
        self.error: ClientError | None = None
        first = SessionState(self, seeds[0], set(accounts), self.patience, random)
        self.sessions = [first]
        self.accounts = {name: AccountState(name, seq, first) for name, seq in accounts.items()}
        self.orders: OrderedDict[tuple[str, str], pb.ExecutionReport] = OrderedDict()
        self.cancels: dict[tuple[str, str], list[Request]] = {}
        self.unanswered = 0
        self.times: list[tuple[int, int, Request]] = []  # when a request has its deadline or next try
        self.timed = 0

    # inputs

    def on_open(self, stream: int, now_ns: int) -> None:
        session = self.session_of(stream)
        if session is not None:
            session.on_open(now_ns)

    def on_message(self, stream: int, message: pb.ServerMessage, now_ns: int) -> None:
        session = self.session_of(stream)
        if session is not None:
            session.on_message(message, now_ns)

    def on_closed(self, stream: int, status: str, text: str, now_ns: int) -> None:
        session = self.session_of(stream)
        if session is not None:
            session.on_closed(status, text, now_ns)

    def on_time(self, now_ns: int) -> None:
        for session in list(self.sessions):
            session.on_time(now_ns)
        while self.times and self.times[0][0] <= now_ns:
            _, _, request = heapq.heappop(self.times)
            if request.is_over:
                continue
            if now_ns >= request.deadline_ns:
                self.give_up(request)
            elif request.retry_ns and now_ns >= request.retry_ns:
                request.retry_ns = 0
                self.send(request, now_ns)

    def on_topology(self, addresses: Iterable[str]) -> None:
        """Where shards and their standbys are served, as the control service knows it."""
        self.known = [address for address in addresses if address]

    def ask(self, request: Request, now_ns: int) -> None:
        """A new request; what comes of it is one Answered or Failed. Raises Full, or what broke the client."""
        if self.error is not None:
            raise self.error
        if self.unanswered >= self.most_unanswered:
            raise Full(f"{self.unanswered} requests wait for their answers, the most this client was made for")
        account = self.accounts.get(request.account)
        if account is None:
            raise Refused("R1001", f"account: got {request.account!r}, expected one of this client's")
        if request.key in account.requests:
            raise Refused("R1201", f"cl_ord_id: got {request.key[1]!r}, expected one that does not wait for its answer")
        # An order that may be there already: a refusal of this repetition would say nothing about it.
        is_known = (request.account, request.key[1]) in self.orders
        request.in_doubt = request.key[0] == "new_order" and (is_known or request.key in account.doubted)
        account.requests[request.key] = request
        self.unanswered += 1
        if request.orig_cl_ord_id:
            self.cancels.setdefault((request.account, request.orig_cl_ord_id), []).append(request)
        self.wake(request, request.deadline_ns)
        self.send(request, now_ns)

    def forget(self, request: Request) -> None:
        """Nobody waits for it any more."""
        if self.accounts[request.account].requests.get(request.key) is request:
            self.finish(request)

    def next_ns(self) -> int | None:
        """When on_time has something to do next."""
        times = [due for session in self.sessions if (due := session.next_ns()) is not None]
        while self.times and self.times[0][2].is_over:
            heapq.heappop(self.times)
        return min([*times, self.times[0][0]] if self.times else times, default=None)

    def take(self) -> list[Output]:
        """What is to be done, in order."""
        outputs, self.outputs = self.outputs, []
        return outputs

    @property
    def is_ready(self) -> bool:
        return all(account.session.is_live for account in self.accounts.values())

    # what sessions ask and tell

    def put(self, output: Output) -> None:
        self.outputs.append(output)

    def next_stream(self) -> int:
        self.streams += 1
        return self.streams

    def session_of(self, stream: int) -> SessionState | None:
        return next((session for session in self.sessions if stream and session.stream == stream), None)

    def logon_of(self, session: SessionState) -> pb.Logon:
        cursors = [
            pb.AccountCursor(account=name, last_event_seq=self.accounts[name].seq) for name in sorted(session.accounts)
        ]
        choice = pb.CancelOnDisconnect(enabled=self.grace_ms is not None, grace_ms=self.grace_ms or 0)
        return pb.Logon(token=self.token, accounts=cursors, cancel_on_disconnect=choice)

    def candidates(self, session: SessionState) -> list[str]:
        return list(dict.fromkeys([*self.known, *self.seeds, *(other.home for other in self.sessions)]))

    def on_live(self, session: SessionState, ack: pb.LogonAck, now_ns: int) -> None:
        """Requests without an answer go out, in the order they were asked."""
        for cursor in ack.accounts:
            account = self.accounts.get(cursor.account)
            if account is None or account.session is not session:
                continue
            account.newest = cursor.last_event_seq
            for request in list(account.requests.values()):
                self.send(request, now_ns)

    def on_lost(self, session: SessionState, now_ns: int) -> None:
        for name in session.accounts:
            self.accounts[name].doubt()

    def on_away(self, session: SessionState, accounts: list[str], redirect: str, now_ns: int) -> None:
        """Some accounts live at another shard: they get a session of their own there, or join one that is not live
        yet."""
        names = {name for name in accounts if name in session.accounts}
        if not names:
            return
        session.accounts -= names
        resting = (one for one in self.sessions if one is not session and one.phase is Phase.RESTING)
        joined = next((one for one in resting if one.home == redirect), None)
        if joined is None:
            joined = SessionState(self, redirect or session.home, set(), self.patience, self.random)
            joined.hops, joined.wake_ns = session.hops + 1, now_ns
            self.sessions.append(joined)
            if not redirect:
                joined.retry(now_ns + self.patience.heartbeat_ns)
        joined.accounts |= names
        for name in names:
            self.accounts[name].doubt()
            self.accounts[name].session = joined
        if not session.accounts:
            session.stop()
            self.sessions.remove(session)
        joined.on_time(now_ns)

    def on_denied(self, session: SessionState, code: str, text: str) -> None:
        """No shard will have this client: everything ends."""
        self.break_off(Refused(code, text))

    def break_off(self, error: ClientError) -> None:
        if self.error is not None:
            return
        self.error = error
        for session in self.sessions:
            session.stop()
        for account in self.accounts.values():
            for request in list(account.requests.values()):
                self.fail(request, error)
        self.put(Broken(error))

    # messages

    def on_answer(self, session: SessionState, message: pb.ServerMessage, now_ns: int) -> None:
        kind = message.WhichOneof("message")
        if kind == "execution_report":
            self.on_report(session, message.execution_report, now_ns)
        elif kind == "cancel_reject":
            self.on_cancel_reject(session, message.cancel_reject, now_ns)
        elif kind == "mass_cancel_report":
            report = message.mass_cancel_report
            self.on_refusable(session, ("mass_cancel", report.cl_ord_id), report, now_ns)
        elif kind == "risk_notice":
            self.put(Notice(message.risk_notice))

    def on_report(self, session: SessionState, report: pb.ExecutionReport, now_ns: int) -> None:
        account = self.accounts.get(report.account)
        if account is None:
            return
        key = ("new_order", report.cl_ord_id)
        if report.event_seq == 0:
            self.on_refusable(session, key, report, now_ns)
            return
        if not self.deliver(session, account, report, now_ns):
            return
        self.keep(report)
        request = account.requests.get(key)
        if request is not None and request.sends and report.event_seq > request.floor and request.is_about(report):
            self.answer(request, report)

    def on_cancel_reject(self, session: SessionState, reject: pb.CancelReject, now_ns: int) -> None:
        account = self.accounts.get(reject.account)
        if account is not None and reject.event_seq and not self.deliver(session, account, reject, now_ns):
            return
        self.on_refusable(session, ("cancel_order", reject.cl_ord_id), reject, now_ns)

    def deliver(
        self, session: SessionState, account: AccountState, event: pb.ExecutionReport | pb.CancelReject, now_ns: int
    ) -> bool:
        """The account's next event to the caller; False when it was there before, or others are missing before it."""
        if event.event_seq == account.seq + 1:
            account.seq += 1
            self.put(Event(event))
            return True
        if event.event_seq > account.seq and account.session is session:
            session.retry(now_ns)
        return False

    def on_refusable(self, session: SessionState, key: Key, answer: Answer, now_ns: int) -> None:
        """What is no event: the order's state, a refusal, the outcome of a mass cancel."""
        account = self.accounts.get(answer.account)
        if account is None:
            return
        request = account.requests.get(key)
        if answer.reject_code in MOVED and answer.redirect:
            self.on_away(session, [account.name], answer.redirect, now_ns)
        if request is None or not request.sends:
            return
        is_state = isinstance(answer, pb.ExecutionReport) and answer.order_id != 0
        if is_state and not request.is_about(answer):
            return  # it answers a message before this one, that nobody waits for any more
        if not is_state and request.must_repeat(answer.reject_code):
            self.repeat(request, answer, now_ns)
        elif request.sends > 1 and self.is_under_way(request, answer.reject_code):
            return
        else:
            self.answer(request, answer)

    def is_under_way(self, request: Request, code: str) -> bool:
        """Whether a refusal only says that a cancel sent before has arrived; what it came to is still to be told."""
        if not request.orig_cl_ord_id:
            return False
        report = self.orders.get((request.account, request.orig_cl_ord_id))
        is_open = report is not None and report.ord_status not in DONE
        return code == CANCEL_PENDING or (code == NOT_OPEN and is_open)

    # requests

    def send(self, request: Request, now_ns: int) -> None:
        """Send it when its shard listens and its pause is over."""
        account = self.accounts[request.account]
        session = account.session
        if not session.is_live or request.retry_ns > now_ns:
            return
        if not request.sends:
            request.floor = max(account.seq, account.newest)
        request.sends += 1
        request.retry_ns, request.last_refusal = 0, None
        session.send(request.message)

    def repeat(self, request: Request, refusal: Answer, now_ns: int) -> None:
        """Send it once more, a little later."""
        request.last_refusal = refusal
        request.tries += 1
        request.retry_ns = now_ns + max(pause_ns(request.tries, self.random), 1)
        self.wake(request, request.retry_ns)

    def wake(self, request: Request, at_ns: int) -> None:
        self.timed += 1
        heapq.heappush(self.times, (at_ns, self.timed, request))

    def keep(self, report: pb.ExecutionReport) -> None:
        """The newest of each order; and whoever wants it cancelled has his answer when it is over."""
        name = (report.account, report.cl_ord_id)
        self.orders[name] = report
        while len(self.orders) > self.most_orders:
            self.orders.popitem(last=False)
        if report.ord_status in DONE:
            for request in list(self.cancels.get(name, ())):
                self.answer(request, report)

    def answer(self, request: Request, answer: Answer) -> None:
        self.finish(request)
        self.accounts[request.account].doubted.discard(request.key)
        self.put(Answered(request, answer))

    def give_up(self, request: Request) -> None:
        """Its deadline is over: with the newest refusal, where that is the whole truth."""
        what = f"{request.key[0]} {request.key[1]!r} of account {request.account}"
        if request.last_refusal is not None and not request.in_doubt:
            self.answer(request, request.last_refusal)
        elif not request.sends and not request.in_doubt:
            self.fail(request, NotSent(f"{what}: no shard was there to take it"))
        else:
            self.fail(request, InDoubt(f"{what}: sent, and not answered in time"))

    def fail(self, request: Request, error: ClientError) -> None:
        self.finish(request)
        self.put(Failed(request, error))

    def finish(self, request: Request) -> None:
        account = self.accounts[request.account]
        request.is_over = True
        self.unanswered -= 1
        del account.requests[request.key]
        if request.key[0] == "new_order" and (request.in_doubt or request.sends):
            account.doubted.add(request.key)
        name = (request.account, request.orig_cl_ord_id)
        if request in self.cancels.get(name, ()):
            self.cancels[name].remove(request)
            if not self.cancels[name]:
                del self.cancels[name]
