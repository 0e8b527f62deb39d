"""The exchange's end against gateways, clients by hand, and strangers, over real sockets, for both protocols."""

import asyncio
import contextlib
import random

import pytest

from ext.venue_sse import SseWire
from ext.venue_szse import SzseWire
from gateway.venue import LinkState
from loadtest.venue_echo import send_cancel, send_order
from tests.venue_bench import BUSINESS_REJECT, DATE, NOON_NS, Bench, assert_soon, both, cancel, on_bench, order

REPORT = {
    "kind": 1, "side": 1, "ord_type": 1, "ord_status": 2, "symbol": 1, "partition": 1, "report_index": 1,
    "cl_ord_id": "C1", "orig_cl_ord_id": "", "venue_order_id": "V1", "exec_id": "", "account": "A1", "price_e4": 1,
    "order_qty_shares": 100, "last_qty_shares": 0, "last_px_e4": 0, "leaves_qty_shares": 100, "canceled_qty_shares": 0,
    "reason": 0, "time_ns": NOON_NS,
}


@both
def test_a_second_logon_is_refused_while_the_first_lives(venue):
    async def test(bench):
        first = bench.connect()
        await first.assert_reaches(LinkState.READY)
        second = bench.connect()
        await assert_soon(lambda: any("has a live session" in reason for _, reason in second.states))
        assert first.session.state is LinkState.READY
        await first.session.stop()
        await second.assert_reaches(LinkState.READY)

    on_bench(venue, test)


@pytest.mark.parametrize(
    ("venue", "change", "reason"),
    [
        ("XSHG", {"sender_comp_id": "NOBODY"}, "status 5, SenderCompID or Password: unknown"),
        ("XSHG", {"target_comp_id": "OTHER"}, "status 5, TargetCompID: OTHER, expected EXCH"),
        ("XSHG", {"prtc_version": "0.99"}, "status 102, PrtcVersion: 0.99, expected 1.00"),
        ("XSHG", {"trade_date": 20240307}, "status 103, TradeDate: 20240307, expected 20240306"),
        ("XSHG", {"pbu": "P2"}, "ExecRptInfo.Pbu: ['P1'], expected P2"),
        ("XSHE", {"sender_comp_id": "NOBODY"}, "status 5, SenderCompID or Password: unknown"),
        ("XSHE", {"password": "wrong"}, "status 5, SenderCompID or Password: unknown"),
        ("XSHE", {"prtc_version": "1.00"}, "status 102, DefaultApplVerID: 1.00, expected 1.02"),
    ],
)
def test_a_logon_that_breaks_a_rule_is_told_which(venue, change, reason):
    async def test(bench):
        gateway = bench.connect(**change)
        await assert_soon(lambda: any(reason in why for _, why in gateway.states))
        assert all(state != "READY" for state, _ in gateway.states)
        # And it tries again.
        await assert_soon(lambda: sum(state == "LOGGING_ON" for state, _ in gateway.states) >= 3)

    on_bench(venue, test)


