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
    EV_STRATEGY = 10                   # a registered strategy (algorithm) and its limits
    EV_LOCATE = 11                     # shares an account has borrowed to sell short
    EV_UNIT = 12                       # a trading unit's day quota (front-end capital control)
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
    EV_REARM = 28                      # a person switched a strategy on again (R1206)
    EV_BASKET = 29                     # the decision on a whole basket (R1312)
    EV_ORDER_RELEASED = 32             # a suspended order's end: accepted on confirmation, or rejected
    EV_LEVEL = 33                      # a subject's response level was raised, lowered or released
    EV_TICKET = 34                     # a manual review was opened or closed
    EV_QUOTE = 40                      # the market's state of one instrument, as the rules see it
    EV_RULE_SET = 41                   # a compiled rule set came into force
    EV_MARK = 42                       # a rule's mark was set
    EV_HIT = 43                        # a rule's condition was met, with its factors
    EV_ADMIN = 44                      # a step of an officer: pushed, approved, rolled back, confirmed; who and why
    EV_PHASE = 45                      # an exchange's phase changed: what phase windows begin at
    EV_OWNER = 46                      # a process began to own the shard: all that follows is its word
    EV_QUOTA = 47                      # this shard's shares of the limits of a group or of the firm
    EV_ACCOUNT_LEFT = 48               # an account lives at another shard from now on
    EV_ACCOUNT_CAME = 49               # an account lives here from now on, with its day so far
    EV_TYPE_COUNT = 56

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

cdef struct OwnerEvent:
    Frame head
    uint32_t epoch                     # grows with every owner; fences all before it
    uint32_t spare
    char node[32]

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
    uint32_t programme                 # a programme's orders: never suspended
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
    char approved_by[32]               # of an unkill: the second person

# A registered strategy and its limits; 0: not checked.
cdef struct StrategyEvent:
    Frame head
    int64_t gross_limit_e4
    int64_t loss_limit_e4
    int64_t raet_window_ns
    uint32_t index
    uint32_t raet_max                  # trades in the window that switch it off (R1206)
    uint32_t reject_streak_max         # rejects in a row that switch it off (R1207)
    uint16_t loss_action               # AccountState it trades in beyond its loss limit
    uint8_t id_size
    uint8_t spare
    char id[16]

cdef struct UnitEvent:
    Frame head
    int64_t net_buy_quota_e4
    uint32_t index
    uint32_t id_size
    char id[16]

cdef struct LeftEvent:                 # of the frame's account
    Frame head
    uint32_t target                    # shard
    uint32_t spare
    char by[32]

# Behind it, in the same frame, the account's own frames from the shard that it left, oldest first, each as a frame of this
# journal would be: its orders numbered on from ours, its events linked as ours. So either all of it came, or nothing.
cdef struct CameEvent:
    Frame head
    uint32_t source                    # shard
    uint32_t orders                    # among the frames
    uint32_t frames
    uint32_t spare
    char by[32]

cdef struct LocateEvent:               # of the frame's account
    Frame head
    int64_t shares
    uint32_t instrument
    uint32_t spare

cdef struct RearmEvent:
    Frame head
    uint32_t strategy
    uint32_t off                       # 0: on again; else the code that it stays off with, from the day before
    char by[32]

# The decision on a whole basket; its lines follow as orders of their own.
cdef struct BasketEvent:
    Frame head
    int64_t notional_e4
    int64_t value                      # of the failed cap; 0 when it passed
    int64_t limit
    uint32_t lines
    uint16_t port
    uint16_t code
    uint8_t basket_id_size
    uint8_t spare[7]
    char basket_id[64]

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
    int64_t parent_qty_shares          # of the parent order this is a child of (R1311)
    uint64_t parent                    # hash of the parent's id, 0: no parent
    uint32_t strategy                  # index, 0xFFFFFFFF: none
    uint32_t rule                      # number of the rule that decided, from 1, in rule_set; 0: the ladder itself
    uint32_t rule_set                  # number of the rule set in force
    uint32_t ttl_ms                    # a suspended order's time to be confirmed in
    uint16_t code                      # RejectCode, PASS when accepted; of a suspended order why it waits
    uint16_t port
    uint16_t flags                     # OrderEventFlag
    uint8_t venue
    uint8_t side
    uint8_t ord_type
    uint8_t phase
    uint8_t scope                      # Scope of the limit that failed
    uint8_t cl_ord_id_size
    uint8_t spare[4]
    char cl_ord_id[64]

