"""What a feature or an instant of a rule is worth at one event, in the model: by looking through everything of the day.

It must not import risk_rules or ext.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.model_expressions import PPM, UNDEFINED, Number, name_of
from tests.model_windows import (
    BUY,
    CALLS,
    DAY,
    OF_A_VENUE,
    PHASE,
    ROW_OF,
    SELL,
    Cell,
    Fact,
    Quote,
    Row,
    Subject,
    extremes,
    market_sum,
    move,
)

if TYPE_CHECKING:
    from tests.model_day import Day, OwnOrder

SUMS: dict[str, tuple[frozenset[str], str]] = {
    "messages": (frozenset({"order", "cancel"}), "one"), "cancel_requests": (frozenset({"cancel"}), "one"),
    "rejects": (frozenset({"reject"}), "one"), "times": (frozenset({"mark"}), "one"),
    "orders": (frozenset({"order"}), "one"), "cancels": (frozenset({"canceled"}), "one"),
    "fills": (frozenset({"fill"}), "one"),
    **{f"{word}_{amount}": (frozenset({kind}), amount) for word, kind in
       (("order", "order"), ("cancel", "canceled"), ("fill", "fill")) for amount in ("shares", "yuan")},
    **{f"largest_order_{amount}": (frozenset({"order"}), amount) for amount in ("shares", "yuan")},
}  # fmt: skip
MARKET = ("market_shares", "market_yuan", "move", "rise", "fall", "high", "low")
AMOUNTS: dict[str, Callable[[Fact], int]] = {"one": lambda f: 1, "shares": lambda f: f.shares, "yuan": lambda f: f.e4}
OWN_KEY = {"account": "account x instrument", "controller": "controller x instrument"}


@dataclass(frozen=True)
class Feature:
    """One window as it is kept: two with equal definitions are the same one."""

    name: str
    window_ns: int
    side: int  # 0: both
    per: str
    filters: frozenset[str] = frozenset()
    beyond_ppm: int = 0
    within_ns: int = 0
    mark: object = None  # MarkDefinition of times(), age() and after=
    fixed: tuple[int, str] | None = None

    def counts(self, fact: Fact, is_after: Callable[[Feature, Fact], bool]) -> bool:
        kinds, _ = SUMS[self.name]
        return (
            fact.kind in kinds and self.per in fact.rows and self.side in (0, fact.side)
            and (self.name != "times" or fact.mark == self.mark)
            and all(self.passes(f, fact) for f in self.filters)
            and (not self.beyond_ppm or fact.disadvantage_ppm >= self.beyond_ppm)
            and (not self.within_ns or fact.age_ns <= self.within_ns)
            and ("after" not in self.filters or is_after(self, fact))
        )  # fmt: skip

    def passes(self, name: str, fact: Fact) -> bool:
        if name == "passive":
            return "aggressive" not in fact.filters
        return name == "after" or name in fact.filters

    def amount(self, fact: Fact) -> int:
        return AMOUNTS[SUMS[self.name][1]](fact)


@dataclass
class Event:
    """What a rule is asked at; coming: what it would add to the windows, if it is not applied yet."""

    kind: str  # order, cancel, fill, canceled, quote
    time_ns: int
    subject: Subject
    side: int
    order: OwnOrder | None = None
    shares: int = 0
    price_e4: int = 0
    coming: list[Fact] = field(default_factory=list)


def spell(node: ast.expr, per: str, marks: dict[str, object], side: int) -> Feature:
    """A feature's definition from how it is written, for an event of that side."""
    assert isinstance(node, ast.Call)
    name, window = name_of(node), PHASE
    filters: set[str] = set()
    mark, fixed, key = None, None, per
    wanted, beyond, within = 0, 0, 0
    for argument in node.args:
        word = name_of(argument)
        if isinstance(argument, ast.Constant):
            window = int(argument.value)
        elif word in ("day", "phase"):
            window = {"day": DAY, "phase": PHASE}[word]
        elif word in marks:
            mark = marks[word]
        else:
            filters.add(word)
    for keyword in node.keywords:
        value = keyword.value
        match keyword.arg:
            case "side":
                wanted = {"both": 0, "buy": BUY, "sell": SELL, "same": side, "opposite": BUY + SELL - side}[
                    name_of(value)
                ]
            case "per":
                key = words(value)
            case "beyond":
                beyond = constant(value)
            case "within":
                within = constant(value)
            case "after":
                mark = marks[name_of(value)]
                filters.add("after")
            case "security":
                symbol, venue = str(constant(value)).split(".")
                fixed, key = ({"XSHG": 1, "XSHE": 2}[venue], symbol), "fixed"
            case word if constant(value) is True:
                filters.add(str(word))
    if name in MARKET and key != "fixed":
        key = "venue" if name.startswith("market") and key.endswith("venue") else "instrument"
    return Feature(name, window, wanted, key, frozenset(filters), beyond, within, mark, fixed)


