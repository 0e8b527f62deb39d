"""One shard, wired: the one file to read to see the system. Takes no decision about an order or about money.

front ends --gRPC--> Session --> Engine --> VenueLink --> exchange        an order, down
front ends <--gRPC-- Session <-- Engine <-- VenueLink <-- exchange        its reports, up
                                  |  ^ ^
                         Journal <-  | -- QuoteFeed <-- exchange          events; quotes and phases
officers --gRPC--> control process --> Commands                           rules, kills, levels; alerts back

Whatever leaves passes the gate: not before the journal is as safe as the durability mode promises. With a Redis the
process is a member of a cluster: it owns the shard, or follows whoever does (gateway/member.py).
"""

import asyncio
import contextlib
import enum
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ext import follower, queries, response, surveillance, sweeps
from ext import settings as day_settings
from ext.ahead import Ahead
from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.codes import VENUES
from ext.gate import Gate
from ext.journal import JournalError
from ext.quote_feed import QuoteFeed
from ext.session import Stages
from ext.shedding import Shedder
from ext.venue_link import VenueLink
from ext.venue_sse import SseWire
from ext.venue_szse import SzseWire
from gateway import transport
from gateway.control_child import ControlChild, control_settings
from gateway.disk import DiskSync
from gateway.drop_child import DropCopyChild, drop_settings
from gateway.errands import Errands
from gateway.homes import Place
from gateway.loading import profiles_of
from gateway.log import Sparing, logger
from gateway.member import Member
from gateway.metrics import MetricSources, MetricsServer, summary_of
from gateway.opening import begin_day, load_files, open_engine
from gateway.order_entry import OrderEntry
from gateway.ownership import Record, Role
from gateway.quota_link import FIRST_S, TAKE_OVER_S, QuotaLink
from gateway.quota_store import QuotaSettings
from gateway.replication import ReplicationError
from gateway.rule_start import rules_in_words
from gateway.settings import SettingError, Settings, VenueAddress
from gateway.snapshot_child import SnapshotChild
from gateway.tasks import end_tasks
from gateway.venue import SESSIONS, LinkState, VenueConfig, VenueSession

VENUE_NAMES = {number: name for name, number in VENUES.items()}
DRAIN_S = 2.0
SHED_BEYOND = {  # of what an order meets; docs/sre.md says what each is
    "most_waited_ns": 100_000_000,
    "most_held_bytes": 1 << 25,
    "most_venue_bytes": 1 << 20,
    "most_venue_silent_ns": 2_000_000_000,
}
VENUE_LIMIT_BYTES = 1 << 24  # that wait for an exchange, before its link is cut: new orders are shed far below
FEED_RETRY_S = 0.2
TICK_S = 0.1  # how late a suspended order or a level may end, and a waiting quote be recorded
MARKET_WAIT_S = 2.0  # a new owner's, for links and phases
MARKET_LOOK_S = 0.001


class End(enum.StrEnum):
    """Why a shard's process ends by itself."""

    HANDED_OVER = "handed_over"
    LOST = "lost"  # another owns the shard
    ANEW = "anew"  # what is here is not the shard's journal: it begins again as a standby with none
    FAULT = "fault"


