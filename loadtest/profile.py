"""Measures order flow into a small profile of distributions, and loads that profile; keeps no row, generates nothing.

``python -m loadtest.profile --data DIR --out FILE`` measures every flow.csv(.zst) below DIR.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

from loadtest.flow_csv import BUY, CANCEL, NEW, FlowError, load_flow
from loadtest.touch import Touches, replay_touches
from loadtest.trading_day import CANCEL_CLOCK, OPEN_CLOCK

PROFILE_PATH = Path(__file__).with_name("profile.json")
PEAK_MINUTES_S = (33_300, 34_200, 46_800, 53_820)
TREND_S = 300
"""Counts are compared inside such stretches: the day's own rise and fall is in minute_share."""
CONTINUOUS_FROM_S, CONTINUOUS_UNTIL_S, LUNCH_S = 34_200, 53_820, 5_400
WINDOWS_S = (0.01, 0.1, 1.0, 10.0)
RUN_GAP_EDGES_S = [0.0, 0.0005, *(0.005 + 0.01 * step for step in range(21))]
"""Gaps come in whole 10 ms ticks: the first bucket is "the same tick", the others lie around one tick each."""
LIFE_EDGES_S = [0.0, *np.geomspace(0.05, 15_000, 43).round(3).tolist()]
RUN_GAP_S, ALIKE_LENGTH, RUN_LENGTHS = 0.2, 3, (2, 3, 5, 10, 30)
"""Orders of one symbol, side and price that follow one another this closely are one run: one intention, in pieces."""


class Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A part of the profile: unknown and missing fields are refused."""


class Histogram(Strict, frozen=True):
    """A distribution: `share[i]` of all values lie in [edges[i], edges[i+1]), evenly spread."""

    edges: list[float]
    share: list[float]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.share) + 1 or len(self.share) < 1:
            raise ValueError(
                f"edges: got {len(self.edges)} for {len(self.share)} shares, expected one more than shares"
            )
        if any(left >= right for left, right in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges: got values that do not rise, expected rising edges")
        if min(self.share) < 0 or abs(sum(self.share) - 1.0) > 0.01:
            raise ValueError(f"share: got sum {sum(self.share):.4f}, expected shares >= 0 that sum to 1")

    def cdf(self, value: float) -> float:
        """The share of values below `value`."""
        return float(np.interp(value, self.edges, np.concatenate(([0.0], np.cumsum(self.share)))) / sum(self.share))

    def quantiles(self, probabilities: np.ndarray | Sequence[float]) -> np.ndarray:
        """The values below which these shares lie."""
        shares = np.maximum(np.array(self.share), 1e-12)
        below = np.concatenate(([0.0], np.cumsum(shares / shares.sum())))
        return np.asarray(np.interp(probabilities, below, self.edges))

    def table(self, slots: int) -> np.ndarray:
        """The quantile function at the middle of `slots` equal steps: a random slot is a random value."""
        return self.quantiles((np.arange(slots) + 0.5) / slots)


class SymbolShape(Strict, frozen=True):
    """One measured symbol, normalised: told from others by its tick in basis points of its price."""

    tick_bps: float
    rate_ratio: float
    """Requests relative to the mean symbol of all days."""
    cancel_ratio: float
    """Cancels per new order."""
    buy_share: float
    aggressive_share: float
    """Of the orders of continuous trading, those that meet the opposite touch."""
    volatility_bps: float
    """Of the mid price over one second's square root, from one-minute changes."""
    spread_ticks: Histogram
    cross_ticks: Histogram
    """Aggressive orders: ticks through the opposite touch (a lower bound where the venue never published the limit)."""
    rest_ticks: Histogram
    """Other orders: ticks behind their own side's touch; negative inside the spread."""
    rest_cancel_share: list[float]
    """Of the orders of each bucket of rest_ticks, those cancelled later."""
    size_lots: Histogram
    life_near_s: Histogram
    """Time to the cancel, in cancellable seconds, of the cancelled orders nearer than `far_ticks` ..."""
    life_far_s: Histogram
    """... and of those further away, together with those of the auctions."""
    far_ticks: float
    run_length: Histogram
    """New orders per run: same side and price, each within RUN_GAP_S of the one before."""


