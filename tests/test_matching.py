"""Price-time matching: order types, auctions, refusals, and a comparison with a slow and obvious matcher."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.matching import REASONS, Market, MatchLog

XSHG, XSHE = 1, 2
BUY, SELL = 1, 2
LIMIT, BEST5_CANCEL, BEST5_LIMIT, OWN_BEST, OPPOSITE_BEST, IOC, FOK = range(1, 8)
CLOSED, OPEN_CALL, LOCKED, QUIET, CONTINUOUS, LUNCH, CLOSE_CALL, ENDED = range(1, 9)
PASS = 1
SYMBOL = 600000
TICK = 100


class Bench:
    """One market with one instrument, its limits 9.00 and 11.00, and every event it gave."""

    def __init__(self, venue: int = XSHG, phase: int = CONTINUOUS, **instrument: int) -> None:
        self.log = MatchLog()
        self.market = Market(venue, self.log)
        defaults = {"tick_e4": TICK, "up_limit_e4": 110_000, "down_limit_e4": 90_000, "prev_close_e4": 100_000,
                    "cage_bps": 0}
        self.market.list_instrument(SYMBOL, **{**defaults, **instrument})
        self.market.enter_phase(phase)
        self.cookie = 0

    def order(self, side: int, price: float, qty: int, ord_type: int = LIMIT) -> str:
        """Submit; returns "PASS" or the reason."""
        self.cookie += 1
        reason = self.market.new_order(SYMBOL, side, ord_type, qty, round(price * 10_000), self.cookie)
        return "PASS" if reason == PASS else REASONS[reason]

    def cancel(self, cookie: int) -> str:
        slot, order_no = next(e[2:] for e in self.log.events if e[:2] == ("accepted", cookie))
        reason = self.market.cancel_order(slot, order_no)
        return "PASS" if reason == PASS else REASONS[reason]

    def trades(self) -> list[tuple[int, int, float, int]]:
        """(buy cookie, sell cookie, price, shares)."""
        return [(e[2], e[3], e[4] / 10_000, e[5]) for e in self.log.events if e[0] == "trade"]

    def canceled(self) -> list[tuple[int, int]]:
        return [e[1:] for e in self.log.events if e[0] == "canceled"]

    def depth(self, side: int) -> list[tuple[float, int]]:
        return [(price / 10_000, qty) for price, qty in self.market.depth(SYMBOL, side, 10)]


def six_asks(venue: int = XSHG) -> Bench:
    """Asks of 100 at 10.01 to 10.06 and one bid of 100 at 9.90."""
    bench = Bench(venue)
    for cent in range(1, 7):
        bench.order(SELL, 10 + cent / 100, 100)
    bench.order(BUY, 9.90, 100)
    return bench


def test_price_goes_before_time_and_time_before_size() -> None:
    bench = Bench()
    bench.order(SELL, 10.02, 500)
    bench.order(SELL, 10.01, 100)
    bench.order(SELL, 10.01, 900)
    bench.order(BUY, 10.02, 1200)
    assert bench.trades() == [(4, 2, 10.01, 100), (4, 3, 10.01, 900), (4, 1, 10.02, 200)]
    assert bench.depth(SELL) == [(10.02, 300)]


def test_a_limit_order_rests_what_its_price_cannot_reach() -> None:
    bench = six_asks()
    bench.order(BUY, 10.02, 500)
    assert [t[2:] for t in bench.trades()] == [(10.01, 100), (10.02, 100)]
    assert bench.depth(BUY) == [(10.02, 300), (9.90, 100)]


# type, venue, shares, protection, traded shares, canceled shares, best bid afterwards
MARKET_ORDERS = [
    (BEST5_CANCEL, XSHG, 600, 0, 500, 100, (9.90, 100)),
    (BEST5_CANCEL, XSHE, 300, 0, 300, 0, (9.90, 100)),
    (BEST5_LIMIT, XSHG, 600, 0, 500, 0, (10.05, 100)),
    (OWN_BEST, XSHG, 600, 0, 0, 0, (9.90, 700)),
    (OPPOSITE_BEST, XSHE, 600, 0, 100, 0, (10.01, 500)),
    (IOC, XSHE, 700, 0, 600, 100, (9.90, 100)),
    (FOK, XSHE, 600, 0, 600, 0, (9.90, 100)),
    (FOK, XSHE, 700, 0, 0, 700, (9.90, 100)),
    (BEST5_CANCEL, XSHG, 600, 10.03, 300, 300, (9.90, 100)),
    (FOK, XSHE, 400, 10.03, 0, 400, (9.90, 100)),
    (OPPOSITE_BEST, XSHG, 600, 10.00, 0, 600, (9.90, 100)),
]


@pytest.mark.parametrize(("ord_type", "venue", "qty", "protection", "traded", "canceled", "bid"), MARKET_ORDERS)
def test_market_orders(
    ord_type: int, venue: int, qty: int, protection: float, traded: int, canceled: int, bid: tuple[float, int]
) -> None:
    bench = six_asks(venue)
    assert bench.order(BUY, protection, qty, ord_type) == "PASS"
    assert sum(t[3] for t in bench.trades()) == traded
    assert sum(shares for _, shares in bench.canceled()) == canceled
    assert bench.depth(BUY)[0] == bid


@pytest.mark.parametrize("ord_type", [BEST5_CANCEL, BEST5_LIMIT, OWN_BEST, OPPOSITE_BEST])
def test_a_market_order_into_an_empty_book_is_canceled(ord_type: int) -> None:
    bench = Bench()
    assert bench.order(SELL, 0, 100, ord_type) == "PASS"
    assert bench.canceled() == [(1, 100)]


def test_best_five_to_limit_without_a_trade_rests_at_its_own_best() -> None:
    bench = Bench()
    bench.order(BUY, 9.95, 100)
    bench.order(BUY, 0, 300, BEST5_LIMIT)
    assert bench.depth(BUY) == [(9.95, 400)]


# phase, side, price, shares, type, instrument, reason
REFUSALS = [
    (CONTINUOUS, BUY, 10.005, 100, LIMIT, {}, "TICK"),
    (CONTINUOUS, BUY, 0, 100, LIMIT, {}, "TICK"),
    (CONTINUOUS, BUY, 11.01, 100, LIMIT, {}, "PRICE_LIMIT"),
    (CONTINUOUS, SELL, 8.99, 100, LIMIT, {}, "PRICE_LIMIT"),
    (CONTINUOUS, BUY, 10.00, 150, LIMIT, {}, "LOT"),
    (CONTINUOUS, BUY, 10.00, 0, LIMIT, {}, "LOT"),
    (CONTINUOUS, SELL, 10.00, 50, LIMIT, {}, "PASS"),
    (CONTINUOUS, BUY, 10.00, 199, LIMIT, {"buy_min_shares": 200, "buy_step_shares": 1}, "LOT"),
    (CONTINUOUS, BUY, 10.00, 201, LIMIT, {"buy_min_shares": 200, "buy_step_shares": 1}, "PASS"),
    (CONTINUOUS, BUY, 10.00, 1_000_100, LIMIT, {}, "MAX_QTY"),
    (CONTINUOUS, BUY, 0, 50_100, BEST5_CANCEL, {"max_market_shares": 50_000}, "MAX_QTY"),
    (CONTINUOUS, BUY, 0, 100, IOC, {}, "ORD_TYPE"),
    (CONTINUOUS, 3, 10.00, 100, LIMIT, {}, "ORD_TYPE"),
    (CONTINUOUS, BUY, 10.00, 100, LIMIT, {"suspended": 1}, "SUSPENDED"),
    (OPEN_CALL, BUY, 0, 100, BEST5_CANCEL, {}, "PHASE"),
    (LOCKED, BUY, 10.00, 100, LIMIT, {}, "PASS"),
    (QUIET, BUY, 10.00, 100, LIMIT, {}, "PHASE"),
    (LUNCH, BUY, 10.00, 100, LIMIT, {}, "PHASE"),
    (CLOSE_CALL, BUY, 10.00, 100, LIMIT, {}, "PASS"),
    (ENDED, BUY, 10.00, 100, LIMIT, {}, "PHASE"),
]


@pytest.mark.parametrize(("phase", "side", "price", "qty", "ord_type", "instrument", "reason"), REFUSALS)
def test_what_the_exchange_refuses(
    phase: int, side: int, price: float, qty: int, ord_type: int, instrument: dict[str, int], reason: str
) -> None:
    bench = Bench(phase=phase, **instrument)
    assert bench.order(side, price, qty, ord_type) == reason
    assert (bench.log.events == []) == (reason != "PASS")


def test_an_unknown_symbol_is_refused() -> None:
    assert REASONS[Bench().market.new_order(999_999, BUY, LIMIT, 100, 100_000, 1)] == "SYMBOL"


# prev close, ask, bought at, cage ticks, reason
CAGES = [(4.00, 4.00, 4.10, 10, "PASS"), (4.00, 4.00, 4.11, 10, "CAGE"), (20.00, 20.00, 20.40, 10, "PASS"),
         (20.00, 20.00, 20.41, 10, "CAGE"), (4.00, 4.00, 4.09, 0, "CAGE"), (4.00, 4.00, 4.08, 0, "PASS")]


@pytest.mark.parametrize(("close", "ask", "bid", "ticks", "reason"), CAGES)
def test_the_cage_holds_in_continuous_trading_only(
    close: float, ask: float, bid: float, ticks: int, reason: str
) -> None:
    limits = {"up_limit_e4": round(close * 11_000), "down_limit_e4": round(close * 9_000),
              "prev_close_e4": round(close * 10_000), "cage_bps": 200, "cage_ticks": ticks}
    bench = Bench(**limits)
    assert bench.order(SELL, ask, 100) == "PASS"
    assert bench.order(BUY, bid, 100) == reason
    bench = Bench(phase=CLOSE_CALL, **limits)
    assert bench.order(SELL, ask, 100) == "PASS"
    assert bench.order(BUY, bid, 100) == "PASS"


@pytest.mark.parametrize(("phase", "reason"), [(OPEN_CALL, "PASS"), (LOCKED, "CXL_WINDOW"), (CLOSE_CALL, "CXL_WINDOW")])
def test_no_cancel_windows(phase: int, reason: str) -> None:
    bench = Bench(phase=OPEN_CALL)
    bench.order(BUY, 10.00, 300)
    bench.market.enter_phase(phase)
    assert bench.cancel(1) == reason
    assert bench.depth(BUY) == ([] if reason == "PASS" else [(10.00, 300)])


def test_a_cancel_takes_what_is_left_once() -> None:
    bench = Bench()
    bench.order(BUY, 10.00, 300)
    bench.order(SELL, 10.00, 100)
    assert bench.cancel(1) == "PASS"
    assert bench.canceled() == [(1, 200)]
    bench.order(BUY, 9.99, 300)  # takes the freed place
    assert bench.cancel(1) == "CXL_NOT_OPEN"


# orders (side, price, shares), Shanghai's price, Shenzhen's price, shares
AUCTIONS = [
    ([(BUY, 10.00, 100)], 0, 0, 0),
    ([(BUY, 10.00, 100), (SELL, 10.01, 100)], 0, 0, 0),
    ([(BUY, 10.10, 300), (SELL, 9.90, 300)], 10.00, 10.00, 300),
    ([(BUY, 10.11, 300), (SELL, 9.90, 300)], 10.01, 10.00, 300),
    ([(BUY, 10.40, 300), (SELL, 10.20, 300)], 10.30, 10.20, 300),
    ([(BUY, 10.20, 200), (BUY, 10.10, 200), (SELL, 10.00, 300)], 10.10, 10.10, 300),
    ([(BUY, 10.20, 500), (SELL, 10.00, 300), (SELL, 10.10, 400)], 10.10, 10.10, 500),
]


@pytest.mark.parametrize(("orders", "shanghai", "shenzhen", "qty"), AUCTIONS)
def test_auction_price(orders: list[tuple[int, float, int]], shanghai: float, shenzhen: float, qty: int) -> None:
    for venue, price in ((XSHG, shanghai), (XSHE, shenzhen)):
        bench = Bench(venue, OPEN_CALL)
        for order in orders:
            assert bench.order(*order) == "PASS"
        assert bench.trades() == []
        assert bench.market.indicative(SYMBOL)[:2] == (round(price * 10_000), qty)
        bench.market.enter_phase(LOCKED)
        assert bench.trades() == []
        bench.market.enter_phase(QUIET)
        assert sum(t[3] for t in bench.trades()) == qty
        assert {t[2] for t in bench.trades()} <= {price}


# ---- the slow matcher


@dataclass
class Plain:
    cookie: int
    side: int
    price: int
    qty: int


class PlainMarket:
    """Every order in one list, every decision by looking at all of them."""

    def __init__(self) -> None:
        self.resting: list[Plain] = []
        self.trades: list[tuple[int, int, int, int]] = []

    def best(self, side: int) -> Plain | None:
        orders = [order for order in self.resting if order.side == side]
        key = (lambda order: -order.price) if side == BUY else (lambda order: order.price)
        return min(orders, key=key, default=None)

    def trade(self, buy: Plain, sell: Plain, price: int, qty: int) -> None:
        buy.qty -= qty
        sell.qty -= qty
        self.trades.append((buy.cookie, sell.cookie, price, qty))
        self.resting = [order for order in self.resting if order.qty]

    def submit(self, order: Plain, call: bool) -> None:
        while order.qty and not call:
            maker = self.best(BUY + SELL - order.side)
            if maker is None or (maker.price - order.price) * (1 if order.side == BUY else -1) > 0:
                break
            buy, sell = (order, maker) if order.side == BUY else (maker, order)
            self.trade(buy, sell, maker.price, min(order.qty, maker.qty))
        if order.qty:
            self.resting.append(order)

    def market(self, order: Plain, ord_type: int) -> int:
        """A market order; returns what was cancelled at once."""
        opposite = BUY + SELL - order.side
        own_best, best = self.best(order.side), self.best(opposite)
        if ord_type in (OWN_BEST, OPPOSITE_BEST):
            at = own_best if ord_type == OWN_BEST else best
            if at is None:
                return order.qty
            order.price = at.price
            self.submit(order, call=False)
            return 0
        there = sum(other.qty for other in self.resting if other.side == opposite)
        if ord_type == FOK and there < order.qty:
            return order.qty
        seen: list[int] = []
        wanted = order.qty
        while order.qty and (maker := self.best(opposite)) is not None:
            if maker.price not in seen:
                seen.append(maker.price)
            if len(seen) > 5 and ord_type in (BEST5_CANCEL, BEST5_LIMIT):
                break
            buy, sell = (order, maker) if order.side == BUY else (maker, order)
            self.trade(buy, sell, maker.price, min(order.qty, maker.qty))
        if ord_type != BEST5_LIMIT or order.qty == 0 or (order.qty == wanted and own_best is None):
            return order.qty
        order.price = self.trades[-1][2] if order.qty < wanted else own_best.price
        self.resting.append(order)
        return 0

    def auction(self, venue: int, reference: int) -> tuple[int, int]:
        """(price, shares): better prices trade in full, most volume, least surplus, then the exchange's rule."""
        prices = sorted({order.price for order in self.resting})
        if venue == XSHE and prices:
            prices = list(range(prices[0], prices[-1] + TICK, TICK))
        found = []
        for price in prices:
            bought = sum(o.qty for o in self.resting if o.side == BUY and o.price >= price)
            sold = sum(o.qty for o in self.resting if o.side == SELL and o.price <= price)
            above = sum(o.qty for o in self.resting if o.side == BUY and o.price > price)
            below = sum(o.qty for o in self.resting if o.side == SELL and o.price < price)
            if max(above, below) <= min(bought, sold):
                found.append((-min(bought, sold), abs(bought - sold), price))
        if not found or min(found)[0] == 0:
            return 0, 0
        equal = [price for volume, surplus, price in found if (volume, surplus) == min(found)[:2]]
        if venue == XSHE:
            return min(equal, key=lambda price: abs(price - reference)), -min(found)[0]
        return (min(equal) + max(equal) + TICK) // (2 * TICK) * TICK, -min(found)[0]

    def uncross(self, venue: int, reference: int) -> None:
        price, left = self.auction(venue, reference)
        while left:
            buy, sell = self.best(BUY), self.best(SELL)
            assert buy is not None
            assert sell is not None
            qty = min(buy.qty, sell.qty, left)
            left -= qty
            self.trade(buy, sell, price, qty)


