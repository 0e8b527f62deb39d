"""Many lives in a row, and how long they took."""

from __future__ import annotations

import gc
import time

from tests.simulation.world import Violation, World


def lives(first: int, stride: int, seconds: float, steps: int) -> tuple[int, int, float]:
    """Lives from seed `first` on, every `stride`th: (events, lives, seconds of a core). Raises Violation."""
    started, began = time.perf_counter(), time.process_time()
    events = count = 0
    gc.disable()
    try:
        while time.perf_counter() - started < seconds:
            events += World(first + count * stride).run(steps)
            count += 1
            gc.collect()
    finally:
        gc.enable()
    return events, count, time.process_time() - began


def job(arguments: tuple[int, int, float, int]) -> tuple[int, int, float] | str:
    """What lives found, as text when it is a violation."""
    try:
        return lives(*arguments)
    except Violation as violation:
        return str(violation)
