"""A rule set pushed again and again to a gateway under load, and the proof in its journal that no order was judged by a mix."""
from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import risk_rules
from ext import lookback
from gateway.journal_file import JournalFile
from gateway.pb import control_pb2 as api
from risk_rules.load import rule_files
from tests.system.officers import Officer, write_control_file

FIRST = 500_000
CONSTANT = re.compile(r"most_shares_pushed: [\d_]+ shares")
RULE = f"""\
schema: 1
params: {{most_shares_pushed: {FIRST} shares}}
rules:
- id: PUSHED
  version: 1
  name: its constant changes with every push
  source: {{doc: "tests", clause: "1", basis: ours}}
  per: account
  on: [order]
  when: "this_shares > most_shares_pushed"
  breach: block
  cool_off: 1 ms
"""


def shipped_rules(folder: Path) -> Path:
    """A folder with the shipped rulebook and one rule more, whose constant the pushes change."""
    folder.mkdir()
    for file in rule_files(Path(risk_rules.__file__).parent):
        shutil.copy(file, folder / file.name)
        beside = file.with_name(f"{file.stem}_test.yaml")
        if beside.exists():
            shutil.copy(beside, folder / beside.name)
    (folder / "pushed.yaml").write_text(RULE)
    return folder


@dataclass
class Pusher:
    """Pushes the rules of a folder, each time with a tighter constant: such a push needs no second person."""

    folder: Path
    pause_s: float
    pushed: list[int] = field(default_factory=list)  # number of each rule set that came into force
    faults: list[str] = field(default_factory=list)

    @property
    def flags(self) -> tuple[str, ...]:
        """What the gateway needs for it."""
        control = write_control_file(self.folder.parent / "control.yaml")
        return "--control-port", "0", "--control", str(control), "--rules", str(self.folder)

    @contextmanager
    def beside(self, plant: Any) -> Iterator[None]:
        """Pushes while the load runs."""
        over = threading.Event()
        officer = Officer(f"127.0.0.1:{plant.ready['control_port']}", "olga")
        thread = threading.Thread(target=self.push_on, args=(officer, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            officer.channel.close()

    def push_on(self, officer: Officer, over: threading.Event) -> None:
        texts = {file.name: file.read_text() for file in sorted(self.folder.glob("*.yaml"))}
        most = FIRST
        while not over.wait(self.pause_s) and not self.faults:
            most -= 1
            texts["pushed.yaml"] = CONSTANT.sub(f"most_shares_pushed: {most} shares", RULE)
            try:
                proposal = officer.push(texts)
            except Exception as error:
                self.faults.append(str(error))
                return
            if proposal.state != api.IN_FORCE:
                self.faults.append(str(proposal))
            self.pushed.append(proposal.number)


@dataclass(frozen=True)
class Judged:
    """What a journal says of its rule sets: orders under each, and how long after each the next order came in, in ns."""

    orders: dict[int, int]
    next_order_ns: dict[int, int]


def check_journal(path: Path) -> Judged:
    """Every order names the rule set in force at its place. Raises AssertionError where one does not."""
    in_force, in_force_ns = 0, 0
    orders: dict[int, int] = {}
    next_order_ns: dict[int, int] = {}
    file = JournalFile(path, writable=False)
    try:
        for frame in lookback.picked(file.journal, ("ORDER", "RULE_SET")):
            if frame["type"] == "RULE_SET":
                assert frame["number"] == in_force + 1, f"rule set {frame['number']} after {in_force}"
                in_force, in_force_ns = frame["number"], frame["time_ns"]
                continue
            assert frame["rule_set"] == in_force, f"order {frame['order_id']}: {frame['rule_set']}, in force {in_force}"
            orders[in_force] = orders.get(in_force, 0) + 1
            next_order_ns.setdefault(in_force, frame["time_ns"] - in_force_ns)
    finally:
        file.close()
    return Judged(orders, next_order_ns)
