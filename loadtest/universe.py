"""The instruments of a trading day: one CSV that the exchanges list and the gateway checks against. Sends no order.

Columns, prices in 1e-4 yuan, quantities in shares:
symbol (six digits), security_exchange (XSHG|XSHE), board (MAIN|STAR|CHINEXT|INDEX), name, is_st (0|1), tick_e4,
buy_min_shares, buy_step_shares, max_limit_shares, max_market_shares, prev_close_e4, up_limit_e4, down_limit_e4,
status (NORMAL|SUSPENDED|DELISTED), t_plus (0|1), float_shares. An INDEX is quoted and never traded.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

TICK_E4 = 100

# Recorded flow of these can be replayed, so every universe lists them at the previous close of the recorded day.
REPLAYED_PREV_CLOSE_E4 = {"600519": 18_457_600, "600536": 512_000, "600961": 90_900, "601825": 54_600}
ALWAYS_LISTED = (*REPLAYED_PREV_CLOSE_E4, "600000", "000001")


class Instrument(NamedTuple):
    symbol: str
    security_exchange: str
    board: str
    name: str
    is_st: int
    tick_e4: int
    buy_min_shares: int
    buy_step_shares: int
    max_limit_shares: int
    max_market_shares: int
    prev_close_e4: int
    up_limit_e4: int
    down_limit_e4: int
    status: str
    t_plus: int
    float_shares: int


class BoardRules(NamedTuple):
    buy_min_shares: int
    buy_step_shares: int
    max_limit_shares: int
    max_market_shares: int
    limit_pct: int


BOARDS = {
    "MAIN": BoardRules(100, 100, 1_000_000, 1_000_000, 10),  # ST shares too, since 2026-07-06
    "STAR": BoardRules(200, 1, 100_000, 50_000, 20),
    "CHINEXT": BoardRules(100, 100, 300_000, 150_000, 20),
}
INDEX = "INDEX"
# (symbol, exchange, name, board whose shares it is of (empty: all of the exchange), previous close)
INDICES = (
    ("000001", "XSHG", "SSE Composite", "", 32_000_000),
    ("000688", "XSHG", "STAR 50", "STAR", 10_000_000),
    ("399001", "XSHE", "SZSE Component", "", 100_000_000),
    ("399006", "XSHE", "ChiNext", "CHINEXT", 20_000_000),
    ("399106", "XSHE", "SZSE Composite", "", 20_000_000),
)
INDEX_BOARD = {symbol: board for symbol, _, _, board, _ in INDICES}
CHOICES = {"security_exchange": ("XSHG", "XSHE"), "board": (*BOARDS, INDEX),
           "status": ("NORMAL", "SUSPENDED", "DELISTED"), "is_st": (0, 1), "t_plus": (0, 1)}


class UniverseError(ValueError):
    """An instruments file that cannot be used: names the file, the line, the field and what was expected."""


def price_limits_e4(prev_close_e4: int, limit_pct: int, tick_e4: int = TICK_E4) -> tuple[int, int]:
    """(up, down): prev_close times 1 plus or minus limit_pct, half up to the tick, at least one tick away."""
    ticks = prev_close_e4 // tick_e4
    up = max((2 * ticks * (100 + limit_pct) + 100) // 200, ticks + 1)
    down = max(min((2 * ticks * (100 - limit_pct) + 100) // 200, ticks - 1), 1)
    return up * tick_e4, down * tick_e4


def board_of(symbol: str) -> tuple[str, str]:
    """(security_exchange, board) of a six-digit stock code."""
    if symbol.startswith(("688", "689")):
        return "XSHG", "STAR"
    if symbol.startswith("6"):
        return "XSHG", "MAIN"
    return "XSHE", "CHINEXT" if symbol.startswith("30") else "MAIN"


def list_share(symbol: str, name: str, is_st: int, prev_close_e4: int, status: str, float_shares: int) -> Instrument:
    """One share under the rules of its board; T+1, as every share is."""
    exchange, board = board_of(symbol)
    rules = BOARDS[board]
    close_e4 = REPLAYED_PREV_CLOSE_E4.get(symbol, prev_close_e4)
    up, down = price_limits_e4(close_e4, rules.limit_pct)
    return Instrument(symbol, exchange, board, name, is_st, TICK_E4, rules.buy_min_shares, rules.buy_step_shares,
                      rules.max_limit_shares, rules.max_market_shares, close_e4, up, down, status, 1, float_shares)


def list_indices() -> list[Instrument]:
    """The indices that rules look at, each at a round previous close."""
    return [Instrument(symbol, exchange, INDEX, name, 0, TICK_E4, 0, 0, 0, 0, close_e4, 0, 0, "NORMAL", 0, 0)
            for symbol, exchange, name, _, close_e4 in INDICES]


# code range, how many of it, median price in yuan
SYNTHETIC = [(600_000, 606_000, 1_650, 10.0), (688_000, 689_000, 550, 32.0), (1, 4_000, 1_400, 9.0),
             (300_000, 302_000, 1_300, 18.0)]


def generate_universe(seed: int) -> list[Instrument]:
    """A synthetic market of about 2,200 Shanghai and 2,700 Shenzhen shares and indices, the same for the same seed."""
    random = np.random.default_rng(seed)
    shares: dict[str, Instrument] = {}
    for first, end, count, median in SYNTHETIC:
        drawn = {f"{code:06d}" for code in random.choice(np.arange(first, end), count, replace=False)}
        wanted = {symbol for symbol in ALWAYS_LISTED if first <= int(symbol) < end}
        for symbol in sorted(drawn | wanted):
            price = float(np.clip(median * random.lognormal(0.0, 0.75), 1.5, 900.0))
            plain = symbol in wanted
            is_st = int(not plain and board_of(symbol)[1] == "MAIN" and random.random() < 0.03)
            status = "SUSPENDED" if not plain and random.random() < 0.004 else "NORMAL"
            free = int(random.lognormal(19.3, 1.0)) // 100 * 100
            shares[symbol] = list_share(symbol, f"{'*ST ' if is_st else ''}Share {symbol}", is_st,
                                        round(price * 100) * TICK_E4, status, free)
    return [*shares.values(), *list_indices()]


def from_reference(folder: Path) -> list[Instrument]:
    """The market of the reference folder's instruments_*.csv, its closes as previous closes; Beijing left out."""
    source = next(iter(sorted(folder.glob("instruments_*.csv"))), None)
    if source is None:
        raise UniverseError(f"{folder}: no instruments_*.csv in it")
    with source.open(encoding="utf-8") as lines:
        return [list_share(row["code"], row["name"], int(row["is_st"]), round(float(row["close"]) * 100) * TICK_E4,
                           "NORMAL", round(float(row["float_share_10k"] or 0) * 10_000))
                for row in csv.DictReader(lines) if row["board"] in BOARDS]


