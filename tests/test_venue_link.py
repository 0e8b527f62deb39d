"""The gateway's link against the exchange's acceptor, over real sockets, for both protocols."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvloop

from ext.buffers import Turn
from ext.venue_link import VenueLink
from ext.venue_sse import SseWire
from ext.venue_szse import SzseWire
from ext.wire import utc_of
from gateway.venue import SESSIONS, LinkState, VenueConfig, VenueSession
from loadtest.venue_acceptor import ACCEPTORS, VENUES, MemberConfig, VenueAcceptor
from loadtest.venue_echo import EchoExchange, ReportTape, send_cancel, send_order
from loadtest.venue_session import Desk

DATE = 20240306
NOON_NS = utc_of(DATE, 1200000000000)
BUSINESS_REJECT = 6
both = pytest.mark.parametrize("venue", ["XSHG", "XSHE"])


def order(number: int, symbol: int = 600000, **changes) -> dict:
    return {"cl_ord_id": f"C{number}", "account": "A123456789", "symbol": symbol, "side": 1, "ord_type": 1, "owner_type": 1,
            "order_qty_shares": 100, "price_e4": 100_000, "time_ns": NOON_NS} | changes


def cancel(number: int, orig: int, symbol: int = 600000) -> dict:
    return {"cl_ord_id": f"C{number}", "orig_cl_ord_id": f"C{orig}", "account": "A123456789", "symbol": symbol, "side": 1,
            "owner_type": 1, "order_qty_shares": 100, "venue_order_id": "", "time_ns": NOON_NS}


@dataclass
class Gateway:
    """One gateway's end: link, session, and what it was told."""

    link: VenueLink
    tape: ReportTape
    session: VenueSession
    states: list[tuple[str, str]]
    task: asyncio.Task

    async def until(self, state: LinkState) -> None:
        await until(lambda: self.session.state is state)


@dataclass
class Bench:
    """One exchange, and the gateways that a test connects to it."""

    venue: str
    echo: EchoExchange
    desk: Desk
    acceptor: VenueAcceptor
    port: int = 0
    gateways: list[Gateway] = field(default_factory=list)
    events: list[tuple[str, dict]] = field(default_factory=list)
    relay: "Relay | None" = None

    def wire(self):
        return SseWire("P1", DATE) if self.venue == "XSHG" else SzseWire("P1")

    def connect(self, port: int | None = None, **changes) -> Gateway:
        config = VenueConfig(**{
            "venue": self.venue, "host": "127.0.0.1", "port": port or self.port, "sender_comp_id": "TIDE", "target_comp_id": "EXCH",
            "pbu": "P1", "password": "secret" if self.venue == "XSHE" else "", "trade_date": DATE, "heart_bt_int_s": 1,
            "retry_s": 0.02, "retry_limit_s": 0.05, "quiet_s": 0.1} | changes)
        loop = asyncio.get_running_loop()
        link = VenueLink(Turn(loop.call_soon), self.wire())
        link.sink = tape = ReportTape()
        states: list[tuple[str, str]] = []
        session = SESSIONS[self.venue](config, link, tape.next_report_index, lambda venue, state, reason: states.append((state, reason)),
                                       lambda event, **fields: self.events.append((event, fields)))
        gateway = Gateway(link, tape, session, states, loop.create_task(session.run()))
        self.gateways.append(gateway)
        return gateway


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.002)


def on_bench(venue: str, test: Callable[[Bench], Awaitable[None]], partitions: int = 3, **changes) -> None:
    """Run one test with an open exchange; everything it started is stopped."""
    async def body() -> None:
        loop = asyncio.get_running_loop()
        echo = EchoExchange()
        desk = echo.desk = Desk(VENUES[venue], Turn(loop.call_soon), echo, partitions)
        desk.platform_state = changes.get("platform_state", 2)
        events: list[tuple[str, dict]] = []
        acceptor = ACCEPTORS[venue](desk, [MemberConfig("TIDE", "P1", "secret" if venue == "XSHE" else "")], "EXCH", DATE,
                                    lambda event, **fields: events.append((event, fields)))
        bench = Bench(venue, echo, desk, acceptor, await acceptor.start(), events=events)
        try:
            await test(bench)
        finally:
            for gateway in bench.gateways:
                await gateway.session.stop()
                await asyncio.wait_for(gateway.task, 5)
            if bench.relay is not None:
                bench.relay.stop()
            await acceptor.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(body(), 15))


