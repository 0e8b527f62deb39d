"""Window cells against a list of everything that was added: sliding steps, days, phases, clocks that go back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.probe import Cell

SUM, MAX, MOVE, HIGH, LOW = range(5)
STEPS = 17


def expected(kind: int, added: list[tuple[int, int]], now: int) -> int | None:
    """The value by looking through everything: (step, amount), steps never going back."""
    now = max([now, *(step for step, _ in added)])
    inside = [amount for step, amount in added if step > now - STEPS]
    if kind == SUM:
        return sum(inside)
    if kind == MAX:
        return max(inside, default=0)
    if kind in (HIGH, LOW):
        return (max if kind == HIGH else min)(inside) if inside else None
    if not added:
        return None
    before = [amount for step, amount in added if step <= now - STEPS]
    reference = before[-1] if before else inside[0]
    return (added[-1][1] - reference) * 10**6 // reference


steps = st.lists(st.tuples(st.integers(-3, 25), st.integers(1, 10**9)), max_size=40)


@pytest.mark.parametrize("kind", [SUM, MAX, MOVE, HIGH, LOW])
@given(moves=steps, ahead=st.integers(0, 40))
def test_a_sliding_window_is_the_sum_of_its_last_steps(kind: int, moves: list[tuple[int, int]], ahead: int) -> None:
    cell, added, now = Cell(kind, True), [], 1000
    for passed, amount in moves:
        now += passed
        cell.add(now, amount)
        added.append((max(now, added[-1][0] if added else 0), amount))
        assert cell.value(now) == expected(kind, added, now)
    assert cell.value(now + ahead) == expected(kind, added, now + ahead)
    assert cell.value(now) == expected(kind, added, now), "reading changed it"


@pytest.mark.parametrize("kind", [SUM, MAX, MOVE, HIGH, LOW])
def test_the_edge_of_a_sliding_window(kind: int) -> None:
    cell = Cell(kind, True)
    cell.add(100, 7)
    inside, outside = {SUM: (7, 0), MAX: (7, 0), MOVE: (0, 0), HIGH: (7, None), LOW: (7, None)}[kind]
    assert cell.value(100 + STEPS - 1) == inside
    assert cell.value(100 + STEPS) == outside


@given(moves=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 10**9)), max_size=30))
def test_a_phase_begins_anew(moves: list[tuple[int, int]]) -> None:
    cells = {kind: Cell(kind, False) for kind in range(5)}
    phase, added = 0, []
    for change, amount in moves:
        phase += change
        added.append((phase, amount))
        inside = [a for p, a in added if p == phase]
        before = [a for p, a in added if p < phase]
        for cell in cells.values():
            cell.add(phase, amount)
        reference = before[-1] if before else inside[0]
        found = [cells[kind].value(phase) for kind in range(5)]
        assert found == [sum(inside), max(inside), (amount - reference) * 10**6 // reference, max(inside), min(inside)]
    assert [cells[kind].value(phase + 1) for kind in range(5)] == [0, 0, 0 if added else None, None, None]


def test_moves_round_down() -> None:
    cell = Cell(MOVE, False)
    cell.add(0, 3)
    cell.add(0, 2)
    assert cell.value(0) == -333_334
