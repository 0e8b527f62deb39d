"""Single features of the engine against brute force over what was sent, exact at the edges of their windows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import rule_worlds as w
from tests.model_desk import MS, OTHER, SECOND, STOCK, TEN, rule, rule_file
from tests.model_state import BUY, SELL
from tests.rule_driver import RuleDriver

SOME = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
WINDOWS = {"250 ms": 250 * MS, "1 s": SECOND, "3 s": 3 * SECOND}


class Bench:
    """The engine under one rule that reports a feature's value at every event of one kind."""

    def __init__(self, path: Path, feature: str, on: str, per: str, limit: str) -> None:
        self.driver = RuleDriver(path, rule_file(rule(f"{feature} >= {limit}", on, per, cool_off="0 s")))
        self.now_ns, self.count = w.START_NS, 0
        self.sent: list[w.Submit] = []
        for key, near in ((STOCK, TEN), (OTHER, 17 * w.YUAN)):
            self.quote(near, key=key)

    def act(self, action: w.Action) -> int:
        """The feature's value at this action, 0 when the rule did not hold."""
        _, _, frames = self.driver.play(action)
        found = [fields["factors"][0][0] for kind, fields in frames if kind == "HIT"]
        return found[0] if found else 0

    def order(self, side: int, shares: int, account: str = "A1", key: w.Key = STOCK, price: int = 0) -> int:
        """A sell a tick above a buy: nobody trades with himself."""
        self.count += 1
        price = price or (TEN if key == STOCK else 17 * w.YUAN) + (100 if side == SELL else 0)
        action = w.Submit(self.now_ns, f"o{self.count}", account, key, side, price, shares)
        self.sent.append(action)
        return self.act(action)

    def quote(self, last: int, volume: int = 0, key: w.Key = STOCK) -> int:
        return self.act(
            w.MarketQuote(self.now_ns, key, ((last - 100, 500),), ((last + 100, 500),), last, volume, volume * last)
        )


@contextmanager
def bench(feature: str, on: str = "order", per: str = "account", limit: str = "1") -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as directory:
        found = Bench(Path(directory) / "journal", feature, on, per, limit)
        try:
            yield found
        finally:
            found.driver.close()


def waits(window_ns: int) -> st.SearchStrategy[int]:
    """Times to wait: to, just before and just behind a step's and a window's edge, and anything between."""
    step = window_ns // 16
    edges = [n * step + d for n in (0, 1, 15, 16, 17) for d in (-1, 0, 1) if n * step + d >= 0]
    return st.one_of(st.sampled_from(edges), st.integers(0, 2 * window_ns))


def in_window(then_ns: int, now_ns: int, window_ns: int) -> bool:
    step = window_ns // 16
    return then_ns // step >= now_ns // step - 16


Moves = list[tuple[int, int, int, str]]


def moves(window_ns: int) -> st.SearchStrategy[Moves]:
    one = st.tuples(
        waits(window_ns),
        st.sampled_from((BUY, SELL)),
        st.sampled_from((200, 300, 1_000)),
        st.sampled_from(("A1", "A2", "C1")),
    )
    return st.lists(one, min_size=5, max_size=40)


SUMS: dict[str, Callable[[list[w.Submit]], int]] = {
    "orders": len,
    "order_shares": lambda orders: sum(o.shares for o in orders),
    "order_yuan": lambda orders: sum(o.shares * o.price_e4 for o in orders),
    "largest_order_shares": lambda orders: max(o.shares for o in orders),
}
LEAST = {"orders": "1", "order_shares": "1 shares", "order_yuan": "1 yuan", "largest_order_shares": "1 shares"}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("window", WINDOWS)
@SOME
@given(found=st.data())
def test_sums_over_a_sliding_window(name: str, window: str, found: st.DataObject) -> None:
    window_ns = WINDOWS[window]
    with bench(f"{name}({window}, side=same)", per="controller", limit=LEAST[name]) as b:
        for wait, side, shares, account in found.draw(moves(window_ns)):
            b.now_ns += wait
            value = b.order(side, shares, account)
            group = ("A1", "A2") if account != "C1" else ("C1",)
            counted = [
                o for o in b.sent if o.account in group and o.side == side and in_window(o.now_ns, b.now_ns, window_ns)
            ]
            assert value == SUMS[name](counted)


