# Everything the gateway knows, as flat tables of structs: the fold of the journal. Only apply.pyx writes here.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from ext.codes cimport BOARD_COUNT, ORD_TYPE_COUNT, PHASE_COUNT, VENUE_COUNT
from ext.events cimport QUOTA_KINDS, Frame, StrategyEvent, UnitEvent
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
    MOST_STRATEGIES = 1 << 12
    MOST_UNITS = 1 << 12
    MOST_PARENTS = 1 << 16
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
    INSTRUMENT_INDEX = 5               # quoted, never traded

cdef struct Window:                    # events in the last second, in steps of 1/16 s
    int64_t step                       # the newest step counted
    uint32_t total                     # over all steps
    uint16_t counts[STEPS]

cdef struct Usage:                     # notional in 1e-4 yuan
    int64_t open_buy_e4
    int64_t open_sell_e4
    int64_t filled_buy_e4
    int64_t filled_sell_e4

cdef struct SumWindow:                 # signed amounts of the last 16 steps and the current one, as long as its owner says
    int64_t step_ns                    # 0: never added to
    int64_t step                       # the newest step added to
    int64_t total
    int64_t sums[STEPS]

cdef struct ScopeLimits:
    int64_t gross_limit_e4
    int64_t long_limit_e4
    int64_t short_limit_e4

cdef struct DayLimits:                 # of a day's business; 0: not checked
    int64_t ordered_limit_e4           # value of every accepted order (R1307)
    int64_t traded_limit_e4            # value of every trade
    int64_t loss_limit_e4              # realised and marked loss (R1308)
    int64_t loss_action                # ACCOUNT_SELL_ONLY or ACCOUNT_CANCEL_ONLY beyond it

cdef struct Bounds:                    # what the ladder holds a group or the firm to, in the order of QuotaKind: its limits, or
    ScopeLimits scope                  # this shard's shares of them where they are divided; never above the limits
    int64_t capital_limit_e4
    int64_t ordered_limit_e4           # of these two, 0: not checked
    int64_t traded_limit_e4

cdef enum Optional:                    # which of the ladder's optional rows an order may meet; 0: none of them runs
    OPTIONAL_CHECK = 1                 # some optional limit is set
    OPTIONAL_HOLDING = 2               # ... that needs the open and filled notional of account x instrument
    OPTIONAL_ORDERED = 4               # ... that needs the value of the account's accepted orders

cdef struct OptionalLimits:            # of a profile; 0: not checked
    DayLimits day
    ScopeLimits instrument             # of account x instrument; gross is not used (R1304)
    int64_t price_window_ntl_e4        # net notional of orders priced beyond the share, in the window (R1109)
    int64_t price_window_ns
    int64_t soft_ntl_e4                # wait for a confirmation (R1502)
    int64_t soft_qty_shares
    int64_t basket_ntl_e4              # R1312
    uint32_t basket_lines
    uint32_t basket_gross_bps          # of the account's gross limit
    uint32_t price_window_bps
    uint32_t adv_bps                   # R1104
    uint32_t float_bps
    uint32_t position_float_bps        # R1305
    uint32_t concentration_bps         # R1306
    uint32_t confirm_ttl_ms

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
    DayLimits firm_day
    uint32_t version
    uint32_t optional                  # Optional
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
    OptionalLimits extra
    uint32_t optional                  # Optional
    uint32_t spare

cdef struct Group:                     # EV_GROUP: accounts under one controller
    Frame head
    ScopeLimits scope
    Usage usage
    DayLimits day
    int64_t ordered_e4                 # value of every order accepted today
    uint32_t optional                  # Optional
    uint32_t spare_word
    uint32_t index
    uint32_t killed
    char id[16]
    uint64_t level_offset              # as in Account
    int64_t level_until_ns
    uint32_t throttle_per_s
    uint16_t level_mask
    uint8_t level
    uint8_t spare
    Bounds bounds                      # what the ladder reads: bind_group keeps it
    int64_t leased_e4[QUOTA_KINDS]

