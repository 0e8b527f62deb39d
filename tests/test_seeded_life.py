"""The simulation against the model alone: every invariant, and the same life twice from one seed."""
from __future__ import annotations

from tests.actions import apply
from tests.seeded_life import Simulation

RUNS = 10
STEPS = 300


def run(seed: int, steps: int) -> list[object]:
    """One life; every outcome and the state at the end."""
    simulation = Simulation(seed)
    trail: list[object] = []
    for action in simulation.actions(steps):
        trail.append(apply(simulation.model, action))
        simulation.model.invariants()
    return [*trail, simulation.model.snapshot()]


def test_invariants_hold_at_every_step() -> None:
    for seed in range(RUNS):
        assert len(run(seed, STEPS)) > STEPS


def test_a_seed_is_the_same_life_twice() -> None:
    assert run(7, STEPS) == run(7, STEPS)
