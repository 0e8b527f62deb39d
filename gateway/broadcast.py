"""Commands for every shard of a cluster, over Redis: told, followed, confirmed. What one does is another's matter.

One stream of commands, in one order for all. Each shard follows it from a cursor in its own folder, so that one that
was away takes what it missed, before its door opens. Keys: commands (stream), shards (set), confirmations:<id> (hash),
taken (hash: how far each shard is, and which of its nodes took it there).
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from gateway.engine_link import ControlError
from gateway.redis_link import AWAY, connect, key, place, reason_of

WITHIN_MS = 5000
MOST_WITHIN_MS = 60_000
LOOK_S = 0.002
MOST_LOOK_S = 0.05
BLOCK_MS = 1000
AGAIN_S = 0.2
MOST_AT_ONCE = 64
MOST_RECENT = 16  # commands that a shard keeps, for a Redis that comes back without them
KEPT_S = 7 * 86_400
BEGINNING = "0-0"

# Appends a command unless one came in that the caller has not taken yet: what it was compared with may have changed.
APPEND_NEXT = """
local last = '0-0'
local found = redis.pcall('XINFO', 'STREAM', KEYS[1])
for at = 1, #found, 2 do
  if found[at] == 'last-generated-id' then last = found[at + 1] end
end
if last ~= ARGV[1] then return false end
return redis.call('XADD', KEYS[1], '*', 'command', ARGV[2])
"""


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every shard is to do. time_ns: when it was given, or approved; sources: of a rule set."""

    kind: str  # kill, unkill, rules
    shard: int  # where it was given
    press: str  # its own name, known to who gave it before Redis has numbered it
    time_ns: int
    by: str
    reason: str
    approved_by: str = ""
    scope: str = ""
    id: str = ""
    sha256: str = ""
    base_sha256: str = ""
    sources: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard says to a command; the fields of ShardAnswer."""

    shard: int
    state: str  # confirmed, not_here, refused, not_answered, not_told
    reason: str = ""
    total_affected_orders: int = 0
    queued_orders: int = 0
    time_ns: int = 0


class Press(msgspec.Struct, kw_only=True):
    """A command on its way: what is known of it so far."""

    command: Command
    began_s: float
    number: str = ""  # its id in the stream; empty: it is not there
    fault: str = ""  # why it is not
    shards: tuple[int, ...] = ()  # known when it was told


class Kept(msgspec.Struct):
    """What a shard remembers of the cluster's commands, over its own death and over that of Redis."""

    node: str = ""  # whose memory this is
    cursor: str = BEGINNING
    recent: list[tuple[str, bytes]] = []
    kills: dict[str, int] = {}  # "scope id" to the time of the newest kill there
    shards: tuple[int, ...] = ()  # of the cluster, as it was last seen


