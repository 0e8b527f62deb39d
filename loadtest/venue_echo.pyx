"""The simplest exchange and the simplest gateway, for tests and timing: one answers every order, one writes reports down."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset
from ext.clock cimport now_ns
from ext.codes cimport STATUS_CANCELED, STATUS_FILLED, STATUS_NEW
from ext.venue cimport (
    REPORT_ACCEPTED, REPORT_BUSINESS_REJECT, REPORT_CANCELED, REPORT_TRADE, VenueCancel, VenueOrder, VenueOutlet,
    VenueReport,
)
from ext.venue_fields cimport cancel_from, order_from, report_fields
from ext.venue cimport REPORT_APPLIED, REPORT_DUPLICATE, REPORT_GAP, ReportSink
from ext.wire cimport MAX_FRAME, VenueWire
from loadtest.venue_session cimport Desk, OrderEntrySink


cdef class EchoExchange(OrderEntrySink):
    """Accepts every order and cancels whatever it is asked to; with `fills`, fills each order at its price, too."""

    cdef public Desk desk
    cdef public bint fills
    cdef readonly list seen            # cl_ord_id of each order and cancel, in the order they came

    def __init__(self, bint fills=False):
        self.fills = fills
        self.seen = []

    cdef void on_order(self, int member, const VenueOrder *order, int64_t now_ns) noexcept:
        cdef VenueReport report
        self.seen.append(order.cl_ord_id[:10].decode("latin-1").rstrip())
        memset(&report, 0, sizeof(report))
        memset(report.orig_cl_ord_id, 32, sizeof(report.orig_cl_ord_id))
        memset(report.exec_id, 32, sizeof(report.exec_id))
        memset(report.venue_order_id, 32, sizeof(report.venue_order_id))
        memcpy(report.cl_ord_id, order.cl_ord_id, sizeof(report.cl_ord_id))
        memcpy(report.account, order.account, sizeof(report.account))
        report.kind = REPORT_ACCEPTED
        report.ord_status = STATUS_NEW
        report.side = order.side
        report.ord_type = order.ord_type
        report.symbol = order.symbol
        report.order_qty_shares = report.leaves_qty_shares = order.order_qty_shares
        report.price_e4 = order.price_e4
        report.time_ns = order.time_ns
        self.desk.report(member, &report)
        if not self.fills:
            return
        report.kind = REPORT_TRADE
        report.ord_status = STATUS_FILLED
        report.leaves_qty_shares = 0
        report.last_qty_shares = order.order_qty_shares
        report.last_px_e4 = order.price_e4
        self.desk.report(member, &report)

    cdef void on_cancel(self, int member, const VenueCancel *cancel, int64_t now_ns) noexcept:
        cdef VenueReport report
        self.seen.append(cancel.cl_ord_id[:10].decode("latin-1").rstrip())
        memset(&report, 0, sizeof(report))
        memset(report.exec_id, 32, sizeof(report.exec_id))
        memset(report.account, 32, sizeof(report.account))
        memcpy(report.cl_ord_id, cancel.cl_ord_id, sizeof(report.cl_ord_id))
        memcpy(report.orig_cl_ord_id, cancel.orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
        memset(report.venue_order_id, 32, sizeof(report.venue_order_id))
        report.kind = REPORT_CANCELED
        report.ord_status = STATUS_CANCELED
        report.side = cancel.side
        report.ord_type = 1
        report.symbol = cancel.symbol
        report.time_ns = cancel.time_ns
        self.desk.report(member, &report)


cdef class ReportTape(ReportSink):
    """Writes every report down once, in order, as the engine would apply it; knows each partition's next index."""

    cdef readonly list reports         # dicts, business rejects among them
    cdef readonly dict next_index      # partition -> the index expected next

    def __init__(self):
        self.reports = []
        self.next_index = {}

    def next_report_index(self, partition: int) -> int:
        return self.next_index.get(partition, 1)

    def of(self, partition: int) -> list:
        """The report indices of one partition, as they were applied."""
        return [report["report_index"] for report in self.reports if report["partition"] == partition]

    cdef int on_report(self, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        cdef object expected
        if report.kind == REPORT_BUSINESS_REJECT:
            self.reports.append(report_fields(report))
            return REPORT_APPLIED
        expected = self.next_index.get(report.partition, 1)
        if report.report_index < expected:
            return REPORT_DUPLICATE
        if report.report_index > expected:
            return REPORT_GAP
        self.next_index[report.partition] = expected + 1
        self.reports.append(report_fields(report))
        return REPORT_APPLIED


def send_order(VenueOutlet outlet not None, dict fields not None) -> None:
    """What the engine does with an order that may go to market."""
    cdef VenueOrder order = order_from(fields)
    outlet.send_new_order(&order)


def send_cancel(VenueOutlet outlet not None, dict fields not None) -> None:
    cdef VenueCancel cancel = cancel_from(fields)
    outlet.send_cancel(&cancel)


def time_codec(VenueWire wire not None, dict fields not None, int rounds=1000000) -> dict:
    """ns per order: encoding one, and taking one in (peek, kind, decode)."""
    cdef VenueOrder order = order_from(fields)
    cdef VenueOrder taken
    cdef uint8_t frame[MAX_FRAME]
    cdef int64_t start_ns, encoded_ns, decoded_ns
    cdef size_t size = 0
    cdef int i
    start_ns = now_ns()
    for i in range(rounds):
        order.price_e4 = 100000 + i % 100
        size = wire.encode_new_order(frame, &order, i)
    encoded_ns = now_ns()
    for i in range(rounds):
        if wire.peek(frame, size) <= 0 or wire.decode_new_order(frame, size, &taken) <= 0:
            raise ValueError("a frame of ours was refused")
    decoded_ns = now_ns()
    return {"encode_ns": (encoded_ns - start_ns) // rounds, "decode_ns": (decoded_ns - encoded_ns) // rounds}
