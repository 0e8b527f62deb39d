"""Orders that wait for a confirmation, and the times at which something is due. Judges no order, and sends none.

Must not read a clock: time is an argument.
"""

import heapq

from libc.string cimport memcpy

from ext.codes cimport PASS, R1603_CAPACITY
from ext.events cimport EV_ORDER_RELEASED, ORDER_SUSPENDED, SCOPE_ACCOUNT
from ext.risk cimport CONFIRM_TTL_MS
from ext.state cimport Order


cdef class Waiting(Returns):
    """One shard's suspended orders, on top of its journal and state; the engine builds on it."""

    def __init__(self, State state, Journal journal):
        Returns.__init__(self, state, journal)
        self.suspended = {}
        self.deadlines = []
        self.next_due_ns = NEVER_NS

    cdef int auto_deny(self, Candidate *order) noexcept:
        """PASS: the order waits for a confirmation. Nobody sits behind a programme who could give one: its orders are rejected."""
        if not order.port.programme:
            return PASS
        order.value = order.wait_value
        order.limit = order.wait_limit
        order.scope = SCOPE_ACCOUNT
        return order.wait_code

    cdef void suspend(self, OrderEvent *event, const Candidate *order) noexcept:
        """Make the decision one to wait: the order exists, holds nothing and counts nowhere."""
        event.flags |= ORDER_SUSPENDED
        event.code = <uint16_t>order.wait_code
        event.value = order.wait_value
        event.limit = order.wait_limit
        event.scope = SCOPE_ACCOUNT
        event.ttl_ms = order.wait_ttl_ms if order.wait_ttl_ms else CONFIRM_TTL_MS
        confirm_by_ns = order.now_ns + <int64_t>event.ttl_ms * 1000000
        self.suspended[event.head.order_no] = confirm_by_ns
        self.expect((confirm_by_ns, 0, event.head.order_no))

    cdef void expect(self, tuple deadline) noexcept:
        """Something is due at a time; on_time looks then whether it still is."""
        heapq.heappush(self.deadlines, deadline)
        self.next_due_ns = self.deadlines[0][0]

    cdef ReleaseEvent *reserve_release(self, uint32_t order_no, bytes by, int64_t now_ns) noexcept:
        """The end of a suspended order as an event, not yet recorded: rejected with the code it waited for. NULL: journal full."""
        cdef const Order *order = &self.state.orders[order_no]
        cdef const OrderEvent *asked = <const OrderEvent *>self.journal.at(order.frame_offset)
        cdef ReleaseEvent *event = <ReleaseEvent *>self.reserve(EV_ORDER_RELEASED, sizeof(ReleaseEvent), order.account, True, now_ns)
        if event == NULL:
            return NULL
        event.head.order_no = order_no
        event.code = asked.code
        event.value = asked.value
        event.limit = asked.limit
        event.scope = asked.scope
        event.rule = asked.rule
        event.rule_set = asked.rule_set
        event.phase = <uint8_t>self.market.phase[order.venue]
        memcpy(event.by, <const char *>by, min(len(by), sizeof(event.by)))
        return event

    cdef const Frame *record_release(self, ReleaseEvent *event) noexcept:
        self.suspended.pop(event.head.order_no, None)
        self.decisions[event.code] += 1
        self.record(&event.head)
        return &event.head

    cdef int deny(self, uint32_t order_no, bytes by, int64_t now_ns) noexcept:
        """A suspended order will not go out: refused, withdrawn, or (by empty) out of time. PASS, or R1603."""
        cdef ReleaseEvent *event = self.reserve_release(order_no, by, now_ns)
        if event == NULL:
            return R1603_CAPACITY
        self.audience.publish(None, self.record_release(event))
        return PASS
