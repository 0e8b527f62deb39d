"""Runs one plan against one gateway: opens the sessions, sends, drains, and gives back what became of every request."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.codes import VENUES
from loadtest.client import LoadClient
from loadtest.grpc_client import connect
from loadtest.measure import Outcome
from loadtest.plan import Plan
from loadtest.touch_feed import TouchFeed
from loadtest.tracker import OrderTracker

LEAD_NS = 100_000_000  # between the last logon and the first request
PROGRESS_S = 0.25
PROMPT_S = 0.005
SETTLE_TRIES = 10
FAREWELL_S = 0.05  # for the half-closes to leave


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """`127.0.0.1:7001`; a ValueError names what was expected."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError(f"address: {text!r}, expected HOST:PORT, such as 127.0.0.1:7001")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; times in microseconds, of what was answered since the line before."""

    elapsed_s: float
    due: int
    sent: int
    answered: int
    decision_p50_us: float
    decision_p99_us: float
    ack_p50_us: float
    ack_p99_us: float


@dataclass(frozen=True, slots=True)
class Sessions:
    """How the client logs on."""

    target: Endpoint
    token: str
    count: int
    market_data: Sequence[Endpoint] = ()


@dataclass(slots=True)
class Drive:
    """One run of one plan."""

    plan: Plan
    sessions: Sessions
    drain_s: float = 5.0
    burst_ns: int = 50_000
    settle_s: float = (
        0.0  # how long the gateway must have been prompt before the first request; tried ten times as long
    )
    on_progress: Callable[[Progress], None] = lambda progress: None

    async def run(self) -> tuple[Outcome, int]:
        """(what became of every request, UTC ns of the start). Raises OSError when the gateway refuses."""
        tracker = OrderTracker(self.plan, new_prefix())
        client = LoadClient(tracker, self.burst_ns)
        async with AsyncExitStack() as ends:
            feeds = [await self.follow(tracker, endpoint, ends) for endpoint in self.sessions.market_data]
            for at in range(self.sessions.count):
                await self.log_on(client, at, ends)
            await self.settle(client)
            with no_collections():
                start_ns = await self.play(client)
            broken = client.broken() + [feed.error for feed in feeds if feed.error]
            client.close()
            await asyncio.sleep(FAREWELL_S)
        return outcome_of(self.plan, tracker, broken), start_ns

    async def log_on(self, client: LoadClient, at: int, ends: AsyncExitStack) -> None:
        """Open one session on a connection of its own."""
        target, count = self.sessions.target, self.sessions.count
        with named(target):
            connection = await connect(Turn(asyncio.get_running_loop().call_soon), target.host, target.port)
        ends.callback(connection.close)
        await client.log_on(
            connection, self.sessions.token, self.plan.accounts_of(at, count), self.plan.numbers_of(at, count)
        )

    async def settle(self, client: LoadClient) -> None:
        """Until the gateway is done with its start: it has answered heartbeats promptly for settle_s on end."""
        deadline = time.monotonic() + self.settle_s * SETTLE_TRIES
        calm_since = time.monotonic()
        while self.settle_s and time.monotonic() < min(calm_since + self.settle_s, deadline):
            if max([await session.ping(1.0) for session in client.sessions]) > PROMPT_S:
                calm_since = time.monotonic()
            await asyncio.sleep(0.05)

    async def play(self, client: LoadClient) -> int:
        """Send the whole plan and wait for the answers; when it began, UTC ns."""
        start_ns: int = utc_now_ns() + LEAD_NS
        client.start(start_ns)
        watch = asyncio.create_task(self.watch(client, start_ns))
        await self.send_all(client)
        await client.drain(self.drain_s)
        watch.cancel()
        return start_ns

    async def send_all(self, client: LoadClient) -> None:
        """Until everything is sent; a gateway that stops reading cannot hold the run longer than its drain time."""
        last_s = self.plan.planned_ns[-1] / 1e9 if len(self.plan.planned_ns) else 0.0
        try:
            await asyncio.wait_for(asyncio.shield(client.all_sent), last_s + LEAD_NS / 1e9 + self.drain_s)
        except TimeoutError:
            return

    async def follow(self, tracker: OrderTracker, endpoint: Endpoint, ends: AsyncExitStack) -> TouchFeed:
        """Subscribe to one exchange's market data."""
        touches: dict[int, dict[int, int]] = {venue: {} for venue in VENUES.values()}
        for at, share in enumerate(self.plan.instruments):
            touches[VENUES[share.security_exchange]][int(share.symbol)] = at
        make = asyncio.get_running_loop().create_connection
        with named(endpoint):
            transport, feed = await make(lambda: TouchFeed(tracker, touches), endpoint.host, endpoint.port)
        ends.callback(transport.close)
        return feed

    async def watch(self, client: LoadClient, start_ns: int) -> None:
        """Report progress until cancelled."""
        tracker = client.tracker
        while True:
            await asyncio.sleep(PROGRESS_S)
            elapsed_ns = utc_now_ns() - start_ns
            decision, ack = tracker.recent_decision, tracker.recent_ack
            self.on_progress(
                Progress(
                    max(elapsed_ns, 0) / 1e9,
                    int(np.searchsorted(self.plan.planned_ns, elapsed_ns)),
                    tracker.sent_count,
                    tracker.answered_count,
                    decision.percentile_ns(500_000) / 1e3,
                    decision.percentile_ns(990_000) / 1e3,
                    ack.percentile_ns(500_000) / 1e3,
                    ack.percentile_ns(990_000) / 1e3,
                )
            )
            decision.reset()
            ack.reset()


@contextmanager
def named(endpoint: Endpoint) -> Iterator[None]:
    """Let a connection error say whom it was about."""
    try:
        yield
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else str(error) or "no answer"
        raise ConnectionError(f"{endpoint}: {text}") from None


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep the cyclic collector out of the measured time: its pauses would be counted as the gateway's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def new_prefix() -> str:
    """Six characters that begin every ClOrdID of a run: its start in milliseconds, base 36; no two runs share them."""
    number, text = utc_now_ns() // 1_000_000 % 36**6, ""
    for _ in range(6):
        number, digit = divmod(number, 36)
        text = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + text
    return text


def outcome_of(plan: Plan, tracker: OrderTracker, broken: list[str]) -> Outcome:
    """The tracker's arrays as an Outcome."""
    arrays = tracker.arrays()
    return Outcome(
        planned_ns=plan.planned_ns,
        sent_ns=arrays["sent_ns"],
        decided_ns=arrays["decided_ns"],
        acked_ns=arrays["acked_ns"],
        kind=plan.kind,
        expected_code=plan.expected_code,
        reject_code=arrays["reject_code"],
        repeated_count=tracker.repeated_count,
        disorder_count=tracker.disorder_count,
        stray_count=tracker.stray_count,
        malformed_count=tracker.malformed_count,
        trade_count=tracker.trade_count,
        broken_sessions=broken,
    )
