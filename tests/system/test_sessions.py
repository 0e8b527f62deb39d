"""OrderEntry sessions on both transports: log on, what passes before and after it, and reports in sequence."""

import itertools
import queue
import time

import grpc
import pytest

from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order, refused_with, state_of

names = (f"s{number}" for number in itertools.count(1))
RESTING = {"side": pb.BUY, "price_e4": 99_000}


def test_logon_tells_where_every_account_stands(shared_gateway, fronts):
    front = fronts(shared_gateway)
    acknowledged = front.log_on("alpha", "A1", "A2")
    assert [cursor.account for cursor in acknowledged.accounts] == ["A1", "A2"]
    assert acknowledged.session_id > 0
    assert acknowledged.max_orders_per_s == 100_000
    assert abs(acknowledged.time_ns - time.time_ns()) < 60_000_000_000


@pytest.mark.parametrize(
    ("token", "accounts", "seen", "code", "field", "value", "status"),
    [
        ("wrong", ["A1"], {}, "R1001", "token", "unknown", grpc.StatusCode.UNAUTHENTICATED),
        ("", ["A1"], {}, "R1001", "token", "empty", grpc.StatusCode.UNAUTHENTICATED),
        ("alpha", ["B1"], {}, "R1001", "accounts", "B1", grpc.StatusCode.FAILED_PRECONDITION),
        ("alpha", ["A1", "NOBODY"], {}, "R1001", "accounts", "NOBODY", grpc.StatusCode.FAILED_PRECONDITION),
        ("alpha", [], {}, "R1605", "accounts", "0", grpc.StatusCode.FAILED_PRECONDITION),
        ("alpha", ["A1", "A1"], {}, "R1605", "accounts", "A1", grpc.StatusCode.FAILED_PRECONDITION),
        (
            "alpha",
            ["A3"],
            {"A3": 10**9},
            "R1605",
            "accounts.last_event_seq",
            "1000000000",
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
    ],
)
def test_a_logon_that_is_wrong_ends_the_stream_and_says_why(
    shared_gateway, fronts, token, accounts, seen, code, field, value, status
):
    front = fronts(shared_gateway)
    front.send(
        logon=pb.Logon(
            token=token, accounts=[pb.AccountCursor(account=a, last_event_seq=seen.get(a, 0)) for a in accounts]
        )
    )
    front.wait(lambda: front.ended, "the end of the stream")
    reject = front.first("session_reject")
    assert (reject.reject_code, reject.field, reject.value, reject.fatal) == (code, field, value, True)
    assert reject.expected
    assert front.call.code() == status


def test_a_second_logon_ends_the_session(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    front.send(logon=pb.Logon(token="alpha", accounts=[pb.AccountCursor(account="A2")]))
    front.wait(lambda: front.ended, "the end of the stream")
    reject = front.first("session_reject")
    assert (reject.reject_code, reject.field, reject.fatal) == ("R1001", "logon", True)


@pytest.mark.parametrize("kind", ["new_order", "cancel_order", "mass_cancel", "heartbeat"])
def test_nothing_passes_before_the_logon(shared_gateway, fronts, kind):
    before = state_of(shared_gateway, "A1")
    front = fronts(shared_gateway)
    front.send(
        **{
            kind: {
                "new_order": limit_order("early", "A1", shared_gateway.symbols["XSHG"][0]),
                "cancel_order": pb.CancelOrder(cl_ord_id="c", account="A1", orig_cl_ord_id="early"),
                "mass_cancel": pb.MassCancelRequest(cl_ord_id="m", account="A1"),
                "heartbeat": pb.Heartbeat(time_ns=1),
            }[kind]
        }
    )
    front.wait(lambda: front.ended, "the end of the stream")
    reject = front.first("session_reject")
    assert (reject.reject_code, reject.field, reject.fatal) == ("R1001", kind, True)
    assert state_of(shared_gateway, "A1") == before


def test_a_heartbeat_is_answered_and_an_empty_message_named(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    front.send(heartbeat=pb.Heartbeat(time_ns=1))
    assert abs(front.first("heartbeat").time_ns - time.time_ns()) < 60_000_000_000
    front.send()
    assert front.first("session_reject").reject_code == "R1605"
    assert not front.ended


def test_bytes_that_are_no_message_end_the_session(shared_gateway, fronts):
    front = fronts(shared_gateway, "alpha", "A1")
    raw = shared_gateway.channel.stream_stream(
        "/tidegate.v1.OrderEntry/Session", request_serializer=bytes, response_deserializer=pb.ServerMessage.FromString
    )
    logon = pb.ClientMessage(
        logon=pb.Logon(token="alpha", accounts=[pb.AccountCursor(account="A1")])
    ).SerializeToString()
    for octets in (b"\xff\xff\xff", b"\x12\x7f\x01"):
        for first in ([octets], [logon, octets]):
            call = raw(iter(first), timeout=10)
            answers = []
            with pytest.raises(grpc.RpcError) as ended:
                answers.extend(call)
            assert ended.value.code() == grpc.StatusCode.INVALID_ARGUMENT, ended.value
    assert not front.ended


def test_a_message_past_the_limit_is_refused(shared_gateway):
    order = limit_order("x" * (8 << 20), "A1", shared_gateway.symbols["XSHG"][0])
    refused_with(grpc.StatusCode.RESOURCE_EXHAUSTED, shared_gateway.stub().Submit, order, **bearer("alpha"))


def test_two_sessions_watch_one_account(shared_gateway, fronts):
    first, second = fronts(shared_gateway, "alpha", "A1"), fronts(shared_gateway, "alpha", "A1", "A2")
    order = limit_order(next(names), "A1", shared_gateway.symbols["XSHG"][0], **RESTING)
    first.accepted(order)
    second.cancel("A1", order.cl_ord_id)
    for front in (first, second):
        front.report(order.cl_ord_id, pb.CANCELED)
    assert first.sequence("A1") == second.sequence("A1")
    assert first.sequence("A1") == list(range(1, len(first.sequence("A1")) + 1))


def test_a_session_that_comes_back_gets_exactly_the_rest(shared_gateway, fronts):
    """Thousands of events of catch-up in pages, while live ones keep coming; two accounts, one cursor each."""
    accounts = ("L0001", "L0002")
    symbol = shared_gateway.symbols["XSHG"][4]
    busy = fronts(shared_gateway, "load", *accounts)
    count = 3000
    for number in range(count):
        busy.send(new_order=limit_order(f"seq{number}", accounts[number % 2], symbol, **RESTING))
    busy.report(f"seq{count - 1}", pb.NEW)
    seen = {"L0001": 1000, "L0002": 7}
    for number in range(count, count + 500):
        busy.send(new_order=limit_order(f"seq{number}", accounts[number % 2], symbol, **RESTING))
    back = fronts(shared_gateway, "load", *accounts, seen=seen)
    busy.report(f"seq{count + 499}", pb.NEW)
    back.report(f"seq{count + 499}", pb.NEW)
    for account in accounts:
        whole = busy.sequence(account)
        assert whole == list(range(1, len(whole) + 1))
        assert back.sequence(account) == whole[seen[account] :]
    reports = {(one.account, one.event_seq): one for one in busy.of("execution_report")}
    assert all(reports[one.account, one.event_seq] == one for one in back.of("execution_report"))


def test_a_session_that_has_seen_everything_gets_only_what_is_new(shared_gateway, fronts):
    front = fronts(shared_gateway)
    acknowledged = front.log_on("alpha", "A2")
    newest = acknowledged.accounts[0].last_event_seq
    second = fronts(shared_gateway, "alpha", "A2", seen={"A2": newest})
    order = limit_order(next(names), "A2", shared_gateway.symbols["XSHG"][0], **RESTING)
    second.accepted(order)
    assert second.sequence("A2")[:2] == [newest + 1, newest + 2]


def test_a_session_that_does_not_read_holds_nobody_up_and_misses_nothing(shared_gateway, fronts):
    """It is given old and new events only as it reads them; others trade on meanwhile."""
    busy = fronts(shared_gateway, "load", "L0003")
    symbol = shared_gateway.symbols["XSHE"][4]
    for number in range(2000):
        busy.send(new_order=limit_order(f"slow{number}", "L0003", symbol, **RESTING))
    busy.report("slow1999", pb.NEW)
    open_end = queue.SimpleQueue()
    open_end.put(pb.ClientMessage(logon=pb.Logon(token="load", accounts=[pb.AccountCursor(account="L0003")])))
    idle = shared_gateway.stub().Session(iter(open_end.get, None), timeout=30)
    assert next(idle).WhichOneof("message") == "logon_ack"
    for number in range(2000, 2500):
        busy.send(new_order=limit_order(f"slow{number}", "L0003", symbol, **RESTING))
    busy.report("slow2499", pb.NEW)
    busy.send(heartbeat=pb.Heartbeat(time_ns=1))
    busy.first("heartbeat")
    numbers = [next(idle).execution_report.event_seq for _ in range(5000)]
    open_end.put(None)
    assert numbers == list(range(1, 5001))
    assert busy.sequence("L0003") == numbers
    with pytest.raises(StopIteration):
        next(idle)