class Window(Strict, frozen=True):
    """Requests of one symbol counted in windows of one length, continuous trading, mean over the symbols."""

    window_s: float
    max_ratio: float
    """The fullest window over the mean window, all symbols of a day together, mean over the days."""
    fano: float
    """Variance over mean within TREND_S: 1 for a Poisson stream."""
    count_share: Histogram
    """Requests per window, all symbols of a day together, empty windows left out."""


class Cascade(Strict, frozen=True):
    """A factor common to all symbols, drawn anew for every box of time: log-normal, mean 1."""

    box_s: float
    variance: float


class Excitation(Strict, frozen=True):
    """How many further runs of the same symbol one run sets off, and how much later."""

    offspring: float
    delay_s: Histogram
    alike: float
    """The share of runs set off that are as long as the run that set them off."""

    def __post_init__(self) -> None:
        if not 0 <= self.offspring < 1 or not 0 <= self.alike <= 1:
            raise ValueError(
                f"offspring: got {self.offspring}, expected 0 up to below 1; alike: got {self.alike}, expected 0 to 1"
            )


class RunGap(Strict, frozen=True):
    """Gaps inside runs of at least so many orders (and fewer than the next entry's): long runs are tighter."""

    from_length: int
    gap_s: Histogram
    repeat: float
    """The share of gaps that repeat the one before."""


class Peak(Strict, frozen=True):
    """How the new orders of one minute spread over its seconds."""

    at_s: int
    second_share: list[float]


class Channel(Strict, frozen=True):
    """A whole exchange channel, all its securities and messages: the targets for bursts at scale."""

    name: str
    messages: int
    mean_per_s: float
    max_1s: int
    max_10ms: int
    peaks_1s: dict[str, int]


class Profile(Strict, frozen=True):
    """What was learnt from recorded flow."""

    version: int
    requests: int
    symbol_days: int
    minute_share: list[float]
    """New orders by minute of the open clock: 10 of the opening auction, 120 of the morning, 120 of the afternoon."""
    peaks: list[Peak]
    run_gaps: list[RunGap]
    request_gap_s: Histogram
    """Time between two requests of one symbol in continuous trading."""
    excitation: Excitation
    common: list[Cascade]
    windows: list[Window]
    shapes: list[SymbolShape]
    channels: list[Channel]


CHANNELS = [
    Channel("XSHG 6 2023-02-01", 17_690_000, 1223, 16_613, 2304, {"09:30:01": 16_613}),
    Channel("XSHG 6 2023-02-07", 15_050_000, 1040, 15_636, 2218, {}),
    Channel(
        "XSHE 2013 2023-02-01",
        35_370_000,
        2456,
        179_220,
        5814,
        {"09:15:00": 105_780, "09:30:00": 179_220, "13:00:00": 127_638},
    ),
]


def load_profile(path: str | Path = PROFILE_PATH) -> Profile:
    """The profile in a JSON file. Raises ValueError naming file, field and what was expected."""
    try:
        profile = msgspec.json.decode(Path(path).read_bytes(), type=Profile)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(profile.minute_share) != OPEN_CLOCK.length_s // 60:
        raise ValueError(f"{path}: $.minute_share: got {len(profile.minute_share)} minutes, expected 250")
    if not profile.shapes:
        raise ValueError(f"{path}: $.shapes: got none, expected at least one measured symbol")
    return profile


