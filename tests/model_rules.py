"""The rules of abnormal trading, slowly: answers each rule by looking back at everything that happened on the day.

Written from the rule language's description alone; it must not import risk_rules or ext. The ladder's own verdicts come
from outside: `judge` is asked only about an order that passed them. Times in ns, money and prices in 1e-4 yuan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.model_day import AccountFacts, Behaviour, Day, Instrument, OwnOrder
from tests.model_expressions import Comparison, Judge, Number, features_in, name_of
from tests.model_features import MARKET, SUMS, Event, Feature, Reader, spell
from tests.model_rule_file import Action, Mark, MarkDefinition, Rule, read_rules
from tests.model_windows import (
    BUY,
    DAY,
    PHASE,
    ROW_OF,
    SELL,
    Fact,
    Key,
    Quote,
    Row,
    Subject,
)

SECOND = 10**9
WARN, BREACH = 1, 2
NEVER = 1 << 62
MOST_FACTORS = 6


@dataclass(frozen=True)
class Hit:
    """A rule's condition was met, as it must be recorded."""

    rule: str
    stage: int
    level: int
    enforced: bool
    blocked: bool
    event: str
    subject: Subject
    row: Row
    side: int
    factors: tuple[tuple[Number, Number], ...]


@dataclass(frozen=True)
class MarkSet:
    """A mark that must be set; of a condition that must hold for some time (name `for`), also that it ended."""

    rule: str
    name: str
    row: Row
    side: int
    ends: bool = False


