"""`python -m tests.simulation`: many lives in a row, each from the next seed, until the time is over or a promise is
broken.

--seed S lives one life again, exactly as it was; --seconds N goes on for so long; --jobs J does so in J processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys

from tests.simulation.lives import job
from tests.simulation.world import STEPS, Violation, World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="live this one life")
    parser.add_argument("--first", type=int, default=1, help="the first seed of many (default 1)")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of a life before it settles (default {STEPS})")
    options = parser.parse_args()
    if options.seed is not None:
        try:
            events = World(options.seed).run(options.steps)
        except Violation as violation:
            print(violation)
            return 1
        print(f"seed {options.seed}: {events} events, no violation")
        return 0
    work = [(options.first + at, options.jobs, options.seconds, options.steps) for at in range(options.jobs)]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        found = pool.map(job, work, chunksize=1)
    broken = [result for result in found if isinstance(result, str)]
    for text in broken:
        print(text)
    lived = [result for result in found if not isinstance(result, str)]
    events, count = sum(result[0] for result in lived), sum(result[1] for result in lived)
    rate = events / max(sum(result[2] for result in lived), 1e-9) * 60
    speed = f"{rate / 1e6:.2f} M in a minute of a core"
    print(f"{events:,} events in {count} lives, {speed}, {len(broken)} violations")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
