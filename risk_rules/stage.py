"""A small market day around the real engine: accounts, instruments, a clock, an exchange that answers when told to.

For rule tests and scenarios. It decides nothing: every order goes the way it goes live.
"""

import os
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ext import response, rule_tape, settings, surveillance, suspended, sweeps, tape
from ext.codes import ACCOUNT_TAGS, BOARDS, PHASES, VENUES
from ext.engine import Engine
from ext.journal import Journal
from ext.state import State

SHANGHAI = timezone(timedelta(hours=8))
SECOND_NS = 1_000_000_000
BUY, SELL = 1, 2
LIMIT, MARKET = 1, 2
ACCEPTED, CANCELED, TRADE = 1, 2, 4  # of an exchange's reports
LEVELS = 5
TICK_E4 = 100
HOLDING_SHARES = 500_000_000
CASH_E4 = 10**16
MOST = 2**32 - 1
INDEX = "INDEX"
BOARD_NUMBERS = {**BOARDS, INDEX: 4}
ST_LIMIT_CHANGED = date(2026, 7, 6)
PHASE_TIMES = (
    (time(9, 15), "OPEN_CALL"),
    (time(9, 20), "OPEN_CALL_LOCKED"),
    (time(9, 25), "QUIET"),
    (time(9, 30), "CONTINUOUS"),
    (time(11, 30), "LUNCH"),
    (time(13), "CONTINUOUS"),
    (time(14, 57), "CLOSE_CALL"),
    (time(15), "ENDED"),
)
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Security(msgspec.Struct, frozen=True):
    """One instrument of the stage; close_e4: previous close in 1e-4 yuan."""

    symbol: str  # 600519.XSHG
    close_e4: int
    is_st: bool = False

    @property
    def venue(self) -> int:
        return int(VENUES[self.symbol[7:]])

    @property
    def number(self) -> int:
        return int(self.symbol[:6])

    @property
    def board(self) -> str:
        """By the exchanges' numbering; an index is quoted and never traded."""
        code, exchange = self.symbol[:6], self.symbol[7:]
        if (exchange == "XSHG" and code.startswith("000")) or (exchange == "XSHE" and code.startswith("399")):
            return INDEX
        return "STAR" if code.startswith(("688", "689")) else "CHINEXT" if code.startswith("30") else "MAIN"


class Client(msgspec.Struct, frozen=True):
    """One account; group "" is none, tags as in ext.codes.ACCOUNT_TAGS."""

    id: str
    group: str = ""
    tags: tuple[str, ...] = ()


class Placed(NamedTuple):
    """What came of an order. number 0: it was refused before it became one. code 1: accepted."""

    number: int
    code: int
    rule: int  # number of the rule that decided, from 1; 0: none did
    suspended: bool
    value: int
    limit: int


class Book(msgspec.Struct):
    """The market of one instrument as last quoted; prices in 1e-4 yuan."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    last_e4: int
    volume: int = 0
    turnover_e4: int = 0


class Open:
    """Settings of an account, a profile, a board: what is given, and 0 (no such limit) for whatever else is asked."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> int:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0


NO_COLLAR = Open(bps=10_000, ticks=10**6)
NO_E4 = 1 << 60
NO_CREDIT_LIMIT = {"gross_limit_e4": NO_E4, "long_limit_e4": NO_E4, "short_limit_e4": NO_E4}
ANY_ORDER = Open(
    max_limit_shares=10**8,
    max_market_shares=10**8,
    cage_bps=10_000,
    cage_ticks=10**6,
    ord_type_mask=0xFF,
)
NO_LIMITS = Open(
    **NO_CREDIT_LIMIT,
    max_qty_shares=10**9,
    max_ntl_e4=NO_E4,
    position_limit_shares=1 << 50,
    open_orders=MOST,
    open_orders_per_symbol=MOST,
    rate_out_per_s=MOST,
    rate_out_per_day=MOST,
    rate_symbol_per_s=MOST,
    dup_window_ms=1,
    dup_max=MOST,
    board_mask=0xFF,
    ord_type_mask=0xFF,
    restricted=(),
)


