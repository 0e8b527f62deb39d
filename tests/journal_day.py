"""Small journals in real files for tests that damage them: written, edited as one range of octets, read back."""
from __future__ import annotations

from pathlib import Path

from gateway.journal_file import JournalFile, segment_path, segments_of
from tests import journal_probe as probe

SEGMENT = 4096
MOST = 16 * SEGMENT
Frame = tuple[int, int, int]  # offset, size, sequence


class SmallDay:
    """A day of some dozen frames in segments of 4 KiB. clean: closed as a gateway does; else its process ended."""

    def __init__(
        self, folder: Path, frames: int = 60, *, clean: bool = True, private: bool = False, first: int = 1
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / "20261123-00.journal"
        for old in self.files().values():
            old.unlink()
        file = self.open(private=private)
        for number in range(frames):
            # Bodies without a zero octet, so that it shows what is there; sizes such that frames lie across segments.
            assert probe.append(file.journal, 56 + 8 * (number * 7 % 17), 1 + (first + number) % 255)
        self.frames: list[Frame] = probe.read_all(file.journal)
        self.end = file.journal.end
        if clean:
            file.close()
        else:
            file.close_files()
        self.size = sum(file.stat().st_size for file in self.files().values())

    def open(self, *, writable: bool = True, private: bool = False) -> JournalFile:
        return JournalFile(self.path, writable=writable, private=private, segment_size=SEGMENT, capacity=MOST)

    def files(self) -> dict[int, Path]:
        return segments_of(self.path)

    def octets(self) -> bytearray:
        """The whole day, all segments in a row."""
        return bytearray(b"".join(file.read_bytes() for _, file in sorted(self.files().items())))

    def write(self, octets: bytes) -> None:
        """The day anew, from the same row of octets, in as many segments as it needs."""
        for file in self.files().values():
            file.unlink()
        for number in range((len(octets) + SEGMENT - 1) // SEGMENT):
            segment_path(self.path, number).write_bytes(octets[number * SEGMENT : (number + 1) * SEGMENT])

    def read(self) -> list[Frame]:
        """Every frame, as a tool reads them. Raises JournalError."""
        file = self.open(writable=False)
        try:
            found: list[Frame] = probe.read_all(file.journal)
            return found
        finally:
            file.close()

    def recover(self, *, private: bool = False) -> tuple[list[Frame], int]:
        """Every frame and how many torn octets were cut, as a gateway starts; then one more frame is written."""
        file = self.open(private=private)
        try:
            found: list[Frame] = probe.read_all(file.journal)
            cut = file.journal.cut()
            assert probe.append(file.journal, 80, 9)
            file.close()
        finally:
            file.close_files()
        assert len(self.read()) == len(found) + 1
        return found, cut
