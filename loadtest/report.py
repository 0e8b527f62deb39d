"""Judges a finished run and writes its report.json. Must not draw (page.py does) and must not measure."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ext.codes import REJECT_CODES
from loadtest.alerts import Surveillance
from loadtest.measure import (
    Ints,
    Latency,
    Outcome,
    RejectCount,
    Window,
    latencies,
    latency,
    latency_of,
    reject_counts,
    windows,
)
from loadtest.schedule import Pace

SCHEMA = "tidegate.load/1"
# Cage, collar and the exchange's own cage: a good order meets them when prices move between its pricing and its check.
MOVED_CODES = (1107, 1108, 1602)
# What rules, and the levels they set, reject with; the load's own limits are too wide for any of these.
RULE_CODES = (1002, 1204, 1403, 1502)
MOST_BENIGN_STOPPED = 0.001  # of all orders
MOST_ALERT_US = 5e6
REJECT_NAMES = {code: name for code, (name, _, _) in REJECT_CODES.items()}


class Objectives(msgspec.Struct, kw_only=True, frozen=True):
    """What the run must reach, in microseconds; None: not asked. Losing nothing is always asked."""

    decision_p99_us: float | None = None
    ack_p99_us: float | None = None
    max_unexpected_share: float = 0.0  # of all orders, rejected without being meant to be
    max_moved_share: float = 0.005  # and refused by a price check: the market moved meanwhile


class Counts(msgspec.Struct, kw_only=True):
    planned: int
    sent: int
    unsent: int  # due, but never sent
    answered: int
    unanswered: int  # sent, but never answered by the gateway or by the exchange
    orders: int
    cancels: int
    accepted: int
    acked: int
    rejected_expected: int
    rejected_unexpected: int
    rejected_moved: int  # of these, refused by a price check after the market had moved on
    rejected_by_rules: int  # of these, stopped by a rule or a level that one set
    rejections_missing: int  # had to be rejected and were not, or were with another code
    trades: int
    repeated: int
    disorder: int
    stray: int
    malformed: int

    @property
    def lost(self) -> int:
        return self.unsent + self.unanswered


class SurgePlan(msgspec.Struct, kw_only=True):
    start_s: float
    duration_s: float
    rate_per_s: int


class Hiccups(msgspec.Struct, kw_only=True):
    """How late the machine woke a thread that only slept, on one core, while the run lasted."""

    core: int
    sleeps: int
    late: Latency
    over_1ms: int
    worst_by_window_us: list[float | None]  # per tenth of a second of the run


class Machine(msgspec.Struct, kw_only=True):
    cores: int
    cpu: str
    kernel: str
    python: str


class Report(msgspec.Struct, kw_only=True):
    """Everything about one run; the page and the table show nothing that is not in it."""

    schema: str = SCHEMA
    verdict: str  # PASS or FAIL
    reasons: list[str]  # why it failed
    started_at: str
    duration_s: float
    target: str
    flow: str
    arrivals: str
    base_rate_per_s: int
    surges: list[SurgePlan]
    peak_sent_per_s: int  # most requests sent in one second
    accounts: int
    sessions: int
    objectives: Objectives
    counts: Counts
    latencies: list[Latency]
    gateway_stages: list[Latency]  # as the gateway itself measured them
    rejects: list[RejectCount]
    hiccups: list[Hiccups]
    windows: list[Window]
    machine: Machine
    notes: list[str]
    surveillance: Surveillance | None = None  # None: no rules were in force, or nobody could watch

    def find(self, name: str) -> Latency | None:
        """The latency of that name, if anything fell into it."""
        return next((row for row in self.latencies if row.name == name), None)

    def summary(self) -> str:
        """The one line a run ends with."""
        parts = [
            self.verdict,
            f"base {self.base_rate_per_s:,}/s, peak {self.peak_sent_per_s:,}/s, {self.counts.sent:,} sent",
        ]
        for label, name in (("decision", "order to decision"), ("exchange ack", "order to exchange ack")):
            row = self.find(name)
            if row is not None:
                parts.append(f"{label} p50/p99/p99.9 {row.p50_us:,.0f}/{row.p99_us:,.0f}/{row.p99_9_us:,.0f} us")
        return " | ".join([*parts, *self.rules_words(), f"lost {self.counts.lost}"])

    def rules_words(self) -> list[str]:
        """Of the one line, what the rules did."""
        rules = self.surveillance
        if rules is None:
            return []
        row = rules.latency
        times = f" p50/max {row.p50_us / 1e3:,.1f}/{row.max_us / 1e3:,.1f} ms" if row.count else ""
        stopped = f"{rules.stopped} orders stopped ({rules.benign_stopped} benign)"
        return [f"rules: {rules.hits} hits, {stopped}, {rules.alerts} alerts{times}"]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run besides its outcome."""

    started_at: str
    target: str
    flow: str
    arrivals: str
    accounts: int
    sessions: int
    pace: Pace
    notes: tuple[str, ...] = ()


