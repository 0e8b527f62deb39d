"""Plans every request of a load run: when, which account, what, and which reject it must meet. Pure: sends nothing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ext.codes import VENUES
from loadtest.flow_csv import BUY, CANCEL
from loadtest.measure import CANCEL_ORDER, NEW_ORDER, Ints
from loadtest.schedule import Times
from loadtest.sources import FIXED, NEAR, REST, TICK_E4, Source
from loadtest.universe import Instrument

SIDE_BUY, SIDE_SELL = 1, 2
LIMIT, MARKET_FOK = 1, 7
POOR_COUNT = 64
UNKNOWN_SYMBOL = 699_999
FOREIGN_ACCOUNT = "XX000001"
MAX_QTY_SHARES = 1_000_000
# What is wrong with a bad order -> the code it must be rejected with.
BAD_KINDS = {
    "tick": 1105,
    "price_limit": 1106,
    "symbol": 1003,
    "odd_lot": 1101,
    "max_qty": 1102,
    "ord_type": 1006,
    "cash": 1301,
    "sellable": 1302,
    "account": 1001,
}


@dataclass(slots=True)
class Plan:
    """Every request by its number; prices 1e-4 yuan, quantities shares, times ns from the start.

    `touch` indexes `instruments`, which is also where the client keeps the live best prices.
    """

    accounts: list[str]
    instruments: list[Instrument]
    planned_ns: Times
    kind: npt.NDArray[np.uint8]
    account: npt.NDArray[np.int32]
    touch: npt.NDArray[np.int32]
    symbol: npt.NDArray[np.uint32]
    venue: npt.NDArray[np.uint8]
    side: npt.NDArray[np.uint8]
    ord_type: npt.NDArray[np.uint8]
    order_qty_shares: Ints
    price_e4: Ints
    price_rule: npt.NDArray[np.uint8]
    cancel_of: npt.NDArray[np.int32]  # the order to cancel; -1: this is a new order
    expected_code: npt.NDArray[np.uint16]  # 0: must not be rejected

    @property
    def touch_count(self) -> int:
        return len(self.instruments)

    @property
    def prev_close_e4(self) -> Ints:
        return np.array([share.prev_close_e4 for share in self.instruments], dtype=np.int64)

    def numbers_of(self, session: int, sessions: int) -> npt.NDArray[np.int32]:
        """The requests of one session: every account belongs to the session of its index modulo their number."""
        return np.flatnonzero(self.account % sessions == session).astype(np.int32)

    def accounts_of(self, session: int, sessions: int) -> list[str]:
        """The accounts of one session; the foreign one belongs to nobody."""
        return [name for name in self.accounts[session::sessions] if name != FOREIGN_ACCOUNT]


def account_names(count: int) -> list[str]:
    """LT000001 and on, then the poor ones, then one that no session owns."""
    rich = [f"LT{number:06d}" for number in range(1, count + 1)]
    return [*rich, *(f"LP{number:06d}" for number in range(1, POOR_COUNT + 1)), FOREIGN_ACCOUNT]


def make_plan(source: Source, planned_ns: Times, accounts: int, lanes: int, bad_share: float, seed: int) -> Plan:
    """Give every request of the source its time and its account, and make a share of the orders bad."""
    rows = source.rows[: len(planned_ns)]
    count = len(rows)
    cancel_of = match_cancels(rows)
    kept = (rows["act"] != CANCEL) | (cancel_of >= 0)
    touch = rows["symbol"].astype(np.int32)
    symbol = np.array([int(share.symbol) for share in source.instruments], dtype=np.uint32)
    venue = np.array([VENUES[share.security_exchange] for share in source.instruments], dtype=np.uint8)
    side = np.where(rows["side"] == BUY, SIDE_BUY, SIDE_SELL).astype(np.uint8)
    plan = Plan(
        accounts=account_names(accounts),
        instruments=source.instruments,
        planned_ns=planned_ns[:count],
        kind=np.where(cancel_of >= 0, CANCEL_ORDER, NEW_ORDER).astype(np.uint8),
        account=assign_accounts(touch, side, cancel_of, accounts, lanes, len(source.instruments)),
        touch=touch,
        symbol=symbol[touch],
        venue=venue[touch],
        side=side,
        ord_type=np.full(count, LIMIT, dtype=np.uint8),
        order_qty_shares=round_lots(rows["qty_shares"]),
        price_e4=rows["price_e4"].astype(np.int64),
        price_rule=source.price_rule[:count].copy(),
        cancel_of=cancel_of,
        expected_code=np.zeros(count, dtype=np.uint16),
    )
    # A cancel whose order lies before the run becomes an order of its own; it rests behind the touch.
    plan.price_rule[~kept] = REST
    spoil(plan, bad_share, seed)
    return plan


def match_cancels(rows: npt.NDArray[np.void]) -> npt.NDArray[np.int32]:
    """For each cancel the number of its order, -1 for orders and for cancels of orders that are not in the rows."""
    found = np.full(len(rows), -1, dtype=np.int32)
    order_at: dict[int, int] = {}
    for at, (oid, act) in enumerate(zip(rows["oid"].tolist(), rows["act"].tolist(), strict=True)):
        if act == CANCEL:
            found[at] = order_at.pop(oid, -1)
        else:
            order_at[oid] = at
    return found


def assign_accounts(
    touch: npt.NDArray[np.int32],
    side: npt.NDArray[np.uint8],
    cancel_of: npt.NDArray[np.int32],
    accounts: int,
    lanes: int,
    instruments: int,
) -> npt.NDArray[np.int32]:
    """Spread the orders over the accounts of their lane, in turns; a cancel follows its order.

    In one instrument an account either only buys or only sells, so that no account meets its own orders (R1401).
    """
    lane = touch * lanes // instruments
    block = accounts // lanes // 2 * 2
    turn = np.zeros(len(touch), dtype=np.int64)
    for number in range(lanes):
        mine = (lane == number) & (cancel_of < 0)
        turn[mine] = np.arange(np.count_nonzero(mine))
    parity = seller_parity(touch) ^ (side == SIDE_BUY)
    account = (lane * block + turn % (block // 2) * 2 + parity).astype(np.int32)
    cancels = cancel_of >= 0
    account[cancels] = account[cancel_of[cancels]]
    return account


def seller_parity(touch: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Whether the even (0) or the odd (1) accounts of a lane sell this instrument; the others buy it."""
    return touch % 2


