"""Seeded worlds for the rules: accounts, instruments, and random tapes of what happens on a day under a rule file.

A tape names orders by name and times by number, so any part of one is a tape too: a failure can be cut down.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.model_day import AccountFacts, Instrument
from tests.model_rules import RuleModel
from tests.model_state import BUY, LIMIT, SELL, XSHE, XSHG, price_limits
from tests.model_windows import CALLS, Key
from tests.rule_writer import RuleWriter

START_NS = 1_795_397_400_000_000_000  # a Monday, 09:30 in Shanghai
SECOND, MS, YUAN = 10**9, 10**6, 10_000
CONTINUOUS, OPEN_CALL, OPEN_CALL_LOCKED, LUNCH, CLOSE_CALL = 5, 2, 3, 6, 7
INDEX = (XSHG, "000001")
STOCKS = {(XSHG, "600001"): 1, (XSHG, "600002"): 1, (XSHG, "688001"): 2, (XSHE, "000002"): 1, (XSHE, "300001"): 3}
ACCOUNTS = {"A1": "family", "A2": "family", "B1": "fund", "B2": "fund", "C1": "", "LT7": "", "LT8": ""}
TAGS = {"LT7": frozenset({"market_maker"}), "B2": frozenset({"programme"}), "A2": frozenset({"vip"})}


@dataclass(frozen=True)
class Action:
    now_ns: int


@dataclass(frozen=True)
class Submit(Action):
    name: str
    account: str
    key: Key
    side: int
    price_e4: int
    shares: int
    ord_type: int = LIMIT


@dataclass(frozen=True)
class CancelRequest(Action):
    name: str


@dataclass(frozen=True)
class Fill(Action):
    name: str
    shares: int
    price_e4: int
    exec_id: str = ""


@dataclass(frozen=True)
class Canceled(Action):
    """The exchange canceled the rest, at our request."""

    name: str


@dataclass(frozen=True)
class Refused(Action):
    """The exchange refused the order."""

    name: str


@dataclass(frozen=True)
class MarketQuote(Action):
    key: Key
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    last: int
    volume: int
    turnover: int


@dataclass(frozen=True)
class PhaseChange(Action):
    venue: int
    phase: int


@dataclass(frozen=True)
class OnTime(Action):
    pass


@dataclass(frozen=True)
class PutInForce(Action):
    """Another rule set; rules: its file's text."""

    rules: str

    def __str__(self) -> str:
        return f"PutInForce(now_ns={self.now_ns}) of:\n{self.rules}"


@dataclass(frozen=True)
class Restart(Action):
    pass


def instruments() -> list[Instrument]:
    found = []
    for number, (key, board) in enumerate(STOCKS.items()):
        prev_close = (10 + 7 * number) * YUAN
        up, down = price_limits(prev_close, 10 if board == 1 else 20)
        found.append(Instrument(key, board, prev_close, up, down, is_st=number == 1))
    return [*found, Instrument(INDEX, 4, 3_000 * YUAN)]


def accounts() -> list[AccountFacts]:
    start = dict.fromkeys(STOCKS, 50_000_000)
    return [AccountFacts(name, group, TAGS.get(name, frozenset()), start) for name, group in ACCOUNTS.items()]


# Tapes


