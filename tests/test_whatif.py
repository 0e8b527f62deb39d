"""A recorded day through other rules: the day's own change nothing; others change what the test works out by itself."""
from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ext import response, settings, suspended, whatif
from ext.codes import ACCOUNT_TAGS
from ext.journal import Journal
from ext.replay import frames
from tests.rule_desk import BUY, MS, SECOND, SELL, RuleDesk, compiled, desk_limits

COUNT = """
    per: account
    on: [order]
    when: "orders(1 s) > {most}"
    breach: block
"""
CHASE = """
    per: controller x instrument
    on: [order, fill]
    marks:
      big: {on: [order], when: "this_shares >= 500 shares", gap: 100 ms}
    when: "times(big, 30 s, side=same) >= 4 and cancels(day) >= 2"
    warn_at: 50%
    breach: {level: L1, block: true}
    cool_off: 5 s
"""
LAYERS = """
    per: controller x instrument
    on: [quote]
    when: "open_shares(side=same) >= 400 shares and ratio(open_shares(side=same), best5_shares(side=same)) > 10%"
    for: 2 s
    breach: {level: L1}
"""
PASS, SUSPENDED = 1, 8
SHADOW = """
    per: account
    on: [order, cancel]
    mode: shadow
    when: "messages(10 s) > 3"
    breach: block
"""
ASK = """
    per: account
    on: [order]
    when: "this_shares >= 700 shares and orders(5 s, side=same) > 2"
    breach: {confirm: true, ttl: 2 s}
"""
CURB = """
    per: controller
    on: [canceled]
    when: "cancels(1 min) >= 5"
    breach: {level: L3, throttle: 2, hold: 10 s}
    cool_off: 1 s
    escalate: {hits: 3, within: 10 min, to: L5}
"""
RULES = (COUNT.format(most=3), CHASE, LAYERS, SHADOW, ASK, CURB)
OTHERS = (COUNT.format(most=2), CHASE, LAYERS, SHADOW, COUNT.format(most=1), ASK)


