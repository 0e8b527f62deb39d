"""Suspended orders: confirmed and judged again, or denied. Decides by the ladder alone; no order is released unjudged.

While suspended an order exists under its cl_ord_id, but holds nothing and counts in no window. Engine.suspend makes one,
Engine.deny ends it unsent (a cancel, a sweep, its time); here are the two ways a person ends it.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ext.codes cimport PASS, R1603_CAPACITY, R1604_NOT_FOUND, R1606_NOT_OPEN, R1613_DISK_FULL, STATUS_SUSPENDED
from ext.engine cimport MOST_NEW_POSITIONS, SPARE_FOR_REPORTS, Engine
from ext.events cimport ORDER_AGGRESSIVE, ORDER_BEYOND, ORDER_SHORT, Frame, OrderEvent, ReleaseEvent
from ext.reports cimport confirm_by_ns
from ext.risk cimport Candidate, check_new_order
from ext.state cimport Order


def confirm(Engine engine, uint32_t order_no, str by, int64_t now_ns) -> int:
    """Judge a suspended order again, through the whole ladder on today's market, and send it when it passes.

    by: who confirms. PASS: it is on its way; R1604: no such order; R1606: not suspended (any more), or its time is over;
    R1603, R1613: no room, it stays as it is; else the code it is rejected with now.
    """
    cdef int code = check_waiting(engine, order_no, now_ns)
    cdef Candidate order
    cdef ReleaseEvent *event
    cdef const Frame *released
    if code == PASS and not engine.journal.has_room(SPARE_FOR_REPORTS):
        code = R1613_DISK_FULL
    if code != PASS:
        return code
    set_candidate(engine, order_no, &order, now_ns)
    engine.fetch_cells(&order)             # opens the rules' occasion anew: the newest order's is still there
    code = check_new_order(engine.state, engine.market, &order)
    if code == PASS:
        code = engine.survey_order(&order)
    event = engine.reserve_release(order_no, by.encode("utf-8", "replace"), now_ns) if has_room(engine, &order) else NULL
    if event == NULL:
        return R1603_CAPACITY
    set_findings(event, &order, code, engine.state.rule_state.book.number)
    released = engine.record_release(event)
    engine.record_order_found(order_no, code == PASS)
    if code == PASS:
        engine.forward(order_no, now_ns)
    engine.audience.publish(None, released)
    return code


def deny(Engine engine, uint32_t order_no, str by, int64_t now_ns) -> int:
    """Refuse or withdraw a suspended order: it is rejected with the code it waited for. PASS: done; R1603, R1604, R1606 as confirm."""
    cdef int code = check_waiting(engine, order_no, now_ns)
    return code if code != PASS else engine.deny(order_no, by.encode("utf-8", "replace"), now_ns)


cdef int check_waiting(Engine engine, uint32_t order_no, int64_t now_ns):
    """PASS: the order can still be confirmed. One whose time is over ends here, before anyone looked at the clock."""
    if not 0 < order_no <= engine.state.order_count:
        return R1604_NOT_FOUND
    if engine.state.orders[order_no].ord_status != STATUS_SUSPENDED:
        return R1606_NOT_OPEN
    if now_ns >= confirm_by_ns(<const OrderEvent *>engine.journal.at(engine.state.orders[order_no].frame_offset)):
        engine.deny(order_no, b"", now_ns)
        return R1606_NOT_OPEN
    return PASS


cdef void set_candidate(Engine engine, uint32_t order_no, Candidate *candidate, int64_t now_ns) noexcept:
    """The order as its own EV_ORDER has it, ready for its second way down the ladder."""
    cdef const Order *order = &engine.state.orders[order_no]
    cdef const OrderEvent *asked = <const OrderEvent *>engine.journal.at(order.frame_offset)
    memset(candidate, 0, sizeof(Candidate))
    candidate.port = &engine.state.ports[order.port]
    candidate.account_index = order.account
    candidate.instrument_index = order.instrument
    candidate.venue = order.venue
    candidate.side = order.side
    candidate.ord_type = order.ord_type
    candidate.order_qty_shares = order.order_qty_shares
    candidate.price_e4 = order.price_e4
    candidate.now_ns = now_ns
    candidate.strategy = asked.strategy
    candidate.parent = asked.parent
    candidate.parent_qty_shares = asked.parent_qty_shares
    candidate.short_sale = asked.flags & ORDER_SHORT != 0
    candidate.confirmed = True
    engine.find_holdings(candidate)
    engine.find_rows(candidate)


cdef inline bint has_room(Engine engine, const Candidate *order) noexcept:
    """Whether there is room for what an accepted order brings, as Engine.admit asks of a new one."""
    return engine.state.position_count + MOST_NEW_POSITIONS <= engine.state.most_positions and engine.has_parent_row(order)


cdef void set_findings(ReleaseEvent *event, const Candidate *order, int code, uint32_t rule_set) noexcept:
    """What the second judgement found, with the market it saw."""
    event.code = <unsigned short>code
    event.flags = (ORDER_BEYOND if order.beyond else 0) | (ORDER_AGGRESSIVE if order.is_aggressive else 0)
    if code != PASS:
        event.rule = order.rule
        event.rule_set = rule_set
    event.value = 0 if code == PASS else order.value
    event.limit = 0 if code == PASS else order.limit
    event.scope = 0 if code == PASS else <unsigned char>order.scope
    event.phase = <unsigned char>order.phase
    if order.top != NULL:
        event.bid_px_e4 = order.top.bid_px_e4
        event.ask_px_e4 = order.top.ask_px_e4
        event.last_px_e4 = order.top.last_px_e4
    if code == PASS:
        event.wpx_e4 = order.wpx_e4
        event.hold_e4 = order.hold_e4