def build_report(
    facts: RunFacts,
    outcome: Outcome,
    objectives: Objectives,
    hiccups: list[Hiccups],
    gateway_stages: list[Latency],
    surveillance: Surveillance | None = None,
) -> Report:
    """Count, measure and judge one run."""
    pace = facts.pace
    report = Report(
        verdict="PASS",
        reasons=[],
        started_at=facts.started_at,
        duration_s=pace.duration_ns / 1e9,
        target=facts.target,
        flow=facts.flow,
        arrivals=facts.arrivals,
        base_rate_per_s=pace.rate_per_s,
        surges=[
            SurgePlan(start_s=surge.start_ns / 1e9, duration_s=surge.duration_ns / 1e9, rate_per_s=surge.rate_per_s)
            for surge in pace.surges
        ],
        peak_sent_per_s=peak_per_s(outcome),
        accounts=facts.accounts,
        sessions=facts.sessions,
        objectives=objectives,
        counts=count(outcome),
        latencies=latencies(outcome, pace.surges),
        gateway_stages=gateway_stages,
        rejects=reject_counts(outcome, REJECT_NAMES),
        hiccups=hiccups,
        windows=windows(outcome, pace.duration_ns),
        machine=this_machine(),
        notes=list(facts.notes),
        surveillance=surveillance,
    )
    report.reasons = failures(report, outcome)
    report.verdict = "FAIL" if report.reasons else "PASS"
    return report


def count(outcome: Outcome) -> Counts:
    """Where every request ended."""
    orders, wanted, got = outcome.orders, outcome.expected_code, outcome.reject_code
    decided = outcome.decided_ns >= 0
    rejected = orders & (got > 0)
    met = int((orders & (got > 0) & (got == wanted)).sum())
    return Counts(
        planned=outcome.planned_ns.size,
        sent=int((outcome.sent_ns >= 0).sum()),
        unsent=outcome.unsent_count,
        answered=int(outcome.answered.sum()),
        unanswered=outcome.unanswered_count,
        orders=int(orders.sum()),
        cancels=int(outcome.cancels.sum()),
        accepted=int((orders & decided & (got == 0)).sum()),
        acked=int((orders & (outcome.acked_ns >= 0)).sum()),
        rejected_expected=met,
        rejected_unexpected=int((rejected & (wanted == 0)).sum()),
        rejected_moved=int((rejected & (wanted == 0) & np.isin(got, MOVED_CODES)).sum()),
        rejected_by_rules=int((rejected & (wanted == 0) & np.isin(got, RULE_CODES)).sum()),
        rejections_missing=int((orders & decided & (wanted > 0) & (got != wanted)).sum()),
        trades=outcome.trade_count,
        repeated=outcome.repeated_count,
        disorder=outcome.disorder_count,
        stray=outcome.stray_count,
        malformed=outcome.malformed_count,
    )


