"""The simulator can fail: each mistake on its list is found within a bounded number of events."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, seeds
from tests.simulation.world import Violation, World

STEPS = 8_000


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_mistake_is_found(mutant: Mutant) -> None:
    assert any(is_caught(seed, mutant) for seed in seeds())


def is_caught(seed: int, mutant: Mutant) -> bool:
    """Whether that life ends in a violation."""
    try:
        World(seed, kind=mutant.kind, node_class=mutant.node, patches=mutant.patches).run(STEPS)
    except Violation:
        return True
    return False