class Tape:
    """Random actions for one model; the caller applies each to the model before it asks for the next."""

    def __init__(self, rng: random.Random, model: RuleModel, rules: str, asked: set[str]) -> None:
        """rules: the file in force at first; asked: orders whose cancel was sent, kept by the caller."""
        self.rng, self.model, self.now_ns, self.count = rng, model, START_NS, 0
        self.rules, self.asked = rules, asked
        self.books = {key: i.prev_close for key, i in model.instruments.items()}
        self.volumes = dict.fromkeys(model.instruments, 0)
        self.turnovers = dict.fromkeys(model.instruments, 0)
        # A few accounts and instruments do most of it, so that windows fill.
        self.active = rng.sample(list(ACCOUNTS), 3)
        self.traded = rng.sample(list(STOCKS), 2)

    def actions(self, steps: int) -> Iterator[Action]:
        yield from self.opening()
        for _ in range(steps):
            self.pass_time()
            found = self.next_action()
            if found is not None:
                yield found

    def opening(self) -> Sequence[Action]:
        phases = [PhaseChange(self.now_ns, venue, CONTINUOUS) for venue in (XSHG, XSHE)]
        return [*phases, *(self.quote(key) for key in self.model.instruments if self.rng.random() < 0.9)]

    def pass_time(self) -> None:
        step = self.rng.choice(
            (
                0,
                0,
                MS,
                10 * MS,
                62_500_000,
                125 * MS,
                250 * MS,
                300 * MS,
                SECOND - 1,
                SECOND,
                2 * SECOND,
                15 * MS + 625_000,
                3 * SECOND,
            )
        )
        roll = self.rng.random()
        if roll < 0.02:
            step = self.rng.choice((20 * SECOND, 61 * SECOND, 6 * 60 * SECOND))
        elif roll < 0.04:
            step = -self.rng.choice((MS, 70 * MS, 400 * MS, 3 * SECOND))
        elif roll < 0.1:  # to the edge of a step of a one-second window
            step = 62_500_000 - self.now_ns % 62_500_000 - self.rng.choice((0, 1))
        self.now_ns = max(START_NS, self.now_ns + step)

    def next_action(self) -> Action | None:
        kinds = (
            self.order,
            self.order,
            self.order,
            self.order,
            self.cancel,
            self.fill,
            self.fill,
            self.ack,
            self.ack,
            self.market,
            self.market,
            self.market,
            self.tick,
            self.rare,
        )
        return self.rng.choice(kinds)()

    def any_key(self) -> Key:
        return self.rng.choice(self.traded if self.rng.random() < 0.85 else list(STOCKS))

    def price(self, key: Key, side: int) -> int:
        """A price near the market, inside the cage and the limits of the day."""
        instrument, near = self.model.instruments[key], self.books[key]
        roll = self.rng.random()
        if roll < 0.08:
            return instrument.up_limit if side == BUY else instrument.down_limit
        away = self.rng.choice((-3, -2, -1, 0, 0, 1, 2, 4, 7)) * 100
        found = near - away if side == BUY else near + away
        return min(max(found, instrument.down_limit), instrument.up_limit)

    def order(self) -> Action:
        self.count += 1
        key = self.any_key()
        account = self.rng.choice(self.active if self.rng.random() < 0.85 else list(ACCOUNTS))
        side = self.rng.choice((BUY, BUY, SELL))
        shares = self.rng.choice((200, 500, 1_000, 1_000, 2_500 // 100 * 100, 6_000))
        return Submit(self.now_ns, f"o{self.count}", account, key, side, self.price(key, side), shares)

    def open_name(self) -> str | None:
        names = [o.name for o in self.model.open_orders()]
        return self.rng.choice(names) if names else None

    def cancel(self) -> Action | None:
        names = [o.name for o in self.model.open_orders() if o.name not in self.asked]
        if not names:
            return None
        name = self.rng.choice(names[-3:])
        if self.model.phases[self.model.orders[name].subject.key[0]].phase != CONTINUOUS:
            return None
        return CancelRequest(self.now_ns, name)

    def ack(self) -> Action | None:
        names = [n for n in sorted(self.asked) if self.model.orders[n].leaves]
        return Canceled(self.now_ns, self.rng.choice(names)) if names else self.cancel()

    def fill(self) -> Action | None:
        name = self.open_name()
        if name is None:
            return None
        order = self.model.orders[name]
        shares = self.rng.choice((order.leaves, min(order.leaves, 100), min(order.leaves, 200), min(order.leaves, 200)))
        if self.rng.random() < 0.3 and self.model.trades:  # the other side of the trade before it
            subject, side, earlier = self.model.trades[-1]
            opposite = [
                o
                for o in self.model.open_orders()
                if (o.subject.controller, o.subject.key) == (subject.controller, subject.key)
                and o.side != side
                and o.leaves >= earlier
            ]
            if opposite:
                fact = next(f for f in reversed(self.model.facts) if f.kind == "fill")
                return Fill(self.now_ns, opposite[0].name, earlier, fact.e4 // fact.shares, str(fact.mark))
        return Fill(self.now_ns, name, shares, order.price_e4, f"X{self.count}")

    def market(self) -> Action:
        return self.quote(self.rng.choice([INDEX, *self.traded, *self.traded, self.any_key()]))

    def quote(self, key: Key) -> MarketQuote:
        instrument, rng = self.model.instruments[key], self.rng
        drift = rng.choice((0, 0, 1, -1, 2, -2, 5, -5)) * (100 if key != INDEX else 20_000)
        near = self.books[key] = max(self.books[key] + drift, 100)
        if instrument.up_limit:
            near = self.books[key] = min(max(near, instrument.down_limit), instrument.up_limit)
        volume = rng.choice((0, 500, 3_000, 20_000))
        self.volumes[key] += volume
        self.turnovers[key] += volume * near
        sides: list[tuple[tuple[int, int], ...]] = []
        for sign in (-1, 1):
            gap = rng.choice((0, 1, 1))
            depth = rng.choice((5, 5, 5, 3, 1, 0))
            prices = [near + sign * (gap + n) * 100 for n in range(depth)]
            if instrument.up_limit:
                prices = [p for p in prices if instrument.down_limit <= p <= instrument.up_limit]
            sides.append(tuple((p, rng.choice((100, 700, 5_000))) for p in prices))
        if self.model.phases[key[0]].phase in CALLS:
            sides = [((near, 900),), ((near, 900),)]
        last = 0 if rng.random() < 0.03 else near
        return MarketQuote(self.now_ns, key, sides[0], sides[1], last, self.volumes[key], self.turnovers[key])

    def tick(self) -> Action:
        return OnTime(self.now_ns)

    def rare(self) -> Action | None:
        roll = self.rng.random()
        if roll < 0.2:
            venue = self.rng.choice((XSHG, XSHE))
            phase = self.model.phases[venue].phase
            following = {
                CONTINUOUS: (LUNCH, CLOSE_CALL),
                OPEN_CALL: (OPEN_CALL_LOCKED,),
                OPEN_CALL_LOCKED: (CONTINUOUS,),
            }
            return PhaseChange(self.now_ns, venue, self.rng.choice(following.get(phase, (CONTINUOUS, OPEN_CALL))))
        if roll < 0.3:
            return Restart(self.now_ns)
        if roll < 0.4:
            return PutInForce(self.now_ns, self.changed_rules())
        name = self.open_name()
        return Refused(self.now_ns, name) if name and roll < 0.5 else None

    def changed_rules(self) -> str:
        """Sometimes new rules, sometimes those in force with other numbers for some, so that windows go on."""
        text = self.rules
        if self.rng.random() < 0.5:
            text = RuleWriter(self.rng).file()
        elif self.rng.random() < 0.7:
            text = text.replace("1 s", "2 s", 2)
        self.rules = text
        return text
