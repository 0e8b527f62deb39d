"""Recorded Shanghai order flow for tests: finds it, reads it, says when phases change. Holds no data itself."""

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


def snapshots(folder: str) -> list[dict[str, str]]:
    """The recorded ten-level snapshots of 09:30-11:30 and 13:00-14:57 that have both sides."""
    return [r for r in rows(folder, "raw_snapshot.csv.zst")
            if r["AskPrice1"] and r["BidPrice1"]
            and ("09:30" <= r["UpdateTime"] < "11:30:01" or "13:00" <= r["UpdateTime"] < "14:57:00")]


def levels(snapshot: dict[str, str], side: str) -> list[tuple[int, int]]:
    """One side ("Bid" or "Ask") of a snapshot as (price_e4, shares), best first."""
    found = [(snapshot[f"{side}Price{n}"], snapshot[f"{side}Volume{n}"]) for n in range(1, 11)]
    return [(round(float(price) * 10_000), int(float(shares))) for price, shares in found if price]


def time_us(clock: str) -> int:
    hours, minutes, seconds = clock.split(":")
    return (int(hours) * 3600 + int(minutes) * 60) * 1_000_000 + round(float(seconds) * 1_000_000)
