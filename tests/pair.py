"""The reference model and the engine in one world, every step compared; and a twin of both that looks like a model."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ext import queries, tape
from tests import actions as act
from tests.driver import Driver
from tests.model import Model
from tests.model_state import Account, Decision, Firm, Group, Instrument, NewOrder, Order, Port, Quote
from tests.seeded_life import START_NS

NUMBERED = {1101, 1103, 1104, 1105, 1106, 1107, 1108, 1109, 1204, 1205, 1208, 1301, 1302, 1303, 1304, 1305, 1306, 1307,
            1308, 1309, 1310, 1311, 1402, 1502, 1612}  # fmt: skip
SCOPED = {1206, 1303, 1304, 1307, 1308, 1309, 1310, 1311, 1401, 1501, 1612}


class Pair:
    """The model and the engine in one world; every step must come out the same in both."""

    def __init__(self, model: Model, path: Path) -> None:
        self.model = model
        self.driver = Driver(model, path, START_NS)
        self.trail: list[tuple[int, dict[str, object]]] = []      # journal end -> the model's snapshot there

    def step(self, action: act.Action) -> act.Outcome:
        expected, found = act.apply(self.model, action), self.driver.apply(action)
        assert (found.code, found.affected, found.queued) == (expected.code, expected.affected, expected.queued), action
        assert found.lines == expected.lines, action
        assert what_matters(found) == what_matters(expected), action
        assert by_account(found) == by_account(expected), action
        assert sorted(map(str, found.sent)) == sorted(map(str, expected.sent)), action
        return expected

    def compare(self) -> None:
        """The whole state of both."""
        self.model.invariants()
        expected = self.model.snapshot()
        assert self.driver.world.snapshot(self.driver.engine) == expected
        assert queries.check_invariants(self.driver.engine) == []
        self.trail.append((self.driver.journal.end, expected))


def what_matters(outcome: act.Outcome) -> tuple[object, ...]:
    """Of a reject's text, the numbers of the checks that compare numbers, and the scopes where there are several."""
    value, limit, scope = outcome.detail or (0, 0, "")
    numbers = (value, limit) if outcome.code in NUMBERED else ()
    return *numbers, scope if outcome.code in SCOPED else ""


def by_account(outcome: act.Outcome) -> list[object]:
    return sorted(outcome.reports, key=lambda r: (r.account, r.event_seq))


class Twin:
    """A model that makes the engine do whatever is done to it, and fails where the engine answers otherwise.

    Limits and instruments may be changed at any time: they are loaded again before each step. Cash and positions may
    only be changed before the first order.
    """

    def __init__(self, path: Path) -> None:
        self.__dict__.update(model=Model(), path=path, pair=None, now_ns=START_NS, sent=[])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.model, name, value)

    def close(self) -> None:
        if self.pair is not None:
            self.pair.driver.close()

    def step(self, action: act.Action) -> act.Outcome:
        self.__dict__["now_ns"] = action.now_ns
        if self.pair is None:
            self.__dict__["pair"] = Pair(self.model, self.path)
            for (exchange, symbol), instrument in self.model.instruments.items():
                if instrument.quote is not None:
                    quote = instrument.quote
                    tape.quote(self.pair.driver.engine, exchange, int(symbol), self.model.venues[exchange].feed_ns,
                               bid_px_e4=quote.bid1, ask_px_e4=quote.ask1, last_px_e4=quote.last)  # fmt: skip
        self.pair.driver.world.load(self.pair.driver.engine, self.model, action.now_ns)
        outcome = self.pair.step(action)
        self.pair.compare()
        self.sent.extend(outcome.sent)
        return outcome

    def new_order(self, port: Port, request: NewOrder, now_ns: int) -> Decision:
        outcome = self.step(act.Submit(now_ns, port.name, 0, request))
        value, limit, scope = outcome.detail or (0, 0, "")
        order = act.find_order(self.model, request.account, request.cl_ord_id)
        told = any(r.cl_ord_id == request.cl_ord_id for r in outcome.reports)
        return Decision(outcome.code, value, limit, scope, order, duplicate=order is not None and not told)

    def cancel(self, port: Port, account: str, orig_cl_ord_id: str, now_ns: int) -> Decision:
        return Decision(self.step(act.Cancel(now_ns, port.name, 0, account, orig_cl_ord_id)).code)

    def answer(self, kind: str, order: Order, qty: int = 0, px: int = 0, now_ns: int = 0) -> None:
        self.step(act.VenueAnswer(now_ns or self.now_ns, kind, order.account.name, order.request.cl_ord_id, qty, px))

    def trade(self, order: Order, qty: int, px: int, now_ns: int = 0) -> None:
        self.answer("trade", order, qty, px, now_ns)

    def canceled(self, order: Order) -> None:
        self.answer("canceled", order)

    def cancel_rejected(self, order: Order) -> None:
        self.answer("cancel_rejected", order)

    def switch(self, target: Port | Account | Group | Firm, now_ns: int, on: bool) -> act.Outcome:
        scope = {Port: "port", Account: "account", Group: "group", Firm: "firm"}[type(target)]
        return self.step(act.Kill(now_ns, scope, getattr(target, "name", ""), on))

    def kill(self, target: Port | Account | Group | Firm, now_ns: int) -> tuple[int, int]:
        outcome = self.switch(target, now_ns, on=True)
        return outcome.affected, outcome.queued

    def unkill(self, target: Port | Account | Group | Firm) -> None:
        self.switch(target, self.now_ns, on=False)

    def set_quote(self, instrument: Instrument, quote: Quote, now_ns: int) -> None:
        if self.pair is None:
            self.model.set_quote(instrument, quote, now_ns)
        else:
            self.step(act.MarketQuote(now_ns, instrument.exchange, instrument.symbol, quote))

    def set_phase(self, exchange: int, phase: int, now_ns: int) -> None:
        if self.pair is None:
            self.model.set_phase(exchange, phase, now_ns)
        else:
            self.step(act.MarketPhase(now_ns, exchange, phase))

    def set_link(self, exchange: int, ready: bool, now_ns: int) -> None:
        self.step(act.Link(now_ns, exchange, ready))
