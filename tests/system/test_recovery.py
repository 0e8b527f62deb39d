"""kill -9 under load, torn and damaged journals: nothing acknowledged is lost, nothing is doubled."""

import random
import threading
import time

import pytest

from ext import queries, replay
from ext.engine import Engine
from ext.state import State
from gateway.journal_file import JournalFile
from gateway.pb import order_entry_pb2 as pb
from tests.system.front import DONE, bearer, limit_order
from tests.system.plant import StartError, tidegate, wait_until

ACCOUNTS = [f"L{number:04d}" for number in range(1, 41)]
ROUNDS = 3
ORDERS_A_ROUND = 20_000  # at most: a round ends with a kill
BATCH = 40  # every few milliseconds: a few thousand orders a second


class Trader:
    """A front end with a memory: sends orders and cancels until its stream breaks, and goes on where it was."""

    def __init__(self):
        self.random = random.Random(7)
        self.sent = {}  # cl_ord_id -> NewOrder
        self.reports = {account: [] for account in ACCOUNTS}  # in event sequence
        self.status = {}  # cl_ord_id -> newest status

    def next_order(self, gateway):
        number = len(self.sent)
        venue = ("XSHG", "XSHE")[self.random.randrange(2)]
        side = (pb.BUY, pb.SELL)[number % 5 == 0]
        price = self.random.choice((99_000, 99_500, 100_000))
        order = limit_order(
            f"r{number}",
            self.random.choice(ACCOUNTS),
            self.random.choice(gateway.symbols[venue]),
            side=side,
            price_e4=price,
        )
        self.sent[order.cl_ord_id] = order
        return order

    def load(self, gateway, front, stopped):
        """Batches of orders, some cancelled at once, until told to stop."""
        for _ in range(ORDERS_A_ROUND // BATCH):
            if stopped.is_set():
                return
            for number in range(BATCH):
                order = self.next_order(gateway)
                front.send(new_order=order)
                if number % 4 == 0:
                    front.cancel(order.account, order.cl_ord_id)
            time.sleep(0.005)

    def seen(self):
        return {account: len(reports) for account, reports in self.reports.items()}

    def take(self, front):
        """Append what a stream brought: each account's events must go on exactly where they were."""
        for message in front.messages:
            event = getattr(message, message.WhichOneof("message"))
            if not getattr(event, "event_seq", 0):
                continue
            assert event.event_seq == len(self.reports[event.account]) + 1, event
            self.reports[event.account].append(event)
            if isinstance(event, pb.ExecutionReport):
                before = self.status.get(event.cl_ord_id, 0)
                assert event.ord_status >= before, f"{event.cl_ord_id} went back from {before}: {event}"
                assert before not in DONE, f"{event.cl_ord_id} was done: {event}"
                self.status[event.cl_ord_id] = event.ord_status


def listed(gateway):
    """Every order of every account, cl_ord_id -> state."""
    found = {}
    for account in ACCOUNTS:
        after, more = 0, True
        while more:
            page = gateway.stub().ListOrders(
                pb.ListOrdersRequest(account=account, after_order_id=after, limit=1000), **bearer("load")
            )
            more = page.more
            for order in page.orders:
                assert order.state.cl_ord_id not in found, "one cl_ord_id, two orders"
                found[order.state.cl_ord_id] = order.state
                after = order.state.order_id
    return found


def folded(path):
    """(hash, faults, decisions accepted by venue) of a journal, read only."""
    file = JournalFile(path, writable=False)
    try:
        state = State(4096, 1 << 18, 1 << 18)
        engine = Engine(state, file.journal)
        replay.fold(state, file.journal)
        result = state.hash(), queries.check_invariants(engine)
        accepted = {1: 0, 2: 0}
        for _, _, kind, _, fields in replay.frames(file.journal):
            if kind == "ORDER" and fields["code"] == 1:
                accepted[fields["venue"]] += 1
        return *result, accepted
    finally:
        file.close()


def accepted_by(exchanges):
    """Orders that each exchange has accepted so far."""
    return [exchanges.control(venue, "status")["accepted"] for venue in ("XSHG", "XSHE")]


def kill_under_load(gateway, front, trader, exchanges, in_doubt):
    """Load, kill -9 in the middle of it, start again; in_doubt: the exchanges never read the last orders."""
    stopped = threading.Event()
    loader = threading.Thread(target=trader.load, args=(gateway, front, stopped))
    loader.start()
    wait_until(lambda: len(front.messages) > 2000, "load", 30)
    for venue in exchanges.ports if in_doubt else ():
        exchanges.control(venue, "stall")
    time.sleep(0.1 if in_doubt else 0.0)
    assert loader.is_alive(), "the load ended before the kill"
    gateway.kill()
    for venue in exchanges.ports if in_doubt else ():
        exchanges.control(venue, "disconnect")
    front.wait(lambda: front.ended, "the end of the stream")
    stopped.set()
    loader.join()
    trader.take(front)
    gateway.start()


def finish(gateway, front, trader):
    """Ask again for every order that got no answer, and wait until the exchanges and every event have come."""
    for cl_ord_id in set(trader.sent) - set(trader.status):
        front.send(new_order=trader.sent[cl_ord_id])
    wait_until(lambda: front.named() | set(trader.status) >= set(trader.sent), "every order", 60)
    wait_until(lambda: pb.STATUS_PENDING_NEW not in {one.ord_status for one in listed(gateway).values()}, "NEW", 20)
    seen = trader.seen()
    for name in ACCOUNTS:
        newest = gateway.stub().GetAccount(pb.GetAccountRequest(account=name), **bearer("load")).event_seq
        wait_until(lambda name=name, newest=newest: seen[name] + len(front.sequence(name)) >= newest, "every event", 30)
    trader.take(front)


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_kill_9_under_load(start_gateway, fronts, exchanges, transport):
    gateway = start_gateway(transport=transport)
    taken = accepted_by(exchanges)
    trader = Trader()
    for round_number in range(ROUNDS):
        front = fronts(gateway, "load", *ACCOUNTS, seen=trader.seen())
        kill_under_load(gateway, front, trader, exchanges, in_doubt=round_number == 1)
        found = listed(gateway)
        for cl_ord_id, status in trader.status.items():
            assert cl_ord_id in found, f"{cl_ord_id} was acknowledged and is gone"
            assert found[cl_ord_id].ord_status >= status
    assert sum(line.get("resent", 0) for line in gateway.child.logged("venue_link")) > 0, "no order was in doubt"

    finish(gateway, fronts(gateway, "load", *ACCOUNTS, seen=trader.seen()), trader)
    assert set(trader.status) == set(trader.sent)
    assert {name: one.ord_status for name, one in listed(gateway).items()} == trader.status

    assert gateway.stop() == 0
    state_hash, faults, accepted = folded(gateway.journal_file)
    assert faults == []
    now = accepted_by(exchanges)
    assert [after - before for after, before in zip(now, taken, strict=True)] == [accepted[1], accepted[2]]
    assert gateway.child.logged("stopped")[-1]["state_hash"] == state_hash
    verified, replayed = (tidegate("journal", command, str(gateway.journal)) for command in ("verify", "replay"))
    assert (verified.returncode, replayed.returncode) == (0, 0), verified.stderr + replayed.stderr
    assert state_hash in replayed.stdout


@pytest.fixture
def with_orders(start_gateway, fronts):
    """A gateway stopped with a few hundred orders in its journal, most of them open."""
    gateway = start_gateway()
    front = fronts(gateway, "load", "L0001", "L0002")
    for number in range(300):
        front.send(new_order=limit_order(f"t{number}", f"L000{1 + number % 2}", gateway.symbols["XSHG"][0]))
    front.report("t299", pb.NEW)
    front.end()
    assert gateway.stop() == 0
    return gateway


def frame_offsets(path):
    """Offset of every frame, and the end."""
    file = JournalFile(path, writable=False)
    try:
        return [offset for offset, *_ in replay.frames(file.journal)], file.journal.end
    finally:
        file.close()


def test_names_are_kept_over_a_restart(with_orders, fronts):
    with_orders.start()
    front = fronts(with_orders, "load", "L0001")
    order = limit_order("t0", "L0001", with_orders.symbols["XSHG"][0])
    front.send(new_order=order)
    again = front.first("execution_report", lambda report: report.possible_duplicate)
    assert (again.cl_ord_id, again.ord_status, again.event_seq) == ("t0", pb.STATUS_NEW, 0)
    order.price_e4 += 100
    assert with_orders.stub().Submit(order, **bearer("load")).reject_code == "R1201"
    listed_now = with_orders.stub().ListOrders(pb.ListOrdersRequest(account="L0001", limit=1000), **bearer("load"))
    assert len(listed_now.orders) == 150


@pytest.mark.parametrize("left", [8, 40, 100])
def test_a_torn_tail_is_cut(with_orders, fronts, left):
    """The first bytes of a frame that was being written when the process died."""
    offsets, end = frame_offsets(with_orders.journal_file)
    with with_orders.journal_file.open("r+b") as file:
        file.seek(offsets[-1])
        whole = file.read(end - offsets[-1])
        file.seek(end)
        # A checksum of zero, as before commit: it comes last.
        file.write((whole[:4] + bytes(4) + whole[8:])[:left])
    with_orders.start()
    assert with_orders.child.logged("recovered")[-1]["torn_bytes"] > 0
    front = fronts(with_orders, "load", "L0001", "L0002")
    front.accepted(limit_order("after", "L0001", with_orders.symbols["XSHG"][0]))
    assert front.sequence("L0001") == list(range(1, 303))
    front.end()
    with_orders.stop()
    assert folded(with_orders.journal_file)[1] == []


@pytest.mark.parametrize("where", ["body", "size", "checksum"])
def test_a_flipped_bit_in_the_middle_is_refused(with_orders, where):
    offsets, _ = frame_offsets(with_orders.journal_file)
    offset = offsets[len(offsets) // 2]
    at = offset + {"size": 1, "checksum": 5, "body": 40}[where]
    with with_orders.journal_file.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))
    with_orders.log.write_text("")
    with pytest.raises(StartError) as error:
        with_orders.start()
    lines = [line for line in error.value.said.splitlines() if not line.startswith("{")]
    assert (error.value.code, len(lines)) == (2, 1), error.value.said
    assert f"{with_orders.journal_file}: offset {offset}:" in lines[0]
    verified = tidegate("journal", "verify", str(with_orders.journal))
    assert verified.returncode == 2
    assert f"offset {offset}" in verified.stderr
    assert "Traceback" not in verified.stderr
