"""The four-eyes desk: what is proposed, who may decide it, and what then happens in the engine and in the store.

It trusts its caller for who somebody is and what his roles allow. It changes the engine only by commands over the link.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.engine_link import ControlError, EngineLink
from gateway.pb import control_pb2 as api
from gateway.pb import engine_command_pb2 as pb
from gateway.proposal_commands import SCOPES, release_command, rules_command, unkill_command
from gateway.rule_compiler import Comparison, Compiler, name_fault, stale_text, text_diff
from gateway.rule_store import Entry, RuleStore
from risk_rules.errors import RuleErrors

if TYPE_CHECKING:
    from gateway.broadcast_apply import Cluster, Pressed

MOST_WAITING = 100
MOST_REASON_BYTES = 96
NS_PER_MIN = 60_000_000_000
TWO_PERSONS_FROM = 6  # the level from which a release needs a second person


class Desk:
    """Proposals of one shard. clock: the time now in ns; ttl_min: how long a proposal waits for its second person."""

    def __init__(
        self,
        store: RuleStore,
        engine: EngineLink,
        compiler: Compiler,
        trade_date: int,
        ttl_min: int,
        clock: Callable[[], int],
    ) -> None:
        self.store = store
        self.engine = engine
        self.compiler = compiler
        self.trade_date = trade_date
        self.ttl_ns = ttl_min * NS_PER_MIN
        self.clock = clock
        self.changing = asyncio.Lock()
        self.compiled: dict[str, Any] = {}
        self.waiting: dict[int, Entry] = {}
        self.cluster: Cluster | None = None
        self.pressed: dict[int, Pressed] = {}  # by proposal: what was told to all shards, until its answers are fetched
        self.last_id = 0
        for entry in store.entries:
            self.last_id = max(self.last_id, entry.proposal)
            if entry.step == "pushed":
                self.waiting[entry.proposal] = entry
            else:
                self.waiting.pop(entry.proposal, None)

    # What is there

    async def in_force(self) -> dict[str, Any] | None:
        """The engine's own word: number, id, version, sha256, who and why; None when no rule set is in force."""
        found: dict[str, Any] = await self.engine.read("RULE_SET")
        return found if found and found.get("number") else None

    async def rule_set(self, sha256: str) -> Any:
        """A stored rule set, compiled."""
        if sha256 not in self.compiled:
            self.compiled[sha256] = await asyncio.to_thread(self.compiler.compile, self.store.load(sha256))
            while len(self.compiled) > 4:
                del self.compiled[next(iter(self.compiled))]
        return self.compiled[sha256]

    async def compiled_from(self, sources: Mapping[str, str]) -> Any:
        """Sources as they were pushed, compiled; raises RuleErrors."""
        fault = name_fault(list(sources))
        if fault is not None:
            raise ControlError("INVALID_ARGUMENT", fault)
        return await asyncio.to_thread(self.compiler.compile_new, sources)

    async def comparison(self, base: dict[str, Any] | None, sources: Mapping[str, str]) -> Comparison:
        before = self.store.load(base["sha256"]) if base else None
        return await asyncio.to_thread(self.compiler.compare, before, sources)

    async def diff(self, sources: Mapping[str, str]) -> api.RulesDiff:
        """Sources against what is in force."""
        base = await self.in_force()
        try:
            rule_set = await self.compiled_from(sources)
        except RuleErrors as error:
            return api.RulesDiff(errors=error.errors)
        found = await self.comparison(base, sources)
        old = self.store.load(base["sha256"]) if base else {}
        return api.RulesDiff(
            base_sha256=base["sha256"] if base else "",
            sha256=rule_set.sha256,
            changes=found.changes,
            loosens=found.loosens,
            loosens_tenfold=found.loosens_tenfold,
            text=text_diff(old, sources),
        )

    # Rules

    async def push(
        self,
        by: str,
        sources: Mapping[str, str],
        reason: str,
        *,
        base_sha256: str = "",
        allow_loosening: bool = False,
        all_shards: bool = False,
    ) -> api.Proposal:
        """In force at once when it loosens nothing; else it waits. FAULTY: the files have errors, nothing happened."""
        self.check(reason, all_shards)
        try:
            rule_set = await self.compiled_from(sources)
        except RuleErrors as error:
            await self.record_refusal(by, f"faulty: {error.errors[0]}")
            return api.Proposal(kind=api.RULES, state=api.FAULTY, by=by, reason=reason, errors=error.errors)
        async with self.changing:
            return await self.propose_rules(
                by, sources, rule_set, reason, base_sha256, allow_loosening=allow_loosening, all_shards=all_shards
            )

    async def propose_rules(
        self,
        by: str,
        sources: Mapping[str, str],
        rule_set: Any,
        reason: str,
        base_sha256: str,
        *,
        allow_loosening: bool,
        all_shards: bool,
    ) -> api.Proposal:
        base = await self.in_force()
        if base_sha256 and base_sha256 != (base["sha256"] if base else ""):
            raise ControlError("ABORTED", stale_text(base_sha256, base))
        if base and rule_set.sha256 == base["sha256"]:
            raise ControlError("FAILED_PRECONDITION", f"rule set {base['number']} in force has just these files")
        found = await self.comparison(base, sources)
        if found.loosens_tenfold and not allow_loosening:
            text = "; ".join(found.changes[:3])
            raise ControlError("FAILED_PRECONDITION", f"a limit is ten times looser: allow_loosening is needed: {text}")
        self.store.save(rule_set.sha256, sources)
        self.compiled[rule_set.sha256] = rule_set
        entry = await self.open_proposal(
            by,
            reason,
            kind="RULES",
            sha256=rule_set.sha256,
            base_sha256=base["sha256"] if base else "",
            rule_set_id=rule_set.id,
            rule_set_version=rule_set.version,
            loosens=found.loosens,
            changes=found.changes,
            all_shards=all_shards,
        )
        if found.loosens:
            return self.shown(entry, api.WAITING)
        return await self.put_in_force(entry, "", "in_force")

    async def roll_back(self, by: str, to: str, reason: str, all_shards: bool = False) -> api.Proposal:
        """Back to a rule set that was in force. The one just before needs nobody more when another had approved it."""
        self.check(reason, all_shards)
        async with self.changing:
            base = await self.in_force()
            target = self.rollback_target(to, base)
            rule_set = await self.rule_set(target.sha256)
            found = await self.comparison(base, self.store.load(target.sha256))
            entry = await self.open_proposal(
                by,
                reason,
                kind="RULES",
                sha256=rule_set.sha256,
                base_sha256=base["sha256"] if base else "",
                rule_set_id=rule_set.id,
                rule_set_version=rule_set.version,
                loosens=found.loosens,
                changes=found.changes,
                all_shards=all_shards,
            )
            last_good = self.store.before(base["sha256"]) if base else None
            is_approved = (
                last_good is not None and last_good.sha256 == target.sha256 and target.approved_by not in ("", by)
            )
            if found.loosens and not is_approved:
                return self.shown(entry, api.WAITING)
            return await self.put_in_force(entry, target.approved_by if found.loosens else "", "rolled_back")

    def rollback_target(self, to: str, base: dict[str, Any] | None) -> Entry:
        if not to:
            before = self.store.before(base["sha256"]) if base else self.store.newest()
            if before is None:
                raise ControlError(
                    "FAILED_PRECONDITION", "to: got nothing, and no rule set was in force before this one"
                )
            return before
        found = self.store.find(to.lower())
        if len(found) != 1:
            many = f"{len(found)} rule sets" if found else "no rule set that was in force"
            raise ControlError("NOT_FOUND", f"to: {to[:64]!r} names {many}, expected 8 or more digits of one's SHA-256")
        if base and found[0].sha256 == base["sha256"]:
            raise ControlError("FAILED_PRECONDITION", f"to: {to[:64]!r} is in force already")
        return found[0]

    async def put_in_force(self, entry: Entry, approved_by: str, step: str, reason: str = "") -> api.Proposal:
        """Into the engine, which refuses it when another rule set came into force meanwhile."""
        rule_set = await self.rule_set(entry.sha256)
        command = rules_command(entry, rule_set, approved_by)
        try:
            if entry.all_shards:
                self.pressed[entry.proposal] = await self.in_cluster().tell_rules(entry, approved_by)
            done = await self.engine.call(put_in_force=command)
        except ControlError as error:
            self.pressed.pop(entry.proposal, None)
            if error.status in ("ABORTED", "INVALID_ARGUMENT"):
                await self.close(entry, "refused", "", error.text)
            raise
        number = int(done["number"])
        await self.close(entry, step, approved_by, reason, number=number)
        return self.shown(entry, api.IN_FORCE, decided_by=approved_by, decision_reason=reason, number=number)

    async def reconcile(self) -> None:
        """A rule set that came into force as this process died is in no history yet: the engine knows of it."""
        base, newest = await self.in_force(), self.store.newest()
        if base is None or (newest is not None and newest.sha256 == base["sha256"]):
            return
        waiting = next((entry for entry in self.waiting.values() if entry.sha256 == base["sha256"]), None)
        self.note(
            waiting
            or Entry(
                time_ns=base["time_ns"],
                step="",
                by=base["by"],
                sha256=base["sha256"],
                rule_set_id=base["id"],
                reason=base["reason"],
            ),
            "in_force",
            base["approved_by"],
            "",
            number=base["number"],
        )

    # Unkill, release

    async def unkill(self, by: str, scope: int, subject: str, reason: str, all_shards: bool = False) -> api.Proposal:
        """Always waits for another person. Of all shards: it need not be killed, or known, on this one."""
        self.check(reason, all_shards)
        name = SCOPES.get(scope, "")
        if not all_shards and not (await self.engine.read("KILLED", scope=name, id=subject))["killed"]:
            raise ControlError("FAILED_PRECONDITION", f"{name} {subject}".strip() + " is not killed")
        about: dict[str, Any] = {"scope": scope, "subject": subject, "all_shards": all_shards}
        return await self.propose(by, reason, kind="UNKILL", loosens=True, **about)

    async def lift(self, entry: Entry, approved_by: str) -> None:
        """The kill of an approved proposal, here or of all shards."""
        if entry.all_shards:
            self.pressed[entry.proposal] = await self.in_cluster().unkill(entry, approved_by)
        else:
            await self.engine.call(switch_kill=unkill_command(entry, approved_by))

    async def release(self, by: str, request: api.ReleaseLevelRequest) -> api.Proposal:
        """Below L6 done at once; L6 and L7 wait for another person."""
        check_reason(request.reason)
        wanted: dict[str, Any] = {
            "scope": request.scope,
            "subject": request.id,
            "symbol": request.symbol,
            "security_exchange": request.security_exchange,
            "level": request.to_level,
        }
        entry = Entry(time_ns=self.clock(), step="", kind="RELEASE", by=by, reason=request.reason, **wanted)
        standing = await self.engine.read(
            "STANDING",
            scope=SCOPES.get(entry.scope, ""),
            id=entry.subject,
            symbol=entry.symbol,
            venue=entry.security_exchange,
        )
        if standing["level"] >= TWO_PERSONS_FROM:
            return await self.propose(by, request.reason, kind="RELEASE", loosens=True, **wanted)
        await self.engine.call(change_level=release_command(entry, ""))
        await self.record("level_released", by=by, reason=f"{entry.subject}: {entry.reason}")
        return self.shown(entry, api.IN_FORCE)

    async def propose(self, by: str, reason: str, **fields: Any) -> api.Proposal:
        async with self.changing:
            return self.shown(await self.open_proposal(by, reason, **fields), api.WAITING)

    # The second person

    async def approve(self, by: str, proposal: int, reason: str) -> api.Proposal:
        check_reason(reason, is_required=False)
        async with self.changing:
            entry = await self.waiting_one(proposal)
            if entry.by == by:
                raise ControlError(
                    "PERMISSION_DENIED",
                    f"proposal {proposal} is {by}'s own: another person with the role risk_approver approves it",
                )
            await self.record(
                "approved",
                number=proposal,
                by=entry.by,
                approved_by=by,
                reason=reason or entry.reason,
                sha256=entry.sha256,
            )
            if entry.kind == "RULES":
                return await self.put_in_force(entry, by, "in_force", reason)
            if entry.kind == "UNKILL":
                await self.lift(entry, by)
            else:
                await self.engine.call(change_level=release_command(entry, by))
            await self.close(entry, "approved", by, reason)
            return self.shown(entry, api.IN_FORCE, decided_by=by, decision_reason=reason)

    async def refuse(self, by: str, proposal: int, reason: str) -> api.Proposal:
        """Anyone who may change things refuses a proposal, its own maker too: he takes it back."""
        check_reason(reason)
        async with self.changing:
            entry = await self.waiting_one(proposal)
            await self.close(entry, "refused", by, reason)
            return self.shown(entry, api.REFUSED, decided_by=by, decision_reason=reason)

    async def waiting_one(self, proposal: int) -> Entry:
        await self.lapse()
        entry = self.waiting.get(proposal)
        if entry is not None:
            return entry
        last = next((entry for entry in reversed(self.store.entries) if entry.proposal == proposal != 0), None)
        if last is None:
            raise ControlError("NOT_FOUND", f"proposal: got {proposal}, expected one that waits")
        raise ControlError(
            "FAILED_PRECONDITION",
            f"proposal {proposal} waits no more: {last.step}"
            + (f" by {last.approved_by}" if last.approved_by else "")
            + (f": {last.reason}" if last.reason else ""),
        )

    def check(self, reason: str, all_shards: bool) -> None:
        """What every request must have; `all_shards` needs a cluster."""
        check_reason(reason)
        if all_shards:
            self.in_cluster()

    def in_cluster(self) -> "Cluster":
        if self.cluster is None:
            raise ControlError("FAILED_PRECONDITION", "all_shards: this shard is in no cluster: it has no --redis")
        return self.cluster

    async def lapse(self) -> None:
        """Proposals whose time is over are closed."""
        now_ns = self.clock()
        for entry in [entry for entry in self.waiting.values() if entry.expires_ns <= now_ns]:
            await self.close(entry, "lapsed", "", "nobody approved it in time")

    def proposals(self) -> list[api.Proposal]:
        return [self.shown(entry, api.WAITING) for entry in self.waiting.values()]

    # Both books: the engine's journal and the store's history

    async def open_proposal(self, by: str, reason: str, **fields: Any) -> Entry:
        await self.lapse()
        if len(self.waiting) >= MOST_WAITING:
            raise ControlError("RESOURCE_EXHAUSTED", f"{MOST_WAITING} proposals wait already: decide some of them")
        now_ns = self.clock()
        self.last_id += 1
        entry = Entry(
            time_ns=now_ns,
            step="pushed",
            proposal=self.last_id,
            by=by,
            reason=reason,
            expires_ns=now_ns + self.ttl_ns,
            trade_date=self.trade_date,
            **fields,
        )
        await self.record("pushed", number=entry.proposal, by=by, reason=described(entry), sha256=entry.sha256)
        self.store.append(entry)
        self.waiting[entry.proposal] = entry
        return entry

    async def close(self, entry: Entry, step: str, approved_by: str, reason: str, *, number: int = 0) -> None:
        """The end of a proposal, in both books."""
        self.note(entry, step, approved_by, reason, number)
        if entry.kind == "RULES" or step != "approved":
            await self.record(
                step,
                number=number or entry.proposal,
                by=entry.by,
                approved_by=approved_by,
                reason=reason or described(entry),
                sha256=entry.sha256,
            )

    def note(self, entry: Entry, step: str, approved_by: str, reason: str, number: int = 0) -> None:
        self.store.append(
            Entry(
                time_ns=self.clock(),
                step=step,
                kind=entry.kind,
                proposal=entry.proposal,
                by=entry.by,
                approved_by=approved_by,
                reason=reason or entry.reason,
                sha256=entry.sha256,
                base_sha256=entry.base_sha256,
                rule_set_id=entry.rule_set_id,
                rule_set_version=entry.rule_set_version,
                number=number,
                trade_date=self.trade_date,
                scope=entry.scope,
                subject=entry.subject,
                level=entry.level,
                all_shards=entry.all_shards,
            )
        )
        self.waiting.pop(entry.proposal, None)

    async def record(
        self, step: str, *, number: int = 0, by: str, approved_by: str = "", reason: str = "", sha256: str = ""
    ) -> None:
        await self.engine.call(
            record_step=pb.RecordStep(
                step=step, number=number, sha256=bytes.fromhex(sha256), by=by, approved_by=approved_by, reason=reason
            )
        )

    async def record_refusal(self, by: str, reason: str) -> None:
        """A push that was not even proposed, as an alert."""
        with contextlib.suppress(ControlError):
            await self.record("refused", by=by, reason=reason)

    def shown(self, entry: Entry, state: api.ProposalState, **decision: Any) -> api.Proposal:
        return api.Proposal(
            id=entry.proposal,
            kind=api.ProposalKind.Value(entry.kind),
            state=state,
            by=entry.by,
            reason=entry.reason,
            time_ns=entry.time_ns,
            expires_ns=entry.expires_ns if state == api.WAITING else 0,
            base_sha256=entry.base_sha256,
            sha256=entry.sha256,
            rule_set_id=entry.rule_set_id,
            rule_set_version=entry.rule_set_version,
            changes=entry.changes,
            loosens=entry.loosens,
            scope=api.ControlScope.Name(entry.scope),
            subject=entry.subject,
            symbol=entry.symbol,
            security_exchange=entry.security_exchange,
            level=entry.level,
            all_shards=entry.all_shards,
            **decision,
        )


def check_reason(reason: str, *, is_required: bool = True) -> None:
    if is_required and not reason.strip():
        raise ControlError("INVALID_ARGUMENT", "reason: got nothing, expected why")
    if len(reason.encode()) > MOST_REASON_BYTES:
        size = len(reason.encode())
        raise ControlError("INVALID_ARGUMENT", f"reason: got {size} bytes, expected at most {MOST_REASON_BYTES}")


def described(entry: Entry) -> str:
    """What a proposal wants, for the journal."""
    if entry.kind == "RULES":
        return entry.reason
    what = "unkill" if entry.kind == "UNKILL" else f"release to L{entry.level}"
    return f"{what} {SCOPES.get(entry.scope, '')} {entry.subject}".rstrip() + f": {entry.reason}"