def words(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else name_of(node)


def constant(node: ast.expr) -> int:
    if isinstance(node, ast.Name) and node.id == "true":
        return True
    assert isinstance(node, ast.Constant)
    return node.value  # type: ignore[return-value]


@dataclass
class Reader:
    """Reads features for one rule at one event."""

    model: Day
    per: str
    marks: dict[str, object]
    event: Event

    def read(self, node: ast.expr) -> Number:
        name = name_of(node)
        if name in SUMS or name in MARKET or name == "age":
            return self.feature(spell(node, self.per, self.marks, self.event.side))
        side = 0
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            side = spell(node, self.per, self.marks, self.event.side).side if keyword.arg == "side" else side
        return getattr(self, "instant_" + name)(side) if side else getattr(self, "instant_" + name)()

    def feature(self, feature: Feature) -> Number:
        if feature.name == "age":
            return self.model.age(feature, ROW_OF[feature.mark.per](self.event.subject), self.event.time_ns)  # type: ignore[attr-defined]
        if feature.name in MARKET:
            return self.market(feature)
        row = ROW_OF[feature.per](self.event.subject)
        if row is None:
            return 0
        return self.counted(feature, row)

    def counted(self, feature: Feature, row: Row) -> int:
        cell = self.model.cell(feature, row)
        by_venue = feature.per in OF_A_VENUE
        phase = self.model.phases[self.event.subject.key[0]].number if by_venue else self.model.any_phase_number
        amounts = cell.inside(self.event.time_ns, phase, by_venue, self.model.slack)
        amounts += [feature.amount(f) for f in self.event.coming if feature.counts(f, self.model.is_after)]
        if feature.name.startswith("largest"):
            return max(amounts, default=0)
        return sum(amounts)

    def market(self, feature: Feature) -> Number:
        model, now = self.model, self.event.time_ns
        keys = [feature.fixed or self.event.subject.key]
        if feature.per == "venue":
            keys = [k for k, i in model.instruments.items() if k[0] == keys[0][0] and not i.is_index]
        phase = model.phases[keys[0][0]].number if keys else 0
        if feature.name.startswith("market"):
            amount = {"market_shares": "volume", "market_yuan": "turnover"}[feature.name]
            return sum(market_sum(model.quotes_for(feature, k), feature.window_ns, now, phase, amount) for k in keys)
        quotes = model.quotes_for(feature, keys[0])
        if feature.name in ("high", "low"):
            prices = extremes(quotes, feature.window_ns, now, phase)
            return (max if feature.name == "high" else min)(prices) if prices else UNDEFINED
        moved = move(quotes, feature.window_ns, now, phase)
        if moved is UNDEFINED or feature.name == "move":
            return moved
        return max(moved if feature.name == "rise" else -moved, 0)

    # Instants

    @property
    def quote(self) -> Quote | None:
        return self.model.recorded(self.event.subject.key)

    @property
    def key(self) -> tuple[int, str]:
        return self.event.subject.key

    def own_orders(self, side: int = 0) -> list[tuple[int, int, int]]:
        """(side, price, leaves) of the open orders of the row's owner in the instrument, the judged order too."""
        found = [(o.side, o.price_e4, o.leaves) for o in self.model.open_orders() if self.is_own(o)]
        if self.event.kind == "order" and self.event.order is not None:
            found.append((self.event.order.side, self.event.order.price_e4, self.event.order.shares))
        return [o for o in found if side in (0, o[0])]

    def is_own(self, order: OwnOrder) -> bool:
        subject = order.subject
        if subject.key != self.key:
            return False
        if self.per.startswith("account"):
            return subject.account == self.event.subject.account
        return subject.controller == self.event.subject.controller

    def instant_this_shares(self) -> int:
        return self.event.shares

    def instant_this_yuan(self) -> int:
        return self.event.shares * self.event.price_e4

    def instant_this_price(self) -> int:
        return self.event.price_e4

    def instant_this_deviation(self) -> Number:
        instrument, order = self.model.instruments[self.key], self.event.order
        assert order is not None
        return (order.price_e4 - instrument.prev_close) * PPM // instrument.prev_close

    def instant_this_age(self) -> int:
        order = self.event.order
        assert order is not None
        return self.event.time_ns - order.accepted_ns

    def flag(self, name: str) -> int:
        order = self.event.order
        assert order is not None
        return int(name in self.model.filters_of(order))

    def instant_this_aggressive(self) -> int:
        return self.flag("aggressive")

    def instant_this_at_limit(self) -> int:
        return self.flag("at_limit")

    def instant_this_in_best5(self) -> int:
        return self.flag("best5")

    def instant_this_market_type(self) -> int:
        assert self.event.order is not None
        return int(self.event.order.is_market)

    def instant_open_shares(self, side: int = 0) -> int:
        return sum(leaves for _, _, leaves in self.own_orders(side))

    def instant_open_orders(self) -> int:
        return len(self.own_orders())

    def instant_own_best5_shares(self, side: int = 0) -> int:
        return sum(leaves for s, price, leaves in self.own_orders(side) if self.model.in_best5(self.key, s, price))

    def instant_own_limit_shares(self, side: int = 0) -> int:
        return sum(leaves for s, price, leaves in self.own_orders(side) if price == self.model.limit_price(self.key, s))

    def instant_own_levels(self, side: int = 0) -> int:
        return len({(s, price) for s, price, _ in self.own_orders(side)})

    def accounts(self) -> Iterable[str]:
        if self.per.startswith("account"):
            return [self.event.subject.account]
        return [a for a in self.model.accounts if self.model.controller(a) == self.event.subject.controller]

    def instant_position_shares(self) -> int:
        return sum(self.model.position(a, self.key) for a in self.accounts())

    def instant_bought_today_shares(self) -> int:
        return sum(self.model.bought(a, self.key) for a in self.accounts())

    def instant_best5_shares(self, side: int = 0) -> int:
        sides = (side,) if side else (BUY, SELL)
        return sum(shares for s in sides for _, shares in (self.quote.levels(s) if self.quote else ()))

    def instant_limit_shares(self, side: int = 0) -> int:
        if not self.quote:
            return 0
        sides = (side,) if side else (BUY, SELL)
        return sum(
            n for s in sides for price, n in self.quote.levels(s) if price == self.model.limit_price(self.key, s)
        )

    def instant_last_price(self) -> Number:
        return self.quote.last if self.quote and self.quote.last else UNDEFINED

    def instant_prev_close(self) -> int:
        return self.model.instruments[self.key].prev_close

    def instant_deviation(self) -> Number:
        if not self.quote:
            return UNDEFINED
        price = (self.quote.bids[0][0] if self.quote.bids else 0) if self.quote.phase in CALLS else self.quote.last
        previous = self.model.instruments[self.key].prev_close
        return (price - previous) * PPM // previous if price else UNDEFINED

    def instant_is_at_limit(self, side: int = 0) -> int:
        if not self.quote:
            return 0
        sides = (side,) if side else (BUY, SELL)
        return int(any(limit and limit in (self.quote.last, self.quote.best(s))
                       for s in sides for limit in [self.model.limit_price(self.key, s)]))  # fmt: skip

    def instant_spread(self) -> Number:
        if not self.quote or not self.quote.bids or not self.quote.asks:
            return UNDEFINED
        bid, ask = self.quote.bids[0][0], self.quote.asks[0][0]
        return (ask - bid) * PPM // bid

    def instant_time_of_day(self) -> int:
        return (self.event.time_ns + 8 * 3_600 * 10**9) % (86_400 * 10**9)

    def instant_phase_age(self) -> int:
        return self.event.time_ns - self.model.phases[self.key[0]].since_ns

    def sent(self) -> list[Fact]:
        facts = [f for f in self.model.facts if f.kind in ("order", "cancel")] + self.event.coming
        subject = self.event.subject
        return [f for f in facts if f.subject.account == subject.account and f.subject.key[0] == subject.key[0]]

    def instant_sent_per_s(self) -> int:
        cell = Cell(10**9)
        for fact in self.sent():
            cell.add(fact, 1)
        return len(cell.inside(self.event.time_ns, 0, True))

    def instant_sent_today(self) -> int:
        return len(self.sent())
