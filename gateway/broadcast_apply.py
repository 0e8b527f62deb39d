"""What a command of the cluster does on this shard, through the ordinary commands of the engine; who gave it, and why,
stands in this shard's journal too. It neither sends commands nor follows them.

Four eyes hold on every shard: whatever loosens needs two people of this shard's own control file.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway.broadcast import Answer, Broadcast, Command, KeptFile, MovedError, Press, subject_of
from gateway.control_file import ControlFile
from gateway.desk import Desk
from gateway.engine_link import ControlError, EngineLink
from gateway.pb import control_pb2 as api
from gateway.pb import engine_command_pb2 as pb
from gateway.proposal_commands import SCOPES, rules_command
from gateway.rule_store import Entry
from risk_rules.errors import RuleErrors

UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED")  # the shard cannot be asked: it is neither done nor refused
KILLS_FROM = 6  # the level that latches a kill
MOST_TRIES = 20
AGAIN_S = 0.05
Pressed = tuple[Press, Answer | None]  # a command that was told, and what became of it here, where that is known


class Refused(Exception):
    """Why a command is not done here."""


class Applier:
    """people: those of this shard's control file; file: when what was killed last."""

    def __init__(self, shard: int, engine: EngineLink, desk: Desk, people: ControlFile, file: KeptFile) -> None:
        self.shard = shard
        self.engine = engine
        self.desk = desk
        self.people = people
        self.file = file
        self.run: dict[str, Callable[[Command, bool], Awaitable[dict[str, Any]]]] = {
            "kill": self.kill,
            "unkill": self.unkill,
            "rules": self.put_in_force,
        }

    async def apply(self, command: Command, is_ours: bool = False) -> Answer:
        """Done or refused; raises ControlError when the shard cannot be asked. is_ours: it was done here when given."""
        run = self.run.get(command.kind)
        try:
            if run is None:
                raise Refused(f"kind: got {command.kind!r}, expected one of {', '.join(self.run)}: of a newer build?")
            done = await run(command, is_ours)
        except Refused as error:
            return self.refused(str(error))
        except ControlError as error:
            if error.status in UNREACHABLE:
                raise
            return self.refused(error.text, "not_here" if error.status == "NOT_FOUND" else "refused")
        return Answer(shard=self.shard, state="confirmed", **done)

    def refused(self, reason: str, state: str = "refused") -> Answer:
        """not_here: what the command is about is another shard's."""
        return Answer(shard=self.shard, state=state, reason=reason, time_ns=self.desk.clock())

    def done(self) -> dict[str, Any]:
        return {"time_ns": self.desk.clock()}

    # Kill, unkill

    async def kill(self, command: Command, is_ours: bool) -> dict[str, Any]:
        """One that was given here is done again when another command undid it: the stream's order is everybody's."""
        if is_ours and await self.is_killed(command):
            return self.done()
        return await self.switch(command, True)

    async def switch(self, command: Command, killed: bool) -> dict[str, Any]:
        done: dict[str, Any] = await self.engine.call(
            switch_kill=pb.SwitchKill(
                scope=command.scope,
                id=command.id,
                killed=killed,
                by=command.by,
                approved_by=command.approved_by,
                reason=command.reason,
            )
        )
        if killed:
            self.file.note_kill(command.scope, command.id, command.time_ns)
        return done

    async def unkill(self, command: Command, is_ours: bool) -> dict[str, Any]:
        """Undoes no kill that came after it was approved, of a person or of a rule."""
        self.check_persons(command, "Unkill")
        if not await self.is_killed(command):
            return self.done()
        later_ns = max(self.file.kept.kills.get(subject_of(command.scope, command.id), 0), await self.level_ns(command))
        if later_ns > command.time_ns:
            raise Refused("it was killed again after this was approved")
        return await self.switch(command, False)

    async def is_killed(self, command: Command) -> bool:
        return bool((await self.engine.read("KILLED", scope=command.scope, id=command.id))["killed"])

    async def level_ns(self, command: Command) -> int:
        """Since when a level holds the subject that kills; 0: none does."""
        rows = await self.engine.read("LEVELS")
        return max(
            (int(row["since_ns"]) for row in rows if row["level"] >= KILLS_FROM and is_of(row, command)), default=0
        )

    def check_persons(self, command: Command, method: str) -> None:
        """Two different people whom this shard knows: who may do it, and who may approve it."""
        self.check_person(command.by, method)
        self.check_person(command.approved_by, "Approve")
        if command.by == command.approved_by:
            raise Refused(f"{command.by} alone: two persons are needed")

    def check_person(self, name: str, method: str) -> None:
        person = next((person for person in self.people.people if person.name == name), None)
        if person is None or person.lacks(method) is not None:
            raise Refused(f"{name or 'nobody'} may not {method} here, by this shard's control file")

    # Rules

    async def put_in_force(self, command: Command, is_ours: bool) -> dict[str, Any]:
        """As a push: compiled here, compared with what is in force here. Nothing when it is in force already."""
        desk = self.desk
        async with desk.changing:
            base = await desk.in_force()
            if base is not None and base["sha256"] == command.sha256:
                return self.done()
            newest = desk.store.newest()
            if newest is not None and not newest.all_shards and newest.time_ns > command.time_ns:
                raise Refused(f"this shard has a newer one of its own: {newest.sha256[:12]} by {newest.by}")
            rule_set, entry = await self.checked(command, base)
            desk.store.save(entry.sha256, command.sources)
            done = await self.engine.call(put_in_force=rules_command(entry, rule_set, entry.approved_by))
            await desk.close(entry, "in_force", entry.approved_by, entry.reason, number=int(done["number"]))
            return self.done()

    async def checked(self, command: Command, base: dict[str, Any] | None) -> tuple[Any, Entry]:
        """The rule set, compiled, and its entry in the history."""
        try:
            rule_set = await self.desk.compiled_from(command.sources)
        except RuleErrors as error:
            raise Refused(f"its files have errors here: {error.errors[0]}") from None
        if rule_set.sha256 != command.sha256:
            raise Refused(f"its files have the SHA-256 {rule_set.sha256[:12]}, not {command.sha256[:12]}")
        base_sha256 = base["sha256"] if base else ""
        found = await self.desk.comparison(base, command.sources)
        if not found.loosens:
            self.check_person(command.by, "RollbackRules")
        elif base_sha256 == command.base_sha256:
            self.check_persons(command, "RollbackRules")
        else:
            raise Refused(f"it loosens what is in force here, {base_sha256[:12]}, which nobody compared it with")
        entry = Entry(
            time_ns=command.time_ns,
            step="in_force",
            by=command.by,
            approved_by=command.approved_by,
            reason=command.reason,
            sha256=command.sha256,
            base_sha256=base_sha256,
            rule_set_id=rule_set.id,
            rule_set_version=rule_set.version,
            all_shards=True,
        )
        return rule_set, entry


