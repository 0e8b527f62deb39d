"""A node that follows its shard's owner, and takes over when it is silent or hands over. Judges no order."""

import asyncio
from collections.abc import Callable
from typing import Any

from ext.clock import utc_now_ns
from ext.journal import JournalError
from gateway.framing import Framed
from gateway.ownership import Ownership, Record
from gateway.ownership_store import Addresses, OwnershipStore, StoreError
from gateway.replication import Follow, Hello, ReplicationError, Welcome, Yours

CONNECT_S = 0.5
RETRY_S = 0.01
REDIS_RETRY_S = 0.1
NS_PER_S = 1_000_000_000


class Standby:
    """Follows until this node owns the shard.

    follower: ext.follower.Follower; hello: what to say of the journal as it is; where: where this node listens.
    on_record: called with the shard's record when it is another than before; on_caught_up: when all that the owner had
    as it welcomed this node is applied.
    """

    def __init__(
        self, ownership: Ownership, store: OwnershipStore, follower: Any, hello: Callable[[], Hello],
        where: Addresses, log: Callable[..., None], on_record: Callable[[Record], None],
        on_caught_up: Callable[[], None],
    ) -> None:  # fmt: skip
        self.ownership = ownership
        self.store = store
        self.follower = follower
        self.hello = hello
        self.where = where
        self.log = log
        self.on_record = on_record
        self.on_caught_up = on_caught_up
        self.wanted_end: int | None = None  # of the owner's journal when it welcomed this node; None: it is here
        self.loop = asyncio.get_running_loop()
        self.is_applying = False
        self.is_connected = False
        self.silent_ns = utc_now_ns()  # since when nothing came from the owner
        self.fault: Exception | None = None
        self.yours: Yours | None = None

    async def until_owner(self) -> Record:
        """Follow the owner, whoever it is; return once this node owns the shard, with everything applied.

        Raises ReplicationError or JournalError when what is here cannot be the shard's journal.
        """
        self.ownership.follow(await self.newest_record(), utc_now_ns())
        while True:
            record = await self.newest_record()
            if record.owner == self.ownership.node and not record.standby:
                break
            if record.owner == self.ownership.node:
                # It was this node's, and its standby has the first word: see Member.join.
                await asyncio.sleep(RETRY_S)
                continue
            reason = await self.follow_once(record)
            if self.fault is not None:
                raise self.fault
            self.log("owner_lost", owner=record.owner, epoch=record.epoch, reason=reason)
            claimed = await self.claim()
            if claimed is not None:
                record = claimed
                break
        self.follower.apply()
        self.log("shard_taken_over", epoch=record.epoch, end=self.follower.applied, handed_over=self.yours is not None)
        return record

    async def newest_record(self) -> Record:
        """The shard's record, as soon as Redis tells it."""
        while True:
            try:
                record = await self.store.read()
            except StoreError as error:
                self.log("redis_away", reason=str(error))
                await asyncio.sleep(REDIS_RETRY_S)
                continue
            if record != self.ownership.record:
                self.ownership.record = record
                self.on_record(record)
            return record

    # --- following ---

    async def follow_once(self, record: Record) -> str:
        """One connection to the owner from beginning to end; why it ended."""
        host, _, port = record.replication.rpartition(":")
        lost = asyncio.Event()
        frames = Framed(lambda message: self.on_message(follow, message), lost.set)
        follow = Follow(
            self.follower, self.hello(), frames.send, self.on_welcome, self.ownership.grant, self.on_yours
        )
        try:
            async with asyncio.timeout(CONNECT_S):
                await self.loop.create_connection(lambda: frames, host, int(port or 0))
        except (OSError, TimeoutError, ValueError) as error:
            return f"cannot connect to {record.replication or 'nowhere'}: {error or 'no answer'}"
        self.frames = frames
        follow.begin()
        try:
            return await self.until_silent(lost)
        finally:
            self.is_connected = False
            if frames.transport is not None:
                frames.transport.abort()

    async def until_silent(self, lost: asyncio.Event) -> str:
        """Until the connection is lost, or nothing has come for as long as a grant holds."""
        ttl_s = self.ownership.ttl_ns / NS_PER_S
        self.silent_ns = utc_now_ns()
        while True:
            try:
                async with asyncio.timeout(ttl_s / 4):
                    await lost.wait()
                return "the shard was handed over" if self.yours else "the connection was lost"
            except TimeoutError:
                if utc_now_ns() - self.silent_ns > self.ownership.ttl_ns:
                    return f"nothing came for {ttl_s:g} s"

    def on_message(self, follow: Follow, message: bytes) -> None:
        now_ns = self.silent_ns = utc_now_ns()
        try:
            follow.on_message(message, now_ns)
        except (ReplicationError, JournalError) as error:
            self.fault = error
            self.frames.close()
            return
        # Safe first, applied after: the owner waits for the one, and nobody for the other.
        if not self.is_applying and self.follower.applied < follow.journal_end:
            self.is_applying = True
            self.loop.call_soon(self.apply)

    def apply(self) -> None:
        self.is_applying = False
        try:
            self.follower.apply()
        except JournalError as error:
            self.fault = error
            self.frames.close()
            return
        if self.wanted_end is not None and self.follower.applied >= self.wanted_end:
            self.wanted_end = None
            self.on_caught_up()

    def on_welcome(self, welcome: Welcome) -> None:
        self.is_connected = True
        self.ownership.follow(self.ownership.record, utc_now_ns())
        self.wanted_end = welcome.end
        self.loop.call_soon(self.apply)
        self.log("following", owner=welcome.node, epoch=welcome.epoch, end=welcome.end)

    def on_yours(self, yours: Yours) -> None:
        self.yours = yours
        self.frames.close()

    # --- taking over ---

    async def claim(self) -> Record | None:
        """Own the shard when its owner has been silent for long enough; None: it is not to be had now."""
        pause_ns = min(self.ownership.claim_at_ns() - utc_now_ns(), self.ownership.ttl_ns)
        if self.yours is None and pause_ns > 0:
            await asyncio.sleep(pause_ns / NS_PER_S)
        record = await self.newest_record()
        if record.owner == self.ownership.node:
            return record
        if not self.ownership.may_claim(record, utc_now_ns()):
            await asyncio.sleep(RETRY_S)
            return None
        try:
            record = await self.store.claim(self.ownership.node, record.epoch, self.where)
        except StoreError as error:
            self.log("redis_away", reason=str(error))
        if record.owner == self.ownership.node:
            return record
        await asyncio.sleep(RETRY_S)
        return None
