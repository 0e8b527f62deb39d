"""The model of the rules against answers worked out by hand, so that the machine is held to something that is right."""

from __future__ import annotations

import pytest

from tests.model_desk import MS, OTHER, SECOND, TEN, RuleDesk, desk, rule, rule_file
from tests.model_expressions import Judge, parse, quantity
from tests.model_state import BUY, SELL
from tests.model_windows import Cell, Fact, Quote, Subject, market_sum, move
from tests.rule_worlds import START_NS

STEP = SECOND // 16
SOMEBODY = Subject("A1", "@family", (1, "600001"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("300_000 shares", (300_000, "shares")),
        ("30万 shares", (300_000, "shares")),
        ("30万股", (300_000, "shares")),
        ("1亿 yuan", (10**12, "yuan")),
        ("1亿元", (10**12, "yuan")),
        ("2%", (20_000, "ratio")),
        ("50 bps", (5_000, "ratio")),
        ("500 ppm", (500, "ratio")),
        ("250 ms", (250 * MS, "time")),
        ("3 min", (180 * SECOND, "time")),
        ("15", (15, "count")),
        ("12.50 yuan/share", (125_000, "price")),
    ],
)
def test_units(text: str, expected: tuple[int, str]) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a > 5 and b > 5", {"a": 6, "b": 5}, False),
        ("a > 5 or b > 5", {"a": 6, "b": 5}, True),
        ("not (a > 5 and b > 5)", {"a": 6, "b": 5}, True),
        ("not a > 5", {"a": None, "b": 0}, False),
        ("a > 5", {"a": None}, False),
        ("1 < a < 3", {"a": 2}, True),
        ("not 1 < a < 3", {"a": 3}, True),
        ("ratio(a, b) >= 50%", {"a": 1, "b": 2}, True),
        ("ratio(a, b) >= 50%", {"a": 1, "b": 0}, False),
        ("not ratio(a, b) >= 50%", {"a": 1, "b": 0}, False),
        ("a * 2% > 1", {"a": 100}, True),
        ("a * 2% > 2", {"a": 149}, False),
        ("max(a, b) - min(a, b) == 3", {"a": 1, "b": 4}, True),
        ("not a", {"a": 0}, True),
        ("a and not b", {"a": 1, "b": 1}, False),
        ("abs(a) > 3", {"a": -4}, True),
    ],
)
def test_conditions(text: str, values: dict[str, int | None], expected: bool) -> None:
    assert Judge(lambda node: values[node.id]).holds(parse(text, {})) is expected  # type: ignore[attr-defined]


def test_the_warn_stage_scales_what_is_to_be_exceeded() -> None:
    d = desk("orders(day) > 5 and order_shares(day) < 1_000 shares", warn_at="60%")
    seen = []
    for _ in range(6):
        d.wait(MS)  # past the cool-off
        d.buy()
        seen.append(d.hits)
    assert seen == [[], [], [], [("T01", 1)], [("T01", 1)], [("T01", 2)]]
    d = desk("orders(day) > fixed(5)", warn_at="60%")
    for _ in range(5):
        d.buy()
        assert not d.hits


@pytest.mark.parametrize(
    ("begin", "wait", "expected"),
    [(0, 17 * STEP - 1, 2), (0, 17 * STEP, 1), (STEP - 1, SECOND, 2), (STEP - 1, SECOND + 1, 1)],
)
def test_a_sliding_window_covers_seventeen_steps(begin: int, wait: int, expected: int) -> None:
    d = desk("orders(1 s) >= 1")
    d.wait(begin)
    d.buy()
    d.wait(wait)
    d.buy()
    assert d.value == expected


def test_a_clock_that_goes_back_counts_in_the_newest_step() -> None:
    cell = Cell(SECOND)
    cell.add(Fact("order", START_NS, SOMEBODY, BUY), 1)
    cell.add(Fact("order", START_NS - SECOND, SOMEBODY, BUY), 1)
    assert cell.inside(START_NS + SECOND, 0, True) == [1, 1]
    assert cell.inside(START_NS + SECOND + STEP, 0, True) == []


