"""The way up: what the exchanges say of our orders. Judges no order.

Must not read a clock, open anything or log: time is an argument, files and sockets belong to the shell.
"""

from libc.string cimport memcpy

from ext.codes cimport (
    R1602_VENUE_REJECT, R1606_NOT_OPEN, STATUS_CANCELED, STATUS_EXPIRED, STATUS_FILLED, STATUS_NEW, STATUS_PARTIALLY_FILLED,
    STATUS_PENDING_NEW, STATUS_REJECTED,
)
from ext.events cimport (
    EV_CANCEL_REJECTED, EV_CANCELED, EV_EXPIRED, EV_NEW, EV_REPORT_SKIPPED, EV_TRADE, EV_VENUE_REJECTED, CancelEvent,
    ReportEvent,
)
from ext.fields cimport copy_cancel_name
from ext.journal cimport Journal
from ext.rule_book cimport FETCHED_CANCELED, FETCHED_FILL
from ext.state cimport FLAG_ACKED, FLAG_CANCEL_SENT, FLAG_CONFIRMED, NONE, State
from ext.venue cimport (
    REASON_DUPLICATE_CL_ORD_ID, REASON_UNKNOWN_ORDER, REPORT_ACCEPTED, REPORT_APPLIED, REPORT_BUSINESS_REJECT,
    REPORT_CANCEL_REJECTED, REPORT_CANCELED, REPORT_DUPLICATE, REPORT_GAP, REPORT_REJECTED, REPORT_TRADE,
)
from ext.venue_ids cimport ID_CANCEL, ID_ORDER, decode_venue_id


cdef enum:
    ONE_REPORT = 4096                  # journal bytes the events of one report never pass


