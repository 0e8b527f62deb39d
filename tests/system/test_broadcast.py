"""Kills, unkills and rule sets for every shard: real shards, one of them away for a while, and a Redis that dies."""

import time

import pytest

from gateway.pb import control_pb2 as api
from gateway.pb import order_entry_pb2 as pb
from tests.redis_server import RedisServer
from tests.system.front import limit_order
from tests.system.officers import officer, rules_of, write_control_file
from tests.system.plant import tidegate, wait_until

WHO = {"scope": api.GROUP, "id": "G1", "reason": "test"}
AT = {2: ("L0004", "L0001"), 3: ("L0001", "L0005", "L0002")}  # of so many shards: an account of G1 at each


def in_a_group(limits):
    """The L accounts in one controller group."""
    credit = {"gross_limit_yuan": 4_000_000_000, "long_limit_yuan": 2_000_000_000, "short_limit_yuan": 2_000_000_000}
    limits["groups"] = [{"id": "G1"} | credit]
    next(account for account in limits["accounts"] if "ids" in account)["group"] = "G1"


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def start_shards(start_controlled, redis, tmp_path):
    """start_shards(count): shards 0, 1, ... of one cluster, with the same people."""

    def start(count):
        control = write_control_file(tmp_path / "people.yaml")
        flags = ("--redis", redis.url, "--cluster", "tests", "--shards", str(count))
        return [
            start_controlled(*flags, "--shard", str(number), control=control, change=in_a_group)
            for number in range(count)
        ]

    return start


def states(answer):
    return [(row.shard, row.state) for row in answer.shards]


def is_killed(gateway, group="G1"):
    return officer(gateway, "vera").GetExposure(scope=api.GROUP, id=group).killed


def in_force(gateway):
    return officer(gateway, "vera").GetRules().in_force.sha256


def steps(gateway, listen):
    """What officers did, as this shard's journal has it: (step, by, approved_by, reason)."""
    status = officer(gateway, "vera").GetStatus()
    listener = listen(officer(gateway, "vera"))
    wait_until(lambda: listener.after_seq >= status.newest_alert_seq, "all alerts")
    return [(alert.step, alert.by, alert.approved_by, alert.reason) for _, alert in listener.alerts if alert.step]


def rest(gateway, fronts, account, count=3):
    front = fronts(gateway, "load", account)
    for number in range(count):
        front.accepted(limit_order(f"r{number}", account, gateway.symbols["XSHG"][0]))
    return front


def test_a_kill_and_its_end_on_every_shard(start_shards, fronts, listen):
    shards = start_shards(3)
    sessions = [rest(gateway, fronts, account) for gateway, account in zip(shards, AT[3], strict=True)]
    report = officer(shards[0], "olga").Kill(**WHO, all_shards=True)
    assert states(report) == [(0, "confirmed"), (1, "confirmed"), (2, "confirmed")]
    assert ([row.total_affected_orders for row in report.shards], report.total_affected_orders) == ([3, 3, 3], 9)
    assert 0 < report.all_confirmed_us < 2_000_000
    for gateway, session, account in zip(shards, sessions, AT[3], strict=True):
        assert all(session.report(f"r{number}", pb.CANCELED) for number in range(3))
        assert session.order(limit_order("late", account, gateway.symbols["XSHG"][0])).reject_code == "R1501"
        assert steps(gateway, listen) == [("killed", "olga", "", "group G1: test")]
    waiting = officer(shards[1], "olga").Unkill(**WHO, all_shards=True)
    assert (waiting.state, waiting.all_shards, states(waiting)) == (api.WAITING, True, [])
    assert all(is_killed(gateway) for gateway in shards)
    done = officer(shards[1], "anna").Approve(proposal=waiting.id)
    assert states(done) == [(0, "confirmed"), (1, "confirmed"), (2, "confirmed")]
    assert done.all_confirmed_us > 0
    assert not any(is_killed(gateway) for gateway in shards)
    assert steps(shards[2], listen)[-1] == ("unkilled", "olga", "anna", "group G1: test")


def test_milliseconds_from_the_press_to_every_confirmation(start_shards):
    shards = start_shards(2)
    olga = officer(shards[0], "olga")
    took_us = sorted(olga.Kill(**WHO, all_shards=True).all_confirmed_us for _ in range(40))
    print(f"2 shards: median {took_us[20] / 1000:.1f} ms, worst {took_us[-1] / 1000:.1f} ms")
    assert 0 < took_us[20] < 200_000


def test_who_is_away_takes_it_before_its_door_opens(start_shards, fronts):
    first, second = start_shards(2)
    account = AT[2][1]
    rest(second, fronts, account)
    second.stop()
    report = officer(first, "olga").Kill(**WHO, all_shards=True, within_ms=300)
    assert (states(report), report.all_confirmed_us) == ([(0, "confirmed"), (1, "not_answered")], 0)
    assert is_killed(first)
    officer(first, "olga").Kill(scope=api.FIRM, reason="x", all_shards=True, within_ms=100)
    waiting = officer(first, "olga").Unkill(scope=api.FIRM, reason="y", all_shards=True)
    officer(first, "anna").Approve(proposal=waiting.id, within_ms=100)
    second.start()
    assert [line["kind"] for line in second.child.logged("cluster_command")] == ["kill", "kill", "unkill"]
    session = fronts(second, "load", account)
    assert session.order(limit_order("late", account, second.symbols["XSHG"][0])).reject_code == "R1501"
    assert fronts(second, "alpha", "A1").accepted(limit_order("free", "A1", second.symbols["XSHG"][0]))
    session.report("r0", pb.CANCELED)
    second.stop()
    second.start()
    assert second.child.logged("cluster_command")[3:] == [], "nothing is taken twice"


