"""The drop copy of a real gateway, in a real Redis that fails in every way: no gap, nothing twice, trading goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ext import replay
from gateway.journal_file import JournalFile
from gateway.pb import order_entry_pb2 as pb
from tests.redis_server import RedisServer
from tests.system.front import Flow, limit_order
from tests.system.plant import ROOT, wait_until

DAY = 20261123
STREAM = "tidegate:tests:drop:00"


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        yield server


def flags(server):
    return ("--redis", server.url, "--cluster", "tests", "--drop-copy")


def journaled(path: Path):
    """{account index: event sequences} of a journal, in its order."""
    file = JournalFile(path, writable=False)
    found = {}
    for _, _, _, _, fields in replay.frames(file.journal):
        if fields.get("event_seq"):
            found.setdefault(fields["account"], []).append(fields["event_seq"])
    os.close(file.fd)
    return found


def copied(server):
    """{account id: event sequences} of the stream, in its order."""
    found = {}
    for _, fields in server.client().xrange(STREAM):
        found.setdefault(fields[b"account"].decode(), []).append(int(fields[b"event_seq"]))
    return found


def is_whole(gateway, server):
    """Whether the stream has each account's events from 1 without a gap, as many as the journal."""
    ours, theirs = journaled(gateway.journal_file), copied(server)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in theirs.values()), theirs
    return sorted(ours.values()) == sorted(theirs.values())


def metric(gateway, name):
    return float(re.search(rf"^{name} (\S+)", gateway.metrics(), re.M)[1])


def child_of(gateway):
    """The process id of the drop copy."""
    for line in Path(f"/proc/{gateway.child.process.pid}/task").iterdir():
        for pid in (line / "children").read_text().split():
            if b"gateway.drop_copy" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return None


def trade(gateway, fronts, count=5, name="o", account="A1"):
    """Orders that rest and one that is cancelled twice: reports of several kinds, and a cancel reject."""
    front = fronts(gateway, "alpha", account)
    symbol = gateway.symbols["XSHG"][0]
    for number in range(count):
        front.accepted(limit_order(f"{name}{number}", account, symbol, price_e4=95_000))
    front.cancel(account, f"{name}0")
    front.report(f"{name}0", pb.CANCELED)
    return front


def test_every_report_as_the_session_had_it(start_gateway, fronts, redis):
    gateway = start_gateway(flags=flags(redis))
    front = trade(gateway, fronts)
    front.send(new_order=limit_order("big", "A1", gateway.symbols["XSHG"][1], qty=2_000_000))
    front.report("big", pb.REJECTED)
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")
    entries = redis.client().xrange(STREAM)
    had = [message for message in front.messages if message.WhichOneof("message") != "logon_ack"]
    assert [pb.ServerMessage.FromString(fields[b"report"]) for _, fields in entries] == had
    assert [number.partition(b"-")[0] for number, _ in entries] == [str(DAY).encode()] * len(entries)
    kinds = [fields[b"exec_type"].decode() for _, fields in entries]
    assert kinds[:2] + kinds[-2:] == ["PENDING_NEW", "NEW", "CANCELED", "REJECTED"]
    wait_until(lambda: metric(gateway, "tidegate_drop_copy_added_total") == len(entries), "the metrics tell")
    assert (metric(gateway, "tidegate_drop_copy_lag"), metric(gateway, "tidegate_drop_copy_up")) == (0, 1)


def forgets_nothing(server):
    server.kill()
    server.start()


def forgets_everything(server):
    server.kill()
    server.wipe()
    server.start()


def hangs(server):
    server.pause()
    time.sleep(3.0)
    server.resume()


def is_full(server):
    """It refuses some batches in the middle of the flow, and takes what comes after them."""
    server.client().config_set("maxmemory", "1")
    time.sleep(1.0)
    server.client().config_set("maxmemory", "0")


@pytest.mark.parametrize("misfortune", [forgets_nothing, forgets_everything, hangs, is_full])
def test_redis_fails_under_flow(start_gateway, fronts, redis, misfortune):
    gateway = start_gateway(flags=flags(redis))
    front = fronts(gateway, "load", "L0001")
    flow = Flow(gateway, front, "L0001")
    wait_until(lambda: redis.client().xlen(STREAM) > 100, "the copy runs")
    misfortune(redis)
    flow.stop()
    answered_while_away(gateway, fronts)
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")
    wait_until(lambda: metric(gateway, "tidegate_drop_copy_lag") == 0, "no lag")
    behind, again = gateway.child.logged("drop_copy_behind"), gateway.child.logged("drop_copy_caught_up")
    assert (len(behind), len(again)) == (1, 1)
    assert metric(gateway, "tidegate_drop_copy_restarts_total") == 0


def answered_while_away(gateway, fronts):
    assert trade(gateway, fronts, name="after").of("execution_report")


def test_redis_comes_back_with_less(start_gateway, fronts, redis):
    """What it forgot comes again, also while nobody trades; and what was there stays as it was."""
    gateway = start_gateway(flags=flags(redis))
    trade(gateway, fronts, name="a")
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")
    old = redis.copied()
    had = redis.client().xrange(STREAM)
    trade(gateway, fronts, name="b", account="A2")
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole again")
    redis.kill()
    redis.put_back(old)
    redis.start()
    assert redis.client().xrange(STREAM)[: len(had)] == had
    wait_until(lambda: is_whole(gateway, redis), "what it forgot is there")
    assert redis.client().xrange(STREAM)[: len(had)] == had


