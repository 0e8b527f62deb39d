"""What the reference model knows: accounts, groups, firm, instruments, ports and orders, as plain dataclasses.

Everything that can be computed from an order's own numbers is a property here, computed anew each time; nothing is kept
up to date by hand, so nothing can drift. It must not read or import anything of ext/.
"""
from __future__ import annotations

from dataclasses import dataclass, field

XSHG, XSHE = 1, 2
BUY, SELL = 1, 2
LIMIT, BEST5_CANCEL, BEST5_LIMIT, OWN_BEST, OPPOSITE_BEST, IOC, FOK = range(1, 8)
ORD_TYPES = frozenset(range(1, 8))
PENDING_NEW, NEW, TRADE, CANCELED, EXPIRED, REJECTED, SUSPENDED = range(1, 8)  # ExecType
S_PENDING_NEW, S_NEW, S_PARTIALLY_FILLED, S_FILLED, S_CANCELED, S_EXPIRED, S_REJECTED, S_SUSPENDED = range(1, 9)
OPEN_STATUSES = frozenset({S_PENDING_NEW, S_NEW, S_PARTIALLY_FILLED})
P_UNKNOWN, P_CLOSED, P_OPEN_CALL, P_OPEN_CALL_LOCKED, P_QUIET, P_CONTINUOUS, P_LUNCH, P_CLOSE_CALL, P_ENDED = range(9)
MAIN, STAR, CHINEXT = 1, 2, 3
PASS = 1
STEP_NS = 62_500_000
UNLIMITED = 10**17                # a limit that never binds
INDEX = 4


