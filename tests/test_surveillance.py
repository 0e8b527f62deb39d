"""The rules at work in a real engine: what stops an order, what is recorded, reloads, restarts, hostile octets."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext import surveillance, suspended
from ext.program import validate
from ext.replay import frames
from tests.probe import crc_of
from tests.rule_desk import BUY, MS, SECOND, SELL, RuleDesk, compiled

Make = Callable[..., RuleDesk]
FAST = """
mode: enforce
per: account
on: [order]
when: "orders(1 s) > 3"
breach: block
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    desks = []

    def made(*rules: str, **more: Any) -> RuleDesk:
        desks.append(RuleDesk(tmp_path, *rules, **more))
        return desks[-1]

    yield made
    for desk in desks:
        desk.check()
        desk.close()


def rule(when: str, *, on: str = "order", per: str = "account", breach: str = "block", more: str = "") -> str:
    return f'mode: enforce\nper: {per}\non: [{on}]\nwhen: "{when}"\nbreach: {breach}\n{more}'


# --- orders ---


def test_the_order_past_the_limit_is_refused_by_the_rule(make: Make) -> None:
    desk = make(FAST)
    assert [desk.code() for _ in range(3)] == ["", "", ""]
    report = desk.order()
    assert report.reject_code == "R1403"
    assert report.text == "R1403 ABNORMAL v=4 lim=3 rule=R1@1 scope=account:A0000000"
    assert desk.code(1) == "", "the others' counts are their own"
    desk.wait(2 * SECOND)
    assert desk.code() == ""
    assert desk.hits() == [("R1", 2)]


def test_a_sell_passes_a_block_unless_the_rule_says_otherwise(make: Make) -> None:
    desk = make(FAST)
    for _ in range(3):
        desk.order()
    assert desk.code(side=SELL, price=100_200) == ""
    assert [a["blocked"] for a in desk.alerts()] == [False]


def test_a_group_counts_as_one(make: Make) -> None:
    desk = make(rule("orders(1 s) > 3", per="controller"))
    assert [desk.code(2), desk.code(3), desk.code(2), desk.order(3).text] == [
        "", "", "", "R1403 ABNORMAL v=4 lim=3 rule=R1@1 scope=group:G1"]  # fmt: skip


def test_warn_before_breach(make: Make) -> None:
    desk = make(rule("orders(1 s) > 9", more="warn_at: 50%\n"))
    for _ in range(10):
        desk.order()
    assert desk.hits() == [("R1", 1), ("R1", 2)]
    assert [a["factors"][0]["value"] for a in desk.alerts()] == [5, 10]


def test_cool_off_records_once_and_goes_on_blocking(make: Make) -> None:
    desk = make(rule("orders(1 s) > 1", more="cool_off: 10 s\n"))
    codes = [desk.code() for _ in range(4)]
    assert codes == ["", "R1403", "R1403", "R1403"]
    assert len(desk.hits()) == 1
    assert surveillance.hit_counts(desk.engine) == {"recorded": 1, "cooling": 2, "lost": 0}


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_off_and_shadow_stop_nothing(make: Make, mode: str) -> None:
    desk = make(FAST.replace("enforce", mode))
    assert [desk.code() for _ in range(6)] == [""] * 6
    assert [a["enforced"] for a in desk.alerts()] == ([False] if mode == "shadow" else [])


def test_canaries_part_accounts(make: Make) -> None:
    desk = make(rule("this_shares >= 100 shares").replace("enforce", "canary(50%)"))
    codes = {at: desk.code(at) for at in range(4)}
    assert {a["account"][-1]: a["enforced"] for a in desk.alerts()} == {
        str(at): code != "" for at, code in codes.items()
    }


def test_exempt_accounts_are_recorded_only(make: Make) -> None:
    desk = make(rule("orders(1 s) > 1", more="exempt: [{account: A0000000, until: 2027-12-31, reason: r}]\n"))
    assert [desk.code(), desk.code(), desk.code(1), desk.code(1)] == ["", "", "", "R1403"]


