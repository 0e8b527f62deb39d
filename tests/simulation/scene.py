"""What every world begins with: accounts, instruments, limits, fees and tokens. A seed varies how much money there
is."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path
from random import Random

import msgspec

from gateway import limit_types as lt
from gateway.reference import Instrument
from tests.model_state import Fees
from tests.rule_desk import compiled

START_NS = 1_795_397_400_000_000_000  # 2026-11-23 09:30:00 in Shanghai
TRADE_DATE = 20261123
MS = 1_000_000
YUAN = 10_000
MANY = 10**9
BUY, SELL = 1, 2
LIMIT, MARKET = 1, 2
XSHG, XSHE = 1, 2
TICK_E4 = 100
CLOSE_E4 = 100_000
UP_LIMIT_E4, DOWN_LIMIT_E4 = 110_000, 90_000
CONTINUOUS, LUNCH = 5, 6
GROUP_OF = (0, 0, -1, -1)  # of each account; -1: none
ACCOUNTS = tuple(f"A{at}" for at in range(len(GROUP_OF)))
ACCOUNT_NAMES = tuple(name.encode() for name in ACCOUNTS)
INDEX_OF = {name: at for at, name in enumerate(ACCOUNT_NAMES)}
PORTS = ((0, 1), (2,), (1, 2, 3))  # accounts of each token
TOKENS = tuple(f"token {at}" for at in range(len(PORTS)))
SYMBOLS = ((XSHG, 600_000), (XSHG, 600_001), (XSHE, 1), (XSHE, 2))
SYMBOL_TEXTS = tuple(b"%06d" % symbol for _, symbol in SYMBOLS)
VENUE_OF = tuple(venue for venue, _ in SYMBOLS)
INSTRUMENT_OF = {place: at for at, place in enumerate(SYMBOLS)}
COMMISSION_E7, COMMISSION_MIN_E4, TRANSFER_E7, HANDLING_E7, REGULATORY_E7, STAMP_E7 = (
    2500,
    5 * YUAN,
    100,
    341,
    200,
    5000,
)
FEES = Fees(COMMISSION_MIN_E4, COMMISSION_E7, TRANSFER_E7, HANDLING_E7, REGULATORY_E7, STAMP_E7)
SHAREHOLDERS = tuple((f"A00000000{at}", f"000000000{at}") for at in range(len(ACCOUNTS)))
ACCOUNT_OF_SHAREHOLDER = {name.encode(): at for at, names in enumerate(SHAREHOLDERS) for name in names}

INSTRUMENTS = tuple(
    Instrument(
        symbol=symbol,
        venue=venue,
        board=1,
        name=f"S{symbol}",
        is_st=0,
        tick_e4=TICK_E4,
        buy_min_shares=100,
        buy_step_shares=100,
        max_limit_shares=1_000_000,
        max_market_shares=1_000_000,
        prev_close_e4=CLOSE_E4,
        up_limit_e4=UP_LIMIT_E4,
        down_limit_e4=DOWN_LIMIT_E4,
        status=1,
        t_plus=venue == XSHG,
        float_shares=MANY,
    )
    for venue, symbol in SYMBOLS
)


class Scene:
    """One world's morning. cash_e4, total, sellable: of each account, and of each account in each instrument."""

    def __init__(self, rng: Random) -> None:
        self.cash_e4 = [rng.choice((10**11, 10**11, 3 * 10**9)) for _ in ACCOUNTS]
        self.total = [[rng.choice((0, 20_000, 10**6)) for _ in SYMBOLS] for _ in ACCOUNTS]
        self.limits = limits(self)
        tight = msgspec.structs.replace(self.limits.accounts[0].limits, open_orders=30, rate_symbol_per_s=200)
        accounts = tuple(msgspec.structs.replace(a, limits=tight) for a in self.limits.accounts)
        self.tight_limits = msgspec.structs.replace(self.limits, accounts=accounts, rule_set=lt.RuleSet("tight", 2))


def limits(scene: Scene) -> lt.Limits:
    """No credit limit in the way, but rates and counts that busy moments reach."""
    credit = {"gross_limit_e4": 10**15, "long_limit_e4": 10**15, "short_limit_e4": 10**15}
    profile = lt.AccountLimits(
        max_qty_shares=MANY,
        max_ntl_e4=10**13,
        **credit,
        position_limit_shares=MANY,
        open_orders=400,
        open_orders_per_symbol=200,
        rate_out_per_s=4_000,
        rate_out_per_day=MANY,
        rate_symbol_per_s=MANY,
        dup_window_ms=100,
        dup_max=1000,
        board_mask=14,
        ord_type_mask=254,
        restricted=(),
    )
    board = lt.BoardRules(100, 100, 100, 1_000_000, 1_000_000, 200, 10, 254)
    collar = lt.Collar(bps=1000, ticks=20)
    return lt.Limits(
        path="",
        sha256="",
        rule_set=lt.RuleSet("simulated", 1),
        fees=lt.Fees(COMMISSION_E7, COMMISSION_MIN_E4, TRANSFER_E7, HANDLING_E7, REGULATORY_E7, STAMP_E7),
        boards={1: board, 2: board, 3: board},
        collars=lt.Collars(collar, collar, collar),
        market_data=lt.MarketData(2_000),
        firm=lt.Firm(10**18, 10**18, 10**18, 10**18),
        groups=(lt.Group("family", 10**15, 10**15, 10**15),),
        accounts=tuple(
            lt.Account(name, "p", GROUP_OF[at], *SHAREHOLDERS[at], 1, scene.cash_e4[at], 1, profile)
            for at, name in enumerate(ACCOUNTS)
        ),
        positions=tuple(
            lt.Position(at, symbol, venue, total, total)
            for at in range(len(ACCOUNTS))
            for (venue, symbol), total in zip(SYMBOLS, scene.total[at], strict=True)
        ),
        tokens=tuple(
            lt.Token(hashlib.sha256(token.encode()).hexdigest(), accounts, 4_000, 4_000, 1_000, 10)
            for token, accounts in zip(TOKENS, PORTS, strict=True)
        ),
    )


RULE = 'mode: enforce\nper: {per}\non: [{on}]\nwhen: "{when}"\nbreach: {breach}\ncool_off: 10 ms\n'
RULES = (
    (RULE.format(per="account", on="order", when="this_shares > 5_500 shares", breach="block"),),
    (
        RULE.format(per="account x instrument", on="order", when="orders(1 s) > 120", breach="block"),
        RULE.format(per="account", on="fill", when="fills(1 s) > 20", breach="L1"),
        RULE.format(per="account", on="order", when="cancels(1 s) > 60", breach="L0"),
    ),
)


@functools.cache
def programs() -> tuple[bytes, ...]:
    """Compiled rule sets that officers put in force while the shard trades."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(compiled(Path(folder), *rules) for rules in RULES)