def test_without_redis_the_shard_itself_is_stopped_at_once(start_shards, redis):
    first, second = start_shards(2)
    kept = first.journal / "cluster-00.json"
    wait_until(lambda: '"shards":[0,1]' in kept.read_text(), "the first has heard of the second")
    redis.kill()
    began = time.monotonic()
    report = officer(first, "olga").Kill(**WHO, all_shards=True)
    assert time.monotonic() - began < 3.0
    assert states(report) == [(0, "confirmed"), (1, "not_told")]
    assert "away" in report.shards[1].reason
    assert (is_killed(first), is_killed(second)) == (True, False)
    redis.start()
    wait_until(lambda: "tidegate_cluster_up 1" in second.metrics(), "it is back")
    report = officer(first, "olga").Kill(**WHO, all_shards=True)
    assert states(report) == [(0, "confirmed"), (1, "confirmed")]
    assert is_killed(second)


def test_a_redis_that_forgot_is_told_again(start_shards, redis):
    first, second = start_shards(2)
    old = redis.copied()
    second.stop()
    officer(first, "olga").Kill(**WHO, all_shards=True, within_ms=100)
    redis.kill()
    redis.put_back(old)
    redis.start()
    wait_until(lambda: first.child.logged("cluster_command_restored"), "the stream has it again")
    second.start()
    assert is_killed(second)


def test_rules_on_every_shard(start_shards, listen):
    first, second = start_shards(2)
    olga, anna = officer(first, "olga"), officer(first, "anna")
    tight = olga.push(rules_of(300_000), "tight", all_shards=True)
    assert (tight.state, states(tight)) == (api.IN_FORCE, [(0, "confirmed"), (1, "confirmed")])
    assert in_force(first) == in_force(second) == tight.sha256
    waiting = olga.push(rules_of(400_000), "loose", all_shards=True)
    assert (waiting.state, in_force(second)) == (api.WAITING, tight.sha256)
    loose = anna.Approve(proposal=waiting.id)
    assert states(loose) == [(0, "confirmed"), (1, "confirmed")]
    assert in_force(first) == in_force(second) == loose.sha256
    assert [step[:3] for step in steps(second, listen)][-1] == ("in_force", "olga", "anna")
    back = olga.RollbackRules(reason="back", all_shards=True)
    assert states(back) == [(0, "confirmed"), (1, "confirmed")]
    own = officer(second, "olga").push(rules_of(100_000), "tighter here")
    again = olga.push(rules_of(200_000), "tighter everywhere", all_shards=True)
    assert states(again) == [(0, "confirmed"), (1, "refused")]
    assert "loosens what is in force here" in again.shards[1].reason
    assert in_force(second) == own.sha256


def test_rules_reach_a_shard_that_was_away(start_shards):
    first, second = start_shards(2)
    second.stop()
    olga, anna = officer(first, "olga"), officer(first, "anna")
    olga.push(rules_of(300_000), "tight", all_shards=True, within_ms=100)
    waiting = olga.push(rules_of(400_000), "loose", all_shards=True)
    loose = anna.Approve(proposal=waiting.id, within_ms=100)
    assert states(loose) == [(0, "confirmed"), (1, "not_answered")]
    second.start()
    assert in_force(second) == loose.sha256
    second.stop()
    second.start()
    assert in_force(second) == loose.sha256


def test_an_account_is_stopped_where_it_lives(start_shards):
    first, second = start_shards(2)
    report = officer(first, "olga").Kill(scope=api.ACCOUNT, id=AT[2][1], reason="x", all_shards=True)
    assert states(report) == [(0, "not_here"), (1, "confirmed")]
    assert "names no account" in report.shards[0].reason
    assert report.all_confirmed_us > 0
    assert officer(second, "vera").GetAccountState(scope=api.ACCOUNT, id=AT[2][1]).killed
    nobody = officer(first, "olga").Kill(scope=api.ACCOUNT, id="NOBODY", reason="x", all_shards=True)
    assert (states(nobody), nobody.all_confirmed_us) == ([(0, "not_here"), (1, "not_here")], 0)


def test_the_command_line(start_shards, tmp_path):
    first, second = start_shards(2)
    at = ("--at", f"127.0.0.1:{first.control_port}", "--token", "olga", "--reason", "x")
    done = tidegate("control", "kill", "group", "G1", *at, "--all-shards")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == [
        "killed group G1: 0 orders cancelled",
        "  shard 00: confirmed",
        "  shard 01: confirmed",
    ]
    assert done.stdout.splitlines()[3].startswith("confirmed by all 2 in ")
    folder = tmp_path / "new-rules"
    folder.mkdir()
    for name, text in rules_of().items():
        (folder / name).write_text(text)
    pushed = tidegate("rules", "push", str(folder), *at, "--all-shards")
    assert (pushed.returncode, "confirmed by all 2 in " in pushed.stdout) == (0, True)
    second.stop()
    done = tidegate("control", "kill", "firm", *at, "--all-shards", "--within", "0.1")
    assert (done.returncode, done.stderr) == (1, "tidegate: error: 1 of 2 shards confirmed\n")
    assert "shard 01: not answered: no answer in 0.1 s" in done.stdout
    alone = tidegate("control", "kill", "firm", *at)
    assert (alone.returncode, "shard" in alone.stdout) == (0, False)
