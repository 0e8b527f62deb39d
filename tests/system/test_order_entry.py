"""OrderEntry end to end on both transports: orders, cancels, reports, queries."""

import itertools
import time

import grpc
import pytest

from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order, refused_with, state_of

names = (f"o{number}" for number in itertools.count(1))
RESTING = {"side": pb.BUY, "price_e4": 99_000}


def frozen(account):
    """What must not change when an order is refused."""
    return (
        account.cash_e4,
        account.cash_held_e4,
        account.open_orders,
        account.positions,
        [limit for limit in account.limits if limit.unit != "messages"],
    )


# Orders


@pytest.mark.parametrize("venue", ["XSHG", "XSHE"])
def test_an_order_goes_through_and_comes_back(shared_gateway, fronts, venue):
    front = fronts(shared_gateway, "alpha", "A1")
    order = limit_order(next(names), "A1", shared_gateway.symbols[venue][0], planned_ns=77, **RESTING)
    front.accepted(order)
    pending, new = (front.report(order.cl_ord_id, exec_type) for exec_type in (pb.PENDING_NEW, pb.NEW))
    assert (pending.ord_status, new.ord_status) == (pb.STATUS_PENDING_NEW, pb.STATUS_NEW)
    assert new.event_seq == pending.event_seq + 1
    assert new.order_id == pending.order_id > 0
    assert new.exec_id != pending.exec_id
    assert new.venue_order_id.strip()
    for report in (pending, new):
        assert (
            report.symbol,
            report.side,
            report.order_qty_shares,
            report.price_e4,
            report.leaves_qty_shares,
            report.planned_ns,
        ) == (order.symbol, pb.BUY, 100, 99_000, 100, 77)


@pytest.mark.parametrize("venue", ["XSHG", "XSHE"])
def test_two_sides_trade_and_money_moves(shared_gateway, fronts, venue):
    symbol = shared_gateway.symbols[venue][1]
    front = fronts(shared_gateway, "alpha", "A1", "A2")
    before = {account: state_of(shared_gateway, account) for account in ("A1", "A2")}
    sell = limit_order(next(names), "A1", symbol, side=pb.SELL, qty=300, price_e4=100_000)
    buy = limit_order(next(names), "A2", symbol, side=pb.BUY, qty=200, price_e4=100_000)
    front.accepted(sell)
    front.send(new_order=buy)
    filled = front.report(buy.cl_ord_id, pb.TRADE)
    assert (
        filled.ord_status,
        filled.last_qty_shares,
        filled.last_px_e4,
        filled.cum_qty_shares,
        filled.leaves_qty_shares,
    ) == (pb.STATUS_FILLED, 200, 100_000, 200, 0)
    partial = front.report(sell.cl_ord_id, pb.TRADE)
    assert (partial.ord_status, partial.leaves_qty_shares, partial.cum_notional_e4) == (
        pb.STATUS_PARTIALLY_FILLED,
        100,
        20_000_000,
    )
    front.cancel("A1", sell.cl_ord_id)
    front.report(sell.cl_ord_id, pb.CANCELED)
    seller, buyer = state_of(shared_gateway, "A1"), state_of(shared_gateway, "A2")
    assert 20_000_000 - 100_000 < seller.cash_e4 - before["A1"].cash_e4 < 20_000_000  # less fees
    assert 20_000_000 < before["A2"].cash_e4 - buyer.cash_e4 < 20_000_000 + 100_000
    assert buyer.cash_held_e4 == before["A2"].cash_held_e4
    held = next(position for position in buyer.positions if position.symbol == symbol)
    assert (held.bought_today_shares, held.total_shares, held.sellable_shares) == (200, 100_200, 100_000)


@pytest.mark.parametrize("venue", ["XSHG", "XSHE"])
def test_a_market_order_fills_what_is_there(shared_gateway, fronts, venue):
    symbol = shared_gateway.symbols[venue][2]
    front = fronts(shared_gateway, "alpha", "A1", "A2")
    front.accepted(limit_order(next(names), "A1", symbol, side=pb.SELL, qty=100, price_e4=100_500))
    time.sleep(0.1)  # the quote of it
    market = limit_order(next(names), "A2", symbol, qty=300, price_e4=0, ord_type=pb.MARKET_BEST5_CANCEL)
    front.send(new_order=market)
    assert front.report(market.cl_ord_id, pb.TRADE).last_qty_shares == 100
    last = front.report(market.cl_ord_id, pb.CANCELED)
    assert (last.cum_qty_shares, last.leaves_qty_shares) == (100, 0)
    assert state_of(shared_gateway, "A2").cash_held_e4 == 0


