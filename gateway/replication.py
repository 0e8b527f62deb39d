"""What an owner and its standby say to each other: journal octets one way, how many are safe the other way.

Pure: `send` takes a message away, time is an argument, and whoever carries the messages calls `on_message` with each.
Messages are one octet of kind and a body; a length-prefixed stream (gateway/framing.py) carries them.
"""

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from ext import follower

HELLO, WELCOME, REFUSED, OCTETS, ACK, PING, YOURS = b"HWRDAPY"
MOST_OCTETS = 1 << 18  # of one OCTETS message, so that catching up never holds the owner long
MOST_UNACKED = 1 << 22
OFFSET = struct.Struct("<Q")
SAFE = struct.Struct("<Qq")  # journal octets appended, ns of the newest ping that came
TIME = struct.Struct("<q")


class Hello(msgspec.Struct, frozen=True):
    """A standby's first words: who it is, and what journal it has."""

    node: str
    trade_date: int  # 0: an empty journal
    shard: int
    layout: int
    end: int
    newest: int
    seq: int
    crc: int
    address: str = ""  # of order entry there, as are the next two of their own
    control_address: str = ""
    replication: str = ""


class Welcome(msgspec.Struct, frozen=True):
    """The owner's answer."""

    node: str
    epoch: int
    end: int
    address: str


class Refusal(msgspec.Struct, frozen=True):
    """Why a standby is not fed. begin_anew: its journal is not the beginning of the owner's: it needs an empty one."""

    reason: str
    begin_anew: bool = False


class Yours(msgspec.Struct, frozen=True):
    """The shard is handed over: the journal ends at `end`, and the standby owns it as `epoch`."""

    epoch: int
    end: int


class ReplicationError(Exception):
    """The other end does not keep to the protocol, or refuses; the text is one line."""

    def __init__(self, text: str, *, begin_anew: bool = False) -> None:
        super().__init__(text)
        self.begin_anew = begin_anew


class Feed:
    """The owner's end of one standby.

    welcome: what is said to one that fits; on_safe: called with the journal octets that the standby has; on_echo: with
    the ns of the ping it has answered.
    """

    def __init__(
        self, journal: Any, hello_fits: Callable[[Hello], Refusal | None], welcome: Callable[[], Welcome],
        send: Callable[[bytes], None], on_safe: Callable[[int], None], on_echo: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.journal = journal
        self.hello_fits = hello_fits
        self.welcome = welcome
        self.send = send
        self.on_safe = on_safe
        self.on_echo = on_echo
        self.standby: Hello | None = None
        self.sent_end = self.safe_end = 0
        self.last_end: int | None = None  # handed over there: nothing beyond is sent

    def on_message(self, message: bytes) -> None:
        """Raises ReplicationError when the standby is not to be fed."""
        if message[0] == ACK and self.standby is not None:
            self.safe_end, echo_ns = SAFE.unpack_from(message, 1)
            if self.safe_end > self.journal.end:
                raise ReplicationError(f"standby has {self.safe_end} octets, expected at most {self.journal.end}")
            if echo_ns:
                self.on_echo(echo_ns)
            self.on_safe(self.safe_end)
            self.ship()
        elif message[0] == HELLO and self.standby is None:
            self.begin(msgspec.json.decode(message[1:], type=Hello))
        else:
            raise ReplicationError(f"message {message[:1]!r} of a standby, expected HELLO once, then ACK")

    def begin(self, hello: Hello) -> None:
        refusal = self.hello_fits(hello)
        if refusal is None and not follower.is_part(self.journal, hello.end, hello.newest, hello.seq, hello.crc):
            refusal = Refusal(f"its journal of {hello.end} octets is not the beginning of this one", begin_anew=True)
        if refusal is not None:
            self.send(bytes([REFUSED]) + msgspec.json.encode(refusal))
            raise ReplicationError(f"standby {hello.node}: {refusal.reason}")
        self.standby = hello
        self.sent_end = self.safe_end = hello.end
        self.send(bytes([WELCOME]) + msgspec.json.encode(self.welcome()))
        self.ship()

    def ship(self) -> None:
        """Send what the standby has not been sent, as far as it keeps up."""
        if self.standby is None:
            return
        if self.last_end is not None:
            return
        while self.sent_end < self.journal.end and self.sent_end - self.safe_end < MOST_UNACKED:
            octets = follower.octets(self.journal, self.sent_end, MOST_OCTETS)
            self.send(bytes([OCTETS]) + OFFSET.pack(self.sent_end) + octets)
            self.sent_end += len(octets)

    def ping(self, now_ns: int) -> None:
        if self.standby is not None:
            self.send(bytes([PING]) + TIME.pack(now_ns))

    def hand_over(self, epoch: int) -> None:
        """The last message: everything was sent and is safe there."""
        self.send(bytes([YOURS]) + msgspec.json.encode(Yours(epoch=epoch, end=self.safe_end)))


class Follow:
    """The standby's end: appends what comes and says so at once; applying is left to the caller's own time.

    follower: ext.follower.Follower; on_grant: called with now_ns before a ping is answered: each answer is a promise.
    """

    def __init__(
        self, follower_: Any, hello: Hello, send: Callable[[bytes], None], on_welcome: Callable[[Welcome], None],
        on_grant: Callable[[int], None], on_yours: Callable[[Yours], None],
    ) -> None:  # fmt: skip
        self.follower = follower_
        self.hello = hello
        self.send = send
        self.on_welcome = on_welcome
        self.on_grant = on_grant
        self.on_yours = on_yours
        self.journal_end = hello.end
        self.welcomed: Welcome | None = None

    def begin(self) -> None:
        self.send(bytes([HELLO]) + msgspec.json.encode(self.hello))

    def on_message(self, message: bytes, now_ns: int) -> None:
        """Raises ReplicationError when it is refused, JournalError when what came does not continue its journal."""
        kind = message[0]
        if kind == REFUSED:
            refusal = msgspec.json.decode(message[1:], type=Refusal)
            raise ReplicationError(f"refused: {refusal.reason}", begin_anew=refusal.begin_anew)
        if kind == WELCOME and self.welcomed is None:
            self.welcomed = msgspec.json.decode(message[1:], type=Welcome)
            self.on_welcome(self.welcomed)
        elif kind == OCTETS and self.welcomed is not None:
            (offset,) = OFFSET.unpack_from(message, 1)
            self.journal_end = self.follower.append(offset, message[1 + OFFSET.size :])
            self.acknowledge(0)
        elif kind == PING and self.welcomed is not None:
            self.on_grant(now_ns)
            self.acknowledge(TIME.unpack_from(message, 1)[0])
        elif kind == YOURS and self.welcomed is not None:
            self.take(msgspec.json.decode(message[1:], type=Yours))
        else:
            raise ReplicationError(f"message {message[:1]!r} of the owner: expected WELCOME, then OCTETS, PING, YOURS")

    def take(self, yours: Yours) -> None:
        if yours.end != self.journal_end:
            raise ReplicationError(f"handed over at {yours.end} octets, and {self.journal_end} are here")
        self.on_yours(yours)

    def acknowledge(self, echo_ns: int) -> None:
        self.send(bytes([ACK]) + SAFE.pack(self.journal_end, echo_ns))
