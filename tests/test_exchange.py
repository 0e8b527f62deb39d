"""The exchange as a process: order entry, market data, phases, faults and bad flags, all over real sockets."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ext.quotes import decode as decode_quote
from loadtest.universe import list_indices, list_share, write_instruments
from tests.venue_client import (
    ACCEPTED,
    BUSINESS_REJECT,
    CANCEL_REJECTED,
    CANCELED,
    REJECTED,
    TRADE,
    Control,
    VenueClient,
    running_exchange,
    wait_until,
)

BUY, SELL = 1, 2
BEST5_CANCEL, IOC = 2, 6
OPEN_CALL, LOCKED, QUIET, CONTINUOUS, LUNCH, CLOSE_CALL, ENDED = range(2, 9)
SYMBOLS = {"XSHG": 600000, "XSHE": 1}
STILL = ("--clock", "09:00:00", "--speed", "0", "--empty")
SUSPENDED, CXL_UNKNOWN, CXL_NOT_OPEN, CXL_WINDOW, PHASE, PRICE_LIMIT = 2002, 2101, 2102, 2103, 2003, 2008


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shares a venue, all closed at 10.00 yesterday."""
    path = tmp_path_factory.mktemp("day") / "instruments.csv"
    symbols = ["600000", "600001", "688001", "601000", "000001", "000002", "300001", "301000"]
    write_instruments(path, [list_share(symbol, symbol, 0, 100_000, "NORMAL", 10**9) for symbol in symbols])
    return path


class Venue:
    """A running exchange with its client and control, its clock standing at 09:30:00 or, unopened, 09:00:00."""

    def __init__(self, name: str, ready: dict[str, Any], open_market: bool = True) -> None:
        self.name = name
        self.ready = ready
        self.symbol = SYMBOLS[name]
        self.control = Control(ready["control_port"])
        if open_market:
            self.go("09:30:00", CONTINUOUS)
        self.client = self.connect()

    def connect(self, begin: int = 1) -> VenueClient:
        return VenueClient(self.name, self.ready["order_entry_port"], begin=begin)

    def go(self, to: str, phase: int) -> None:
        assert self.control("advance", to=to)["ok"]
        wait_until(lambda: self.control("status")["phase"] == phase)

    def order(self, cl_ord_id: str, side: int, price: float, qty: int, ord_type: int = 1) -> None:
        self.client.send(self.client.order(cl_ord_id, self.symbol, side, price, qty, ord_type))

    def cancel(self, cl_ord_id: str, orig_cl_ord_id: str, side: int = BUY) -> None:
        self.client.send(self.client.cancel(cl_ord_id, orig_cl_ord_id, self.symbol, side, 100))

    def told(self, count: int) -> list[tuple[int, str, int]]:
        """(kind, cl_ord_id, reason or leaves) of the next reports."""
        return [(r["kind"], r["cl_ord_id"], r["reason"] or r["leaves_qty_shares"]) for r in self.client.reports(count)]


@pytest.fixture(params=["XSHG", "XSHE"])
def venue(request: pytest.FixtureRequest, instruments: Path) -> Iterator[Venue]:
    with running_exchange(request.param, instruments, *STILL) as ready:
        yield Venue(request.param, ready)


@pytest.fixture
def shanghai(instruments: Path) -> Iterator[Venue]:
    """For what does not depend on the venue's protocol."""
    with running_exchange("XSHG", instruments, *STILL) as ready:
        yield Venue("XSHG", ready)


def test_orders_trade_and_are_canceled(venue: Venue) -> None:
    venue.order("s1", SELL, 10.01, 300)
    venue.order("s2", SELL, 10.02, 300)
    venue.order("b1", BUY, 10.02, 500)
    venue.cancel("c1", "s2", SELL)
    venue.order("b2", BUY, 0, 200, BEST5_CANCEL)
    reports = venue.client.reports(10)
    assert [(r["kind"], r["cl_ord_id"], r["leaves_qty_shares"]) for r in reports] == [
        (ACCEPTED, "s1", 300), (ACCEPTED, "s2", 300), (ACCEPTED, "b1", 500),
        (TRADE, "b1", 200), (TRADE, "s1", 0), (TRADE, "b1", 0), (TRADE, "s2", 100),
        (CANCELED, "c1", 0), (ACCEPTED, "b2", 200), (CANCELED, "b2", 0)]
    assert [r["report_index"] for r in reports] == list(range(1, 11))
    assert [(r["last_px_e4"], r["last_qty_shares"]) for r in reports[3:7:2]] == [(100_100, 300), (100_200, 200)]
    assert reports[3]["exec_id"] == reports[4]["exec_id"] != reports[5]["exec_id"]
    assert (reports[7]["orig_cl_ord_id"], reports[7]["canceled_qty_shares"]) == ("s2", 100)
    assert reports[9]["canceled_qty_shares"] == 200
    assert len({r["venue_order_id"] for r in reports}) == 4


