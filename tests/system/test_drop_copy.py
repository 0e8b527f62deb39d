"""The drop copy of a real gateway, in a real Redis that dies in every way: no gap, nothing twice, trading never waits."""

import os
import re
import signal
from pathlib import Path

import pytest

from ext import replay
from gateway.journal_file import JournalFile
from gateway.pb import order_entry_pb2 as pb
from tests.redis_server import RedisServer
from tests.system.front import Flow, limit_order
from tests.system.plant import wait_until

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
        front.accepted(limit_order(f"{name}{number}", account, symbol))
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
