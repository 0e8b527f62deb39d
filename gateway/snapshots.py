"""Snapshots of a shard's state: their files, and the process that writes them. It trades nothing.

State is the fold of the journal, so another process that folds the same file has the same state: the shard's own thread
neither stops for a snapshot nor pays for the pages that a fork would copy. The shard only says how far its journal
is committed: half-written frames are never looked at.
"""

import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ext import replay, snapshot
from ext.engine import Engine
from ext.journal import JournalError
from ext.snapshot import SnapshotError
from ext.state import State
from gateway.journal_file import JournalFile

KEPT = 2  # of a day
SYNCED_BYTES = 1 << 25  # after which what was written goes to the disk: one large burst would hold up the journal's own
OFFSET_BYTES = 8
WAKE_S = 1.0
NICENESS = 15


class SnapshotSettings(msgspec.Struct, frozen=True):
    """What the process is started with, as one argument of JSON."""

    journal: str
    every_s: float
    every_bytes: int  # of journal; 0: time alone decides
    accounts: int  # the most rows of each, as the shard has them
    positions: int
    orders: int
    cpus: tuple[int, ...] = ()  # where it may run: not on the shard's own core


class Written(msgspec.Struct, frozen=True):
    """What it tells the shard, one line of JSON for each snapshot."""

    name: str
    seq: int
    size: int  # octets
    seconds: float
    error: str = ""  # why there is none


# Files


def snapshot_files(journal: Path) -> list[Path]:
    """Those of a journal, newest first."""
    return sorted(journal.parent.glob(f"{journal.stem}.*.snapshot"), reverse=True)


def snapshot_age_s(path: Path) -> float:
    """Since it was finished; 0 when it is gone meanwhile."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except OSError:
        return 0.0


def write_snapshot(journal: Path, engine: Any) -> Written:
    """All of it or nothing, under its name only when it is on the disk. Raises OSError when it cannot be written."""
    began = time.monotonic()
    seq = int(engine.journal.seq)
    path = journal.with_name(f"{journal.stem}.{seq:015d}.snapshot")
    unfinished = path.with_suffix(f".unfinished-{os.getpid()}")
    try:
        with Output(unfinished) as output:
            size = snapshot.save(engine, output.write)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    for older in snapshot_files(journal)[KEPT:]:
        older.unlink(missing_ok=True)
    return Written(path.name, seq, size, time.monotonic() - began)


class Output:
    """A new file that is on the disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb", buffering=0)
        self.unsynced = 0

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *error: object) -> None:
        with self.file:
            if error == (None, None, None):
                os.fsync(self.file.fileno())

    def write(self, octets: memoryview) -> None:
        rest = octets
        while len(rest):
            rest = rest[self.file.write(rest) :]
        self.unsynced += len(octets)
        if self.unsynced >= SYNCED_BYTES:
            os.fdatasync(self.file.fileno())
            self.unsynced = 0


def sync_folder(folder: Path) -> None:
    """A rename is only as lasting as its folder."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def load_snapshot(path: Path, engine: Any) -> None:
    """Into an engine without anything. Raises SnapshotError; the engine is then of no use."""
    try:
        with path.open("rb", buffering=0) as file:
            snapshot.load(engine, file.readinto)
    except OSError as error:
        raise SnapshotError(f"cannot be read: {error.strerror}") from None


# The process


class Folding:
    """A reader's fold of a journal that another process writes."""

    def __init__(self, settings: SnapshotSettings) -> None:
        self.settings = settings
        self.path = Path(settings.journal)
        self.file = JournalFile(self.path, writable=False)
        self.saved_seq = 0
        self.engine = self.begin()

    def begin(self) -> Any:
        """With the newest snapshot that is good, or with nothing."""
        for path in snapshot_files(self.path):
            engine = self.empty()
            with contextlib.suppress(SnapshotError):
                load_snapshot(path, engine)
                self.saved_seq = int(self.file.journal.seq)
                return engine
        self.file.journal.rewind()
        return self.empty()

    def empty(self) -> Any:
        settings = self.settings
        return Engine(State(settings.accounts, settings.positions, settings.orders), self.file.journal)

    def follow(self, end: int) -> None:
        """Fold what is committed before end. Raises JournalError."""
        self.file.follow(end)
        replay.fold_on(self.engine, end)

    def save(self) -> Written:
        """A snapshot, or why there is none: a full disk stops nothing but that."""
        try:
            written = write_snapshot(self.path, self.engine)
        except OSError as error:
            return Written("", int(self.file.journal.seq), 0, 0.0, f"{error.strerror or error}")
        self.saved_seq = written.seq
        return written


def ends(source: io.FileIO) -> Iterator[int]:
    """The newest journal end that the shard has told, once a second or so; 0: nothing new. Ends when the shard does."""
    rest = b""
    while True:
        if not select.select([source], [], [], WAKE_S)[0]:
            yield 0
            continue
        told = os.read(source.fileno(), 1 << 16)
        if not told:
            return
        rest += told
        whole = len(rest) // OFFSET_BYTES * OFFSET_BYTES
        if whole:
            yield int.from_bytes(rest[whole - OFFSET_BYTES : whole], "little")
        rest = rest[whole:]


def serve(settings: SnapshotSettings, source: io.FileIO) -> None:
    """Fold and save until the shard is gone. The first snapshot comes at once: this is started when one is due."""
    folding = Folding(settings)
    due_s, due_end = time.monotonic(), 0
    for end in ends(source):
        if end:
            folding.follow(end)
        journal = folding.file.journal
        is_large = bool(settings.every_bytes) and journal.end >= due_end
        if journal.seq == folding.saved_seq or not (time.monotonic() >= due_s or is_large):
            continue
        sys.stdout.buffer.write(msgspec.json.encode(folding.save()) + b"\n")
        sys.stdout.buffer.flush()
        due_s, due_end = time.monotonic() + settings.every_s, journal.end + settings.every_bytes


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=SnapshotSettings)
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, settings.cpus or os.sched_getaffinity(0))
    try:
        with open(0, "rb", buffering=0) as source:
            serve(settings, source)
    except BrokenPipeError:
        return
    except JournalError as error:
        sys.stdout.buffer.write(msgspec.json.encode(Written("", 0, 0, 0.0, str(error))) + b"\n")
        sys.stdout.buffer.flush()
        sys.exit(1)


if __name__ == "__main__":
    main()
