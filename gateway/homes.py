"""One shard's place among many: the accounts at home here, and for every other one where it lives. Moves no account.

Each shard reads the same limits file. What belongs to an account is loaded where the account is at home; groups, the
firm, profiles, instruments and tokens are loaded everywhere.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from ext import queries
from ext.audience import MOVING
from ext.clock import utc_now_ns
from gateway.limit_types import AccountLimits, Limits
from gateway.moving import Moves
from gateway.settings import SettingError, Settings
from gateway.tasks import end_tasks
from gateway.topology import MOST_ADDRESS, Directory, TopologyStore, keep_telling, open_store


def limits_at_home(limits: Limits, is_home: Callable[[str], bool]) -> Limits:
    """The limits with the accounts at home alone, and what belongs to them; every index counts those accounts."""
    places = {at: account for at, account in enumerate(limits.accounts) if is_home(account.id)}
    index = {at: new for new, at in enumerate(places)}
    return msgspec.structs.replace(
        limits,
        accounts=tuple(places.values()),
        positions=tuple(moved(row, index) for row in limits.positions if row.account_index in index),
        locates=tuple(moved(row, index) for row in limits.locates if row.account_index in index),
        tokens=tuple(
            msgspec.structs.replace(
                token, account_indexes=tuple(index[at] for at in token.account_indexes if at in index)
            )
            for token in limits.tokens
        ),
    )


def moved(row: Any, index: dict[int, int]) -> Any:
    return msgspec.structs.replace(row, account_index=index[row.account_index])


class Elsewhere:
    """What ext.audience asks about an account that is not here: the address of its shard, when its token may know.

    limits: of all accounts; ports: the port of each token's SHA-256 in hex.
    """

    def __init__(self, limits: Limits, directory: Directory, shard: int, ports: dict[str, int]) -> None:
        self.directory = directory
        self.shard = shard
        self.index = {account.id: at for at, account in enumerate(limits.accounts)}
        self.here: set[str] = set()  # may be traded here: at home, with everything that is theirs
        self.moving: set[str] = set()
        self.allowed: dict[int, bytearray] = {}
        for token in limits.tokens:
            bits = self.allowed[ports[token.token_sha256]] = bytearray(len(limits.accounts) // 8 + 1)
            for at in token.account_indexes:
                bits[at >> 3] |= 1 << (at & 7)

    def __call__(self, port: int, account: bytes) -> bytes | None:
        """host:port of the account's shard, empty when it is not known now; None: nothing that this token may know
        of."""
        name = account.decode("utf-8", "replace")
        at, bits = self.index.get(name), self.allowed.get(port)
        if at is None or bits is None or not bits[at >> 3] >> (at & 7) & 1:
            return None
        topology = self.directory.topology
        home = topology.home_of(name)
        if name in self.moving or (home == self.shard and name not in self.here):
            return bytes(MOVING)
        return None if home == self.shard else topology.shards[home].address.encode()[:MOST_ADDRESS]

    def ports_of(self, account: str) -> list[int]:
        """The ports whose tokens may trade the account."""
        at = self.index[account]
        return [port for port, bits in self.allowed.items() if bits[at >> 3] >> (at & 7) & 1]


class Place:
    """A shard among others: its accounts at the start, its redirects from then on."""

    def __init__(self, settings: Settings, store: TopologyStore, directory: Directory) -> None:
        self.settings = settings
        self.shard = settings.shard
        self.store = store
        self.directory = directory
        self.tasks: list[asyncio.Task[None]] = []
        self.elsewhere: Any = None
        self.moves: Moves | None = None
        self.sessions: Any = None  # the OrderEntry whose sessions are told when an account leaves

    def is_home(self, account: str) -> bool:
        return self.directory.topology.home_of(account) == self.shard

    def attach(self, engine: Any, limits: Limits, profiles: dict[AccountLimits, int]) -> None:
        """From here on the engine knows where the others live. limits: of all accounts; profiles: the engine's."""
        digests = [token.token_sha256 for token in limits.tokens]
        ports = {digest: queries.port_of(engine, bytes.fromhex(digest)) for digest in digests}
        self.elsewhere = Elsewhere(limits, self.directory, self.shard, ports)
        self.elsewhere.here = {account.id for account in limits.accounts if self.is_home(account.id)}
        engine.audience.elsewhere = self.elsewhere
        self.moves = Moves(self, engine, limits, profiles)
        self.moves.look_over()

    async def start(self, port: int, control_port: int | None, health: Callable[[], dict[str, Any]]) -> None:
        """Tell everybody that the shard is served here, and what it says of itself, until stop()."""
        host = self.settings.advertise or self.settings.host
        address = f"{host}:{port}"
        control_address = f"{host}:{control_port}" if control_port else ""

        async def tell() -> None:
            await self.store.publish(self.shard, address, control_address)
            told = {"time_ns": utc_now_ns(), "trade_date": self.settings.trade_date}
            if self.moves is not None:
                told["limits_sha256"] = self.moves.limits.sha256
            await self.store.tell_health(self.shard, health() | told)

        self.tasks = [
            asyncio.create_task(self.directory.follow()),
            asyncio.create_task(keep_telling(tell)),
        ]
        if self.moves is not None:
            self.tasks.append(asyncio.create_task(self.moves.run()))

    async def stop(self) -> None:
        await end_tasks(self.tasks)
        await self.store.close()


async def take_place(settings: Settings, log: Any) -> Place | None:
    """This shard's place in the cluster; None without Redis. Raises SettingError when flags and cluster do not fit."""
    if not settings.redis:
        if settings.shards > 1:
            raise SettingError(f"--shards: got {settings.shards} and no --redis, expected both for more than one shard")
        return None
    host = settings.advertise or settings.host
    if len(host) > MOST_ADDRESS - 6:
        raise SettingError(f"--advertise: got {len(host)} characters, expected at most {MOST_ADDRESS - 6}")
    store, topology = await open_store(settings.redis, settings.cluster, settings.shard, settings.shards)
    return Place(settings, store, Directory(store, topology, utc_now_ns, log))
