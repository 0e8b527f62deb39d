"""The hand-written decoder and encoder against protobuf's own: what one accepts the other accepts, and reads alike."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ext import codec_view
from gateway.pb import order_entry_pb2 as pb

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=80)
NEW_ORDERS = st.builds(
    pb.NewOrder,
    cl_ord_id=TEXT,
    account=TEXT,
    symbol=TEXT,
    security_exchange=INT32,
    side=INT32,
    ord_type=INT32,
    order_qty_shares=INT64,
    price_e4=INT64,
    time_in_force=INT32,
    planned_ns=INT64,
    strategy=TEXT,
    parent_id=TEXT,
    parent_qty_shares=INT64,
    short_sale=st.booleans(),
)
CANCEL_ORDERS = st.builds(
    pb.CancelOrder, cl_ord_id=TEXT, account=TEXT, orig_cl_ord_id=TEXT, order_id=UINT64, planned_ns=INT64
)
DECODERS = {pb.NewOrder: codec_view.new_order, pb.CancelOrder: codec_view.cancel_order}
# Bytes that are nearly a message: whole fields, cut, repeated, with a byte changed, or with unknown fields around them.
PIECES = st.one_of(
    NEW_ORDERS.map(lambda order: order.SerializeToString()),
    CANCEL_ORDERS.map(lambda cancel: cancel.SerializeToString()),
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"\x5b\x08\x01\x5c",
            b"\x0b\x0c",
            b"\x62\x03abc",
            b"\xf8\xff\xff\xff\x0f\x01",
            b"\x0a\x02\xc3\x28",
            b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x00",
        ]
    ),
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    octets = bytearray(b"".join(draw(st.lists(PIECES, min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        if octets:
            octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets[: draw(st.integers(0, len(octets)))]) if draw(st.booleans()) else bytes(octets)


def parsed(message: type[Message], octets: bytes) -> Any:
    """protobuf's reading, None when it refuses."""
    try:
        return message.FromString(octets)
    except DecodeError:
        return None


def fields_of(message: Any) -> dict[str, Any]:
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}


def assert_same_reading(message: type[Message], octets: bytes) -> None:
    reading, ours = parsed(message, octets), DECODERS[message](octets)
    assert ours == (None if reading is None else fields_of(reading))


@given(order=NEW_ORDERS)
def test_new_order_reads_as_protobuf_reads_it(order: pb.NewOrder) -> None:
    assert codec_view.new_order(order.SerializeToString()) == fields_of(order)


@given(cancel=CANCEL_ORDERS)
def test_cancel_order_reads_as_protobuf_reads_it(cancel: pb.CancelOrder) -> None:
    assert codec_view.cancel_order(cancel.SerializeToString()) == fields_of(cancel)


@settings(max_examples=1500)
@given(octets=spoilt())
@example(octets=b"")
@example(octets=b"\x0a\x04\xed\xa0\x80\x41")  # a surrogate in UTF-8
@example(octets=b"\x0a\x03\xf4\x90\x80")  # above U+10FFFF, and cut
@example(octets=b"\x0a\xff\xff\xff\xff\x0f")  # a length past the end
@example(octets=b"\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02")  # a varint of 65 bits
@example(octets=b"\x8a\x80\x80\x80\x80\x00\x01a")  # a tag of six bytes
@example(octets=b"\x8a\x80\x80\x80\x00\x01a")  # a tag of five, four too many
@example(octets=b"\x8a\x80\x80\x80\x10\x01a")  # a tag of 33 bits
@example(octets=b"\x0a\x81\x80\x80\x80\x80\x00a")  # a length of six bytes
@example(octets=b"\x0a\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00a")  # a length of ten bytes
@example(octets=b"\x0d\x01\x02\x03\x04")  # cl_ord_id as fixed32: an unknown field
def test_spoilt_bytes_are_accepted_and_refused_alike(octets: bytes) -> None:
    assert_same_reading(pb.NewOrder, octets)
    assert_same_reading(pb.CancelOrder, octets)


