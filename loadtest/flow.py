"""Generates order flow that behaves like a profile's recorded flow, from a seed; it reads no clock and sends nothing.

How: runs of orders (one intention cut in pieces) start as a Poisson stream whose rate follows the day's shape times a
factor common to all symbols; a run sets off further runs of its symbol (self-excitation); each run draws aggression,
distance from the touch, life and length from its symbol's shape, and its orders draw sizes. A shadow book per symbol
turns distances into prices and drops the cancels of orders that have traded; a random walk inside the limits draws it
along. A cancelled run's orders are cancelled together, at times when the exchange takes cancels.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from loadtest.flow_csv import (
    FLOW_DTYPE,
    Flow,
    FlowError,
    FlowRequest,
    load_flow,
    read_flow,
    to_requests,
)
from loadtest.profile import Histogram, Profile, load_profile
from loadtest.rates import BOX_S, plan_blocks, plan_rates
from loadtest.shadow_book import INTENT_DTYPE, ShadowBook
from loadtest.trading_day import CANCEL_CLOCK, OPEN_CLOCK, OPEN_WINDOWS_S

__all__ = [
    "FLOW_DTYPE",
    "Flow",
    "FlowError",
    "FlowRequest",
    "FlowSymbol",
    "arrays",
    "generate",
    "load_flow",
    "load_profile",
    "read_flow",
]

SLOTS = 1 << 16
SYMBOL_SLOTS = 1 << 18
LIMIT_ROOM = 0.8
"""The touch stays inside this part of the way from the reference price to either limit."""
LEAST_LIFE_S = 0.001
MEMORY_S, SETTLING_S, SETTLING_REQUESTS = 60.0, 300.0, 2e6
"""How long runs go on setting off others. In a window shorter than SETTLING_S, or where MEMORY_S holds more than
SETTLING_REQUESTS, delays are shortened in proportion, so that short and fast windows reach their rate at once."""
AUCTION_S = OPEN_WINDOWS_S[0][1] - OPEN_WINDOWS_S[0][0]

RUN_DTYPE = np.dtype([("at_s", "<f8"), ("symbol", "<u4"), ("length_slot", "<u4")])
ORDER_DTYPE = np.dtype(
    [
        ("at_s", "<f8"),
        ("life_s", "<f8"),
        ("side_draw", "<f8"),
        ("distance_ticks", "<i8"),
        ("symbol", "<u4"),
        ("is_aggressive", "u1"),
    ]
)
"""An order before it is entered: at_s on the open clock, life_s 0 when it is never cancelled."""


class FlowSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument to generate flow for; prices in 1e-4 yuan."""

    symbol: str
    reference_price_e4: int
    limit_down_e4: int
    limit_up_e4: int
    tick_e4: int = 100
    lot_shares: int = 100
    rate_ratio: float | None = None
    """Its share of the flow relative to the mean symbol; drawn from the profile's spread when absent."""

    def __post_init__(self) -> None:
        if not 0 < self.limit_down_e4 <= self.reference_price_e4 <= self.limit_up_e4:
            prices = f"{self.limit_down_e4}, {self.reference_price_e4}, {self.limit_up_e4}"
            raise ValueError(
                f"{self.symbol}: limit_down_e4, reference_price_e4, limit_up_e4: got {prices}, expected rising > 0"
            )
        if self.tick_e4 <= 0 or self.lot_shares <= 0:
            raise ValueError(
                f"{self.symbol}: tick_e4, lot_shares: got {self.tick_e4}, {self.lot_shares}, expected both > 0"
            )


