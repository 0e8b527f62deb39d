"""The shipped rulebook reloaded again and again under load, against an equal run without reloads, over real sockets.

Both runs have the control process beside them and its rules in force; only the pushes differ.
"""

import os
import statistics
import tempfile
import time
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import risk_rules
from ext import surveillance
from loadtest.report import Report
from loadtest.runner import Options, run_load
from loadtest.schedule import Pace
from risk_rules.load import load_rules, rule_files
from tests.benchmarks.bench_core import START_NS, rig
from tests.reloads import Judged, Pusher, check_journal, shipped_rules

S = 1_000_000_000
PACE = Pace(20_000, 8 * S)
BURST_NS = 100_000
PAUSE_S = 0.05  # between two pushes, beside what compiling takes
MEMORY = "/dev/shm"
RELOADS = 200


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
                background_per_s=20.0,
                out=None,
                keep=kept,
                realtime=True,
                rules=None,  # the pusher's
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
    if with_reloads and len(judged.orders) < 2:
        raise RuntimeError(f"only {len(judged.orders)} rule sets judged orders: the pushes came too slowly")


def worst_us(report: Report) -> float:
    return max(window.decision_max_us or 0.0 for window in report.windows)


def typical_worst_us(report: Report) -> float:
    """The worst decision of the median tenth of a second: what remains when the machine did not stand still."""
    return statistics.median(window.decision_max_us or 0.0 for window in report.windows)


def pauses_in_process_us() -> list[float]:
    """How long the owner thread is held by one reload of the whole rulebook, again and again, nothing else going on."""
    rule_set = load_rules(rule_files(Path(risk_rules.__file__).parent), day=date(2026, 11, 23))
    pauses = []
    with tempfile.TemporaryDirectory() as name:
        built = rig(Path(name), 4_000)
        for _ in range(RELOADS):
            began_ns = time.perf_counter_ns()
            surveillance.put_in_force(
                built.engine,
                rule_set.program,
                id="bench",
                sha256=bytes(32),
                by="bench",
                approved_by="",
                reason="",
                now_ns=START_NS,
            )
            pauses.append((time.perf_counter_ns() - began_ns) / 1000)
            surveillance.drop_retired(built.engine)
        built.journal_file.close()
    return pauses


def run(runs: int) -> dict[str, dict[str, Any]]:
    """reload_worst_us: the worst decision with reloads, beside the worst without; reload_pause_us: in process."""
    held = pauses_in_process_us()
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
            "note": f"target: 1 ms above the worst of an equal run without reloads; {reloads} reloads at 20,000/s, no "
            f"order lost, each judged by one rule set; worst of the median tenth of a second "
            f"{statistics.median(typical):,.0f} us, without reloads {statistics.median(typical_floor):,.0f} us; from "
            f"a reload's begin to the next order read: median {statistics.median(pauses):,.0f} us, "
            f"worst {max(pauses):,.0f} us",
        },
        "reload_pause_us": {
            "value": statistics.median(held),
            "unit": "us",
            "baseline": None,
            "ratio": None,
            "runs": [statistics.median(held)],
            "target": "< 1000",
            "note": f"{RELOADS} reloads of the whole rulebook in process; worst {max(held):,.0f} us",
        },
    }


if __name__ == "__main__":
    for key, figures in run(1).items():
        print(key, figures)
