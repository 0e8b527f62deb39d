"""What can happen to a shard, as plain replayable values, and how each acts on the reference model.

An action names orders by account and cl_ord_id, so any subsequence of a run is a run too: a failure can be cut down.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from tests import model_baskets, model_shares
from tests import model_response as response
from tests.model import Model
from tests.model_state import PASS, S_PENDING_NEW, Account, Firm, Group, NewOrder, Order, Port, Quote, Report, Sent


@dataclass(frozen=True)
class Action:
    """now_ns is the time it happens at; the rest says what happens."""
    now_ns: int


@dataclass(frozen=True)
class Submit(Action):
    port: str
    session: int
    request: NewOrder


@dataclass(frozen=True)
class SubmitBasket(Action):
    """Some orders of one account at once."""
    port: str
    requests: tuple[NewOrder, ...]


@dataclass(frozen=True)
class Rearm(Action):
    """A person switches a strategy on again."""
    strategy: str


@dataclass(frozen=True)
class Cancel(Action):
    port: str
    session: int
    account: str
    orig_cl_ord_id: str
    by_order_id: bool = False     # name the order by its order_id instead


@dataclass(frozen=True)
class MassCancel(Action):
    port: str
    session: int
    account: str
    symbol: str = ""
    exchange: int = 0
    side: int = 0


@dataclass(frozen=True)
class VenueAnswer(Action):
    """A report about one order. kind: accepted, trade, canceled, rejected, business_reject, cancel_rejected,
    cancel_unknown (the exchange never had the order)."""
    kind: str
    account: str
    cl_ord_id: str
    qty: int = 0
    px: int = 0
    twice: bool = False           # the same report index comes a second time
    gap: bool = False             # another report index comes before it, too early


@dataclass(frozen=True)
class MarketQuote(Action):
    exchange: int
    symbol: str
    quote: Quote


@dataclass(frozen=True)
class MarketPhase(Action):
    exchange: int
    phase: int


@dataclass(frozen=True)
class Link(Action):
    exchange: int
    ready: bool


@dataclass(frozen=True)
class Kill(Action):
    """scope: port, account, group, firm; name is empty for the firm."""
    scope: str
    name: str
    on: bool


@dataclass(frozen=True)
class Disconnect(Action):
    """Cancel on disconnect of a port, its grace time over."""
    port: str


@dataclass(frozen=True)
class SetLevel(Action):
    """A person (by), or a rule, raises a subject's response level."""
    subject: response.Subject
    change: response.Change


@dataclass(frozen=True)
class ReleaseLevel(Action):
    subject: response.Subject
    level: int
    by: str
    approved_by: str


@dataclass(frozen=True)
class Confirm(Action):
    """A second confirmation of a suspended order, or its withdrawal."""
    account: str
    cl_ord_id: str
    withdraw: bool = False


@dataclass(frozen=True)
class OnTime(Action):
    """The shard's timer."""


@dataclass(frozen=True)
class EndOfDay(Action):
    """The exchange's report stream has ended."""
    exchange: int


@dataclass(frozen=True)
class PutInForce(Action):
    """Shares of the limits of a group, or of the firm."""
    name: str
    shares: tuple[int, ...]


@dataclass(frozen=True)
class Restart(Action):
    """The process is killed and comes back."""


@dataclass(frozen=True)
class Outcome:
    """What an action brought about: the code of its answer (0: nobody asked), what was told and what was sent."""
    code: int = 0
    detail: tuple[int, int, str] | None = None      # (value, limit, scope) of a rejected order
    affected: int = 0
    queued: int = 0
    reports: tuple[Report, ...] = ()
    sent: tuple[Sent, ...] = ()
    lines: tuple[int, ...] = ()                     # codes of a basket's lines


