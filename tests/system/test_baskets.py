"""SubmitBasket and the optional fields of an order, over the wire on both transports."""

import itertools

import grpc

from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order, refused_with

names = (f"basket{number}" for number in itertools.count(1))


def basket(symbol, account, *quantities, basket_id="b"):
    return pb.Basket(basket_id=basket_id, orders=[limit_order(next(names), account, symbol, qty=q) for q in quantities])


def test_each_line_of_a_basket_gets_its_report(shared_gateway, fronts):
    symbol = shared_gateway.symbols["XSHG"][0]
    front = fronts(shared_gateway, "narrow", "BASKET")
    sent = basket(symbol, "BASKET", 100, 150)
    report = shared_gateway.stub().SubmitBasket(sent, **bearer("narrow"))
    assert (report.basket_id, report.reject_code) == ("b", "")
    assert [line.reject_code for line in report.reports] == ["", "R1101"]
    assert [line.cl_ord_id for line in report.reports] == [line.cl_ord_id for line in sent.orders]
    assert report.reports[0].ord_status == pb.STATUS_PENDING_NEW
    front.report(sent.orders[0].cl_ord_id, pb.NEW)


def test_a_basket_over_its_cap_is_refused_whole(shared_gateway, fronts):
    symbol = shared_gateway.symbols["XSHG"][0]
    front = fronts(shared_gateway, "narrow", "BASKET")
    sent = basket(symbol, "BASKET", 100, 100, 100)
    report = shared_gateway.stub().SubmitBasket(sent, **bearer("narrow"))
    assert (report.reject_code, report.text) == ("R1312", "R1312 BASKET v=3 lim=2 scope=basket")
    assert [line.reject_code for line in report.reports] == ["R1312"] * 3
    assert "R1312 BASKET v=3 lim=2 rule=" in report.reports[0].text
    assert front.report(sent.orders[2].cl_ord_id).ord_status == pb.STATUS_REJECTED  # whoever watches hears of it too


def test_what_is_no_basket(shared_gateway):
    stub, symbol = shared_gateway.stub(), shared_gateway.symbols["XSHG"][0]
    mixed = basket(symbol, "A1", 100)
    mixed.orders.append(limit_order(next(names), "A2", symbol))
    for sent, field in (
        (basket(symbol, "A1", 100, basket_id=""), "basket_id.length v=0"),
        (pb.Basket(basket_id="b"), "orders.length v=0"),
        (basket(symbol, "A1", *[100] * 1001), "orders.length v=1001"),
        (mixed, "orders[1].account"),
    ):
        report = stub.SubmitBasket(sent, **bearer("alpha"))
        assert (report.reject_code, len(report.reports)) == ("R1605", 0)
        assert field in report.text
    refused_with(grpc.StatusCode.PERMISSION_DENIED, stub.SubmitBasket, basket(symbol, "A1", 100), **bearer("beta"))


def test_the_inbound_rate_stops_a_basket_midway(shared_gateway):
    sent = basket(shared_gateway.symbols["XSHG"][0], "SLOW1", 100, 100, 100, 100)
    report = shared_gateway.stub().SubmitBasket(sent, **bearer("slow"))
    assert [line.reject_code for line in report.reports] == ["", "", "", "R1203"]


def test_an_unknown_strategy_and_a_short_sale_that_may_not_be(shared_gateway, fronts):
    symbol = shared_gateway.symbols["XSHG"][0]
    front = fronts(shared_gateway, "alpha", "A1")
    assert front.order(limit_order(next(names), "A1", symbol, strategy="nobody")).reject_code == "R1001"
    short = limit_order(next(names), "A1", symbol, side=pb.SELL, price_e4=101_000, short_sale=True)
    assert front.order(short).reject_code == "R1402"
    child = {"parent_id": "P1", "parent_qty_shares": 100}
    assert front.accepted(limit_order(next(names), "A1", symbol, **child)).exec_type == pb.NEW
    over = front.order(limit_order(next(names), "A1", symbol, **child))
    assert (over.reject_code, "v=200 lim=100" in over.text, "scope=parent" in over.text) == ("R1311", True, True)
