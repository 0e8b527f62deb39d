"""One shard's process: the real engine over a real journal, with everything around it simulated.

`start` does what the gateway does when it starts, in its order. All that may leave goes through `turn_over`, after the step
that said it is over; a crash comes before, within or behind that.
"""
from __future__ import annotations

from typing import Any

from ext import queries, response, surveillance, sweeps, tape
from ext.buffers import Turn
from ext.engine import Engine
from ext.journal import Journal
from ext.session import Session, Stages
from ext.state import State
from gateway.loading import load_engine
from gateway.order_entry import OrderEntry
from tests.simulation import edge
from tests.simulation.disk import CAPACITY, Disk
from tests.simulation.exchange import PARTITIONS
from tests.simulation.network import CALLED, CALLER, Stream
from tests.simulation.scene import (
    ACCOUNTS,
    CLOSE_E4,
    CONTINUOUS,
    MS,
    PORTS,
    START_NS,
    SYMBOLS,
    TICK_E4,
    TRADE_DATE,
    XSHE,
    XSHG,
)

CHUNK = 1 << 20
MOST_ORDERS = 1 << 14
APPLIED, DUPLICATE = 1, 2
TICK_NS = 100 * MS


def silent(event: str, **fields: Any) -> None:
    """A log that nobody reads."""


class Front(OrderEntry):
    """The gateway's own service, with the world's clock for its timers."""

    def spawn(self, work: Any) -> None:
        raise AssertionError("a session's backlog did not fit its buffer")