def test_refusals_name_their_reason(venue: Venue) -> None:
    venue.order("o1", BUY, 11.01, 100)
    venue.order("o2", BUY, 10.00, 100)
    venue.cancel("c1", "nobody")
    venue.cancel("c2", "o2")
    venue.cancel("c3", "o2")
    assert venue.told(5) == [(REJECTED, "o1", PRICE_LIMIT), (ACCEPTED, "o2", 100), (CANCEL_REJECTED, "c1", CXL_UNKNOWN),
                             (CANCELED, "c2", 0), (CANCEL_REJECTED, "c3", CXL_NOT_OPEN)]
    venue.order("o2", BUY, 10.00, 100)
    report = venue.client.report()
    assert (report["kind"], report["cl_ord_id"], report["report_index"]) == (BUSINESS_REJECT, "o2", 0)
    venue.control("suspend", symbol=f"{venue.symbol:06d}")
    venue.order("o3", BUY, 10.00, 100)
    assert venue.told(1) == [(REJECTED, "o3", SUSPENDED)]


def test_a_reconnected_member_hears_everything_again(venue: Venue) -> None:
    venue.order("o1", BUY, 10.00, 100)
    first = venue.client.reports(1)
    venue.client.close()
    wait_until(lambda: venue.control("status")["sessions"] == 0)
    again = venue.connect()
    again.send(again.cancel("c1", "o1", venue.symbol, BUY, 100))
    reports = again.reports(2)
    assert reports[:1] == first
    assert (reports[1]["kind"], reports[1]["report_index"]) == (CANCELED, 2)


def test_a_second_session_of_one_member_is_refused(shanghai: Venue) -> None:
    with pytest.raises(ConnectionError, match="hung up"):
        shanghai.connect()
    shanghai.order("o1", BUY, 10.00, 100)
    assert shanghai.told(1) == [(ACCEPTED, "o1", 100)]


def test_the_day_runs_through_its_phases(instruments: Path) -> None:
    for name in SYMBOLS:
        with running_exchange(name, instruments, *STILL) as ready:
            venue = Venue(name, ready, open_market=False)
            venue.order("early", BUY, 10.00, 100)
            assert venue.client.report()["kind"] == BUSINESS_REJECT
            venue.go("09:15:00", OPEN_CALL)
            venue.order("b1", BUY, 10.05, 300)
            venue.order("s1", SELL, 10.05, 200)
            venue.order("b2", BUY, 9.00, 100)
            venue.cancel("c1", "b2")
            assert venue.told(4) == [(ACCEPTED, "b1", 300), (ACCEPTED, "s1", 200), (ACCEPTED, "b2", 100),
                                     (CANCELED, "c1", 0)]
            venue.go("09:20:00", LOCKED)
            venue.cancel("c2", "b1")
            assert venue.told(1) == [(CANCEL_REJECTED, "c2", CXL_WINDOW)]
            venue.go("09:25:00", QUIET)
            assert venue.told(2) == [(TRADE, "b1", 100), (TRADE, "s1", 0)]
            venue.order("quiet", BUY, 10.00, 100)
            assert venue.told(1) == [(REJECTED, "quiet", PHASE)]
            venue.go("11:30:00", LUNCH)
            venue.go("14:57:00", CLOSE_CALL)
            venue.cancel("c3", "b1")
            venue.order("s2", SELL, 10.00, 100)
            assert venue.told(2) == [(CANCEL_REJECTED, "c3", CXL_WINDOW), (ACCEPTED, "s2", 100)]
            venue.go("15:00:00", ENDED)
            assert venue.told(2) == [(TRADE, "b1", 0), (TRADE, "s2", 0)]
            venue.client.expect(210 if name == "XSHG" else 7)
            assert venue.client.platform_states == [0, 2, 3, 2, 4]


# ---- market data


TRADE_FRAME = 49


