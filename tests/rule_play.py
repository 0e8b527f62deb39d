"""A tape's actions on the model of the rules, given what the ladder said of each order."""

from __future__ import annotations

from collections.abc import Sequence

from tests import rule_worlds as w
from tests.model_day import OwnOrder
from tests.model_rules import RuleModel, Verdict
from tests.model_state import LIMIT
from tests.model_windows import Key, Quote


def play(model: RuleModel, action: w.Action, ladder_rejects: bool = False, first: Sequence[Key] = ()) -> Verdict:
    """Let it happen to the model; what must be recorded is in `model.out` afterwards."""
    now_ns = action.now_ns
    model.out.clear()
    model.recorded_now = 0
    match action:
        case w.Submit():
            return submit(model, action, ladder_rejects)
        case w.CancelRequest() if can_cancel(model, action.name):
            return model.cancel(action.name, now_ns)
        case w.Fill() if is_open(model, action.name) and action.shares <= model.orders[action.name].leaves:
            model.fill(action.name, action.shares, action.price_e4, now_ns, action.exec_id)
        case w.Canceled() if is_open(model, action.name):
            model.canceled(action.name, now_ns)
        case w.Refused() if is_open(model, action.name):
            model.end(action.name)
        case w.MarketQuote():
            model.on_quote(
                action.key, Quote(now_ns, action.bids, action.asks, action.last, action.volume, action.turnover)
            )
        case w.PhaseChange():
            model.set_phase(action.venue, action.phase, now_ns)
        case w.OnTime():
            model.on_time(now_ns, first)
        case w.PutInForce():
            model.put_in_force([action.rules], now_ns)
        case w.Restart():
            model.restart()
    return Verdict()


def submit(model: RuleModel, action: w.Submit, ladder_rejects: bool) -> Verdict:
    order = OwnOrder(
        action.name,
        model.subject(action.account, action.key),
        action.side,
        action.price_e4,
        action.shares,
        is_market=action.ord_type != LIMIT,
    )
    if ladder_rejects:
        model.reject(order, action.now_ns)
        return Verdict()
    verdict = model.new_order(order, action.now_ns)
    if verdict.kind == "block":
        model.reject(order, action.now_ns)
    return verdict


def is_open(model: RuleModel, name: str) -> bool:
    return name in model.orders and model.orders[name].leaves > 0


def can_cancel(model: RuleModel, name: str) -> bool:
    return is_open(model, name)
