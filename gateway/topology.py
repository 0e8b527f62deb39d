"""Which shard an account lives at, and where each shard is: the tables in Redis, and a copy that follows them.

It moves no account and owns no shard; without Redis it is not used at all.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from zlib import crc32

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.settings import SettingError

SLOTS = 1024
FIRST_VERSION = 1
REDIS_TIMEOUT_S = 1.0
REFRESH_S = 0.25
HEALTH_S = 0.5
HEALTH_KEPT_MS = 3000  # a shard that has said nothing for so long is not told as well
MOST_ADDRESS = 128
NS_PER_MS = 1_000_000
PARCEL_KEPT_S = 86_400
WAIT_S = 0.5  # for a move; less than REDIS_TIMEOUT_S

# Made by whichever shard starts first; everybody else finds it made.
PUBLISH = """
local served = redis.call('HGET', KEYS[1], 'address')
if served and served ~= '' and served ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'address', ARGV[1], 'control_address', ARGV[2])
"""
MAKE = """
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('HSET', KEYS[1], 'version', ARGV[1], 'shards', ARGV[2], 'table', ARGV[3])
end
return redis.call('HGET', KEYS[1], 'shards')
"""
# One account's home from one shard to another; the version tells every copy to look again.
REHOME = """
local home = redis.call('HGET', KEYS[2], ARGV[1]) or ARGV[2]
if home ~= ARGV[3] then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'version', 1)
"""


def slot_of(account: str) -> int:
    """The slot of an account, 0 to 1,023: CRC-32 (IEEE 802.3, as in zlib) of its id in UTF-8, modulo 1,024."""
    return crc32(account.encode()) % SLOTS


class ShardRecord(msgspec.Struct, frozen=True):
    """Who serves a shard, and where: the ownership record in Redis. Empty: not known."""

    shard: int
    owner: str = ""
    epoch: int = 0
    address: str = ""  # host:port of order entry
    control_address: str = ""
    standby: str = ""
    standby_address: str = ""


class Topology(msgspec.Struct, frozen=True):
    """The whole cluster at one moment. table: the shard of each slot; homes: accounts that live where their slot does
    not."""

    version: int
    table: tuple[int, ...]
    homes: dict[str, int]
    shards: tuple[ShardRecord, ...]

    def home_of(self, account: str) -> int:
        """The shard where the account lives."""
        home = self.homes.get(account)
        return self.slot_home(account) if home is None else home

    def slot_home(self, account: str) -> int:
        """The shard of its slot."""
        return self.table[slot_of(account)]

    def address_of(self, account: str) -> str:
        """host:port of the shard where the account lives, empty when that is not known now."""
        return self.shards[self.home_of(account)].address


class Wish(msgspec.Struct, frozen=True):
    """An account that somebody wants at another shard."""

    account: str
    target: int
    by: str


NOTHING = Topology(0, (), {}, ())


class TopologyStore:
    """The tables of one cluster in Redis. Every method may raise RedisError."""

    def __init__(self, url: str, cluster: str) -> None:
        self.cluster = cluster
        self.redis: Any = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self.slots_key = f"tidegate:{cluster}:slots"
        self.homes_key = f"tidegate:{cluster}:homes"

    def shard_key(self, shard: int) -> str:
        return f"tidegate:{self.cluster}:shard:{shard:02d}"

    def health_key(self, shard: int) -> str:
        return f"tidegate:{self.cluster}:health:{shard:02d}"

    async def make(self, shards: int) -> int:
        """Spread the slots over so many shards, unless that was done before; how many shards there are."""
        table = msgspec.json.encode([slot % shards for slot in range(SLOTS)]).decode()
        return int(await self.redis.eval(MAKE, 1, self.slots_key, FIRST_VERSION, shards, table))

    async def read(self, known: Topology | None = None) -> Topology:
        """The topology now; what cannot have changed since `known` is taken from there."""
        version, shards = await self.redis.hmget(self.slots_key, "version", "shards")
        if version is None:
            raise RedisError(f"{self.slots_key} is gone")
        async with self.redis.pipeline(transaction=True) as pipeline:
            for shard in range(int(shards)):
                pipeline.hgetall(self.shard_key(shard))
            is_new = known is None or int(version) != known.version
            if is_new:
                pipeline.hgetall(self.slots_key).hgetall(self.homes_key)
            rows = await pipeline.execute()
        records = tuple(
            msgspec.convert({"shard": shard} | row, ShardRecord, strict=False)
            for shard, row in enumerate(rows[: int(shards)])
        )
        if known is not None and not is_new:
            return msgspec.structs.replace(known, shards=records)
        slots, homes = rows[-2:]
        table = msgspec.json.decode(slots["table"], type=tuple[int, ...])
        return Topology(int(slots["version"]), table, {account: int(at) for account, at in homes.items()}, records)

    async def publish(self, shard: int, address: str, control_address: str) -> None:
        """Say where a shard is served, unless another serves it now. The other fields belong to its ownership."""
        await self.redis.eval(PUBLISH, 1, self.shard_key(shard), address, control_address)

    async def rehome(self, account: str, slot_home: int, source: int, target: int) -> bool:
        """Move an account's home from source to target; False when it was not at source. slot_home: its slot's
        shard."""
        arguments = (account, slot_home, source, target)
        return bool(await self.redis.eval(REHOME, 2, self.slots_key, self.homes_key, *arguments))

    # An account's way from shard to shard: who asked for it, its parcel, and how far it is.

    def parcel_key(self, trade_date: int, account: str) -> str:
        return f"tidegate:{self.cluster}:parcel:{trade_date}:{account}"

    def move_key(self, account: str) -> str:
        return f"tidegate:{self.cluster}:move:{account}"

    async def ask_move(self, source: int, account: str, target: int, by: str) -> None:
        """Ask the shard that has the account to send it away."""
        await self.tell_move(account, "ASKED", "")
        wish = msgspec.json.encode(Wish(account, target, by))
        await self.redis.rpush(f"tidegate:{self.cluster}:asked:{source:02d}", wish)

    async def next_move(self, shard: int) -> Wish | None:
        """The oldest move that the shard is asked for; it is taken. Waits a moment for one: a shard's loop has better
        to do than to look often."""
        found = await self.redis.blpop([f"tidegate:{self.cluster}:asked:{shard:02d}"], timeout=WAIT_S)
        return msgspec.json.decode(found[1], type=Wish) if found else None

    async def wake(self, wish: Wish) -> None:
        """Tell the target that the account is its own from now on; it would see it by itself, a moment later."""
        await self.redis.rpush(f"tidegate:{self.cluster}:asked:{wish.target:02d}", msgspec.json.encode(wish))

    async def tell_move(self, account: str, state: str, text: str) -> None:
        await self.redis.hset(self.move_key(account), mapping={"state": state, "text": text})
        await self.redis.expire(self.move_key(account), PARCEL_KEPT_S)

    async def move_state(self, account: str) -> tuple[str, str]:
        """(ASKED, LEAVING, MOVED, CAME or FAILED, why); empty: it was never asked for."""
        state, text = await self.redis.hmget(self.move_key(account), "state", "text")
        return state or "", text or ""

    async def put_parcel(self, trade_date: int, account: str, parcel: bytes) -> None:
        await self.redis.set(self.parcel_key(trade_date, account), parcel, ex=PARCEL_KEPT_S)

    async def parcel(self, trade_date: int, account: str) -> str | None:
        text: str | None = await self.redis.get(self.parcel_key(trade_date, account))
        return text

    async def home_of(self, account: str, slot_home: int) -> int:
        """Where the account lives, as Redis has it now."""
        home = await self.redis.hget(self.homes_key, account)
        return slot_home if home is None else int(home)

    async def tell_health(self, shard: int, health: dict[str, Any]) -> None:
        await self.redis.set(self.health_key(shard), msgspec.json.encode(health), px=HEALTH_KEPT_MS)

    async def healths(self, shards: int) -> list[dict[str, Any]]:
        """What each shard last said of itself; empty for one that is silent."""
        texts = await self.redis.mget([self.health_key(shard) for shard in range(shards)])
        return [msgspec.json.decode(text) if text else {} for text in texts]

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self.redis.aclose()


class Directory:
    """A copy of the topology that follows Redis, and says how old it is. now_ns: UTC; log: of the shard or control
    process."""

    def __init__(self, store: TopologyStore, known: Topology | None, now_ns: Callable[[], int], log: Any) -> None:
        self.store = store
        self.known = known
        self.now_ns = now_ns
        self.log = log
        self.as_of_ns = now_ns() if known else 0
        self.is_away = False
        self.healths: list[dict[str, Any]] = []

    @property
    def topology(self) -> Topology:
        """As it was last known; empty before the first answer of Redis."""
        return self.known or NOTHING

    async def refresh(self) -> None:
        """One look at Redis; when it is away the copy stays, and grows old."""
        try:
            self.known = await self.store.read(self.known)
        except (RedisError, OSError, msgspec.MsgspecError) as error:
            if not self.is_away:
                self.log.warning("topology_away", reason=" ".join(str(error).split()))
            self.is_away = True
            return
        if self.is_away:
            self.log.info("topology_back", version=self.topology.version)
        self.is_away = False
        self.as_of_ns = self.now_ns()

    async def picture(self) -> dict[str, Any]:
        """Everything for people, named like the fields of control.proto's Topology: looked up now, or as it was last
        known."""
        await self.refresh()
        with contextlib.suppress(RedisError, OSError, msgspec.MsgspecError):
            self.healths = await self.store.healths(len(self.topology.shards))
        healths = dict(enumerate(self.healths))
        return {
            "cluster": self.store.cluster,
            "version": self.topology.version,
            "slots": list(self.topology.table),
            "moved_accounts": len(self.topology.homes),
            "shards": [self.shard_row(one, healths.get(one.shard, {})) for one in self.topology.shards],
            "as_of_ns": self.as_of_ns,
            "is_stale": self.is_away,
        }

    def shard_row(self, record: ShardRecord, health: dict[str, Any]) -> dict[str, Any]:
        heard_ns = health.get("time_ns", 0)
        links = [{"security_exchange": name, "is_up": is_up} for name, is_up in health.get("links", {}).items()]
        is_heard = bool(heard_ns) and self.now_ns() - heard_ns < HEALTH_KEPT_MS * NS_PER_MS
        return msgspec.structs.asdict(record) | health | {"links": links, "heard_ns": heard_ns, "is_heard": is_heard}

    async def follow(self) -> None:
        """For as long as the shard lives."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.refresh()


