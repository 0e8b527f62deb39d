"""The Control service: who calls, what his roles allow, the answer in control.proto's words. Decides nothing."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from redis.exceptions import RedisError

from ext.response import MASK_BITS
from gateway.alert_hub import AlertHub
from gateway.control_file import Person
from gateway.desk import Desk, check_reason
from gateway.engine_link import ControlError, EngineLink
from gateway.pb import control_pb2 as api
from gateway.pb import control_pb2_grpc
from gateway.pb import engine_command_pb2 as pb
from gateway.proposal_commands import SCOPES
from gateway.rule_store import Entry, StoreError
from gateway.topology import Directory

NS_PER_S = 1_000_000_000
MOST_HISTORY = 100
MOST_EXPLAINED = 50
MOVE_LOOKS = 600
MOVE_LOOK_S = 0.05
SCOPE_OF = {name: number for number, name in SCOPES.items()}
Method = Callable[[Any, Person, Any], Awaitable[Message]]


def answered(method: Method) -> Any:
    """A unary method for a person whose roles allow it; every refusal as a status with one line."""

    @functools.wraps(method)
    async def serve(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await method(self, await self.caller(method.__name__, context), request)
        except ControlError as error:
            await context.abort(grpc.StatusCode[error.status], error.text)
        except StoreError as error:
            self.log.error("store_failed", method=method.__name__, reason=str(error))
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            self.log.error("call_failed", method=method.__name__, exc_info=error)
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: see the log")

    return serve


class ControlService(control_pb2_grpc.ControlServicer):
    """person: who calls, or why nobody does; log: the control process's."""

    def __init__(
        self, desk: Desk, engine: EngineLink, hub: AlertHub, person: Callable[[Any], Person | str], log: Any
    ) -> None:
        self.desk = desk
        self.engine = engine
        self.hub = hub
        self.person = person
        self.log = log
        self.directory: Directory | None = None  # of a cluster, where there is one

    async def caller(self, method: str, context: grpc.aio.ServicerContext) -> Person:
        """The person, who may call this method."""
        person = self.person(context)
        if isinstance(person, str):
            raise ControlError("UNAUTHENTICATED", person)
        lacking = person.lacks(method)
        if lacking is not None:
            text = f"{method} needs the role {lacking}; {person.name} has {', '.join(sorted(person.roles))}"
            raise ControlError("PERMISSION_DENIED", text)
        return person

    # Rules

    @answered
    async def PushRules(self, person: Person, request: api.PushRulesRequest) -> Message:
        proposal = await self.desk.push(
            person.name,
            sources_of(request.files),
            request.reason,
            base_sha256=request.base_sha256,
            allow_loosening=request.allow_loosening,
            all_shards=request.all_shards,
        )
        self.log.info(
            "rules_pushed",
            by=person.name,
            proposal=proposal.id,
            sha256=proposal.sha256,
            state=api.ProposalState.Name(proposal.state),
        )
        return await self.of_all_shards(proposal, request.within_ms)

    @answered
    async def RollbackRules(self, person: Person, request: api.RollbackRulesRequest) -> Message:
        proposal = await self.desk.roll_back(person.name, request.to, request.reason, request.all_shards)
        return await self.of_all_shards(proposal, request.within_ms)

    async def of_all_shards(self, proposal: api.Proposal, within_ms: int) -> api.Proposal:
        """With the answers of the other shards, where it was told to them."""
        pressed = self.desk.pressed.pop(proposal.id, None)
        if pressed is not None and self.desk.cluster is not None:
            rows, proposal.all_confirmed_us = await self.desk.cluster.answers(pressed, within_ms)
            proposal.shards.extend(rows)
        return proposal

    @answered
    async def DiffRules(self, person: Person, request: api.DiffRulesRequest) -> Message:
        if request.files:
            return await self.desk.diff(sources_of(request.files))
        sha256 = request.sha256
        if request.proposal:
            sha256 = (await self.desk.waiting_one(request.proposal)).sha256
        found = self.desk.store.find(sha256.lower()) if not request.proposal else []
        if len(found) == 1:
            sha256 = found[0].sha256
        elif not request.proposal:
            raise ControlError(
                "INVALID_ARGUMENT",
                "expected files, a proposal that waits, or 8 or more digits of the "
                "SHA-256 of a rule set that was in force",
            )
        return await self.desk.diff(self.desk.store.load(sha256))

    @answered
    async def GetRules(self, person: Person, request: api.GetRulesRequest) -> Message:
        in_force = await self.desk.in_force()
        rules = api.Rules(proposals=[one for one in self.desk.proposals() if one.kind == api.RULES])
        if in_force is not None:
            rules.in_force.CopyFrom(await self.rule_set_state(in_force["number"]))
        if in_force is not None and request.with_sources:
            sources = self.desk.store.load(in_force["sha256"])
            rules.sources.extend(api.RuleFile(name=name, text=text) for name, text in sources.items())
        return rules

    @answered
    async def RulesHistory(self, person: Person, request: api.RulesHistoryRequest) -> Message:
        most = min(request.most or MOST_HISTORY, 10 * MOST_HISTORY)
        entries = [entry for entry in self.desk.store.entries if entry.kind == "RULES"][-most:]
        return api.RulesHistoryResponse(entries=[history_entry(entry) for entry in reversed(entries)])

    @answered
    async def ListProposals(self, person: Person, request: api.ListProposalsRequest) -> Message:
        return api.Proposals(proposals=self.desk.proposals())

    @answered
    async def Approve(self, person: Person, request: api.ProposalDecision) -> Message:
        proposal = await self.desk.approve(person.name, request.proposal, request.reason)
        self.log.info("proposal_approved", proposal=request.proposal, by=person.name)
        return await self.of_all_shards(proposal, request.within_ms)

    @answered
    async def Refuse(self, person: Person, request: api.ProposalDecision) -> Message:
        return await self.desk.refuse(person.name, request.proposal, request.reason)

    # Kill switch, levels

    @answered
    async def Kill(self, person: Person, request: api.KillRequest) -> Message:
        self.desk.check(request.reason, request.all_shards)
        if request.all_shards:
            return await self.kill_all(person, request)
        done = await self.engine.call(
            switch_kill=pb.SwitchKill(
                scope=SCOPES.get(request.scope, ""), id=request.id, killed=True, by=person.name, reason=request.reason
            )
        )
        self.log.warning("killed", scope=SCOPES[request.scope], id=request.id, by=person.name, **done)
        if self.desk.cluster is not None:
            self.desk.cluster.note_kill(SCOPES[request.scope], request.id, int(done["time_ns"]))
        return message_of(done, api.KillReport)

    async def kill_all(self, person: Person, request: api.KillRequest) -> api.KillReport:
        """Here at once, then on every shard; the report has what each of them says."""
        if request.scope not in SCOPES or (request.scope == api.FIRM) != (not request.id):
            raise ControlError("INVALID_ARGUMENT", "scope: expected SESSION, ACCOUNT or GROUP with an id, or FIRM")
        scope, cluster = SCOPES[request.scope], self.desk.in_cluster()
        pressed = await cluster.kill(scope, request.id, person.name, request.reason)
        rows, took_us = await cluster.answers(pressed, request.within_ms)
        self.log.warning("killed_all", scope=scope, id=request.id, by=person.name, all_confirmed_us=took_us)
        return api.KillReport(
            total_affected_orders=sum(row.total_affected_orders for row in rows),
            queued_orders=sum(row.queued_orders for row in rows),
            time_ns=pressed[0].command.time_ns,
            shards=rows,
            all_confirmed_us=took_us,
        )

    @answered
    async def HandOver(self, person: Person, request: api.HandOverRequest) -> Message:
        self.log.warning("hand_over", by=person.name, reason=request.reason)
        done = await self.engine.call(hand_over=pb.HandOver(by=person.name, reason=request.reason))
        return message_of(done, api.HandOverReport)

    @answered
    async def Unkill(self, person: Person, request: api.KillRequest) -> Message:
        if request.all_shards and request.scope not in SCOPES:
            raise ControlError("INVALID_ARGUMENT", "scope: expected SESSION, ACCOUNT, GROUP or FIRM")
        return await self.desk.unkill(person.name, request.scope, request.id, request.reason, request.all_shards)

    @answered
    async def SetLevel(self, person: Person, request: api.SetLevelRequest) -> Message:
        check_reason(request.reason)
        row = await self.engine.call(
            change_level=pb.ChangeLevel(
                scope=SCOPES.get(request.scope, ""),
                id=request.id,
                symbol=request.symbol,
                venue=request.security_exchange,
                level=request.level,
                mask=mask_of(request.mask),
                throttle_per_s=request.throttle_per_s,
                hold_ns=request.hold_s * NS_PER_S,
                by=person.name,
                reason=request.reason,
            )
        )
        return level_state(row, {})

    @answered
    async def ReleaseLevel(self, person: Person, request: api.ReleaseLevelRequest) -> Message:
        return await self.desk.release(person.name, request)

    @answered
    async def ListLevels(self, person: Person, request: api.ListLevelsRequest) -> Message:
        return api.Levels(levels=await self.levels(await self.engine.read("LEVELS")))

    async def levels(self, rows: list[dict[str, Any]]) -> list[api.LevelState]:
        return [level_state(row, await self.rule_names(row)) for row in rows]

    async def rule_names(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the rule of a level or decision is called; empty when a person set it."""
        if not row.get("rule") or not row.get("rule_set"):
            return {}
        names = await self.hub.names_of(row["rule_set"])
        found: dict[str, Any] = names["rules"][row["rule"] - 1]
        return found

    async def rule_set_state(self, number: int) -> api.RuleSetState:
        """One rule set of the day: what it is, and who put it in force."""
        found: api.RuleSetState = message_of((await self.hub.names_of(number))["rule_set"], api.RuleSetState)
        return found

    # Suspended orders, tickets

    @answered
    async def ListSuspended(self, person: Person, request: api.ListSuspendedRequest) -> Message:
        return message_of({"orders": await self.engine.read("SUSPENDED_ORDERS")}, api.SuspendedOrders)

    @answered
    async def ConfirmSuspended(self, person: Person, request: api.SuspendedDecision) -> Message:
        return await self.end_suspension(person, request, True)

    @answered
    async def DenySuspended(self, person: Person, request: api.SuspendedDecision) -> Message:
        return await self.end_suspension(person, request, False)

    async def end_suspension(self, person: Person, request: api.SuspendedDecision, confirm: bool) -> Message:
        done = await self.engine.call(
            end_suspension=pb.EndSuspension(
                account=request.account,
                cl_ord_id=request.cl_ord_id,
                order_id=request.order_id,
                confirm=confirm,
                by=person.name,
                reason=request.reason,
            )
        )
        self.log.info(
            "suspension_ended", account=request.account, confirmed=confirm, by=person.name, reason=request.reason
        )
        return message_of(done, api.SuspendedOutcome)

    @answered
    async def ListTickets(self, person: Person, request: api.ListTicketsRequest) -> Message:
        rows = await self.engine.read("TICKETS")
        return message_of(
            {"tickets": [scoped(row) for row in rows if row["is_open"] or request.with_closed]}, api.Tickets
        )

    @answered
    async def CloseTicket(self, person: Person, request: api.CloseTicketRequest) -> Message:
        check_reason(request.reason)
        row = await self.engine.call(
            end_ticket=pb.EndTicket(ticket=request.ticket, by=person.name, reason=request.reason)
        )
        return message_of(scoped(row), api.Ticket)

    # Reading

    @answered
    async def GetExposure(self, person: Person, request: api.SubjectRequest) -> Message:
        row = await self.read_subject("EXPOSURE", request)
        return message_of(row | {"scope": request.scope, "id": request.id}, api.Exposure)

    @answered
    async def GetLimits(self, person: Person, request: api.SubjectRequest) -> Message:
        topic = "ACCOUNT_STATE" if request.scope == api.ACCOUNT else "EXPOSURE"
        row = await self.read_subject(topic, request)
        return message_of({"id": request.id, "limits": row["limits"]}, api.LimitTable)

    @answered
    async def GetAccountState(self, person: Person, request: api.SubjectRequest) -> Message:
        return await self.account_state(request)

    async def account_state(self, request: api.SubjectRequest) -> api.AccountState:
        only_accounts(request)
        row = await self.read_subject("ACCOUNT_STATE", request)
        levels = await self.levels(row.pop("levels"))
        state: api.AccountState = message_of(row, api.AccountState)
        state.levels.extend(levels)
        return state

    async def read_subject(self, topic: str, request: api.SubjectRequest) -> dict[str, Any]:
        if request.scope == api.SESSION:
            raise ControlError("INVALID_ARGUMENT", "scope: got SESSION, expected ACCOUNT, GROUP or FIRM")
        found: dict[str, Any] = await self.engine.read(topic, scope=SCOPES.get(request.scope, ""), id=request.id)
        return found

    @answered
    async def ExplainOrder(self, person: Person, request: api.ExplainOrderRequest) -> Message:
        row = await self.engine.read("ORDER", id=request.account, cl_ord_id=request.cl_ord_id, number=request.order_id)
        hits, rule, rule_set = row.pop("hits"), row.pop("rule_number"), row.pop("rule_set_number")
        explanation = message_of(row, api.OrderExplanation)
        explanation.hits.extend([await self.hub.named(hit) for hit in hits])
        if rule_set:
            names = await self.hub.names_of(rule_set)
            explanation.rule_set.CopyFrom(await self.rule_set_state(rule_set))
            if rule:
                explanation.rule.CopyFrom(rule_text(names["rules"][rule - 1]))
        return explanation

    @answered
    async def ExplainAccount(self, person: Person, request: api.SubjectRequest) -> Message:
        state = await self.account_state(request)
        rows = await self.hub.newest_of(state.account, state.group, MOST_EXPLAINED)
        return api.AccountExplanation(state=state, alerts=rows)

    async def Alerts(self, request: api.AlertsRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[api.Alert]:
        try:
            await self.caller("Alerts", context)
            async for alert in self.hub.follow(request.after_seq):
                yield alert
        except ControlError as error:
            await context.abort(grpc.StatusCode[error.status], error.text)

    @answered
    async def GetStatus(self, person: Person, request: api.GetStatusRequest) -> Message:
        status = message_of(await self.engine.read("ENGINE"), api.ControlStatus)
        in_force = await self.desk.in_force()
        if in_force is not None:
            status.rules.CopyFrom(await self.rule_set_state(in_force["number"]))
        status.restricted = sum(count for level, count in self.hub.levels.items() if level > 0)
        status.waiting_proposals = len(self.desk.waiting)
        status.you = person.name
        status.roles.extend(sorted(person.roles))
        return status

    @answered
    async def GetTopology(self, person: Person, request: api.GetTopologyRequest) -> Message:
        if self.directory is None:
            raise ControlError("FAILED_PRECONDITION", "no --redis: this shard is the only one, with every account")
        return message_of(await self.directory.picture(), api.Topology)

    @answered
    async def MoveAccount(self, person: Person, request: api.MoveAccountRequest) -> Message:
        check_reason(request.reason)
        if self.directory is None:
            raise ControlError("FAILED_PRECONDITION", "this shard has no --redis: there is no other one")
        await self.directory.refresh()
        if self.directory.is_away or not self.directory.topology.table:
            raise ControlError("UNAVAILABLE", "Redis is away: homes cannot change")
        source = self.directory.topology.home_of(request.account)
        move = api.AccountMove(account=request.account, from_shard=source, to_shard=request.to_shard)
        if source != request.to_shard:
            await self.move(source, request, person.name)
        move.address = self.directory.topology.shards[request.to_shard].address
        self.log.warning("account_moved", account=request.account, to=request.to_shard, by=person.name,
                         reason=request.reason)
        return move

    async def move(self, source: int, request: api.MoveAccountRequest, by: str) -> None:
        """Ask the source, and wait for what comes of it."""
        assert self.directory is not None
        store = self.directory.store
        try:
            await store.ask_move(source, request.account, request.to_shard, by)
            for _ in range(MOVE_LOOKS):
                state, text = await store.move_state(request.account)
                if state == "CAME":
                    return
                if state == "FAILED":
                    raise ControlError("FAILED_PRECONDITION", text)
                await asyncio.sleep(MOVE_LOOK_S)
        except (RedisError, OSError) as error:
            raise ControlError("UNAVAILABLE", f"Redis is away: {error}") from None
        raise ControlError("DEADLINE_EXCEEDED", f"{request.account} is {state.lower()}, and not yet at its new shard")


def message_of(row: dict[str, Any], kind: Any) -> Any:
    """Plain values as a message; keys that it does not have are left out."""
    return ParseDict(row, kind(), ignore_unknown_fields=True)


def scoped(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the shard with its scope as the enum's number."""
    return row | {"scope": SCOPE_OF[row["scope"]]}


def level_state(row: dict[str, Any], rule: dict[str, Any]) -> api.LevelState:
    """rule: the names of the rule that set it, empty when a person did."""
    shown = scoped(row) | {
        "rule": f"{rule['id']}@{rule['version']}" if rule else "",
        "mask": [name.lower() for name in row.get("mask", ())],
    }
    state: api.LevelState = message_of(shown, api.LevelState)
    return state


def rule_text(names: dict[str, Any]) -> api.RuleText:
    """A rule by its names in the program."""
    source = names["source"]
    row = names | {"code": f"R{names['code']}", "source": f"{source['doc']}, {source['clause']} ({source['basis']})"}
    found: api.RuleText = message_of(row, api.RuleText)
    return found


def mask_of(names: Any) -> int:
    mask = 0
    for name in names:
        if name.upper() not in MASK_BITS:
            expected = ", ".join(MASK_BITS).lower()
            raise ControlError("INVALID_ARGUMENT", f"mask: got {name!r}, expected some of {expected}")
        mask |= MASK_BITS[name.upper()]
    return mask


def sources_of(files: Any) -> dict[str, str]:
    names = [file.name for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ControlError("INVALID_ARGUMENT", f"files.name: got {twice!r} twice, expected each file once")
    return {file.name: file.text for file in files}


def history_entry(entry: Entry) -> api.HistoryEntry:
    return api.HistoryEntry(
        time_ns=entry.time_ns,
        step=entry.step,
        proposal=entry.proposal,
        sha256=entry.sha256,
        base_sha256=entry.base_sha256,
        by=entry.by,
        approved_by=entry.approved_by,
        reason=entry.reason,
        rule_set_id=entry.rule_set_id,
        rule_set_version=entry.rule_set_version,
        number=entry.number,
        trade_date=entry.trade_date,
    )


def only_accounts(request: api.SubjectRequest) -> None:
    if request.scope not in (api.ACCOUNT, api.CONTROL_SCOPE_UNSPECIFIED):
        raise ControlError("INVALID_ARGUMENT", "scope: expected ACCOUNT")
    request.scope = api.ACCOUNT
