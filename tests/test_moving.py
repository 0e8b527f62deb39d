"""A move that crashes at any step: the account is always at exactly one of the two shards, whole, and the move can be
repeated."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from ext import moves, queries
from gateway.homes import Elsewhere
from gateway.moving import MoveError, Moves, Parcel
from gateway.topology import SLOTS, ShardRecord, Topology, Wish, slot_of
from tests.test_moves import SEEDS, life, movable

DATE = 20261123
STEPS_OF_A_MOVE = 12  # store calls of source and target, more than there are


class Crash(BaseException):
    """The process is gone."""


class Redis:
    """The store's calls on a dictionary; the crash_at-th call kills its caller, before or after it took effect."""

    def __init__(self, name, home):
        self.homes = {}
        self.parcels = {}
        self.states = []
        self.wishes = []
        self.calls = 0
        self.crash_at = 0
        self.is_after = False
        self.slot_homes = {name: home}

    async def do_call(self, effect):
        self.calls += 1
        is_now = self.calls == self.crash_at
        if is_now and not self.is_after:
            raise Crash
        found = effect()
        if is_now:
            raise Crash
        return found

    async def next_move(self, shard):
        return await self.do_call(lambda: self.wishes.pop() if self.wishes and shard == 0 else None)

    async def parcel(self, trade_date, account):
        return await self.do_call(lambda: self.parcels.get(account))

    async def put_parcel(self, trade_date, account, octets):
        await self.do_call(lambda: self.parcels.update({account: octets}))

    async def wake(self, wish):
        await self.do_call(lambda: None)

    async def healths(self, shards):
        return await self.do_call(lambda: [{"trade_date": DATE, "limits_sha256": ""}] * shards)

    async def tell_move(self, account, state, text):
        await self.do_call(lambda: self.states.append((state, text)))

    async def rehome(self, account, slot_home, source, target):
        def effect():
            if self.homes.get(account, slot_home) != source:
                return False
            self.homes[account] = target
            return True

        return await self.do_call(effect)

    async def home_of(self, account, slot_home):
        return await self.do_call(lambda: self.homes.get(account, slot_home))


class Shard:
    """One shard's part of a move around a driver's engine, with a start of its own."""

    def __init__(self, number, driver, redis):
        self.shard, self.driver, self.store = number, driver, redis
        self.settings = SimpleNamespace(trade_date=DATE)
        self.directory = self
        self.sessions = SimpleNamespace(send_away=lambda session, account, address: None)
        self.restart(is_first=True)

    @property
    def topology(self):
        """Every account is at home at shard 0, but for those that were moved."""
        records = tuple(ShardRecord(at, address=f"h{at}:1") for at in range(2))
        return Topology(1 + len(self.store.homes), (0,) * SLOTS, dict(self.store.homes), records)

    async def refresh(self):
        pass

    def restart(self, is_first=False):
        if not is_first:
            self.driver.start(self.driver.now_ns)
        engine, limits = self.driver.engine, self.driver.world.limits(self.driver.model)
        digests = [token.token_sha256 for token in limits.tokens]
        ports = {digest: queries.port_of(engine, bytes.fromhex(digest)) for digest in digests}
        self.elsewhere = Elsewhere(limits, self, self.shard, ports)
        homes = {account.id: self.topology.home_of(account.id) for account in limits.accounts}
        self.elsewhere.here = {name for name, home in homes.items() if home == self.shard}
        self.moves = Moves(self, engine, limits, {})
        self.moves.look_over()

    def has(self, name):
        return name in self.elsewhere.here and name not in self.elsewhere.moving

    async def turn(self):
        """One round of Moves.run."""
        wish = await self.store.next_move(self.shard)
        if wish is not None:
            await self.moves.send(wish)
        await self.moves.receive_all()


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """A life with an account that can move and has had several orders."""
    path = tmp_path_factory.mktemp("lives")
    for number in SEEDS:
        source, target = life(number, path)
        found = [(len(moves.parcel(source.engine, index)["frames"]), name) for name, index in movable(source)]
        source.close()
        target.close()
        if found and max(found)[0] > 3:
            return number, max(found)[1]
    raise AssertionError("no life has such an account")


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("crash_at", range(STEPS_OF_A_MOVE + 1))
@pytest.mark.parametrize("victim", [0, 1])
def test_a_crash_at_any_step(seed, tmp_path, crash_at, is_after, victim):
    number, name = seed
    drivers = life(number, tmp_path)
    for driver in drivers:
        driver.now_ns = 10**18
    redis = Redis(name, 0)
    shards = [Shard(at, driver, redis) for at, driver in enumerate(drivers)]
    index = drivers[0].world.accounts[name]
    before = moves.holds(drivers[0].engine, index)
    redis.crash_at, redis.is_after = crash_at, is_after
    redis.wishes.append(Wish(name, 1, "otto"))
    for round_ in range(6):
        for shard in shards:
            try:
                asyncio.run(shard.turn())
            except Crash:
                shard.restart()
                shards[victim].restart()  # the other one may go down with it
            owners = [one.has(name) for one in shards]
            assert sum(owners) <= 1, (round_, owners)
            home = shards[0].topology.home_of(name)
            assert not owners[1 - home], (round_, owners)
    home = shards[0].topology.home_of(name)
    assert [one.has(name) for one in shards] == [home == 0, home == 1]
    if home == 0:  # it crashed before the step that moves it: asked again, it goes
        redis.wishes.append(Wish(name, 1, "otto"))
        for shard in shards * 2:
            asyncio.run(shard.turn())
    assert [one.has(name) for one in shards] == [False, True]
    assert moves.holds(drivers[1].engine, drivers[1].world.accounts[name]) == before
    assert moves.holds(drivers[0].engine, index)["cash_e4"] == 0
    for driver in drivers:
        assert queries.check_invariants(driver.engine) == []
        driver.close()


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (Wish("nobody", 1, "o"), "nobody is not at shard 0"),
        (Wish("", 0, "o"), "to: got 0, expected another shard, 0 to 1"),
        (Wish("", 7, "o"), "to: got 7, expected another shard, 0 to 1"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(seed, tmp_path, wish, text):
    number, name = seed
    source, target = life(number, tmp_path)
    redis = Redis(name, 0)
    shard = Shard(0, source, redis)
    wish = msgspec.structs.replace(wish, account=wish.account or name)
    asyncio.run(shard.moves.send(wish))
    assert redis.states == [("FAILED", text)]
    assert shard.has(name)
    source.close()
    target.close()


def test_a_parcel_that_does_not_come_to_the_same_is_not_traded(seed, tmp_path):
    """Whatever went wrong on the way shows before anybody trades on it."""
    number, name = seed
    source, target = life(number, tmp_path)
    redis = Redis(name, 0)
    giving, taking = Shard(0, source, redis), Shard(1, target, redis)
    asyncio.run(giving.moves.send(Wish(name, 1, "otto")))
    parcel = msgspec.json.decode(redis.parcels[name], type=Parcel)
    parcel.holds["cash_e4"] += 1
    redis.parcels[name] = msgspec.json.encode(parcel)
    asyncio.run(taking.turn())
    assert not taking.has(name)
    assert not giving.has(name)
    with pytest.raises(MoveError, match="cash_e4"):
        taking.moves.compare(name, moves.holds(target.engine, target.world.accounts[name]), parcel.holds)
    assert slot_of(name) < SLOTS
    source.close()
    target.close()
