"""Recorded Shanghai order flow for tests: finds it, reads it, and says when a day's phases change. Holds no data itself."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

ROOT = Path(os.environ.get("TIDEGATE_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data"))
THREE_STOCKS = "dev_sse_l2_20230711_3stocks"
MOUTAI = "dev_sse_l2_20230201_600519"

# Microseconds of the day at which each codes.Phase begins.
PHASE_STARTS_US = [(33_300_000_000, 2), (33_600_000_000, 3), (33_900_000_000, 4), (34_200_000_000, 5),
                   (53_820_000_000, 7), (54_000_000_000, 8)]
OPEN_US = 34_200_000_000


class Request(NamedTuple):
    ts_us: int
    symbol: int
    cancel: bool
    side: int
    order_no: int
    price_e4: int
    qty_shares: int


def rows(folder: str, name: str) -> Iterator[dict[str, str]]:
    path = ROOT / folder / name
    if not path.exists():
        pytest.skip(f"recorded flow not found: {path} (set TIDEGATE_DATA to the folder that holds {folder})")
    with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as octets:
        yield from csv.DictReader(io.TextIOWrapper(octets, "utf-8"))


def requests(folder: str) -> list[Request]:
    """Every new order and cancel of the day, in the exchange's order.

    Opening orders are published at 09:25, security by security; only their times give back the order of arrival.
    """
    flow = [Request(int(r["ts_us"]), int(r["sym"]), r["act"] == "C", 1 if r["side"] == "B" else 2, int(r["oid"]),
                    10 * int(r["px"]), int(r["qty"])) for r in rows(folder, "flow.csv.zst")]
    opening = [request for request in flow if request.ts_us < OPEN_US]
    return sorted(opening, key=lambda request: request.ts_us) + flow[len(opening):]


def trades(folder: str) -> dict[int, list[tuple[int, int, int, int, int]]]:
    """Every recorded trade per symbol: (buy order, sell order, price_e4, shares, aggressor side, 0 in an auction)."""
    sides = {"B": 1, "S": 2, "N": 0}
    found: dict[int, list[tuple[int, int, int, int, int]]] = {}
    for r in rows(folder, "trades.csv.zst"):
        trade = (int(r["buy_oid"]), int(r["sell_oid"]), 10 * int(r["px"]), int(r["qty"]), sides[r["aggr"]])
        found.setdefault(int(r["sym"]), []).append(trade)
    return found


def limits(flow: list[Request]) -> dict[int, tuple[int, int]]:
    """(down, up) per symbol: every one of these days has orders at both limits."""
    span: dict[int, tuple[int, int]] = {}
    for request in flow:
        if not request.cancel:
            low, high = span.get(request.symbol, (request.price_e4, request.price_e4))
            span[request.symbol] = (min(low, request.price_e4), max(high, request.price_e4))
    return span