def test_scope_by_name_prefix_group_and_exception(make: Make) -> None:
    named = [
        rule("this_shares == 100 shares", more="scope: {accounts: [A0000001]}\n"),
        rule("this_shares == 200 shares", more='scope: {accounts: ["A000*"], except: ["@grouped"]}\n'),
        rule("this_shares == 300 shares", more='scope: {accounts: ["@grouped"], sides: [buy], time: "09:30-09:31"}\n'),
        rule("this_shares == 400 shares", more='scope: {securities: ["600001.XSHG"]}\n'),
        rule("this_shares == 500 shares", more="scope: {venues: [XSHE]}\n"),
    ]
    desk = make(*named, extra="sets:\n  grouped: {groups: [G1]}\n")
    stopped = {(at, qty) for at in range(4) for qty in (100, 200, 300, 400, 500) if desk.code(at, qty=qty)}
    assert stopped == {(1, 100), (0, 200), (1, 200), (2, 300), (3, 300)}
    desk.quote(symbol=600_001)
    assert desk.code(qty=400, symbol=600_001) == "R1403"
    desk.wait(61 * SECOND)
    desk.quote()
    assert desk.code(2, qty=300) == ""


def test_a_rule_can_wait_for_its_condition_to_last(make: Make) -> None:
    desk = make(
        rule("open_shares(side=buy) >= 100 shares", on="quote", per="controller", breach="L1", more="for: 5 s\n")
    )
    desk.order()
    for _ in range(7):
        desk.wait(SECOND)
        desk.quote()
    assert [a["time_ns"] - desk.now_ns for a in desk.alerts()] == [-SECOND]


def test_marks_are_set_by_accepted_orders_alone(make: Make) -> None:
    desk = make("""
        mode: enforce
        per: account
        on: [order]
        marks: {big: {on: [order], when: "this_shares >= 1000 shares", gap: 1 s}}
        when: "times(big, day, side=same) >= 2 and age(big) < 10 s"
        breach: block
        """, rule("this_shares == 1100 shares"))  # fmt: skip
    assert desk.code(qty=1100) == "R1403"
    assert desk.events("MARK") == []
    assert [desk.code(qty=1000), desk.code(qty=1000)] == ["", ""]
    assert len(desk.events("MARK")) == 1, "the second came within the gap"
    desk.wait(2 * SECOND)
    desk.quote()
    assert [desk.code(qty=1000), desk.code()] == ["", "R1403"]


def test_cancels_are_counted_and_can_be_refused(make: Make) -> None:
    desk = make(
        rule("cancel_requests(1 min) > 1", on="cancel"),
        rule("cancels(1 min, within=1 s) >= 1", breach="L1", on="canceled"),
    )
    first, second = desk.order(), desk.order()
    desk.canceled(first)
    assert desk.hits() == [("R2", 2)]
    assert desk.cancel(second) == "R1403"
    assert desk.refused_text == "R1403 ABNORMAL v=2 lim=1 rule=R1@1 scope=account:A0000000"


def test_fills_against_oneself(make: Make) -> None:
    desk = make(rule("fills(1 min, self) >= 1", on="fill", per="controller", breach="L1"))
    bought, sold = desk.order(2), desk.order(3, side=SELL, price=100_100)
    desk.fill(bought, price=100_000, exec_id="T1")
    assert desk.hits() == []
    desk.fill(sold, price=100_000, exec_id="T1")
    assert desk.hits() == [("R1", 2)]


def test_ratios_and_undefined(make: Make) -> None:
    desk = make(rule("ratio(cancels(1 min), fills(1 min)) >= 50%", on="canceled", breach="L1"),
                rule("spread < 100%", breach="L1"))  # fmt: skip
    desk.quote(bids=(), asks=(), last=100_000)
    for _ in range(2):
        desk.canceled(desk.order())
    assert desk.hits() == [], "a ratio to nothing is no ratio"
    desk.fill(desk.order())
    desk.canceled(desk.order())
    assert [(a["rule_id"], a["factors"][0]["value"]) for a in desk.alerts()] == [("R1", 3_000_000)]


