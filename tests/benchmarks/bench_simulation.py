"""How many events a minute the simulator plays on one core, and what it found in them."""

from __future__ import annotations

import os
from typing import Any

from tests.simulation.lives import lives
from tests.simulation.mutants import MUTANTS, is_caught
from tests.simulation.world import STEPS, Violation

SECONDS = float(os.environ.get("TIDEGATE_SIMULATE_S", "20"))
FIRST_SEED = int(os.environ.get("TIDEGATE_SEED", "1"))


def run(runs: int) -> dict[str, dict[str, Any]]:
    """Each run goes on with the seeds behind the last one's. A minute is one of the core's own time, so that
    neighbours do not count."""
    rates: list[float] = []
    first, events, broken = FIRST_SEED, 0, []
    for _ in range(runs):
        try:
            lived, count, seconds = lives(first, 1, SECONDS, STEPS)
        except Violation as violation:
            broken.append(str(violation))
            break
        rates.append(lived / seconds * 60)
        first, events = first + count, events + lived
    caught = sum(is_caught(mutant) for mutant in MUTANTS.values())
    note = broken[0].splitlines()[0] if broken else f"of {events:,} events, seeds {FIRST_SEED} to {first - 1}"
    return {
        "sim_events_per_min": {
            "value": max(rates, default=0),
            "unit": "events/min",
            "runs": rates,
            "target": ">= 2000000",
            "note": "of one core's own time",
        },
        "sim_violations": {"value": len(broken), "unit": "violations", "target": "<= 0", "note": note},
        "sim_mutants_caught": {
            "value": 100 * caught / len(MUTANTS),
            "unit": "%",
            "target": ">= 100",
            "note": f"{caught} of {len(MUTANTS)}",
        },
    }