class KeptFile:
    """Kept, in one file, whole at any time. Raises OSError, and ValueError when somebody else wrote it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not path.exists()
        try:
            self.kept = Kept(secrets.token_hex(8)) if self.is_new else msgspec.json.decode(path.read_bytes(), type=Kept)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path}: {error}") from None

    def write(self) -> None:
        new = self.path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(self.kept))
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.path)

    def take(self, number: str, octets: bytes) -> None:
        """The cursor behind one more command."""
        self.kept.cursor = number
        self.kept.recent = [*self.kept.recent, (number, octets)][-MOST_RECENT:]
        self.write()

    def note_kill(self, scope: str, name: str, time_ns: int) -> None:
        """A kill, of here or of elsewhere: no unkill that is older undoes it. The caller writes it."""
        subject = subject_of(scope, name)
        self.kept.kills[subject] = max(time_ns, self.kept.kills.get(subject, 0))


class MovedError(Exception):
    """Another command came in that this shard has not taken yet."""


class Broadcast:
    """One shard's part in its cluster.

    apply: does a command here, told whether it was given here in this process's life; it raises ControlError when the
    shard cannot be asked, and the command is tried again.
    """

    def __init__(
        self,
        url: str,
        cluster: str,
        shard: int,
        file: KeptFile,
        apply: Callable[[Command, bool], Awaitable[Answer]],
        log: Any,
    ) -> None:
        self.url = url
        self.cluster = cluster
        self.shard = shard
        self.file = file
        self.apply = apply
        self.log = log
        self.commands = key(cluster, "commands")
        self.presses: set[str] = set()
        self.is_up = False
        self.is_lost = False
        self.is_caught_up = False
        self.taken = 0

    # Telling

    def press(self, **fields: Any) -> Press:
        """A command that begins now."""
        command = Command(shard=self.shard, press=secrets.token_hex(8), **fields)
        self.presses.add(command.press)
        return Press(command=command, began_s=asyncio.get_running_loop().time())

    async def tell(self, press: Press, *, next_only: bool = False) -> None:
        """Into the stream, behind what a Redis that came back has lost. Redis away: the press says so.

        next_only: raises MovedError when a command is there that this shard has not taken.
        """
        octets = msgspec.json.encode(press.command)
        client = connect(self.url)
        try:
            press.shards = await self.join(client)
            if next_only:
                number = await client.eval(APPEND_NEXT, 1, self.commands, self.file.kept.cursor, octets)
                if number is None:
                    raise MovedError
            else:
                number = await client.xadd(self.commands, {"command": octets})
            press.number = number.decode()
        except AWAY as error:
            press.fault = f"Redis at {place(self.url)} is away: {reason_of(error)}"
            press.shards = self.file.kept.shards
        finally:
            await closed(client)

    async def answers(self, press: Press, own: Answer, within_ms: int) -> tuple[list[Answer], int]:
        """One of each shard, and the time to the last confirmation in us (0: not all confirmed). own: this one's."""
        within_ms = min(within_ms or WITHIN_MS, MOST_WITHIN_MS)
        deadline = asyncio.get_running_loop().time() + within_ms / 1000
        found = {self.shard: own}
        client = connect(self.url)
        if press.number:
            await self.confirm(client, press.number, own)
            await self.gather(client, press, found, deadline)
        await closed(client)
        said = {one.state for one in found.values()}
        is_all = set(found) >= {self.shard, *press.shards} and "confirmed" in said and said <= {"confirmed", "not_here"}
        took_us = round((asyncio.get_running_loop().time() - press.began_s) * 1e6)
        missing = self.missing(press, within_ms)
        rows = [found.get(shard) or missing(shard) for shard in sorted({self.shard, *press.shards})]
        return rows, took_us if is_all and not press.fault else 0

    def missing(self, press: Press, within_ms: int) -> Callable[[int], Answer]:
        """The answer of a shard that gave none."""
        if press.fault:
            return lambda shard: Answer(shard=shard, state="not_told", reason=press.fault)
        text = f"no answer in {within_ms / 1000:g} s; it takes the command when it is back"
        return lambda shard: Answer(shard=shard, state="not_answered", reason=text)

    async def gather(self, client: Any, press: Press, found: dict[int, Answer], deadline: float) -> None:
        """The other shards' confirmations as they come, until all are there or the time is up."""
        loop, pause_s = asyncio.get_running_loop(), LOOK_S
        while not set(found) >= set(press.shards) and loop.time() < deadline:
            try:
                rows = await client.hgetall(self.confirmations(press.number))
            except AWAY:
                rows = {}
            for shard, octets in rows.items():
                found.setdefault(int(shard), msgspec.json.decode(octets, type=Answer))
            if not set(found) >= set(press.shards):
                await asyncio.sleep(min(pause_s, max(deadline - loop.time(), 0)))
                pause_s = min(pause_s * 1.1, MOST_LOOK_S)

    def confirmations(self, number: str) -> str:
        return key(self.cluster, "confirmations", number)

    async def confirm(self, client: Any, number: str, answer: Answer) -> None:
        """Say it to whoever waits; Redis may be away."""
        with contextlib.suppress(*AWAY):
            pipe = client.pipeline(transaction=False)
            pipe.hset(self.confirmations(number), str(self.shard), msgspec.json.encode(answer))
            pipe.expire(self.confirmations(number), KEPT_S)
            await pipe.execute()

    # Following

    async def join(self, client: Any) -> tuple[int, ...]:
        """Be known to the cluster; the shards that are. A stream that has lost its end gets it back, in its order."""
        last = BEGINNING
        if await client.exists(self.commands):
            last = (await client.xinfo_stream(self.commands))["last-generated-id"].decode()
        for number, octets in self.file.kept.recent:
            if order_of(number) > order_of(last):
                await self.restore(client, number, octets)
        await client.sadd(key(self.cluster, "shards"), self.shard)
        return await self.members(client)

    async def members(self, client: Any) -> tuple[int, ...]:
        """The shards of the cluster; kept, for when nobody can be asked."""
        shards = tuple(sorted(int(member) for member in await client.smembers(key(self.cluster, "shards"))))
        if shards != self.file.kept.shards:
            self.file.kept.shards = shards
            self.file.write()
        return shards

    async def restore(self, client: Any, number: str, octets: bytes) -> None:
        try:
            await client.xadd(self.commands, {"command": octets}, id=number)
            self.log.warning("cluster_command_restored", number=number)
        except ResponseError as error:
            if "equal or smaller" not in str(error):  # another shard was quicker
                raise

    async def catch_up(self) -> None:
        """Take everything that was missed; when Redis is away, say so and go on without."""
        client = connect(self.url)
        try:
            await self.join(client)
            await self.take_missed(client)
            self.on_joined()
        except AWAY as error:
            self.on_lost(error)
        finally:
            await closed(client)

    async def follow(self) -> None:
        """For as long as the process lives."""
        while True:
            client = connect(self.url, answer_s=2 * BLOCK_MS / 1000)
            try:
                await self.join(client)
                await self.take_missed(client)
                while True:
                    if not await self.take_some(client, block_ms=BLOCK_MS):
                        await self.members(client)
                    self.on_joined()
            except (*AWAY, ControlError) as error:
                self.on_lost(error)
            finally:
                await closed(client)
            await asyncio.sleep(AGAIN_S)

    def on_joined(self) -> None:
        if not self.is_up:
            self.log.info("cluster_joined", cluster=self.cluster, shards=self.file.kept.shards, taken=self.taken)
        self.is_up, self.is_lost = True, False

    def on_lost(self, error: BaseException) -> None:
        """Logged once, until it is back."""
        if not self.is_lost:
            self.log.warning("cluster_lost", redis=place(self.url), reason=reason_of(error))
        self.is_up, self.is_lost = False, True

    async def take_missed(self, client: Any) -> None:
        """Everything up to now. A node that does not know all that was killed here lifts nothing that it missed."""
        undone = set() if self.is_caught_up or await self.knows_all(client) else await self.undone(client)
        while await self.take_some(client, undone=undone):
            pass
        self.is_caught_up = True

    async def knows_all(self, client: Any) -> bool:
        """Whether this node took the shard to where it is. If not, the cursor goes to where another one took it."""
        kept = self.file.kept
        told = await client.hget(key(self.cluster, "taken"), str(self.shard))
        cursor, _, node = (told or b"").decode().partition(" ")
        if node not in ("", kept.node) and order_of(cursor) > order_of(kept.cursor):
            kept.cursor = cursor
            self.file.write()
        await self.tell_taken(client)
        return node == kept.node or (not node and not self.file.is_new)

    async def tell_taken(self, client: Any) -> None:
        kept = self.file.kept
        await client.hset(key(self.cluster, "taken"), str(self.shard), f"{kept.cursor} {kept.node}")

    async def undone(self, client: Any) -> set[str]:
        """Of what was missed, the kills whose unkill was missed as well, and all unkills."""
        subjects: dict[str, set[str]] = {}
        undone: set[str] = set()
        start = self.file.kept.cursor
        while rows := await client.xrange(self.commands, f"({start}", "+", count=MOST_AT_ONCE):
            start = rows[-1][0].decode()
            for number, fields in rows:
                command = decoded(fields[b"command"])
                if command is None or command.kind not in ("kill", "unkill"):
                    continue
                numbers = subjects.setdefault(subject_of(command.scope, command.id), set())
                numbers.add(number.decode())
                if command.kind == "unkill":
                    undone |= numbers
                    numbers.clear()
        return undone

    async def take_some(self, client: Any, block_ms: int | None = None, undone: Collection[str] = ()) -> int:
        """The next commands behind the cursor, one after the other; how many. undone: those to leave out."""
        answer = await client.xread({self.commands: self.file.kept.cursor}, count=MOST_AT_ONCE, block=block_ms)
        rows = list(answer.items() if isinstance(answer, dict) else answer or ())
        entries = rows[0][1] if rows else []
        if entries and isinstance(entries[0], list):
            entries = entries[0]
        for octets, fields in entries:
            number = octets.decode()
            if number in undone:
                self.file.take(number, fields[b"command"])
            else:
                await self.take(client, number, fields[b"command"])
            await self.tell_taken(client)
        return len(entries)

    async def take(self, client: Any, number: str, octets: bytes) -> None:
        """Do one command, remember it, confirm it. A kill is rather done twice than lost, an unkill rather lost."""
        command = decoded(octets)
        if command is None:
            self.log.error("cluster_command_unreadable", number=number, reason="of a newer build?")
            self.file.take(number, octets)
            return
        is_ours = command.press in self.presses
        if command.kind == "unkill":
            self.file.take(number, octets)
        answer = await self.apply(command, is_ours)
        if command.kind != "unkill":
            self.file.take(number, octets)
        self.taken += 1
        if not is_ours or answer.state != "confirmed":
            await self.confirm(client, number, answer)
        self.log.warning(
            "cluster_command", number=number, kind=command.kind, scope=command.scope, id=command.id, by=command.by,
            approved_by=command.approved_by, of_shard=command.shard, state=answer.state, reason=answer.reason,
        )


def subject_of(scope: str, name: str) -> str:
    """A session may be named by more or fewer digits of its token's hash; eight are enough."""
    return f"{scope} {name[:8].lower() if scope == 'session' else name}"


def decoded(octets: bytes) -> Command | None:
    try:
        return msgspec.json.decode(octets, type=Command)
    except msgspec.MsgspecError:
        return None


def order_of(number: str) -> tuple[int, int]:
    first, _, second = number.partition("-")
    return int(first), int(second)


async def closed(client: Any) -> None:
    with contextlib.suppress(*AWAY):
        await client.aclose()
