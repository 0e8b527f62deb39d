"""The market data codec against an independent one built on `struct`, and against hostile octets."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import quotes

TYPES = {"market_status": 390001, "quote": 300111, "trade": 300191}
amounts = st.integers(0, 2**63 - 1)
times = st.integers(-(2**63), 2**63 - 1)
symbols = st.integers(0, 999_999)
phases = st.integers(0, 8)
five = st.lists(amounts, min_size=5, max_size=5)
statuses = st.fixed_dictionaries({"venue": st.integers(1, 2), "phase": phases, "market_time_ns": times})
quote_fields = st.fixed_dictionaries(
    {
        "symbol": symbols,
        "phase": phases,
        "suspended": st.integers(0, 1),
        "market_time_ns": times,
        "prev_close_e4": amounts,
        "last_px_e4": amounts,
        "total_volume_shares": amounts,
        "total_turnover_e4": amounts,
        "bid_px_e4": five,
        "bid_qty_shares": five,
        "ask_px_e4": five,
        "ask_qty_shares": five,
    }
)
trades = st.fixed_dictionaries(
    {
        "symbol": symbols,
        "side": st.integers(0, 2),
        "market_time_ns": times,
        "last_px_e4": amounts,
        "last_qty_shares": amounts,
        "trade_no": st.integers(0, 2**64 - 1),
    }
)
messages = st.one_of(
    st.tuples(st.just("market_status"), statuses),
    st.tuples(st.just("quote"), quote_fields),
    st.tuples(st.just("trade"), trades),
)


def slow_encode(name: str, fields: dict) -> bytes:
    """A frame written from the layout's table, with nothing of the codec under test."""
    if name == "market_status":
        body = struct.pack(">BBq", fields["venue"], fields["phase"], fields["market_time_ns"])
    elif name == "trade":
        body = struct.pack(
            ">IqqqBQ",
            fields["symbol"],
            fields["market_time_ns"],
            fields["last_px_e4"],
            fields["last_qty_shares"],
            fields["side"],
            fields["trade_no"],
        )
    else:
        body = struct.pack(
            ">IqBBqqqq",
            fields["symbol"],
            fields["market_time_ns"],
            fields["phase"],
            fields["suspended"],
            fields["prev_close_e4"],
            fields["last_px_e4"],
            fields["total_volume_shares"],
            fields["total_turnover_e4"],
        )
        for side in ("bid", "ask"):
            for level in range(5):
                body += struct.pack(">qq", fields[f"{side}_px_e4"][level], fields[f"{side}_qty_shares"][level])
    frame = struct.pack(">II", TYPES[name], len(body)) + body
    return frame + struct.pack(">I", sum(frame) % 256)


@given(messages)
def test_frames_are_those_of_the_table_and_come_back(message):
    name, fields = message
    frame = quotes.encode(name, fields)
    assert frame == slow_encode(name, fields)
    assert quotes.decode(frame) == (len(frame), name, fields)
    assert quotes.decode(frame + b"more") == (len(frame), name, fields)


@given(messages)
def test_every_truncation_asks_for_more(message):
    frame = quotes.encode(*message)
    for size in range(len(frame)):
        assert quotes.decode(bytearray(frame[:size])) == (0, None, None)


@given(messages, st.data())
def test_a_changed_octet_is_never_read_as_the_message(message, data):
    frame = bytearray(quotes.encode(*message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    size, _, _ = quotes.decode(frame)
    assert size <= 0


@given(st.binary(max_size=400))
def test_random_octets_never_make_a_frame(octets):
    assert quotes.decode(octets)[0] <= 0


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("market_status", "venue", 0),
        ("market_status", "venue", 3),
        ("market_status", "phase", 9),
        ("trade", "side", 3),
        ("trade", "symbol", 1_000_000),
        ("trade", "last_px_e4", -1),
        ("trade", "last_qty_shares", -1),
        ("quote", "phase", 9),
        ("quote", "suspended", 2),
        ("quote", "symbol", 1_000_000),
        ("quote", "prev_close_e4", -1),
        ("quote", "ask_qty_shares", [0, 0, 0, 0, -1]),
    ],
)
def test_a_value_out_of_range_is_malformed(name, field, value):
    fields = {
        "market_status": {"venue": 1, "phase": 1, "market_time_ns": 0},
        "trade": {"symbol": 1, "side": 1, "market_time_ns": 0, "last_px_e4": 1, "last_qty_shares": 1, "trade_no": 1},
        "quote": {
            "symbol": 1,
            "phase": 0,
            "suspended": 0,
            "market_time_ns": 0,
            "prev_close_e4": 1,
            "last_px_e4": 1,
            "total_volume_shares": 0,
            "total_turnover_e4": 0,
            "bid_px_e4": [0] * 5,
            "bid_qty_shares": [0] * 5,
            "ask_px_e4": [0] * 5,
            "ask_qty_shares": [0] * 5,
        },
    }[name]
    assert quotes.decode(slow_encode(name, fields))[0] > 0
    assert quotes.decode(slow_encode(name, fields | {field: value}))[0] == -1


def test_a_frame_with_a_wrong_length_is_malformed():
    frame = bytearray(
        slow_encode(
            "trade", {"symbol": 1, "side": 1, "market_time_ns": 0, "last_px_e4": 1, "last_qty_shares": 1, "trade_no": 1}
        )
    )
    frame[7] += 1
    assert quotes.decode(frame)[0] == -1
