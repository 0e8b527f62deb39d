"""Drives the engine's C door from Python tests: settings as journal events, calls with protobuf bytes, reports as fields,
and every table of state read back as plain values. Judges nothing.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.apply cimport apply
from ext.codec cimport CancelOrder, NewOrder, decode_cancel_order, decode_new_order
from ext.audience cimport Caller
from ext.engine cimport Engine
from ext.events cimport (
    EV_ACCOUNT, EV_DAY, EV_GROUP, EV_INSTRUMENT, EV_PORT, EV_POSITION, EV_PROFILE, EV_RESTRICTION, EV_RULES, DayEvent, Frame,
    PortEvent, PositionEvent, RestrictionEvent,
)
from ext.journal cimport JOURNAL_START, Journal
from ext.quotes cimport Quote
from ext.state cimport (
    NONE, Account, AccountEvent, Group, Instrument, Order, Position, Profile, Rules, State, Usage,
)
from ext.venue cimport VenueCancel, VenueOrder, VenueOutlet, VenueReport


cdef class SpyOutlet(VenueOutlet):
    """A venue link that remembers what it was asked to send."""

    cdef public list sent

    def __init__(self, turn):
        VenueOutlet.__init__(self, turn)
        self.sent = []

    cdef void send_new_order(self, const VenueOrder *order) noexcept:
        self.sent.append(("new", order.cl_ord_id[:10], order.symbol, order.side, order.ord_type, order.order_qty_shares,
                          order.price_e4, order.time_ns))

    cdef void send_cancel(self, const VenueCancel *cancel) noexcept:
        self.sent.append(("cancel", cancel.orig_cl_ord_id[:10], cancel.cl_ord_id[:10], cancel.venue_order_id[:16]))


# Calls


def new_order(Engine engine, Caller caller, bytes message, int64_t now_ns) -> bool:
    """One NewOrder message; False when the codec refuses the bytes."""
    cdef NewOrder order
    if not decode_new_order(<const uint8_t *>message, len(message), &order):
        return False
    engine.on_new_order(caller, &order, now_ns)
    return True


def cancel_order(Engine engine, Caller caller, bytes message, int64_t now_ns) -> bool:
    """One CancelOrder message; False when the codec refuses the bytes."""
    cdef CancelOrder cancel
    if not decode_cancel_order(<const uint8_t *>message, len(message), &cancel):
        return False
    engine.on_cancel(caller, &cancel, now_ns)
    return True


def venue_report(Engine engine, int venue, int kind, dict fields, int64_t now_ns) -> int:
    """One report of an exchange; fields: VenueReport's by name, absent ones zero or spaces."""
    cdef VenueReport report
    memset(&report, 0, sizeof(report))
    memset(report.cl_ord_id, 32, 10)
    memset(report.orig_cl_ord_id, 32, 10)
    memset(report.venue_order_id, 32, 16)
    memset(report.exec_id, 32, 16)
    report.kind = kind
    report.partition = fields.get("partition", 1)
    report.report_index = fields.get("report_index", 0)
    report.last_qty_shares = fields.get("last_qty_shares", 0)
    report.last_px_e4 = fields.get("last_px_e4", 0)
    report.reason = fields.get("reason", 0)
    put_text(report.cl_ord_id, fields.get("cl_ord_id", b""))
    put_text(report.orig_cl_ord_id, fields.get("orig_cl_ord_id", b""))
    put_text(report.venue_order_id, fields.get("venue_order_id", b""))
    put_text(report.exec_id, fields.get("exec_id", b""))
    return engine.on_report(venue, &report, now_ns)


def market_quote(Engine engine, int venue, uint32_t symbol, int64_t bid, int64_t ask, int64_t last, int64_t now_ns) -> None:
    """One quote: best prices only."""
    cdef Quote quote
    memset(&quote, 0, sizeof(quote))
    quote.symbol = symbol
    quote.bid_px_e4[0] = bid
    quote.ask_px_e4[0] = ask
    quote.last_px_e4 = last
    engine.market.on_quote(venue, &quote, now_ns)


cdef void put_text(char *dst, bytes text):
    memcpy(dst, <const char *>text, len(text))


# Settings, written straight into the journal


cdef Frame *begin(Engine engine, int type, size_t size, uint32_t account) except NULL:
    cdef Frame *frame = engine.journal.reserve(<uint16_t>type, size, 1)
    if frame == NULL:
        raise MemoryError("journal full")
    frame.account = account
    return frame


