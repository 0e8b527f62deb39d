# The way up: one shard's journal and state, and what its exchanges say. Every change of state passes `record`.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.audience cimport Audience
from ext.codes cimport STATUS_NEW, STATUS_PARTIALLY_FILLED, STATUS_PENDING_NEW
from ext.events cimport EV_TYPE_COUNT, CancelEvent, Frame, ReportEvent
from ext.histogram cimport Histogram
from ext.journal cimport Journal
from ext.market cimport Market
from ext.state cimport Order, State
from ext.venue cimport ReportSink, VenueReport

cdef class Returns(ReportSink):
    cdef readonly State state
    cdef readonly Market market
    cdef readonly Journal journal
    cdef readonly Audience audience
    cdef unsigned long owner_thread
    cdef int64_t event_counts[EV_TYPE_COUNT]   # events recorded since start, by type
    cdef readonly Histogram acked      # order decided -> the exchange's acceptance applied
    cdef readonly int64_t reports_applied, reports_duplicate, reports_gap, reports_skipped

    # events
    cdef Frame *reserve(self, int type, size_t size, uint32_t account, bint sequenced, int64_t now_ns) noexcept
    cdef uint64_t record(self, Frame *frame) noexcept

    # the exchange's word
    cdef void apply_venue_report(self, int type, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void on_business_reject(self, int kind, uint64_t number, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef uint32_t find_by_cancel(self, uint32_t cancel_no) noexcept
    cdef void reject_cancel(self, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void skip(self, int venue, const VenueReport *report, int64_t now_ns) noexcept

cdef inline bint is_open(const Order *order) noexcept:
    return order.ord_status in (STATUS_PENDING_NEW, STATUS_NEW, STATUS_PARTIALLY_FILLED)
