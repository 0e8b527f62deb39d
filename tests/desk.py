"""A trading desk for tests: the reference model with one port, three accounts and five instruments around 10.00."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.model import Model
from tests.model_state import (
    BUY,
    CHINEXT,
    LIMIT,
    MAIN,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_OPEN_CALL,
    PASS,
    STAR,
    XSHE,
    XSHG,
    Account,
    Decision,
    Group,
    Instrument,
    NewOrder,
    Order,
    Port,
    Quote,
    price_limits,
)

if TYPE_CHECKING:
    from tests.pair import Twin

YUAN = 10_000
START_NS = 1_795_397_400_000_000_000
MS = 10**6
RICH = 10**15
TEN = 10 * YUAN

MAIN_STOCK = (XSHG, "600000")
STAR_STOCK = (XSHG, "688001")
CHINEXT_STOCK = (XSHE, "300001")
SZ_STOCK = (XSHE, "000001")
FUND = (XSHG, "513100")


@dataclass
class Desk:
    """A port and three accounts, two of them of one group, a book around 10.00, and a clock that moves when told.

    model: a Model, or a Twin, which puts the engine to the same test.
    """
    model: Model | Twin = field(default_factory=Model)
    now_ns: int = START_NS
    count: int = 0

    def __post_init__(self) -> None:
        self.group = Group("family")
        self.model.groups["family"] = self.group
        self.a = self.add_account("A", self.group)
        self.b = self.add_account("B", self.group)
        self.c = self.add_account("C", None)
        self.port = self.model.ports["p"] = Port("p", {"A", "B", "C"})
        boards = ((MAIN_STOCK, MAIN), (STAR_STOCK, STAR), (CHINEXT_STOCK, CHINEXT), (SZ_STOCK, MAIN), (FUND, MAIN))
        for (exchange, symbol), board in boards:
            up, down = price_limits(TEN, 10)
            found = Instrument(symbol, exchange, board, TEN, up, down, t0=(exchange, symbol) == FUND)
            self.model.instruments[found.key] = found
            self.quote(found.key, TEN, TEN, TEN)
        for exchange in self.model.venues:
            self.model.set_phase(exchange, P_CONTINUOUS, self.now_ns)

    def add_account(self, name: str, group: Group | None) -> Account:
        account = Account(name, cash0=RICH, group=group)
        account.limits.collar = dict.fromkeys((P_OPEN_CALL, P_CONTINUOUS, P_CLOSE_CALL), (100_000, 0))
        self.model.accounts[name] = account
        return account

    def hold_shares(self, account: Account, key: tuple[int, str], total: int, sellable: int | None = None) -> None:
        account.start_total[key] = total
        account.start_sellable[key] = total if sellable is None else sellable

    def quote(self, key: tuple[int, str], bid1: int = 0, ask1: int = 0, last: int = 0) -> None:
        self.model.set_quote(self.model.instruments[key], Quote(bid1, ask1, last), self.now_ns)

    def wait(self, ms: float) -> None:
        self.now_ns += int(ms * MS)
        for exchange, venue in self.model.venues.items():
            self.model.set_phase(exchange, venue.phase, self.now_ns)

    def phase(self, phase: int) -> None:
        for exchange in self.model.venues:
            self.model.set_phase(exchange, phase, self.now_ns)

    def send(
        self, side: int = BUY, qty: int = 100, price: int = TEN, key: tuple[int, str] = MAIN_STOCK, kind: int = LIMIT,
        account: str = "A", cl_ord_id: str = "",
    ) -> Decision:  # fmt: skip
        self.count += 1
        exchange, symbol = key
        request = NewOrder(cl_ord_id or f"o{self.count}", account, symbol, exchange, side, kind, qty, price)
        decision = self.model.new_order(self.port, request, self.now_ns)
        self.model.invariants()
        return decision

    def code(self, side: int = BUY, qty: int = 100, price: int = TEN, **more: object) -> int:
        return self.send(side, qty, price, **more).code  # type: ignore[arg-type]

    def open(self, side: int = BUY, qty: int = 100, price: int = TEN, **more: object) -> Order:
        decision = self.send(side, qty, price, **more)  # type: ignore[arg-type]
        assert decision.code == PASS
        assert decision.order is not None
        return decision.order
