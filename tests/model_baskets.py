"""Baskets in the reference model: as a whole against the account's hard caps (R1312), then line by line."""
from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model_ladder import UNSEQUENCED, Ask, Verdict
from tests.model_optional import LADDER, basket_cap
from tests.model_state import PASS, Decision, NewOrder, Port

if TYPE_CHECKING:
    from tests.model import Model


def submit(model: Model, port: Port, requests: list[NewOrder], now_ns: int) -> tuple[int, list[Decision]]:
    """A basket as a whole, then each line; a refused one's lines are all rejected with its code."""
    asks = [Ask(model, port, request, now_ns) for request in requests]
    over = basket_cap(asks)
    if over is None:
        return PASS, [model.new_order(port, request, now_ns) for request in requests]
    return 1312, [refuse_line(model, ask, over) for ask in asks]


def refuse_line(model: Model, ask: Ask, over: Verdict) -> Decision:
    for code, check in LADDER:
        if check not in UNSEQUENCED:
            return model.reject(ask, 1312, over, basket_cap)
        verdict = check(ask)
        if verdict is not None:
            return model.reject(ask, code, verdict, check)
        if code == 1203:
            ask.port.arrivals.append(ask.now_ns)
        if code == 1201 and ask.request.cl_ord_id in ask.account.orders:
            return model.repeat(ask.account.orders[ask.request.cl_ord_id])
    raise AssertionError("the ladder has no sequenced check")
