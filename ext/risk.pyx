"""The ladder: whether one order may go to market. Reads state and market, writes only its own findings."""

from ext.codes cimport (
    BOARD_CHINEXT, BOARD_MAIN, BOARD_STAR, BUY, LIMIT, MARKET_BEST5_LIMIT, MARKET_FOK, MARKET_IOC, PASS, PHASE_CLOSE_CALL, PHASE_CONTINUOUS,
    PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, R1002_STATE, R1003_SYMBOL, R1004_SESSION, R1005_RESTRICTED, R1006_ORDTYPE,
    R1007_SUITABILITY, R1101_QTY_FORMAT, R1102_MAX_QTY, R1103_MAX_NTL, R1105_TICK, R1106_PRICE_LIMIT, R1107_CAGE,
    R1108_COLLAR, R1110_MD_STALE, R1202_DUP_ECON, R1204_RATE_OUT, R1205_RATE_SYM, R1208_OPEN_CNT, R1301_CASH,
    R1302_SELLABLE, R1305_POS_LIMIT, R1309_FIRM_CAP, R1401_SMP, R1501_KILL, R1502_MANUAL, R1601_VENUE_DOWN, XSHE, XSHG,
)
from ext.events cimport (
    LEVEL_CANCEL_ONLY, LEVEL_CONFIRM, LEVEL_RESTRICT, LEVEL_THROTTLE, NO_AUCTION, NO_BUY, NO_CHINEXT, NO_MAIN, NO_MARKET,
    NO_PROGRAMME, NO_SELL as NO_SELLING, NO_STAR, QUOTA_CAPITAL, QUOTA_GROSS, QUOTA_LONG, QUOTA_SHORT, SCOPE_ACCOUNT,
    SCOPE_FIRM, SCOPE_GROUP, SCOPE_INSTRUMENT, SCOPE_MARKET, SCOPE_PORT,
)
from ext.bounds cimport shared_code
from ext.ledger cimport fee
from ext.optional cimport check_optional
from ext.state cimport (
    ACCOUNT_CANCEL_ONLY, ACCOUNT_FROZEN, ACCOUNT_SELL_ONLY, INSTRUMENT_NORMAL, NONE, NO_SELL, BoardRules, Collar, Group,
    ScopeLimits, Usage, Window, window_count,
)

cdef enum:
    ST_BUY_CAP_SHARES = 500000         # risk-warning stock: most bought per day and investor
    BPS = 10000


cdef int check_new_order(State state, Market market, Candidate *order) noexcept:
    """The whole ladder. Returns PASS or the first failing code, with value, limit and scope in the candidate."""
    cdef int code
    order.scope = SCOPE_ACCOUNT
    order.value = 0
    order.limit = 0
    code = check_who(state, order)
    if code != PASS:
        return code
    code = check_where(state, market, order)
    if code != PASS:
        return code
    code = check_form(state, order)
    if code != PASS:
        return code
    set_worst_case(state, order)
    code = check_price(state, market, order)
    if code != PASS:
        return code
    code = check_conduct(order)
    if code != PASS:
        return code
    code = check_money(state, order)
    if code != PASS:
        return code
    code = check_exposure(state, order)
    if code != PASS or order.optional == 0:
        return code
    return check_optional(state, market, order)


cdef int check_who(State state, Candidate *order) noexcept:
    """R1501, R1002: nobody who is switched off trades."""
    cdef const Account *account = order.account
    if state.firm_killed:
        return fail(order, R1501_KILL, 1, 0, SCOPE_FIRM)
    if account.group != NONE and state.groups[account.group].killed:
        return fail(order, R1501_KILL, 1, 0, SCOPE_GROUP)
    if account.killed:
        return fail(order, R1501_KILL, 1, 0, SCOPE_ACCOUNT)
    if order.port.killed:
        return fail(order, R1501_KILL, 1, 0, SCOPE_PORT)
    if account.state == ACCOUNT_FROZEN or account.state == ACCOUNT_CANCEL_ONLY:
        return fail(order, R1002_STATE, account.state, 0, SCOPE_ACCOUNT)
    if account.state == ACCOUNT_SELL_ONLY and order.side == BUY:
        return fail(order, R1002_STATE, account.state, 0, SCOPE_ACCOUNT)
    return check_levels(state, order) if account.leveled or state.group_leveled else PASS


