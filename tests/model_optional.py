"""The ladder's rows 34 to 47: what only some orders, accounts or days have. Written from the rule catalogue alone.

Each check returns None (go on) or a Verdict, as in model_ladder. A limit of 0 is not there.
"""
from __future__ import annotations

from typing import Any

from tests.model_ladder import HARD_ROWS, Ask, Check, Verdict, beyond, first_nonzero, malformed, scopes
from tests.model_state import BUY, P_CONTINUOUS
from tests.model_worth import marked, opening, orders_by


def share(whole: int, bps: int) -> int:
    return whole * bps // 10_000


def strategy_off(code: int) -> Check:
    return lambda ask: Verdict(1, 0, "strategy") if ask.strategy is not None and ask.strategy.off == code else None


def strategy_gross(ask: Ask) -> Verdict | None:
    if ask.strategy is None:
        return None
    use = ask.model.usage_of(orders_by(ask.model, ask.strategy)).gross + ask.ntl
    return Verdict(use, ask.strategy.gross_limit, "strategy") if use > ask.strategy.gross_limit else None


def is_unsuitable(ask: Ask) -> bool:
    return ask.is_buy and not ask.account.professional and ask.account.risk_level < ask.instrument.risk_level


def never_suitable(ask: Ask) -> Verdict | None:
    found = Verdict(ask.instrument.risk_level, ask.account.risk_level, "account")
    return found if is_unsuitable(ask) and ask.account.c1_lowest else None


def size(ask: Ask) -> Verdict | None:
    instrument, limits, qty = ask.instrument, ask.account.limits, ask.request.qty
    for whole, bps in ((instrument.adv20_shares, limits.adv_bps), (instrument.float_shares, limits.float_bps)):
        if whole and bps and qty > share(whole, bps):
            return Verdict(qty, share(whole, bps), "instrument")
    return None


def is_beyond(ask: Ask) -> bool:
    """Whether the limit is further from the reference than the account's share of it."""
    bps, _, most = ask.account.limits.price_window
    if not most or not ask.is_limit:
        return False
    opposite = ask.quote.ask1 if ask.is_buy else ask.quote.bid1
    ref = first_nonzero(opposite if ask.phase == P_CONTINUOUS else 0, ask.quote.last, ask.instrument.prev_close)
    return (ask.request.price - ref if ask.is_buy else ref - ask.request.price) * 10_000 > ref * bps


def price_window(ask: Ask) -> Verdict | None:
    _, ms, most = ask.account.limits.price_window
    if not is_beyond(ask):
        return None
    step_ns = ms * 10**6 // 16
    net = ask.ntl if ask.is_buy else -ask.ntl
    for o in ask.model.orders_of(ask.account, ask.instrument):
        if o.beyond and ask.now_ns // step_ns - 16 <= o.accepted_ns // step_ns:
            net += o.ntl if o.request.side == BUY else -o.ntl
    return Verdict(net, most, "instrument") if abs(net) > most else None


def short(ask: Ask) -> Verdict | None:
    if not ask.request.short_sale:
        return None
    if not ask.instrument.shortable:
        return Verdict(0, 1, "instrument")
    used = sum(ask.model.sold_short(ask.account, ask.instrument)) + ask.request.qty
    located = ask.account.located.get(ask.instrument.key, 0)
    if used > located:
        return Verdict(used, located, "account")
    price = ask.request.price if ask.is_limit else 0
    return Verdict(price, ask.instrument.mark, "instrument") if price < ask.instrument.mark else None


def instrument_net(ask: Ask) -> Verdict | None:
    u = ask.model.usage_of(ask.model.orders_of(ask.account, ask.instrument))
    if ask.is_buy:
        use, limit = max(u.filled_buy - u.filled_sell, 0) + u.open_buy, ask.account.limits.instrument_long_limit
    else:
        use, limit = max(u.filled_sell - u.filled_buy, 0) + u.open_sell, ask.account.limits.instrument_short_limit
    return Verdict(use + ask.ntl, limit, "instrument") if limit and use + ask.ntl > limit else None


def position_share(ask: Ask) -> Verdict | None:
    whole, bps = ask.instrument.float_shares, ask.account.limits.position_float_bps
    if not ask.is_buy or not whole or not bps:
        return None
    after = ask.model.total(ask.account, ask.instrument) + ask.request.qty
    after += ask.model.open_buy_shares(ask.account, ask.instrument)
    return Verdict(after, share(whole, bps), "account") if after > share(whole, bps) else None


