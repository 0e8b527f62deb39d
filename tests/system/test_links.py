"""An exchange that goes away and comes back: the other trades on, nothing is lost, nothing is doubled."""

import itertools
import time

import pytest

from gateway.pb import control_pb2 as api
from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order
from tests.system.officers import officer
from tests.system.plant import Exchanges, wait_until

names = (f"l{number}" for number in itertools.count(1))
BOTH = ("XSHG", "XSHE")


def other(venue):
    return BOTH[venue == "XSHG"]


def account(gateway, name="A1", token="alpha"):
    return gateway.stub().GetAccount(pb.GetAccountRequest(account=name), **bearer(token))


def in_sequence(front, *accounts):
    for name in accounts:
        found = front.sequence(name)
        assert found == list(range(found[0], found[0] + len(found))), name


def accepted_at(exchanges, venue):
    return exchanges.control(venue, "status")["accepted"]


def settled(front, orders, within_s=30.0):
    """Every order has its one NEW or a REJECTED; the orders that were accepted."""
    wanted = {order.cl_ord_id for order in orders}

    def answered():
        return wanted <= {
            one.cl_ord_id for one in front.of("execution_report") if one.exec_type in (pb.NEW, pb.REJECTED)
        }

    wait_until(answered, "an answer to every order", within_s)
    new = [one.cl_ord_id for one in front.of("execution_report") if one.exec_type == pb.NEW]
    assert len(new) == len(set(new)), "an order was acknowledged twice"
    return [order for order in orders if order.cl_ord_id in set(new)]


@pytest.mark.parametrize("venue", BOTH)
def test_while_one_exchange_is_down_the_other_trades_on(shared_gateway, fronts, exchanges, venue):
    front = fronts(shared_gateway, "alpha", "A1")
    kept = limit_order(next(names), "A1", shared_gateway.symbols[venue][0])
    front.accepted(kept)
    exchanges.control(venue, "refuse")
    try:
        shared_gateway.wait_for_link(venue, up=False)
        before = account(shared_gateway)
        refused = front.order(limit_order(next(names), "A1", shared_gateway.symbols[venue][0]))
        assert (refused.reject_code, refused.ord_status) == ("R1601", pb.STATUS_REJECTED)
        unary = shared_gateway.stub().Submit(
            limit_order(next(names), "A1", shared_gateway.symbols[venue][0]), **bearer("alpha")
        )
        assert unary.reject_code == "R1601"
        after = account(shared_gateway)
        assert (after.cash_held_e4, after.open_orders, after.positions) == (
            before.cash_held_e4,
            before.open_orders,
            before.positions,
        )
        front.cancel("A1", kept.cl_ord_id)
        assert front.first("cancel_reject").reject_code == "R1601"
        trading = limit_order(next(names), "A1", shared_gateway.symbols[other(venue)][0])
        front.accepted(trading)
        front.cancel("A1", trading.cl_ord_id)
        front.report(trading.cl_ord_id, pb.CANCELED)
    finally:
        exchanges.control(venue, "accept")
    shared_gateway.wait_for_link(venue)
    front.accepted(limit_order(next(names), "A1", shared_gateway.symbols[venue][0]))
    front.cancel("A1", kept.cl_ord_id, "again")
    front.report(kept.cl_ord_id, pb.CANCELED)
    in_sequence(front, "A1")


@pytest.mark.parametrize("venue", BOTH)
def test_orders_in_doubt_are_settled_once(shared_gateway, fronts, exchanges, venue):
    """Orders and cancels that the exchange never read before the connection was cut."""
    front = fronts(shared_gateway, "alpha", "A1")
    symbol = shared_gateway.symbols[venue][0]
    known = limit_order(next(names), "A1", symbol)
    front.accepted(known)
    taken = accepted_at(exchanges, venue)
    exchanges.control(venue, "stall")
    orders = [limit_order(next(names), "A1", symbol) for _ in range(50)]
    for order in orders:
        front.send(new_order=order)
    front.cancel("A1", known.cl_ord_id)
    front.cancel("A1", orders[0].cl_ord_id)
    front.report(orders[-1].cl_ord_id, pb.PENDING_NEW)
    time.sleep(0.1)
    exchanges.control(venue, "disconnect")
    assert settled(front, orders) == orders
    for order in (known, orders[0]):
        front.report(order.cl_ord_id, pb.CANCELED)
    assert accepted_at(exchanges, venue) - taken == len(orders)
    in_sequence(front, "A1")


