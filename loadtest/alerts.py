"""Follows a gateway's alerts beside a load, in a process of its own, and counts what they say. Changes nothing there.

Started as `python -m loadtest.alerts ADDRESS FILE`: says on stdout that it follows, writes each alert to FILE as it
comes, a line of JSON each, and ends on SIGTERM.
"""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
import msgspec
import numpy as np

from gateway.pb import control_pb2 as api
from gateway.pb import control_pb2_grpc
from loadtest.measure import Ints, Latency, latency

TOKEN = "load-watch"
AGAIN_S = 0.05


class Seen(msgspec.Struct, kw_only=True):
    """One alert, and when it came here. Times UTC ns."""

    received_ns: int
    alert_seq: int
    caused_ns: int
    kind: str
    account: str
    rule: str
    rule_name: str
    stage: str
    level: int
    until_ns: int
    enforced: bool
    blocked: bool
    factors: list[str]


class RuleCount(msgspec.Struct, kw_only=True):
    """What one rule was met for. stopped: alerts that name an order it refused or suspended."""

    rule: str
    name: str
    warnings: int
    breaches: int
    observed: int
    stopped: int


class SceneAlert(msgspec.Struct, kw_only=True):
    """One alert about the demonstration's trader. at_s: of the run; after_ms: from its cause to here."""

    at_s: float
    what: str
    factors: list[str]
    after_ms: float


class Scene(msgspec.Struct, kw_only=True):
    """The demonstration's trader and what became of him."""

    account: str
    flash_cancels: int
    refused: int  # of his later orders
    late_orders: int
    alerts: list[SceneAlert]


class Surveillance(msgspec.Struct, kw_only=True):
    """The rules during one run. stopped: orders that rules, or levels they set, rejected, over all accounts."""

    rule_set: str
    alerts: int
    missing: int  # numbers that never came
    hits: int
    levels: int
    stopped: int
    benign_stopped: int
    rules: list[RuleCount]
    latency: Latency
    scene: Scene | None = None


def factor_text(factor: Any) -> str:
    """`cancels(day, within=1 s): 501, limit 500`, units as people read them."""
    return f"{factor.text}: {amount(factor.value, factor.unit)}, limit {amount(factor.limit, factor.unit)}"


def amount(value: int, unit: str) -> str:
    if unit == "ratio":
        return f"{value / 10_000:.2f} %"
    if unit in ("yuan", "price"):
        return f"{value / 10_000:,.2f} yuan"
    if unit == "time":
        return f"{value / 1e9:g} s"
    return f"{value:,}" + (" shares" if unit == "shares" else "")


def seen_of(alert: Any) -> Seen:
    return Seen(
        received_ns=time.time_ns(),
        alert_seq=alert.alert_seq,
        caused_ns=alert.caused_ns or alert.time_ns,
        kind=alert.kind,
        account=alert.account,
        rule=alert.rule,
        rule_name=alert.rule_name,
        stage=alert.stage,
        level=alert.level,
        until_ns=alert.until_ns,
        enforced=alert.enforced,
        blocked=alert.blocked,
        factors=[factor_text(factor) for factor in alert.factors],
    )


def follow(address: str, path: Path) -> None:
    """Until SIGTERM: every alert once, over restarts of the control process."""
    channel = grpc.insecure_channel(address)
    stub, metadata = control_pb2_grpc.ControlStub(channel), [("authorization", f"Bearer {TOKEN}")]
    status = stub.GetStatus(api.GetStatusRequest(), metadata=metadata, timeout=30, wait_for_ready=True)
    rules = status.rules
    text = f"{rules.id}@{rules.version}, {rules.rules} rules, {rules.sha256[:12]}" if rules.number else "none"
    print(json.dumps({"rule_set": text, "newest_alert_seq": status.newest_alert_seq}), flush=True)
    after, encoder = 0, msgspec.json.Encoder()
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                for alert in stub.Alerts(api.AlertsRequest(after_seq=after), metadata=metadata):
                    file.write(encoder.encode(seen_of(alert)) + b"\n")
                    after = alert.alert_seq
            except grpc.RpcError:
                time.sleep(AGAIN_S)


def read_alerts(path: Path) -> list[Seen]:
    """What was followed; a last line that is not whole is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [msgspec.json.decode(line, type=Seen) for line in lines if line.endswith(b"\n")]


def count_rules(alerts: Sequence[Seen]) -> list[RuleCount]:
    """Hits by rule, the most met first."""
    rows: dict[str, RuleCount] = {}
    for alert in alerts:
        if alert.kind != "HIT":
            continue
        row = rows.setdefault(
            alert.rule, RuleCount(rule=alert.rule, name=alert.rule_name, warnings=0, breaches=0, observed=0, stopped=0)
        )
        row.observed += not alert.enforced
        row.warnings += alert.enforced and alert.stage == "warn"
        row.breaches += alert.enforced and alert.stage != "warn"
        row.stopped += alert.blocked
    return sorted(rows.values(), key=lambda row: (-row.warnings - row.breaches - row.observed, row.rule))


def latencies_ns(alerts: Sequence[Seen], since_ns: int) -> Ints:
    """From the message that caused each to its arrival here; what was there before the run began is left out."""
    rows = [alert.received_ns - alert.caused_ns for alert in alerts if alert.caused_ns >= since_ns]
    return np.array(rows, dtype=np.int64).clip(0)


def watched(
    alerts: Sequence[Seen], rule_set: str, start_ns: int, stopped: int, benign_stopped: int, scene: Scene | None
) -> Surveillance:
    """The rules of one run, from the alerts and from what became of its orders."""
    numbers = [alert.alert_seq for alert in alerts]
    return Surveillance(
        rule_set=rule_set,
        alerts=len(alerts),
        missing=max(numbers, default=0) - len(set(numbers)),
        hits=sum(alert.kind == "HIT" for alert in alerts),
        levels=sum(alert.kind == "LEVEL" for alert in alerts),
        stopped=stopped,
        benign_stopped=benign_stopped,
        rules=count_rules(alerts),
        latency=latency("alert, from its cause to a subscriber", latencies_ns(alerts, start_ns)),
        scene=scene,
    )


def alerts_of(alerts: Sequence[Seen], account: str, start_ns: int) -> list[SceneAlert]:
    """What was said of one account, in words."""
    return [
        SceneAlert(
            at_s=(alert.caused_ns - start_ns) / 1e9,
            what=words(alert),
            factors=alert.factors,
            after_ms=(alert.received_ns - alert.caused_ns) / 1e6,
        )
        for alert in alerts
        if alert.account == account and alert.kind in ("HIT", "LEVEL")
    ]


def words(alert: Seen) -> str:
    if alert.kind == "HIT":
        return f"{alert.rule} {alert.rule_name}: {alert.stage}"
    until = f" for {round((alert.until_ns - alert.caused_ns) / 60e9):g} min" if alert.until_ns else ""
    return f"level L{alert.level} set{until}"


def end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow(sys.argv[1], Path(sys.argv[2]))
