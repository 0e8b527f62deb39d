"""Flows of a given size, one for each rule: the evaluation runs them just below and just above the rule's number.

Each knows what it makes and at which value the catalogue wants a warning and a breach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from risk_rules.scenarios.desk import Desk
from risk_rules.stage import BUY, SELL, Client, Security, e4, full_symbol

MINUTE = 60_000
LARGE, HUGE, HUGE_ST = 300_000, 1_000_000, 500_000


class Flow(NamedTuple):
    """A flow whose size is `value`; from `breach` on it is abnormal, from `warn` on (0: never) worth a warning."""

    rule: str
    breach: float
    warn: float
    make: Callable[[Desk, float], None]
    whole: bool = False  # values are counts

    def label(self, value: float) -> str:
        """What the rule should say of it: breach, warn or nothing."""
        return "breach" if value >= self.breach else "warn" if self.warn and value >= self.warn else "nothing"


def stocks(*texts: str) -> tuple[Security, ...]:
    """`600001 5.00`, `600009 ST 2.00`."""
    parts = [text.split() for text in texts]
    return tuple(Security(full_symbol(part[0]), e4(part[-1]), "ST" in part) for part in parts)


SECURITIES = stocks(
    "600001 5.00", "600002 100.00", "600009 ST 2.00", "600010 ST 100.00", "600519 100.00", "000002 10.00", "300001 5.00",
    "300002 20.00", "688001 50.00", "609999 10.00", "609998 ST 5.00", "000001.XSHG 3000.00", "000688.XSHG 1000.00",
    "399001.XSHE 9000.00", "399106.XSHE 2000.00", "399006.XSHE 2000.00",
)  # fmt: skip
CLIENTS = (Client("A1", "G1"), Client("A2", "G1"), Client("B1"), Client("F1", "F", ("asset_manager",)),
           Client("F2", "F", ("asset_manager",)), Client("P1", "", ("programme",)))  # fmt: skip


# --- counts ---


def in_a_second(desk: Desk, value: float, accounts: tuple[str, ...] = ("B1",)) -> None:
    desk.until("09:31:00")
    for k in range(int(value)):
        desk.buy(accounts[k % len(accounts)], "600001", 100, 4.9)
        desk.wait(3)
    desk.complete()


def of_a_controller(desk: Desk, value: float) -> None:
    in_a_second(desk, value, ("A1", "A2"))


def in_a_day(desk: Desk, value: float) -> None:
    desk.until("09:31:00")
    for _ in range(int(value)):
        desk.buy("B1", "600001", 100, 4.9)
        desk.wait(20)
    desk.complete()


def flash_cancels(desk: Desk, value: float) -> None:
    desk.until("09:31:00")
    for k in range(int(value)):
        ticket = desk.buy(("A1", "A2")[k % 2], "600001", 100, 4.9)
        desk.wait(200)
        desk.cancel(ticket)
        desk.wait(200)
    desk.complete()


# --- trades that move a price ---


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
        shares = round(value / (yuan * 1.01) / 100) * 100
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


def lifting_then_reverse(symbol: str, start: float) -> Callable[[Desk, float], None]:
    """2.5 % up on own volume, then `value` shares sold."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        lift(desk, symbol, BUY, 700_000, start, start * 1.025, 0.8)
        desk.wait(4 * MINUTE)
        shares = round(value / 100) * 100
        ticket = desk.sell("A2", symbol, shares, start)
        desk.fill(ticket, start * 1.01, shares)
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
    shares = round(200_000 * value / 100) * 100
    ticket = desk.sell("A2", "600001", shares, 5.05)
    desk.fill(ticket, 5.06, shares)
    desk.complete()


# --- false orders ---


def opening_false(symbol: str, start: float, by_move: bool) -> Callable[[Desk, float], None]:
    """A buy of `value` shares 6 % up (by_move: 400,000 while the price comes up by `value`), withdrawn, then a sale."""

    def make(desk: Desk, value: float) -> None:
        shares, up = (400_000, start * (1 + value)) if by_move else (round(value / 100) * 100, start * 1.06)
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
    ticket = desk.buy("A1", "600001", round(value / 100) * 100, 5.4)
    desk.until("09:31:00")
    desk.complete()
    desk.cancel(ticket)


