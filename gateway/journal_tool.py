"""`tidegate journal dump|verify|replay`: reads a journal and says what is in it. It never writes to one."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec

from ext import lookback, replay
from ext.journal import JournalError
from ext.state import State
from gateway.journal_file import NAME, JournalFile, days_in, segments_of
from gateway.settings import SettingError

Frame = tuple[int, int, str, int, dict[str, Any]]  # offset, sequence, type name, time_ns, fields
FIRST_FRAME = 64  # offset: before it stands the first file's header, which says nothing about what happened
LEAST_FRAME_BYTES = 32
LEAST_ROWS = 1024
SLICE = 1 << 24  # octets hashed at a time


class Wanted(msgspec.Struct, frozen=True):
    """Which frames to dump; what is left out does not restrict."""

    from_seq: int = 0
    to_seq: int = 0
    type: str = ""  # one of replay.EVENT_NAMES
    account: str = ""  # its name, or the number that stands in the frames


EVERYTHING = Wanted()


def journal_files(path: Path) -> list[Path]:
    """Path of the first segment of the day that a file belongs to, or of every day of a directory in order."""
    if path.is_dir():
        days = days_in(path)
        if not days:
            raise SettingError(f"PATH: got '{path}', expected a directory with *.journal files")
        return days
    match = NAME.fullmatch(path.name)
    day = path.with_name(f"{match['day']}.journal") if match else path
    if not path.is_file() and not segments_of(day):
        raise SettingError(f"PATH: got '{path}', expected a journal file or a directory of them")
    return [day]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The day's journal, read-only; a damaged one is a SettingError that names file and offset."""
    try:
        file = JournalFile(path, writable=False)
        try:
            yield file.journal
        finally:
            file.close()
    except JournalError as error:
        raise SettingError(str(error)) from None


# --- dump ---


def dump(path: Path, stream: TextIO, wanted: Wanted = EVERYTHING) -> None:
    """The wanted frames of every day as one line of JSON each."""
    check_wanted(wanted)
    for file in journal_files(path):
        with opened(file) as journal:
            accounts = account_numbers(journal, wanted.account)
            frames = replay.frames(journal, wanted.from_seq, wanted.to_seq, wanted.type, accounts)
            stream.writelines(dumped(frames))


def check_wanted(wanted: Wanted) -> None:
    if wanted.type and wanted.type not in replay.EVENT_NAMES.values():
        names = ", ".join(sorted(replay.EVENT_NAMES.values()))
        raise SettingError(f"--type: got {wanted.type!r}, expected one of {names}")
    if 0 < wanted.to_seq < wanted.from_seq:
        raise SettingError(f"--to-seq: got {wanted.to_seq}, expected {wanted.from_seq} (--from-seq) or more")


def account_numbers(journal: Any, account: str) -> set[int] | None:
    """The numbers an account has in the frames; None: any account. One that this day does not know has none."""
    if not account:
        return None
    rows = lookback.picked(journal, ("ACCOUNT",))
    found = {row["account"] for row in rows if row["id"] == account}
    return found or ({int(account)} if account.isdecimal() else set())


def dumped(frames: Iterable[Frame]) -> Iterator[str]:
    for offset, sequence, type_name, time_ns, fields in frames:
        line = {"offset": offset, "seq": sequence, "type": type_name, "time_ns": time_ns, **fields}
        yield msgspec.json.encode(line, enc_hook=str).decode() + "\n"


# --- verify and replay ---


def verify(path: Path) -> str:
    """Reads all of it, checksum chain included; one line for each day.

    The SHA-256 is of all frames' octets, from offset 64 to the end: the same on every machine that has the same day.
    """
    lines = []
    for file in journal_files(path):
        with opened(file) as journal:
            by_type = Counter(type_name for _, _, type_name, _, _ in replay.frames(journal))
            kinds = ", ".join(f"{name} {count}" for name, count in sorted(by_type.items())) or "empty"
            lines.append(
                f"{file}: whole: {journal.seq} frames, {journal.end} bytes, sha256 {sha256_of(journal)} ({kinds})"
            )
    return "\n".join(lines)


def sha256_of(journal: Any) -> str:
    """Of the frames' octets up to the journal's end, which has been read."""
    digest = hashlib.sha256()
    for first in range(FIRST_FRAME, journal.end, SLICE):
        digest.update(journal.octets(first, min(first + SLICE, journal.end)))
    return digest.hexdigest()


def replayed(path: Path, to_seq: int = 0) -> str:
    """Folds each day into a state of its own, up to a frame where one is given; a line with that state's hash each."""
    lines = []
    for file in journal_files(path):
        with opened(file) as journal:
            rows = max(LEAST_ROWS, journal.allocated // LEAST_FRAME_BYTES)  # as many as there can be frames
            state = State(rows, rows, rows)
            frames = replay.fold(state, journal, to_seq)
            lines.append(f"{file}: {frames} frames, state hash {state.hash()}")
    return "\n".join(lines)
