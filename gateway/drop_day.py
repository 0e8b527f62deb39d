"""The files of one day's journal for whoever reads its reports: opens segments as they are needed, writes to none."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ext.journal import JournalError
from ext.report_reader import ReportReader
from gateway.drop_child import DropSettings
from gateway.journal_file import COMPRESSED, decompressed, segment_path, segments_of


class DayReports:
    """path: of the day's first segment. reader: its reports, once read_to or read_whole was called.

    Raises JournalError when a segment is missing, no journal, or damaged.
    """

    def __init__(self, path: Path, settings: DropSettings) -> None:
        self.path = path
        sizes = (settings.most_accounts, settings.most_positions, settings.most_orders)
        with opened(segments_of(path).get(0, path)) as file:
            self.reader: Any = ReportReader(
                file.fileno(), str(path), most_accounts=sizes[0], most_positions=sizes[1], most_orders=sizes[2]
            )

    def read_to(self, end: int) -> None:
        """Up to an offset of the day at which whole frames end."""
        while self.reader.is_short(end):
            path = segment_path(self.path, self.reader.journal.segment_count)
            with opened(segments_of(self.path).get(self.reader.journal.segment_count, path)) as file:
                self.reader.add_segment(file.fileno(), str(path))
        self.reader.advance(end)

    def read_whole(self) -> None:
        """Of a day that is over: up to the end of its files."""
        end = 0
        for number, path in sorted(segments_of(self.path).items()):
            with opened(path) as file:
                if number:
                    self.reader.add_segment(file.fileno(), str(path))
                end = number * self.reader.journal.segment_size + os.fstat(file.fileno()).st_size
        self.reader.advance(end)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """One segment; the octets of a compressed one."""
    file: BinaryIO | None = None
    try:
        file = decompressed(path) if path.name.endswith(COMPRESSED) else path.open("rb")
        yield file
    except OSError as error:
        raise JournalError(str(path), 0, f"cannot be opened: {error.strerror or error}") from None
    finally:
        if file is not None:
            file.close()
