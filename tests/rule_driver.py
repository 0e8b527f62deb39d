"""The real engine under rules: a tape's actions on it, and what it recorded, in the words of the model of the rules.

It translates; it judges nothing. Accounts are rich and limits wide, so that little but the rules stops an order.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ext import program, surveillance, sweeps, tape
from ext.codes import ACCOUNT_TAGS
from risk_rules.load import load_rules
from tests import actions as act
from tests import rule_probe
from tests import rule_worlds as w
from tests.driver import KINDS, Driver, venue_id
from tests.model import Model
from tests.model_state import (
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_OPEN_CALL,
    Account,
    BoardRules,
    Group,
    Instrument,
    NewOrder,
    Port,
)
from tests.model_windows import Row

RULE_TEXT = re.compile(r"R(?P<code>\d{4}) \S+ v=(?P<value>-?\d+) lim=(?P<limit>-?\d+) rule=(?P<rule>[^@ ]+)@")
RICH = 10**15
GROUP_OWNER = 1 << 31  # before the number of a group


def build_model() -> Model:
    """The world of rule_worlds as the ladder's model knows it, which is how the engine is loaded."""
    model = Model()
    model.boards[4] = BoardRules(100, 100, 1_000_000, 1_000_000)
    model.board_ord_types[4] = model.board_ord_types[1]
    model.groups = {name: Group(name) for name in sorted(set(w.ACCOUNTS.values()) - {""})}
    for facts in w.accounts():
        account = Account(facts.name, cash0=RICH, group=model.groups.get(facts.group))
        account.limits.collar = dict.fromkeys((P_OPEN_CALL, P_CONTINUOUS, P_CLOSE_CALL), (100_000, 0))
        account.start_total, account.start_sellable = dict(facts.start), dict(facts.start)
        account.tags = sum(ACCOUNT_TAGS[tag] for tag in facts.tags)
        model.accounts[facts.name] = account
    for facts in w.instruments():
        venue, symbol = facts.key
        model.instruments[facts.key] = Instrument(
            symbol, venue, facts.board, facts.prev_close, facts.up_limit, facts.down_limit, risk_warning=facts.is_st
        )
    model.ports["p"] = Port("p", set(model.accounts))
    for venue in model.venues.values():
        venue.max_age_ms = 10**9
    return model


