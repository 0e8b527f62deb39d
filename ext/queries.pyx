"""Reading state for people and cold calls: accounts, orders, positions, limits in use. Changes nothing."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from ext.codec cimport MOST_REPORT_SIZE
from ext.codes cimport PHASE_UNKNOWN
from ext.engine cimport Engine
from ext.events cimport SUBJECT_ACCOUNT, SUBJECT_FIRM, SUBJECT_GROUP, SUBJECT_POSITION, OrderEvent
from ext.orders cimport find_order
from ext.reports cimport encode_event, encode_order_state
from ext.returns cimport is_open
from ext.state cimport (
    FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, FLAG_SHORT, FLAG_TIED, GROUP_OWNER, NONE, STRATEGY_OWNER, Account, Instrument, Order,
    Position, Profile, State, Strategy, Tie, Usage,
)

from ext.invariants import compare
from ext.replay import frame_fields
from ext.response import LEVEL_NAMES, MASK_BITS, SUBJECT_NAMES

ACCOUNT_STATES = {1: "NORMAL", 2: "SELL_ONLY", 3: "CANCEL_ONLY", 4: "FROZEN"}


def account_index(Engine engine, str account) -> int | None:
    """Index of the account, None when there is none."""
    cdef bytes name = account.encode()
    cdef uint32_t index = engine.state.find_account(<const uint8_t *>name, len(name))
    return None if index == NONE else index


def instrument_index(Engine engine, int venue, str symbol) -> int | None:
    """Index of the instrument, None when there is none."""
    if len(symbol) != 6 or not symbol.isascii() or not symbol.isdigit():
        return None
    cdef uint32_t index = engine.state.find_instrument(venue, int(symbol))
    return None if index == NONE else index


def is_market_known(Engine engine, int venue) -> bool:
    """Whether the exchange's link is ready and its phase known: orders are not refused for want of either."""
    return engine.market.link_ready[venue] and engine.market.phase[venue] != PHASE_UNKNOWN


def port_of(Engine engine, bytes token_hash) -> int | None:
    """Port of a token by the SHA-256 of the token, None when no such token is known."""
    cdef uint32_t port
    if len(token_hash) != 32:
        return None
    for port in range(engine.state.port_count):
        if memcmp(engine.state.ports[port].token_hash, <const char *>token_hash, 32) == 0:
            return port
    return None


def port_settings(Engine engine, uint32_t port) -> dict:
    """{rate_in_per_s, cancel_on_disconnect, grace_ms} of a port."""
    return {"rate_in_per_s": engine.state.ports[port].rate_in_per_s,
            "cancel_on_disconnect": bool(engine.state.ports[port].cancel_on_disconnect),
            "grace_ms": engine.state.ports[port].grace_ms}


def event_seq(Engine engine, uint32_t account) -> int:
    """Newest number in the account's event sequence."""
    return engine.state.accounts[account].event_seq


def order_no_of(Engine engine, uint32_t account, str cl_ord_id, uint32_t order_id=0) -> int:
    """Number of the account's order by its cl_ord_id, else by order_id; 0 when it has none."""
    cdef bytes name = cl_ord_id.encode()
    if name:
        return find_order(engine.state, engine.journal, account, <const uint8_t *>name, len(name))
    if 0 < order_id <= engine.state.order_count and engine.state.orders[order_id].account == account:
        return order_id
    return 0


def order_state(Engine engine, uint32_t order_no) -> tuple:
    """(ExecutionReport bytes of the order as it stands, time_ns of its decision, whether a cancel is under way)."""
    cdef uint8_t encoded[MOST_REPORT_SIZE]
    cdef const Order *order = &engine.state.orders[order_no]
    cdef size_t size = encode_order_state(encoded, engine.state, engine.journal, order_no, False, False)
    return (<const char *>encoded)[:size], engine.journal.at(order.frame_offset).time_ns, \
        bool(order.flags & (FLAG_CANCEL_SENT | FLAG_CANCEL_QUEUED))


def orders_of(Engine engine, uint32_t account, bint open_only, uint32_t after, uint32_t limit) -> tuple:
    """(order numbers above `after`, at most `limit`, oldest first; whether there are more)."""
    numbers = []
    cdef uint32_t order_no = engine.state.accounts[account].last_order
    while order_no != NONE and order_no > after:
        if not open_only or is_open(&engine.state.orders[order_no]):
            numbers.append(order_no)
        order_no = engine.state.orders[order_no].previous_of_account
    numbers.reverse()
    return numbers[:limit], len(numbers) > limit


cdef list usage_rows(str scope, const Usage *usage, gross_limit, long_limit, short_limit):
    gross = usage.open_buy_e4 + usage.open_sell_e4 + usage.filled_buy_e4 + usage.filled_sell_e4
    net = usage.filled_buy_e4 - usage.filled_sell_e4
    return [
        ("R1303", scope, gross, gross_limit, "yuan_e4"),
        ("R1304", f"{scope}:long", usage.open_buy_e4 + max(net, 0), long_limit, "yuan_e4"),
        ("R1304", f"{scope}:short", usage.open_sell_e4 + max(-net, 0), short_limit, "yuan_e4"),
    ]


