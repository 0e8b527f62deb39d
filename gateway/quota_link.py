"""The shell around the plan of shares: reads the engine's use, journals shares, talks to Redis. It decides nothing.

Redis slow, away or empty never delays an order: what is in force goes on, and grows again when Redis answers.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import redis.asyncio as redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ext.clock import utc_now_ns
from ext.quota import FIRM, KINDS, Shares
from gateway.quota import ANSWER_S, NOTHING, Answer, Ask, Plan, QuotaFigures
from gateway.quota_store import LOOK, SETTLE, QuotaSettings, answer_of, look_call, look_of, settle_call

ROUND_S = 0.02  # between two looks at what the engine uses
LOOK_S = 0.5  # between two looks at what other shards are short of
AWAY_S = 0.5  # between two tries to reach Redis
FIRST_S = 2.0  # that a start waits for Redis at most


class QuotaLink:
    """The shares of one shard, kept as long as it runs.

    epoch: under which this process owns the shard; gate: knows how much of the journal outlives it, None: all.
    """

    def __init__(
        self, engine: Any, settings: QuotaSettings, log: Any, *, epoch: Callable[[], int] = lambda: 1, gate: Any = None
    ) -> None:
        self.settings = settings
        self.log = log
        self.epoch = epoch
        self.shares = Shares(engine)
        self.gate = gate
        self.paused = False  # the shard is being handed over: its journal must come to rest
        self.plan = Plan(settings.shards, self.shares.version)
        self.loop = asyncio.get_running_loop()
        self.store: Any = redis.Redis.from_url(
            settings.url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )
        self.digests: tuple[str, str] | None = None  # of the scripts, once Redis has them; None: not connected
        self.said: str | None = None  # the run that Redis was told to have everything of; None: not connected
        self.away_said = False
        self.next_look = self.next_try = 0.0
        if not self.shares.divided:
            self.put_in_force(FIRM, NOTHING)
        for scope, name in self.shares.scopes():
            self.add(scope, name)

    def add(self, scope: int, name: str) -> None:
        self.plan.add(scope, name, self.shares.limits(scope), self.shares.leased(scope), self.shares.used(scope))

    async def start(self) -> bool:
        """Register, and lease what a quiet start needs, before the first order; whether Redis answered in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while True:
                    await self.round()
                    if self.plan.registered() and not self.plan.waiting():
                        return True
                    await asyncio.sleep(ROUND_S)
        self.disconnect("no answer in time")
        return False

    async def run(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(ROUND_S)

    async def stop(self) -> None:
        """What is leased stays leased: whoever serves this shard next goes on with it."""
        with contextlib.suppress(RedisError, OSError):
            await self.store.aclose()

    async def round(self) -> None:
        """Once around: use, returns, requests, answers."""
        if self.paused:
            return
        now = self.loop.time()
        for scope in self.shares.moved():
            self.plan.observe(scope, self.shares.used(scope), now)
        for scope, kind, value in self.shares.shortages():
            if scope not in self.plan.shares:  # its first account came later
                self.add(scope, self.shares.name(scope))
            self.plan.short(scope, kind, value, now)
        for scope, amounts in self.plan.lowers(now):
            self.plan.lowered(scope, self.put_in_force(scope, amounts), self.shares.journal_end())
        if now < self.next_try:
            return
        asks = self.plan.asks(now, self.gate.safe_end if self.gate is not None else self.shares.journal_end())
        if not asks and now < self.next_look and self.plan.registered() == self.said:
            return
        try:
            await self.talk(asks)
        except (RedisError, OSError, TimeoutError) as error:
            for ask in asks:
                self.plan.unanswered(ask)
            self.disconnect(str(error) or type(error).__name__)

    async def talk(self, asks: list[Ask]) -> None:
        """The requests, and a look, in one go; what is granted is put in force."""
        if self.digests is None:
            self.digests = await self.store.script_load(SETTLE), await self.store.script_load(LOOK)
        pipeline = self.store.pipeline(transaction=False)
        for ask in asks:
            count, arguments = settle_call(self.settings, self.epoch(), ask)
            pipeline.evalsha(self.digests[0], count, *arguments)
        registered = self.plan.registered()
        count, arguments = look_call(self.settings, registered)
        pipeline.evalsha(self.digests[1], count, *arguments)
        *replies, look = await pipeline.execute()
        if self.paused:
            raise TimeoutError("the shard is being handed over")
        for ask, reply in zip(asks, replies, strict=True):
            self.take(ask, answer_of(reply))
        self.plan.heard(*look_of(look))
        self.said, self.next_look = registered, self.loop.time() + LOOK_S
        if self.away_said:
            self.away_said = False
            self.log.info("quota_redis_back", whole=self.plan.whole)

    def take(self, ask: Ask, answer: Answer) -> None:
        """One answer."""
        fenced, dead = self.plan.fenced, self.plan.dead
        granted = self.plan.answered(ask, answer, self.loop.time())
        if granted is not None:
            self.plan.raised(ask.scope, self.put_in_force(ask.scope, granted))
        if self.plan.fenced and not fenced:
            self.log.error("quota_fenced", epoch=self.epoch(), meaning="another owner is newer: no share changes here")
        if self.plan.dead and not dead:
            self.log.error("quota_dead", meaning="this shard was given up for the day: new orders are refused")

    def put_in_force(self, scope: int, amounts: tuple[int, ...]) -> tuple[int, ...]:
        """Journal shares; a journal that is full keeps what it has."""
        try:
            in_force: tuple[int, ...] = self.shares.put_in_force(
                scope, amounts, self.epoch(), utc_now_ns(), keep_used=not self.plan.dead
            )
        except OSError:
            return tuple(self.shares.leased(scope))
        if self.gate is not None:
            self.gate.ask()
        return in_force

    def disconnect(self, reason: str) -> None:
        """Redis cannot be reached now; said once, until it is back."""
        self.digests = self.said = None
        self.next_try = self.loop.time() + AWAY_S
        if not self.away_said:
            self.away_said = True
            self.log.warning("quota_redis_away", reason=reason, meaning="leased shares go on, none grows")

    def figures(self) -> QuotaFigures:
        """Reads only."""
        plan, firm = self.plan, self.plan.shares[FIRM]
        limits = tuple(firm.limit(kind) for kind in range(len(KINDS)))
        rows = [dict(zip(KINDS, row, strict=True)) for row in (limits, firm.leased, firm.used)]
        return QuotaFigures(self.digests is not None, plan.whole, plan.fenced or plan.dead, plan.unmet, *rows)
