"""One node: a process that is a shard, or its standby, over one disk. The engine, its journal, the gate, the sessions
and the cluster's classes are the gateway's own; sockets, clock and files are the world's.

`main` does what gateway/shard.py does when it starts, in its order. Whatever leaves goes through the gate at the end
of the step that said it (`turn_over`); a crash comes before, within or behind that.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ext import follower, settings, surveillance, sweeps, tape
from ext.buffers import Turn
from ext.journal import Journal, JournalError
from ext.session import Session, Stages
from ext.state import State
from gateway import recovery
from gateway.errands import Errands
from gateway.loading import load_engine
from gateway.member import Member
from gateway.order_entry import OrderEntry
from gateway.ownership import Record, Role
from gateway.replication import ReplicationError
from gateway.settings import SettingError
from tests.simulation import edge
from tests.simulation.disk import CAPACITY, CHUNK, Disk, make_room
from tests.simulation.loop import Loop
from tests.simulation.network import CALLED, Stream
from tests.simulation.scene import MS, PORTS, SYMBOLS, TRADE_DATE, XSHE, XSHG
from tests.simulation.trading import NO_QUOTE, TICK_NS, Trading
from tests.simulation.wires import ClientWire

MOST_ORDERS = 1 << 14
TORN, CUT_SHORT, BEHIND = range(3)  # where in its last step a process dies


def silent(event: str, **fields: Any) -> None:
    """A log that nobody reads."""


def new_state() -> State:
    return State(accounts=16, positions=256, orders=MOST_ORDERS)


class Front(OrderEntry):
    """The gateway's own service; what its timers do is told like anything else."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.engine, node.turn, node.stages, silent, errands=Errands(rests=0))
        self.node = node

    def cancel_disconnected(self, port: int) -> None:
        super().cancel_disconnected(port)
        self.node.turn_over()