cdef list optional_rows(Engine engine, uint32_t index):
    """Use of the optional limits of a day that the account has."""
    cdef const Account *account = &engine.state.accounts[index]
    cdef const Profile *profile = &engine.state.profiles[account.profile]
    cdef const Usage *usage
    traded = account.usage.filled_buy_e4 + account.usage.filled_sell_e4
    rows = [
        ("R1307", "account:ordered", engine.state.account_days[index].ordered_e4, profile.extra.day.ordered_limit_e4, "yuan_e4"),
        ("R1307", "account:traded", traded, profile.extra.day.traded_limit_e4, "yuan_e4"),
    ]
    if account.unit:
        usage = &engine.state.units[account.unit - 1].usage
        net_buy = usage.open_buy_e4 + usage.filled_buy_e4 - usage.filled_sell_e4
        rows.append(("R1310", "unit", net_buy, engine.state.units[account.unit - 1].limits.net_buy_quota_e4, "yuan_e4"))
    return [row for row in rows if row[3]]


def account_view(Engine engine, uint32_t index) -> dict:
    """Everything GetAccount tells, as plain values named like the message's fields."""
    cdef const Account *account = &engine.state.accounts[index]
    cdef const Profile *profile = &engine.state.profiles[account.profile]
    limits = usage_rows("account", &account.usage, profile.scope.gross_limit_e4, profile.scope.long_limit_e4,
                        profile.scope.short_limit_e4)
    if account.group != NONE:
        group = &engine.state.groups[account.group]
        limits += usage_rows("group", &group.usage, group.scope.gross_limit_e4, group.scope.long_limit_e4,
                             group.scope.short_limit_e4)
    limits += optional_rows(engine, index)
    limits.append(("R1208", "account", account.open_orders, profile.open_orders, "orders"))
    for venue in (1, 2):
        limits.append(("R1204", f"account:{'XSHG' if venue == 1 else 'XSHE'}:day", account.sent_today[<int>venue - 1],
                       profile.rate_out_per_day, "messages"))
    return {
        "account": account.id[:account.id_size].decode(),
        "event_seq": account.event_seq,
        "cash_e4": account.cash_e4,
        "cash_held_e4": account.cash_held_e4,
        "cash_available_e4": account.cash_e4 - account.cash_held_e4,
        "open_orders": account.open_orders,
        "state": ACCOUNT_STATES.get(account.state, "UNKNOWN"),
        "positions": positions_of(engine, index),
        "limits": limits,
    }


cdef list positions_of(Engine engine, uint32_t account):
    """The account's holdings, in the order they were first touched."""
    cdef uint32_t next = engine.state.account_days[account].first_position
    cdef const Position *position
    cdef const Instrument *instrument
    rows = []
    while next:
        position = &engine.state.positions[next - 1]
        next = position.next_of_owner
        instrument = &engine.state.instruments[position.instrument]
        rows.append({
            "symbol": f"{instrument.symbol:06d}", "security_exchange": instrument.venue, "total_shares": position.total_shares,
            "sellable_shares": position.sellable_shares, "sell_held_shares": position.sell_held_shares,
            "bought_today_shares": position.bought_today_shares, "open_buy_shares": position.open_buy_shares,
        })
    return rows[::-1]


def counts(Engine engine) -> dict:
    """Sizes for metrics: accounts, orders, open orders, positions, journal frames and bytes."""
    return {
        "accounts": engine.state.account_count, "orders": engine.state.order_count, "open_orders": engine.state.open_count,
        "positions": engine.state.position_count, "ports": engine.state.port_count, "journal_frames": engine.journal.seq, "journal_bytes": engine.journal.end,
    }


def check_invariants(Engine engine) -> list:
    """What does not add up between orders and the sums kept of them; empty when all is well (rule catalogue, section 1.1)."""
    return compare(engine)[1]


cdef inline int64_t open_e4(const Usage *usage) noexcept:
    return usage.open_buy_e4 + usage.open_sell_e4


def strategies(Engine engine) -> list:
    """Registered strategies: {index, id, off (the code that switched it off, 0: on), reject_streak, used_e4, gross_limit_e4}."""
    cdef uint32_t at
    cdef const Strategy *strategy
    rows = []
    for at in range(engine.state.strategy_count):
        strategy = &engine.state.strategies[at]
        used_e4 = open_e4(&strategy.usage) + strategy.usage.filled_buy_e4 + strategy.usage.filled_sell_e4
        rows.append({"index": at, "id": strategy.limits.id[:strategy.limits.id_size].decode(), "off": strategy.off,
                     "reject_streak": strategy.reject_streak, "used_e4": used_e4,
                     "gross_limit_e4": strategy.limits.gross_limit_e4})
    return rows


# The response ladder