cdef struct AccountEvent:              # EV_ACCOUNT: what is set from outside; cash counts only when the account is new
    Frame head
    int64_t cash_e4
    uint32_t profile
    uint32_t group                     # NONE: its own controller
    uint16_t owner_type
    uint8_t state
    uint8_t id_size
    uint8_t traits                     # AccountTrait
    uint8_t spare
    uint16_t unit                      # trading unit's index + 1, 0: none
    uint16_t tags                      # bit per AccountTag
    uint8_t spare_end[6]
    char id[16]
    char shareholder[VENUES][12]

cdef enum AccountTrait:                # suitability (R1007); 0: risk level C5
    TRAIT_BELOW_C5 = 7                 # how far its level is below C5, 0 to 4
    TRAIT_C1_LOWEST = 8
    TRAIT_PROFESSIONAL = 16

cdef struct Account:
    char id[16]
    uint8_t id_size
    uint8_t state
    uint8_t killed
    uint8_t traits                     # AccountTrait
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
    uint16_t unit                      # trading unit's index + 1, 0: none
    uint32_t sent_today[VENUES]
    Window sent[VENUES]
    char shareholder[VENUES][12]
    uint64_t level_offset              # its newest EV_LEVEL, 0: none
    int64_t level_until_ns             # 0: until released
    uint16_t throttle_per_s
    uint16_t tags                      # bit per AccountTag: what rules may be scoped by
    uint16_t level_mask                # RestrictMask
    uint8_t level
    uint8_t leveled                    # it, or it in some instrument, has had a response level; four cache lines, never five

cdef struct AccountDay:                # what an account has beside its row: read by optional limits only
    int64_t opening_e4                 # cash and positions at the previous close
    int64_t ordered_e4                 # value of its orders accepted while OPTIONAL_ORDERED was set
    uint32_t first_position            # newest of its list of positions: index + 1, 0: none
    uint32_t left                      # the shard it lives at now + 1; 0: it did not leave

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
    int64_t adv20_shares               # average day's volume of the last 20; 0: not known, as is float_shares
    int64_t float_shares
    uint32_t symbol
    uint8_t venue
    uint8_t board
    uint8_t status
    uint8_t is_st
    uint8_t t_plus
    uint8_t risk_level                 # 1 to 5
    uint8_t shortable
    uint8_t spare[5]

# One account in one instrument; for a group, its own record holds the self-match part of all its accounts.
cdef struct Position:
    uint32_t owner                     # account index, GROUP_OWNER | group index, or STRATEGY_OWNER | strategy index
    uint32_t instrument
    int64_t total_shares
    int64_t sellable_shares
    int64_t sell_held_shares
    int64_t bought_today_shares
    int64_t open_buy_shares
    uint32_t open_orders
    uint32_t next_of_owner             # list of an account's or strategy's positions: index + 1, 0: the end
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
    STRATEGY_OWNER = 0x40000000        # total_shares: bought less sold today
    NO_SELL = 0x7FFFFFFFFFFFFFFF       # no own open sell

cdef enum OrderFlag:
    FLAG_CANCEL_SENT = 1
    FLAG_CANCEL_QUEUED = 2
    FLAG_ACKED = 4                     # the exchange has confirmed it: no longer in doubt
    FLAG_CONFIRMED = 8                 # was suspended, and accepted on confirmation
    FLAG_AGGRESSIVE = 16               # its limit reached the opposite best when it was accepted
    FLAG_SHORT = 64                    # sells borrowed shares
    FLAG_TIED = 128                    # has a row in State.ties

cdef struct Holding:                   # what a position has beside its row: used by optional limits and short sales only
    Usage usage                        # of orders accepted while OPTIONAL_HOLDING was set
    int64_t located_shares
    int64_t short_open_shares
    int64_t short_filled_shares
    SumWindow beyond                   # signed notional of orders with ORDER_BEYOND

cdef enum TieFlag:
    TIE_HOLDING = 1                    # counts in its position's Holding.usage
    TIE_BEYOND = 2                     # counts in its position's Holding.beyond

cdef struct Tie:                       # what an order counts in beyond account, group, firm and position
    uint64_t parent                    # hash of the parent's id, 0: none
    int64_t parent_qty_shares
    uint32_t strategy                  # NONE: none
    uint16_t unit                      # trading unit's index + 1, 0: none
    uint16_t flags                     # TieFlag