class Node(Trading):
    """A machine and the process on it. Made once; `start` and `die` are the process's lives. host: how others reach it;
    identity: what its disk calls it."""

    def __init__(self, world: Any, host: str) -> None:
        self.world, self.host, self.name, self.checks = world, host, host, world.checks
        self.identity = host
        self.disk = Disk()
        self.engine: Any = None
        self.loop: Any = None
        self.member: Any = None
        self.is_serving = self.has_market = False
        self.paused_until = 0
        self.wall_ns = 0  # what this machine's clock is ahead
        self.tops = [NO_QUOTE] * len(SYMBOLS)
        self.streams: dict[Stream, None] = {}  # clients' and exchanges', in the order they were opened
        self.doomed: tuple[str, int, int] | None = None
        self.left: tuple[str, int] | None = None  # (hash, end of the journal) before the step it died in
        self.least_end = 0  # of the journal: what no crash of this disk may take
        self.followed_end = 0
        self.syncs = False
        self.lives = self.disks = 0
        self.limits = world.scene.limits
        self.restarts = False

    @property
    def is_up(self) -> bool:
        return self.engine is not None

    def now(self) -> int:
        return self.world.now + self.wall_ns

    # Lives

    def start(self, _: Any = None) -> Any:
        """A new process over whatever the disk holds."""
        self.restarts = False
        if self.is_up:
            return False
        world = self.world
        self.lives += 1
        self.loop = Loop(world, self)
        self.stages = Stages()
        self.journal = Journal(
            self.disk.fd, self.disk.size, self.name, capacity=CAPACITY, chunk=CHUNK, private=world.durability == "disk"
        )
        self.engine, found = recovery.recover(self.journal, new_state, silent)
        self.state = self.engine.state
        self.compare_left(found)
        self.gate = edge.ClockedGate(self.journal, world.clock, self.wall_ns)
        self.turn = Turn(silent, self.gate)
        self.ready: list[edge.Line] = []
        self.front = Front(self)
        self.outlets = {venue: edge.ExchangeOutlet() for venue in (XSHG, XSHE)}
        self.links: dict[int, Stream | None] = dict.fromkeys(self.outlets)
        self.awaited: dict[int, dict[int, int]] = {}
        self.engine.attach(self.outlets[XSHG], self.outlets[XSHE])
        if world.has_cluster:
            self.loop.enter(self.loop.create_task, self.main())
        else:
            self.begin_day()
            self.serve()
        return True

    def compare_left(self, found: Any) -> None:
        """Recovery finds what was there."""
        left, self.left = self.left, None
        end = self.recovered_end = self.journal.end
        if end < self.least_end:
            self.world.fail(f"{self.name}: its journal ended at {self.least_end}, and recovery found {end}")
        if left is not None and end == left[1] and self.state.hash() != left[0]:
            self.world.fail(f"{self.name}: the state at {end} is another than before the crash: {found}")

    async def main(self) -> None:
        """Join the cluster, follow, own."""
        world = self.world
        where = SimpleNamespace(
            journal=self.identity,
            lease_ms=world.lease_ms,
            redis=self,
            cluster="simulated",
            shard=0,
            host=self.host,
            replication_port=0,
            advertise="",
            trade_date=TRADE_DATE,
            durability=world.durability,
            without_standby=False,
        )
        self.front.away = ""
        self.member = Member(
            where,
            self.engine,
            self.gate,
            silent,
            on_record=self.on_record,
            on_lost=self.on_lost,
            on_owned=self.on_owned,
        )
        await self.member.listen(f"{self.host}:1", "")
        try:
            if await self.member.join():
                self.begin_day()
            else:
                await self.member.follow(self.allow_tokens)
                sweeps.take_up(self.engine)
                self.allow_tokens()
        except (SettingError, ReplicationError, JournalError) as error:
            self.quit(begins_anew=getattr(error, "begin_anew", False))
            return
        await self.member.own()
        self.serve()

    def begin_day(self) -> None:
        load_engine(self.engine, self.limits, self.world.instruments, trade_date=TRADE_DATE, shard=0, now_ns=self.now())
        self.allow_tokens()

    def allow_tokens(self) -> None:
        for port, accounts in enumerate(PORTS):
            self.engine.audience.allow(port, accounts)

    def serve(self) -> None:
        """This process is the shard from now on."""
        world = self.world
        self.checks.on_recovered(self.engine, self.recovered_end)
        world.judged = self
        if world.durability == "disk":
            self.syncs = False
            self.gate.on_unsafe = self.ask_disk
            self.gate.advance(self.journal.synced_end)
        # What came in between was decided by the one before, with the quotes that it had.
        self.tops = world.tops
        self.observe()
        self.checks.compare_all(self.engine)
        self.tops = world.tops = [NO_QUOTE] * len(SYMBOLS)
        self.is_serving = self.has_market = True
        self.front.away = None
        for venue in self.outlets:
            self.connect((self.lives, venue))
        world.after(MS, self.feed, self.lives)
        world.after(TICK_NS, self.tick, self.lives)
        self.loop.enter(self.front.resume_graces)
        self.turn_over()

    # The disk

    def ask_disk(self) -> None:
        """Durability `disk`: what was written goes to the disk, which takes its time."""
        if not self.syncs:
            self.syncs = True
            self.world.after(int((0.05 + self.world.random()) * MS), self.on_synced, self.lives)

    def on_synced(self, life: int) -> Any:
        if life != self.lives or not self.is_up:
            return False
        self.syncs = False
        self.disk.synced = self.journal.synced_end
        self.journal.sync()
        self.gate.advance(self.journal.synced_end)
        self.gate.ask()
        return True

    # The judge

    def observe(self) -> None:
        """Somebody who watches all accounts from within, before anything is held back: the judge's eyes."""
        self.observer = Session(self.turn, self.engine, self.stages, None)
        self.observer.log_on(0, {at: account.event_seq for at, account in enumerate(self.checks.ledger.accounts)})
        self.eye = edge.Line(self.observer, [], None)
        live = False
        while not live:
            live = self.observer.catch_up()
            self.look()

    def doom(self) -> None:
        """The next thing that happens here is this process's last."""
        variant = (TORN, TORN, CUT_SHORT, BEHIND)[int(self.world.random() * 4)]
        self.doomed = self.state.hash(), self.journal.end, variant
        self.loop.is_muted = variant == TORN

    def crash(self) -> None:
        """Its last step is over: within a journal write, between that and what leaves, or behind both."""
        state_hash, start, variant = self.doomed
        end, random = self.journal.end, self.world.random
        make_room()
        if variant != TORN:
            self.look()
            state_hash, start = self.state.hash(), end
        self.left, self.least_end = (state_hash, start), start
        if self.journal.private:
            # Nothing but what a sync was over with is certain; of the rest, perhaps some.
            self.left, self.least_end = None, self.journal.synced_end
            octets = self.journal.octets(self.least_end, end)
            self.disk.lose_power(self.least_end, octets if variant == TORN else b"", random)
        elif variant == TORN:
            self.disk.tear(start, end, random)
        self.disk.used = max(self.disk.used, end)
        self.die()
        self.world.on_dead(self)

    def die(self) -> None:
        """Whatever this process was doing is over; its connections break."""
        self.disk.size = self.disk.size_for(self.journal.end, self.journal.allocated)
        self.disk.used = max(self.disk.used, self.journal.end)
        if self.left is not None:
            self.world.newest_hash = self.left
        self.loop.kill()
        self.engine = self.state = self.journal = self.front = self.observer = self.eye = self.member = None
        self.doomed, self.is_serving, self.has_market, self.paused_until = None, False, False, 0
        if self.world.judged is self:
            self.world.judged = None
        for stream in list(self.streams):
            stream.cut(after_ns=(int(self.world.random() * MS), int(self.world.random() * MS)))
        self.streams.clear()

    def quit(self, *, begins_anew: bool = False) -> None:
        """The process ends by itself, and is started again."""
        if not self.is_up:
            return
        self.left, self.least_end = (self.state.hash(), self.journal.end), self.journal.end
        self.die()
        if begins_anew:
            self.set_aside()
        self.world.on_dead(self)

    def set_aside(self) -> None:
        """Begin with an empty journal."""
        self.disk.close()
        self.disk = Disk()
        self.left, self.least_end = None, 0

    def lose_disk(self) -> None:
        """The machine is gone, and another stands in its place."""
        self.die()
        self.set_aside()
        self.disks += 1
        self.identity = f"{self.host}{self.disks}"
        self.world.on_dead(self)

    # The cluster

    def on_turned(self) -> None:
        """Something ran in this process's loop; a standby may have more of the journal."""
        if self.journal.end != self.followed_end:
            self.followed_end = self.journal.end
            self.on_followed(self.followed_end)

    def on_followed(self, end: int) -> None:
        """The journal grew to `end`."""

    def on_record(self, record: Record) -> None:
        self.front.away = record.address

    def on_lost(self, record: Record) -> None:
        """Another owns the shard: this process ends."""
        self.loop.call_soon(self.quit)

    def on_owned(self, record: Record) -> None:
        newest = self.world.newest_hash
        self.recovered_end = self.journal.end
        if newest is not None and newest[1] == self.journal.end and newest[0] != self.state.hash():
            self.world.fail(f"{self.name}: the state at {newest[1]} is another than its owner's before it died")
        settings.begin_day(self.engine, TRADE_DATE, 0, self.now())
        follower.record_owner(self.engine, record.epoch, self.identity, self.now())

    async def hand_over(self) -> None:
        """As Shard.hand_over, and on again when it cannot be done."""
        redirect = self.member.standby_address
        if not redirect or not self.is_serving:
            return
        self.front.hand_over(redirect)
        self.is_serving = False
        for venue in self.outlets:
            self.log_off(venue)
        self.turn_over()
        try:
            await self.member.hand_over()
        except ReplicationError:
            if self.member.ownership.role is Role.OWNER:
                self.is_serving, self.front.away = True, None
                for venue in self.outlets:
                    self.connect((self.lives, venue))
                return
        self.quit()

    # Clients

    def accept(self, stream: Stream) -> None:
        """A client connected."""
        stream.receive[CALLED] = self.on_client
        stream.lost[CALLED] = self.on_client_lost
        session = Session(self.turn, self.engine, self.stages, self.front, 1 << 22)
        self.loop.enter(self.front.sessions.open, session)
        stream.called_by = edge.Line(session, self.ready, ClientWire(self, stream))
        self.streams[stream] = None

    def on_client(self, stream: Stream, octets: bytes) -> Any:
        if self.paused_until > self.world.now:
            self.world.at(self.paused_until, stream.arrive_at_called, octets)
            return False
        session = stream.called_by.sink
        if session.slot != edge.NOBODY:
            tape.feed(session, octets, self.now())
        else:
            self.loop.enter(tape.feed, session, octets, self.now())
        self.turn_over()
        return True

    def on_client_lost(self, stream: Stream) -> Any:
        if stream not in self.streams:
            return False
        del self.streams[stream]
        self.loop.enter(tape.close, stream.called_by.sink)
        self.turn_over()
        return True

    # Officers

    def kill(self, scope: int, index: int, killed: bool) -> None:
        """An officer latches or unlatches a kill; he is told when that is safe."""
        sweeps.kill(self.engine, scope, index, killed, "ann", self.now(), approved_by="bob")
        if killed:
            latch = self.checks.latch((scope, index), self.journal.end)
            if not self.loop.is_muted:
                self.gate.when_safe(latch.tell)
        self.turn_over()

    def reload(self, limits: Any, program: bytes | None) -> None:
        """New limits, or new rules, between two messages."""
        self.limits = limits
        load_engine(self.engine, limits, self.world.instruments, trade_date=TRADE_DATE, shard=0, now_ns=self.now())
        if program is not None:
            surveillance.put_in_force(
                self.engine,
                program,
                id="simulated",
                sha256=bytes(32),
                by="ann",
                approved_by="bob",
                reason="simulated",
                now_ns=self.now(),
            )
        self.turn_over()

    # The end of a turn

    def look(self) -> None:
        """The judge reads the journal's newest events, if this is the process that is judged."""
        if self.world.judged is not self:
            return
        octets = self.eye.take()
        if octets:
            checks, tops = self.checks, self.tops
            for message in edge.split(octets):
                told = edge.report_of(message)
                if len(told) > 1:
                    checks.on_event(told, tops)

    def turn_over(self) -> None:
        """The step is over: the judge looks, and what it said leaves, or waits at the gate."""
        if not self.is_up:
            return
        doomed = self.doomed
        if doomed is not None and doomed[2] == TORN:
            self.crash()
            return
        self.look()
        if self.checks.touched:
            self.checks.compare_touched(self.state)
        self.flush(1 if doomed is not None and doomed[2] == CUT_SHORT else None)
        if doomed is not None and self.is_up:
            self.crash()

    def flush(self, most: int | None) -> None:
        """Everything that was said goes to the gate; most: the process dies behind so many peers."""
        turn = self.turn
        ready = self.ready[:most]
        self.ready.clear()
        for line in ready:
            octets = line.take()
            if octets:
                edge.send(turn, line.stream, octets)
            if line.sink.status >= 0:
                edge.close(turn, line.stream)
        if most is not None:
            return
        for outlet in self.outlets.values():
            octets = outlet.take()
            if octets:
                edge.send(turn, outlet.stream, octets)
        edge.end_turn(self.gate)
