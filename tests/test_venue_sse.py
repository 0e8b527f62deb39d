"""Shanghai's codec against an independent one written from the exchange's tables, and against hostile octets."""

import contextlib
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.venue_sse import SseWire
from ext.wire import utc_of, wire_checksum, wire_clock
from tests.wire_model import (
    Fence,
    clock_number,
    date_number,
    pack_body,
    prices,
    sealed,
    shares,
    sides,
    symbols,
    texts,
    unpack_body,
)

DATE = 20240306
DAY_NS = utc_of(DATE, 0)
WIRE = SseWire("PBU00001", DATE, "FIRM", "BR1")
FENCE = Fence()
TABLES = {
    58: """BizID u32, BizPbu c8, ClOrdID c10, SecurityID c12, Account c13, OwnerType u8, Side c1, Price price,
        OrderQty quantity, OrdType c1, TimeInForce c1, TransactTime ntime, CreditTag c2, ClearingFirm c8,
        BranchID c8, UserInfo c32""",
    61: """BizID u32, BizPbu c8, ClOrdID c10, SecurityID c12, Account c13, OwnerType u8, Side c1, OrigClOrdID c10,
        TransactTime ntime, BranchID c8, UserInfo c32""",
    32: """Pbu c8, SetID u32, ReportIndex u64, BizID u32, ExecType c1, BizPbu c8, ClOrdID c10, SecurityID c12,
        Account c13, OwnerType u8, Side c1, Price price, OrderQty quantity, LeavesQty quantity, CxlQty quantity,
        OrdType c1, TimeInForce c1, OrdStatus c1, CreditTag c2, OrigClOrdID c10, ClearingFirm c8, BranchID c8,
        OrdRejReason u32, OrdCnfmID c16, OrigOrdCnfmID c16, TradeDate date, TransactTime ntime, UserInfo c32""",
    59: """Pbu c8, SetID u32, ReportIndex u64, BizID u32, BizPbu c8, ClOrdID c10, SecurityID c12, OrigClOrdID c10,
        BranchID c8, CxlRejReason u32, TradeDate date, TransactTime ntime, UserInfo c32""",
    103: """Pbu c8, SetID u32, ReportIndex u64, BizID u32, ExecType c1, BizPbu c8, ClOrdID c10, SecurityID c12,
        Account c13, OwnerType u8, OrderEntryTime ntime, LastPx price, LastQty quantity, GrossTradeAmt amount,
        Side c1, OrderQty quantity, LeavesQty quantity, OrdStatus c1, CreditTag c2, ClearingFirm c8, BranchID c8,
        TrdCnfmID c16, OrdCnfmID c16, TradeDate date, TransactTime ntime, UserInfo c32""",
    204: """BizID u32, BizPbu c8, ClOrdID c10, SecurityID c12, OrdRejReason u32, TradeDate date, TransactTime ntime,
        UserInfo c32""",
}
ORD_TYPES = {1: "2", 2: "1", 3: "3", 4: "4", 5: "5"}
ACCEPTED, CANCELED, REJECTED, TRADE, CANCEL_REJECTED, BUSINESS_REJECT = range(1, 7)
CODES = {ACCEPTED: ("0", 2), CANCELED: ("4", 5), REJECTED: ("8", 7)}

day_times = st.integers(0, 86_400 * 10**7 - 1).map(lambda ticks: DAY_NS + ticks * 100)
times = st.integers(0, 9 * 10**16).map(lambda ticks: ticks * 100)
orders = st.fixed_dictionaries(
    {
        "cl_ord_id": texts(10), "account": texts(12), "symbol": symbols, "side": sides,
        "ord_type": st.integers(1, 5), "owner_type": st.sampled_from([1, 103, 104]), "order_qty_shares": shares,
        "price_e4": prices, "time_ns": day_times,
    }
)
cancels = st.fixed_dictionaries(
    {
        "cl_ord_id": texts(10), "orig_cl_ord_id": texts(10), "account": texts(12), "symbol": symbols, "side": sides,
        "owner_type": st.sampled_from([1, 103, 104]), "order_qty_shares": st.just(0), "venue_order_id": st.just(""),
        "time_ns": day_times,
    }
)
BLANK = {
    "side": 0, "ord_type": 0, "ord_status": 0, "partition": 0, "report_index": 0, "orig_cl_ord_id": "",
    "venue_order_id": "", "exec_id": "", "account": "", "order_qty_shares": 0, "price_e4": 0, "last_qty_shares": 0,
    "last_px_e4": 0, "leaves_qty_shares": 0, "canceled_qty_shares": 0, "reason": 0,
}


