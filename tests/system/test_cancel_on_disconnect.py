"""Cancel on disconnect: what a stream's end does to the orders of its token."""

import itertools
import time

import pytest

from gateway.pb import order_entry_pb2 as pb
from loadtest.market_day import Phase
from tests.system.front import Front, bearer, limit_order
from tests.system.plant import Exchanges, wait_until
from tests.system.test_phases import advance

names = (f"d{number}" for number in itertools.count(1))


def accepted_on_both(front, gateway):
    """One resting order on each exchange."""
    orders = [limit_order(next(names), "A1", gateway.symbols[venue][0]) for venue in ("XSHG", "XSHE")]
    for order in orders:
        front.accepted(order)
    return orders


def state(gateway, order):
    return gateway.stub().GetOrder(pb.GetOrderRequest(account="A1", cl_ord_id=order.cl_ord_id), **bearer("alpha"))


def statuses(gateway, orders):
    return {state(gateway, order).state.ord_status for order in orders}


def become(gateway, orders, status, within_s=10.0):
    wait_until(lambda: statuses(gateway, orders) == {status}, f"every order {pb.OrdStatus.Name(status)}", within_s)


@pytest.mark.parametrize("ending", ["end", "cut"])
def test_without_grace_orders_go_at_once(shared_gateway, fronts, ending):
    front = fronts(shared_gateway, "alpha", "A1", grace_ms=0)
    orders = accepted_on_both(front, shared_gateway)
    getattr(front, ending)()
    become(shared_gateway, orders, pb.STATUS_CANCELED)


def test_without_the_option_orders_stay(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    orders = accepted_on_both(front, shared_gateway)
    front.end()
    time.sleep(0.5)
    assert statuses(shared_gateway, orders) == {pb.STATUS_NEW}


def test_the_grace_passes_first(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1", grace_ms=800)
    orders = accepted_on_both(front, shared_gateway)
    front.end()
    time.sleep(0.3)
    assert statuses(shared_gateway, orders) == {pb.STATUS_NEW}
    become(shared_gateway, orders, pb.STATUS_CANCELED)


def test_a_logon_in_time_keeps_the_orders(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1", grace_ms=700)
    orders = accepted_on_both(front, shared_gateway)
    front.end()
    back = fronts(shared_gateway, "alpha", "A1", grace_ms=700)
    time.sleep(1.2)
    assert statuses(shared_gateway, orders) == {pb.STATUS_NEW}
    back.end()
    become(shared_gateway, orders, pb.STATUS_CANCELED)


def test_the_last_session_of_a_token_decides(shared_gateway, fronts):
    first, second = (fronts(shared_gateway, "alpha", "A1", grace_ms=0) for _ in range(2))
    orders = accepted_on_both(first, shared_gateway)
    first.end()
    time.sleep(0.4)
    assert statuses(shared_gateway, orders) == {pb.STATUS_NEW}
    second.end()
    become(shared_gateway, orders, pb.STATUS_CANCELED)


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_a_gateway_that_went_away_does_it_when_it_is_back(start_gateway, fronts, ending):
    gateway = start_gateway()
    orders = accepted_on_both(fronts(gateway, "alpha", "A1", grace_ms=0), gateway)
    getattr(gateway, ending)()
    gateway.start()
    become(gateway, orders, pb.STATUS_CANCELED)


def test_a_logon_in_time_after_a_restart_keeps_the_orders(start_gateway, fronts):
    gateway = start_gateway()
    orders = accepted_on_both(fronts(gateway, "alpha", "A1", grace_ms=4000), gateway)
    gateway.kill()
    gateway.start()
    fronts(gateway, "alpha", "A1", grace_ms=4000)
    time.sleep(4.5)
    assert statuses(gateway, orders) == {pb.STATUS_NEW}


def test_while_a_link_is_down_the_cancels_wait_for_it(start_gateway, fronts, exchanges):
    gateway = start_gateway()
    front = fronts(gateway, "alpha", "A1", grace_ms=0)
    orders = accepted_on_both(front, gateway)
    exchanges.control("XSHE", "refuse")
    try:
        gateway.wait_for_link("XSHE", up=False)
        front.end()
        become(gateway, orders[:1], pb.STATUS_CANCELED)
        assert state(gateway, orders[1]).cancel_pending
    finally:
        exchanges.control("XSHE", "accept")
    become(gateway, orders, pb.STATUS_CANCELED)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("opened", "window", "phase", "later", "next_phase", "outcome"),
    [
        ("09:16:00", "09:21:00", Phase.OPEN_CALL_LOCKED, "09:30:00", Phase.CONTINUOUS, pb.STATUS_CANCELED),
        ("14:50:00", "14:58:00", Phase.CLOSE_CALL, "15:00:00", Phase.ENDED, pb.STATUS_EXPIRED),
    ],
)
def test_in_a_no_cancel_window_they_wait(
    tmp_path, start_gateway, fronts, restart, opened, window, phase, later, next_phase, outcome
):
    exchanges = Exchanges(tmp_path, clock=opened, members=1)
    try:
        gateway = start_gateway(exchanges=exchanges)
        front = fronts(gateway, "alpha", "A1", grace_ms=0)
        orders = accepted_on_both(front, gateway)
        advance(exchanges, window, phase)
        front.end()
        wait_until(lambda: all(state(gateway, order).cancel_pending for order in orders), "queued cancels")
        if restart:
            gateway.kill()
            gateway.start()
            time.sleep(0.3)
        assert statuses(gateway, orders) == {pb.STATUS_NEW}
        assert all(state(gateway, order).cancel_pending for order in orders)
        advance(exchanges, later, next_phase)
        become(gateway, orders, outcome)
        watch = Front(gateway.stub())
        watch.log_on("alpha", "A1")
        watch.report(orders[1].cl_ord_id, status=outcome)
        assert not watch.of("cancel_reject"), "a cancel left inside the window"
        watch.end()
    finally:
        exchanges.stop()
