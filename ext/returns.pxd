# The way up: what a shard's exchanges say of its orders.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.codes cimport STATUS_NEW, STATUS_PARTIALLY_FILLED, STATUS_PENDING_NEW
from ext.histogram cimport Histogram
from ext.state cimport Order
from ext.survey cimport Survey
from ext.venue cimport VenueReport

cdef class Returns(Survey):
    cdef readonly Histogram acked      # order decided -> the exchange's acceptance applied
    cdef readonly int64_t reports_applied, reports_duplicate, reports_gap, reports_skipped
    cdef readonly set withheld         # orders in doubt that were not sent again: their cancel says whether they ever arrived

    # the exchange's word
    cdef bint never_arrived(self, int kind, uint64_t number, const VenueReport *report) noexcept
    cdef void apply_venue_report(self, int type, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void on_business_reject(self, int kind, uint64_t number, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef uint32_t find_by_cancel(self, uint32_t cancel_no) noexcept
    cdef void reject_cancel(self, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void skip(self, int venue, const VenueReport *report, int64_t now_ns) noexcept

cdef inline bint is_open(const Order *order) noexcept:
    return order.ord_status in (STATUS_PENDING_NEW, STATUS_NEW, STATUS_PARTIALLY_FILLED)
