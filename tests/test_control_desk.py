"""The four-eyes desk: who may decide what, what happens to whom comes too late, and what a restart of it remembers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.desk import MOST_WAITING, NS_PER_MIN, Desk
from gateway.engine_link import ControlError, EngineLink
from gateway.pb import control_pb2 as api
from gateway.rule_compiler import Compiler
from gateway.rule_store import RuleStore
from tests.control_standin import StandIn, joined
from tests.system.officers import rules_of

DAY = 20261123


class World:
    """A desk, its stand-in shard, and a clock that only the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ns = 1_000_000_000

    async def open(self, shard: StandIn | None = None) -> "World":
        link = EngineLink(lambda first, alerts: None)
        self.shard = await joined(link)
        if shard is not None:
            self.shard.rule_sets, self.shard.killed = shard.rule_sets, shard.killed
        self.desk = Desk(RuleStore(self.folder), link, Compiler(DAY), DAY, 30, lambda: self.now_ns)
        return self

    def in_force(self) -> str:
        return self.shard.rule_sets[-1]["sha256"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """run(test): a coroutine function over a new world."""

    def run_it(test: Callable[[World], Awaitable[None]]) -> None:
        async def whole() -> None:
            await test(await World(tmp_path / "rules").open())

        asyncio.run(whole())

    return run_it


async def refused(status: str, call: Awaitable[object]) -> str:
    with pytest.raises(ControlError) as error:
        await call
    assert error.value.status == status, error.value.text
    return error.value.text


def test_what_tightens_needs_one_person(run):
    async def test(world):
        first = await world.desk.push("olga", rules_of(300_000), "first")
        assert (first.state, first.number, first.loosens) == (api.IN_FORCE, 1, False)
        second = await world.desk.push("olga", rules_of(200_000), "tighter")
        assert (second.state, second.number) == (api.IN_FORCE, 2)
        assert "tighter" in second.changes[0]
        assert world.in_force() == second.sha256
        assert [step["step"] for step in world.shard.steps] == ["pushed", "in_force"] * 2

    run(test)


def test_what_loosens_needs_another_person(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        assert (waiting.state, waiting.loosens) == (api.WAITING, True)
        assert len(world.shard.rule_sets) == 1
        assert "own" in await refused("PERMISSION_DENIED", world.desk.approve("olga", waiting.id, "me"))
        done = await world.desk.approve("anna", waiting.id, "fine")
        assert (done.state, done.by, done.decided_by, done.number) == (api.IN_FORCE, "olga", "anna", 2)
        assert world.shard.rule_sets[-1]["approved_by"] == "anna"
        text = await refused("FAILED_PRECONDITION", world.desk.approve("anna", waiting.id, "again"))
        assert "in_force by anna" in text

    run(test)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "shadow"},
        {"code": "breach: L1"},
        {"shares": 300_001},
    ],
)
def test_every_kind_of_loosening_waits(run, change):
    async def test(world):
        await world.desk.push("olga", rules_of(), "first")
        assert (await world.desk.push("olga", rules_of(**change), "looser")).state == api.WAITING

    run(test)


def test_a_rule_that_goes_is_a_loosening(run):
    async def test(world):
        two = rules_of() | {"more.yaml": rules_of()["sizes.yaml"].replace("T0001", "T0002").replace("sizes", "more")}
        await world.desk.push("olga", two, "two")
        proposal = await world.desk.push("olga", rules_of(), "one")
        assert proposal.state == api.WAITING
        assert any("T0002 gone" in change for change in proposal.changes)

    run(test)


def test_ten_times_looser_must_be_meant(run):
    async def test(world):
        await world.desk.push("olga", rules_of(30_000), "first")
        text = await refused("FAILED_PRECONDITION", world.desk.push("olga", rules_of(300_000), "oops"))
        assert "allow_loosening" in text
        assert not world.desk.waiting
        proposal = await world.desk.push("olga", rules_of(300_000), "meant", allow_loosening=True)
        assert proposal.state == api.WAITING

    run(test)


