"""A seeded random life of one shard: a world with tight and loose limits, and an endless supply of actions in it.

The generator looks at the reference model to choose what is likely to matter; it changes nothing itself.
"""
from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests import actions as act
from tests import model_response as response
from tests import model_shares
from tests.model import Model
from tests.model_state import (
    BUY,
    CHINEXT,
    INDEX,
    LIMIT,
    MAIN,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_LUNCH,
    P_OPEN_CALL,
    P_OPEN_CALL_LOCKED,
    P_QUIET,
    SELL,
    STAR,
    STEP_NS,
    XSHE,
    XSHG,
    Account,
    BoardRules,
    Fees,
    Group,
    Instrument,
    Limits,
    NewOrder,
    Order,
    Port,
    Quote,
    ScopeLimits,
    Strategy,
    Unit,
    price_limits,
)

START_NS = 1_795_397_400_000_000_000          # a Monday, 09:30 in Shanghai
YUAN = 10_000
MS = 10**6
PORTS = {"desk": ("A", "B", "C", "D"), "algo": ("A", "E", "F")}
SESSIONS = ((0, "desk"), (1, "desk"), (2, "desk"), (0, "algo"), (3, "algo"))  # 0: unary calls
GROUPS = {"A": "family", "B": "family", "C": "fund", "D": "fund"}
MASKS = (1, 2, 4, 8, 16, 256, 512, 1024, 1 | 1024, 2 | 4, 0, 32)                  # the last two are bad requests
COLLARS = ((50, 0), (300, 5), (10_000, 0), (10_000, 0))      # (bps, ticks)
INSTRUMENTS = (
    (XSHG, "600001", MAIN, 10), (XSHG, "600002", MAIN, 10), (XSHG, "688001", STAR, 20),
    (XSHE, "000001", MAIN, 10), (XSHE, "300001", CHINEXT, 20), (XSHG, "000300", INDEX, 10),
)  # fmt: skip


@dataclass(frozen=True)
class Shared:
    """What is the same for every account of a world: fees, and the collar per phase (bps, ticks)."""
    fees: Fees
    collar: dict[int, tuple[int, int]]


def build_world(rng: random.Random) -> Model:
    """A model whose limits are each tight or absent as the seed says."""
    model = Model()
    model.boards[MAIN] = BoardRules(100, 100, 1_000_000, 1_000_000)
    model.groups = {name: Group(name, scope_limits(rng)) for name in ("family", "fund")}
    model.firm.limits = scope_limits(rng, 10)
    model.firm.limits.loss_limit = some(rng, rng.choice((1_000, 1_000_000)) * YUAN, 0.05)
    model.strategies = {name: build_strategy(rng, name) for name in ("grid", "twap")}
    model.units = {name: Unit(name, maybe(rng, rng.choice((50_000, 500_000)) * YUAN, 0.6)) for name in ("U1", "U2")}
    model.firm.capital_limit = maybe(rng, rng.choice((2, 20)) * 1_000_000 * YUAN, 0.4)
    for number, (exchange, symbol, board, percent) in enumerate(INSTRUMENTS):
        prev_close = rng.randrange(300, 4_000) * 100
        up, down = price_limits(prev_close, percent) if rng.random() < 0.85 else (0, 0)
        model.instruments[exchange, symbol] = Instrument(
            symbol, exchange, board, prev_close, up, down, risk_warning=number == 1, t0=number == 3,
            status=rng.choice(("SUSPENDED", "DELISTED")) if rng.random() < 0.05 else "NORMAL",
            float_shares=rng.choice((0, 1_500_000)), adv20_shares=rng.choice((0, 100_000)),
            risk_level=4 if board in (STAR, CHINEXT) else 3, shortable=rng.random() < 0.5,
        )  # fmt: skip
    shared = Shared(
        rng.choice((Fees(), Fees(5 * YUAN, 2_500, 100, 341, 200, 5_000))),
        {p: rng.choice(COLLARS) for p in (P_OPEN_CALL, P_CONTINUOUS, P_CLOSE_CALL)},
    )
    for name in "ABCDEF":
        model.accounts[name] = build_account(rng, model, name, shared)
    for name, accounts in PORTS.items():
        model.ports[name] = Port(
            name, set(accounts), rate_in_per_s=maybe(rng, rng.choice((5, 20))), cancel_rate_in_per_s=maybe(rng, 5),
            reject_streak_max=maybe(rng, rng.choice((3, 6))), reject_latch_ms=rng.choice((10, 500)),
            programme=name == "algo" and rng.random() < 0.5,
        )  # fmt: skip
    for exchange in model.venues:
        model.set_phase(exchange, P_CONTINUOUS, START_NS)
    return model