class Shard:
    """One gateway process: its engine, its two exchanges, its front ends."""

    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        self.settings = settings
        self.place = place
        self.log = logger("shard")
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[End] = self.loop.create_future()
        self.stages = Stages(Shedder(**SHED_BEYOND))
        self.files = load_files(settings, place)
        self.journal_file, self.engine, self.recovery = open_engine(settings, self.files, self.log.info)
        self.gate = Gate(self.engine.journal)
        self.turn = Turn(self.loop.call_soon, self.gate)
        self.ahead = Ahead(self.journal_file.journal, self.engine.state)
        self.ahead_thread = threading.Thread(target=self.ahead.run, name="tidegate-ahead", daemon=True)
        self.links: dict[int, Any] = {}
        self.sessions: dict[int, VenueSession] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.errands = Errands()
        self.orders = OrderEntry(self.engine, self.turn, self.stages, Sparing(self.log.info), errands=self.errands)
        self.member = self.new_member() if settings.redis else None
        self.disk: DiskSync | None = None
        self.told_end: int | None = None  # where its journal ended for all others, once it was handed over
        self.server: transport.Server | None = None
        self.metrics: MetricsServer | None = None
        self.control: ControlChild | None = None
        self.snapshots: SnapshotChild | None = None
        self.drop_copy: DropCopyChild | None = None
        self.quota: QuotaLink | None = None

    def new_member(self) -> Member:
        return Member(
            self.settings, self.engine, self.gate, self.log.info, on_record=self.on_record,
            on_lost=lambda record: self.end(End.LOST), on_owned=self.on_owned,
        )  # fmt: skip

    async def start(self) -> dict[str, Any]:
        """The exchanges first, then the door; a standby's is open for reading alone. The fields of the ready line."""
        settings = self.settings
        self.ahead.prepare()
        self.ahead_thread.start()
        if settings.durability == "disk":
            self.disk = DiskSync(self.engine.journal, self.gate, self.on_disk_failed)
            self.disk.start()
        if self.member is None:
            self.begin_day()
            await self.open_exchanges()
            await self.open_control()
            await self.open_door()
            await self.open_copies()
        else:
            self.orders.away = ""
            await self.open_door()
            await self.join(self.member)
        if settings.snapshot_every_s:
            self.snapshots = SnapshotChild(self.engine, settings, self.log)
            self.snapshots.start()
        if settings.metrics_port is not None:
            with listening("--metrics-port", settings.host, settings.metrics_port):
                self.metrics = MetricsServer(self.metric_sources(), settings.metrics_port, settings.host)
        assert self.server is not None
        return {
            "port": self.server.port,
            "metrics_port": self.metrics.port if self.metrics else None,
            "control_port": self.control.port if self.control else None,
            "role": str(self.member.ownership.role) if self.member else "owner",
            "rule_set": rules_in_words(self.engine),
            "transport": settings.transport,
            "durability": settings.durability,
            "pid": os.getpid(),
            **queries.counts(self.engine),
        }

    async def join(self, member: Member) -> None:
        """Own the shard, or follow whoever does."""
        assert self.server is not None
        host = self.settings.advertise or self.settings.host
        control = f"{host}:{self.settings.control_port}" if self.settings.control_port else ""
        with listening("--replication-port", self.settings.host, self.settings.replication_port):
            await member.listen(f"{host}:{self.server.port}", control)
        if await member.join():
            self.begin_day()
            await self.serve_shard(member)
        else:
            self.tasks.append(self.loop.create_task(self.follow(member)))

    async def follow(self, member: Member) -> None:
        """Be the standby; then own the shard."""
        try:
            await member.follow(self.allow_tokens)
        except (ReplicationError, JournalError) as error:
            begin_anew = getattr(error, "begin_anew", False)
            self.log.error("cannot_follow", reason=str(error), begins_anew=begin_anew)
            self.end(End.ANEW if begin_anew else End.FAULT)
            return
        sweeps.take_up(self.engine)
        self.allow_tokens()
        if self.place is not None:
            self.place.attach(self.engine, self.files.every, profiles_of(self.files.limits))
        await self.serve_shard(member, taken_over=True)
        self.log.info("serving", epoch=member.ownership.epoch, **queries.counts(self.engine))

    async def serve_shard(self, member: Member, *, taken_over: bool = False) -> None:
        """This node owns the shard: exchanges, door, control."""
        await member.own()
        await self.open_quota(member, taken_over=taken_over)
        await self.open_exchanges(taken_over=taken_over)
        if taken_over:
            await self.until_market_is_known()
        else:  # of a new owner clients wait, and the owner before it took the cluster's commands until just now
            await self.open_control()
        self.orders.away = None
        if taken_over:
            await self.open_control()
        await self.open_copies()

    async def open_quota(self, member: Member, *, taken_over: bool) -> None:
        """Lease this shard's shares of the limits that span shards; a new owner goes on with those it took over."""
        settings = self.settings
        if settings.shards < 2:
            return
        where = QuotaSettings(settings.redis, settings.cluster, settings.shards, settings.shard, settings.trade_date)
        log, ownership = logger("quota"), member.ownership
        self.quota = QuotaLink(self.engine, where, log, epoch=lambda: ownership.epoch, gate=self.gate)
        await self.quota.start(TAKE_OVER_S if taken_over else FIRST_S)
        self.tasks.append(self.loop.create_task(self.quota.run()))

    def pause_quota(self, paused: bool) -> None:
        if self.quota is not None:
            self.quota.paused = paused

    async def until_market_is_known(self) -> None:
        """Until orders can pass, or an exchange stays away: clients that come to a new owner would rather wait than be
        refused."""
        deadline = self.loop.time() + MARKET_WAIT_S
        venues = [address.venue for address in self.settings.venues]
        while self.loop.time() < deadline and not all(queries.is_market_known(self.engine, venue) for venue in venues):
            await asyncio.sleep(MARKET_LOOK_S)

    def begin_day(self) -> None:
        """Today's files on top of what the journal holds. Raises SettingError when they do not fit."""
        profiles = begin_day(self.settings, self.files, self.engine, self.log.info)
        if self.place is not None:
            self.place.attach(self.engine, self.files.every, profiles)

    def on_owned(self, record: Record) -> None:
        """This node owns the shard under a new epoch: that is the first it writes."""
        settings = self.settings
        day_settings.begin_day(self.engine, settings.trade_date, settings.shard, utc_now_ns())
        assert self.member is not None
        follower.record_owner(self.engine, record.epoch, self.member.node, utc_now_ns())

    def on_record(self, record: Record) -> None:
        """Whoever asks a standby for more than a look is told where the owner is."""
        self.orders.away = record.address if record.owner != getattr(self.member, "node", "") else ""

    def allow_tokens(self) -> None:
        """What each token may trade, from the limits file; ports are as the journal has them."""
        for token in self.files.limits.tokens:
            day_settings.allow_port(self.engine, token)

    async def open_exchanges(self, *, taken_over: bool = False) -> None:
        """Links to both exchanges, and their market data."""
        self.recovery.count_in_doubt(self.engine)
        self.open_links(taken_over=taken_over)
        for address in self.settings.venues:
            if address.market_data_port:
                self.tasks.append(self.loop.create_task(self.follow_quotes(address)))
        self.tasks.append(self.loop.create_task(self.keep_time()))
        self.tasks.append(self.loop.create_task(self.orders.sweep()))
        self.orders.resume_graces()

    def open_links(self, *, taken_over: bool = False) -> None:
        for address in self.settings.venues:
            self.attach(address, taken_over=taken_over)
        self.engine.attach(self.links.get(VENUES["XSHG"]), self.links.get(VENUES["XSHE"]))
        for session in self.sessions.values():
            self.tasks.append(self.loop.create_task(session.run()))

    async def open_door(self) -> None:
        settings = self.settings
        tls = transport.Tls(str(settings.tls_cert), str(settings.tls_key)) if settings.tls_cert else None
        with listening("--port", settings.host, settings.port):
            self.server = await transport.serve(
                settings.transport, self.orders.methods(), self.turn, settings.host, settings.port, tls=tls,
                errands=self.errands,
            )

    async def open_control(self) -> None:
        """Also takes what the cluster was told meanwhile, where it is asked for before orders are."""
        if self.settings.control_port is not None:
            settings = control_settings(self.settings)
            hand_over = self.hand_over if self.member is not None else None
            cluster = self.settings.redis, self.turn, hand_over, self.recovery.in_ns
            self.control = ControlChild(self.engine, settings, self.log, *cluster)
            self.control.return_quota = self.quota.give_up if self.quota is not None else None
            await self.control.start()

    async def open_copies(self) -> None:
        """What is told of this shard outside: reports, and where it is."""
        if self.settings.drop_copy:
            settings = drop_settings(self.settings, self.engine.state)
            self.drop_copy = DropCopyChild(settings, self.settings.redis, self.safe_end, self.log)
            await self.drop_copy.begin()
        if self.place is not None and self.server is not None:
            self.place.sessions = self.orders
            await self.place.start(self.server.port, self.control.port if self.control else None, self.health)

    def on_disk_failed(self, number: int) -> None:
        """What the disk refused may never be acknowledged: this process can only end."""
        self.log.error("disk_failed", journal=self.engine.journal.path, reason=os.strerror(number))
        self.gate.shut()
        self.end(End.FAULT)

    def safe_end(self) -> int:
        """Up to where the journal may be told outside."""
        return int(self.told_end or min(self.engine.journal.end, self.gate.safe_end))

    def end(self, how: "End") -> None:
        """Let `run` stop this shard."""
        if not self.ended.done():
            self.ended.set_result(how)

    def attach(self, address: VenueAddress, *, taken_over: bool = False) -> None:
        """A link to one exchange, and the session that keeps it up."""
        settings, name = self.settings, VENUE_NAMES[address.venue]
        wire = SseWire(settings.pbu, settings.trade_date) if name == "XSHG" else SzseWire(settings.pbu)
        link = VenueLink(self.turn, wire, VENUE_LIMIT_BYTES)
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
        if taken_over:
            # Clients wait, and a link that is ready too early is safe (gateway/venue.py).
            config = msgspec.structs.replace(config, quiet_s=0.02, retry_s=0.01)
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
        in_doubt = sweeps.in_doubt(self.engine, VENUES[name]) if state is LinkState.READY else 0
        withheld = len(self.engine.withheld)
        resent = sweeps.set_link(self.engine, VENUES[name], state is LinkState.READY, utc_now_ns())
        self.log.info("venue_link", venue=name, state=str(state), reason=reason, resent=resent)
        if state is LinkState.READY:
            self.recovery.note_link(name, in_doubt, resent, len(self.engine.withheld) - withheld)

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
        """Ends suspended orders and levels when their time is over, records quotes that waited for theirs, and has the
        journal's next segment opened before it is needed."""
        while True:
            await asyncio.sleep(TICK_S)
            self.stages.shedder.held_bytes = self.gate.held_bytes
            for told in self.journal_file.ensure_ahead():
                self.log.warning(**told)
            now_ns = utc_now_ns()
            surveillance.on_time(self.engine, now_ns)
            ended = response.on_time(self.engine, now_ns)
            if ended:
                self.log.info("time_over", ended=ended)

    async def hand_over(self) -> dict[str, Any]:
        """Hand the shard to its standby and end; where it is served then. ReplicationError: it cannot be done."""
        assert self.member is not None
        redirect = self.member.standby_address
        if not redirect:
            raise ReplicationError("no standby follows this shard")
        began_ns = utc_now_ns()
        self.pause_quota(True)
        self.orders.hand_over(redirect)
        await asyncio.gather(*(session.stop() for session in self.sessions.values()))
        try:
            record = await self.member.hand_over()
        except ReplicationError:
            if self.member.ownership.role is Role.OWNER:
                self.orders.away = None
                self.pause_quota(False)
                self.open_links()
            else:
                self.end(End.LOST)
            raise
        self.told_end = self.safe_end()
        self.orders.is_over = True
        self.gate.let_refusals_out()
        took_ns = utc_now_ns() - began_ns
        self.log.info("handed_over", to=record.owner, epoch=record.epoch, took_ns=took_ns)
        self.loop.call_soon(self.end, End.HANDED_OVER)
        return {"address": redirect, "took_ns": took_ns}

    async def stop(self, how: "End | None" = None) -> None:
        """The door first, then the exchanges, then the journal."""
        if self.place is not None:
            await self.place.stop()
        if self.server is not None:
            await (self.server.close() if how is End.LOST else self.server.drain(DRAIN_S))
        if self.control is not None:
            await self.control.stop()
        if self.snapshots is not None:
            await self.snapshots.stop()
        for session in self.sessions.values():
            await session.stop()
        if self.drop_copy is not None:
            await self.drop_copy.stop()
        if self.member is not None:
            await self.member.stop()
        await end_tasks(self.tasks)
        if self.quota is not None:
            await self.quota.stop()
        if self.metrics is not None:
            self.metrics.stop()
        self.ahead.stop()
        if self.ahead_thread.is_alive():
            self.ahead_thread.join()
        if self.disk is not None:
            self.disk.stop()
        self.journal_file.close()
        self.log.info("stopped", how=str(how or ""), state_hash=self.engine.state.hash(), **queries.counts(self.engine))

    def settled(self) -> Settings:
        """The settings with the ports that were free for it."""
        taken = {
            "port": self.server.port if self.server else None,
            "metrics_port": self.metrics.port if self.metrics else None,
            "replication_port": self.member.port if self.member else None,
        }
        return msgspec.structs.replace(self.settings, **{name: port for name, port in taken.items() if port})

    def health(self) -> dict[str, Any]:
        """What the topology tells of this shard."""
        counts = queries.counts(self.engine)
        links = {VENUE_NAMES[venue]: session.state is LinkState.READY for venue, session in self.sessions.items()}
        told = ("accounts", "orders", "open_orders", "journal_bytes")
        return {"links": links} | {name: counts[name] for name in told}

    def waiting(self) -> dict[str, int]:
        """What waits for its turn beside the orders."""
        served = self.server.counters() if self.server is not None else {}
        return {
            "errands": len(self.errands.waiting),
            "cold_calls": self.orders.cold_calls,
            "connections": int(served.get("open_connections", 0)),
            "unread_bytes": int(served.get("unread_bytes", 0)),
            "resend_events": int(self.engine.audience.room.held),
        }

    def metric_sources(self) -> MetricSources:
        engine = self.engine
        return MetricSources(
            orders_in=lambda: sum(engine.decision_counts().values()) + engine.repeats_answered,
            decisions=engine.decision_counts,
            reports=engine.report_counts,
            stages=lambda: {"decided": summary_of(self.stages.decided), "acked": summary_of(engine.acked)},
            venue_links=lambda: {
                VENUE_NAMES[venue]: session.state is LinkState.READY for venue, session in self.sessions.items()
            },
            sessions=lambda: len(self.orders.sessions.logged_on),
            open_orders=lambda: int(queries.counts(engine)["open_orders"]),
            shed=self.stages.shedder.shed_counts,
            waiting=self.waiting,
            journal_bytes=lambda: int(queries.counts(engine)["journal_bytes"]),
            journal_free=lambda: (int(engine.journal.free), self.journal_file.is_full),
            held_bytes=lambda: int(self.gate.held_bytes),
            member=lambda: self.member.figures() if self.member else None,
            control=lambda: self.control.figures() if self.control else None,
            snapshots=lambda: self.snapshots.figures() if self.snapshots else None,
            drop_copy=lambda: self.drop_copy.figures() if self.drop_copy else None,
            quota=lambda: self.quota.figures() if self.quota else None,
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
