"""The ladder as a list of independent questions about one order, asked in the order of docs/ladder.md; rows 1 to 33.

Each check returns None (go on) or a Verdict. They read the model and change nothing.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.model_shares import QUOTA, net_kind, share_of
from tests.model_state import (
    BEST5_LIMIT,
    BUY,
    CHINEXT,
    FOK,
    INDEX,
    IOC,
    LIMIT,
    MAIN,
    ORD_TYPES,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_OPEN_CALL,
    P_OPEN_CALL_LOCKED,
    SELL,
    STEP_NS,
    XSHE,
    XSHG,
    Account,
    Instrument,
    NewOrder,
    Order,
    Port,
    Quote,
    ScopeLimits,
    Strategy,
)

if TYPE_CHECKING:
    from tests.model import Model

ORDER_PHASES = frozenset({P_OPEN_CALL, P_OPEN_CALL_LOCKED, P_CONTINUOUS, P_CLOSE_CALL})
RISK_WARNING_SHARES_PER_DAY = 500_000


@dataclass(frozen=True)
class Verdict:
    """Why not: what the checked quantity would become with this order, and the limit it breaks."""
    value: int = 0
    limit: int = 0
    scope: str = ""
    code: int = 0                     # where it is not the row's own


Check = Callable[["Ask"], "Verdict | None"]


@dataclass(frozen=True)
class Ask:
    """One order in front of the ladder."""
    model: Model
    port: Port
    request: NewOrder
    now_ns: int

    @property
    def account(self) -> Account:
        return self.model.accounts[self.request.account]

    @property
    def strategy(self) -> Strategy | None:
        return self.model.strategies.get(self.request.strategy)

    @property
    def known_instrument(self) -> Instrument | None:
        return self.model.instruments.get((self.request.exchange, self.request.symbol))

    @property
    def instrument(self) -> Instrument:
        return self.model.instruments[self.request.exchange, self.request.symbol]

    @property
    def quote(self) -> Quote:
        return self.instrument.quote or Quote()

    @property
    def phase(self) -> int:
        return self.model.phase_of(self.instrument)

    @property
    def is_buy(self) -> bool:
        return self.request.side == BUY

    @property
    def is_limit(self) -> bool:
        return self.request.ord_type == LIMIT

    @property
    def wpx(self) -> int:
        """Worst-case price; 0 for a market buy that has neither an up limit nor a protection price."""
        price, quote = self.request.price, self.quote
        if self.is_buy:
            if self.is_limit:
                return price
            return min([p for p in (self.instrument.up_limit, price) if p > 0], default=0)
        if self.is_limit:
            return max(price, quote.bid1, quote.last)
        return max(quote.bid1, quote.last) or self.instrument.prev_close

    @property
    def ntl(self) -> int:
        return self.wpx * self.request.qty


def count_last_second(times: Iterable[int], now_ns: int) -> int:
    """How many of these times lie in the current step of 1/16 s or the 16 before it."""
    step = now_ns // STEP_NS
    return sum(1 for t in times if step - 16 <= t // STEP_NS <= step)


def first_nonzero(*prices: int) -> int:
    return next((p for p in prices if p), 0)


# 1-7: before the order has a place in the account's history


def malformed(ask: Ask) -> Verdict | None:
    r = ask.request
    well_formed = (
        1 <= len(r.cl_ord_id.encode()) <= 64
        and 1 <= len(r.account.encode()) <= 16
        and len(r.symbol) == 6
        and all(c in "0123456789" for c in r.symbol)
        and r.exchange in (XSHG, XSHE)
        and r.side in (BUY, SELL)
        and r.ord_type in ORD_TYPES
        and r.time_in_force in (0, 1)
        and 1 <= r.qty <= 10**9
        and 0 <= r.price <= 10**9
        and (r.ord_type != LIMIT or r.price > 0)
        and len(r.strategy.encode()) <= 16
        and len(r.parent_id.encode()) <= 64
        and (1 <= r.parent_qty <= 10**9 if r.parent_id else r.parent_qty == 0)
        and not (r.short_sale and r.side != SELL)
    )
    return None if well_formed else Verdict()


def auth(ask: Ask) -> Verdict | None:
    owned = ask.request.account in ask.port.accounts and ask.request.account in ask.model.accounts
    registered = not ask.request.strategy or ask.strategy is not None
    return None if owned and registered else Verdict(scope="port")


def rate_in(ask: Ask) -> Verdict | None:
    count = count_last_second(ask.port.arrivals, ask.now_ns)
    return Verdict(count + 1, ask.port.rate_in_per_s, "port") if count >= ask.port.rate_in_per_s else None


def reject_break(ask: Ask) -> Verdict | None:
    return Verdict(scope="port") if ask.now_ns < ask.port.latched_until_ns else None


def dup_id(ask: Ask) -> Verdict | None:
    """Only other content is a reject; equal content is answered before this ladder step by Model.new_order."""
    earlier = ask.account.orders.get(ask.request.cl_ord_id)
    return Verdict(scope="account") if earlier and earlier.request.identity != ask.request.identity else None


def capacity(ask: Ask) -> Verdict | None:
    used, limit = len(ask.model.orders), ask.model.order_capacity
    return Verdict(used, limit) if used >= limit else None


def kill(ask: Ask) -> Verdict | None:
    group = ask.account.group
    if ask.model.firm.killed:
        return Verdict(scope="firm")
    if group is not None and group.killed:
        return Verdict(scope="group")
    if ask.account.killed:
        return Verdict(scope="account")
    return Verdict(scope="port") if ask.port.killed else None


# 8-14: may this account send this kind of order now?


def state(ask: Ask) -> Verdict | None:
    if ask.account.state in ("FROZEN", "CANCEL_ONLY"):
        return Verdict(scope="account")
    return Verdict(scope="account") if ask.account.state == "SELL_ONLY" and ask.is_buy else None


def symbol(ask: Ask) -> Verdict | None:
    known = ask.known_instrument
    return None if known is not None and known.status == "NORMAL" and known.board != INDEX else Verdict()


def venue_down(ask: Ask) -> Verdict | None:
    return None if ask.model.venues[ask.request.exchange].link_ready else Verdict()


def session(ask: Ask) -> Verdict | None:
    return None if ask.phase in ORDER_PHASES else Verdict(ask.phase)


def restricted(ask: Ask) -> Verdict | None:
    r = ask.request
    return Verdict(scope="account") if (r.exchange, r.symbol, r.side) in ask.account.banned else None


def ordtype(ask: Ask) -> Verdict | None:
    kind, exchange = ask.request.ord_type, ask.request.exchange
    if kind not in ask.account.ord_types or kind not in ask.model.board_ord_types[ask.instrument.board]:
        return Verdict(kind, scope="account")
    if (kind == BEST5_LIMIT and exchange != XSHG) or (kind in (IOC, FOK) and exchange != XSHE):
        return Verdict(kind)
    if not ask.is_limit and ask.phase != P_CONTINUOUS:
        return Verdict(kind)
    return Verdict(kind) if ask.wpx == 0 else None


def suitability(ask: Ask) -> Verdict | None:
    return None if ask.instrument.board in ask.account.boards else Verdict(ask.instrument.board, scope="account")


# 15-22: the order's own numbers, and the market's


def qty_format(ask: Ask) -> Verdict | None:
    qty, board = ask.request.qty, ask.instrument.board
    rules = ask.model.boards[board]
    if ask.is_buy:
        return Verdict(qty, rules.min_qty) if qty < rules.min_qty or (qty - rules.min_qty) % rules.step_qty else None
    avail = ask.model.sellable(ask.account, ask.instrument) - ask.model.held(ask.account, ask.instrument)
    if ask.request.short_sale:
        avail = 0
    if board in (MAIN, CHINEXT):
        return None if qty % 100 == 0 or qty % 100 == avail % 100 else Verdict(qty, rules.min_qty)
    return Verdict(qty, rules.min_qty) if qty < 200 and qty != avail else None


def max_qty(ask: Ask) -> Verdict | None:
    rules, instrument = ask.model.boards[ask.instrument.board], ask.instrument
    market_max = (
        min(instrument.max_limit_qty, rules.max_limit_qty)
        if ask.is_limit
        else min(instrument.max_market_qty, rules.max_market_qty)
    )
    limit = min(market_max, ask.account.limits.max_qty)
    return Verdict(ask.request.qty, limit) if ask.request.qty > limit else None


def tick(ask: Ask) -> Verdict | None:
    return Verdict(ask.request.price, ask.instrument.tick) if ask.request.price % ask.instrument.tick else None


def price_limit(ask: Ask) -> Verdict | None:
    if not ask.is_limit:
        return None
    price, instrument = ask.request.price, ask.instrument
    if instrument.up_limit and price > instrument.up_limit:
        return Verdict(price, instrument.up_limit)
    return Verdict(price, instrument.down_limit) if instrument.down_limit and price < instrument.down_limit else None


def md_stale(ask: Ask) -> Verdict | None:
    if ask.phase != P_CONTINUOUS:
        return None
    venue = ask.model.venues[ask.request.exchange]
    if ask.instrument.quote is None or venue.feed_ns is None:
        return Verdict(limit=venue.max_age_ms)
    silent_ns = ask.now_ns - venue.feed_ns
    return Verdict(silent_ns // 10**6, venue.max_age_ms) if silent_ns > venue.max_age_ms * 10**6 else None


def max_ntl(ask: Ask) -> Verdict | None:
    limit = ask.account.limits.max_ntl
    return Verdict(ask.ntl, limit, "account") if ask.ntl > limit else None


def cage(ask: Ask) -> Verdict | None:
    if ask.phase != P_CONTINUOUS or not ask.is_limit:
        return None
    quote, instrument, price = ask.quote, ask.instrument, ask.request.price
    rules = ask.model.boards[instrument.board]
    floor = rules.cage_ticks * instrument.tick
    if ask.is_buy:
        ref = first_nonzero(quote.ask1, quote.bid1, quote.last, instrument.prev_close)
        too_far = price * 10_000 > ref * (10_000 + rules.cage_bps) and price > ref + floor
        bound = max(ref * (10_000 + rules.cage_bps) // 10_000, ref + floor)
    else:
        ref = first_nonzero(quote.bid1, quote.ask1, quote.last, instrument.prev_close)
        too_far = price * 10_000 < ref * (10_000 - rules.cage_bps) and price < ref - floor
        bound = min(-(-ref * (10_000 - rules.cage_bps) // 10_000), ref - floor)
    return Verdict(price, bound) if too_far else None


def collar(ask: Ask) -> Verdict | None:
    phase = P_OPEN_CALL if ask.phase == P_OPEN_CALL_LOCKED else ask.phase
    parameters = ask.account.limits.collar.get(phase)
    if not ask.is_limit or parameters is None:
        return None
    bps, ticks = parameters
    quote, prev_close, price = ask.quote, ask.instrument.prev_close, ask.request.price
    opposite = quote.ask1 if ask.is_buy else quote.bid1
    ref = first_nonzero(opposite if phase == P_CONTINUOUS else 0, quote.last, prev_close)
    distance = price - ref if ask.is_buy else ref - price
    too_far = distance * 10_000 > ref * bps and distance > ticks * ask.instrument.tick
    reach = max(ref * bps // 10_000, ticks * ask.instrument.tick)
    return Verdict(price, ref + reach if ask.is_buy else ref - reach) if too_far else None


def self_match(ask: Ask) -> Verdict | None:
    own_open = [
        o
        for o in ask.model.open_orders
        if o.instrument is ask.instrument and o.request.side != ask.request.side and same_controller(o, ask.account)
    ]
    for other in own_open:
        price = other.resting_price
        if ask.is_buy:
            reach = ask.request.price if ask.is_limit else ask.instrument.up_limit
            meets = price <= reach or reach == 0
        else:
            meets = price >= ask.request.price or not ask.is_limit
        if meets:
            return Verdict(ask.request.price, price, "group" if ask.account.group else "account")
    return None


def same_controller(order: Order, account: Account) -> bool:
    if account.group is None:
        return order.account is account
    return order.account.group is account.group


# 24-27: counts


def dup_econ(ask: Ask) -> Verdict | None:
    limits, r = ask.account.limits, ask.request
    accepted = [o for o in ask.account.orders.values() if o.accepted_ns and o.instrument is ask.instrument]
    accepted.sort(key=lambda o: o.accepted_no)
    last = accepted[-limits.dup_max :]
    if len(last) < limits.dup_max:
        return None
    same = all(o.request.content == r.content for o in last)
    times = [o.accepted_ns for o in last] + [ask.now_ns]
    close = all(b - a <= limits.dup_window_ms * 10**6 for a, b in pairwise(times))
    return Verdict(len(last), limits.dup_max, "account") if same and close else None


def rate_out(ask: Ask) -> Verdict | None:
    limits = ask.account.limits
    sent = ask.account.sent.get(ask.request.exchange, [])
    in_second = count_last_second(sent, ask.now_ns)
    if in_second >= limits.rate_out_per_s:
        return Verdict(in_second + 1, limits.rate_out_per_s, "account")
    today = len(sent) + 1
    return Verdict(today, limits.rate_out_per_day, "account") if today > limits.rate_out_per_day else None


def rate_symbol(ask: Ask) -> Verdict | None:
    limit = ask.account.limits.rate_symbol_per_s
    times = [o.accepted_ns for o in ask.account.orders.values() if o.accepted_ns and o.instrument is ask.instrument]
    count = count_last_second(times, ask.now_ns)
    return Verdict(count + 1, limit, "account") if count >= limit else None


def open_count(ask: Ask) -> Verdict | None:
    limits = ask.account.limits
    own = [o for o in ask.model.open_orders if o.account is ask.account]
    if len(own) >= limits.open_orders:
        return Verdict(len(own) + 1, limits.open_orders, "account")
    in_symbol = sum(1 for o in own if o.instrument is ask.instrument)
    limit = limits.open_orders_per_symbol
    return Verdict(in_symbol + 1, limit, "account") if in_symbol >= limit else None


# 28-33: money and position


def cash(ask: Ask) -> Verdict | None:
    need = ask.ntl + ask.account.fees.of(BUY, ask.ntl)
    free = ask.model.cash(ask.account) - ask.model.cash_held(ask.account)
    return Verdict(need, free, "account") if ask.is_buy and need > free else None


def sellable(ask: Ask) -> Verdict | None:
    avail = ask.model.sellable(ask.account, ask.instrument) - ask.model.held(ask.account, ask.instrument)
    if ask.is_buy or ask.request.short_sale:
        return None
    return Verdict(ask.request.qty, avail, "account") if ask.request.qty > avail else None


def scopes(ask: Ask) -> list[tuple[str, ScopeLimits, list[Account]]]:
    """Account, group and firm, each with its limits and the accounts it sums over."""
    account, model = ask.account, ask.model
    found: list[tuple[str, ScopeLimits, list[Account]]] = [("account", account.limits, [account])]
    if account.group is not None:
        members = [a for a in model.accounts.values() if a.group is account.group]
        found.append(("group", account.group.limits, members))
    return [*found, ("firm", model.firm.limits, list(model.accounts.values()))]


def beyond(ask: Ask, use: int, limit: int, scope: str, kind: str) -> Verdict | None:
    """Beyond a limit, or beyond this shard's share of it."""
    share = share_of(ask.model, ask.account, scope, kind)
    if use > limit:
        return Verdict(use, limit, scope)
    return Verdict(use, share, scope, QUOTA) if share is not None and use > share else None


