"""`tidegate journal`: reads a journal file and says what is in it. It never writes to one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec

from ext import replay
from ext.journal import JournalError
from ext.state import State
from gateway.journal_file import JournalFile
from gateway.settings import SettingError

Frame = tuple[int, int, str, int, dict[str, Any]]  # offset, sequence, type name, time_ns, fields
LEAST_FRAME_BYTES = 32
LEAST_ROWS = 1024


def journal_files(path: Path) -> list[Path]:
    """The file itself, or the journal files of a directory in order."""
    if path.is_dir():
        files = sorted(path.glob("*.journal"))
        if not files:
            raise SettingError(f"PATH: got '{path}', expected a directory with *.journal files")
        return files
    if not path.is_file():
        raise SettingError(f"PATH: got '{path}', expected a journal file or a directory of them")
    return [path]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The journal, read-only; a damaged one is a SettingError that names file and offset."""
    try:
        file = JournalFile(path, writable=False)
        try:
            yield file.journal
        finally:
            file.close()
    except JournalError as error:
        raise SettingError(str(error)) from None


def dump(path: Path, stream: TextIO) -> None:
    """Every frame of every file as one line of JSON."""
    for file in journal_files(path):
        with opened(file) as journal:
            stream.writelines(dumped(replay.frames(journal)))


def dumped(frames: Iterable[Frame]) -> Iterator[str]:
    for offset, sequence, type_name, time_ns, fields in frames:
        line = {"offset": offset, "seq": sequence, "type": type_name, "time_ns": time_ns, **fields}
        yield msgspec.json.encode(line, enc_hook=str).decode() + "\n"


def verify(path: Path) -> str:
    """Reads all of it, checksum chain included; one line for each file."""
    lines = []
    for file in journal_files(path):
        with opened(file) as journal:
            by_type = Counter(type_name for _, _, type_name, _, _ in replay.frames(journal))
            kinds = ", ".join(f"{name} {count}" for name, count in sorted(by_type.items())) or "empty"
            lines.append(f"{file}: whole: {journal.seq} frames, {journal.end} bytes ({kinds})")
    return "\n".join(lines)


def replayed(path: Path) -> str:
    """Folds each file into a state of its own; one line with the hash of that state for each."""
    lines = []
    for file in journal_files(path):
        with opened(file) as journal:
            rows = max(LEAST_ROWS, journal.allocated // LEAST_FRAME_BYTES)  # as many as there can be frames
            state = State(rows, rows, rows)
            frames = replay.fold(state, journal)
            lines.append(f"{file}: {frames} frames, state hash {state.hash()}")
    return "\n".join(lines)
