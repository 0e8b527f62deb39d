"""Owner and standby as real processes, with a real Redis: takeover, hand-over, fencing; nothing lost, nothing twice."""

import re
import signal
import time

import grpc
import pytest

from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order, refused_with, state_of
from tests.system.nodes import Pair
from tests.system.officers import write_control_file
from tests.system.plant import tidegate, wait_until


@pytest.fixture
def pair(exchanges, tmp_path):
    nodes = Pair(exchanges, tmp_path)
    yield nodes
    nodes.stop()


def submit(node, name, account="A1", price_e4=95_000):
    """One order; its first report, None when the node does not serve the shard."""
    order = limit_order(name, account, node.symbols["XSHG"][0], price_e4=price_e4)
    try:
        return node.stub().Submit(order, **bearer("alpha"))
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        return None


def accepted(node, name):
    report = submit(node, name)
    assert report is not None
    assert report.exec_type == pb.PENDING_NEW, report
    return report


def handover(node):
    return tidegate("handover", "--at", f"127.0.0.1:{node.control_port}", "--token", "otto", "--reason", "upgrade")


def listed(node, account="A1"):
    return node.stub().ListOrders(pb.ListOrdersRequest(account=account, limit=1000), **bearer("alpha")).orders


def test_a_standby_may_be_read_and_says_where_the_owner_is(pair):
    owner, standby = pair.start()
    accepted(owner, "one")
    wait_until(lambda: len(listed(standby)) == 1, "the order at the standby")
    assert listed(standby)[0].state.cl_ord_id == "one"
    assert state_of(standby, "A1").cash_held_e4 == state_of(owner, "A1").cash_held_e4 > 0
    order = limit_order("two", "A1", owner.symbols["XSHG"][0])
    text = refused_with(grpc.StatusCode.UNAVAILABLE, standby.stub().Submit, order, **bearer("alpha"))
    assert text == f"R1614 NOT_OWNER redirect={owner.address}"


def test_the_standby_takes_over_when_the_owner_is_killed(pair, fronts):
    owner, standby = pair.start()
    front = fronts(owner, "alpha", "A1")
    names = [f"n{number}" for number in range(200)]
    for name in names:
        front.send(new_order=limit_order(name, "A1", owner.symbols["XSHG"][0], price_e4=95_000))
    front.report(names[-1])
    told = {report.cl_ord_id: report.event_seq for report in front.of("execution_report")}
    owner.kill()
    killed_s = time.monotonic()
    wait_until(lambda: submit(standby, "after") is not None, "an answer of the standby")
    took_s = time.monotonic() - killed_s
    assert accepted(standby, "again").ord_status == pb.STATUS_PENDING_NEW
    assert took_s < 5
    after = fronts(standby, "alpha", "A1")
    after.wait(lambda: {"again"} <= {r.cl_ord_id for r in after.of("execution_report")}, "its events")
    sequence = after.sequence("A1")
    assert sequence == list(range(1, len(sequence) + 1))
    assert set(told) <= after.named(), "every order that was answered is known"
    assert standby.wait_for("shard_taken_over")["epoch"] == 2


def test_an_owner_that_was_asleep_writes_nothing_any_more(pair):
    owner, standby = pair.start()
    accepted(owner, "before")
    owner.child.process.send_signal(signal.SIGSTOP)
    try:
        # The exchange keeps the sleeper's session until its heartbeats are missed; only then may the next log on.
        wait_until(lambda: standby.child.logged("shard_taken_over"), "the takeover")
        for venue in ("XSHG", "XSHE"):
            standby.wait_for_link(venue, within_s=30)
        accepted(standby, "during")
    finally:
        owner.child.process.send_signal(signal.SIGCONT)
    assert owner.child.process.wait(10) == 3
    assert owner.child.logged("ownership_lost")
    assert {order.state.cl_ord_id for order in listed(standby)} >= {"before", "during"}


def test_a_shard_is_handed_over_without_losing_an_order(exchanges, tmp_path, fronts):
    control = write_control_file(tmp_path / "control.yaml")
    pair = Pair(exchanges, tmp_path, "--control-port", "0", "--control", str(control))
    try:
        owner, standby = pair.start()
        front = fronts(owner, "alpha", "A1")
        for number in range(50):
            front.send(new_order=limit_order(f"n{number}", "A1", owner.symbols["XSHG"][0], price_e4=95_000))
        front.report("n49")
        done = handover(owner)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(rf"handed over in [\d.]+ ms: orders are served at {standby.address}\n", done.stdout)
        asked_s = time.monotonic()
        assert submit(owner, "too late") is None
        assert time.monotonic() - asked_s < 1, "who owns nothing any more says so at once"
        front.wait(lambda: front.ended, "the end of the stream")
        reject = front.of("session_reject")[-1]
        assert (reject.reject_code, reject.redirect, reject.fatal) == ("R1614", standby.address, True)
        wait_until(lambda: submit(standby, "after") is not None, "an answer of the new owner")
        assert owner.child.process.wait(10) == 0
        after = fronts(standby, "alpha", "A1")
        after.wait(lambda: len(after.sequence("A1")) >= 100, "the day's events")
        assert {f"n{number}" for number in range(50)} <= after.named()
    finally:
        pair.stop()


def test_without_a_standby_nothing_is_handed_over(exchanges, tmp_path):
    control = write_control_file(tmp_path / "control.yaml")
    pair = Pair(exchanges, tmp_path, "--control-port", "0", "--control", str(control))
    try:
        owner, _ = pair.nodes
        owner.launch()
        owner.wait_for_link("XSHG")
        refused = handover(owner)
        assert refused.returncode != 0
        assert "no standby follows this shard" in refused.stderr
        accepted(owner, "on we go")
    finally:
        pair.stop()