def to_histogram(values: np.ndarray, edges: Sequence[float]) -> Histogram:
    """The distribution of values over the edges, empty ends cut off; values outside fall into the end buckets."""
    counts = np.histogram(np.clip(values, edges[0], np.nextafter(edges[-1], -np.inf)), edges)[0]
    used = np.flatnonzero(counts)
    if not len(used):
        return Histogram([0.0, 1.0], [1.0])
    first, last = used[0], used[-1] + 1
    share = counts[first:last] / counts.sum()
    return Histogram([round(float(edge), 6) for edge in edges[first : last + 1]], share.round(6).tolist())


def whole_edges(upper: float, singles: int = 10, step: float = 1.35) -> list[float]:
    """Edges for whole numbers: one bucket each up to `singles`, then buckets that grow by `step`."""
    edges = [float(number) for number in range(singles + 1)]
    while edges[-1] <= upper:
        edges.append(float(max(edges[-1] + 1, np.floor(edges[-1] * step))))
    return edges


def distance_edges(distances: np.ndarray) -> list[float]:
    """Edges for signed whole distances, fine around zero."""
    positive = whole_edges(max(1, distances.max(initial=1)))
    negative = [1 - edge for edge in whole_edges(max(1, -distances.min(initial=0)))[2:]]
    return [*reversed(negative), *positive]


def size_edges(largest_lots: int) -> list[float]:
    """Edges for lots: singles to 20, then every round number its own bucket beside what lies between."""
    rounds = [
        r
        for r in (30, 40, 50, 60, 80, 100, 150, 200, 250, 300, 500, 1000, 2000, 3000, 5000, 10_000)
        if r <= largest_lots
    ]
    between = [edge for r in rounds for edge in (r, r + 1)]
    return [float(edge) for edge in [*range(1, 22), *between, max(largest_lots + 1, 22)] if edge <= largest_lots + 1]


class SymbolDay(msgspec.Struct):
    """One symbol's rows of one day with what was derived from them; lives only while measuring."""

    rows: np.ndarray
    touches: Touches
    run_starts_s: np.ndarray
    run_lengths: np.ndarray
    run_gaps_s: np.ndarray
    gap_runs: np.ndarray


def split_days(paths: Iterable[str | Path]) -> list[list[SymbolDay]]:
    """Each file as a list of its symbols, replayed and cut into runs. Raises FlowError."""
    days = []
    for path in paths:
        flow = load_flow(path)
        parts = [flow.rows[flow.rows["symbol"] == index] for index in range(len(flow.symbols))]
        days.append([SymbolDay(rows, replay_touches(rows), *find_runs(rows)) for rows in parts])
    return days


def find_runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of every run its start in seconds and its length; of every gap inside a run its seconds and the run's index."""
    news = rows[rows["act"] == NEW]
    news = news[np.lexsort((news["ts_us"], news["price_e4"], news["side"]))]
    seconds = news["ts_us"] / 1e6
    gaps_s = np.diff(seconds)
    joined = (np.diff(news["price_e4"]) == 0) & (np.diff(news["side"]) == 0) & (gaps_s <= RUN_GAP_S + 1e-9)
    firsts = np.flatnonzero(np.concatenate(([True], ~joined)))
    lengths = np.diff(np.append(firsts, len(news)))
    return seconds[firsts], lengths, gaps_s[joined], np.repeat(np.arange(len(firsts)), lengths)[1:][joined]


def measure_run_gaps(symbols: Sequence[SymbolDay]) -> list[RunGap]:
    """Gap distributions by run length, all symbols pooled."""
    gaps_s = np.concatenate([symbol.run_gaps_s for symbol in symbols])
    kind = np.searchsorted(RUN_LENGTHS, np.concatenate([s.run_lengths[s.gap_runs] for s in symbols]), "right") - 1
    same_run = np.concatenate([np.diff(symbol.gap_runs, append=-1) == 0 for symbol in symbols])
    return [
        RunGap(length, to_histogram(gaps_s[kind == i], RUN_GAP_EDGES_S), measure_repeat(gaps_s, same_run & (kind == i)))
        for i, length in enumerate(RUN_LENGTHS)
    ]