def shown_and_pulled(symbol: str, yuan: float, times: int, seconds: int) -> Callable[[Desk, float], None]:
    """`times` orders of `value` shares a tick below the price, each withdrawn, with a small sale in between."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        for _ in range(times):
            ticket = desk.buy("A1", symbol, round(value / 100) * 100, yuan - 0.01)
            desk.wait(seconds * 500)
            sale = desk.sell("A2", symbol, 1_000, yuan)
            desk.fill(sale, yuan)
            desk.wait(seconds * 500)
            desk.cancel(ticket)
            desk.wait(2_000)
            desk.market(symbol, yuan, 2_000)
            desk.wait(2_000)
        desk.complete()
        desk.market(symbol, yuan, 2_000)

    return make


def at_limit_and_pulled(symbol: str, limit: float) -> Callable[[Desk, float], None]:
    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        desk.market(symbol, limit, 100_000, bid=1_000_000)
        desk.wait(2_000)
        for _ in range(3):
            ticket = desk.buy("A1", symbol, round(value / 100) * 100, limit)
            desk.wait(20_000)
            desk.cancel(ticket)
            desk.wait(2_000)
            desk.market(symbol, limit, 100)
            desk.wait(2_000)
        desk.complete()
        desk.market(symbol, limit, 100)

    return make


def holding(symbol: str, limit: float) -> Callable[[Desk, float], None]:
    """`value` shares at the limit, half of what waits there, for twelve minutes."""

    def make(desk: Desk, value: float) -> None:
        shares = round(value / 100) * 100
        desk.until("09:31:00")
        desk.market(symbol, limit, 100_000, bid=shares)
        desk.wait(4_000)
        desk.buy("A1", symbol, shares, limit)
        desk.wait(4_000)
        desk.market(symbol, limit, 100, bid=2 * shares)
        for minute in range(48):
            desk.wait(15_000)
            desk.market(symbol, limit, 100)
            if minute * 15 >= 300 * desk.speed + 15:
                desk.complete()

    return make


def holding_into_close(symbol: str, limit: float) -> Callable[[Desk, float], None]:
    """`value` shares at the limit before the closing call, and more in it."""

    def make(desk: Desk, value: float) -> None:
        shares = round(value / 100) * 100
        desk.until("14:50:00")
        desk.market(symbol, limit, 100_000, bid=shares)
        desk.wait(2_000)
        desk.buy("A1", symbol, shares, limit)
        desk.until("14:57:30")
        desk.market(symbol, limit, 100, bid=2 * shares)
        desk.wait(2_000)
        desk.complete()
        desk.buy("A2", symbol, 700_000 if limit < 3 else 400_000, limit)

    return make


def layering(desk: Desk, value: float) -> None:
    """Five levels that are `value` of the market's five, three times."""
    desk.until("09:31:00")
    for _ in range(3):
        level = round(50_000 * value / 5 / 100) * 100
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


# --- trades with oneself, speed, the house ---


def with_oneself(clock: str, shares: int, at_close: bool = False) -> Callable[[Desk, float], None]:
    """A trade between two accounts of a controller that is `value` of the market's volume."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        desk.market("600001", 5.0, 100_000_000 if at_close else round(shares / value))
        desk.until(clock)
        buy, sale = desk.buy("A1", "600001", shares, 5.0), desk.sell("A2", "600001", shares, 5.01)
        if at_close:
            desk.until("15:00:02")
        desk.wait(1_000)
        desk.fill(buy, 5.0, shares, sale)
        if at_close:
            desk.wait(2_000)
            desk.market("600001", 5.0, round(shares / value))
            desk.wait(6_000)
            desk.market("600001", 5.0)
        desk.complete()

    return make


def painting(desk: Desk, value: float) -> None:
    desk.until("09:31:00")
    desk.market("600001", 5.0, 100_000_000)
    desk.wait(2_000)
    buy, sale = desk.buy("A1", "600001", 5_000, 5.0), desk.sell("A2", "600001", 5_000, 5.01)
    for _ in range(int(value)):
        desk.wait(10_000)
        desk.fill(buy, 5.0, 200, sale)
    desk.complete()


def stuffing(desk: Desk, value: float) -> None:
    """`value` messages a second in one stock, for eight seconds."""
    desk.until("09:31:00")
    for k in range(int(8 * value)):
        desk.buy("A1", "600001", 100, 4.9)
        desk.wait(round(1_000 / value))
        if k * round(1_000 / value) > 4_100 * desk.speed:
            desk.complete()


def a_minute(account: str, other: str, symbol: str, yuan: float, parts: int) -> Callable[[Desk, float], None]:
    """Buys for `value` yuan within a minute."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        for k in range(parts):
            desk.buy((account, other)[k % 2], symbol, round(value / yuan / parts / 100) * 100, yuan)
            desk.wait(1_000)
        desk.complete()

    return make


