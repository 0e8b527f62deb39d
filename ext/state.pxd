# Everything the gateway knows, as flat tables of structs: the fold of the journal. Only apply.pyx writes here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.codes cimport BOARD_COUNT, ORD_TYPE_COUNT, PHASE_COUNT, VENUE_COUNT
from ext.events cimport Frame
from ext.rule_state cimport RuleState
from ext.tables cimport Map, mix

cdef enum:
    NONE = 0xFFFFFFFF                  # no index
    VENUES = VENUE_COUNT - 1           # exchanges; tables of them are indexed by venue - 1
    MOST_RESTRICTIONS = 1 << 16
    STEPS = 17                         # of a one-second window: the current 1/16 s and the 16 before it
    STEP_NS = 62500000
    MOST_PORTS = 1024
    MOST_GROUPS = 1 << 16
    MOST_PROFILES = 1 << 12
    MOST_INSTRUMENTS = 1 << 15
    SYMBOLS = 1000000
    RULE_ID_SIZE = 24
    MOST_TICKETS = 1 << 16

cdef enum AccountState:
    ACCOUNT_NORMAL = 1
    ACCOUNT_SELL_ONLY = 2
    ACCOUNT_CANCEL_ONLY = 3
    ACCOUNT_FROZEN = 4

cdef enum InstrumentStatus:
    INSTRUMENT_NORMAL = 1
    INSTRUMENT_SUSPENDED = 2
    INSTRUMENT_NOT_LISTED = 3
    INSTRUMENT_DELISTED = 4

cdef struct Window:                    # events in the last second, in steps of 1/16 s
    int64_t step                       # the newest step counted
    uint32_t total                     # over all steps
    uint16_t counts[STEPS]

cdef struct Usage:                     # notional in 1e-4 yuan
    int64_t open_buy_e4
    int64_t open_sell_e4
    int64_t filled_buy_e4
    int64_t filled_sell_e4

cdef struct ScopeLimits:
    int64_t gross_limit_e4
    int64_t long_limit_e4
    int64_t short_limit_e4

cdef struct BoardRules:
    int64_t max_limit_shares
    int64_t max_market_shares
    int64_t cage_bps
    int64_t cage_ticks
    uint32_t ord_types                 # bit 1 << OrdType
    uint32_t spare

cdef struct Collar:
    int64_t bps
    int64_t ticks

cdef struct Rules:                     # body of EV_RULES after the frame
    Frame head
    int64_t commission_rate_e7
    int64_t commission_min_e4
    int64_t pass_through_rate_e7       # transfer + handling + regulatory
    int64_t stamp_rate_e7
    int64_t max_quote_age_ns
    int64_t capital_limit_e4
    ScopeLimits firm
    BoardRules boards[BOARD_COUNT]
    Collar collars[PHASE_COUNT]
    uint32_t version
    uint32_t spare
    char rule_id[RULE_ID_SIZE]

cdef struct Profile:                   # EV_PROFILE: limits that many accounts share
    Frame head
    ScopeLimits scope
    int64_t max_qty_shares
    int64_t max_ntl_e4
    int64_t position_limit_shares
    int64_t dup_window_ns
    uint32_t dup_max
    uint32_t open_orders
    uint32_t open_orders_per_symbol
    uint32_t rate_out_per_s
    uint32_t rate_out_per_day
    uint32_t rate_symbol_per_s
    uint32_t boards                    # bit 1 << Board
    uint32_t ord_types
    uint32_t index
    uint32_t restricted                # it has banned instruments

cdef struct Group:                     # EV_GROUP: accounts under one controller
    Frame head
    ScopeLimits scope
    Usage usage
    uint32_t index
    uint32_t killed
    char id[16]
    uint64_t level_offset              # as in Account
    int64_t level_until_ns
    uint32_t throttle_per_s
    uint16_t level_mask
    uint8_t level
    uint8_t spare

cdef struct AccountEvent:              # EV_ACCOUNT: what is set from outside; cash counts only when the account is new
    Frame head
    int64_t cash_e4
    uint32_t profile
    uint32_t group                     # NONE: its own controller
    uint16_t owner_type
    uint8_t state
    uint8_t id_size
    uint16_t tags                      # bit per AccountTag
    uint8_t spare[2]
    char id[16]
    char shareholder[VENUES][12]

