"""The instruments file: limits, boards, the synthetic market, and what a bad file is told."""

from collections import Counter
from pathlib import Path

import pytest

from loadtest.universe import (
    ALWAYS_LISTED,
    INDEX,
    Instrument,
    UniverseError,
    board_of,
    from_reference,
    generate_universe,
    price_limits_e4,
    read_universe,
    write_instruments,
    write_universe,
)
from tests.real_flow import ROOT


@pytest.mark.parametrize(("close", "pct", "up", "down"), [
    (10.05, 10, 11.06, 9.05), (10.00, 10, 11.00, 9.00), (10.00, 20, 12.00, 8.00), (0.03, 10, 0.04, 0.02),
    (9.09, 10, 10.00, 8.18),
])
def test_price_limits(close: float, pct: int, up: float, down: float) -> None:
    assert price_limits_e4(round(close * 10_000), pct) == (round(up * 10_000), round(down * 10_000))


@pytest.mark.parametrize(("symbol", "place"), [
    ("600519", ("XSHG", "MAIN")), ("688001", ("XSHG", "STAR")), ("689009", ("XSHG", "STAR")),
    ("000001", ("XSHE", "MAIN")), ("002594", ("XSHE", "MAIN")), ("300750", ("XSHE", "CHINEXT")),
    ("301001", ("XSHE", "CHINEXT")),
])
def test_boards(symbol: str, place: tuple[str, str]) -> None:
    assert board_of(symbol) == place


def test_the_synthetic_market_reads_back_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "instruments.csv"
    write_universe(path, seed=7)
    market = read_universe(path)
    assert market == generate_universe(seed=7) != generate_universe(seed=8)
    assert set(ALWAYS_LISTED) <= {i.symbol for i in market}
    counts = Counter((i.security_exchange, i.board) for i in market)
    assert 2_100 < counts["XSHG", "MAIN"] + counts["XSHG", "STAR"] < 2_300
    assert 2_600 < counts["XSHE", "MAIN"] + counts["XSHE", "CHINEXT"] < 2_800
    assert all(i.down_limit_e4 < i.prev_close_e4 < i.up_limit_e4 for i in market if i.board != INDEX)
    assert {f"{i.symbol}.{i.security_exchange}" for i in market if i.board == INDEX} == {
        "000001.XSHG", "000688.XSHG", "399001.XSHE", "399006.XSHE", "399106.XSHE",
    }
    assert {i.buy_min_shares for i in market if i.board == "STAR"} == {200}


def test_the_reference_market(tmp_path: Path) -> None:
    folder = ROOT / "ref_cn_instruments_20250403"
    if not folder.exists():
        pytest.skip(f"reference instruments not found: {folder}")
    market = from_reference(folder)
    assert len(market) == 5128
    write_instruments(tmp_path / "market.csv", market)
    assert read_universe(tmp_path / "market.csv") == market


GOOD = generate_universe(seed=1)[0]
BAD = [
    ({"symbol": "60051"}, "symbol: '60051', expected six digits"),
    ({"board": "BSE"}, "board: 'BSE', expected one of"),
    ({"tick_e4": "1.5"}, "tick_e4: '1.5', expected an integer"),
    ({"tick_e4": "0"}, "tick_e4 and buy_step_shares: expected at least 1"),
    ({"t_plus": "2"}, "t_plus: '2', expected one of"),
    ({"status": "HALTED"}, "status: 'HALTED', expected one of"),
    ({"up_limit_e4": "1"}, "expected rising"),
    ({"up_limit_e4": str(GOOD.up_limit_e4 + 1)}, "expected multiples of tick_e4 100"),
]


@pytest.mark.parametrize(("change", "error"), BAD)
def test_a_bad_file_is_told_where_and_what(tmp_path: Path, change: dict[str, str], error: str) -> None:
    path = tmp_path / "bad.csv"
    write_instruments(path, [GOOD._replace(**change)])
    with pytest.raises(UniverseError, match=r"bad\.csv:2: ") as caught:
        read_universe(path)
    assert error in str(caught.value)


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("symbol,price\n600519,1\n")
    with pytest.raises(UniverseError, match=r"bad\.csv:1: columns symbol,price, expected symbol,security_exchange"):
        read_universe(path)
    with pytest.raises(UniverseError, match=r"none\.csv: No such file"):
        read_universe(tmp_path / "none.csv")


def test_a_symbol_is_listed_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    write_instruments(path, [GOOD, Instrument(*GOOD)])
    with pytest.raises(UniverseError, match=r"bad\.csv:3: symbol: .* is listed twice"):
        read_universe(path)