@both
def test_the_door_refuses_with_a_reason_and_without_an_index(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        send_order(gateway.link, order(1))
        send_order(gateway.link, order(1))
        await assert_soon(lambda: len(gateway.tape.reports) == 2)
        bench.acceptor.set_platform_state(3)
        await assert_soon(lambda: gateway.session.platform_state == 3)
        send_order(gateway.link, order(2))
        send_cancel(gateway.link, cancel(3, 1))
        await assert_soon(lambda: len(gateway.tape.reports) == 4)
        bench.acceptor.set_platform_state(2)
        # The id of an order that was refused because of the hour is still free.
        send_order(gateway.link, order(2))
        await assert_soon(lambda: len(gateway.tape.reports) == 5)
        bench.desk.max_orders_per_s = 1
        for number in range(10, 14):
            send_order(gateway.link, order(number))
        await assert_soon(lambda: len(gateway.tape.reports) == 9)
        rejects = [
            (report["cl_ord_id"], report["reason"], report["report_index"])
            for report in gateway.tape.reports
            if report["kind"] == BUSINESS_REJECT
        ]
        assert sorted(rejects[:3]) == [("C1", 2010, 0), ("C2", 2, 0), ("C3", 2, 0)]
        assert {reason for _, reason, _ in rejects[3:]} == {3}
        assert 2 <= len(rejects[3:]) <= 3
        assert gateway.session.state is LinkState.READY

    on_bench(venue, test)


@both
def test_a_bad_field_and_a_foreign_pbu_are_refused_with_the_reason(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        await gateway.session.stop()
        reader, writer = await log_on_by_hand(bench)
        good = bench.wire().encode("order", order(1))
        foreign = (SseWire("P9", DATE) if venue == "XSHG" else SzseWire("P9")).encode("order", order(2))
        at = good.index(b"600000")
        bad = bytearray(good[:-4])
        bad[at : at + 6] = b"60000X"
        writer.write(bytes(bad) + (sum(bad) % 256).to_bytes(4) + foreign)
        rejects = [fields for kind, fields in await read_frames(bench, reader, 2, "report")]
        assert [(reject["kind"], reject["cl_ord_id"], reject["symbol"], reject["reason"]) for reject in rejects] == [
            (BUSINESS_REJECT, "C1", 0, 104),
            (BUSINESS_REJECT, "C2", 600000, 4),
        ]
        writer.close()

    on_bench(venue, test)


def logon_fields(venue: str) -> dict:
    fields = {"sender_comp_id": "TIDE", "target_comp_id": "EXCH", "heart_bt_int": 1}
    if venue == "XSHG":
        return fields | {"prtc_version": "1.00", "trade_date": DATE, "q_size": 0}
    return fields | {"password": "secret", "default_appl_ver_id": "1.02"}


async def log_on_by_hand(bench: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client written only with the wire: for what the link would never send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    wire = bench.wire()
    writer.write(wire.encode_session(wire.logon_type, logon_fields(bench.venue), 1))
    await read_frames(bench, reader, 3, "session")
    return reader, writer


async def read_frames(bench: Bench, reader: asyncio.StreamReader, count: int, wanted: str) -> list[tuple]:
    """The next `count` frames of a kind; others, heartbeats, are passed over."""
    wire, octets, frames = bench.wire(), b"", []
    async with asyncio.timeout(5):
        while len(frames) < count:
            size, kind, fields = wire.decode(octets)
            assert size >= 0
            if size == 0:
                more = await reader.read(1)
                assert more, "the exchange closed the connection"
                octets += more
                continue
            octets = octets[size:]
            if kind == wanted:
                frames.append((kind, fields))
    return frames


@both
def test_the_exchange_takes_frames_one_octet_at_a_time(venue):
    async def test(bench):
        _, writer = await log_on_by_hand(bench)
        for octet in bench.wire().encode("order", order(1), 2) + bench.wire().encode("order", order(2), 3):
            writer.write(bytes([octet]))
            await asyncio.sleep(0.0005)
        await assert_soon(lambda: bench.echo.seen == ["C1", "C2"])
        writer.close()

    on_bench(venue, test)


@both
@pytest.mark.parametrize("garbage", [b"\xff" * 64, bytes(64), b"GET / HTTP/1.1\r\n\r\n"], ids=["ones", "zeros", "http"])
def test_garbage_from_a_client_ends_only_its_own_connection(venue, garbage):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(garbage)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        send_order(gateway.link, order(1))
        await assert_soon(lambda: len(gateway.tape.reports) == 1)
        assert any("malformed frame" in fields.get("reason", "") for _, fields in bench.events)

    on_bench(venue, test)


@both
def test_a_client_that_does_not_log_on_is_cut(venue):
    async def test(bench):
        bench.acceptor.logon_within_s = 0.1
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    on_bench(venue, test)


@both
def test_orders_and_sync_before_logon_end_the_connection(venue):
    async def test(bench):
        wire = bench.wire()
        sync = (206, {"groups": []}) if venue == "XSHG" else (5, {"partitions": []})
        for octets in (wire.encode("order", order(1)), wire.encode("cancel", cancel(2, 1)), wire.encode_session(*sync)):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(octets)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert bench.echo.seen == []

    on_bench(venue, test)


@both
def test_changed_octets_from_members_and_strangers_harm_nobody_else(venue):
    """Frames with right checksums and wrong insides: each is refused, or ends its own connection."""

    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        chance, wire, header = random.Random(5), bench.wire(), 16 if venue == "XSHG" else 8
        logon = wire.encode_session(wire.logon_type, logon_fields(venue))
        frames = [logon, wire.encode("order", order(1)), wire.encode("report", REPORT)]
        for number in range(60):
            frame = bytearray(frames[number % 3][:-4])
            for _ in range(3):
                frame[chance.randrange(header, len(frame))] = chance.randrange(256)
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(bytes(frame) + (sum(frame) % 256).to_bytes(4))
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        send_order(gateway.link, order(1))
        await assert_soon(lambda: len(gateway.tape.reports) == 1)
        assert [state for state, _ in gateway.states] == ["LOGGING_ON", "SYNCING", "READY"]

    on_bench(venue, test)


@both
def test_a_client_that_never_reads_is_bounded_and_its_reports_are_kept(venue):
    async def test(bench):
        _, writer = await log_on_by_hand(bench)
        sync = (
            {"groups": [{"pbu": "P1", "set_id": 1, "begin_report_index": 1}]}
            if venue == "XSHG"
            else {"partitions": [{"partition_no": 1, "report_index": 1}]}
        )
        writer.write(bench.wire().encode_session(206 if venue == "XSHG" else 5, sync, 2))
        writer.transport.pause_reading()
        for number in range(40_000):
            writer.write(bench.wire().encode("order", order(number), 3 + number))
            if number % 500 == 0:
                await asyncio.sleep(0)
        await assert_soon(lambda: len(bench.echo.seen) == 40_000)
        session = bench.acceptor.session_of("TIDE")
        # 40,000 reports are some 12 MB; what waits in this process is at most a page and the socket's high water.
        assert session is None or len(session.out) < 200_000
        writer.transport.abort()
        await assert_soon(lambda: bench.acceptor.session_of("TIDE") is None)
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        await assert_soon(lambda: len(gateway.tape.reports) == 40_000)

    on_bench(venue, test, partitions=1)


@both
def test_the_day_ends_with_an_end_of_every_stream(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        send_order(gateway.link, order(1))
        await assert_soon(lambda: len(gateway.tape.reports) == 1)
        bench.acceptor.end_day()
        name = "ExecRptEndOfStream" if venue == "XSHG" else "ReportFinished"
        await assert_soon(lambda: sum(fields.get("message") == name for _, fields in bench.events) == 3)

    on_bench(venue, test)


def test_shanghai_refuses_to_synchronise_what_it_does_not_have():
    async def test(bench):
        gateway = bench.connect()
        gateway.tape.next_index[1] = 7
        await assert_soon(
            lambda: any("refused: 2, report_index: 7, expected 1 to 1" in reason for _, reason in gateway.states)
        )

    on_bench("XSHG", test)


def test_shenzhen_refuses_to_synchronise_what_it_does_not_have():
    async def test(bench):
        gateway = bench.connect()
        gateway.tape.next_index[1] = 7
        await assert_soon(lambda: any("report_index: 7, expected 1 to 1" in reason for _, reason in gateway.states))

    on_bench("XSHE", test)