def live(folder: Path, seed: int, steps: int = 400, reload_every: int = 0, restart_every: int = 0) -> RuleDesk:
    """A day of four accounts under RULES, with reloads and restarts in it."""
    rng, desk = random.Random(seed), RuleDesk(folder, *RULES)
    open_orders: list[Any] = []
    for step in range(1, steps):
        desk.wait(rng.choice((0, 5, 60, 62, 300, 1_100)) * MS)
        act(rng, desk, open_orders)
        if reload_every and step % reload_every == 0:
            desk.rules(*(OTHERS if step // reload_every % 2 else RULES))
        if restart_every and step % restart_every == 0:
            before = desk.state.hash()
            assert desk.restart() == before
            desk.quote()
    return desk


def act(rng: random.Random, desk: RuleDesk, open_orders: list[Any]) -> None:
    draw = rng.random()
    if draw < 0.55 or not open_orders:
        price = rng.choice((99_900, 99_800, 100_000))
        side, qty = rng.choice((BUY, BUY, SELL)), rng.choice((100, 100, 500, 700))
        report = desk.order(rng.randrange(4), side, qty, price if side == BUY else price + 1_000)
        if report.ord_status == SUSPENDED:
            desk.now_ns += rng.choice((0, 1, 3)) * SECOND
            end(rng, desk, report, open_orders)
        elif not report.reject_code:
            desk.tell(1, report)
            open_orders.append(report)
    elif draw < 0.7:
        report = open_orders.pop(rng.randrange(len(open_orders)))
        if desk.cancel(report) == "":
            desk.tell(2, report)
    elif draw < 0.8:
        report = open_orders.pop(0)
        desk.fill(report, 100, report.price_e4)
    else:
        last = rng.choice((99_900, 100_000, 100_100))
        bids = (last - 100, rng.randrange(1, 60) * 100), (last - 200, 1_000)
        desk.quote(bids=bids, last=last, volume=desk.count * 700)


def end(rng: random.Random, desk: RuleDesk, report: Any, open_orders: list[Any]) -> None:
    """A suspended order is confirmed, denied or left to its time."""
    draw = rng.random()
    if draw < 0.6 and suspended.confirm(desk.engine, report.order_id, "officer", desk.now_ns) == PASS:
        desk.tell(1, report)
        open_orders.append(report)
    elif 0.6 <= draw < 0.8:
        suspended.deny(desk.engine, report.order_id, "officer", desk.now_ns)
    response.on_time(desk.engine, desk.now_ns)


class Rehearsed:
    """A journal run through a program; the findings and the scratch journal's frames."""

    def __init__(self, path: Path, program: bytes = b"", slice_: int = 37) -> None:
        with path.open("r+b") as recorded, tempfile.TemporaryFile() as room:
            journal = Journal(recorded.fileno(), os.fstat(recorded.fileno()).st_size, str(path), writable=False)
            self.before = path.read_bytes()
            self.size = whatif.measure(journal)
            scratch = Journal(room.fileno(), 0, "scratch", capacity=1 << 30)
            run = whatif.Rehearsal(whatif.state_for(self.size), scratch, journal, self.size, program)
            while run.step(slice_):
                pass
            assert run.frames == self.size["frames"]
            self.run, self.tried, self.live = run, found_in(scratch), found_in(journal)
            assert path.read_bytes() == self.before


def found_in(journal: Any) -> list[Any]:
    """Every hit and mark in the order of their times, without what says only where it stands: which of two rows a quote
    was looked at for first is no part of what was found, and a restart may change it."""
    loose = ("offset", "seq", "bid_px_e4", "ask_px_e4", "last_px_e4", "alert_seq", "hit_seq")
    return sorted((time_ns, kind, repr({key: value for key, value in fields.items() if key not in loose}))
                  for _, _, kind, time_ns, fields in frames(journal) if kind in ("HIT", "MARK"))


@pytest.mark.parametrize("seed", range(6))
def test_the_rules_of_the_day_change_nothing(tmp_path, seed):
    desk = live(tmp_path, seed, reload_every=90 * (seed % 2), restart_every=70 * (seed % 3))
    found = Rehearsed(desk.path)
    assert found.run.differences == []
    assert found.run.counts == {kind: [0, 0, 0] for kind in whatif.KINDS}
    assert found.run.blocked == found.run.blocked_live
    assert found.tried == found.live
    assert found.run.stopped == found.run.stopped_live > 5
    assert {kind for _, kind, _ in found.live} == {"HIT", "MARK"}
    desk.close()


def test_the_same_file_given_again_changes_nothing(tmp_path):
    desk = live(tmp_path, 11)
    found = Rehearsed(desk.path, compiled(tmp_path, *RULES))
    assert found.run.differences == []
    assert found.tried == found.live
    desk.close()


def burst(desk: RuleDesk, account: int, orders: int, qty: int = 100) -> list[str]:
    """So many orders in one instant; their codes."""
    desk.wait(10 * SECOND)
    return [desk.code(account, BUY, qty) for _ in range(orders)]


def test_tighter_rules_block_what_passed(tmp_path):
    desk = RuleDesk(tmp_path, COUNT.format(most=3))
    assert burst(desk, 0, 5) == ["", "", "", "R1403", "R1403"]
    assert burst(desk, 1, 2, qty=200) == ["", ""]
    found = Rehearsed(desk.path, compiled(tmp_path, COUNT.format(most=1))).run
    # The first order of each burst passes; those that live stopped already are no news but stand on other grounds.
    assert found.counts["blocked"] == [3, (2 * 100 + 200) * 99_900, 0]
    assert found.counts["let through"] == [0, 0, 0]
    assert found.counts["other rule"][0] == 2
    accounts = {found.account_name(account): orders for account, (orders, _) in found.accounts["blocked"].items()}
    assert accounts == {"A0000000": 2, "A0000001": 1}
    first = found.differences[0]
    assert (first["kind"], first["order_id"], first["live"]["code"]) == ("blocked", 2, 1)
    stopped = {"code": 1403, "waits": False, "rule_set": 1, "rule": 1, "value": 2, "limit": 1}
    assert first["candidate"] == stopped
    assert [(factor["value"], factor["limit"]) for factor in first["factors"]] == [(2, 1)]
    desk.close()


def test_looser_rules_let_through_what_was_blocked(tmp_path):
    desk = RuleDesk(tmp_path, COUNT.format(most=1))
    assert burst(desk, 2, 3) == ["", "R1403", "R1403"]
    found = Rehearsed(desk.path, compiled(tmp_path, COUNT.format(most=2))).run
    # What was blocked never reached the exchange, so it does not count for the next one either.
    assert found.counts["let through"] == [2, 2 * 100 * 99_900, 0]
    assert (found.stopped, found.stopped_live, found.judged) == (0, 2, 3)
    desk.close()


def test_a_day_without_rules_takes_a_candidate_from_its_beginning(tmp_path):
    desk = RuleDesk(tmp_path)
    assert burst(desk, 0, 4) == [""] * 4
    found = Rehearsed(desk.path, compiled(tmp_path, COUNT.format(most=2))).run
    assert found.counts["blocked"][0] == 2
    assert found.blocked == {(1, 1): 2}
    desk.close()


def test_rules_that_only_look_stop_nothing(tmp_path):
    desk = RuleDesk(tmp_path)
    burst(desk, 0, 9)
    found = Rehearsed(desk.path, compiled(tmp_path, COUNT.format(most=2).replace("per:", "mode: shadow\n    per:")))
    assert found.run.stopped == 0
    assert [kind for _, kind, _ in found.tried] == ["HIT"]
    desk.close()


def test_who_would_reach_a_level(tmp_path):
    desk = RuleDesk(tmp_path)
    burst(desk, 0, 3)
    burst(desk, 3, 3)
    rule = COUNT.format(most=2).replace("per: account", "per: controller")
    levels = Rehearsed(desk.path, compiled(tmp_path, rule)).run
    assert [(levels.owner_name(level["owner"]), level["level"]) for level in levels.levels()] == [
        ("account A0000000", 1), ("group G1", 1)]
    assert desk.state.hash() == desk.restart()
    desk.close()


def test_any_slice_finds_the_same(tmp_path):
    desk = live(tmp_path, 5)
    program = compiled(tmp_path, *OTHERS)
    one, many = Rehearsed(desk.path, program, slice_=1), Rehearsed(desk.path, program, slice_=10**9)
    assert (one.tried, one.run.differences, one.run.counts) == (many.tried, many.run.differences, many.run.counts)
    assert one.run.counts["blocked"][0] > 0
    desk.close()


def test_a_day_without_orders_is_refused(tmp_path):
    desk = RuleDesk(tmp_path)
    with pytest.raises(ValueError, match="it has no order"):
        Rehearsed(desk.path)
    desk.close()


def test_orders_of_market_makers_are_counted(tmp_path):
    desk = RuleDesk(tmp_path)
    maker = msgspec.structs.replace(desk_limits().accounts[1], tags=ACCOUNT_TAGS["market_maker"])
    settings.set_account(desk.engine, maker, 0, desk.now_ns)
    burst(desk, 0, 4)
    burst(desk, 1, 5)
    found = Rehearsed(desk.path, compiled(tmp_path, COUNT.format(most=2))).run
    assert found.counts["blocked"] == [5, 5 * 100 * 99_900, 3]
    desk.close()