@settings(max_examples=800)
@given(
    octets=st.one_of(
        spoilt(),
        NEW_ORDERS.map(lambda order: pb.ClientMessage(new_order=order).SerializeToString()),
        CANCEL_ORDERS.map(lambda cancel: pb.ClientMessage(cancel_order=cancel).SerializeToString()),
        st.tuples(NEW_ORDERS, CANCEL_ORDERS).map(
            lambda pair: (
                pb.ClientMessage(new_order=pair[0]).SerializeToString()
                + pb.ClientMessage(cancel_order=pair[1]).SerializeToString()
            )
        ),
    )
)
def test_what_is_taken_for_a_hot_message_is_one(octets: bytes) -> None:
    """A message dispatched as hot holds exactly that member; one called malformed, protobuf refuses too."""
    kind, body = codec_view.client_message(octets)
    reading = parsed(pb.ClientMessage, octets)
    if kind == "malformed":
        assert reading is None
    elif kind != "cold" and reading is not None:
        assert reading.WhichOneof("message") == kind
        assert DECODERS[pb.NewOrder if kind == "new_order" else pb.CancelOrder](body) == fields_of(
            getattr(reading, kind)
        )


REPORTS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("event_seq", "order_id", "exec_id"), UINT64),
        **{name: st.integers(0, 7) for name in ("exec_type", "ord_status", "security_exchange", "side", "ord_type")},
        **dict.fromkeys(
            (
                "order_qty_shares",
                "price_e4",
                "last_qty_shares",
                "last_px_e4",
                "leaves_qty_shares",
                "cum_qty_shares",
                "cum_notional_e4",
                "time_ns",
                "planned_ns",
                "confirm_by_ns",
            ),
            INT64,
        ),
        "ord_rej_reason": st.integers(0, 2**32 - 1),
        "possible_duplicate": st.booleans(),
        "symbol": st.integers(0, 999_999),
        "reject_code": st.sampled_from([0, 1001, 1301, 1605]),
        "account": st.text(max_size=4),
        "cl_ord_id": st.text(max_size=16),
        "venue_order_id": st.text(st.characters(codec="ascii"), max_size=16),
        "text": st.text(max_size=40),
        "redirect": st.text(max_size=40),
    }
)


def named(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as the message has them: symbol in six digits, the code with its letter."""
    code = fields.get("reject_code")
    changed = {"reject_code": f"R{code}" if code else ""}
    if "symbol" in fields:
        changed["symbol"] = f"{fields['symbol']:06d}"
    return fields | changed


@given(fields=REPORTS)
def test_execution_report_is_what_protobuf_writes(fields: dict[str, Any]) -> None:
    expected = pb.ExecutionReport(**named(fields))
    assert codec_view.execution_report(fields) == expected.SerializeToString()
    wrapped = pb.ServerMessage.FromString(codec_view.execution_report(fields, 2))
    assert wrapped == pb.ServerMessage(execution_report=expected)
    assert pb.CancelResponse.FromString(codec_view.execution_report(fields, 1)).execution_report == expected


@given(
    fields=st.fixed_dictionaries(
        {
            "event_seq": UINT64,
            "order_id": UINT64,
            "ord_status": st.integers(0, 7),
            "reject_code": st.sampled_from([0, 1004, 1606]),
            "cxl_rej_reason": st.integers(0, 2**32 - 1),
            "time_ns": INT64,
            "planned_ns": INT64,
            "account": st.text(max_size=4),
            "cl_ord_id": st.text(max_size=16),
            "orig_cl_ord_id": st.text(max_size=16),
            "text": st.text(max_size=40),
            "redirect": st.text(max_size=40),
        }
    )
)
def test_cancel_reject_is_what_protobuf_writes(fields: dict[str, Any]) -> None:
    expected = pb.CancelReject(**named(fields))
    assert codec_view.cancel_reject(fields) == expected.SerializeToString()
    assert pb.ServerMessage.FromString(codec_view.cancel_reject(fields, 3)).cancel_reject == expected
    assert pb.CancelResponse.FromString(codec_view.cancel_reject(fields, 2)).cancel_reject == expected


@pytest.mark.parametrize("depth", [99, 100, 101])
def test_nested_groups_are_skipped_as_deep_as_protobuf_goes(depth: int) -> None:
    assert_same_reading(pb.NewOrder, b"\x5b" * depth + b"\x5c" * depth)
