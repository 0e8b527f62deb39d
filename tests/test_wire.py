"""The load client's hand-written protobuf against the real one, both ways, and against bytes that are not protobuf."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pb import order_entry_pb2 as pb
from loadtest import wire

IDS = st.text("ABCDEFGH0123456789-", min_size=16, max_size=16)
ACCOUNTS = st.text("ABCDEFGH0123456789", min_size=1, max_size=16)
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(IDS, ACCOUNTS, st.integers(0, 999_999), st.integers(0, 2), st.integers(0, 7), INT64, INT64, INT64)
def test_new_orders_are_read_as_they_were_meant(cl_ord_id, account, symbol, two, ord_type, qty, price, planned):
    octets = wire.encode(
        "new_order",
        {
            "cl_ord_id": cl_ord_id.encode(),
            "account": account.encode(),
            "symbol": symbol,
            "security_exchange": two,
            "side": two,
            "ord_type": ord_type,
            "order_qty_shares": qty,
            "price_e4": price,
            "planned_ns": planned,
        },
    )
    order = pb.NewOrder(
        cl_ord_id=cl_ord_id,
        account=account,
        symbol=f"{symbol:06}",
        security_exchange=two,
        side=two,
        ord_type=ord_type,
        order_qty_shares=qty,
        price_e4=price,
        planned_ns=planned,
    )
    assert pb.ClientMessage.FromString(octets) == pb.ClientMessage(new_order=order)


@given(IDS, IDS, ACCOUNTS, INT64)
def test_cancels_are_read_as_they_were_meant(cl_ord_id, orig_cl_ord_id, account, planned):
    octets = wire.encode(
        "cancel_order",
        {
            "cl_ord_id": cl_ord_id.encode(),
            "orig_cl_ord_id": orig_cl_ord_id.encode(),
            "account": account.encode(),
            "planned_ns": planned,
        },
    )
    cancel = pb.CancelOrder(cl_ord_id=cl_ord_id, account=account, orig_cl_ord_id=orig_cl_ord_id, planned_ns=planned)
    assert pb.ClientMessage.FromString(octets) == pb.ClientMessage(cancel_order=cancel)


REPORTS = st.builds(
    pb.ExecutionReport,
    event_seq=st.integers(0, 2**64 - 1),
    account=ACCOUNTS,
    cl_ord_id=IDS,
    order_id=st.integers(0, 2**64 - 1),
    exec_type=st.integers(0, 6),
    ord_status=st.integers(0, 7),
    symbol=st.just("600000"),
    last_qty_shares=INT64,
    leaves_qty_shares=INT64,
    cum_qty_shares=INT64,
    cum_notional_e4=INT64,
    venue_order_id=st.text(max_size=20),
    reject_code=st.one_of(st.just(""), st.integers(0, 9999).map(lambda code: f"R{code:04}")),
    text=st.text(max_size=200),
    time_ns=INT64,
    planned_ns=INT64,
    possible_duplicate=st.booleans(),
)


@given(REPORTS)
def test_execution_reports_are_read_alike(report):
    event = wire.decode(pb.ServerMessage(execution_report=report).SerializeToString())
    assert event["kind"] == 2
    for name in (
        "event_seq",
        "exec_type",
        "ord_status",
        "last_qty_shares",
        "leaves_qty_shares",
        "cum_qty_shares",
        "time_ns",
        "possible_duplicate",
    ):
        assert event[name] == getattr(report, name)
    assert (event["account"], event["cl_ord_id"]) == (report.account.encode(), report.cl_ord_id.encode())
    assert event["reject_code"] == int(report.reject_code[1:] or 0)


@given(IDS, ACCOUNTS, st.integers(0, 9999), st.integers(0, 2**63))
def test_cancel_rejects_are_read_alike(cl_ord_id, account, code, event_seq):
    reject = pb.CancelReject(
        event_seq=event_seq,
        account=account,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id="other",
        order_id=7,
        ord_status=5,
        reject_code=f"R{code:04}",
        cxl_rej_reason=1,
        text="late",
        time_ns=9,
    )
    event = wire.decode(pb.ServerMessage(cancel_reject=reject).SerializeToString())
    assert (event["kind"], event["event_seq"], event["reject_code"], event["ord_status"], event["time_ns"]) == (
        3,
        event_seq,
        code,
        5,
        9,
    )
    assert (event["account"], event["cl_ord_id"]) == (account.encode(), cl_ord_id.encode())


def test_other_messages_are_told_apart():
    for kind, message in (
        (1, pb.ServerMessage(logon_ack=pb.LogonAck(session_id=4))),
        (4, pb.ServerMessage(session_reject=pb.SessionReject(reject_code="R1001"))),
        (5, pb.ServerMessage(heartbeat=pb.Heartbeat(time_ns=1))),
    ):
        assert wire.decode(message.SerializeToString())["kind"] == kind


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_hostile_bytes_are_survived(octets):
    wire.decode(octets)
    wire.decode(pb.ServerMessage(execution_report=pb.ExecutionReport(cl_ord_id="a")).SerializeToString() + octets)
    wire.decode(b"\x12" + bytes([len(octets) & 0x7F]) + octets[: len(octets) & 0x7F])


@given(REPORTS, st.data())
def test_a_cut_message_is_malformed(report, draw):
    whole = pb.ServerMessage(execution_report=report).SerializeToString()
    assert wire.decode(whole[: draw.draw(st.integers(0, len(whole) - 1))])["kind"] == 0