def test_of_two_pushes_against_one_rule_set_the_second_is_refused(run):
    async def test(world):
        first = await world.desk.push("olga", rules_of(300_000), "first")
        pushes = [
            world.desk.push(by, rules_of(shares), "mine", base_sha256=first.sha256)
            for by, shares in (("olga", 200_000), ("both", 250_000))
        ]
        ends = await asyncio.gather(*pushes, return_exceptions=True)
        done = [end for end in ends if isinstance(end, api.Proposal)]
        late = [end for end in ends if isinstance(end, ControlError)]
        assert (len(done), len(late)) == (1, 1)
        assert late[0].status == "ABORTED"
        assert first.sha256[:12] in late[0].text
        assert "no longer in force" in late[0].text
        assert world.in_force() == done[0].sha256

    run(test)


def test_a_proposal_falls_with_its_base(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        await world.desk.push("both", rules_of(200_000), "tighter, meanwhile")
        text = await refused("ABORTED", world.desk.approve("anna", waiting.id, "fine"))
        assert "push again" in text
        assert waiting.id not in world.desk.waiting
        assert len(world.shard.rule_sets) == 2

    run(test)


def test_a_proposal_lapses(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        world.now_ns += 30 * NS_PER_MIN
        text = await refused("FAILED_PRECONDITION", world.desk.approve("anna", waiting.id, "late"))
        assert "lapsed" in text
        assert world.shard.steps[-1]["step"] == "lapsed"

    run(test)


def test_refusing(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        assert (await world.desk.refuse("anna", waiting.id, "no")).state == api.REFUSED
        await refused("FAILED_PRECONDITION", world.desk.approve("anna", waiting.id, "yes"))
        await refused("NOT_FOUND", world.desk.refuse("anna", 99, "what"))

    run(test)


def test_a_faulty_push_changes_nothing_and_says_where(run):
    async def test(world):
        faulty = {"sizes.yaml": rules_of()["sizes.yaml"].replace("this_shares", "this_share")}
        proposal = await world.desk.push("olga", faulty, "typo")
        assert proposal.state == api.FAULTY
        assert proposal.errors[0].startswith("sizes.yaml:11:10: T0001: unknown feature `this_share`")
        assert not world.shard.rule_sets
        assert not world.desk.store.entries
        assert world.shard.steps[-1]["step"] == "refused"

    run(test)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({}, "files"),
        ({"../a.yaml": ""}, "without a folder"),
        ({"a.txt": ""}, ".yaml"),
        ({"a_test.yaml": ""}, "tests alone"),
        ({f"f{number}.yaml": "" for number in range(101)}, "1 to 100"),
    ],
)
def test_names_of_files(run, sources, expected):
    async def test(world):
        assert expected in await refused("INVALID_ARGUMENT", world.desk.push("olga", sources, "why"))

    run(test)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 97])
def test_a_reason_is_required(run, reason):
    async def test(world):
        assert "reason" in await refused("INVALID_ARGUMENT", world.desk.push("olga", rules_of(), reason))

    run(test)


def test_the_same_again_is_refused(run):
    async def test(world):
        await world.desk.push("olga", rules_of(), "first")
        assert "just these files" in await refused("FAILED_PRECONDITION", world.desk.push("both", rules_of(), "again"))

    run(test)