def closing_order(desk: Desk, value: float) -> None:
    desk.until("14:58:00")
    desk.complete()
    desk.buy("A1", "600001", round(value / 100) * 100, 5.15)


def one_order(clock: str, symbol: str, yuan: float, counted_at: float) -> Callable[[Desk, float], None]:
    """One buy for `value` yuan; yuan 0: a market order, which counts at counted_at."""

    def make(desk: Desk, value: float) -> None:
        desk.until(clock)
        desk.complete()
        desk.buy("B1", symbol, round(value / counted_at / 100) * 100, yuan)

    return make


def far_orders(desk: Desk, value: float) -> None:
    desk.until("09:16:00")
    for _ in range(int(value)):
        desk.sell("P1", "600001", 1_000, 4.5)
        desk.wait(50)
    desk.complete()


def rejected(desk: Desk, value: float) -> None:
    desk.until("09:31:00")
    for _ in range(int(value)):
        desk.buy("B1", "600001", 100, 9.0)
        desk.wait(100)
    desk.complete()
    desk.buy("B1", "600001", 100, 4.9)


def cancels(desk: Desk, value: float) -> None:
    desk.until("09:31:00")
    for _ in range(int(value)):
        ticket = desk.buy("B1", "600001", 100, 4.9)
        desk.wait(2_500)
        desk.cancel(ticket)
    desk.complete()


