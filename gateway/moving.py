"""Accounts from shard to shard while both trade: this shard's part, as source and as target.

Redis says where an account lives, and one step there moves it: the change of its home. Before that step the source is
its only owner, after it the target is, whatever crashes:

1. Source: no new order is taken (R1611), open orders are cancelled, and the exchange has answered for each.
2. Source: the account's day, as a parcel, into Redis. A crash so far changes nothing: its home is the source.
3. Source: its home becomes the target, if it was the source. From here on it is the target's.
4. Source: journals that the account left, and tells its sessions (R1610). A source that crashed before finds at its
start that the home is elsewhere, and does it then. 5. Target: sees a home of its own that it does not have, loads it as
the day began, and journals the parcel as one event. Until then it takes no order (R1611). A target that crashed before
finds the parcel at its start.

An account that left does not come back on the same day: the row it had is used.
"""

import asyncio
from typing import Any, Protocol

import msgspec
from redis.exceptions import RedisError

from ext import moves, queries, sweeps
from ext.clock import utc_now_ns
from gateway.limit_types import AccountLimits, Limits
from gateway.loading import load_one
from gateway.log import logger
from gateway.topology import Wish

LOOK_S = 0.05  # between two looks for moves that are asked for, and for accounts that come
QUIET_S = 10.0  # for open orders to be cancelled
QUIET_LOOK_S = 0.01
NO_PORT = 0xFFFFFFFF
NOBODY = 0xFFFFFFFF


class MoveError(Exception):
    """The account stays where it is; the text says why."""


class Parcel(msgspec.Struct):
    """An account's day; see ext/moves.parcel."""

    source: int
    frames: list[bytes]
    holds: dict[str, Any]
    ports: dict[int, str]
    strategies: dict[int, str]
    by: str
    been: list[int]  # the shards where the account was today


class Seat(Protocol):
    """What gateway.homes.Place gives."""

    settings: Any
    shard: int
    store: Any
    directory: Any
    elsewhere: Any
    sessions: Any