# A response level in force over one order, whoever it binds.
cdef struct Binding:
    int level
    uint32_t mask
    uint32_t throttle_per_s
    uint32_t accepted                  # orders of its subject in the last second
    int scope


cdef int check_levels(State state, Candidate *order) noexcept:
    """R1002, R1204, R1502: the levels of the account, of its group, and of either in this instrument; the hardest first."""
    cdef Binding bindings[4]
    cdef int count = find_bindings(state, order, bindings)
    cdef uint32_t features = features_of(order) if count else 0
    cdef uint32_t met
    cdef int k
    for k in range(count):
        if bindings[k].level >= LEVEL_CANCEL_ONLY:
            return fail(order, R1002_STATE, bindings[k].level, bindings[k].level, bindings[k].scope)
    for k in range(count):
        met = bindings[k].mask & features
        if bindings[k].level == LEVEL_RESTRICT and met:
            return fail(order, R1002_STATE, met & (~met + 1), LEVEL_RESTRICT, bindings[k].scope)
    for k in range(count):
        if bindings[k].level == LEVEL_THROTTLE and bindings[k].throttle_per_s and bindings[k].accepted >= bindings[k].throttle_per_s:
            return fail(order, R1204_RATE_OUT, bindings[k].accepted + 1, bindings[k].throttle_per_s, bindings[k].scope)
    for k in range(count):
        if bindings[k].level == LEVEL_CONFIRM and not order.confirmed and order.wait_code == 0:
            order.wait_code = R1502_MANUAL
            order.wait_value = LEVEL_CONFIRM
    return PASS


cdef int find_bindings(State state, const Candidate *order, Binding *bindings) noexcept:
    """The levels in force over the order, at most 4; how many. One that ran out binds no more, journaled or not."""
    cdef const Account *account = order.account
    cdef const Group *group
    cdef int count = 0
    if account.level:
        count = bind(&bindings[count], account.level, account.level_mask, account.throttle_per_s, account.level_until_ns,
                     &state.accepted[order.account_index], order.now_ns, SCOPE_ACCOUNT, count)
    if account.group != NONE and state.groups[account.group].level:
        group = &state.groups[account.group]
        count = bind(&bindings[count], group.level, group.level_mask, group.throttle_per_s, group.level_until_ns,
                     &state.group_accepted[account.group], order.now_ns, SCOPE_GROUP, count)
    if order.position != NULL and order.position.level:
        count = bind(&bindings[count], order.position.level, order.position.level_mask, order.position.throttle_per_s,
                     order.position.level_until_ns, &order.position.accepted, order.now_ns, SCOPE_INSTRUMENT, count)
    if order.match_owner != NULL and order.match_owner != order.position and order.match_owner.level:
        count = bind(&bindings[count], order.match_owner.level, order.match_owner.level_mask, order.match_owner.throttle_per_s,
                     order.match_owner.level_until_ns, &order.match_owner.accepted, order.now_ns, SCOPE_INSTRUMENT, count)
    return count


cdef inline int bind(Binding *binding, int level, uint32_t mask, uint32_t throttle_per_s, int64_t until_ns,
                     const Window *accepted, int64_t now_ns, int scope, int count) noexcept:
    if until_ns and now_ns >= until_ns:
        return count
    binding.level = level
    binding.mask = mask
    binding.throttle_per_s = throttle_per_s
    binding.accepted = window_count(accepted, now_ns)
    binding.scope = scope
    return count + 1