class Feed:
    """A market data subscriber."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.waiting = b""

    def next(self) -> tuple[str, dict[str, Any]]:
        while True:
            size, name, fields = decode_quote(self.waiting)
            assert size >= 0
            if size > 0:
                self.waiting = self.waiting[size:]
                return name, fields
            octets = self.socket.recv(1 << 16)
            assert octets, "cut"
            self.waiting += octets

    def until(self, name: str, **wanted: Any) -> dict[str, Any]:
        """The next frame of this name whose fields are as wanted."""
        while True:
            found, fields = self.next()
            if found == name and all(fields[field] == value for field, value in wanted.items()):
                return fields


def test_market_data_begins_whole_and_then_follows(shanghai: Venue) -> None:
    feed = Feed(shanghai.ready["market_data_port"])
    first = [feed.next() for _ in range(5)]
    assert [name for name, _ in first] == ["market_status"] + ["quote"] * 4
    assert first[0][1]["phase"] == CONTINUOUS
    assert all(quote["prev_close_e4"] == 100_000 and quote["last_px_e4"] == 0 for _, quote in first[1:])
    shanghai.order("s1", SELL, 10.01, 300)
    shanghai.order("b1", BUY, 10.01, 200)
    trade = feed.until("trade", symbol=shanghai.symbol)
    assert (trade["last_px_e4"], trade["last_qty_shares"], trade["side"], trade["trade_no"]) == (100_100, 200, BUY, 1)
    quote = feed.until("quote", symbol=shanghai.symbol, last_px_e4=100_100)
    assert (quote["ask_px_e4"][0], quote["ask_qty_shares"][0], quote["total_volume_shares"]) == (100_100, 100, 200)
    assert quote["total_turnover_e4"] == 200 * 100_100
    shanghai.control("suspend", symbol=f"{shanghai.symbol:06d}")
    feed.until("quote", symbol=shanghai.symbol, suspended=1)
    shanghai.go("14:57:00", CLOSE_CALL)
    feed.until("market_status", phase=CLOSE_CALL)
    shanghai.control("unsuspend", symbol=f"{shanghai.symbol:06d}")
    shanghai.order("b2", BUY, 10.01, 100)
    quote = feed.until("quote", symbol=shanghai.symbol, bid_qty_shares=[100, 0, 0, 0, 0])
    assert quote["bid_px_e4"][0] == quote["ask_px_e4"][0] == 100_100


def test_an_index_follows_its_shares(tmp_path: Path) -> None:
    """Two shares of equal float: one that rises by 1 % lifts their index by half of that."""
    path = tmp_path / "instruments.csv"
    shares = [list_share(symbol, symbol, 0, 100_000, "NORMAL", 10**9) for symbol in ("600000", "600001")]
    write_instruments(path, [*shares, *list_indices()])
    with running_exchange("XSHG", path, *STILL) as ready:
        assert ready["instruments"] == 2
        feed, market = Feed(ready["market_data_port"]), Venue("XSHG", ready)
        index = feed.until("quote", symbol=1)
        assert (index["last_px_e4"], index["prev_close_e4"], index["bid_px_e4"]) == (32_000_000, 32_000_000, [0] * 5)
        market.order("s1", SELL, 10.10, 300)
        market.order("b1", BUY, 10.10, 200)
        index = feed.until("quote", symbol=1, last_px_e4=32_160_000)
        assert (index["total_volume_shares"], index["total_turnover_e4"]) == (200, 200 * 101_000)


def test_market_status_comes_every_second_and_can_be_muted(shanghai: Venue) -> None:
    feed = Feed(shanghai.ready["market_data_port"])
    started = time.monotonic()
    feed.until("market_status")
    feed.until("market_status")
    feed.until("market_status")
    assert 0.9 < time.monotonic() - started < 4
    shanghai.control("quotes_off")
    feed.socket.settimeout(1.3)
    with pytest.raises(TimeoutError):
        feed.until("market_status", phase=0)
    shanghai.control("quotes_on")
    feed.until("market_status")


def test_a_subscriber_that_does_not_read_is_cut_alone(instruments: Path, tmp_path: Path) -> None:
    flow = tmp_path / "flow.csv"
    rows = [f"{34_201_000_000 + n},{n},600000,N,{'BS'[n % 2]},{n},10000,100,A" for n in range(1, 300_001)]
    flow.write_text("\n".join(["ts_us,seq,sym,act,side,oid,px,qty,kind", *rows, ""]))
    flags = ("--clock", "09:30:00", "--speed", "0", "--flow", str(flow), "--empty", "--feed-limit-mib", "1")
    with running_exchange("XSHG", instruments, *flags) as ready:
        control, reader = Control(ready["control_port"]), Feed(ready["market_data_port"])
        idle = socket.socket()
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(("127.0.0.1", ready["market_data_port"]))
        reader.until("market_status")
        control("advance", to="09:31:00")
        octets = 0
        while octets < 150_000 * TRADE_FRAME:
            read = len(reader.socket.recv(1 << 20))
            assert read, "cut"
            octets += read
        wait_until(lambda: control("status")["feed_cut"] == 1)
        assert reader.socket.recv(1 << 20)
        idle.close()


# ---- background


def test_generated_flow_keeps_the_books_alive(tmp_path: Path) -> None:
    path = tmp_path / "instruments.csv"
    write_instruments(path, [list_share(f"{600000 + n}", "x", 0, 100_000, "NORMAL", 10**9) for n in range(50)])
    with running_exchange("XSHG", path, "--rate", "2000", "--speed", "5") as ready:
        assert ready["resting_orders"] >= 1000
        assert ready["flow"] == "generated"
        control = Control(ready["control_port"])
        wait_until(lambda: control("status")["trades"] > 500)
        status = control("status")
        assert status["background_refused"] < 0.05 * status["background"]


# ---- faults


def test_disconnect_refuse_and_accept(shanghai: Venue) -> None:
    shanghai.order("o1", BUY, 10.00, 100)
    assert shanghai.told(1) == [(ACCEPTED, "o1", 100)]
    assert shanghai.control("disconnect") == {"ok": True, "connections": 1}
    with pytest.raises(ConnectionError):
        shanghai.client.report()
    shanghai.client = shanghai.connect(begin=2)
    shanghai.control("refuse")
    with pytest.raises(ConnectionError):
        shanghai.client.report()

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", shanghai.ready["order_entry_port"])).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refused)
    shanghai.control("accept")
    wait_until(lambda: not refused())
    shanghai.client = shanghai.connect(begin=2)
    shanghai.cancel("c1", "o1")
    assert shanghai.told(1) == [(CANCELED, "c1", 0)]


def test_stalled_sessions_answer_after_resume(shanghai: Venue) -> None:
    shanghai.order("o1", BUY, 10.00, 100)
    assert shanghai.told(1) == [(ACCEPTED, "o1", 100)]
    shanghai.control("stall")
    shanghai.order("o2", BUY, 10.00, 100)
    shanghai.client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        shanghai.client.report()
    shanghai.control("resume")
    shanghai.client.socket.settimeout(10)
    assert shanghai.told(1) == [(ACCEPTED, "o2", 100)]


def test_repeated_and_skipped_reports(shanghai: Venue) -> None:
    shanghai.control("repeat_report")
    shanghai.order("o1", BUY, 10.00, 100)
    assert [r["report_index"] for r in shanghai.client.reports(2)] == [1, 1]
    shanghai.control("skip_report")
    shanghai.order("o2", BUY, 10.00, 100)
    shanghai.order("o3", BUY, 10.00, 100)
    assert shanghai.client.report()["report_index"] == 3


def test_a_bad_fault_is_told_what_was_expected(shanghai: Venue) -> None:
    assert shanghai.control("explode")["error"].startswith("fault: 'explode', expected one of accept, advance, ")
    assert shanghai.control("suspend", symbol="6")["error"] == "symbol: '6', expected six digits"
    assert "listed" in shanghai.control("suspend", symbol="999999")["error"]
    assert shanghai.control("advance", to="noon")["error"] == "to: 'noon', expected HH:MM:SS"
    assert "not passed" in shanghai.control("advance", to="09:00:00")["error"]


# ---- the command line

BAD_FLAGS = [
    (["XHKG"], "VENUE: 'XHKG', expected XSHG or XSHE"),
    (["XSHG", "--instruments", "none.csv"], "none.csv: No such file or directory"),
    (["XSHG", "--clock", "9.30"], "--clock: '9.30', expected HH:MM:SS"),
    (["XSHG", "--clock", "15:00:00"], "--clock: 15:00:00, expected a time before --end 15:00:00"),
    (["XSHG", "--date", "23/11/2026"], "--date: '23/11/2026', expected YYYY-MM-DD"),
    (["XSHG", "--member", "ONLY"], "--member: 'ONLY', expected COMPID:PBU[:PASSWORD]"),
    (["XSHG", "--flow", "none.csv"], "none.csv: No such file or directory"),
    (["XSHG", "--host", "256.0.0.1"], "256.0.0.1: cannot listen"),
]


@pytest.mark.parametrize(("flags", "error"), BAD_FLAGS)
def test_a_bad_flag_is_one_line(instruments: Path, flags: list[str], error: str) -> None:
    given = flags if "--instruments" in flags else [*flags, "--instruments", str(instruments)]
    assert_one_line(given, error)


def test_a_port_in_use_is_one_line(instruments: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["XSHG", "--instruments", str(instruments), "--order-port", str(port), "--empty"]
        assert_one_line(flags, "address already in use")


def assert_one_line(flags: list[str], error: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "loadtest.cli", *flags], capture_output=True, text=True, timeout=20,
                           cwd=Path(__file__).resolve().parents[1], check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert error in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
