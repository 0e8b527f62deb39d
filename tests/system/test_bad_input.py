"""Every way an order can be refused: its code, what it names, and that it leaves no hold behind."""

import itertools

import pytest

from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order
from tests.system.limits import FRONTS, NARROW

names = (f"b{number}" for number in itertools.count(1))
MALFORMED = [
    ({"cl_ord_id": ""}, "field=cl_ord_id.length v=0 expected=1..64"),
    ({"cl_ord_id": "x" * 65}, "field=cl_ord_id.length v=65 expected=1..64"),
    ({"account": ""}, "field=account.length v=0 expected=1..16"),
    ({"account": "A" * 17}, "field=account.length v=17 expected=1..16"),
    ({"symbol": ""}, "field=symbol.length v=0 expected=6(digits)"),
    ({"symbol": "60000"}, "field=symbol.length v=5 expected=6(digits)"),
    ({"symbol": "60000x"}, "field=symbol.length v=6 expected=6(digits)"),
    ({"security_exchange": 0}, "field=security_exchange v=0 expected=1(XSHG)|2(XSHE)"),
    ({"security_exchange": 3}, "field=security_exchange v=3"),
    ({"side": 0}, "field=side v=0 expected=1(BUY)|2(SELL)"),
    ({"side": -1}, "field=side v=-1"),
    ({"ord_type": 0}, "field=ord_type v=0 expected=1..7"),
    ({"ord_type": 8}, "field=ord_type v=8"),
    ({"time_in_force": 2}, "field=time_in_force v=2 expected=0|1(DAY)"),
    ({"order_qty_shares": 0}, "field=order_qty_shares v=0 expected=1..1000000000"),
    ({"order_qty_shares": -100}, "field=order_qty_shares v=-100"),
    ({"order_qty_shares": 2**62}, f"field=order_qty_shares v={2**62}"),
    ({"price_e4": 0}, "field=price_e4 v=0 expected=1..1000000000(LIMIT)"),
    ({"price_e4": -1}, "field=price_e4 v=-1"),
    ({"price_e4": 2**62}, f"field=price_e4 v={2**62}"),
]
# account, what differs from a resting buy of 100 at 9.90, code and the numbers it names
JUDGED = [
    ("NOBODY", {}, "R1001 AUTH"),
    ("B1", {}, "R1001 AUTH"),
    ("FROZEN", {}, "R1002 STATE v=4"),
    ("CANCELONLY", {"side": pb.SELL}, "R1002 STATE v=3"),
    ("SELLONLY", {}, "R1002 STATE v=2"),
    ("GROSS", {"symbol": "609999"}, "R1003 SYMBOL"),
    ("GROSS", {"symbol": "605001"}, "R1003 SYMBOL"),
    ("GROSS", {"symbol": "688001", "security_exchange": pb.XSHE}, "R1003 SYMBOL"),
    ("RESTRICTED", {}, "R1005 RESTRICTED v=1"),
    ("LIMITONLY", {"ord_type": pb.MARKET_BEST5_CANCEL, "price_e4": 0}, "R1006 ORDTYPE v=2"),
    ("GROSS", {"ord_type": pb.MARKET_FOK, "price_e4": 0}, "R1006 ORDTYPE v=7"),
    ("MAINONLY", {"symbol": "688001", "order_qty_shares": 200}, "R1007 SUITABILITY v=2"),
    ("GROSS", {"order_qty_shares": 150}, "R1101 QTY_FORMAT v=150 lim=100"),
    ("GROSS", {"symbol": "688001", "order_qty_shares": 199}, "R1101 QTY_FORMAT v=199 lim=200"),
    ("GROSS", {"side": pb.SELL, "order_qty_shares": 50, "price_e4": 100_000}, "R1101 QTY_FORMAT v=50"),
    ("GROSS", {"order_qty_shares": 1_000_100}, "R1102 MAX_QTY v=1000100 lim=1000000"),
    ("SMALLQTY", {"order_qty_shares": 600}, "R1102 MAX_QTY v=600 lim=500"),
    ("SMALLNTL", {"order_qty_shares": 1000}, "R1103 MAX_NTL v=99000000 lim=50000000"),
    ("GROSS", {"price_e4": 99_050}, "R1105 TICK v=99050 lim=100"),
    ("GROSS", {"price_e4": 110_100}, "R1106 PRICE_LIMIT v=110100 lim=110000"),
    ("GROSS", {"price_e4": 89_900}, "R1106 PRICE_LIMIT v=89900 lim=90000"),
    ("GROSS", {"price_e4": 103_000}, "R1107 CAGE v=103000 lim=102000"),
    ("POOR", {"order_qty_shares": 200}, "R1301 CASH v=19851270 lim=10000000"),
    ("GROSS", {"side": pb.SELL, "price_e4": 100_000}, "R1302 SELLABLE v=100 lim=0"),
    ("GROSS", {"order_qty_shares": 1000}, "R1303 GROSS v=99000000 lim=50000000"),
    ("NET", {"order_qty_shares": 1000}, "R1304 NET v=99000000 lim=50000000"),
    ("POSITION", {"order_qty_shares": 1100}, "R1305 POS_LIMIT v=1100 lim=1000"),
]


