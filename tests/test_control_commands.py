"""The shard's end of control: each command on a real engine, and alerts to a control process that hardly reads."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ext import oversight, queries, surveillance
from gateway.commands import Commands
from gateway.framing import Framed
from gateway.pb import engine_command_pb2 as pb
from gateway.rule_compiler import Compiler
from tests.desk import Desk
from tests.pair import Twin
from tests.system.officers import rules_of

WHO = {"by": "olga", "reason": "because"}


class Peer:
    """The other end: what a control process would send and get."""

    def __init__(self) -> None:
        self.frames = Framed(self.on_message, lambda: None)
        self.results: dict[int, Any] = {}
        self.batches: list[Any] = []
        self.calls = 0
        self.arrived = asyncio.Event()

    def on_message(self, octets: bytes) -> None:
        message = pb.ToControl.FromString(octets)
        if message.WhichOneof("body") == "alerts":
            self.batches.append(message.alerts)
        else:
            self.results[message.result.call] = message.result
        self.arrived.set()

    def send(self, **body: Any) -> int:
        self.calls += 1
        self.frames.send(pb.ToShard(call=self.calls, **body).SerializeToString())
        return self.calls

    async def call(self, **body: Any) -> Any:
        number = self.send(**body)
        while number not in self.results:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 5)
        return self.results.pop(number)

    async def value(self, **body: Any) -> Any:
        result = await self.call(**body)
        assert result.status == pb.Result.OK, result.text
        return msgspec.json.decode(result.json)

    def numbers(self) -> list[int]:
        return [alert["alert_seq"] for batch in self.batches for alert in msgspec.json.decode(batch.json)]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Any, Peer], Awaitable[None]]], None]:
    """run(test): a coroutine function over an engine and the peer that is joined to it."""

    def run_it(test: Callable[[Any, Peer], Awaitable[None]]) -> None:
        twin = Twin(tmp_path / "journal")
        Desk(model=twin).code()  # the first step opens the engine

        async def whole() -> None:
            engine, peer = twin.pair.driver.engine, Peer()
            commands = Commands(engine, lambda port, error: None, lambda: None)
            ours, theirs = socket.socketpair()
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: commands.frames, sock=ours)
            await loop.create_unix_connection(lambda: peer.frames, sock=theirs)
            await test(engine, peer)
            peer.frames.close()
            await asyncio.sleep(0.01)

        try:
            asyncio.run(whole())
        finally:
            twin.close()

    return run_it


def put(shares: int, base: bytes = b"") -> tuple[pb.PutInForce, bytes]:
    rule_set = Compiler(20261123).compile(rules_of(shares))
    digest = bytes.fromhex(rule_set.sha256)
    return pb.PutInForce(program=rule_set.program, id="sizes", sha256=digest, base_sha256=base, **WHO), digest


def test_rules_come_into_force_only_on_their_base(run):
    async def test(engine, peer):
        first, first_sha256 = put(300_000)
        assert (await peer.value(put_in_force=first)) == {"number": 1}
        late = await peer.call(put_in_force=put(200_000)[0])
        assert (late.status, "rule set 1 by olga came into force" in late.text) == (pb.Result.CONFLICT, True)
        assert (await peer.value(put_in_force=put(200_000, first_sha256)[0])) == {"number": 2}
        found = await peer.call(read=pb.ReadState(topic="RULE_NAMES", number=1))
        assert (found.program, b"program" in found.json) == (first.program, False)
        assert (await peer.value(read=pb.ReadState(topic="RULE_SET")))["number"] == 2

    run(test)


def test_a_damaged_program_changes_nothing(run):
    async def test(engine, peer):
        command = put(300_000)[0]
        command.program = command.program[:-9] + b"\xff" * 9
        refused = await peer.call(put_in_force=command)
        assert refused.status == pb.Result.REFUSED
        assert surveillance.rule_set(engine)["number"] == 0

    run(test)


def test_kill_and_unkill_leave_their_steps(run):
    async def test(engine, peer):
        kill = {"scope": "account", "id": "A", **WHO}
        assert (await peer.value(switch_kill=pb.SwitchKill(killed=True, **kill)))["total_affected_orders"] == 1
        assert oversight.kills(engine) == [("account", "A")]
        alone = await peer.call(switch_kill=pb.SwitchKill(killed=False, **kill))
        assert (alone.status, "two different persons" in alone.text) == (pb.Result.REFUSED, True)
        await peer.value(switch_kill=pb.SwitchKill(killed=False, approved_by="anna", **kill))
        assert oversight.kills(engine) == []
        steps = [alert["step"] for alert in await peer.value(read=pb.ReadState(topic="ALERTS"))]
        assert steps[-2:] == ["killed", "unkilled"]

    run(test)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"switch_kill": pb.SwitchKill(scope="planet", id="A")}, pb.Result.INVALID),
        ({"switch_kill": pb.SwitchKill(scope="session", id="ab")}, pb.Result.NOT_FOUND),
        ({"change_level": pb.ChangeLevel(scope="account", id="A", level=4, **WHO)}, pb.Result.REFUSED),
        ({"change_level": pb.ChangeLevel(scope="account", id="A", release=True, **WHO)}, pb.Result.REFUSED),
        (
            {"change_level": pb.ChangeLevel(scope="firm", symbol="600000", venue="XSHG", level=1, **WHO)},
            pb.Result.NOT_FOUND,
        ),
        ({"end_ticket": pb.EndTicket(ticket=3, **WHO)}, pb.Result.REFUSED),
        ({"end_suspension": pb.EndSuspension(account="A", order_id=3)}, pb.Result.NOT_FOUND),
        ({"record_step": pb.RecordStep(step="danced")}, pb.Result.REFUSED),
        ({"record_step": pb.RecordStep(step="pushed", sha256=b"123")}, pb.Result.REFUSED),
        ({"read": pb.ReadState(topic="RULE_NAMES", number=9)}, pb.Result.REFUSED),
        ({"read": pb.ReadState(topic="EXPOSURE", scope="group", id="none")}, pb.Result.NOT_FOUND),
    ],
)
def test_commands_that_cannot_be_done(run, body, status):
    async def test(engine, peer):
        before = engine.state.hash()
        result = await peer.call(**body)
        assert (result.status, bool(result.text)) == (status, True), result
        assert engine.state.hash() == before

    run(test)


def test_undecodable_octets_end_the_connection_and_nothing_else(run):
    async def test(engine, peer):
        peer.frames.send(b"\xff\xff\xff")
        await asyncio.sleep(0.02)
        assert not peer.frames.is_open

    run(test)


def test_a_control_process_that_does_not_read_lags_and_misses_nothing(run):
    async def test(engine, peer):
        before = surveillance.alert_count(engine)
        peer.frames.send(pb.ToShard(follow_alerts=pb.FollowAlerts(after_seq=before)).SerializeToString())
        await asyncio.sleep(0.01)
        peer.frames.transport.pause_reading()
        for number in range(20_000):
            oversight.record_step(engine, "pushed", number=number, by="olga", reason="x" * 90, now_ns=number + 1)
            if number % 500 == 0:
                await asyncio.sleep(0.002)
        assert len(peer.numbers()) < 20_000
        peer.frames.transport.resume_reading()
        for _ in range(500):
            if peer.batches and peer.batches[-1].last_seq == before + 20_000:
                break
            await asyncio.sleep(0.02)
        assert peer.numbers() == list(range(before + 1, before + 20_001))

    run(test)


def test_exposures_and_states(run):
    async def test(engine, peer):
        firm = await peer.value(read=pb.ReadState(topic="EXPOSURE", scope="firm"))
        assert (firm["accounts"], firm["killed"]) == (queries.counts(engine)["accounts"], False)
        group = await peer.value(read=pb.ReadState(topic="EXPOSURE", scope="group", id="family"))
        assert 0 < group["accounts"] < firm["accounts"]
        state = await peer.value(read=pb.ReadState(topic="ACCOUNT_STATE", scope="account", id="A"))
        assert (state["account"], state["killed"]) == ("A", False)

    run(test)
