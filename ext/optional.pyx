"""The optional rows of the ladder, for the orders that one of them concerns. Reads state and market, writes only its findings.

A limit of 0 is not there. A row that needs a confirmation notes it in the candidate (the first wins) and lets the order go on.
"""

from libc.stdint cimport int64_t, uint32_t

from ext.bounds cimport shared_code
from ext.codes cimport (
    BUY, LIMIT, PASS, R1007_SUITABILITY, R1104_PCT_ADV, R1109_COLLAR_WIN, R1305_POS_LIMIT, R1306_CONC, R1307_TURNOVER,
    R1308_LOSS, R1310_FRONT_END, R1311_CHILD, R1402_SHORT, R1502_MANUAL,
)
from ext.events cimport (
    QUOTA_ORDERED, QUOTA_TRADED, SCOPE_ACCOUNT, SCOPE_FIRM, SCOPE_GROUP, SCOPE_INSTRUMENT, SCOPE_PARENT, SCOPE_STRATEGY,
    SCOPE_UNIT,
)
from ext.risk cimport check_gross, check_net, fail, first_of, reference_e4, share_of
from ext.state cimport (
    ACCOUNT_CANCEL_ONLY, NONE, STEPS, TRAIT_BELOW_C5, TRAIT_C1_LOWEST, TRAIT_PROFESSIONAL, DayLimits, Group, Holding,
    OptionalLimits, Parent, Strategy, TradingUnit, Usage, sum_of,
)

cdef enum:
    HIGHEST_LEVEL = 5                  # of an account, C5


cdef int check_optional(State state, Market market, Candidate *order) noexcept:
    """Rows 34 to 47. Returns PASS or the first failing code, with value, limit and scope in the candidate."""
    cdef int code = check_strategy(state, order)
    if code == PASS:
        code = check_suitability(order)
    if code == PASS:
        code = check_size(order)
    if code == PASS:
        code = check_price_window(state, order)
    if code == PASS and order.short_sale:
        code = check_short(state, order)
    if code == PASS:
        code = check_holding(state, market, order)
    if code == PASS:
        code = check_turnover(state, order)
    if code == PASS:
        code = check_loss(state, market, order)
    if code == PASS and order.account.unit:
        code = check_unit(state, order)
    if code == PASS and order.parent:
        code = check_child(state, order)
    if code == PASS:
        ask_when_large(order)
    return code


cdef inline void ask(Candidate *order, int code, int64_t value, int64_t limit) noexcept:
    """A confirmation is needed, and is not there yet."""
    if order.confirmed or order.wait_code:
        return
    order.wait_code = code
    order.wait_value = value
    order.wait_limit = limit
    order.wait_ttl_ms = order.profile.extra.confirm_ttl_ms


cdef inline Holding *holding_of(State state, const Candidate *order) noexcept:
    """What the account has in the instrument beside its position, or NULL."""
    if order.position == NULL:
        return NULL
    return &state.holdings[order.position - state.positions]


cdef int check_strategy(State state, Candidate *order) noexcept:
    """R1206, R1207: a strategy that was switched off stays off until a person rearms it. R1303: its gross limit."""
    cdef const Strategy *strategy
    if order.strategy == NONE:
        return PASS
    strategy = &state.strategies[order.strategy]
    if strategy.off:
        return fail(order, <int>strategy.off, 1, 0, SCOPE_STRATEGY)
    return check_gross(&strategy.usage, strategy.limits.gross_limit_e4, order, SCOPE_STRATEGY)


cdef int check_suitability(Candidate *order) noexcept:
    """R1007: an investor below the instrument's risk level buys it after a confirmation; of the lowest class never."""
    cdef int traits = order.account.traits
    cdef int level = HIGHEST_LEVEL - (traits & TRAIT_BELOW_C5)
    if order.side != BUY or traits & TRAIT_PROFESSIONAL or level >= order.instrument.risk_level:
        return PASS
    if traits & TRAIT_C1_LOWEST:
        return fail(order, R1007_SUITABILITY, order.instrument.risk_level, level, SCOPE_ACCOUNT)
    ask(order, R1007_SUITABILITY, order.instrument.risk_level, level)
    return PASS


cdef int check_size(Candidate *order) noexcept:
    """R1104: against the average day's volume and the shares there are."""
    cdef const OptionalLimits *extra = &order.profile.extra
    cdef int64_t most
    if extra.adv_bps and order.instrument.adv20_shares:
        most = share_of(order.instrument.adv20_shares, extra.adv_bps)
        if order.order_qty_shares > most:
            return fail(order, R1104_PCT_ADV, order.order_qty_shares, most, SCOPE_INSTRUMENT)
    if extra.float_bps and order.instrument.float_shares:
        most = share_of(order.instrument.float_shares, extra.float_bps)
        if order.order_qty_shares > most:
            return fail(order, R1104_PCT_ADV, order.order_qty_shares, most, SCOPE_INSTRUMENT)
    return PASS


