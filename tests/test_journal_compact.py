"""`tidegate journal compact` on real folders: what is compressed reads as before, and nothing else is touched."""
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import zstandard

from ext.journal import JournalError
from gateway import cli
from gateway.journal_compact import Compaction
from gateway.journal_file import JournalFile, days_in, segment_path
from gateway.journal_tool import verify
from gateway.settings import SettingError
from tests import journal_probe as probe

TODAY = 20261127
SEGMENT = 1 << 20


def write_day(folder: Path, date: int, shard: int = 0, frames: int = 50) -> Path:
    path = folder / f"{date}-{shard:02d}.journal"
    file = JournalFile(path, segment_size=SEGMENT, capacity=8 * SEGMENT)
    for number in range(frames):
        assert probe.append(file.journal, 200, 1 + number % 200)
    file.close()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for date in (20261118, 20261119, 20261124, 20261126, TODAY):
        write_day(tmp_path, date)
    return tmp_path


def compacted(folder: Path, keep_days: int | None = None, delete: bool = False, dry_run: bool = False) -> list[str]:
    return list(Compaction(folder, keep_days, delete, dry_run, today=TODAY).run())


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def content(path: Path) -> list[tuple[int, int, int]]:
    file = JournalFile(path, writable=False)
    try:
        found: list[tuple[int, int, int]] = probe.read_all(file.journal)
        return found
    finally:
        file.close()


def test_days_that_are_over_are_compressed_and_read_as_before(folder: Path):
    before = {day: (verify(day), content(day)) for day in days_in(folder)}
    lines = compacted(folder)
    assert len(lines) == 5
    assert [line.split(": ")[1] for line in lines] == ["compressed"] * 4 + ["left alone"]
    over = [f"{date}-00.journal.zst" for date in (20261118, 20261119, 20261124, 20261126)]
    assert names(folder) == [*over, f"{TODAY}-00.journal"]
    assert days_in(folder) == list(before)
    assert {day: (verify(day), content(day)) for day in days_in(folder)} == before
    assert [line.split(": ")[1] for line in compacted(folder)] == ["is compressed"] * 4 + ["left alone"]


def test_a_compressed_file_has_the_same_octets(tmp_path: Path):
    path = write_day(tmp_path, 20261118, frames=20_000)
    originals = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.iterdir()}
    assert len(originals) == 4
    compacted(tmp_path)
    assert len(content(path)) == 20_000
    for name, digest in originals.items():
        packed = (tmp_path / f"{name}.zst").read_bytes()
        assert hashlib.sha256(zstandard.ZstdDecompressor().decompressobj().decompress(packed)).digest() == digest


def test_a_day_that_is_half_compressed_reads_and_is_finished(tmp_path: Path):
    """As a pass that was killed leaves it: some segments compressed, one of them beside its original."""
    path = write_day(tmp_path, 20261118, frames=20_000)
    compacted(tmp_path)
    kept = segment_path(path, 1)
    packed = kept.with_name(kept.name + ".zst")
    kept.write_bytes(zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes()))
    packed.write_bytes(packed.read_bytes()[:100])
    (tmp_path / "20261118-00.0002.journal.zst.tmp").write_bytes(b"half")
    assert len(content(path)) == 20_000
    assert any(line.startswith(f"{kept}: compressed") for line in compacted(tmp_path))
    assert not kept.exists()
    assert len(content(path)) == 20_000


def test_old_days_go_only_when_told_to_and_never_the_newest(folder: Path):
    lines = compacted(folder, keep_days=5)
    assert [line.split(": ")[1] for line in lines[:2]] == ["would be deleted with --delete"] * 2
    assert len(names(folder)) == 5
    lines = compacted(folder, keep_days=5, delete=True, dry_run=True)
    assert [line.split(": ")[1] for line in lines[:2]] == ["would be deleted"] * 2
    assert len(names(folder)) == 5
    lines = compacted(folder, keep_days=5, delete=True)
    assert [line.split(": ")[1] for line in lines[:2]] == ["deleted"] * 2
    assert [name[:8] for name in names(folder)] == ["20261124", "20261126", str(TODAY)]
    assert len(list(Compaction(folder, 1, True, False, today=20270101).run())) == 3
    assert [name[:8] for name in names(folder)] == [str(TODAY)], "the next start reads the newest day"


def test_each_shard_keeps_its_newest_day(tmp_path: Path):
    write_day(tmp_path, 20261118, shard=0)
    write_day(tmp_path, 20261119, shard=1)
    compacted(tmp_path, keep_days=1, delete=True)
    assert names(tmp_path) == ["20261118-00.journal.zst", "20261119-01.journal.zst"]


def test_dry_run_changes_nothing(folder: Path):
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    assert sum("would be compressed" in line for line in compacted(folder, dry_run=True)) == 4
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_a_damaged_day_is_left_alone_and_counts(folder: Path):
    path = folder / "20261119-00.journal"
    octets = bytearray(path.read_bytes())
    octets[1000] ^= 1
    path.write_bytes(octets)
    compaction = Compaction(folder, 1, True, False, today=TODAY)
    lines = list(compaction.run())
    assert any(line.startswith(f"{path}: left alone: it does not verify: {path}: offset ") for line in lines)
    assert compaction.damaged == 1
    assert path.read_bytes() == octets
    assert not (folder / "20261118-00.journal").exists()


def test_a_day_that_a_gateway_holds_is_left_alone(folder: Path):
    file = JournalFile(folder / "20261119-00.journal")
    lines = compacted(folder)
    assert f"{folder / '20261119-00.journal'}: left alone: a gateway holds it" in lines
    file.close()


def test_names_that_are_no_day_are_left_alone(folder: Path):
    (folder / "notes.journal").write_text("x")
    (folder / "20261399-00.journal").write_text("x")
    lines = compacted(folder)
    assert sum("left alone: its name is no day and shard" in line for line in lines) == 2


def test_a_compressed_day_cannot_be_written(folder: Path):
    compacted(folder)
    with pytest.raises(JournalError, match="this day is over: its journal is compressed"):
        JournalFile(folder / "20261119-00.journal")
    assert not (folder / "20261119-00.journal").exists()


def test_a_damaged_compressed_file_is_one_line(folder: Path):
    compacted(folder)
    packed = folder / "20261119-00.journal.zst"
    for octets in (packed.read_bytes()[:-40], b"no such thing"):
        packed.write_bytes(octets)
        with pytest.raises(SettingError, match=r"20261119-00\.journal\.zst: offset 0: cannot be decompressed"):
            verify(packed)


@pytest.mark.parametrize(("arguments", "message"), [
    (["{}/none"], "expected a directory of journals"),
    (["{}/empty"], "expected a directory with *.journal files"),
    (["{}", "--delete"], "--delete: got no --keep-days"),
])
def test_wrong_flags_are_one_line(folder: Path, capsys, arguments: list[str], message: str):
    (folder / "empty").mkdir()
    assert cli.run(["journal", "compact", *(argument.format(folder) for argument in arguments)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_the_command_says_what_it_did(folder: Path, capsys):
    assert cli.run(["journal", "compact", str(folder), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("\n") == 5
