"""What a node that is the shard has to do with the exchanges: its sessions with them, their market, and the time of
day."""

from __future__ import annotations

from typing import Any

from ext import response, surveillance, sweeps
from tests.simulation import edge
from tests.simulation.exchange import PARTITIONS
from tests.simulation.network import CALLER, Stream
from tests.simulation.scene import CLOSE_E4, MS, SYMBOLS, TICK_E4
from tests.simulation.wires import ExchangeWire

APPLIED, DUPLICATE = 1, 2
TICK_NS = 100 * MS
NO_QUOTE = (0, 0, 0)


class Trading:
    """A node builds on it (node.py)."""

    world: Any
    engine: Any
    outlets: dict[int, Any]
    links: dict[int, Stream | None]
    awaited: dict[int, dict[int, int]]
    streams: dict[Stream, None]
    tops: list[tuple[int, int, int]]
    lives: int
    paused_until: int
    is_serving: bool
    has_market: bool

    def now(self) -> int:
        raise NotImplementedError

    def turn_over(self) -> None:
        raise NotImplementedError

    # Exchanges

    def connect(self, which: tuple[int, int]) -> Any:
        """Call an exchange and ask for the reports that are missing."""
        life, venue = which
        if life != self.lives or not self.is_serving or self.links[venue] is not None:
            return False
        stream = self.world.call_exchange(self, venue)
        stream.receive[CALLER] = self.on_exchange
        stream.lost[CALLER] = self.on_exchange_lost
        self.links[venue] = stream
        self.awaited.pop(venue, None)
        self.streams[stream] = None
        stream.send(CALLER, {at: self.engine.next_report_index(venue, at) for at in PARTITIONS})
        return True

    def on_exchange(self, stream: Stream, message: tuple) -> Any:
        if self.paused_until > self.world.now:
            self.world.at(self.paused_until, stream.arrive_at_caller, message)
            return False
        venue = stream.called_venue
        if message is None:
            return self.on_exchange_lost(stream)
        if message[0] == "synchronised":
            if not self.outlets[venue].up:
                self.awaited[venue] = message[1]
        elif not self.take_report(venue, message):
            self.unlink(venue)
        if venue in self.awaited and all(
            self.engine.next_report_index(venue, at) > end for at, end in self.awaited[venue].items()
        ):
            del self.awaited[venue]
            self.link(venue)
        self.turn_over()
        return True

    def take_report(self, venue: int, report: tuple) -> bool:
        """False: a gap, which ends the session."""
        return edge.report(self.engine, venue, report, self.now()) in (APPLIED, DUPLICATE)

    def link(self, venue: int) -> None:
        self.outlets[venue].up = True
        self.outlets[venue].stream = ExchangeWire(self, self.links[venue])
        sweeps.set_link(self.engine, venue, True, self.now())

    def log_off(self, venue: int) -> None:
        """The session is over."""
        self.outlets[venue].up = False
        self.outlets[venue].take()
        sweeps.set_link(self.engine, venue, False, self.now())
        if self.links[venue] is not None:
            self.links[venue].cut()
        self.streams.pop(self.links[venue], None)
        self.links[venue] = None

    def unlink(self, venue: int) -> None:
        """As log_off; another is tried a little later."""
        self.log_off(venue)
        self.world.after(MS + int(self.world.random() * 2 * MS), self.connect, (self.lives, venue))

    def on_exchange_lost(self, stream: Stream) -> Any:
        if not self.is_serving or self.links[stream.called_venue] is not stream:
            return False
        self.unlink(stream.called_venue)
        self.turn_over()
        return True

    # Market and time

    def feed(self, life: int) -> Any:
        """The market goes on: a quote, and now and then the exchanges' phase."""
        if life != self.lives or not self.has_market:
            return False
        world = self.world
        if self.paused_until > world.now:
            world.at(self.paused_until, self.feed, life)
            return False
        world.after(int(world.random() * 10 * MS), self.feed, life)
        draw = world.random()
        if draw < 0.2 or self.tops[0] == NO_QUOTE:
            for venue in self.outlets:
                sweeps.set_phase(self.engine, venue, world.phases[venue], self.now())
        at = int(draw * 1e6) % len(SYMBOLS)
        for instrument in range(len(SYMBOLS)) if self.tops[at] == NO_QUOTE else (at,):
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
        if life != self.lives or not self.has_market:
            return False
        self.world.after(TICK_NS, self.tick, life)
        if self.paused_until > self.world.now:
            return False
        surveillance.on_time(self.engine, self.now())
        response.on_time(self.engine, self.now())
        self.turn_over()
        return True