@st.composite
def reports(draw) -> dict:
    """A report of any kind, with the fields that its message carries."""
    kind = draw(st.integers(1, 6))
    report = BLANK | {"kind": kind, "symbol": draw(symbols), "cl_ord_id": draw(texts(10)), "time_ns": draw(times)}
    if kind != BUSINESS_REJECT:
        report |= {"partition": draw(st.integers(1, 2**31 - 1)), "report_index": draw(st.integers(1, 2**64 - 1))}
    if kind in CODES:
        report |= {
            "side": draw(sides), "ord_type": draw(st.integers(1, 5)), "ord_status": CODES[kind][1],
            "order_qty_shares": draw(shares), "price_e4": draw(prices), "leaves_qty_shares": draw(shares),
            "canceled_qty_shares": draw(shares), "account": draw(texts(12)), "venue_order_id": draw(texts(16)),
            "orig_cl_ord_id": draw(texts(10)) if kind == CANCELED and draw(st.booleans()) else "",
        }
    if kind == TRADE:
        leaves = draw(shares)
        report |= {
            "side": draw(sides), "ord_status": 3 if leaves else 4, "order_qty_shares": draw(shares),
            "leaves_qty_shares": leaves, "last_qty_shares": draw(st.integers(0, 10**9)),
            "last_px_e4": draw(st.integers(0, 10**8)), "account": draw(texts(12)), "venue_order_id": draw(texts(16)),
            "exec_id": draw(texts(16)),
        }
    if kind == CANCEL_REJECTED:
        report |= {"orig_cl_ord_id": draw(texts(10))}
    if kind in (REJECTED, CANCEL_REJECTED, BUSINESS_REJECT):
        report |= {"reason": draw(st.integers(0, 2**32 - 1))}
    return report


def frame_of(msg_type: int, values: dict, seq: int = 0) -> bytes:
    body = pack_body(TABLES[msg_type], values)
    return sealed(struct.pack(">IQI", msg_type, seq, len(body)) + body)


def order_values(order: dict) -> dict:
    return {
        "BizID": 300101, "BizPbu": "PBU00001", "ClOrdID": order["cl_ord_id"], "SecurityID": f"{order['symbol']:06d}",
        "Account": order["account"], "OwnerType": order["owner_type"], "Side": str(order["side"]),
        "Price": order["price_e4"] * 10, "OrderQty": order["order_qty_shares"] * 1000,
        "OrdType": ORD_TYPES[order["ord_type"]], "TimeInForce": "0",
        "TransactTime": clock_number(order["time_ns"], 7), "ClearingFirm": "FIRM", "BranchID": "BR1",
    }


def cancel_values(cancel: dict) -> dict:
    return {
        "BizID": 300101, "BizPbu": "PBU00001", "ClOrdID": cancel["cl_ord_id"],
        "SecurityID": f"{cancel['symbol']:06d}", "Account": cancel["account"], "OwnerType": cancel["owner_type"],
        "Side": str(cancel["side"]), "OrigClOrdID": cancel["orig_cl_ord_id"],
        "TransactTime": clock_number(cancel["time_ns"], 7), "BranchID": "BR1",
    }


def report_values(report: dict) -> tuple[int, dict]:
    values = {
        "BizID": 300101, "BizPbu": "PBU00001", "ClOrdID": report["cl_ord_id"],
        "SecurityID": f"{report['symbol']:06d}", "TradeDate": date_number(report["time_ns"]),
        "TransactTime": clock_number(report["time_ns"], 7),
    }
    if report["kind"] == BUSINESS_REJECT:
        return 204, values | {"OrdRejReason": report["reason"]}
    values |= {
        "Pbu": "PBU00001", "SetID": report["partition"], "ReportIndex": report["report_index"], "BranchID": "BR1",
    }
    if report["kind"] == CANCEL_REJECTED:
        return 59, values | {"OrigClOrdID": report["orig_cl_ord_id"], "CxlRejReason": report["reason"]}
    values |= {
        "Account": report["account"], "Side": str(report["side"]), "OrderQty": report["order_qty_shares"] * 1000,
        "LeavesQty": report["leaves_qty_shares"] * 1000, "ClearingFirm": "FIRM",
        "OrdCnfmID": report["venue_order_id"],
    }
    if report["kind"] == TRADE:
        return 103, values | {
            "ExecType": "F", "OrdStatus": "1" if report["leaves_qty_shares"] else "2",
            "LastPx": report["last_px_e4"] * 10, "LastQty": report["last_qty_shares"] * 1000,
            "TrdCnfmID": report["exec_id"], "GrossTradeAmt": report["last_px_e4"] * report["last_qty_shares"] * 10,
        }
    code = CODES[report["kind"]][0]
    return 32, values | {
        "ExecType": code, "OrdStatus": code, "Price": report["price_e4"] * 10,
        "CxlQty": report["canceled_qty_shares"] * 1000, "OrdType": ORD_TYPES[report["ord_type"]], "TimeInForce": "0",
        "OrigClOrdID": report["orig_cl_ord_id"], "OrdRejReason": report["reason"],
        "OrigOrdCnfmID": report["venue_order_id"] if report["orig_cl_ord_id"] else "",
    }


