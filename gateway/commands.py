"""The one place where control reaches the engine: commands of the control process, each small, between two messages.

Runs on the shard's loop. A command changes the engine only through its own functions, and so into the journal; a
control process that is slow, silent or gone changes nothing and delays nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from ext import oversight, queries, response, suspended, sweeps
from ext.clock import utc_now_ns
from ext.codes import VENUES
from gateway import engine_views
from gateway.framing import Framed
from gateway.pb import engine_command_pb2 as pb
from gateway.quota_link import QuotaError
from gateway.replication import ReplicationError

ALERT_PAUSE_S = 0.002  # between two looks for new alerts
MOST_ALERTS = 32  # of one look: the owner thread has orders to judge
MOST_LISTED = 256
NOT_ENDED = (1603, 1604, 1606)  # codes.RejectCode: no room, no such order, not suspended any more
KILLS_FROM = 6  # the level that latches a kill
RETIRE_S = 1.0  # after which the rule set before this one is given back


class CommandError(Exception):
    """A command that is not done. status: pb.Result.Status; text: one line."""

    def __init__(self, status: pb.Result.Status, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Commands:
    """One connection to a control process.

    on_ready: called with (port, error) when it listens, or cannot; on_lost: the control process is gone; turn: what is
    told
    leaves through its gate; hand_over: hands the shard to its standby; recovery: what the start found.
    """

    def __init__(
        self, engine: Any, on_ready: Callable[[int, str], None], on_lost: Callable[[], None], turn: Any = None,
        hand_over: Callable[[], Awaitable[dict[str, Any]]] | None = None,
        recovery: Callable[[], dict[str, Any]] = dict,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.recovery = recovery
        self.shard_hand_over = hand_over
        self.shard_return_quota: Callable[[int, str, str], Awaitable[dict[str, int]]] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.on_ready = on_ready
        self.on_gone = on_lost
        self.frames = Framed(self.on_message, self.on_lost, turn)
        self.loop = asyncio.get_running_loop()
        self.waiting: deque[pb.ToShard] = deque()
        self.sent_seq: int | None = None  # newest alert sent; None: nobody follows
        self.report = pb.ControlReport()
        self.looking: asyncio.TimerHandle | None = None
        self.run: dict[str, Callable[[Any, int], Any]] = {
            "put_in_force": self.put_in_force,
            "record_step": self.record_step,
            "switch_kill": self.switch_kill,
            "change_level": self.change_level,
            "end_ticket": self.end_ticket,
            "end_suspension": self.end_suspension,
            "read": self.read,
        }

    def on_lost(self) -> None:
        self.waiting.clear()
        self.sent_seq = None
        if self.looking is not None:
            self.looking.cancel()
        self.on_gone()

    # Commands, one per turn of the loop

    def on_message(self, octets: bytes) -> None:
        try:
            message = pb.ToShard.FromString(octets)
        except DecodeError:
            self.frames.close()
            return
        kind = message.WhichOneof("body")
        if kind == "ready":
            self.on_ready(message.ready.port, message.ready.error)
        elif kind == "report":
            self.report = message.report
        elif kind == "follow_alerts":
            self.sent_seq = message.follow_alerts.after_seq
            self.send_alerts()
        elif kind in ("hand_over", "return_quota"):
            slow = self.hand_over(message.call) if kind == "hand_over" else self.return_quota(message)
            task = self.loop.create_task(slow)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            if not self.waiting:
                self.loop.call_soon(self.serve_next)
            self.waiting.append(message)

    def serve_next(self) -> None:
        if not self.waiting:
            return
        message = self.waiting.popleft()
        self.frames.send(pb.ToControl(result=self.result_of(message)).SerializeToString())
        if self.waiting:
            self.loop.call_soon(self.serve_next)

    def result_of(self, message: pb.ToShard) -> pb.Result:
        """What the engine did, or why it did not; never an exception."""
        kind = message.WhichOneof("body")
        try:
            value = self.run[kind](getattr(message, kind), utc_now_ns())
        except CommandError as error:
            return pb.Result(call=message.call, status=error.status, text=error.text)
        except ValueError as error:
            return pb.Result(call=message.call, status=pb.Result.REFUSED, text=str(error))
        except OSError as error:
            return pb.Result(call=message.call, status=pb.Result.FAILED, text=str(error))
        except Exception as error:
            self.loop.call_exception_handler({"message": "a command failed", "exception": error})
            return pb.Result(
                call=message.call, status=pb.Result.STATUS_UNSPECIFIED, text=f"{type(error).__name__}: {error}"
            )
        program = value.pop("program", b"") if isinstance(value, dict) else b""
        return pb.Result(call=message.call, status=pb.Result.OK, json=msgspec.json.encode(value), program=program)

    async def hand_over(self, call: int) -> None:
        """A command that takes its time: the shard to its standby."""
        if self.shard_hand_over is None:
            result = pb.Result(call=call, status=pb.Result.REFUSED, text="this shard has no cluster, and so no standby")
        else:
            try:
                done = await self.shard_hand_over()
                result = pb.Result(call=call, status=pb.Result.OK, json=msgspec.json.encode(done))
            except ReplicationError as error:
                result = pb.Result(call=call, status=pb.Result.REFUSED, text=str(error))
        self.frames.send(pb.ToControl(result=result).SerializeToString())

    async def return_quota(self, message: pb.ToShard) -> None:
        """Another that does: a dead shard's shares of limits to the others."""
        command = message.return_quota
        if self.shard_return_quota is None:
            text = "this shard has no cluster of several, and so no shares of limits"
            result = pb.Result(call=message.call, status=pb.Result.REFUSED, text=text)
        else:
            try:
                done = await self.shard_return_quota(command.shard, command.by, command.approved_by)
                result = pb.Result(call=message.call, status=pb.Result.OK, json=msgspec.json.encode(done))
            except QuotaError as error:
                result = pb.Result(call=message.call, status=pb.Result.REFUSED, text=str(error))
        self.frames.send(pb.ToControl(result=result).SerializeToString())

    def put_in_force(self, command: pb.PutInForce, now_ns: int) -> dict[str, Any]:
        """All or nothing, and only onto the rule set that it was compared with."""
        in_force = engine_views.rule_set(self.engine)
        if command.base_sha256.hex() != in_force.get("sha256", ""):
            raise CommandError(
                pb.Result.CONFLICT,
                f"rule set {in_force.get('number', 0)} by {in_force.get('by')} came into force meanwhile: push again",
            )
        number = engine_views.put_in_force(
            self.engine,
            command.program,
            id=command.id,
            sha256=command.sha256,
            by=command.by,
            approved_by=command.approved_by,
            reason=command.reason,
            now_ns=now_ns,
        )
        self.loop.call_later(RETIRE_S, engine_views.drop_retired, self.engine)
        return {"number": number}

    def record_step(self, command: pb.RecordStep, now_ns: int) -> None:
        oversight.record_step(
            self.engine,
            command.step,
            number=command.number,
            sha256=command.sha256,
            by=command.by,
            approved_by=command.approved_by,
            reason=command.reason,
            now_ns=now_ns,
        )

    def switch_kill(self, command: pb.SwitchKill, now_ns: int) -> dict[str, Any]:
        """The latch first, the cancels behind it, then who and why."""
        scope, index = self.subject(command.scope, command.id)
        affected, queued = sweeps.kill(
            self.engine, scope, index, command.killed, command.by, now_ns, approved_by=command.approved_by
        )
        oversight.record_step(
            self.engine,
            "killed" if command.killed else "unkilled",
            by=command.by,
            approved_by=command.approved_by,
            reason=f"{command.scope} {command.id}".strip() + f": {command.reason}",
            now_ns=now_ns,
        )
        return {"total_affected_orders": affected, "queued_orders": queued, "time_ns": now_ns}

    def change_level(self, command: pb.ChangeLevel, now_ns: int) -> dict[str, Any]:
        subject, index, instrument = self.level_subject(command)
        who = {"by": command.by, "approved_by": command.approved_by, "reason": command.reason, "now_ns": now_ns}
        if command.release:
            response.release_level(self.engine, subject, index, command.level, instrument=instrument, **who)
        else:
            changed = response.set_level(
                self.engine,
                subject,
                index,
                command.level,
                instrument=instrument,
                mask=command.mask,
                throttle_per_s=command.throttle_per_s,
                until_ns=now_ns + command.hold_ns if command.hold_ns else 0,
                **who,
            )
            if not changed:
                raise CommandError(pb.Result.REFUSED, f"level: it stands at {command.level} so already")
        return {
            "scope": command.scope,
            "id": command.id,
            "symbol": command.symbol,
            "security_exchange": command.venue,
            "level": command.level,
            "mask": [name for name, bit in response.MASK_BITS.items() if command.mask & bit],
            "throttle_per_s": command.throttle_per_s,
            "since_ns": now_ns,
            "by": command.by,
            "reason": command.reason,
            "until_ns": now_ns + command.hold_ns if command.hold_ns else 0,
            "killed": command.level >= KILLS_FROM,
        }

    def end_ticket(self, command: pb.EndTicket, now_ns: int) -> dict[str, Any]:
        response.close_ticket(self.engine, command.ticket, by=command.by, reason=command.reason, now_ns=now_ns)
        return next(row for row in engine_views.tickets(self.engine) if row["ticket"] == command.ticket)

    def end_suspension(self, command: pb.EndSuspension, now_ns: int) -> dict[str, Any]:
        """Confirmed: judged again, on its way or rejected. Denied: rejected with the code it waited for."""
        number = self.order_number(command.account, command.cl_ord_id, command.order_id)
        end = suspended.confirm if command.confirm else suspended.deny
        code = end(self.engine, number, command.by, now_ns)
        if code in NOT_ENDED:
            raise CommandError(pb.Result.REFUSED, f"order {number}: {oversight.code_text(code)}: it waits for nobody")
        decided = oversight.order_decision(self.engine, number)
        text = oversight.code_text(code) if command.confirm else decided["code"]
        return {
            "ord_status": decided["ord_status"],
            "reject_code": "" if text == "PASS" else text.split()[0],
            "text": text,
        }

    # Reading

    def read(self, command: pb.ReadState, now_ns: int) -> Any:
        topic, engine = command.topic, self.engine
        if topic == pb.ReadState.ALERTS:
            return engine_views.alerts(engine, command.after_seq, min(command.most or MOST_LISTED, MOST_LISTED))
        if topic == pb.ReadState.ORDER:
            return engine_views.order(engine, self.order_number(command.id, command.cl_ord_id, command.number))
        if topic == pb.ReadState.RULE_NAMES:
            return engine_views.rule_set(engine, command.number)
        if topic == pb.ReadState.RULE_SET:
            return {key: value for key, value in engine_views.rule_set(engine).items() if key != "program"}
        if topic == pb.ReadState.RECOVERY:
            return self.recovery()
        if topic == pb.ReadState.ENGINE:
            return engine_views.sizes(engine) | {"time_ns": now_ns}
        whole = {
            pb.ReadState.LEVELS: engine_views.levels,
            pb.ReadState.TICKETS: engine_views.tickets,
            pb.ReadState.SUSPENDED_ORDERS: engine_views.suspended_orders,
        }
        if topic in whole:
            return whole[topic](engine)
        scope, index = self.subject(command.scope, command.id)
        if topic == pb.ReadState.STANDING:
            _, owner, instrument = self.level_subject(command)
            return {"level": oversight.level_of(engine, scope, owner, instrument)}
        if topic == pb.ReadState.KILLED:
            return {"killed": oversight.is_killed(engine, scope, index)}
        if topic == pb.ReadState.ACCOUNT_STATE:
            return engine_views.account(engine, index)
        return oversight.exposure(engine, scope, index)

    def subject(self, scope: str, name: str) -> tuple[int, int]:
        """(KillScope, index) of a session, account, group or the firm."""
        engine = self.engine
        if scope == "firm" and not name:
            return oversight.KILL_SCOPES[scope], 0
        found: list[int] = []
        if scope == "session":
            found = oversight.ports_named(engine, name)
        elif scope in ("account", "group"):
            index = (queries.account_index if scope == "account" else oversight.group_index)(engine, name)
            found = [] if index is None else [index]
        else:
            raise CommandError(
                pb.Result.INVALID,
                f"scope: got {scope or 'nothing'} with id {name!r}, expected session, "
                "account, group, or firm without an id",
            )
        if len(found) != 1:
            expected = "8 or more digits of one token's SHA-256" if scope == "session" else f"the id of one {scope}"
            raise CommandError(
                pb.Result.NOT_FOUND, f"id: {name!r} names {len(found) or 'no'} {scope}, expected {expected}"
            )
        return oversight.KILL_SCOPES[scope], found[0]

    def level_subject(self, command: pb.ChangeLevel | pb.ReadState) -> tuple[int, int, int]:
        """(Subject, index, instrument) as ext.response takes them."""
        if command.scope == "session":
            raise CommandError(pb.Result.INVALID, "scope: got session, expected account, group or firm")
        _, index = self.subject(command.scope, command.id)
        if not command.symbol:
            return engine_views.SUBJECTS[command.scope], index, engine_views.NO_INSTRUMENT
        venue = VENUES.get(command.venue, 0)
        instrument = queries.instrument_index(self.engine, venue, command.symbol) if venue else None
        if instrument is None or command.scope == "firm":
            raise CommandError(
                pb.Result.NOT_FOUND,
                f"symbol: got {command.symbol!r} at {command.venue!r}, expected an instrument, of an account or group",
            )
        return engine_views.SUBJECTS["position"], engine_views.owner_of(command.scope, index), instrument

    def order_number(self, account: str, cl_ord_id: str, order_id: int) -> int:
        index = queries.account_index(self.engine, account)
        number: int = 0 if index is None else queries.order_no_of(self.engine, index, cl_ord_id, order_id)
        if number == 0:
            raise CommandError(
                pb.Result.NOT_FOUND,
                f"account {account!r} has no order with cl_ord_id {cl_ord_id!r} or order_id {order_id}",
            )
        return number

    # Alerts

    def send_alerts(self) -> None:
        """What is newer than the last one sent, as far as the socket takes it; then again, while somebody follows."""
        if self.sent_seq is None or not self.frames.is_open:
            return
        found: list[dict[str, Any]] = []
        if self.frames.writable.is_set():
            found = engine_views.alerts(self.engine, self.sent_seq, MOST_ALERTS)
        if found:
            first, last = found[0]["alert_seq"], found[-1]["alert_seq"]
            batch = pb.AlertBatch(first_seq=first, last_seq=last, json=msgspec.json.encode(found))
            self.frames.send(pb.ToControl(alerts=batch).SerializeToString())
            self.sent_seq = last
        self.looking = self.loop.call_later(0.0 if len(found) == MOST_ALERTS else ALERT_PAUSE_S, self.send_alerts)