cdef struct Account:
    char id[16]
    uint8_t id_size
    uint8_t state
    uint8_t killed
    uint8_t leveled                    # it, or it in some instrument, has had a response level: the ladder looks closer
    uint32_t profile
    uint32_t group
    uint32_t open_orders
    int64_t cash_e4
    int64_t cash_held_e4
    Usage usage
    uint64_t last_offset               # newest sequenced frame, 0: none
    uint32_t event_seq
    uint32_t open_head                 # list of open orders, NONE: empty
    uint32_t last_order                # newest order of any status, NONE: none
    uint16_t owner_type
    uint16_t tags                      # bit per AccountTag: what rules may be scoped by
    uint32_t sent_today[VENUES]
    Window sent[VENUES]
    char shareholder[VENUES][12]
    uint64_t level_offset              # its newest EV_LEVEL, 0: none
    int64_t level_until_ns             # 0: until released
    uint32_t throttle_per_s
    uint16_t level_mask                # RestrictMask
    uint8_t level
    uint8_t spare_line                 # four cache lines, and never five

cdef struct Instrument:                # EV_INSTRUMENT: the exchange's static file
    Frame head
    int64_t prev_close_e4
    int64_t up_limit_e4                # 0: no limit that day
    int64_t down_limit_e4
    int64_t tick_e4
    int64_t buy_min_shares
    int64_t buy_step_shares
    int64_t max_limit_shares
    int64_t max_market_shares
    uint32_t symbol
    uint8_t venue
    uint8_t board
    uint8_t status
    uint8_t is_st
    uint8_t t_plus
    uint8_t spare[7]

# One account in one instrument; for a group, its own record holds the self-match part of all its accounts.
cdef struct Position:
    uint32_t owner                     # account index, or GROUP_OWNER | group index
    uint32_t instrument
    int64_t total_shares
    int64_t sellable_shares
    int64_t sell_held_shares
    int64_t bought_today_shares
    int64_t open_buy_shares
    uint32_t open_orders
    uint32_t next_of_account           # list of an account's positions
    uint32_t open_head                 # the owner's open orders in the instrument
    uint32_t dup_count                 # accepted in a row, all alike
    int64_t dup_px_e4
    int64_t dup_qty_shares
    int64_t dup_ns
    uint8_t dup_side
    uint8_t dup_type
    uint16_t spare
    uint32_t throttle_per_s
    int64_t best_buy_e4                # highest own open buy, 0: none
    int64_t best_sell_e4               # lowest own open sell, NO_SELL: none
    Window accepted
    int64_t open_sell_shares           # in a group's record: of all its accounts, as open_buy_shares there
    int64_t level_until_ns             # a level that binds this owner in this instrument
    uint16_t level_mask
    uint8_t level
    uint8_t spare_line[5]
    uint64_t level_offset              # as in Account; three cache lines

cdef enum:
    GROUP_OWNER = 0x80000000
    NO_SELL = 0x7FFFFFFFFFFFFFFF       # no own open sell

cdef enum OrderFlag:
    FLAG_CANCEL_SENT = 1
    FLAG_CANCEL_QUEUED = 2
    FLAG_ACKED = 4                     # the exchange has confirmed it: no longer in doubt
    FLAG_CONFIRMED = 8                 # was suspended, and accepted on confirmation
    FLAG_AGGRESSIVE = 16               # its limit reached the opposite best when it was accepted

cdef struct Order:
    uint64_t frame_offset              # its EV_ORDER, with cl_ord_id and all that never changes
    int64_t order_qty_shares
    int64_t price_e4
    int64_t wpx_e4
    int64_t hold_e4
    int64_t leaves_qty_shares
    int64_t cum_qty_shares
    int64_t cum_notional_e4
    int64_t accepted_ns
    uint64_t cancel_offset             # its newest EV_CANCEL_SENT or EV_CANCEL_QUEUED; refused while suspended: its EV_ORDER_RELEASED
    uint32_t account
    uint32_t instrument
    uint32_t position                  # record of account x instrument
    uint32_t match_position            # record that lists it for self-match: the same, or the group's
    uint32_t next_open                 # in the account's list
    uint32_t prev_open
    uint32_t next_match                # in the self-match list
    uint32_t prev_match
    uint32_t previous_of_account       # the account's order before this one
    uint16_t port
    uint8_t side
    uint8_t ord_type
    uint8_t ord_status
    uint8_t flags
    uint8_t venue
    uint8_t spare
    char venue_order_id[16]

cdef struct PortState:
    uint32_t rate_in_per_s
    uint32_t cancel_rate_in_per_s
    uint32_t reject_streak_max
    uint32_t killed
    int64_t reject_latch_ns
    uint8_t token_hash[32]
    uint32_t cancel_on_disconnect
    uint32_t grace_ms
    uint32_t programme                 # a programme's orders: never suspended
    # Not state but flow control: never journaled, not in the hash.
    Window orders_in
    Window cancels_in
    uint32_t reject_streak
    int64_t latched_until_ns