cdef void finish(Engine engine, Frame *frame):
    apply(engine.state, frame, engine.journal.commit(frame))


def set_day(Engine engine, uint32_t trade_date) -> None:
    cdef DayEvent *event = <DayEvent *>begin(engine, EV_DAY, sizeof(DayEvent), NONE)
    event.trade_date = trade_date
    finish(engine, &event.head)


def set_rules(Engine engine, dict fees, dict firm, dict boards, dict collars, int64_t max_quote_age_ns) -> None:
    """fees by name; firm: gross, long, short, capital; boards: number -> dict; collars: phase -> (bps, ticks)."""
    cdef Rules *rules = <Rules *>begin(engine, EV_RULES, sizeof(Rules), NONE)
    rules.commission_rate_e7 = fees["commission_rate"]
    rules.commission_min_e4 = fees["commission_min_e4"]
    rules.pass_through_rate_e7 = fees["transfer_rate"] + fees["handling_rate"] + fees["regulatory_rate"]
    rules.stamp_rate_e7 = fees["stamp_rate"]
    rules.max_quote_age_ns = max_quote_age_ns
    rules.capital_limit_e4 = firm["capital"]
    rules.firm.gross_limit_e4, rules.firm.long_limit_e4, rules.firm.short_limit_e4 = firm["gross"], firm["long"], firm["short"]
    for number, board in boards.items():
        rules.boards[<int>number].max_limit_shares = board["max_limit_qty"]
        rules.boards[<int>number].max_market_shares = board["max_market_qty"]
        rules.boards[<int>number].cage_bps = board["cage_bps"]
        rules.boards[<int>number].cage_ticks = board["cage_ticks"]
        rules.boards[<int>number].ord_types = board["ord_types"]
    for phase, (bps, ticks) in collars.items():
        rules.collars[<int>phase].bps = bps
        rules.collars[<int>phase].ticks = ticks
    rules.version = 1
    memcpy(rules.rule_id, b"test", 4)
    finish(engine, &rules.head)


def set_group(Engine engine, uint32_t index, bytes name, scope) -> None:
    """scope: (gross, long, short)."""
    cdef Group *group = <Group *>begin(engine, EV_GROUP, sizeof(Group), NONE)
    group.index = index
    group.scope.gross_limit_e4, group.scope.long_limit_e4, group.scope.short_limit_e4 = scope
    memcpy(group.id, <const char *>name, len(name))
    finish(engine, &group.head)


def set_profile(Engine engine, uint32_t index, dict limits) -> None:
    """Profile's fields by name."""
    cdef Profile *profile = <Profile *>begin(engine, EV_PROFILE, sizeof(Profile), NONE)
    profile.index = index
    profile.scope.gross_limit_e4 = limits["gross_limit"]
    profile.scope.long_limit_e4 = limits["long_limit"]
    profile.scope.short_limit_e4 = limits["short_limit"]
    profile.max_qty_shares = limits["max_qty"]
    profile.max_ntl_e4 = limits["max_ntl"]
    profile.position_limit_shares = limits["position_limit_shares"]
    profile.dup_window_ns = limits["dup_window_ms"] * 1000000
    profile.dup_max = limits["dup_max"]
    profile.open_orders = limits["open_orders"]
    profile.open_orders_per_symbol = limits["open_orders_per_symbol"]
    profile.rate_out_per_s = limits["rate_out_per_s"]
    profile.rate_out_per_day = limits["rate_out_per_day"]
    profile.rate_symbol_per_s = limits["rate_symbol_per_s"]
    profile.boards = limits["boards"]
    profile.ord_types = limits["ord_types"]
    profile.restricted = limits["restricted"]
    finish(engine, &profile.head)


def set_restriction(Engine engine, uint32_t profile, uint32_t instrument, uint32_t side_mask) -> None:
    cdef RestrictionEvent *event = <RestrictionEvent *>begin(engine, EV_RESTRICTION, sizeof(RestrictionEvent), NONE)
    event.profile = profile
    event.instrument = instrument
    event.side_mask = side_mask
    finish(engine, &event.head)


def set_account(Engine engine, uint32_t index, bytes name, uint32_t profile, group, int state, int64_t cash_e4) -> None:
    """group: an index, or None."""
    cdef AccountEvent *event = <AccountEvent *>begin(engine, EV_ACCOUNT, sizeof(AccountEvent), index)
    event.cash_e4 = cash_e4
    event.profile = profile
    event.group = NONE if group is None else group
    event.owner_type = 1
    event.state = state
    event.id_size = len(name)
    memcpy(event.id, <const char *>name, len(name))
    memset(event.shareholder, 32, sizeof(event.shareholder))
    finish(engine, &event.head)


