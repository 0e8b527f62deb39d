"""Snapshots of a running gateway: written beside it, begun with after kill -9, refused when damaged, never needed."""

import os
import signal

import pytest

from ext import queries
from ext.state import State
from gateway.journal_file import JournalFile
from gateway.pb import order_entry_pb2 as pb
from gateway.recovery import folded
from gateway.snapshots import snapshot_files
from tests.system.front import limit_order
from tests.system.plant import wait_until

OFTEN = ("--snapshot-every-s", "0.3")


@pytest.fixture
def trading(start_gateway, fronts):
    """A gateway that writes snapshots, and a front end that has orders in it."""
    gateway = start_gateway(flags=OFTEN)
    front = fronts(gateway, "load", "L0001", "L0002")
    send(gateway, front, range(200))
    wait_until(lambda: gateway.child.logged("snapshot_written"), "a snapshot", 20)
    return gateway, front


def send(gateway, front, numbers):
    for number in numbers:
        front.send(new_order=limit_order(f"s{number}", f"L000{1 + number % 2}", gateway.symbols["XSHG"][0]))
    front.report(f"s{numbers[-1]}", pb.NEW)


def recovered(gateway):
    return gateway.child.logged("recovered")[-1]


def alone(path):
    """(hash, faults) of the journal without any snapshot."""
    for snapshot in snapshot_files(path):
        snapshot.unlink()
    file = JournalFile(path, writable=False)
    try:
        engine = folded(file.journal, lambda: State(4096, 1 << 18, 1 << 18), lambda *_, **__: None)
        return engine.state.hash(), queries.check_invariants(engine)
    finally:
        file.close()


def test_a_killed_gateway_begins_with_its_newest_snapshot(trading, fronts):
    gateway, front = trading
    for beginning in (200, 400, 600):
        written = len(gateway.child.logged("snapshot_written"))
        send(gateway, front, range(beginning, beginning + 200))
        wait_until(lambda written=written: len(gateway.child.logged("snapshot_written")) > written, "another", 20)
    assert len(snapshot_files(gateway.journal_file)) <= 2
    send(gateway, front, range(800, 900))
    assert 'tidegate_snapshots_total 0.0' not in gateway.metrics()
    gateway.kill()
    gateway.start()
    found = recovered(gateway)
    newest = snapshot_files(gateway.journal_file)[0].name
    assert (found["snapshot"], found["refused"], found["faults"]) == (newest, [], [])
    assert 0 < found["frames_folded"] < found["frames"]
    assert found["orders"] == 900
    again = fronts(gateway, "load", "L0001", "L0002")
    send(gateway, again, range(900, 1000))
    again.end()
    assert gateway.stop() == 0
    state_hash, faults = alone(gateway.journal_file)
    assert faults == []
    assert gateway.child.logged("stopped")[-1]["state_hash"] == state_hash


def test_a_damaged_snapshot_is_refused_and_the_next_used(trading):
    gateway, front = trading
    written = len(gateway.child.logged("snapshot_written"))
    send(gateway, front, range(200, 300))
    wait_until(lambda: len(gateway.child.logged("snapshot_written")) > written, "another", 20)
    gateway.kill()
    newest, older = snapshot_files(gateway.journal_file)
    octets = bytearray(newest.read_bytes())
    octets[len(octets) // 2] ^= 1
    newest.write_bytes(octets)
    gateway.start()
    assert recovered(gateway)["snapshot"] == older.name
    assert recovered(gateway)["refused"] == [f"{newest.name}: it is damaged: its checksum is another"]
    gateway.kill()
    for path in snapshot_files(gateway.journal_file):
        path.write_bytes(path.read_bytes()[:1000])
    gateway.start()
    assert recovered(gateway)["snapshot"] == ""
    assert recovered(gateway)["orders"] == 300
    refused = gateway.child.logged("snapshot_refused")[-1]
    assert refused["file"].startswith(str(gateway.journal))
    assert "it ends after" in refused["reason"]


def test_the_journal_before_a_snapshot_is_read_as_well(trading):
    """A flipped bit there is damage, though nothing has to be folded."""
    gateway, _ = trading
    gateway.kill()
    with gateway.journal_file.open("r+b") as file:
        file.seek(5000)
        octet = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([octet ^ 1]))
    with pytest.raises(Exception, match=r"offset \d+: frame \d+ is changed"):
        gateway.start()


def test_its_process_is_started_again(trading):
    gateway, front = trading
    process = next(pid for pid in os.listdir("/proc") if pid.isdigit() and is_child(pid, gateway.child.process.pid))
    written = len(gateway.child.logged("snapshot_written"))
    os.kill(int(process), signal.SIGKILL)
    wait_until(lambda: gateway.child.logged("snapshots_lost"), "its end is seen", 20)
    send(gateway, front, range(200, 300))
    wait_until(lambda: len(gateway.child.logged("snapshot_written")) > written, "another snapshot", 20)
    assert "tidegate_snapshot_restarts_total 1.0" in gateway.metrics()


def is_child(pid, parent):
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as command:
            return int(stat.read().rsplit(")", 1)[1].split()[1]) == parent and "gateway.snapshots" in command.read()
    except OSError:
        return False


def test_there_are_none_when_none_are_asked_for(start_gateway, fronts):
    gateway = start_gateway(flags=("--snapshot-every-s", "0"))
    send(gateway, fronts(gateway, "load", "L0001", "L0002"), range(20))
    assert "tidegate_snapshots" not in gateway.metrics()
    assert gateway.stop() == 0
    assert snapshot_files(gateway.journal_file) == []
