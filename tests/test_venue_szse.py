"""Shenzhen's codec against an independent one written from the exchange's tables, and against hostile octets."""

import contextlib
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.venue_szse import SzseWire
from ext.wire import utc_of
from tests.wire_model import Fence, clock_number, date_number, pack_body, prices, sealed, shares, sides, symbols, texts

WIRE = SzseWire("000123", "C1", "B001")
FENCE = Fence()
HEAD = """PartitionNo i32, ReportIndex i64, ApplID c3, ReportingPBUID c6, SubmittingPBUID c6, SecurityID c8,
        SecurityIDSource c4,
    OwnerType u16, ClearingFirm c2, TransactTime i64, UserInfo c8, """
TABLES = {
    100101: """ApplID c3, SubmittingPBUID c6, SecurityID c8, SecurityIDSource c4, OwnerType u16, ClearingFirm c2,
        TransactTime i64, UserInfo c8, ClOrdID c10, AccountID c12, BranchID c4, OrderRestrictions c4, Side c1,
        OrdType c1, OrderQty i64, Price i64, StopPx i64, MinQty i64, MaxPriceLevels u16, TimeInForce c1,
        CashMargin c1""",
    190007: """ApplID c3, SubmittingPBUID c6, SecurityID c8, SecurityIDSource c4, OwnerType u16, ClearingFirm c2,
        TransactTime i64, UserInfo c8, ClOrdID c10, OrigClOrdID c10, Side c1, OrderID c16, OrderQty i64""",
    200102: HEAD
    + """OrderID c16, ClOrdID c10, QuoteMsgID c10, OrigClOrdID c10, ExecID c16, ExecType c1,
        OrdStatus c1, OrdRejReason u16, LeavesQty i64, CumQty i64, Side c1, OrdType c1, OrderQty i64, Price i64,
        AccountID c12, BranchID c4, OrderRestrictions c4, StopPx i64, MinQty i64, MaxPriceLevels u16, TimeInForce c1,
        CashMargin c1""",
    200115: HEAD
    + """OrderID c16, ClOrdID c10, QuoteMsgID c10, ExecID c16, ExecType c1, OrdStatus c1,
        LastPx i64, LastQty i64, LeavesQty i64, CumQty i64, Side c1, AccountID c12, BranchID c4, CashMargin c1""",
    290008: HEAD
    + """ClOrdID c10, OrigClOrdID c10, Side c1, OrdStatus c1, CxlRejReason u16, RejectText c16,
        OrderID c16""",
    4: """ApplID c3, TransactTime i64, SubmittingPBUID c6, SecurityID c8, SecurityIDSource c4, RefSeqNum i64,
        RefMsgType u32, BusinessRejectRefID c10, BusinessRejectReason u16, BusinessRejectText c50""",
}
# Our order type: OrdType, TimeInForce, MaxPriceLevels, whether MinQty is OrderQty.
TERMS = {
    1: ("2", "0", 0, False),
    2: ("1", "3", 5, False),
    4: ("U", "0", 0, False),
    5: ("1", "0", 1, False),
    6: ("1", "3", 0, False),
    7: ("1", "3", 0, True),
}
ORD_STATUS = {2: "0", 3: "1", 4: "2", 5: "4", 7: "8"}
ACCEPTED, CANCELED, REJECTED, TRADE, CANCEL_REJECTED, BUSINESS_REJECT = range(1, 7)
CODES = {ACCEPTED: ("0", 2), CANCELED: ("4", 5), REJECTED: ("8", 7)}