messages = st.one_of(
    st.tuples(st.just("order"), orders), st.tuples(st.just("cancel"), cancels), st.tuples(st.just("report"), reports())
)


def slow_frame(kind: str, fields: dict, seq: int = 0) -> bytes:
    if kind == "order":
        return frame_of(58, order_values(fields), seq)
    if kind == "cancel":
        return frame_of(61, cancel_values(fields), seq)
    return frame_of(*report_values(fields), seq)


@given(messages, st.integers(0, 2**64 - 1))
def test_frames_are_those_of_the_tables_and_come_back(message, seq):
    kind, fields = message
    frame = WIRE.encode(kind, fields, seq)
    assert frame == slow_frame(kind, fields, seq)
    assert WIRE.decode(frame) == (len(frame), kind, fields)
    assert unpack_body(TABLES[int.from_bytes(frame[:4])], frame[16:-4])["ClOrdID"] == fields["cl_ord_id"]


@given(messages)
def test_every_truncation_asks_for_more_and_reads_no_further(message):
    frame = WIRE.encode(*message)
    for size in range(len(frame)):
        assert WIRE.decode(FENCE.hold(frame[:size])) == (0, None, None)
    assert WIRE.decode(FENCE.hold(frame))[0] == len(frame)


@given(messages, st.data())
def test_one_changed_octet_is_always_noticed(message, data):
    frame = bytearray(WIRE.encode(*message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    # A longer stated length of a session message may ask for more; nothing is ever decoded.
    assert WIRE.decode(FENCE.hold(bytes(frame)))[0] <= 0


@given(messages, st.data())
def test_octets_changed_under_a_right_checksum_never_crash(message, data):
    frame = bytearray(WIRE.encode(*message))[:-4]
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(16, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        size, kind, fields = WIRE.decode(FENCE.hold(sealed(bytes(frame))))
    except ValueError:
        return
    # What was read can be said again, and reads the same: nothing was made up.
    assert size == len(frame) + 4
    if fields["time_ns"] >= 0 and kind != "session" and not (kind == "report" and fields["kind"] == TRADE):
        assert WIRE.decode(WIRE.encode(kind, fields)) == (size, kind, fields)


@given(st.binary(max_size=600))
def test_random_octets_never_make_a_frame(octets):
    assert WIRE.decode(FENCE.hold(octets))[0] <= 0


def test_random_session_bodies_are_refused_by_name_or_read():
    chance = random.Random(11)
    for msg_type in (206, 207, 208):
        for _ in range(300):
            length = chance.randint(6, 200)
            body = bytes(chance.choice((0, 1, 2, 255)) for _ in range(length))
            with contextlib.suppress(ValueError):
                assert WIRE.decode(FENCE.hold(sealed(struct.pack(">IQI", msg_type, 1, length) + body)))[1] == "session"


def test_random_bodies_of_every_type_never_crash():
    chance = random.Random(7)
    for msg_type, layout in TABLES.items():
        length = len(pack_body(layout, {}))
        for _ in range(300):
            body = chance.randbytes(length)
            with pytest.raises(ValueError, match="not of this wire"):
                WIRE.decode(FENCE.hold(sealed(struct.pack(">IQI", msg_type, 1, length) + body)))


ORDER = {
    "cl_ord_id": "C1", "account": "A123456789", "symbol": 600000, "side": 1, "ord_type": 1, "owner_type": 1,
    "order_qty_shares": 100, "price_e4": 100_000, "time_ns": DAY_NS + 34_200 * 10**9,
}
TRADE_REPORT = BLANK | {
    "kind": TRADE, "symbol": 600000, "cl_ord_id": "C1", "partition": 1, "report_index": 1, "side": 1,
    "ord_status": 3, "order_qty_shares": 1000, "leaves_qty_shares": 900, "last_qty_shares": 100,
    "last_px_e4": 171_000, "account": "A1", "venue_order_id": "V1", "exec_id": "T1",
    "time_ns": DAY_NS + 34_200 * 10**9,
}
CANCEL_REPORT = BLANK | {
    "kind": CANCELED, "symbol": 600000, "cl_ord_id": "C2", "orig_cl_ord_id": "C1", "partition": 1, "report_index": 2,
    "side": 1, "ord_type": 1, "ord_status": 5, "order_qty_shares": 1000, "canceled_qty_shares": 900, "account": "A1",
    "venue_order_id": "V1", "time_ns": DAY_NS,
}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"SecurityID": "60000"}, "SecurityID"), ({"SecurityID": "6000000"}, "SecurityID"),
        ({"SecurityID": "60000X"}, "SecurityID"), ({"Side": "0"}, "Side"), ({"Side": "3"}, "Side"),
        ({"OrdType": "6"}, "OrdType"), ({"TimeInForce": "3"}, "OrdType"), ({"Price": 1_000_001}, "price"),
        ({"Price": -10}, "price"), ({"OrderQty": 100_500}, "quantity"), ({"OrderQty": -1000}, "quantity"),
        ({"BizID": 300102}, "BizID"), ({"OwnerType": 2}, "OwnerType"),
        ({"TransactTime": 2460000000000}, "TransactTime"), ({"TransactTime": 960000000000}, "TransactTime"),
        ({"Account": "A123456789012"}, "Account"),
    ],
)
def test_an_order_with_a_bad_field_names_it(change, fault):
    good = order_values(ORDER)
    assert WIRE.decode(frame_of(58, good))[2] == ORDER
    with pytest.raises(ValueError, match=fault):
        WIRE.decode(frame_of(58, good | change))