def gross(ask: Ask) -> Verdict | None:
    for name, limits, accounts in scopes(ask):
        found = beyond(ask, ask.model.usage(accounts).gross + ask.ntl, limits.gross_limit, name, "gross")
        if found is not None:
            return found
    return None


def net(ask: Ask) -> Verdict | None:
    for name, limits, accounts in scopes(ask):
        u = ask.model.usage(accounts)
        if ask.is_buy:
            use, limit = max(u.open_buy + u.filled_buy - u.filled_sell, u.open_buy) + ask.ntl, limits.long_limit
        else:
            use, limit = max(u.open_sell + u.filled_sell - u.filled_buy, u.open_sell) + ask.ntl, limits.short_limit
        found = beyond(ask, use, limit, name, net_kind(ask.request.side))
        if found is not None:
            return found
    return None


def position(ask: Ask) -> Verdict | None:
    if not ask.is_buy:
        return None
    account, instrument, qty = ask.account, ask.instrument, ask.request.qty
    open_buy = ask.model.open_buy_shares(account, instrument)
    after = ask.model.total(account, instrument) + open_buy + qty
    if after > account.limits.position_limit_shares:
        return Verdict(after, account.limits.position_limit_shares, "account")
    today = ask.model.bought_today(account, instrument) + open_buy + qty
    if instrument.risk_warning and today > RISK_WARNING_SHARES_PER_DAY:
        return Verdict(today, RISK_WARNING_SHARES_PER_DAY, "account")
    return None


def firm_cap(ask: Ask) -> Verdict | None:
    use = ask.model.usage(list(ask.model.accounts.values())).gross + ask.ntl
    return beyond(ask, use, ask.model.firm.capital_limit, "firm", "capital")


HARD_ROWS: list[tuple[int, Check]] = [
    (1605, malformed), (1001, auth), (1203, rate_in), (1207, reject_break), (1201, dup_id), (1603, capacity),
    (1501, kill), (1002, state), (1003, symbol), (1601, venue_down), (1004, session), (1005, restricted),
    (1006, ordtype), (1007, suitability), (1101, qty_format), (1102, max_qty), (1105, tick), (1106, price_limit),
    (1110, md_stale), (1103, max_ntl), (1107, cage), (1108, collar), (1401, self_match), (1202, dup_econ),
    (1204, rate_out), (1205, rate_symbol), (1208, open_count), (1301, cash), (1302, sellable), (1303, gross),
    (1304, net), (1305, position), (1309, firm_cap),
]  # fmt: skip
UNSEQUENCED = frozenset({malformed, auth, rate_in, reject_break, dup_id, capacity})
