"""How sessions log on, from the Logon to the last old event, in errands; how many there may be. Judges no order."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from ext import queries, response, settings
from ext.clock import utc_now_ns
from ext.logon import LogonReader
from ext.rpc import Status
from gateway.errands import Errands
from gateway.pb import order_entry_pb2 as pb
from gateway.session_rejects import Refused, reject_elsewhere

MOST_ACCOUNTS = 65_536  # of one session
MOST_SESSIONS = 16_384
MOST_PORT_SESSIONS = 8_192  # of one token
MOST_WAITING_BYTES = 1 << 29  # for slow readers, over all sessions
MOST_TOKEN_BYTES = 1_024
ACCOUNTS_A_STEP = 128
FRAMES_A_STEP = 64  # old events looked at or sent
EARLY_A_STEP = 16  # messages that came before the answer to the Logon
RETRY_S = 0.002  # until the next look at a session whose buffer is full of old events
STUCK_S = 20.0  # without taking any of them: then it is cut
LOGON_WITHIN_S = 10.0  # of the opening of its stream
SWEEP_S = 0.1
SWEPT_AT_ONCE = 64


class Sessions:
    """Everyone who is logged on, and everyone who is not yet."""

    def __init__(self, most: int = MOST_SESSIONS, most_of_port: int = MOST_PORT_SESSIONS) -> None:
        self.most = most
        self.most_of_port = most_of_port
        self.admitted: dict[Any, int] = {}  # session -> port, from the token on
        self.admitted_of: Counter[int] = Counter()  # by port
        self.logged_on: set[Any] = set()
        self.logged_on_of: Counter[int] = Counter()  # by port
        self.strangers: dict[Any, float] = {}  # not logged on -> when it opened its stream, the oldest first
        self.count = 0  # since the start: the newest session's id

    def open(self, session: Any) -> Any:
        """A stream that has yet to log on."""
        self.strangers[session] = asyncio.get_running_loop().time()
        return session

    def admit(self, session: Any, port: int) -> None:
        """Room for one more session of the port. Raises Refused when there is none."""
        for have, most, whose in ((len(self.admitted), self.most, "sessions of this shard"),
                                  (self.admitted_of[port], self.most_of_port, "sessions of this token")):
            if have >= most:
                raise Refused("R1609", whose, str(have + 1), f"at most {most}", Status.RESOURCE_EXHAUSTED)
        self.strangers.pop(session, None)
        self.admitted[session] = port
        self.admitted_of[port] += 1

    def enter(self, session: Any) -> int:
        """An admitted session is logged on; its number."""
        self.logged_on.add(session)
        self.logged_on_of[session.port] += 1
        self.count += 1
        return self.count

    def leave(self, session: Any) -> bool:
        """A stream is over; True when it was logged on."""
        self.strangers.pop(session, None)
        port = self.admitted.pop(session, None)
        if port is not None:
            self.admitted_of[port] -= 1
        if session not in self.logged_on:
            return False
        self.logged_on.discard(session)
        self.logged_on_of[session.port] -= 1
        return True

    def end_late_strangers(self) -> int:
        """End streams that did not log on in time, the oldest first; how many."""
        late_s = asyncio.get_running_loop().time() - LOGON_WITHIN_S
        late: list[Any] = []
        for session, opened_s in self.strangers.items():
            if opened_s > late_s or len(late) == SWEPT_AT_ONCE:
                break
            late.append(session)
        for session in late:
            del self.strangers[session]
            session.end(int(Status.DEADLINE_EXCEEDED), f"no Logon within {LOGON_WITHIN_S:g} s")
        return len(late)


class LogOn:
    """One log-on as an errand: its steps, each short, in the order in which they are done.

    keep_orders: called with the port once its accounts are admitted; refuse: called with (session, Refused).
    """

    def __init__(
        self,
        session: Any,
        octets: bytes,
        recv_ns: int,
        engine: Any,
        sessions: Sessions,
        errands: Errands,
        keep_orders: Callable[[int], None],
        refuse: Callable[[Any, Refused], None],
        log: Callable[..., None],
    ) -> None:
        self.session = session
        self.octets = octets
        self.recv_ns = recv_ns
        self.engine = engine
        self.sessions = sessions
        self.errands = errands
        self.keep_orders = keep_orders
        self.refuse = refuse
        self.log = log
        self.reader: Any = None
        self.reminded = 0
        self.stuck_since_s = 0.0
        self.stage: Callable[[], bool] = self.begin
        session.join()

    def step(self) -> bool:
        """The next little piece; True once the session is live, or refused, or gone."""
        if self.session.ended or self.session.status >= 0:
            return True
        try:
            return self.stage()
        except Refused as refused:
            self.refuse(self.session, refused)
            return True

    def begin(self) -> bool:
        """Whose token it is, and whether there is room."""
        try:
            self.reader = LogonReader(self.octets)
        except ValueError:
            raise Refused("R1605", "message", "undecodable bytes", "a tidegate.v1.ClientMessage",
                          Status.INVALID_ARGUMENT) from None
        self.octets = b""
        token: bytes = self.reader.token
        port = queries.port_of(self.engine, hashlib.sha256(token).digest()) if len(token) <= MOST_TOKEN_BYTES else None
        if port is None:
            self.log("logon_refused", reason="unknown token")
            raise Refused("R1001", "token", "unknown" if token else "empty", "a valid token", Status.UNAUTHENTICATED)
        if not 0 < self.reader.count <= MOST_ACCOUNTS:
            raise Refused("R1605", "accounts", str(self.reader.count), f"1 to {MOST_ACCOUNTS} accounts")
        self.sessions.admit(self.session, port)
        self.session.connect(port)
        self.stage = self.read_accounts
        return False

    def read_accounts(self) -> bool:
        """Some more accounts: allowed, watched, their cursors understood."""
        if not self.reader.step(self.session, self.engine, ACCOUNTS_A_STEP):
            return False
        if self.reader.fault is not None:
            raise Refused(*self.reader.fault)
        if not self.send_elsewhere():
            return True
        port, reader = self.session.port, self.reader
        self.keep_orders(port)
        settings.set_session(self.engine, port, reader.cancel_on_disconnect, reader.grace_ms, self.recv_ns)
        number = self.sessions.enter(self.session)
        head = pb.LogonAck(
            session_id=number,
            time_ns=utc_now_ns(),
            max_orders_per_s=queries.port_settings(self.engine, port)["rate_in_per_s"],
        )
        if not reader.acknowledge(self.session, head.SerializeToString()):
            raise Refused("R1609", "accounts", str(reader.count), "fewer accounts", Status.RESOURCE_EXHAUSTED)
        self.log("logon", session=number, port=port, accounts=reader.count)
        self.stage = self.remind
        return False

    def send_elsewhere(self) -> bool:
        """One reject for each shard where accounts of this Logon live; whether there are others, that live here."""
        away, has_more = self.reader.away, bool(self.session.accounts)
        for left, (redirect, accounts) in enumerate(away.items(), 1 - len(away)):
            reject_elsewhere(self.session, redirect, accounts, "accounts", fatal=left == 0 and not has_more)
        return has_more

    def remind(self) -> bool:
        """Levels that some more of its accounts stand at."""
        some = self.session.accounts[self.reminded : self.reminded + ACCOUNTS_A_STEP]
        response.remind(self.engine, self.session, some, self.recv_ns)
        self.reminded += ACCOUNTS_A_STEP
        if self.reminded >= len(self.session.accounts):
            self.stage = self.hear_early
        return False

    def hear_early(self) -> bool:
        """What it sent without waiting for its LogonAck."""
        if self.session.joined(EARLY_A_STEP):
            self.stage = self.catch_up
        return False

    def catch_up(self) -> bool:
        """Some more old events; while the client takes none, a look now and then."""
        before = self.session.behind
        try:
            if self.session.catch_up(FRAMES_A_STEP):
                return True
        except OverflowError as error:
            raise Refused("R1609", "accounts.last_event_seq", str(error), "newer cursors or fewer accounts",
                          Status.RESOURCE_EXHAUSTED) from None
        loop = asyncio.get_running_loop()
        if not before or not self.session.behind:
            self.stuck_since_s = loop.time()
        if not self.session.behind:
            return False
        if loop.time() - self.stuck_since_s > STUCK_S:
            self.session.cut()
            return True
        loop.call_later(RETRY_S, self.errands.add, self.step)
        return True
