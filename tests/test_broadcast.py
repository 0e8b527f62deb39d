"""Commands for every shard: what each makes of them, with a real Redis and shards that are stand-ins.

A shard takes commands when the test says so: what it does in between, it does as one that cannot reach Redis.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.broadcast import Broadcast, KeptFile, MovedError
from gateway.broadcast_apply import Applier, Cluster
from gateway.control_file import APPROVER, OFFICER, ControlFile, Person
from gateway.desk import Desk
from gateway.engine_link import ControlError, EngineLink
from gateway.log import logger
from gateway.pb import control_pb2 as api
from gateway.redis_link import connect
from gateway.rule_compiler import Compiler
from gateway.rule_store import RuleStore
from tests.control_standin import StandIn, joined
from tests.redis_server import RedisServer
from tests.system.officers import rules_of

DAY = 20261123
PEOPLE = ControlFile(
    people=(
        Person("olga", frozenset({OFFICER})),
        Person("anna", frozenset({APPROVER})),
        Person("both", frozenset({OFFICER, APPROVER})),
    ),
    proposal_ttl_min=30,
)
G1 = ("group", "G1")


class Node:
    """One node of a shard: its folder, its stand-in engine, a clock that only the test moves."""

    def __init__(self, server: RedisServer, folder: Path, shard: int, shared: StandIn | None = None) -> None:
        self.server, self.folder, self.shard_number, self.shared = server, folder, shard, shared
        self.now_ns = 1_000

    async def open(self) -> "Node":
        """As its control process starts, before it has looked at Redis."""
        self.folder.mkdir(exist_ok=True)
        link = EngineLink(lambda first, alerts: None)
        self.shard = await joined(link)
        if self.shared is not None:
            self.shard.killed, self.shard.rule_sets = self.shared.killed, self.shared.rule_sets
        self.shared = self.shard
        self.desk = Desk(RuleStore(self.folder / "rules"), link, Compiler(DAY), DAY, 30, lambda: self.now_ns)
        self.file = KeptFile(self.folder / "cluster.json")
        self.applier = Applier(self.shard_number, link, self.desk, PEOPLE, self.file)
        number, log = self.shard_number, logger("tests")
        self.broadcast = Broadcast(self.server.url, "t", number, self.file, self.applier.apply, log)
        self.desk.cluster = Cluster(self.broadcast, self.applier)
        return self

    async def start(self) -> "Node":
        await self.open()
        await self.broadcast.catch_up()
        assert self.broadcast.is_up
        return self

    async def take(self) -> None:
        """Whatever is in the stream by now."""
        client = connect(self.server.url)
        await self.broadcast.join(client)
        await self.broadcast.take_missed(client)
        await client.aclose()

    async def kill(self, *, all_shards: bool = True) -> list[tuple[int, str]]:
        if not all_shards:
            self.file.note_kill(*G1, self.now_ns)
            self.shard.killed.add(G1)
            return []
        return await self.answers(await self.desk.cluster.kill(*G1, "olga", "stop"))

    async def unkill(self) -> list[tuple[int, str]]:
        waiting = await self.desk.unkill("olga", api.GROUP, "G1", "go on", all_shards=True)
        done = await self.desk.approve("anna", waiting.id, "")
        return await self.answers(self.desk.pressed.pop(done.id))

    async def answers(self, pressed) -> list[tuple[int, str]]:
        rows, self.took_us = await self.desk.cluster.answers(pressed, 1)
        return [(row.shard, row.state) for row in rows]

    @property
    def is_killed(self) -> bool:
        return G1 in self.shard.killed

    def in_force(self) -> str:
        return self.shard.rule_sets[-1]["sha256"] if self.shard.rule_sets else ""


@pytest.fixture
def run(tmp_path: Path):
    """run(test): a coroutine function, told the server and a function that makes nodes."""

    def run_it(test: Callable[..., Awaitable[None]]) -> None:
        with RedisServer(tmp_path / "redis") as server:

            def node(shard: int, name: str = "", shared: StandIn | None = None) -> Node:
                return Node(server, tmp_path / (name or f"shard-{shard}"), shard, shared)

            asyncio.run(test(server, node))

    return run_it


def test_each_takes_what_the_others_were_told(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        assert await one.kill() == [(1, "confirmed"), (2, "not_answered")]
        assert (one.is_killed, two.is_killed) == (True, False)
        await two.take()
        assert two.is_killed
        assert server.client().hlen(f"tidegate:t:confirmations:{two.file.kept.cursor}") == 2
        await one.take()
        two.now_ns = one.now_ns = 2_000
        assert await two.unkill() == [(1, "not_answered"), (2, "confirmed")]
        await one.take()
        assert not one.is_killed
        assert one.file.kept.cursor == server.client().xrevrange("tidegate:t:commands", count=1)[0][0].decode()

    run(test)


def test_a_kill_that_is_told_late_is_not_undone_by_what_is_told_before_it(run):
    """One kills; the stream has another's unkill before that kill: all end killed, the one that pressed too."""

    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await two.kill()
        await one.take()
        two.now_ns = 3_000
        await two.unkill()
        one.now_ns = 2_000
        await one.kill()
        await one.take()
        await two.take()
        assert (one.is_killed, two.is_killed) == (True, True)

    run(test)