def test_levels_follow_hits_and_escalate(make: Make) -> None:
    desk = make(rule("orders(1 s) > 1", breach="{level: L1, block: true, mask: [no_buy]}",
                     more="cool_off: 0 s\nescalate: {hits: 3, within: 1 min, to: L4}\n"))  # fmt: skip
    assert [desk.code() for _ in range(4)] == ["", "R1403", "R1403", "R1403"]
    desk.wait(2 * SECOND)
    desk.quote()
    assert desk.code() == "R1002", "level 4 forbids buying"
    assert [e["level"] for e in desk.events("LEVEL")] == [1, 4]
    assert [a["alert_seq"] for a in surveillance.alerts(desk.engine, 0, 99)] == list(range(1, 6))


def test_a_rule_can_ask_for_a_confirmation(make: Make) -> None:
    desk = make(rule("this_shares >= 1000 shares", breach="{level: L2, confirm: true, ttl: 10 s}"))
    report = desk.order(qty=1000)
    assert report.text == "R1403 ABNORMAL v=1000 lim=1000 rule=R1@1 scope=account:A0000000"
    assert report.ord_status == 8


# --- the market as recorded ---


def test_quotes_are_recorded_once_in_a_while(make: Make) -> None:
    desk = make()
    for _ in range(40):
        desk.wait(SECOND // 2)
        desk.quote()
    assert len(desk.events("QUOTE")) == 2, "every 15 seconds"
    desk.order()
    assert len(desk.events("QUOTE")) == 3, "and before the first order"
    for _ in range(4):
        desk.wait(SECOND // 2)
        desk.quote()
    assert len(desk.events("QUOTE")) == 5
    desk.quote()
    desk.now_ns += SECOND
    surveillance.on_time(desk.engine, desk.now_ns)
    assert len(desk.events("QUOTE")) == 6, "the newest is not left waiting"


def test_market_volume_and_moves(make: Make) -> None:
    desk = make(rule("ratio(fill_shares(1 min, side=same), market_shares(1 min)) >= 50%", on="fill", breach="L1"),
                rule("rise(1 min) >= 1% and limit_shares(side=buy) == 0 shares", breach="L1"))  # fmt: skip
    report = desk.order(qty=1000)
    desk.wait(SECOND)
    desk.quote()
    desk.wait(SECOND)
    desk.quote(volume=1_900, last=100_999)
    desk.fill(report, qty=900)
    assert desk.hits() == []
    desk.fill(report, qty=100)
    assert desk.hits() == [("R1", 2)]
    assert desk.code() == ""
    assert desk.hits() == [("R1", 2)]
    desk.wait(SECOND)
    desk.quote(volume=2_000, last=101_000)
    desk.order()
    assert desk.hits()[-1] == ("R2", 2)


def test_own_orders_among_the_five_best(make: Make) -> None:
    desk = make(
        rule("own_best5_shares(side=same) >= 300 shares and own_levels(side=same) == 3", breach="L1", per="controller")
    )
    desk.quote(bids=[(99_900 - 100 * at, 1000) for at in range(5)])
    desk.wait(SECOND)
    desk.order(2, price=99_400)
    desk.order(2, price=99_500)
    desk.order(3, price=99_500)
    assert desk.hits() == []
    desk.order(3, price=99_600)
    assert [f["value"] for f in desk.alerts()[0]["factors"]] == [300, 3]


# --- reload and restart ---


def test_a_reload_keeps_counts_of_unchanged_features(make: Make) -> None:
    desk = make(FAST)
    for _ in range(3):
        desk.order()
    assert desk.rules(FAST, rule("this_shares > 1000 shares")) == 2
    assert desk.code() == "R1403"
    assert desk.rules(FAST.replace("> 3", "> 5")) == 3
    assert [desk.code() for _ in range(3)] == ["", "", "R1403"]


def test_a_new_feature_is_not_enforced_before_its_window_is_full(make: Make) -> None:
    desk = make(FAST)
    desk.order()
    desk.rules(rule("orders(2 s) > 1", more="cool_off: 0 s\n"))
    assert [desk.code(), desk.code()] == ["", ""]
    assert [a["enforced"] for a in desk.alerts()] == [False]
    desk.wait(2 * SECOND + SECOND // 4)
    desk.quote()
    assert [desk.code(), desk.code()] == ["", "R1403"]


def test_an_older_order_keeps_the_name_of_its_rule(make: Make) -> None:
    desk = make(rule("this_shares > 100 shares"))
    report = desk.order(qty=200)
    desk.rules(FAST, FAST, rule("this_shares > 500 shares"))
    desk.count -= 1
    again = desk.order(qty=200)
    assert again.possible_duplicate
    assert again.text == report.text


def test_a_bad_rule_set_changes_nothing(make: Make) -> None:
    desk = make(FAST)
    before = desk.state.hash()
    program = bytearray(compiled(desk.folder, FAST))
    program[100] ^= 1
    with pytest.raises(ValueError, match="crc"):
        desk.put(bytes(program))
    assert desk.state.hash() == before
    assert surveillance.rule_set(desk.engine)["number"] == 1


def test_restart_in_the_middle_goes_on_counting(make: Make) -> None:
    desk = make(FAST)
    for _ in range(3):
        desk.order()
    desk.check()
    desk.wait(MS)
    desk.quote()
    assert desk.code() == "R1403"
    assert desk.rules(FAST) == 2


# --- hostile octets ---

MANY = [
    FAST,
    rule(
        "ratio(cancels(1 min, within=1 s), orders(1 min)) > 30% and abs(move(1 min)) > 1%",
        on="canceled, fill, quote",
        breach="L1",
    ),
    rule(
        "own_best5_shares(side=same) + own_limit_shares(side=same) * 2 > best5_shares(side=opposite)",
        on="order, quote",
        breach="L1",
    ),
    rule(
        "max(this_deviation, deviation) > 5% or is_at_limit(side=same) or high(5 min) > low(5 min)",
        on="order",
        breach="L1",
    ),
    rule(
        "market_yuan(1 min, security=600001.XSHG) > 1 yuan and sent_per_s > 0",
        on="order",
        breach="L1",
        more="for: 1 s\n",
    ),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compiled(tmp_path_factory.mktemp("program"), *MANY)


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_mutated_program_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, program: bytes, changes: list[tuple[int, int]]
) -> None:
    octets = bytearray(program)
    names_size = struct.unpack_from("<I", octets, 52)[0]
    for at, value in changes:
        octets[56 + at % (len(octets) - names_size - 64)] = value
    struct.pack_into("<I", octets, 12, crc_of(bytes(octets[56:])))
    try:
        validate(bytes(octets))
    except ValueError:
        return
    desk = RuleDesk(tmp_path_factory.mktemp("desk"))
    try:
        desk.put(bytes(octets))
        for at in range(4):
            report = desk.order(at, side=BUY, qty=200)
            if not report.reject_code and report.ord_status == 1:
                desk.fill(report)
                desk.cancel(report)
            desk.wait(SECOND)
            desk.quote(volume=at * 1000)
        desk.check()
    finally:
        desk.close()


def test_a_confirmed_order_is_judged_as_itself_and_now(make: Make) -> None:
    """Not as whatever order came in last: another account's, at another time."""
    big = 'marks: {big: {on: [order], when: "this_shares >= 500 shares"}}'
    when = "this_shares >= 500 shares and times(big, day) < 1000"
    desk = make(rule(when, breach="{confirm: true, ttl: 30 s}", more=big))
    report = desk.order(0, qty=500)
    desk.wait(SECOND)
    desk.order(1)
    desk.wait(SECOND)
    assert suspended.confirm(desk.engine, report.order_id, "officer", desk.now_ns) == 1
    (mark,) = (frame for frame in frames(desk.journal) if frame[2] == "MARK")
    assert mark[3] == desk.now_ns
    assert mark[4]["row"] == 0