def test_a_repeated_order_is_the_same_order(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A3")
    order = limit_order(next(names), "A3", shared_gateway.symbols["XSHG"][0], **RESTING)
    first = front.accepted(order)
    before = state_of(shared_gateway, "A3")
    front.send(new_order=order)
    again = front.first("execution_report", lambda report: report.possible_duplicate)
    assert (again.order_id, again.ord_status, again.event_seq) == (first.order_id, pb.STATUS_NEW, 0)
    submitted = shared_gateway.stub().Submit(order, **bearer("alpha"))
    assert (submitted.order_id, submitted.possible_duplicate) == (first.order_id, True)
    other = limit_order(order.cl_ord_id, "A3", order.symbol, qty=200, price_e4=99_000)
    front.send(new_order=other)
    refused = front.report(order.cl_ord_id, pb.REJECTED)
    assert (refused.reject_code, refused.event_seq, refused.order_qty_shares) == ("R1201", 0, 200)
    assert shared_gateway.stub().Submit(other, **bearer("alpha")).reject_code == "R1201"
    assert state_of(shared_gateway, "A3") == before


# Cancels


@pytest.mark.parametrize("venue", ["XSHG", "XSHE"])
def test_a_cancel_by_either_name(shared_gateway, fronts, venue):
    front = fronts(shared_gateway, "alpha", "A1")
    for by_number in (False, True):
        held = state_of(shared_gateway, "A1").cash_held_e4
        order = limit_order(next(names), "A1", shared_gateway.symbols[venue][0], **RESTING)
        new = front.accepted(order)
        assert state_of(shared_gateway, "A1").cash_held_e4 > held
        named = {"order_id": new.order_id} if by_number else {"orig_cl_ord_id": order.cl_ord_id}
        front.send(cancel_order=pb.CancelOrder(cl_ord_id="x", account="A1", **named))
        canceled = front.report(order.cl_ord_id, pb.CANCELED)
        assert (canceled.ord_status, canceled.leaves_qty_shares, canceled.cum_qty_shares) == (pb.STATUS_CANCELED, 0, 0)
        assert state_of(shared_gateway, "A1").cash_held_e4 == held


def test_cancels_that_cannot_be(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    done = limit_order(next(names), "A1", shared_gateway.symbols["XSHG"][0], **RESTING)
    front.accepted(done)
    front.cancel("A1", done.cl_ord_id)
    front.report(done.cl_ord_id, pb.CANCELED)
    for name, fields, code, reason in [
        ("c1", {"account": "A1", "orig_cl_ord_id": "never"}, "R1604", 1),
        ("c2", {"account": "A1", "order_id": 10**15}, "R1604", 1),
        ("c3", {"account": "A1", "orig_cl_ord_id": done.cl_ord_id}, "R1606", 0),
        ("c4", {"account": "B1", "orig_cl_ord_id": done.cl_ord_id}, "R1001", None),
        ("c5", {"account": "A1"}, "R1605", None),
        ("", {"account": "A1", "orig_cl_ord_id": done.cl_ord_id}, "R1605", None),
    ]:
        front.send(cancel_order=pb.CancelOrder(cl_ord_id=name, planned_ns=5, **fields))
        reject = front.first("cancel_reject", lambda one, name=name: one.cl_ord_id == name)
        assert (reject.reject_code, reject.planned_ns, reject.event_seq) == (code, 5, 0)
        assert reject.text.startswith(code)
        if reason is not None:
            assert reject.cxl_rej_reason == reason


def test_a_second_cancel_waits_for_the_first(shared_gateway, fronts, exchanges):
    front = fronts(shared_gateway, "alpha", "A1")
    order = limit_order(next(names), "A1", shared_gateway.symbols["XSHE"][0], **RESTING)
    front.accepted(order)
    exchanges.control("XSHE", "stall")
    try:
        front.cancel("A1", order.cl_ord_id, "first")
        front.cancel("A1", order.cl_ord_id, "second")
        reject = front.first("cancel_reject")
        assert (reject.cl_ord_id, reject.reject_code, reject.ord_status) == ("second", "R1607", pb.STATUS_NEW)
        kept = shared_gateway.stub().GetOrder(
            pb.GetOrderRequest(account="A1", cl_ord_id=order.cl_ord_id), **bearer("alpha")
        )
        assert kept.cancel_pending
    finally:
        exchanges.control("XSHE", "resume")
    front.report(order.cl_ord_id, pb.CANCELED)


def test_mass_cancel_all_by_symbol_and_by_side(shared_gateway, fronts):
    front = fronts(shared_gateway, "beta", "B1")
    shanghai, shenzhen = (shared_gateway.symbols[venue][3] for venue in ("XSHG", "XSHE"))
    orders = {
        name: limit_order(next(names), "B1", symbol, side=side, price_e4=price_e4)
        for name, symbol, side, price_e4 in (
            ("sh buy", shanghai, pb.BUY, 99_000),
            ("sh sell", shanghai, pb.SELL, 101_000),
            ("sz buy", shenzhen, pb.BUY, 99_000),
            ("sz sell", shenzhen, pb.SELL, 101_000),
        )
    }

    def cancelled_by(**request):
        for order in orders.values():
            order.cl_ord_id = next(names)
            front.accepted(order)
        asked = len(front.of("mass_cancel_report"))
        front.send(mass_cancel=pb.MassCancelRequest(cl_ord_id="m", account="B1", **request))
        front.wait(lambda: len(front.of("mass_cancel_report")) > asked, "the mass cancel report")
        report = front.of("mass_cancel_report")[-1]
        gone = set()
        for name, order in orders.items():
            listed = shared_gateway.stub().GetOrder(
                pb.GetOrderRequest(account="B1", cl_ord_id=order.cl_ord_id), **bearer("beta")
            )
            if listed.cancel_pending or listed.state.ord_status == pb.STATUS_CANCELED:
                front.report(order.cl_ord_id, pb.CANCELED)
                gone.add(name)
        assert (report.reject_code, report.total_affected_orders, report.queued_orders) == ("", len(gone), 0)
        shared_gateway.stub().MassCancel(pb.MassCancelRequest(cl_ord_id="rest", account="B1"), **bearer("beta"))
        for order in orders.values():
            front.report(order.cl_ord_id, pb.CANCELED)
        return gone

    assert cancelled_by() == set(orders)
    assert cancelled_by(side=pb.SELL) == {"sh sell", "sz sell"}
    assert cancelled_by(symbol=shanghai, security_exchange=pb.XSHG) == {"sh buy", "sh sell"}
    assert cancelled_by(symbol=shenzhen, security_exchange=pb.XSHE, side=pb.BUY) == {"sz buy"}
    assert state_of(shared_gateway, "B1", "beta").cash_held_e4 == 0


def test_a_mass_cancel_that_is_wrong_does_nothing(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    for number, (fields, code) in enumerate(
        [
            ({"account": "B1"}, "R1001"),
            ({"account": "A2"}, "R1001"),
            ({"account": ""}, "R1001"),
            ({"account": "A1", "symbol": "699999", "security_exchange": pb.XSHG}, "R1003"),
            ({"account": "A1", "symbol": "six", "security_exchange": pb.XSHG}, "R1003"),
            ({"account": "A1", "side": 9}, "R1605"),
        ]
    ):
        front.send(mass_cancel=pb.MassCancelRequest(cl_ord_id=f"m{number}", **fields))
        report = front.first("mass_cancel_report", lambda one, number=number: one.cl_ord_id == f"m{number}")
        assert (report.reject_code, report.total_affected_orders) == (code, 0)
        assert report.text


# Unary calls


@pytest.mark.parametrize("venue", ["XSHG", "XSHE"])
def test_unary_order_and_cancel(shared_gateway, fronts, venue):
    stub, front = shared_gateway.stub(), fronts(shared_gateway, "alpha", "A1")
    order = limit_order(next(names), "A1", shared_gateway.symbols[venue][0], **RESTING)
    report = stub.Submit(order, **bearer("alpha"))
    assert (report.exec_type, report.ord_status) == (pb.PENDING_NEW, pb.STATUS_PENDING_NEW)
    front.report(order.cl_ord_id, pb.NEW)
    found = stub.GetOrder(pb.GetOrderRequest(account="A1", order_id=report.order_id), **bearer("alpha"))
    assert (found.state.cl_ord_id, found.state.ord_status, found.cancel_pending) == (
        order.cl_ord_id,
        pb.STATUS_NEW,
        False,
    )
    assert found.accepted_ns == report.time_ns
    answer = stub.Cancel(pb.CancelOrder(cl_ord_id="x", account="A1", orig_cl_ord_id=order.cl_ord_id), **bearer("alpha"))
    assert answer.execution_report.order_id == report.order_id
    front.report(order.cl_ord_id, pb.CANCELED)
    answer = stub.Cancel(pb.CancelOrder(cl_ord_id="x", account="A1", orig_cl_ord_id=order.cl_ord_id), **bearer("alpha"))
    assert (answer.cancel_reject.reject_code, answer.cancel_reject.ord_status) == ("R1606", pb.STATUS_CANCELED)


def test_list_orders_pages_through(shared_gateway, fronts):
    stub, front = shared_gateway.stub(), fronts(shared_gateway, "load", "L0010")
    for number in range(25):
        front.send(new_order=limit_order(f"page{number}", "L0010", shared_gateway.symbols["XSHG"][4], **RESTING))
    front.report("page24", pb.NEW)
    for number in range(0, 25, 2):
        front.cancel("L0010", f"page{number}")
        front.report(f"page{number}", pb.CANCELED)

    def pages(open_only):
        listed, after, more = [], 0, True
        while more:
            answer = stub.ListOrders(
                pb.ListOrdersRequest(account="L0010", open_only=open_only, after_order_id=after, limit=5),
                **bearer("load"),
            )
            more = answer.more
            assert len(answer.orders) == 5 or not more
            listed += [order.state.cl_ord_id for order in answer.orders]
            after = answer.orders[-1].state.order_id
        return listed

    assert pages(False) == [f"page{number}" for number in range(25)]
    assert pages(True) == [f"page{number}" for number in range(1, 25, 2)]
    refused_with(
        grpc.StatusCode.INVALID_ARGUMENT,
        stub.ListOrders,
        pb.ListOrdersRequest(account="L0010", limit=1001),
        **bearer("load"),
    )


def test_get_account_shows_holds_and_limits_in_use(shared_gateway, fronts):
    front = fronts(shared_gateway, "load", "L0020")
    before = state_of(shared_gateway, "L0020", "load")
    assert (before.cash_e4, before.cash_available_e4, before.open_orders, before.state) == (10**13, 10**13, 0, "NORMAL")
    front.accepted(limit_order(next(names), "L0020", shared_gateway.symbols["XSHE"][4], qty=1000, price_e4=99_000))
    after = state_of(shared_gateway, "L0020", "load")
    notional = 99_000_000
    assert notional < after.cash_held_e4 < notional + 100_000
    assert after.cash_available_e4 == after.cash_e4 - after.cash_held_e4
    assert after.event_seq == 2
    assert [position.open_buy_shares for position in after.positions] == [1000]
    used = {(limit.code, limit.scope): limit.used for limit in after.limits}
    assert (
        used["R1303", "account"],
        used["R1304", "account:long"],
        used["R1208", "account"],
        used["R1204", "account:XSHE:day"],
    ) == (notional, notional, 1, 1)


def test_unary_calls_need_a_token_and_their_own_account(shared_gateway):
    stub = shared_gateway.stub()
    order = limit_order(next(names), "A1", shared_gateway.symbols["XSHG"][0], **RESTING)
    calls = [
        (stub.Submit, order),
        (stub.Cancel, pb.CancelOrder(cl_ord_id="x", account="A1", orig_cl_ord_id="o")),
        (stub.MassCancel, pb.MassCancelRequest(account="A1")),
        (stub.GetOrder, pb.GetOrderRequest(account="A1", cl_ord_id="o")),
        (stub.ListOrders, pb.ListOrdersRequest(account="A1")),
        (stub.GetAccount, pb.GetAccountRequest(account="A1")),
    ]
    for call, request in calls:
        for metadata in (
            [],
            [("authorization", "alpha")],
            [("authorization", "Bearer wrong")],
            [("authorization", "Basic alpha")],
        ):
            refused_with(grpc.StatusCode.UNAUTHENTICATED, call, request, metadata=metadata, timeout=10)
    for call, request in calls[2:]:
        refused_with(grpc.StatusCode.PERMISSION_DENIED, call, request, **bearer("beta"))
    assert stub.Submit(order, **bearer("beta")).reject_code == "R1001"
    assert stub.Cancel(calls[1][1], **bearer("beta")).cancel_reject.reject_code == "R1001"
    assert "never" in refused_with(
        grpc.StatusCode.NOT_FOUND, stub.GetOrder, pb.GetOrderRequest(account="A1", cl_ord_id="never"), **bearer("alpha")
    )


def test_the_inbound_rate_is_a_report_on_the_stream_and_a_status_on_unary(shared_gateway, fronts):
    front = fronts(shared_gateway, "slow", "SLOW1")
    symbol = shared_gateway.symbols["XSHG"][0]
    time.sleep(1.1)
    orders = [limit_order(next(names), "SLOW1", symbol, **RESTING) for _ in range(4)]
    for order in orders:
        front.send(new_order=order)
    refused = front.report(orders[3].cl_ord_id, pb.REJECTED)
    assert (refused.reject_code, refused.event_seq) == ("R1203", 0)
    before = state_of(shared_gateway, "SLOW1", "slow")
    details = refused_with(
        grpc.StatusCode.RESOURCE_EXHAUSTED, shared_gateway.stub().Submit, orders[3], **bearer("slow")
    )
    assert "R1203" in details
    assert frozen(state_of(shared_gateway, "SLOW1", "slow")) == frozen(before)
    for number in range(4):
        front.cancel("SLOW1", "none", f"rate{number}")
    codes = [
        front.first("cancel_reject", lambda one, n=number: one.cl_ord_id == f"rate{n}").reject_code
        for number in range(4)
    ]
    assert codes == ["R1604"] * 3 + ["R1203"]
