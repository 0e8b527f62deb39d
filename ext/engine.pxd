# The one door to state. Down: this file; up, and every event: returns.pxd. Reads no clock, opens nothing.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.audience cimport Caller
from ext.codec cimport CancelOrder, NewOrder
from ext.events cimport CancelEvent, Frame, OrderEvent
from ext.journal cimport SPARE_FOR_REPORTS, Journal
from ext.quotes cimport MarketStatus
from ext.reports cimport Refusal
from ext.returns cimport is_open
from ext.risk cimport Candidate
from ext.state cimport Order, State
from ext.venue cimport VenueOutlet
from ext.waiting cimport MOST_CODE, Waiting

cdef enum:
    MOST_NEW_POSITIONS = 3             # of one order: its account's, its group's, its strategy's

cdef class Engine(Waiting):
    cdef VenueOutlet xshg
    cdef VenueOutlet xshe
    cdef list queued                   # order numbers whose cancel waits for its phase
    cdef readonly int64_t repeats_answered

    # what the transport and the quote feeds call
    cdef void on_new_order(self, Caller caller, const NewOrder *message, int64_t now_ns) noexcept
    cdef void on_cancel(self, Caller caller, const CancelOrder *message, int64_t now_ns) noexcept
    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept
    cdef VenueOutlet link(self, int venue)
    cdef readonly int64_t levels_failed   # asked for by a rule and not set, as when the journal is full

    # a new order
    cdef void answer(self, Caller caller, const NewOrder *message, const Frame *decision, const Refusal *refusal, int64_t now_ns) noexcept
    cdef const Frame *judge(self, Caller caller, const NewOrder *message, Refusal *refusal, int64_t now_ns) noexcept
    cdef void note_shortage(self, const Candidate *order) noexcept
    cdef int admit(self, Caller caller, const NewOrder *message, Candidate *order, Refusal *refusal, int64_t now_ns) noexcept
    cdef bint read_names(self, const NewOrder *message, Candidate *order) noexcept
    cdef bint has_parent_row(self, const Candidate *order) noexcept
    cdef void fetch_rows(self, const NewOrder *message, Candidate *order) noexcept
    cdef void fetch_newest(self, uint32_t order_no) noexcept
    cdef void find_holdings(self, Candidate *order) noexcept
    cdef bint is_same(self, uint32_t order_no, const NewOrder *message, const Candidate *order) noexcept
    cdef void look_up(self, const NewOrder *message, Candidate *order, int64_t now_ns) noexcept
    cdef void find_rows(self, Candidate *order) noexcept
    cdef const Frame *decide(self, Caller caller, const NewOrder *message, const Candidate *order, int code) noexcept
    cdef void forward(self, uint32_t order_no, int64_t now_ns) noexcept
    cdef void count_decision(self, uint32_t port, int code, int64_t now_ns) noexcept
    cdef void refuse(self, Caller caller, const NewOrder *message, const Refusal *refusal, int64_t now_ns) noexcept
    cdef void repeat(self, Caller caller, uint32_t order_no) noexcept

    # a cancel
    cdef int admit_cancel(self, Caller caller, const CancelOrder *message, uint32_t *order_no, Refusal *refusal, int64_t now_ns) noexcept
    cdef int cancel_phase(self, int venue) noexcept
    cdef int request_cancel(self, uint32_t order_no, const CancelOrder *message, uint32_t port, int64_t now_ns) noexcept
    cdef void forward_cancel(self, uint32_t order_no, uint32_t cancel_no, int64_t now_ns) noexcept
    cdef int send_queued(self, int venue, int64_t now_ns) noexcept
