"""The drop copy: a process that puts every report of a shard's journal into a Redis Stream, in order, each once.

python -m gateway.drop_copy SETTINGS (JSON of drop_child.DropSettings). It reads the journal up to where the shard says
that it is safe, and writes nothing but the stream. An entry's id is <YYYYMMDD>-<journal seq>: the stream's own last id
says where to go on.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from redis.exceptions import ResponseError

from ext.journal import JournalError
from ext.report_reader import ReportReader
from gateway.drop_child import DropSettings
from gateway.framing import Framed
from gateway.kept_child import REDIS
from gateway.log import logger, start_log, stop_log
from gateway.metrics import DropFigures
from gateway.redis_link import AWAY, connect, key, place, reason_of
from gateway.tasks import end_tasks

BATCH = 128  # reports that are added in one step
MOST_BATCHES = 8  # under way at once
AGAIN_S = 0.2
REFUSED_S = 5.0  # until a stream that is not ours is looked at again
FIGURES_S = 0.25
LOOK_S = 1.0  # a stream in which nothing is put is looked at so often
TRIM_S = 1.0
TRIM_ROUNDS = 64
TRIM_MOST = 1000  # entries of one round
Position = tuple[int, int]  # trade date, journal seq

# Adds entries (six arguments each) to a stream that ends with the id it must end with, and answers with the id it ends
# with then. So a batch behind one that failed adds nothing: there is never a gap, nor anything twice.
ADD = """
local last = '0-0'
local found = redis.pcall('XINFO', 'STREAM', KEYS[1])
for at = 1, #found, 2 do
  if found[at] == 'last-generated-id' then last = found[at + 1] end
end
if last ~= ARGV[1] then return last end
for at = 2, #ARGV, 6 do
  last = redis.call('XADD', KEYS[1], ARGV[at], 'account', ARGV[at + 1], 'event_seq', ARGV[at + 2],
                    'exec_type', ARGV[at + 3], 'seq', ARGV[at + 4], 'report', ARGV[at + 5])
end
return last
"""

# Lets go of the oldest entries beyond the most that shall stay, but of none that a consumer group has not acknowledged,
# and of none at all while there is no group. Answers with how many.
TRIM = """
local function parts(id)
  local day, seq = string.match(id, '(%d+)-(%d+)')
  return tonumber(day), tonumber(seq)
end
local function is_before(one, other)
  local day, seq = parts(one)
  local other_day, other_seq = parts(other)
  return day < other_day or (day == other_day and seq < other_seq)