@dataclass(frozen=True)
class Raised:
    """A rule's hit that must raise somebody's level."""

    rule: str
    level: int


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one order or cancel. kind: pass, block, suspend; the rest names the rule that decided."""

    kind: str = "pass"
    rule: str = ""
    code: int = 0
    value: Number = 0
    limit: Number = 0


class RuleModel(Day):
    """One day of one shard, as far as its rules are concerned. `out` collects what must be recorded."""

    def __init__(
        self,
        accounts: Iterable[AccountFacts],
        instruments: Iterable[Instrument],
        part: Callable[[str], int],
        wrong: Behaviour | None = None,
    ) -> None:
        """part: the hundredth of the accounts that an account belongs to (canary)."""
        super().__init__(accounts, instruments, wrong or Behaviour())
        self.part = part
        self.watched: dict[Key, dict[str, bool]] = {}  # instrument -> controllers, in order: whether they did something
        self.rules: list[Rule] = []
        self.rule_sets = 0
        self.last_hit: dict[tuple[str, Row, int, bool], int] = {}
        self.levels: dict[Row, int] = {}  # subject -> its response level
        self.holding: dict[tuple[str, Row, int], int] = {}  # a rule with `for`: since when its condition holds
        self.out: list[Hit | MarkSet | Raised] = []
        self.recorded_now = 0  # quotes recorded by the last action

    # Rule sets

    def put_in_force(self, texts: Iterable[str], now_ns: int) -> None:
        """These files are the rules from now on; features and marks that were there go on, new ones begin empty."""
        rules = [rule for text in texts for rule in read_rules(text)]
        self.rules = [rule for rule in rules if rule.mode != "off" and is_valid(rule, now_ns)]
        for number, rule in enumerate(self.rules, 1):
            rule.number = number
        known, self.since = self.since, {}
        counted = {hits_of(rule) for rule in self.rules if rule.escalate}
        for feature in {f for rule in self.rules for f in features_of(rule)} | counted:
            first = (0, 0, 0) if self.rule_sets == 0 else (self.newest_number, now_ns, self.any_phase_number)
            self.since[feature] = known.get(feature, first) if self.wrong.carries_over else first
        self.cells = {at: cell for at, cell in self.cells.items() if at[0] in self.since}
        names = {rule.condition for rule in self.rules if rule.for_ns}
        self.holding = {at: since for at, since in self.holding.items() if at[0] in names}
        marks = {mark.definition for rule in self.rules for mark in rule.marks.values()}
        marks |= {feature.mark for feature in counted}  # type: ignore[misc]
        self.mark_since = {mark: self.mark_since.get(mark, self.newest_number) for mark in marks}
        self.rule_sets += 1

    def is_full(self, rule: Rule, now_ns: int) -> bool:
        """Whether every window of the rule is as long as it says: a new one is not, at first."""
        for feature in features_of(rule):
            _, time_ns, phases = self.since[feature]
            if time_ns == 0:
                continue
            if feature.window_ns == DAY or (feature.window_ns == PHASE and phases == self.any_phase_number):
                return False
            if feature.window_ns > 0 and now_ns < time_ns + feature.window_ns:
                return False
        return True

    # What happens

    def restart(self) -> None:
        """The process came back: what was only heard and never recorded is gone."""
        self.live.clear()
        self.unrecorded.clear()
        for key, watched in self.watched.items():
            for controller in [c for c, acted in watched.items() if not acted]:
                if not self.is_holding(Subject("" if controller.startswith("@") else controller, controller, key)):
                    del watched[controller]

    def on_quote(self, key: Key, quote: Quote) -> None:
        quote.phase = self.phases[key[0]].phase
        self.live[key] = quote
        self.unrecorded.add(key)
        if self.is_due(key, quote.time_ns):
            self.record(key, quote.time_ns)

    def on_time(self, now_ns: int, first: Sequence[Key] = ()) -> None:
        """Record what has waited long enough. first: which of them come first, for the order is nobody's business."""
        for key in [*(k for k in first if k in self.unrecorded), *sorted(self.unrecorded - set(first))]:
            if self.is_due(key, now_ns):
                self.record(key, now_ns)

    def record(self, key: Key, now_ns: int) -> None:
        """Let the rules see the newest quote, and ask them about everybody who did something in the instrument."""
        quote = self.live[key]
        self.unrecorded.discard(key)
        recorded = Quote(
            now_ns, quote.bids, quote.asks, quote.last, quote.volume, quote.turnover, self.phases[key[0]].phase
        )
        recorded.number, recorded.phase_number = self.next_number(), self.phases[key[0]].number
        before = self.recorded(key)
        recorded.is_first = before is None
        recorded.traded = {
            "volume": max(0, quote.volume - (before.volume if before else 0)),
            "turnover": max(0, quote.turnover - (before.turnover if before else 0)),
        }
        self.quotes.setdefault(key, []).append(recorded)
        self.recorded_now += 1
        watched = self.watched.pop(key, {})
        for controller in watched:
            for side in (BUY, SELL):
                account = "" if controller.startswith("@") else controller
                event = Event("quote", now_ns, Subject(account, controller, key), side)
                self.ask(event)
                self.set_marks(event)
        for controller in watched:
            if self.is_holding(Subject("" if controller.startswith("@") else controller, controller, key)):
                self.watched.setdefault(key, {}).setdefault(controller, False)

    def is_holding(self, subject: Subject) -> bool:
        """Whether a condition with `for` that quotes are looked at for holds in this row: it is looked at again."""
        waiting = [rule for rule in self.rules if rule.for_ns and "quote" in rule.on]
        return any(
            (rule.condition, ROW_OF[rule.per](subject), side) in self.holding
            for rule in waiting
            for side in (BUY, SELL)
        )

    def watch(self, subject: Subject) -> None:
        if self.rule_sets:
            self.watched.setdefault(subject.key, {})[subject.controller] = True

    def new_order(self, order: OwnOrder, now_ns: int, is_market: bool = False) -> Verdict:
        """An order that passed the ladder: what the rules say, before it is accepted or rejected for it."""
        key = order.subject.key
        if key in self.unrecorded and key not in self.ordered_today:
            self.record(key, now_ns)
        top = self.live.get(key)
        against = top.best(BUY + SELL - order.side) if top else 0
        order.accepted_ns = now_ns
        order.aggressive = order.is_market or bool(
            against and (order.price_e4 >= against if order.side == BUY else order.price_e4 <= against)
        )
        coming = self.fact("order", order, order.shares, order.price_e4, now_ns)
        event = Event("order", now_ns, order.subject, order.side, order, order.shares, order.price_e4,
                      [coming] if self.wrong.judged_counts else [])  # fmt: skip
        verdict = self.ask(event)
        if verdict.kind != "pass":
            return verdict
        marks = self.marks_met(event)
        self.ordered_today.add(key)
        order.leaves = order.shares
        self.orders[order.name] = order
        self.add(coming)
        self.watch(order.subject)
        self.set_marks(event, marks)
        return verdict

    def reject(self, order: OwnOrder, now_ns: int) -> None:
        """We rejected it, whoever decided: it is counted under rows that exist."""
        subject = order.subject
        rows = {"account", "controller", "account x venue", "controller x venue", "instrument", "venue", "firm"}
        owned = [o.subject for o in self.orders.values() if o.subject.key == subject.key]
        if any(s.account == subject.account for s in owned) or self.accounts[subject.account].start.get(subject.key):
            rows.add("account x instrument")
        members = [a for a in self.accounts if self.controller(a) == subject.controller]
        if any(s.controller == subject.controller for s in owned) or any(
            self.accounts[a].start.get(subject.key) for a in members
        ):
            rows.add("controller x instrument")
        fact = self.fact("reject", order, order.shares, order.price_e4, now_ns)
        fact.rows = frozenset(rows)
        self.add(fact)

    def cancel(self, name: str, now_ns: int, asked: bool = True) -> Verdict:
        """A cancel goes to the exchange now; asked: a client wants it, and the rules may refuse."""
        order = self.orders[name]
        fact = self.fact("cancel", order, order.leaves, order.price_e4, now_ns)
        event = Event("cancel", now_ns, order.subject, order.side, order, order.leaves, order.price_e4, [fact])
        verdict = self.ask(event) if asked else Verdict()
        if verdict.kind == "pass":
            marks = self.marks_met(event) if asked else []
            self.add(fact)
            self.watch(order.subject)
            self.set_marks(event, marks)
        return verdict

    def fill(self, name: str, shares: int, price_e4: int, now_ns: int, exec_id: str = "") -> None:
        order = self.orders[name]
        order.leaves -= shares
        order.filled += shares
        self.trades.append((order.subject, order.side, shares))
        fact = self.fact("fill", order, shares, price_e4, now_ns)
        if self.is_self(fact, exec_id):
            fact.filters |= {"self"}
        self.finish(fact, Event("fill", now_ns, order.subject, order.side, order, shares, price_e4))

    def canceled(self, name: str, now_ns: int) -> None:
        """The rest left the book by request."""
        order = self.orders[name]
        rest, order.leaves = order.leaves, 0
        self.finish(self.fact("canceled", order, rest, order.price_e4, now_ns),
                    Event("canceled", now_ns, order.subject, order.side, order, rest, order.price_e4))  # fmt: skip

    def end(self, name: str) -> None:
        """The exchange refused it, or the day ended: nothing that a rule counts."""
        self.orders[name].leaves = 0

    def finish(self, fact: Fact, event: Event) -> None:
        self.add(fact)
        self.watch(fact.subject)
        self.ask(event)
        self.set_marks(event)

    # Rules

    def ask(self, event: Event) -> Verdict:
        """Every rule that applies; the first that blocks decides, else the first that suspends."""
        verdicts = [self.ask_one(rule, event) for rule in self.rules if self.applies(rule, event)]
        for kind in ("block", "suspend"):
            found = [v for v in verdicts if v.kind == kind]
            if found:
                return found[0]
        return Verdict()

    def applies(self, rule: Rule, event: Event) -> bool:
        return event.kind in rule.on and self.in_scope(rule, event)

    def in_scope(self, rule: Rule, event: Event) -> bool:
        scope, subject = rule.scope, event.subject
        instrument = self.instruments[subject.key]
        of_day = (event.time_ns + 8 * 3_600 * SECOND) % (86_400 * SECOND)
        return (
            (scope.phases is None or self.phases[subject.key[0]].phase in scope.phases)
            and scope.time[0] <= of_day < scope.time[1]
            and (scope.venues is None or subject.key[0] in scope.venues)
            and (scope.boards is None or instrument.board in scope.boards)
            and (scope.st in ("", "only" if instrument.is_st else "none"))
            and (scope.securities is None or subject.key in scope.securities)
            and (scope.sides is None or event.side in scope.sides)
            and (scope.accounts is None or self.named(scope.accounts, subject))
            and not self.named(scope.besides, subject)
        )

    def named(self, sets: Iterable[object], subject: Subject) -> bool:
        known = self.accounts.get(subject.account)
        group = known.group if known else subject.controller[1:]
        tags = known.tags if known else frozenset()
        return any(s.holds(subject.account, group, tags) for s in sets)  # type: ignore[attr-defined]

    def ask_one(self, rule: Rule, event: Event) -> Verdict:
        """One rule at one event: hits and marks into `out`, and what it says of the order."""
        stage, trace = self.stage_of(rule, event)
        row = ROW_OF[rule.per](event.subject)
        if row is None:
            return Verdict()
        if rule.for_ns and not self.held_long_enough(rule, row, event, stage):
            return Verdict()
        if stage == 0:
            return Verdict()
        action = rule.warn if stage == WARN else rule.breach
        assert action is not None
        enforced = self.is_enforced(rule, event)
        stops = enforced and self.stops(action, event)
        self.hit(rule, stage, action, enforced, stops, event, row, trace)
        if not stops:
            return Verdict()
        first = next(comparison for comparison in trace if comparison.holds)
        return Verdict("block" if action.block else "suspend", rule.id, rule.code, first.value, first.limit)

    def stage_of(self, rule: Rule, event: Event) -> tuple[int, list[Comparison]]:
        found: tuple[int, list[Comparison]] = (0, [])
        stages = (
            [(BREACH, 1)]
            if rule.warn is None
            else [(WARN, rule.warn_scale if self.wrong.warn_scaled else 1), (BREACH, 1)]
        )
        for stage, scale in stages:
            judge = Judge(self.reader(rule, event).read, scale, self.wrong.strict)  # type: ignore[arg-type]
            if not judge.holds(rule.when):
                return found
            found = stage, judge.trace
        return found

    def reader(self, rule: Rule, event: Event) -> Reader:
        return Reader(self, rule.per, {name: m.definition for name, m in rule.marks.items()}, event)

    def held_long_enough(self, rule: Rule, row: Row, event: Event, stage: int) -> bool:
        at = rule.condition, row, event.side
        if stage == 0:
            if self.holding.pop(at, None) is not None:
                self.out.append(MarkSet(rule.id, "for", row, event.side, ends=True))
            return False
        if at not in self.holding or self.holding[at] > event.time_ns:
            self.holding[at] = event.time_ns
            self.out.append(MarkSet(rule.id, "for", row, event.side))
        return not self.wrong.patient or event.time_ns - self.holding[at] >= rule.for_ns

    def is_enforced(self, rule: Rule, event: Event) -> bool:
        if rule.mode == "shadow" and not self.wrong.shadow_enforced:
            return False
        if rule.mode == "canary" and self.part(event.subject.account or event.subject.controller) >= rule.canary_pct:
            return False
        known = self.accounts.get(event.subject.account)
        for entry in rule.exempt if self.wrong.exempt else ():
            named = (entry.account and entry.account == event.subject.account) or (
                entry.group and known and entry.group == known.group
            )
            if named and event.time_ns < entry.until_ns:
                return False
        return not self.wrong.full or self.is_full(rule, event.time_ns)

    def stops(self, action: Action, event: Event) -> bool:
        if event.kind == "cancel":
            return action.block
        return event.kind == "order" and (action.block or action.confirm) and (event.side == BUY or action.sells)

    def hit(
        self,
        rule: Rule,
        stage: int,
        action: Action,
        enforced: bool,
        stops: bool,
        event: Event,
        row: Row,
        trace: list[Comparison],
    ) -> None:
        at = rule.id, row, stage, enforced
        last = self.last_hit.get(at)
        if self.wrong.cool_off and last is not None and abs(event.time_ns - last) < rule.cool_off_ns:
            return
        self.last_hit[at] = event.time_ns
        factors = tuple((c.value, c.limit) for c in trace if c.holds)[:MOST_FACTORS]
        self.out.append(
            Hit(rule.id, stage, action.level, enforced, stops, event.kind, event.subject, row, event.side, factors)
        )
        if enforced:
            self.raise_level(rule, action, event, row)

    def raise_level(self, rule: Rule, action: Action, event: Event, row: Row) -> None:
        """The level of whom the rule is kept for, when it is higher than where he stands; more after so many hits."""
        level = action.level
        if rule.escalate:
            hits, _, to = rule.escalate
            feature = hits_of(rule)
            self.add(Fact("mark", event.time_ns, event.subject, event.side, mark=feature.mark))
            counted = Reader(self, rule.per, {}, event).counted(feature, row)
            if counted >= hits + self.wrong.escalate_late:
                level = max(level, to)
        who = {"account": event.subject.account, "controller": event.subject.controller}.get(rule.per.split()[0])
        if who and level > self.levels.get((who,), 0):
            self.levels[who,] = level
            self.out.append(Raised(rule.id, level))

    # Marks

    def marks_met(self, event: Event) -> list[tuple[Rule, str, Mark]]:
        """The marks whose condition the event meets, before it is applied."""
        found = []
        for rule in self.rules:
            for name, mark in rule.marks.items():
                if event.kind in mark.definition.on and self.in_scope(rule, event):
                    judge = Judge(self.reader(rule, event).read)
                    if judge.holds(mark.when):
                        found.append((rule, name, mark))
        return found

    def set_marks(self, event: Event, met: list[tuple[Rule, str, Mark]] | None = None) -> None:
        for rule, name, mark in self.marks_met(event) if met is None else met:
            definition = mark.definition
            row = ROW_OF[definition.per](event.subject)
            if row is None:
                continue
            earlier = self.marks_of(definition, row, event.side)
            if (
                self.wrong.gap
                and definition.gap_ns
                and earlier
                and abs(event.time_ns - earlier[-1].time_ns) < definition.gap_ns
            ):
                continue
            self.out.append(MarkSet(rule.id, name, row, event.side))
            self.add(Fact("mark", event.time_ns, event.subject, event.side, mark=definition))


def is_valid(rule: Rule, now_ns: int) -> bool:
    begin, end = rule.valid
    return begin <= now_ns and (not end or now_ns < end)


def hits_of(rule: Rule) -> Feature:
    """The window that counts a rule's enforced hits."""
    assert rule.escalate is not None
    mark = MarkDefinition(rule.id, "hits", frozenset(), rule.per, 0, "")
    return Feature("times", rule.escalate[1], 0, rule.per, mark=mark)


def features_of(rule: Rule) -> set[Feature]:
    """Every window that the rule or one of its marks reads, of both sides where the side is the event's."""
    marks: dict[str, object] = {name: mark.definition for name, mark in rule.marks.items()}
    trees = [rule.when, *(mark.when for mark in rule.marks.values())]
    return {
        spell(node, rule.per, marks, side) for tree in trees for node in features_in(tree) for side in (BUY, SELL)
        if name_of(node) in SUMS or name_of(node) in MARKET
    }  # fmt: skip
