# The one door to state: commands and reports in, events applied, bytes out. Reads no clock, opens nothing.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.audience cimport Audience, Caller
from ext.codec cimport CancelOrder, NewOrder
from ext.codes cimport STATUS_NEW, STATUS_PARTIALLY_FILLED, STATUS_PENDING_NEW, VENUE_COUNT
from ext.events cimport EV_TYPE_COUNT, CancelEvent, Frame, OrderEvent, ReportEvent
from ext.histogram cimport Histogram
from ext.journal cimport Journal
from ext.market cimport Market
from ext.quotes cimport MarketStatus
from ext.reports cimport Refusal
from ext.risk cimport Candidate
from ext.state cimport Order, State
from ext.venue cimport ReportSink, VenueOutlet, VenueReport

cdef enum:
    MOST_CODE = 1700

cdef class Engine(ReportSink):
    cdef readonly State state
    cdef readonly Market market
    cdef readonly Journal journal
    cdef VenueOutlet xshg
    cdef VenueOutlet xshe
    cdef unsigned long owner_thread
    cdef readonly Audience audience
    cdef list queued                   # order numbers whose cancel waits for its phase
    cdef int64_t decisions[MOST_CODE]  # by code; PASS counts the accepted
    cdef int64_t event_counts[EV_TYPE_COUNT]   # events recorded since start, by type
    cdef readonly Histogram acked      # order decided -> the exchange's acceptance applied
    cdef readonly int64_t reports_applied, reports_duplicate, reports_gap, reports_skipped, repeats_answered

    # what the transport and the links call
    cdef void on_new_order(self, Caller caller, const NewOrder *message, int64_t now_ns) noexcept
    cdef void on_cancel(self, Caller caller, const CancelOrder *message, int64_t now_ns) noexcept
    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept

    # events
    cdef uint64_t record(self, Frame *frame) noexcept
    cdef Frame *reserve(self, int type, size_t size, uint32_t account, bint sequenced, int64_t now_ns) noexcept

    # a new order
    cdef int admit(self, Caller caller, const NewOrder *message, Candidate *order, Refusal *refusal, int64_t now_ns) noexcept
    cdef void fetch_rows(self, const NewOrder *message, Candidate *order) noexcept
    cdef void find_holdings(self, Candidate *order) noexcept
    cdef bint is_same(self, uint32_t order_no, const NewOrder *message) noexcept
    cdef void look_up(self, const NewOrder *message, Candidate *order, int64_t now_ns) noexcept
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

    # the exchange's word
    cdef void apply_venue_report(self, int type, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void reject_cancel(self, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void on_business_reject(self, int kind, uint64_t number, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef uint32_t find_by_cancel(self, uint32_t cancel_no) noexcept
    cdef void skip(self, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef VenueOutlet link(self, int venue)
    cdef int send_queued(self, int venue, int64_t now_ns) noexcept

cdef inline bint is_open(const Order *order) noexcept:
    return order.ord_status in (STATUS_PENDING_NEW, STATUS_NEW, STATUS_PARTIALLY_FILLED)
