"""One day as the model of the rules remembers it: accounts, orders, quotes, phases, and every fact that can be counted.

It must not import risk_rules or ext. Times in ns, money and prices in 1e-4 yuan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.model_expressions import PPM, UNDEFINED, Number
from tests.model_features import Feature
from tests.model_rule_file import MarkDefinition
from tests.model_windows import (
    BUY,
    DAY,
    INDEX_BOARD,
    OF_A_VENUE,
    OPEN_CALL,
    OPEN_CALL_LOCKED,
    PHASE,
    ROW_OF,
    SELL,
    Cell,
    Fact,
    Key,
    Phases,
    Quote,
    Row,
    Subject,
)

SECOND = 10**9
WARN, BREACH = 1, 2
NEVER = 1 << 62
WAITING_FILLS = 16
MOST_FACTORS = 6


@dataclass
class Instrument:
    key: Key
    board: int
    prev_close: int
    up_limit: int = 0
    down_limit: int = 0
    is_st: bool = False

    @property
    def is_index(self) -> bool:
        return self.board == INDEX_BOARD


@dataclass
class AccountFacts:
    """What a scope may name an account by, and what it held at the start of the day."""

    name: str
    group: str = ""
    tags: frozenset[str] = frozenset()
    start: dict[Key, int] = field(default_factory=dict)


@dataclass
class OwnOrder:
    """One of our orders; an accepted one is open while it has leaves."""

    name: str
    subject: Subject
    side: int
    price_e4: int  # of a market order the worst case that it was held with
    shares: int
    is_market: bool = False
    aggressive: bool = False
    accepted_ns: int = 0
    leaves: int = 0
    filled: int = 0


@dataclass
class Behaviour:
    """Where a deliberately wrong model differs from the right one (tests/test_rules_mutants.py)."""

    slack: int = 0  # steps that a window is too short
    strict: bool = False  # > where >= is written
    warn_scaled: bool = True
    gap: bool = True
    swap_sides: bool = False
    cool_off: bool = True
    after: bool = True
    escalate_late: int = 0  # hits too many before a level is raised
    judged_counts: bool = True
    shadow_enforced: bool = False
    exempt: bool = True
    patient: bool = True  # a `for` is waited for
    carries_over: bool = True  # windows go on over a reload
    full: bool = True  # a new window's rule is not enforced at first


class Day:
    """Everything that happened, and what can be read off it. It asks no rule."""

    def __init__(self, accounts: Iterable[AccountFacts], instruments: Iterable[Instrument], wrong: Behaviour) -> None:
        self.accounts = {a.name: a for a in accounts}
        self.instruments = {i.key: i for i in instruments}
        self.wrong = wrong
        self.phases = {1: Phases(), 2: Phases()}
        self.any_phase_number = 0
        self.newest_number = 0
        self.facts: list[Fact] = []
        self.by_row: dict[tuple[str, Row], list[Fact]] = {}
        self.orders: dict[str, OwnOrder] = {}
        self.trades: list[tuple[Subject, int, int]] = []
        self.waiting_fills: dict[tuple[str, Key], list[Fact]] = {}
        self.live: dict[Key, Quote] = {}
        self.unrecorded: set[Key] = set()
        self.quotes: dict[Key, list[Quote]] = {}
        self.ordered_today: set[Key] = set()
        self.cells: dict[tuple[Feature, Row], Cell] = {}
        self.since: dict[Feature, tuple[int, int, int]] = {}  # feature -> (newest number, time, phases) when it began
        self.mark_since: dict[MarkDefinition, int] = {}  # mark -> newest number when it began

    # What is known

    @property
    def slack(self) -> int:
        return self.wrong.slack

    def controller(self, account: str) -> str:
        """Its group ("@" before the name), or the account that has none."""
        group = self.accounts[account].group
        return "@" + group if group else account

    def subject(self, account: str, key: Key) -> Subject:
        return Subject(account, self.controller(account), key)

    def open_orders(self) -> list[OwnOrder]:
        return [o for o in self.orders.values() if o.leaves]

    def limit_price(self, key: Key, side: int) -> int:
        """The limit that this side pushes to; 0: none."""
        instrument = self.instruments[key]
        return instrument.up_limit if side == BUY else instrument.down_limit

    def recorded(self, key: Key) -> Quote | None:
        return self.quotes[key][-1] if self.quotes.get(key) else None

    def in_best5(self, key: Key, side: int, price: int) -> bool:
        quote = self.recorded(key)
        if quote is None or not quote.levels(side):
            return True
        worst = quote.levels(side)[-1][0]
        return price >= worst if side == BUY else price <= worst

    def position(self, account: str, key: Key) -> int:
        change = sum(n if side == BUY else -n for s, side, n in self.trades if (s.account, s.key) == (account, key))
        return self.accounts[account].start.get(key, 0) + change

    def bought(self, account: str, key: Key) -> int:
        return sum(n for s, side, n in self.trades if (s.account, s.key, side) == (account, key, BUY))

    def filters_of(self, order: OwnOrder) -> frozenset[str]:
        key = order.subject.key
        found = {"aggressive"} if order.aggressive else set()
        if order.price_e4 == self.limit_price(key, order.side):
            found.add("at_limit")
        if self.in_best5(key, order.side, order.price_e4):
            found.add("best5")
        return frozenset(found)

    # Windows

    def next_number(self) -> int:
        """Facts and recorded quotes are numbered together, from 1, in the order they happen."""
        self.newest_number += 1
        return self.newest_number

    def add(self, fact: Fact) -> None:
        """It happened: from now on it counts."""
        fact.number = self.next_number()
        fact.phase_number = self.phases[fact.subject.key[0]].number
        fact.any_phase_number = self.any_phase_number
        self.facts.append(fact)
        for key in fact.rows:
            row = ROW_OF[key](fact.subject)
            if row is not None:
                self.by_row.setdefault((key, row), []).append(fact)

    def cell(self, feature: Feature, row: Row) -> Cell:
        """A feature's window of one row, with everything that it counted since it is there."""
        cell = self.cells.setdefault((feature, row), Cell(feature.window_ns))
        facts = self.by_row.get((feature.per, row), [])
        begin = self.since.get(feature, (0, 0, 0))[0]
        for fact in facts[cell.seen :]:
            if fact.number > begin and feature.counts(fact, self.is_after):
                cell.add(fact, feature.amount(fact))
        cell.seen = len(facts)
        return cell

    def is_after(self, feature: Feature, fact: Fact) -> bool:
        """Whether the mark of the other side, same row of the mark's key, is younger than the feature's window then."""
        if not self.wrong.after:
            return True
        definition: MarkDefinition = feature.mark  # type: ignore[assignment]
        row = ROW_OF[definition.per](fact.subject)
        earlier = self.marks_of(definition, row, BUY + SELL - fact.side, fact.number or NEVER)
        if not earlier:
            return False
        newest = earlier[-1]
        if feature.window_ns == DAY:
            return True
        if feature.window_ns == PHASE and feature.per in OF_A_VENUE:
            venue = fact.subject.key[0]
            return newest.phase_number == (fact.phase_number if fact.number else self.phases[venue].number)
        if feature.window_ns == PHASE:
            return newest.any_phase_number == (fact.any_phase_number if fact.number else self.any_phase_number)
        return fact.time_ns - newest.time_ns < feature.window_ns

    def marks_of(self, definition: MarkDefinition, row: Row | None, side: int, before: int = NEVER) -> list[Fact]:
        if row is None:
            return []
        return [f for f in self.by_row.get((definition.per, row), [])
                if f.kind == "mark" and f.mark == definition and side in (0, f.side)
                and self.mark_since.get(definition, 0) < f.number < before]  # fmt: skip

    def age(self, feature: Feature, row: Row | None, now_ns: int) -> Number:
        found = self.marks_of(feature.mark, row, feature.side)  # type: ignore[arg-type]
        return now_ns - found[-1].time_ns if found else UNDEFINED

    def quotes_for(self, feature: Feature, key: Key) -> list[Quote]:
        """Recorded quotes of an instrument since the feature is there."""
        begin = self.since.get(feature, (0, 0, 0))[0]
        return [q for q in self.quotes.get(key, []) if q.number > begin]

    def set_phase(self, venue: int, phase: int, now_ns: int) -> None:
        before = self.phases[venue]
        if phase == before.phase:
            return
        if (before.phase, phase) == (OPEN_CALL, OPEN_CALL_LOCKED):
            before.phase = phase
            return
        self.phases[venue] = Phases(phase, now_ns, before.number + 1)
        self.any_phase_number += 1

    def is_due(self, key: Key, now_ns: int) -> bool:
        """Whether the newest quote is to be recorded now."""
        newest = self.recorded(key)
        often = key in self.ordered_today or self.instruments[key].is_index
        return newest is None or now_ns - newest.time_ns >= (SECOND if often else 15 * SECOND)

    def fact(self, kind: str, order: OwnOrder, shares: int, price_e4: int, now_ns: int) -> Fact:
        previous = self.instruments[order.subject.key].prev_close
        worse = (order.price_e4 - previous) * (1 if order.side == BUY else -1)
        side = BUY + SELL - order.side if self.wrong.swap_sides else order.side
        return Fact(kind, now_ns, order.subject, side, shares, shares * price_e4, self.filters_of(order),
                    worse * PPM // previous, now_ns - order.accepted_ns)  # fmt: skip

    def is_self(self, fact: Fact, exec_id: str) -> bool:
        """Whether its other side is of the same controller: an opposite fill, otherwise equal, that has met none yet.

        Fills are remembered for this, a few of each controller, while some rule asks for it.
        """
        fact.mark = exec_id
        if not any("self" in feature.filters for feature in self.since):
            return False
        waiting = self.waiting_fills.setdefault((fact.subject.controller, fact.subject.key), [])
        for other in waiting:
            alike = (other.shares, other.e4, other.side) == (fact.shares, fact.e4, BUY + SELL - fact.side)
            if alike and (other.mark == exec_id or fact.time_ns - other.time_ns <= 10**6):
                waiting.remove(other)
                return True
        waiting.append(fact)
        del waiting[:-WAITING_FILLS]
        return False
