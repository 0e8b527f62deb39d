"""This node's part in its shard: it joins as owner or standby, follows, owns, hands over. Judges no order.

ownership.py says what may be, ownership_store.py asks Redis, owner.py and standby.py live by it; here they are put
together.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ext import follower, replay
from ext.clock import utc_now_ns
from gateway.framing import Framed
from gateway.owner import Owner, Step
from gateway.ownership import Ownership, Record
from gateway.ownership_store import Addresses, OwnershipStore, StoreError
from gateway.replication import Hello, Refusal
from gateway.settings import SettingError, Settings
from gateway.standby import Standby

NODE = "node"  # file beside the journals: who this node is, for as long as they last
MARGIN_SHARE = 4  # an owner stops this part of a ttl before the lease may have run out
NS_PER_MS = 1_000_000
HAND_OVER_S = 5.0


class Member:
    """One node of one shard.

    on_record: called with the shard's record as a standby learns it; on_lost: another owns the shard now; on_owned:
    this node owns it, under an epoch that is to be journaled first.
    """

    def __init__(
        self, settings: Settings, engine: Any, gate: Any, log: Callable[..., None], *,
        on_record: Callable[[Record], None], on_lost: Callable[[Record], None], on_owned: Callable[[Record], None],
    ) -> None:  # fmt: skip
        self.settings = settings
        self.engine = engine
        self.gate = gate
        self.log = log
        self.on_record = on_record
        self.on_lost = on_lost
        self.on_owned = on_owned
        self.node = node_id(settings.journal)
        ttl_ns = settings.lease_ms * NS_PER_MS
        self.ownership = Ownership(self.node, ttl_ns, ttl_ns // MARGIN_SHARE)
        self.store = OwnershipStore(settings.redis, settings.cluster, settings.shard, settings.lease_ms)
        self.where = Addresses()
        self.port = 0  # of replication, once it listens
        self.owner: Owner | None = None
        self.listener: asyncio.Server | None = None

    async def listen(self, address: str, control: str) -> None:
        """Open the port that standbys connect to. Raises OSError. address, control: where it serves, host:port."""
        host, port = self.settings.host, self.settings.replication_port
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(self.accept, host, port)
        self.port = self.listener.sockets[0].getsockname()[1]
        self.where = Addresses(address, control, f"{self.settings.advertise or host}:{self.port}")

    def accept(self) -> Framed:
        """A standby, when this node owns the shard; nobody else is listened to."""
        if self.owner is not None:
            return self.owner.accept()
        deaf = Framed(lambda _: deaf.close(), lambda: None)
        return deaf

    async def join(self) -> bool:
        """Whether this node owns the shard now, else it is to follow. SettingError: Redis cannot be asked."""
        epoch = int(self.engine.state.epoch)
        may_begin = epoch == 0 or replay.newest_owner(self.engine.journal) == self.node
        sent_ns = utc_now_ns()
        try:
            record = await self.store.start(
                self.node, epoch, self.where, may_begin=may_begin, without_standby=self.settings.without_standby
            )
        except StoreError as error:
            raise SettingError(f"--redis: expected a Redis that answers: {error}") from None
        if not record.owner:
            raise SettingError(
                f"--redis: it knows no owner of shard {self.settings.shard}, and this journal is another node's "
                f"({replay.newest_owner(self.engine.journal)}): start that one first"
            )
        if record.owner != self.node:
            return False
        if record.standby:
            self.log("standby_first", standby=record.standby, reason="it was in step, and may have more of the journal")
            return False
        self.become(record, sent_ns)
        return True

    def become(self, record: Record, sent_ns: int) -> None:
        self.ownership.own(record, sent_ns)
        self.gate.allow_until(self.ownership.until_ns())
        self.on_owned(record)

    async def follow(self, on_caught_up: Callable[[], None]) -> None:
        """Be the standby until this node owns the shard. Raises as Standby.until_owner does."""
        standby = Standby(
            self.ownership, self.store, follower.Follower(self.engine), self.hello, self.where, self.log,
            self.on_record, on_caught_up,
        )  # fmt: skip
        record = await standby.until_owner()
        self.become(record, utc_now_ns() - self.ownership.ttl_ns)

    def hello(self) -> Hello:
        where = self.where
        end, newest, seq, crc = follower.tail(self.engine.journal)
        return Hello(
            node=self.node, trade_date=self.settings.trade_date, shard=self.settings.shard,
            layout=replay.layout_number(), end=end, newest=newest, seq=seq, crc=crc, address=where.address,
            control_address=where.control_address, replication=where.replication,
        )  # fmt: skip

    def hello_fits(self, hello: Hello) -> Refusal | None:
        """Whether a standby is of this shard, day and build."""
        ours = (self.settings.trade_date, self.settings.shard, replay.layout_number())
        theirs = (hello.trade_date, hello.shard, hello.layout)
        if ours != theirs:
            return Refusal(f"(trade date, shard, layout): got {theirs}, expected {ours}")
        if hello.node == self.node:
            return Refusal(f"node: got {hello.node}, this owner's own; expected another journal directory's")
        return None

    async def own(self) -> None:
        """Keep what this node owns, from now on."""
        assert self.listener is not None
        self.owner = Owner(
            self.ownership, self.store, self.engine.journal, self.gate, self.where, self.hello_fits, self.log,
            replica=self.settings.durability == "replica", on_lost=self.on_lost, on_owned=self.on_owned,
        )  # fmt: skip
        await self.owner.start()

    async def hand_over(self) -> Record:
        """See Owner.hand_over."""
        assert self.owner is not None
        return await self.owner.hand_over(HAND_OVER_S)

    @property
    def standby_address(self) -> str:
        """Where the standby in step serves order entry; empty: there is none."""
        feed = self.owner.feed if self.owner is not None else None
        return feed.standby.address if feed is not None and feed.standby is not None else ""

    def figures(self) -> dict[str, Any]:
        """For the log, metrics and the control service."""
        step = self.owner.step if self.owner is not None else Step.NONE
        feed = self.owner.feed if self.owner is not None else None
        return {
            "node": self.node,
            "role": str(self.ownership.role),
            "epoch": self.ownership.epoch,
            "standby": feed.standby.node if feed is not None and feed.standby is not None else "",
            "standby_step": str(step),
            "standby_lag_bytes": self.engine.journal.end - feed.safe_end if feed is not None else 0,
            "redis": not (self.owner is not None and self.owner.redis_away),
        }

    async def stop(self) -> None:
        if self.owner is not None:
            await self.owner.stop()
        if self.listener is not None:
            self.listener.close()
        await self.store.close()


def node_id(folder: Path) -> str:
    """Who this node is: the word in the journals' folder, made when there is none."""
    path = folder / NODE
    try:
        with path.open("x") as file:
            file.write(f"{socket.gethostname()[:20]}-{secrets.token_hex(4)}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    return path.read_text().strip()