class Tables:
    """Quantile tables of one histogram per shape: drawing is one look-up."""

    def __init__(self, histograms: Sequence[Histogram]) -> None:
        self._flat = np.concatenate([histogram.table(SLOTS) for histogram in histograms])

    def draw(self, rng: np.random.Generator, shape: np.ndarray) -> np.ndarray:
        """One value for each entry of `shape`."""
        return np.asarray(self._flat[shape * SLOTS + rng.integers(0, SLOTS, len(shape), np.uint16)])

    def pick(self, shape: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """The values at slots already drawn."""
        return np.asarray(self._flat[shape * SLOTS + slot])

    def draw_below(self, rng: np.random.Generator, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """As draw, from the lowest `scale[shape]` part of each distribution."""
        slot = (rng.random(len(shape)) * scale[shape] * SLOTS).astype(np.int64)
        return np.asarray(self._flat[shape * SLOTS + slot])


class Shapes:
    """The profile's symbol shapes as tables indexed by shape number."""

    def __init__(self, profile: Profile) -> None:
        shapes = profile.shapes
        self.tick_bps = np.array([shape.tick_bps for shape in shapes])
        self.buy_share = np.array([shape.buy_share for shape in shapes])
        self.aggressive_share = np.array([shape.aggressive_share for shape in shapes])
        self.cancel_ratio = np.array([shape.cancel_ratio for shape in shapes])
        self.volatility = np.array([shape.volatility_bps for shape in shapes]) / 1e4
        self.far_ticks = np.array([shape.far_ticks for shape in shapes])
        self.spread_ticks = np.array([float(shape.spread_ticks.quantiles([0.5])[0]) for shape in shapes])
        self.cross = Tables([shape.cross_ticks for shape in shapes])
        self.rest = Tables([shape.rest_ticks for shape in shapes])
        self.size = Tables([shape.size_lots for shape in shapes])
        self.length = Tables([shape.run_length for shape in shapes])
        lengths = self.length.pick(np.arange(len(shapes))[:, None], np.arange(SLOTS))
        self.mean_length = np.maximum(lengths.astype(np.int64), 1).mean(axis=1)
        self.near = Tables([shape.life_near_s for shape in shapes])
        self.far = Tables([shape.life_far_s for shape in shapes])
        self.life_near = [shape.life_near_s for shape in shapes]
        self.life_far = [shape.life_far_s for shape in shapes]
        width = max(len(shape.rest_cancel_share) for shape in shapes)
        self.cancel_edges = [np.array(shape.rest_ticks.edges[1:-1]) for shape in shapes]
        self.cancel_share = np.zeros((len(shapes), width))
        for row, shape in zip(self.cancel_share, shapes, strict=True):
            row[: len(shape.rest_cancel_share)] = shape.rest_cancel_share

    def rest_cancel_share(self, shape: np.ndarray, ticks: np.ndarray) -> np.ndarray:
        """The chance that an order resting `ticks` behind the touch is cancelled later."""
        share = np.empty(len(shape))
        for number, edges in enumerate(self.cancel_edges):
            mine = shape == number
            share[mine] = self.cancel_share[number, np.searchsorted(edges, ticks[mine], "right")]
        return share


class Market:
    """The symbols: which shape each follows, how often it is drawn, and the walk of its touch."""

    def __init__(
        self, shapes: Shapes, profile: Profile, symbols: Sequence[FlowSymbol], rng: np.random.Generator
    ) -> None:
        self.reference = np.array([s.reference_price_e4 for s in symbols], float)
        self.tick = np.array([s.tick_e4 for s in symbols], np.int64)
        self.lot = np.array([s.lot_shares for s in symbols], np.int64)
        self.floor = -(-np.array([s.limit_down_e4 for s in symbols], np.int64) // self.tick)
        self.cap = np.array([s.limit_up_e4 for s in symbols], np.int64) // self.tick
        tick_bps = self.tick / self.reference * 1e4
        self.shape = np.abs(np.log(tick_bps)[:, None] - np.log(shapes.tick_bps)).argmin(axis=1)
        spread = float(np.std(np.log([shape.rate_ratio for shape in profile.shapes])))
        drawn = np.exp(spread * rng.standard_normal(len(symbols)))
        ratio = np.array([own if s.rate_ratio is None else s.rate_ratio for s, own in zip(symbols, drawn, strict=True)])
        self.weight = ratio / ratio.sum()
        self.slots = np.searchsorted(np.cumsum(self.weight), (np.arange(SYMBOL_SLOTS) + 0.5) / SYMBOL_SLOTS)
        self.slots = np.minimum(self.slots, len(symbols) - 1).astype(np.uint32)
        self._shapes, self._rng = shapes, rng
        self._room = LIMIT_ROOM * np.log(
            [[s.limit_down_e4 / s.reference_price_e4, s.limit_up_e4 / s.reference_price_e4] for s in symbols]
        )
        self._walk = np.zeros(len(symbols))
        minute_ticks = shapes.volatility[self.shape] * np.sqrt(60) * self.reference / self.tick
        self.pull_ticks = shapes.spread_ticks[self.shape] + minute_ticks

    def walk(self, length_s: float) -> np.ndarray:
        """Fair price in ticks at every second of the next `length_s`, shape [seconds, symbols]."""
        steps = max(1, round(length_s))
        sigma = self._shapes.volatility[self.shape] * np.sqrt(length_s / steps)
        path = self._walk + np.cumsum(self._rng.standard_normal((steps, len(self._walk))) * sigma, axis=0)
        path = np.clip(path, self._room[:, 0], self._room[:, 1])
        self._walk = path[-1]
        return np.asarray((self.reference * np.exp(path) / self.tick).round(), np.int64)


class Generator:
    """All that goes on from block to block: walk and books, runs and orders still to come, and cancels due later."""

    def __init__(
        self,
        profile: Profile,
        symbols: Sequence[FlowSymbol],
        seed: int,
        window_s: tuple[float, float],
        rate_per_s: float,
    ) -> None:
        self.rng = np.random.Generator(np.random.SFC64(seed))
        self.shapes = Shapes(profile)
        self.market = Market(self.shapes, profile, symbols, self.rng)
        self.book = ShadowBook(self.market.floor, self.market.cap, self.market.tick)
        self.excitation = profile.excitation
        self.delay = Tables([profile.excitation.delay_s])
        self.gap = Tables([gap.gap_s for gap in profile.run_gaps])
        self.gap_repeat = np.array([gap.repeat for gap in profile.run_gaps])
        self.gap_lengths = np.array([gap.from_length for gap in profile.run_gaps])
        self.peak_minutes = [int(OPEN_CLOCK.from_wall(peak.at_s)) // 60 for peak in profile.peaks]
        self.end_cancel_s = float(CANCEL_CLOCK.from_wall(OPEN_CLOCK.to_wall(np.array([window_s[1]])))[0])
        self.delay_scale = min(
            1.0, (window_s[1] - window_s[0]) / SETTLING_S, SETTLING_REQUESTS / (MEMORY_S * rate_per_s)
        )
        self.memory_s, self.is_fresh = max(MEMORY_S * self.delay_scale, BOX_S), True
        self.runs, self.orders = np.empty(0, RUN_DTYPE), np.empty(0, ORDER_DTYPE)
        self.cancels: dict[int, list[np.ndarray]] = {}
        self.entered, self.slots = 0, 0
        self.free_slots = np.empty(0, np.int64)

    def requests_per_run(self) -> float:
        """Expected requests of one run, cancels included."""
        by_shape = self.shapes.mean_length * (1 + self.shapes.cancel_ratio)
        return float((by_shape[self.market.shape] * self.market.weight).sum())

    def start_runs(self, rates: np.ndarray, first_s: float) -> np.ndarray:
        """Runs that start in the boxes from first_s on (rates: runs per box), with all the runs they set off.

        The peak minutes' seconds are given by the profile as they are, so that nothing is set off there; where setting
        off begins again, the runs that earlier ones would have set off by then are added.
        """
        peak = self.in_peak(first_s + np.arange(len(rates)) * BOX_S)
        runs = [self.runs, self.draw_runs(np.where(peak, rates, 0.0), first_s)]
        parents = self.draw_runs(np.where(peak, 0.0, rates * (1.0 - self.excitation.offspring)), first_s)
        runs += [parents, *self.set_off(parents)]
        for box in np.flatnonzero(~peak & np.concatenate(([self.is_fresh], peak[:-1]))):
            begin_s = first_s + box * BOX_S
            before = np.full(
                round(self.memory_s / BOX_S), rates[box : box + 100].mean() * (1.0 - self.excitation.offspring)
            )
            earlier = self.draw_runs(before, begin_s - len(before) * BOX_S)
            runs += [late[late["at_s"] >= begin_s] for late in self.set_off(earlier)]
        self.is_fresh = bool(peak[-1])
        return np.concatenate(runs)

    def in_peak(self, at_s: np.ndarray) -> np.ndarray:
        """Whether times of the open clock lie in a peak minute."""
        return np.isin(((at_s + 1e-6) // 60).astype(int), self.peak_minutes)

    def draw_runs(self, rates: np.ndarray, first_s: float) -> np.ndarray:
        """Runs that start on their own accord."""
        counts = self.rng.poisson(rates)
        runs = np.empty(counts.sum(), RUN_DTYPE)
        runs["at_s"] = first_s + (np.repeat(np.arange(len(rates)), counts) + self.rng.random(len(runs))) * BOX_S
        runs["symbol"] = self.market.slots[self.rng.integers(0, SYMBOL_SLOTS, len(runs), np.uint32)]
        runs["length_slot"] = self.rng.integers(0, SLOTS, len(runs), np.uint32)
        return runs

    def set_off(self, parents: np.ndarray) -> Iterator[np.ndarray]:
        """One generation after another of the runs that these set off."""
        while len(parents):
            parents = np.repeat(parents, self.rng.poisson(self.excitation.offspring, len(parents)))
            parents["at_s"] += self.delay.draw(self.rng, np.zeros(len(parents), np.int64)) * self.delay_scale
            other = np.flatnonzero(self.rng.random(len(parents)) >= self.excitation.alike)
            parents["length_slot"][other] = self.rng.integers(0, SLOTS, len(other), np.uint32)
            yield parents

    def expand_runs(self, runs: np.ndarray, left_s: float) -> np.ndarray:
        """The orders of the runs: side, distance and life per run, each order some gap after the one before."""
        shapes, rng = self.shapes, self.rng
        shape = self.market.shape[runs["symbol"]]
        crosses = rng.random(len(runs)) < shapes.aggressive_share[shape]
        behind = np.floor(shapes.rest.draw(rng, shape)).astype(np.int64)
        through = np.floor(shapes.cross.draw(rng, shape)).astype(np.int64)
        chance = shapes.rest_cancel_share(shape, behind) * self.cancels_wanted()[shape]
        doomed = ~crosses & (rng.random(len(runs)) < chance)
        firsts = np.empty(len(runs), ORDER_DTYPE)
        firsts["at_s"], firsts["symbol"] = runs["at_s"], runs["symbol"]
        firsts["side_draw"], firsts["is_aggressive"] = rng.random(len(runs)), crosses
        firsts["distance_ticks"] = np.where(crosses, through, behind)
        is_far = (behind > shapes.far_ticks[shape]) | (runs["at_s"] < AUCTION_S)
        firsts["life_s"] = np.where(doomed, self.draw_lives(shape, is_far, left_s), 0.0)
        lengths = np.maximum(shapes.length.pick(shape, runs["length_slot"]).astype(np.int64), 1)
        orders = np.repeat(firsts, lengths)
        orders["at_s"] += self.draw_passed(lengths)
        return orders

    def cancels_wanted(self) -> np.ndarray:
        """For each shape, how many cancels must be planned for one to find its order still there."""
        tried = np.bincount(self.market.shape, self.book.cancels_tried, len(self.shapes.tick_bps))
        live = np.bincount(self.market.shape, self.book.cancels_live, len(self.shapes.tick_bps))
        return np.asarray((tried + 10.0) / (live + 10.0))

    def draw_passed(self, lengths: np.ndarray) -> np.ndarray:
        """For every order of the runs, the seconds since its run began; a gap may repeat the one before."""
        kind = np.maximum(np.searchsorted(self.gap_lengths, lengths, "right") - 1, 0)
        run = np.repeat(np.arange(len(lengths)), lengths)
        heads = np.cumsum(lengths) - lengths
        repeats = self.rng.random(len(run)) < self.gap_repeat[kind[run]]
        repeats[heads] = False
        repeats[(heads + 1)[lengths > 1]] = False
        source = np.maximum.accumulate(np.where(repeats, 0, np.arange(len(run))))
        gaps = self.gap.draw(self.rng, kind[run])[source]
        gaps[heads] = 0.0
        passed = np.cumsum(gaps)
        return np.asarray(passed - passed[heads][run])

    def draw_lives(self, shape: np.ndarray, is_far: np.ndarray, left_s: float) -> np.ndarray:
        """Lives of orders to be cancelled within `left_s`, in cancellable seconds."""
        shapes = self.shapes
        near = np.array([life.cdf(left_s) for life in shapes.life_near])
        far = np.array([life.cdf(left_s) for life in shapes.life_far])
        drawn = np.where(
            is_far, shapes.far.draw_below(self.rng, shape, far), shapes.near.draw_below(self.rng, shape, near)
        )
        return np.maximum(drawn, LEAST_LIFE_S)

    def to_intents(self, orders: np.ndarray, first_s: float, length_s: float) -> np.ndarray:
        """The orders as intents for the book, numbered, each with its size and the fair price of its second."""
        market, symbol = self.market, orders["symbol"]
        shape = market.shape[symbol]
        intents = np.zeros(len(orders), INTENT_DTYPE)
        intents["ts_us"] = (OPEN_CLOCK.to_wall(orders["at_s"]) * 1e6).astype(np.int64)
        intents["oid"] = np.arange(self.entered + 1, self.entered + 1 + len(orders))
        self.entered += len(orders)
        fair = market.walk(length_s)
        step = np.clip(((orders["at_s"] - first_s) * len(fair) / length_s).astype(int), 0, len(fair) - 1)
        intents["fair_ticks"], intents["pull_ticks"] = fair[step, symbol], market.pull_ticks[symbol]
        lots = np.maximum(self.shapes.size.draw(self.rng, shape).astype(np.int64), 1)
        intents["qty_shares"], intents["buy_share"] = lots * market.lot[symbol], self.shapes.buy_share[shape]
        for field in ("distance_ticks", "side_draw", "symbol", "is_aggressive"):
            intents[field] = orders[field]
        doomed = orders["life_s"] > 0
        intents["slot"] = -1
        intents["slot"][doomed] = self.take_slots(int(doomed.sum()))
        return intents

    def take_slots(self, count: int) -> np.ndarray:
        """Numbers of free places in the book, used ones first."""
        used, self.free_slots = self.free_slots[:count], self.free_slots[count:]
        fresh = np.arange(self.slots, self.slots + count - len(used))
        self.slots += len(fresh)
        self.book.grow(self.slots)
        return np.concatenate([used, fresh])

    def plan_cancels(self, intents: np.ndarray, life_s: np.ndarray, ends_us: np.ndarray) -> None:
        """Keep the cancels of these intents for the blocks they fall in; those after the end are left out."""
        due_s = CANCEL_CLOCK.from_wall(intents["ts_us"] / 1e6) + life_s
        planned = (life_s > 0) & (due_s < self.end_cancel_s)
        cancels = intents[planned]
        cancels["is_cancel"] = 1
        due_us = (CANCEL_CLOCK.to_wall(due_s[planned]) * 1e6).astype(np.int64)
        cancels["ts_us"] = np.maximum(due_us, cancels["ts_us"] + 1)
        block = np.searchsorted(ends_us, cancels["ts_us"], "right")
        order = np.argsort(block, kind="stable")
        blocks, starts = np.unique(block[order], return_index=True)
        if not len(blocks):
            return
        for number, part in zip(blocks.tolist(), np.split(cancels[order], starts[1:]), strict=True):
            self.cancels.setdefault(number, []).append(part)

    def fill_block(self, rates: np.ndarray, first_s: float, number: int, ends_us: np.ndarray) -> np.ndarray:
        """All requests of one block (rates in runs per box), in time order."""
        length_s = len(rates) * BOX_S
        runs = self.start_runs(rates, first_s)
        now = runs["at_s"] < first_s + length_s
        self.runs = runs[~now]
        left_s = max(
            self.end_cancel_s - float(CANCEL_CLOCK.from_wall(OPEN_CLOCK.to_wall(np.array([first_s])))[0]), LEAST_LIFE_S
        )
        orders = np.concatenate([self.orders, self.expand_runs(runs[now], left_s)])
        now = orders["at_s"] < first_s + length_s
        self.orders = orders[~now]
        intents = self.to_intents(orders[now], first_s, length_s)
        self.plan_cancels(intents, orders["life_s"][now], ends_us)
        due = self.cancels.pop(number, [])
        self.free_slots = np.concatenate([self.free_slots, *(cancels["slot"] for cancels in due)])
        intents = np.concatenate([intents, *due])
        rows = np.empty(len(intents), FLOW_DTYPE)
        return rows[: self.book.place(intents, np.argsort(intents["ts_us"], kind="stable"), rows)]


def arrays(
    profile: Profile,
    symbols: Sequence[FlowSymbol],
    *,
    seed: int,
    start_s: float,
    end_s: float,
    rate_per_s: float,
    channel: str | None = None,
) -> Iterator[np.ndarray]:
    """Generated flow as arrays of FLOW_DTYPE, in time order within and across arrays; `symbol` indexes `symbols`.

    start_s, end_s: seconds since midnight. rate_per_s: mean requests (orders and cancels) per second of trading time
    between them; breaks do not count. channel: the name of one of the profile's channels whose peaks at 09:15:00,
    09:30:00 and 13:00:00 come on top of that mean. Raises ValueError naming the argument.
    """
    if not symbols:
        raise ValueError("symbols: got none, expected at least one")
    if not 0 < rate_per_s <= 1e8:
        raise ValueError(f"rate_per_s: got {rate_per_s}, expected above 0 and at most 1e8")
    window_s = float(OPEN_CLOCK.from_wall(start_s)), float(OPEN_CLOCK.from_wall(end_s))
    if window_s[1] - window_s[0] < BOX_S:
        raise ValueError(
            f"start_s, end_s: got {start_s}, {end_s}, expected trading time of at least {BOX_S} s between them"
        )
    return _blocks(Generator(profile, symbols, seed, window_s, rate_per_s), profile, window_s, rate_per_s, channel)


def _blocks(
    generator: Generator, profile: Profile, window_s: tuple[float, float], rate_per_s: float, channel: str | None
) -> Iterator[np.ndarray]:
    requests = plan_rates(profile, generator.rng, *window_s, channel) * rate_per_s * BOX_S  # cancels included
    runs_per_box = requests / generator.requests_per_run()
    ends = plan_blocks(requests)
    start_s = round(window_s[0] / BOX_S) * BOX_S
    ends_us = (OPEN_CLOCK.to_wall(start_s + np.array(ends) * BOX_S - 1e-7) * 1e6).round().astype(np.int64)
    for number, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
        yield generator.fill_block(runs_per_box[first:end], start_s + first * BOX_S, number, ends_us)


def generate(
    profile: Profile,
    symbols: Sequence[FlowSymbol],
    *,
    seed: int,
    start_s: float,
    end_s: float,
    rate_per_s: float,
    channel: str | None = None,
) -> Iterator[FlowRequest]:
    """As arrays(), one FlowRequest at a time."""
    names = [symbol.symbol for symbol in symbols]
    window: dict[Literal["start_s", "end_s"], float] = {"start_s": start_s, "end_s": end_s}
    for rows in arrays(profile, symbols, seed=seed, **window, rate_per_s=rate_per_s, channel=channel):
        yield from to_requests(rows, names)