cdef uint32_t features_of(const Candidate *order) noexcept:
    """What a restriction may forbid and this order is, as RestrictMask bits."""
    cdef uint32_t features = NO_BUY if order.side == BUY else NO_SELLING
    if order.ord_type != LIMIT:
        features |= NO_MARKET
    if order.phase in (PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, PHASE_CLOSE_CALL):
        features |= NO_AUCTION
    if order.port.programme:
        features |= NO_PROGRAMME
    if order.instrument == NULL:
        return features
    if order.instrument.board == BOARD_MAIN:
        features |= NO_MAIN
    elif order.instrument.board == BOARD_STAR:
        features |= NO_STAR
    elif order.instrument.board == BOARD_CHINEXT:
        features |= NO_CHINEXT
    return features


cdef int check_where(State state, Market market, Candidate *order) noexcept:
    """R1003, R1601, R1004, R1005: the instrument trades, its exchange listens, and this account may trade it."""
    cdef int phase = order.phase
    if order.instrument == NULL or order.instrument.status != INSTRUMENT_NORMAL:
        return fail(order, R1003_SYMBOL, 0 if order.instrument == NULL else order.instrument.status, 0, SCOPE_INSTRUMENT)
    if not market.link_ready[order.venue]:
        return fail(order, R1601_VENUE_DOWN, order.venue, 0, SCOPE_MARKET)
    if phase not in (PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, PHASE_CONTINUOUS, PHASE_CLOSE_CALL):
        return fail(order, R1004_SESSION, phase, 0, SCOPE_MARKET)
    if order.profile.restricted and state.restriction(order.profile.index, order.instrument_index) & (1 << order.side):
        return fail(order, R1005_RESTRICTED, order.side, 0, SCOPE_ACCOUNT)
    return PASS


cdef int check_form(State state, Candidate *order) noexcept:
    """R1006, R1007, R1101, R1102, R1105, R1106: the order as the exchange would read it."""
    cdef const Instrument *instrument = order.instrument
    cdef const BoardRules *board = &state.rules.boards[instrument.board]
    cdef int64_t most
    if not is_type_admitted(order, board):
        return fail(order, R1006_ORDTYPE, order.ord_type, 0, SCOPE_ACCOUNT)
    if not order.profile.boards & (1 << instrument.board):
        return fail(order, R1007_SUITABILITY, instrument.board, 0, SCOPE_ACCOUNT)
    if not is_lot(order):
        return fail(order, R1101_QTY_FORMAT, order.order_qty_shares, instrument.buy_min_shares, SCOPE_INSTRUMENT)
    if order.ord_type == LIMIT:
        most = min(instrument.max_limit_shares, board.max_limit_shares)
    else:
        most = min(instrument.max_market_shares, board.max_market_shares)
    if order.order_qty_shares > most:
        return fail(order, R1102_MAX_QTY, order.order_qty_shares, most, SCOPE_INSTRUMENT)
    if order.order_qty_shares > order.profile.max_qty_shares:
        return fail(order, R1102_MAX_QTY, order.order_qty_shares, order.profile.max_qty_shares, SCOPE_ACCOUNT)
    if order.price_e4 % instrument.tick_e4:
        return fail(order, R1105_TICK, order.price_e4, instrument.tick_e4, SCOPE_INSTRUMENT)
    if order.ord_type != LIMIT or instrument.up_limit_e4 == 0:
        return PASS
    if order.price_e4 > instrument.up_limit_e4:
        return fail(order, R1106_PRICE_LIMIT, order.price_e4, instrument.up_limit_e4, SCOPE_INSTRUMENT)
    if order.price_e4 < instrument.down_limit_e4:
        return fail(order, R1106_PRICE_LIMIT, order.price_e4, instrument.down_limit_e4, SCOPE_INSTRUMENT)
    return PASS


