"""A node that owns its shard: keeps its lease, feeds its standby, and lets out only what it may. Judges no order."""

import asyncio
import contextlib
import enum
from collections.abc import Callable, Coroutine
from typing import Any

from ext.clock import utc_now_ns
from gateway.framing import Framed
from gateway.ownership import Ownership, Record, Role
from gateway.ownership_store import Addresses, OwnershipStore, StoreError
from gateway.replication import Feed, Hello, Refusal, ReplicationError, Welcome
from gateway.tasks import end_tasks

TICK_S = 0.01
RENEWALS = 4  # in one ttl
PINGS = 6
REDIS_RETRY_S = 0.05
NEAR_OCTETS = 1 << 18  # behind: near enough to be waited for


class Step(enum.StrEnum):
    """How the standby stands."""

    NONE = "none"
    BEHIND = "behind"  # it is being fed
    IN_STEP = "in_step"  # it holds all that was told to anyone, and may take over


class Owner:
    """The owner's side of a cluster.

    replica: nothing leaves before the standby in step has it. on_lost: another owns the shard; nothing may be done.
    on_owned: called with a record whenever the store has made this node the owner anew: to be journaled.
    """

    def __init__(
        self, ownership: Ownership, store: OwnershipStore, journal: Any, gate: Any, where: Addresses,
        hello_fits: Callable[[Hello], Refusal | None], log: Callable[..., None], *, replica: bool,
        on_lost: Callable[[Record], None], on_owned: Callable[[Record], None],
    ) -> None:  # fmt: skip
        self.ownership = ownership
        self.store = store
        self.journal = journal
        self.gate = gate
        self.where = where
        self.hello_fits = hello_fits
        self.log = log
        self.replica = replica
        self.on_lost = on_lost
        self.on_owned = on_owned
        self.step = Step.NONE
        self.feed: Feed | None = None
        self.frames: Framed | None = None
        self.changed = asyncio.Event()
        self.redis_away = False
        self.silenced = False
        self.is_waiting = False  # what leaves waits for the standby
        self.pinged_ns = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Keep what `ownership.own` was told of; `accept` is called for each standby that connects."""
        self.let_out()
        if self.replica:
            self.gate.on_unsafe = self.ship
        loop = asyncio.get_running_loop()
        jobs: list[Coroutine[Any, Any, None]] = [self.keep_lease(), self.keep_time(), self.keep_standby()]
        self.tasks = [loop.create_task(job) for job in jobs]

    async def stop(self) -> None:
        await end_tasks(self.tasks)
        if self.frames is not None and self.frames.transport is not None:
            self.frames.transport.abort()

    # --- the lease ---

    async def keep_lease(self) -> None:
        """Renew it, several times in its life."""
        while True:
            sent_ns = utc_now_ns()
            try:
                record = await self.store.renew(self.ownership.node, self.ownership.epoch)
                if not record.owner:
                    await self.register_again(sent_ns)
                elif self.is_ours(record):
                    self.ownership.on_renewed(sent_ns)
                self.note_redis(away="")
            except StoreError as error:
                self.note_redis(away=str(error))
            self.let_out()
            await asyncio.sleep(self.ownership.ttl_ns / 1e9 / RENEWALS)

    async def register_again(self, sent_ns: int) -> None:
        """Redis has forgotten the shard: it is this node's, as its journal says."""
        node, epoch = self.ownership.node, self.ownership.epoch
        record = await self.store.start(node, epoch, self.where, may_begin=True)
        if record.owner != node:
            self.lose(record)
            return
        self.log("registered_again", epoch=record.epoch)
        self.ownership.own(record, sent_ns)
        self.on_owned(record)
        if self.step is Step.IN_STEP:
            self.step = Step.BEHIND
        self.changed.set()

    def is_ours(self, record: Record) -> bool:
        """Whether the store still names this node, in this epoch; if not, all is over."""
        if record.owner == self.ownership.node and record.epoch == self.ownership.epoch:
            return True
        self.lose(record)
        return False

    def lose(self, record: Record) -> None:
        if self.ownership.role is Role.LOST:
            return
        self.ownership.lose()
        self.gate.shut()
        self.log("ownership_lost", owner=record.owner, epoch=record.epoch, own_epoch=self.ownership.epoch)
        self.on_lost(record)

    def note_redis(self, *, away: str) -> None:
        if bool(away) != self.redis_away:
            self.redis_away = bool(away)
            self.log("redis_away" if away else "redis_back", reason=away)

    async def keep_time(self) -> None:
        """Ping the standby, ship what no turn shipped, and let nothing out beyond what is ours."""
        while True:
            now_ns = utc_now_ns()
            if self.feed is not None:
                if now_ns - self.pinged_ns >= self.ownership.ttl_ns // PINGS:
                    self.pinged_ns = now_ns
                    self.feed.ping(now_ns)
                self.ship()
            self.let_out()
            await asyncio.sleep(TICK_S)

    def let_out(self) -> None:
        if self.ownership.role is Role.LOST:
            return
        until_ns = self.ownership.until_ns()
        self.gate.allow_until(until_ns)
        silenced = until_ns is not None and until_ns <= utc_now_ns()
        if silenced != self.silenced:
            self.silenced = silenced
            self.log("silenced" if silenced else "speaks_again", standby=self.ownership.record.standby)

    # --- the standby ---

    def accept(self) -> Framed:
        """A standby connects: the newest one counts."""
        frames = Framed(lambda message: self.on_message(feed, frames, message), lambda: self.on_gone(frames))
        feed = Feed(self.journal, self.hello_fits, self.welcome, frames.send, self.on_safe, self.ownership.on_echo)
        return frames

    def welcome(self) -> Welcome:
        return Welcome(self.ownership.node, self.ownership.epoch, self.journal.end, self.where.address)

    def on_message(self, feed: Feed, frames: Framed, message: bytes) -> None:
        if frames is not self.frames and feed.standby is not None:
            return
        try:
            feed.on_message(message)
        except ReplicationError as error:
            self.log("standby_refused", reason=str(error))
            frames.close()
            return
        if frames is not self.frames and feed.standby is not None:
            self.replace(feed, frames)

    def replace(self, feed: Feed, frames: Framed) -> None:
        """A standby was welcomed, and the one before it is let go."""
        before, self.frames = self.frames, frames
        self.feed = feed
        if before is not None and before.transport is not None:
            before.transport.abort()
        if self.step is Step.NONE:
            self.step = Step.BEHIND
        assert feed.standby is not None
        self.log("standby_follows", node=feed.standby.node, end=feed.standby.end)
        self.changed.set()

    def on_gone(self, frames: Framed) -> None:
        if frames is self.frames:
            self.frames = self.feed = None
            self.changed.set()

    def ship(self) -> None:
        if self.feed is not None:
            self.feed.ship()

    def on_safe(self, end: int) -> None:
        """The standby has so much of the journal."""
        if self.is_waiting:
            self.let_out()
            self.gate.advance(end)
        if self.step is Step.BEHIND:
            self.changed.set()

    async def keep_standby(self) -> None:
        """Bring a standby in step, and step down when it is gone."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            feed = self.feed
            if not self.replica:
                self.step = Step.NONE if feed is None else Step.BEHIND
            elif self.step is Step.IN_STEP and (feed is None or self.is_other(feed)):
                await self.name(None)
            elif feed is None:
                self.trust()
            elif self.step is Step.BEHIND and self.journal.end - feed.safe_end <= NEAR_OCTETS:
                await self.bring_in_step(feed)

    def is_other(self, feed: Feed) -> bool:
        """Whether the record names another standby than the one that is fed."""
        return feed.standby is not None and self.ownership.record.standby != feed.standby.node

    def trust(self) -> None:
        """No standby counts: what is written may leave."""
        self.step = Step.NONE if self.feed is None else Step.BEHIND
        self.is_waiting = False
        self.gate.trust()
        self.let_out()

    async def bring_in_step(self, feed: Feed) -> None:
        """From now on what leaves waits for this standby; once it has all that left before, it is named."""
        self.is_waiting = True
        self.gate.advance(feed.safe_end)
        let_out_end = self.journal.end
        while self.feed is feed and feed.safe_end < let_out_end:
            self.changed.clear()
            await self.changed.wait()
        if self.feed is feed:
            await self.name(feed)
        else:
            self.changed.set()

    async def name(self, feed: Feed | None) -> None:
        """Say in the store who is in step: this feed's standby, or nobody.

        Until the store has answered, the standby may be named and may not: what leaves waits for it, and goes by its
        grants.
        """
        hello = feed.standby if feed is not None else None
        if hello is not None:
            self.ownership.will_name()
        node, address = (hello.node, hello.address) if hello is not None else ("", "")
        while True:
            try:
                record = await self.store.name_standby(self.ownership.node, self.ownership.epoch, node, address)
                break
            except StoreError as error:
                self.note_redis(away=str(error))
                self.let_out()
                await asyncio.sleep(REDIS_RETRY_S)
        if not self.is_ours(record):
            return
        self.ownership.on_named(record)
        if record.standby:
            self.step = Step.IN_STEP
            self.log("standby_in_step", node=record.standby, end=self.journal.end)
        else:
            self.log("without_standby", end=self.journal.end)
            self.trust()
        # The standby may have gone, or another come, while the store was asked.
        self.changed.set()

    # --- handing over ---

    async def hand_over(self, within_s: float) -> Record:
        """Make the standby the owner; everything that was told is there.

        Raises ReplicationError when it cannot be done. Then this node still owns the shard, unless its role says else.
        """
        feed = self.feed
        if feed is None or feed.standby is None:
            raise ReplicationError("no standby follows this shard")
        hello = feed.standby
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.feed is feed and feed.safe_end < self.journal.end:
                    self.ship()
                    await asyncio.sleep(0.001)
        if self.feed is not feed or feed.safe_end < self.journal.end:
            raise ReplicationError(f"standby {hello.node} has {feed.safe_end} of {self.journal.end} octets")
        # Whatever this node still writes is the new owner's no more: it is neither sent there nor told to anybody.
        feed.last_end = feed.safe_end
        self.gate.advance(feed.safe_end)
        where = Addresses(hello.address, hello.control_address, hello.replication)
        try:
            record = await self.store.hand_over(self.ownership.node, self.ownership.epoch, hello.node, where)
        except StoreError as error:
            # It may have been done: this node may not speak on, and the standby learns it from the store.
            self.ownership.lose()
            self.gate.shut()
            raise ReplicationError(f"Redis did not answer whether the shard was handed over: {error}") from None
        if record.owner != hello.node:
            feed.last_end = None
            if not self.is_waiting:
                self.gate.trust()
            raise ReplicationError(f"the shard's record names {record.owner} in epoch {record.epoch}")
        feed.hand_over(record.epoch)
        self.ownership.lose()
        return record