def test_trading_never_waits_for_redis(start_gateway, fronts, redis):
    gateway = start_gateway(flags=flags(redis))
    redis.kill()
    trade(gateway, fronts, count=20)
    wait_until(lambda: metric(gateway, "tidegate_drop_copy_lag") >= 41, "the lag is told")
    assert metric(gateway, "tidegate_drop_copy_up") == 0
    redis.start()
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")


def test_the_copy_dies_then_the_gateway(start_gateway, fronts, redis):
    gateway = start_gateway(flags=flags(redis))
    flow = Flow(gateway, fronts(gateway, "load", "L0001"), "L0001", most=1500)
    wait_until(lambda: redis.client().xlen(STREAM) > 100, "the copy runs")
    first = child_of(gateway)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: child_of(gateway) not in (None, first), "it was started again")
    wait_until(lambda: flow.sent > 1000, "orders go on")
    gateway.kill()
    flow.stop()
    gateway.start()
    trade(gateway, fronts, name="after")
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")


def test_a_stream_of_another_journal_is_left_alone(start_gateway, fronts, redis):
    redis.client().xadd(STREAM, {"account": "A1", "event_seq": 7}, id=f"{DAY}-5")
    gateway = start_gateway(flags=flags(redis))
    trade(gateway, fronts)
    wait_until(lambda: gateway.child.logged("drop_copy_behind"), "it says so")
    assert "none of this journal's" in gateway.child.logged("drop_copy_behind")[0]["reason"]
    assert redis.client().xlen(STREAM) == 1
    redis.client().delete(STREAM)
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")


# --- consumers ---


class Follower:
    """A `tidegate drop-copy follow` process; lines: what it printed."""

    def __init__(self, folder, server, name, *more):
        self.output = folder / f"{name}.out"
        words = ["follow", "--redis", server.url, "--cluster", "tests", "--group", "desk", "--consumer", name]
        command = "from gateway.drop_follow import drop_copy; drop_copy()"
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", command, *words, "--take-over-s", "1", "--json", *more],
                stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )

    def read(self):
        lines = [line for line in self.output.read_text().splitlines(keepends=True) if line.startswith("{")]
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return [(row["account"], row["event_seq"]) for row in rows]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(5)


def test_two_consumers_and_one_is_killed(start_gateway, fronts, redis, tmp_path):
    gateway = start_gateway(flags=flags(redis))
    redis.client().xgroup_create(STREAM, "desk", id="0", mkstream=True)
    followers = [Follower(tmp_path, redis, name) for name in ("one", "two")]
    wait_until(lambda: len(redis.client().xinfo_consumers(STREAM, "desk")) == 2, "both read", 20)
    flow = Flow(gateway, fronts(gateway, "load", "L0001"), "L0001", most=1000)
    wait_until(lambda: all(follower.read() for follower in followers), "both were given some", 20)
    followers[0].end(signal.SIGKILL)
    forgets_nothing(redis)
    wait_until(lambda: flow.sent >= 1000, "all is sent")
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")
    entries = redis.client().xlen(STREAM)
    wait_until(lambda: len({*followers[0].read(), *followers[1].read()}) == entries, "everything was read", 20)
    own = followers[1].read()
    assert len(own) == len(set(own)), "a consumer prints nothing twice"
    wait_until(lambda: redis.client().xpending(STREAM, "desk")["pending"] == 0, "everything is acknowledged")
    forgets_everything(redis)
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole again")
    trade(gateway, fronts, name="later")
    wait_until(lambda: ("A1", 1) in followers[1].read(), "it goes on with a new group")
    own = followers[1].read()
    assert len(own) == len(set(own)), "nor after everything came again"
    followers[1].end()


def test_only_what_every_group_has_acknowledged_goes(start_gateway, fronts, redis):
    gateway = start_gateway(flags=(*flags(redis), "--drop-copy-most", "10"))
    trade(gateway, fronts, count=30)
    wait_until(lambda: is_whole(gateway, redis), "the stream is whole")
    client = redis.client()
    entries = [number for number, _ in client.xrange(STREAM)]
    client.xgroup_create(STREAM, "slow", id="0")
    client.xgroup_create(STREAM, "quick", id="0")
    for group, most in (("slow", 8), ("quick", 100)):
        client.xreadgroup(group, "c", {STREAM: ">"}, count=most)
    client.xack(STREAM, "quick", *entries)
    client.xack(STREAM, "slow", *entries[:3], *entries[4:8])
    trade(gateway, fronts, count=1, name="a")
    wait_until(lambda: client.xrange(STREAM)[0][0] == entries[3], "the first that is needed is the first there")
    client.xack(STREAM, "slow", entries[3])
    trade(gateway, fronts, count=1, name="b")
    wait_until(lambda: client.xrange(STREAM)[0][0] == entries[8], "it moves on")
    client.xgroup_destroy(STREAM, "slow")
    client.xgroup_setid(STREAM, "quick", "$")
    wait_until(lambda: client.xlen(STREAM) == 10, "the newest stay")
    assert gateway.child.logged("drop_copy_behind") == []