@SOME
@given(
    steps=st.lists(
        st.tuples(waits(SECOND), st.sampled_from((-300, -100, 0, 100, 200)), waits(SECOND)), min_size=3, max_size=20
    )
)
def test_a_move_is_from_the_price_as_the_window_began(steps: list[tuple[int, int, int]]) -> None:
    seen, price = [(w.START_NS, TEN)], TEN
    with bench("abs(move(1 s))", "order", "instrument", "1 ppm") as b:
        b.order(BUY, 200)  # from now on a quote a second is recorded
        for wait, drift, then in steps:
            b.now_ns += SECOND + wait
            price += drift
            b.quote(price)
            seen.append((b.now_ns, price))
            b.now_ns += then
            value = b.order(BUY, 200, price=price)
            before = [p for at, p in seen if not in_window(at, b.now_ns, SECOND)]
            inside = [p for at, p in seen if in_window(at, b.now_ns, SECOND)]
            reference = before[-1] if before else inside[0]
            assert value == abs((price - reference) * 10**6 // reference)


@SOME
@given(
    steps=st.lists(
        st.tuples(waits(3 * SECOND), st.sampled_from((0, 100, 700)), waits(3 * SECOND)), min_size=3, max_size=20
    )
)
def test_the_market_s_volume_in_a_window(steps: list[tuple[int, int, int]]) -> None:
    seen, total = [(w.START_NS, 0)], 0
    with bench("market_shares(3 s)", "order", "instrument", "1 shares") as b:
        b.order(BUY, 200)
        for wait, volume, then in steps:
            b.now_ns += SECOND + wait
            total += volume
            b.quote(TEN, total)
            seen.append((b.now_ns, volume))
            b.now_ns += then
            assert b.order(BUY, 200) == sum(n for at, n in seen if in_window(at, b.now_ns, 3 * SECOND))


@SOME
@given(found=st.data())
def test_an_age_is_exact(found: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        marks = '{big: {on: [order], when: "this_shares >= 1_000 shares", per: account x instrument}}'
        text = rule_file(rule("age(big, side=opposite) < 2 h", per="account", marks=marks, cool_off="0 s"))
        driver = RuleDriver(Path(directory) / "journal", text)
        try:
            now, last = w.START_NS, {}
            driver.play(w.MarketQuote(now, STOCK, (), (), TEN, 0, 0))
            for number, (wait, side, shares, account) in enumerate(found.draw(moves(SECOND))):
                now += wait
                _, _, frames = driver.play(
                    w.Submit(now, f"o{number}", account, STOCK, side, TEN + 100 * (side == SELL), shares)
                )
                value = [fields["factors"][0][0] for kind, fields in frames if kind == "HIT"]
                set_at = last.get((account, BUY + SELL - side))
                assert value == ([] if set_at is None else [now - set_at])
                if shares == 1_000:
                    last[account, side] = now
        finally:
            driver.close()


def test_a_clock_that_goes_back_counts_in_the_newest_step() -> None:
    with bench("orders(1 s)", limit="2") as b:
        b.now_ns += 5 * SECOND
        b.order(BUY, 200)
        b.now_ns -= 3 * SECOND
        assert b.order(BUY, 200) == 2
        b.now_ns += 4 * SECOND  # 1 s behind the newest time: both are still in
        assert b.order(BUY, 200) == 3
        b.now_ns += 17 * SECOND // 16
        assert b.order(BUY, 200) == 0  # itself alone: the rule asks for two


def test_other_instruments_do_not_count() -> None:
    with bench("orders(day)", per="account x instrument") as b:
        assert [b.order(BUY, 200), b.order(BUY, 200, key=OTHER), b.order(BUY, 200)] == [1, 1, 2]
