"""What the model of the rules remembers of a day, in plain lists, and every window computed from them by looking back.

It must not import risk_rules or ext. Times in ns, prices in 1e-4 yuan, money in 1e-4 yuan, ratios in ppm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.model_expressions import PPM, UNDEFINED, Number

DAY, PHASE = 0, -1  # instead of a window's length
STEPS_BACK = 16
BUY, SELL = 1, 2
XSHG, XSHE = 1, 2
OPEN_CALL, OPEN_CALL_LOCKED, CLOSE_CALL = 2, 3, 7
CALLS = (OPEN_CALL, OPEN_CALL_LOCKED, CLOSE_CALL)
INDEX_BOARD = 4

Row = tuple[object, ...]
Key = tuple[int, str]  # venue, symbol

ROW_OF: dict[str, Callable[[Subject], Row | None]] = {
    "account": lambda s: (s.account,) if s.account else None,
    "controller": lambda s: (s.controller,) if s.controller else None,
    "account x venue": lambda s: (s.account, s.key[0]) if s.account else None,
    "controller x venue": lambda s: (s.controller, s.key[0]) if s.controller else None,
    "account x instrument": lambda s: (s.account, s.key) if s.account else None,
    "controller x instrument": lambda s: (s.controller, s.key) if s.controller else None,
    "instrument": lambda s: (s.key,),
    "venue": lambda s: (s.key[0],),
    "firm": lambda s: (),
}
OF_A_VENUE = (
    "account x venue",
    "controller x venue",
    "account x instrument",
    "controller x instrument",
    "instrument",
    "venue",
)


@dataclass(frozen=True)
class Subject:
    """Whom something is about: an account ("" when only its controller is known), and the instrument."""

    account: str
    controller: str
    key: Key


@dataclass
class Fact:
    """Something that happened and can be counted; of an order's end or fill, `shares` is that part alone."""

    kind: str  # order, cancel, fill, canceled, reject, mark
    time_ns: int
    subject: Subject
    side: int
    shares: int = 0
    e4: int = 0
    filters: frozenset[str] = frozenset()  # aggressive, at_limit, best5, self
    disadvantage_ppm: int = 0  # how far the price is from the previous close, to its side's disadvantage
    age_ns: int = 0
    mark: object = None
    rows: frozenset[str] = frozenset(ROW_OF)  # keys it can be counted under: a rejected order opens no row
    number: int = 0  # in the order they happened
    phase_number: int = 0  # of its exchange
    any_phase_number: int = 0  # of both


@dataclass
class Quote:
    """A recorded quote; levels as (price, shares), best first, only those that are there."""

    time_ns: int
    bids: Sequence[tuple[int, int]] = ()
    asks: Sequence[tuple[int, int]] = ()
    last: int = 0
    volume: int = 0
    turnover: int = 0
    phase: int = 0
    number: int = 0
    phase_number: int = 0
    is_first: bool = False  # of the day
    traded: dict[str, int] = field(default_factory=dict)  # volume and turnover since the quote before

    def levels(self, side: int) -> Sequence[tuple[int, int]]:
        return self.bids if side == BUY else self.asks

    def best(self, side: int) -> int:
        return self.levels(side)[0][0] if self.levels(side) else 0


@dataclass
class Phases:
    """One exchange's phase, since when, and how many changes there were."""

    phase: int = 0
    since_ns: int = 0
    number: int = 0


@dataclass
class Entry:
    """One amount in a window's list, in the step that it counts in."""

    step: int
    amount: int
    fact: Fact


@dataclass
class Cell:
    """One feature's window of one row: everything that it counted, oldest first. A step never goes back."""

    window_ns: int
    entries: list[Entry] = field(default_factory=list)
    seen: int = 0  # facts of its row that were looked at already

    @property
    def newest(self) -> int:
        return self.entries[-1].step if self.entries else 0

    def step(self, time_ns: int) -> int:
        return max(self.newest, time_ns // self.length)

    @property
    def length(self) -> int:
        return max(self.window_ns // STEPS_BACK, 1)

    def add(self, fact: Fact, amount: int) -> None:
        self.entries.append(Entry(self.step(fact.time_ns), amount, fact))

    def inside(self, now_ns: int, phase_number: int, by_venue: bool, slack: int = 0) -> list[int]:
        """The amounts that the window holds now."""
        if self.window_ns == DAY:
            return [e.amount for e in self.entries]
        if self.window_ns == PHASE:
            return [e.amount for e in self.entries
                    if (e.fact.phase_number if by_venue else e.fact.any_phase_number) == phase_number]  # fmt: skip
        oldest = self.step(now_ns) - STEPS_BACK + slack
        found = []
        for entry in reversed(self.entries):
            if entry.step < oldest:
                break
            found.append(entry.amount)
        return found


def in_window(
    quotes: Sequence[Quote], window_ns: int, now_ns: int, phase_number: int
) -> tuple[list[Quote], list[Quote]]:
    """(recorded quotes before the window, those in it), by their steps."""
    if window_ns == DAY:
        return [], list(quotes)
    if window_ns == PHASE:
        inside = [q.phase_number == phase_number for q in quotes]
    else:
        length = max(window_ns // STEPS_BACK, 1)
        steps: list[int] = []
        for quote in quotes:
            steps.append(max(quote.time_ns // length, steps[-1] if steps else 0))
        now = max(now_ns // length, steps[-1] if steps else 0)
        inside = [step >= now - STEPS_BACK for step in steps]
    return [q for q, i in zip(quotes, inside, strict=True) if not i], [
        q for q, i in zip(quotes, inside, strict=True) if i
    ]


def move(quotes: Sequence[Quote], window_ns: int, now_ns: int, phase_number: int) -> Number:
    """Last price against the price one window ago, ppm: the last one before the window, else the first in it."""
    before, inside = in_window([q for q in quotes if q.last], window_ns, now_ns, phase_number)
    if not before and not inside:
        return UNDEFINED
    reference = before[-1].last if before else inside[0].last
    newest = inside[-1].last if inside else before[-1].last
    return (newest - reference) * PPM // reference


def extremes(quotes: Sequence[Quote], window_ns: int, now_ns: int, phase_number: int) -> list[int]:
    """Every last price in the window."""
    return [q.last for q in in_window(quotes, window_ns, now_ns, phase_number)[1] if q.last]


def market_sum(quotes: Sequence[Quote], window_ns: int, now_ns: int, phase_number: int, amount: str) -> int:
    """The market's volume in the window; what was traded before the day's first quote belongs to the day alone."""
    _, inside = in_window(quotes, window_ns, now_ns, phase_number)
    return sum(q.traded[amount] for q in inside if not q.is_first or window_ns == DAY)
