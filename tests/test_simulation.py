"""The simulation against the model alone: every code, every invariant, the same life twice from one seed."""
from __future__ import annotations

from collections import Counter

from tests.actions import Submit, apply
from tests.model_ladder import LADDER
from tests.simulation import Simulation

RUNS = 40
STEPS = 500


def run(seed: int, steps: int, codes: Counter[int]) -> list[object]:
    """One life; every outcome and the state at the end."""
    simulation = Simulation(seed)
    trail: list[object] = []
    for action in simulation.actions(steps):
        outcome = apply(simulation.model, action)
        trail.append(outcome)
        if isinstance(action, Submit):
            codes[outcome.code] += 1
        simulation.model.invariants()
    return [*trail, simulation.model.snapshot()]


def test_it_reaches_every_code() -> None:
    codes: Counter[int] = Counter()
    for seed in range(RUNS):
        run(seed, STEPS, codes)
    missing = {code for code, _ in LADDER} - set(codes) - {1603}
    assert not missing, dict(codes)


def test_a_seed_is_the_same_life_twice() -> None:
    assert run(7, STEPS, Counter()) == run(7, STEPS, Counter())
