# What only some orders count in: a strategy, a trading unit, a parent order, borrowed shares, account x instrument sums.
from libc.stdint cimport int64_t, uint32_t
from ext.events cimport OrderEvent, ReleaseEvent, StrategyEvent
from ext.state cimport Order, State, Usage

cdef void tie_order(State state, uint32_t order_no, const OrderEvent *event) noexcept
cdef void retie_order(State state, uint32_t order_no, const ReleaseEvent *event) noexcept
cdef void place_tied(State state, uint32_t order_no, int64_t time_ns) noexcept
cdef void move_tied(State state, Order *order, int64_t open_e4, int64_t filled_e4) noexcept
cdef void fill_tied(State state, Order *order, int64_t last_qty_shares, int64_t cash_e4) noexcept
cdef void release_tied(State state, Order *order) noexcept
cdef void count_decision(State state, const OrderEvent *event) noexcept
cdef void count_trade(State state, const Order *order, int64_t time_ns) noexcept

cdef inline void move_usage(Usage *usage, int side, int64_t open_e4, int64_t filled_e4) noexcept:
    if side == 1:
        usage.open_buy_e4 += open_e4
        usage.filled_buy_e4 += filled_e4
    else:
        usage.open_sell_e4 += open_e4
        usage.filled_sell_e4 += filled_e4

cdef inline int64_t raet_step_ns(const StrategyEvent *limits) noexcept:
    """One step of the window in which a strategy's trades are counted (R1206)."""
    return limits.raet_window_ns // 16