def set_instrument(Engine engine, dict fields) -> int:
    """Instrument's fields by name; returns its index."""
    cdef Instrument *event = <Instrument *>begin(engine, EV_INSTRUMENT, sizeof(Instrument), NONE)
    cdef uint32_t symbol = fields["symbol"]
    cdef int venue = fields["venue"]
    event.symbol = symbol
    event.venue = venue
    event.prev_close_e4 = fields["prev_close"]
    event.up_limit_e4 = fields["up_limit"]
    event.down_limit_e4 = fields["down_limit"]
    event.tick_e4 = fields["tick"]
    event.buy_min_shares = fields["min_qty"]
    event.buy_step_shares = fields["step_qty"]
    event.max_limit_shares = fields["max_limit_qty"]
    event.max_market_shares = fields["max_market_qty"]
    event.board = fields["board"]
    event.status = fields["status"]
    event.is_st = fields["is_st"]
    event.t_plus = fields["t_plus"]
    finish(engine, &event.head)
    return engine.state.find_instrument(venue, symbol)


def set_position(Engine engine, uint32_t account, uint32_t instrument, int64_t total, int64_t sellable) -> None:
    cdef PositionEvent *event = <PositionEvent *>begin(engine, EV_POSITION, sizeof(PositionEvent), account)
    event.instrument = instrument
    event.total_shares = total
    event.sellable_shares = sellable
    finish(engine, &event.head)


def set_port(Engine engine, uint32_t index, uint32_t rate_in, uint32_t cancel_rate_in, uint32_t streak_max, uint32_t latch_ms) -> None:
    cdef PortEvent *event = <PortEvent *>begin(engine, EV_PORT, sizeof(PortEvent), NONE)
    event.port = index
    event.rate_in_per_s = rate_in
    event.cancel_rate_in_per_s = cancel_rate_in
    event.reject_streak_max = streak_max
    event.reject_latch_ms = latch_ms
    event.token_hash[0] = <uint8_t>index
    finish(engine, &event.head)


# State, read back


cdef tuple usage_of(const Usage *usage):
    return (usage.open_buy_e4, usage.open_sell_e4, usage.filled_buy_e4, usage.filled_sell_e4)


def account_row(State state, uint32_t index) -> dict:
    cdef const Account *account = &state.accounts[index]
    return {"cash": account.cash_e4, "cash_held": account.cash_held_e4, "event_seq": account.event_seq,
            "usage": usage_of(&account.usage), "open_count": account.open_orders}


def position_row(State state, uint32_t account, uint32_t instrument):
    """(total, sellable, held for sells, bought today, open buys), or None where there is no record."""
    cdef const Position *position = state.find_position(account, instrument)
    if position == NULL:
        return None
    return (position.total_shares, position.sellable_shares, position.sell_held_shares, position.bought_today_shares,
            position.open_buy_shares)


def group_usage(State state, uint32_t index) -> tuple:
    return usage_of(&state.groups[index].usage)


def firm_usage(State state) -> tuple:
    return usage_of(&state.firm)


def order_row(State state, uint32_t order_no) -> tuple:
    """(order_id, status, cum qty, cum notional, a cancel is under way, hold, leaves)"""
    cdef const Order *order = &state.orders[order_no]
    return (order_no, order.ord_status, order.cum_qty_shares, order.cum_notional_e4, bool(order.flags & 3), order.hold_e4,
            order.leaves_qty_shares)


def order_account(State state, uint32_t order_no) -> int:
    return state.orders[order_no].account


def order_venue(State state, uint32_t order_no) -> int:
    return state.orders[order_no].venue


# The journal


def frame_offsets(Journal journal) -> list:
    """Offset of every committed frame, and of the end."""
    cdef uint64_t at = JOURNAL_START
    cdef uint64_t end = journal.end
    offsets = []
    while at < end:
        offsets.append(at)
        at += journal.at(at).size
    return [*offsets, at]


def fold_one(State state, Journal journal, uint64_t offset) -> int:
    """Apply the frame at offset; returns the next one's offset, 0 at the end."""
    cdef const Frame *frame = journal.next_frame(offset)
    if frame == NULL:
        return 0
    apply(state, frame, offset)
    return journal.end


# Sessions


def watch(Engine engine, Caller caller, uint32_t account) -> None:
    """The session sees every event of the account from now on."""
    engine.audience.watch(caller, account)
