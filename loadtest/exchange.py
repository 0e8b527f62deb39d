"""One exchange as a process: loop, sockets, the day's clock, background flow, faults. Matches and encodes nothing."""

import asyncio
import gc
import json
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ext.buffers import Turn
from ext.clock import utc_now_ns
from loadtest.background import Tape, generated_tape, replay_tape, seed_tape
from loadtest.exchange_core import ExchangeCore
from loadtest.faults import ControlProtocol, Faults
from loadtest.market_day import NS, MarketDay, Phase, of_day_ns
from loadtest.market_feed import Index, Subscriber
from loadtest.order_desk import OrderDesk
from loadtest.universe import INDEX, INDEX_BOARD, Instrument, read_universe
from loadtest.venue_acceptor import MemberConfig

TICK_S = 0.002
BUDGET_NS = 200_000  # of background flow and quotes per loop turn, so that order entry never waits longer
WARM_UP_NS = 10**12
QUOTES_PER_TURN = 128
CAGE_TICKS = {"MAIN": 10, "STAR": 0, "CHINEXT": 10}


class Settings(NamedTuple):
    """What the command line says; ports of 0 take a free one."""

    venue: str
    instruments: Path
    host: str
    order_port: int
    market_data_port: int
    control_port: int
    day: date
    clock: time
    speed: float
    end: time
    quote_interval_ms: int
    feed_limit_mib: int
    flow: Path | None
    rate_per_s: float
    seed: int
    empty: bool
    cage: bool
    members: list[MemberConfig]
    partitions: int


class MarketDataProtocol(asyncio.Protocol):
    """One subscriber's connection; it is only ever written to."""

    def __init__(self, core: ExchangeCore, turn: Turn, limit: int) -> None:
        self.core = core
        self.turn = turn
        self.limit = limit
        self.subscriber: Subscriber | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.subscriber = Subscriber(self.turn, transport, self.limit)
        self.core.feed.add(self.subscriber)

    def pause_writing(self) -> None:
        if self.subscriber is not None:
            self.subscriber.pause_writing()

    def resume_writing(self) -> None:
        if self.subscriber is not None:
            self.subscriber.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        if self.subscriber is not None:
            self.core.feed.remove(self.subscriber)
            self.subscriber = None


class Exchange:
    """The running exchange: build it, `await start()`, and it lives until `close()`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        listed = [i for i in read_universe(settings.instruments)
                  if i.security_exchange == settings.venue and i.status != "DELISTED"]
        self.loop = asyncio.get_running_loop()
        self.turn = Turn(self.loop.call_soon)
        self.orders = OrderDesk(settings.venue, self.turn, settings.members, int(f"{settings.day:%Y%m%d}"),
                                settings.partitions)
        self.core = ExchangeCore(self.orders.desk)
        indices = [i for i in listed if i.board == INDEX]
        self.listed = listed = [i for i in listed if i.board != INDEX]
        for instrument in listed:
            list_on(self.core, instrument, settings.cage)
        for index in indices:
            self.core.feed.add_index(index_of(index, listed))
        self.tapes = plan_tapes(settings, listed)
        self.day = MarketDay(settings.day, settings.clock, settings.speed, settings.end, utc_now_ns())
        self.faults = Faults(self.core, self.orders, self.day)
        self.servers: list[asyncio.Server] = []
        self.phase_index = 0
        self.next_quotes_ns = 0
        self.next_status_ns = 0
        self.timer: asyncio.Handle | None = None

    async def start(self) -> dict[str, Any]:
        """Bring the books to the starting time and listen; returns the ready line's fields."""
        settings = self.settings
        for tape in self.tapes:
            await self.loop.run_in_executor(None, tape.blocks.wait)
        while not self.advance(self.day.start_ns, WARM_UP_NS):
            await asyncio.sleep(0)
        ports = {
            "order_entry_port": await self.orders.start(settings.host, settings.order_port),
            "market_data_port": await self.listen(self.new_subscriber, settings.market_data_port),
            "control_port": await self.listen(lambda: ControlProtocol(self.faults), settings.control_port),
        }
        gc.freeze()  # what a day's start built lives all day: no collection need look at it again
        self.day.began_ns = utc_now_ns()
        self.tick()
        return {"exchange": settings.venue, **ports, "instruments": len(self.listed),
                "phase": Phase(self.core.market.phase).name, "flow": self.flow_name(),
                "resting_orders": self.core.market.live_orders()}

    def flow_name(self) -> str:
        if self.settings.flow:
            return f"replays {self.settings.flow.name}"
        if self.settings.empty:
            return "none"
        return "generated" if self.settings.rate_per_s else "seeds only"

    def new_subscriber(self) -> MarketDataProtocol:
        return MarketDataProtocol(self.core, self.turn, self.settings.feed_limit_mib << 20)

    async def listen(self, make: Callable[[], asyncio.Protocol], port: int) -> int:
        server = await self.loop.create_server(make, self.settings.host, port)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def tick(self) -> None:
        """One turn of the market: clock, phase, background flow, quotes. Comes again at once while work is left."""
        now_ns = utc_now_ns()
        done = self.advance(self.day.market_ns(now_ns), BUDGET_NS)
        feed = self.core.feed
        if now_ns >= self.next_status_ns:
            self.next_status_ns = now_ns + NS
            feed.publish_status()
            feed.publish_indices()
        if now_ns >= self.next_quotes_ns:
            if feed.publish_quotes(QUOTES_PER_TURN):
                self.next_quotes_ns = now_ns + self.settings.quote_interval_ms * 1_000_000
            else:
                done = False
        self.timer = self.loop.call_later(TICK_S, self.tick) if done else self.loop.call_soon(self.tick)

    def advance(self, market_ns: int, budget_ns: int) -> bool:
        """Bring flow and phase to market_ns, the flow of a phase before the next phase; False when work is left."""
        target = self.day.phase_index(market_ns)
        self.core.feed.market_time_ns = market_ns
        until_ns = market_ns
        if self.phase_index < target:
            until_ns = self.day.change_ns[self.phase_index + 1] - 1000
        until_us = self.day.of_day_us(until_ns)
        if not all(tape.feed(self.core, until_us, budget_ns) for tape in self.tapes):
            return False
        if self.phase_index == target:
            return True
        self.phase_index += 1
        self.enter(self.day.phases[self.phase_index])
        return False

    def enter(self, phase: Phase) -> None:
        self.core.market.enter_phase(phase)
        self.core.feed.publish_status()
        self.orders.enter(phase)

    async def close(self) -> None:
        """Log every member out, stop listening, drop every connection."""
        if self.timer is not None:
            self.timer.cancel()
        for server in self.servers:
            server.close()
        await self.orders.stop()
        for tape in self.tapes:
            tape.close()