def test_no_unkill_undoes_a_later_kill(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await one.kill()
        await two.take()
        one.now_ns = 2_000
        await one.unkill()
        two.now_ns = 3_000
        await two.kill(all_shards=False)
        await two.take()
        assert (one.is_killed, two.is_killed) == (False, True)

    run(test)


def test_another_node_of_the_shard_goes_on_where_the_first_was(run):
    """It lifts nothing that it missed, as it cannot know what was killed here meanwhile; kills it takes."""

    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await one.kill()
        await two.take()
        await two.kill(all_shards=False)
        one.now_ns = 2_000
        await one.unkill()
        other = await node(2, "standby", two.shard).start()
        assert other.is_killed
        await one.kill()
        await other.take()
        one.now_ns = 3_000
        await one.unkill()
        await other.take()
        assert not other.is_killed, "what comes from now on is taken as ever"
        again = await node(2, "shard-2", other.shard).start()
        assert again.file.kept.cursor == other.file.kept.cursor

    run(test)


def test_a_new_shard_ends_where_the_others_are(run):
    async def test(server, node):
        one = await node(1).start()
        await one.kill()
        one.now_ns = 2_000
        await one.unkill()
        first = await node(2).start()
        one.now_ns = 3_000
        await one.kill()
        second = await node(3).start()
        assert (first.is_killed, second.is_killed) == (False, True)

    run(test)


def test_an_unkill_needs_two_people_of_each_shards_own_file(run):
    async def test(server, node):
        one = await node(1).start()
        await one.kill()
        for by, approved_by, text in (
            ("olga", "olga", "olga may not Approve"),
            ("both", "both", "both alone"),
            ("eve", "anna", "eve may not Unkill"),
            ("olga", "", "nobody may not Approve"),
        ):
            who = {"scope": "group", "id": "G1", "by": by, "approved_by": approved_by, "reason": "x"}
            press = one.broadcast.press(kind="unkill", time_ns=9_000, **who)
            answer = await one.applier.apply(press.command)
            assert (answer.state, text in answer.reason) == ("refused", True), answer
        assert one.is_killed
        answer = await one.applier.apply(one.broadcast.press(kind="dance", time_ns=1, by="a", reason="b").command)
        assert "newer build" in answer.reason

    run(test)


def test_two_rule_sets_for_all_never_come_at_once(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await one.desk.push("olga", rules_of(300_000), "first", all_shards=True)
        with pytest.raises(ControlError, match="came in meanwhile"):
            await two.desk.push("olga", rules_of(200_000), "at the same time", all_shards=True)
        assert two.in_force() == ""
        await two.take()
        assert two.in_force() == one.in_force()
        done = await two.desk.push("olga", rules_of(200_000), "after it", all_shards=True)
        await one.take()
        assert one.in_force() == two.in_force() == done.sha256
        assert [entry.step for entry in one.desk.store.entries][-1] == "in_force"
        assert (await one.desk.diff(rules_of(100_000))).base_sha256 == done.sha256

    run(test)


def test_rules_that_loosen_what_is_elsewhere_need_a_comparison_with_it(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await two.desk.push("olga", rules_of(100_000), "two's own")
        await one.desk.push("olga", rules_of(300_000), "for all", all_shards=True)
        await one.take()
        await two.take()
        assert len(two.shard.rule_sets) == 1
        waiting = await one.desk.push("olga", rules_of(400_000), "looser", all_shards=True)
        assert waiting.state == api.WAITING
        assert (await one.desk.approve("anna", waiting.id, "")).state == api.IN_FORCE
        await one.take()
        await two.take()
        assert len(two.shard.rule_sets) == 1
        tight = await one.desk.push("olga", rules_of(50_000), "tighter than both", all_shards=True)
        await two.take()
        assert two.in_force() == tight.sha256

    run(test)


def test_an_older_rule_set_does_not_replace_a_newer_one_of_the_shard(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await one.desk.push("olga", rules_of(100_000), "for all", all_shards=True)
        two.now_ns = 2_000
        own = await two.desk.push("olga", rules_of(200_000), "two's own, later")
        await two.take()
        assert two.in_force() == own.sha256

    run(test)


def test_a_redis_that_lost_its_end_gets_it_back_in_order(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        old = server.copied()
        await one.kill()
        await one.take()
        one.now_ns = 2_000
        await one.unkill()
        await one.take()
        had = server.client().xrange("tidegate:t:commands")
        server.kill()
        server.put_back(old)
        server.start()
        assert server.client().xlen("tidegate:t:commands") == 0
        await one.take()
        assert server.client().xrange("tidegate:t:commands") == had
        await two.take()
        assert not two.is_killed
        assert [step["step"] for step in two.shard.steps] == []
        server.kill()
        server.wipe()
        server.start()
        await two.take()
        assert server.client().xrange("tidegate:t:commands") == had
        assert server.client().smembers("tidegate:t:shards") == {b"2"}
        await one.take()
        assert await one.kill() == [(1, "confirmed"), (2, "not_answered")]

    run(test)


def test_without_redis_only_here(run):
    async def test(server, node):
        one = await node(1).start()
        await node(2).start()
        await one.take()
        server.kill()
        assert await one.kill() == [(1, "confirmed"), (2, "not_told")]
        assert (one.is_killed, one.took_us) == (True, 0)
        done = await one.desk.push("olga", rules_of(300_000), "alone", all_shards=True)
        assert await one.answers(one.desk.pressed.pop(done.id)) == [(1, "confirmed"), (2, "not_told")]

    run(test)


def test_a_command_that_the_shard_cannot_take_is_tried_again(run):
    async def test(server, node):
        one, two = await node(1).start(), await node(2).start()
        await one.kill()
        two.shard.refusing["switch_kill"] = "the journal is full"
        with pytest.raises(ControlError, match="journal is full"):
            await two.take()
        two.shard.refusing.clear()
        await two.take()
        assert two.is_killed

    run(test)


def test_what_is_in_the_way(run, tmp_path):
    async def test(server, node):
        one = await node(1).start()
        server.client().xadd("tidegate:t:commands", {"command": b"no command"})
        with pytest.raises(MovedError):
            await one.broadcast.tell(one.broadcast.press(kind="rules", time_ns=1, by="a", reason="b"), next_only=True)
        await one.take()
        assert one.broadcast.taken == 0
        (tmp_path / "other.json").write_text("{]")
        with pytest.raises(ValueError, match=r"other\.json"):
            KeptFile(tmp_path / "other.json")
        alone = Desk(one.desk.store, one.desk.engine, one.desk.compiler, DAY, 30, lambda: 1)
        with pytest.raises(ControlError, match="no cluster"):
            await alone.push("olga", rules_of(), "x", all_shards=True)

    run(test)
