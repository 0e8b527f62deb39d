"""Suspended orders over the wire, on both transports: held, confirmed, withdrawn, expired; levels outlive a stop."""

import time

import grpc
import pytest

from ext import queries, response, sweeps, tape
from ext.buffers import Turn
from ext.codes import PHASES
from ext.engine import Engine
from ext.session import Session, Stages
from ext.state import State
from gateway.journal_file import JournalFile
from gateway.pb import order_entry_pb2 as pb
from gateway.transport import TRANSPORTS
from tests.system.front import bearer, limit_order, refused_with

CONFIRM, NO_BUY = 2, 1
ACCOUNT = 1


def set_levels(gateway, **levels):
    """While the gateway is down: response levels of accounts into its journal, as it would have written them itself."""
    file = JournalFile(gateway.journal_file)
    engine = Engine(State(2048, 1 << 18, 200_000), file.journal)
    sweeps.recover(engine)
    for account, (level, mask) in levels.items():
        index = queries.account_index(engine, account)
        response.set_level(engine, ACCOUNT, index, level, mask=mask, by="ann", reason="a test", now_ns=time.time_ns())
    file.close()


@pytest.fixture(params=TRANSPORTS)
def gateway(request, start_gateway):
    """A gateway whose account A1 must confirm every order, and A2 may not buy; it was started again since."""
    running = start_gateway(transport=request.param)
    running.stop()
    set_levels(running, A1=(CONFIRM, 0), A2=(4, NO_BUY))
    return running.start()


def confirm_on(front, account, cl_ord_id, **fields):
    front.send(confirm_order=pb.ConfirmOrder(account=account, cl_ord_id=cl_ord_id, **fields))


def test_a_session_holds_confirms_and_withdraws(gateway, fronts):
    front = fronts(gateway, "alpha", "A1", "A2")
    symbol = gateway.symbols["XSHG"][0]
    told = [front.first("risk_notice", lambda notice, name=name: notice.account == name).text for name in ("A1", "A2")]
    assert told == ["stands at L2 CONFIRM", "stands at L4 RESTRICT"]
    waiting = front.order(limit_order("one", "A1", symbol))
    assert (waiting.exec_type, waiting.ord_status) == (pb.SUSPENDED, pb.STATUS_SUSPENDED)
    assert (waiting.reject_code, waiting.leaves_qty_shares) == ("", 100)
    assert waiting.text.startswith("R1502 MANUAL v=2 lim=0 ")
    assert waiting.confirm_by_ns == waiting.time_ns + 30 * 10**9
    held = gateway.stub().GetAccount(pb.GetAccountRequest(account="A1"), **bearer("alpha"))
    assert (held.cash_held_e4, held.open_orders) == (0, 0)
    again = fronts(gateway, "alpha", "A1").report("one")
    assert (again.exec_type, again.confirm_by_ns) == (pb.SUSPENDED, waiting.confirm_by_ns)
    confirm_on(front, "A1", "one")
    assert front.report("one", pb.NEW).leaves_qty_shares == 100
    confirm_on(front, "A1", "one")
    assert front.first("session_reject").reject_code == "R1606"
    front.order(limit_order("two", "A1", symbol))
    confirm_on(front, "A1", "two", withdraw=True)
    ended = front.report("two", pb.REJECTED)
    assert (ended.reject_code, ended.leaves_qty_shares) == ("R1502", 0)
    front.order(limit_order("three", "A1", symbol))
    front.cancel("A1", "three")
    assert front.report("three", pb.REJECTED).reject_code == "R1502"
    assert front.sequence("A1") == list(range(1, 8))


