"""Flows of trades that move a price or an index; each makes one whose size is `value`."""

from collections.abc import Callable

from risk_rules.scenarios.desk import Desk
from risk_rules.scenarios.world import MINUTE, lots
from risk_rules.stage import BUY, SELL


def lift(desk: Desk, symbol: str, side: int, shares: int, start: float, end: float, share: float) -> None:
    """Trades that are `share` of the minute's volume while the price goes from start to end."""
    desk.market(symbol, start)
    desk.wait(3_000)
    far = end * (1.01 if side == BUY else 0.99)
    ticket = desk.order("A1", side, symbol, shares, far)
    desk.wait(3_000)
    desk.fill(ticket, (start + end) / 2, shares - 100)
    desk.wait(3_000)
    desk.market(symbol, end, round(shares / share))
    desk.wait(3_000)
    desk.fill(ticket, end, 100)


def rest(desk: Desk, symbol: str, yuan: float, ms: int) -> None:
    """The price goes back and stays there: the next move is counted from it."""
    desk.market(symbol, yuan)
    desk.wait(ms)


def lifting_minutes(desk: Desk, value: float) -> None:
    """Seventeen minutes of which the controller has `value` of the volume."""
    desk.until("09:31:00")
    for _ in range(17):
        lift(desk, "600001", BUY, 200_000, 5.0, 5.08, value)
        rest(desk, "600001", 5.0, 3 * MINUTE)
    desk.complete()
    lift(desk, "600001", BUY, 200_000, 5.0, 5.08, value)


def consecutive(desk: Desk, value: float) -> None:
    desk.until("09:31:00")
    for _ in range(7):
        lift(desk, "600001", BUY, 200_000, 5.0, 5.08, value)
        rest(desk, "600001", 5.0, 3 * MINUTE)
    desk.complete()
    lift(desk, "600001", BUY, 200_000, 5.0, 5.08, value)


def turnover(index: str, points: tuple[float, float], symbol: str, yuan: float) -> Callable[[Desk, float], None]:
    """Aggressive buys for `value` yuan in a minute in which the index moves."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        desk.market(index, points[0])
        desk.market(symbol, yuan)
        desk.wait(2_000)
        shares = lots(value / (yuan * 1.01))
        ticket = desk.buy("A1", symbol, shares, yuan * 1.01)
        desk.wait(2_000)
        desk.market(symbol, yuan * 1.01, shares * 2)
        desk.market(index, points[1])
        desk.wait(2_000)
        desk.fill(ticket, yuan * 1.01)
        desk.complete()

    return make


def lifting(symbol: str, side: int = BUY) -> Callable[[Desk, float], None]:
    """Three minutes in which the price moves by `value` on 80 % own volume."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        lift(desk, symbol, side, 40_000, 100.0, 100.0 * (1 + value if side == BUY else 1 - value), 0.8)
        desk.complete()

    return make


def moved_then_reverse(symbol: str, start: float, side: int) -> Callable[[Desk, float], None]:
    """2.5 % up (or down) on own volume, then `value` shares traded back."""

    def make(desk: Desk, value: float) -> None:
        sign = 1 if side == BUY else -1
        desk.until("09:31:00")
        lift(desk, symbol, side, 700_000, start, start * (1 + sign * 0.025), 0.8)
        desk.wait(4 * MINUTE)
        ticket = desk.order("A2", BUY + SELL - side, symbol, lots(value), start)
        desk.fill(ticket, start)
        desk.complete()

    return make


def the_open(symbol: str, start: float, move: float | None) -> Callable[[Desk, float], None]:
    """Opening call: `value` of its volume at 6 % up; with move None 40 % of it at `value` up."""

    def make(desk: Desk, value: float) -> None:
        up = start * (1 + (value if move is None else move))
        share = 0.4 if move is None else value
        desk.until("09:20:00")
        ticket = desk.buy("A1", symbol, 400_000, up)
        desk.until("09:25:01")
        desk.fill(ticket, up)
        desk.wait(2_000)
        desk.market(symbol, up, round(400_000 / share))
        desk.wait(5_000)
        desk.market(symbol, up)
        desk.complete()

    return make


def the_close(symbol: str) -> Callable[[Desk, float], None]:
    """Closing call: 60 % of its volume, the price up by `value`."""

    def make(desk: Desk, value: float) -> None:
        desk.until("14:55:00")
        desk.market(symbol, 100.0, 10_000)
        desk.until("14:58:00")
        ticket = desk.buy("A1", symbol, 40_000, 104.0)
        desk.until("15:00:02")
        desk.fill(ticket, 100.0 * (1 + value))
        desk.wait(2_000)
        desk.market(symbol, 100.0 * (1 + value), 66_000)
        desk.wait(5_000)
        desk.market(symbol, 100.0 * (1 + value))
        desk.complete()

    return make


def before_the_call(desk: Desk, value: float) -> None:
    desk.until("14:55:00")
    lift(desk, "600002", BUY, 40_000, 100.0, 100.0 * (1 + value), 0.8)
    desk.complete()


def ignition(desk: Desk, value: float) -> None:
    """1.6 % up in a minute on aggressive buys; `value` of them sold again."""
    desk.until("09:31:00")
    lift(desk, "600001", BUY, 200_000, 5.0, 5.08, 0.8)
    desk.wait(20_000)
    shares = lots(200_000 * value)
    ticket = desk.sell("A2", "600001", shares, 5.05)
    desk.fill(ticket, 5.06, shares)
    desk.complete()
