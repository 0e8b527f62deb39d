"""Officers of the system tests: their control file, rules to push, and a person's connection to a control port."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import yaml

from gateway.pb import control_pb2 as api
from gateway.pb import control_pb2_grpc
from tests.system.limits import token_hash

WAIT_S = 20.0
ROLES = {
    "vera": ["viewer"],
    "olga": ["risk_officer"],
    "anna": ["risk_approver"],
    "both": ["risk_officer", "risk_approver"],
    "otto": ["operator"],
}


def write_control_file(path: Path, ttl_min: int = 30, **subjects: str) -> Path:
    """Everyone of ROLES with his own name as token; subjects: common names of certificates."""
    people = [{"name": name, "roles": roles, "token_sha256": token_hash(name)} for name, roles in ROLES.items()]
    for person in people:
        if person["name"] in subjects:
            person["subject"] = subjects[str(person["name"])]
    path.write_text(yaml.safe_dump({"schema": 1, "proposal_ttl_min": ttl_min, "people": people}))
    return path


def rules_of(shares: int = 300_000, *, mode: str = "enforce", code: str = "breach: block") -> dict[str, str]:
    """One file with one rule: no account may send an order of more shares than this."""
    return {
        "sizes.yaml": f"""\
schema: 1
rule_set: {{id: sizes, version: 1}}
rules:
- id: T0001
  version: 1
  name: too large an order
  source: {{doc: "tests", clause: "1", basis: ours}}
  mode: {mode}
  per: account
  on: [order]
  when: "this_shares > {shares} shares"
  {code}
  cool_off: 1 ms
"""
    }


def files(sources: dict[str, str]) -> list[Any]:
    return [api.RuleFile(name=name, text=text) for name, text in sources.items()]


class Officer:
    """One person's calls. Every method of the service by its name, with the request's fields as keywords."""

    def __init__(self, address: str, name: str, channel: grpc.Channel | None = None) -> None:
        self.channel = channel or grpc.insecure_channel(address)
        self.stub = control_pb2_grpc.ControlStub(self.channel)
        self.metadata = [("authorization", f"Bearer {name}")] if name else []

    def __getattr__(self, method: str) -> Callable[..., Any]:
        request = getattr(api, api.DESCRIPTOR.services_by_name["Control"].methods_by_name[method].input_type.name)
        return lambda **fields: getattr(self.stub, method)(
            request(**fields), metadata=self.metadata, timeout=WAIT_S, wait_for_ready=True
        )

    def push(self, sources: dict[str, str], reason: str = "because", **fields: Any) -> Any:
        return self.PushRules(files=files(sources), reason=reason, **fields)


class Listener:
    """Follows the alerts in a thread, over restarts of the control process. alerts: (received at ns, alert)."""

    def __init__(self, officer: Officer, after_seq: int = 0) -> None:
        self.officer = officer
        self.alerts: list[tuple[int, Any]] = []
        self.after_seq = after_seq
        self.connections = 0
        self.over = False
        self.call: Any = None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        while not self.over:
            try:
                request = api.AlertsRequest(after_seq=self.after_seq)
                self.call = self.officer.stub.Alerts(request, metadata=self.officer.metadata)
                self.connections += 1
                for alert in self.call:
                    self.alerts.append((time.time_ns(), alert))
                    self.after_seq = alert.alert_seq
            except grpc.RpcError:
                time.sleep(0.02)

    def numbers(self) -> list[int]:
        return [alert.alert_seq for _, alert in self.alerts]

    def of_step(self, step: str) -> list[Any]:
        return [alert for _, alert in self.alerts if alert.step == step]

    def stop(self) -> None:
        self.over = True
        if self.call is not None:
            self.call.cancel()
        self.thread.join(5.0)