cdef int check_price_window(State state, Candidate *order) noexcept:
    """R1109: net notional of orders priced far beyond the reference, one way, within the window."""
    cdef const OptionalLimits *extra = &order.profile.extra
    cdef const Holding *holding = holding_of(state, order)
    cdef int64_t ref_e4, beyond_e4, net_e4
    if extra.price_window_ntl_e4 == 0 or order.ord_type != LIMIT:
        return PASS
    ref_e4 = reference_e4(order)
    beyond_e4 = order.price_e4 - ref_e4 if order.side == BUY else ref_e4 - order.price_e4
    if beyond_e4 <= share_of(ref_e4, extra.price_window_bps):
        return PASS
    order.beyond = True
    net_e4 = 0
    if holding != NULL:
        net_e4 = sum_of(&holding.beyond, extra.price_window_ns // (STEPS - 1), order.now_ns)
    net_e4 += order.notional_e4 if order.side == BUY else -order.notional_e4
    if net_e4 > extra.price_window_ntl_e4 or -net_e4 > extra.price_window_ntl_e4:
        return fail(order, R1109_COLLAR_WIN, net_e4, extra.price_window_ntl_e4, SCOPE_INSTRUMENT)
    return PASS


cdef int check_short(State state, Candidate *order) noexcept:
    """R1402: listed for it, borrowed beforehand, and not below the last price."""
    cdef const Holding *holding = holding_of(state, order)
    cdef int64_t used = order.order_qty_shares
    cdef int64_t located = 0
    cdef int64_t price_e4 = order.price_e4 if order.ord_type == LIMIT else 0
    cdef int64_t last_e4 = first_of(order.top.last_px_e4, order.instrument.prev_close_e4, 0, 0)
    if not order.instrument.shortable:
        return fail(order, R1402_SHORT, 0, 1, SCOPE_INSTRUMENT)
    if holding != NULL:
        used += holding.short_open_shares + holding.short_filled_shares
        located = holding.located_shares
    if used > located:
        return fail(order, R1402_SHORT, used, located, SCOPE_ACCOUNT)
    if price_e4 < last_e4:
        return fail(order, R1402_SHORT, price_e4, last_e4, SCOPE_INSTRUMENT)
    return PASS


cdef int check_holding(State state, Market market, Candidate *order) noexcept:
    """R1304 per instrument, R1305 as a share of the float, R1306: what the account would have in this instrument."""
    cdef const OptionalLimits *extra = &order.profile.extra
    cdef const Holding *holding = holding_of(state, order)
    cdef Usage nothing = Usage(0, 0, 0, 0)
    cdef const Usage *usage = &nothing
    cdef int64_t limit_e4 = extra.instrument.long_limit_e4 if order.side == BUY else extra.instrument.short_limit_e4
    cdef int64_t shares = 0
    cdef int64_t used, most
    cdef int code = PASS
    if holding != NULL:
        usage = &holding.usage
        shares = order.position.total_shares
    if limit_e4:
        code = check_net(usage, &extra.instrument, order, SCOPE_INSTRUMENT)
    if code != PASS or order.side != BUY:
        return code
    if extra.position_float_bps and order.instrument.float_shares:
        used = shares + order.order_qty_shares
        if holding != NULL:
            used += order.position.open_buy_shares
        most = share_of(order.instrument.float_shares, extra.position_float_bps)
        if used > most:
            return fail(order, R1305_POS_LIMIT, used, most, SCOPE_ACCOUNT)
    if extra.concentration_bps:
        used = shares * market.mark_px_e4(order.instrument_index) + usage.open_buy_e4 + order.notional_e4
        most = share_of(state.account_days[order.account_index].opening_e4, extra.concentration_bps)
        if used > most:
            return fail(order, R1306_CONC, used, most, SCOPE_ACCOUNT)
    return PASS


cdef int check_turnover(State state, Candidate *order) noexcept:
    """R1307: the day's accepted orders and the day's trades, by value; R1612: within this shard's share of them."""
    cdef const DayLimits *day = &order.profile.extra.day
    cdef const Group *group
    cdef int code = check_day(state, day.ordered_limit_e4, day.traded_limit_e4, state.account_days[order.account_index].ordered_e4,
                              &order.account.usage, order, SCOPE_ACCOUNT)
    if code == PASS and order.account.group != NONE:
        group = &state.groups[order.account.group]
        code = check_day(state, group.bounds.ordered_limit_e4, group.bounds.traded_limit_e4, group.ordered_e4, &group.usage, order,
                         SCOPE_GROUP)
    if code == PASS:
        code = check_day(state, state.firm_bounds.ordered_limit_e4, state.firm_bounds.traded_limit_e4, state.firm_ordered_e4,
                         &state.firm, order, SCOPE_FIRM)
    return code


cdef inline int check_day(State state, int64_t ordered_limit_e4, int64_t traded_limit_e4, int64_t ordered_e4, const Usage *usage,
                          Candidate *order, int scope) noexcept:
    cdef int64_t traded_e4 = usage.filled_buy_e4 + usage.filled_sell_e4 + order.notional_e4
    cdef int code
    ordered_e4 += order.notional_e4
    if ordered_limit_e4 and ordered_e4 > ordered_limit_e4:
        code = fail(order, R1307_TURNOVER, ordered_e4, ordered_limit_e4, scope)
        return shared_code(state, order, code, QUOTA_ORDERED)
    if traded_limit_e4 and traded_e4 > traded_limit_e4:
        code = fail(order, R1307_TURNOVER, traded_e4, traded_limit_e4, scope)
        return shared_code(state, order, code, QUOTA_TRADED)
    return PASS


cdef int check_loss(State state, Market market, Candidate *order) noexcept:
    """R1308: who has lost more than its limit today takes on no new risk, or trades no more at all."""
    cdef const DayLimits *day = &order.profile.extra.day
    cdef const Strategy *strategy
    cdef int code = PASS
    if day.loss_limit_e4:
        code = check_profit(market.account_profit_e4(order.account_index, order.now_ns), day.loss_limit_e4, day.loss_action, order,
                            SCOPE_ACCOUNT)
    if code == PASS and order.strategy != NONE:
        strategy = &state.strategies[order.strategy]
        if strategy.limits.loss_limit_e4:
            code = check_profit(market.strategy_profit_e4(order.strategy, order.now_ns), strategy.limits.loss_limit_e4,
                                strategy.limits.loss_action, order, SCOPE_STRATEGY)
    day = &state.rules.firm_day
    if code == PASS and day.loss_limit_e4:
        code = check_profit(market.firm_profit_e4(order.now_ns), day.loss_limit_e4, day.loss_action, order, SCOPE_FIRM)
    return code


cdef inline int check_profit(int64_t profit_e4, int64_t loss_limit_e4, int64_t action, Candidate *order, int scope) noexcept:
    cdef bint opens = order.side == BUY or order.short_sale
    if profit_e4 < -loss_limit_e4 and (opens or action == ACCOUNT_CANCEL_ONLY):
        return fail(order, R1308_LOSS, profit_e4, -loss_limit_e4, scope)
    return PASS


cdef int check_unit(State state, Candidate *order) noexcept:
    """R1310: the day's net buying of a trading unit, its open buys at their worst and only its filled sells."""
    cdef const TradingUnit *unit = &state.units[order.account.unit - 1]
    cdef int64_t net_buy_e4
    if order.side != BUY:
        return PASS
    net_buy_e4 = unit.usage.open_buy_e4 + unit.usage.filled_buy_e4 - unit.usage.filled_sell_e4 + order.notional_e4
    if net_buy_e4 > unit.limits.net_buy_quota_e4:
        return fail(order, R1310_FRONT_END, net_buy_e4, unit.limits.net_buy_quota_e4, SCOPE_UNIT)
    return PASS


cdef int check_child(State state, Candidate *order) noexcept:
    """R1311: all children of a parent together, open and filled, are at most the parent."""
    cdef const Parent *parent = state.find_parent(order.account_index, order.parent)
    cdef int64_t used = order.order_qty_shares
    cdef int64_t most = order.parent_qty_shares
    if parent != NULL:
        used += parent.used_shares
        most = min(most, parent.qty_shares)
    if used > most:
        return fail(order, R1311_CHILD, used, most, SCOPE_PARENT)
    return PASS


cdef void ask_when_large(Candidate *order) noexcept:
    """R1502: beyond a soft limit a second look is asked for."""
    cdef const OptionalLimits *extra = &order.profile.extra
    if extra.soft_ntl_e4 and order.notional_e4 > extra.soft_ntl_e4:
        ask(order, R1502_MANUAL, order.notional_e4, extra.soft_ntl_e4)
    if extra.soft_qty_shares and order.order_qty_shares > extra.soft_qty_shares:
        ask(order, R1502_MANUAL, order.order_qty_shares, extra.soft_qty_shares)
