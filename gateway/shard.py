"""One shard, wired: the one file to read to see the system. Takes no decision about an order or about money.

front ends --gRPC--> Session --> Engine --> VenueLink --> exchange        an order, down
front ends <--gRPC-- Session <-- Engine <-- VenueLink <-- exchange        its reports, up
                                  |  ^ ^
                         Journal <-  | -- QuoteFeed <-- exchange          events; quotes and phases
officers --gRPC--> control process --> Commands                           rules, kills, levels; alerts back
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from ext import carry_over, queries, replay, response, surveillance, sweeps
from ext.ahead import Ahead
from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.codes import VENUES
from ext.engine import Engine
from ext.journal import JournalError
from ext.quote_feed import QuoteFeed
from ext.session import Stages
from ext.state import State
from ext.venue_link import VenueLink
from ext.venue_sse import SseWire
from ext.venue_szse import SzseWire
from gateway import transport
from gateway.control_child import ControlChild, ControlSettings
from gateway.homes import Place, limits_at_home, take_place
from gateway.journal_file import JournalFile
from gateway.limits import load_limits
from gateway.loading import load_engine
from gateway.log import logger
from gateway.metrics import MetricSources, MetricsServer, StageSummary
from gateway.order_entry import OrderEntry
from gateway.reference import load_instruments
from gateway.rule_start import STORE, begin_rules, rules_in_words
from gateway.settings import SettingError, Settings, VenueAddress
from gateway.venue import SESSIONS, LinkState, VenueConfig, VenueSession

VENUE_NAMES = {number: name for name, number in VENUES.items()}
DRAIN_S = 2.0
FEED_RETRY_S = 0.2
TICK_S = 0.1  # how late a suspended order or a level may end, and a waiting quote be recorded
SPARE_POSITIONS = 1 << 18
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


class Shard:
    """One gateway process: its engine, its two exchanges, its front ends."""

    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        self.settings = settings
        self.place = place
        self.log = logger("shard")
        self.loop = asyncio.get_running_loop()
        self.turn = Turn(self.loop.call_soon)
        self.stages = Stages()
        self.journal_file, self.engine = open_engine(settings, self.log.info, place)
        self.ahead = Ahead(self.journal_file.journal, self.engine.state)
        self.ahead_thread = threading.Thread(target=self.ahead.run, name="tidegate-ahead", daemon=True)
        self.links: dict[int, Any] = {}
        self.sessions: dict[int, VenueSession] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.orders = OrderEntry(self.engine, self.turn, self.stages, self.log.info)
        self.server: transport.Server | None = None
        self.metrics: MetricsServer | None = None
        self.control: ControlChild | None = None

    async def start(self) -> dict[str, Any]:
        """Exchanges first, then the door; returns the fields of the ready line."""
        settings = self.settings
        self.ahead.prepare()
        self.ahead_thread.start()
        for address in settings.venues:
            self.attach(address)
        self.engine.attach(self.links.get(VENUES["XSHG"]), self.links.get(VENUES["XSHE"]))
        for session in self.sessions.values():
            self.tasks.append(self.loop.create_task(session.run()))
        for address in settings.venues:
            if address.market_data_port:
                self.tasks.append(self.loop.create_task(self.follow_quotes(address)))
        self.tasks.append(self.loop.create_task(self.keep_time()))
        self.orders.resume_graces()
        tls = transport.Tls(str(settings.tls_cert), str(settings.tls_key)) if settings.tls_cert else None
        with listening("--port", settings.host, settings.port):
            self.server = await transport.serve(
                settings.transport, self.orders.methods(), self.turn, settings.host, settings.port, tls=tls
            )
        if settings.control_port is not None:
            self.control = ControlChild(self.engine, control_settings(settings), self.log)
            await self.control.start()
        if settings.metrics_port is not None:
            with listening("--metrics-port", settings.host, settings.metrics_port):
                self.metrics = MetricsServer(self.metric_sources(), settings.metrics_port, settings.host)
        if self.place is not None:
            await self.place.start(self.server.port, self.control.port if self.control else None, self.health)
        return {
            "port": self.server.port,
            "metrics_port": self.metrics.port if self.metrics else None,
            "control_port": self.control.port if self.control else None,
            "rule_set": rules_in_words(self.engine),
            "transport": settings.transport,
            "pid": os.getpid(),
            **queries.counts(self.engine),
        }

    def attach(self, address: VenueAddress) -> None:
        """A link to one exchange, and the session that keeps it up."""
        settings, name = self.settings, VENUE_NAMES[address.venue]
        wire = SseWire(settings.pbu, settings.trade_date) if name == "XSHG" else SzseWire(settings.pbu)
        link = VenueLink(self.turn, wire)
        link.sink = self.engine
        config = VenueConfig(
            venue=name,
            host=address.host,
            port=address.port,
            sender_comp_id=settings.comp_id,
            target_comp_id=name,
            pbu=settings.pbu,
            password=settings.venue_password if name == "XSHE" else "",
            trade_date=settings.trade_date,
        )
        self.links[address.venue] = link
        self.sessions[address.venue] = SESSIONS[name](
            config,
            link,
            lambda partition: self.engine.next_report_index(address.venue, partition),
            self.on_link_state,
            logger("venue").info,
            self.on_day_end,
        )

    def on_link_state(self, name: str, state: LinkState, reason: str) -> None:
        """A link came or went: the engine rejects or sends accordingly."""
        resent = sweeps.set_link(self.engine, VENUES[name], state is LinkState.READY, utc_now_ns())
        self.log.info("venue_link", venue=name, state=str(state), reason=reason, resent=resent)

    def on_day_end(self, name: str) -> None:
        """The exchange has said everything it had to say today: what is still open there has expired."""
        self.log.info("day_end", venue=name, expired=sweeps.end_of_day(self.engine, VENUES[name], utc_now_ns()))

    async def follow_quotes(self, address: VenueAddress) -> None:
        """Market data of one exchange, for as long as the shard lives."""
        while True:
            closed: asyncio.Future[str] = self.loop.create_future()
            try:
                await self.loop.create_connection(
                    feed_factory(self.engine, address.venue, closed), address.host, address.market_data_port
                )
                self.log.info("quotes_connected", venue=VENUE_NAMES[address.venue])
                self.log.warning("quotes_lost", venue=VENUE_NAMES[address.venue], reason=await closed)
            except OSError as error:
                self.log.warning("quotes_unreachable", venue=VENUE_NAMES[address.venue], reason=str(error))
            await asyncio.sleep(FEED_RETRY_S)

    async def keep_time(self) -> None:
        """Ends suspended orders and levels when their time is over, records the quotes that waited for theirs."""
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = utc_now_ns()
            surveillance.on_time(self.engine, now_ns)
            ended = response.on_time(self.engine, now_ns)
            if ended:
                self.log.info("time_over", ended=ended)

    async def stop(self) -> None:
        """The door first, then the exchanges, then the journal."""
        if self.place is not None:
            await self.place.stop()
        if self.server is not None:
            await self.server.drain(DRAIN_S)
        if self.control is not None:
            await self.control.stop()
        for session in self.sessions.values():
            await session.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.metrics is not None:
            self.metrics.stop()
        self.ahead.stop()
        if self.ahead_thread.is_alive():
            self.ahead_thread.join()
        self.journal_file.close()
        self.log.info("stopped", state_hash=self.engine.state.hash(), **queries.counts(self.engine))

    def health(self) -> dict[str, Any]:
        """What the topology tells of this shard."""
        counts = queries.counts(self.engine)
        links = {VENUE_NAMES[venue]: session.state is LinkState.READY for venue, session in self.sessions.items()}
        return {"links": links} | {name: counts[name] for name in ("accounts", "orders", "open_orders", "journal_bytes")}

    def metric_sources(self) -> MetricSources:
        engine = self.engine
        return MetricSources(
            orders_in=lambda: sum(engine.decision_counts().values()) + engine.repeats_answered,
            decisions=engine.decision_counts,
            reports=engine.report_counts,
            stages=lambda: {"decided": summary(self.stages.decided), "acked": summary(engine.acked)},
            venue_links=lambda: {
                VENUE_NAMES[venue]: session.state is LinkState.READY for venue, session in self.sessions.items()
            },
            sessions=lambda: len(self.orders.sessions),
            open_orders=lambda: int(queries.counts(engine)["open_orders"]),
            journal_bytes=lambda: int(queries.counts(engine)["journal_bytes"]),
            control=self.control.figures if self.control else lambda: None,
        )


def open_engine(
    settings: Settings, log: Callable[..., None], place: Place | None = None
) -> tuple[JournalFile, Any]:
    """The day's journal folded into state, and today's settings on top of it.

    Raises SettingError when files and journal do not fit, JournalError when the journal is damaged or does not add up.
    """
    limits = every = load_limits(settings.limits)
    if place is not None:
        limits = limits_at_home(every, place.is_home)
    instruments = load_instruments(settings.instruments)
    journal_file = JournalFile(settings.journal / f"{settings.trade_date}-{settings.shard:02d}.journal")
    state = State(max(1024, 2 * len(limits.accounts)), len(limits.positions) + SPARE_POSITIONS, settings.max_orders)
    engine = Engine(state, journal_file.journal)
    found = sweeps.recover(engine)
    faults = queries.check_invariants(engine)
    if faults:
        raise JournalError(journal_file.journal.path, 0, f"its state does not add up: {'; '.join(faults[:3])}")
    try:
        load_engine(
            engine, limits, instruments, trade_date=settings.trade_date, shard=settings.shard, now_ns=utc_now_ns()
        )
    except ValueError as error:
        raise SettingError(f"{settings.limits}: {error}") from None
    except OSError as error:
        raise JournalError(journal_file.journal.path, journal_file.journal.end, str(error)) from None
    if not state.carried:
        take_over(settings, engine, journal_file.journal.path, log)
    begin_rules(engine, settings.journal, settings.rules, settings.trade_date, log)
    if place is not None:
        place.attach(engine, every)
    state.fault_in()
    log("recovered", limits_sha256=limits.sha256, **found)
    return journal_file, engine


def take_over(settings: Settings, engine: Any, path: str, log: Callable[..., None]) -> None:
    """What the newest older journal of this shard left (kills, levels, open reviews) into a new day's journal.

    Raises JournalError when that journal cannot be read: a day that starts must not forget who was stopped.
    """
    own = Path(path)
    older = sorted(file for file in own.parent.glob(f"*-{settings.shard:02d}.journal") if file.name < own.name)
    left: list[Any] = []
    if older:
        file = JournalFile(older[-1], writable=False)
        try:
            state = State(engine.state.most_accounts, engine.state.most_positions, settings.max_orders)
            replay.fold(state, file.journal)
            left = carry_over.carry_over(state, file.journal)
        finally:
            file.close()
    source = older[-1].name if older else "no older journal"
    log("carried_over", source=source, **carry_over.restore(engine, left, source, utc_now_ns()))


def control_settings(settings: Settings) -> ControlSettings:
    """What the control process is told; it keeps off the shard's own core."""
    own = {settings.cpu} if settings.cpu is not None else set()
    cpus = set(range(os.cpu_count() or 1)) - own
    paths = {"tls_cert": settings.tls_cert, "tls_key": settings.tls_key, "tls_client_ca": settings.tls_client_ca,
             "limits": settings.limits, "watch": settings.rules if settings.watch_rules else None}
    return ControlSettings(
        fd=-1, host=settings.host, port=settings.control_port or 0, control=str(settings.control),
        store=str(settings.journal / STORE), trade_date=settings.trade_date, shard=settings.shard,
        cpus=tuple(cpus or own), debug=settings.debug, **{name: str(path) for name, path in paths.items() if path},
    )


