# The journal's frames: every change of state is one of these, and nothing else changes state. Little-endian structs, 8-byte
# aligned, so that the file is read back in place.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum EventType:
    EV_DAY = 1                         # first frame of a file: trading date and shard
    EV_RULES = 2                       # fees, boards, collars, market data age, firm limits
    EV_GROUP = 3
    EV_PROFILE = 4
    EV_RESTRICTION = 5                 # one banned instrument of a profile
    EV_ACCOUNT = 6
    EV_INSTRUMENT = 7
    EV_POSITION = 8                    # start-of-day position
    EV_PORT = 9
    EV_ORDER = 16                      # the decision on a new order, accepted or rejected
    EV_NEW = 17                        # the exchange accepted it
    EV_TRADE = 18
    EV_CANCELED = 19
    EV_EXPIRED = 20
    EV_VENUE_REJECTED = 21
    EV_CANCEL_SENT = 22
    EV_CANCEL_QUEUED = 23              # waits for a no-cancel window to end
    EV_CANCEL_REJECTED = 24
    EV_REPORT_SKIPPED = 25             # a numbered report that changes nothing here (an order we do not know)
    EV_KILL = 26
    EV_SESSION = 27                    # a port logged on, with its cancel-on-disconnect choice
    EV_TYPE_COUNT = 28

cdef struct Frame:
    uint32_t size                      # whole frame, a multiple of 8
    uint32_t crc                       # CRC-32C of the frame from `seq` on, seeded with the previous frame's: a chain
    uint64_t seq                       # from 1 without gaps
    int64_t time_ns
    uint64_t prev_offset               # the account's previous sequenced frame, 0: none
    uint32_t event_seq                 # in the account's sequence; 0: not part of it
    uint32_t account
    uint16_t type
    uint16_t spare
    uint32_t order_no

cdef struct DayEvent:
    Frame head
    uint32_t trade_date                # YYYYMMDD
    uint32_t shard
    uint64_t layout                    # refuses a file written by a build with other structs

cdef struct PositionEvent:
    Frame head
    uint32_t instrument
    uint32_t spare
    int64_t total_shares
    int64_t sellable_shares

cdef struct RestrictionEvent:
    Frame head
    uint32_t profile
    uint32_t instrument
    uint32_t side_mask                 # bit 1 << Side
    uint32_t spare

cdef struct PortEvent:
    Frame head
    uint32_t port
    uint32_t rate_in_per_s
    uint32_t cancel_rate_in_per_s
    uint32_t reject_streak_max
    uint32_t reject_latch_ms
    uint32_t spare
    uint8_t token_hash[32]

cdef struct SessionEvent:
    Frame head
    uint32_t port
    uint32_t grace_ms
    uint32_t cancel_on_disconnect
    uint32_t spare

cdef struct KillEvent:
    Frame head
    uint32_t scope                     # KillScope
    uint32_t id                        # index in that scope
    uint32_t killed
    uint32_t spare
    char by[32]

# The decision on one new order, with what it was made from.
cdef struct OrderEvent:
    Frame head
    int64_t order_qty_shares
    int64_t price_e4
    int64_t wpx_e4                     # worst-case price the hold was computed with
    int64_t hold_e4                    # cash held (buy)
    int64_t value                      # of the failed check, in the check's unit; 0 when accepted
    int64_t limit
    int64_t bid_px_e4                  # the quote the decision saw
    int64_t ask_px_e4
    int64_t last_px_e4
    int64_t planned_ns
    uint32_t instrument                # 0xFFFFFFFF: unknown symbol (R1003)
    uint32_t symbol
    uint16_t code                      # RejectCode, PASS when accepted
    uint16_t port
    uint8_t venue
    uint8_t side
    uint8_t ord_type
    uint8_t phase
    uint8_t scope                      # Scope of the limit that failed
    uint8_t cl_ord_id_size
    uint8_t spare[6]
    char cl_ord_id[64]

# Everything the exchange said of an order, and its end.
cdef struct ReportEvent:
    Frame head
    int64_t last_qty_shares
    int64_t last_px_e4
    int64_t leaves_qty_shares          # after this event, as are the next two
    int64_t cum_qty_shares
    int64_t cum_notional_e4
    uint64_t report_index              # 0: not numbered
    int32_t partition
    uint32_t reason                    # the exchange's own
    uint8_t venue
    uint8_t ord_status                 # after this event
    uint8_t spare[6]
    char venue_order_id[16]
    char exec_id[16]

# A cancel on its way, queued, or refused.
cdef struct CancelEvent:
    Frame head
    int64_t planned_ns
    uint64_t report_index
    int32_t partition
    uint32_t reason                    # the exchange's own
    uint32_t cancel_no                 # number behind its venue ClOrdID, 0 when not sent
    uint16_t code                      # RejectCode when refused
    uint16_t port
    uint8_t venue
    uint8_t ord_status
    uint8_t cl_ord_id_size
    uint8_t spare[5]
    char cl_ord_id[64]

cdef enum KillScope:
    KILL_PORT = 1
    KILL_ACCOUNT = 2
    KILL_GROUP = 3
    KILL_FIRM = 4

cdef enum Scope:
    SCOPE_ACCOUNT = 1
    SCOPE_GROUP = 2
    SCOPE_FIRM = 3
    SCOPE_PORT = 4
    SCOPE_INSTRUMENT = 5
    SCOPE_MARKET = 6
