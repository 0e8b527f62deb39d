"""The reference model of Tidegate's ledger and ladder: slow, obvious, independent; written from docs/ladder.md alone.

Every sum is recomputed from the orders whenever it is asked for. It must not import anything of ext/.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.model_ladder import UNSEQUENCED, Ask, Check, Verdict, count_last_second
from tests.model_optional import is_beyond
from tests.model_response import CHECKS, SECOND_WAY_DOWN, Standing, Subject, reason_to_wait
from tests.model_shares import Shares
from tests.model_state import (
    BUY,
    CANCELED,
    EXPIRED,
    NEW,
    ORD_TYPES,
    P_CONTINUOUS,
    P_LUNCH,
    P_OPEN_CALL,
    P_UNKNOWN,
    PASS,
    PENDING_NEW,
    REJECTED,
    S_CANCELED,
    S_EXPIRED,
    S_FILLED,
    S_NEW,
    S_PARTIALLY_FILLED,
    S_PENDING_NEW,
    S_REJECTED,
    S_SUSPENDED,
    SELL,
    SUSPENDED,
    TRADE,
    XSHE,
    XSHG,
    Account,
    Decision,
    Firm,
    Group,
    Instrument,
    NewOrder,
    Order,
    Port,
    Quote,
    Report,
    Sent,
    Strategy,
    Unit,
    Usage,
    VenueState,
    default_boards,
)
from tests.model_worth import check_holdings, orders_by

CANCEL_PHASES = frozenset({P_OPEN_CALL, P_CONTINUOUS, P_UNKNOWN})  # unknown: the exchange decides
STREAK_EXEMPT = frozenset({1203, 1207})
CONFIRM_TTL_NS = 30 * 10**9


class Model:
    """One shard's whole state and all that may happen to it. Times are ns; reports and sent collect the output."""

    def __init__(self, order_capacity: int = 10**9) -> None:
        self.accounts: dict[str, Account] = {}
        self.groups: dict[str, Group] = {}
        self.firm = Firm()
        self.shares: Shares | None = None     # where limits are divided over shards
        self.strategies: dict[str, Strategy] = {}
        self.units: dict[str, Unit] = {}
        self.marks: dict[object, tuple[int, int]] = {}      # who -> when marked last, profit then
        self.instruments: dict[tuple[int, str], Instrument] = {}
        self.ports: dict[str, Port] = {}
        self.venues = {XSHG: VenueState(), XSHE: VenueState()}
        self.boards = default_boards()
        self.board_ord_types = dict.fromkeys(self.boards, ORD_TYPES)
        self.order_capacity = order_capacity
        self.orders: list[Order] = []
        self.reports: list[Report] = []
        self.sent: list[Sent] = []
        self.cancel_queue: list[Order] = []
        self.standings: dict[Subject, Standing] = {}
        self.leveled: set[str] = set()    # accounts that had a level, anywhere or in one instrument
        self.group_leveled = False
        self.tickets = 0
        self.accepted_count = 0

    # What the state is, computed anew

    @property
    def open_orders(self) -> list[Order]:
        return sorted((o for o in self.orders if o.is_open), key=lambda o: o.accepted_no)

    @property
    def suspended_orders(self) -> list[Order]:
        return [o for o in self.orders if o.status == S_SUSPENDED]

    def phase_of(self, instrument: Instrument) -> int:
        return self.venues[instrument.exchange].phase

    def orders_of(self, account: Account, instrument: Instrument | None = None, side: int = 0) -> list[Order]:
        return [
            o
            for o in account.orders.values()
            if (instrument is None or o.instrument is instrument) and (side == 0 or o.request.side == side)
        ]

    def cash(self, account: Account) -> int:
        return account.cash0 + sum(o.cash_effect for o in account.orders.values() if o.cum_qty)

    def cash_held(self, account: Account) -> int:
        return sum(o.cash_hold for o in account.orders.values())

    def bought_today(self, account: Account, instrument: Instrument) -> int:
        return sum(o.cum_qty for o in self.orders_of(account, instrument, BUY))

    def sold_today(self, account: Account, instrument: Instrument) -> int:
        return sum(o.cum_qty for o in self.orders_of(account, instrument, SELL) if not o.request.short_sale)

    def sold_short(self, account: Account, instrument: Instrument) -> tuple[int, int]:
        """Borrowed shares in open orders, and sold."""
        short = [o for o in self.orders_of(account, instrument, SELL) if o.request.short_sale]
        return sum(o.leaves for o in short), sum(o.cum_qty for o in short)

    def total(self, account: Account, instrument: Instrument) -> int:
        start = account.start_total.get(instrument.key, 0)
        return start + self.bought_today(account, instrument) - self.sold_today(account, instrument)

    def sellable(self, account: Account, instrument: Instrument) -> int:
        start = account.start_sellable.get(instrument.key, 0)
        bought = self.bought_today(account, instrument) if instrument.t0 else 0
        return start + bought - self.sold_today(account, instrument)

    def held(self, account: Account, instrument: Instrument) -> int:
        return sum(o.leaves for o in self.orders_of(account, instrument, SELL) if not o.request.short_sale)

    def open_buy_shares(self, account: Account, instrument: Instrument) -> int:
        return sum(o.leaves for o in self.orders_of(account, instrument, BUY))

    def usage(self, accounts: Iterable[Account]) -> Usage:
        return self.usage_of([o for a in accounts for o in a.orders.values()])

    def usage_of(self, orders: list[Order]) -> Usage:
        buys = [o for o in orders if o.request.side == BUY]
        sells = [o for o in orders if o.request.side == SELL]
        return Usage(
            open_buy=sum(o.open_ntl for o in buys),
            open_sell=sum(o.open_ntl for o in sells),
            filled_buy=sum(o.cum_ntl for o in buys),
            filled_sell=sum(o.cum_ntl for o in sells),
        )

    # New orders

    def new_order(self, port: Port, request: NewOrder, now_ns: int) -> Decision:
        """Ask the ladder's questions in order; the first that objects decides."""
        ask = Ask(self, port, request, now_ns)
        for code, check in CHECKS:
            verdict = check(ask)
            if verdict is not None:
                return self.reject(ask, verdict.code or code, verdict, check)
            if code == 1203:
                port.arrivals.append(now_ns)
            if code == 1201 and request.cl_ord_id in ask.account.orders:
                return self.repeat(ask.account.orders[request.cl_ord_id])
        found = reason_to_wait(ask)
        if found is not None:
            code, verdict, check = found
            return self.reject(ask, code, verdict, check) if port.programme else self.suspend(ask, code)
        port.streak = 0
        if ask.strategy is not None:
            ask.strategy.streak = 0
        return self.accept(ask, self.remember(ask))

    def accept(self, ask: Ask, order: Order) -> Decision:
        self.accepted_count += 1
        order.status = S_PENDING_NEW
        order.wpx = ask.wpx
        order.accepted_ns, order.accepted_no = ask.now_ns, self.accepted_count
        order.counts_for_account = ask.account.name in self.leveled
        order.counts_for_group = self.group_leveled
        order.beyond = is_beyond(ask)
        self.send("new", order, ask.now_ns)
        self.report(order, PENDING_NEW)
        return Decision(PASS, order=order)

    def suspend(self, ask: Ask, code: int) -> Decision:
        """The order exists and waits; it holds nothing and counts nowhere."""
        order = self.remember(ask)
        order.status = S_SUSPENDED
        order.wait_code, order.confirm_by_ns = code, ask.now_ns + CONFIRM_TTL_NS
        self.report(order, SUSPENDED)
        return Decision(PASS, order=order)

    def judge_again(self, order: Order, now_ns: int) -> int:
        """Confirmed: through the ladder once more, on the market as it is now."""
        ask = Ask(self, order.port, order.request, now_ns)
        code = next((found.code or code for code, check in SECOND_WAY_DOWN if (found := check(ask)) is not None), PASS)
        if code == PASS:
            self.accept(ask, order)
        else:
            self.deny(order, code)
        return code

    def deny(self, order: Order, code: int = 0) -> None:
        """A suspended order ends unsent: with what failed now, or with what it waited for."""
        order.status = S_REJECTED
        order.reject_code = code or order.wait_code
        self.report(order, REJECTED)

    def deny_all(self, wanted: Callable[[Order], bool]) -> int:
        chosen = [o for o in self.suspended_orders if wanted(o)]
        for order in chosen:
            self.deny(order)
        return len(chosen)

    def reject(self, ask: Ask, code: int, verdict: Verdict, check: Check) -> Decision:
        if check not in UNSEQUENCED or code not in STREAK_EXEMPT:
            self.count_reject(ask.port, ask.now_ns)
        order = None
        if check not in UNSEQUENCED:
            if ask.strategy is not None:
                ask.strategy.count_reject()
            order = self.remember(ask)
            order.status = S_REJECTED
            order.reject_code = code
            self.report(order, REJECTED)
        return Decision(code, verdict.value, verdict.limit, verdict.scope, order)

    def count_reject(self, port: Port, now_ns: int) -> None:
        port.streak += 1
        if port.streak >= port.reject_streak_max:
            port.latched_until_ns = now_ns + port.reject_latch_ms * 10**6
            port.streak = 0

    def repeat(self, order: Order) -> Decision:
        """The same order again: it is answered as it stands, and nothing happens."""
        return Decision(order.reject_code or PASS, order=order, duplicate=True)

    def remember(self, ask: Ask) -> Order:
        order = Order(ask.request, ask.account, ask.known_instrument, ask.port, len(self.orders) + 1)
        self.orders.append(order)
        ask.account.orders[ask.request.cl_ord_id] = order
        return order

    # Cancels

    def cancel(self, port: Port, account_name: str, orig_cl_ord_id: str, now_ns: int, order_id: int = 0) -> Decision:
        """One cancel request. PASS: it was sent, or is queued for the end of the lunch break."""
        port_owns = account_name in port.accounts and account_name in self.accounts
        if not 1 <= len(account_name.encode()) <= 16 or not (orig_cl_ord_id or order_id):
            return Decision(1605)
        if not port_owns:
            return Decision(1001)
        in_second = count_last_second(port.cancel_arrivals, now_ns)
        if in_second >= port.cancel_rate_in_per_s:
            return Decision(1203, in_second, port.cancel_rate_in_per_s, "port")
        port.cancel_arrivals.append(now_ns)
        order = self.find(self.accounts[account_name], orig_cl_ord_id, order_id)
        if order is not None and order.status == S_SUSPENDED:
            self.deny(order)
            return Decision(PASS, order=order)
        code = self.cancel_code(order)
        if code != PASS or order is None:
            return Decision(code, order=order)
        self.start_cancel(order, now_ns)
        return Decision(PASS, order=order)

    def find(self, account: Account, cl_ord_id: str, order_id: int) -> Order | None:
        if cl_ord_id:
            return account.orders.get(cl_ord_id)
        return next((o for o in account.orders.values() if o.order_id == order_id), None)

    def cancel_code(self, order: Order | None) -> int:
        if order is None:
            return 1604
        if not order.is_open or order.instrument is None:
            return 1606
        if order.cancel_pending:
            return 1607
        if not self.venues[order.request.exchange].link_ready:
            return 1601
        return PASS if self.phase_of(order.instrument) in CANCEL_PHASES | {P_LUNCH} else 1004

    def start_cancel(self, order: Order, now_ns: int) -> None:
        """Send the cancel if the exchange takes it now, else queue it."""
        order.cancel_pending = True
        order.cancel_queued = not self.may_send_cancel(order)
        if order.cancel_queued:
            self.cancel_queue.append(order)
        else:
            self.send("cancel", order, now_ns)

    def may_send_cancel(self, order: Order) -> bool:
        assert order.instrument is not None
        return self.venues[order.request.exchange].link_ready and self.phase_of(order.instrument) in CANCEL_PHASES

    def mass_cancel(
        self, port: Port, account_name: str, now_ns: int, symbol: str = "", exchange: int = 0, side: int = 0
    ) -> tuple[int, int, int]:
        """Cancel what matches; returns (code, orders affected, of these queued)."""
        if not 1 <= len(account_name.encode()) <= 16 or bool(symbol) != bool(exchange):
            return 1605, 0, 0
        if account_name not in port.accounts or account_name not in self.accounts:
            return 1001, 0, 0
        account = self.accounts[account_name]
        return PASS, *self.cancel_all(
            now_ns,
            lambda o: (
                o.account is account
                and (not symbol or (o.request.symbol, o.request.exchange) == (symbol, exchange))
                and side in (0, o.request.side)
            ),
        )

    def cancel_all(self, now_ns: int, wanted: Callable[[Order], bool]) -> tuple[int, int]:
        """Withdraw what is suspended, and start a cancel of every wanted open order that has none under way; (affected,
        of these queued)."""
        chosen = [o for o in self.open_orders if wanted(o) and not o.cancel_pending]
        for order in chosen:
            self.start_cancel(order, now_ns)
        return len(chosen) + self.deny_all(wanted), sum(1 for o in chosen if o.cancel_queued)

    def disconnect(self, port: Port, now_ns: int) -> tuple[int, int]:
        """Cancel on disconnect, its grace time over."""
        return self.cancel_all(now_ns, lambda o: o.port is port)

    def kill(self, target: Port | Account | Group | Firm, now_ns: int) -> tuple[int, int]:
        """Latch first, then sweep what is open below it."""
        target.killed = True
        return self.cancel_all(
            now_ns, lambda o: any(target is x for x in (o.port, o.account, o.account.group, self.firm))
        )

    def unkill(self, target: Port | Account | Group | Firm) -> None:
        target.killed = False

    def send_queued(self, now_ns: int) -> None:
        """A phase or a link changed: what may leave now leaves, in the order it was queued."""
        self.cancel_queue = [o for o in self.cancel_queue if o.cancel_queued]
        for order in self.cancel_queue:
            assert order.instrument is not None
            if self.may_send_cancel(order) and self.phase_of(order.instrument) != P_UNKNOWN:
                order.cancel_queued = False
                self.send("cancel", order, now_ns)

    # The exchange's answers

    def accepted(self, order: Order) -> None:
        if order.status == S_PENDING_NEW:
            order.status = S_NEW
            self.report(order, NEW)

    def trade(self, order: Order, qty: int, px: int, now_ns: int = 0) -> None:
        if not order.is_open or not 0 < qty <= order.leaves:
            return
        if order.request.strategy:
            self.strategies[order.request.strategy].count_trade(now_ns)
        order.cum_qty += qty
        order.cum_ntl += qty * px
        if order.cum_qty == order.request.qty:
            self.finish(order, S_FILLED)
        else:
            order.status = S_PARTIALLY_FILLED
        self.report(order, TRADE, qty, px)

    def canceled(self, order: Order) -> None:
        if order.is_open:
            self.finish(order, S_CANCELED)
            self.report(order, CANCELED)

    def rejected(self, order: Order) -> None:
        if order.is_open:
            order.reject_code = 1602
            self.finish(order, S_REJECTED)
            self.report(order, REJECTED)

    def is_killed(self, order: Order) -> bool:
        return any(x.killed for x in (order.port, order.account, order.account.group, self.firm) if x is not None)

    def cancel_unknown(self, order: Order) -> None:
        """The exchange does not know the order. Only of one that was held back is that its end."""
        if order.withheld and order.status == S_PENDING_NEW and order.cancel_pending and not order.cancel_queued:
            self.canceled(order)
        else:
            self.cancel_rejected(order)

    def cancel_rejected(self, order: Order) -> None:
        if order.is_open and order.cancel_pending and not order.cancel_queued:
            order.cancel_pending = False
            self.report_cancel_reject(order)

    def end_of_day(self, exchange: int) -> None:
        for order in self.open_orders:
            if order.request.exchange == exchange:
                self.finish(order, S_EXPIRED)
                self.report(order, EXPIRED)
        self.deny_all(lambda o: o.request.exchange == exchange)

    def finish(self, order: Order, status: int) -> None:
        order.status = status
        order.cancel_pending = order.cancel_queued = False

    # Market data and the exchange's state

    def set_quote(self, instrument: Instrument, quote: Quote, now_ns: int) -> None:
        instrument.quote = quote
        self.venues[instrument.exchange].feed_ns = now_ns

    def set_phase(self, exchange: int, phase: int, now_ns: int) -> None:
        """MarketStatus arrived: it is also a sign of life of the feed."""
        self.venues[exchange].phase = phase
        self.venues[exchange].feed_ns = now_ns
        self.send_queued(now_ns)

    def set_link(self, exchange: int, ready: bool, now_ns: int) -> None:
        """An exchange link went down, or is ready again: what the exchange may not have seen is then sent once more, but
        not what was killed meanwhile: that is cancelled, as it may have arrived."""
        self.venues[exchange].link_ready = ready
        for order in self.open_orders if ready else []:
            if order.request.exchange != exchange:
                continue
            is_cancelled = order.cancel_pending and not order.cancel_queued
            order.withheld = order.status == S_PENDING_NEW and self.is_killed(order)
            if order.withheld and not order.cancel_pending:
                self.start_cancel(order, now_ns)
            elif order.status == S_PENDING_NEW and not order.withheld:
                self.sent.append(Sent("new", exchange, order.order_id))
            if is_cancelled:
                self.sent.append(Sent("cancel", exchange, order.order_id))
        self.send_queued(now_ns)

    def restart(self) -> None:
        """The process died and came back: orders and money are as they were, what was only heard or counted is not."""
        for venue in self.venues.values():
            venue.link_ready, venue.phase, venue.feed_ns = False, P_UNKNOWN, None
        for instrument in self.instruments.values():
            instrument.quote = None
        for order in self.orders:
            order.withheld = False
        self.marks.clear()
        for port in self.ports.values():
            port.arrivals, port.cancel_arrivals = [], []
            port.streak = port.latched_until_ns = 0

    # Output

    def send(self, kind: str, order: Order, now_ns: int) -> None:
        exchange = order.request.exchange
        self.sent.append(Sent(kind, exchange, order.order_id))
        order.account.sent.setdefault(exchange, []).append(now_ns)

    def report(self, order: Order, exec_type: int, last_qty: int = 0, last_px: int = 0) -> None:
        order.account.event_seq += 1
        leaves = order.request.qty if order.status == S_SUSPENDED else order.leaves
        self.reports.append(
            Report(
                "execution", order.account.name, order.account.event_seq, order.request.cl_ord_id, order.order_id,
                exec_type, order.status, last_qty, last_px, leaves, order.cum_qty, order.cum_ntl,
                order.reject_code,
            )
        )  # fmt: skip

    def report_cancel_reject(self, order: Order) -> None:
        """The exchange refused a cancel. (What Tidegate itself refuses is answered, but is no event of the account.)"""
        order.account.event_seq += 1
        self.reports.append(
            Report(
                "cancel_reject", order.account.name, order.account.event_seq, order.request.cl_ord_id, order.order_id,
                0, order.status, 0, 0, 0, 0, 0, 1602,
            )
        )  # fmt: skip

    # Comparison

    def invariants(self) -> None:
        """What must hold at any time, whatever happened; raises AssertionError with the account at fault."""
        check_holdings(self)

    def snapshot(self) -> dict[str, object]:
        """Everything the engine must agree with, as plain values."""
        return {
            "accounts": {name: self.account_snapshot(a) for name, a in self.accounts.items()},
            "groups": {g.name: self.usage(self.members(g)) for g in self.groups.values()},
            "firm": self.usage(self.accounts.values()),
            "strategies": [(self.usage_of(orders_by(self, s)), s.off, s.streak) for s in self.strategies.values()],
            "units": [self.usage(a for a in self.accounts.values() if a.unit is u) for u in self.units.values()],
            "levels": {s: (x.level, x.mask, x.throttle, x.until_ns) for s, x in self.standings.items() if x.level},
            "tickets": self.tickets,
            "orders": [(o.order_id, o.status, o.cum_qty, o.cum_ntl, o.cancel_pending) for o in self.orders],
        }

    def members(self, group: Group) -> list[Account]:
        return [a for a in self.accounts.values() if a.group is group]

    def account_snapshot(self, account: Account) -> dict[str, object]:
        return {
            "cash": self.cash(account),
            "cash_held": self.cash_held(account),
            "event_seq": account.event_seq,
            "open_orders": sorted(o.order_id for o in account.orders.values() if o.is_open),
            "usage": self.usage([account]),
            "positions": {
                key: row
                for key in sorted(self.instruments)
                if any(row := self.position_snapshot(account, self.instruments[key]))
            },
        }

    def position_snapshot(self, account: Account, instrument: Instrument) -> tuple[int, int, int, int, int]:
        """total, sellable, held for sells, bought today, open buys; in shares."""
        return (
            self.total(account, instrument), self.sellable(account, instrument), self.held(account, instrument),
            self.bought_today(account, instrument), self.open_buy_shares(account, instrument),
        )  # fmt: skip
