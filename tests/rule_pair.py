"""The model of the rules and the engine under the same rules, every step compared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests import rule_probe
from tests import rule_worlds as w
from tests.model_day import Behaviour
from tests.model_rules import Hit, MarkSet, Raised, RuleModel
from tests.model_state import PASS
from tests.rule_driver import RULE_TEXT, RuleDriver
from tests.rule_play import can_cancel, is_open, play

EVENTS = ("order", "cancel", "fill", "canceled", "quote")


class Parted(AssertionError):
    """Model and engine did not do the same. what: the kind of thing they differ in."""

    def __init__(self, what: str, text: str) -> None:
        super().__init__(text)
        self.what = what


class RulePair:
    """Both in the world of rule_worlds under one rule file."""

    def __init__(self, path: Path, rules: str, wrong: Behaviour | None = None) -> None:
        self.driver = RuleDriver(path, rules)
        self.model = RuleModel(w.accounts(), w.instruments(), part_of, wrong)
        for venue in (1, 2):
            self.model.set_phase(venue, w.CONTINUOUS, w.START_NS)
        self.model.put_in_force([rules], w.START_NS)
        self.asked: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.alert_seq = 0

    def close(self) -> None:
        self.driver.close()

    def step(self, action: w.Action) -> None:
        """Let it happen to both; raises Parted where they differ. What cannot happen in this world is left out."""
        if not self.is_possible(action):
            return
        code, text, frames = self.driver.play(action)
        decided = [fields for kind, fields in frames if kind == "ORDER"]
        ladder = bool(decided) and decided[0]["code"] != PASS and not decided[0]["rule"]
        keys = list(self.driver.world.instruments)
        quoted = [keys[fields["instrument"]] for kind, fields in frames if kind == "QUOTE"]
        verdict = play(self.model, action, ladder, quoted)
        if isinstance(action, w.CancelRequest) and code == PASS:
            self.asked.add(action.name)
        found = (code, *self.reason(action, text, decided)) if code != PASS and not ladder else (PASS,)
        expected: tuple[object, ...] = (PASS,)
        if verdict.kind == "block":
            expected = (verdict.code, verdict.rule, verdict.value, verdict.limit)[: len(found)]
        if isinstance(action, (w.Submit, w.CancelRequest)):
            self.check(action, "answer", expected, found)
        self.check(action, "hits", sorted(self.expected_hits(), key=str), sorted(self.found_hits(frames), key=str))
        self.check(action, "marks", sorted(self.expected_marks(), key=str), sorted(self.found_marks(frames), key=str))
        raised = [(o.rule, o.level) for o in self.model.out if isinstance(o, Raised)]
        levels = [(self.driver.names[f["rule"] - 1], f["level"]) for kind, f in frames if kind == "LEVEL"]
        self.check(action, "levels", sorted(raised), sorted(levels))
        self.check(action, "quotes", self.model.recorded_now, len(quoted))
        self.count(verdict.kind, frames)

    def is_possible(self, action: w.Action) -> bool:
        match action:
            case w.CancelRequest(_, name):
                phase = (
                    self.model.phases[self.model.orders[name].subject.key[0]].phase if name in self.model.orders else 0
                )
                return can_cancel(self.model, name) and name not in self.asked and phase == w.CONTINUOUS
            case w.Fill(_, name, shares):
                return is_open(self.model, name) and shares <= self.model.orders[name].leaves
            case w.Canceled(_, name):
                return is_open(self.model, name) and name in self.asked
            case w.Refused(_, name):
                return is_open(self.model, name)
        return True

    def check(self, action: w.Action, what: str, expected: object, found: object) -> None:
        if expected != found:
            raise Parted(what, f"{action}: {what}\n  model  {expected}\n  engine {found}")

    def reason(self, action: w.Action, text: str, decided: list[dict[str, Any]]) -> tuple[object, ...]:
        """(rule, value, limit) that a blocked order names; nothing for a cancel."""
        if not decided:
            return ()
        fields = decided[0]
        told = RULE_TEXT.search(text)
        numbers = self.driver.names[fields["rule"] - 1], fields["value"], fields["limit"]
        if told is None or (told["rule"], int(told["value"]), int(told["limit"])) != numbers:
            raise Parted("text", f"{action}: the text {text!r} is not what was recorded: {fields}")
        return numbers

    def expected_hits(self) -> list[tuple[object, ...]]:
        rules = {rule.id: rule for rule in self.model.rules}
        return [
            (
                o.rule,
                o.stage,
                o.level,
                o.enforced,
                o.blocked,
                o.event,
                o.side,
                self.driver.world.instruments[o.subject.key],
                self.driver.row(rules[o.rule].per, o.row),
                o.factors,
            )
            for o in self.model.out
            if isinstance(o, Hit)
        ]

    def found_hits(self, frames: list[tuple[str, dict[str, Any]]]) -> list[tuple[object, ...]]:
        hits = [fields for kind, fields in frames if kind == "HIT"]
        for fields in hits:
            if fields["alert_seq"] <= self.alert_seq:
                raise Parted("alerts", f"alert {fields['alert_seq']} after {self.alert_seq}")
            self.alert_seq = fields["alert_seq"]
        return [
            (
                self.driver.names[h["rule"] - 1],
                h["stage"],
                h["level"],
                bool(h["enforced"]),
                bool(h["blocked"]),
                EVENTS[h["event"]],
                h["side"],
                h["instrument"],
                h["row"],
                h["factors"],
            )
            for h in hits
        ]

    def expected_marks(self) -> list[tuple[object, ...]]:
        rules = {rule.id: rule for rule in self.model.rules}
        found = []
        for o in self.model.out:
            if isinstance(o, MarkSet):
                per = rules[o.rule].per if o.name == "for" else rules[o.rule].marks[o.name].definition.per
                name = "(for)" if o.name == "for" else f".{o.name}"
                found.append((f"{o.rule}@{rules[o.rule].version}{name}", self.driver.row(per, o.row), o.side, o.ends))
        return found

    def found_marks(self, frames: list[tuple[str, dict[str, Any]]]) -> list[tuple[object, ...]]:
        marks = [fields for kind, fields in frames if kind == "MARK"]
        return [(self.driver.mark_names[m["mark"]], m["row"], m["side"], bool(m["ends"])) for m in marks]

    def count(self, kind: str, frames: list[tuple[str, dict[str, Any]]]) -> None:
        """What a run reached, so that a test can see that it reached everything."""
        self.seen[kind] += 1
        for name, fields in frames:
            self.seen[f"{name} {fields.get('stage', '')}".strip()] += 1


def part_of(owner: str) -> int:
    """The hundredth that an account ("@" before the name: a group) is in, for a canary."""
    name, seed = (owner[1:], 2) if owner.startswith("@") else (owner, 1)
    return rule_probe.account_hash(name.encode(), seed) % 100