def write_instruments(path: Path, instruments: Iterable[Instrument]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(Instrument._fields)
        writer.writerows(instruments)


def write_universe(path: Path, seed: int) -> None:
    """Generate the synthetic market of this seed into path."""
    write_instruments(path, generate_universe(seed))


def read_universe(path: Path) -> list[Instrument]:
    """Every instrument of the file; raises UniverseError."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return list(parse_universe(str(path), csv.DictReader(lines)))
    except OSError as error:
        raise UniverseError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UniverseError(f"{path}: not a CSV in UTF-8: {error}") from error


def parse_universe(source: str, reader: "csv.DictReader[str]") -> Iterator[Instrument]:
    if tuple(reader.fieldnames or ()) != Instrument._fields:
        found = ",".join(reader.fieldnames or ())
        raise UniverseError(f"{source}:1: columns {found}, expected {','.join(Instrument._fields)}")
    seen: set[tuple[str, str]] = set()
    for row in reader:
        where = f"{source}:{reader.line_num}"
        if None in row or None in row.values():
            raise UniverseError(f"{where}: expected {len(Instrument._fields)} columns")
        instrument = parse_instrument(where, row)
        key = (instrument.security_exchange, instrument.symbol)
        if key in seen:
            raise UniverseError(f"{where}: symbol: {instrument.symbol} is listed twice")
        seen.add(key)
        yield instrument


def parse_instrument(where: str, row: dict[str, str]) -> Instrument:
    parsed: dict[str, str | int] = dict(row)
    for field, kind in Instrument.__annotations__.items():
        if kind is int:
            if not row[field].isascii() or not row[field].isdecimal():
                raise UniverseError(f"{where}: {field}: {row[field]!r}, expected an integer of at least 0")
            parsed[field] = int(row[field])
        if field in CHOICES and parsed[field] not in CHOICES[field]:
            raise UniverseError(f"{where}: {field}: {row[field]!r}, expected one of {CHOICES[field]}")
    if len(row["symbol"]) != 6 or not row["symbol"].isdecimal():
        raise UniverseError(f"{where}: symbol: {row['symbol']!r}, expected six digits")
    instrument = Instrument(**parsed)  # type: ignore[arg-type]
    if instrument.board == INDEX:
        return instrument
    if instrument.tick_e4 == 0 or instrument.buy_step_shares == 0:
        raise UniverseError(f"{where}: tick_e4 and buy_step_shares: expected at least 1")
    if not 0 < instrument.down_limit_e4 <= instrument.prev_close_e4 <= instrument.up_limit_e4:
        prices = f"{instrument.down_limit_e4}, {instrument.prev_close_e4}, {instrument.up_limit_e4}"
        raise UniverseError(f"{where}: down_limit_e4, prev_close_e4, up_limit_e4: {prices}, expected rising")
    if instrument.down_limit_e4 % instrument.tick_e4 or instrument.up_limit_e4 % instrument.tick_e4:
        raise UniverseError(f"{where}: up_limit_e4, down_limit_e4: expected multiples of tick_e4 {instrument.tick_e4}")
    return instrument