def newest_report(Engine engine, uint32_t account) -> bytes:
    """The account's newest event as a client sees it, bare; empty when there is none."""
    cdef uint8_t encoded[MOST_REPORT_SIZE]
    cdef uint64_t offset = engine.state.accounts[account].last_offset
    if offset == 0:
        return b""
    return (<const char *>encoded)[:encode_event(encoded, engine.state, engine.journal, engine.journal.at(offset), False)]


def levels(Engine engine) -> list:
    """Whom a response level binds now or until on_time takes it down, and why: one dict each, the firm first.

    {subject, account | group, instrument, level, name, mask (names), throttle_per_s, since_ns, until_ns (0: released by a
    person), by, approved_by, reason, rule, rule_set, hit_offset, ticket}
    """
    cdef State state = engine.state
    cdef uint32_t at
    cdef const Position *position
    rows = []
    if state.firm_level_offset:
        rows.append(level_row(engine, SUBJECT_FIRM, NONE, NONE, state.firm_level_offset))
    for at in range(state.group_count):
        if state.groups[at].level:
            rows.append(level_row(engine, SUBJECT_GROUP, GROUP_OWNER | at, NONE, state.groups[at].level_offset))
    for at in range(state.account_count):
        if state.accounts[at].level:
            rows.append(level_row(engine, SUBJECT_ACCOUNT, at, NONE, state.accounts[at].level_offset))
    for at in range(state.position_count):
        position = &state.positions[at]
        if position.level:
            rows.append(level_row(engine, SUBJECT_POSITION, position.owner, position.instrument, position.level_offset))
    return [row for row in rows if row["level"]]


cdef dict level_row(Engine engine, int subject, uint32_t owner, uint32_t instrument, uint64_t offset):
    fields = frame_fields(engine.journal, offset)
    row = {"subject": SUBJECT_NAMES[subject], **owner_of(engine.state, owner, instrument)}
    row |= {"name": LEVEL_NAMES[fields["level"]], "since_ns": fields["time_ns"],
            "mask": [name for name, bit in MASK_BITS.items() if fields["mask"] & bit]}
    return row | {key: fields[key] for key in ("level", "throttle_per_s", "until_ns", "by", "approved_by", "reason", "rule",
                                               "rule_set", "hit_offset", "ticket")}


cdef dict owner_of(State state, uint32_t owner, uint32_t instrument):
    """The names behind an owner and an instrument, where there are any."""
    cdef uint32_t group = owner & ~<uint32_t>GROUP_OWNER
    names = {}
    if owner != NONE and owner & GROUP_OWNER:
        names["group"] = state.groups[group].id[:16].decode().rstrip("\0")
    elif owner != NONE:
        names["account"] = state.accounts[owner].id[:state.accounts[owner].id_size].decode()
    if instrument != NONE:
        names |= {"symbol": f"{state.instruments[instrument].symbol:06d}", "security_exchange": state.instruments[instrument].venue}
    return names


def suspended_orders(Engine engine) -> list:
    """Orders that wait for a confirmation, oldest first: {order_id, account, cl_ord_id, symbol, security_exchange, side,
    ord_type, order_qty_shares, price_e4, code, value, limit, since_ns, confirm_by_ns}."""
    rows = []
    for number, confirm_by in engine.suspended.items():
        fields = frame_fields(engine.journal, engine.state.orders[<uint32_t>number].frame_offset)
        row = {"order_id": number, "account": owner_of(engine.state, fields["account"], NONE)["account"]}
        row |= {key: fields[key] for key in ("cl_ord_id", "symbol", "side", "ord_type", "order_qty_shares", "price_e4", "code",
                                             "value", "limit")}
        rows.append(row | {"security_exchange": fields["venue"], "since_ns": fields["time_ns"], "confirm_by_ns": confirm_by})
    return rows


def tickets(Engine engine) -> list:
    """Manual reviews of the day, by number: {ticket, subject, account | group, instrument, is_open, by, reason, time_ns}; of a
    closed one who closed it, and with what result."""
    cdef State state = engine.state
    cdef uint32_t at
    rows = []
    for at in range(1, state.ticket_count + 1):
        fields = frame_fields(engine.journal, state.tickets[at].offset)
        owner, instrument = subject_of(state, fields["subject"], fields["index"])
        rows.append({"ticket": at, "subject": SUBJECT_NAMES[fields["subject"]], **owner_of(state, owner, instrument)}
                    | {key: fields[key] for key in ("is_open", "by", "reason", "time_ns")})
    return rows


cdef tuple subject_of(State state, int subject, uint32_t index):
    """(owner, instrument) of a subject by its index."""
    if subject == SUBJECT_POSITION:
        return state.positions[index].owner, state.positions[index].instrument
    if subject == SUBJECT_GROUP:
        return <uint32_t>GROUP_OWNER | index, <uint32_t>NONE
    return index if subject == SUBJECT_ACCOUNT else <uint32_t>NONE, <uint32_t>NONE
