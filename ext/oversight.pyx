"""What officers see and leave behind: steps journaled with who and why, exposures, kills, one order's decision. Judges nothing.

Reading changes nothing; record_step is the only function that writes, one EV_ADMIN frame. Texts are cut at their field's size.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.codes cimport PASS
from ext.engine cimport Engine
from ext.events cimport (
    EV_ADMIN, EV_HIT, KILL_ACCOUNT, KILL_FIRM, KILL_GROUP, KILL_PORT, SCOPE_ACCOUNT, SCOPE_FIRM, SCOPE_GROUP, SCOPE_INSTRUMENT,
    SCOPE_MARKET, SCOPE_PORT, STEP_APPROVED, STEP_EXPIRED, STEP_IN_FORCE, STEP_KILLED, STEP_LEVEL_RELEASED, STEP_LEVEL_SET,
    STEP_LIMITS, STEP_PUSHED, STEP_REFUSED, STEP_ROLLED_BACK, STEP_TICKET_CLOSED, STEP_UNKILLED, AdminEvent, Frame, LevelEvent, OrderEvent,
)
from ext.rule_state cimport MOST_ALERTS
from ext.state cimport GROUP_OWNER, NONE, Account, Order, Position, ScopeLimits, Usage

from ext.codes import REJECT_CODES, VENUES

STEPS = {
    "pushed": STEP_PUSHED, "approved": STEP_APPROVED, "refused": STEP_REFUSED, "in_force": STEP_IN_FORCE,
    "rolled_back": STEP_ROLLED_BACK, "lapsed": STEP_EXPIRED, "killed": STEP_KILLED, "unkilled": STEP_UNKILLED,
    "level_set": STEP_LEVEL_SET, "level_released": STEP_LEVEL_RELEASED, "ticket_closed": STEP_TICKET_CLOSED,
    "limits": STEP_LIMITS,
}
KILL_SCOPES = {"session": KILL_PORT, "account": KILL_ACCOUNT, "group": KILL_GROUP, "firm": KILL_FIRM}
LIMIT_SCOPES = {SCOPE_ACCOUNT: "account", SCOPE_GROUP: "group", SCOPE_FIRM: "firm", SCOPE_PORT: "session",
                SCOPE_INSTRUMENT: "instrument", SCOPE_MARKET: "market"}
STATUSES = {1: "PENDING_NEW", 2: "NEW", 3: "PARTIALLY_FILLED", 4: "FILLED", 5: "CANCELED", 6: "EXPIRED", 7: "REJECTED",
            8: "SUSPENDED"}
SIDES = {1: "BUY", 2: "SELL"}
VENUE_NAMES = {number: name for name, number in VENUES.items()}
LEAST_PREFIX = 8
MOST_HITS_SHOWN = 64


cdef copy_cut(char *to, str text, size_t size):
    """As much of the text as fits, cut between two characters."""
    cdef bytes octets = text.encode()
    octets = octets[:size].decode("utf-8", "ignore").encode()
    memcpy(to, <const char *>octets, len(octets))


cdef str name_of(const char *at, int size):
    cdef bytes octets = at[:size]
    return octets.rstrip(b"\x00 ").decode("utf-8", "replace")


def record_step(Engine engine, str step, *, uint32_t number=0, bytes sha256=b"", str by="", str approved_by="",
                str reason="", int64_t now_ns) -> None:
    """One step of an officer into the journal, where it is an alert too. step: a key of STEPS; sha256: 32 octets or none.

    Raises ValueError for another step, OSError when the journal is full.
    """
    cdef AdminEvent *event
    if step not in STEPS:
        raise ValueError(f"step: got {step!r}, expected one of {', '.join(STEPS)}")
    if len(sha256) not in (0, 32):
        raise ValueError(f"sha256: got {len(sha256)} octets, expected 32")
    event = <AdminEvent *>engine.reserve(EV_ADMIN, sizeof(AdminEvent), NONE, False, now_ns)
    if event == NULL:
        raise OSError("the journal is full")
    event.step = STEPS[step]
    event.number = number
    memcpy(event.sha256, <const char *>sha256, len(sha256))
    copy_cut(event.by, by, 32)
    copy_cut(event.approved_by, approved_by, 32)
    copy_cut(event.reason, reason, 96)
    engine.record(&event.head)


# --- who is meant ---


def group_index(Engine engine, str group) -> int | None:
    """Index of the controller group, None when there is none."""
    cdef uint32_t index
    for index in range(engine.state.group_count):
        name = group_id(engine, index)
        if name == group:
            return index
    return None


def group_id(Engine engine, uint32_t index) -> str:
    return name_of(engine.state.groups[index].id, 16)


def account_id(Engine engine, uint32_t index) -> str:
    return name_of(engine.state.accounts[index].id, engine.state.accounts[index].id_size)


def group_of(Engine engine, uint32_t account) -> int | None:
    """Index of the account's group, None when it is its own controller."""
    cdef uint32_t group = engine.state.accounts[account].group
    return None if group == NONE else group


