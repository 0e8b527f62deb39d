"""A shard for tests of the control process: the same socket protocol, its state in dicts and lists."""

import asyncio
import socket
import time
from typing import Any

import msgspec

from gateway.engine_link import EngineLink
from gateway.framing import Framed
from gateway.pb import engine_command_pb2 as pb


class StandIn:
    """What the engine would do of each command, nothing else. refusing: texts of commands to refuse, by kind."""

    def __init__(self) -> None:
        self.frames = Framed(self.on_message, lambda: None)
        self.rule_sets: list[dict[str, Any]] = []
        self.killed: set[tuple[str, str]] = set()
        self.levels: dict[tuple[str, str], int] = {}
        self.steps: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.refusing: dict[str, str] = {}
        self.silent = False

    def on_message(self, octets: bytes) -> None:
        message = pb.ToShard.FromString(octets)
        kind = message.WhichOneof("body")
        if self.silent or message.call == 0:
            return
        if kind in self.refusing:
            result = pb.Result(call=message.call, status=pb.Result.FAILED, text=self.refusing[kind])
        else:
            result = getattr(self, kind)(getattr(message, kind))
            result.call = message.call
        self.frames.send(pb.ToControl(result=result).SerializeToString())

    def put_in_force(self, command: pb.PutInForce) -> pb.Result:
        if command.base_sha256.hex() != (self.rule_sets[-1]["sha256"] if self.rule_sets else ""):
            return pb.Result(status=pb.Result.CONFLICT, text="another rule set came into force meanwhile: push again")
        self.rule_sets.append(
            {
                "number": len(self.rule_sets) + 1,
                "id": command.id,
                "sha256": command.sha256.hex(),
                "by": command.by,
                "approved_by": command.approved_by,
                "reason": command.reason,
                "time_ns": time.time_ns(),
            }
        )
        return told({"number": len(self.rule_sets)})

    def record_step(self, command: pb.RecordStep) -> pb.Result:
        self.steps.append(
            {"step": command.step, "by": command.by, "approved_by": command.approved_by, "reason": command.reason}
        )
        return told(None)

    def switch_kill(self, command: pb.SwitchKill) -> pb.Result:
        change = self.killed.add if command.killed else self.killed.discard
        change((command.scope, command.id))
        return told({"total_affected_orders": 0, "queued_orders": 0, "time_ns": 1})

    def change_level(self, command: pb.ChangeLevel) -> pb.Result:
        self.levels[command.scope, command.id] = command.level
        return told({"scope": command.scope, "id": command.id, "level": command.level})

    def read(self, command: pb.ReadState) -> pb.Result:
        if command.topic == pb.ReadState.RULE_SET:
            return told(self.rule_sets[-1] if self.rule_sets else {})
        if command.topic == pb.ReadState.KILLED:
            return told({"killed": (command.scope, command.id) in self.killed})
        if command.topic == pb.ReadState.LEVELS:
            return told([{"scope": scope, "id": name, "level": level} for (scope, name), level in self.levels.items()])
        assert command.topic == pb.ReadState.ALERTS
        return told(self.alerts[command.after_seq : command.after_seq + command.most])

    def alert(self, count: int = 1, *, send: bool = True) -> None:
        """New alerts; sent over the socket unless told not to."""
        first = len(self.alerts) + 1
        new = [{"alert_seq": first + at, "kind": "ADMIN", "step": "pushed", "time_ns": 1} for at in range(count)]
        self.alerts += new
        batch = pb.AlertBatch(first_seq=first, last_seq=first + count - 1, json=msgspec.json.encode(new))
        if send:
            self.frames.send(pb.ToControl(alerts=batch).SerializeToString())


def told(value: Any) -> pb.Result:
    return pb.Result(status=pb.Result.OK, json=msgspec.json.encode(value))


async def joined(link: EngineLink) -> StandIn:
    """A stand-in at the other end of this link."""
    shard = StandIn()
    ours, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: shard.frames, sock=ours)
    await link.connect(theirs)
    return shard