class RuleDriver(Driver):
    """The engine in the world of rule_worlds, with a rule set in force (none when `rules` is empty)."""

    def __init__(self, path: Path, rules: str = "") -> None:
        path.unlink(missing_ok=True)
        self.directory, self.count = path.parent, 0
        super().__init__(build_model(), path, w.START_NS)
        self.names: list[str] = []
        self.mark_names: list[str] = []
        if rules:
            self.put_in_force(rules, w.START_NS)

    def put_in_force(self, rules: str, now_ns: int) -> None:
        self.count += 1
        source = self.directory / f"rules{self.count}.yaml"
        source.write_text(rules, encoding="utf-8")
        rule_set = load_rules([source], day=None)
        surveillance.put_in_force(
            self.engine,
            rule_set.program,
            id=rule_set.id,
            sha256=bytes.fromhex(rule_set.sha256),
            by="model",
            approved_by="second",
            reason="a test",
            now_ns=now_ns,
        )
        names: dict[str, Any] = program.names(rule_set.program)
        self.names = [entry["id"] for entry in names["rules"]]
        self.mark_names = names["marks"]

    def play(self, action: w.Action) -> tuple[int, str, list[tuple[str, dict[str, Any]]]]:
        """(code of the answer, its text, what the rules recorded)"""
        begin, now_ns = self.journal.end, action.now_ns
        code, text = 0, ""
        match action:
            case w.Submit():
                code, text = self.send(action)
            case w.CancelRequest():
                account = next(a for a, name in self.order_ids if name == action.name)
                code = self.apply(act.Cancel(now_ns, "p", 1, account, action.name)).code
            case w.Fill(_, name, shares, price_e4, exec_id):
                self.report("trade", name, now_ns, last_qty_shares=shares, last_px_e4=price_e4, exec_id=exec_id)
            case w.Canceled(_, name):
                self.report("canceled", name, now_ns)
            case w.Refused(_, name):
                self.report("rejected", name, now_ns)
            case w.MarketQuote():
                self.quote(action)
            case w.PhaseChange():
                sweeps.set_phase(self.engine, action.venue, action.phase, now_ns)
                self.model.venues[action.venue].phase = action.phase
            case w.OnTime():
                surveillance.on_time(self.engine, now_ns)
            case w.PutInForce():
                self.put_in_force(action.rules, now_ns)
            case w.Restart():
                self.restart(now_ns)
        return code, text, rule_probe.frames_after(self.journal, begin)

    def send(self, action: w.Submit) -> tuple[int, str]:
        venue, symbol = action.key
        request = NewOrder(
            action.name, action.account, symbol, venue, action.side, action.ord_type, action.shares, action.price_e4
        )
        self.text = ""
        return self.apply(act.Submit(action.now_ns, "p", 1, request)).code, self.text

    def ask(self, *args: Any, **more: Any) -> list[Any]:
        answers = super().ask(*args, **more)
        self.text = getattr(answers[0], "text", "") if answers else ""
        return answers

    def report(self, kind: str, name: str, now_ns: int, **fields: Any) -> None:
        """One numbered report of the exchange about an order."""
        order_id, venue = next(found for (_, known), found in self.order_ids.items() if known == name)
        ids = {"cl_ord_id": venue_id("N", order_id)}
        cancel_id = self.cancel_ids.get(order_id, "")
        if kind == "canceled" and cancel_id:
            ids = {"orig_cl_ord_id": ids["cl_ord_id"], "cl_ord_id": cancel_id}
        key = venue, order_id % 3 + 1
        self.report_index[key] = self.report_index.get(key, 0) + 1
        found = tape.report(
            self.engine,
            venue,
            KINDS[kind],
            now_ns,
            partition=key[1],
            report_index=self.report_index[key],
            **ids,
            **fields,
        )
        assert found == 1, found

    def quote(self, action: w.MarketQuote) -> None:
        venue, symbol = action.key
        tape.quote(
            self.engine,
            venue,
            int(symbol),
            action.now_ns,
            bids=action.bids,
            asks=action.asks,
            last_px_e4=action.last,
            total_volume_shares=action.volume,
            total_turnover_e4=action.turnover,
        )

    def restart(self, now_ns: int) -> None:
        """The process is killed; the next one folds the journal to the same state, and hears the phases again."""
        before = self.state.hash()
        self.start(now_ns)
        assert self.state.hash() == before, "recovered into another state"
        for exchange, venue in self.model.venues.items():
            sweeps.set_link(self.engine, exchange, True, now_ns)
            sweeps.set_phase(self.engine, exchange, venue.phase, now_ns)

    # The engine's numbers for the model's words

    def row(self, per: str, row: Row) -> int:
        """The row that the engine keeps something of this key under."""
        if per == "firm":
            return 0
        if per == "venue":
            return int(row[0]) - 1  # type: ignore[call-overload]
        if per == "instrument":
            return self.world.instruments[row[0]]  # type: ignore[index]
        owner = str(row[0])
        index = self.world.groups[owner[1:]] if owner.startswith("@") else self.world.accounts[owner]
        if per.endswith("x instrument"):
            record = -1 - index if owner.startswith("@") else index
            return rule_probe.position_row(self.state, record, self.world.instruments[row[1]])  # type: ignore[index]
        number = index * 2 + int(row[1]) - 1 if per.endswith("x venue") else index  # type: ignore[call-overload]
        return GROUP_OWNER | number if owner.startswith("@") else number
