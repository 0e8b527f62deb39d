"""Sums that only some orders count in, kept true by apply and the ledger. Checks nothing and decides nothing.

An order's row in State.ties says what it counts in, from its acceptance to its end, whatever the limits say meanwhile.
"""

from libc.string cimport memset

from ext.codes cimport BUY, PASS, R1206_RAET, R1207_REJ_BREAK
from ext.events cimport ORDER_BEYOND, ORDER_SHORT, ORDER_SUSPENDED
from ext.state cimport (
    FLAG_SHORT, FLAG_TIED, NONE, OPTIONAL_HOLDING, OPTIONAL_ORDERED, STEPS, STRATEGY_OWNER, TIE_BEYOND, TIE_HOLDING, Account,
    Holding, Parent, Position, Profile, Strategy, Tie, sum_add, sum_of,
)


cdef inline Tie *tie_of(State state, const Order *order) noexcept:
    return &state.ties[order - state.orders]


cdef Tie *begin_tie(State state, Order *order) noexcept:
    cdef Tie *tie = tie_of(state, order)
    if not order.flags & FLAG_TIED:
        memset(tie, 0, sizeof(Tie))
        tie.strategy = NONE
        order.flags |= FLAG_TIED
    return tie


cdef void tie_order(State state, uint32_t order_no, const OrderEvent *event) noexcept:
    """What the order itself names."""
    cdef Order *order = &state.orders[order_no]
    cdef Tie *tie
    if event.strategy == NONE and event.parent == 0 and not event.flags & (ORDER_SHORT | ORDER_BEYOND):
        return
    tie = begin_tie(state, order)
    tie.strategy = event.strategy
    tie.parent = event.parent
    tie.parent_qty_shares = event.parent_qty_shares
    if event.flags & ORDER_SHORT:
        order.flags |= FLAG_SHORT
    if event.flags & ORDER_BEYOND:
        tie.flags |= TIE_BEYOND


cdef void retie_order(State state, uint32_t order_no, const ReleaseEvent *event) noexcept:
    """A suspended order was judged again, against another reference price."""
    cdef Order *order = &state.orders[order_no]
    cdef Tie *tie
    if event.flags & ORDER_BEYOND == 0 and order.flags & FLAG_TIED == 0:
        return
    tie = begin_tie(state, order)
    tie.flags &= ~TIE_BEYOND
    if event.flags & ORDER_BEYOND:
        tie.flags |= TIE_BEYOND


cdef void place_tied(State state, uint32_t order_no, int64_t time_ns) noexcept:
    """An accepted order, before its hold: what its account adds to the tie, and every count that is not of notional."""
    cdef Order *order = &state.orders[order_no]
    cdef const Account *account = &state.accounts[order.account]
    cdef const Profile *profile = &state.profiles[account.profile]
    cdef Tie *tie = begin_tie(state, order)
    cdef Holding *holding = &state.holdings[order.position]
    cdef Parent *parent
    cdef int64_t notional_e4 = order.wpx_e4 * order.leaves_qty_shares
    tie.unit = account.unit
    if profile.optional & OPTIONAL_HOLDING:
        tie.flags |= TIE_HOLDING
    if profile.optional & OPTIONAL_ORDERED:
        state.account_days[order.account].ordered_e4 += notional_e4
    if tie.flags & TIE_BEYOND and profile.extra.price_window_ns:
        sum_add(&holding.beyond, profile.extra.price_window_ns // (STEPS - 1), time_ns,
                notional_e4 if order.side == BUY else -notional_e4)
    if order.flags & FLAG_SHORT:
        holding.short_open_shares += order.leaves_qty_shares
    if tie.strategy != NONE:
        state.open_position(STRATEGY_OWNER | tie.strategy, order.instrument)
    parent = state.open_parent(order.account, tie.parent) if tie.parent else NULL
    if parent != NULL:
        parent.qty_shares = min(parent.qty_shares, tie.parent_qty_shares)
        parent.used_shares += order.leaves_qty_shares


cdef void move_tied(State state, Order *order, int64_t open_e4, int64_t filled_e4) noexcept:
    """Add to the open and filled notional of the order's side."""
    cdef const Tie *tie = tie_of(state, order)
    if tie.strategy != NONE:
        move_usage(&state.strategies[tie.strategy].usage, order.side, open_e4, filled_e4)
    if tie.unit:
        move_usage(&state.units[tie.unit - 1].usage, order.side, open_e4, filled_e4)
    if tie.flags & TIE_HOLDING:
        move_usage(&state.holdings[order.position].usage, order.side, open_e4, filled_e4)


cdef void fill_tied(State state, Order *order, int64_t last_qty_shares, int64_t cash_e4) noexcept:
    """A trade. cash_e4: what it brought in, fees taken; below 0 for a buy."""
    cdef const Tie *tie = tie_of(state, order)
    cdef Position *position
    if order.flags & FLAG_SHORT:
        state.holdings[order.position].short_open_shares -= last_qty_shares
        state.holdings[order.position].short_filled_shares += last_qty_shares
    if tie.strategy == NONE:
        return
    state.strategies[tie.strategy].flow_e4 += cash_e4
    position = state.find_position(STRATEGY_OWNER | tie.strategy, order.instrument)
    position.total_shares += last_qty_shares if order.side == BUY else -last_qty_shares


cdef void release_tied(State state, Order *order) noexcept:
    """The order's end, before its leaves are set to 0: shares that will not trade any more."""
    cdef const Tie *tie = tie_of(state, order)
    cdef Parent *parent
    if order.flags & FLAG_SHORT:
        state.holdings[order.position].short_open_shares -= order.leaves_qty_shares
    if tie.parent:
        parent = state.find_parent(order.account, tie.parent)
        if parent != NULL:
            parent.used_shares -= order.leaves_qty_shares


cdef void count_decision(State state, const OrderEvent *event) noexcept:
    """The strategy's rejects in a row; enough of them switch it off (R1207)."""
    cdef Strategy *strategy = &state.strategies[event.strategy]
    if strategy.off or event.flags & ORDER_SUSPENDED:
        return
    if event.code == PASS:
        strategy.reject_streak = 0
        return
    strategy.reject_streak += 1
    if strategy.limits.reject_streak_max and strategy.reject_streak >= strategy.limits.reject_streak_max:
        strategy.off = R1207_REJ_BREAK


cdef void count_trade(State state, const Order *order, int64_t time_ns) noexcept:
    """The strategy's trades without a human touch; enough of them in its window switch it off (R1206)."""
    cdef const Tie *tie = tie_of(state, order)
    cdef Strategy *strategy
    cdef int64_t step_ns
    if tie.strategy == NONE or state.strategies[tie.strategy].limits.raet_max == 0:
        return
    strategy = &state.strategies[tie.strategy]
    step_ns = raet_step_ns(&strategy.limits)
    sum_add(&strategy.trades, step_ns, time_ns, 1)
    if strategy.off == 0 and sum_of(&strategy.trades, step_ns, time_ns) >= strategy.limits.raet_max:
        strategy.off = R1206_RAET
