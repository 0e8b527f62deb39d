"""Snapshots: at any point of a life, one loaded and folded on is the whole journal's fold; damage is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext import follower, queries, replay, snapshot, sweeps
from ext.engine import Engine
from ext.snapshot import SnapshotError
from tests import actions as act
from tests import probe
from tests import rule_worlds as w
from tests.driver import OpenJournal, open_state
from tests.pair import Pair
from tests.rule_pair import RulePair
from tests.rule_writer import RuleWriter
from tests.seeded_life import Simulation


class Reader:
    """Octets as a file gives them: never more than are left, and few at a time."""

    def __init__(self, octets: bytes, most: int = 1 << 20) -> None:
        self.octets, self.at, self.most = memoryview(octets), 0, most

    def __call__(self, room: memoryview) -> int:
        part = self.octets[self.at : self.at + min(len(room), self.most)]
        room[: len(part)] = part
        self.at += len(part)
        return len(part)


class Folding:
    """An engine that only reads a journal."""

    def __init__(self, path: Path, orders: int = 4_096) -> None:
        self.file = OpenJournal(path)
        self.journal = self.file.journal
        self.engine = Engine(open_state(orders), self.journal)
        self.journal.rewind()

    def fold(self, limit: int = 1 << 62) -> Folding:
        replay.fold_on(self.engine, limit)
        return self

    def saved(self) -> bytes:
        octets = bytearray()
        assert snapshot.save(self.engine, octets.extend) == len(octets)
        return bytes(octets)

    def load(self, octets: bytes, most: int = 1 << 20) -> Folding:
        snapshot.load(self.engine, Reader(octets, most))
        return self


def offsets_of(path: Path) -> list[int]:
    return list(probe.frame_offsets(Folding(path).fold().journal))


def check(path: Path, at: int, orders: int = 4_096) -> None:
    """A snapshot taken where the frame at this offset begins, loaded and folded on, against the whole journal."""
    whole = Folding(path).fold()
    octets = Folding(path).fold(at).saved()
    loaded = Folding(path, orders).load(octets)
    assert loaded.journal.end == at
    loaded.fold()
    assert loaded.engine.state.hash() == whole.engine.state.hash()
    assert (loaded.journal.end, loaded.journal.seq) == (whole.journal.end, whole.journal.seq)
    if orders == 4_096:
        assert loaded.saved() == whole.saved(), "rows that the hash does not see, or rows watched for quotes"
    assert sweeps.settle(loaded.engine) == sweeps.settle(whole.engine)
    assert queries.check_invariants(loaded.engine) == []


def plain_life(folder: Path, seed: int, steps: int) -> Path:
    path = folder / f"{seed}.journal"
    path.unlink(missing_ok=True)
    simulation = Simulation(seed)
    pair = Pair(simulation.model, path)
    for action in simulation.actions(steps):
        if not isinstance(action, act.Restart):
            pair.step(action)
    return path


def ruled_life(folder: Path, seed: int, steps: int) -> Path:
    """A life under random rules, which change while it lasts."""
    path = folder / f"{seed}.journal"
    rng = random.Random(seed)
    rules = RuleWriter(rng).file()
    pair = RulePair(path, rules)
    for action in w.Tape(rng, pair.model, rules, pair.asked).actions(steps):
        pair.step(action)
    return path


@pytest.mark.parametrize("live", [plain_life, ruled_life])
def test_a_snapshot_and_the_rest_are_the_whole(tmp_path: Path, live: object) -> None:
    assert callable(live)
    for seed in range(1, 7):
        path = live(tmp_path, seed, 250)
        offsets = offsets_of(path)
        rng = random.Random(seed)
        for at in {offsets[1], offsets[-1], *rng.sample(offsets[2:], 8)}:
            check(path, at)
        path.unlink()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**16), steps=st.integers(1, 200), share=st.floats(0, 1), ruled=st.booleans())
def test_at_any_point_of_any_life(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int, share: float, ruled: bool
) -> None:
    path = (ruled_life if ruled else plain_life)(tmp_path_factory.mktemp("life"), seed, steps)
    offsets = offsets_of(path)
    check(path, offsets[1 + int(share * (len(offsets) - 2))])
    path.unlink()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = ruled_life(tmp_path_factory.mktemp("snapshots"), 5, 200)
    yield path
    path.unlink()


def test_tables_of_another_size_are_filled_as_well(life: Path) -> None:
    offsets = offsets_of(life)
    for orders in (600, 40_000):
        check(life, offsets[len(offsets) // 2], orders)


def test_octets_may_come_in_any_portions(life: Path) -> None:
    octets = Folding(life).fold().saved()
    assert Folding(life).load(octets, most=1_001).saved() == octets


def test_every_damaged_octet_is_found(life: Path) -> None:
    octets = Folding(life).fold().saved()
    rng = random.Random(1)
    for at in [*range(0, 400, 7), *(rng.randrange(len(octets)) for _ in range(120)), len(octets) - 1]:
        damaged = bytearray(octets)
        damaged[at] ^= 1 << rng.randrange(8)
        with pytest.raises(SnapshotError):
            Folding(life).load(bytes(damaged))


def test_one_that_stops_short_is_refused(life: Path) -> None:
    octets = Folding(life).fold().saved()
    for size in (0, 10, 300, len(octets) // 2, len(octets) - 8, len(octets) - 1):
        with pytest.raises(SnapshotError, match="it ends after"):
            Folding(life).load(octets[:size])


def test_one_of_another_journal_is_refused(life: Path, tmp_path: Path) -> None:
    octets = Folding(life).fold(offsets_of(life)[40]).saved()
    other = plain_life(tmp_path, 9, 300)
    with pytest.raises(SnapshotError, match="it is of another journal: at offset"):
        Folding(other).load(octets)
    other.unlink()


def test_one_that_is_ahead_of_its_journal_is_refused(life: Path, tmp_path: Path) -> None:
    """After a power failure the journal may have lost its end."""
    octets = Folding(life).fold().saved()
    shorter = tmp_path / "shorter"
    with life.open("rb") as whole:
        shorter.write_bytes(whole.read(offsets_of(life)[-20]))
    with pytest.raises(SnapshotError, match="the journal is shorter"):
        Folding(shorter).load(octets)
    with shorter.open("ab") as file:
        file.write(bytes(1 << 20))
    with pytest.raises(SnapshotError, match="it is of another journal"):
        Folding(shorter).load(octets)


def test_more_rows_than_fit_are_refused(life: Path) -> None:
    octets = Folding(life).fold().saved()
    with pytest.raises(SnapshotError, match=r"it has \d+ orders, at most 5 fit"):
        Folding(life, 5).load(octets)


def test_a_snapshot_knows_the_owner_s_epoch(tmp_path: Path) -> None:
    """Else a node that starts from one would take the shard for nobody's once the lease store has forgotten it."""
    file = OpenJournal(tmp_path / "journal")
    engine = Engine(open_state(), file.journal)
    follower.record_owner(engine, 7, "ann", 1)
    whole = Folding(tmp_path / "journal").fold()
    assert Folding(tmp_path / "journal").load(whole.saved()).engine.state.epoch == 7
    assert Folding(tmp_path / "journal").load(whole.saved()).engine.state.hash() == engine.state.hash()