def test_back_to_what_another_person_had_approved_needs_nobody_more(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        looser = await world.desk.push("olga", rules_of(400_000), "looser")
        await world.desk.approve("anna", looser.id, "fine")
        await world.desk.push("olga", rules_of(100_000), "too tight")
        back = await world.desk.roll_back("olga", "", "too tight indeed")
        assert (back.state, back.sha256, back.decided_by) == (api.IN_FORCE, looser.sha256, "anna")

    run(test)


def test_back_to_what_nobody_had_approved_waits(run):
    async def test(world):
        first = await world.desk.push("olga", rules_of(300_000), "first")
        await world.desk.push("olga", rules_of(100_000), "too tight")
        back = await world.desk.roll_back("olga", first.sha256[:8], "too tight indeed")
        assert back.state == api.WAITING
        assert (await world.desk.approve("anna", back.id, "")).number == 3
        await refused("NOT_FOUND", world.desk.roll_back("olga", "0123456789", "no such"))
        await refused("NOT_FOUND", world.desk.roll_back("olga", first.sha256[:7], "too short"))
        await refused("FAILED_PRECONDITION", world.desk.roll_back("olga", first.sha256, "in force"))

    run(test)


def test_the_approver_himself_cannot_roll_back_on_his_own_word(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        looser = await world.desk.push("olga", rules_of(400_000), "looser")
        await world.desk.approve("both", looser.id, "fine")
        await world.desk.push("olga", rules_of(100_000), "tight")
        assert (await world.desk.roll_back("both", "", "mine")).state == api.WAITING

    run(test)


def test_unkill_and_release_of_a_freeze_wait(run):
    async def test(world):
        await refused("FAILED_PRECONDITION", world.desk.unkill("olga", api.ACCOUNT, "A1", "not killed"))
        world.shard.killed.add(("account", "A1"))
        proposal = await world.desk.unkill("olga", api.ACCOUNT, "A1", "it was a mistake")
        await refused("PERMISSION_DENIED", world.desk.approve("olga", proposal.id, ""))
        assert world.shard.killed
        await world.desk.approve("anna", proposal.id, "")
        assert not world.shard.killed
        for level, state in ((5, api.IN_FORCE), (6, api.WAITING)):
            world.shard.levels["account", "A2"] = level
            request = api.ReleaseLevelRequest(scope=api.ACCOUNT, id="A2", reason="fine now")
            assert (await world.desk.release("olga", request)).state == state

    run(test)


def test_a_restart_remembers_what_waits(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        other = await world.desk.push("olga", rules_of(500_000), "looser still")
        await world.desk.refuse("anna", other.id, "no")
        again = await World(world.folder).open(world.shard)
        again.now_ns = world.now_ns
        assert [one.id for one in again.desk.proposals()] == [waiting.id]
        assert (await again.desk.approve("anna", waiting.id, "fine")).number == 2
        assert (await again.desk.push("olga", rules_of(100_000), "tight")).id == other.id + 1

    run(test)


def test_what_came_into_force_as_the_process_died_is_written_up(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        world.shard.rule_sets.append(
            world.shard.rule_sets[0]
            | {"number": 2, "sha256": waiting.sha256, "by": "olga", "approved_by": "anna", "reason": "looser"}
        )
        again = await World(world.folder).open(world.shard)
        await again.desk.reconcile()
        newest = again.desk.store.newest()
        assert (newest.sha256, newest.approved_by, newest.number) == (waiting.sha256, "anna", 2)
        assert not again.desk.waiting

    run(test)


def test_an_engine_that_cannot_leaves_the_proposal_as_it_was(run):
    async def test(world):
        await world.desk.push("olga", rules_of(300_000), "first")
        waiting = await world.desk.push("olga", rules_of(400_000), "looser")
        world.shard.refusing["put_in_force"] = "the journal is full"
        assert await refused("UNAVAILABLE", world.desk.approve("anna", waiting.id, "")) == "the journal is full"
        assert waiting.id in world.desk.waiting
        world.shard.refusing.clear()
        assert (await world.desk.approve("anna", waiting.id, "")).state == api.IN_FORCE

    run(test)


def test_only_so_many_wait(run):
    async def test(world):
        world.shard.killed.add(("account", "A1"))
        for _ in range(MOST_WAITING):
            await world.desk.unkill("olga", api.ACCOUNT, "A1", "please")
        await refused("RESOURCE_EXHAUSTED", world.desk.unkill("olga", api.ACCOUNT, "A1", "please"))

    run(test)
