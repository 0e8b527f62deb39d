"""The tables of a cluster in a real Redis, the copy that follows them, and what of the limits file belongs to one
shard."""

import asyncio
import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import RedisError

from gateway.homes import Elsewhere, limits_at_home
from gateway.limits import load_limits
from gateway.settings import SettingError
from gateway.topology import SLOTS, Directory, ShardRecord, Topology, TopologyStore, open_store, slot_of
from tests.redis_server import RedisServer
from tests.system.limits import limits_of
from tests.system.shards import AT_0, AT_1

yaml = pytest.importorskip("yaml")
SYMBOLS = {"XSHG": ["600000", "600001"], "XSHE": ["000001"]}


class Log:
    """Keeps the names of what was logged."""

    def __init__(self):
        self.events = []

    def warning(self, event, **fields):
        self.events.append(event)

    info = warning


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis") / "data") as running:
        yield running


@pytest.fixture
def store(redis, request):
    """A cluster of its own for each test."""
    return TopologyStore(redis.url, request.node.name)


@pytest.fixture(scope="module")
def limits(tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / "limits.yaml"
    path.write_text(yaml.safe_dump(limits_of(SYMBOLS), sort_keys=False))
    return load_limits(path)


def spread(shards, homes=None, addresses=None):
    records = tuple(ShardRecord(at, address=(addresses or {}).get(at, f"h{at}:1")) for at in range(shards))
    return Topology(1, tuple(slot % shards for slot in range(SLOTS)), homes or {}, records)


# --- slots ---


def test_the_slot_of_an_account_never_changes():
    """Other clients and other years compute the same: CRC-32 as zlib has it, of UTF-8, modulo 1,024."""
    slots = {name: slot_of(name) for name in ("A1", "L0004", "123456789")}
    assert slots == {"A1": 129, "L0004": 290, "123456789": 0xCBF43926 % 1024}  # CRC-32's own check value
    assert {slot_of(name) % 2 for name in AT_0} == {0}
    assert {slot_of(name) % 2 for name in AT_1} == {1}


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_accounts_spread_evenly(shards):
    topology = spread(shards)
    counted = collections.Counter(topology.home_of(f"{number:010d}") for number in range(30_000))
    assert max(counted.values()) < 1.1 * min(counted.values())


@given(account=st.text(min_size=1, max_size=16), home=st.integers(0, 3))
def test_a_home_of_its_own_wins_over_the_slot(account, home):
    assert spread(4).home_of(account) == slot_of(account) % 4
    assert spread(4, {account: home}).home_of(account) == home


# --- Redis ---


def test_the_table_is_made_once(store):
    async def play():
        assert await store.make(3) == 3
        first = await store.read()
        assert await store.make(5) == 3
        assert (first.version, len(first.table), set(first.table), first.homes) == (1, SLOTS, {0, 1, 2}, {})
        assert [record.address for record in first.shards] == ["", "", ""]
        await store.publish(2, "h:7", "h:8")
        second = await store.read(first)
        assert second.shards[2] == ShardRecord(2, address="h:7", control_address="h:8")
        assert second.table is first.table
        await store.close()

    asyncio.run(play())


def test_a_home_changes_hands_only_from_where_it_is(store):
    async def play():
        await store.make(2)
        account = AT_0[0]
        assert not await store.rehome(account, 0, 1, 0)
        known = await store.read()
        assert await store.rehome(account, 0, 0, 1)
        assert not await store.rehome(account, 0, 0, 1)
        moved = await store.read(known)
        assert (moved.home_of(account), moved.version) == (1, known.version + 1)
        assert await store.rehome(account, 0, 1, 0)
        assert (await store.read(moved)).home_of(account) == 0
        await store.close()

    asyncio.run(play())


def test_what_a_shard_says_of_itself_is_forgotten_when_it_falls_silent(store):
    async def play():
        await store.tell_health(1, {"time_ns": 5})
        assert await store.healths(2) == [{}, {"time_ns": 5}]
        assert 0 < await store.redis.pttl(store.health_key(1)) <= 3000
        await store.close()

    asyncio.run(play())


def test_the_ownership_record_is_read_whole(store):
    async def play():
        await store.make(1)
        fields = {"owner": "n1", "epoch": "7", "address": "a:1", "standby": "n2", "standby_address": "b:2"}
        await store.redis.hset(store.shard_key(0), mapping=fields | {"something_new": "x"})
        (record,) = (await store.read()).shards
        assert record == ShardRecord(0, "n1", 7, "a:1", "", "n2", "b:2")
        await store.close()

    asyncio.run(play())


def test_the_copy_outlives_redis_and_says_how_old_it_is(tmp_path):
    log, clock = Log(), iter(range(100, 10_000))

    async def play(redis):
        store = TopologyStore(redis.url, "t")
        await store.make(2)
        await store.publish(0, "h:1", "")
        directory = Directory(store, await store.read(), lambda: next(clock), log)
        first = await directory.picture()
        assert (first["is_stale"], first["shards"][0]["address"], len(first["slots"])) == (False, "h:1", SLOTS)
        redis.kill()
        second, third = await directory.picture(), await directory.picture()
        assert second["is_stale"]
        assert second["as_of_ns"] == third["as_of_ns"] == first["as_of_ns"]
        assert second["shards"][0]["address"] == "h:1"
        assert log.events == ["topology_away"]
        redis.wipe()
        redis.start()
        assert (await directory.picture())["is_stale"]  # it came back empty: what was known stays
        await store.make(2)
        await store.publish(0, "h:2", "")
        assert (await directory.picture())["shards"][0]["address"] == "h:2"
        assert log.events == ["topology_away", "topology_back"]
        await store.close()

    with RedisServer(tmp_path / "redis") as redis:
        asyncio.run(play(redis))


@pytest.mark.parametrize(
    ("shard", "shards", "expected"),
    [(0, 3, "--shards: got 3, expected 2"), (2, 2, "--shard: got 2, expected 0 to 1")],
)
def test_flags_against_the_cluster(redis, shard, shards, expected):
    async def play():
        store, topology = await open_store(redis.url, "flags", 0, 2)
        assert len(topology.shards) == 2
        await store.close()
        with pytest.raises(SettingError, match=expected):
            await open_store(redis.url, "flags", shard, shards)

    asyncio.run(play())


def test_a_spoilt_table_is_refused(redis):
    async def play():
        store = TopologyStore(redis.url, "spoilt")
        await store.redis.hset(store.slots_key, mapping={"version": 1, "shards": 2, "table": "[0,1,2]"})
        with pytest.raises(SettingError, match="is no table of 1024 slots"):
            await open_store(redis.url, "spoilt", 0, 2)
        await store.redis.delete(store.slots_key)
        with pytest.raises(RedisError, match="is gone"):
            await store.read()
        await store.close()

    asyncio.run(play())


# --- what belongs to a shard ---


def test_every_account_is_loaded_at_one_shard_with_all_that_is_its_own(limits):
    topology = spread(3)
    parts = [limits_at_home(limits, lambda name, at=at: topology.home_of(name) == at) for at in range(3)]
    assert sorted(account.id for part in parts for account in part.accounts) == sorted(
        account.id for account in limits.accounts
    )

    def holdings(part):
        return sorted((part.accounts[row.account_index].id, row.symbol, row.total_shares) for row in part.positions)

    assert sorted(row for part in parts for row in holdings(part)) == holdings(limits)
    for at, part in enumerate(parts):
        assert (part.groups, part.firm, part.rule_set) == (limits.groups, limits.firm, limits.rule_set)
        assert [token.token_sha256 for token in part.tokens] == [token.token_sha256 for token in limits.tokens]
        for token, whole in zip(part.tokens, limits.tokens, strict=True):
            ours = [limits.accounts[index].id for index in whole.account_indexes]
            expected = [name for name in ours if topology.home_of(name) == at]
            assert [part.accounts[index].id for index in token.account_indexes] == expected


def test_a_token_is_told_of_its_own_accounts_alone(limits):
    ports = {token.token_sha256: port for port, token in enumerate(limits.tokens)}
    directory = Directory(None, spread(2, addresses={1: ""}), lambda: 0, Log())
    names = ["alpha", "beta", "slow", "latch", "narrow", "load"]
    elsewhere = Elsewhere(limits, directory, 0, ports)
    assert elsewhere(names.index("load"), AT_1[0].encode()) == b""
    directory.known = spread(2)
    assert elsewhere(names.index("load"), AT_1[0].encode()) == b"h1:1"
    assert elsewhere(names.index("load"), AT_0[0].encode()) is None  # at home: whoever asks may not trade it
    assert elsewhere(names.index("beta"), AT_1[0].encode()) is None
    assert elsewhere(names.index("load"), b"NOBODY") is None
    assert elsewhere(names.index("load"), b"\xff\xfe") is None
    assert elsewhere(99, AT_1[0].encode()) is None
