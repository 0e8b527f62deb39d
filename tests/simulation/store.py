"""The lease store: a record and a lease, each change compared and set; and the ways in which an answer does not come.

It does what the scripts of gateway/ownership_store.py do, written from their descriptions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.ownership import Record
from gateway.ownership_store import StoreError
from tests.simulation.scene import MS

TIMEOUT_S = 0.5


class Redis:
    """The server."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.record = Record()
        self.lease_until = 0
        self.down_until = 0
        self.owners: list[tuple[int, str, str]] = []  # (epoch, node, how it came to be)

    @property
    def is_down(self) -> bool:
        return bool(self.down_until > self.world.now)

    def wipe(self) -> None:
        """It comes back with nothing."""
        self.record, self.lease_until = Record(), 0

    def decide_for_lost(self, nodes: set[str]) -> None:
        """A person's word (`serve --without-standby`): a standby whose machine is gone for good is not waited for."""
        if self.record.standby not in nodes:
            self.record = msgspec.structs.replace(self.record, standby="")

    def read(self, node: str, ttl_ns: int) -> Record:
        return self.record

    def own(self, node: str, epoch: int, where: Any, ttl_ns: int, how: str) -> Record:
        self.record = Record(owner=node, epoch=epoch, **msgspec.structs.asdict(where))
        self.lease_until = self.world.now + ttl_ns
        self.owners.append((epoch, node, how))
        return self.record

    def start(
        self, node: str, ttl_ns: int, epoch: int, where: Any, may_begin: bool, without_standby: bool = False
    ) -> Record:
        if self.record.owner != node if self.record.owner else not may_begin:
            return self.record
        return self.own(node, max(epoch, self.record.epoch) + 1, where, ttl_ns, "start")

    def claim(self, node: str, ttl_ns: int, epoch: int, where: Any) -> Record:
        if self.record.standby != node or self.record.epoch != epoch or self.world.now < self.lease_until:
            return self.record
        return self.own(node, epoch + 1, where, ttl_ns, "claim")

    def renew(self, node: str, ttl_ns: int, epoch: int) -> Record:
        if (self.record.owner, self.record.epoch) == (node, epoch):
            self.lease_until = self.world.now + ttl_ns
        return self.record

    def name(self, node: str, ttl_ns: int, epoch: int, standby: str, address: str) -> Record:
        if (self.record.owner, self.record.epoch) == (node, epoch):
            self.record = msgspec.structs.replace(self.record, standby=standby, standby_address=address)
        return self.record

    def hand_over(self, node: str, ttl_ns: int, epoch: int, to: str, where: Any) -> Record:
        if (self.record.owner, self.record.epoch) == (node, epoch):
            return self.own(to, epoch + 1, where, ttl_ns, "hand_over")
        return self.record


class Store:
    """One node's way to the server, in the place of gateway.ownership_store.OwnershipStore. A request that is under
    way is done whatever becomes of its sender, now and then late; an answer may be lost."""

    def __init__(self, node: Any, cluster: str, shard: int, ttl_ms: int) -> None:
        self.node, self.world, self.ttl_ns = node, node.world, ttl_ms * MS
        self.redis: Redis = node.world.redis

    async def close(self) -> None:
        pass

    async def ask(self, change: Callable[..., Record], *arguments: Any) -> Record:
        world = self.world
        answer: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        loop = self.node.loop
        if world.redis.is_down or not world.is_reachable(self.node, world.redis):
            await asyncio.sleep(0.001 if world.random() < 0.7 else TIMEOUT_S)
            raise StoreError("it cannot be reached")
        draw = 1.0 if world.is_calm else world.random()
        late_ns = int(world.random() * 100 * MS) if draw < 0.01 else 0

        def reply(record: Record) -> bool:
            if answer.done() or loop.is_dead:
                return False
            if loop.is_stopped():
                world.at(loop.node.paused_until, reply, record)
                return False
            loop.enter(answer.set_result, record)
            return True

        def execute(_: Any) -> bool:
            if world.redis.is_down or (draw > 0.998 and not world.is_calm):
                return False
            record = change(self.node.identity, self.ttl_ns, *arguments)
            if draw > 0.996 and not world.is_calm:
                return True
            world.after(world.latency_ns, reply, record)
            return True

        world.after(world.latency_ns + late_ns, execute, None)
        try:
            async with asyncio.timeout(TIMEOUT_S if late_ns == 0 else 0.1):
                return await answer
        except TimeoutError:
            raise StoreError("no answer in time") from None

    async def read(self) -> Record:
        return await self.ask(self.redis.read)

    async def start(
        self, node: str, epoch: int, where: Any, *, may_begin: bool, without_standby: bool = False
    ) -> Record:
        return await self.ask(self.redis.start, epoch, where, may_begin, without_standby)

    async def claim(self, node: str, epoch: int, where: Any) -> Record:
        return await self.ask(self.redis.claim, epoch, where)

    async def renew(self, node: str, epoch: int) -> Record:
        return await self.ask(self.redis.renew, epoch)

    async def name_standby(self, node: str, epoch: int, standby: str, address: str) -> Record:
        return await self.ask(self.redis.name, epoch, standby, address)

    async def hand_over(self, node: str, epoch: int, to: str, where: Any) -> Record:
        return await self.ask(self.redis.hand_over, epoch, to, where)
