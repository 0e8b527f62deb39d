"""A private journal's way to the disk: nothing is called written that is not, failures stay, memory stays flat."""
from __future__ import annotations

import os
import select
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ext.journal import Journal, JournalError
from ext.syncer import Syncer
from gateway.journal_file import JournalFile
from tests import journal_probe as probe

MIB = 1 << 20


class Disk:
    """A journal with its syncer, as a shard has them."""

    def __init__(
        self, path: Path, *, private: bool = True, segment_size: int = 1 << 30, capacity: int = 1 << 33
    ) -> None:
        self.path = path
        self.file = JournalFile(path, private=private, segment_size=segment_size, capacity=capacity)
        self.journal: Any = self.file.journal
        probe.read_all(self.journal)
        self.journal.cut()
        self.request_fd, self.done_fd = os.eventfd(0), os.eventfd(0)
        self.syncer: Any = Syncer(self.journal, self.request_fd, self.done_fd)
        self.thread = threading.Thread(target=self.syncer.run)
        self.thread.start()

    def wait(self, end: int, within_s: float = 20.0) -> None:
        """Until done_fd has said that all before `end` is on the disk."""
        give_up = time.monotonic() + within_s
        while self.syncer.synced_end < end and not self.syncer.failed:
            assert time.monotonic() < give_up, f"{self.syncer.synced_end} is on the disk, wanted {end}"
            if select.select([self.done_fd], [], [], 0.5)[0]:
                os.eventfd_read(self.done_fd)

    def stop(self) -> None:
        self.syncer.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "20261123-00.journal")
    yield made
    made.stop()
    made.file.close_files()
    os.close(made.request_fd)
    os.close(made.done_fd)


def in_the_file(path: Path) -> list[tuple[int, int, int]]:
    """The frames that another process would find."""
    file = JournalFile(path, writable=False)
    try:
        found: list[tuple[int, int, int]] = probe.read_all(file.journal)
        return found
    finally:
        file.close()


def synced_end_in(path: Path) -> int:
    with path.open("rb") as file:
        return int(struct.unpack_from("<Q", file.read(64), 32)[0])


def test_nothing_reaches_the_file_before_it_is_asked_for(disk: Disk):
    disk.wait(64)
    for number in range(100):
        probe.append(disk.journal, 200, 1 + number)
    time.sleep(0.05)
    assert in_the_file(disk.path) == []
    disk.syncer.ask()
    disk.wait(disk.journal.end)
    assert len(in_the_file(disk.path)) == 100
    assert disk.syncer.synced_end == disk.journal.end == synced_end_in(disk.path)


def test_what_synced_end_says_is_in_the_file_at_every_moment(disk: Disk):
    """Read by somebody else while it is written: the end that was called written is never ahead of what is there."""
    for _ in range(60):
        for number in range(50):
            probe.append(disk.journal, 320, 1 + number)
        disk.syncer.ask()
        safe = disk.syncer.synced_end
        header = synced_end_in(disk.path)
        frames = in_the_file(disk.path)
        last = frames[-1][0] + frames[-1][1] if frames else 64
        assert last >= safe >= 0
        assert last >= header
    disk.wait(disk.journal.end)
    assert len(in_the_file(disk.path)) == 3000


def test_what_comes_during_a_write_goes_with_the_next(disk: Disk):
    before = disk.syncer.batches
    for _ in range(5000):
        probe.append(disk.journal, 200, 3)
        disk.syncer.ask()
    disk.wait(disk.journal.end)
    assert disk.syncer.batches - before < 2500
    assert len(in_the_file(disk.path)) == 5000


def test_a_request_is_never_forgotten(disk: Disk):
    """One frame at a time, each awaited: a lost wake-up would hang here."""
    for number in range(300):
        probe.append(disk.journal, 64, 1 + number % 250)
        disk.syncer.ask()
        disk.wait(disk.journal.end)
    assert disk.syncer.batches >= 300


def test_stopping_writes_what_is_committed(disk: Disk):
    for _ in range(10):
        probe.append(disk.journal, 200, 3)
    disk.stop()
    assert disk.syncer.synced_end == disk.journal.end
    assert len(in_the_file(disk.path)) == 10


