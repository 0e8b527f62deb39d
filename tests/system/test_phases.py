"""A trading day from before 09:15 to after 15:00: which orders and cancels pass, what waits, what expires."""

import itertools
import time

import pytest

from gateway.pb import order_entry_pb2 as pb
from loadtest.market_day import Phase
from tests.system.front import bearer, limit_order
from tests.system.plant import Exchanges, wait_until

names = (f"p{number}" for number in itertools.count(1))


@pytest.fixture
def day(tmp_path):
    """Exchanges at 09:14, moved on by hand."""
    running = Exchanges(tmp_path, clock="09:14:00", members=1)
    yield running
    running.stop()


def advance(exchanges, to, phase):
    for venue in exchanges.ports:
        exchanges.control(venue, "advance", to=to)
    for venue in exchanges.ports:
        wait_until(lambda venue=venue: exchanges.control(venue, "status")["phase"] == phase, f"{venue} in {phase.name}")
    time.sleep(0.3)  # for the feed to tell the gateway


class Trader:
    """One session on A1 and A2, with what every phase is asked on both exchanges."""

    def __init__(self, gateway, front):
        self.gateway = gateway
        self.front = front
        self.symbols = [gateway.symbols[venue][0] for venue in ("XSHG", "XSHE")]

    def orders(self, **fields):
        """A resting buy on each exchange: their reject codes, and the orders."""
        orders = [limit_order(next(names), "A1", symbol, **fields) for symbol in self.symbols]
        return [self.front.order(order).reject_code for order in orders], orders

    def pass_on(self, **fields):
        codes, orders = self.orders(**fields)
        assert codes == ["", ""]
        for order in orders:
            self.front.report(order.cl_ord_id, pb.NEW)
        return orders

    def cancel(self, orders):
        """Cancel each; the reject codes, "" for a cancel that was taken."""
        codes = []
        for order in orders:
            name = next(names)
            request = pb.CancelOrder(cl_ord_id=name, account="A1", orig_cl_ord_id=order.cl_ord_id)
            codes.append(self.gateway.stub().Cancel(request, **bearer("alpha")).cancel_reject.reject_code)
        return codes

    def state(self, order):
        return self.gateway.stub().GetOrder(
            pb.GetOrderRequest(account=order.account, cl_ord_id=order.cl_ord_id), **bearer("alpha")
        )

    def are_gone(self, orders):
        for order in orders:
            self.front.report(order.cl_ord_id, pb.CANCELED)


def test_a_whole_day(day, start_gateway, fronts):
    gateway = start_gateway(exchanges=day)
    trader = Trader(gateway, fronts(gateway, "alpha", "A1", "A2"))
    assert trader.orders()[0] == ["R1004", "R1004"]  # 09:14

    advance(day, "09:15:00", Phase.OPEN_CALL)
    first, second, crossed = (trader.pass_on() for _ in range(3))
    assert trader.cancel(first) == ["", ""]
    trader.are_gone(first)

    advance(day, "09:20:00", Phase.OPEN_CALL_LOCKED)
    assert trader.cancel(second) == ["R1004", "R1004"]
    late = trader.pass_on()
    mass = gateway.stub().MassCancel(pb.MassCancelRequest(cl_ord_id="m", account="A1"), **bearer("alpha"))
    assert (mass.total_affected_orders, mass.queued_orders) == (6, 6)
    assert all(trader.state(order).cancel_pending for order in (*second, *late))
    for order in crossed:
        trader.front.accepted(limit_order(next(names), "A2", order.symbol, side=pb.SELL, price_e4=99_000))

    advance(day, "09:25:00", Phase.QUIET)
    for order in second:  # first in time among the equal buys: the opening auction takes them
        trader.front.report(order.cl_ord_id, pb.TRADE, pb.STATUS_FILLED)
    assert trader.orders()[0] == ["R1004", "R1004"]
    assert trader.cancel(late) == ["R1607", "R1607"]

    advance(day, "09:30:00", Phase.CONTINUOUS)
    trader.are_gone([*crossed, *late])
    noon = trader.pass_on()

    advance(day, "11:30:00", Phase.LUNCH)
    assert trader.orders()[0] == ["R1004", "R1004"]
    assert trader.cancel(noon) == ["", ""]
    assert trader.cancel(noon) == ["R1607", "R1607"]
    assert all(trader.state(order).state.ord_status == pb.STATUS_NEW for order in noon)
    advance(day, "13:00:00", Phase.CONTINUOUS)
    trader.are_gone(noon)

    kept = trader.pass_on()
    advance(day, "14:57:00", Phase.CLOSE_CALL)
    assert trader.cancel(kept) == ["R1004", "R1004"]
    kept += trader.pass_on()

    advance(day, "15:00:00", Phase.ENDED)
    for order in kept:
        expired = trader.front.report(order.cl_ord_id, pb.EXPIRED)
        assert (expired.ord_status, expired.leaves_qty_shares) == (pb.STATUS_EXPIRED, 0)
    assert trader.orders()[0] == ["R1004", "R1004"]
    account = gateway.stub().GetAccount(pb.GetAccountRequest(account="A1"), **bearer("alpha"))
    assert (account.cash_held_e4, account.open_orders) == (0, 0)
    assert trader.front.sequence("A1") == list(range(1, len(trader.front.sequence("A1")) + 1))


def test_a_gateway_that_was_away_at_the_end_of_the_day_still_expires_its_orders(tmp_path, start_gateway, fronts):
    exchanges = Exchanges(tmp_path, clock="14:50:00", members=1)
    try:
        gateway = start_gateway(exchanges=exchanges)
        trader = Trader(gateway, fronts(gateway, "alpha", "A1"))
        kept = trader.pass_on()
        gateway.kill()
        advance(exchanges, "15:00:00", Phase.ENDED)
        gateway.start()
        again = fronts(gateway, "alpha", "A1", seen={"A1": trader.front.sequence("A1")[-1]})
        for order in kept:
            again.report(order.cl_ord_id, pb.EXPIRED)
    finally:
        exchanges.stop()


def test_the_clock_runs_through_the_close_by_itself(tmp_path, start_gateway, fronts):
    exchanges = Exchanges(
        tmp_path, clock="14:54:00", speed=60, members=1
    )  # three seconds to the auction, six to the end
    try:
        gateway = start_gateway(exchanges=exchanges)
        trader = Trader(gateway, fronts(gateway, "alpha", "A1"))
        kept = trader.pass_on()
        codes = set()
        wait_until(lambda: codes.update(trader.orders()[0]) or "R1004" in codes, "the end of the day", 20)
        assert codes == {"", "R1004"}
        for order in kept:
            trader.front.report(order.cl_ord_id, pb.EXPIRED)
    finally:
        exchanges.stop()
