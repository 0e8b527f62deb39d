"""Runs one plan against one gateway: opens the sessions, sends, drains, and gives back what became of every request."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ext.buffers import Turn
from ext.clock import utc_now_ns
from loadtest.client import LoadClient
from loadtest.grpc_client import connect
from loadtest.measure import Outcome
from loadtest.plan import Plan
from loadtest.touch_feed import TouchFeed
from loadtest.tracker import OrderTracker

LEAD_NS = 100_000_000  # between the last logon and the first request
PROGRESS_S = 0.25


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
    on_progress: Callable[[Progress], None] = lambda progress: None

    async def run(self) -> tuple[Outcome, int]:
        """(what became of every request, UTC ns of the start). Raises OSError when the gateway cannot be reached or refuses."""
        tracker = OrderTracker(self.plan, new_prefix())
        client = LoadClient(tracker, self.burst_ns)
        connections = []
        feeds = [await self.follow(tracker, endpoint) for endpoint in self.sessions.market_data]
        try:
            for at in range(self.sessions.count):
                connections.append(
                    await connect(
                        Turn(asyncio.get_running_loop().call_soon), self.sessions.target.host, self.sessions.target.port
                    )
                )
                await client.log_on(
                    connections[-1],
                    self.sessions.token,
                    self.plan.accounts_of(at, self.sessions.count),
                    self.plan.numbers_of(at, self.sessions.count),
                )
            start_ns = utc_now_ns() + LEAD_NS
            client.start(start_ns)
            watch = asyncio.create_task(self.watch(client, start_ns))
            await self.send_all(client)
            await client.drain(self.drain_s)
            watch.cancel()
            broken = client.broken()
            client.close()
            await asyncio.sleep(0.05)
            return outcome_of(self.plan, tracker, broken + [feed.error for feed in feeds if feed.error]), start_ns
        finally:
            for connection in connections:
                connection.close()

    async def send_all(self, client: LoadClient) -> None:
        """Until everything is sent; a gateway that stops reading cannot hold the run longer than its drain time."""
        last_s = self.plan.planned_ns[-1] / 1e9 if len(self.plan.planned_ns) else 0.0
        try:
            await asyncio.wait_for(asyncio.shield(client.all_sent), last_s + LEAD_NS / 1e9 + self.drain_s)
        except TimeoutError:
            return

    async def follow(self, tracker: OrderTracker, endpoint: Endpoint) -> TouchFeed:
        """Subscribe to one exchange's market data."""
        touches = {int(share.symbol): at for at, share in enumerate(self.plan.instruments)}
        _, feed = await asyncio.get_running_loop().create_connection(
            lambda: TouchFeed(tracker, touches), endpoint.host, endpoint.port
        )
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


def new_prefix() -> str:
    """Six characters that begin every ClOrdID of a run: its start in milliseconds, base 36, so no two runs of a day share it."""
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