async def open_store(url: str, cluster: str, shard: int, shards: int) -> tuple[TopologyStore, Topology]:
    """The cluster's tables, made when they are not there. Raises SettingError when they do not fit the flags."""
    try:
        store = TopologyStore(url, cluster)
    except ValueError as error:
        raise SettingError(f"--redis: got {url!r}, expected redis://host:port[/number]: {error}") from None
    try:
        made = await store.make(shards)
        if made != shards:
            raise SettingError(f"--shards: got {shards}, expected {made}: cluster {cluster} was made with {made}")
        topology = await store.read()
    except (RedisError, OSError) as error:
        text = " ".join(str(error).split())
        raise SettingError(f"--redis: {url} cannot be used; a shard must know its accounts to start: {text}") from None
    if len(topology.table) != SLOTS or not all(0 <= home < shards for home in topology.table):
        await store.close()
        raise SettingError(f"--cluster: {store.slots_key} in Redis is no table of {SLOTS} slots over {shards} shards")
    if shard >= shards:
        raise SettingError(f"--shard: got {shard}, expected 0 to {shards - 1}: the cluster has {shards} shards")
    return store, topology


async def keep_telling(tell: Callable[[], Awaitable[None]]) -> None:
    """Calls `tell` every HEALTH_S; Redis may be away."""
    while True:
        with contextlib.suppress(RedisError, OSError):
            await tell()
        await asyncio.sleep(HEALTH_S)