def test_day_and_phase() -> None:
    d = desk("orders(phase) >= 2")
    d.buy()
    d.model.set_phase(2, 6, d.now_ns)  # a window of no exchange begins with any exchange's phase
    d.buy()
    assert not d.hits
    d = desk("orders(phase) >= 2", per="account x venue")
    d.buy()
    d.model.set_phase(2, 6, d.now_ns)
    d.buy()
    assert d.hits
    d.model.set_phase(1, 6, d.now_ns)
    d.buy()
    assert not d.hits


def test_sides_and_keys() -> None:
    d = desk("orders(day, side=opposite) >= 1", per="controller")
    d.buy(account="A1")
    assert not d.hits
    d.sell(account="A2")
    assert d.hits
    d.buy(account="C1")
    assert not d.hits


def test_what_is_judged_is_counted_once() -> None:
    d = desk("orders(day) > 2", breach="block", code="R1204")
    assert [d.buy().kind for _ in range(4)] == ["pass", "pass", "block", "block"]
    verdict = d.buy()
    assert (verdict.code, verdict.value, verdict.limit) == (1204, 3, 2)


def test_a_block_leaves_sells_alone_unless_it_says_so() -> None:
    d = desk("orders(day) >= 1", breach="block")
    assert (d.buy().kind, d.sell().kind) == ("block", "pass")
    d = desk("orders(day) >= 1", breach="{level: L1, block: true, sells: true}")
    assert d.sell().kind == "block"


@pytest.mark.parametrize("mode", ["shadow", "canary(0%)"])
def test_what_is_not_enforced_is_only_recorded(mode: str) -> None:
    d = desk("orders(day) >= 1", breach="block", mode=mode)
    assert d.buy().kind == "pass"
    assert [o.enforced for o in d.out] == [False]  # type: ignore[union-attr]


def test_an_exemption_ends() -> None:
    d = desk("orders(day) >= 1", breach="block", exempt="[{account: A1, until: 2026-11-23T09:30:10, reason: r}]")
    assert d.buy().kind == "pass"
    d.wait(10 * SECOND)
    assert d.buy().kind == "block"


def test_cool_off_keeps_hits_apart_but_blocks_on() -> None:
    d = desk("orders(day) >= 1", breach="block", cool_off="1 s")
    kinds = []
    for wait in (0, SECOND - 1, 1):
        d.wait(wait)
        kinds.append((d.buy().kind, len(d.hits)))
    assert kinds == [("block", 1), ("block", 0), ("block", 1)]


def test_marks_keep_their_gap_and_are_counted_later() -> None:
    d = desk(
        "times(big, day, side=same) >= 2", marks='{big: {on: [order], when: "this_shares >= 500 shares", gap: 1 s}}'
    )
    for wait in (0, SECOND - 1, 1):
        d.wait(wait)
        d.buy(500)
        assert not d.hits
    d.sell(100)
    assert not d.hits
    d.buy(100)
    assert d.hits


def test_age_of_a_mark() -> None:
    d = desk("age(big, side=opposite) < 1 s", marks='{big: {on: [fill], when: "this_shares >= 500 shares"}}')
    d.sell(500)
    assert not d.hits  # never set: undefined
    d.fill("o1", 500)
    d.buy()
    assert d.hits
    d.wait(SECOND)
    d.buy()
    assert not d.hits


def test_after_counts_only_behind_the_other_sides_mark() -> None:
    d = desk("fills(5 s, after=big) >= 1", on="fill", marks='{big: {on: [fill], when: "this_shares >= 500 shares"}}')
    d.sell(1_000)
    d.buy(1_000)
    d.fill("o2", 100)
    assert not d.hits
    d.fill("o1", 500)
    d.fill("o2", 100)
    assert d.hits
    d.wait(5 * SECOND)
    d.fill("o2", 100)
    assert d.value == 1  # the newest fill comes too late; the one before is still there


def test_for_must_hold_without_a_break() -> None:
    d = desk("open_shares(side=same) > 500 shares", on="quote", per="controller x instrument", for_="3 s")
    d.buy(600)
    d.quote()
    for seconds in (1, 2, 3):
        d.wait(SECOND)
        d.quote(TEN + seconds)
    assert d.hits == [("T01", 2)]