def holdings(plan: Plan, accounts: int, lanes: int) -> list[tuple[str, Instrument]]:
    """Which account must hold which instrument, so that every planned sell has its shares."""
    good = (plan.side == SIDE_SELL) & (plan.kind == NEW_ORDER) & (plan.account < accounts)
    pairs = np.unique(np.stack([plan.account[good], plan.touch[good]], axis=1), axis=0)
    return [(plan.accounts[account], plan.instruments[touch]) for account, touch in pairs.tolist()]


def round_lots(qty_shares: Ints) -> Ints:
    """Whole lots of 100, at least one, at most what the board admits."""
    return np.clip(-(-qty_shares // 100) * 100, 100, MAX_QTY_SHARES).astype(np.int64)


def spoil(plan: Plan, share: float, seed: int) -> None:
    """Turn a share of the orders that nobody cancels into bad ones, every kind in turn."""
    rng = np.random.default_rng(seed)
    free = plan.kind == NEW_ORDER
    free[plan.cancel_of[plan.cancel_of >= 0]] = False
    candidates = np.flatnonzero(free)
    wanted = min(round(share * len(plan.kind)), len(candidates))
    rich = len(plan.accounts) - POOR_COUNT - 1
    for turn, number in enumerate(np.sort(rng.choice(candidates, wanted, replace=False)).tolist()):
        kind = list(BAD_KINDS)[turn % len(BAD_KINDS)]
        poor = rich + turn // len(BAD_KINDS) % POOR_COUNT
        spoil_one(plan, number, kind, plan.instruments[plan.touch[number]], poor)
        plan.expected_code[number] = BAD_KINDS[kind]


def spoil_one(plan: Plan, number: int, kind: str, share: Instrument, poor: int) -> None:
    """Make one order bad in this way and in no other that is checked earlier."""
    plan.price_rule[number] = FIXED
    plan.price_e4[number] = share.prev_close_e4
    plan.order_qty_shares[number] = 100
    if kind == "tick":
        plan.price_e4[number] += 37
    elif kind == "price_limit":
        plan.price_e4[number] = share.up_limit_e4 + 10 * TICK_E4
    elif kind == "symbol":
        plan.symbol[number] = UNKNOWN_SYMBOL
        plan.venue[number] = VENUES["XSHG"]
    elif kind == "odd_lot":
        plan.side[number], plan.order_qty_shares[number] = SIDE_BUY, 150
    elif kind == "max_qty":
        plan.order_qty_shares[number] = 2 * MAX_QTY_SHARES
    elif kind == "ord_type":
        plan.ord_type[number] = MARKET_FOK if plan.venue[number] == VENUES["XSHG"] else 3
    elif kind == "cash":
        plan.side[number], plan.account[number], plan.price_rule[number] = SIDE_BUY, poor, NEAR
    elif kind == "sellable":
        plan.side[number], plan.account[number], plan.price_rule[number] = SIDE_SELL, poor, NEAR
    elif kind == "account":
        plan.account[number] = len(plan.accounts) - 1
