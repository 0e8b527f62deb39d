"""Opens and closes a trading day's segment files, under a lock, and opens the next one ahead of need. Knows no frame.

`20261123-00.journal` is a day's first segment, `20261123-00.0001.journal` its second. A day that is over may be
compressed, segment by segment (`.journal.zst`): it is then read from copies that nobody else sees.
"""

import contextlib
import fcntl
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from ext.journal import KEPT_BACK, Journal, JournalError

SEGMENT_SIZE = 1 << 30
MOST_OF_A_DAY = 1 << 36
AHEAD = 1 << 27  # bytes the open segments can hold beyond the journal's end: more than its thread allocates ahead
COMPRESSED = ".zst"
NAME = re.compile(r"(?P<day>.+?)(?:\.(?P<number>\d{4,}))?\.journal(?P<compressed>\.zst)?")


def segment_path(path: Path, number: int) -> Path:
    """A day's segment file by number; 0: the day's own path."""
    return path.with_name(f"{path.name.removesuffix('.journal')}.{number:04d}.journal") if number else path


def segments_of(path: Path) -> dict[int, Path]:
    """Every stored segment of a day by number. path: of its first segment, uncompressed."""
    day, found = path.name.removesuffix(".journal"), {}
    for file in sorted(path.parent.glob(f"{day}.*journal*")):
        match = NAME.fullmatch(file.name)
        if match and match["day"] == day:
            # A plain file wins: its compressed copy may not be finished.
            number = int(match["number"] or 0)
            if number not in found or not match["compressed"]:
                found[number] = file
    return found


def days_in(folder: Path, shard: int | None = None) -> list[Path]:
    """Path of the first segment of every day in a folder, oldest first; compressed ones are named without `.zst`."""
    names = set()
    for file in folder.glob("*.journal*"):
        match = NAME.fullmatch(file.name)
        if match and (shard is None or match["day"].endswith(f"-{shard:02d}")):
            names.add(match["day"])
    return [folder / f"{name}.journal" for name in sorted(names)]


