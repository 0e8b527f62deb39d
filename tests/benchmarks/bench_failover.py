"""kill -9 of a shard's owner under load, planned hand-overs, and what waiting for a standby adds, with real processes.

Each kill is followed by a restart of the killed node, which becomes the standby of the one that took over.
"""

import contextlib
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from gateway.pb import order_entry_pb2 as pb
from tests.redis_server import free_port
from tests.system.front import Front, bearer, limit_order
from tests.system.nodes import Node, Pair
from tests.system.officers import write_control_file
from tests.system.plant import Exchanges, Gateway, tidegate, wait_until
from tests.system.test_recovery import ACCOUNTS, Trader, accepted_by, folded, listed

KILLS = int(os.environ.get("TIDEGATE_KILLS", "30"))
HAND_OVERS = 10
LOAD_S = 0.4  # before each kill
BATCH, PAUSE_S = 100, 0.01  # 10,000 orders a second
MOST_ORDERS = "1000000"
PROBES = 2_000


class Loader(Trader):
    """A trader that keeps a rate. rates: orders a second, before each kill."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def keep_up(self, node: Node, front: Front, stopped: threading.Event) -> None:
        due = time.monotonic()
        while not stopped.is_set():
            for _ in range(BATCH):
                front.send(new_order=self.next_order(node))
            due += PAUSE_S
            time.sleep(max(due - time.monotonic(), 0))


def until_accepted(node: Node, name: str) -> float:
    """Seconds until the node accepts this order for the first time; asked again and again, as a client does."""
    began = time.monotonic()
    order = limit_order(name, ACCOUNTS[0], node.symbols["XSHG"][0], price_e4=95_000)
    while time.monotonic() - began < 20:
        with contextlib.suppress(grpc.RpcError):
            report = node.stub().Submit(order, **bearer("load"))
            if report.exec_type == pb.PENDING_NEW or report.possible_duplicate:
                return time.monotonic() - began
        time.sleep(0.002)
    raise RuntimeError(f"{name}: not accepted within 20 s of the kill")


def kill_once(owner: Node, standby: Node, trader: Loader, number: int) -> float:
    """Load, kill -9, and the time to the standby's first acceptance."""
    front = Front(owner.stub())
    front.log_on("load", *ACCOUNTS, seen=trader.seen())
    stopped = threading.Event()
    loader = threading.Thread(target=trader.keep_up, args=(owner, front, stopped))
    loader.start()
    before = len(trader.sent)
    time.sleep(LOAD_S)
    trader.rates.append((len(trader.sent) - before) / LOAD_S)
    owner.kill()
    took_s = until_accepted(standby, f"probe-{number}")
    stopped.set()
    loader.join()
    front.wait(lambda: front.ended, "the end of the stream")
    trader.take(front)
    return took_s


def kills(folder: Path, exchanges: Exchanges) -> tuple[list[float], int, int, float]:
    """(seconds of each failover, acknowledged orders lost, orders executed twice, orders a second)."""
    pair = Pair(exchanges, folder, "--max-orders", MOST_ORDERS)
    trader, times, taken = Loader(), [], accepted_by(exchanges)
    try:
        owner, standby = pair.start()
        for number in range(KILLS):
            times.append(kill_once(owner, standby, trader, number))
            owner, standby = standby, owner
            before = len(owner.child.logged("standby_in_step"))
            standby.launch()
            owner.wait_for("standby_in_step", before + 1, 60)
        found = listed(owner)
        lost = len(set(trader.status) - set(found))
        wait_until(lambda: pb.STATUS_PENDING_NEW not in {one.ord_status for one in listed(owner).values()}, "NEW", 60)
        owner.stop()
        accepted = folded(owner.journal_file)[2]
        now = accepted_by(exchanges)
        doubled = sum(after - before for after, before in zip(now, taken, strict=True)) - sum(accepted.values())
        return times, lost, doubled, statistics.median(trader.rates)
    finally:
        pair.stop()


