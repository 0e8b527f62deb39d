"""What a decided proposal does, as commands for the engine. It decides nothing and sends nothing."""

from typing import Any

from gateway.pb import control_pb2 as api
from gateway.pb import engine_command_pb2 as pb
from gateway.rule_store import Entry

SCOPES: dict[int, str] = {api.SESSION: "session", api.ACCOUNT: "account", api.GROUP: "group", api.FIRM: "firm"}


def rules_command(entry: Entry, rule_set: Any, approved_by: str) -> pb.PutInForce:
    """rule_set: the entry's, compiled."""
    return pb.PutInForce(
        program=rule_set.program,
        id=rule_set.id,
        sha256=bytes.fromhex(entry.sha256),
        base_sha256=bytes.fromhex(entry.base_sha256),
        by=entry.by,
        approved_by=approved_by,
        reason=entry.reason,
    )


def unkill_command(entry: Entry, approved_by: str) -> pb.SwitchKill:
    return pb.SwitchKill(
        scope=SCOPES[entry.scope],
        id=entry.subject,
        killed=False,
        by=entry.by,
        approved_by=approved_by,
        reason=entry.reason,
    )


def release_command(entry: Entry, approved_by: str) -> pb.ChangeLevel:
    return pb.ChangeLevel(
        scope=SCOPES.get(entry.scope, ""),
        id=entry.subject,
        symbol=entry.symbol,
        venue=entry.security_exchange,
        release=True,
        level=entry.level,
        by=entry.by,
        approved_by=approved_by,
        reason=entry.reason,
    )
