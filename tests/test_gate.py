"""The gate: nothing leaves before the journal it rests on is safe, in order, and never after it was shut."""

from pathlib import Path

import pytest

from ext import sweeps
from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.engine import Engine
from ext.gate import Gate
from ext.settings import begin_day
from tests.driver import OpenJournal
from tests.driver_world import open_state


class Wire:
    """A transport that remembers what was written, and whether it was closed behind it."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, octets: bytes) -> None:
        self.said.append(octets)

    def close(self) -> None:
        self.said.append(b"closed")

    def is_closing(self) -> bool:
        return b"closed" in self.said


class Plant:
    """A journal that grows by one kill at a time, and the gate on it."""

    def __init__(self, folder: Path) -> None:
        self.file = OpenJournal(folder / "journal")
        self.engine = Engine(open_state(1024), self.file.journal)
        begin_day(self.engine, 20261123, 0, 1)
        self.gate = Gate(self.file.journal)
        self.turn = Turn(lambda _: None, self.gate)
        self.asked = 0
        self.wires = Wire(), Wire()

        def ask() -> None:
            self.asked += 1

        self.gate.on_unsafe = ask

    def happen(self) -> int:
        sweeps.kill(self.engine, 4, 0, True, "ann", 1)
        return self.file.journal.end


@pytest.fixture
def plant(tmp_path):
    return Plant(tmp_path)


def test_without_a_promise_everything_leaves_at_once(plant):
    plant.happen()
    plant.turn.write(plant.wires[0], b"a")
    assert plant.wires[0].said == [b"a"]
    assert plant.asked == 0


def test_what_rests_on_unsafe_octets_waits_and_leaves_in_order(plant):
    plant.gate.advance(plant.file.journal.end)
    first = plant.happen()
    plant.turn.write(plant.wires[0], b"a1")
    plant.turn.write(plant.wires[1], b"b1")
    second = plant.happen()
    plant.turn.write(plant.wires[0], b"a2")
    assert plant.wires[0].said == plant.wires[1].said == []
    assert plant.asked == 3
    assert plant.gate.held_bytes == 6
    plant.gate.advance(first)
    assert [wire.said for wire in plant.wires] == [[b"a1"], [b"b1"]]
    plant.gate.advance(second)
    assert plant.wires[0].said == [b"a1", b"a2"]
    assert plant.gate.held_bytes == 0


def test_what_rests_on_safe_octets_still_waits_behind_what_does_not(plant):
    plant.gate.advance(plant.file.journal.end)
    end = plant.happen()
    plant.turn.write(plant.wires[0], b"1")
    plant.gate.advance(end - 8)
    plant.turn.write(plant.wires[0], b"2")
    assert plant.wires[0].said == []
    plant.gate.advance(end)
    assert plant.wires[0].said == [b"1", b"2"]


def test_safety_never_goes_backwards(plant):
    end = plant.happen()
    plant.gate.advance(end)
    plant.gate.advance(8)
    plant.turn.write(plant.wires[0], b"a")
    assert plant.wires[0].said == [b"a"]
    assert plant.gate.safe_end == end


def test_a_close_waits_behind_what_is_held(plant):
    plant.gate.advance(plant.file.journal.end)
    end = plant.happen()
    plant.turn.write(plant.wires[0], b"last words")
    plant.gate.close_when_safe(plant.wires[0])
    assert plant.wires[0].said == []
    plant.gate.advance(end)
    assert plant.wires[0].said == [b"last words", b"closed"]


def test_nothing_leaves_after_its_time_until_it_is_given_more(plant):
    plant.gate.allow_until(utc_now_ns() - 1)
    plant.turn.write(plant.wires[0], b"a")
    plant.gate.advance(plant.file.journal.end)
    assert plant.wires[0].said == []
    plant.gate.allow_until(utc_now_ns() + 10**12)
    assert plant.wires[0].said == [b"a"]
    plant.gate.allow_until(None)
    plant.turn.write(plant.wires[0], b"b")
    assert plant.wires[0].said == [b"a", b"b"]


def test_nothing_leaves_a_gate_that_is_shut(plant):
    plant.gate.advance(plant.file.journal.end)
    end = plant.happen()
    told = []
    plant.turn.write(plant.wires[0], b"a")
    plant.gate.when_safe(lambda: told.append("held"))
    plant.gate.shut()
    plant.turn.write(plant.wires[0], b"b")
    plant.gate.when_safe(lambda: told.append("late"))
    plant.gate.advance(end)
    plant.gate.trust()
    assert plant.wires[0].said == told == []
    assert plant.gate.held_bytes == 0


def test_whoever_asks_is_called_when_all_that_happened_is_safe(plant):
    told = []
    plant.gate.when_safe(lambda: told.append(1))
    plant.gate.advance(plant.file.journal.end)
    end = plant.happen()
    plant.gate.when_safe(lambda: told.append(2))
    assert told == [1]
    plant.gate.advance(end)
    assert told == [1, 2]


def test_after_a_hand_over_refusals_leave_and_what_was_held_does_not(plant):
    plant.gate.advance(plant.file.journal.end)
    plant.happen()
    plant.turn.write(plant.wires[0], b"an answer that rests on a frame nobody has")
    plant.gate.allow_until(utc_now_ns() - 1)
    plant.gate.let_refusals_out()
    plant.happen()
    plant.turn.write(plant.wires[0], b"R1614")
    assert plant.wires[0].said == [b"R1614"]
    assert plant.gate.held_bytes == 0
