"""What accounts, strategies and the firm have made today in the reference model, at the newest prices."""
from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model_state import BUY, SELL, Account, Firm, Order, Strategy

if TYPE_CHECKING:
    from tests.model import Model


def orders_by(model: Model, strategy: Strategy) -> list[Order]:
    return [o for o in model.orders if o.request.strategy == strategy.name]


def opening(model: Model, account: Account) -> int:
    """What the account was worth when the day began."""
    held = ((model.instruments[key], shares) for key, shares in account.start_total.items())
    return account.cash0 + sum(instrument.prev_close * shares for instrument, shares in held)


def profit(model: Model, account: Account) -> int:
    """What it is worth now, less what it was worth."""
    worth = model.cash(account)
    for instrument in model.instruments.values():
        shares = model.total(account, instrument) - model.sold_short(account, instrument)[1]
        worth += shares * instrument.mark
    return worth - opening(model, account)


def strategy_profit(model: Model, strategy: Strategy) -> int:
    made = 0
    for o in orders_by(model, strategy):
        if o.cum_qty and o.instrument is not None:
            shares = o.cum_qty if o.request.side == BUY else -o.cum_qty
            made += o.cash_effect + shares * o.instrument.mark
    return made


def marked(model: Model, who: Account | Strategy | Firm, now_ns: int) -> int:
    """The day's profit as it was at most a second ago."""
    if who not in model.marks or now_ns - model.marks[who][0] >= 10**9:
        match who:
            case Account():
                made = profit(model, who)
            case Strategy():
                made = strategy_profit(model, who)
            case Firm():
                made = sum(profit(model, account) for account in model.accounts.values())
        model.marks[who] = now_ns, made
    return model.marks[who][1]


def check_holdings(model: Model) -> None:
    """No account holds back more cash or shares than it has; AssertionError with the account at fault."""
    for account in model.accounts.values():
        open_orders = [o for o in account.orders.values() if o.is_open]
        assert model.cash_held(account) >= 0, account.name
        assert all(0 < o.leaves <= o.request.qty for o in open_orders), account.name
        # The fees of a small sell may exceed its proceeds, and then eat into what open buys hold.
        if not any(o.request.side == SELL and o.cum_qty for o in account.orders.values()):
            assert model.cash_held(account) <= model.cash(account), account.name
        for instrument in model.instruments.values():
            held, sellable = model.held(account, instrument), model.sellable(account, instrument)
            assert 0 <= held <= sellable <= model.total(account, instrument), (account.name, instrument.key)