cdef enum OrderEventFlag:
    ORDER_SUSPENDED = 1                # waits for a confirmation; holds nothing yet
    ORDER_SHORT = 2
    ORDER_AGGRESSIVE = 4               # its limit reached the opposite best when it was accepted
    ORDER_PROGRAMME = 8                # came through a programme-trading port
    ORDER_BEYOND = 16                  # priced beyond its profile's share of the reference: R1109 counts it

# A suspended order's end: confirmed and judged again, or refused, expired or denied.
cdef struct ReleaseEvent:
    Frame head
    int64_t wpx_e4
    int64_t hold_e4
    int64_t value
    int64_t limit
    int64_t bid_px_e4
    int64_t ask_px_e4
    int64_t last_px_e4
    uint32_t rule
    uint32_t rule_set
    uint16_t code                      # PASS: accepted now; R1502 or R1007: expired or denied; else what failed meanwhile
    uint16_t flags
    uint8_t scope
    uint8_t phase
    uint8_t spare[2]
    char by[32]                        # who confirmed or denied; empty: its time ran out

cdef enum Level:                       # the response ladder (catalogue, section 4.1)
    LEVEL_OBSERVE = 0
    LEVEL_WARN = 1
    LEVEL_CONFIRM = 2
    LEVEL_THROTTLE = 3
    LEVEL_RESTRICT = 4
    LEVEL_CANCEL_ONLY = 5
    LEVEL_FREEZE = 6
    LEVEL_FIRM_KILL = 7

cdef enum RestrictMask:                # what LEVEL_RESTRICT forbids
    NO_BUY = 1
    NO_SELL = 2
    NO_MARKET = 4                      # market order types
    NO_AUCTION = 8                     # orders in call auctions
    NO_PROGRAMME = 16                  # orders of programme-trading ports
    NO_MAIN = 256
    NO_STAR = 512
    NO_CHINEXT = 1024

cdef enum Subject:                     # whom a level binds; NONE-like indexes are not allowed
    SUBJECT_ACCOUNT = 1
    SUBJECT_GROUP = 2
    SUBJECT_FIRM = 3
    SUBJECT_POSITION = 4               # one account, or one group, in one instrument: index of its position record

cdef struct LevelEvent:
    Frame head
    int64_t until_ns                   # 0: until a person releases it
    uint64_t hit_offset                # the EV_HIT that caused it, 0: a person did
    uint32_t subject                   # Subject
    uint32_t index
    uint32_t instrument                # of a SUBJECT_POSITION, else 0xFFFFFFFF
    uint32_t rule                      # in rule_set, 0: a person
    uint32_t rule_set
    uint32_t throttle_per_s            # LEVEL_THROTTLE: new orders a second
    uint32_t ticket                    # the manual review that goes with it, 0: none
    uint16_t mask                      # RestrictMask
    uint8_t level
    uint8_t previous
    char by[32]                        # empty: the rule itself, or time
    char approved_by[32]
    char reason[96]

cdef struct TicketEvent:
    Frame head
    uint32_t ticket                    # from 1
    uint32_t subject
    uint32_t index
    uint32_t is_open
    char by[32]
    char reason[96]