@contextlib.contextmanager
def listening(flag: str, host: str, port: int) -> Iterator[None]:
    """Opening a port: an error is the flag's."""
    try:
        yield
    except OSError as error:
        raise SettingError(f"{flag}: cannot listen on {host}:{port}: {error.strerror or error}") from None


def feed_factory(engine: Any, venue: int, closed: asyncio.Future[str]) -> Callable[[], Any]:
    def on_closed(reason: str) -> None:
        if not closed.done():
            closed.set_result(reason)

    return lambda: QuoteFeed(engine, venue, on_closed)


def summary(histogram: Any) -> StageSummary:
    quantiles = {quantile: histogram.percentile_ns(int(quantile * 1_000_000)) for quantile in QUANTILES}
    return StageSummary(count=histogram.count, sum_ns=histogram.sum_ns, quantiles_ns=quantiles)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; the ready line, JSON, goes to stdout."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    shard = Shard(settings, await take_place(settings, logger("topology")))
    try:
        ready = await shard.start()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
        # What lives now lives as long as the process: no collection should ever walk it.
        gc.collect()
        gc.freeze()
        if settings.awake:
            transport.stay_awake(asyncio.get_running_loop())
        await stop.wait()
    finally:
        await shard.stop()


def serve(settings: Settings) -> None:
    """`tidegate serve`: run one shard in this process. Raises SettingError with one line for a person."""
    if settings.cpu is not None:
        os.sched_setaffinity(0, {settings.cpu})
    try:
        uvloop.run(run(settings))
    except JournalError as error:
        raise SettingError(f"--journal: {error}") from None
