"""Two real engines, one real Redis: shares grow when orders need them, go back, and outlast Redis."""
from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ext import quota, replay
from gateway.quota_link import QuotaError, QuotaLink
from gateway.quota_store import QuotaSettings
from tests import actions as act
from tests import probe
from tests.desk import TEN, Desk
from tests.model_state import BUY, LIMIT, P_CONTINUOUS, PASS, XSHG, NewOrder
from tests.pair import Pair
from tests.redis_server import RedisServer
from tests.seeded_life import START_NS

DAY = 20261123
YUAN = 10_000
FIRM, GROUP = 1_000_000 * YUAN, 400_000 * YUAN
GROSS, LONG = 0, 1
WAIT_S = 10.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.events.append(event)


class Node:
    """One shard: the model and the engine side by side, and what leases its shares."""

    def __init__(self, path: Path, url: str, shard: int, epoch: int = 1, version: int = 1) -> None:
        desk = Desk(now_ns=START_NS)
        desk.model.ports["p"] = desk.port
        desk.model.firm.limits.gross_limit = FIRM
        for group in desk.model.groups.values():
            group.limits.long_limit = GROUP
        for exchange in desk.model.venues:
            desk.model.set_phase(exchange, P_CONTINUOUS, START_NS)
        self.pair = Pair(desk.model, path)
        for (exchange, symbol), instrument in desk.model.instruments.items():
            self.pair.step(act.MarketQuote(START_NS, exchange, symbol, instrument.quote))
        self.engine, self.log, self.count = self.pair.driver.engine, Log(), 0
        self.link = QuotaLink(self.engine, QuotaSettings(url, "t", 2, shard, DAY), self.log, epoch=lambda: epoch)
        self.shares = quota.Shares(self.engine)

    def buy(self, yuan: int, account: str = "C") -> tuple[int, tuple[int, int, str] | None]:
        """An order of so much at ten yuan: its code and the numbers of its reject."""
        self.count += 1
        request = NewOrder(f"o{self.count}", account, "600000", XSHG, BUY, LIMIT, yuan * YUAN // TEN, TEN)
        found = self.pair.driver.apply(act.Submit(START_NS, "p", 0, request))
        return found.code, found.detail

    def leased(self, scope: int = quota.FIRM) -> int:
        return int(self.shares.leased(scope)[GROSS if scope == quota.FIRM else LONG])


@contextlib.asynccontextmanager
async def two(folder: Path, server: RedisServer) -> AsyncIterator[list[Node]]:
    """Both shards, started, their links running."""
    nodes = [Node(folder / f"journal-{shard}", server.url, shard) for shard in range(2)]
    for node in nodes:
        assert await node.link.start()
    tasks = [asyncio.create_task(node.link.run()) for node in nodes]
    try:
        yield nodes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in nodes:
            await node.link.stop()
            node.pair.driver.close()


async def until(holds: Any, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, f"not in {WAIT_S:g} s: {what}"
        await asyncio.sleep(0.01)


async def buy_soon(node: Node, yuan: int, account: str = "C") -> None:
    """An order that passes once the share has grown for it."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while node.buy(yuan, account)[0] != PASS:
        assert asyncio.get_running_loop().time() < deadline, (yuan, node.leased(), node.log.events)
        await asyncio.sleep(0.02)


def test_a_share_grows_for_the_order_it_refused(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        async with two(tmp_path, server) as (one, other):
            share = one.leased()
            assert 0 < share < FIRM // 2
            code, detail = one.buy(300_000)
            assert (code, detail) == (1612, (300_000 * YUAN, share, "firm"))
            await buy_soon(one, 300_000)
            assert one.leased() + other.leased() <= FIRM
            assert one.buy(250_000)[0] == 1612
            code, detail = one.buy(1_200_000)
            assert (code, detail) == (1303, (1_500_000 * YUAN, FIRM, "firm"))   # the limit itself
            await until(lambda: one.leased() >= 550_000 * YUAN, "the refused order is provided for")
            code, detail = one.buy(200_000, "A")
            assert (code, detail[2] if detail else "") == (1612, "group")
            await buy_soon(one, 200_000, "A")
            await buy_soon(other, 150_000, "A")
            assert one.leased(1) + other.leased(1) <= GROUP

    asyncio.run(story())


def test_an_idle_shard_gives_all_it_does_not_use(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        async with two(tmp_path, server) as (one, other):
            await buy_soon(other, 10_000)
            await buy_soon(one, 950_000)
            await buy_soon(one, 40_000)
            assert one.buy(1_000)[0] == 1612
            assert other.buy(1_000)[0] == 1612

    asyncio.run(story())


def test_the_journal_has_the_shares_and_recovery_finds_them(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        async with two(tmp_path, server) as (one, _):
            await buy_soon(one, 300_000)
            before = one.shares.leased(quota.FIRM), one.shares.leased(1)
            one.pair.driver.start(START_NS)
            again = quota.Shares(one.pair.driver.engine)
            assert (again.leased(quota.FIRM), again.leased(1)) == before
            rows = [fields for *_, name, _, fields in replay.frames(one.pair.driver.journal) if name == "QUOTA"]
            assert rows[0]["leased_e4"] == [0] * 6
            assert tuple(next(row for row in reversed(rows) if row["scope"] == 3)["leased_e4"]) == before[0]
            assert probe.frame_offsets(one.pair.driver.journal)[-1] == one.pair.driver.journal.end

    asyncio.run(story())


def test_redis_away_leaves_what_is_leased(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        async with two(tmp_path, server) as (one, other):
            await buy_soon(one, 300_000)
            left = one.leased() // YUAN - 300_000
            server.kill()
            await until(lambda: "quota_redis_away" in one.log.events, "said to be away")
            assert one.buy(left // 1_000 * 1_000)[0] == PASS
            assert one.buy(100_000)[0] == 1612
            await asyncio.sleep(0.3)
            assert one.log.events.count("quota_redis_away") == 1
            assert not one.link.figures().up
            server.wipe()                # it comes back and knows nothing
            server.start()
            await until(lambda: "quota_redis_back" in one.log.events, "said to be back")
            await until(lambda: one.link.plan.whole, "all have spoken")
            assert one.leased() + other.leased() <= FIRM
            await buy_soon(one, 100_000)

    asyncio.run(story())


def test_an_older_epoch_changes_nothing(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        newer = Node(tmp_path / "newer", server.url, 0, epoch=2)
        older = Node(tmp_path / "older", server.url, 0, epoch=1)
        assert await newer.link.start()
        share = newer.leased()
        assert not await older.link.start()
        assert older.link.plan.fenced
        assert "quota_fenced" in older.log.events
        assert (older.leased(), newer.leased()) == (0, share)
        for node in (newer, older):
            await node.link.stop()
            node.pair.driver.close()

    asyncio.run(story())


def test_a_shard_given_up_uses_nothing_more(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        async with two(tmp_path, server) as (one, other):
            with pytest.raises(QuotaError, match="this one serves"):
                await one.link.give_up(0, "ann", "bob")
            server.client().set("tidegate:t:lease:01", "x")
            with pytest.raises(QuotaError, match="has an owner"):
                await one.link.give_up(1, "ann", "bob")
            server.client().delete("tidegate:t:lease:01")
            assert await one.link.give_up(1, "ann", "bob") == {"scopes": 2}
            await until(lambda: other.leased() == 0, "its shares are void")
            assert other.buy(1_000)[0] == 1612
            await buy_soon(one, 900_000)

    asyncio.run(story())


def test_bad_shares_are_refused(tmp_path: Path, server: RedisServer) -> None:
    async def story() -> None:
        node = Node(tmp_path / "journal", server.url, 0)
        with pytest.raises(ValueError, match=r"long: got -1, expected a share of 0 or more"):
            node.shares.put_in_force(quota.FIRM, (0, -1, 0, 0, 0, 0), 1, START_NS)
        with pytest.raises(ValueError, match="scope 9: expected 0, the firm, to 1"):
            node.shares.used(9)
        await node.link.stop()
        node.pair.driver.close()

    asyncio.run(story())
