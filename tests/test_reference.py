"""The instruments loader: good rows, every kind of bad row, and the error text."""

# ruff: noqa: E501  (one message to a line)
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.codes import BOARDS, QUOTED_BOARDS, VENUES
from gateway.reference import COLUMNS, OPTIONAL_COLUMNS, load_instruments
from loadtest.universe import generate_universe, write_universe
from risk_rules.marked import ConfigError
from tests.test_limits import faults_of

HEADER = ",".join(name for name in COLUMNS if name not in OPTIONAL_COLUMNS)
MAIN = "600519,XSHG,MAIN,Moutai,0,100,100,100,1000000,1000000,18600000,20460000,16740000,NORMAL,1,1256197800"
STAR = "688981,XSHG,STAR,SMIC,0,100,200,1,100000,50000,920000,1104000,736000,NORMAL,1,0"
FREE = "001400,XSHE,MAIN,New,0,100,100,100,1000000,1000000,100000,0,0,NORMAL,1,1"


@pytest.fixture
def load(tmp_path):
    def load_rows(*rows, header=HEADER):
        path = tmp_path / "instruments.csv"
        path.write_text("\n".join([header, *rows, ""]))
        return load_instruments(path)

    return load_rows


def test_good_rows(load):
    first, second, third = load(MAIN, STAR, FREE)
    assert (first.symbol, first.venue, first.board, first.tick_e4) == (600519, VENUES["XSHG"], BOARDS["MAIN"], 100)
    assert (second.buy_min_shares, second.buy_step_shares, second.max_market_shares) == (200, 1, 50_000)
    assert (third.symbol, third.up_limit_e4, third.down_limit_e4) == (1400, 0, 0)


def test_columns_in_any_order(load):
    names = HEADER.split(",")[::-1]
    assert load(",".join(reversed(MAIN.split(","))), header=",".join(names)) == load(MAIN)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("600519", "60051", "2: symbol: got '60051', expected six digits"),
    ("XSHG", "XSHQ", "2: security_exchange: got 'XSHQ', expected one of XSHG, XSHE; did you mean \"XSHG\"?"),
    ("MAIN", "BSE", "2: board: got 'BSE', expected one of MAIN, STAR, CHINEXT, INDEX"),
    ("MAIN", "CHINEXT", "2: board: got a board of the other exchange, expected STAR on XSHG, CHINEXT on XSHE, MAIN on either"),
    ("18600000", "1860.00", "2: prev_close_e4: got '1860.00', expected a whole number from 0 to 1000000000 in 1/10000 yuan"),
    ("18600000", "20460100", "2: prev_close_e4: got 20460100, expected a price from down_limit_e4 16740000 to up_limit_e4 20460000"),
    ("20460000", "20460050", "2: up_limit_e4: got 20460050, expected a multiple of tick_e4 100"),
    ("20460000", "0", "2: up_limit_e4: got 0, expected both price limits, or both 0"),
    (",18600000,", ",0,", "2: prev_close_e4: got 0, expected at least 1 (only an INDEX has none)"),
    (",100,100,100,", ",0,100,100,", "2: tick_e4: got 0, expected at least 1 (only an INDEX has none)"),
    (",1000000,1000000,", ",10,1000000,", "2: max_limit_shares: got 10, expected at least buy_min_shares 100"),
    ("NORMAL", "HALTED", "2: status: got 'HALTED', expected one of NORMAL, SUSPENDED, NOT_LISTED, DELISTED"),
    ("NORMAL,1", "NORMAL,2", "2: t_plus: got '2', expected one of 0, 1"),
    (",1256197800", "", "2: row: got 15 cells, expected 16"),
])
def test_bad_cells(load, old, new, message):
    with pytest.raises(ConfigError) as caught:
        load(MAIN.replace(old, new, 1))
    assert any(message in error for error in caught.value.errors), caught.value.errors


def test_optional_columns(load):
    plain, star, _ = load(MAIN, STAR, FREE)
    assert (plain.adv20_shares, plain.risk_level, plain.shortable, star.risk_level) == (0, 3, 0, 4)
    told, = load(MAIN + ",5000000,R5,1", header=HEADER + ",adv20_shares,risk_level,shortable")
    assert (told.adv20_shares, told.risk_level, told.shortable) == (5_000_000, 5, 1)
    with pytest.raises(ConfigError, match="2: risk_level: got 'R6', expected one of R1, R2, R3, R4, R5"):
        load(MAIN + ",R6", header=HEADER + ",risk_level")


def test_an_index_needs_no_lots_and_no_limits(load):
    index, = load("000300,XSHG,INDEX,CSI 300,0,0,0,0,0,0,0,0,0,NORMAL,1,0")
    assert index.board == QUOTED_BOARDS["INDEX"]


def test_a_security_twice(load):
    with pytest.raises(ConfigError, match=r"3: symbol: got '600519', expected each security once \(line 2 has it\)"):
        load(MAIN, MAIN)


@pytest.mark.parametrize(("header", "message"), [
    (HEADER.replace("is_st", "is_sz"), 'did you mean "is_st"'),
    (HEADER.replace(",is_st", ""), "header: got no column is_st"),
    (HEADER + ",symbol", "header: got a column twice"),
    ("", "header: got no column symbol"),
])
def test_bad_headers(load, header, message):
    with pytest.raises(ConfigError) as caught:
        load(MAIN, header=header)
    assert any(message in error for error in caught.value.errors), caught.value.errors


def test_no_rows(load):
    with pytest.raises(ConfigError, match="at least one instrument"):
        load()


def test_a_generated_universe_loads(tmp_path):
    write_universe(tmp_path / "instruments.csv", 7)
    loaded = load_instruments(tmp_path / "instruments.csv")
    assert [f"{instrument.symbol:06}" for instrument in loaded] == [row.symbol for row in generate_universe(7)]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(MAIN)), st.integers(0, 4), st.text(max_size=4))
def test_a_broken_row_is_an_error_not_a_traceback(at, size, junk):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "instruments.csv"
        path.write_text("\n".join([HEADER, MAIN[:at] + junk + MAIN[at + size:], STAR]), encoding="utf-8", errors="surrogatepass")
        assert all(text.startswith(f"{path}:") for text in faults_of(load_instruments, path))