ACTIONS = st.lists(st.one_of(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(-6, 6), st.integers(1, 8)),
    st.tuples(st.just(0), st.integers(0, 60), st.just(0))), max_size=60)


MARKETS = st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.sampled_from([LIMIT, LIMIT, LIMIT, *range(2, 8)]),
                             st.integers(-4, 4), st.integers(1, 30)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(orders=MARKETS, venue=st.sampled_from([XSHG, XSHE]))
def test_market_orders_agree_with_the_plain_matcher(orders: list, venue: int) -> None:
    bench, plain = Bench(venue), PlainMarket()
    canceled = 0
    for side, ord_type, step, lots in orders:
        if ord_type == LIMIT:
            price = 100_000 + step * TICK
            assert bench.order(side, price / 10_000, lots * 100) == "PASS"
            plain.submit(Plain(bench.cookie, side, price, lots * 100), call=False)
        elif (ord_type == BEST5_LIMIT and venue == XSHE) or (ord_type in (IOC, FOK) and venue == XSHG):
            assert bench.order(side, 0, lots * 100, ord_type) == "ORD_TYPE"
        else:
            assert bench.order(side, 0, lots * 100, ord_type) == "PASS"
            canceled += plain.market(Plain(bench.cookie, side, 0, lots * 100), ord_type)
    assert [(b, s, round(p * 10_000), q) for b, s, p, q in bench.trades()] == plain.trades
    assert sum(shares for _, shares in bench.canceled()) == canceled
    assert bench.market.live_orders() == len(plain.resting)


