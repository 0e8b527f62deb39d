"""`tidegate journal compact`: compresses the journals of days that are over, and deletes old ones when told to.

It touches no day that a gateway holds, none that does not verify, and never the only copy of one: an original goes when
its compressed copy was read back from the disk.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import zstandard

from ext import replay
from ext.journal import JournalError
from gateway.journal_file import COMPRESSED, JournalFile, days_in, segments_of, sync_folder
from gateway.settings import SettingError, trading_day

DAY = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)\.journal")
LEVEL = 3
SLICE = 1 << 20


class Compaction:
    """One pass over a folder of journals.

    run() yields one line for each file; damaged: how many days did not verify.
    """

    def __init__(self, folder: Path, keep_days: int | None, delete: bool, dry_run: bool, today: int = 0) -> None:
        """today: YYYYMMDD; 0: by the clock, in Shanghai. SettingError: a folder or flags that cannot be used."""
        if not folder.is_dir():
            raise SettingError(f"DIR: got '{folder}', expected a directory of journals")
        if not days_in(folder):
            raise SettingError(f"DIR: got '{folder}', expected a directory with *.journal files")
        if delete and keep_days is None:
            raise SettingError("--delete: got no --keep-days, expected how many days are kept")
        self.folder, self.keep_days, self.delete, self.dry_run = folder, keep_days, delete, dry_run
        number = today or trading_day("")
        self.today = date(number // 10_000, number // 100 % 100, number % 100)
        self.damaged = 0

    def run(self) -> Iterator[str]:
        days = days_in(self.folder)
        kept = self.newest(days)
        for day in days:
            yield from self.compact_day(day, day in kept)

    def newest(self, days: list[Path]) -> set[Path]:
        """The last day before today of each shard: the next start reads it, for what it leaves over."""
        over = [day for day in days if (traded := day_of(day)) is not None and traded < self.today]
        return set({DAY.fullmatch(day.name)[4]: day for day in over}.values())  # type: ignore[index]

    def compact_day(self, day: Path, is_newest: bool) -> Iterator[str]:
        traded = day_of(day)
        if traded is None:
            yield f"{day}: left alone: its name is no day and shard"
        elif traded >= self.today:
            yield f"{day}: left alone: its day is not over"
        elif (reason := self.why_not(day)) is not None:
            yield f"{day}: left alone: {reason}"
        elif self.is_old(traded) and not is_newest:
            yield from self.delete_day(day)
        else:
            for _, file in sorted(segments_of(day).items()):
                yield self.compress(file)

    def is_old(self, traded: date) -> bool:
        return self.keep_days is not None and traded < self.today - timedelta(days=self.keep_days)

    def why_not(self, day: Path) -> str | None:
        """Why a day may not be touched; None: it may."""
        first = segments_of(day).get(0)
        if first is not None and is_held(first):
            return "a gateway holds it"
        try:
            file = JournalFile(day, writable=False)
            try:
                replay.scan(file.journal)
            finally:
                file.close()
        except JournalError as error:
            self.damaged += 1
            return f"it does not verify: {error}"
        return None

    def delete_day(self, day: Path) -> Iterator[str]:
        for _, file in sorted(segments_of(day).items(), reverse=True):
            what = "deleted"
            if not self.delete or self.dry_run:
                what = "would be deleted" if self.delete else "would be deleted with --delete"
            else:
                file.unlink()
                sync_folder(self.folder)
            yield f"{file}: {what}: older than {self.keep_days} days"

    def compress(self, file: Path) -> str:
        if file.name.endswith(COMPRESSED):
            return f"{file}: is compressed"
        if self.dry_run:
            return f"{file}: would be compressed"
        target = file.with_name(file.name + COMPRESSED)
        begun = file.with_name(target.name + ".tmp")
        try:
            before, digest = write_compressed(file, begun)
            if read_back(begun) != (before, digest):
                raise OSError(f"{begun} does not read back as it was written")
            begun.rename(target)
            sync_folder(self.folder)
            file.unlink()
            sync_folder(self.folder)
        except OSError as error:
            begun.unlink(missing_ok=True)
            raise SettingError(f"{file}: cannot be compressed, and is as it was: {error.strerror or error}") from None
        return f"{file}: compressed: {before} bytes to {target.stat().st_size}, and read back"


def day_of(path: Path) -> date | None:
    """The trading day of a journal named `YYYYMMDD-SS.journal`."""
    match = DAY.fullmatch(path.name)
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def write_compressed(file: Path, target: Path) -> tuple[int, bytes]:
    """Compress a file onto the disk: its length and SHA-256."""
    digest, size = hashlib.sha256(), file.stat().st_size
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with file.open("rb") as source, target.open("wb") as sink:
        with compressor.stream_writer(sink, size=size, closefd=False) as writer:
            while octets := source.read(SLICE):
                digest.update(octets)
                writer.write(octets)
        sink.flush()
        os.fsync(sink.fileno())
    return size, digest.digest()


def read_back(file: Path) -> tuple[int, bytes]:
    """Length and SHA-256 of what a compressed file holds."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as source, zstandard.ZstdDecompressor().stream_reader(source) as reader:
        while octets := reader.read(SLICE):
            digest.update(octets)
            size += len(octets)
    return size, digest.digest()
