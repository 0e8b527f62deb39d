"""Two shards of one cluster on one limits file, with a real Redis, for the system tests. Judges nothing."""

from pathlib import Path
from typing import Any

from gateway.topology import slot_of
from tests.redis_server import RedisServer
from tests.system.plant import Exchanges, Gateway

SHARDS = 2
# By slot, modulo two: tests/test_topology.py holds the names to it.
AT_0, AT_1 = ("L0004", "L0005", "L0006"), ("L0001", "L0002", "L0003")


class Cluster:
    """Shards 0 and 1, each a member of its own at the exchanges; the accounts' symbols are the first one's."""

    def __init__(
        self, exchanges: Exchanges, folder: Path, transport: str = "native", flags: tuple[str, ...] = ()
    ) -> None:
        self.redis = RedisServer(folder / "redis").start()
        self.shards: list[Gateway] = []
        for shard in range(SHARDS):
            place = folder / f"shard-{shard}"
            place.mkdir()
            own = ("--redis", self.redis.url, "--cluster", "t", "--shards", str(SHARDS), "--shard", str(shard))
            self.shards.append(Gateway(exchanges, place, transport, (*own, *flags), self.same_limits))

    def same_limits(self, limits: dict[str, Any]) -> None:
        if self.shards:
            limits |= self.limits
        self.limits = dict(limits)

    def start(self) -> "Cluster":
        for shard in self.shards:
            shard.start()
        return self

    @property
    def symbols(self) -> dict[str, list[str]]:
        return self.shards[0].symbols

    def home(self, account: str) -> Gateway:
        return self.shards[slot_of(account) % SHARDS]

    def stop(self) -> None:
        for shard in self.shards:
            shard.stop()
        self.redis.kill()
