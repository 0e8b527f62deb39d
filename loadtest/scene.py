"""The demonstration's abnormal trader: orders withdrawn at once, then orders that must be refused. Sends nothing."""

import numpy as np

from loadtest.measure import CANCEL_ORDER, NEW_ORDER
from loadtest.plan import LIMIT, SIDE_BUY, Plan
from loadtest.sources import BEHIND

SCENE_ACCOUNT = "LX000001"
STOPPED_CODE = 1002  # what a level that forbids buying rejects with
FLASHES = 560  # the rule wants more than 500 in a day
FLASH_EVERY_NS = 22_000_000  # below every limit on the speed of messages: what is wrong is the withdrawing alone
LIFE_NS = 150_000_000  # an order lives so long, of the second that makes a cancel instant
PAUSE_NS = 2_000_000_000  # between the last flash and the first order that must be refused
LATE_ORDERS = 40
LATE_EVERY_NS = 25_000_000
SCENE_NS = FLASHES * FLASH_EVERY_NS + PAUSE_NS + LATE_ORDERS * LATE_EVERY_NS


def add_scene(plan: Plan, start_ns: int) -> Plan:
    """The plan with one trader more, beginning at start_ns. He spreads over the Shanghai instruments of the plan."""
    at = np.arange(FLASHES, dtype=np.int64)
    born_ns = start_ns + at * FLASH_EVERY_NS
    late_ns = born_ns[-1] + PAUSE_NS + np.arange(LATE_ORDERS, dtype=np.int64) * LATE_EVERY_NS
    times_ns = np.concatenate([born_ns, born_ns + LIFE_NS, late_ns])
    count, first = len(times_ns), len(plan.kind)
    shanghai = np.flatnonzero([share.security_exchange == "XSHG" for share in plan.instruments])
    turn = np.concatenate([at, at, np.arange(LATE_ORDERS)]) % len(shanghai)
    touch = shanghai[turn].astype(np.int32)
    late = slice(2 * FLASHES, count)
    added = {
        "planned_ns": times_ns,
        "kind": np.full(count, NEW_ORDER),
        "account": np.full(count, len(plan.accounts)),
        "touch": touch,
        "symbol": np.array([int(plan.instruments[index].symbol) for index in touch]),
        "venue": np.ones(count),
        "side": np.full(count, SIDE_BUY),
        "ord_type": np.full(count, LIMIT),
        "order_qty_shares": np.full(count, 100),
        "price_e4": np.array([plan.instruments[index].down_limit_e4 for index in touch]),
        "price_rule": np.full(count, BEHIND),
        "cancel_of": np.full(count, -1),
        "expected_code": np.zeros(count),
    }
    added["kind"][FLASHES : 2 * FLASHES] = CANCEL_ORDER
    added["cancel_of"][FLASHES : 2 * FLASHES] = first + at
    added["expected_code"][late] = STOPPED_CODE
    return merged(plan, added, [*plan.accounts, SCENE_ACCOUNT])


def merged(plan: Plan, added: dict[str, np.ndarray], accounts: list[str]) -> Plan:
    """Both in order of time; cancels go on naming their orders."""
    joined = {}
    for name, more in added.items():
        own = getattr(plan, name)
        joined[name] = np.concatenate([own, more.astype(own.dtype)])
    order = np.argsort(joined["planned_ns"], kind="stable")
    number_of = np.empty(len(order), np.int64)
    number_of[order] = np.arange(len(order))
    columns = {name: column[order] for name, column in joined.items()}
    cancels = columns["cancel_of"] >= 0
    columns["cancel_of"][cancels] = number_of[columns["cancel_of"][cancels]]
    return Plan(accounts=accounts, instruments=plan.instruments, **columns)