@both
def test_an_order_goes_out_and_its_reports_come_back(venue):
    async def test(bench):
        bench.echo.fills = True
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        assert [state for state, _ in gateway.states] == ["LOGGING_ON", "SYNCING", "READY"]
        assert gateway.session.platform_state == 2
        for number in range(1000):
            send_order(gateway.link, order(number, 600000 + number % 7))
        send_cancel(gateway.link, cancel(1000, 1, 600001))
        await until(lambda: len(gateway.tape.reports) == 2001)
        assert bench.echo.seen == [f"C{number}" for number in range(1001)]
        for partition in (1, 2, 3):
            assert gateway.tape.of(partition) == list(range(1, len(gateway.tape.of(partition)) + 1))
        assert [report["cl_ord_id"] for report in gateway.tape.reports if report["kind"] == 3 + 1] != []
        canceled = [report for report in gateway.tape.reports if report["kind"] == 2]
        assert [(report["cl_ord_id"], report["orig_cl_ord_id"]) for report in canceled] == [("C1000", "C1")]

    on_bench(venue, test)


@both
def test_what_was_missed_comes_once_and_in_order_after_a_reconnect(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        for number in range(300):
            send_order(gateway.link, order(number, 600000 + number % 5))
        await until(lambda: len(bench.echo.seen) == 300)
        # The reports of the last orders are cut off on their way.
        assert bench.acceptor.drop("TIDE")
        await gateway.until(LinkState.DOWN)
        assert not gateway.link.ready
        await gateway.until(LinkState.READY)
        for number in range(300, 400):
            send_order(gateway.link, order(number, 600000 + number % 5))
        await until(lambda: len(gateway.tape.reports) == 400)
        assert sorted(report["cl_ord_id"] for report in gateway.tape.reports) == sorted(f"C{number}" for number in range(400))
        assert gateway.link.duplicates == 0

    on_bench(venue, test)


@both
def test_a_gateway_without_memory_gets_the_whole_day_again_byte_for_byte(venue):
    async def test(bench):
        first = bench.connect()
        await first.until(LinkState.READY)
        for number in range(5000):
            send_order(first.link, order(number, 600000 + number % 11))
        await until(lambda: len(first.tape.reports) == 5000)
        await first.session.stop()
        second = bench.connect()
        await second.until(LinkState.READY)
        assert len(second.tape.reports) == 5000
        for partition in (1, 2, 3):
            assert [report for report in first.tape.reports if report["partition"] == partition] == [
                report for report in second.tape.reports if report["partition"] == partition]

    on_bench(venue, test)


@both
def test_resynchronisation_is_whole_while_live_reports_keep_coming(venue):
    async def test(bench):
        first = bench.connect()
        await first.until(LinkState.READY)
        for number in range(20_000):
            send_order(first.link, order(number, 600000 + number % 3))
            if number % 1000 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(bench.echo.seen) == 20_000)
        await first.session.stop()
        second = bench.connect()
        await until(lambda: len(second.tape.reports) > 0)
        more = 20_000
        while second.session.state is not LinkState.READY or more < 20_500:
            if second.link.ready:
                send_order(second.link, order(more, 600000 + more % 3))
                more += 1
            await asyncio.sleep(0)
        await until(lambda: len(second.tape.reports) == more)
        assert second.tape.of(1) == list(range(1, len(second.tape.of(1)) + 1))
        assert second.link.duplicates == 0

    on_bench(venue, test)