def test_rows_are_watched_once_per_event_of_their_own() -> None:
    d = desk("open_orders >= 1", on="quote", per="controller x instrument")
    d.quote()
    d.buy()
    d.wait(SECOND)
    d.quote(TEN + 1)
    assert d.hits == [("T01", 2)]  # asked once for each side, but the cool-off is the row's
    d.wait(SECOND)
    d.quote(TEN + 2)
    assert not d.hits


def test_recorded_quotes() -> None:
    d = desk("orders(day) > 99")
    d.quote(TEN)
    d.wait(2 * SECOND)
    d.quote(TEN + 100)  # nobody trades it: every 15 s
    assert d.model.recorded((1, "600001")).last == TEN  # type: ignore[union-attr]
    d.buy()  # the first order sees the newest
    assert d.model.recorded((1, "600001")).last == TEN + 100  # type: ignore[union-attr]


def test_move_and_market_volume() -> None:
    quotes = [
        Quote(START_NS + n * SECOND, last=TEN + n * 100, is_first=n == 0, traded={"volume": 1_000}) for n in range(4)
    ]
    now = START_NS + 3 * SECOND
    assert move(quotes, 2 * SECOND, now, 0) == 3_000  # as the oldest of the 17 steps began, the price was the first
    assert move(quotes, SECOND, now, 0) == 200 * 10**6 // (TEN + 100)
    assert move(quotes[:1], SECOND, now, 0) == 0
    assert move([], SECOND, now, 0) is None
    assert market_sum(quotes, SECOND, now, 0, "volume") == 2_000
    assert market_sum(quotes, 0, now, 0, "volume") == 4_000  # the day: the first total too
    assert market_sum(quotes[:1], SECOND, START_NS, 0, "volume") == 0


def test_own_orders_against_the_book() -> None:
    d = desk("own_best5_shares(side=same) > 1_000 shares", per="account x instrument")
    d.quote()
    d.buy(1_000, TEN - 500)  # the fifth level
    d.buy(5_000, TEN - 600)  # behind it
    assert not d.hits
    d.buy(100, TEN)
    assert d.value == 1_100


def test_self_trades_count_once_at_the_second() -> None:
    d = desk("fill_shares(day, self) >= 100 shares", on="fill", per="controller x instrument")
    d.buy(100, account="A1")
    d.sell(100, TEN + 100, account="A2")
    d.fill("o1", 100, TEN, "T9")
    d.wait(SECOND)
    assert not d.hits
    d.fill("o2", 100, TEN, "T9")
    assert d.value == 100


def test_a_new_rule_set_keeps_what_is_equal_and_begins_the_rest_unenforced() -> None:
    text = rule_file(rule("orders(1 s) >= 2", breach="block"))
    d = RuleDesk(text)
    d.buy()
    d.model.put_in_force([text], d.now_ns)
    assert d.buy().kind == "block"
    d.wait(MS)
    d.model.put_in_force([rule_file(rule("orders(2 s) >= 1", breach="block"))], d.now_ns)
    assert d.buy().kind == "pass"
    assert d.value == 1  # the new window began empty
    d.wait(2 * SECOND)
    assert d.buy().kind == "block"


def test_scope() -> None:
    d = desk("orders(day) >= 1", scope='{except: ["@makers", B1], st: none, sides: [buy], time: "09:30-09:31"}')
    d.buy()
    assert d.hits
    for again in (lambda: d.buy(account="LT7"), lambda: d.buy(account="B1"), lambda: d.buy(key=OTHER), d.sell):
        again()
        assert not d.hits
    d.wait(60 * SECOND)
    d.buy()
    assert not d.hits


def test_within_and_beyond() -> None:
    d = desk("cancels(day, within=1 s) >= 1", on="canceled")
    d.buy()
    d.buy()
    d.wait(SECOND)
    d.canceled("o1")
    assert d.hits
    d = desk("cancels(day, within=1 s) >= 1", on="canceled")
    d.buy()
    d.wait(SECOND + 1)
    d.canceled("o1")
    assert not d.hits
    d = desk("orders(day, beyond=1%) >= 1")
    for side, price, expected in (
        (BUY, 100_900, False),
        (SELL, 101_000, False),
        (BUY, 101_000, True),
        (SELL, 99_000, True),
    ):
        d = desk("orders(day, beyond=1%) >= 1")
        d.order(side, price=price)
        assert bool(d.hits) is expected