def maybe(rng: random.Random, tight: int, chance: float = 0.25) -> int:
    """A tight limit now and then, else one that never binds."""
    return tight if rng.random() < chance else 10**17


def some(rng: random.Random, tight: int, chance: float = 0.06) -> int:
    """A tight limit now and then, else none."""
    return tight if rng.random() < chance else 0


def scope_limits(rng: random.Random, times: int = 1) -> ScopeLimits:
    return ScopeLimits(
        *(maybe(rng, rng.choice((1, 4)) * times * 1_000_000 * YUAN) for _ in range(3)),
        order_value_per_day=some(rng, times * 500_000 * YUAN), traded_value_per_day=some(rng, times * 200_000 * YUAN),
    )  # fmt: skip


def build_strategy(rng: random.Random, name: str) -> Strategy:
    return Strategy(
        name, maybe(rng, 300_000 * YUAN), raet_max=some(rng, rng.choice((1, 4)), 0.4),
        raet_window_s=rng.choice((1, 60)), reject_streak_max=some(rng, rng.choice((2, 5)), 0.4),
        loss_limit=some(rng, 1_000 * YUAN, 0.2), loss_action=rng.choice(("SELL_ONLY", "CANCEL_ONLY")),
    )  # fmt: skip


def build_account(rng: random.Random, model: Model, name: str, shared: Shared) -> Account:
    account = Account(
        name, cash0=rng.choice((50_000, 5_000_000, 500_000_000)) * YUAN, group=model.groups.get(GROUPS.get(name, "")),
        fees=shared.fees, limits=build_limits(rng, shared),
        state=rng.choice(("FROZEN", "CANCEL_ONLY", "SELL_ONLY")) if rng.random() < 0.06 else "NORMAL",
    )  # fmt: skip
    if rng.random() < 0.2:
        account.risk_level = rng.randint(1, 4)
        account.c1_lowest = account.risk_level == 1
        account.professional = rng.random() < 0.3
    if rng.random() < 0.3:
        account.unit = model.units[rng.choice(("U1", "U2"))]
    if rng.random() < 0.2:
        account.ord_types = frozenset({LIMIT, 2, 6})
    if rng.random() < 0.2:
        account.boards = frozenset({MAIN, CHINEXT})
    for key in model.instruments:
        account.start_total[key] = rng.choice((250, 350, 100_000, 1_000_000, 2_000_000))
        account.start_sellable[key] = account.start_total[key] * rng.choice((1, 1, 1, 0))
        if rng.random() < 0.5:
            account.located[key] = rng.choice((500, 2_000, 100_000))
        if rng.random() < 0.1:
            account.banned.add((*key, rng.choice((BUY, SELL))))
    return account


def build_limits(rng: random.Random, shared: Shared) -> Limits:
    wide = scope_limits(rng)
    return Limits(
        wide.gross_limit, wide.long_limit, wide.short_limit, max_qty=maybe(rng, 20_000),
        max_ntl=maybe(rng, 500_000 * YUAN),
        dup_max=maybe(rng, rng.choice((1, 2)), 0.4), dup_window_ms=rng.choice((5, 1_000)),
        rate_out_per_s=maybe(rng, 2), rate_out_per_day=maybe(rng, 20, 0.2), rate_symbol_per_s=maybe(rng, 1),
        open_orders=maybe(rng, 4), open_orders_per_symbol=maybe(rng, 1),
        position_limit_shares=maybe(rng, rng.choice((1_000, 1_001_000, 2_001_000))),
        collar=shared.collar, order_value_per_day=wide.order_value_per_day,
        traded_value_per_day=wide.traded_value_per_day, loss_limit=some(rng, rng.choice((1_000, 100_000)) * YUAN, 0.1),
        loss_action=rng.choice(("SELL_ONLY", "CANCEL_ONLY")), adv_bps=some(rng, 500, 0.15), float_bps=some(rng, 3, 0.1),
        price_window=(30, rng.choice((500, 60_000)), 10_000 * YUAN) if rng.random() < 0.25 else (0, 0, 0),
        instrument_long_limit=some(rng, 100_000 * YUAN), instrument_short_limit=some(rng, 100_000 * YUAN),
        position_float_bps=some(rng, rng.choice((100, 7_000))),
        concentration_bps=some(rng, rng.choice((500, 3_000)), 0.1),
        basket_ntl=some(rng, 50_000 * YUAN, 0.2), basket_lines=some(rng, 2, 0.2), basket_gross_bps=some(rng, 100, 0.2),
        soft_ntl=some(rng, 100_000 * YUAN, 0.1), soft_qty=some(rng, 1_000, 0.1),
    )  # fmt: skip


