# The life of every planned request: what to send, and what its reports say. Requests are known by their number in the plan.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.histogram cimport Histogram
from loadtest.wire cimport ServerEvent

cdef enum Kind:
    NEW_ORDER = 1
    CANCEL_ORDER = 2

cdef enum PriceRule:
    FIXED = 0                          # as planned
    NEAR = 1                           # as planned, but held within the cage around the live touch, where that is known
    REST = 2                           # joins the own side of the touch; price_e4 is used until it is known
    CROSS = 3                          # takes the other side of the touch; likewise
    BEHIND = 4                         # rests well behind the own side of the touch, not beyond price_e4

cdef class OrderTracker:
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t sent_count, answered_count
    cdef readonly int64_t repeated_count, disorder_count, stray_count, malformed_count, trade_count
    cdef readonly int64_t notice_count # rules that warned; no answer to anything
    cdef readonly Histogram recent_decision, recent_ack  # since the last progress line
    cdef readonly int64_t start_ns     # UTC; planned times count from here

    # the plan, one entry per request
    cdef const int64_t[::1] planned_ns, order_qty_shares, price_e4
    cdef const int32_t[::1] account, cancel_of, touch
    cdef const uint32_t[::1] symbol
    cdef const uint8_t[::1] kind, venue, side, ord_type, price_rule
    # what became of it; times are ns from the start, -1: not yet
    cdef int64_t[::1] sent_ns, decided_ns, acked_ns, cum_qty_shares
    cdef int32_t[::1] cancelled_by     # the request that cancels this order, -1: none
    cdef uint16_t[::1] reject_code
    cdef uint8_t[::1] ord_status
    # per account
    cdef uint64_t[::1] event_seq, replayed_seq
    cdef list account_ids              # bytes
    cdef dict account_index            # bytes -> index
    # per instrument that a request names by `touch`
    cdef int64_t[::1] bid_e4, ask_e4, last_e4
    cdef uint8_t prefix[6]

    cdef size_t encode(self, Py_ssize_t number, uint8_t *dst) noexcept  # room for MAX_REQUEST_SIZE; the request's size
    cdef void mark_sent(self, Py_ssize_t number, int64_t now_ns) noexcept
    cdef void on_event(self, const ServerEvent *event, int64_t recv_ns) noexcept
    cdef int64_t price_of(self, Py_ssize_t number) noexcept
    cdef void set_touch(self, int32_t touch, int64_t bid_e4, int64_t ask_e4, int64_t last_e4) noexcept  # 0: none
    cdef void put_id(self, uint8_t *dst, Py_ssize_t number) noexcept
    cdef Py_ssize_t number_of(self, const ServerEvent *event) noexcept   # -1: not an id of this run
    cdef bint in_sequence(self, int32_t account, uint64_t event_seq) noexcept
    cdef void apply_report(self, Py_ssize_t number, const ServerEvent *event, int64_t at_ns) noexcept
    cdef void apply_cancel_reject(self, Py_ssize_t number, const ServerEvent *event, int64_t at_ns) noexcept
    cdef void decide(self, Py_ssize_t number, int64_t at_ns) noexcept
    cdef void acknowledge(self, Py_ssize_t number, int64_t at_ns) noexcept
    cdef void refuse(self, Py_ssize_t number, int code, int64_t at_ns) noexcept
    cdef void follow_stranger(self, const ServerEvent *event) noexcept
