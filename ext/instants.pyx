"""Instants of the rule language. Walks over own orders happen here, and only when a rule's code comes to them. Changes nothing."""

from libc.stdint cimport uint32_t

from ext.codes cimport BUY, PHASE_CLOSE_CALL, PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, SELL
from ext.occasion cimport counted_price_e4, is_at_limit, is_in_best5
from ext.program cimport (
    AMOUNT_E4, AMOUNT_SHARES,
    INSTANT_BEST5_SHARES, INSTANT_BOUGHT_TODAY_SHARES, INSTANT_DEVIATION, INSTANT_IS_AT_LIMIT, INSTANT_LAST_PRICE,
    INSTANT_LIMIT_SHARES, INSTANT_OPEN_ORDERS, INSTANT_OPEN_SHARES, INSTANT_OWN_BEST5_SHARES, INSTANT_OWN_LEVELS,
    INSTANT_OWN_LIMIT_SHARES, INSTANT_PHASE_AGE, INSTANT_POSITION_SHARES, INSTANT_PREV_CLOSE, INSTANT_SENT_1S,
    INSTANT_SENT_DAY, INSTANT_SPREAD, INSTANT_THIS_AGE, INSTANT_THIS_AGGRESSIVE, INSTANT_THIS_AT_LIMIT,
    INSTANT_THIS_DEVIATION, INSTANT_THIS_IN_BEST5, INSTANT_THIS_MARKET_TYPE, INSTANT_THIS_PRICE, INSTANT_THIS_SHARES,
    INSTANT_THIS_YUAN, INSTANT_TIME_OF_DAY, KEY_ACCOUNT, KEY_ACCOUNT_INSTRUMENT, KEY_ACCOUNT_VENUE, ON_ORDER, PPM,
)
from ext.rule_state cimport RecordedQuote, fifth_level_e4
from ext.state cimport NONE, Order, Position, window_count
from ext.windows cimport UNDEFINED

cdef enum:
    MOST_LEVELS = 256                  # own prices that are told apart
    SHANGHAI_NS = 28800000000000
    DAY_NS = 86400000000000


cdef int64_t instant_value(const Occasion *occasion, State state, const Gauge *gauge) noexcept:
    """The value now; UNDEFINED where there is none, as of `this` at a quote."""
    cdef int instant = gauge.instant
    if instant <= INSTANT_THIS_MARKET_TYPE:
        return this_value(occasion, instant) if occasion.is_order else UNDEFINED
    if instant <= INSTANT_BOUGHT_TODAY_SHARES:
        return own_value(occasion, state, gauge, instant)
    if instant <= INSTANT_SPREAD and instant != INSTANT_PREV_CLOSE:
        return UNDEFINED if occasion.market == NULL else market_value(occasion, gauge.side, instant)
    if instant == INSTANT_PREV_CLOSE:
        return UNDEFINED if occasion.instrument == NULL else occasion.instrument.prev_close_e4
    if instant == INSTANT_TIME_OF_DAY:
        return (occasion.now_ns + SHANGHAI_NS) % DAY_NS
    if instant == INSTANT_PHASE_AGE:
        return occasion.now_ns - state.phase_since_ns[occasion.venue]
    if occasion.account == NULL or occasion.venue == 0:
        return 0
    if instant == INSTANT_SENT_1S:
        return window_count(&occasion.account.sent[occasion.venue - 1], occasion.now_ns) + occasion.is_pending
    return <int64_t>occasion.account.sent_today[occasion.venue - 1] + occasion.is_pending