def test_unary_calls_confirm_and_say_what_cannot_be(gateway):
    stub, symbol = gateway.stub(), gateway.symbols["XSHE"][0]
    waiting = stub.Submit(limit_order("one", "A1", symbol), **bearer("alpha"))
    assert waiting.ord_status == pb.STATUS_SUSPENDED
    released = stub.Confirm(pb.ConfirmOrder(account="A1", order_id=waiting.order_id), **bearer("alpha"))
    assert (released.exec_type, released.event_seq) == (pb.PENDING_NEW, 2)
    one, none = (pb.ConfirmOrder(account="A1", cl_ord_id=name) for name in ("one", "none"))
    twice = refused_with(grpc.StatusCode.FAILED_PRECONDITION, stub.Confirm, one, **bearer("alpha"))
    assert twice.startswith("R1606: confirm: got cl_ord_id 'one', which is ")
    unknown = refused_with(grpc.StatusCode.NOT_FOUND, stub.Confirm, none, **bearer("alpha"))
    assert unknown == "R1604: confirm: got cl_ord_id 'none', expected an order of this account"
    others = pb.ConfirmOrder(account="A2", order_id=waiting.order_id)
    assert refused_with(grpc.StatusCode.NOT_FOUND, stub.Confirm, others, **bearer("alpha")).startswith("R1604")
    foreign = pb.ConfirmOrder(account="A1", order_id=waiting.order_id)
    refused_with(grpc.StatusCode.PERMISSION_DENIED, stub.Confirm, foreign, **bearer("beta"))
    stub.Submit(limit_order("two", "A1", symbol), **bearer("alpha"))
    cancelled = stub.Cancel(pb.CancelOrder(cl_ord_id="x", account="A1", orig_cl_ord_id="two"), **bearer("alpha"))
    assert cancelled.execution_report.reject_code == "R1502"
    stub.Submit(limit_order("three", "A1", symbol), **bearer("alpha"))
    of_symbol = pb.MassCancelRequest(account="A1", symbol=symbol, security_exchange=pb.XSHE)
    many = stub.MassCancel(of_symbol, **bearer("alpha"))
    assert many.total_affected_orders == 2
    repeat = stub.Submit(limit_order("three", "A1", symbol), **bearer("alpha"))
    assert (repeat.possible_duplicate, repeat.ord_status, repeat.reject_code) == (True, pb.STATUS_REJECTED, "R1502")


def test_a_restriction_outlives_the_restart_and_stops_no_sell(gateway, fronts):
    front = fronts(gateway, "alpha", "A2")
    symbol = gateway.symbols["XSHG"][1]
    refused = front.order(limit_order("buy", "A2", symbol))
    assert (refused.reject_code, refused.text.split(" rule=")[0]) == ("R1002", "R1002 STATE v=1 lim=4")
    sell = limit_order("sell", "A2", symbol, side=pb.SELL, price_e4=101_000)
    assert front.accepted(sell).ord_status == pb.STATUS_NEW
    front.cancel("A2", "sell")
    assert front.report("sell", pb.CANCELED)


def test_a_confirmation_is_another_accounts_business(gateway, fronts):
    front = fronts(gateway, "alpha", "A2")
    confirm_on(front, "A1", "one")
    assert front.first("session_reject").reject_code == "R1001"
    assert not front.ended
    confirm_on(front, "A2", "nothing")
    assert front.first("session_reject", lambda reject: reject.reject_code == "R1604").field == "confirm_order"


def test_the_timer_ends_what_is_over(start_gateway, fronts):
    """An order that waited since before the restart, and a level with an end."""
    gateway = start_gateway()
    gateway.stop()
    suspend_one(gateway, "A1", since_ns=time.time_ns() - 27 * 10**9)
    gateway.start()
    front = fronts(gateway, "alpha", "A1", "A2")
    assert front.report("one").exec_type == pb.SUSPENDED
    assert front.order(limit_order("two", "A2", gateway.symbols["XSHG"][0])).reject_code == "R1002"
    ended = front.report("one", pb.REJECTED)
    assert (ended.reject_code, ended.event_seq) == ("R1502", 2)
    notice = front.first("risk_notice", lambda notice: notice.level == 3)
    assert (notice.level, notice.text) == (3, "L3 THROTTLE: its time ran out")
    assert front.order(limit_order("three", "A2", gateway.symbols["XSHG"][0])).reject_code == ""
    assert gateway.child.logged("time_over")


def suspend_one(gateway, account, since_ns):
    """While the gateway is down: a suspended order of long ago, and a level of A2 that ends in three seconds."""
    file = JournalFile(gateway.journal_file)
    engine = Engine(State(2048, 1 << 18, 200_000), file.journal)
    sweeps.recover(engine)
    index, other = queries.account_index(engine, account), queries.account_index(engine, "A2")
    response.set_level(engine, ACCOUNT, index, CONFIRM, by="ann", now_ns=since_ns)
    now_ns = time.time_ns()
    response.set_level(engine, ACCOUNT, other, 4, mask=NO_BUY, rule=1, until_ns=now_ns + 3 * 10**9, now_ns=now_ns)
    symbol = gateway.symbols["XSHG"][0]
    sweeps.set_link(engine, pb.XSHG, True, since_ns)
    sweeps.set_phase(engine, pb.XSHG, PHASES["CONTINUOUS"], since_ns)
    tape.quote(engine, pb.XSHG, int(symbol), since_ns, last_px_e4=100_000)
    session = Session(Turn(lambda run: None), engine, Stages(), None)
    session.log_on(0, {index: 0})
    order = pb.ClientMessage(new_order=limit_order("one", account, symbol))
    tape.feed(session, order.SerializeToString(), since_ns)
    assert len(engine.suspended) == 1
    session.log_off()  # the last that holds the engine, and with it the locked file
    file.close()
