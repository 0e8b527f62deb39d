"""Reads order flow from its documented CSV form; it neither generates nor sends anything.

The form (docs/flow.md): a header line ``ts_us,seq,sym,act,side,oid,px,qty,kind``, then one row per client request,
plain or zstd-compressed (``.zst``). The first bad row ends the reading with a FlowError that names line, column, value
and what was expected.
"""

import csv
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, TextIO, cast

import numpy as np
import zstandard

COLUMNS = ("ts_us", "seq", "sym", "act", "side", "oid", "px", "qty", "kind")
KINDS = {"N": ("A", "P", "F"), "C": ("D",)}
DAY_US = 86_400_000_000
PX_TO_E4 = 10
"""The CSV counts prices in 1e-3 yuan, everything else here in 1e-4 yuan."""

NEW, CANCEL, BUY, SELL = (ord(letter) for letter in "NCBS")

FLOW_DTYPE = np.dtype(
    [
        ("ts_us", "<i8"),  # microseconds since local midnight
        ("oid", "<i8"),  # the order's number; a cancel carries the number of the order it cancels
        ("price_e4", "<i8"),  # limit price; a cancel repeats its order's
        ("qty_shares", "<i8"),  # a cancel: the quantity left (recorded flow) or the order's (generated flow)
        ("symbol", "<u4"),  # index into the list of symbols that came with the array
        ("act", "u1"),  # ord('N') or ord('C')
        ("side", "u1"),  # ord('B') or ord('S')
    ],
    align=True,
)
"""One request, 40 bytes, laid out as the C struct of the same fields."""


class FlowRequest(NamedTuple):
    """One client request: a new order (act 'N') or the cancel of one (act 'C')."""

    ts_us: int
    symbol: str
    act: str
    side: str
    oid: int
    price_e4: int
    qty_shares: int


class FlowError(ValueError):
    """A flow file that is not in the documented form: file, line, column, value and what was expected."""


def bad_value(path: Path, line: int, column: str, value: object, expected: str) -> FlowError:
    """The error for one cell."""
    return FlowError(f"{path}: line {line}: {column}: got {value!r}, expected {expected}")


def parse_count(path: Path, line: int, column: str, text: str, upper: int) -> int:
    """A whole number from 1 to upper, or a FlowError."""
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= upper:
        return int(text)
    raise bad_value(path, line, column, text, f"a whole number from 1 to {upper}")


def parse_row(path: Path, line: int, row: list[str]) -> FlowRequest:
    """One row of the CSV as a request, every column checked."""
    if len(row) != len(COLUMNS):
        raise bad_value(path, line, "columns", len(row), f"{len(COLUMNS)}: {','.join(COLUMNS)}")
    ts_us, seq, sym, act, side, oid, px, qty, kind = row
    parse_count(path, line, "seq", seq, 2**62)
    if not (sym.isascii() and sym.isdigit() and len(sym) == 6):
        raise bad_value(path, line, "sym", sym, "a security code of 6 digits")
    if act not in KINDS:
        raise bad_value(path, line, "act", act, "N or C")
    if side not in ("B", "S"):
        raise bad_value(path, line, "side", side, "B or S")
    if kind not in KINDS[act]:
        raise bad_value(path, line, "kind", kind, f"{' or '.join(KINDS[act])} for act {act}")
    return FlowRequest(
        parse_count(path, line, "ts_us", ts_us, DAY_US),
        sym,
        act,
        side,
        parse_count(path, line, "oid", oid, 2**62),
        parse_count(path, line, "px", px, 10**10) * PX_TO_E4,
        parse_count(path, line, "qty", qty, 10**12),
    )