def price_limits(prev_close: int, percent: int, tick: int = 100) -> tuple[int, int]:
    """(up, down) limit of the day: prev_close +/- percent, rounded half up to the tick (section 2.2)."""
    up, down = ((prev_close * (100 + sign * percent) * 2 + 100 * tick) // (200 * tick) * tick for sign in (1, -1))
    return up, down


@dataclass
class BoardRules:
    """Quantity and price rules of one board (section 2.1 of the rule catalogue). Quantities in shares."""
    min_qty: int
    step_qty: int
    max_limit_qty: int
    max_market_qty: int
    cage_bps: int = 200
    cage_ticks: int = 10


def default_boards() -> dict[int, BoardRules]:
    """The three boards as the exchanges publish them; STAR has no ten-tick floor in the cage."""
    return {
        MAIN: BoardRules(100, 100, 1_000_000, 1_000_000),
        STAR: BoardRules(200, 1, 100_000, 50_000, cage_ticks=0),
        CHINEXT: BoardRules(100, 100, 300_000, 150_000),
    }


@dataclass
class Fees:
    """Money in 1e-4 yuan, rates in 1e-7."""
    commission_min_e4: int = 0
    commission_rate: int = 0
    transfer_rate: int = 0
    handling_rate: int = 0
    regulatory_rate: int = 0
    stamp_rate: int = 0

    def of(self, side: int, ntl: int) -> int:
        """Fee of one order that has traded, or may trade, ntl."""
        if ntl == 0:
            return 0
        rates = self.transfer_rate + self.handling_rate + self.regulatory_rate
        if side == SELL:
            rates += self.stamp_rate
        return max(self.commission_min_e4, ceil_rate(ntl, self.commission_rate)) + ceil_rate(ntl, rates)


def ceil_rate(ntl: int, rate: int) -> int:
    """ntl times rate (1e-7), rounded up to 1e-4 yuan."""
    return -(-ntl * rate // 10**7)


@dataclass
class Quote:
    """Best prices in 1e-4 yuan, 0 where there is none."""
    bid1: int = 0
    ask1: int = 0
    last: int = 0


@dataclass(eq=False)
class Instrument:
    symbol: str
    exchange: int
    board: int
    prev_close: int
    up_limit: int = 0             # 0: no limit that day
    down_limit: int = 0
    tick: int = 100
    status: str = "NORMAL"        # NORMAL, SUSPENDED, DELISTED
    risk_warning: bool = False    # ST
    t0: bool = False              # what is bought may be sold the same day
    max_limit_qty: int = UNLIMITED
    max_market_qty: int = UNLIMITED
    quote: Quote | None = None
    float_shares: int = 0         # 0: not known, as is the next
    adv20_shares: int = 0
    risk_level: int = 3
    shortable: bool = False

    @property
    def key(self) -> tuple[int, str]:
        return self.exchange, self.symbol

    @property
    def mark(self) -> int:
        """What a share is worth now."""
        return (self.quote.last if self.quote else 0) or self.prev_close


@dataclass
class ScopeLimits:
    """Exposure limits of an account, a group or the firm, in 1e-4 yuan of notional."""
    gross_limit: int = UNLIMITED
    long_limit: int = UNLIMITED
    short_limit: int = UNLIMITED
    order_value_per_day: int = 0  # 0 here and below: no such limit
    traded_value_per_day: int = 0
    loss_limit: int = 0
    loss_action: str = "SELL_ONLY"


@dataclass
class Limits(ScopeLimits):
    """The account's own limits."""
    max_qty: int = UNLIMITED
    max_ntl: int = UNLIMITED
    dup_max: int = UNLIMITED
    dup_window_ms: int = 0
    rate_out_per_s: int = UNLIMITED
    rate_out_per_day: int = UNLIMITED
    rate_symbol_per_s: int = UNLIMITED
    open_orders: int = UNLIMITED
    open_orders_per_symbol: int = UNLIMITED
    position_limit_shares: int = UNLIMITED
    collar: dict[int, tuple[int, int]] = field(default_factory=dict)  # phase -> (bps, ticks); absent: none
    adv_bps: int = 0
    float_bps: int = 0
    price_window: tuple[int, int, int] = (0, 0, 0)                     # bps, ms, net notional
    instrument_long_limit: int = 0
    instrument_short_limit: int = 0
    position_float_bps: int = 0
    concentration_bps: int = 0
    basket_ntl: int = 0
    basket_lines: int = 0
    basket_gross_bps: int = 0
    soft_ntl: int = 0
    soft_qty: int = 0


@dataclass(eq=False)
class Firm:
    limits: ScopeLimits = field(default_factory=ScopeLimits)
    capital_limit: int = UNLIMITED
    killed: bool = False


@dataclass(eq=False)
class Group:
    name: str
    limits: ScopeLimits = field(default_factory=ScopeLimits)
    killed: bool = False


@dataclass(eq=False)
class Strategy:
    """A registered algorithm, and the switch that stops it until a person rearms it."""
    name: str
    gross_limit: int = UNLIMITED
    raet_max: int = 0
    raet_window_s: int = 60
    reject_streak_max: int = 0
    loss_limit: int = 0
    loss_action: str = "SELL_ONLY"
    off: int = 0                      # the code that switched it off
    streak: int = 0
    trades: list[int] = field(default_factory=list)   # times, since it was last rearmed

    def count_reject(self) -> None:
        self.streak += not self.off
        if not self.off and self.reject_streak_max and self.streak >= self.reject_streak_max:
            self.off = 1207

    def count_trade(self, now_ns: int) -> None:
        if self.raet_max == 0:
            return
        self.trades.append(now_ns)
        step_ns = self.raet_window_s * 10**9 // 16
        recent = [t for t in self.trades if now_ns // step_ns - 16 <= t // step_ns]
        if not self.off and len(recent) >= self.raet_max:
            self.off = 1206

    def rearm(self) -> None:
        self.off, self.streak, self.trades = 0, 0, []


@dataclass(eq=False)
class Unit:
    name: str
    net_buy_quota: int


@dataclass(eq=False)
class Account:
    name: str
    cash0: int = 0                                                     # at the start of the day, 1e-4 yuan
    group: Group | None = None
    state: str = "NORMAL"
    limits: Limits = field(default_factory=Limits)
    fees: Fees = field(default_factory=Fees)
    ord_types: frozenset[int] = ORD_TYPES
    boards: frozenset[int] = frozenset({MAIN, STAR, CHINEXT})          # permissions
    banned: set[tuple[int, str, int]] = field(default_factory=set)     # (exchange, symbol, side)
    start_total: dict[tuple[int, str], int] = field(default_factory=dict)
    start_sellable: dict[tuple[int, str], int] = field(default_factory=dict)
    risk_level: int = 5
    c1_lowest: bool = False
    professional: bool = False
    unit: Unit | None = None
    located: dict[tuple[int, str], int] = field(default_factory=dict)  # shares borrowed to sell short
    killed: bool = False
    tags: int = 0                                                      # bits of AccountTag: what rules are scoped by
    event_seq: int = 0
    orders: dict[str, Order] = field(default_factory=dict)             # by cl_ord_id, every order of the day
    sent: dict[int, list[int]] = field(default_factory=dict)           # exchange -> times of messages sent to it


@dataclass(eq=False)
class Port:
    """One token, whatever its sessions."""
    name: str
    accounts: set[str] = field(default_factory=set)
    rate_in_per_s: int = UNLIMITED
    cancel_rate_in_per_s: int = UNLIMITED
    reject_streak_max: int = UNLIMITED
    reject_latch_ms: int = 0
    programme: bool = False       # its orders are never suspended
    killed: bool = False
    arrivals: list[int] = field(default_factory=list)
    cancel_arrivals: list[int] = field(default_factory=list)
    streak: int = 0
    latched_until_ns: int = 0


@dataclass(eq=False)
class VenueState:
    """One exchange: its link, its market phase, and when its feed was last heard."""
    link_ready: bool = True
    phase: int = P_CONTINUOUS
    feed_ns: int | None = None
    max_age_ms: int = 3_000


@dataclass
class NewOrder:
    """What a front end asks for; the fields of order_entry.proto."""
    cl_ord_id: str
    account: str
    symbol: str
    exchange: int
    side: int
    ord_type: int
    qty: int
    price: int = 0
    time_in_force: int = 0
    strategy: str = ""
    parent_id: str = ""
    parent_qty: int = 0
    short_sale: bool = False

    @property
    def content(self) -> tuple[str, int, int, int, int, int]:
        return self.symbol, self.exchange, self.side, self.ord_type, self.qty, self.price

    @property
    def identity(self) -> tuple[object, ...]:
        """What the same order sent again has in common with the first."""
        return *self.content, self.strategy, self.parent_id, self.parent_qty, self.short_sale


@dataclass(eq=False)
class Order:
    """An order that got an event sequence: working, done, or rejected."""
    request: NewOrder
    account: Account
    instrument: Instrument | None
    port: Port
    order_id: int
    status: int = S_PENDING_NEW
    wpx: int = 0
    accepted_ns: int = 0
    accepted_no: int = 0              # place among all accepted orders: a confirmed one comes after later ones
    counts_for_account: bool = False  # accepted when its account, or the groups, were counted for a throttle
    counts_for_group: bool = False
    wait_code: int = 0                # why it was suspended
    confirm_by_ns: int = 0
    cum_qty: int = 0
    cum_ntl: int = 0
    reject_code: int = 0
    cancel_pending: bool = False      # a cancel is sent or queued
    cancel_queued: bool = False       # ... and waits for a phase or a link that lets it out
    withheld: bool = False            # in doubt, and not sent again when the link came back: it was killed
    beyond: bool = False              # priced far beyond the reference when it was accepted (R1109)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def leaves(self) -> int:
        return self.request.qty - self.cum_qty if self.is_open else 0

    @property
    def open_ntl(self) -> int:
        return self.wpx * self.leaves

    @property
    def ntl(self) -> int:
        """Worst-case notional of the whole order; 0 when it was never accepted."""
        return self.wpx * self.request.qty

    @property
    def cash_hold(self) -> int:
        """Cash an open buy keeps back: its worst case and the fees that would still come with it."""
        if self.request.side == SELL or self.leaves == 0:
            return 0
        fees = self.account.fees
        rest = self.open_ntl
        return max(0, rest + fees.of(BUY, self.cum_ntl + rest) - fees.of(BUY, self.cum_ntl))

    @property
    def cash_effect(self) -> int:
        """What its fills did to the account's cash, fees included."""
        side = self.request.side
        fee = self.account.fees.of(side, self.cum_ntl)
        return self.cum_ntl - fee if side == SELL else -self.cum_ntl - fee

    @property
    def resting_price(self) -> int:
        """The price at which an open order of the same controller would meet another."""
        if self.request.ord_type == LIMIT:
            return self.request.price
        return self.wpx if self.request.side == BUY else 0


@dataclass(frozen=True)
class Usage:
    """Open and filled notional of some accounts, in 1e-4 yuan."""
    open_buy: int
    open_sell: int
    filled_buy: int
    filled_sell: int

    @property
    def gross(self) -> int:
        return self.open_buy + self.open_sell + self.filled_buy + self.filled_sell


@dataclass(frozen=True)
class Decision:
    """The answer to one new order or cancel. code PASS: it went out (or is queued)."""
    code: int
    value: int = 0
    limit: int = 0
    scope: str = ""
    order: Order | None = None
    duplicate: bool = False


@dataclass(frozen=True)
class Report:
    """One event of an account, as an ExecutionReport or CancelReject would show it."""
    kind: str                         # "execution" or "cancel_reject"
    account: str
    event_seq: int
    cl_ord_id: str
    order_id: int
    exec_type: int
    ord_status: int
    last_qty: int
    last_px: int
    leaves_qty: int
    cum_qty: int
    cum_ntl: int
    reject_code: int
    duplicate: bool = False


@dataclass(frozen=True)
class Sent:
    """One message to an exchange."""
    kind: str                         # "new" or "cancel"
    exchange: int
    order_id: int