@pytest.mark.parametrize("venue", BOTH)
def test_orders_in_doubt_that_were_killed_are_not_sent_again(start_controlled, fronts, exchanges, venue):
    """The exchange never read them; their cancels come back as unknown, and that is their end."""
    gateway = start_controlled()
    front = fronts(gateway, "alpha", "A1")
    symbol = gateway.symbols[venue][0]
    known = limit_order(next(names), "A1", symbol)
    front.accepted(known)
    taken = accepted_at(exchanges, venue)
    exchanges.control(venue, "stall")
    orders = [limit_order(next(names), "A1", symbol) for _ in range(20)]
    for order in orders:
        front.send(new_order=order)
    front.report(orders[-1].cl_ord_id, pb.PENDING_NEW)
    time.sleep(0.1)
    exchanges.control(venue, "refuse")
    gateway.wait_for_link(venue, up=False)
    assert officer(gateway, "olga").Kill(scope=api.ACCOUNT, id="A1", reason="x").queued_orders == len(orders) + 1
    exchanges.control(venue, "accept")
    for order in (known, *orders):
        front.report(order.cl_ord_id, pb.CANCELED)
    assert accepted_at(exchanges, venue) == taken
    assert (account(gateway).open_orders, account(gateway).cash_held_e4) == (0, 0)
    ready = [line for line in gateway.child.logged("venue_link") if (line["venue"], line["state"]) == (venue, "ready")]
    assert ready[-1]["resent"] == 0
    in_sequence(front, "A1")


@pytest.mark.parametrize("venue", BOTH)
def test_a_link_that_drops_again_and_again_under_load(shared_gateway, fronts, exchanges, venue):
    """Every order that was not refused for the link's sake is at the exchange exactly once, whatever was cut."""
    accounts = [f"L{number:04d}" for number in range(1, 21)]
    front = fronts(shared_gateway, "load", *accounts)
    taken = accepted_at(exchanges, venue)
    symbols = shared_gateway.symbols[venue]
    orders = []
    for _ in range(5):
        for _ in range(300):
            number = len(orders)
            orders.append(limit_order(next(names), accounts[number % 20], symbols[number % 5], side=pb.BUY))
            front.send(new_order=orders[-1])
        front.report(orders[-150].cl_ord_id)
        exchanges.control(venue, "disconnect")
        front.report(orders[-1].cl_ord_id)
        shared_gateway.wait_for_link(venue)
    accepted = settled(front, orders)
    last = limit_order(next(names), accounts[0], symbols[0])
    front.accepted(last)
    assert {one.reject_code for one in front.of("execution_report") if one.exec_type == pb.REJECTED} <= {"R1601"}
    assert len(accepted) >= 5 * 150
    assert accepted_at(exchanges, venue) - taken == len(accepted) + 1
    in_sequence(front, *accounts)
    for name in accounts:
        state = account(shared_gateway, name, "load")
        mine = [order for order in (*accepted, last) if order.account == name]
        assert state.open_orders >= len(mine)
        assert sum(position.open_buy_shares for position in state.positions) == 100 * state.open_orders


@pytest.mark.parametrize("venue", BOTH)
@pytest.mark.parametrize("fault", ["repeat_report", "skip_report"])
def test_a_report_that_comes_twice_or_not_at_all(shared_gateway, fronts, exchanges, venue, fault):
    front = fronts(shared_gateway, "alpha", "A2")
    for _ in range(3):
        exchanges.control(venue, fault)
        sell = limit_order(next(names), "A2", shared_gateway.symbols[venue][3], side=pb.SELL, price_e4=101_000)
        front.send(new_order=sell)
        follower = limit_order(next(names), "A2", shared_gateway.symbols[venue][3], side=pb.SELL, price_e4=101_000)
        front.send(new_order=follower)
        shared_gateway.wait_for_link(venue)
        settled(front, [sell])
        wait_until(lambda: shared_gateway.is_link_up(venue), "the link")
    in_sequence(front, "A2")


