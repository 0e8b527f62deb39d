"""Durability `disk`: orders acknowledged only when their group's fsync is over, and how long an append may be held up.

Run on a real disk: the folder is out/, beside the benchmarks' figures. In memory an fsync costs nothing.
"""

import os
import select
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ext import tape
from ext.ahead import Ahead
from ext.journal import Journal
from ext.syncer import Syncer
from tests import journal_probe
from tests.benchmarks.bench_core import ORDERS, SMALL, START_NS, STEP_NS, Rig, messages, rig, row

OUT = Path(__file__).parent.parent.parent / "out"
BATCH = 32  # orders decided before anyone looks at what is on the disk
MOST_WAITING = 256  # batches not yet acknowledged: then the loop waits, as its clients do
PACE_PER_S = 20_000
APPENDS, APPEND_BYTES, APPEND_EVERY_NS = 200_000, 320, 10_000
NS = 1_000_000_000


@dataclass
class Run:
    """One stretch of orders: when each batch came, and how long it waited for its acknowledgement."""

    built: Rig
    synced_end: Callable[[], int]  # what may be acknowledged
    ask: Callable[[], None]
    done_fd: int  # -1: nothing to wait for
    waiting: deque[tuple[int, int]] = field(default_factory=deque)  # journal end and time of a batch
    took_ns: list[int] = field(default_factory=list)

    def decide(self, blob: bytes, ends: list[int], first: int, came_ns: int) -> None:
        start = ends[first - 1] if first else 0
        for at, end in enumerate(ends[first : first + BATCH], first):
            tape.feed(self.built.session, blob[start:end], START_NS + at * STEP_NS)
            start = end
        tape.taken(self.built.session)
        self.waiting.append((self.built.engine.journal.end, came_ns))
        self.ask()

    def acknowledge(self, wait_s: float = 0.0) -> None:
        """What is on the disk by now; wait_s: wait so long for more when the oldest is not."""
        must_wait = wait_s and self.done_fd >= 0 and self.waiting and self.waiting[0][0] > self.synced_end()
        if must_wait and select.select([self.done_fd], [], [], wait_s)[0]:
            os.eventfd_read(self.done_fd)
        safe, now_ns = self.synced_end(), time.monotonic_ns()
        while self.waiting and self.waiting[0][0] <= safe:
            self.took_ns.append(now_ns - self.waiting.popleft()[1])

    def saturated(self, blob: bytes, ends: list[int]) -> float:
        """Orders a second, as many as go through."""
        began = time.monotonic_ns()
        for first in range(0, len(ends), BATCH):
            self.decide(blob, ends, first, time.monotonic_ns())
            self.acknowledge(1.0 if len(self.waiting) > MOST_WAITING else 0.0)
        self.finish()
        return len(ends) * NS / (time.monotonic_ns() - began)

    def paced(self, blob: bytes, ends: list[int]) -> tuple[float, float]:
        """(p50, p99) in ms from a batch's planned time to its acknowledgement, at PACE_PER_S."""
        began = time.monotonic_ns()
        for first in range(0, len(ends), BATCH):
            due_ns = began + first * NS // PACE_PER_S
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                self.acknowledge(left_ns / NS)
                if not self.waiting:
                    time.sleep(max(0, due_ns - time.monotonic_ns()) / NS)
            self.decide(blob, ends, first, due_ns)
            self.acknowledge()
        self.finish()
        percentiles = statistics.quantiles(self.took_ns, n=100)
        return percentiles[49] / 1e6, percentiles[98] / 1e6

    def finish(self) -> None:
        give_up = time.monotonic() + 30
        while self.waiting:
            self.acknowledge(0.1)
            if time.monotonic() > give_up:
                raise AssertionError("orders were never acknowledged")