def hand_overs(folder: Path, exchanges: Exchanges) -> list[float]:
    """The longest time that an order waits around each planned hand-over, as a client that asks both nodes sees it."""
    control = write_control_file(folder / "control.yaml")
    pair = Pair(exchanges, folder, "--control", str(control), "--max-orders", MOST_ORDERS)
    ports = {node: free_port() for node in pair.nodes}
    for node, port in ports.items():
        node.flags += ("--control-port", str(port))
    waits = []
    try:
        owner, standby = pair.start()
        for number in range(HAND_OVERS):
            over, gaps = threading.Event(), []
            asking = threading.Thread(target=ask_both, args=((owner, standby), f"h{number}", over, gaps))
            asking.start()
            time.sleep(0.2)
            done = tidegate("handover", "--at", f"127.0.0.1:{ports[owner]}", "--token", "otto", "-m", "upgrade")
            if done.returncode:
                over.set()
                raise RuntimeError(done.stderr)
            time.sleep(0.3)
            over.set()
            asking.join()
            waits.append(max(gaps))
            owner.child.process.wait(20)
            owner.child.close()
            owner, standby = standby, owner
            before = len(owner.child.logged("standby_in_step"))
            wait_until(lambda at=ports[owner]: listens(at), "the new owner's control port", 30)
            standby.launch()
            owner.wait_for("standby_in_step", before + 1, 60)
        return waits
    finally:
        pair.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask_both(nodes: tuple[Node, ...], prefix: str, over: threading.Event, gaps: list[float]) -> None:
    """One order after the other, at whichever node takes it; the time from each one's first sending to its answer."""
    number, at = 0, 0
    while not over.is_set():
        order = limit_order(f"{prefix}-{number}", ACCOUNTS[1], nodes[0].symbols["XSHG"][1], price_e4=95_000)
        began, number = time.monotonic(), number + 1
        while True:
            try:
                nodes[at].stub().Submit(order, **bearer("load"))
                break
            except grpc.RpcError:
                at = (at + 1) % len(nodes)
                time.sleep(0.001)
        gaps.append(time.monotonic() - began)


@contextlib.contextmanager
def served(exchanges: Exchanges, folder: Path, durability: str) -> Iterator[Gateway]:
    """A shard in this durability, ready to trade."""
    folder.mkdir()
    if durability == "process":
        gateway = Gateway(exchanges, folder)
        try:
            yield gateway.start()
        finally:
            gateway.stop()
        return
    pair = Pair(exchanges, folder)
    try:
        yield pair.start()[0]
    finally:
        pair.stop()


def lone_latencies_us(gateway: Gateway) -> list[float]:
    """One order in flight on a stream: from sending to its first report."""
    front = Front(gateway.stub())
    front.log_on("load", ACCOUNTS[2])
    taken = []
    for number in range(PROBES):
        order = limit_order(f"p{number}", ACCOUNTS[2], gateway.symbols["XSHG"][2], price_e4=95_000)
        began = time.perf_counter_ns()
        front.send(new_order=order)
        front.report(order.cl_ord_id)
        taken.append((time.perf_counter_ns() - began) / 1_000)
        front.messages.clear()
    front.end()
    return sorted(taken[PROBES // 10 :])


def replica_cost(exchanges: Exchanges, folder: Path, runs: int) -> dict[str, list[float]]:
    """p50 and p99 of a lone order in `process` and in `replica`, run by run side by side."""
    found: dict[str, list[float]] = {"p50": [], "p99": [], "process_p50": [], "process_p99": []}
    for number in range(runs):
        both = {}
        for durability in ("process", "replica"):
            with served(exchanges, folder / f"{durability}-{number}", durability) as gateway:
                taken = lone_latencies_us(gateway)
                both[durability] = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
        for at, name in enumerate(("p50", "p99")):
            found[name].append(both["replica"][at] - both["process"][at])
            found[f"process_{name}"].append(both["process"][at])
    return found


def figure(
    value: float, unit: str, target: str, note: str, runs: list[float] | None = None, **more: Any
) -> dict[str, Any]:
    return {"value": value, "unit": unit, "target": target, "note": note, "runs": runs or [value]} | more


def run(runs: int) -> dict[str, dict[str, Any]]:
    """kill_lost, kill_doubled, failover_p99_ms, handover_worst_ms, replica_added_p50_us, replica_added_p99_us."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("exchanges", "kills", "hand-overs", "cost"):
            (folder / name).mkdir()
        exchanges = Exchanges(folder / "exchanges")
        try:
            times, lost, doubled, rate = kills(folder / "kills", exchanges)
            waits = hand_overs(folder / "hand-overs", exchanges)
            cost = replica_cost(exchanges, folder / "cost", runs)
        finally:
            exchanges.stop()
    times_ms, waits_ms = sorted(1_000 * s for s in times), [1_000 * s for s in waits]
    note = f"{KILLS} kills under {rate:,.0f} orders/s"
    median = statistics.median
    return {
        "kill_lost": figure(lost, "orders", "<= 0", note),
        "kill_doubled": figure(doubled, "orders", "<= 0", note),
        "failover_p99_ms": figure(
            times_ms[len(times_ms) * 99 // 100], "ms", "< 1000", f"median {median(times_ms):,.0f} ms", times_ms
        ),
        "handover_worst_ms": figure(
            max(waits_ms), "ms", "< 100", f"{HAND_OVERS} hand-overs, median {median(waits_ms):,.0f} ms", waits_ms
        ),
        "replica_added_p50_us": figure(
            median(cost["p50"]), "us", "< 100", "one order in flight", cost["p50"], baseline=median(cost["process_p50"])
        ),
        "replica_added_p99_us": figure(
            median(cost["p99"]), "us", "< 300", "one order in flight", cost["p99"], baseline=median(cost["process_p99"])
        ),
    }
