"""`tidegate journal` on real journals: whole, torn, damaged, not there."""

import io
import json
import time

import pytest

from ext.engine import Engine
from ext.state import State
from gateway.journal_file import JournalFile
from gateway.journal_tool import dump, replayed, verify
from gateway.limits import load_limits
from gateway.loading import load_engine
from gateway.reference import load_instruments
from gateway.settings import SettingError
from tests.test_limits import GOOD
from tests.test_reference import HEADER, MAIN

BANNED = "600000,XSHG,MAIN,Banned,0,100,100,100,1000000,1000000,100000,110000,90000,NORMAL,1,1"


@pytest.fixture
def journal(tmp_path):
    """A journal with a day's settings in it, and the hash of the state it was written from."""
    (tmp_path / "limits.yaml").write_text(GOOD)
    (tmp_path / "instruments.csv").write_text("\n".join([HEADER, MAIN, BANNED, ""]))
    file = JournalFile(tmp_path / "20261123-00.journal")
    state = State(1024, 1024, 1024)
    engine = Engine(state, file.journal)
    load_engine(engine, load_limits(tmp_path / "limits.yaml"), load_instruments(tmp_path / "instruments.csv"),
                trade_date=20261123, shard=0, now_ns=time.time_ns())
    file.close()
    return tmp_path / "20261123-00.journal", state.hash(), file.journal.end


def test_verify_counts_frames_by_type(journal):
    path, _, end = journal
    text = verify(path)
    assert text.startswith(f"{path}: whole: ")
    assert f"{end} bytes" in text
    assert all(kind in text for kind in ("DAY 1", "ACCOUNT 6", "INSTRUMENT 2", "POSITION 1", "PORT 1"))
    assert verify(path.parent) == text


def test_dump_is_one_line_of_json_per_frame(journal):
    path, _, _ = journal
    stream = io.StringIO()
    dump(path, stream)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0]["type"] == "DAY"
    assert f" {len(lines)} frames" in verify(path)


def test_replay_reproduces_the_state_hash(journal):
    path, state_hash, _ = journal
    assert replayed(path).endswith(f"state hash {state_hash}")


def test_reading_changes_nothing(journal):
    path, _, _ = journal
    before = path.read_bytes()
    verify(path)
    replayed(path)
    assert path.read_bytes() == before


def test_a_torn_last_frame_is_the_end(journal):
    path, state_hash, end = journal
    with path.open("r+b") as file:
        file.seek(end)
        file.write((64).to_bytes(4, "little") + b"torn")
    assert f"{end} bytes" in verify(path)
    assert replayed(path).endswith(state_hash)


@pytest.mark.parametrize("at", [0.25, 0.5, 0.75])
def test_a_damaged_frame_is_named_with_its_offset(journal, at):
    path, _, end = journal
    with path.open("r+b") as file:
        file.seek(int(end * at))
        (octet,) = file.read(1)
        file.seek(int(end * at))
        file.write(bytes([octet ^ 0xFF]))
    for command in (verify, replayed):
        with pytest.raises(SettingError, match=r"20261123-00\.journal: offset \d+: frame"):
            command(path)


def test_what_is_no_journal(tmp_path):
    (tmp_path / "short.journal").write_bytes(b"x")
    (tmp_path / "other").write_bytes(b"x" * 4096)
    with pytest.raises(SettingError, match="expected a journal of at least 64"):
        verify(tmp_path / "short.journal")
    with pytest.raises(SettingError, match="not a journal"):
        verify(tmp_path / "other")
    with pytest.raises(SettingError, match="expected a journal file or a directory of them"):
        verify(tmp_path / "none")
    (tmp_path / "short.journal").unlink()
    with pytest.raises(SettingError, match=r"expected a directory with \*\.journal files"):
        verify(tmp_path)