def list_on(core: ExchangeCore, instrument: Instrument, cage: bool) -> None:
    """Open one instrument's book; Shanghai's and Shenzhen's boards share the 2 % cage but not its floor in ticks."""
    core.market.list_instrument(
        int(instrument.symbol), tick_e4=instrument.tick_e4, up_limit_e4=instrument.up_limit_e4,
        down_limit_e4=instrument.down_limit_e4, prev_close_e4=instrument.prev_close_e4,
        buy_min_shares=instrument.buy_min_shares, buy_step_shares=instrument.buy_step_shares,
        max_limit_shares=instrument.max_limit_shares, max_market_shares=instrument.max_market_shares,
        cage_bps=200 if cage else 0, cage_ticks=CAGE_TICKS[instrument.board],
        suspended=instrument.status == "SUSPENDED")


def index_of(index: Instrument, listed: Sequence[Instrument]) -> Index:
    """An index of the listed shares of its board, or of all when it has none, each counted by its float."""
    board = INDEX_BOARD.get(index.symbol, "")
    books = [at for at, share in enumerate(listed) if not board or share.board == board]
    shares = [float(listed[at].float_shares) for at in books]
    return Index(int(index.symbol), index.prev_close_e4, np.array(books, np.int64), np.array(shares, np.float64))


def plan_tapes(settings: Settings, listed: list[Instrument]) -> list[Tape]:
    """Recorded flow for its own symbols; for all others seeds and generated flow."""
    replayed = [replay_tape(settings.flow, listed)] if settings.flow else []
    taken = {f"{symbol:06d}" for tape in replayed for symbol in tape.symbols.tolist()}
    others = [i for i in listed if i.symbol not in taken and i.status == "NORMAL"]
    if not others or settings.empty:
        return replayed
    tapes = [*replayed, seed_tape(others, settings.seed)]
    start_s, end_s = of_day_ns(settings.clock) / NS, of_day_ns(settings.end) / NS
    if settings.rate_per_s:
        tapes.append(generated_tape(others, settings.seed, start_s, end_s, settings.rate_per_s))
    return tapes


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; prints the ready line to stdout."""
    exchange = Exchange(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        exchange.loop.add_signal_handler(number, stop.set)
    try:
        ready = await exchange.start()
        with suppress(BrokenPipeError):
            print(json.dumps(ready), flush=True)
        await stop.wait()
    finally:
        await exchange.close()
