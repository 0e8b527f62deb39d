"""One simulated life: actors, their clock, and the loop that lets one thing happen after the other."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from heapq import heappop, heappush
from typing import Any, NoReturn
from unittest import mock

from gateway import errands, logons, member, order_entry, owner, standby
from tests.simulation import edge
from tests.simulation.checks import Checks
from tests.simulation.client import Client
from tests.simulation.disk import make_room
from tests.simulation.exchange import Exchange
from tests.simulation.faults import Faults
from tests.simulation.network import Stream
from tests.simulation.node import Node
from tests.simulation.scene import CONTINUOUS, INSTRUMENTS, MS, PORTS, START_NS, SYMBOLS, XSHE, XSHG, Scene, programs
from tests.simulation.store import Redis, Store

STEPS = 20_000
FULL_CHECK_EVERY = 4_000
CALM_NS = 50 * MS
MOST_CALM_NS = 4_000 * MS
TRAIL = 30
KINDS = ("process", "process", "disk", "replica", "replica", "replica", "pair")


class Violation(AssertionError):
    """A promise was broken: the seed, the step, what is wrong, and the last events before it."""


class World:
    """kind: `process` or `disk`, a shard alone and what its acknowledgements survive; `replica`, with a standby;
    `pair`, with a standby that never takes over by itself; empty: the seed says.

    node_class, patches: what stands in for nodes, and for attributes of modules and classes, when a mistake is to be
    found.
    """

    def __init__(self, seed: int, *, kind: str = "", node_class: type[Node] = Node, patches: tuple = ()) -> None:
        rng = random.Random(seed)
        self.seed, self.random = seed, rng.random
        self.clock = edge.Clock()
        self.now = self.clock.now_ns = START_NS
        self.heap: list[tuple] = []
        self.count = self.steps = self.port_count = 0
        self.trail: deque[tuple] = deque(maxlen=TRAIL)
        self.is_calm = False
        self.broken: Violation | None = None
        self.instruments = INSTRUMENTS
        self.scene = Scene(rng)
        self.kind = rng.choice(KINDS)
        self.kind = kind or self.kind
        self.patches = patches
        self.has_cluster = self.kind in ("replica", "pair")
        self.durability = "process" if self.kind == "pair" else self.kind
        self.lease_ms = int(30 + 30 * rng.random())
        self.think_ns = int((0.2 + 2 * rng.random()) * MS) << self.has_cluster
        self.fill_ns = int((0.5 + 10 * rng.random()) * MS)
        self.latency_ns = int((0.02 + 0.3 * rng.random()) * MS)
        self.restart_ns = int((2 + 30 * rng.random() ** 2) * MS)
        self.resends = 0.1 if rng.random() < 0.5 else 0.0
        self.wanted: dict[tuple[int, bytes], Any] = {}
        self.wanted_by: dict[tuple, Any] = {}
        self.numbers: dict[tuple[int, int, int], int] = {}
        self.phases = {XSHG: CONTINUOUS, XSHE: CONTINUOUS}
        self.tops = [(0, 0, 0)] * len(SYMBOLS)  # what the shard was last quoted, and nothing after a restart
        self.ports: dict[tuple[str, int], Any] = {}
        self.apart: dict[frozenset[Any], int] = {}  # two that cannot reach each other -> until when
        self.newest_hash: tuple[str, int] | None = None
        self.end_hash = ""
        self.judged: Any = None
        self.redis = Redis(self)
        self.checks = Checks(self)
        self.exchanges = {venue: Exchange(self, venue) for venue in (XSHG, XSHE)}
        self.nodes = [node_class(self, host) for host in ("ann", "bob")[: 2 if self.has_cluster else 1]]
        self.clients = [Client(self, port) for port in range(len(PORTS))]
        self.faults = Faults(self)
        for at, node in enumerate(self.nodes):
            self.after(at * MS, node.start, None)

    # Time

    def read_now(self) -> int:
        """Simulated time as a monotonic clock tells it: no node's wall clock moves it."""
        return self.now

    def at(self, when: int, act: Any, argument: Any) -> None:
        self.count += 1
        heappush(self.heap, (when, self.count, act, argument))

    def after(self, delay_ns: int, act: Any, argument: Any) -> None:
        self.count += 1
        heappush(self.heap, (self.now + delay_ns, self.count, act, argument))

    def run(self, steps: int = STEPS) -> int:
        """Live for so many steps, then let everything settle; how many steps that were. Raises Violation."""
        with self.in_place_of_the_machine():
            try:
                self.live(steps)
                self.settle()
            except Violation:
                raise
            except Exception as error:
                raise self.broken or Violation(self.explain(f"{type(error).__name__}: {error}")) from error
            finally:
                self.close()
        return self.steps

    def in_place_of_the_machine(self) -> contextlib.ExitStack:
        """Clock, disk and Redis of the gateway's cluster classes are the world's while it lives."""
        stack = contextlib.ExitStack()
        for module in (member, owner, standby, order_entry, logons):
            stack.enter_context(mock.patch.object(module, "utc_now_ns", self.clock.utc_now_ns))
        stack.enter_context(mock.patch.object(errands, "monotonic_ns", self.read_now))
        stack.enter_context(mock.patch.object(member, "OwnershipStore", Store))
        stack.enter_context(mock.patch.object(member, "node_id", str))
        for target, name, value in self.patches:
            stack.enter_context(mock.patch.object(target, name, value))
        return stack

    def live(self, steps: int) -> None:
        heap, trail, clock = self.heap, self.trail, self.clock
        full = self.steps + FULL_CHECK_EVERY
        while self.steps < steps:
            self.now, _, act, argument = step = heappop(heap)
            clock.now_ns = self.now
            trail.append(step)
            if act(argument) is not False:
                self.steps += 1
                if self.steps >= full:
                    full += FULL_CHECK_EVERY
                    self.check_all()
            if self.broken is not None:
                raise self.broken

    def check_all(self) -> None:
        if self.judged is not None:
            self.checks.compare_all(self.judged.engine)
            self.checks.compare_hashes(self.judged)

    def settle(self) -> None:
        """No more faults, no new orders, no more fills; once nothing moves, everybody must agree."""
        self.is_calm = True
        make_room()
        for node in self.nodes:
            node.paused_until = 0
        self.redis.down_until = 0
        self.apart.clear()
        self.phases = dict.fromkeys(self.phases, CONTINUOUS)
        for exchange in self.exchanges.values():
            # A report that was lost as the last of its partition shows only in the next synchronisation.
            if exchange.session is not None:
                exchange.session.cut()
        self.redis.decide_for_lost({node.identity for node in self.nodes})
        quiet, until = 0, self.now + MOST_CALM_NS
        while quiet < 8 and self.now < until:
            pause_end = self.now + CALM_NS
            while self.heap[0][0] < pause_end:
                self.live(self.steps + 1)
            self.now = pause_end
            quiet = quiet + 1 if self.is_quiet() else 0
        if self.judged is None:
            self.fail("nobody is the shard, though all is well again")
        self.checks.on_end(self.judged.engine)
        self.checks.compare_hashes(self.judged, must_follow=True)
        self.end_hash = self.judged.state.hash()

    def is_quiet(self) -> bool:
        """Whether everything that is to come has come."""
        shard = self.judged
        if shard is None or not shard.is_serving or not all(outlet.up for outlet in shard.outlets.values()):
            return False
        if not all(client.is_logged_on and client.has_answers() for client in self.clients):
            return False
        if any(
            node.journal is None or node.journal.end != shard.journal.end for node in self.nodes if node is not shard
        ):
            return False
        return all(
            shard.engine.next_report_index(exchange.venue, at) > len(log)
            for exchange in self.exchanges.values()
            for at, log in exchange.logs.items()
        )

    def close(self) -> None:
        make_room()
        for node in self.nodes:
            if node.is_up:
                node.die()
            node.disk.close()

    # Connections

    def next_port(self) -> int:
        self.port_count += 1
        return self.port_count

    def is_reachable(self, one: Any, other: Any) -> bool:
        return self.apart.get(frozenset((one, other)), 0) <= self.now

    def is_heard(self, session: Stream) -> bool:
        """Whether whoever opened a session to an exchange still answers its heartbeats."""
        node = session.called_by
        return node.paused_until <= self.now and session.stalled_until <= self.now

    def connect_nodes(self, one: Any, other: Any) -> Stream:
        return Stream(self, self.latency_ns)

    def call_shard(self, calls: int) -> Stream | None:
        node = self.nodes[calls % len(self.nodes)]
        if not node.is_up:
            return None
        stream = Stream(self, self.latency_ns)
        node.accept(stream)
        return stream

    def call_exchange(self, node: Node, venue: int) -> Stream:
        stream = Stream(self, self.latency_ns)
        stream.called_venue = venue
        stream.called_by = node
        self.exchanges[venue].connect(stream)
        return stream

    def on_dead(self, node: Node) -> None:
        """Somebody, or something, starts it again."""
        if self.random() < 0.3:
            node.wall_ns += int((self.random() - 0.5) * 4_000 * MS)
        if not node.restarts:
            node.restarts = True
            long_ns = 3 * self.lease_ms * MS if self.has_cluster and self.random() < 0.4 else 0
            self.after(int(0.5 * MS + self.random() * (self.restart_ns + long_ns)), node.start, None)

    # Odds and ends

    def next_number(self, account: int, instrument: int, side: int) -> int:
        key = account, instrument, side
        self.numbers[key] = number = self.numbers.get(key, -1) + 1
        return number

    def next_program(self) -> bytes | None:
        """The rules of a reload; None: only the limits change."""
        return programs()[int(self.random() * len(programs()))] if self.random() < 0.5 else None

    def overlap(self) -> int:
        """How many reports too early an exchange begins to send again."""
        return int(self.random() * 4) if self.random() < self.resends else 0

    # Failing

    def fail(self, text: str) -> NoReturn:
        self.broken = self.broken or Violation(self.explain(text))
        raise self.broken

    def explain(self, text: str) -> str:
        lines = [
            f"  {(when - START_NS) / MS:12.6f} ms  {name_of(act)}({shown(argument)})"
            for when, _, act, argument in self.trail
        ]
        again = f"python -m tests.simulation --seed {self.seed}"
        return "\n".join(
            [f"seed {self.seed}, step {self.steps}: {text}", f"again: {again}", "the last events:", *lines]
        )


def name_of(act: Any) -> str:
    owner = getattr(act, "__self__", None)
    return f"{type(owner).__name__}.{act.__name__}" if owner is not None else act.__name__


def shown(argument: Any) -> str:
    text = repr(argument)
    return text if len(text) < 300 else text[:300] + "..."