def instrument_name(Engine engine, uint32_t index) -> tuple:
    """(symbol, venue name)."""
    return f"{engine.state.instruments[index].symbol:06d}", VENUE_NAMES[engine.state.instruments[index].venue]


def position_names(Engine engine, uint32_t index) -> dict:
    """{account or group, symbol, security_exchange} of a position record."""
    cdef uint32_t owner = engine.state.positions[index].owner
    symbol, venue = instrument_name(engine, engine.state.positions[index].instrument)
    names = {"symbol": symbol, "security_exchange": venue}
    if owner & GROUP_OWNER:
        return names | {"group": group_id(engine, owner & ~<uint32_t>GROUP_OWNER)}
    return names | {"account": account_id(engine, owner)}


def ports_named(Engine engine, str prefix) -> list:
    """Ports whose token's SHA-256 begins with these hexadecimal digits, 8 at least."""
    cdef uint32_t port
    cdef bytes digest
    found = []
    if len(prefix) < LEAST_PREFIX:
        return found
    for port in range(engine.state.port_count):
        digest = <bytes>(<const char *>engine.state.ports[port].token_hash)[:32]
        if digest.hex().startswith(prefix.lower()):
            found.append(port)
    return found


def is_killed(Engine engine, int scope, uint32_t index) -> bool:
    """Whether this very scope is latched; that of a wider one is not asked. scope: a value of KILL_SCOPES."""
    if scope == KILL_PORT:
        return bool(engine.state.ports[index].killed)
    if scope == KILL_ACCOUNT:
        return bool(engine.state.accounts[index].killed)
    if scope == KILL_GROUP:
        return bool(engine.state.groups[index].killed)
    return bool(engine.state.firm_killed)


def kills(Engine engine) -> list:
    """Every scope that is latched, as (scope, id); the firm's id is empty, a session's its token's SHA-256."""
    cdef uint32_t index
    cdef bytes digest
    found = []
    if engine.state.firm_killed:
        found.append(("firm", ""))
    for index in range(engine.state.group_count):
        if engine.state.groups[index].killed:
            found.append(("group", group_id(engine, index)))
    for index in range(engine.state.account_count):
        if engine.state.accounts[index].killed:
            found.append(("account", account_id(engine, index)))
    for index in range(engine.state.port_count):
        if engine.state.ports[index].killed:
            digest = <bytes>(<const char *>engine.state.ports[index].token_hash)[:32]
            found.append(("session", digest.hex()))
    return found


def level_of(Engine engine, int scope, uint32_t index, uint32_t instrument=NONE) -> int:
    """The response level that a subject stands at. scope: a value of KILL_SCOPES; instrument: of an owner in one instrument,
    whose index may be GROUP_OWNER | group."""
    cdef const Position *position
    if instrument != NONE:
        position = engine.state.find_position(index, instrument)
        return 0 if position == NULL else position.level
    if scope == KILL_ACCOUNT:
        return engine.state.accounts[index].level
    if scope == KILL_GROUP:
        return engine.state.groups[index].level
    if engine.state.firm_level_offset == 0:
        return 0
    return (<const LevelEvent *>engine.journal.at(engine.state.firm_level_offset)).level


def has_position_levels(Engine engine, uint32_t account) -> bool:
    """Whether the account or its group is bound in some instrument."""
    cdef uint32_t at
    cdef uint32_t group = engine.state.accounts[account].group
    cdef const Position *position
    for at in range(engine.state.position_count):
        position = &engine.state.positions[at]
        if position.level and (position.owner == account or (group != NONE and position.owner == (GROUP_OWNER | group))):
            return True
    return False


# --- what is used ---


