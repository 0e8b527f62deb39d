# The one door to state: commands and reports in, events applied, bytes out. Reads no clock, opens nothing.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.codec cimport CancelOrder, NewOrder
from ext.codes cimport VENUE_COUNT
from ext.events cimport CancelEvent, Frame, OrderEvent, ReportEvent
from ext.journal cimport Journal
from ext.market cimport Market
from ext.quotes cimport MarketStatus
from ext.reports cimport Refusal
from ext.risk cimport Candidate
from ext.rpc cimport StreamSink
from ext.state cimport Order, State
from ext.venue cimport VenueOutlet, VenueReport

cdef enum:
    MOST_CODE = 1700

cdef enum ReportOutcome:
    REPORT_APPLIED = 1
    REPORT_DUPLICATE = 2
    REPORT_GAP = 3

# Whoever asks: a session's stream (slot set, sees every event of its accounts) or one unary call (slot NONE).
cdef class Caller(StreamSink):
    cdef public uint32_t port
    cdef readonly uint32_t slot
    cdef readonly bint catching_up     # it still receives old events from the journal; live ones wait there for it

cdef struct Watch:                     # one session watching one account
    uint32_t slot
    uint32_t next

cdef class Engine:
    cdef readonly State state
    cdef readonly Market market
    cdef readonly Journal journal
    cdef VenueOutlet xshg
    cdef VenueOutlet xshe
    cdef unsigned long owner_thread
    cdef list callers                  # by slot; None where free
    cdef uint32_t *watch_head          # by account: index + 1 into watches, 0: nobody
    cdef Watch *watches
    cdef uint32_t free_watch
    cdef uint32_t watch_count
    cdef list allowed                  # by port: bytearray with one bit per account
    cdef list queued                   # order numbers whose cancel waits for its phase
    cdef int64_t decisions[MOST_CODE]  # by code; PASS counts the accepted
    cdef readonly int64_t reports_applied, reports_duplicate, reports_gap, reports_skipped, repeats_answered

    # what the transport and the links call
    cdef void on_new_order(self, Caller caller, const NewOrder *message, int64_t now_ns) noexcept
    cdef void on_cancel(self, Caller caller, const CancelOrder *message, int64_t now_ns) noexcept
    cdef int on_report(self, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept

    # events
    cdef uint64_t record(self, Frame *frame) noexcept
    cdef Frame *reserve(self, int type, size_t size, uint32_t account, bint sequenced, int64_t now_ns) noexcept
    cdef void publish(self, Caller asking, const Frame *frame) noexcept

    # a new order
    cdef int admit(self, Caller caller, const NewOrder *message, Candidate *order, Refusal *refusal, int64_t now_ns) noexcept
    cdef bint may_trade(self, Caller caller, uint32_t account) noexcept
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
    cdef void skip(self, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef VenueOutlet link(self, int venue)
