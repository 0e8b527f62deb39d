"""Latency under load, seen from outside, over real sockets. Baseline: the same load on a mirror that decides nothing.

The gateway (or the mirror) has the last core to itself; the load and both exchanges share the others.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtest.drive import Endpoint
from loadtest.processes import Child
from loadtest.report import Report
from loadtest.runner import Options, run_load
from loadtest.schedule import Pace, parse_surges

S = 1_000_000_000
MIRROR = "import uvloop; from tests.mirror_server import main; uvloop.run(main())"
STEADY = Pace(20_000, 5 * S)
SURGING = Pace(1_000, 6 * S, tuple(parse_surges("50000x1s@2s,50000x1s@4s")))
STEADY_BURST_NS, SURGE_BURST_NS = 20_000, 100_000


def options(pace: Pace, burst_ns: int, target: Endpoint | None = None) -> Options:
    """Generated flow, so that the figures need nothing but this repository; a mirror rejects nothing."""
    return Options(
        pace,
        flow=None,
        accounts=4_000,
        bad_share=0.0 if target else 0.02,
        target=target,
        burst_ns=burst_ns,
        background_per_s=100.0,
        out=None,
        realtime=pace is STEADY,
    )


@contextmanager
def mirror() -> Iterator[Endpoint]:
    """A mirror on the last core, and this process on the others."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        child = Child("mirror", MIRROR, [], Path(folder) / "mirror.log")
        try:
            port = int(child.ready()["port"])
            if len(cores) > 1:
                child.pin({max(cores)})
                os.sched_setaffinity(0, cores - {max(cores)})
            yield Endpoint("127.0.0.1", port)
        finally:
            child.stop()
            os.sched_setaffinity(0, cores)


def p99_us(report: Report, name: str) -> float:
    """The 99th percentile of one latency; a run that lost or doubled anything has no figures."""
    row = report.find(name)
    if report.verdict != "PASS" or row is None:
        raise RuntimeError(f"{name}: the run failed: {'; '.join(report.reasons) or 'nothing measured'}")
    return row.p99_us


def typical_p99_us(report: Report, kind: str) -> float:
    """The p99 of the median tenth of a second: what remains when the machine did not stand still."""
    windows = [value for window in report.windows if (value := getattr(window, f"{kind}_p99_us")) is not None]
    return statistics.median(windows)


def empty(pace: Pace, burst_ns: int, name: str) -> float:
    """The baseline: the mirror under the same load."""
    with mirror() as target:
        return p99_us(run_load(options(pace, burst_ns, target)), name)


def run(runs: int) -> dict[str, dict[str, Any]]:
    """decision_p99_us, its noise_p99_us, and surge_ack_p99_us."""
    decisions, noises, acks, calms, hiccups, typical, typical_acks = [], [], [], [], [], [], []
    for _ in range(runs):
        noises.append(empty(STEADY, STEADY_BURST_NS, "order to decision"))
        steady = run_load(options(STEADY, STEADY_BURST_NS))
        decisions.append(p99_us(steady, "order to decision"))
        typical.append(typical_p99_us(steady, "decision"))
        calms.append(empty(SURGING, SURGE_BURST_NS, "order to exchange ack"))
        surge = run_load(options(SURGING, SURGE_BURST_NS))
        acks.append(p99_us(surge, "order to exchange ack"))
        typical_acks.append(typical_p99_us(surge, "ack"))
        hiccups.append(max(row.late.p99_us for row in surge.hiccups))
    decision, noise, ack, calm = (statistics.median(values) for values in (decisions, noises, acks, calms))
    machine = f"machine's own hiccups p99 {statistics.median(hiccups):,.0f} us"
    return {
        "decision_p99_us": {
            "value": decision,
            "unit": "us",
            "baseline": noise,
            "ratio": decision / noise,
            "runs": decisions,
            "target": "< 150",
            "note": f"20,000/s open loop, 4 sessions, journal in memory; p99 of the median tenth of a second "
            f"{statistics.median(typical):,.0f} us; {machine}",
        },
        "noise_p99_us": {
            "value": noise,
            "unit": "us",
            "baseline": None,
            "ratio": None,
            "runs": noises,
            "note": "the same load on a mirror that decides nothing",
        },
        "surge_ack_p99_us": {
            "value": ack,
            "unit": "us",
            "baseline": calm,
            "ratio": ack / calm,
            "runs": acks,
            "target": "< 1000",
            "note": f"base 1,000/s, two 1 s surges of 50,000/s; lost 0; p99 of the median tenth of a second "
            f"{statistics.median(typical_acks):,.0f} us; {machine}",
        },
    }
