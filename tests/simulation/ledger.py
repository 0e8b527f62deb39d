"""Money and shares of one shard, kept by section 1.1 of the rule catalogue from what happened; written from the text.

A buy holds its worst case and its fees; a sell holds its shares. A fill moves its part from open to filled, settles
cash and fee, and gives back what the leaves need no more. Cancelled, expired or refused by the exchange: the leaves
are released. A request to cancel releases nothing.
"""

from __future__ import annotations

from tests.simulation.scene import BUY, FEES, GROUP_OF, LIMIT, SYMBOLS, UP_LIMIT_E4, VENUE_OF, XSHE, Scene

PENDING, NEW, PARTLY, FILLED, CANCELED, EXPIRED, REJECTED = range(1, 8)


class Sums:
    """Open and filled notional of one scope."""

    __slots__ = ("filled_buy", "filled_sell", "open_buy", "open_sell")

    def __init__(self) -> None:
        self.open_buy = self.open_sell = self.filled_buy = self.filled_sell = 0

    def row(self) -> tuple[int, int, int, int]:
        return self.open_buy, self.open_sell, self.filled_buy, self.filled_sell

    def move(self, side: int, opened: int, filled: int) -> None:
        if side == BUY:
            self.open_buy += opened
            self.filled_buy += filled
        else:
            self.open_sell += opened
            self.filled_sell += filled


class Account:
    __slots__ = ("cash", "event_seq", "held", "open_orders", "sums")

    def __init__(self, cash: int) -> None:
        self.cash, self.held, self.open_orders, self.event_seq, self.sums = cash, 0, 0, 0, Sums()

    def row(self) -> tuple[int, ...]:
        return self.cash, self.held, self.open_orders, self.event_seq, *self.sums.row()


class Position:
    __slots__ = ("bought", "open_buy", "open_sell", "sell_held", "sellable", "total")

    def __init__(self, total: int) -> None:
        self.total = self.sellable = total
        self.sell_held = self.bought = self.open_buy = self.open_sell = 0

    def row(self) -> tuple[int, ...]:
        return self.total, self.sellable, self.sell_held, self.bought, self.open_buy, self.open_sell


class Entry:
    """One accepted order. wanted: what its client asked for; fills: how many the shard has booked."""

    __slots__ = ("cum", "fills", "hold", "leaves", "notional", "order_no", "status", "wanted", "wpx")

    def __init__(self, wanted, order_no: int) -> None:
        self.wanted, self.order_no, self.status = wanted, order_no, PENDING
        self.leaves, self.cum, self.notional, self.fills, self.wpx, self.hold = wanted.qty, 0, 0, 0, 0, 0


