# The exchange's end of order entry: who may trade (Member), what was reported to whom today (ReportLog), the connection
# (ExchangeSession), and the desk that joins them to a matching engine (OrderEntrySink).
from libc.stdint cimport int64_t, uint8_t, uint64_t
from ext.buffers cimport Turn
from ext.venue cimport VenueCancel, VenueOrder, VenueReport
from ext.venue_link cimport VenuePeer
from ext.wire cimport VenueWire

cdef enum:
    MAX_PARTITIONS = 64

cdef enum PlatformState:
    PLATFORM_NOT_OPEN = 0
    PLATFORM_PRE_OPEN = 1
    PLATFORM_OPEN = 2                  # the only state in which orders and cancels pass the door
    PLATFORM_BREAK = 3
    PLATFORM_CLOSED = 4

# Orders and cancels that passed the door, in the order they came; member says whose, and goes back into Desk.report.
# Subclassed by the matching engine. now_ns: when the octets were read (UTC, real clock).
cdef class OrderEntrySink:
    cdef void on_order(self, int member, const VenueOrder *order, int64_t now_ns) noexcept
    cdef void on_cancel(self, int member, const VenueCancel *cancel, int64_t now_ns) noexcept

# The day's reports of one partition of one member: encoded frames end to end, and where each begins.
cdef class ReportLog:
    cdef uint8_t *frames
    cdef size_t size
    cdef size_t capacity
    cdef uint64_t *begins              # begins[i]: offset of the report with index i + 1
    cdef size_t begins_capacity
    cdef readonly uint64_t count       # newest report_index

    cdef uint8_t *reserve(self) noexcept       # room for one more frame, or NULL without memory
    cdef void commit(self, size_t size) noexcept
    cdef const uint8_t *frame(self, uint64_t report_index, size_t *size) noexcept

# Ten-octet ids of the day, open addressing; a slot of zeros is free.
cdef class ClOrdIdSet:
    cdef char *slots
    cdef size_t mask
    cdef readonly size_t count

    cdef bint add(self, const char *cl_ord_id) noexcept     # False: it is there already, or there is no memory for it
    cdef char *slot_of(self, char *slots, size_t mask, const char *cl_ord_id) noexcept
    cdef bint grow(self) noexcept

cdef class Member:
    cdef readonly int index
    cdef readonly str pbu
    cdef readonly VenueWire wire
    cdef readonly list logs            # ReportLog of partition 1, 2, ...
    cdef ClOrdIdSet ids
    cdef public ExchangeSession session        # live, or None

cdef class Desk:
    cdef readonly int venue
    cdef readonly int partition_count
    cdef public OrderEntrySink sink
    cdef readonly list members
    cdef readonly Turn turn
    cdef public int platform_state
    cdef public uint64_t max_orders_per_s      # per session; 0: no throttle
    cdef readonly uint64_t orders
    cdef readonly uint64_t cancels
    cdef readonly uint64_t door_rejects
    cdef readonly uint64_t unsaid              # reports the wire could not carry: always 0 unless matching erred

    # Numbers the report in its partition (1 + symbol mod partition_count), stores it, and sends it at the end of the turn
    # when the member is there. Fills partition and report_index. A business reject is sent, not stored.
    cdef void report(self, int member, VenueReport *report) noexcept
    cdef void refuse(self, Member member, VenueReport *report) noexcept

cdef class ExchangeSession(VenuePeer):
    cdef readonly Desk desk
    cdef readonly Member member        # None before logon
    cdef uint64_t next_index[MAX_PARTITIONS]   # of the next report to send, by partition - 1; 0: not synchronised
    cdef int64_t throttle_second
    cdef uint64_t throttle_count
    cdef bint held                     # delayed: nothing is written for now
    cdef int repeats                   # faults on demand: reports to send twice
    cdef int skips                     # and to leave out
    cdef public double heart_bt_int_s
    cdef public str comp_id

    cdef void unbind(self) noexcept
    cdef void refuse_at_door(self, const char *cl_ord_id, const char *orig_cl_ord_id, unsigned int symbol, int reason,
                             int64_t now_ns) noexcept
    cdef int check_door(self, const uint8_t *frame, ssize_t taken, int64_t now_ns) noexcept
    cdef bint send_next(self, ReportLog log, int partition) noexcept
