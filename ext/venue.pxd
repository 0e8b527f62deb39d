# What the engine and a venue link say to each other, whatever the exchange's wire looks like. Prices are 1e-4 yuan,
# quantities shares. Text fields are space-padded, as on both wires.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.buffers cimport Outlet

cdef enum VenueReportKind:
    REPORT_NONE = 0
    REPORT_ACCEPTED = 1                # XSHG 32 ExecType 0; XSHE 200102 ExecType 0
    REPORT_CANCELED = 2                # ExecType 4: by request, or the exchange cancelled the rest of a market order
    REPORT_REJECTED = 3                # ExecType 8, numbered
    REPORT_TRADE = 4                   # XSHG 103; XSHE 200115
    REPORT_CANCEL_REJECTED = 5         # XSHG 59; XSHE 290008
    REPORT_BUSINESS_REJECT = 6         # XSHG 204; XSHE 4: no report_index, refused at the exchange's door

cdef enum VenueReason:                # the reasons the engine acts on; all others are passed on as they come
    REASON_DUPLICATE_CL_ORD_ID = 2010  # this ClOrdID is already in: it never means that the order itself failed
    REASON_UNKNOWN_ORDER = 2101        # of a cancel: no order with this ClOrdID ever came in

cdef struct VenueOrder:                # XSHG 58; XSHE 100101
    char cl_ord_id[10]
    char account[12]                   # shareholder account
    uint32_t symbol                    # six digits as a number: 000001 is 1
    uint8_t side                       # codes.Side
    uint8_t ord_type                   # codes.OrdType
    uint16_t owner_type                # 1 individual, 103 institution, 104 proprietary
    int64_t order_qty_shares
    int64_t price_e4
    int64_t time_ns                    # TransactTime, UTC

cdef struct VenueCancel:               # XSHG 61; XSHE 190007
    char cl_ord_id[10]
    char orig_cl_ord_id[10]
    char account[12]
    uint32_t symbol
    uint8_t side
    uint16_t owner_type
    int64_t order_qty_shares           # of the order to cancel (XSHE)
    char venue_order_id[16]            # of the order to cancel (XSHE OrderID), spaces when not known
    int64_t time_ns

cdef struct VenueReport:
    uint8_t kind                       # VenueReportKind
    uint8_t side
    uint8_t ord_type                   # 0 where the message does not carry it
    uint8_t ord_status                 # codes.OrdStatus as the exchange states it
    uint32_t symbol
    int32_t partition                  # XSHG SetID, XSHE PartitionNo
    uint64_t report_index              # from 1 without gaps per partition; 0 for REPORT_BUSINESS_REJECT
    char cl_ord_id[10]                 # the order's (for CANCELED by request and CANCEL_REJECTED: the cancel's)
    char orig_cl_ord_id[10]            # the cancelled order's, spaces otherwise
    char venue_order_id[16]            # XSHG OrdCnfmID, XSHE OrderID: of the order (the cancelled order for a cancel)
    char exec_id[16]                   # XSHG TrdCnfmID, XSHE ExecID; spaces where there is none
    char account[12]
    int64_t order_qty_shares
    int64_t price_e4
    int64_t last_qty_shares
    int64_t last_px_e4
    int64_t leaves_qty_shares
    int64_t canceled_qty_shares        # XSHG CxlQty; XSHE: OrderQty - CumQty of a CANCELED report
    uint32_t reason                    # OrdRejReason / CxlRejReason of the exchange
    int64_t time_ns                    # TransactTime, UTC

# The engine's way to one exchange: encodes into its own outlet, sends at the end of the turn.
cdef class VenueOutlet(Outlet):
    cdef void send_new_order(self, const VenueOrder *order) noexcept
    cdef void send_cancel(self, const VenueCancel *cancel) noexcept
    cdef int64_t silent_ns(self, int64_t now_ns) noexcept      # how long the exchange has owed us a word

cdef enum ReportVerdict:               # what became of a report; zero is no answer, and cuts the link like a gap
    REPORT_FAILED = 0
    REPORT_APPLIED = 1
    REPORT_DUPLICATE = 2
    REPORT_GAP = 3                     # report_index is not the next of its partition: disconnect and resynchronise

# The engine's door for an exchange: its reports, numbered and unnumbered, and the moment its link stops carrying orders.
cdef class ReportSink:
    cdef int on_report(self, int venue, const VenueReport *report, int64_t now_ns) noexcept
    cdef void on_link_down(self, int venue) noexcept
