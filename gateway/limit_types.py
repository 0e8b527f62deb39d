"""What the limits file says, as structs of integers: the shape that limits.py fills and the engine is loaded from.

It reads nothing and checks nothing.
"""

import msgspec

from gateway.pb.order_entry_pb2 import OrdType, Side

SIDES: dict[str, int] = {name: code for name, code in Side.items() if code}
ORD_TYPES: dict[str, int] = {name: code for name, code in OrdType.items() if code}
ACCOUNT_STATES = {"NORMAL": 1, "SELL_ONLY": 2, "CANCEL_ONLY": 3, "FROZEN": 4}
LOSS_ACTIONS = {"SELL_ONLY": ACCOUNT_STATES["SELL_ONLY"], "CANCEL_ONLY": ACCOUNT_STATES["CANCEL_ONLY"]}
RISK_LEVELS = {"C1": 1, "C2": 2, "C3": 3, "C4": 4, "C5": 5}
C1_LOWEST, PROFESSIONAL = 8, 16  # bits of Account.traits; the lower three say how far below C5 its level is
DEFAULT_CONFIRM_TTL_MS = 30_000
COLLAR_PHASES = ("OPEN_CALL", "CONTINUOUS", "CLOSE_CALL")


class RuleSet(msgspec.Struct, frozen=True):
    """What the texts of rejects name as `rule=<id>@<version>`."""

    id: str
    version: int


class Fees(msgspec.Struct, frozen=True):
    """Charges of a trade. Rates are in 1e-7 of the notional (0.025 % = 2500)."""

    commission_rate_e7: int
    commission_min_e4: int
    transfer_rate_e7: int
    handling_rate_e7: int
    regulatory_rate_e7: int
    stamp_rate_e7: int  # sells only


class BoardRules(msgspec.Struct, frozen=True):
    """What a board admits (R1101, R1102, R1106 and R1107)."""

    buy_min_shares: int
    step_shares: int
    odd_lot_shares: int
    max_limit_shares: int
    max_market_shares: int
    cage_bps: int
    cage_ticks: int
    ord_type_mask: int  # bit n: codes.OrdType n


class Collar(msgspec.Struct, frozen=True):
    """Widest distance from the reference price: the larger of the two (R1108)."""

    bps: int
    ticks: int


class Collars(msgspec.Struct, frozen=True):
    open_call: Collar
    continuous: Collar
    close_call: Collar


class MarketData(msgspec.Struct, frozen=True):
    max_age_ms: int  # an older quote is stale (R1110)


class Firm(msgspec.Struct, frozen=True):
    """The firm's own limits over all accounts (R1303, R1304, R1309; R1307 and R1308 where not 0)."""

    gross_limit_e4: int
    long_limit_e4: int
    short_limit_e4: int
    capital_limit_e4: int
    order_value_per_day_e4: int = 0
    traded_value_per_day_e4: int = 0
    loss_limit_e4: int = 0
    loss_action: int = LOSS_ACTIONS["SELL_ONLY"]


class Group(msgspec.Struct, frozen=True):
    """Accounts under one controller."""

    id: str
    gross_limit_e4: int
    long_limit_e4: int
    short_limit_e4: int
    order_value_per_day_e4: int = 0
    traded_value_per_day_e4: int = 0


class Strategy(msgspec.Struct, frozen=True):
    """A registered strategy (R1001) and its limits; 0: not checked."""

    id: str
    gross_limit_e4: int
    raet_max: int = 0  # trades in the window without a person that switch it off (R1206)
    raet_window_s: int = 60
    reject_streak_max: int = 0  # rejects in a row that switch it off (R1207)
    loss_limit_e4: int = 0
    loss_action: int = LOSS_ACTIONS["SELL_ONLY"]


class Unit(msgspec.Struct, frozen=True):
    """A trading unit and the most it may buy net in a day (R1310)."""

    id: str
    net_buy_quota_e4: int


class Locate(msgspec.Struct, frozen=True):
    """Shares that an account has borrowed to sell short (R1402)."""

    account_index: int
    symbol: int
    venue: int
    shares: int


class Restriction(msgspec.Struct, frozen=True):
    """A security that may not be bought, sold, or both (R1005)."""

    symbol: int
    venue: int
    side_mask: int  # bit n: codes.Side n


class AccountLimits(msgspec.Struct, frozen=True):
    """The limits of one account; accounts that override nothing share their profile's object."""

    max_qty_shares: int
    max_ntl_e4: int
    gross_limit_e4: int
    long_limit_e4: int
    short_limit_e4: int
    position_limit_shares: int
    open_orders: int
    open_orders_per_symbol: int
    rate_out_per_s: int
    rate_out_per_day: int
    rate_symbol_per_s: int
    dup_window_ms: int
    dup_max: int
    board_mask: int  # bit n: codes.Board n
    ord_type_mask: int
    restricted: tuple[Restriction, ...]
    # Each may be absent: 0, and not checked.
    max_adv_bps: int = 0  # R1104
    max_float_bps: int = 0
    price_window_bps: int = 0  # R1109: all three or none
    price_window_ms: int = 0
    price_window_ntl_e4: int = 0
    instrument_long_limit_e4: int = 0  # R1304
    instrument_short_limit_e4: int = 0
    position_float_bps: int = 0  # R1305
    concentration_bps: int = 0  # R1306
    order_value_per_day_e4: int = 0  # R1307
    traded_value_per_day_e4: int = 0
    loss_limit_e4: int = 0  # R1308
    loss_action: int = LOSS_ACTIONS["SELL_ONLY"]
    basket_max_ntl_e4: int = 0  # R1312
    basket_max_lines: int = 0
    basket_max_gross_bps: int = 0
    soft_ntl_e4: int = 0  # R1502
    soft_qty_shares: int = 0
    confirm_ttl_ms: int = DEFAULT_CONFIRM_TTL_MS


class Account(msgspec.Struct, frozen=True):
    id: str
    profile: str
    group_index: int  # into Limits.groups; -1: in no group
    shareholder_xshg: str
    shareholder_xshe: str
    owner_type: int  # 1 individual, 103 institution, 104 proprietary
    cash_e4: int
    state: int  # ACCOUNT_STATES
    limits: AccountLimits
    traits: int = 0  # suitability (R1007): steps below C5, C1_LOWEST, PROFESSIONAL
    unit_index: int = -1  # into Limits.units; -1: in none
    tags: int = 0  # bits of ext.codes.ACCOUNT_TAGS: what rules may be scoped by


class Position(msgspec.Struct, frozen=True):
    account_index: int
    symbol: int
    venue: int
    total_shares: int
    sellable_shares: int


class Token(msgspec.Struct, frozen=True):
    """Who may open sessions with one token, of which only the SHA-256 is known here (R1001, R1203, R1207)."""

    token_sha256: str
    account_indexes: tuple[int, ...]
    rate_in_per_s: int
    cancel_rate_in_per_s: int
    reject_streak_max: int
    reject_latch_ms: int
    programme: bool = False  # a programme's orders are never suspended: nobody could confirm them


class Limits(msgspec.Struct, frozen=True):
    path: str
    sha256: str  # of the file and of its positions file
    rule_set: RuleSet
    fees: Fees
    boards: dict[int, BoardRules]  # by codes.Board
    collars: Collars
    market_data: MarketData
    firm: Firm
    groups: tuple[Group, ...]
    accounts: tuple[Account, ...]
    positions: tuple[Position, ...]
    tokens: tuple[Token, ...]
    strategies: tuple[Strategy, ...] = ()
    units: tuple[Unit, ...] = ()
    locates: tuple[Locate, ...] = ()
