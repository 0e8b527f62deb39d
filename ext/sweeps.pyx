"""What acts on many orders at once: mass cancel, disconnects, kills, queued cancels, orders in doubt, the end of the day.

A suspended order is live without being open: whatever cancels open orders withdraws it.

Each function works through the engine's own request_cancel and events; none changes state by itself. All times are now_ns.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset

from ext.codes cimport PASS, STATUS_SUSPENDED
from ext.engine cimport Engine
from ext.events cimport (
    EV_EXPIRED, EV_KILL, EV_REARM, KILL_ACCOUNT, KILL_FIRM, KILL_GROUP, KILL_PORT, SUBJECT_ACCOUNT, SUBJECT_GROUP,
    SUBJECT_POSITION, CancelEvent, KillEvent, OrderEvent, RearmEvent,
)
from ext.quotes cimport MarketStatus
from ext.reports cimport confirm_by_ns
from ext.state cimport FLAG_ACKED, FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, NONE, Order
from ext.venue cimport VenueReport

from ext.replay import fold_on
from ext.surveillance import resume_holding


cdef list open_orders(Engine engine, uint32_t account):
    """The account's open orders, oldest first."""
    numbers = []
    cdef uint32_t order_no = engine.state.accounts[account].open_head
    while order_no != NONE:
        numbers.append(order_no)
        order_no = engine.state.orders[order_no].next_open
    return numbers[::-1]


cdef list live_orders(Engine engine, uint32_t account):
    """The account's open orders, then its suspended ones; oldest first."""
    return open_orders(engine, account) + [number for number in engine.suspended
                                           if engine.state.orders[<uint32_t>number].account == account]


cdef tuple cancel_all(Engine engine, list order_numbers, uint32_t port, int64_t now_ns):
    """Request a cancel of each; (sent, queued or, of a suspended order, withdrawn; of these queued)."""
    cdef uint32_t order_no
    affected = queued = 0
    for order_no in order_numbers:
        if engine.request_cancel(order_no, NULL, port, now_ns) == PASS:
            affected += 1
            queued += bool(engine.state.orders[order_no].flags & FLAG_CANCEL_QUEUED)
    return affected, queued


def mass_cancel(Engine engine, uint32_t port, uint32_t account, int64_t now_ns, *, uint32_t instrument=NONE, int side=0) -> tuple:
    """Cancel the account's live orders, of one instrument or side only where given: (affected, queued)."""
    chosen = [
        number for number in live_orders(engine, account)
        if (instrument == NONE or engine.state.orders[<uint32_t>number].instrument == instrument)
        and (side == 0 or engine.state.orders[<uint32_t>number].side == side)
    ]
    return cancel_all(engine, chosen, port, now_ns)


def cancel_port(Engine engine, uint32_t port, int64_t now_ns) -> tuple:
    """Cancel on disconnect: every live order that came in through the port."""
    return cancel_all(engine, orders_in(engine, KILL_PORT, port), port, now_ns)


cdef list orders_in(Engine engine, int scope, uint32_t index):
    """Every live order in a kill's scope, open ones first."""
    cdef uint32_t account
    chosen = []
    for account in range(engine.state.account_count):
        if engine.state.accounts[account].open_head == NONE:
            continue
        chosen += [number for number in open_orders(engine, account) if is_in_scope(engine, scope, index, <uint32_t>number)]
    return chosen + [number for number in engine.suspended if is_in_scope(engine, scope, index, <uint32_t>number)]


def kill(Engine engine, int scope, uint32_t index, bint killed, str by, int64_t now_ns, *, str approved_by="") -> tuple:
    """Latch (or unlatch) a kill, then sweep its scope's live orders: (affected, queued). scope: events.KillScope.

    The latch is journaled before the first cancel leaves, so nothing can be accepted behind it. One person kills; an unkill
    needs two: a ValueError otherwise.
    """
    cdef KillEvent *event
    counts = {KILL_PORT: engine.state.port_count, KILL_ACCOUNT: engine.state.account_count, KILL_GROUP: engine.state.group_count,
              KILL_FIRM: 1}
    if scope not in counts or index >= counts[scope]:
        raise ValueError(f"kill: no scope {scope} with index {index}")
    if not killed:
        check_two_persons("unkill", by, approved_by)
    event = <KillEvent *>engine.reserve(EV_KILL, sizeof(KillEvent), NONE, False, now_ns)
    if event == NULL:
        raise OSError("kill: the journal is full")
    event.scope = scope
    event.id = index
    event.killed = killed
    copy_name(event.by, by, sizeof(event.by))
    copy_name(event.approved_by, approved_by, sizeof(event.approved_by))
    engine.record(&event.head)
    if not killed:
        return 0, 0
    return cancel_all(engine, orders_in(engine, scope, index), NONE, now_ns)


