"""Beyond capacity, with real processes: new orders are shed with a clear code, cancels pass, what is accepted stays."""

import asyncio
import os
import signal
import time
from collections import Counter

import pytest
import uvloop

from ext.buffers import Turn
from gateway.pb import order_entry_pb2 as pb
from loadtest.grpc_client import connect
from loadtest.storm import StormSession
from tests.system.front import limit_order
from tests.system.plant import wait_until

RESTING = {"price_e4": 95_000}
FLOODS = 6
ORDERS = 12_000  # of each flood: together some seconds of work, sent at once


@pytest.mark.parametrize("venue", ["XSHG", "XSHE"])
def test_an_exchange_that_stands_still_gets_no_new_orders_and_still_gets_cancels(
    start_gateway, fronts, exchanges, venue
):
    gateway = start_gateway()
    other = {"XSHG": "XSHE", "XSHE": "XSHG"}[venue]
    symbol, elsewhere = gateway.symbols[venue][0], gateway.symbols[other][0]
    front = fronts(gateway, "alpha", "A1")
    front.accepted(limit_order("before", "A1", symbol, **RESTING))
    exchanges.control(venue, "stall")
    try:
        # These are on their way when it stops: accepted, and owed an answer.
        front.send(new_order=limit_order("doubt", "A1", symbol, **RESTING))
        front.report("doubt", pb.PENDING_NEW)
        time.sleep(2.2)
        refused = front.order(limit_order("late", "A1", symbol, **RESTING))
        assert (refused.reject_code, refused.event_seq) == ("R1601", 0)
        assert refused.text.startswith("R1601 VENUE_DOWN field=exchange_silent_us v=2")
        assert refused.text.endswith(" lim=2000000")
        # Nothing is answered to a cancel that passes until the exchange does: it was not refused.
        front.send(cancel_order=pb.CancelOrder(cl_ord_id="c1", account="A1", orig_cl_ord_id="before"))
        assert front.accepted(limit_order("fine", "A1", elsewhere, **RESTING)).exec_type == pb.NEW
        assert gateway.is_link_up(venue)
        assert front.of("cancel_reject") == []
    finally:
        exchanges.control(venue, "resume")
    front.report("doubt", pb.NEW)
    front.report("before", pb.CANCELED)
    assert front.accepted(limit_order("late", "A1", symbol, **RESTING)).exec_type == pb.NEW
    assert 'tidegate_shed_total{what="venue_silent"} 1.0' in gateway.metrics()


def test_beyond_capacity_orders_are_shed_and_cancels_pass(start_gateway, fronts):
    """Several clients send a second's worth of orders at once, which is more than a shard may have waiting."""
    gateway = start_gateway()
    symbol = gateway.symbols["XSHG"][0]
    calm = fronts(gateway, "alpha", "A1")
    for number in range(20):
        calm.accepted(limit_order(f"rest{number}", "A1", symbol, **RESTING))
    answers, took_s = uvloop.run(flood(gateway, symbol, calm))
    kinds = Counter((report.exec_type, report.reject_code) for report in answers)
    accepted = [report for report in answers if report.exec_type == pb.PENDING_NEW]
    shed = [report for report in answers if report.reject_code == "R1609"]
    assert len(answers) == FLOODS * ORDERS, kinds
    assert len(accepted) + len(shed) == len(answers), kinds
    assert accepted, kinds
    if not shed:
        pytest.skip(f"this machine kept up with {len(answers)} orders at once: nothing waited long enough to be shed")
    assert all(report.event_seq == 0 and "field=waited_us" in report.text for report in shed)
    # Twenty cancels, one after the other, in the middle of it.
    assert took_s < 10
    for number in range(20):
        calm.report(f"rest{number}", pb.CANCELED, within_s=30)
    # It is over, and nothing of it is left: the next order passes, and every accepted one reached its exchange.
    assert calm.accepted(limit_order("after", "A1", symbol, **RESTING)).exec_type == pb.NEW
    wait_until(lambda: f'tidegate_reports_total{{exec_type="NEW"}} {len(accepted) + 21:.1f}' in gateway.metrics(),
               "every accepted order at its exchange", 30)


async def flood(gateway, symbol, calm):
    """(the first answer to each order of every flood, how long twenty cancels took to be sent)."""
    host, _, port = gateway.address.rpartition(":")
    heard = [[] for _ in range(FLOODS)]
    sessions = []
    for number in range(FLOODS):
        connection = await connect(Turn(asyncio.get_running_loop().call_soon), host, int(port))
        sessions.append(StormSession(connection, "load", [f"L{number + 1:04d}"], heard[number]))
        await sessions[-1].logged_on
    for number, session in enumerate(sessions):
        for at in range(ORDERS):
            order = limit_order(f"f{number}-{at}", f"L{number + 1:04d}", symbol, **RESTING)
            session.send(pb.ClientMessage(new_order=order).SerializeToString())
    await asyncio.sleep(0.05)
    began = time.monotonic()
    for number in range(20):
        calm.send(cancel_order=pb.CancelOrder(cl_ord_id=f"c{number}", account="A1", orig_cl_ord_id=f"rest{number}"))
    took_s = time.monotonic() - began
    answers = {}
    deadline = time.monotonic() + 40
    taken = [0] * FLOODS
    while len(answers) < FLOODS * ORDERS and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        for number, messages in enumerate(heard):
            for octets, _ in messages[taken[number]:]:
                report = pb.ServerMessage.FromString(octets).execution_report
                answers.setdefault(report.cl_ord_id, report)
            taken[number] = len(messages)
    answers.pop("", None)
    return list(answers.values()), took_s


def test_a_client_that_never_reads_is_cut_and_others_hear_everything(start_gateway, fronts):
    gateway = start_gateway()
    symbol = gateway.symbols["XSHG"][0]
    busy = fronts(gateway, "load", "L0001")
    pid = gateway.child.process.pid

    async def silent():
        host, _, port = gateway.address.rpartition(":")
        connection = await connect(Turn(asyncio.get_running_loop().call_soon), host, int(port))
        session = StormSession(connection, "load", ["L0001"])
        await session.logged_on
        session.stop_reading()
        for number in range(1500):
            busy.send(new_order=limit_order(f"n{number}", "L0001", symbol, **RESTING))
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        await asyncio.get_running_loop().run_in_executor(None, busy.report, "n1499", pb.NEW)

    uvloop.run(silent())
    assert busy.sequence("L0001") == list(range(1, len(busy.sequence("L0001")) + 1))
    assert resident_bytes(pid) < 1 << 31
    os.kill(pid, signal.SIGTERM)
    assert gateway.child.process.wait(20) == 0


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