def concentration(ask: Ask) -> Verdict | None:
    bps = ask.account.limits.concentration_bps
    if not ask.is_buy or not bps:
        return None
    worth = ask.model.total(ask.account, ask.instrument) * ask.instrument.mark + ask.ntl
    worth += ask.model.usage_of(ask.model.orders_of(ask.account, ask.instrument)).open_buy
    most = share(opening(ask.model, ask.account), bps)
    return Verdict(worth, most, "account") if worth > most else None


def turnover(ask: Ask) -> Verdict | None:
    for name, limits, accounts in scopes(ask):
        ordered = ask.ntl + sum(o.ntl for a in accounts for o in a.orders.values())
        found = beyond(ask, ordered, limits.order_value_per_day, name, "ordered")
        if limits.order_value_per_day and found is not None:
            return found
        usage = ask.model.usage(accounts)
        traded = ask.ntl + usage.filled_buy + usage.filled_sell
        found = beyond(ask, traded, limits.traded_value_per_day, name, "traded")
        if limits.traded_value_per_day and found is not None:
            return found
    return None


def loss(ask: Ask) -> Verdict | None:
    owners: list[tuple[str, Any, Any]] = [("account", ask.account, ask.account.limits)]
    owners += [("strategy", ask.strategy, ask.strategy)] if ask.strategy is not None else []
    owners += [("firm", ask.model.firm, ask.model.firm.limits)]
    for name, owner, limits in owners:
        if not limits.loss_limit:
            continue
        profit = marked(ask.model, owner, ask.now_ns)
        opens = ask.is_buy or ask.request.short_sale
        if profit < -limits.loss_limit and (opens or limits.loss_action == "CANCEL_ONLY"):
            return Verdict(profit, -limits.loss_limit, name)
    return None


def front_end(ask: Ask) -> Verdict | None:
    unit = ask.account.unit
    if unit is None or not ask.is_buy:
        return None
    u = ask.model.usage(a for a in ask.model.accounts.values() if a.unit is unit)
    net_buy = u.open_buy + u.filled_buy - u.filled_sell + ask.ntl
    return Verdict(net_buy, unit.net_buy_quota, "unit") if net_buy > unit.net_buy_quota else None


def child(ask: Ask) -> Verdict | None:
    r = ask.request
    if not r.parent_id:
        return None
    children = [o for o in ask.account.orders.values() if o.accepted_ns and o.request.parent_id == r.parent_id]
    used = r.qty + sum(o.leaves + o.cum_qty for o in children)
    most = min([r.parent_qty, *(o.request.parent_qty for o in children)])
    return Verdict(used, most, "parent") if used > most else None


def unsuitable(ask: Ask) -> Verdict | None:
    return Verdict(ask.instrument.risk_level, ask.account.risk_level, "account") if is_unsuitable(ask) else None


def large(ask: Ask) -> Verdict | None:
    limits = ask.account.limits
    for use, soft in ((ask.ntl, limits.soft_ntl), (ask.request.qty, limits.soft_qty)):
        if soft and use > soft:
            return Verdict(use, soft, "account")
    return None


def basket_cap(asks: list[Ask]) -> Verdict | None:
    """R1312: what the whole basket breaks first."""
    limits = asks[0].account.limits
    worth = 0
    for ask in asks:
        r = ask.request
        if malformed(ask) is None:
            worth += r.price * r.qty if ask.known_instrument is None else ask.ntl
    gross_share = share(limits.gross_limit, limits.basket_gross_bps)
    for use, cap in ((len(asks), limits.basket_lines), (worth, limits.basket_ntl), (worth, gross_share)):
        if cap and use > cap:
            return Verdict(use, cap, "account")
    return None


LADDER: list[tuple[int, Check]] = [
    *HARD_ROWS, (1206, strategy_off(1206)), (1207, strategy_off(1207)), (1303, strategy_gross), (1007, never_suitable),
    (1104, size), (1109, price_window), (1402, short), (1304, instrument_net), (1305, position_share),
    (1306, concentration), (1307, turnover), (1308, loss), (1310, front_end), (1311, child),
]  # fmt: skip
WAITS: list[tuple[int, Check]] = [(1007, unsuitable), (1502, large)]     # reasons for a second confirmation