def full_symbol(text: str) -> str:
    """600519 -> 600519.XSHG: the exchange by the first digit where none is written."""
    return text if "." in text else f"{text}.{'XSHG' if text.startswith('6') else 'XSHE'}"


def price_limits_e4(security: Security, day: date) -> tuple[int, int]:
    """(up, down) of the day, rounded half up to the tick."""
    percent = 20 if security.board in ("STAR", "CHINEXT") else 10
    if security.is_st and security.board == "MAIN" and day < ST_LIMIT_CHANGED:
        percent = 5
    cents = security.close_e4 // TICK_E4
    up, down = ((2 * cents * (100 + sign * percent) + 100) // 200 for sign in (1, -1))
    return up * TICK_E4, down * TICK_E4


def venue_id(kind: str, number: int) -> str:
    """The exchange's ClOrdID of an order (N) or cancel (C) of shard 0."""
    digits = ""
    for _ in range(9):
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return kind + digits


class Stage:
    """An engine before the open of `day`, with `program` in force. Every time is ns UTC; at() moves the clock.

    orders: how many the day may have. Close it when done: its journal is a file.
    """

    def __init__(
        self,
        securities: Sequence[Security],
        clients: Sequence[Client],
        day: date,
        program: bytes | None,
        *,
        orders: int = 1 << 17,
    ) -> None:
        self.day, self.securities, self.clients = day, {s.symbol: s for s in securities}, tuple(clients)
        self.size = {
            "accounts": max(64, len(clients)),
            "positions": 4 * len(clients) * len(securities) + 64,
            "orders": orders,
        }
        self.midnight_ns = int(datetime.combine(day, time(), SHANGHAI).timestamp()) * SECOND_NS
        self.now_ns = self.midnight_ns + 9 * 3600 * SECOND_NS
        self.phases = [(self.time_ns(at), PHASES[name]) for at, name in PHASE_TIMES]
        self.phase = PHASES["CLOSED"]
        self.report_index = dict.fromkeys(VENUES.values(), 0)
        self.trades = 0
        self.names = 0
        self.fd, name = tempfile.mkstemp(prefix="stage-", suffix=".journal")
        os.unlink(name)
        self.start()
        self.load()
        if program is not None:
            surveillance.put_in_force(
                self.engine,
                program,
                id="stage",
                sha256=bytes(32),
                by="stage",
                approved_by="",
                reason="stage",
                now_ns=self.now_ns,
            )
        self.books = {s.symbol: quiet_book(s) for s in securities}
        self.seen_alerts = 0

    def close(self) -> None:
        del self.engine, self.state, self.journal
        os.close(self.fd)

    # The engine

    def start(self) -> None:
        """A new process over the journal as it is: at first empty, later what was recorded."""
        self.state = State(**self.size)
        self.journal = Journal(self.fd, os.fstat(self.fd).st_size, "journal", capacity=1 << 32)
        self.engine = Engine(self.state, self.journal)
        sweeps.recover(self.engine)
        self.venues = {venue: tape.NullOutlet() for venue in VENUES.values()}
        self.engine.attach(self.venues[VENUES["XSHG"]], self.venues[VENUES["XSHE"]])
        self.caller = rule_tape.Client()

    def load(self) -> None:
        """Settings that forbid nothing: it is the rules that are looked at."""
        now_ns, engine = self.now_ns, self.engine
        settings.begin_day(engine, int(self.day.strftime("%Y%m%d")), 0, now_ns)
        collars = {PHASES[name]: NO_COLLAR for _, name in PHASE_TIMES if name != "LUNCH"}
        boards = dict.fromkeys(BOARDS.values(), ANY_ORDER)
        firm = Open(**NO_CREDIT_LIMIT, capital_limit_e4=NO_E4)
        settings.set_rules(engine, Open(), boards, collars, 10**9, firm, "stage", 1, now_ns)
        for security in self.securities.values():
            settings.set_instrument(engine, self.instrument(security), now_ns)
        groups = sorted({client.group for client in self.clients if client.group})
        for index, group in enumerate(groups):
            settings.set_group(engine, index, Open(id=group, **NO_CREDIT_LIMIT), now_ns)
        settings.set_profile(engine, 0, NO_LIMITS, now_ns)
        self.indexes = {client.id: self.load_client(client, groups) for client in self.clients}
        accounts = tuple(self.indexes.values())
        rates = {"rate_in_per_s": MOST, "cancel_rate_in_per_s": MOST, "reject_streak_max": MOST}
        settings.set_port(engine, Open(token_sha256="00" * 32, account_indexes=accounts, **rates), now_ns)
        for venue in VENUES.values():
            sweeps.set_link(engine, venue, True, now_ns)

    def instrument(self, security: Security) -> Open:
        up_e4, down_e4 = price_limits_e4(security, self.day)
        return Open(
            symbol=security.number,
            venue=security.venue,
            board=BOARD_NUMBERS[security.board],
            name="",
            is_st=int(security.is_st),
            tick_e4=TICK_E4,
            buy_min_shares=100,
            buy_step_shares=1,
            max_limit_shares=10**8,
            max_market_shares=10**8,
            prev_close_e4=security.close_e4,
            up_limit_e4=up_e4,
            down_limit_e4=down_e4,
            status=1,
            t_plus=1,
        )

    def load_client(self, client: Client, groups: list[str]) -> int:
        tags = sum(ACCOUNT_TAGS[tag] for tag in client.tags)
        index = settings.set_account(
            self.engine,
            Open(
                id=client.id,
                group_index=groups.index(client.group) if client.group else -1,
                owner_type=1,
                cash_e4=CASH_E4,
                state=1,
                tags=tags,
                unit_index=-1,
                shareholder_xshg=f"A{client.id}"[:10],
                shareholder_xshe=f"0{client.id}"[:10],
            ),
            0,
            self.now_ns,
        )
        for security in self.securities.values():
            if security.board != INDEX:
                settings.set_position(
                    self.engine, index, security.venue, security.number, HOLDING_SHARES, HOLDING_SHARES, self.now_ns
                )
        return int(index)

    def restart(self) -> None:
        """The process dies and another folds the journal; what is no state (links, phases, quotes) is told again."""
        before = self.state.hash()
        allowed = tuple(self.indexes.values())
        del self.engine, self.state, self.journal
        self.start()
        if self.state.hash() != before:
            raise RuntimeError("recovered into another state")
        self.engine.audience.allow(0, allowed)
        for venue in VENUES.values():
            sweeps.set_link(self.engine, venue, True, self.now_ns)
            sweeps.set_phase(self.engine, venue, self.phase, self.now_ns)
        surveillance.resume(self.engine)
        for symbol in self.books:
            self.publish(symbol)

    # The clock

    def time_ns(self, at: time) -> int:
        return self.midnight_ns + ((at.hour * 60 + at.minute) * 60 + at.second) * SECOND_NS + at.microsecond * 1000

    def at(self, now_ns: int) -> None:
        """Move the clock forward: phases begin on the way, and what waits for time gets it."""
        first = self.phase == PHASES["CLOSED"]
        for begins_ns, phase in self.phases:
            if self.now_ns < begins_ns <= now_ns:
                self.now_ns, self.phase = begins_ns, phase
                response.on_time(self.engine, begins_ns)
                for venue in VENUES.values():
                    sweeps.set_phase(self.engine, venue, phase, begins_ns)
        for step in range(1, 4):
            if self.now_ns + step * SECOND_NS < now_ns:
                response.on_time(self.engine, self.now_ns + step * SECOND_NS)
        self.now_ns = max(now_ns, self.now_ns)
        response.on_time(self.engine, self.now_ns)
        if first and self.phase != PHASES["CLOSED"]:
            for symbol in self.books:
                self.publish(symbol)

    # The market

    def quote(self, symbol: str, **changes: Any) -> None:
        """What the exchange now shows of an instrument: fields of Book that changed."""
        book = self.books[symbol]
        for name, value in changes.items():
            setattr(book, name, value)
        self.publish(symbol)

    def publish(self, symbol: str) -> None:
        book, security = self.books[symbol], self.securities[symbol]
        tape.quote(
            self.engine,
            security.venue,
            security.number,
            self.now_ns,
            bids=tuple(book.bids),
            asks=tuple(book.asks),
            last_px_e4=book.last_e4,
            total_volume_shares=book.volume,
            total_turnover_e4=book.turnover_e4,
        )

    # Orders

    def order(self, client: str, side: int, shares: int, symbol: str, price_e4: int) -> Placed:
        """A new order; price 0: a market order. An accepted one is confirmed by the exchange at once."""
        self.names += 1
        placed = Placed(
            *rule_tape.order(
                self.engine,
                self.caller,
                f"o{self.names}".encode(),
                client.encode(),
                symbol[:6].encode(),
                VENUES[symbol[7:]],
                side,
                LIMIT if price_e4 else MARKET,
                shares,
                price_e4,
                self.now_ns,
            )
        )
        if placed.code == ACCEPTED:
            self.report(placed.number, VENUES[symbol[7:]], ACCEPTED)
        return placed

    def confirm(self, client: str, number: int, venue: int) -> bool:
        """The client confirms a suspended order; whether it went to the exchange."""
        if suspended.confirm(self.engine, number, client, self.now_ns) != ACCEPTED:
            return False
        self.report(number, venue, ACCEPTED)
        return True

    def cancel(self, client: str, number: int) -> bool:
        """A client's cancel request; whether it went to the exchange."""
        return bool(rule_tape.cancel(self.engine, self.caller, client.encode(), number, self.now_ns))

    def canceled(self, number: int, venue: int) -> None:
        """The exchange's answer to it: the rest of the order is gone."""
        self.report(number, venue, CANCELED, orig_cl_ord_id=venue_id("N", number), cl_ord_id=venue_id("C", number))

    def fill(self, number: int, venue: int, shares: int, price_e4: int, trade: int = 0) -> int:
        """A trade of an order; trade: its number at the exchange, 0 takes a new one. Returns the number."""
        if trade == 0:
            self.trades += 1
            trade = self.trades
        self.report(number, venue, TRADE, last_qty_shares=shares, last_px_e4=price_e4, exec_id=f"T{trade}")
        return trade

    def report(self, number: int, venue: int, kind: int, **fields: Any) -> None:
        self.report_index[venue] += 1
        fields.setdefault("cl_ord_id", venue_id("N", number))
        tape.report(self.engine, venue, kind, self.now_ns, report_index=self.report_index[venue], **fields)

    # What happened

    def new_alerts(self) -> list[dict[str, Any]]:
        """Hits since the last look, oldest first."""
        found: list[dict[str, Any]] = []
        while more := surveillance.alerts(self.engine, self.seen_alerts, 256):
            self.seen_alerts = more[-1]["alert_seq"]
            found += more
        return [alert for alert in found if "rule_id" in alert]

    def level(self, client: str, symbol: str = "") -> int:
        """The hardest level that binds an account now, its group's and those in the instrument included."""
        security = self.securities.get(symbol)
        venue, number = (security.venue, security.number) if security else (0, 0)
        return int(rule_tape.level(self.engine, self.indexes[client], venue, number, self.now_ns))


def quiet_book(security: Security) -> Book:
    """Five levels of 10,000 shares a tick apart around the previous close; nothing has traded."""
    if security.board == INDEX:
        return Book([], [], security.close_e4)
    return Book(
        [(security.close_e4 - k * TICK_E4, 10_000) for k in range(1, LEVELS + 1)],
        [(security.close_e4 + k * TICK_E4, 10_000) for k in range(1, LEVELS + 1)],
        security.close_e4,
    )


def e4(text: str) -> int:
    """Yuan as written ("10.05") in 1e-4 yuan."""
    return int(Decimal(text.replace("_", "")) * 10_000)