def apply(model: Model, action: Action) -> Outcome:
    """Let it happen to the model."""
    model.reports.clear()
    model.sent.clear()
    if isinstance(action, Submit):
        found = model.new_order(model.ports[action.port], replace(action.request), action.now_ns)
        detail = None if found.code == PASS or found.duplicate else (found.value, found.limit, found.scope)
        return Outcome(found.code, detail, 0, 0, tuple(model.reports), tuple(model.sent))
    if isinstance(action, SubmitBasket):
        requests = [replace(request) for request in action.requests]
        code, decisions = model_baskets.submit(model, model.ports[action.port], requests, action.now_ns)
        lines = tuple(decision.code for decision in decisions)
        return Outcome(code, None, 0, 0, tuple(model.reports), tuple(model.sent), lines)
    code, affected, queued = act(model, action)
    return Outcome(code, None, affected, queued, tuple(model.reports), tuple(model.sent))


def act(model: Model, action: Action) -> tuple[int, int, int]:
    """(code, orders affected, of these queued)"""
    now_ns = action.now_ns
    match action:
        case Cancel():
            return cancel(model, action), 0, 0
        case MassCancel(_, port, _, account, symbol, exchange, side):
            return model.mass_cancel(model.ports[port], account, now_ns, symbol, exchange, side)
        case VenueAnswer():
            answer(model, action)
        case MarketQuote(_, exchange, symbol, quote):
            model.set_quote(model.instruments[exchange, symbol], quote, now_ns)
        case MarketPhase(_, exchange, phase):
            model.set_phase(exchange, phase, now_ns)
        case Link(_, exchange, ready):
            model.set_link(exchange, ready, now_ns)
        case Kill(_, scope, name, on):
            target = kill_target(model, scope, name)
            if on:
                return PASS, *model.kill(target, now_ns)
            model.unkill(target)
        case Disconnect(_, port):
            return PASS, *model.disconnect(model.ports[port], now_ns)
        case SetLevel(_, subject, change):
            return response.set_level(model, subject, change, now_ns), 0, 0
        case ReleaseLevel(_, subject, level, by, approved_by):
            return response.release_level(model, subject, level, by, approved_by, now_ns), 0, 0
        case Confirm(_, account, cl_ord_id, withdraw):
            return response.confirm(model, find_order(model, account, cl_ord_id), withdraw, now_ns), 0, 0
        case OnTime():
            response.on_time(model, now_ns)
        case EndOfDay(_, exchange):
            model.end_of_day(exchange)
        case Rearm(_, strategy):
            model.strategies[strategy].rearm()
        case PutInForce(_, name, shares):
            model_shares.put_in_force(model, name, shares)
        case Restart():
            model.restart()
    return 0, 0, 0


def find_order(model: Model, account: str, cl_ord_id: str) -> Order | None:
    known = model.accounts.get(account)
    return known.orders.get(cl_ord_id) if known else None


def cancel(model: Model, action: Cancel) -> int:
    order = find_order(model, action.account, action.orig_cl_ord_id) if action.by_order_id else None
    name, order_id = ("", order.order_id) if order else (action.orig_cl_ord_id, 0)
    return model.cancel(model.ports[action.port], action.account, name, action.now_ns, order_id).code


def answer(model: Model, action: VenueAnswer) -> None:
    order = find_order(model, action.account, action.cl_ord_id)
    if order is None or not order.accepted_ns:
        return
    match action.kind:
        case "accepted":
            model.accepted(order)
        case "trade":
            model.trade(order, action.qty, action.px, action.now_ns)
        case "canceled":
            model.canceled(order)
        case "rejected":
            model.rejected(order)
        case "business_reject" if order.status == S_PENDING_NEW:
            model.rejected(order)
        case "cancel_rejected":
            model.cancel_rejected(order)
        case "cancel_unknown":
            model.cancel_unknown(order)


def kill_target(model: Model, scope: str, name: str) -> Port | Account | Group | Firm:
    if scope == "firm":
        return model.firm
    found: dict[str, dict[str, Port | Account | Group]] = {
        "port": {**model.ports}, "account": {**model.accounts}, "group": {**model.groups},
    }  # fmt: skip
    return found[scope][name]