def read_flow(path: str | Path) -> Iterator[FlowRequest]:
    """The requests of a flow file in file order.

    Within a symbol the order is the exchange's and ts_us never falls; across symbols ts_us may fall before 09:30.
    Raises FlowError on the first row that is malformed, repeats an order number, cancels an order that is not there, or
    falls back in time.
    """
    path = Path(path)
    try:
        with open_text(path) as text:
            yield from check_life(path, parse_rows(path, text))
    except OSError as error:
        raise FlowError(f"{path}: {error.strerror or error}") from None
    except zstandard.ZstdError as error:
        raise FlowError(f"{path}: got bytes that are not zstd ({error}), expected a complete .zst file") from None
    except UnicodeDecodeError as error:
        raise FlowError(f"{path}: got byte {error.object[error.start]:#04x}, expected ASCII text") from None
    except csv.Error as error:
        raise FlowError(f"{path}: got text that is not CSV ({error}), expected {','.join(COLUMNS)}") from None


def open_text(path: Path) -> AbstractContextManager[TextIO]:
    """The file as text, decompressed when its name ends in .zst."""
    if path.suffix != ".zst":
        return path.open(encoding="ascii", newline="")
    return cast("AbstractContextManager[TextIO]", zstandard.open(path, "rt", encoding="ascii", newline=""))


def parse_rows(path: Path, text: TextIO) -> Iterator[tuple[int, FlowRequest]]:
    """(line number, request) of each row below the header."""
    rows = csv.reader(text)
    header = next(rows, [])
    if tuple(header) != COLUMNS:
        raise bad_value(path, 1, "header", ",".join(header), ",".join(COLUMNS))
    for row in rows:
        yield rows.line_num, parse_row(path, rows.line_num, row)


def check_life(path: Path, rows: Iterable[tuple[int, FlowRequest]]) -> Iterator[FlowRequest]:
    """Pass the requests on while each order is entered once, cancelled at most once and later than it was entered."""
    side_of: dict[tuple[str, int], str] = {}
    last_us: dict[str, int] = {}
    for line, request in rows:
        key = (request.symbol, request.oid)
        floor_us = last_us.get(request.symbol, 0)
        if request.ts_us < floor_us:
            raise bad_value(path, line, "ts_us", request.ts_us, f"at least {floor_us}, the symbol's last")
        last_us[request.symbol] = request.ts_us
        if request.act == "N" and key in side_of:
            raise bad_value(path, line, "oid", request.oid, "an order number not used before")
        if request.act == "C" and side_of.get(key) != request.side:
            raise bad_value(
                path, line, "oid", request.oid, "the number of an earlier order of this side, not yet cancelled"
            )
        side_of[key] = request.side if request.act == "N" else ""
        yield request


class Flow(NamedTuple):
    """A whole flow in memory: rows of FLOW_DTYPE in time order, `symbol` indexing `symbols`."""

    symbols: list[str]
    rows: np.ndarray


def to_rows(requests: Iterable[FlowRequest], index_of: dict[str, int]) -> np.ndarray:
    """Requests as an array of FLOW_DTYPE; symbols not yet in index_of are added to it."""
    fields = (
        (
            r.ts_us,
            r.oid,
            r.price_e4,
            r.qty_shares,
            index_of.setdefault(r.symbol, len(index_of)),
            ord(r.act),
            ord(r.side),
        )
        for r in requests
    )
    return np.fromiter(fields, FLOW_DTYPE)


def load_flow(path: str | Path) -> Flow:
    """The whole file in time order; requests of one symbol keep the order they have in the file. Raises FlowError."""
    index_of: dict[str, int] = {}
    rows = to_rows(read_flow(path), index_of)
    if not len(rows):
        raise FlowError(f"{path}: got no requests, expected at least one row below the header")
    return Flow(list(index_of), rows[np.argsort(rows["ts_us"], kind="stable")])


def to_requests(rows: np.ndarray, symbols: list[str]) -> Iterator[FlowRequest]:
    """The rows of an array of FLOW_DTYPE as requests, in slices so that memory stays flat."""
    for first in range(0, len(rows), 8192):
        for row in rows[first : first + 8192].tolist():
            ts_us, oid, price_e4, qty_shares, symbol, act, side = row
            yield FlowRequest(ts_us, symbols[symbol], chr(act), chr(side), oid, price_e4, qty_shares)
