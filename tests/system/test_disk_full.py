"""The journal's disk fills up under a real gateway: orders are refused in time, all else goes on, nothing is lost."""

import os
import re
import subprocess

import pytest

from gateway.pb import order_entry_pb2 as pb
from tests.system.front import limit_order
from tests.system.plant import Gateway, tidegate, wait_until
from tests.system.test_recovery import folded

MIB = 1 << 20
KEPT_BACK = 16 * MIB
DISK = 40 * MIB
LEFT = KEPT_BACK + 3 * MIB  # what the other file leaves: some thousand orders
MOST_ORDERS = 30_000
BATCH = 200


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a disk of 40 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tidegate-test", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs of its own cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def gateway(small_disk, exchanges, tmp_path):
    """A gateway whose journal is on that disk, where another file already takes most of it."""
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, DISK - LEFT)
    (tmp_path / "gateway").mkdir()
    running = Gateway(exchanges, tmp_path / "gateway")
    running.journal = small_disk / "journal"
    running.start()
    yield running
    running.stop()


def metric(gateway, name):
    return float(re.search(rf"^{name} (\S+)", gateway.metrics(), re.M)[1])


def flood(gateway, front, account, first=0):
    """Orders, also such as the ladder rejects, until one finds no room: how many were sent, and the refusal."""
    symbol = gateway.symbols["XSHG"][0]

    def refused():
        reports = front.of("execution_report")[-2 * BATCH :]
        return next((one for one in reports if one.reject_code == "R1613"), None)

    for number in range(first, first + MOST_ORDERS, BATCH):
        for at in range(number, number + BATCH):
            front.send(new_order=limit_order(f"f{at}", account, symbol, price_e4=95_000))
        front.report(f"f{number + BATCH - 1}", within_s=30)
        if (refusal := refused()) is not None:
            return number + BATCH, refusal
    raise AssertionError("the disk was never full")


def test_a_full_disk_refuses_orders_and_nothing_else(gateway, fronts, exchanges, small_disk):
    front, traders = fronts(gateway, "load", "L0001", "L0003"), fronts(gateway, "alpha", "A1", "A2")
    front.accepted(limit_order("mine", "L0001", gateway.symbols["XSHG"][1]))
    exchanges.control("XSHE", "stall")
    try:
        # These are on their way when the disk fills up, and trade while it is full.
        crossed = gateway.symbols["XSHE"][0]
        traders.order(limit_order("sell", "A1", crossed, side=pb.SELL, price_e4=100_000))
        traders.order(limit_order("buy", "A2", crossed, price_e4=100_000))
        sent, refusal = flood(gateway, front, "L0003")
    finally:
        exchanges.control("XSHE", "resume")
    assert refusal.reject_code == "R1613"
    values = re.search(r"v=(\d+) lim=(\d+)", refusal.text)
    assert values is not None, refusal.text
    assert int(values[1]) < int(values[2]) == KEPT_BACK
    assert refusal.event_seq == 0

    assert traders.report("sell", pb.TRADE).ord_status == pb.STATUS_FILLED
    assert traders.report("buy", pb.TRADE).ord_status == pb.STATUS_FILLED
    front.cancel("L0001", "mine")
    front.report("mine", pb.CANCELED)
    assert front.order(limit_order("late", "L0001", crossed)).reject_code == "R1613"
    wait_until(lambda: gateway.child.logged("disk_full"), "the log line")
    assert metric(gateway, "tidegate_disk_full") == 1
    assert 0 < metric(gateway, "tidegate_journal_free_bytes") < KEPT_BACK

    (small_disk / "filler").unlink()
    wait_until(lambda: gateway.child.logged("disk_has_room"), "room again")
    assert front.accepted(limit_order("late", "L0001", crossed)).ord_status == pb.STATUS_NEW
    assert metric(gateway, "tidegate_disk_full") == 0
    assert [len(gateway.child.logged(event)) for event in ("disk_full", "disk_has_room")] == [1, 1]

    for session, account in ((front, "L0001"), (front, "L0003"), (traders, "A1"), (traders, "A2")):
        assert session.sequence(account) == list(range(1, len(session.sequence(account)) + 1))
    reports = [*front.of("execution_report"), *traders.of("execution_report")]
    taken = [one for one in reports if one.exec_type == pb.PENDING_NEW and not one.reject_code]
    front.end()
    traders.end()
    assert gateway.stop() == 0
    state_hash, faults, accepted = folded(gateway.journal_file)
    assert faults == []
    assert sum(accepted.values()) == len({one.cl_ord_id for one in taken}) <= sent + 4
    assert gateway.child.logged("stopped")[-1]["state_hash"] == state_hash
    assert tidegate("journal", "verify", str(gateway.journal)).returncode == 0


def test_a_gateway_starts_on_a_full_disk_and_waits_for_room(gateway, fronts, small_disk):
    front = fronts(gateway, "load", "L0001", "L0003")
    front.accepted(limit_order("mine", "L0001", gateway.symbols["XSHG"][1]))
    flood(gateway, front, "L0003")
    front.end()
    assert gateway.stop() == 0
    gateway.start()
    front = fronts(gateway, "load", "L0001", "L0003")
    assert front.order(limit_order("late", "L0001", gateway.symbols["XSHG"][1])).reject_code == "R1613"
    front.cancel("L0001", "mine")
    front.report("mine", pb.CANCELED)
    (small_disk / "filler").unlink()
    wait_until(lambda: gateway.child.logged("disk_has_room"), "room again")
    front.accepted(limit_order("late", "L0001", gateway.symbols["XSHG"][1]))
    front.end()
    assert gateway.stop() == 0
    assert folded(gateway.journal_file)[1] == []