cdef struct Strategy:
    StrategyEvent limits
    Usage usage
    int64_t flow_e4                    # paid out for sells less paid in for buys, fees taken
    SumWindow trades                   # since it was last switched on
    uint32_t reject_streak
    uint32_t off                       # the code that switched it off, 0: it is on
    uint32_t first_position            # as in AccountDay
    uint32_t spare

cdef struct TradingUnit:
    UnitEvent limits
    Usage usage

cdef struct Parent:
    uint64_t id                        # hash of its id
    int64_t qty_shares                 # the least any accepted child named
    int64_t used_shares                # of its children, open and filled
    uint32_t account
    uint32_t spare
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

cdef enum:
    MOST_SHORTAGES = 64

cdef struct Shortage:                  # an order that R1612 refused
    uint32_t scope                     # SCOPE_GROUP or SCOPE_FIRM
    uint32_t index
    uint32_t kind                      # QuotaKind
    uint32_t spare
    int64_t value                      # what the share would have had to be

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
    cdef Bounds firm_bounds            # what the ladder reads: bind_firm keeps it
    cdef int64_t firm_leased_e4[QUOTA_KINDS]
    cdef readonly bint divided         # limits of groups and firm are divided over shards: leased_e4 counts
    # Not state but flow control, like a port's windows: the newest shortages, of shortage_count so far.
    cdef Shortage shortages[MOST_SHORTAGES]
    cdef uint64_t shortage_count
    cdef bint firm_killed
    cdef bint group_leveled            # some group, or a group in some instrument, has had a response level
    cdef uint64_t firm_level_offset    # the firm's newest EV_LEVEL, 0: none
    cdef readonly bint carried         # what the day before left is in this journal
    cdef readonly uint32_t epoch       # of the shard's newest owner, 0: none was ever named
    cdef readonly uint32_t ticket_count, suspended_count
    # beside the tables: real memory only where an optional limit uses it
    cdef AccountDay *account_days      # by account
    cdef Holding *holdings             # by position
    cdef Tie *ties                     # by order_no
    cdef Strategy *strategies
    cdef TradingUnit *units
    cdef Parent *parents
    cdef Map parent_map                # hash of (account, parent's id) -> parent
    cdef int64_t *firm_shares          # by instrument: of all accounts, shorts taken off
    cdef int64_t firm_cash_e4, firm_opening_e4, firm_ordered_e4
    cdef readonly uint32_t strategy_count, unit_count
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
    cdef uint32_t find_strategy(self, const uint8_t *id, size_t size) noexcept
    cdef Parent *find_parent(self, uint32_t account, uint64_t id) noexcept
    cdef Parent *open_parent(self, uint32_t account, uint64_t id) noexcept
    cdef uint32_t *list_of(self, uint32_t owner) noexcept
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

# SumWindow: a window of another length than asked for counts as empty, and starts anew when it is added to.
cdef inline int64_t sum_of(const SumWindow *window, int64_t step_ns, int64_t now_ns) noexcept nogil:
    """Sum over the window at now, without moving it."""
    cdef int64_t total = window.total
    cdef int64_t passed, at
    if step_ns != window.step_ns or step_ns == 0:
        return 0
    passed = now_ns // step_ns - window.step
    if passed >= STEPS:
        return 0
    for at in range(window.step + 1, window.step + 1 + max(passed, 0)):
        total -= window.sums[at % STEPS]
    return total

cdef inline void sum_add(SumWindow *window, int64_t step_ns, int64_t now_ns, int64_t amount) noexcept nogil:
    cdef int64_t step = now_ns // step_ns
    cdef int64_t at
    if step_ns != window.step_ns or step - window.step >= STEPS:
        memset(window, 0, sizeof(SumWindow))
        window.step_ns = step_ns
        window.step = step
    for at in range(window.step + 1, step + 1):
        window.total -= window.sums[at % STEPS]
        window.sums[at % STEPS] = 0
    window.step = max(window.step, step)
    window.sums[window.step % STEPS] += amount
    window.total += amount