def check_two_persons(str what, str by, str approved_by) -> None:
    """Raises ValueError unless two different persons are named."""
    if not by or not approved_by or by == approved_by:
        raise ValueError(f"{what}: by {by!r}, approved_by {approved_by!r}; expected two different persons")


cdef void copy_name(char *to, str name, size_t size):
    """As much of a name as fits, cut between characters."""
    cdef bytes octets = name.encode("utf-8", "replace")[:size].decode(errors="ignore").encode()
    memcpy(to, <const char *>octets, len(octets))


def rearm(Engine engine, uint32_t strategy, str by, int64_t now_ns) -> None:
    """A person switches a strategy on again after R1206 or R1207 switched it off; its counts begin anew."""
    switch_strategy(engine, strategy, 0, by, now_ns)


def switch_strategy(Engine engine, uint32_t strategy, uint32_t off, str by, int64_t now_ns) -> None:
    """off: 0, or the code it is off with until a person rearms it. ValueError: no such strategy, or nobody's name."""
    cdef RearmEvent *event
    if strategy >= engine.state.strategy_count:
        raise ValueError(f"rearm: no strategy {strategy}, expected 0 to {<int64_t>engine.state.strategy_count - 1}")
    if not by:
        raise ValueError("rearm: got nobody, expected the name of who does it")
    event = <RearmEvent *>engine.reserve(EV_REARM, sizeof(RearmEvent), NONE, False, now_ns)
    if event == NULL:
        raise OSError("rearm: the journal is full")
    event.strategy = strategy
    event.off = off
    copy_name(event.by, by, sizeof(event.by))
    engine.record(&event.head)


cdef bint is_in_scope(Engine engine, int scope, uint32_t index, uint32_t order_no) noexcept:
    cdef const Order *order = &engine.state.orders[order_no]
    if scope == KILL_PORT:
        return order.port == index
    if scope == KILL_ACCOUNT:
        return order.account == index
    if scope == KILL_GROUP:
        return engine.state.accounts[order.account].group == index
    return True


def set_phase(Engine engine, int venue, int phase, int64_t now_ns) -> None:
    """An exchange's phase, stated by hand (its feed calls Engine.on_status itself)."""
    cdef MarketStatus status
    memset(&status, 0, sizeof(MarketStatus))
    status.venue = <unsigned char>venue
    status.phase = <unsigned char>phase
    engine.on_status(&status, now_ns)


def set_link(Engine engine, int venue, bint ready, int64_t now_ns) -> int:
    """An exchange link became ready (its reports are in) or went down. Ready: what is in doubt is sent again; how many.

    Orders in doubt go first: a queued cancel that overtook its order would find nothing to cancel.
    """
    engine.market.link_ready[venue] = ready
    if not ready:
        return 0
    resent = resend_in_doubt(engine, venue, now_ns)
    engine.send_queued(venue, now_ns)
    return resent


def in_doubt(Engine engine, int venue) -> int:
    """Open orders of an exchange that it has not confirmed: their bytes may or may not have left."""
    cdef uint32_t account, order_no
    cdef int count = 0
    for account in range(engine.state.account_count):
        order_no = engine.state.accounts[account].open_head
        while order_no != NONE:
            count += engine.state.orders[order_no].venue == venue and not engine.state.orders[order_no].flags & FLAG_ACKED
            order_no = engine.state.orders[order_no].next_open
    return count


cdef int resend_in_doubt(Engine engine, int venue, int64_t now_ns):
    """Orders and cancels whose bytes may not have left, after report synchronisation, with the same ClOrdID: the exchange
    refuses a second copy, so neither can be executed twice. What was killed meanwhile is not sent again: a cancel asks for it."""
    cdef uint32_t account, order_no
    cdef const Order *order
    cdef int resent = 0
    cdef bint is_cancelled
    engine.withheld -= {number for number in engine.withheld if engine.state.orders[<uint32_t>number].venue == venue}
    for account in range(engine.state.account_count):
        if engine.state.accounts[account].open_head == NONE:
            continue
        for order_no in open_orders(engine, account):
            order = &engine.state.orders[order_no]
            if order.venue != venue:
                continue
            is_cancelled = order.flags & FLAG_CANCEL_SENT
            if not order.flags & FLAG_ACKED:
                resent += settle_in_doubt(engine, order_no, now_ns)
            if is_cancelled:
                engine.forward_cancel(order_no, (<const CancelEvent *>engine.journal.at(order.cancel_offset)).cancel_no, now_ns)
                resent += 1
    return resent


