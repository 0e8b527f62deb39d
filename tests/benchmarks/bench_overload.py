"""Steady clients of one exchange while all else goes wrong, against the same run in peace. Real processes and sockets.

What goes wrong at once: the other exchange is stopped (SIGSTOP) with orders on their way to it, thousands of sessions
are dropped and come back, and one client that watches the steady clients' accounts never reads. The gateway has the
last core; everything else shares the others, the steady clients before the storm.
"""

import json
import os
import re
import signal
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ext.codes import VENUES
from loadtest.processes import START_S, Child, Plant, read_line, read_metrics
from loadtest.report import Report
from loadtest.runner import Options, going_first, memory_folder, prepare, run_plan
from loadtest.schedule import Pace
from tests.benchmarks.overload_others import FIRST_STORM_ACCOUNT, STEADY_ACCOUNTS, only

S = 1_000_000_000
RATE_PER_S = 2_000  # of the steady clients, all on Shanghai
DURATION_S = 10
STORM_AFTER_S = 4.0  # after the steady clients began to log on: some two seconds into their plan
SESSIONS = 5_000
SHARED_SHARE = 0.2  # of the sessions that are streams of a few connections
OTHERS = "import runpy; runpy.run_module('tests.benchmarks.overload_others', run_name='__main__', alter_sys=True)"
OPTIONS = Options(
    Pace(2 * RATE_PER_S, DURATION_S * S), flow=None, accounts=STEADY_ACCOUNTS, bad_share=0.0, background_per_s=100.0,
    out=None, realtime=True,
)


class Troubles:
    """What goes on beside one run."""

    def __init__(self, folder: Path, sessions: int, storming: bool) -> None:
        self.folder = folder
        self.sessions = sessions
        self.storming = storming
        self.figures: dict[str, Any] = {}

    @contextmanager
    def beside(self, plant: Plant) -> Iterator[None]:
        sessions = self.sessions if self.storming else 0
        others = Child("others", OTHERS, [str(plant.target), str(sessions), str(SHARED_SHARE)],
                       self.folder / "others.log")
        others.ready()
        exchange = plant.pids["exchange XSHE"]
        storm = threading.Timer(STORM_AFTER_S, self.let_loose, (others, exchange))
        if self.storming:
            storm.start()
        before = own_times(plant.metrics_port)
        try:
            yield
            self.figures |= {"gateway": own_times(plant.metrics_port), "before": before}
        finally:
            storm.cancel()
            if storm.is_alive():
                storm.join()
            os.kill(exchange, signal.SIGCONT)
            others.stop()

    def let_loose(self, others: Child, exchange: int) -> None:
        os.kill(exchange, signal.SIGSTOP)
        others.process.send_signal(signal.SIGUSR1)
        assert others.process.stdout is not None
        self.figures["storm"] = json.loads(read_line(others.process.stdout, START_S) or b"{}")


def own_times(metrics_port: int) -> dict[str, float]:
    """The gateway's own figures that tell of an overload."""
    metrics = read_metrics(metrics_port)
    found = re.findall(r'^(tidegate_stage_seconds\{quantile="0.99",stage="decided"\}|tidegate_sessions|'
                       r'process_cpu_seconds_total|process_resident_memory_bytes|tidegate_shed\S*) (\S+)', metrics,
                       re.M)
    found += re.findall(r'^(tidegate_stage_seconds\{stage="decided",quantile="0.99"\}) (\S+)', metrics, re.M)
    return {name: float(value) for name, value in found}


def one_run(storming: bool, sessions: int = SESSIONS) -> tuple[Report, dict[str, Any]]:
    """The steady clients' report, and what the troubles came to."""
    universe, source, plan = prepare(OPTIONS)
    plan = only(plan, plan.venue == VENUES["XSHG"])
    with tempfile.TemporaryDirectory(prefix="tidegate-overload-", dir=memory_folder()) as name:
        folder = Path(name)
        troubles = Troubles(folder, sessions, storming)
        options = replace(OPTIONS, accounts=FIRST_STORM_ACCOUNT + sessions, beside=troubles.beside)
        affinity = os.sched_getaffinity(0)
        try:
            with going_first(True):
                report = run_plan(options, universe, source.description, plan, folder, lambda line: None,
                                  lambda line: None)
        finally:
            os.sched_setaffinity(0, affinity)
    counts = report.counts
    if counts.lost or counts.repeated or counts.disorder:
        raise RuntimeError(f"the run failed: {'; '.join(report.reasons) or counts}")
    return report, troubles.figures


def p99_us(report: Report, name: str = "order to decision") -> float:
    row = report.find(name)
    assert row is not None, name
    return row.p99_us


def worst_window_us(report: Report) -> float:
    return max(window.decision_p99_us or 0.0 for window in report.windows)


def run(runs: int) -> dict[str, dict[str, Any]]:
    """overload_p99_ratio."""
    quiet: list[float] = []
    stormy: list[float] = []
    acks: list[float] = []
    storms: list[dict[str, Any]] = []
    for _ in range(runs):
        report, _ = one_run(False)
        quiet.append(p99_us(report))
        report, figures = one_run(True)
        stormy.append(p99_us(report))
        acks.append(p99_us(report, "order to exchange ack"))
        storms.append(figures["storm"])
    ratio = statistics.median(stormy) / statistics.median(quiet)
    took_s = statistics.median(storm["took_s"] for storm in storms)
    return {
        "overload_p99_ratio": {
            "value": ratio,
            "unit": "x",
            "baseline": statistics.median(quiet),
            "ratio": ratio,
            "runs": [b / a for a, b in zip(quiet, stormy, strict=True)],
            "target": "<= 1.5",
            "note": f"{RATE_PER_S}/s on one exchange; p99 {statistics.median(stormy):,.0f} us against "
            f"{statistics.median(quiet):,.0f} us; ack {statistics.median(acks):,.0f} us; the other exchange stopped, "
            f"{SESSIONS:,} sessions back within {took_s:.1f} s, one client that never reads",
        }
    }


def show(report: Report, figures: dict[str, Any]) -> None:
    windows = np.array([window.decision_p99_us or 0.0 for window in report.windows])
    print(f"p99 {p99_us(report):,.0f} us, p99 of the median window {np.median(windows):,.0f}, of the worst "
          f"{windows.max():,.0f}; ack {p99_us(report, 'order to exchange ack'):,.0f}")
    print("  windows ms:", " ".join(f"{window / 1000:.1f}" for window in windows))
    print(" ", figures, *report.notes)


if __name__ == "__main__":
    for storming in (False, True):
        show(*one_run(storming))
