"""A synthetic run for the tests of the report: seeded, with a surge that hurts."""

import numpy as np

from loadtest.measure import CANCEL_ORDER, NEW_ORDER, Outcome
from loadtest.report import Hiccups, Objectives, Report, RunFacts, build_report, hiccups_of
from loadtest.schedule import Pace, Surge, planned_times_ns

S = 1_000_000_000


def sample_outcome(pace: Pace, seed: int = 1) -> Outcome:
    """Every request answered; decisions lognormal, slower inside surges."""
    rng = np.random.default_rng(seed)
    planned = planned_times_ns(pace, "poisson", seed)
    count = planned.size
    surging = np.zeros(count, dtype=bool)
    for surge in pace.surges:
        surging |= (planned >= surge.start_ns) & (planned < surge.end_ns)
    decision = (rng.lognormal(10.6, 0.35, count) * np.where(surging, 2.2, 1.0)).astype(np.int64)
    ack = decision + (rng.lognormal(11.2, 0.45, count) * np.where(surging, 2.5, 1.0)).astype(np.int64)
    bad = rng.random(count) < 0.02
    code = np.where(bad, 1105, 0).astype(np.uint16)
    kind = np.where((rng.random(count) < 0.2) & ~bad, CANCEL_ORDER, NEW_ORDER).astype(np.uint8)
    cancels = kind == CANCEL_ORDER
    return Outcome(
        planned_ns=planned,
        sent_ns=planned + rng.integers(500, 9_000, count),
        decided_ns=np.where(cancels, -1, planned + decision),
        acked_ns=np.where(bad, -1, planned + ack),
        kind=kind,
        expected_code=code,
        reject_code=code.copy(),
        trade_count=count // 3,
    )


def sample_hiccups(start_ns: int, seconds: int) -> list[Hiccups]:
    """Two cores, mostly punctual, with rare late wakes."""
    rng = np.random.default_rng(4)
    rows = []
    for core in (0, 1):
        woke = start_ns + np.arange(seconds * 900, dtype=np.int64) * 1_111_111
        late = rng.lognormal(8.5, 0.8, woke.size).astype(np.int64)
        late[rng.integers(0, woke.size, 9)] += 1_400_000
        rows.append(hiccups_of(core, woke, late, start_ns, seconds * 10))
    return rows


def sample_report(outcome: Outcome | None = None, objectives: Objectives | None = None) -> Report:
    """A whole report: 20 s at 1,000/s with surges of 20,000/s and 50,000/s."""
    pace = Pace(1_000, 20 * S, (Surge(6 * S, S, 20_000), Surge(13 * S, S, 50_000)))
    facts = RunFacts("2026-11-21 09:30:00", "started by this run", "generated (seed 1)", "poisson", 4_000, 8, pace)
    return build_report(
        facts, outcome or sample_outcome(pace), objectives or Objectives(ack_p99_us=1_000.0), sample_hiccups(0, 20), []
    )