cdef int settle_in_doubt(Engine engine, uint32_t order_no, int64_t now_ns):
    """Send an order in doubt again, or, when its port, account, group or the firm is killed, only ask for its cancel: it may have
    arrived. How many orders were sent."""
    cdef const Order *order = &engine.state.orders[order_no]
    if not is_killed(engine, order):
        engine.forward(order_no, now_ns)
        return 1
    engine.withheld.add(order_no)
    if not order.flags & (FLAG_CANCEL_SENT | FLAG_CANCEL_QUEUED):
        engine.request_cancel(order_no, NULL, NONE, now_ns)
    return 0


cdef bint is_killed(Engine engine, const Order *order) noexcept:
    cdef uint32_t group = engine.state.accounts[order.account].group
    return (engine.state.firm_killed or engine.state.accounts[order.account].killed or engine.state.ports[order.port].killed
            or (group != NONE and engine.state.groups[group].killed))


def end_of_day(Engine engine, int venue, int64_t now_ns) -> int:
    """The exchange's report stream has ended: what is still open there has expired; how many."""
    cdef uint32_t account, order_no
    cdef VenueReport report
    cdef int expired = 0
    memset(&report, 0, sizeof(VenueReport))
    for account in range(engine.state.account_count):
        for order_no in open_orders(engine, account):
            if engine.state.orders[order_no].venue == venue:
                engine.apply_venue_report(EV_EXPIRED, order_no, venue, &report, now_ns)
                expired += 1
    for order_no in list(engine.suspended):
        if engine.state.orders[order_no].venue == venue:
            engine.deny(order_no, b"", now_ns)
    return expired


def recover(Engine engine) -> dict:
    """Fold the whole journal into the (empty) state; what was found, as settle tells it. Raises JournalError when a frame is
    damaged."""
    engine.journal.rewind()
    fold_on(engine)
    return settle(engine)


def settle(Engine engine) -> dict:
    """After the last frame was folded: cut what is torn behind it, and find again all that waits for something.

    Returns {frames, orders, open_orders, torn_bytes}: torn_bytes of an unfinished last frame were cut.
    """
    torn = engine.journal.cut()
    take_up(engine)
    return {"frames": engine.journal.seq, "orders": engine.state.order_count, "open_orders": engine.state.open_count,
            "torn_bytes": torn}


def take_up(Engine engine) -> None:
    """What an engine keeps beside its state, found again from it: cancels that wait for their phase, suspended orders, and the
    times at which something is due."""
    cdef uint32_t account, order_no
    engine.queued = []
    engine.suspended.clear()
    engine.deadlines.clear()
    for account in range(engine.state.account_count):
        order_no = engine.state.accounts[account].open_head
        while order_no != NONE:
            if engine.state.orders[order_no].flags & FLAG_CANCEL_QUEUED:
                engine.queued.append(order_no)
            order_no = engine.state.orders[order_no].next_open
    engine.queued.sort()
    resume_holding(engine)
    resume_waiting(engine)


cdef void resume_waiting(Engine engine):
    """The suspended orders and every time at which something is due, from the state."""
    cdef uint32_t at
    cdef int64_t due_ns
    for at in range(1, engine.state.order_count + 1 if engine.state.suspended_count else 1):
        if engine.state.orders[at].ord_status == STATUS_SUSPENDED:
            due_ns = confirm_by_ns(<const OrderEvent *>engine.journal.at(engine.state.orders[at].frame_offset))
            engine.suspended[at] = due_ns
            engine.expect((due_ns, 0, at))
    for at in range(engine.state.account_count):
        if engine.state.accounts[at].level_until_ns:
            engine.expect((engine.state.accounts[at].level_until_ns, <int>SUBJECT_ACCOUNT, at))
    for at in range(engine.state.group_count):
        if engine.state.groups[at].level_until_ns:
            engine.expect((engine.state.groups[at].level_until_ns, <int>SUBJECT_GROUP, at))
    for at in range(engine.state.position_count):
        if engine.state.positions[at].level_until_ns:
            engine.expect((engine.state.positions[at].level_until_ns, <int>SUBJECT_POSITION, at))
