"""One simulated life: actors, their clock, and the loop that lets one thing happen after the other."""
from __future__ import annotations

import random
from collections import deque
from heapq import heappop, heappush
from typing import Any, NoReturn

from tests.simulation.checks import Checks
from tests.simulation.client import Client
from tests.simulation.exchange import Exchange
from tests.simulation.faults import Faults
from tests.simulation.network import Stream
from tests.simulation.node import Node
from tests.simulation.scene import CONTINUOUS, INSTRUMENTS, MS, PORTS, START_NS, XSHE, XSHG, Scene

STEPS = 20_000
FULL_CHECK_EVERY = 4_000
CALM_NS = 400 * MS
TRAIL = 30


class Violation(AssertionError):
    """A promise was broken: the seed, the step, what is wrong, and the last events before it."""


class World:
    """node_class, client_class, ...: what stands in for an actor when a mistake is to be found."""

    def __init__(self, seed: int, *, node_class: type[Node] = Node) -> None:
        rng = random.Random(seed)
        self.seed, self.random = seed, rng.random
        self.now = START_NS
        self.heap: list[tuple] = []
        self.count = self.steps = 0
        self.trail: deque[tuple] = deque(maxlen=TRAIL)
        self.is_calm = False
        self.instruments = INSTRUMENTS
        self.scene = Scene(rng)
        self.think_ns = int((0.2 + 2 * rng.random()) * MS)
        self.fill_ns = int((0.5 + 10 * rng.random()) * MS)
        self.latency_ns = int((0.02 + 0.5 * rng.random()) * MS)
        self.resends = 0.1 if rng.random() < 0.5 else 0.0
        self.wanted: dict[tuple[int, bytes], Any] = {}
        self.wanted_by: dict[tuple, Any] = {}
        self.numbers: dict[tuple[int, int, int], int] = {}
        self.phases = {XSHG: CONTINUOUS, XSHE: CONTINUOUS}
        self.doubtful: set[tuple[int, int]] = set()
        self.end_hash = ""
        self.checks = Checks(self)
        self.exchanges = {venue: Exchange(self, venue) for venue in (XSHG, XSHE)}
        self.faults = Faults(self)
        self.node = node_class(self, "shard")
        self.node.start()
        self.clients = [Client(self, port) for port in range(len(PORTS))]

    # Time

    def at(self, when: int, act: Any, argument: Any) -> None:
        self.count += 1
        heappush(self.heap, (when, self.count, act, argument))

    def after(self, delay_ns: int, act: Any, argument: Any) -> None:
        self.count += 1
        heappush(self.heap, (self.now + delay_ns, self.count, act, argument))

    def run(self, steps: int = STEPS) -> int:
        """Live for so many steps, then let everything settle; how many steps that were."""
        try:
            self.live(steps)
            self.settle()
        except Violation:
            raise
        except Exception as error:
            raise Violation(self.explain(f"{type(error).__name__}: {error}")) from error
        finally:
            self.close()
        return self.steps

    def live(self, steps: int) -> None:
        heap, trail = self.heap, self.trail
        full = FULL_CHECK_EVERY
        while self.steps < steps:
            self.now, _, act, argument = step = heappop(heap)
            trail.append(step)
            if act(argument) is not False:
                self.steps += 1
                if self.steps >= full:
                    full += FULL_CHECK_EVERY
                    if self.node.is_up:
                        self.checks.compare_all(self.node.engine)

    def settle(self) -> None:
        """No more faults, no new orders, no more fills; once nothing moves, everybody must agree."""
        self.is_calm = True
        self.node.paused_until = 0
        self.phases = dict.fromkeys(self.phases, CONTINUOUS)
        for exchange in self.exchanges.values():
            # A report that was lost as the last of its partition shows only in the next synchronisation.
            if exchange.session is not None:
                exchange.session.cut()
        until = self.now + CALM_NS
        while self.heap[0][0] < until:
            self.live(self.steps + 1)
        self.checks.on_end(self.node.engine)
        self.end_hash = self.node.state.hash()
        self.node.doom()
        self.node.die()
        self.node.start()

    def close(self) -> None:
        self.node.disk.close()

    # Connections

    def stream(self) -> Stream:
        return Stream(self, self.latency_ns)

    def call_shard(self, port: int) -> Stream | None:
        if not self.node.is_up:
            return None
        stream = self.stream()
        self.node.accept(stream)
        return stream

    def call_exchange(self, venue: int) -> Stream:
        stream = self.stream()
        stream.called_venue = venue
        self.exchanges[venue].connect(stream)
        return stream

    def on_dead(self, node: Node) -> None:
        """Somebody, or something, starts it again."""
        if self.random() < 0.3:
            node.wall_ns += int((self.random() - 0.5) * 4_000 * MS)
        self.after(int((0.5 + self.random() * 10) * MS), node.start, None)

    # Odds and ends

    def next_number(self, account: int, instrument: int, side: int) -> int:
        key = account, instrument, side
        self.numbers[key] = number = self.numbers.get(key, -1) + 1
        return number

    def next_program(self) -> bytes | None:
        return None

    def overlap(self) -> int:
        """How many reports too early an exchange begins to send again."""
        return int(self.random() * 4) if self.random() < self.resends else 0

    # Failing

    def fail(self, text: str) -> NoReturn:
        raise Violation(self.explain(text))

    def explain(self, text: str) -> str:
        lines = [f"  {(when - START_NS) / MS:12.6f} ms  {name_of(act)}({shown(argument)})" for when, _, act, argument in self.trail]
        again = f"python -m tests.simulation --seed {self.seed}"
        return "\n".join([f"seed {self.seed}, step {self.steps}: {text}", f"again: {again}", "the last events:", *lines])


def name_of(act: Any) -> str:
    owner = getattr(act, "__self__", None)
    return f"{type(owner).__name__}.{act.__name__}" if owner is not None else act.__name__


def shown(argument: Any) -> str:
    text = repr(argument)
    return text if len(text) < 300 else text[:300] + "..."
