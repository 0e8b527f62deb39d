# Money, shares and exposure: hold on the way out, fill or release on the way back (rule catalogue, section 1.1).
from libc.stdint cimport int64_t
from ext.codes cimport SELL
from ext.state cimport Order, Rules, State, Usage

cdef enum:
    RATE_ONE = 10000000                # rates are in 1e-7

cdef inline int64_t rate_ceil(int64_t amount_e4, int64_t rate_e7) noexcept nogil:
    return (amount_e4 // RATE_ONE) * rate_e7 + ((amount_e4 % RATE_ONE) * rate_e7 + RATE_ONE - 1) // RATE_ONE

cdef inline int64_t fee(const Rules *rules, int side, int64_t notional_e4) noexcept nogil:
    """Commission and charges of one order that has traded (or may trade) this much."""
    cdef int64_t commission, charges
    if notional_e4 == 0:
        return 0
    commission = rate_ceil(notional_e4, rules.commission_rate_e7)
    if commission < rules.commission_min_e4:
        commission = rules.commission_min_e4
    charges = rules.pass_through_rate_e7 + (rules.stamp_rate_e7 if side == SELL else 0)
    return commission + rate_ceil(notional_e4, charges)

cdef void hold(State state, Order *order) noexcept
cdef void fill(State state, Order *order, int64_t last_qty_shares, int64_t last_px_e4) noexcept
cdef void release(State state, Order *order) noexcept