class Moves:
    """limits: of all accounts; profiles: the engine's."""

    def __init__(self, place: Seat, engine: Any, limits: Limits, profiles: dict[AccountLimits, int]) -> None:
        self.place = place
        self.engine = engine
        self.limits = limits
        self.profiles = profiles
        self.log = logger("moves")
        self.version = 0  # of the topology that was last looked at for accounts that come

    def look_over(self) -> None:
        """At the start: what left while this shard was away has left; what came, or may have, is not traded before it
        is here."""
        topology, here = self.place.directory.topology, self.place.elsewhere.here
        for name, home in topology.homes.items():
            index = queries.account_index(self.engine, name)
            if index is None:
                continue
            if home != self.place.shard and not moves.has_left(self.engine, index):
                moves.leave(self.engine, index, home, "start", utc_now_ns())
                self.log.info("account_left", account=name, target=home)
            if home == self.place.shard:
                here.discard(name)
                self.engine.audience.allow_one(index, ())

    async def run(self) -> None:
        """For as long as the shard lives."""
        while True:
            try:
                wish = await self.place.store.next_move(self.place.shard)
                if wish is not None:
                    await self.send(wish)
                await self.receive_all()
            except (RedisError, OSError, msgspec.MsgspecError) as error:
                self.log.debug("moves_wait", reason=str(error))
            await asyncio.sleep(LOOK_S)

    # Source

    async def send(self, wish: Wish) -> None:
        """One account away, or why not; whoever asked reads it in Redis."""
        store, audience = self.place.store, self.engine.audience
        try:
            index, been = self.checked(wish), await self.been(wish)
            await self.check_target(wish)
            await store.tell_move(wish.account, "LEAVING", "")
            self.place.elsewhere.moving.add(wish.account)
            audience.moving = index
            await self.quieten(index)
            await self.commit(wish, moves.parcel(self.engine, index) | {"by": wish.by, "been": been})
        except (MoveError, ValueError) as error:
            self.calm(wish)
            self.log.warning("move_failed", account=wish.account, target=wish.target, reason=str(error))
            await store.tell_move(wish.account, "FAILED", str(error))
        else:
            moves.leave(self.engine, index, wish.target, wish.by, utc_now_ns())
            await self.place.directory.refresh()
            self.tell_sessions(wish.account, index)
            self.calm(wish)
            self.log.info("account_left", account=wish.account, target=wish.target, by=wish.by)
            await store.tell_move(wish.account, "MOVED", "")

    def calm(self, wish: Wish) -> None:
        """The outcome is known. Until then, and for ever when it never is, the account is not traded here."""
        self.engine.audience.moving = NOBODY
        self.place.elsewhere.moving.discard(wish.account)

    def checked(self, wish: Wish) -> int:
        """The account's index, when it may go there."""
        topology = self.place.directory.topology
        index: int | None = queries.account_index(self.engine, wish.account)
        if index is None or wish.account not in self.place.elsewhere.here:
            raise MoveError(f"{wish.account} is not at shard {self.place.shard}")
        if not 0 <= wish.target < len(topology.shards) or wish.target == self.place.shard:
            raise MoveError(f"to: got {wish.target}, expected another shard, 0 to {len(topology.shards) - 1}")
        in_the_way = moves.obstacle(self.engine, index)
        if in_the_way:
            raise MoveError(f"{wish.account} cannot move: {in_the_way}")
        return index

    async def been(self, wish: Wish) -> list[int]:
        """Where the account was today, here included; the target must not be among them: the row it had there is
        used."""
        text = await self.place.store.parcel(self.place.settings.trade_date, wish.account)
        been = [*(msgspec.json.decode(text, type=Parcel).been if text else ()), self.place.shard]
        if wish.target in been:
            text = f"{wish.account} was at shard {wish.target} today"
            raise MoveError(f"{text}, and goes back there tomorrow at the earliest")
        return been

    async def check_target(self, wish: Wish) -> None:
        """It lives, in the same day, on the same limits."""
        healths = await self.place.store.healths(wish.target + 1)
        if not healths[wish.target]:
            raise MoveError(f"shard {wish.target} is silent")
        ours = {"trade_date": self.place.settings.trade_date, "limits_sha256": self.limits.sha256}
        for name, value in ours.items():
            if healths[wish.target].get(name) != value:
                there = healths[wish.target].get(name)
                raise MoveError(f"shard {wish.target} has {name} {there}, expected {value} as here")

    async def quieten(self, index: int) -> None:
        """Every order of it is over, and the exchange has said everything."""
        deadline_ns = utc_now_ns() + int(QUIET_S * 1e9)
        sweeps.mass_cancel(self.engine, NO_PORT, index, utc_now_ns())
        while not moves.is_quiet(self.engine, index):
            if utc_now_ns() > deadline_ns:
                raise MoveError(f"its orders were not over after {QUIET_S:g} s; their cancels stay")
            await asyncio.sleep(QUIET_LOOK_S)

    async def commit(self, wish: Wish, parcel: dict[str, Any]) -> None:
        """The parcel, then the one step that moves it. Redis gone in that step: asked until it answers, and nothing
        else."""
        store = self.place.store
        try:
            await store.put_parcel(self.place.settings.trade_date, wish.account, msgspec.json.encode(parcel))
        except (RedisError, OSError) as error:
            raise MoveError(f"Redis did not take the parcel: {error}") from None
        home = self.place.directory.topology.slot_home(wish.account)
        while True:
            try:
                moved = await store.rehome(wish.account, home, self.place.shard, wish.target)
                found = await store.home_of(wish.account, home)
                break
            except (RedisError, OSError) as error:
                self.log.warning("move_waits", account=wish.account, reason=str(error))
                await asyncio.sleep(LOOK_S)
        if not moved and found != wish.target:
            raise MoveError(f"{wish.account} lives at shard {found} meanwhile")

    def tell_sessions(self, name: str, index: int) -> None:
        """Whoever traded or watched it here is told where it is."""
        self.place.elsewhere.here.discard(name)
        self.engine.audience.allow_one(index, ())
        address = self.place.directory.topology.address_of(name)
        for session in self.engine.audience.forget(index):
            self.place.sessions.send_away(session, name, address)

    # Target

    async def receive_all(self) -> None:
        """Every account whose home this shard has become."""
        topology = self.place.directory.topology
        if topology.version == self.version:
            return
        waiting = [
            name
            for name, home in topology.homes.items()
            if home == self.place.shard and name not in self.place.elsewhere.here and name in self.place.elsewhere.index
        ]
        missed = [name for name in waiting if not await self.receive(name)]
        if not missed:
            self.version = topology.version

    async def receive(self, name: str) -> bool:
        """Take one account in, whatever of it was done before; whether it is here now."""
        text = await self.place.store.parcel(self.place.settings.trade_date, name)
        parcel = msgspec.json.decode(text, type=Parcel) if text else None
        index = queries.account_index(self.engine, name)
        try:
            if index is None:
                index = load_one(self.engine, self.limits_of(name), self.profiles, utc_now_ns())
            if parcel is not None and queries.event_seq(self.engine, index) < parcel.holds["event_seq"]:
                moves.come(self.engine, index, msgspec.structs.asdict(parcel), parcel.by, utc_now_ns())
                self.compare(name, moves.holds(self.engine, index), parcel.holds)
            if moves.has_left(self.engine, index):
                raise MoveError("it left this shard today, and does not come back before tomorrow")
        except (MoveError, ValueError, OSError) as error:
            self.log.error("account_not_taken", account=name, reason=str(error))
            return True  # another look would find the same
        self.place.elsewhere.here.add(name)
        self.engine.audience.allow_one(index, self.place.elsewhere.ports_of(name))
        await self.place.store.tell_move(name, "CAME", "")
        self.log.info("account_came", account=name, source=parcel.source if parcel else None)
        return True

    def compare(self, name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        """What it has here is what it had there."""
        differing = [key for key, value in theirs.items() if ours[key] != value]
        if differing:
            text = ", ".join(f"{key} {ours[key]}, there {theirs[key]}" for key in differing)
            raise MoveError(f"{name} is not what it was: {text}")

    def limits_of(self, name: str) -> Limits:
        from gateway.homes import limits_at_home

        return limits_at_home(self.limits, lambda account: account == name)
