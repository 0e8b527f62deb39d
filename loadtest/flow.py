"""Generates order flow that behaves like the recorded flow of a profile, from a seed; it reads no clock and sends nothing.

How: runs of orders (one intention cut in pieces) start as a Poisson stream whose rate follows the day's shape times a factor
common to all symbols; a run sets off further runs of its symbol (self-excitation); each run draws side, distance from the touch,
life and length from its symbol's shape, and its orders draw sizes. Touches follow one random walk per symbol inside its limits.
A cancelled run's orders are cancelled together, in the time the exchange takes cancels.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from loadtest.flow_csv import (
    BUY,
    CANCEL,
    FLOW_DTYPE,
    NEW,
    SELL,
    Flow,
    FlowError,
    FlowRequest,
    load_flow,
    read_flow,
    to_requests,
)
from loadtest.profile import CANCEL_CLOCK, OPEN_CLOCK, Histogram, Profile, load_profile

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

BOX_S = 0.1
"""The rate is constant inside a box of this length."""
BLOCK_REQUESTS, BLOCK_S = 1 << 17, 60.0
SLOTS = 1 << 16
SYMBOL_SLOTS = 1 << 18
LIMIT_ROOM = 0.8
"""The touch stays inside this part of the way from the reference price to either limit."""
LEAST_LIFE_S = 0.001
CHANNEL_PEAKS_S = {33_300: "09:15:00", 34_200: "09:30:00", 46_800: "13:00:00"}

RUN_DTYPE = np.dtype([("at_s", "<f8"), ("symbol", "<u4")])
ORDER_DTYPE = np.dtype(
    [("at_s", "<f8"), ("life_s", "<f8"), ("price_e4", "<i8"), ("qty_shares", "<i8"), ("symbol", "<u4"), ("side", "u1")]
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
            raise ValueError(f"{self.symbol}: limit_down_e4, reference_price_e4, limit_up_e4: got {prices}, expected rising > 0")
        if self.tick_e4 <= 0 or self.lot_shares <= 0:
            raise ValueError(f"{self.symbol}: tick_e4, lot_shares: got {self.tick_e4}, {self.lot_shares}, expected both > 0")


class Tables:
    """Quantile tables of one histogram per shape: drawing is one look-up."""

    def __init__(self, histograms: Sequence[Histogram]) -> None:
        self._flat = np.concatenate([histogram.table(SLOTS) for histogram in histograms])
        self.means = self._flat.reshape(-1, SLOTS).mean(axis=1)

    def draw(self, rng: np.random.Generator, shape: np.ndarray) -> np.ndarray:
        """One value for each entry of `shape`."""
        return self._flat[shape * SLOTS + rng.integers(0, SLOTS, len(shape), np.uint16)]

    def draw_below(self, rng: np.random.Generator, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """As draw, from the lowest `scale[shape]` part of each distribution."""
        slot = (rng.random(len(shape)) * scale[shape] * SLOTS).astype(np.int64)
        return self._flat[shape * SLOTS + slot]


class Shapes:
    """The profile's symbol shapes as tables indexed by shape number."""

    def __init__(self, profile: Profile) -> None:
        shapes = profile.shapes
        self.tick_bps = np.array([shape.tick_bps for shape in shapes])
        self.buy_share = np.array([shape.buy_share for shape in shapes])
        self.aggressive_share = np.array([shape.aggressive_share for shape in shapes])
        self.cross_cancel_share = np.array([shape.aggressive_cancel_share for shape in shapes])
        self.cancel_ratio = np.array([shape.cancel_ratio for shape in shapes])
        self.volatility = np.array([shape.volatility_bps for shape in shapes]) / 1e4
        self.far_ticks = np.array([shape.far_ticks for shape in shapes])
        self.spread = Tables([shape.spread_ticks for shape in shapes])
        self.cross = Tables([shape.cross_ticks for shape in shapes])
        self.rest = Tables([shape.rest_ticks for shape in shapes])
        self.size = Tables([shape.size_lots for shape in shapes])
        self.length = Tables([shape.run_length for shape in shapes])
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

    def __init__(self, shapes: Shapes, profile: Profile, symbols: Sequence[FlowSymbol], rng: np.random.Generator) -> None:
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
        self._room = LIMIT_ROOM * np.log([[s.limit_down_e4 / s.reference_price_e4, s.limit_up_e4 / s.reference_price_e4] for s in symbols])
        self._walk = np.zeros(len(symbols))

    def walk(self, length_s: float) -> tuple[np.ndarray, np.ndarray]:
        """(bid, ask) in ticks at every second of the next `length_s`, shape [seconds, symbols]; the walk goes on from there."""
        steps = max(1, round(length_s))
        sigma = self._shapes.volatility[self.shape] * np.sqrt(length_s / steps)
        path = self._walk + np.cumsum(self._rng.standard_normal((steps, len(self._walk))) * sigma, axis=0)
        path = np.clip(path, self._room[:, 0], self._room[:, 1])
        self._walk = path[-1]
        drawn = self._shapes.spread.draw(self._rng, np.tile(self.shape, steps))
        spread = np.maximum(drawn, 1).astype(np.int64).reshape(path.shape)
        bid = np.floor(self.reference * np.exp(path) / self.tick - (spread - 1) / 2).astype(np.int64)
        return bid, bid + spread