# One instrument's market as recorded: what the rules' market features are computed from.
cdef struct QuoteEvent:
    Frame head
    int64_t last_px_e4
    int64_t total_volume_shares
    int64_t total_turnover_e4
    uint32_t instrument
    uint32_t phase
    uint32_t bid_px_e4[5]
    uint32_t ask_px_e4[5]
    int64_t bid_qty_shares[5]
    int64_t ask_qty_shares[5]

cdef struct PhaseEvent:
    Frame head
    uint32_t venue
    uint32_t phase

# A compiled rule set; its octets (ext/program.pxd) follow the struct.
cdef struct RuleSetEvent:
    Frame head
    uint32_t number                    # from 1
    uint32_t program_size              # octets that follow, without the padding
    uint8_t sha256[32]                 # of the sources
    char id[48]
    char by[32]
    char approved_by[32]
    char reason[96]

cdef struct MarkEvent:
    Frame head
    uint32_t rule_set
    uint32_t mark                      # index in the rule set's marks
    uint32_t row                       # of the mark's key (ext/program.pxd, Key)
    uint32_t instrument
    uint8_t side
    uint8_t ends                       # a `for` condition stopped holding
    uint8_t spare[6]

cdef enum:
    MOST_FACTORS = 6

cdef struct Factor:                    # one comparison of the condition
    int64_t value
    int64_t limit
    uint32_t factor                    # Op.factor: which comparison, for its name
    uint32_t unit

cdef struct HitEvent:
    Frame head
    uint64_t alert_seq                 # of the shard's alerts, from 1 without gaps
    int64_t caused_ns                  # when the event that caused it came in
    uint32_t rule_set
    uint32_t rule
    uint32_t row                       # of the rule's key
    uint32_t instrument                # 0xFFFFFFFF: none
    uint8_t stage                      # 1 warn, 2 breach
    uint8_t level                      # asked for by the rule at this stage
    uint8_t enforced                   # 0: shadow, canary's other part or exempt: recorded only
    uint8_t side
    uint8_t factor_count
    uint8_t blocked                    # the order of this frame was refused or suspended for it
    uint8_t event                      # RuleEvent that was judged
    uint8_t spare
    Factor factors[MOST_FACTORS]
    int64_t bid_px_e4
    int64_t ask_px_e4
    int64_t last_px_e4

cdef struct AdminEvent:
    Frame head
    uint32_t step                      # AdminStep
    uint32_t number                    # what it is about: rule set, ticket, order
    uint8_t sha256[32]
    char by[32]
    char approved_by[32]
    char reason[96]

cdef enum QuotaKind:                   # limits of a group or of the firm that are divided over shards
    QUOTA_GROSS = 0
    QUOTA_LONG = 1
    QUOTA_SHORT = 2
    QUOTA_CAPITAL = 3                  # of the firm alone
    QUOTA_ORDERED = 4
    QUOTA_TRADED = 5

cdef enum:
    QUOTA_KINDS = 6

cdef struct QuotaEvent:                # the first one of a journal divides every limit: what was not leased by then is 0
    Frame head
    int64_t leased_e4[QUOTA_KINDS]     # in force from here on, by QuotaKind
    uint64_t epoch                     # of the owner that leased it
    uint32_t scope                     # SCOPE_GROUP or SCOPE_FIRM
    uint32_t index                     # of the group

cdef enum AdminStep:
    STEP_PUSHED = 1
    STEP_APPROVED = 2
    STEP_REFUSED = 3
    STEP_IN_FORCE = 4
    STEP_ROLLED_BACK = 5
    STEP_EXPIRED = 6
    STEP_KILLED = 7
    STEP_UNKILLED = 8
    STEP_LEVEL_SET = 9
    STEP_LEVEL_RELEASED = 10
    STEP_TICKET_CLOSED = 11
    STEP_LIMITS = 12
    STEP_CARRIED = 13                  # what the day before left (kills, levels, tickets) is in force

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
    SCOPE_STRATEGY = 7
    SCOPE_UNIT = 8                     # a trading unit
    SCOPE_PARENT = 9                   # the parent order of a child
