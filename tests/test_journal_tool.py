"""What `tidegate journal` says about frames, and about files that are not there."""

import json

import pytest

from gateway.journal_tool import JournalFault, counted, dumped, journal_files
from gateway.settings import SettingError

FRAMES = [
    (64, 1, "ACCEPTED", 1_700_000_000_000_000_000, {"account": "A1", "order_id": 1}),
    (192, 2, "REJECTED", 1_700_000_000_000_000_100, {"account": "A1", "reject_code": 1301}),
    (320, 3, "ACCEPTED", 1_700_000_000_000_000_200, {"account": "A2", "order_id": 2, "raw": b"\x00\x01"}),
]


def test_dump_is_one_line_of_json_per_frame():
    lines = [json.loads(line) for line in dumped(FRAMES)]
    assert lines[1] == {"offset": 192, "seq": 2, "type": "REJECTED", "time_ns": 1_700_000_000_000_000_100,
                        "account": "A1", "reject_code": 1301}
    assert lines[2]["raw"] == "AAE="


def test_verify_counts_by_type():
    assert counted(FRAMES) == "3 frames, last seq 3 (ACCEPTED 2, REJECTED 1)"
    assert counted([]) == "0 frames, last seq 0 (empty)"


def test_a_gap_in_the_sequence_is_a_fault():
    with pytest.raises(JournalFault, match="offset 320: seq: got 3, expected 2"):
        counted([FRAMES[0], FRAMES[2]])


def test_files_of_a_directory_in_order(tmp_path):
    for name in ("b.journal", "a.journal", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in journal_files(tmp_path)] == ["a.journal", "b.journal"]
    assert journal_files(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(SettingError, match="expected a journal file or a directory of them"):
        journal_files(tmp_path / "none")