times = st.integers(0, 9 * 10**12).map(lambda ms: ms * 10**6)
ord_types = st.sampled_from(list(TERMS))
orders = st.fixed_dictionaries(
    {
        "cl_ord_id": texts(10), "account": texts(12), "symbol": symbols, "side": sides, "ord_type": ord_types,
        "owner_type": st.sampled_from([1, 103, 104]), "order_qty_shares": st.integers(1, 10**12), "price_e4": prices,
        "time_ns": times,
    }
)
cancels = st.fixed_dictionaries(
    {
        "cl_ord_id": texts(10), "orig_cl_ord_id": texts(10), "account": st.just(""), "symbol": symbols,
        "side": sides, "owner_type": st.sampled_from([1, 103, 104]), "order_qty_shares": shares,
        "venue_order_id": texts(16), "time_ns": times,
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
    if kind == BUSINESS_REJECT:
        return report | {"reason": draw(st.integers(0, 65535))}
    report |= {
        "partition": draw(st.integers(1, 2**31 - 1)), "report_index": draw(st.integers(1, 2**63 - 1)),
        "side": draw(sides), "venue_order_id": draw(texts(16)),
    }
    if kind == CANCEL_REJECTED:
        return report | {
            "orig_cl_ord_id": draw(texts(10)), "ord_status": draw(st.sampled_from(list(ORD_STATUS))),
            "reason": draw(st.integers(0, 65535)),
        }
    leaves, done = draw(shares), draw(shares)
    report |= {"leaves_qty_shares": leaves, "account": draw(texts(12)), "exec_id": draw(texts(16))}
    if kind == TRADE:
        return report | {
            "ord_status": 3 if leaves else 4, "order_qty_shares": leaves + done, "last_px_e4": draw(prices),
            "last_qty_shares": draw(shares),
        }
    report |= {"ord_type": draw(ord_types), "ord_status": CODES[kind][1], "price_e4": draw(prices)}
    if kind == ACCEPTED:
        return report | {"order_qty_shares": leaves + done + 1}
    if kind == REJECTED:
        return report | {"order_qty_shares": leaves + done + 1, "reason": draw(st.integers(0, 65535))}
    canceled = draw(st.integers(1, 10**12))
    return report | {
        "order_qty_shares": done + canceled, "canceled_qty_shares": canceled, "leaves_qty_shares": 0,
        "orig_cl_ord_id": draw(st.one_of(st.just(""), texts(10))),
    }


def frame_of(msg_type: int, values: dict) -> bytes:
    body = pack_body(TABLES[msg_type], values)
    return sealed(struct.pack(">II", msg_type, len(body)) + body)


def stamp(time_ns: int) -> int:
    return date_number(time_ns) * 10**9 + clock_number(time_ns, 3)


def auction_values(fields: dict) -> dict:
    return {
        "ApplID": "010", "SubmittingPBUID": "000123", "SecurityID": f"{fields['symbol']:06d}",
        "SecurityIDSource": "102", "ClearingFirm": "C1", "TransactTime": stamp(fields["time_ns"]),
        "ClOrdID": fields["cl_ord_id"],
    }


def terms_values(fields: dict) -> dict:
    ord_type, time_in_force, levels, all_or_none = TERMS[fields["ord_type"]]
    order_qty = fields["order_qty_shares"] * 100
    return {
        "OrdType": ord_type, "TimeInForce": time_in_force, "MaxPriceLevels": levels, "OrderQty": order_qty,
        "MinQty": order_qty if all_or_none else 0, "Price": fields["price_e4"], "CashMargin": "1",
    }


def order_values(order: dict) -> dict:
    return (
        auction_values(order)
        | terms_values(order)
        | {
            "OwnerType": order["owner_type"], "AccountID": order["account"], "BranchID": "B001",
            "Side": str(order["side"]),
        }
    )


def cancel_values(cancel: dict) -> dict:
    return auction_values(cancel) | {
        "OwnerType": cancel["owner_type"], "OrigClOrdID": cancel["orig_cl_ord_id"], "Side": str(cancel["side"]),
        "OrderID": cancel["venue_order_id"], "OrderQty": cancel["order_qty_shares"] * 100,
    }


def report_values(report: dict) -> tuple[int, dict]:
    if report["kind"] == BUSINESS_REJECT:
        return 4, {
            "ApplID": "010", "TransactTime": stamp(report["time_ns"]), "SubmittingPBUID": "000123",
            "SecurityID": f"{report['symbol']:06d}", "SecurityIDSource": "102", "RefMsgType": 100101,
            "BusinessRejectRefID": report["cl_ord_id"], "BusinessRejectReason": report["reason"],
        }
    values = auction_values(report) | {
        "PartitionNo": report["partition"], "ReportIndex": report["report_index"], "ReportingPBUID": "000123",
        "Side": str(report["side"]), "OrderID": report["venue_order_id"],
    }
    if report["kind"] == CANCEL_REJECTED:
        return 290008, values | {
            "OrigClOrdID": report["orig_cl_ord_id"], "OrdStatus": ORD_STATUS[report["ord_status"]],
            "CxlRejReason": report["reason"],
        }
    values |= {
        "ExecID": report["exec_id"], "AccountID": report["account"], "BranchID": "B001", "CashMargin": "1",
        "LeavesQty": report["leaves_qty_shares"] * 100,
    }
    if report["kind"] == TRADE:
        return 200115, values | {
            "ExecType": "F", "OrdStatus": "1" if report["leaves_qty_shares"] else "2",
            "LastPx": report["last_px_e4"], "LastQty": report["last_qty_shares"] * 100,
            "CumQty": (report["order_qty_shares"] - report["leaves_qty_shares"]) * 100,
        }
    code = CODES[report["kind"]][0]
    cum_qty = report["order_qty_shares"] - report["leaves_qty_shares"] - report["canceled_qty_shares"]
    return 200102, values | terms_values(report) | {
        "ExecType": code, "OrdStatus": code, "OrigClOrdID": report["orig_cl_ord_id"],
        "OrdRejReason": report["reason"], "CumQty": 0 if report["kind"] == REJECTED else cum_qty * 100,
    }


messages = st.one_of(
    st.tuples(st.just("order"), orders), st.tuples(st.just("cancel"), cancels), st.tuples(st.just("report"), reports())
)


def slow_frame(kind: str, fields: dict) -> bytes:
    if kind == "order":
        return frame_of(100101, order_values(fields))
    if kind == "cancel":
        return frame_of(190007, cancel_values(fields))
    return frame_of(*report_values(fields))


@given(messages)
def test_frames_are_those_of_the_tables_and_come_back(message):
    kind, fields = message
    frame = WIRE.encode(kind, fields)
    assert frame == slow_frame(kind, fields)
    assert WIRE.decode(frame) == (len(frame), kind, fields)


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
    assert WIRE.decode(FENCE.hold(bytes(frame)))[0] <= 0


@given(messages, st.data())
def test_octets_changed_under_a_right_checksum_never_crash(message, data):
    frame = bytearray(WIRE.encode(*message))[:-4]
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(8, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        size, kind, fields = WIRE.decode(FENCE.hold(sealed(bytes(frame))))
    except ValueError:
        return
    assert size == len(frame) + 4
    # What was read can be said again, and reads the same: nothing was made up.
    assert WIRE.decode(WIRE.encode(kind, fields)) == (size, kind, fields)


@given(st.binary(max_size=600))
def test_random_octets_never_make_a_frame(octets):
    assert WIRE.decode(FENCE.hold(octets))[0] <= 0


def test_random_session_bodies_are_refused_by_name_or_read():
    chance = random.Random(11)
    for msg_type in (5, 9):
        for _ in range(300):
            length = chance.randint(6, 200)
            body = bytes(chance.choice((0, 1, 2, 255)) for _ in range(length))
            with contextlib.suppress(ValueError):
                assert WIRE.decode(FENCE.hold(sealed(struct.pack(">II", msg_type, length) + body)))[1] == "session"


def test_random_bodies_of_every_type_never_crash():
    chance = random.Random(7)
    for msg_type, layout in TABLES.items():
        length = len(pack_body(layout, {}))
        for _ in range(300):
            body = chance.randbytes(length)
            with pytest.raises(ValueError, match="not of this wire"):
                WIRE.decode(FENCE.hold(sealed(struct.pack(">II", msg_type, length) + body)))


def test_the_exchanges_worked_example():
    """LastPx 171000 is 17.1000, LastQty 30000 is 300.00, LeavesQty 90000 is 900.00, at 14:42:15.555 on 2013-02-28."""
    frame = frame_of(
        200115,
        {
            "PartitionNo": 1, "ReportIndex": 1, "ApplID": "010", "SecurityID": "000001", "SecurityIDSource": "102",
            "TransactTime": 20130228144215555, "ClOrdID": "1", "ExecType": "F", "OrdStatus": "1", "LastPx": 171000,
            "LastQty": 30000, "LeavesQty": 90000, "CumQty": 30000, "Side": "1", "CashMargin": "1",
        },
    )
    _, _, report = WIRE.decode(frame)
    assert (report["last_px_e4"], report["last_qty_shares"], report["leaves_qty_shares"]) == (171000, 300, 900)
    assert report["order_qty_shares"] == 1200
    assert report["time_ns"] == utc_of(20130228, 1442155550000)
    assert report["symbol"] == 1


NOON_NS = utc_of(20240306, 1200000000000)
ORDER = {
    "cl_ord_id": "C1", "account": "A123456789", "symbol": 1, "side": 1, "ord_type": 1, "owner_type": 1,
    "order_qty_shares": 100, "price_e4": 100_000, "time_ns": NOON_NS,
}
TRADE_REPORT = BLANK | {
    "kind": TRADE, "symbol": 1, "cl_ord_id": "C1", "partition": 1, "report_index": 1, "side": 1, "ord_status": 3,
    "order_qty_shares": 1000, "leaves_qty_shares": 900, "last_qty_shares": 100, "last_px_e4": 171_000,
    "account": "A1", "venue_order_id": "V1", "exec_id": "T1", "time_ns": NOON_NS,
}
CANCEL_REPORT = BLANK | {
    "kind": CANCELED, "symbol": 1, "cl_ord_id": "C2", "orig_cl_ord_id": "C1", "partition": 1, "report_index": 2,
    "side": 1, "ord_type": 1, "ord_status": 5, "order_qty_shares": 1000, "canceled_qty_shares": 900, "account": "A1",
    "venue_order_id": "V1", "exec_id": "E1", "time_ns": NOON_NS,
}


@pytest.mark.parametrize(("ord_type", "terms"), TERMS.items())
def test_order_types_are_spelt_as_the_exchange_spells_them(ord_type, terms):
    frame = frame_of(100101, order_values(ORDER | {"ord_type": ord_type}))
    assert WIRE.decode(frame)[2]["ord_type"] == ord_type
    spelling = {
        "OrdType": terms[0], "TimeInForce": terms[1], "MaxPriceLevels": terms[2], "MinQty": 10000 if terms[3] else 0,
    }
    assert WIRE.encode("order", ORDER | {"ord_type": ord_type}) == frame_of(100101, order_values(ORDER) | spelling)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"SecurityID": "00001"}, "SecurityID"), ({"SecurityID": "0000010"}, "SecurityID"),
        ({"SecurityID": "00000X"}, "SecurityID"), ({"Side": "0"}, "Side"), ({"Side": "F"}, "Side"),
        ({"OrdType": "3"}, "OrdType"), ({"TimeInForce": "3"}, "OrdType"), ({"MaxPriceLevels": 5}, "OrdType"),
        ({"MinQty": 10000}, "OrdType"), ({"StopPx": 1}, "OrdType"), ({"Price": -1}, "price"),
        ({"OrderQty": 10050}, "quantity"), ({"OrderQty": -100}, "quantity"), ({"ApplID": "020"}, "ApplID"),
        ({"SecurityIDSource": "101"}, "SecurityIDSource"), ({"CashMargin": "2"}, "ApplID"),
        ({"OwnerType": 2}, "OwnerType"), ({"TransactTime": 20130229144215555}, "TransactTime"),
        ({"TransactTime": 20130228144260555}, "TransactTime"), ({"TransactTime": -1}, "TransactTime"),
    ],
)
def test_an_order_with_a_bad_field_names_it(change, fault):
    good = order_values(ORDER)
    assert WIRE.decode(frame_of(100101, good))[2] == ORDER
    with pytest.raises(ValueError, match=fault):
        WIRE.decode(frame_of(100101, good | change))


