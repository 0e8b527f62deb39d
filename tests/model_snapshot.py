"""The model's whole state as plain values, for whoever compares it with the engine's. Decides nothing."""

from typing import Any

from tests.model_state import Account, Group, Instrument
from tests.model_worth import orders_by


def snapshot_of(model: Any) -> dict[str, object]:
    """Everything the engine must agree with, as plain values."""
    return {
        "accounts": {name: account_snapshot(model, a) for name, a in model.accounts.items()},
        "groups": {g.name: model.usage(members(model, g)) for g in model.groups.values()},
        "firm": model.usage(model.accounts.values()),
        "strategies": [(model.usage_of(orders_by(model, s)), s.off, s.streak) for s in model.strategies.values()],
        "units": [model.usage(a for a in model.accounts.values() if a.unit is u) for u in model.units.values()],
        "levels": {s: (x.level, x.mask, x.throttle, x.until_ns) for s, x in model.standings.items() if x.level},
        "tickets": model.tickets,
        "orders": [(o.order_id, o.status, o.cum_qty, o.cum_ntl, o.cancel_pending) for o in model.orders],
    }


def members(model: Any, group: Group) -> list[Account]:
    return [a for a in model.accounts.values() if a.group is group]


def account_snapshot(model: Any, account: Account) -> dict[str, object]:
    return {
        "cash": model.cash(account),
        "cash_held": model.cash_held(account),
        "event_seq": account.event_seq,
        "open_orders": sorted(o.order_id for o in account.orders.values() if o.is_open),
        "usage": model.usage([account]),
        "positions": {
            key: row
            for key in sorted(model.instruments)
            if any(row := position_snapshot(model, account, model.instruments[key]))
        },
    }


def position_snapshot(model: Any, account: Account, instrument: Instrument) -> tuple[int, int, int, int, int]:
    """total, sellable, held for sells, bought today, open buys; in shares."""
    return (
        model.total(account, instrument), model.sellable(account, instrument), model.held(account, instrument),
        model.bought_today(account, instrument), model.open_buy_shares(account, instrument),
    )  # fmt: skip