class Simulation:
    """Actions for one world, from one seed. The caller applies each to the model before asking for the next."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.model = build_world(self.rng)
        self.now_ns = START_NS
        self.count = 0
        self.kinds: list[tuple[Callable[[], act.Action], float]] = [
            (self.new_order, 40), (self.cancel, 8), (self.mass_cancel, 1), (self.venue_answer, 30), (self.quote, 8),
            (self.market_phase, 6), (self.link, 0.5), (self.kill, 0.3), (self.disconnect, 0.3),
            (self.repair, 8), (self.end_of_day, 0.1), (self.restart, 0.2), (self.set_level, 3), (self.confirm, 4),
            (self.on_time, 3), (self.basket, 1.5), (self.rearm, 0.8),
        ]  # fmt: skip
        if random.Random(f"shares {seed}").random() < 0.25:
            self.kinds.append((self.put_in_force, 2))

    def actions(self, steps: int) -> Iterator[act.Action]:
        """First a quote of every instrument but perhaps one, then `steps` actions, at last the end of the day."""
        for exchange, symbol in self.model.instruments:
            if self.rng.random() < 0.95:
                yield self.quote_of(exchange, symbol)
        makers, weights = zip(*self.kinds, strict=True)
        for _ in range(steps):
            yield self.rng.choices(makers, weights)[0]()
            self.advance()
        yield from (act.EndOfDay(self.now_ns, exchange) for exchange in self.model.venues)

    def advance(self) -> None:
        """Mostly no time or a little; now and then to the edge of a window's step, or long enough to go stale."""
        draw = self.rng.random()
        if draw < 0.3:
            self.now_ns += self.rng.randrange(5 * MS)
        elif draw < 0.4:
            self.now_ns += STEP_NS - self.now_ns % STEP_NS - self.rng.choice((0, 0, 1))
        elif draw < 0.45:
            self.now_ns += 16 * STEP_NS
        elif draw < 0.46:
            self.now_ns += 3_000 * MS + self.rng.randrange(2)

    # Front ends

    def new_order(self) -> act.Action:
        session, port = self.pick_session()
        account = self.model.accounts[self.rng.choice(PORTS[port])]
        request = self.sane_order(account)
        if account.orders and self.rng.random() < 0.08:
            request = replace(list(account.orders.values())[-1].request, cl_ord_id=request.cl_ord_id)
        if self.rng.random() < 0.05:
            self.spoil(request)
        if self.rng.random() < 0.04 and account.orders:
            return self.repeat(port, session, account, request)
        return act.Submit(self.now_ns, port, session, request)

    def pick_session(self) -> tuple[int, str]:
        return self.rng.choice(SESSIONS)

    def sane_order(self, account: Account) -> NewOrder:
        rng, instrument = self.rng, self.rng.choice(list(self.model.instruments.values()))
        if instrument.board == INDEX and rng.random() < 0.9:
            instrument = self.model.instruments[XSHG, "600001"]
        side = rng.choice((BUY, SELL))
        kind = rng.choice((2, 3, 4, 5, 6, 7)) if rng.random() < 0.2 else LIMIT
        price = self.price_near(instrument)
        if kind != LIMIT and rng.random() < 0.5:
            price = 0
        self.count += 1
        request = NewOrder(f"o{self.count}", account.name, instrument.symbol, instrument.exchange, side, kind,
                           self.quantity(account, instrument, side), price)  # fmt: skip
        if rng.random() < 0.2:
            request.strategy = rng.choice(list(self.model.strategies))
        if rng.random() < 0.1:
            request.parent_id, request.parent_qty = f"P{rng.randrange(3)}", rng.choice((1_000, 2_000, 10**6))
        request.short_sale = side == SELL and rng.random() < 0.2
        return request

    def basket(self) -> act.Action:
        _, port = self.pick_session()
        account = self.model.accounts[self.rng.choice(PORTS[port])]
        requests = [self.sane_order(account) for _ in range(self.rng.randint(1, 4))]
        if self.rng.random() < 0.1:
            self.spoil(requests[-1])
            requests[-1].account = account.name
        return act.SubmitBasket(self.now_ns, port, tuple(requests))

    def rearm(self) -> act.Action:
        return act.Rearm(self.now_ns, self.rng.choice(list(self.model.strategies)))

    def quantity(self, account: Account, instrument: Instrument, side: int) -> int:
        rng = self.rng
        if side == SELL and rng.random() < 0.15:
            avail = self.model.sellable(account, instrument) - self.model.held(account, instrument)
            return rng.choice((max(1, avail), max(1, avail % 100), avail + 1, avail + 100))
        draw = rng.random()
        if draw < 0.06:
            return rng.choice((50, 199, 201, 150, 100_001, 300_100, 1_000_100))
        return rng.randrange(2, 8) * 100 if draw < 0.85 else rng.choice((5_000, 20_000, 100_000, 300_000))

    def price_near(self, instrument: Instrument) -> int:
        rng, quote = self.rng, instrument.quote or Quote()
        around = quote.last or quote.bid1 or quote.ask1 or instrument.prev_close
        ticks = rng.randrange(-4, 5) if rng.random() < 0.88 else rng.randrange(-around // 700, around // 700)
        price = max(100, around + 100 * ticks)
        if instrument.up_limit and rng.random() < 0.1:
            return rng.choice((instrument.up_limit, instrument.down_limit, instrument.up_limit + 100))
        return price + 50 if rng.random() < 0.01 else price

    def spoil(self, request: NewOrder) -> None:
        """Break one field."""
        name, value = self.rng.choice((
            ("cl_ord_id", ""), ("cl_ord_id", "x" * 65), ("account", ""), ("account", "Z"), ("account", "F"),
            ("symbol", "60000"), ("symbol", "60000a"), ("symbol", "600999"), ("exchange", 0), ("exchange", 3),
            ("side", 0), ("side", 3), ("ord_type", 0), ("ord_type", 9), ("qty", 0), ("qty", -100), ("qty", 10**9 + 1),
            ("price", -1), ("price", 10**9 + 1), ("price", 0), ("time_in_force", 2), ("time_in_force", 1),
            ("strategy", "x" * 17), ("strategy", "nobody"), ("parent_id", "x" * 65),
            ("parent_qty", 5), ("parent_qty", -1), ("short_sale", True),
        ))  # fmt: skip
        setattr(request, name, value)

    def repeat(self, port: str, session: int, account: Account, request: NewOrder) -> act.Submit:
        """An id used before: with the old content, or with new."""
        earlier = self.rng.choice(list(account.orders.values())).request
        if self.rng.random() < 0.5:
            return act.Submit(self.now_ns, port, session, earlier)
        request.cl_ord_id = earlier.cl_ord_id
        return act.Submit(self.now_ns, port, session, request)

    def cancel(self) -> act.Action:
        session, port = self.pick_session()
        order = self.pick_order(0.8)
        if order is None or self.rng.random() < 0.05:
            return act.Cancel(self.now_ns, port, session, self.rng.choice("ABCDEFZ"), self.rng.choice(("nothing", "")))
        account = order.account.name if self.rng.random() < 0.95 else "F"
        return act.Cancel(self.now_ns, port, session, account, order.request.cl_ord_id, self.rng.random() < 0.3)

    def mass_cancel(self) -> act.Action:
        session, port = self.pick_session()
        exchange, symbol = self.rng.choice([*self.model.instruments, (0, ""), (0, "")])
        account, side = self.rng.choice("ABCDEF"), self.rng.choice((0, 0, BUY, SELL))
        return act.MassCancel(self.now_ns, port, session, account, symbol, exchange, side)

    def disconnect(self) -> act.Action:
        return act.Disconnect(self.now_ns, self.rng.choice(list(PORTS)))

    def pick_order(self, open_share: float) -> Order | None:
        """Some order; with this chance one of the open ones."""
        chosen = self.model.open_orders if self.rng.random() < open_share else self.model.orders
        return self.rng.choice(chosen) if chosen else None

    # Exchanges

    def venue_answer(self) -> act.Action:
        order = self.pick_order(0.97)
        if order is None or not order.accepted_ns:
            return self.quote()
        kind = self.answer_kind(order)
        qty = px = 0
        if kind == "trade":
            lots = max(1, order.leaves // 100)
            whole = self.rng.random() < 0.4
            qty = order.leaves if whole else min(max(1, order.leaves), 100 * self.rng.randint(1, lots))
            px = self.trade_price(order)
            qty += self.rng.choice((0, 0, 0, 0, 100)) if self.rng.random() < 0.1 else 0
        twice, gap = self.rng.random() < 0.05, self.rng.random() < 0.05
        return act.VenueAnswer(self.now_ns, kind, order.account.name, order.request.cl_ord_id, qty, px, twice, gap)

    def answer_kind(self, order: Order) -> str:
        draw = self.rng.random()
        if self.rng.random() < 0.03:
            return self.rng.choice(("accepted", "trade", "canceled", "rejected", "business_reject"))
        if order.withheld and self.rng.random() < 0.7:
            return "cancel_unknown"
        if order.status == 1 and draw < 0.7:
            return "accepted"
        if order.status == 1 and draw < 0.8:
            return self.rng.choice(("rejected", "business_reject"))
        if order.cancel_pending and not order.cancel_queued:
            return "canceled" if draw < 0.6 else self.rng.choice(("cancel_rejected", "cancel_unknown", "trade"))
        return "trade" if draw < 0.9 or order.request.ord_type == LIMIT else "canceled"

    def trade_price(self, order: Order) -> int:
        """Never above what a buy held for, never below a sell's limit."""
        near = self.price_near(order.instrument) // 100 * 100 if order.instrument else order.wpx
        return min(near, order.wpx) if order.request.side == BUY else max(near, order.request.price)

    # Market data and switches

    def quote(self) -> act.Action:
        return self.quote_of(*self.rng.choice(list(self.model.instruments)))

    def quote_of(self, exchange: int, symbol: str) -> act.Action:
        rng, instrument = self.rng, self.model.instruments[exchange, symbol]
        old = instrument.quote.last if instrument.quote else 0
        last = max(1_000, (old or instrument.prev_close) + rng.randrange(-8, 9) * 100)
        quote = Quote(last - 100 * rng.randrange(3), last + 100 * rng.randrange(3), last)
        if rng.random() < 0.1:
            quote = rng.choice((Quote(0, quote.ask1, last), Quote(quote.bid1, 0, last), Quote(0, 0, last), Quote()))
        return act.MarketQuote(self.now_ns, exchange, symbol, quote)

    def market_phase(self) -> act.Action:
        exchange = self.rng.choice((XSHG, XSHE))
        phase = self.model.venues[exchange].phase
        if self.rng.random() < 0.2:
            phase = self.rng.choice((P_OPEN_CALL, P_OPEN_CALL_LOCKED, P_QUIET, P_LUNCH, P_CLOSE_CALL, 0, 1, 8))
        return act.MarketPhase(self.now_ns, exchange, phase)

    def link(self) -> act.Action:
        return act.Link(self.now_ns, self.rng.choice((XSHG, XSHE)), False)

    def kill(self) -> act.Action:
        targets = [(scope, name) for scope, names in self.killable().items() for name in names]
        return act.Kill(self.now_ns, *self.rng.choice(targets), on=True)

    def killable(self) -> dict[str, list[str]]:
        model = self.model
        return {"port": [*model.ports], "account": [*model.accounts], "group": [*model.groups], "firm": [""]}

    def set_level(self) -> act.Action:
        """Mostly a level that leaves something to trade, for a second or so; now and then a bad request."""
        rng = self.rng
        level = rng.choice((1, 5, 6, 7, 0, 8)) if rng.random() < 0.1 else rng.choice((2, 2, 2, 3, 4))
        subject = self.subject() if level != 7 or rng.random() < 0.2 else response.FIRM
        ends = rng.random() < {2: 0.2, 3: 0.6, 4: 0.8}.get(level, 0.1)
        until_ns = self.now_ns + rng.choice((100, 300, 1_000)) * MS if ends else 0
        change = response.Change(
            level, rng.choice(MASKS) if level == 4 else 0,
            rng.choice((1, 1, 2, 0)) if level == 3 else 0, until_ns,
            *rng.choice((("ann", 0), ("ann", 0), ("", 7), ("", 0))),
        )  # fmt: skip
        return act.SetLevel(self.now_ns, subject, change)

    def subject(self) -> response.Subject:
        owners = [("account", name) for name in "ABCDEF"] + [("group", name) for name in self.model.groups]
        kind, name = self.rng.choice(owners)
        place = self.rng.choice(list(self.model.instruments)) if self.rng.random() < 0.3 else None
        return kind, name, place

    def release_of(self, subject: response.Subject, level: int) -> act.Action:
        by, approved_by = self.rng.choice((("ann", "bob"), ("ann", "bob"), ("ann", "ann"), ("ann", ""), ("", "bob")))
        below = self.rng.choice((0, 0, response.step_below(level), level))
        return act.ReleaseLevel(self.now_ns, subject, below, by, approved_by)

    def confirm(self) -> act.Action:
        waiting = self.model.suspended_orders
        order = self.rng.choice(waiting) if waiting and self.rng.random() < 0.9 else self.pick_order(0.5)
        if order is None:
            return act.Confirm(self.now_ns, self.rng.choice("ABCDEF"), "nothing")
        return act.Confirm(self.now_ns, order.account.name, order.request.cl_ord_id, self.rng.random() < 0.25)

    def on_time(self) -> act.Action:
        if self.model.suspended_orders and self.rng.random() < 0.1:
            self.now_ns += 30_000 * MS
        return act.OnTime(self.now_ns)

    def end_of_day(self) -> act.Action:
        return act.EndOfDay(self.now_ns, self.rng.choice((XSHG, XSHE)))

    def put_in_force(self) -> act.Action:
        """Shares of one scope: first of all, wide ones, later now and then one that is nearly used up."""
        scopes = ["firm", *self.model.groups]
        missing = [name for name in scopes if name not in (self.model.shares or {})]
        name = missing[0] if missing else self.rng.choice(scopes)
        shares = [10**15] * len(model_shares.KINDS)
        if not missing and self.rng.random() < 0.5:
            kind = self.rng.randrange(len(shares))
            spare = self.rng.choice((0, 10_000, 200_000)) * YUAN
            shares[kind] = model_shares.used(self.model, name)[kind] * self.rng.choice((0, 1, 1)) + spare
        return act.PutInForce(self.now_ns, name, tuple(shares))

    def restart(self) -> act.Action:
        return act.Restart(self.now_ns)

    def repair(self) -> act.Action:
        """Put one thing right that is not as on a normal morning; a quote when all is."""
        model, now_ns = self.model, self.now_ns
        killed = [(scope, name) for scope, names in self.killable().items() for name in names
                  if act.kill_target(model, scope, name).killed]  # fmt: skip
        odd: list[act.Action] = [act.Kill(now_ns, scope, name, on=False) for scope, name in killed]
        odd += [self.release_of(s, x.level) for s, x in model.standings.items() if x.level > 2 and not x.until_ns]
        odd += [act.Link(now_ns, e, True) for e, v in model.venues.items() if not v.link_ready]
        odd += [act.MarketPhase(now_ns, e, P_CONTINUOUS) for e, v in model.venues.items() if v.phase != P_CONTINUOUS]
        odd += [self.quote_of(*i.key) for i in model.instruments.values() if i.quote is None]
        return self.rng.choice(odd) if odd else self.quote()