@pytest.mark.parametrize(
    ("report", "change", "fault"),
    [
        (TRADE_REPORT, {"ExecType": "0"}, "ExecType"), (TRADE_REPORT, {"OrdStatus": "2"}, "OrdStatus"),
        (TRADE_REPORT, {"LastPx": 1_710_005}, "price"), (TRADE_REPORT, {"LastQty": 100_001}, "quantity"),
        (TRADE_REPORT, {"LeavesQty": -1000}, "quantity"), (TRADE_REPORT, {"ReportIndex": 0}, "ReportIndex"),
        (TRADE_REPORT, {"Pbu": "PBU00002"}, "Pbu"), (TRADE_REPORT, {"SetID": 0}, "ReportIndex"),
        (TRADE_REPORT, {"SetID": 2**31}, "ReportIndex"), (TRADE_REPORT, {"TradeDate": 20240230}, "TransactTime"),
        (TRADE_REPORT, {"TradeDate": 20231131}, "TransactTime"),
        (TRADE_REPORT, {"TradeDate": 19691231}, "TransactTime"), (TRADE_REPORT, {"Side": " "}, "Side"),
        (CANCEL_REPORT, {"OrdStatus": "0"}, "OrdStatus"), (CANCEL_REPORT, {"ExecType": "F"}, "ExecType"),
        (CANCEL_REPORT, {"OrdType": "U"}, "OrdType"), (CANCEL_REPORT, {"CxlQty": 1}, "quantity"),
        (CANCEL_REPORT, {"BizID": 0}, "BizID"),
    ],
)
def test_a_report_with_a_bad_field_names_it(report, change, fault):
    msg_type, values = report_values(report)
    assert WIRE.decode(frame_of(msg_type, values))[2] == report
    with pytest.raises(ValueError, match=fault):
        WIRE.decode(frame_of(msg_type, values | change))


@pytest.mark.parametrize(
    "change",
    [
        {"ord_type": 6},
        {"ord_type": 7},
        {"ord_type": 0},
        {"side": 0},
        {"side": 3},
        {"symbol": 1_000_000},
        {"owner_type": 2},
        {"price_e4": -1},
        {"price_e4": 2**63 - 1},
        {"order_qty_shares": 2**63 // 1000 + 1},
        {"order_qty_shares": -1},
        {"time_ns": -1},
    ],
)
def test_what_the_wire_cannot_say_is_refused(change):
    with pytest.raises(ValueError, match="cannot be said"):
        WIRE.encode("order", ORDER | change)


def test_a_trade_whose_amount_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="cannot be said"):
        WIRE.encode("report", TRADE_REPORT | {"last_px_e4": 10**12, "last_qty_shares": 10**12})


