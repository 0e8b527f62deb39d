"""Cutting down a failing list."""
from __future__ import annotations

from tests.cut import cut_down


def test_what_is_left_is_what_matters() -> None:
    assert cut_down(range(1_000), lambda steps: 17 in steps and 900 in steps) == [17, 900]


def test_it_gives_up_after_its_trials() -> None:
    tried = []
    kept = cut_down(range(100), lambda steps: tried.append(1) or 99 in steps, trials=3)
    assert len(tried) == 3
    assert 99 in kept
