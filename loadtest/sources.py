"""Where the orders of a load run come from: recorded flow, the calibrated generator, or a plain mix. Plans no times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.flow import FLOW_DTYPE, FlowSymbol, arrays, load_flow, load_profile
from loadtest.flow_csv import BUY, CANCEL, NEW, SELL
from loadtest.universe import INDEX, Instrument

RECORDED = Path("dev_sse_l2_20230711_3stocks") / "flow.csv.zst"
CONTINUOUS_US = 34_200_000_000  # 09:30
TICK_E4 = 100
FIXED, NEAR, REST, CROSS, BEHIND = range(5)  # tracker.PriceRule
MIX_KINDS = ("new", "cancel", "cross", "bad")


class SourceError(ValueError):
    """A flow source that cannot be used: field, value, expected."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {value!r}, expected {expected}")


@dataclass(slots=True)
class Source:
    """Requests in order: rows of FLOW_DTYPE; `symbol` indexes `instruments`, `oid` is unique per order."""

    description: str
    instruments: list[Instrument]
    rows: npt.NDArray[np.void]
    price_rule: npt.NDArray[np.uint8]


def recorded(path: Path, universe: Sequence[Instrument], count: int, lanes: int) -> Source:
    """Recorded flow cut into as many stretches as there are lanes, played at once; each on instruments of its own.

    The first lane keeps its instruments and prices where the universe lists them; the others are moved to other
    instruments, alternating between the exchanges, their prices in proportion to the previous close there.
    """
    flow = load_flow(path)
    rows = flow.rows[flow.rows["ts_us"] >= CONTINUOUS_US]
    if len(rows) < 100 * lanes:
        raise SourceError("flow", f"{path}: {len(rows)} requests from 09:30 on", f"at least {100 * lanes}")
    width = len(flow.symbols)
    own = {share.symbol: share for share in universe if share.board != INDEX}
    spare = iter_spare(universe, set(flow.symbols))
    instruments: list[Instrument] = []
    parts: list[npt.NDArray[np.void]] = []
    need = -(-count // lanes)
    for lane in range(lanes):
        part = repeat_to(rows[lane * len(rows) // lanes : (lane + 1) * len(rows) // lanes], need)
        exchange = ("XSHG", "XSHE")[lane % 2]
        for at, symbol in enumerate(flow.symbols):
            kept = lane == 0 and symbol in own
            share = own[symbol] if kept else next(spare[exchange])
            instruments.append(share)
            mine = part["symbol"] == at
            if mine.any() and not kept:
                move_prices(part, mine, share)
        part["symbol"] += lane * width
        part["oid"] = part["oid"] * lanes + lane
        parts.append(part)
    merged = np.empty(need * lanes, FLOW_DTYPE)
    for lane, part in enumerate(parts):
        merged[lane::lanes] = part
    name = "recorded flow" if path.name == RECORDED.name else f"flow {path.name}"
    text = f"{name} of {', '.join(flow.symbols[:6])}, {lanes} stretches at once over {len(instruments)} instruments"
    return Source(text, instruments, merged[:count], np.full(count, NEAR, dtype=np.uint8))


def generated(universe: Sequence[Instrument], count: int, lanes: int, seed: int) -> Source:
    """Flow from the calibrated generator, for three instruments a lane, alternating between the exchanges."""
    spare = iter_spare(universe, set())
    instruments = [next(spare[("XSHG", "XSHE")[lane % 2]]) for lane in range(lanes) for _ in range(3)]
    symbols = [
        FlowSymbol(
            symbol=share.symbol,
            reference_price_e4=share.prev_close_e4,
            limit_down_e4=share.down_limit_e4,
            limit_up_e4=share.up_limit_e4,
        )
        for share in instruments
    ]
    blocks, have = [], 0
    for rows in arrays(load_profile(), symbols, seed=seed, start_s=34_200.0, end_s=41_400.0, rate_per_s=count / 5_000):
        blocks.append(rows)
        have += len(rows)
        if have >= count:
            break
    rows = repeat_to(np.concatenate(blocks), count)
    text = f"generated flow (calibrated profile, seed {seed}) for {len(instruments)} instruments"
    return Source(text, instruments, rows, np.full(count, NEAR, dtype=np.uint8))


def parse_mix(text: str) -> dict[str, float]:
    """`new=70,cancel=20,cross=8,bad=2` -> shares of one; what is not named is 0."""
    shares = dict.fromkeys(MIX_KINDS, 0.0)
    for item in text.split(","):
        match = re.fullmatch(r"\s*(\w+)=(\d+(?:\.\d+)?)\s*", item)
        if match is None or match[1] not in shares:
            raise SourceError("mix", item, f"KIND=SHARE with KIND one of {', '.join(MIX_KINDS)}")
        shares[match[1]] = float(match[2])
    if not shares["new"] > shares["cancel"] or sum(shares.values()) <= 0:
        raise SourceError("mix", text, "a share of new orders above that of cancels, because each cancel needs one")
    return {kind: share / sum(shares.values()) for kind, share in shares.items()}


def mixed(universe: Sequence[Instrument], count: int, lanes: int, seed: int, shares: dict[str, float]) -> Source:
    """A plain mix on both exchanges: orders that rest at the touch, orders that cross it, cancels of resting ones."""
    rng = np.random.default_rng(seed)
    spare = iter_spare(universe, set())
    instruments = [next(spare[("XSHG", "XSHE")[lane % 2]]) for lane in range(lanes) for _ in range(6)]
    rows = np.zeros(count, FLOW_DTYPE)
    total = 1 - shares["bad"]
    kind = rng.choice(3, count, p=[shares[name] / total for name in ("new", "cancel", "cross")])
    rows["oid"] = np.arange(1, count + 1)
    rows["act"] = NEW
    rows["symbol"] = rng.integers(0, len(instruments), count)
    rows["side"] = np.where(rng.random(count) < 0.5, BUY, SELL)
    rows["qty_shares"] = rng.integers(1, 20, count) * 100
    close = np.array([share.prev_close_e4 for share in instruments])[rows["symbol"]]
    away = np.where(kind == 2, 1, -1) * np.where(rows["side"] == BUY, TICK_E4, -TICK_E4)
    rows["price_e4"] = close + away
    resting: list[int] = []
    for at in np.flatnonzero(kind < 2).tolist():
        if kind[at] == 0:
            resting.append(at)
        elif resting:
            # Not the newest, so that the order has had time to reach its book.
            rows[at] = rows[resting.pop(int(rng.integers(0, max(len(resting) * 3 // 4, 1))))]
            rows["act"][at] = CANCEL
    rule = np.where(kind == 2, CROSS, REST).astype(np.uint8)
    return Source(
        f"mix {' '.join(f'{name} {share:.0%}' for name, share in shares.items())} (seed {seed}) over "
        f"{len(instruments)} instruments",
        instruments,
        rows,
        rule,
    )


def iter_spare(universe: Sequence[Instrument], taken: set[str]) -> dict[str, "Spare"]:
    """Per exchange, the ordinary main-board shares at everyday prices that nobody uses yet."""
    shares = [
        share
        for share in universe
        if share.board == "MAIN"
        and share.status == "NORMAL"
        and not share.is_st
        and 50_000 <= share.prev_close_e4 <= 600_000
        and share.symbol not in taken
    ]
    return {
        exchange: Spare(exchange, [share for share in shares if share.security_exchange == exchange])
        for exchange in ("XSHG", "XSHE")
    }


class Spare:
    """Hands out instruments of one exchange, each once."""

    def __init__(self, exchange: str, shares: list[Instrument]) -> None:
        self.exchange, self.shares, self.used = exchange, shares, 0

    def __next__(self) -> Instrument:
        if self.used == len(self.shares):
            raise SourceError("instruments", f"{self.used} ordinary shares on {self.exchange}", "more, or fewer lanes")
        self.used += 1
        return self.shares[self.used - 1]


def repeat_to(rows: npt.NDArray[np.void], count: int) -> npt.NDArray[np.void]:
    """The first `count` rows; a flow that is too short starts again with new order numbers."""
    if not len(rows):
        raise SourceError("flow", "no requests", "at least one")
    laps = -(-count // len(rows))
    step = int(rows["oid"].max()) + 1
    parts = []
    for lap in range(laps):
        part = rows.copy()
        part["oid"] += lap * step
        parts.append(part)
    return np.concatenate(parts)[:count]


def move_prices(part: npt.NDArray[np.void], mine: npt.NDArray[np.bool_], share: Instrument) -> None:
    """Scale the prices of one instrument's rows so that they begin at another instrument's previous close."""
    prices = part["price_e4"][mine]
    scaled = np.rint(prices * (share.prev_close_e4 / prices[0]) / TICK_E4).astype(np.int64) * TICK_E4
    part["price_e4"][mine] = np.clip(scaled, share.down_limit_e4, share.up_limit_e4)