@contextmanager
def running(folder: Path, *, private: bool) -> Iterator[Callable[[], Run]]:
    """Makes runs on one engine, its journal allocated ahead and, when private, written to the disk by its thread."""
    built = rig(folder, SMALL, private=private)
    journal = built.engine.journal
    ahead = Ahead(journal, built.engine.state)
    threads = [threading.Thread(target=ahead.run)]
    fds = os.eventfd(0), os.eventfd(0)
    syncer = Syncer(journal, *fds)
    if private:
        threads.append(threading.Thread(target=syncer.run))
    for thread in threads:
        thread.start()
    try:
        if private:
            yield lambda: Run(built, lambda: int(syncer.synced_end), syncer.ask, fds[1])
        else:
            yield lambda: Run(built, lambda: int(journal.end), lambda: None, -1)
    finally:
        ahead.stop()
        syncer.stop()
        for thread in threads:
            thread.join()
        if syncer.failed:
            raise OSError(syncer.failed, os.strerror(syncer.failed))
        built.journal_file.close()
        for fd in fds:
            os.close(fd)


def disk_orders(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """disk_orders_per_s: beside the same loop in process mode, which acknowledges at once."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    paced: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for private in (True, False):
        with running(folder, private=private) as begin:
            for run in range(runs):
                blob, ends = messages(SMALL, ORDERS // 2, run * ORDERS, run)
                rates[private].append(begin().saturated(blob, ends.tolist()))
                blob, ends = messages(SMALL, ORDERS // 4, run * ORDERS + ORDERS // 2, 100 + run)
                paced[private].append(begin().paced(blob, ends.tolist()))
    value, baseline = statistics.median(rates[True]), statistics.median(rates[False])
    (p50, p99), (p50_process, p99_process) = (
        tuple(statistics.median(column) for column in zip(*paced[private], strict=True)) for private in (True, False)
    )
    note = (f"acknowledged at {PACE_PER_S:,}/s after {p50:.1f} ms (median) and {p99:.1f} ms (p99); in process mode "
            f"{p50_process:.2f} and {p99_process:.2f} ms, each from a batch's planned time")  # fmt: skip
    return {
        "disk_orders_per_s": row(
            value, "1/s", rates[True], baseline=baseline, ratio=value / baseline, target=">= 20000", note=note
        )
    }


def append_worst(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """append_worst_us: the longest an append was held up while another thread writes the same file to the disk."""
    worst = {private: [append_times(folder, private) for _ in range(runs)] for private in (True, False)}
    value, baseline = (max(longest for longest, _ in worst[private]) / 1e3 for private in (True, False))
    late, late_shared = (sum(count for _, count in worst[private]) for private in (True, False))
    note = (f"worst of {runs} x {APPENDS:,} appends; baseline: a shared mapping and the same fsyncs; "
            f"over 100 us: {late}, shared {late_shared}")  # fmt: skip
    runs_us = [longest / 1e3 for longest, _ in worst[True]]
    return {"append_worst_us": row(value, "us", runs_us, baseline=baseline, ratio=value / baseline, note=note)}


def append_times(folder: Path, private: bool) -> tuple[int, int]:
    """(longest in ns, how many took over 100 us) of the appends to a file that goes to the disk all the while."""
    path = folder / f"append-{time.monotonic_ns()}.journal"
    number, fds = os.open(path, os.O_RDWR | os.O_CREAT), (os.eventfd(0), os.eventfd(0))
    times: list[int] = []
    journal = Journal(number, 0, str(path), capacity=1 << 30, private=private)
    journal.grow(APPENDS * APPEND_BYTES + (1 << 20))
    journal_probe.touch(journal, APPENDS * APPEND_BYTES)
    os.fdatasync(number)
    syncer = Syncer(journal, *fds)
    thread = threading.Thread(target=syncer.run)
    thread.start()
    try:
        with undisturbed():
            journal_probe.append_times(journal, times, APPENDS, APPEND_BYTES, APPEND_EVERY_NS, syncer)
    finally:
        syncer.stop()
        thread.join()
        for fd in (number, *fds):
            os.close(fd)
        path.unlink()
    return max(times), sum(took > 100_000 for took in times)


@contextmanager
def undisturbed() -> Iterator[None]:
    """This thread goes before all others where that is allowed, so that it waits for the disk alone."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def run(runs: int = 3) -> dict[str, dict[str, Any]]:
    """disk_orders_per_s, append_worst_us."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        folder = Path(name)
        return disk_orders(folder, runs) | append_worst(folder, runs)


if __name__ == "__main__":
    for key, figures in run().items():
        print(key, figures)
