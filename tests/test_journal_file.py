"""A day's files: their names, the lock, the next one opened ahead of need, and what is told when it cannot be."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ext.journal import JournalError
from gateway.journal_file import AHEAD, JournalFile, days_in, segment_path, segments_of
from tests import journal_probe as probe

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "20261123-00.journal"


def settled(file: JournalFile) -> list[dict]:
    """What ensure_ahead told, its thread ended."""
    told = file.ensure_ahead()
    if file.opening is not None:
        file.opening.join()
    return told + file.ensure_ahead()


def test_names(tmp_path: Path):
    for name in ("00.journal", "00.0001.journal", "00.0002.journal.zst", "01.journal.zst", "00.journal.zst.tmp"):
        (tmp_path / f"20261123-{name}").write_bytes(b"")
    for name in ("20261122-00.journal", "20261123-00.12.journal", "other.journal"):
        (tmp_path / name).write_bytes(b"")
    names = {number: file.name for number, file in segments_of(tmp_path / "20261123-00.journal").items()}
    assert names == {0: "20261123-00.journal", 1: "20261123-00.0001.journal", 2: "20261123-00.0002.journal.zst"}
    assert [day.name for day in days_in(tmp_path, 0)] == ["20261122-00.journal", "20261123-00.journal"]
    assert [day.name for day in days_in(tmp_path, 1)] == ["20261123-01.journal"]
    assert segment_path(tmp_path / "20261123-00.journal", 12345).name == "20261123-00.12345.journal"


@pytest.mark.parametrize("private", [False, True])
def test_the_next_files_are_there_before_they_are_needed(path: Path, private: bool):
    file = JournalFile(path, segment_size=16 * MIB, private=private)
    assert file.journal.capacity == 16 * MIB
    assert settled(file) == []
    assert file.journal.capacity >= file.journal.end + AHEAD
    opened = len(segments_of(path))
    assert opened == AHEAD // (16 * MIB) + 1
    for _ in range(40):
        assert probe.append(file.journal, MIB, 7, True)
    assert settled(file) == []
    assert file.journal.capacity >= file.journal.end + AHEAD
    file.close()
    assert len(segments_of(path)) == 3, "files that nothing was written to are removed"


def test_without_anyone_ahead_the_owner_opens_them_itself(path: Path):
    file = JournalFile(path, segment_size=MIB, capacity=64 * MIB)
    for _ in range(20):
        assert probe.append(file.journal, MIB, 7, True)
    file.close()
    assert len(segments_of(path)) == 21


def test_a_file_that_cannot_be_opened_is_told_once_and_tried_again(path: Path):
    file = JournalFile(path, segment_size=16 * MIB)
    segment_path(path, 2).mkdir()
    (told,) = settled(file)
    assert told["event"] == "segment_failed"
    assert f"{segment_path(path, 2)}: offset 0: cannot be opened: Is a directory" in told["reason"]
    assert settled(file) == []
    # There is room left in the files that are open.
    while probe.append(file.journal, MIB, 7, True):
        pass
    assert file.journal.end > 30 * MIB
    assert [told["event"] for told in settled(file)] == ["disk_full"]
    segment_path(path, 2).rmdir()
    assert [told["event"] for told in settled(file)] == ["disk_has_room"]
    assert probe.append(file.journal, MIB, 7, True)
    file.close()


def test_two_gateways_never_share_a_day(path: Path):
    file = JournalFile(path)
    with pytest.raises(JournalError, match="another gateway holds it"):
        JournalFile(path)
    reading = JournalFile(path, writable=False)
    reading.close()
    journal = file.journal
    file.close()
    again = JournalFile(path)
    assert journal.end == again.journal.end == 64
    again.close()


def test_the_size_of_segments_is_the_days_own(path: Path):
    file = JournalFile(path, segment_size=MIB, capacity=64 * MIB)
    for number in range(3):
        assert probe.append(file.journal, MIB, 7 + number, True)
    file.close()
    again = JournalFile(path, segment_size=4 * MIB)
    assert again.journal.segment_size == MIB
    assert len(probe.read_all(again.journal)) == 3
    again.close()


def test_opening_leaves_no_descriptor_behind(path: Path):
    JournalFile(path, segment_size=MIB, capacity=8 * MIB).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        JournalFile(path).close()
        JournalFile(path, writable=False).close()
    path.write_bytes(b"x" * 100)
    for _ in range(5):
        with pytest.raises(JournalError, match="not a journal"):
            JournalFile(path)
    assert len(os.listdir("/proc/self/fd")) == before