@settings(max_examples=300, deadline=None)
@given(calls=ACTIONS, continuous=ACTIONS, venue=st.sampled_from([XSHG, XSHE]))
def test_agrees_with_the_plain_matcher(calls: list, continuous: list, venue: int) -> None:
    bench, plain = Bench(venue, OPEN_CALL), PlainMarket()
    reference = 100_000
    for phase, actions in ((OPEN_CALL, calls), (CONTINUOUS, continuous)):
        for side, step, lots in actions:
            if side == 0:
                gone = [order for order in plain.resting if order.cookie == step]
                plain.resting = [order for order in plain.resting if order.cookie != step]
                if 0 < step <= bench.cookie:
                    assert bench.cancel(step) == ("PASS" if gone else "CXL_NOT_OPEN")
                continue
            price = reference + step * TICK
            assert bench.order(side, price / 10_000, lots * 100) == "PASS"
            plain.submit(Plain(bench.cookie, side, price, lots * 100), call=phase == OPEN_CALL)
        if phase == OPEN_CALL:
            assert bench.market.indicative(SYMBOL)[:2] == plain.auction(venue, reference)
            plain.uncross(venue, reference)
            bench.market.enter_phase(QUIET)
            bench.market.enter_phase(CONTINUOUS)
    assert [(b, s, round(p * 10_000), q) for b, s, p, q in bench.trades()] == plain.trades
    for side in (BUY, SELL):
        shares: dict[int, int] = {}
        for order in plain.resting:
            if order.side == side:
                shares[order.price] = shares.get(order.price, 0) + order.qty
        assert bench.market.depth(SYMBOL, side, 100) == sorted(shares.items(), reverse=side == BUY)
    assert bench.market.live_orders() == len(plain.resting)
