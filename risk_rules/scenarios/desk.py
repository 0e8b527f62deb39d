"""Who trades in a scenario: orders, trades, quotes on a stage, at a chosen speed, with faults. It knows no rule."""

from typing import NamedTuple

from risk_rules.stage import BUY, INDEX, SECOND_NS, SELL, Placed, Stage, full_symbol

E4 = 10_000


class Ticket(NamedTuple):
    """An accepted order."""

    placed: Placed
    account: str
    symbol: str
    shares: int


class Desk:
    """One run of a scenario. speed: how many times faster than written; restart_at, gap_at: after so many steps the
    engine is started again from its journal, or the market's quotes stay away for gap_s seconds (0: never)."""

    def __init__(self, stage: Stage, *, speed: int = 1, restart_at: int = 0, gap_at: int = 0, gap_s: int = 5) -> None:
        self.stage, self.speed, self.restart_at, self.gap_at, self.gap_s = stage, speed, restart_at, gap_at, gap_s
        self.steps = 0
        self.orders = 0
        self.stopped: list[Placed] = []
        self.complete_ns = 0  # when the pattern was complete, by the flow's own count
        self.gap_until_ns = 0
        self.waiting: set[str] = set()  # symbols whose quotes did not come through

    # Time

    def until(self, clock: str) -> None:
        """To a time of day, HH:MM:SS."""
        hours, minutes, seconds = (int(part) for part in clock.split(":"))
        self.move(self.stage.midnight_ns + ((hours * 60 + minutes) * 60 + seconds) * SECOND_NS)

    def wait(self, ms: int) -> None:
        self.move(self.stage.now_ns + ms * 1_000_000 // self.speed)

    def move(self, to_ns: int) -> None:
        self.stage.at(to_ns)
        if self.waiting and self.stage.now_ns >= self.gap_until_ns:
            for symbol in sorted(self.waiting, key=lambda name: (self.stage.securities[name].board != INDEX, name)):
                self.stage.publish(symbol)
            self.waiting.clear()

    def step(self) -> None:
        """A restart or a gap begins at the step it is planned for."""
        self.steps += 1
        if self.steps == self.restart_at:
            self.stage.restart()
        if self.steps == self.gap_at:
            self.gap_until_ns = self.stage.now_ns + self.gap_s * SECOND_NS

    def complete(self) -> None:
        """The flow has made all of its pattern: from here on a rule should have met it."""
        self.complete_ns = self.complete_ns or self.stage.now_ns

    # Orders

    def order(self, account: str, side: int, symbol: str, shares: int, yuan: float) -> Ticket | None:
        """A new order; yuan 0: a market order. None when it was stopped."""
        self.step()
        self.orders += 1
        placed = self.stage.order(account, side, shares, full_symbol(symbol), round(yuan * 100) * 100)
        if placed.suspended and self.stage.confirm(
            account, placed.number, self.stage.securities[full_symbol(symbol)].venue
        ):
            placed = placed._replace(code=1)  # whoever typed it meant it
        if placed.code != 1:
            self.stopped.append(placed)
            return None
        return Ticket(placed, account, full_symbol(symbol), shares)

    def buy(self, account: str, symbol: str, shares: int, yuan: float) -> Ticket | None:
        return self.order(account, BUY, symbol, shares, yuan)

    def sell(self, account: str, symbol: str, shares: int, yuan: float) -> Ticket | None:
        return self.order(account, SELL, symbol, shares, yuan)

    def fill(self, ticket: Ticket | None, yuan: float, shares: int = 0, other: Ticket | None = None) -> None:
        """A trade of the order, all of it when no shares are named; other: our order on its other side."""
        if ticket is None:
            return
        self.step()
        venue, price_e4, shares = (
            self.stage.securities[ticket.symbol].venue,
            round(yuan * 100) * 100,
            shares or ticket.shares,
        )
        trade = self.stage.fill(ticket.placed.number, venue, shares, price_e4)
        if other is not None:
            self.stage.fill(other.placed.number, venue, shares, price_e4, trade)

    def cancel(self, ticket: Ticket | None) -> None:
        """Request and answer."""
        if ticket is None:
            return
        self.step()
        self.stage.cancel(ticket.account, ticket.placed.number)
        self.stage.canceled(ticket.placed.number, self.stage.securities[ticket.symbol].venue)

    # The market

    def market(
        self, symbol: str, yuan: float, volume: int = 0, *, bid: int | None = None, ask: int | None = None
    ) -> None:
        """Last price and what traded since; bid, ask: shares that wait at that price, none on the other side."""
        self.step()
        symbol, price_e4 = full_symbol(symbol), round(yuan * 100) * 100
        book = self.stage.books[symbol]
        book.last_e4 = price_e4
        book.volume += volume
        book.turnover_e4 += volume * price_e4
        if bid is not None or ask is not None:
            book.bids = [(price_e4, bid)] if bid else []
            book.asks = [(price_e4, ask)] if ask else []
        if self.stage.now_ns < self.gap_until_ns:
            self.waiting.add(symbol)
        else:
            self.stage.publish(symbol)
