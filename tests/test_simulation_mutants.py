"""The simulator can fail: each mistake on its list is found within a bounded number of events."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, is_caught


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_mistake_is_found(mutant: Mutant) -> None:
    assert is_caught(mutant)
