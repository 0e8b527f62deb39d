"""`tidegate journal` on real journals: whole, torn, damaged, not there."""

import hashlib
import io
import json
import time

import pytest

from ext.engine import Engine
from ext.state import State
from gateway.journal_compact import Compaction
from gateway.journal_file import JournalFile
from gateway.journal_tool import Wanted, dump, replayed, verify
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


def test_replay_up_to_a_frame_is_the_state_there(journal):
    path, state_hash, _ = journal
    frames = int(replayed(path).split(": ")[1].split()[0])
    assert replayed(path, frames) == replayed(path) == replayed(path, frames + 100)
    hashes = [replayed(path, number).split()[-1] for number in range(1, frames)]
    assert f"{path}: 5 frames, state hash {hashes[4]}" == replayed(path, 5)
    assert state_hash not in hashes[:-1]


def test_the_hash_is_of_the_frames_and_of_nothing_else(journal):
    path, _, end = journal
    digest = hashlib.sha256(path.read_bytes()[64:end]).hexdigest()
    assert f"sha256 {digest} (" in verify(path)
    with path.open("r+b") as file:
        file.seek(32)
        file.write(bytes(8))  # the header of a copy that was not closed
    assert f"sha256 {digest} (" in verify(path)


def test_a_compressed_day_reads_as_before(journal):
    path, _, _ = journal
    before = verify(path), replayed(path)
    assert "and read back" in "".join(Compaction(path.parent, None, False, False, today=20261124).run())
    assert not path.exists()
    for name in (path, path.parent, path.with_name(path.name + ".zst")):
        assert (verify(name), replayed(name)) == before


def dumped(path, **wanted):
    stream = io.StringIO()
    dump(path, stream, Wanted(**wanted))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_dump_of_what_is_wanted(journal):
    path, _, _ = journal
    everything = dumped(path)
    assert dumped(path, from_seq=3, to_seq=7) == everything[2:7]
    assert dumped(path, to_seq=1) == everything[:1]
    assert dumped(path, type="ACCOUNT") == [line for line in everything if line["type"] == "ACCOUNT"]
    assert [line["type"] for line in dumped(path, account="LT099", type="ACCOUNT")] == ["ACCOUNT"]
    assert dumped(path, account="nobody") == []
    (number,) = {line.get("account", 0) for line in dumped(path, account="LT099")}
    assert dumped(path, account=str(number)) == dumped(path, account="LT099")
    assert dumped(path, account="0")[0]["type"] == "ACCOUNT", "frames of no account are not those of the first one"


@pytest.mark.parametrize(("wanted", "message"), [
    ({"type": "ORDERS"}, "--type: got 'ORDERS', expected one of ACCOUNT, "),
    ({"from_seq": 9, "to_seq": 3}, r"--to-seq: got 3, expected 9 \(--from-seq\) or more"),
])
def test_what_cannot_be_wanted(journal, wanted, message):
    with pytest.raises(SettingError, match=message):
        dumped(journal[0], **wanted)


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
