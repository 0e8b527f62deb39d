"""Plays rule tests through the real engine: what was expected, what happened, which rules and comparisons were met.

It decides nothing itself: the engine judges, the tape says what must come of it.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from ext import program as octets
from risk_rules.load import load_rules
from risk_rules.rule_types import RuleSet
from risk_rules.stage import BUY, SELL, Placed, Stage, e4, full_symbol
from risk_rules.tapes import RuleTest, Step, TapeFile, market_changes, steps_of

STAGES = {1: "warn", 2: "breach"}
MOST_SHOWN = 4
UNIT_TEXT = {
    0: ("", 1),
    1: (" shares", 1),
    2: (" yuan", 10_000),
    3: (" yuan/share", 10_000),
    4: (" %", 10_000),
    5: (" s", 1_000_000_000),
    6: ("", 1),
}


class Hit(msgspec.Struct, frozen=True):
    """One recorded hit, by name."""

    rule: str
    stage: str
    enforced: bool
    factors: tuple[tuple[str, int, int, int], ...]  # text, value, limit, unit

    def __str__(self) -> str:
        shown = ", ".join(
            f"{text} = {in_unit(value, unit)} (limit {in_unit(limit, unit)})"
            for text, value, limit, unit in self.factors
        )
        return f"{self.rule} {self.stage if self.enforced else 'observed'}: {shown}"


class Check(msgspec.Struct, frozen=True):
    """One expectation of one test: met, or what happened instead."""

    test: str
    line: int
    expected: str
    happened: str  # empty: as expected


class Report(msgspec.Struct):
    """What a test file came to."""

    path: Path
    tests: int = 0
    checks: int = 0
    failed: list[Check] = msgspec.field(default_factory=list)
    fired: dict[str, set[str]] = msgspec.field(default_factory=dict)  # rule -> stages met
    met: dict[str, set[str]] = msgspec.field(default_factory=dict)  # rule -> comparisons met in a hit
    comparisons: dict[str, list[str]] = msgspec.field(default_factory=dict)  # rule -> all of its conditions
    stages: dict[str, set[str]] = msgspec.field(default_factory=dict)  # rule -> those it has


def in_unit(value: int, unit: int) -> str:
    text, scale = UNIT_TEXT.get(unit, ("", 1))
    return f"{value // scale if value % scale == 0 else value / scale:,}{text}"


def shortened(texts: Sequence[str]) -> str:
    """The first few of what happened, and how many more there were."""
    more = [f"and {len(texts) - MOST_SHOWN} more"] if len(texts) > MOST_SHOWN else []
    return "; ".join([*texts[:MOST_SHOWN], *more])


# --- rule sets ---


@contextmanager
def switched_on(paths: Sequence[Path], rules: Sequence[str]) -> Iterator[list[Path]]:
    """The same files with these rules' `mode: off` changed to enforce, where a test asks for it."""
    if not rules:
        yield list(paths)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for path in paths:
            text = path.read_text(encoding="utf-8")
            for rule in rules:
                text = re.sub(rf"(?m)(^- id: {re.escape(rule)}\n(?:  .*\n)*?  mode: )off\b", r"\1enforce", text)
            copy = Path(folder) / path.name
            copy.write_text(text, encoding="utf-8")
            found.append(copy)
        yield found


class RuleSets:
    """Rule sets by day, compiled once."""

    def __init__(self, paths: Sequence[Path], rules_on: Sequence[str] = ()) -> None:
        self.paths, self.rules_on = paths, rules_on
        self.of_day: dict[date, tuple[RuleSet, dict[str, Any]]] = {}

    def of(self, day: date) -> tuple[RuleSet, dict[str, Any]]:
        """(rule set, its names)."""
        if day not in self.of_day:
            with switched_on(self.paths, self.rules_on) as paths:
                loaded = load_rules(paths, day=day)
            self.of_day[day] = loaded, octets.names(loaded.program)
        return self.of_day[day]


def hit_of(alert: dict[str, Any], names: dict[str, Any]) -> Hit:
    """An alert of the engine with the names of its rule set."""
    texts = names["factors"]
    factors = tuple(
        (
            texts[factor["factor"]]["text"] if factor["factor"] < len(texts) else "?",
            factor["value"],
            factor["limit"],
            factor["unit"],
        )
        for factor in alert["factors"]
    )
    return Hit(alert["rule_id"], STAGES[alert["stage"]], bool(alert["enforced"]), factors)