@pytest.mark.parametrize("venue", BOTH)
def test_an_exchange_that_lost_its_day_is_not_traded_with(tmp_path, start_gateway, fronts, venue):
    """Started again it has no book and no reports: its link stays down and says why; nothing is resent."""
    exchanges = Exchanges(tmp_path, members=1)
    try:
        gateway = start_gateway(exchanges=exchanges)
        front = fronts(gateway, "alpha", "A1")
        kept = [limit_order(next(names), "A1", gateway.symbols[one][0]) for one in BOTH]
        for order in kept:
            front.accepted(order)
        exchanges.children[venue].kill()
        gateway.wait_for_link(venue, up=False)
        front.accepted(limit_order(next(names), "A1", gateway.symbols[other(venue)][0]))
        exchanges.start(venue)
        reason = wait_until(
            lambda: [
                line["reason"]
                for line in gateway.child.logged("venue_link")
                if line["venue"] == venue and "eport" in line["reason"] and line["state"] == "DOWN"
            ],
            "the reason",
            20,
        )
        assert "expected 1 to 1" in reason[0]
        assert not gateway.is_link_up(venue)
        refused = front.order(limit_order(next(names), "A1", gateway.symbols[venue][0]))
        assert refused.reject_code == "R1601"
        assert accepted_at(exchanges, venue) == 0
        front.accepted(limit_order(next(names), "A1", gateway.symbols[other(venue)][0]))
        state = account(gateway)
        assert state.open_orders == 4, "what was open there is still held: only the exchange's word releases it"
        in_sequence(front, "A1")
    finally:
        exchanges.stop()


def test_an_exchange_that_is_not_there_at_the_start(tmp_path, start_gateway, exchanges, fronts):
    """The gateway comes up, trades at the other, and takes the link up when the exchange opens."""
    exchanges.control("XSHE", "refuse")
    try:
        gateway = start_gateway(wait_for=("XSHG",))
        front = fronts(gateway, "alpha", "A1")
        front.accepted(limit_order(next(names), "A1", gateway.symbols["XSHG"][0]))
        assert front.order(limit_order(next(names), "A1", gateway.symbols["XSHE"][0])).reject_code == "R1601"
    finally:
        exchanges.control("XSHE", "accept")
    gateway.wait_for_link("XSHE")
    front.accepted(limit_order(next(names), "A1", gateway.symbols["XSHE"][0]))


def test_a_second_gateway_under_the_same_name_is_kept_out(start_gateway, fronts):
    """An exchange has one session for each CompID: the second gateway stays down there, the first is not disturbed."""
    first = start_gateway()
    second = start_gateway(member=first.member, wait_for=())
    refused = [line["reason"] for line in second.child.logged("venue_link") if "has a live session" in line["reason"]]
    assert refused
    front = fronts(second, "alpha", "A1")
    assert front.order(limit_order(next(names), "A1", second.symbols["XSHG"][0])).reject_code == "R1601"
    working = fronts(first, "alpha", "A1")
    for venue in BOTH:
        working.accepted(limit_order(next(names), "A1", first.symbols[venue][0]))


def test_silent_market_data_stops_orders_and_not_cancels(start_gateway, fronts, exchanges):
    gateway = start_gateway(change=lambda limits: limits["market_data"].update(max_age_ms=1500))
    front = fronts(gateway, "alpha", "A1")
    kept = limit_order(next(names), "A1", gateway.symbols["XSHG"][0])
    front.accepted(kept)
    exchanges.control("XSHG", "quotes_off")
    try:
        time.sleep(1.8)
        refused = front.order(limit_order(next(names), "A1", gateway.symbols["XSHG"][0]))
        assert refused.text.startswith("R1110 MD_STALE")
        front.accepted(limit_order(next(names), "A1", gateway.symbols["XSHE"][0]))
        front.cancel("A1", kept.cl_ord_id)
        front.report(kept.cl_ord_id, pb.CANCELED)
    finally:
        exchanges.control("XSHG", "quotes_on")
    wait_until(
        lambda: front.order(limit_order(next(names), "A1", gateway.symbols["XSHG"][0])).reject_code == "",
        "fresh quotes",
        5,
    )