class Cluster:
    """What the desk and the service ask for: a command for every shard, this one first."""

    def __init__(self, broadcast: Broadcast, applier: Applier) -> None:
        self.broadcast = broadcast
        self.applier = applier

    async def kill(self, scope: str, name: str, by: str, reason: str) -> Pressed:
        """Here at once, whatever becomes of Redis; then to all."""
        return await self.switch("kill", scope=scope, id=name, by=by, reason=reason)

    async def unkill(self, entry: Entry, approved_by: str) -> Pressed:
        return await self.switch(
            "unkill",
            scope=SCOPES[entry.scope],
            id=entry.subject,
            by=entry.by,
            approved_by=approved_by,
            reason=entry.reason,
        )

    async def switch(self, kind: str, **fields: Any) -> Pressed:
        press = self.broadcast.press(kind=kind, time_ns=self.applier.desk.clock(), **fields)
        try:
            own = await self.applier.apply(press.command)
        except ControlError as error:
            own = self.applier.refused(error.text)
        await self.broadcast.tell(press)
        self.applier.file.write()
        return press, own

    def note_kill(self, scope: str, name: str, time_ns: int) -> None:
        """A kill of this shard alone."""
        self.applier.file.note_kill(scope, name, time_ns)
        self.applier.file.write()

    async def tell_rules(self, entry: Entry, approved_by: str) -> Pressed:
        """Before it is in force here: two shards never put two rule sets in force for all at the same time."""
        desk = self.applier.desk
        press = self.broadcast.press(
            kind="rules",
            time_ns=desk.clock(),
            by=entry.by,
            approved_by=approved_by,
            reason=entry.reason,
            sha256=entry.sha256,
            base_sha256=entry.base_sha256,
            sources=desk.store.load(entry.sha256),
        )
        for _ in range(MOST_TRIES):
            with contextlib.suppress(MovedError):
                await self.broadcast.tell(press, next_only=True)
                return press, None
            await asyncio.sleep(AGAIN_S)
        raise ControlError("ABORTED", "another command for all shards came in meanwhile: compare again, then push")

    async def answers(self, pressed: Pressed, within_ms: int) -> tuple[list[api.ShardAnswer], int]:
        """One of each shard, and the time until all had confirmed in us (0: not all). Rules are in force here now."""
        press, own = pressed
        here = own or Answer(shard=self.applier.shard, state="confirmed", **self.applier.done())
        rows, took_us = await self.broadcast.answers(press, here, within_ms)
        return [api.ShardAnswer(**msgspec.structs.asdict(row)) for row in rows], took_us


def is_of(row: dict[str, Any], command: Command) -> bool:
    """Whether a level binds the very subject of a command."""
    return row["scope"] == command.scope and row["id"] == command.id and not row["symbol"]
