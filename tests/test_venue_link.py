"""The gateway's link and session against an exchange, over real sockets, for both protocols."""

import asyncio

import pytest

from gateway.venue import LinkState
from loadtest.venue_echo import send_cancel, send_order
from tests.venue_bench import Relay, assert_soon, both, cancel, on_bench, order


@both
def test_an_order_goes_out_and_its_reports_come_back(venue):
    async def test(bench):
        bench.echo.fills = True
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        assert [state for state, _ in gateway.states] == ["LOGGING_ON", "SYNCING", "READY"]
        assert gateway.session.platform_state == 2
        for number in range(1000):
            send_order(gateway.link, order(number, 600000 + number % 7))
        send_cancel(gateway.link, cancel(1000, 1, 600001))
        await assert_soon(lambda: len(gateway.tape.reports) == 2001)
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
        await gateway.assert_reaches(LinkState.READY)
        for number in range(300):
            send_order(gateway.link, order(number, 600000 + number % 5))
        await assert_soon(lambda: len(bench.echo.seen) == 300)
        # The reports of the last orders are cut off on their way.
        assert bench.acceptor.drop("TIDE")
        await gateway.assert_reaches(LinkState.DOWN)
        assert not gateway.link.ready
        await gateway.assert_reaches(LinkState.READY)
        for number in range(300, 400):
            send_order(gateway.link, order(number, 600000 + number % 5))
        await assert_soon(lambda: len(gateway.tape.reports) == 400)
        assert sorted(report["cl_ord_id"] for report in gateway.tape.reports) == sorted(
            f"C{number}" for number in range(400)
        )
        assert gateway.link.duplicates == 0

    on_bench(venue, test)


@both
def test_a_gateway_without_memory_gets_the_whole_day_again_byte_for_byte(venue):
    async def test(bench):
        first = bench.connect()
        await first.assert_reaches(LinkState.READY)
        for number in range(5000):
            send_order(first.link, order(number, 600000 + number % 11))
        await assert_soon(lambda: len(first.tape.reports) == 5000)
        await first.session.stop()
        second = bench.connect()
        await second.assert_reaches(LinkState.READY)
        assert len(second.tape.reports) == 5000
        for partition in (1, 2, 3):
            assert [report for report in first.tape.reports if report["partition"] == partition] == [
                report for report in second.tape.reports if report["partition"] == partition
            ]

    on_bench(venue, test)


@both
def test_resynchronisation_is_whole_while_live_reports_keep_coming(venue):
    async def test(bench):
        first = bench.connect()
        await first.assert_reaches(LinkState.READY)
        for number in range(20_000):
            send_order(first.link, order(number, 600000 + number % 3))
            if number % 1000 == 0:
                await asyncio.sleep(0)
        await assert_soon(lambda: len(bench.echo.seen) == 20_000)
        await first.session.stop()
        second = bench.connect()
        await assert_soon(lambda: len(second.tape.reports) > 0)
        more = 20_000
        while second.session.state is not LinkState.READY or more < 20_500:
            if second.link.ready:
                send_order(second.link, order(more, 600000 + more % 3))
                more += 1
            await asyncio.sleep(0)
        await assert_soon(lambda: len(second.tape.reports) == more)
        assert second.tape.of(1) == list(range(1, len(second.tape.of(1)) + 1))
        assert second.link.duplicates == 0

    on_bench(venue, test)


@both
def test_a_gap_cuts_the_link_and_resynchronises(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        bench.acceptor.session_of("TIDE").skip_report()
        for number in range(10):
            send_order(gateway.link, order(number))
        await assert_soon(lambda: ("DOWN", "gap in the reports: partition 1, index 2") in gateway.states)
        await assert_soon(lambda: len(gateway.tape.reports) == 10)
        assert gateway.tape.of(1) == list(range(1, 11))
        await gateway.assert_reaches(LinkState.READY)

    on_bench(venue, test)


@both
def test_a_report_sent_twice_is_applied_once(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        bench.acceptor.session_of("TIDE").repeat_report(3)
        for number in range(10):
            send_order(gateway.link, order(number))
        await assert_soon(lambda: len(gateway.tape.reports) == 10)
        await assert_soon(lambda: gateway.link.duplicates == 3)
        assert gateway.session.state is LinkState.READY

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
        await gateway.assert_reaches(LinkState.READY)
        assert gateway.link.refused == 3
        send_order(gateway.link, order(4, ord_type=6 if venue == "XSHG" else 3))
        send_order(gateway.link, order(5))
        await assert_soon(lambda: len(gateway.tape.reports) == 1)
        assert bench.echo.seen == ["C5"]
        assert gateway.link.refused == 4

    on_bench(venue, test)


@both
def test_the_link_takes_frames_one_octet_at_a_time(venue):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        relay.piece = 1
        gateway = bench.connect(await relay.start())
        await gateway.assert_reaches(LinkState.READY)
        for number in range(5):
            send_order(gateway.link, order(number))
        await assert_soon(lambda: len(gateway.tape.reports) == 5)

    on_bench(venue, test)


@both
@pytest.mark.parametrize(
    "garbage", [b"\xff" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64)], ids=["ones", "http", "zeros"]
)
def test_garbage_from_the_exchange_cuts_the_link_and_it_comes_back(venue, garbage):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        gateway = bench.connect(await relay.start())
        await gateway.assert_reaches(LinkState.READY)
        relay.garbage = garbage
        send_order(gateway.link, order(1))
        await assert_soon(lambda: any("malformed frame" in reason for _, reason in gateway.states))
        await gateway.assert_reaches(LinkState.READY)
        await assert_soon(lambda: len(gateway.tape.reports) == 1)

    on_bench(venue, test)


@both
def test_two_missed_heartbeats_end_the_session_on_both_sides(venue):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        gateway = bench.connect(await relay.start())
        await gateway.assert_reaches(LinkState.READY)
        # Idle for longer than a session without heartbeats would live.
        await asyncio.sleep(2.3)
        assert [state for state, _ in gateway.states] == ["LOGGING_ON", "SYNCING", "READY"]
        relay.silent = True
        await assert_soon(lambda: ("DOWN", "two heartbeats missed") in gateway.states)
        await assert_soon(
            lambda: any(
                fields.get("reason") == "two heartbeats missed" and "comp_id" in fields for _, fields in bench.events
            )
        )
        relay.silent = False
        await gateway.assert_reaches(LinkState.READY)

    on_bench(venue, test)


@both
def test_an_exchange_that_is_down_is_tried_again_until_it_is_there(venue):
    async def test(bench):
        relay = bench.relay = Relay(bench.port)
        port = await relay.start()
        relay.stop()
        await asyncio.sleep(0)
        gateway = bench.connect(port)
        await assert_soon(lambda: sum("cannot connect" in reason for _, reason in gateway.states) >= 3)

    on_bench(venue, test)


@both
def test_a_delay_on_demand_holds_reports_back_and_loses_none(venue):
    async def test(bench):
        gateway = bench.connect()
        await gateway.assert_reaches(LinkState.READY)
        bench.acceptor.delay("TIDE", 0.2)
        send_order(gateway.link, order(1))
        await assert_soon(lambda: bench.echo.seen == ["C1"])
        await asyncio.sleep(0.1)
        assert gateway.tape.reports == []
        await assert_soon(lambda: len(gateway.tape.reports) == 1)

    on_bench(venue, test)