cdef struct Restriction:
    uint32_t profile
    uint32_t instrument
    uint32_t side_mask                 # bit 1 << Side

cdef struct Ticket:                    # a manual review
    uint64_t offset                    # its newest EV_TICKET
    uint32_t subject
    uint32_t index
    uint32_t is_open
    uint32_t spare

cdef class State:
    # tables, each indexed from 0 unless said
    cdef Rules rules
    cdef Group *groups
    cdef Profile *profiles
    cdef PortState *ports
    cdef Account *accounts
    cdef Instrument *instruments
    cdef Position *positions
    cdef Order *orders                 # from 1: order_no
    cdef uint32_t *instrument_of[VENUE_COUNT]   # by symbol: index + 1, 0: none
    cdef Map account_map               # hash of the id -> account
    cdef Map position_map              # owner x instrument -> position
    cdef Map order_map                 # hash of (account, cl_ord_id) -> order_no
    cdef Map restriction_map           # profile x instrument -> restriction
    cdef Restriction *restrictions
    cdef Ticket *tickets               # from 1
    cdef Window *accepted              # by account: its orders accepted since it has a level
    cdef Window *group_accepted        # likewise by group
    cdef Usage firm
    cdef bint firm_killed
    cdef bint group_leveled            # some group, or a group in some instrument, has had a response level
    cdef uint64_t firm_level_offset    # the firm's newest EV_LEVEL, 0: none
    cdef readonly bint carried         # what the day before left is in this journal
    cdef readonly uint32_t ticket_count, suspended_count
    cdef readonly uint32_t group_count, profile_count, port_count, account_count, instrument_count, position_count
    cdef readonly uint32_t order_count, open_count, cancel_no, trade_date, shard
    cdef readonly uint32_t most_accounts, most_positions, most_orders
    cdef uint64_t report_index[VENUE_COUNT][256]  # last applied, per partition
    cdef int phase[VENUE_COUNT]                   # as journaled: what phase windows and replays go by
    cdef uint32_t phase_number[VENUE_COUNT]       # changes so far
    cdef int64_t phase_since_ns[VENUE_COUNT]      # of these, 0 is of any exchange
    cdef readonly RuleState rule_state

    cdef uint32_t find_account(self, const uint8_t *id, size_t size) noexcept
    cdef uint32_t probable_account(self, const uint8_t *id, size_t size) noexcept
    cdef uint32_t find_instrument(self, int venue, uint32_t symbol) noexcept
    cdef Position *find_position(self, uint32_t owner, uint32_t instrument) noexcept
    cdef void fetch_position(self, uint32_t owner, uint32_t instrument) noexcept
    cdef Position *open_position(self, uint32_t owner, uint32_t instrument) noexcept
    cdef uint32_t restriction(self, uint32_t profile, uint32_t instrument) noexcept
    cdef void restrict(self, uint32_t profile, uint32_t instrument, uint32_t side_mask) noexcept
    cdef hash_rows(self, object digest, char *rows, size_t size)

cdef inline uint64_t position_key(uint32_t owner, uint32_t instrument) noexcept nogil:
    return mix(owner, instrument)

# Window: count first, then ask; both advance it to now's step.
cdef inline void window_advance(Window *window, int64_t now_ns) noexcept nogil:
    cdef int64_t step = now_ns // STEP_NS
    cdef int64_t passed = step - window.step
    cdef int64_t at
    if passed <= 0:
        return
    if passed >= STEPS:
        for at in range(STEPS):
            window.counts[at] = 0
        window.total = 0
    else:
        for at in range(window.step + 1, step + 1):
            window.total -= window.counts[at % STEPS]
            window.counts[at % STEPS] = 0
    window.step = step

cdef inline uint32_t window_count(const Window *window, int64_t now_ns) noexcept nogil:
    """Events still in the window at now, without moving it: checks are pure."""
    cdef int64_t step = now_ns // STEP_NS
    cdef int64_t passed = step - window.step
    cdef int64_t at
    cdef uint32_t total = window.total
    if passed <= 0:
        return total
    if passed >= STEPS or total == 0:
        return 0
    for at in range(window.step + 1, step + 1):
        total -= window.counts[at % STEPS]
    return total

cdef inline void window_add(Window *window, int64_t now_ns) noexcept nogil:
    window_advance(window, now_ns)
    window.counts[window.step % STEPS] += 1
    window.total += 1