# --- playing ---


class Player:
    """One test on its own stage."""

    def __init__(self, test: RuleTest, rule_set: RuleSet, names: dict[str, Any]) -> None:
        self.test, self.names = test, names
        self.stage = Stage(test.securities, test.clients, test.day, rule_set.program)
        self.named: dict[str, tuple[Placed, str, str, int]] = {}  # order -> (placed, account, symbol, shares)
        self.hits: list[Hit] = []
        self.fresh: list[Hit] = []  # since the last expectation
        self.decided: list[tuple[str, Placed]] = []
        self.looked = False
        self.turn_ns = 0

    def play(self) -> list[Check]:
        """Every expectation of the test, in order."""
        checks: list[Check] = []
        for step, turn in steps_of(self.test.tape):
            self.move_clock(step, turn)
            if step.kind in ("nothing", "hit", "decided", "level"):
                self.take_hits()
                self.looked = True
                checks.append(Check(self.test.name, step.line, step.text, self.judge(step)))
                continue
            if self.looked:
                self.looked = False
                self.fresh, self.decided = [], []
            self.act(step)
        self.take_hits()
        self.stage.close()
        return checks

    def move_clock(self, step: Step, turn: int) -> None:
        if step.kind == "turn":
            now_ns = self.turn_ns if turn > 1 else self.stage.now_ns
            now_ns += step.after_ns if turn > 1 else 0
            self.turn_ns = now_ns
            self.stage.at(now_ns)
        elif step.of_day_ns is not None:
            self.stage.at(self.stage.midnight_ns + step.of_day_ns)
        elif step.after_ns:
            self.stage.at(self.stage.now_ns + step.after_ns)

    def take_hits(self) -> None:
        new = [hit_of(alert, self.names) for alert in self.stage.new_alerts()]
        self.hits += new
        self.fresh += new

    def act(self, step: Step) -> None:
        terms = {name: value or "" for name, value in step.terms.items()}
        match step.kind:
            case "order":
                self.order(terms, step.text)
            case "request":
                placed, account, _, _ = self.known(step, terms["name"])
                self.stage.cancel(account, placed.number)
            case "confirmed":
                placed, account, symbol, _ = self.known(step, terms["name"])
                self.stage.confirm(account, placed.number, self.stage.securities[symbol].venue)
            case "canceled":
                placed, account, symbol, _ = self.known(step, terms["name"])
                self.stage.cancel(account, placed.number)
                self.stage.canceled(placed.number, self.stage.securities[symbol].venue)
            case "fill":
                self.fill(step, terms)
            case "market":
                self.quote(terms)
            case "restart":
                self.stage.restart()

    def known(self, step: Step, name: str) -> tuple[Placed, str, str, int]:
        if name not in self.named:
            raise ValueError(f"line {step.line}: {name}: no such order so far")
        return self.named[name]

    def order(self, terms: dict[str, str], text: str) -> None:
        symbol = full_symbol(terms["symbol"])
        side = BUY if terms["side"] == "buys" else SELL
        price_e4 = 0 if terms["price"] == "market" else e4(terms["price"])
        shares = int(terms["shares"].replace("_", ""))
        placed = self.stage.order(terms["account"], side, shares, symbol, price_e4)
        self.decided.append((text, placed))
        if terms["name"]:
            self.named[terms["name"]] = placed, terms["account"], symbol, shares

    def fill(self, step: Step, terms: dict[str, str]) -> None:
        placed, _, symbol, ordered = self.known(step, terms["name"])
        shares = ordered if terms["shares"] == "all" else int(terms["shares"].replace("_", ""))
        venue, price_e4 = self.stage.securities[symbol].venue, e4(terms["price"])
        trade = self.stage.fill(placed.number, venue, shares, price_e4)
        if terms["other"]:
            other = self.known(step, terms["other"])
            self.stage.fill(other[0].number, venue, shares, price_e4, trade)

    def quote(self, terms: dict[str, str]) -> None:
        symbol = full_symbol(terms["symbol"])
        book = self.stage.books[symbol]
        changes: dict[str, Any] = {}
        for name, words in market_changes(terms["changes"]):
            if name in ("bid", "ask"):
                changes[name + "s"] = [
                    (e4(price), int(shares.replace("_", ""))) for price, shares in (word.split("x") for word in words)
                ]
            elif name == "last":
                changes["last_e4"] = e4(words[0])
            else:
                field, scale = ("volume", 1) if name == "volume" else ("turnover_e4", 10_000)
                number = int(words[0].lstrip("+").replace("_", "")) * scale
                changes[field] = number + (getattr(book, field) if words[0].startswith("+") else 0)
        if "volume" in changes and "turnover_e4" not in changes:
            traded = changes["volume"] - book.volume
            changes["turnover_e4"] = book.turnover_e4 + traded * changes.get("last_e4", book.last_e4)
        self.stage.quote(symbol, **changes)

    # Judging

    def judge(self, step: Step) -> str:
        """Empty when it is as expected, else what happened."""
        match step.kind:
            case "nothing":
                stopped = [
                    f"{text}: R{placed.code:04d} {self.rule_id(placed)}".rstrip()
                    for text, placed in self.decided
                    if placed.code != 1
                ]
                return shortened([*map(str, self.fresh), *stopped])
            case "hit":
                return self.judge_hit(step.terms)
            case "decided":
                return self.judge_decision(step.terms)
        account, symbol = step.terms["account"] or "", step.terms["symbol"]
        level = self.stage.level(account, full_symbol(symbol) if symbol else "")
        return "" if level == int(step.terms["level"] or 0) else f"{account} stands at L{level}"

    def judge_hit(self, terms: dict[str, str | None]) -> str:
        """`expect no R` looks at the whole test so far, `expect R` at what came since the last expectation."""
        looked_at = self.hits if terms["absent"] else self.fresh
        found = [
            hit
            for hit in looked_at
            if hit.rule == terms["rule"] and terms["stage"] in (None, hit.stage if hit.enforced else "observed")
        ]
        if terms["absent"]:
            return shortened([str(hit) for hit in found])
        return "" if found else shortened([str(hit) for hit in self.fresh]) or "no rule was met"

    def rule_id(self, placed: Placed) -> str:
        return str(self.names["rules"][placed.rule - 1]["id"]) if placed.rule else ""

    def judge_decision(self, terms: dict[str, str | None]) -> str:
        """About the newest order."""
        if not self.decided:
            return "no order since the last expectation"
        text, placed = self.decided[-1]
        rule = self.rule_id(placed)
        how = "suspended" if placed.suspended else "accepted" if placed.code == 1 else "blocked"
        code = f"R{placed.code:04d}" if how != "accepted" else ""
        if terms["how"] == how and terms["code"] in (None, code) and terms["rule"] in (None, rule):
            return ""
        return f"{text!r} was {how} {code} {rule} v={placed.value} lim={placed.limit}".strip()


