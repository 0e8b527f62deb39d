# The ladder (docs/ladder.md), from row 7 on: pure checks over state, first failing code wins. Rows 34 on: optional.pxd.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from ext.codes cimport BUY, PASS, PHASE_CONTINUOUS, R1303_GROSS, R1304_NET
from ext.market cimport Market, TopOfBook
from ext.state cimport Account, Instrument, PortState, Position, Profile, ScopeLimits, State, Usage

# One order on its way down, with what the checks look up once and what they find.
cdef struct Candidate:
    const Account *account
    const Profile *profile
    const PortState *port
    const Instrument *instrument       # NULL: unknown
    const TopOfBook *top               # NULL with it
    const Position *position           # of the account, NULL: none yet
    const Position *match_owner        # whose open orders it could meet, NULL: none
    uint32_t account_index
    uint32_t instrument_index
    int venue
    int side
    int ord_type
    int phase
    int64_t order_qty_shares
    int64_t price_e4
    int64_t now_ns
    # what few orders have
    uint32_t optional                  # Optional: which optional rows it may meet, 0: none
    uint32_t strategy                  # index, NONE: none
    uint64_t parent                    # hash of the parent's id, 0: none
    int64_t parent_qty_shares
    bint short_sale
    bint confirmed                     # no check asks for a confirmation any more
    # found on the way
    int64_t wpx_e4
    int64_t notional_e4
    int64_t hold_e4
    int64_t value                      # of the check that failed
    int64_t limit
    int scope
    uint32_t rule                      # of the rule set in force, that stops it, from 1; 0: none
    bint is_aggressive
    bint beyond                        # priced beyond the profile's share of the reference (R1109)
    int wait_code                      # why it must be confirmed first, 0: it need not
    int64_t wait_value
    int64_t wait_limit
    int quota_kind                     # of R1612: which share was too small
    uint32_t wait_ttl_ms               # how long it may wait, 0: CONFIRM_TTL_MS

cdef enum:
    CONFIRM_TTL_MS = 30000

cdef int check_new_order(State state, Market market, Candidate *order) noexcept
cdef void set_worst_case(State state, Candidate *order) noexcept

cdef inline int fail(Candidate *order, int code, int64_t value, int64_t limit, int scope) noexcept:
    order.value = value
    order.limit = limit
    order.scope = scope
    return code

cdef inline int64_t share_of(int64_t whole, int64_t bps) noexcept:
    """whole * bps / 10000 rounded down, without leaving int64 on the way: a number is above it when it is above the fraction."""
    return whole // 10000 * bps + whole % 10000 * bps // 10000

cdef inline int64_t first_of(int64_t a, int64_t b, int64_t c, int64_t d) noexcept:
    return a if a else b if b else c if c else d

cdef inline int64_t reference_e4(const Candidate *order) noexcept:
    """What a limit's distance is measured from (R1108, R1109): the opposite best, the last price, the previous close."""
    cdef int64_t best_e4 = 0
    if order.phase == PHASE_CONTINUOUS:
        best_e4 = order.top.ask_px_e4 if order.side == BUY else order.top.bid_px_e4
    return first_of(best_e4, order.top.last_px_e4, order.instrument.prev_close_e4, 0)

cdef inline int64_t gross_e4(const Usage *usage) noexcept:
    return usage.open_buy_e4 + usage.open_sell_e4 + usage.filled_buy_e4 + usage.filled_sell_e4

cdef inline int check_gross(const Usage *usage, int64_t gross_limit_e4, Candidate *order, int scope) noexcept:
    cdef int64_t used_e4 = gross_e4(usage) + order.notional_e4
    return PASS if used_e4 <= gross_limit_e4 else fail(order, R1303_GROSS, used_e4, gross_limit_e4, scope)

cdef inline int check_net(const Usage *usage, const ScopeLimits *limits, Candidate *order, int scope) noexcept:
    """R1304: the side's open orders plus net fills, never less than its open orders (catalogue 1.1, usage formulas)."""
    cdef int64_t net_filled_e4 = usage.filled_buy_e4 - usage.filled_sell_e4
    cdef int64_t used_e4, limit_e4
    if order.side == BUY:
        used_e4 = usage.open_buy_e4 + max(net_filled_e4, 0) + order.notional_e4
        limit_e4 = limits.long_limit_e4
    else:
        used_e4 = usage.open_sell_e4 + max(-net_filled_e4, 0) + order.notional_e4
        limit_e4 = limits.short_limit_e4
    return PASS if used_e4 <= limit_e4 else fail(order, R1304_NET, used_e4, limit_e4, scope)
