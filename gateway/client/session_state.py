"""One stream to one shard as a machine without input or output: when to open it, log on, ask for life, give up, try
elsewhere.

It reads no clock, opens nothing and draws no random number by itself: times are arguments in nanoseconds, and whoever
drives it performs its outputs. What the messages mean for orders and events is the owner's part (client_state.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.pb import order_entry_pb2 as pb

MS = 1_000_000
FIRST_PAUSE_NS = 5 * MS
MOST_PAUSE_NS = 1000 * MS
FREE_HOPS = 3  # redirects in a row that are followed at once; from then on each waits like a failure
PERMANENT = {"UNAUTHENTICATED", "INVALID_ARGUMENT", "UNIMPLEMENTED"}  # statuses that no other try will change
WRONG_SHARD, MOVING, NOT_OWNER = "R1610", "R1611", "R1614"
PASSING = {MOVING, NOT_OWNER, "R1608", "R1609", "R1203"}  # of a logon: worth another try


@dataclass(frozen=True)
class Open:
    """Open a Session stream at host:port; tell the machine on_open, on_message and on_closed of it, by its number."""

    stream: int
    address: str


@dataclass(frozen=True)
class Close:
    """Drop the stream; nothing it still says counts."""

    stream: int


@dataclass(frozen=True)
class Send:
    """Send this on the stream; one that broke meanwhile swallows it."""

    stream: int
    message: pb.ClientMessage


class Phase(Enum):
    RESTING = "resting"  # until wake_ns, then it opens
    OPENING = "opening"
    LOGGING_ON = "logging on"
    LIVE = "live"
    OVER = "over"


@dataclass(frozen=True)
class Patience:
    """How long what may take, in nanoseconds."""

    logon_ns: int = 2000 * MS  # from opening the stream to LogonAck
    heartbeat_ns: int = 500 * MS  # of silence, until the gateway is asked for life
    silence_ns: int = 2000 * MS  # until the stream is given up
    steady_ns: int = 1000 * MS  # live for so long: its next end is a first failure again


class Owner(Protocol):
    """Whose session it is."""

    def next_stream(self) -> int: ...
    def put(self, output: Open | Close | Send) -> None: ...
    def logon_of(self, session: "SessionState") -> pb.Logon: ...
    def candidates(self, session: "SessionState") -> list[str]: ...
    def on_live(self, session: "SessionState", ack: pb.LogonAck, now_ns: int) -> None: ...
    def on_lost(self, session: "SessionState", now_ns: int) -> None: ...
    def on_away(self, session: "SessionState", accounts: list[str], redirect: str, now_ns: int) -> None: ...
    def on_denied(self, session: "SessionState", code: str, text: str) -> None: ...
    def on_answer(self, session: "SessionState", message: pb.ServerMessage, now_ns: int) -> None: ...


def pause_ns(failures: int, random: Callable[[], float]) -> int:
    """How long to wait after so many failures in a row: none after the first, then 5, 10, 20 ms ... 1 s, each times 0.5
    to 1."""
    if failures <= 1:
        return 0
    whole = min(FIRST_PAUSE_NS << min(failures - 2, 10), MOST_PAUSE_NS)
    return int(whole * (0.5 + random() / 2))


class SessionState:
    """The accounts that live at one shard, and the stream to it. home: host:port where they were last known to live."""

    def __init__(
        self, owner: Owner, home: str, accounts: set[str], patience: Patience, random: Callable[[], float]
    ) -> None:
        self.owner = owner
        self.home = home
        self.accounts = accounts
        self.patience = patience
        self.random = random
        self.phase = Phase.RESTING
        self.stream = 0
        self.address = ""
        self.wake_ns = 0
        self.failures = 0
        self.tries = 0
        self.hops = 0
        self.live_ns = 0
        self.heard_ns = 0
        self.asked_ns = 0

    @property
    def is_live(self) -> bool:
        return self.phase is Phase.LIVE

    def next_ns(self) -> int | None:
        """When on_time has something to do next."""
        if self.phase is Phase.RESTING:
            return self.wake_ns
        if self.phase in (Phase.OPENING, Phase.LOGGING_ON):
            return self.heard_ns + self.patience.logon_ns
        if self.phase is Phase.LIVE:
            return self.heard_ns + (self.patience.silence_ns if self.asked_ns else self.patience.heartbeat_ns)
        return None

    # inputs

    def on_time(self, now_ns: int) -> None:
        due_ns = self.next_ns()
        if due_ns is None or now_ns < due_ns:
            return
        if self.phase is Phase.RESTING:
            self.open(now_ns)
        elif self.phase is Phase.LIVE and not self.asked_ns:
            self.asked_ns = now_ns
            self.send(pb.ClientMessage(heartbeat=pb.Heartbeat(time_ns=now_ns)))
        else:
            self.retry(now_ns)

    def on_open(self, now_ns: int) -> None:
        """The stream is there: log on."""
        if self.phase is Phase.OPENING:
            self.phase = Phase.LOGGING_ON
            self.heard_ns = now_ns
            self.send(pb.ClientMessage(logon=self.owner.logon_of(self)))

    def on_message(self, message: pb.ServerMessage, now_ns: int) -> None:
        self.heard_ns, self.asked_ns = now_ns, 0
        kind = message.WhichOneof("message")
        if kind == "logon_ack" and self.phase is Phase.LOGGING_ON:
            self.phase, self.home, self.live_ns, self.hops = Phase.LIVE, self.address, now_ns, 0
            self.owner.on_live(self, message.logon_ack, now_ns)
        elif kind == "session_reject":
            self.on_reject(message.session_reject, now_ns)
        elif self.phase is Phase.LIVE and kind != "heartbeat":
            self.owner.on_answer(self, message, now_ns)

    def on_reject(self, reject: pb.SessionReject, now_ns: int) -> None:
        """Accounts that live elsewhere, a shard that is served elsewhere, or no way in at all."""
        code = reject.reject_code
        if code == WRONG_SHARD and not reject.fatal:
            self.owner.on_away(self, list(reject.accounts), reject.redirect, now_ns)
        elif not reject.fatal:
            return
        elif code == WRONG_SHARD or (code == NOT_OWNER and reject.redirect):
            self.follow(reject.redirect, now_ns)
        elif code in PASSING:
            self.retry(now_ns)
        else:
            self.stop()
            self.owner.on_denied(self, code, reject.text)

    def on_closed(self, status: str, text: str, now_ns: int) -> None:
        """The stream is over. status: name of its gRPC status."""
        if status in PERMANENT:
            self.stop(is_open=False)
            self.owner.on_denied(self, "", f"{status}: {text}")
        else:
            self.retry(now_ns, is_open=False)

    # steps

    def open(self, now_ns: int) -> None:
        """One try: at home, and every other time where else its shard might be told of."""
        others = [address for address in self.owner.candidates(self) if address != self.home]
        elsewhere = self.tries % 2 == 1 and others
        self.address = others[self.tries // 2 % len(others)] if elsewhere else self.home
        self.tries += 1
        self.phase, self.heard_ns, self.asked_ns = Phase.OPENING, now_ns, 0
        self.stream = self.owner.next_stream()
        self.owner.put(Open(self.stream, self.address))

    def send(self, message: pb.ClientMessage) -> None:
        self.owner.put(Send(self.stream, message))

    def follow(self, redirect: str, now_ns: int) -> None:
        """All of it is elsewhere: at once, but not round and round, and not back to what has just failed."""
        fresh = redirect not in ("", self.address) and (redirect != self.home or self.address == self.home)
        self.hops += 1
        if not fresh or self.hops > FREE_HOPS:
            self.home = redirect or self.home
            self.retry(now_ns)
            return
        self.home, self.tries = redirect, 0
        self.end(now_ns, is_open=True)
        self.wake_ns = now_ns

    def retry(self, now_ns: int, *, is_open: bool = True) -> None:
        """This try is over: the next one after a pause that grows."""
        if self.phase is Phase.LIVE and now_ns - self.live_ns >= self.patience.steady_ns:
            self.failures = 0
        if self.phase is Phase.LIVE:
            self.tries = 0
        self.failures += 1
        self.end(now_ns, is_open=is_open)
        self.wake_ns = now_ns + pause_ns(self.failures, self.random)

    def end(self, now_ns: int, *, is_open: bool) -> None:
        was_live = self.phase is Phase.LIVE
        if is_open and self.phase is not Phase.RESTING:
            self.owner.put(Close(self.stream))
        self.phase, self.stream = Phase.RESTING, 0
        if was_live:
            self.owner.on_lost(self, now_ns)

    def stop(self, *, is_open: bool = True) -> None:
        """No further try."""
        if is_open and self.stream:
            self.owner.put(Close(self.stream))
        self.phase, self.stream = Phase.OVER, 0