def run_file(file: TapeFile, only: str = "") -> Report:
    """The tests of a file (with `only` in their name), and what its rules and comparisons saw of them."""
    report = Report(file.path)
    rule_sets = RuleSets(file.rules, file.switch_on)
    for test in file.tests:
        if only not in test.name:
            continue
        rule_set, names = rule_sets.of(test.day)
        note_rules(report, rule_set, names)
        player = Player(test, rule_set, names)
        checks = player.play()
        report.tests += 1
        report.checks += len(checks)
        report.failed += [check for check in checks if check.happened]
        if not checks:
            report.failed.append(Check(test.name, test.line, "at least one `expect` line", "none"))
        for hit in player.hits:
            report.fired.setdefault(hit.rule, set()).add(hit.stage)
            report.met.setdefault(hit.rule, set()).update(text for text, _, _, _ in hit.factors)
    return report


def note_rules(report: Report, rule_set: RuleSet, names: dict[str, Any]) -> None:
    """The rules of a day, their stages, and the comparisons of their conditions."""
    for rule in rule_set.rules:
        report.stages.setdefault(rule.id, set()).update({"breach", "warn"} if rule.warn else {"breach"})
    for factor in names["factors"]:
        rule_id = rule_set.rules[factor["rule"] - 1].id
        texts = report.comparisons.setdefault(rule_id, [])
        if factor["text"] not in texts:
            texts.append(factor["text"])