def failures(report: Report, outcome: Outcome) -> list[str]:
    """Every reason why the run did not pass; an empty list: it passed."""
    counts, asked = report.counts, report.objectives
    reasons = [
        f"{text}: {number:,}"
        for text, number in (
            ("requests due but never sent", counts.unsent),
            ("requests never answered", counts.unanswered),
            ("reports told twice", counts.repeated),
            ("events out of order", counts.disorder),
            ("reports of unknown orders", counts.stray),
            ("messages that cannot be read", counts.malformed),
            ("bad orders that were not rejected as they must be", counts.rejections_missing),
        )
        if number
    ]
    moved, ruled = counts.rejected_moved, counts.rejected_by_rules
    unexpected = counts.rejected_unexpected - moved - ruled
    if unexpected > asked.max_unexpected_share * counts.orders:
        reasons.append(f"good orders rejected: {unexpected:,}")
    if moved > asked.max_moved_share * counts.orders:
        reasons.append(f"good orders refused by a price check (R1107, R1108, R1602): {moved:,}")
    if ruled > MOST_BENIGN_STOPPED * counts.orders:
        reasons.append(f"good orders stopped by rules: {ruled:,}: {rules_met(report.surveillance)}")
    reasons += watch_failures(report.surveillance)
    reasons += [f"session ended early: {why}" for why in outcome.broken_sessions]
    for name, limit_us in (("order to decision", asked.decision_p99_us), ("order to exchange ack", asked.ack_p99_us)):
        row = report.find(name)
        if limit_us is not None and row is None:
            reasons.append(f"{name}: nothing measured, expected p99 under {limit_us:,.0f} us")
        if limit_us is not None and row is not None and row.p99_us > limit_us:
            reasons.append(f"{name}: p99 {row.p99_us:,.0f} us, expected under {limit_us:,.0f} us")
    return reasons


def rules_met(rules: Surveillance | None) -> str:
    """The rules that had breaches, by number of them."""
    rows = [f"{row.rule} {row.name} x{row.breaches}" for row in (rules.rules if rules else []) if row.breaches]
    return ", ".join(rows) or "no rule's alert says why"


def watch_failures(rules: Surveillance | None) -> list[str]:
    """Alerts that never came, late ones, and a trader who was not caught."""
    if rules is None:
        return []
    reasons = [f"alerts that never came: {rules.missing}"] if rules.missing else []
    if rules.latency.max_us > MOST_ALERT_US:
        reasons.append(f"an alert came {rules.latency.max_us / 1e6:.1f} s after its cause, expected under 5 s")
    if rules.scene is not None and not any(alert.factors for alert in rules.scene.alerts):
        reasons.append(f"no alert about {rules.scene.account}, who withdrew {rules.scene.flash_cancels} orders at once")
    return reasons


def peak_per_s(outcome: Outcome) -> int:
    """Most requests sent within one whole second of the run."""
    sent = outcome.sent_ns[outcome.sent_ns >= 0] // 1_000_000_000
    return int(max((int((sent == second).sum()) for second in set(sent.tolist())), default=0))


def hiccups_of(core: int, woke_ns: Ints, late_ns: Ints, start_ns: int, window_count: int) -> Hiccups:
    """What a hiccup meter saw between start_ns and the end of the run's last tenth of a second."""
    at = (woke_ns - start_ns) // 100_000_000
    inside = (at >= 0) & (at < window_count)
    at, late_ns = at[inside], late_ns[inside]
    worst: list[float | None] = [None] * window_count
    for window in sorted(set(at.tolist())):
        worst[window] = float(late_ns[at == window].max()) / 1e3
    return Hiccups(
        core=core,
        sleeps=int(late_ns.size),
        late=latency(f"hiccups of core {core}", late_ns.clip(0)),
        over_1ms=int((late_ns > 1_000_000).sum()),
        worst_by_window_us=worst,
    )


def this_machine() -> Machine:
    """The machine the run was made on."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return Machine(cores=os.cpu_count() or 1, cpu=cpu, kernel=platform.release(), python=platform.python_version())


def write_json(report: Report, path: Path) -> None:
    """Write report.json, indented."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read_json(path: Path) -> Report:
    """Read a report.json back; a msgspec.ValidationError says which field is wrong."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


__all__ = ["Objectives", "Report", "RunFacts", "build_report", "hiccups_of", "latency_of", "read_json", "write_json"]