ABOVE = 1.000_001  # "more than" where the number itself is still good
FLOWS = (
    Flow("Z06002", 300, 240, in_a_second, True),
    Flow("Z06001", 20_000, 16_000, in_a_day, True),
    Flow("Z06006", 300, 270, of_a_controller, True),
    Flow("Z06003", 501, 451, flash_cancels, True),
    Flow("Z06004", 0.10 * ABOVE, 0, lifting_minutes),
    Flow("Z06005-SH", 1e8 * ABOVE, 0.9e8 * ABOVE, turnover("000001.XSHG", (3000, 3007), "600001", 5.0)),
    Flow("Z06005-SZ", 1e8 * ABOVE, 0.9e8 * ABOVE, turnover("399106.XSHE", (2000, 2005), "000002", 10.0)),
    Flow("Z06005-STAR", 2e7 * ABOVE, 1.8e7 * ABOVE, turnover("000688.XSHG", (1000, 1005), "688001", 50.0)),
    Flow("Z06005-CN", 3e7 * ABOVE, 2.7e7 * ABOVE, turnover("399006.XSHE", (2000, 2010), "300002", 20.0)),
    Flow("Z03101", LARGE * ABOVE, 0.9 * LARGE * ABOVE, opening_false("600001", 5.0, False)),
    Flow("Z03101-ST", 0.05, 0.03, opening_false("600010", 100.0, True)),
    Flow("Z03101-L", LARGE * ABOVE, 0.9 * LARGE * ABOVE, opening_withdrawn),
    Flow("Z03202", HUGE * ABOVE, 0, shown_and_pulled("600001", 5.0, 5, 30)),
    Flow("Z03202-ST", HUGE_ST * ABOVE, 0, shown_and_pulled("600009", 2.0, 5, 30)),
    Flow("Z03201", HUGE * ABOVE, 0, shown_and_pulled("300001", 5.0, 5, 30)),
    Flow("Z03203", HUGE * ABOVE, 0, at_limit_and_pulled("600001", 5.5)),
    Flow("Z03203-ST", HUGE_ST * ABOVE, 0, at_limit_and_pulled("600009", 2.2)),
    Flow("Z01101", 0.30 * ABOVE, 0.27 * ABOVE, the_open("600001", 5.0, 0.06)),
    Flow("Z01101-ST", 0.05, 0.03, the_open("600010", 100.0, None)),
    Flow("Z01201", 0.04, 0.036, lifting("600002")),
    Flow("Z01201", 0.04, 0.036, lifting("600002", SELL)),
    Flow("Z01201-50", 0.02, 0.018, lifting("600519")),
    Flow("Z01201-ST", 0.03, 0.027, lifting("600010")),
    Flow("Z01202", 100_000, 90_000, lifting_then_reverse("600001", 5.0)),
    Flow("Z01202-ST", 100_000, 90_000, lifting_then_reverse("600009", 2.0)),
    Flow("Z01301", 0.03, 0.027, the_close("600002")),
    Flow("Z01301-50", 0.02, 0.018, the_close("600519")),
    Flow("Z01302", 0.02, 0, the_close("600002")),
    Flow("Z05201", HUGE * ABOVE, 0.9 * HUGE * ABOVE, holding("600001", 5.5)),
    Flow("Z05201-ST", HUGE_ST * ABOVE, 0.9 * HUGE_ST * ABOVE, holding("600009", 2.2)),
    Flow("Z05301", HUGE * ABOVE, 0.9 * HUGE * ABOVE, holding_into_close("600001", 5.5)),
    Flow("Z05301-ST", HUGE_ST * ABOVE, 0.9 * HUGE_ST * ABOVE, holding_into_close("600009", 2.2)),
    Flow("J3", 0.10 * ABOVE, 0.09 * ABOVE, with_oneself("09:32:00", 50_000)),
    Flow("J3-C", 0.30 * ABOVE, 0.27 * ABOVE, with_oneself("14:58:00", 50_000, True)),
    Flow("Z02", 1e7 * ABOVE, 0.9e7 * ABOVE, a_minute("A1", "A2", "609999", 10.0, 8)),
    Flow("Z02-ST", 2e6 * ABOVE, 1.8e6 * ABOVE, a_minute("A1", "A2", "609998", 5.0, 8)),
    Flow("P-STUFF", 50, 45, stuffing, True),
    Flow("P-LAYER", 0.20 * ABOVE, 0, layering),
    Flow("P-SPOOF", LARGE * ABOVE, 0, shown_and_pulled("600001", 5.0, 6, 20)),
    Flow("P-IGNITE", 0.50, 0.45, ignition),
    Flow("P-PAINT", 5, 0, painting, True),
    Flow("P-CLOSE", LARGE * ABOVE, 0.9 * LARGE * ABOVE, closing_order),
    Flow("P-CLOSE-C", 0.02, 0.018, before_the_call),
    Flow("P-MINUTE", 1e8 * ABOVE, 0.9e8 * ABOVE, a_minute("F1", "F2", "600001", 5.0, 20)),
    Flow("P-CONSEC", 0.10 * ABOVE, 0, consecutive),
    Flow("H-BIG", 2e7 * ABOVE, 0, one_order("09:31:00", "600001", 5.0, 5.0)),
    Flow("H-MARKET", 5e6 * ABOVE, 0, one_order("09:31:00", "600001", 0, 5.5)),
    Flow("H-FAR", 1e6 * ABOVE, 0, one_order("09:16:00", "600001", 5.45, 5.45)),
    Flow("H-FAR-P", 51, 46, far_orders, True),
    Flow("H-REJECTS", 101, 81, rejected, True),
    Flow("H-CANCELS", 1_001, 0, cancels, True),
    Flow("H-FAST", 5e7 * ABOVE, 4e7 * ABOVE, a_minute("B1", "B1", "600001", 5.0, 20)),
)
