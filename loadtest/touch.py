"""Replays one symbol's flow through a price-level book to see where each order stood; it keeps no queue."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from loadtest.flow_csv import BUY, NEW

TICK_E4 = 100
UNCROSS_US, CONTINUOUS_US, CLOSING_US = 33_900_000_000, 34_200_000_000, 53_820_000_000


class Touches(NamedTuple):
    """One entry per new order, in row order; entries not `seen` (auctions, an empty side) hold zeros."""

    seen: np.ndarray
    crossing: np.ndarray
    distance_ticks: np.ndarray
    """Crossing: ticks through the opposite touch. Else: ticks behind the own touch, negative inside the spread."""
    spread_ticks: np.ndarray
    volatility_bps: float
    """Of the mid price over one second's square root."""


class Side:
    """The levels of one side, best last: signed prices (buy as is, sell negated) with their shares."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.shares: dict[int, int] = {}

    def add(self, key: int, shares: int) -> None:
        """Shares come to rest at a level."""
        if key not in self.shares:
            self.keys.insert(bisect_left(self.keys, key), key)
        self.shares[key] = self.shares.get(key, 0) + shares

    def take(self, key: int, shares: int) -> None:
        """Shares leave a level, by cancel or trade; more than it holds empties it."""
        left = self.shares.get(key, 0) - shares
        if left > 0:
            self.shares[key] = left
        elif self.shares.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def trade(self, limit: int, shares: int) -> int:
        """Trade up to `shares` at keys of at least `limit`; returns the shares left over."""
        while shares and self.keys and self.keys[-1] >= limit:
            key = self.keys[-1]
            traded = min(shares, self.shares[key])
            self.take(key, traded)
            shares -= traded
        return shares


def uncross(bids: Side, asks: Side) -> None:
    """End the call auction: best trades with best while they cross, which leaves what any full uncross leaves."""
    while bids.keys and asks.keys and bids.keys[-1] >= -asks.keys[-1]:
        bid, ask = bids.keys[-1], asks.keys[-1]
        traded = min(bids.shares[bid], asks.shares[ask])
        bids.take(bid, traded)
        asks.take(ask, traded)


def replay_touches(rows: np.ndarray) -> Touches:
    """Where each new order of one symbol's rows (FLOW_DTYPE, file order) stood against the touch when it came."""
    bids, asks = Side(), Side()
    seen, crossing, distance, spread = [], [], [], []
    mids: dict[int, float] = {}
    in_auction = True
    for ts_us, _oid, price_e4, qty_shares, _symbol, act, side in rows.tolist():
        if in_auction and ts_us >= UNCROSS_US:
            uncross(bids, asks)
            in_auction = False
        own, other = (bids, asks) if side == BUY else (asks, bids)
        key = price_e4 if side == BUY else -price_e4
        if act != NEW:
            own.take(key, qty_shares)
            continue
        visible = CONTINUOUS_US <= ts_us < CLOSING_US and bool(own.keys) and bool(other.keys)
        crosses = visible and key >= -other.keys[-1]
        seen.append(visible)
        crossing.append(crosses)
        distance.append(0 if not visible else key + other.keys[-1] if crosses else own.keys[-1] - key)
        spread.append(-(own.keys[-1] + other.keys[-1]) if visible else 0)
        if visible:
            mids[ts_us // 60_000_000] = (bids.keys[-1] - asks.keys[-1]) / 2
        resting = qty_shares if ts_us >= CLOSING_US or in_auction else other.trade(-key, qty_shares)
        if resting:
            own.add(key, resting)
    changes = np.diff(np.log(np.array(list(mids.values()) or [1.0])))
    volatility_bps = float(np.std(changes) * 1e4 / np.sqrt(60)) if len(changes) > 1 else 0.0
    distance_ticks, spread_ticks = (np.array(column, np.int64) // TICK_E4 for column in (distance, spread))
    return Touches(np.array(seen, bool), np.array(crossing, bool), distance_ticks, spread_ticks, volatility_bps)