class Node:
    """A process that is one shard. Made once; `start` and `die` are its lives."""

    def __init__(self, world: Any, name: str) -> None:
        self.world, self.name, self.checks = world, name, world.checks
        self.disk = Disk()
        self.engine: Any = None
        self.paused_until = 0
        self.wall_ns = 0                                   # what this machine's clock is ahead
        self.tops = [(0, 0, 0)] * len(SYMBOLS)
        self.streams: dict[Stream, None] = {}           # in the order in which they were opened
        self.doomed: tuple[str, int] | None = None
        self.lives = 0
        self.limits = world.scene.limits

    @property
    def is_up(self) -> bool:
        return self.engine is not None

    def now(self) -> int:
        return self.world.now + self.wall_ns

    # Lives

    def start(self, _: Any = None) -> Any:
        """A new process over whatever the disk holds."""
        world = self.world
        self.lives += 1
        self.stages, self.turn = Stages(), Turn(lambda run: None)
        self.state = State(accounts=16, positions=256, orders=MOST_ORDERS)
        self.journal = Journal(self.disk.fd, self.disk.size, self.name, capacity=CAPACITY, chunk=CHUNK)
        self.engine = Engine(self.state, self.journal)
        self.recover()
        load_engine(self.engine, self.limits, world.instruments, trade_date=TRADE_DATE, shard=0, now_ns=self.now())
        for port, accounts in enumerate(PORTS):
            self.engine.audience.allow(port, accounts)
        self.ready: list[edge.Line] = []
        self.front = Front(self.engine, self.turn, self.stages, silent)
        self.outlets = {venue: edge.ExchangeOutlet() for venue in (XSHG, XSHE)}
        self.links: dict[int, Stream | None] = dict.fromkeys(self.outlets)
        self.awaited: dict[int, dict[int, int]] = {}
        self.engine.attach(self.outlets[XSHG], self.outlets[XSHE])
        self.observe()
        self.checks.compare_all(self.engine)
        self.tops = [(0, 0, 0)] * len(SYMBOLS)
        for venue in self.outlets:
            self.connect((self.lives, venue))
        world.after(MS, self.feed, self.lives)
        world.after(TICK_NS, self.tick, self.lives)
        return True

    def recover(self) -> None:
        before = self.doomed
        found = sweeps.recover(self.engine)
        self.doomed = None
        end = self.journal.end
        if before is not None and end < before[1]:
            self.world.fail(f"{self.name}: the journal ended at {before[1]}, and recovery found {end}")
        if before is not None and end == before[1] and self.state.hash() != before[0]:
            self.world.fail(f"{self.name}: the state at {end} is another than before the crash: {found}")
        self.checks.on_recovered(self.engine, end)

    def observe(self) -> None:
        """Somebody who watches all accounts from within, before anything is held back: the judge's eyes."""
        self.observer = Session(self.turn, self.engine, self.stages, None)
        self.observer.log_on(0, {at: account.event_seq for at, account in enumerate(self.checks.ledger.accounts)})
        self.eye = edge.Line(self.observer, [], None)
        live = False
        while not live:
            live = self.observer.catch_up()
            self.look()

    def die(self) -> None:
        """Whatever this process was doing is over; its connections break."""
        self.disk.size = self.journal.allocated
        self.disk.used = max(self.disk.used, self.journal.end)
        self.engine = self.state = self.journal = self.front = self.observer = self.eye = None
        self.paused_until = 0
        for stream in list(self.streams):
            stream.cut(after_ns=(int(self.world.random() * MS), 0))
        self.streams.clear()

    def doom(self) -> None:
        """The next thing that happens here is this process's last."""
        self.doomed = self.state.hash(), self.journal.end

    def is_stopped(self, stream: Stream, message: Any) -> bool:
        """SIGSTOP: what comes waits."""
        if self.paused_until <= self.world.now:
            return False
        arrive = stream.arrive_at_called if stream.called_by is not None else stream.arrive_at_caller
        self.world.at(self.paused_until, arrive, message)
        return True

    # Clients

    def accept(self, stream: Stream) -> None:
        """A client connected."""
        stream.receive[CALLED] = self.on_client
        stream.lost[CALLED] = self.on_client_lost
        session = Session(self.turn, self.engine, self.stages, self.front, 1 << 22)
        stream.called_by = edge.Line(session, self.ready, stream)
        self.streams[stream] = None

    def on_client(self, stream: Stream, octets: bytes) -> Any:
        if self.paused_until and self.is_stopped(stream, octets):
            return False
        session = stream.called_by.sink
        tape.feed(session, octets, self.now())
        self.turn_over()
        return True

    def on_client_lost(self, stream: Stream) -> Any:
        if stream not in self.streams:
            return False
        self.streams.pop(stream, None)
        tape.close(stream.called_by.sink)
        self.turn_over()
        return True

    # Exchanges

    def connect(self, which: tuple[int, int]) -> Any:
        """Call an exchange and ask for the reports that are missing."""
        life, venue = which
        if life != self.lives or not self.is_up or self.links[venue] is not None:
            return False
        stream = self.world.call_exchange(venue)
        stream.receive[CALLER] = self.on_exchange
        stream.lost[CALLER] = self.on_exchange_lost
        self.links[venue] = stream
        self.awaited.pop(venue, None)
        self.streams[stream] = None
        stream.send(CALLER, {at: self.engine.next_report_index(venue, at) for at in PARTITIONS})
        return True

    def on_exchange(self, stream: Stream, message: tuple) -> Any:
        if self.paused_until and self.is_stopped(stream, message):
            return False
        venue = stream.called_venue
        if message[0] == "synchronised":
            if not self.outlets[venue].up:
                self.awaited[venue] = message[1]
        elif not self.take_report(venue, message):
            stream.cut()
            self.unlink(venue)
        if venue in self.awaited and all(self.engine.next_report_index(venue, at) > end for at, end in self.awaited[venue].items()):
            del self.awaited[venue]
            self.link(venue)
        self.turn_over()
        return True

    def take_report(self, venue: int, report: tuple) -> bool:
        """False: a gap, which ends the session."""
        return edge.report(self.engine, venue, report, self.now()) in (APPLIED, DUPLICATE)

    def link(self, venue: int) -> None:
        self.outlets[venue].up = True
        sweeps.set_link(self.engine, venue, True, self.now())

    def unlink(self, venue: int) -> None:
        """The session is over; another is tried a little later."""
        self.outlets[venue].up = False
        self.outlets[venue].take()
        sweeps.set_link(self.engine, venue, False, self.now())
        self.streams.pop(self.links[venue], None)
        self.links[venue] = None
        self.world.after(MS + int(self.world.random() * 2 * MS), self.connect, (self.lives, venue))

    def on_exchange_lost(self, stream: Stream) -> Any:
        if not self.is_up or self.links[stream.called_venue] is not stream:
            return False
        self.unlink(stream.called_venue)
        self.turn_over()
        return True

    # Market and time

    def feed(self, life: int) -> Any:
        """The market goes on: a quote, and now and then the exchanges' phase."""
        if life != self.lives or not self.is_up:
            return False
        world = self.world
        if self.paused_until > world.now:
            world.at(self.paused_until, self.feed, life)
            return False
        world.after(int(world.random() * 10 * MS), self.feed, life)
        draw = world.random()
        if draw < 0.2 or self.tops[0] == (0, 0, 0):
            for venue in self.outlets:
                sweeps.set_phase(self.engine, venue, world.phases[venue], self.now())
        at = int(draw * 1e6) % len(SYMBOLS)
        for instrument in range(len(SYMBOLS)) if self.tops[at] == (0, 0, 0) else (at,):
            self.quote(instrument)
        self.turn_over()
        return True

    def quote(self, instrument: int) -> None:
        last = CLOSE_E4 + int(self.world.random() * 21 - 10) * TICK_E4
        bid, ask = last - TICK_E4, last + TICK_E4
        self.tops[instrument] = bid, ask, last
        venue, symbol = SYMBOLS[instrument]
        edge.quote(self.engine, venue, symbol, bid, ask, last, self.now())

    def tick(self, life: int) -> Any:
        if life != self.lives or not self.is_up:
            return False
        self.world.after(TICK_NS, self.tick, life)
        if self.paused_until > self.world.now:
            return False
        surveillance.on_time(self.engine, self.now())
        response.on_time(self.engine, self.now())
        self.turn_over()
        return True

    # Officers

    def kill(self, place: tuple[int, int], killed: bool) -> Any:
        """Latch or unlatch; the journal's end behind it."""
        scope, index = place
        sweeps.kill(self.engine, scope, index, killed, "ann", self.now(), approved_by="bob")
        end = self.journal.end
        self.turn_over()
        return end

    def reload(self, limits: Any, program: bytes | None) -> None:
        """New limits, or new rules, between two messages."""
        self.limits = limits
        load_engine(self.engine, limits, self.world.instruments, trade_date=TRADE_DATE, shard=0, now_ns=self.now())
        if program is not None:
            surveillance.put_in_force(self.engine, program, id="simulated", sha256=bytes(32), by="ann", approved_by="bob",
                                      reason="simulated", now_ns=self.now())  # fmt: skip
        self.turn_over()

    # The end of a turn

    def look(self) -> None:
        """The judge reads the journal's newest events."""
        octets = self.eye.take()
        if octets:
            checks, tops = self.checks, self.tops
            for message in edge.split(octets):
                checks.on_event(edge.report_of(message), tops)

    def turn_over(self) -> None:
        """The step is over: the judge looks, and what it said leaves."""
        if self.doomed is not None:
            self.crash()
            return
        self.look()
        if self.checks.touched:
            self.checks.compare_touched(self.state)
        self.flush(None)

    def flush(self, most: int | None) -> None:
        """Everything that was said leaves; most: the process dies behind so many peers."""
        ready = self.ready[:most]
        self.ready.clear()
        for line in ready:
            octets = line.take()
            if octets:
                self.write(line, octets)
        for venue, outlet in self.outlets.items() if most is None else ():
            octets = outlet.take()
            if octets:
                self.links[venue].send(CALLER, octets)

    def write(self, line: edge.Line, octets: bytes) -> None:
        stream = line.stream
        for message in edge.split(octets):
            told = edge.report_of(message)
            if len(told) > 1:
                self.checks.on_release(told)
            stream.send(CALLED, (message, told))

    def crash(self) -> None:
        """Somewhere in this turn: within a journal write, between it and what leaves, or behind both."""
        draw = self.world.random()
        start, end = self.doomed[1], self.journal.end
        if draw < 0.5:
            self.disk.tear(start, end, self.world.random)
        else:
            self.look()
            self.doomed = self.state.hash(), end
            self.flush(None if draw < 0.75 else int(self.world.random() * 2))
        self.disk.used = max(self.disk.used, end)
        self.die()
        self.world.on_dead(self)
