"""`tidegate journal`: reads a journal file and says what is in it. It never writes to one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import msgspec

from gateway.settings import SettingError

Frame = tuple[int, int, str, int, dict[str, Any]]  # offset, sequence, type name, time_ns, fields


class JournalFault(SettingError):
    """A journal that is not whole: file, offset, what is wrong."""


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


def frames(path: Path) -> Iterator[Frame]:
    """Every frame of one file; a frame that cannot be believed raises JournalFault with its offset."""
    from ext.journal import Journal, JournalError

    try:
        yield from Journal.open_read(str(path))
    except JournalError as error:
        raise JournalFault(str(error)) from None


def dump(path: Path, stream: TextIO) -> None:
    for file in journal_files(path):
        stream.writelines(dumped(frames(file)))


def dumped(from_frames: Iterable[Frame]) -> Iterator[str]:
    """One line of JSON for each frame."""
    for offset, sequence, type_name, time_ns, fields in from_frames:
        line = {"offset": offset, "seq": sequence, "type": type_name, "time_ns": time_ns, **fields}
        yield msgspec.json.encode(line, enc_hook=str).decode() + "\n"


def verify(path: Path) -> str:
    """Reads all of it; one line for each file."""
    return "\n".join(f"{file}: whole: {counted(frames(file))}" for file in journal_files(path))


def counted(from_frames: Iterable[Frame]) -> str:
    """`n frames, last seq s (ACCEPTED a, ...)`; a sequence with a gap raises JournalFault."""
    by_type: Counter[str] = Counter()
    last = None
    for offset, sequence, type_name, _, _ in from_frames:
        if last is not None and sequence != last + 1:
            raise JournalFault(f"offset {offset}: seq: got {sequence}, expected {last + 1}")
        last = sequence
        by_type[type_name] += 1
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(by_type.items())) or "empty"
    return f"{by_type.total()} frames, last seq {last or 0} ({kinds})"


def replay(path: Path) -> str:
    """The state hash that the journal folds to."""
    return str(import_module("gateway.shard").replay(path))