cdef inline bint is_type_admitted(const Candidate *order, const BoardRules *board) noexcept:
    cdef uint32_t bit = 1 << order.ord_type
    if not board.ord_types & order.profile.ord_types & bit:
        return False
    if order.ord_type == LIMIT:
        return True
    if order.ord_type == MARKET_BEST5_LIMIT and order.venue != XSHG:
        return False
    if (order.ord_type == MARKET_IOC or order.ord_type == MARKET_FOK) and order.venue != XSHE:
        return False
    if order.phase != PHASE_CONTINUOUS:
        return False
    return order.side != BUY or order.instrument.up_limit_e4 != 0 or order.price_e4 != 0


cdef inline int64_t sellable(const Candidate *order) noexcept:
    if order.position == NULL or order.short_sale:
        return 0
    return order.position.sellable_shares - order.position.sell_held_shares


cdef inline bint is_lot(const Candidate *order) noexcept:
    """Lots and odd lots per board (rule catalogue, section 2.1)."""
    cdef const Instrument *instrument = order.instrument
    cdef int64_t qty = order.order_qty_shares
    if order.side == BUY:
        return qty >= instrument.buy_min_shares and (qty - instrument.buy_min_shares) % instrument.buy_step_shares == 0
    if instrument.board == BOARD_STAR:
        return qty >= instrument.buy_min_shares or qty == sellable(order)
    return qty % instrument.buy_min_shares == 0 or qty % instrument.buy_min_shares == sellable(order) % instrument.buy_min_shares


cdef void set_worst_case(State state, Candidate *order) noexcept:
    """The price and notional the order is held at."""
    cdef int64_t up_limit_e4 = order.instrument.up_limit_e4
    if order.side == BUY:
        order.wpx_e4 = order.price_e4
        if order.ord_type != LIMIT and up_limit_e4 and (order.price_e4 == 0 or up_limit_e4 < order.price_e4):
            order.wpx_e4 = up_limit_e4
    else:
        order.wpx_e4 = max(order.top.bid_px_e4, order.top.last_px_e4)
        if order.ord_type == LIMIT:
            order.wpx_e4 = max(order.wpx_e4, order.price_e4)
        elif order.wpx_e4 == 0:
            order.wpx_e4 = order.instrument.prev_close_e4
    order.notional_e4 = order.wpx_e4 * order.order_qty_shares
    order.hold_e4 = order.notional_e4 + fee(&state.rules, BUY, order.notional_e4) if order.side == BUY else 0