def measure_repeat(gaps_s: np.ndarray, followed: np.ndarray) -> float:
    """How much likelier than by chance a same-tick gap is followed by another, where its run has another gap."""
    at = np.flatnonzero(followed)
    zero, next_zero = gaps_s[at] < RUN_GAP_EDGES_S[1], gaps_s[np.minimum(at + 1, len(gaps_s) - 1)] < RUN_GAP_EDGES_S[1]
    share = next_zero.mean() if len(at) else 1.0
    excess = (next_zero[zero].mean() - share) / (1.0 - share) if 0 < share < 1 and zero.any() else 0.0
    return round(float(min(max(excess, 0.0), 1.0)), 3)


def continuous_s(seconds: np.ndarray) -> np.ndarray:
    """The times of continuous trading on the open clock, counted from 09:30."""
    inside = seconds[(seconds >= CONTINUOUS_FROM_S) & (seconds < CONTINUOUS_UNTIL_S)]
    return OPEN_CLOCK.from_wall(inside) - 600.0


def count_windows(times_s: np.ndarray, window_s: float) -> np.ndarray:
    """Counts per window, one row of windows per five minutes of continuous trading."""
    per_row = round(TREND_S / window_s)
    total = round((CONTINUOUS_UNTIL_S - CONTINUOUS_FROM_S - LUNCH_S) / window_s)
    index = np.minimum((times_s / window_s + 1e-6).astype(np.int64), total - 1)
    counts = np.bincount(index, minlength=total)
    return counts[: total // per_row * per_row].reshape(-1, per_row).astype(float)


def count_calm(times_s: np.ndarray, window_s: float) -> np.ndarray:
    """As count_windows without the rows in which trading opens, whose level changes too fast to be one level."""
    return np.delete(count_windows(times_s, window_s), (0, 7200 // TREND_S), axis=0)


def fano(times_s: np.ndarray, window_s: float) -> float:
    """Variance over mean of the counts inside five calm minutes, weighted by their counts."""
    counts = count_calm(times_s, window_s)
    return float(counts.var(axis=1, ddof=1).sum() / max(counts.mean(axis=1).sum(), 1e-9))


def measure_window(days: list[list[SymbolDay]], window_s: float) -> Window:
    """How requests crowd into windows of one length."""
    ratios, counted, fanos = [], [], []
    for day in days:
        times = [continuous_s(symbol.rows["ts_us"] / 1e6) for symbol in day]
        counts = count_windows(np.concatenate(times), window_s).ravel()
        ratios.append(counts.max() / counts.mean())
        counted.append(counts[counts > 0])
        fanos += [fano(one, window_s) for one in times]
    pooled = np.concatenate(counted)
    share = to_histogram(pooled, whole_edges(pooled.max()))
    return Window(window_s, round(float(np.mean(ratios)), 1), round(float(np.mean(fanos)), 3), share)


def measure_common(days: list[list[SymbolDay]]) -> list[Cascade]:
    """The factor that symbols of one day share, from the covariance of their runs; longer boxes explain first."""
    cascades: list[Cascade] = []
    for box_s in (10.0, 1.0, 0.1):
        products, means = 0.0, 0.0
        for day in days:
            counts = [count_calm(continuous_s(symbol.run_starts_s), box_s) for symbol in day]
            levels = [count.mean(axis=1, keepdims=True) for count in counts]
            for one, other in combinations(range(len(counts)), 2):
                products += float(((counts[one] - levels[one]) * (counts[other] - levels[other])).sum())
                means += float((levels[one] * levels[other]).sum() * counts[one].shape[1])
        explained = float(np.prod([1 + c.variance for c in cascades])) - 1
        cascades.append(Cascade(box_s, round(max(0.0, products / max(means, 1e-9) - explained), 4)))
    return cascades


def measure_excitation(days: list[list[SymbolDay]]) -> Excitation:
    """Branching of runs from how their Fano factor grows with the window, band of delay by band.

    A pair of runs apart by some delay falls into one window with chance 1 - delay / window, which is solved for the
    pairs of each band. They lie 1 / (1 - offspring) further apart than one setting-off, because what is set off sets
    off more: delays shrink by that.
    """
    edges_s = np.array([0.0, 0.1, 1.0, 10.0, 60.0])
    starts = [continuous_s(symbol.run_starts_s) for day in days for symbol in day]
    weights = [len(one) for one in starts]
    growth = np.array(
        [np.average([fano(one, window_s) for one in starts], weights=weights) - 1.0 for window_s in edges_s[1:]]
    )
    middles_s = (edges_s[1:] + edges_s[:-1]) / 2
    caught = np.maximum(1.0 - middles_s / edges_s[1:, None], 0.0) * (edges_s[:-1] < edges_s[1:, None])
    pairs = np.maximum(np.linalg.solve(np.tril(caught), np.maximum(growth, 0.0)), 0.0)
    offspring = float(1.0 - (1.0 + pairs.sum()) ** -0.5)
    delay = Histogram(
        (edges_s * (1.0 - offspring)).round(4).tolist(), (pairs / max(pairs.sum(), 1e-9)).round(4).tolist()
    )
    alike = float(np.average([measure_alike(symbol) for day in days for symbol in day], weights=weights))
    return Excitation(round(float(offspring), 4), delay, round(min(max(alike / max(offspring, 0.01), 0.0), 1.0), 3))


def measure_alike(symbol: SymbolDay) -> float:
    """How much likelier than by chance a run of at least ALIKE_LENGTH orders is followed by another."""
    is_long = symbol.run_lengths[np.argsort(symbol.run_starts_s, kind="stable")] >= ALIKE_LENGTH
    share = is_long.mean()
    return float(((is_long[:-1] & is_long[1:]).mean() / share - share) / (1 - share)) if 0 < share < 1 else 0.0


def measure_life(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each new order in row order whether it was cancelled, and its life in cancellable seconds."""
    news, cancels = rows[rows["act"] == NEW], rows[rows["act"] == CANCEL]
    by_oid = np.argsort(news["oid"], kind="stable")
    at = by_oid[np.searchsorted(news["oid"], cancels["oid"], sorter=by_oid)]
    cancelled, life_s = np.zeros(len(news), bool), np.zeros(len(news))
    cancelled[at] = True
    clocked = CANCEL_CLOCK.from_wall(cancels["ts_us"] / 1e6) - CANCEL_CLOCK.from_wall(news["ts_us"][at] / 1e6)
    life_s[at] = np.maximum(clocked, 0.0)
    return cancelled, life_s


def measure_shape(symbol: SymbolDay, mean_requests: float) -> SymbolShape:
    """One symbol's distributions."""
    rows, touches = symbol.rows, symbol.touches
    news = rows[rows["act"] == NEW]
    cancelled, life_s = measure_life(rows)
    seen, crossing = touches.seen, touches.crossing
    rest, cross = seen & ~crossing, seen & crossing
    distance = touches.distance_ticks[rest]
    rest_ticks = to_histogram(distance, distance_edges(distance))
    bucket = np.clip(np.searchsorted(rest_ticks.edges, distance, "right") - 1, 0, len(rest_ticks.share) - 1)
    in_bucket = np.bincount(bucket, minlength=len(rest_ticks.share))
    cut = np.bincount(bucket, cancelled[rest], minlength=len(rest_ticks.share)) / np.maximum(in_bucket, 1)
    far_ticks = float(np.quantile(distance[cancelled[rest]], 0.75))
    far = ~seen | (touches.distance_ticks > far_ticks)
    lots = np.maximum(news["qty_shares"] // 100, 1)
    runs = symbol.run_lengths
    return SymbolShape(
        tick_bps=round(float(1e6 / np.median(news["price_e4"])), 4),
        rate_ratio=round(len(rows) / mean_requests, 4),
        cancel_ratio=round(float(cancelled.mean()), 4),
        buy_share=round(float((news["side"] == BUY).mean()), 4),
        aggressive_share=round(float(cross.sum() / seen.sum()), 4),
        volatility_bps=round(touches.volatility_bps, 4),
        spread_ticks=to_histogram(touches.spread_ticks[seen], whole_edges(touches.spread_ticks[seen].max())),
        cross_ticks=to_histogram(touches.distance_ticks[cross], whole_edges(touches.distance_ticks[cross].max())),
        rest_ticks=rest_ticks,
        rest_cancel_share=cut.round(4).tolist(),
        size_lots=to_histogram(lots, size_edges(int(lots.max()))),
        life_near_s=to_histogram(life_s[cancelled & ~far], LIFE_EDGES_S),
        life_far_s=to_histogram(life_s[cancelled & far], LIFE_EDGES_S),
        far_ticks=far_ticks,
        run_length=to_histogram(runs, whole_edges(runs.max())),
    )


def measure(flow_csv_paths: Sequence[str | Path]) -> Profile:
    """The profile of some days of flow, one file a day. Raises FlowError."""
    days = split_days(flow_csv_paths)
    symbols = [symbol for day in days for symbol in day]
    requests = sum(len(symbol.rows) for symbol in symbols)
    news_s = np.concatenate([s.rows["ts_us"][s.rows["act"] == NEW] / 1e6 for s in symbols])
    minutes = np.bincount((OPEN_CLOCK.from_wall(news_s) // 60).astype(int), minlength=251)
    minutes[249] += minutes[250:].sum()
    gaps_s = np.concatenate([np.diff(continuous_s(s.rows["ts_us"] / 1e6)) for s in symbols])
    peaks = []
    for at_s in PEAK_MINUTES_S:
        seconds = np.bincount((news_s[(news_s >= at_s) & (news_s < at_s + 60)] - at_s).astype(int), minlength=60)
        peaks.append(Peak(at_s, (seconds / max(seconds.sum(), 1)).round(5).tolist()))
    return Profile(
        version=1,
        requests=requests,
        symbol_days=len(symbols),
        minute_share=(minutes[:250] / minutes[:250].sum()).round(6).tolist(),
        peaks=peaks,
        run_gaps=measure_run_gaps(symbols),
        request_gap_s=to_histogram(gaps_s, [0.0, *np.geomspace(0.01, 600, 33).round(4).tolist()]),
        excitation=measure_excitation(days),
        common=measure_common(days),
        windows=[measure_window(days, window_s) for window_s in WINDOWS_S],
        shapes=[measure_shape(symbol, requests / len(symbols)) for symbol in symbols],
        channels=CHANNELS,
    )


def find_flows(data: Path) -> list[Path]:
    """The flow files below a directory, by name."""
    return sorted(path for path in data.glob("**/flow.csv*") if path.suffix in (".csv", ".zst"))


def write_profile(
    data: Annotated[Path, typer.Option(help="Directory with flow.csv or flow.csv.zst files, searched in depth.")],
    out: Annotated[Path, typer.Option(help="The profile to write.")] = PROFILE_PATH,
) -> None:
    """Measure every flow file below a directory and write the profile."""
    paths = find_flows(data)
    if not paths:
        raise typer.BadParameter(f"got {data} without flow.csv or flow.csv.zst below it", param_hint="--data")
    try:
        text = msgspec.json.encode(measure(paths))
    except FlowError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from None
    out.write_bytes(text + b"\n")
    typer.echo(f"{out}: {len(text)} bytes from {len(paths)} files")


if __name__ == "__main__":
    typer.run(write_profile)