cdef int64_t this_value(const Occasion *occasion, int instant) noexcept:
    if instant == INSTANT_THIS_SHARES:
        return occasion.amounts[<int>AMOUNT_SHARES]
    if instant == INSTANT_THIS_YUAN:
        return occasion.amounts[<int>AMOUNT_E4]
    if instant == INSTANT_THIS_PRICE:
        return occasion.price_e4
    if instant == INSTANT_THIS_DEVIATION:
        return occasion.deviation_ppm
    if instant == INSTANT_THIS_AGE:
        return occasion.age_ns
    if instant == INSTANT_THIS_AGGRESSIVE:
        return occasion.is_aggressive
    if instant == INSTANT_THIS_AT_LIMIT:
        return is_at_limit(occasion)
    if instant == INSTANT_THIS_IN_BEST5:
        return is_in_best5(occasion)
    return occasion.is_market_type


# The owner's own orders and shares in the instrument; the order that is judged is one of them

cdef int64_t own_value(const Occasion *occasion, State state, const Gauge *gauge, int instant) noexcept:
    cdef bint is_account = gauge.key in (KEY_ACCOUNT, KEY_ACCOUNT_VENUE, KEY_ACCOUNT_INSTRUMENT)
    cdef const Position *owner = occasion.own if is_account else occasion.shared
    cdef bint is_judged = occasion.event == ON_ORDER and (gauge.side == 0 or gauge.side == occasion.side)
    if instant == INSTANT_POSITION_SHARES:
        return 0 if owner == NULL else owner.total_shares
    if instant == INSTANT_BOUGHT_TODAY_SHARES:
        return 0 if owner == NULL else owner.bought_today_shares
    if instant == INSTANT_OPEN_ORDERS:
        return (0 if owner == NULL else owner.open_orders) + (occasion.event == ON_ORDER)
    if instant == INSTANT_OPEN_SHARES:
        return (0 if owner == NULL else open_shares(owner, gauge.side)) + (occasion.amounts[<int>AMOUNT_SHARES] if is_judged else 0)
    if instant == INSTANT_OWN_LEVELS:
        return own_levels(occasion, state, gauge.side, is_account, is_judged)
    return own_shares_where(occasion, state, gauge.side, is_account, is_judged, instant)


cdef inline int64_t open_shares(const Position *owner, int side) noexcept:
    if side == BUY:
        return owner.open_buy_shares
    return owner.open_sell_shares if side == SELL else owner.open_buy_shares + owner.open_sell_shares


cdef inline uint32_t first_own(const Occasion *occasion) noexcept:
    """Head of the list that holds the owner's open orders in the instrument: a group's accounts share one."""
    return NONE if occasion.shared == NULL else occasion.shared.open_head


cdef inline bint is_met(const Occasion *occasion, int instant, int side, int64_t price_e4) noexcept:
    """Whether an own order at that price is among what is summed: within the five best levels, or at the limit."""
    cdef int64_t bound_e4
    if instant == INSTANT_OWN_LIMIT_SHARES:
        bound_e4 = limit_e4(occasion, side)
        return bound_e4 != 0 and price_e4 == bound_e4
    bound_e4 = 0 if occasion.market == NULL else fifth_level_e4(occasion.market, side)
    return bound_e4 == 0 or (price_e4 >= bound_e4 if side == BUY else price_e4 <= bound_e4)


cdef int64_t own_shares_where(const Occasion *occasion, State state, int side, bint is_account, bint is_judged, int instant) noexcept:
    cdef uint32_t order_no = first_own(occasion)
    cdef const Order *order
    cdef int64_t shares = 0
    if is_judged and is_met(occasion, instant, occasion.side, occasion.order_price_e4):
        shares = occasion.amounts[<int>AMOUNT_SHARES]
    while order_no != NONE:
        order = &state.orders[order_no]
        if ((side == 0 or order.side == side) and (not is_account or order.account == occasion.account_index)
                and is_met(occasion, instant, order.side, counted_price_e4(order.ord_type, order.price_e4, order.wpx_e4))):
            shares += order.leaves_qty_shares
        order_no = order.next_match
    return shares