def accounts_of(gateway):
    """What must not change when an order is refused, of every account that has a hand in these tests."""
    seen = {}
    for token, accounts in (("alpha", FRONTS[:3]), ("beta", FRONTS[3:4]), ("narrow", [*NARROW, "RESTRICTED"])):
        for name in accounts:
            account = gateway.stub().GetAccount(pb.GetAccountRequest(account=name), **bearer(token))
            seen[name] = (
                account.cash_e4,
                account.cash_held_e4,
                account.open_orders,
                str(account.positions),
                str(account.limits),
                account.state,
            )
    return seen


@pytest.fixture
def unchanged(shared_gateway):
    """Nothing is held, owed or counted after the test that was not before."""
    before = accounts_of(shared_gateway)
    yield
    assert accounts_of(shared_gateway) == before


def bad_order(gateway, account, change):
    return limit_order(
        **({"cl_ord_id": next(names), "account": account, "symbol": gateway.symbols["XSHG"][0]} | change)
    )


@pytest.mark.usefixtures("unchanged")
def test_malformed_orders_name_the_field(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    for change, text in MALFORMED:
        change = {"security_exchange": pb.XSHG} | change
        order = bad_order(shared_gateway, "A1", change)
        answered = len(front.of("execution_report"))
        front.send(new_order=order)
        front.wait(lambda answered=answered: len(front.of("execution_report")) > answered, f"an answer to {change}")
        for report in (front.of("execution_report")[-1], shared_gateway.stub().Submit(order, **bearer("alpha"))):
            assert (report.reject_code, report.exec_type, report.ord_status, report.event_seq, report.order_id) == (
                "R1605",
                pb.REJECTED,
                pb.STATUS_REJECTED,
                0,
                0,
            ), change
            assert text in report.text
    assert front.sequence("A1") == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("account", "change", "text"), JUDGED)
def test_a_refused_order_says_which_limit_it_met(shared_gateway, fronts, account, change, text):
    front = fronts(shared_gateway, "narrow", *NARROW, "RESTRICTED")
    for _ in range(2):
        order = bad_order(shared_gateway, account, {"security_exchange": pb.XSHG} | change)
        report = front.order(order)
        assert report.text.startswith(text), report.text
        assert report.reject_code == text.split()[0]
        assert (report.exec_type, report.ord_status, report.leaves_qty_shares) == (pb.REJECTED, pb.STATUS_REJECTED, 0)
        if report.reject_code != "R1001":
            assert "rule=system-tests@3 scope=" in report.text
            assert report.event_seq > 0
    unary = shared_gateway.stub().Submit(
        bad_order(shared_gateway, account, {"security_exchange": pb.XSHG} | change), **bearer("narrow")
    )
    assert unary.reject_code == report.reject_code