def test_a_day_in_segments(tmp_path: Path):
    disk = Disk(tmp_path / "20261123-00.journal", segment_size=MIB, capacity=16 * MIB)
    try:
        for number in range(20_000):
            probe.append(disk.journal, 264, 1 + number % 200)
            if number % 100 == 0:
                disk.syncer.ask()
        disk.syncer.ask()
        disk.wait(disk.journal.end)
        assert disk.journal.end > 5 * MIB
        assert len(in_the_file(disk.path)) == 20_000
    finally:
        disk.stop()
        disk.file.close()
    assert len(list(tmp_path.glob("*.journal"))) == 6
    assert len(in_the_file(disk.path)) == 20_000


def test_a_process_that_dies_leaves_what_was_written(tmp_path: Path):
    """The mapping is our own: what was committed and not written is gone, the rest is there, and the day goes on."""
    path = tmp_path / "20261123-00.journal"
    disk = Disk(path)
    for _ in range(30):
        probe.append(disk.journal, 200, 3)
    disk.syncer.ask()
    disk.wait(disk.journal.end)
    disk.stop()
    for _ in range(7):
        probe.append(disk.journal, 200, 4)
    disk.file.close_files()
    again = Disk(path)
    assert again.journal.seq == 30
    for _ in range(5):
        probe.append(again.journal, 200, 5)
    again.stop()
    again.file.close()
    assert len(in_the_file(path)) == 35


def test_a_journal_in_process_mode_can_be_synced_too(tmp_path: Path):
    """As a primary does that loses its standby."""
    disk = Disk(tmp_path / "20261123-00.journal", private=False)
    for _ in range(30):
        probe.append(disk.journal, 200, 3)
    disk.syncer.ask()
    disk.wait(disk.journal.end)
    assert synced_end_in(disk.path) == disk.journal.end
    disk.stop()
    disk.file.close()
    assert len(in_the_file(disk.path)) == 30


@pytest.mark.parametrize("kind", ["fsync", "write"])
def test_a_failure_is_final(disk: Disk, kind: str):
    """/dev/null takes octets and refuses an fsync; a descriptor for reading refuses the octets."""
    probe.append(disk.journal, 200, 3)
    disk.syncer.ask()
    disk.wait(disk.journal.end)
    safe = disk.syncer.synced_end
    number = disk.file.files[0].fileno()
    kept = os.dup(number)
    other = os.open("/dev/null" if kind == "fsync" else disk.path, os.O_RDWR if kind == "fsync" else os.O_RDONLY)
    os.dup2(other, number)
    probe.append(disk.journal, 200, 4)
    disk.syncer.ask()
    disk.wait(disk.journal.end)
    assert disk.syncer.failed
    os.dup2(kept, number)
    for _ in range(3):
        probe.append(disk.journal, 200, 4)
        disk.syncer.ask()
        time.sleep(0.02)
    assert disk.syncer.synced_end == safe == synced_end_in(disk.path)
    with pytest.raises(OSError, match=os.strerror(disk.syncer.failed)):
        disk.journal.sync()
    os.close(kept)
    os.close(other)


def resident_anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


def test_memory_stays_flat_and_old_frames_stay_readable(disk: Disk):
    first = disk.journal.end
    probe.append(disk.journal, 4096, 99)
    kept = disk.journal.frame_bytes(first)
    before = resident_anonymous()
    for number in range(320):
        assert probe.append(disk.journal, MIB, 1 + number % 250, True)
        disk.syncer.ask()
        if number % 16 == 0:
            disk.wait(disk.journal.end)
    disk.wait(disk.journal.end)
    assert resident_anonymous() - before < 160 * MIB
    assert disk.journal.frame_bytes(first) == kept
    frames = probe.read_all(disk.journal)
    assert len(frames) == 321


def test_a_private_journal_has_its_header_at_once(tmp_path: Path):
    """A process that dies before the first group leaves an empty journal, not a file of zeros."""
    path = tmp_path / "20261123-00.journal"
    file = JournalFile(path, private=True)
    file.journal.grow(1000)
    file.close_files()
    assert in_the_file(path) == []


def test_a_journal_that_cannot_be_written_is_refused(tmp_path: Path):
    path = tmp_path / "read-only.journal"
    path.write_bytes(b"")
    number = os.open(path, os.O_RDONLY)
    with pytest.raises(JournalError, match="cannot be created"):
        Journal(number, 0, str(path), private=True)
    os.close(number)