cdef class Returns(Survey):
    """The reports that come back from one shard's exchanges; the engine builds on it."""

    def __init__(self, State state, Journal journal):
        Survey.__init__(self, state, journal)
        self.acked = Histogram()
        self.withheld = set()

    cdef int on_report(self, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        """Apply one report exactly once and in order: (partition, report_index) is its key."""
        cdef uint64_t last = self.state.report_index[venue][report.partition & 255]
        cdef uint64_t number = 0
        cdef int kind
        cdef bint by_request = report.kind == REPORT_CANCEL_REJECTED or (report.kind == REPORT_CANCELED and report.orig_cl_ord_id[0] > 32)
        if report.report_index and report.report_index <= last:
            self.reports_duplicate += 1
            return REPORT_DUPLICATE
        if report.report_index > last + 1 or not self.journal.has_room(ONE_REPORT):
            self.reports_gap += 1
            return REPORT_GAP
        if by_request:
            kind = decode_venue_id(report.orig_cl_ord_id, self.state.shard, &number)
        else:
            kind = decode_venue_id(report.cl_ord_id, self.state.shard, &number)
        self.reports_applied += 1
        if kind == ID_ORDER and 0 < number <= self.state.order_count:
            self.fetch_report(&self.state.orders[number], FETCHED_FILL if report.kind == REPORT_TRADE else FETCHED_CANCELED)
        if report.kind == REPORT_BUSINESS_REJECT:
            self.on_business_reject(kind, number, venue, report, now_ns)
        elif self.never_arrived(kind, number, report):
            self.withheld.discard(number)
            self.apply_venue_report(EV_CANCELED, <uint32_t>number, venue, report, now_ns)
        elif report.kind == REPORT_CANCEL_REJECTED and kind == ID_ORDER and 0 < number <= self.state.order_count \
                and self.state.orders[number].cancel_offset:
            # Also when the order ended meanwhile: whoever asked for the cancel hears that it came too late.
            self.reject_cancel(<uint32_t>number, venue, report, now_ns)
        elif kind != ID_ORDER or not 0 < number <= self.state.order_count or not is_open(&self.state.orders[number]) \
                or report.last_qty_shares > self.state.orders[number].leaves_qty_shares:
            self.skip(venue, report, now_ns)
        elif report.kind == REPORT_ACCEPTED:
            self.apply_venue_report(EV_NEW, <uint32_t>number, venue, report, now_ns)
        elif report.kind == REPORT_TRADE and report.last_qty_shares > 0:
            self.apply_venue_report(EV_TRADE, <uint32_t>number, venue, report, now_ns)
        elif report.kind == REPORT_CANCELED:
            self.apply_venue_report(EV_CANCELED, <uint32_t>number, venue, report, now_ns)
        elif report.kind == REPORT_REJECTED:
            self.apply_venue_report(EV_VENUE_REJECTED, <uint32_t>number, venue, report, now_ns)
        else:
            self.skip(venue, report, now_ns)
        return REPORT_APPLIED

    cdef bint never_arrived(self, int kind, uint64_t number, const VenueReport *report) noexcept:
        """Whether the exchange says, in so many words, that it does not know an order that was held back when its link came up:
        then there is nothing to cancel. Any other refusal, or of any other order, leaves the order as it is."""
        return (report.kind == REPORT_CANCEL_REJECTED and report.reason == REASON_UNKNOWN_ORDER and kind == ID_ORDER
                and number in self.withheld and is_open(&self.state.orders[number])
                and not self.state.orders[number].flags & FLAG_ACKED)

    cdef void apply_venue_report(self, int type, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        cdef const Order *order = &self.state.orders[order_no]
        cdef ReportEvent *event
        cdef bint is_by_request
        # An acceptance that comes after a fill is old news: an order never goes backwards.
        if type == EV_NEW and order.ord_status != STATUS_PENDING_NEW:
            self.skip(venue, report, now_ns)
            return
        event = <ReportEvent *>self.reserve(type, sizeof(ReportEvent), order.account, True, now_ns)
        # A report's room is asked for before it is taken (on_report); the end of a day on a full disk finds none.
        if event == NULL:
            return
        event.head.order_no = order_no
        event.venue = <uint8_t>venue
        event.partition = report.partition
        event.report_index = report.report_index
        event.reason = report.reason
        event.cum_qty_shares = order.cum_qty_shares
        event.cum_notional_e4 = order.cum_notional_e4
        if report.venue_order_id[0] > 32:
            memcpy(event.venue_order_id, report.venue_order_id, 16)
        else:
            memcpy(event.venue_order_id, order.venue_order_id, 16)
        if type == EV_NEW:
            if not order.flags & FLAG_CONFIRMED:
                self.acked.record(now_ns - self.journal.at(order.frame_offset).time_ns)
            event.ord_status = STATUS_NEW
            event.leaves_qty_shares = order.leaves_qty_shares
        elif type == EV_TRADE:
            memcpy(event.exec_id, report.exec_id, 16)
            event.last_qty_shares = report.last_qty_shares
            event.last_px_e4 = report.last_px_e4
            event.leaves_qty_shares = order.leaves_qty_shares - report.last_qty_shares
            event.cum_qty_shares += report.last_qty_shares
            event.cum_notional_e4 += report.last_qty_shares * report.last_px_e4
            event.ord_status = STATUS_PARTIALLY_FILLED if event.leaves_qty_shares else STATUS_FILLED
        else:
            event.ord_status = STATUS_CANCELED if type == EV_CANCELED else STATUS_EXPIRED if type == EV_EXPIRED else STATUS_REJECTED
        is_by_request = type == EV_CANCELED and order.flags & FLAG_CANCEL_SENT
        self.record(&event.head)
        self.audience.publish(None, &event.head)
        if type == EV_TRADE or is_by_request:
            self.survey_report(event)

    cdef void on_business_reject(self, int kind, uint64_t number, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        """Refused at the exchange's door, unnumbered. A refusal as duplicate says that the first copy is in: nothing to apply."""
        cdef uint32_t order_no
        if report.reason == REASON_DUPLICATE_CL_ORD_ID:
            self.reports_duplicate += 1
        elif kind == ID_ORDER and 0 < number <= self.state.order_count and self.state.orders[number].ord_status == STATUS_PENDING_NEW:
            self.apply_venue_report(EV_VENUE_REJECTED, <uint32_t>number, venue, report, now_ns)
        elif kind == ID_CANCEL:
            order_no = self.find_by_cancel(<uint32_t>number)
            if order_no:
                self.reject_cancel(order_no, venue, report, now_ns)
        else:
            self.reports_skipped += 1

    cdef uint32_t find_by_cancel(self, uint32_t cancel_no) noexcept:
        """The open order whose cancel has this number (cold: an exchange refused a cancel at its door)."""
        cdef uint32_t order_no
        cdef const Order *order
        for order_no in range(self.state.order_count, 0, -1):
            order = &self.state.orders[order_no]
            if order.flags & FLAG_CANCEL_SENT and (<const CancelEvent *>self.journal.at(order.cancel_offset)).cancel_no == cancel_no:
                return order_no
        return 0

    cdef void reject_cancel(self, uint32_t order_no, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        """The exchange did not cancel: the order lives on, and the client hears why."""
        cdef const Order *order = &self.state.orders[order_no]
        cdef CancelEvent *event = <CancelEvent *>self.reserve(EV_CANCEL_REJECTED, sizeof(CancelEvent), order.account, True, now_ns)
        cdef const CancelEvent *sent
        event.head.order_no = order_no
        event.venue = <uint8_t>venue
        event.partition = report.partition
        event.report_index = report.report_index
        event.reason = report.reason
        event.code = R1602_VENUE_REJECT if is_open(order) else R1606_NOT_OPEN
        event.ord_status = order.ord_status
        if order.cancel_offset:
            sent = <const CancelEvent *>self.journal.at(order.cancel_offset)
            event.cancel_no = sent.cancel_no
            event.planned_ns = sent.planned_ns
            copy_cancel_name(event, sent)
        self.record(&event.head)
        self.audience.publish(None, &event.head)

    cdef void skip(self, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        """A numbered report that changes nothing here still counts, or the next would look like a gap."""
        cdef ReportEvent *event
        self.reports_skipped += 1
        if report.report_index == 0:
            return
        event = <ReportEvent *>self.reserve(EV_REPORT_SKIPPED, sizeof(ReportEvent), NONE, False, now_ns)
        event.venue = <uint8_t>venue
        event.partition = report.partition
        event.report_index = report.report_index
        self.record(&event.head)

    cdef void on_link_down(self, int venue) noexcept:
        """From here on the exchange's orders are rejected (R1601), until set_link says that it is ready again."""
        self.market.link_ready[venue] = False

    def next_report_index(self, int venue, int partition) -> int:
        """The report to ask this exchange's partition for next."""
        return self.state.report_index[venue][partition & 255] + 1