@pytest.mark.parametrize(
    ("report", "change", "fault"),
    [
        (TRADE_REPORT, {"ExecType": "0"}, "ExecType"), (TRADE_REPORT, {"OrdStatus": "2"}, "OrdStatus"),
        (TRADE_REPORT, {"LastPx": -1}, "price"), (TRADE_REPORT, {"LastQty": 1}, "quantity"),
        (TRADE_REPORT, {"CumQty": 2**63 // 100 * 100}, "quantity"),
        (TRADE_REPORT, {"ReportIndex": 0}, "ReportIndex"), (TRADE_REPORT, {"ReportIndex": -1}, "ReportIndex"),
        (TRADE_REPORT, {"PartitionNo": 0}, "ReportIndex"), (TRADE_REPORT, {"TransactTime": 0}, "TransactTime"),
        (CANCEL_REPORT, {"OrdStatus": "0"}, "OrdStatus"), (CANCEL_REPORT, {"ExecType": "F"}, "ExecType"),
        (CANCEL_REPORT, {"OrdType": "4"}, "OrdType"), (CANCEL_REPORT, {"CumQty": 100_100}, "quantity"),
        (CANCEL_REPORT, {"Price": -1}, "price"), (CANCEL_REPORT, {"ApplID": "020"}, "ApplID"),
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
        {"ord_type": 3},
        {"ord_type": 8},
        {"ord_type": 0},
        {"side": 0},
        {"side": 3},
        {"symbol": 1_000_000},
        {"owner_type": 2},
        {"price_e4": -1},
        {"order_qty_shares": 2**63 // 100 + 1},
        {"order_qty_shares": -1},
        {"time_ns": -1},
        {"ord_type": 7, "order_qty_shares": 0},
    ],
)
def test_what_the_wire_cannot_say_is_refused(change):
    with pytest.raises(ValueError, match="cannot be said"):
        WIRE.encode("order", ORDER | change)


def test_a_business_reject_of_a_cancel_names_the_message_it_refers_to():
    reject = BLANK | {
        "kind": BUSINESS_REJECT, "symbol": 0, "cl_ord_id": "C2", "orig_cl_ord_id": "C1", "reason": 5,
        "time_ns": NOON_NS,
    }
    frame = WIRE.encode("report", reject)
    assert struct.unpack_from(">I", frame, 8 + 3 + 8 + 6 + 8 + 4 + 8) == (190007,)
    assert WIRE.decode(frame)[2] == reject | {"orig_cl_ord_id": ""}


@pytest.mark.parametrize(
    ("msg_type", "body"), [(100101, 124), (3, 1), (1, 91), (2, 205), (6, 5), (5, 3), (5, 2**16 + 1), (0, 0), (8, 4)]
)
def test_a_wrong_length_or_type_is_malformed_before_the_body_has_come(msg_type, body):
    assert WIRE.decode(struct.pack(">II", msg_type, body))[0] == -1


SESSION = [
    (
        1,
        {
            "sender_comp_id": "TIDEGATE", "target_comp_id": "SZSE", "heart_bt_int": 10, "password": "secret",
            "default_appl_ver_id": "1.02",
        },
        b"TIDEGATE".ljust(20) + b"SZSE".ljust(20) + struct.pack(">i", 10) + b"secret".ljust(16) + b"1.02".ljust(32),
    ),
    (2, {"session_status": -4, "text": "bye"}, struct.pack(">i", -4) + b"bye".ljust(200)), (3, {}, b""),
    (6, {"platform_id": 1, "platform_state": 2}, struct.pack(">HH", 1, 2)),
    (9, {"platform_id": 1, "partitions": [{"partition_no": 1}, {"partition_no": 2}]}, struct.pack(">HIii", 1, 2, 1, 2)),
    (5, {"partitions": [{"partition_no": 1, "report_index": 7}]}, struct.pack(">Iiq", 1, 1, 7)),
    (7, {"partition_no": 1, "report_index": 9, "platform_id": 1}, struct.pack(">iqH", 1, 9, 1)),
]


@pytest.mark.parametrize(("msg_type", "fields", "body"), SESSION)
def test_session_messages_are_those_of_the_tables_and_come_back(msg_type, fields, body):
    frame = WIRE.encode_session(msg_type, fields)
    assert frame == sealed(struct.pack(">II", msg_type, len(body)) + body)
    assert WIRE.decode(frame) == (len(frame), "session", (msg_type, fields))


@pytest.mark.parametrize("count", [0, 2, 2**32 - 1])
def test_a_count_that_does_not_match_the_body_is_an_error(count):
    with pytest.raises(ValueError, match="ReportSynchronization"):
        WIRE.decode(sealed(struct.pack(">II", 5, 16) + struct.pack(">Iiq", count, 1, 7)))
