"""The simulator lives its fixed seeds without a violation, and the same life twice; a violation tells how to live it
again."""

from __future__ import annotations

import pytest

from tests.simulation.world import KINDS, Violation, World

SEEDS = 120
FOUND = (5246,)                              # lives that once broke a promise
# Lives that break one still: at their end a session that is logged on has not heard the last events of an account.
# Whether the session or the simulated client loses them is not known.
BROKEN = (47, 49, 69, 85, 106)
STEPS = 20_000


@pytest.mark.parametrize(
    "seed",
    [
        *(seed for seed in range(1, SEEDS + 1) if seed not in BROKEN),
        *FOUND,
        *(pytest.param(seed, marks=pytest.mark.xfail(reason="the last events are not heard")) for seed in BROKEN),
    ],
)
def test_no_promise_is_broken(seed: int) -> None:
    assert World(seed).run(STEPS) >= STEPS


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_a_seed_is_the_same_life_twice(kind: str) -> None:
    lives = []
    for _ in range(2):
        world = World(7, kind=kind)
        steps = world.run(5_000)
        lives.append((steps, world.now, world.count, world.checks.told, world.end_hash))
    assert lives[0] == lives[1]


def test_a_violation_tells_seed_step_and_the_last_events() -> None:
    world = World(3)

    def broken(_: object) -> None:
        world.checks.ledger.accounts[0].cash += 1

    world.after(20_000_000, broken, None)
    with pytest.raises(Violation, match=r"seed 3, step \d+: account 0: .*") as found:
        world.run(STEPS)
    text = str(found.value)
    assert "python -m tests.simulation --seed 3" in text
    assert 20 < len(text.splitlines()) <= 33