end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
local excess = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if #groups == 0 or excess <= 0 then return 0 end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', math.min(excess, tonumber(ARGV[2])) + 1)
local stays = oldest[#oldest][1]
for _, group in ipairs(groups) do
  local is = {}
  for at = 1, #group, 2 do is[group[at]] = group[at + 1] end
  local needs = redis.call('XPENDING', KEYS[1], is['name'])[2]
  if not needs then
    local next = redis.call('XRANGE', KEYS[1], '(' .. is['last-delivered-id'], '+', 'COUNT', 1)
    needs = next[1] and next[1][1]
  end
  if needs and is_before(needs, stays) then stays = needs end
end
return redis.call('XTRIM', KEYS[1], 'MINID', stays)
"""


class MovedError(Exception):
    """The stream does not end where it was thought to: it was restored, or another has written to it."""


class ForeignError(Exception):
    """The stream's last entry is none of this journal's."""


class DropCopy:
    """One shard's reports. url: of the Redis."""

    def __init__(self, settings: DropSettings, url: str) -> None:
        self.settings = settings
        self.url = url
        self.log = logger("drop_copy")
        self.stream = key(settings.cluster, "drop", settings.shard)
        self.over = asyncio.Event()
        self.told = asyncio.Event()
        self.safe_end = 0
        self.today: ReportReader | None = None
        self.reader: ReportReader | None = None  # what is copied now: today's, or one of a day before
        self.frames = Framed(self.on_message, self.over.set)
        self.added = 0
        self.is_up = False
        self.was_lost = False  # and has not caught up since

    def on_message(self, octets: bytes) -> None:
        """The offset up to which the journal is safe."""
        self.safe_end = int.from_bytes(octets, "little")
        self.told.set()

    async def run(self) -> None:
        """Until the shard closes the socket, or SIGTERM."""
        connection = socket.socket(fileno=self.settings.fd)
        await asyncio.get_running_loop().create_unix_connection(lambda: self.frames, sock=connection)
        work = {asyncio.create_task(one()) for one in (self.copy_always, self.tell_always, self.over.wait)}
        done, rest = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(rest)
        for task in done:
            task.result()

    async def tell_always(self) -> None:
        """For the shard's metrics."""
        while True:
            await asyncio.sleep(FIGURES_S)
            if self.today is not None:
                self.today.advance(self.safe_end)
            self.frames.send(msgspec.json.encode(DropFigures(lag=self.lag(), added=self.added, up=self.is_up)))

    def lag(self) -> int:
        """Reports that are safe, and not yet in the stream."""
        ours = {id(reader): reader for reader in (self.reader, self.today) if reader is not None}
        return sum(reader.waiting for reader in ours.values())

    # One connection after the other

    async def copy_always(self) -> None:
        await self.told.wait()
        self.today = self.opened(self.path_of(self.settings.trade_date), self.safe_end)
        while True:
            client = connect(self.url)
            pause_s = AGAIN_S
            try:
                await self.copy(client)
            except MovedError as error:
                self.log.warning("drop_copy_goes_back", reason=str(error))
            except ForeignError as error:
                self.on_lost(str(error))
                pause_s = REFUSED_S
            except AWAY as error:
                self.on_lost(reason_of(error))
            finally:
                with contextlib.suppress(*AWAY):
                    await client.aclose()
            await asyncio.sleep(pause_s)

    def on_lost(self, reason: str) -> None:
        """Logged once, until it has caught up."""
        self.is_up = False
        if not self.was_lost:
            self.log.warning("drop_copy_behind", redis=place(self.url), lag=self.lag(), reason=reason)
        self.was_lost = True

    def on_all_added(self) -> None:
        if self.was_lost:
            self.log.info("drop_copy_caught_up", redis=place(self.url), added=self.added)
        self.was_lost = False

    async def copy(self, client: Any) -> None:
        """From where the stream ends, day after day, and on as today's journal grows."""
        add, trim = await client.script_load(ADD), await client.script_load(TRIM)
        at = await self.last_id(client)
        if at[0] > self.settings.trade_date:
            raise ForeignError(f"the stream ends with {at[0]}-{at[1]}, a later day than {self.settings.trade_date}")
        for day, reader in self.days_from(at[0]):
            self.reader = reader
            reader.seek(at[1] if day == at[0] else 0)
            if day == at[0]:
                await self.check_last(client, reader, at)
            self.is_up = True
            at = await self.pour(client, reader, day, at, add, trim)

    async def last_id(self, client: Any) -> Position:
        """Of the stream; (0, 0): it is empty, or not there."""
        try:
            found = await client.xinfo_stream(self.stream)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return 0, 0
        day, _, seq = found["last-generated-id"].decode().partition("-")
        return int(day), int(seq)

    async def check_last(self, client: Any, reader: ReportReader, at: Position) -> None:
        """The stream's last entry must be the very report that the journal has at its number."""
        newest = await client.xrevrange(self.stream, count=1)
        if not newest:
            return
        reader.seek(at[1] - 1)
        ours = reader.take(1)
        fields = newest[0][1]
        named = (at[1], fields[b"account"], int(fields[b"event_seq"]))
        if not ours or ours[0][:3] != named:
            raise ForeignError(f"the stream's last entry, {shown(at)}, is none of this journal's: of another shard?")

    def days_from(self, day: int) -> Iterator[tuple[int, ReportReader]]:
        """The shard's journals from a day on (0: from the first that is there), today's last."""
        settings = self.settings
        for path in sorted(Path(settings.folder).glob(f"*-{settings.shard:02d}.journal")):
            name = path.name.partition("-")[0]
            if not name.isdecimal() or not day <= int(name) < settings.trade_date:
                continue
            try:
                reader = self.opened(path, path.stat().st_size)
            except JournalError as error:
                self.log.error("drop_copy_day_left_out", path=str(path), reason=str(error))
                continue
            yield int(name), reader
        if self.today is not None:
            yield settings.trade_date, self.today

    def path_of(self, day: int) -> Path:
        return Path(self.settings.folder) / f"{day}-{self.settings.shard:02d}.journal"

    def opened(self, path: Path, end: int) -> ReportReader:
        settings = self.settings
        with path.open("rb") as file:
            return ReportReader(
                file.fileno(), str(path), end, most_accounts=settings.most_accounts,
                most_positions=settings.most_positions, most_orders=settings.most_orders,
            )

    # Into the stream

    async def pour(self, client: Any, reader: Any, day: int, at: Position, add: str, trim: str) -> Position:
        """All that the reader has, behind the entry `at`; today's for as long as the connection lives."""
        loop = asyncio.get_running_loop()
        trimmed = loop.time()
        is_growing = reader is self.today
        while True:
            at, added = await self.add_some(client, reader, day, at, add)
            if self.settings.most_entries and loop.time() - trimmed >= TRIM_S:
                await self.trim(client, trim)
                trimmed = loop.time()
            if added:
                continue
            if not is_growing:
                return at
            self.on_all_added()
            self.told.clear()
            try:
                await asyncio.wait_for(self.told.wait(), LOOK_S)
            except TimeoutError:
                await self.check_end(client, at)
            reader.advance(self.safe_end)

    async def add_some(self, client: Any, reader: Any, day: int, at: Position, add: str) -> tuple[Position, int]:
        """A few batches under way at once; the stream's new end, and how many reports were added."""
        pipe = client.pipeline(transaction=False)
        ends: list[Position] = []
        count = 0
        for _ in range(MOST_BATCHES):
            reports = reader.take(BATCH)
            if not reports:
                break
            pipe.evalsha(add, 1, self.stream, shown(ends[-1] if ends else at), *arguments_of(day, reports))
            ends.append((day, reports[-1][0]))
            count += len(reports)
        if not ends:
            return at, 0
        answers = await pipe.execute()
        for answer, end in zip(answers, ends, strict=True):
            if answer.decode() != shown(end):
                raise MovedError(f"it ends with {answer.decode()}, expected {shown(end)}")
        self.added += count
        return ends[-1], count

    async def check_end(self, client: Any, at: Position) -> None:
        """A Redis that came back with less than it had is found out even when there is nothing to add."""
        last = await self.last_id(client)
        if last != at:
            raise MovedError(f"it ends with {shown(last)}, expected {shown(at)}")

    async def trim(self, client: Any, trim: str) -> None:
        for _ in range(TRIM_ROUNDS):
            if await client.evalsha(trim, 1, self.stream, self.settings.most_entries, TRIM_MOST) < TRIM_MOST:
                return


def shown(at: Position) -> str:
    return f"{at[0]}-{at[1]}"


def arguments_of(day: int, reports: list[Any]) -> Iterator[Any]:
    """What ADD takes of each: id, account, event_seq, exec_type, seq, report."""
    for seq, account, event_seq, exec_type, report in reports:
        yield from (f"{day}-{seq}", account, event_seq, exec_type, seq, report)


async def serve(settings: DropSettings) -> None:
    copy = DropCopy(settings, os.environ[REDIS])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, copy.over.set)
    await copy.run()


def main(argument: str) -> int:
    """The exit code: 0 when the shard ended it, 1 after an error, which the log names in one line."""
    settings = msgspec.json.decode(argument, type=DropSettings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, settings.cpus)
    start_log(debug=settings.debug)
    try:
        uvloop.run(serve(settings))
    except (JournalError, OSError) as error:
        logger("drop_copy").error("drop_copy_failed", reason=reason_of(error))
        return 1
    finally:
        stop_log()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