@both
def test_a_gap_cuts_the_link_and_resynchronises(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        bench.acceptor.session_of("TIDE").skip_report()
        for number in range(10):
            send_order(gateway.link, order(number))
        await until(lambda: ("DOWN", "gap in the reports: partition 1, index 2") in gateway.states)
        await until(lambda: len(gateway.tape.reports) == 10)
        assert gateway.tape.of(1) == list(range(1, 11))
        await gateway.until(LinkState.READY)

    on_bench(venue, test)


@both
def test_a_report_sent_twice_is_applied_once(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        bench.acceptor.session_of("TIDE").repeat_report(3)
        for number in range(10):
            send_order(gateway.link, order(number))
        await until(lambda: len(gateway.tape.reports) == 10)
        await until(lambda: gateway.link.duplicates == 3)
        assert gateway.session.state is LinkState.READY

    on_bench(venue, test)


@both
def test_a_second_logon_is_refused_while_the_first_lives(venue):
    async def test(bench):
        first = bench.connect()
        await first.until(LinkState.READY)
        second = bench.connect()
        await until(lambda: any("has a live session" in reason for _, reason in second.states))
        assert first.session.state is LinkState.READY
        await first.session.stop()
        await second.until(LinkState.READY)

    on_bench(venue, test)


@pytest.mark.parametrize(("venue", "change", "reason"), [
    ("XSHG", {"sender_comp_id": "NOBODY"}, "status 5, SenderCompID or Password: unknown"),
    ("XSHG", {"target_comp_id": "OTHER"}, "status 5, TargetCompID: OTHER, expected EXCH"),
    ("XSHG", {"prtc_version": "0.99"}, "status 102, PrtcVersion: 0.99, expected 1.00"),
    ("XSHG", {"trade_date": 20240307}, "status 103, TradeDate: 20240307, expected 20240306"),
    ("XSHG", {"pbu": "P2"}, "ExecRptInfo.Pbu: ['P1'], expected P2"),
    ("XSHE", {"sender_comp_id": "NOBODY"}, "status 5, SenderCompID or Password: unknown"),
    ("XSHE", {"password": "wrong"}, "status 5, SenderCompID or Password: unknown"),
    ("XSHE", {"prtc_version": "1.00"}, "status 102, DefaultApplVerID: 1.00, expected 1.02"),
])
def test_a_logon_that_breaks_a_rule_is_told_which(venue, change, reason):
    async def test(bench):
        gateway = bench.connect(**change)
        await until(lambda: any(reason in why for _, why in gateway.states))
        assert all(state != "READY" for state, _ in gateway.states)
        # And it tries again.
        await until(lambda: sum(state == "LOGGING_ON" for state, _ in gateway.states) >= 3)

    on_bench(venue, test)


@both
def test_nothing_leaves_before_the_link_is_ready(venue):
    async def test(bench):
        gateway = bench.connect()
        send_order(gateway.link, order(1))

        def too_early() -> None:
            send_order(gateway.link, order(2))
            send_cancel(gateway.link, cancel(3, 1))

        gateway.link.on_connected = too_early
        await gateway.until(LinkState.READY)
        assert gateway.link.refused == 3
        send_order(gateway.link, order(4, ord_type=6 if venue == "XSHG" else 3))
        send_order(gateway.link, order(5))
        await until(lambda: len(gateway.tape.reports) == 1)
        assert bench.echo.seen == ["C5"]
        assert gateway.link.refused == 4

    on_bench(venue, test)


@both
def test_the_door_refuses_with_a_reason_and_without_an_index(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        send_order(gateway.link, order(1))
        send_order(gateway.link, order(1))
        await until(lambda: len(gateway.tape.reports) == 2)
        bench.acceptor.set_platform_state(3)
        await until(lambda: gateway.session.platform_state == 3)
        send_order(gateway.link, order(2))
        send_cancel(gateway.link, cancel(3, 1))
        await until(lambda: len(gateway.tape.reports) == 4)
        bench.acceptor.set_platform_state(2)
        # The id of an order that was refused because of the hour is still free.
        send_order(gateway.link, order(2))
        await until(lambda: len(gateway.tape.reports) == 5)
        bench.desk.max_orders_per_s = 1
        for number in range(10, 14):
            send_order(gateway.link, order(number))
        await until(lambda: len(gateway.tape.reports) == 9)
        rejects = [(report["cl_ord_id"], report["reason"], report["report_index"])
                   for report in gateway.tape.reports if report["kind"] == BUSINESS_REJECT]
        assert sorted(rejects[:3]) == [("C1", 1, 0), ("C2", 2, 0), ("C3", 2, 0)]
        assert {reason for _, reason, _ in rejects[3:]} == {3}
        assert 2 <= len(rejects[3:]) <= 3
        assert gateway.session.state is LinkState.READY

    on_bench(venue, test)


@both
def test_a_bad_field_and_a_foreign_pbu_are_refused_with_the_reason(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        await gateway.session.stop()
        reader, writer = await log_on_by_hand(bench)
        good = bench.wire().encode("order", order(1))
        foreign = (SseWire("P9", DATE) if venue == "XSHG" else SzseWire("P9")).encode("order", order(2))
        at = good.index(b"600000")
        bad = bytearray(good[:-4])
        bad[at:at + 6] = b"60000X"
        writer.write(bytes(bad) + (sum(bad) % 256).to_bytes(4) + foreign)
        rejects = [fields for kind, fields in await read_frames(bench, reader, 2, "report")]
        assert [(reject["kind"], reject["cl_ord_id"], reject["symbol"], reject["reason"]) for reject in rejects] == [
            (BUSINESS_REJECT, "C1", 0, 104), (BUSINESS_REJECT, "C2", 600000, 4)]
        writer.close()

    on_bench(venue, test)


async def log_on_by_hand(bench: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client written only with the wire: for what the link would never send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    logon = {"sender_comp_id": "TIDE", "target_comp_id": "EXCH", "heart_bt_int": 1}
    logon |= ({"prtc_version": "1.00", "trade_date": DATE, "q_size": 0} if bench.venue == "XSHG"
              else {"password": "secret", "default_appl_ver_id": "1.02"})
    wire = bench.wire()
    writer.write(wire.encode_session(wire.logon_type, logon, 1))
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
        reader, writer = await log_on_by_hand(bench)
        for octet in bench.wire().encode("order", order(1), 2) + bench.wire().encode("order", order(2), 3):
            writer.write(bytes([octet]))
            await asyncio.sleep(0.0005)
        await until(lambda: bench.echo.seen == ["C1", "C2"])
        writer.close()

    on_bench(venue, test)


class Relay:
    """A TCP relay between gateway and exchange that a test can slow, garble or stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.piece = 1 << 16
        self.garbage = b""
        self.silent = False
        self.tasks: set[asyncio.Task] = set()

    async def start(self) -> int:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        for source, target, garbled in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.get_running_loop().create_task(self.pump(source, target, garbled))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def pump(self, source, target, garbled: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while octets := await source.read(self.piece):
                if self.silent:
                    continue
                target.write((self.garbage if garbled else b"") + octets)
                if garbled:
                    self.garbage = b""
        target.close()

    def stop(self) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()


@both
def test_the_link_takes_frames_one_octet_at_a_time(venue):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        relay.piece = 1
        gateway = bench.connect(await relay.start())
        await gateway.until(LinkState.READY)
        for number in range(5):
            send_order(gateway.link, order(number))
        await until(lambda: len(gateway.tape.reports) == 5)

    on_bench(venue, test)


@both
@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64)], ids=["ones", "http", "zeros"])
def test_garbage_from_the_exchange_cuts_the_link_and_it_comes_back(venue, garbage):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        gateway = bench.connect(await relay.start())
        await gateway.until(LinkState.READY)
        relay.garbage = garbage
        send_order(gateway.link, order(1))
        await until(lambda: any("malformed frame" in reason for _, reason in gateway.states))
        await gateway.until(LinkState.READY)
        await until(lambda: len(gateway.tape.reports) == 1)

    on_bench(venue, test)


@both
@pytest.mark.parametrize("garbage", [b"\xff" * 64, bytes(64), b"GET / HTTP/1.1\r\n\r\n"], ids=["ones", "zeros", "http"])
def test_garbage_from_a_client_ends_only_its_own_connection(venue, garbage):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(garbage)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        send_order(gateway.link, order(1))
        await until(lambda: len(gateway.tape.reports) == 1)
        assert any("malformed frame" in fields.get("reason", "") for _, fields in bench.events)

    on_bench(venue, test)


@both
def test_two_missed_heartbeats_end_the_session_on_both_sides(venue):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        gateway = bench.connect(await relay.start())
        await gateway.until(LinkState.READY)
        # Idle for longer than a session without heartbeats would live.
        await asyncio.sleep(2.3)
        assert [state for state, _ in gateway.states] == ["LOGGING_ON", "SYNCING", "READY"]
        relay.silent = True
        await until(lambda: ("DOWN", "two heartbeats missed") in gateway.states)
        await until(lambda: any(fields.get("reason") == "two heartbeats missed" and "comp_id" in fields for _, fields in bench.events))
        relay.silent = False
        await gateway.until(LinkState.READY)

    on_bench(venue, test)


@both
def test_a_client_that_never_reads_is_bounded_and_its_reports_are_kept(venue):
    async def test(bench):
        _, writer = await log_on_by_hand(bench)
        sync = ({"groups": [{"pbu": "P1", "set_id": 1, "begin_report_index": 1}]} if venue == "XSHG"
                else {"partitions": [{"partition_no": 1, "report_index": 1}]})
        writer.write(bench.wire().encode_session(206 if venue == "XSHG" else 5, sync, 2))
        writer.transport.pause_reading()
        for number in range(40_000):
            writer.write(bench.wire().encode("order", order(number), 3 + number))
            if number % 500 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(bench.echo.seen) == 40_000)
        session = bench.acceptor.session_of("TIDE")
        # 40,000 reports are some 12 MB; what waits in this process is at most a page and the socket's high water.
        assert session is None or len(session.out) < 200_000
        writer.transport.abort()
        await until(lambda: bench.acceptor.session_of("TIDE") is None)
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        await until(lambda: len(gateway.tape.reports) == 40_000)

    on_bench(venue, test, partitions=1)


@both
def test_the_day_ends_with_an_end_of_every_stream(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        send_order(gateway.link, order(1))
        await until(lambda: len(gateway.tape.reports) == 1)
        bench.acceptor.end_day()
        name = "ExecRptEndOfStream" if venue == "XSHG" else "ReportFinished"
        await until(lambda: sum(fields.get("message") == name for _, fields in bench.events) == 3)

    on_bench(venue, test)


@both
def test_an_exchange_that_is_down_is_tried_again_until_it_is_there(venue):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        port = await relay.start()
        relay.stop()
        await asyncio.sleep(0)
        gateway = bench.connect(port)
        await until(lambda: sum("cannot connect" in reason for _, reason in gateway.states) >= 3)

    on_bench(venue, test)


@both
def test_a_delay_on_demand_holds_reports_back_and_loses_none(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.until(LinkState.READY)
        bench.acceptor.delay("TIDE", 0.2)
        send_order(gateway.link, order(1))
        await until(lambda: bench.echo.seen == ["C1"])
        await asyncio.sleep(0.1)
        assert gateway.tape.reports == []
        await until(lambda: len(gateway.tape.reports) == 1)

    on_bench(venue, test)


def test_shanghai_refuses_to_synchronise_what_it_does_not_have():
    async def test(bench):
        gateway = bench.connect()
        gateway.tape.next_index[1] = 7
        await until(lambda: any("refused: 2, report_index: 7, expected 1 to 1" in reason for _, reason in gateway.states))

    on_bench("XSHG", test)


def test_shenzhen_refuses_to_synchronise_what_it_does_not_have():
    async def test(bench):
        gateway = bench.connect()
        gateway.tape.next_index[1] = 7
        await until(lambda: any("report_index: 7, expected 1 to 1" in reason for _, reason in gateway.states))

    on_bench("XSHE", test)