class Ledger:
    """All books of one shard, and how to take the newest events back when a crash has lost them."""

    def __init__(self, scene: Scene) -> None:
        self.accounts = [Account(cash) for cash in scene.cash_e4]
        self.positions = [[Position(total) for total in row] for row in scene.total]
        self.firm = Sums()
        self.book: dict[int, Entry] = {}  # by order number
        self.log: list[tuple] = []  # (account, event_seq, undo) of each event, oldest first

    # Events, in the order of the journal

    def accept(self, wanted, order_no: int, bid: int, last: int) -> Entry:
        """An order passed every check: its worst case is held."""
        entry = self.book[order_no] = Entry(wanted, order_no)
        if wanted.side == BUY:
            entry.wpx = wanted.price if wanted.ord_type == LIMIT else UP_LIMIT_E4
            worst = entry.wpx * wanted.qty
            entry.hold = worst + FEES.of(BUY, worst)
        else:
            entry.wpx = max(wanted.price, bid, last)
        self.move(entry, wanted.qty, 0, 0, entry.hold)
        self.accounts[wanted.account].open_orders += 1
        return entry

    def fill(self, entry: Entry, qty: int, px: int) -> None:
        """The exchange executed some of it."""
        wanted = entry.wanted
        side = wanted.side
        account = self.accounts[wanted.account]
        position = self.positions[wanted.account][wanted.instrument]
        paid = FEES.of(side, entry.notional)
        entry.notional += px * qty
        entry.cum += qty
        entry.leaves -= qty
        entry.fills += 1
        charged = FEES.of(side, entry.notional)
        need = 0
        if side == BUY:
            account.cash -= px * qty + charged - paid
            position.total += qty
            position.bought += qty
            if VENUE_OF[wanted.instrument] == XSHE:  # in this scene, what may be sold again on the same day
                position.sellable += qty
            if entry.leaves:
                rest = entry.wpx * entry.leaves
                need = max(0, rest + FEES.of(BUY, entry.notional + rest) - charged)
        else:
            account.cash += px * qty - (charged - paid)
            position.total -= qty
            position.sellable -= qty
        self.move(entry, -qty, qty, px, need - entry.hold)
        entry.hold = need
        entry.status = PARTLY if entry.leaves else FILLED
        if not entry.leaves:
            account.open_orders -= 1

    def close(self, entry: Entry, status: int) -> None:
        """The exchange ended it: what its leaves held is free."""
        self.move(entry, -entry.leaves, 0, 0, -entry.hold)
        entry.leaves = entry.hold = 0
        entry.status = status
        self.accounts[entry.wanted.account].open_orders -= 1

    def move(self, entry: Entry, open_shares: int, filled_shares: int, px: int, hold: int) -> None:
        """Open and filled notional in every scope, shares held and open, cash held."""
        wanted = entry.wanted
        account = self.accounts[wanted.account]
        position = self.positions[wanted.account][wanted.instrument]
        account.sums.move(wanted.side, entry.wpx * open_shares, px * filled_shares)
        self.firm.move(wanted.side, entry.wpx * open_shares, px * filled_shares)
        if wanted.side == BUY:
            account.held += hold
            position.open_buy += open_shares
        else:
            position.sell_held += open_shares
            position.open_sell += open_shares

    # Taking back

    def note(self, account: int, event_seq: int, undo: tuple | None) -> None:
        """One event is over: (what, entry, arguments...) takes it back."""
        self.accounts[account].event_seq = event_seq
        self.log.append((account, event_seq, undo))

    def rebuild(self, scene: Scene, kept: list[int]) -> list[tuple[int, int]]:
        """Forget every event past the sequence that each account still has; (account, event_seq) of what was
        forgotten."""
        lost = [(account, seq) for account, seq, _ in self.log if seq > kept[account]]
        if not lost:
            return lost
        log = [step for step in self.log if step[1] <= kept[step[0]]]
        if log != self.log[: len(log)]:
            raise AssertionError(f"a crash lost events in the middle: {lost}, not the newest {len(lost)}")
        self.__init__(scene)
        for account, seq, event in log:
            self.apply(event)
            self.note(account, seq, event)
        return lost

    def apply(self, event: tuple | None) -> Entry | None:
        """(accept, ...), (fill, order_no, ...), (close, order_no, ...) or (status, order_no, ...) as the observer
        noted it."""
        if event is None:
            return None
        if event[0] == "accept":
            return self.accept(*event[1:])
        entry = self.book[event[1]]
        if event[0] == "fill":
            self.fill(entry, *event[2:])
        elif event[0] == "close":
            self.close(entry, *event[2:])
        else:
            entry.status = event[2]
        return entry

    def group_row(self, group: int) -> tuple[int, int, int, int]:
        """The sums of a group are the sums of its accounts."""
        rows = [self.accounts[at].sums.row() for at, of in enumerate(GROUP_OF) if of == group]
        return tuple(map(sum, zip(*rows, strict=True)))

    def faults(self) -> list[str]:
        """Section 1.1 at rest: held is the sum of open needs, and so on."""
        found = []
        for at, account in enumerate(self.accounts):
            entries = [e for e in self.book.values() if e.wanted.account == at and e.leaves]
            if account.held != sum(e.hold for e in entries) or account.open_orders != len(entries):
                found.append(f"ledger: account {at} holds {account.held}, orders {len(entries)}")
            for instrument in range(len(SYMBOLS)):
                held = sum(e.leaves for e in entries if e.wanted.instrument == instrument and e.wanted.side != BUY)
                if self.positions[at][instrument].sell_held != held:
                    found.append(f"ledger: account {at} instrument {instrument} holds {held} shares")
        return found