@pytest.mark.parametrize(
    ("account", "passes", "code"),
    [
        ("OPEN", 1, "R1208"),
        ("OPENSYM", 1, "R1208"),
        ("RATEOUT", 2, "R1204"),
        ("RATESYM", 2, "R1205"),
        ("DUPLICATE", 2, "R1202"),
    ],
)
def test_a_limit_that_fills_up_leaves_what_passed_and_nothing_more(shared_gateway, fronts, account, passes, code):
    front = fronts(shared_gateway, "narrow", account)
    symbol = shared_gateway.symbols["XSHE"][0]
    orders = [limit_order(next(names), account, symbol) for _ in range(passes + 2)]
    for order in orders:
        front.send(new_order=order)
    codes = [front.report(order.cl_ord_id).reject_code for order in orders]
    assert codes == [""] * passes + [code] * 2
    state = shared_gateway.stub().GetAccount(pb.GetAccountRequest(account=account), **bearer("narrow"))
    assert state.open_orders == passes
    assert [position.open_buy_shares for position in state.positions] == [100 * passes]
    assert 9_900_000 * passes < state.cash_held_e4 < 9_990_000 * passes


def test_an_order_that_would_meet_ones_own(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A3")
    symbol = shared_gateway.symbols["XSHG"][1]
    front.accepted(limit_order(next(names), "A3", symbol, side=pb.SELL, price_e4=100_000))
    held = shared_gateway.stub().GetAccount(pb.GetAccountRequest(account="A3"), **bearer("alpha"))
    report = front.order(limit_order(next(names), "A3", symbol, price_e4=100_000))
    assert report.text.startswith("R1401 SMP v=100000 lim=100000")
    again = shared_gateway.stub().GetAccount(pb.GetAccountRequest(account="A3"), **bearer("alpha"))
    assert (again.cash_held_e4, again.open_orders) == (held.cash_held_e4, held.open_orders)


def test_rejects_in_a_row_close_the_port_for_a_while(shared_gateway, fronts):
    front = fronts(shared_gateway, "latch", "LATCH1")
    symbol = shared_gateway.symbols["XSHG"][0]
    for _ in range(3):
        assert front.order(limit_order(next(names), "LATCH1", symbol, price_e4=99_050)).reject_code == "R1105"
    refused = front.order(limit_order(next(names), "LATCH1", symbol))
    assert (refused.reject_code, refused.event_seq) == ("R1207", 0)
    assert (
        shared_gateway.stub().Submit(limit_order(next(names), "LATCH1", symbol), **bearer("latch")).reject_code
        == "R1207"
    )
    front.cancel("LATCH1", "none")
    assert front.first("cancel_reject").reject_code == "R1604", "a latched port may still cancel"


def test_what_the_exchange_refuses_releases_its_hold(shared_gateway, fronts, exchanges):
    """A suspension that the gateway does not know of: the exchange says no, the hold goes."""
    front = fronts(shared_gateway, "alpha", "A2")
    for venue in ("XSHG", "XSHE"):
        symbol = shared_gateway.symbols[venue][5]
        before = shared_gateway.stub().GetAccount(pb.GetAccountRequest(account="A2"), **bearer("alpha"))
        exchanges.control(venue, "suspend", symbol=symbol)
        try:
            order = limit_order(next(names), "A2", symbol)
            front.send(new_order=order)
            refused = front.report(order.cl_ord_id, pb.REJECTED)
        finally:
            exchanges.control(venue, "unsuspend", symbol=symbol)
        assert (refused.reject_code, refused.ord_status) == ("R1602", pb.STATUS_REJECTED)
        assert refused.event_seq > 0
        after = shared_gateway.stub().GetAccount(pb.GetAccountRequest(account="A2"), **bearer("alpha"))
        assert (after.cash_held_e4, after.open_orders) == (before.cash_held_e4, before.open_orders)


def test_a_full_order_store_refuses_and_still_cancels(start_gateway, fronts):
    gateway = start_gateway(flags=("--max-orders", "1000"))
    front = fronts(gateway, "load", "L0001")
    symbol = gateway.symbols["XSHG"][0]
    for number in range(1001):
        front.send(new_order=limit_order(f"full{number}", "L0001", symbol))
    refused = front.report("full1000", within_s=30)
    assert (refused.reject_code, refused.event_seq) == ("R1603", 0)
    front.report("full999", pb.NEW)
    front.cancel("L0001", "full0")
    front.report("full0", pb.CANCELED)
    again = front.order(limit_order("full1001", "L0001", symbol))
    assert again.reject_code == "R1603", "an order of today keeps its place for today"
