"""Loads the day's instruments from CSV: what each security is, its lots, ticks and price limits.

It computes no price limit: the exchange's own figures are taken as they stand, and checked for sense only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ext.codes import BOARDS, QUOTED_BOARDS, VENUES
from risk_rules.marked import (
    SHARES_BALANCE,
    SYMBOL,
    Faults,
    choice,
    collector_paused,
    csv_rows,
    integer,
    matching,
    quoted,
    read_text,
)

INSTRUMENT_STATES = {"NORMAL": 1, "SUSPENDED": 2, "NOT_LISTED": 3, "DELISTED": 4}
MAX_PRICE_E4 = 10**9  # 100 000 yuan: price times the largest order still fits an int64
ONLY_VENUE: dict[int, int] = {BOARDS["STAR"]: VENUES["XSHG"], BOARDS["CHINEXT"]: VENUES["XSHE"]}


class Instrument(msgspec.Struct, frozen=True):
    """One security on one exchange; prices in 1e-4 yuan, quantities in shares."""

    symbol: int  # six digits as a number
    venue: int  # codes.Venue
    board: int  # codes.Board; INDEX is quoted, never traded
    name: str
    is_st: int  # 1: under risk warning
    tick_e4: int
    buy_min_shares: int
    buy_step_shares: int
    max_limit_shares: int
    max_market_shares: int
    prev_close_e4: int
    up_limit_e4: int  # 0 with down_limit_e4 0: no price limit today
    down_limit_e4: int
    status: int  # INSTRUMENT_STATES
    t_plus: int  # 1: shares bought today cannot be sold today
    float_shares: int  # 0: not known
    adv20_shares: int = 0  # average day's volume of the last 20 days; 0: not known
    risk_level: int = 3  # R1 to R5 (R1007)
    shortable: int = 0  # 1: on the list of what may be sold short (R1402)


PRICE_OR_NONE = integer(0, MAX_PRICE_E4, "in 1/10000 yuan (0: none)")
FLAG = choice({"0": 0, "1": 1})
RISK_LEVELS = {"R1": 1, "R2": 2, "R3": 3, "R4": 4, "R5": 5}
USUAL_LEVEL = {BOARDS["STAR"]: 4, BOARDS["CHINEXT"]: 4}  # of a board whose instruments have none; else R3
COLUMNS = {
    "symbol": SYMBOL,
    "security_exchange": choice(VENUES),
    "board": choice(QUOTED_BOARDS),
    "name": matching(r".{0,64}", "at most 64 characters"),
    "is_st": FLAG,
    "tick_e4": PRICE_OR_NONE,
    "buy_min_shares": SHARES_BALANCE,
    "buy_step_shares": SHARES_BALANCE,
    "max_limit_shares": SHARES_BALANCE,
    "max_market_shares": SHARES_BALANCE,
    "prev_close_e4": PRICE_OR_NONE,
    "up_limit_e4": PRICE_OR_NONE,
    "down_limit_e4": PRICE_OR_NONE,
    "status": choice(INSTRUMENT_STATES),
    "t_plus": FLAG,
    "float_shares": SHARES_BALANCE,
    "adv20_shares": SHARES_BALANCE,
    "risk_level": choice(RISK_LEVELS),
    "shortable": FLAG,
}
TRADED_COLUMNS = ("tick_e4", "buy_min_shares", "buy_step_shares", "max_limit_shares", "max_market_shares",
                  "prev_close_e4")
OPTIONAL_COLUMNS = ("adv20_shares", "risk_level", "shortable")


@collector_paused()
def load_instruments(path: str | Path) -> tuple[Instrument, ...]:
    """Reads and validates one instruments file; raises ConfigError with every fault it found."""
    path = Path(path)
    faults = Faults(path)
    instruments: dict[tuple[int, int], Instrument] = {}
    lines: dict[tuple[int, int], int] = {}
    for line, found in csv_rows(faults, read_text(path), COLUMNS, OPTIONAL_COLUMNS):
        instrument = instrument_of(found)
        key = (instrument.venue, instrument.symbol)
        if key in lines:
            expected = f"each security once (line {lines[key]} has it)"
            faults.add(line, "symbol", quoted(f"{instrument.symbol:06}"), expected)
            continue
        lines[key] = line
        instruments[key] = instrument
        for field, got, expected in senseless(instrument):
            faults.add(line, field, got, expected)
    if not instruments and not faults.found:
        faults.add(1, "file", "no rows", "at least one instrument")
    faults.raise_any()
    return tuple(instruments.values())


def instrument_of(found: dict[str, Any]) -> Instrument:
    found.setdefault("risk_level", USUAL_LEVEL.get(found["board"], 3))
    return Instrument(venue=found.pop("security_exchange"), **found)


def senseless(instrument: Instrument) -> Iterator[tuple[str, str, str]]:
    """(field, got, expected) of figures that fit alone and not together; an index has none that must fit."""
    if instrument.board == QUOTED_BOARDS["INDEX"]:
        return
    absent = [field for field in TRADED_COLUMNS if getattr(instrument, field) == 0]
    yield from ((field, "0", "at least 1 (only an INDEX has none)") for field in absent)
    if absent:
        return
    up, down, close, tick = (instrument.up_limit_e4, instrument.down_limit_e4, instrument.prev_close_e4,
                             instrument.tick_e4)
    if (up == 0) != (down == 0):
        yield "up_limit_e4", str(up), "both price limits, or both 0"
    elif up and not down <= close <= up:
        yield "prev_close_e4", str(close), f"a price from down_limit_e4 {down} to up_limit_e4 {up}"
    for field, price in (("up_limit_e4", up), ("down_limit_e4", down)):
        if price % tick:
            yield field, str(price), f"a multiple of tick_e4 {tick}"
    if (largest := instrument.max_limit_shares) < instrument.buy_min_shares:
        yield "max_limit_shares", str(largest), f"at least buy_min_shares {instrument.buy_min_shares}"
    if ONLY_VENUE.get(instrument.board, instrument.venue) != instrument.venue:
        yield "board", "a board of the other exchange", "STAR on XSHG, CHINEXT on XSHE, MAIN on either"