cdef int check_price(State state, Market market, Candidate *order) noexcept:
    """R1110, R1103, R1107, R1108: the price against the market."""
    cdef const Instrument *instrument = order.instrument
    cdef int64_t age_ns
    cdef int code
    if order.phase == PHASE_CONTINUOUS:
        age_ns = order.now_ns - market.feed_ns[order.venue]
        if order.top.quote_ns == 0 or age_ns > state.rules.max_quote_age_ns:
            return fail(order, R1110_MD_STALE, age_ns // 1000000, state.rules.max_quote_age_ns // 1000000, SCOPE_MARKET)
    if order.notional_e4 > order.profile.max_ntl_e4:
        return fail(order, R1103_MAX_NTL, order.notional_e4, order.profile.max_ntl_e4, SCOPE_ACCOUNT)
    if order.ord_type != LIMIT:
        return PASS
    if order.phase == PHASE_CONTINUOUS:
        code = check_cage(&state.rules.boards[instrument.board], order)
        if code != PASS:
            return code
    return check_collar(&state.rules.collars[PHASE_OPEN_CALL if order.phase == PHASE_OPEN_CALL_LOCKED else order.phase], order)


cdef inline int check_cage(const BoardRules *board, Candidate *order) noexcept:
    """R1107: the valid declaration range (价格笼子), against the best opposite price."""
    cdef const TopOfBook *top = order.top
    cdef int64_t prev_close_e4 = order.instrument.prev_close_e4
    cdef int64_t ticks_e4 = board.cage_ticks * order.instrument.tick_e4
    cdef int64_t ref_e4
    if order.side == BUY:
        ref_e4 = first_of(top.ask_px_e4, top.bid_px_e4, top.last_px_e4, prev_close_e4)
        if order.price_e4 * BPS > ref_e4 * (BPS + board.cage_bps) and order.price_e4 > ref_e4 + ticks_e4:
            return fail(order, R1107_CAGE, order.price_e4, max(ref_e4 * (BPS + board.cage_bps) // BPS, ref_e4 + ticks_e4),
                        SCOPE_INSTRUMENT)
        return PASS
    ref_e4 = first_of(top.bid_px_e4, top.ask_px_e4, top.last_px_e4, prev_close_e4)
    if order.price_e4 * BPS < ref_e4 * (BPS - board.cage_bps) and order.price_e4 < ref_e4 - ticks_e4:
        return fail(order, R1107_CAGE, order.price_e4, min((ref_e4 * (BPS - board.cage_bps) + BPS - 1) // BPS, ref_e4 - ticks_e4),
                    SCOPE_INSTRUMENT)
    return PASS


cdef inline int check_collar(const Collar *collar, Candidate *order) noexcept:
    """R1108: how far beyond the reference a limit may reach, per phase."""
    cdef int64_t ref_e4 = reference_e4(order)
    cdef int64_t reach_e4
    cdef int64_t beyond_e4 = order.price_e4 - ref_e4 if order.side == BUY else ref_e4 - order.price_e4
    if beyond_e4 * BPS > ref_e4 * collar.bps and beyond_e4 > collar.ticks * order.instrument.tick_e4:
        reach_e4 = max(ref_e4 * collar.bps // BPS, collar.ticks * order.instrument.tick_e4)
        return fail(order, R1108_COLLAR, order.price_e4, ref_e4 + reach_e4 if order.side == BUY else ref_e4 - reach_e4,
                    SCOPE_INSTRUMENT)
    return PASS


cdef int check_conduct(Candidate *order) noexcept:
    """R1401, R1202, R1204, R1205, R1208: not against oneself, not twice, not too fast, not too many."""
    cdef const Profile *profile = order.profile
    cdef const Position *position = order.position
    cdef uint32_t count
    if order.match_owner != NULL and would_self_match(order):
        return fail(order, R1401_SMP, order.price_e4,
                    order.match_owner.best_sell_e4 if order.side == BUY else order.match_owner.best_buy_e4,
                    SCOPE_ACCOUNT if order.account.group == NONE else SCOPE_GROUP)
    if position != NULL and position.dup_count >= profile.dup_max and is_repeat(order):
        return fail(order, R1202_DUP_ECON, position.dup_count + 1, profile.dup_max, SCOPE_INSTRUMENT)
    count = window_count(&order.account.sent[order.venue - 1], order.now_ns)
    if count >= profile.rate_out_per_s:
        return fail(order, R1204_RATE_OUT, count + 1, profile.rate_out_per_s, SCOPE_ACCOUNT)
    if order.account.sent_today[order.venue - 1] >= profile.rate_out_per_day:
        return fail(order, R1204_RATE_OUT, order.account.sent_today[order.venue - 1] + 1, profile.rate_out_per_day, SCOPE_ACCOUNT)
    if position != NULL:
        count = window_count(&position.accepted, order.now_ns)
        if count >= profile.rate_symbol_per_s:
            return fail(order, R1205_RATE_SYM, count + 1, profile.rate_symbol_per_s, SCOPE_INSTRUMENT)
    if order.account.open_orders >= profile.open_orders:
        return fail(order, R1208_OPEN_CNT, order.account.open_orders + 1, profile.open_orders, SCOPE_ACCOUNT)
    if position != NULL and position.open_orders >= profile.open_orders_per_symbol:
        return fail(order, R1208_OPEN_CNT, position.open_orders + 1, profile.open_orders_per_symbol, SCOPE_INSTRUMENT)
    return PASS


cdef inline bint would_self_match(const Candidate *order) noexcept:
    cdef const Position *owner = order.match_owner
    cdef int64_t price_e4 = order.price_e4
    if order.side == BUY:
        if order.ord_type != LIMIT:
            price_e4 = order.instrument.up_limit_e4 if order.instrument.up_limit_e4 else NO_SELL - 1
        return owner.best_sell_e4 <= price_e4
    if order.ord_type != LIMIT:
        price_e4 = 0
    return owner.best_buy_e4 != 0 and owner.best_buy_e4 >= price_e4


cdef inline bint is_repeat(const Candidate *order) noexcept:
    cdef const Position *position = order.position
    return (position.dup_side == order.side and position.dup_type == order.ord_type
            and position.dup_px_e4 == order.price_e4 and position.dup_qty_shares == order.order_qty_shares
            and order.now_ns - position.dup_ns <= order.profile.dup_window_ns)


cdef int check_money(State state, Candidate *order) noexcept:
    """R1301, R1302: the money is there, the shares are there. Borrowed shares are R1402's."""
    cdef int64_t available_e4 = order.account.cash_e4 - order.account.cash_held_e4
    if order.side == BUY:
        if order.hold_e4 > available_e4:
            return fail(order, R1301_CASH, order.hold_e4, available_e4, SCOPE_ACCOUNT)
        return PASS
    if order.order_qty_shares > sellable(order) and not order.short_sale:
        return fail(order, R1302_SELLABLE, order.order_qty_shares, sellable(order), SCOPE_ACCOUNT)
    return PASS


cdef int check_exposure(State state, Candidate *order) noexcept:
    """R1303, R1304, R1305, R1309: account, controller group and firm stay within their limits; R1612: within their shares."""
    cdef const Account *account = order.account
    cdef uint32_t group = account.group
    cdef int64_t bought, capital_e4
    cdef int code = check_gross(&account.usage, order.profile.scope.gross_limit_e4, order, SCOPE_ACCOUNT)
    if code == PASS and group != NONE:
        code = check_gross(&state.groups[group].usage, state.groups[group].bounds.scope.gross_limit_e4, order, SCOPE_GROUP)
    if code == PASS:
        code = check_gross(&state.firm, state.firm_bounds.scope.gross_limit_e4, order, SCOPE_FIRM)
    if code != PASS:
        return shared_code(state, order, code, QUOTA_GROSS)
    code = check_net(&account.usage, &order.profile.scope, order, SCOPE_ACCOUNT)
    if code == PASS and group != NONE:
        code = check_net(&state.groups[group].usage, &state.groups[group].bounds.scope, order, SCOPE_GROUP)
    if code == PASS:
        code = check_net(&state.firm, &state.firm_bounds.scope, order, SCOPE_FIRM)
    if code != PASS:
        return shared_code(state, order, code, QUOTA_LONG if order.side == BUY else QUOTA_SHORT)
    if order.side == BUY:
        bought = order.order_qty_shares
        if order.position != NULL:
            bought += order.position.open_buy_shares
        if bought + (0 if order.position == NULL else order.position.total_shares) > order.profile.position_limit_shares:
            return fail(order, R1305_POS_LIMIT, bought + (0 if order.position == NULL else order.position.total_shares),
                        order.profile.position_limit_shares, SCOPE_ACCOUNT)
        bought += 0 if order.position == NULL else order.position.bought_today_shares
        if order.instrument.is_st and bought > ST_BUY_CAP_SHARES:
            return fail(order, R1305_POS_LIMIT, bought, ST_BUY_CAP_SHARES, SCOPE_INSTRUMENT)
    capital_e4 = gross_e4(&state.firm) + order.notional_e4
    if capital_e4 > state.firm_bounds.capital_limit_e4:
        code = fail(order, R1309_FIRM_CAP, capital_e4, state.firm_bounds.capital_limit_e4, SCOPE_FIRM)
        return shared_code(state, order, code, QUOTA_CAPITAL)
    return PASS
