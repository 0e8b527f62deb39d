"""A small gateway for rules: a real engine over a real journal, and rules written as an officer writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ext import queries, surveillance, sweeps, tape
from ext.buffers import Turn
from ext.codes import PHASES
from ext.engine import Engine
from ext.journal import Journal
from ext.replay import frames
from ext.rpc import Status
from ext.session import Stages, UnaryOrder
from ext.state import State
from gateway import limit_types as shape
from gateway.loading import load_engine
from gateway.pb import order_entry_pb2 as pb
from risk_rules.load import load_rules
from tests.benchmarks.bench_core import instruments, limits

START_NS = 1_795_397_400_000_000_000  # 2026-11-23 09:30:00 in Shanghai
MS, SECOND = 10**6, 10**9
BUY, SELL = 1, 2
VENUE_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def rule_text(*rules: str, extra: str = "") -> str:
    """A rule file; each rule is the text of its keys from `on:` on, and gets the id R1, R2, ..."""
    text = "schema: 1\nrule_set: {id: test, version: 1}\n" + extra + "rules:\n"
    for at, rule in enumerate(rules, 1):
        lines = [line for line in rule.strip("\n").splitlines() if line.strip()]
        indent = min(len(line) - len(line.lstrip()) for line in lines)
        body = "\n".join("  " + line[indent:] for line in lines)
        text += f"- id: R{at}\n  version: {at}\n  name: rule {at}\n  source: {{doc: d, clause: c, basis: ours}}\n"
        text += "  tests: [t]\n" * ("tests:" not in body) + body + "\n"
    return text


def compiled(folder: Path, *rules: str, extra: str = "") -> bytes:
    """The octets of such a file."""
    path = folder / "rules.yaml"
    path.write_text(rule_text(*rules, extra=extra))
    (folder / "rules_test.yaml").write_text("schema: 1\ntests:\n- name: t\n")
    return load_rules([path], day=None).program


def desk_limits() -> Any:
    """Four accounts without limits in their way, the last two of one group; each holds the first instrument."""
    found = limits(4)
    credit = 10**17
    grouped = tuple(msgspec.structs.replace(a, group_index=0) for a in found.accounts[2:])
    positions = tuple(shape.Position(at, 600_000, 1, 10**6, 10**6) for at in range(4))
    return msgspec.structs.replace(
        found,
        groups=(shape.Group("G1", credit, credit, credit),),
        positions=positions,
        accounts=(*found.accounts[:2], *grouped),
    )


class RuleDesk:
    """Accounts A0000000 to A0000003 (the last two of one group), instruments of Shanghai at 10.00."""

    def __init__(
        self, folder: Path, *rules: str, extra: str = "", quotes: bool = True, phase: str = "CONTINUOUS"
    ) -> None:
        self.folder, self.path, self.now_ns, self.count = folder, folder / "desk.journal", START_NS, 0
        self.report_index, self.cancels = 0, 0
        self.open()
        load_engine(self.engine, desk_limits(), instruments()[:8], trade_date=20261123, shard=0, now_ns=START_NS)
        self.link()
        sweeps.set_phase(self.engine, 1, PHASES[phase], START_NS)
        if quotes:
            self.quote()
        if rules:
            self.rules(*rules, extra=extra)

    def open(self) -> None:
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.journal = Journal(self.fd, os.fstat(self.fd).st_size, str(self.path), capacity=1 << 30)
        self.state = State(16, 256, 1 << 16)
        self.engine = Engine(self.state, self.journal)

    def link(self) -> None:
        self.tape = tape.VenueTape()
        self.engine.attach(self.tape, tape.VenueTape())
        sweeps.set_link(self.engine, 1, True, self.now_ns)

    def close(self) -> None:
        os.close(self.fd)
        self.path.unlink()

    def restart(self) -> str:
        """A new process over the same journal; its state's hash."""
        os.close(self.fd)
        self.open()
        sweeps.recover(self.engine)
        self.link()
        self.engine.audience.allow(0, range(4))
        return self.state.hash()

    def rules(self, *rules: str, extra: str = "") -> int:
        return self.put(compiled(self.folder, *rules, extra=extra))

    def put(self, program: bytes) -> int:
        return surveillance.put_in_force(
            self.engine, program, id="test", sha256=bytes(32), by="o", approved_by="p", reason="r", now_ns=self.now_ns
        )

    def wait(self, ns: int) -> None:
        self.now_ns += ns
        sweeps.set_phase(self.engine, 1, PHASES["CONTINUOUS"], self.now_ns)

    def quote(
        self,
        bids: Any = ((99_900, 1000),),
        asks: Any = ((100_100, 1000),),
        last: int = 100_000,
        volume: int = 0,
        symbol: int = 600_000,
        turnover: int = 0,
    ) -> None:
        tape.quote(
            self.engine,
            1,
            symbol,
            self.now_ns,
            bids=bids,
            asks=asks,
            last_px_e4=last,
            total_volume_shares=volume,
            total_turnover_e4=turnover,
        )

    def call(self, message: Any, kind: Any, is_cancel: bool = False) -> Any:
        caller = UnaryOrder(Turn(lambda run: None), self.engine, Stages(), 0, is_cancel)
        tape.feed(caller, message.SerializeToString(), self.now_ns)
        assert caller.status == Status.OK
        return kind.FromString(tape.taken(caller)[0])

    def order(
        self, account: int = 0, side: int = BUY, qty: int = 100, price: int = 99_900, symbol: int = 600_000
    ) -> Any:
        """The report of one limit order."""
        self.count += 1
        message = pb.NewOrder(cl_ord_id=f"o{self.count}", account=f"A{account:07}", symbol=str(symbol),
                              security_exchange=1, side=side,
                              ord_type=1, order_qty_shares=qty, price_e4=price)  # fmt: skip
        return self.call(message, pb.ExecutionReport)

    def code(self, *arguments: Any, **more: Any) -> str:
        return self.order(*arguments, **more).reject_code

    def cancel(self, report: Any) -> str:
        """Request a cancel; the code it is refused with."""
        message = pb.CancelOrder(cl_ord_id="c", account=report.account, order_id=report.order_id)
        answer = self.call(message, pb.CancelResponse, is_cancel=True)
        refused = answer.cancel_reject
        self.refused_text = refused.text
        return refused.reject_code if answer.WhichOneof("response") == "cancel_reject" else ""

    def canceled(self, report: Any) -> None:
        """Request a cancel, and the exchange does it."""
        assert self.cancel(report) == ""
        self.tell(2, report)

    def fill(self, report: Any, qty: int = 100, price: int = 99_900, exec_id: str = "") -> None:
        self.tell(4, report, last_qty_shares=qty, last_px_e4=price, exec_id=exec_id)

    def tell(self, kind: int, report: Any, **fields: Any) -> None:
        self.report_index += 1
        digits, number = "", report.order_id
        for _ in range(7):
            number, digit = divmod(number, 36)
            digits = VENUE_DIGITS[digit] + digits
        found = tape.report(
            self.engine, 1, kind, self.now_ns, cl_ord_id=f"N00{digits}", report_index=self.report_index, **fields
        )
        assert found == 1

    def hits(self) -> list[tuple[str, int]]:
        """(rule id, stage) of every hit so far."""
        return [(a["rule_id"], a["stage"]) for a in self.alerts()]

    def alerts(self) -> list[dict[str, Any]]:
        """Every hit, as an alert."""
        return [a for a in surveillance.alerts(self.engine, 0, 10_000) if a["type"] == "HIT"]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for _, _, kind, _, fields in frames(self.journal) if kind == name]

    def check(self) -> None:
        """Sums add up, and a process that starts now finds the same state."""
        assert queries.check_invariants(self.engine) == []
        before = self.state.hash()
        assert self.restart() == before