@pytest.mark.parametrize(
    ("msg_type", "body"),
    [(58, 124), (33, 1), (40, 81), (41, 69), (209, 5), (206, 1), (206, 2**16 + 1), (0, 0), (999, 4)],
)
def test_a_wrong_length_or_type_is_malformed_before_the_body_has_come(msg_type, body):
    assert WIRE.decode(struct.pack(">IQI", msg_type, 1, body))[0] == -1


SESSION = [
    (
        40,
        {
            "sender_comp_id": "TIDEGATE", "target_comp_id": "SSE", "heart_bt_int": 10, "prtc_version": "1.00",
            "trade_date": DATE, "q_size": 0,
        },
        b"TIDEGATE".ljust(32)
        + b"SSE".ljust(32)
        + struct.pack(">H", 10)
        + b"1.00".ljust(8)
        + struct.pack(">II", DATE, 0),
    ),
    (41, {"session_status": 4, "text": "bye"}, struct.pack(">I", 4) + b"bye".ljust(64)), (33, {}, b""),
    (209, {"platform_id": 0, "platform_state": 2}, struct.pack(">HH", 0, 2)),
    (
        208,
        {"platform_id": 0, "pbus": [{"pbu": "P1"}, {"pbu": "P2"}], "set_ids": [{"set_id": 1}]},
        struct.pack(">HH", 0, 2) + b"P1      P2      " + struct.pack(">HI", 1, 1),
    ),
    (
        206,
        {"groups": [{"pbu": "P1", "set_id": 2, "begin_report_index": 7}]},
        struct.pack(">H8sIQ", 1, b"P1      ", 2, 7),
    ),
    (
        207,
        {
            "groups": [
                {"pbu": "P1", "set_id": 2, "begin_report_index": 7, "end_report_index": 9, "rej_reason": 0, "text": ""}
            ]
        },
        struct.pack(">H8sIQQI64s", 1, b"P1      ", 2, 7, 9, 0, b" " * 64),
    ),
    (210, {"pbu": "P1", "set_id": 3, "end_report_index": 2**64 - 1}, struct.pack(">8sIQ", b"P1      ", 3, 2**64 - 1)),
]


@pytest.mark.parametrize(("msg_type", "fields", "body"), SESSION)
def test_session_messages_are_those_of_the_tables_and_come_back(msg_type, fields, body):
    frame = WIRE.encode_session(msg_type, fields, 5)
    assert frame == sealed(struct.pack(">IQI", msg_type, 5, len(body)) + body)
    assert WIRE.decode(frame) == (len(frame), "session", (msg_type, fields))
    assert WIRE.decode_session(frame) == (msg_type, fields)


@pytest.mark.parametrize(("msg_type", "fields", "body"), SESSION[4:7])
def test_a_count_that_does_not_match_the_body_is_an_error(msg_type, fields, body):
    with pytest.raises(ValueError, match=WIRE.name_of(msg_type)):
        WIRE.decode(sealed(struct.pack(">IQI", msg_type, 5, len(body) + 1) + body + b" "))
    with pytest.raises(ValueError, match="ends before"):
        WIRE.decode(sealed(struct.pack(">IQI", msg_type, 5, len(body) - 1) + body[:-1]))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"session_status": 4}, "fields"), ({"session_status": 4, "text": "x" * 65}, "at most 64"),
        ({"session_status": -1, "text": ""}, "session_status"),
    ],
)
def test_a_session_message_that_does_not_fit_names_the_field(fields, match):
    with pytest.raises(ValueError, match=match):
        WIRE.encode_session(41, fields)


def test_an_identity_that_does_not_fit_names_the_field():
    with pytest.raises(ValueError, match="pbu"):
        SseWire("PBU000001", DATE)
    with pytest.raises(ValueError, match="trade_date"):
        SseWire("PBU", 20240230)


@given(st.integers(0, 9 * 10**18))
def test_the_calendar_is_shanghais(time_ns):
    date, clock = wire_clock(time_ns)
    assert (date, clock) == (date_number(time_ns), clock_number(time_ns, 7))
    assert utc_of(date, clock) == time_ns // 100 * 100


@given(st.binary(max_size=5000))
def test_the_checksum_is_the_sum_of_the_octets(octets):
    assert wire_checksum(octets) == sum(octets) % 256


def test_the_checksum_holds_for_the_largest_octets():
    for size in (0, 1, 7, 8, 9, 1023, 1024, 1025, 70_000):
        assert wire_checksum(b"\xff" * size) == 255 * size % 256
