"""One simulated exchange and the gateways connected to it, over real sockets; tests only."""

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
from loadtest.venue_echo import EchoExchange, ReportTape
from loadtest.venue_session import Desk

DATE = 20240306
NOON_NS = utc_of(DATE, 1200000000000)
BUSINESS_REJECT = 6
both = pytest.mark.parametrize("venue", ["XSHG", "XSHE"])


def order(number: int, symbol: int = 600000, **changes) -> dict:
    return {
        "cl_ord_id": f"C{number}", "account": "A123456789", "symbol": symbol, "side": 1, "ord_type": 1,
        "owner_type": 1, "order_qty_shares": 100, "price_e4": 100_000, "time_ns": NOON_NS,
    } | changes


def cancel(number: int, orig: int, symbol: int = 600000) -> dict:
    return {
        "cl_ord_id": f"C{number}", "orig_cl_ord_id": f"C{orig}", "account": "A123456789", "symbol": symbol,
        "side": 1, "owner_type": 1, "order_qty_shares": 100, "venue_order_id": "", "time_ns": NOON_NS,
    }


@dataclass
class Gateway:
    """One gateway's end: link, session, and what it was told."""

    link: VenueLink
    tape: ReportTape
    session: VenueSession
    states: list[tuple[str, str]]
    task: asyncio.Task

    async def assert_reaches(self, state: LinkState) -> None:
        await assert_soon(lambda: self.session.state is state)


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
        config = VenueConfig(
            **{
                "venue": self.venue, "host": "127.0.0.1", "port": port or self.port, "sender_comp_id": "TIDE",
                "target_comp_id": "EXCH", "pbu": "P1", "password": "secret" if self.venue == "XSHE" else "",
                "trade_date": DATE, "heart_bt_int_s": 1, "retry_s": 0.02, "retry_limit_s": 0.05, "quiet_s": 0.1,
            }
            | changes
        )
        loop = asyncio.get_running_loop()
        link = VenueLink(Turn(loop.call_soon), self.wire())
        link.sink = tape = ReportTape()
        states: list[tuple[str, str]] = []
        session = SESSIONS[self.venue](
            config,
            link,
            tape.next_report_index,
            lambda venue, state, reason: states.append((state, reason)),
            lambda event, **fields: self.events.append((event, fields)),
        )
        gateway = Gateway(link, tape, session, states, loop.create_task(session.run()))
        self.gateways.append(gateway)
        return gateway


async def assert_soon(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
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
        acceptor = ACCEPTORS[venue](
            desk,
            [MemberConfig("TIDE", "P1", "secret" if venue == "XSHE" else "")],
            "EXCH",
            DATE,
            lambda event, **fields: events.append((event, fields)),
        )
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


class Relay:
    """A TCP relay between gateway and exchange that a test can slow, garble or stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.piece = 1 << 16
        self.garbage = b""
        self.silent = False
        self.tasks: set[asyncio.Task] = set()
        self.writers: list[asyncio.StreamWriter] = []  # a writer that nobody holds closes its connection

    async def start(self) -> int:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, far_writer]
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
        # A silent relay hides the end of the connection, too.
        if not self.silent:
            target.close()

    def stop(self) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
