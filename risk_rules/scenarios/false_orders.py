"""Flows of orders that are not meant to trade; each makes one whose size is `value`."""

from collections.abc import Callable

from risk_rules.scenarios.desk import Desk
from risk_rules.scenarios.world import lots
from risk_rules.stage import BUY, SECOND_NS, SELL


def opening_false(symbol: str, start: float, by_move: bool) -> Callable[[Desk, float], None]:
    """A buy of `value` shares 6 % up (by_move: 400,000 while the price comes up by `value`), withdrawn, then a sale."""

    def make(desk: Desk, value: float) -> None:
        shares, up = (400_000, start * (1 + value)) if by_move else (lots(value), start * 1.06)
        desk.until("09:15:10")
        ticket = desk.buy("A1", symbol, shares, start * 1.06)
        desk.wait(10_000)
        desk.market(symbol, up, bid=500_000)
        desk.wait(30_000)
        desk.cancel(ticket)
        desk.wait(30_000)
        desk.complete()
        desk.sell("A2", symbol, 1_000, start * 1.08)

    return make


def opening_withdrawn(desk: Desk, value: float) -> None:
    desk.until("09:15:10")
    ticket = desk.buy("A1", "600001", lots(value), 5.4)
    desk.until("09:31:00")
    desk.complete()
    desk.cancel(ticket)


def shown_and_pulled(
    symbol: str, yuan: float, times: int, seconds: int, side: int = BUY
) -> Callable[[Desk, float], None]:
    """`times` orders of `value` shares a tick from the price, each withdrawn after a small trade of the other side."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        for _ in range(times):
            ticket = desk.order("A1", side, symbol, lots(value), yuan - 0.01 if side == BUY else yuan + 0.01)
            desk.wait(seconds * 500)
            desk.fill(desk.order("A2", BUY + SELL - side, symbol, 1_000, yuan), yuan)
            desk.wait(seconds * 500)
            desk.cancel(ticket)
            desk.wait(2_000)
            desk.market(symbol, yuan, 2_000)
            desk.wait(2_000)
        desk.complete()
        desk.market(symbol, yuan, 2_000)

    return make


def waiting(side: int, shares: int) -> dict[str, int]:
    """What waits at a limit price: nothing on the other side."""
    return {"bid": shares, "ask": 0} if side == BUY else {"bid": 0, "ask": shares}


def at_limit_and_pulled(symbol: str, limit: float, side: int) -> Callable[[Desk, float], None]:
    """Three orders of `value` shares at the limit, each withdrawn."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        desk.market(symbol, limit, 100_000, **waiting(side, 1_000_000))
        desk.wait(2_000)
        for _ in range(3):
            ticket = desk.order("A1", side, symbol, lots(value), limit)
            desk.wait(20_000)
            desk.cancel(ticket)
            desk.wait(2_000)
            desk.market(symbol, limit, 100)
            desk.wait(2_000)
        desk.complete()
        desk.market(symbol, limit, 100)

    return make


def holding(symbol: str, limit: float, side: int) -> Callable[[Desk, float], None]:
    """`value` shares at the limit, half of what waits there, for twelve minutes."""

    def make(desk: Desk, value: float) -> None:
        shares = lots(value)
        desk.until("09:31:00")
        desk.market(symbol, limit, 100_000, **waiting(side, shares))
        desk.wait(4_000)
        desk.order("A1", side, symbol, shares, limit)
        desk.wait(4_000)
        desk.market(symbol, limit, 100, **waiting(side, 2 * shares))
        held_ns = desk.stage.now_ns + 300 * SECOND_NS
        for _ in range(48):
            desk.wait(15_000)
            if desk.stage.now_ns >= held_ns:
                desk.complete()
            desk.market(symbol, limit, 100)

    return make


def holding_into_close(symbol: str, limit: float, side: int, more: int) -> Callable[[Desk, float], None]:
    """`value` shares at the limit before the closing call, and more in it."""

    def make(desk: Desk, value: float) -> None:
        shares = lots(value)
        desk.until("14:50:00")
        desk.market(symbol, limit, 100_000, **waiting(side, shares))
        desk.wait(2_000)
        desk.order("A1", side, symbol, shares, limit)
        desk.until("14:57:30")
        desk.market(symbol, limit, 100, **waiting(side, 2 * shares))
        desk.wait(2_000)
        desk.complete()
        desk.order("A2", side, symbol, more, limit)

    return make


def layering(desk: Desk, value: float) -> None:
    """Five levels that are `value` of the market's five, three times."""
    desk.until("09:31:00")
    for _ in range(3):
        level = lots(10_000 * value)
        tickets = [desk.buy("A1", "600001", level, 4.99 - k / 100) for k in range(5)]
        desk.wait(1_000)
        sale = desk.sell("A2", "600001", 1_000, 5.0)
        desk.wait(1_000)
        desk.fill(sale, 5.0)
        desk.wait(200)
        for ticket in tickets:
            desk.cancel(ticket)
        desk.wait(20_000)
    desk.complete()
    desk.cancel(desk.buy("A1", "600001", 100, 4.9))
