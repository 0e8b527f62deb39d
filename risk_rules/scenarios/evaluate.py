"""Runs labelled flows and cases against a rule set: caught, false alarms, time to detect, benign orders stopped."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from risk_rules.load import load_rules
from risk_rules.rule_types import RuleSet
from risk_rules.scenarios.cases import CASES, Case
from risk_rules.scenarios.desk import Desk
from risk_rules.scenarios.flows import FLOWS, Flow
from risk_rules.scenarios.world import CLIENTS, SECURITIES
from risk_rules.stage import Stage
from risk_rules.testing import STAGES

T = TypeVar("T")
DAY = date(2026, 11, 23)
SCALES = (0.89, 0.91, 1.01)
# The house's soft limits ask for a confirmation; they are no abnormal-trading rules, nor is the ladder (R1401).
SOFT = "H-"
LEVEL_CODE = "R1002"  # of orders that a level forbids, which a rule has set


class Outcome(msgspec.Struct, frozen=True):
    """One run. good: abnormal flow was met, benign flow was neither stopped nor alarmed."""

    name: str
    variant: str
    label: str  # abnormal | near | benign
    good: bool
    detect_ms: float | None  # after the pattern was complete
    orders: int
    stopped: int
    text: str = ""  # what was wrong


class Run:
    """A flow on its own stage, and what the engine said of it."""

    def __init__(self, rules: RuleSet, play: Callable[[Desk], None], securities: Any, clients: Any, **how: int) -> None:
        self.rules = rules
        self.stage = Stage(securities, clients, DAY, rules.program)
        self.desk = Desk(self.stage, **how)
        play(self.desk)
        for _ in range(3):
            self.desk.wait(4_000)
        self.steps = self.desk.steps
        self.alerts = self.stage.new_alerts()
        self.stage.close()

    def rule_id(self, number: int) -> str:
        return self.rules.rules[number - 1].id if number else ""

    def hits(self) -> Iterator[tuple[str, str, int]]:
        """(rule, stage, time) of every enforced hit."""
        for alert in self.alerts:
            if alert["enforced"]:
                yield self.rule_id(alert["rule"]), STAGES[alert["stage"]], alert["time_ns"]

    def blocks(self) -> list[str]:
        """Rule, else code, of every order that was stopped."""
        return [self.rule_id(placed.rule) or f"R{placed.code:04d}" for placed in self.desk.stopped]

    def late_ms(self, time_ns: int) -> float | None:
        """How long after the pattern was complete; 0 when it was recognised before."""
        return max(0, time_ns - self.desk.complete_ns) / 1e6 if self.desk.complete_ns else None


VARIANTS: dict[str, Callable[[int], dict[str, int]]] = {
    "as it was": lambda steps: {},
    "twice as fast": lambda steps: {"speed": 2},
    "quotes missing": lambda steps: {"gap_at": max(2, steps // 2)},
    "restart": lambda steps: {"restart_at": max(2, steps // 2)},
}


def run_all(paths: Sequence[Path], *, only: str = "", told: Callable[[str], None] = lambda text: None) -> list[Outcome]:
    """Every flow at every scale and every case, in every variant; `only`: those with this in their name.

    Cases meet all rules together. A flow meets those of its rule's file: a confirmation the house asks for, or a
    pattern that stops an order beforehand, would keep it from the size it is meant to have.
    """
    rules = load_rules(paths, day=DAY)
    alone = {rule.id: file for file in (load_rules([path], day=DAY) for path in paths) for rule in file.rules}
    outcomes: list[Outcome] = []
    for flow in FLOWS:
        if flow.rule in alone and only in flow.rule:
            told(flow.rule)
            outcomes += run_flow(alone[flow.rule], flow)
    for case in CASES:
        if only in case.name:
            told(case.name)
            outcomes += run_case(rules, case)
    return outcomes


def with_size(make: Callable[[Desk, T], None], size: T) -> Callable[[Desk], None]:
    """The same flow with its size (or its random numbers) given."""
    return lambda desk: make(desk, size)


def run_flow(rules: RuleSet, flow: Flow) -> Iterator[Outcome]:
    for scale in SCALES:
        value = flow.breach * scale
        value = float(int(value) if scale < 1 else -int(-value // 1)) if flow.whole else value
        expected = flow.label(value)
        variants = VARIANTS if expected == "breach" else {"as it was": VARIANTS["as it was"]}
        steps = 0
        for variant, how in variants.items():
            run = Run(rules, with_size(flow.make, value), SECURITIES, CLIENTS, **how(steps))
            steps = steps or run.steps
            yield judged(flow, expected, f"{scale} x, {variant}", run)


def judged(flow: Flow, expected: str, variant: str, run: Run) -> Outcome:
    """A breach must be met; what is below must not be: at most a warning, and only where one is due."""
    found = {stage: time_ns for rule, stage, time_ns in reversed(list(run.hits())) if rule == flow.rule}
    said = "breach" if "breach" in found else "warn" if "warn" in found else "nothing"
    good = said == expected
    detect_ms = run.late_ms(found["breach"]) if said == expected == "breach" else None
    stopped = sum(name == flow.rule for name in run.blocks()) if expected != "breach" else 0
    return Outcome(
        flow.rule,
        variant,
        "abnormal" if expected == "breach" else "near",
        good,
        detect_ms,
        run.desk.orders,
        stopped,
        "" if good else f"expected {expected}, got {said}",
    )


def run_case(rules: RuleSet, case: Case) -> Iterator[Outcome]:
    steps = 0
    variants = (
        VARIANTS if case.caught_by else {name: VARIANTS[name] for name in ("as it was", "twice as fast", "restart")}
    )
    for variant, how in variants.items():
        random = Random(zlib.crc32(case.name.encode()))
        run = Run(rules, with_size(case.play, random), case.securities, case.clients, **how(steps))
        steps = steps or run.steps
        yield judged_case(case, variant, run)


def judged_case(case: Case, variant: str, run: Run) -> Outcome:
    breaches: dict[str, int] = {}
    for rule, stage, time_ns in run.hits():
        if stage == "breach":
            breaches.setdefault(rule, time_ns)
    blocks = run.blocks()
    if not case.caught_by:
        stopped = [name for name in blocks if name == LEVEL_CODE or not name.startswith((SOFT, "R"))]
        alarms = sorted(rule for rule in breaches if not rule.startswith(SOFT))
        good = not stopped and not alarms
        return Outcome(
            case.name, variant, "benign", good, None, run.desk.orders, len(stopped), ", ".join({*alarms, *stopped})
        )
    wrong = sorted(case.never & set(breaches))
    times = [time_ns for rule, time_ns in breaches.items() if rule in case.caught_by]
    caught = bool(times) or bool(case.caught_by & set(blocks))
    detect_ms = run.late_ms(min(times)) if times else None
    text = (
        f"also {', '.join(wrong)}"
        if wrong
        else ""
        if caught
        else f"met only: {', '.join(sorted(breaches)) or 'nothing'}"
    )
    return Outcome(case.name, variant, "abnormal", caught and not wrong, detect_ms, run.desk.orders, 0, text)


class Totals(msgspec.Struct, frozen=True):
    """The figures of one evaluation; rates in percent."""

    abnormal_runs: int
    abnormal_caught: float
    near_runs: int
    near_false: float
    benign_runs: int
    benign_orders: int
    benign_stopped: float
    detect_ms_median: float
    detect_ms_worst: float


def totals(outcomes: Sequence[Outcome]) -> Totals:
    abnormal = [outcome for outcome in outcomes if outcome.label == "abnormal"]
    near = [outcome for outcome in outcomes if outcome.label == "near"]
    benign = [outcome for outcome in outcomes if outcome.label == "benign"]
    times = sorted(outcome.detect_ms for outcome in abnormal if outcome.detect_ms is not None)
    orders = sum(outcome.orders for outcome in benign)
    return Totals(
        len(abnormal),
        percent(sum(outcome.good for outcome in abnormal), len(abnormal)),
        len(near),
        percent(sum(not outcome.good for outcome in near), len(near)),
        len(benign),
        orders,
        percent(sum(outcome.stopped for outcome in benign), orders),
        times[len(times) // 2] if times else 0.0,
        times[-1] if times else 0.0,
    )


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 4) if whole else 0.0