cdef dict usage_view(const Usage *usage, const ScopeLimits *limits, str scope):
    """The four sums, and the rows that limit them."""
    cdef int64_t gross = usage.open_buy_e4 + usage.open_sell_e4 + usage.filled_buy_e4 + usage.filled_sell_e4
    cdef int64_t net = usage.filled_buy_e4 - usage.filled_sell_e4
    cdef int64_t long_e4 = usage.open_buy_e4 + (net if net > 0 else 0)
    cdef int64_t short_e4 = usage.open_sell_e4 - (net if net < 0 else 0)
    rows = [("R1303", scope, gross, limits.gross_limit_e4), ("R1304", f"{scope}:long", long_e4, limits.long_limit_e4),
            ("R1304", f"{scope}:short", short_e4, limits.short_limit_e4)]
    return {
        "open_buy_e4": usage.open_buy_e4, "open_sell_e4": usage.open_sell_e4, "filled_buy_e4": usage.filled_buy_e4,
        "filled_sell_e4": usage.filled_sell_e4,
        "limits": [{"code": code, "scope": name, "used": used, "limit": limit, "unit": "yuan_e4"}
                   for code, name, used, limit in rows],
    }


def exposure(Engine engine, int scope, uint32_t index) -> dict:
    """Open and filled notional of an account, a group or the firm, with its limits. scope: a value of KILL_SCOPES."""
    cdef uint32_t account
    cdef const Account *one
    members = open_orders = 0
    if scope == KILL_GROUP:
        for account in range(engine.state.account_count):
            one = &engine.state.accounts[account]
            if one.group == index:
                members += 1
                open_orders += one.open_orders
    if scope == KILL_ACCOUNT:
        one = &engine.state.accounts[index]
        members, open_orders = 1, one.open_orders
        view = usage_view(&one.usage, &engine.state.profiles[one.profile].scope, "account")
    elif scope == KILL_GROUP:
        view = usage_view(&engine.state.groups[index].usage, &engine.state.groups[index].scope, "group")
    else:
        members, open_orders = engine.state.account_count, engine.state.open_count
        view = usage_view(&engine.state.firm, &engine.state.rules.firm, "firm")
    return view | {"accounts": members, "open_orders": open_orders, "killed": is_killed(engine, scope, index)}


# --- one order ---


def order_decision(Engine engine, uint32_t order_no) -> dict:
    """What one order was decided from: the frame of its decision, and its status now."""
    cdef const Order *order = &engine.state.orders[order_no]
    cdef const OrderEvent *event = <const OrderEvent *>engine.journal.at(order.frame_offset)
    return {
        "order_id": order_no, "account": account_id(engine, order.account),
        "cl_ord_id": name_of(event.cl_ord_id, event.cl_ord_id_size), "ord_status": STATUSES.get(order.ord_status, ""),
        "symbol": f"{event.symbol:06d}", "security_exchange": VENUE_NAMES.get(event.venue, ""),
        "side": SIDES.get(event.side, ""), "order_qty_shares": event.order_qty_shares, "price_e4": event.price_e4,
        "time_ns": event.head.time_ns, "code": code_text(event.code),
        "value": event.value, "limit": event.limit, "limit_scope": LIMIT_SCOPES.get(event.scope, ""),
        "bid_px_e4": event.bid_px_e4, "ask_px_e4": event.ask_px_e4, "last_px_e4": event.last_px_e4,
        "rule_number": event.rule, "rule_set_number": event.rule_set,
    }


def hits_of(Engine engine, uint32_t order_no) -> list:
    """Numbers of the alerts that an order's own judgement recorded: they stand right behind its decision."""
    cdef uint64_t offset = engine.state.orders[order_no].frame_offset
    cdef uint64_t number = first_alert_behind(engine, offset)
    cdef uint64_t last = min(engine.state.rule_state.alert_count, MOST_ALERTS, number + MOST_HITS_SHOWN)
    cdef const Frame *frame
    found = []
    while number <= last:
        frame = engine.journal.at(engine.state.rule_state.alerts[number])
        if frame.type == EV_HIT and frame.order_no == order_no:
            found.append(number)
        number += 1
    return found


cdef uint64_t first_alert_behind(Engine engine, uint64_t offset) noexcept:
    """Number of the first alert behind this place in the journal; one more than there are when none is."""
    cdef uint64_t low = 1
    cdef uint64_t high = min(engine.state.rule_state.alert_count, <uint64_t>MOST_ALERTS) + 1
    cdef uint64_t middle
    while low < high:
        middle = (low + high) // 2
        if engine.state.rule_state.alerts[middle] < offset:
            low = middle + 1
        else:
            high = middle
    return low


def rule_set_number(Engine engine) -> int:
    """Number of the rule set in force, 0: none."""
    return engine.state.rule_state.book.number


def code_text(int code) -> str:
    """R1301 CASH; PASS."""
    if code == PASS:
        return "PASS"
    return f"R{code} {REJECT_CODES[code][0]}" if code in REJECT_CODES else f"R{code}"
