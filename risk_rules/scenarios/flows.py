"""Flows of a given size, one for each rule: the evaluation runs them just below and just above the rule's number.

Each knows what it makes and at which value the catalogue wants a warning and a breach.
"""

from collections.abc import Callable
from typing import NamedTuple

from risk_rules.scenarios.desk import Desk
from risk_rules.scenarios.false_orders import (
    at_limit_and_pulled,
    holding,
    holding_into_close,
    layering,
    opening_false,
    opening_withdrawn,
    shown_and_pulled,
)
from risk_rules.scenarios.moves import (
    before_the_call,
    consecutive,
    ignition,
    lifting,
    lifting_minutes,
    moved_then_reverse,
    the_close,
    the_open,
    turnover,
)
from risk_rules.scenarios.world import HUGE, HUGE_ST, LARGE, lots
from risk_rules.stage import BUY, SECOND_NS, SELL


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
    known_ns = desk.stage.now_ns + 4 * SECOND_NS + 100_000_000
    for _ in range(int(10 * value)):
        if desk.stage.now_ns >= known_ns:
            desk.complete()
        desk.buy("A1", "600001", 100, 4.9)
        desk.wait(round(1_000 / value))


def a_minute(account: str, other: str, symbol: str, yuan: float, parts: int) -> Callable[[Desk, float], None]:
    """Buys for `value` yuan within a minute."""

    def make(desk: Desk, value: float) -> None:
        desk.until("09:31:00")
        for k in range(parts):
            desk.buy((account, other)[k % 2], symbol, lots(value / yuan / parts), yuan)
            desk.wait(1_000)
        desk.complete()

    return make


def closing_order(desk: Desk, value: float) -> None:
    desk.until("14:58:00")
    desk.complete()
    desk.buy("A1", "600001", lots(value), 5.15)


def one_order(clock: str, symbol: str, yuan: float, counted_at: float) -> Callable[[Desk, float], None]:
    """One buy for `value` yuan; yuan 0: a market order, which counts at counted_at."""

    def make(desk: Desk, value: float) -> None:
        desk.until(clock)
        desk.complete()
        desk.buy("B1", symbol, lots(value / counted_at), yuan)

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
    Flow("Z03101-ST", 0.05, 0.03, opening_false("600011", 10.0, True)),
    Flow("Z03101-L", LARGE * ABOVE, 0.9 * LARGE * ABOVE, opening_withdrawn),
    Flow("Z03202", HUGE * ABOVE, 0, shown_and_pulled("600001", 5.0, 5, 30)),
    Flow("Z03202-ST", HUGE_ST * ABOVE, 0, shown_and_pulled("600009", 2.0, 5, 30, SELL)),
    Flow("Z03201", HUGE * ABOVE, 0, shown_and_pulled("300001", 5.0, 5, 30)),
    Flow("Z03203", HUGE * ABOVE, 0, at_limit_and_pulled("600001", 5.5, BUY)),
    Flow("Z03203-ST", HUGE_ST * ABOVE, 0, at_limit_and_pulled("600009", 1.8, SELL)),
    Flow("Z01101", 0.30 * ABOVE, 0.27 * ABOVE, the_open("600001", 5.0, 0.06)),
    Flow("Z01101-ST", 0.05, 0.03, the_open("600011", 10.0, None)),
    Flow("Z01201", 0.04, 0.036, lifting("600002")),
    Flow("Z01201", 0.04, 0.036, lifting("600002", SELL)),
    Flow("Z01201-50", 0.02, 0.018, lifting("600519")),
    Flow("Z01201-ST", 0.03, 0.027, lifting("600010")),
    Flow("Z01202", 100_000, 90_000, moved_then_reverse("600001", 5.0, BUY)),
    Flow("Z01202-ST", 100_000, 90_000, moved_then_reverse("600009", 2.0, SELL)),
    Flow("Z01301", 0.03, 0.027, the_close("600002")),
    Flow("Z01301-50", 0.02, 0.018, the_close("600519")),
    Flow("Z01302", 0.02, 0, the_close("600002")),
    Flow("Z05201", HUGE * ABOVE, 0.9 * HUGE * ABOVE, holding("600001", 5.5, BUY)),
    Flow("Z05201-ST", HUGE_ST * ABOVE, 0.9 * HUGE_ST * ABOVE, holding("600009", 1.8, SELL)),
    Flow("Z05301", HUGE * ABOVE, 0.9 * HUGE * ABOVE, holding_into_close("600001", 5.5, BUY, 400_000)),
    Flow("Z05301-ST", HUGE_ST * ABOVE, 0.9 * HUGE_ST * ABOVE, holding_into_close("600009", 1.8, SELL, 700_000)),
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