def plan_rates(profile: Profile, rng: np.random.Generator, start_s: float, end_s: float, channel: str | None) -> np.ndarray:
    """Relative rate of run starts in every box between two times of the open clock, mean 1, the common factor included."""
    boxes = np.arange(round(start_s / BOX_S), round(end_s / BOX_S))
    seconds = np.repeat(np.array(profile.minute_share) / 60, 60)
    for peak in profile.peaks:
        first = round(float(OPEN_CLOCK.from_wall(peak.at_s)))
        seconds[first : first + 60] = profile.minute_share[first // 60] * np.array(peak.second_share)
    rate = seconds[np.minimum((boxes * BOX_S + 1e-6).astype(int), len(seconds) - 1)]
    for cascade in profile.common:
        group = (boxes * BOX_S / cascade.box_s + 1e-6).astype(int)
        sigma = np.sqrt(np.log1p(cascade.variance))
        factor = np.exp(sigma * rng.standard_normal(group[-1] - group[0] + 1) - sigma**2 / 2)
        rate = rate * factor[group - group[0]]
    rate = rate / max(rate.mean(), 1e-12)
    if channel is not None:
        add_channel_peaks(profile, rate, boxes, channel)
    return rate


def add_channel_peaks(profile: Profile, rate: np.ndarray, boxes: np.ndarray, channel: str) -> None:
    """Raise the seconds of a whole channel's peaks to their recorded multiple of the mean, falling off within the second."""
    target = next((c for c in profile.channels if c.name == channel), None)
    if target is None:
        raise ValueError(f"channel: got {channel!r}, expected one of {', '.join(c.name for c in profile.channels)}")
    steep = 100 * target.max_10ms / target.max_1s
    fall = np.exp(-steep * np.arange(10) / 10)
    for at_s, label in CHANNEL_PEAKS_S.items():
        first = round(float(OPEN_CLOCK.from_wall(at_s)) / BOX_S) - boxes[0]
        if label in target.peaks_1s and 0 <= first <= len(rate) - 10:
            rate[first : first + 10] = target.peaks_1s[label] / target.mean_per_s * fall / fall.mean()


class Generator:
    """All that goes on from block to block: the walk, runs and orders still to come, and cancels due later."""

    def __init__(self, profile: Profile, symbols: Sequence[FlowSymbol], seed: int, window_s: tuple[float, float]) -> None:
        self.rng = np.random.Generator(np.random.SFC64(seed))
        self.shapes = Shapes(profile)
        self.market = Market(self.shapes, profile, symbols, self.rng)
        self.offspring = profile.excitation.offspring
        self.delay = Tables([profile.excitation.delay_s])
        self.gap = Tables([profile.run_gap_s])
        self.peak_minutes = np.array([OPEN_CLOCK.from_wall(peak.at_s) // 60 for peak in profile.peaks])
        self.end_us = round(float(OPEN_CLOCK.to_wall(np.array([window_s[1]]))[0]) * 1e6)
        self.end_cancel_s = float(CANCEL_CLOCK.from_wall(self.end_us / 1e6))
        self.next_oid = 1
        self.runs, self.orders = np.empty(0, RUN_DTYPE), np.empty(0, ORDER_DTYPE)
        self.cancels: dict[int, list[np.ndarray]] = {}

    def requests_per_run(self) -> float:
        """Expected requests of one run, cancels included."""
        by_shape = np.floor(self.shapes.length.means).clip(1) * 0 + self._mean_length() * (1 + self.shapes.cancel_ratio)
        return float((by_shape[self.market.shape] * self.market.weight).sum())

    def _mean_length(self) -> np.ndarray:
        return np.maximum(self.shapes.length.means - 0.5, 1.0)

    def start_runs(self, rates: np.ndarray, first_s: float) -> np.ndarray:
        """Runs that start in the boxes from first_s on (rates in runs per box), with the runs they set off, also later ones."""
        peak = np.isin(((first_s + np.arange(len(rates)) * BOX_S + 1e-6) // 60).astype(int), self.peak_minutes)
        fertile = np.where(peak, 0.0, self.offspring)
        counts = self.rng.poisson(rates * (1.0 - fertile))
        runs = np.empty(counts.sum(), RUN_DTYPE)
        runs["at_s"] = first_s + (np.repeat(np.arange(len(rates)), counts) + self.rng.random(len(runs))) * BOX_S
        runs["symbol"] = self.market.slots[self.rng.integers(0, SYMBOL_SLOTS, len(runs), np.uint32)]
        generations = [self.runs, runs]
        parents = runs[np.repeat(fertile > 0, counts)]
        while len(parents):
            children = np.repeat(parents, self.rng.poisson(self.offspring, len(parents)))
            children["at_s"] += self.delay.draw(self.rng, np.zeros(len(children), np.int64))
            generations.append(children)
            parents = children
        return np.concatenate(generations)

    def place_runs(self, runs: np.ndarray, first_s: float, length_s: float) -> np.ndarray:
        """The orders of the runs of one block: side, price and life per run; time and size per order."""
        shapes, rng, symbol = self.shapes, self.rng, runs["symbol"]
        shape = self.market.shape[symbol]
        bids, asks = self.market.walk(length_s)
        step = np.clip(((runs["at_s"] - first_s) * len(bids) / length_s).astype(int), 0, len(bids) - 1)
        bid, ask = bids[step, symbol], asks[step, symbol]
        buys = rng.random(len(runs)) < shapes.buy_share[shape]
        crosses = rng.random(len(runs)) < shapes.aggressive_share[shape]
        behind = np.maximum(np.floor(shapes.rest.draw(rng, shape)).astype(np.int64), bid - ask + 1)
        through = np.floor(shapes.cross.draw(rng, shape)).astype(np.int64)
        signed = np.where(buys, 1, -1)
        ticks = np.where(crosses == buys, ask, bid) + signed * np.where(crosses, through, -behind)
        ticks = np.clip(ticks, self.market.floor[symbol], self.market.cap[symbol])
        doomed = rng.random(len(runs)) < np.where(crosses, shapes.cross_cancel_share[shape], shapes.rest_cancel_share(shape, behind))
        orders = np.empty(len(runs), ORDER_DTYPE)
        orders["at_s"], orders["symbol"] = runs["at_s"], symbol
        orders["price_e4"] = ticks * self.market.tick[symbol]
        orders["side"] = np.where(buys, BUY, SELL)
        orders["life_s"] = np.where(doomed, self.draw_lives(shape, behind, first_s), 0.0)
        return self.cut_runs(orders, np.floor(shapes.length.draw(rng, shape)).astype(np.int64))

    def draw_lives(self, shape: np.ndarray, behind: np.ndarray, first_s: float) -> np.ndarray:
        """Lives of orders to be cancelled before the end, in cancellable seconds."""
        now_s = float(CANCEL_CLOCK.from_wall(OPEN_CLOCK.to_wall(np.array([first_s])))[0])
        left_s = max(self.end_cancel_s - now_s, LEAST_LIFE_S)
        near = np.array([life.cdf(left_s) for life in self.shapes.life_near])
        far = np.array([life.cdf(left_s) for life in self.shapes.life_far])
        is_far = behind > self.shapes.far_ticks[shape]
        drawn = np.where(
            is_far, self.shapes.far.draw_below(self.rng, shape, far), self.shapes.near.draw_below(self.rng, shape, near)
        )
        return np.maximum(drawn, LEAST_LIFE_S)

    def cut_runs(self, firsts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Every run's orders: the first one's fields, gaps between them, a size each."""
        lengths = np.maximum(lengths, 1)
        orders = np.repeat(firsts, lengths)
        heads = np.cumsum(lengths) - lengths
        later = np.ones(len(orders), bool)
        later[heads] = False
        gaps = np.zeros(len(orders))
        gaps[later] = self.gap.draw(self.rng, np.zeros(int(later.sum()), np.int64))
        passed = np.cumsum(gaps)
        orders["at_s"] += passed - np.repeat(passed[heads], lengths)
        lots = self.shapes.size.draw(self.rng, self.market.shape[orders["symbol"]]).astype(np.int64)
        orders["qty_shares"] = np.maximum(lots, 1) * self.market.lot[orders["symbol"]]
        return orders

    def enter(self, orders: np.ndarray, block: int, block_ends_us: np.ndarray) -> np.ndarray:
        """Rows for the orders of a block and its cancels; cancels due in later blocks are kept for them."""
        rows = np.empty(len(orders), FLOW_DTYPE)
        wall_s = OPEN_CLOCK.to_wall(orders["at_s"])
        rows["ts_us"] = (wall_s * 1e6).astype(np.int64)
        rows["oid"] = np.arange(self.next_oid, self.next_oid + len(orders))
        rows["act"] = NEW
        for field in ("price_e4", "qty_shares", "symbol", "side"):
            rows[field] = orders[field]
        self.next_oid += len(orders)
        doomed = orders["life_s"] > 0
        cancels = rows[doomed]
        cancels["act"] = CANCEL
        due_s = CANCEL_CLOCK.to_wall(CANCEL_CLOCK.from_wall(wall_s[doomed]) + orders["life_s"][doomed])
        cancels["ts_us"] = np.maximum((due_s * 1e6).astype(np.int64), cancels["ts_us"] + 1)
        cancels = cancels[cancels["ts_us"] < self.end_us]
        due = np.searchsorted(block_ends_us, cancels["ts_us"], "right")
        cancels = cancels[np.argsort(due, kind="stable")]
        bounds = np.flatnonzero(np.diff(np.sort(due))) + 1
        for part in np.split(cancels, bounds):
            if len(part):
                where = int(np.searchsorted(block_ends_us, part["ts_us"][0], "right"))
                self.cancels.setdefault(where, []).append(part)
        rows = np.concatenate([rows, *self.cancels.pop(block, [])])
        return rows[np.argsort(rows["ts_us"], kind="stable")]


def plan_blocks(requests: np.ndarray) -> list[int]:
    """Box numbers where blocks end, so that none expects many more than BLOCK_REQUESTS or lasts longer than BLOCK_S."""
    ends, filled, first = [], 0.0, 0
    for box, expected in enumerate(requests.tolist()):
        filled += expected
        if filled >= BLOCK_REQUESTS or box + 1 - first >= BLOCK_S / BOX_S:
            ends.append(box + 1)
            filled, first = 0.0, box + 1
    return ends if ends and ends[-1] == len(requests) else [*ends, len(requests)]


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

    start_s, end_s: seconds since midnight. rate_per_s: mean requests (orders and cancels) per second of trading time between
    them; breaks do not count. channel: the name of one of the profile's channels whose peaks at 09:15:00, 09:30:00 and
    13:00:00 come on top of that mean. Raises ValueError naming the argument.
    """
    if not symbols:
        raise ValueError("symbols: got none, expected at least one")
    if not 0 < rate_per_s <= 1e8:
        raise ValueError(f"rate_per_s: got {rate_per_s}, expected above 0 and at most 1e8")
    window_s = float(OPEN_CLOCK.from_wall(start_s)), float(OPEN_CLOCK.from_wall(end_s))
    if window_s[1] - window_s[0] < BOX_S:
        raise ValueError(f"start_s, end_s: got {start_s}, {end_s}, expected trading time of at least {BOX_S} s between them")
    return _blocks(Generator(profile, symbols, seed, window_s), profile, window_s, rate_per_s, channel)


def _blocks(
    generator: Generator, profile: Profile, window_s: tuple[float, float], rate_per_s: float, channel: str | None
) -> Iterator[np.ndarray]:
    requests = plan_rates(profile, generator.rng, *window_s, channel) * rate_per_s * BOX_S
    runs_per_box = requests / generator.requests_per_run()
    ends = plan_blocks(requests)
    start_s = round(window_s[0] / BOX_S) * BOX_S
    ends_us = (OPEN_CLOCK.to_wall(start_s + np.array(ends) * BOX_S - 1e-7) * 1e6).round().astype(np.int64)
    first = 0
    for block, end in enumerate(ends):
        first_s, last_s = start_s + first * BOX_S, start_s + end * BOX_S
        runs = generator.start_runs(runs_per_box[first:end], first_s)
        now = runs["at_s"] < last_s
        generator.runs = runs[~now]
        placed = generator.place_runs(runs[now], first_s, last_s - first_s)
        orders = np.concatenate([generator.orders, placed])
        now = orders["at_s"] < last_s
        generator.orders = orders[~now]
        yield generator.enter(orders[now], block, ends_us)
        first = end


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