cdef int64_t own_levels(const Occasion *occasion, State state, int side, bint is_account, bint is_judged) noexcept:
    """How many different prices of a side; MOST_LEVELS at most."""
    cdef int64_t levels[MOST_LEVELS]
    cdef int count = 0
    cdef uint32_t order_no = first_own(occasion)
    cdef const Order *order
    if is_judged:
        count = note_level(levels, count, occasion.side, occasion.order_price_e4)
    while order_no != NONE:
        order = &state.orders[order_no]
        if (side == 0 or order.side == side) and (not is_account or order.account == occasion.account_index):
            count = note_level(levels, count, order.side, counted_price_e4(order.ord_type, order.price_e4, order.wpx_e4))
        order_no = order.next_match
    return count


cdef int note_level(int64_t *levels, int count, int side, int64_t price_e4) noexcept:
    cdef int64_t level = price_e4 * 4 + side
    cdef int at
    for at in range(count):
        if levels[at] == level:
            return count
    if count == MOST_LEVELS:
        return count
    levels[count] = level
    return count + 1


# The market, as recorded

cdef inline int64_t limit_e4(const Occasion *occasion, int side) noexcept:
    """The limit price that a side pushes to, 0: none."""
    if occasion.instrument == NULL:
        return 0
    return occasion.instrument.up_limit_e4 if side == BUY else occasion.instrument.down_limit_e4


cdef int64_t market_value(const Occasion *occasion, int side, int instant) noexcept:
    cdef const RecordedQuote *market = occasion.market
    cdef int64_t price_e4
    if instant in (INSTANT_BEST5_SHARES, INSTANT_LIMIT_SHARES):
        return ((side_shares(occasion, BUY, instant) if side != SELL else 0)
                + (side_shares(occasion, SELL, instant) if side != BUY else 0))
    if instant == INSTANT_IS_AT_LIMIT:
        return (side != SELL and is_side_at_limit(occasion, BUY)) or (side != BUY and is_side_at_limit(occasion, SELL))
    if instant == INSTANT_LAST_PRICE:
        return market.last_px_e4 if market.last_px_e4 else UNDEFINED
    if instant == INSTANT_SPREAD:
        if market.bid_px_e4[0] == 0 or market.ask_px_e4[0] == 0:
            return UNDEFINED
        return floor_ppm(<int64_t>market.ask_px_e4[0] - <int64_t>market.bid_px_e4[0], market.bid_px_e4[0])
    price_e4 = market.last_px_e4
    if market.phase in (PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, PHASE_CLOSE_CALL):
        price_e4 = market.bid_px_e4[0]
    if price_e4 == 0 or occasion.instrument.prev_close_e4 <= 0:
        return UNDEFINED
    return floor_ppm(price_e4 - occasion.instrument.prev_close_e4, occasion.instrument.prev_close_e4)


cdef inline int64_t floor_ppm(int64_t part, int64_t whole) noexcept:
    cdef int64_t scaled = part * PPM
    cdef int64_t value = scaled // whole
    return value - 1 if scaled < 0 and value * whole != scaled else value


cdef int64_t side_shares(const Occasion *occasion, int side, int instant) noexcept:
    """The market's recorded shares of a side: of its five levels, or of the one at its limit."""
    cdef int64_t bound_e4 = limit_e4(occasion, side)
    cdef int64_t total = 0
    cdef int at
    cdef int64_t price_e4
    for at in range(5):
        price_e4 = occasion.market.bid_px_e4[at] if side == BUY else occasion.market.ask_px_e4[at]
        if instant == INSTANT_BEST5_SHARES or (bound_e4 != 0 and price_e4 == bound_e4):
            total += occasion.market.bid_qty_shares[at] if side == BUY else occasion.market.ask_qty_shares[at]
    return total


cdef bint is_side_at_limit(const Occasion *occasion, int side) noexcept:
    cdef int64_t bound_e4 = limit_e4(occasion, side)
    cdef int64_t best_e4 = occasion.market.bid_px_e4[0] if side == BUY else occasion.market.ask_px_e4[0]
    return bound_e4 != 0 and (occasion.market.last_px_e4 == bound_e4 or best_e4 == bound_e4)
