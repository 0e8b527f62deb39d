"""The shipped rulebook reloaded again and again under load, against an equal run without reloads, over real sockets.

Both runs have the control process beside them and its rules in force; only the pushes differ.
"""

import os
import statistics
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from loadtest.report import Report
from loadtest.runner import Options, run_load
from loadtest.schedule import Pace
from tests.reloads import Judged, Pusher, check_journal, shipped_rules

S = 1_000_000_000
PACE = Pace(20_000, 5 * S)
BURST_NS = 20_000
PAUSE_S = 0.1  # between two pushes, beside what compiling takes
MEMORY = "/dev/shm"


def loaded(with_reloads: bool) -> tuple[Report, Judged, Pusher]:
    """One run; every order of it is in the journal, and names the rule set in force at its place."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as name:
        pusher = Pusher(shipped_rules(Path(name) / "rules"), PAUSE_S)
        kept = Path(name) / "run"
        kept.mkdir()
        report = run_load(
            Options(
                PACE,
                flow=None,
                accounts=4_000,
                bad_share=0.0,
                burst_ns=BURST_NS,
                background_per_s=100.0,
                out=None,
                keep=kept,
                realtime=True,
                gateway_flags=pusher.flags,
                beside=pusher.beside if with_reloads else nullcontext,
            )
        )
        (journal,) = (kept / "journal").glob("*.journal")
        judged = check_journal(journal)
    check_run(report, judged, pusher, with_reloads)
    return report, judged, pusher


def check_run(report: Report, judged: Judged, pusher: Pusher, with_reloads: bool) -> None:
    """A run that lost an order, or reloaded too little, has no figures."""
    counts = report.counts
    if pusher.faults or counts.lost or counts.repeated or counts.disorder:
        raise RuntimeError(f"the run failed: {'; '.join(pusher.faults + report.reasons) or counts}")
    if sum(judged.orders.values()) != counts.orders:
        raise RuntimeError(f"{counts.orders} orders sent, {sum(judged.orders.values())} in the journal")
    if with_reloads and len(judged.orders) < 3:
        raise RuntimeError(f"only {len(judged.orders)} rule sets judged orders: the pushes came too slowly")


def worst_us(report: Report) -> float:
    return max(window.decision_max_us or 0.0 for window in report.windows)


def typical_worst_us(report: Report) -> float:
    """The worst decision of the median tenth of a second: what remains when the machine did not stand still."""
    return statistics.median(window.decision_max_us or 0.0 for window in report.windows)


def run(runs: int) -> dict[str, dict[str, Any]]:
    """reload_worst_us: the worst decision with reloads, beside the worst without."""
    worst, floor, typical, typical_floor, pauses, reloads = [], [], [], [], [], 0
    for _ in range(runs):
        plain, _, _ = loaded(False)
        report, judged, _ = loaded(True)
        floor.append(worst_us(plain))
        worst.append(worst_us(report))
        typical_floor.append(typical_worst_us(plain))
        typical.append(typical_worst_us(report))
        pauses += [ns / 1000 for number, ns in judged.next_order_ns.items() if number > min(judged.next_order_ns)]
        reloads += len(judged.orders) - 1
    value, baseline = statistics.median(worst), statistics.median(floor)
    return {
        "reload_worst_us": {
            "value": value,
            "unit": "us",
            "baseline": baseline,
            "ratio": value / baseline,
            "runs": worst,
            "target": f"< {baseline + 1000:.0f}",
            "note": f"target: 1 ms above the worst of an equal run without reloads; {reloads} reloads at 20,000/s, no order "
            f"lost, each judged by one rule set; worst of the median tenth of a second "
            f"{statistics.median(typical):,.0f} us, without reloads {statistics.median(typical_floor):,.0f} us; from a "
            f"reload's begin to the next order read: median {statistics.median(pauses):,.0f} us, worst {max(pauses):,.0f} us",
        }
    }


if __name__ == "__main__":
    for key, figures in run(1).items():
        print(key, figures)