class JournalFile:
    """One trading day's files, held under a lock so that two gateways never share them.

    path: of the first segment. private: the owner never waits for the disk, and a Syncer writes. segment_size and
    capacity: of a new day's files, and of the whole day. Raises JournalError when a segment is missing, cut short or
    not a journal, and when another gateway holds them.
    """

    def __init__(
        self, path: Path, *, writable: bool = True, private: bool = False, segment_size: int = SEGMENT_SIZE,
        capacity: int = MOST_OF_A_DAY,
    ) -> None:
        self.path, self.private, self.writable = path, private, writable
        self.files: list[BinaryIO] = []
        self.opening: threading.Thread | None = None
        self.one_opens = threading.Lock()
        self.failed: OSError | JournalError | None = None  # of the last try to open another segment
        self.was_full = False
        try:
            self.open_all(segment_size, capacity)
        except BaseException:
            self.close_files()
            raise
        self.journal.open_more = self.open_more if writable else None

    def open_all(self, segment_size: int, capacity: int) -> None:
        """Every segment there is: of a day that is continued, those ahead come later, when it was read."""
        found = segments_of(self.path)
        if self.writable and any(file.name.endswith(COMPRESSED) for file in found.values()):
            raise JournalError(str(self.path), 0, "this day is over: its journal is compressed and can only be read")
        if found and min(found) > 0:
            raise JournalError(str(self.path), 0, f"this segment is missing: the day goes on in {found[min(found)]}")
        file = self.open_file(found.get(0, self.path))
        if self.writable:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JournalError(str(self.path), 0, "another gateway holds it") from None
        size = os.fstat(file.fileno()).st_size
        self.journal: Any = Journal(
            file.fileno(), size, str(self.path), capacity, self.writable, private=self.private,
            segment_size=segment_size,
        )
        for number in range(1, max(found, default=0) + 1):
            if number not in found:
                missing, later = segment_path(self.path, number), min(other for other in found if other > number)
                raise JournalError(str(missing), 0, f"this segment is missing: the day goes on in {found[later]}")
            file = self.open_file(found[number])
            size = os.fstat(file.fileno()).st_size
            self.journal.add_segment(file.fileno(), size, str(segment_path(self.path, number)))

    def open_file(self, path: Path) -> BinaryIO:
        """One segment, made when it is not there and may be written. Closed with the others."""
        try:
            file: BinaryIO
            if path.name.endswith(COMPRESSED):
                file = decompressed(path)
            elif self.writable:
                file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o640), "r+b", buffering=0)  # noqa: SIM115
            else:
                file = path.open("rb", buffering=0)
        except OSError as error:
            raise JournalError(str(path), 0, f"cannot be opened: {error.strerror or error}") from None
        except zstandard.ZstdError as error:
            raise JournalError(str(path), 0, f"cannot be decompressed: {error}") from None
        self.files.append(file)
        return file

    # --- behind another process ---

    def follow(self, end: int) -> None:
        """For a reader of a day that another process writes: it goes at least to end by now. Raises JournalError."""
        journal = self.journal
        while end > journal.allocated:
            for number in range(journal.allocated // journal.segment_size, journal.segment_count):
                journal.follow(number, os.fstat(self.files[number].fileno()).st_size)
            if end > journal.allocated:
                path = segment_path(self.path, journal.segment_count)
                journal.add_segment(self.open_file(path).fileno(), 0, str(path))

    # --- ahead of need ---

    def ensure_ahead(self) -> list[dict[str, Any]]:
        """Let a thread open the next segments before they are needed. To be called ten times a second.

        Returns what began or ended since the last call, for the log: {"event": name, ...}, name "disk_full",
        "disk_has_room" or "segment_failed".
        """
        journal = self.journal
        if self.is_short() and (self.opening is None or not self.opening.is_alive()):
            self.opening = threading.Thread(target=self.open_quietly, name="tidegate-segments", daemon=True)
            self.opening.start()
        facts = {"journal": str(self.path), "free_bytes": journal.free, "kept_back": KEPT_BACK}
        told = []
        if journal.is_full != self.was_full:
            self.was_full = not self.was_full
            told.append({"event": "disk_full" if self.was_full else "disk_has_room", **facts})
        if self.failed is not None:
            told.append({"event": "segment_failed", "reason": str(self.failed), **facts})
            self.failed = None
        return told

    def is_short(self) -> bool:
        """Whether the open segments should be more."""
        return bool(self.journal.capacity < min(self.journal.end + AHEAD, self.journal.limit))

    def open_quietly(self) -> None:
        try:
            self.open_more()
        except (OSError, JournalError) as error:
            self.failed = error
            self.journal.cannot_grow(getattr(error, "errno", None) or 28)

    def open_more(self) -> None:
        """Open segments until what lies ahead has room. Of a private journal their names are on the disk first."""
        with self.one_opens:
            while self.is_short():
                path = segment_path(self.path, self.journal.segment_count)
                file = self.open_file(path)
                if self.private:
                    sync_folder(path.parent)
                self.journal.add_segment(file.fileno(), os.fstat(file.fileno()).st_size, str(path))

    # --- the end ---

    def close(self) -> None:
        """Write everything to the disk, remove segments that nothing was written to, and let go of the files.

        Raises OSError when the disk refused something, now or earlier: then not all of it is there.
        """
        if self.opening is not None:
            self.opening.join()
        self.journal.open_more = None
        try:
            self.journal.sync()
            if self.writable:
                self.remove_unused()
        finally:
            self.close_files()

    def remove_unused(self) -> None:
        for number in range(self.journal.segment_count - 1, 0, -1):
            if number * self.journal.segment_size < self.journal.end:
                return
            segment_path(self.path, number).unlink(missing_ok=True)

    def close_files(self) -> None:
        """Let go of the files: their mappings hold them open while the journal lives, but the lock ends here."""
        for file in self.files:
            with contextlib.suppress(OSError, ValueError):
                fcntl.flock(file, fcntl.LOCK_UN)
            file.close()


def decompressed(path: Path) -> BinaryIO:
    """The octets of a compressed segment, in a file without a name."""
    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with path.open("rb") as source:
            expected = zstandard.frame_content_size(source.read(64))
            source.seek(0)
            _, size = zstandard.ZstdDecompressor().copy_stream(source, copy)
        if size != expected:
            raise zstandard.ZstdError(f"it is cut short: {size} octets, expected {expected}")
        copy.flush()
    except BaseException:
        copy.close()
        raise
    return copy


def sync_folder(folder: Path) -> None:
    """The names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
