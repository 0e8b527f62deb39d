"""The only arithmetic that moves money, shares and exposure. Checks nothing: the ladder has, or the exchange has spoken."""

from libc.stdint cimport uint32_t

from ext.codes cimport BUY
from ext.state cimport FLAG_SHORT, FLAG_TIED, GROUP_OWNER, Account, Position
from ext.ties cimport fill_tied, move_tied, move_usage, release_tied


cdef void move_open(State state, Order *order, int64_t open_e4, int64_t filled_e4) noexcept:
    """Add to the open and filled notional of the order's side, in every scope it counts in. Its group is the one it was accepted
    in, until its end: a new limits file may have put the account into another."""
    cdef uint32_t controller = state.positions[order.match_position].owner
    move_usage(&state.accounts[order.account].usage, order.side, open_e4, filled_e4)
    move_usage(&state.firm, order.side, open_e4, filled_e4)
    if controller & GROUP_OWNER:
        move_usage(&state.groups[controller & ~<uint32_t>GROUP_OWNER].usage, order.side, open_e4, filled_e4)
    if order.flags & FLAG_TIED:
        move_tied(state, order, open_e4, filled_e4)


cdef void move_open_shares(State state, Order *order, int64_t shares) noexcept:
    """Add to the open shares of the order's side, in its account's record and in its controller's."""
    cdef Position *position = &state.positions[order.position]
    cdef Position *shared = &state.positions[order.match_position]
    if order.side == BUY:
        position.open_buy_shares += shares
        if shared != position:
            shared.open_buy_shares += shares
    else:
        position.open_sell_shares += shares
        if shared != position:
            shared.open_sell_shares += shares


cdef void hold(State state, Order *order) noexcept:
    """Reserve what the whole order may cost: its leaves at the worst-case price, or its shares."""
    cdef Account *account = &state.accounts[order.account]
    cdef Position *position = &state.positions[order.position]
    move_open_shares(state, order, order.leaves_qty_shares)
    move_open(state, order, order.wpx_e4 * order.leaves_qty_shares, 0)
    if order.side == BUY:
        account.cash_held_e4 += order.hold_e4
    elif not order.flags & FLAG_SHORT:
        position.sell_held_shares += order.leaves_qty_shares


cdef void fill(State state, Order *order, int64_t last_qty_shares, int64_t last_px_e4) noexcept:
    """Book a trade: settle cash and fee, move shares, and shrink the hold to what the leaves still need."""
    cdef Account *account = &state.accounts[order.account]
    cdef Position *position = &state.positions[order.position]
    cdef int64_t notional_e4 = last_px_e4 * last_qty_shares
    cdef int64_t fee_before_e4 = fee(&state.rules, order.side, order.cum_notional_e4)
    cdef int64_t fee_after_e4 = fee(&state.rules, order.side, order.cum_notional_e4 + notional_e4)
    cdef int64_t cash_e4 = (notional_e4 if order.side == SELL else -notional_e4) - (fee_after_e4 - fee_before_e4)
    order.leaves_qty_shares -= last_qty_shares
    order.cum_qty_shares += last_qty_shares
    order.cum_notional_e4 += notional_e4
    move_open(state, order, -order.wpx_e4 * last_qty_shares, notional_e4)
    account.cash_e4 += cash_e4
    state.firm_cash_e4 += cash_e4
    state.firm_shares[order.instrument] += last_qty_shares if order.side == BUY else -last_qty_shares
    if order.flags & FLAG_TIED:
        fill_tied(state, order, last_qty_shares, cash_e4)
    move_open_shares(state, order, -last_qty_shares)
    if order.match_position != order.position and not order.flags & FLAG_SHORT:
        move_shared(&state.positions[order.match_position], order.side, last_qty_shares)
    if order.side == BUY:
        position.total_shares += last_qty_shares
        position.bought_today_shares += last_qty_shares
        if not state.instruments[order.instrument].t_plus:
            position.sellable_shares += last_qty_shares
        set_hold(state, order, fee_after_e4)
    elif not order.flags & FLAG_SHORT:
        position.total_shares -= last_qty_shares
        position.sellable_shares -= last_qty_shares
        position.sell_held_shares -= last_qty_shares


cdef void move_shared(Position *shared, int side, int64_t last_qty_shares) noexcept:
    """What all accounts of a group hold of an instrument."""
    if side == BUY:
        shared.total_shares += last_qty_shares
        shared.bought_today_shares += last_qty_shares
    else:
        shared.total_shares -= last_qty_shares


cdef void set_hold(State state, Order *order, int64_t fee_charged_e4) noexcept:
    """What the leaves of a partly filled buy still need, the fee of its fills being paid already."""
    cdef int64_t rest_e4 = order.wpx_e4 * order.leaves_qty_shares
    cdef int64_t need_e4 = 0
    if order.leaves_qty_shares:
        need_e4 = rest_e4 + fee(&state.rules, order.side, order.cum_notional_e4 + rest_e4) - fee_charged_e4
    if need_e4 < 0:
        need_e4 = 0
    state.accounts[order.account].cash_held_e4 += need_e4 - order.hold_e4
    order.hold_e4 = need_e4


cdef void release(State state, Order *order) noexcept:
    """Give back what the leaves held: the order is over."""
    cdef Position *position = &state.positions[order.position]
    move_open(state, order, -order.wpx_e4 * order.leaves_qty_shares, 0)
    if order.flags & FLAG_TIED:
        release_tied(state, order)
    move_open_shares(state, order, -order.leaves_qty_shares)
    if order.side == BUY:
        state.accounts[order.account].cash_held_e4 -= order.hold_e4
        order.hold_e4 = 0
    elif not order.flags & FLAG_SHORT:
        position.sell_held_shares -= order.leaves_qty_shares
    order.leaves_qty_shares = 0
