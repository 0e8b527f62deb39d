"""What an event is to the rules, and whether and where a feature counts it. Reads state, changes nothing."""

from libc.string cimport memset

from ext.codes cimport BUY, LIMIT, SELL, VENUE_COUNT
from ext.program cimport (
    AMOUNT_E4, AMOUNT_ONE, AMOUNT_SHARES, FILTER_AFTER, FILTER_AGGRESSIVE, FILTER_AT_LIMIT, FILTER_BEST5, FILTER_BEYOND,
    FILTER_PASSIVE, FILTER_SELF, FILTER_WITHIN, KEY_ACCOUNT, KEY_ACCOUNT_INSTRUMENT, KEY_ACCOUNT_VENUE, KEY_CONTROLLER,
    KEY_CONTROLLER_INSTRUMENT, KEY_CONTROLLER_VENUE, KEY_COUNT, KEY_FIRM, KEY_FIXED, KEY_INSTRUMENT, KEY_VENUE, PPM,
    WINDOW_DAY, WINDOW_PHASE,
)
from ext.rule_book cimport (
    NO_ROW, WORD_BOARD, WORD_EVENT, WORD_NOT_ST, WORD_PHASE, WORD_SIDE, WORD_ST, WORD_TAGS, WORD_VENUE, MarkCell,
)
from ext.rule_state cimport fifth_level_e4
from ext.state cimport FLAG_AGGRESSIVE, NONE, VENUES
from ext.windows cimport UNDEFINED


cdef void open_occasion(Occasion *occasion, State state, int event, uint32_t account, uint32_t instrument, int side, int64_t now_ns) noexcept:
    """Who and what; rows of positions and the order's own figures are set by the next three."""
    cdef const Instrument *listed
    memset(occasion, 0, sizeof(Occasion))
    occasion.event = event
    occasion.side = side
    occasion.now_ns = now_ns
    occasion.account_index = account
    occasion.instrument_index = instrument
    occasion.group = NONE
    occasion.deviation_ppm = UNDEFINED
    occasion.amounts[<int>AMOUNT_ONE] = 1
    occasion.word = <uint64_t>1 << (WORD_SIDE + side) | <uint64_t>1 << (WORD_EVENT + event)
    if account != NONE:
        occasion.account = &state.accounts[account]
        occasion.group = occasion.account.group
        occasion.tags = occasion.account.tags
        occasion.word |= <uint64_t>occasion.tags << WORD_TAGS
    if instrument == NONE:
        return
    listed = &state.instruments[instrument]
    occasion.instrument = listed
    occasion.venue = listed.venue
    occasion.market = &state.rule_state.recorded[instrument]
    occasion.word |= (<uint64_t>1 << (WORD_VENUE + listed.venue) | <uint64_t>1 << (WORD_BOARD + listed.board)
                      | <uint64_t>1 << (WORD_ST if listed.is_st else WORD_NOT_ST)
                      | <uint64_t>1 << (WORD_PHASE + state.phase[listed.venue]))


cdef void set_rows(Occasion *occasion, State state, const Position *own, const Position *shared) noexcept:
    """The row of each key. own, shared: the account's record in the instrument and its controller's, NULL: none yet."""
    cdef uint32_t account = occasion.account_index
    cdef uint32_t controller = account if occasion.group == NONE else state.most_accounts + occasion.group
    cdef uint32_t *rows = occasion.rows
    occasion.own = own
    occasion.shared = shared
    rows[<int>KEY_ACCOUNT] = account                  # NONE is NO_ROW
    rows[<int>KEY_CONTROLLER] = controller
    rows[<int>KEY_ACCOUNT_VENUE] = NO_ROW
    rows[<int>KEY_CONTROLLER_VENUE] = NO_ROW
    rows[<int>KEY_INSTRUMENT] = occasion.instrument_index
    rows[<int>KEY_VENUE] = NO_ROW
    if occasion.venue:
        if account != NONE:
            rows[<int>KEY_ACCOUNT_VENUE] = account * VENUES + occasion.venue - 1
        if controller != NONE:
            rows[<int>KEY_CONTROLLER_VENUE] = controller * VENUES + occasion.venue - 1
        rows[<int>KEY_VENUE] = occasion.venue - 1
    rows[<int>KEY_ACCOUNT_INSTRUMENT] = NO_ROW if own == NULL else <uint32_t>(own - state.positions)
    rows[<int>KEY_CONTROLLER_INSTRUMENT] = NO_ROW if shared == NULL else <uint32_t>(shared - state.positions)
    rows[<int>KEY_FIRM] = 0
    rows[<int>KEY_FIXED] = 0


cdef void set_order(Occasion *occasion, const Order *order) noexcept:
    """The figures of an order that exists."""
    occasion.is_order = True
    occasion.is_market_type = order.ord_type != LIMIT
    occasion.is_aggressive = (order.flags & FLAG_AGGRESSIVE) != 0
    occasion.order_price_e4 = counted_price_e4(order.ord_type, order.price_e4, order.wpx_e4)
    occasion.age_ns = occasion.now_ns - order.accepted_ns


cdef void set_amount(Occasion *occasion, int64_t shares, int64_t price_e4) noexcept:
    """How much of it, and how far the order's price is from the previous close."""
    cdef int64_t prev_close_e4 = 0 if occasion.instrument == NULL else occasion.instrument.prev_close_e4
    cdef int64_t away
    occasion.price_e4 = price_e4
    occasion.amounts[<int>AMOUNT_SHARES] = shares
    occasion.amounts[<int>AMOUNT_E4] = shares * price_e4
    occasion.met = ((FILTER_AGGRESSIVE if occasion.is_aggressive else FILTER_PASSIVE) | (FILTER_SELF if occasion.is_self else 0)
                    | (FILTER_AT_LIMIT if is_at_limit(occasion) else 0))
    if prev_close_e4 > 0:
        away = (occasion.order_price_e4 - prev_close_e4) * PPM
        occasion.deviation_ppm = away // prev_close_e4
        if away < 0 and occasion.deviation_ppm * prev_close_e4 != away:
            occasion.deviation_ppm -= 1


cdef bint is_at_limit(const Occasion *occasion) noexcept:
    """Whether the order stands at the limit that its side pushes to."""
    if occasion.instrument == NULL or not occasion.is_order:
        return False
    if occasion.side == BUY:
        return occasion.instrument.up_limit_e4 != 0 and occasion.order_price_e4 == occasion.instrument.up_limit_e4
    return occasion.instrument.down_limit_e4 != 0 and occasion.order_price_e4 == occasion.instrument.down_limit_e4


cdef bint is_in_best5(const Occasion *occasion) noexcept:
    """Whether the order's price is within its side's five best recorded levels, or better."""
    cdef int64_t last_level_e4
    if occasion.market == NULL:
        return False
    last_level_e4 = fifth_level_e4(occasion.market, occasion.side)
    if last_level_e4 == 0:
        return True
    return occasion.order_price_e4 >= last_level_e4 if occasion.side == BUY else occasion.order_price_e4 <= last_level_e4


cdef inline bint is_beyond(const Occasion *occasion, int64_t beyond_ppm) noexcept:
    """Whether the order's price deviates so far from the previous close, to its side's disadvantage."""
    cdef int64_t prev_close_e4
    cdef int64_t worse_e4
    if occasion.instrument == NULL or occasion.instrument.prev_close_e4 <= 0:
        return False
    prev_close_e4 = occasion.instrument.prev_close_e4
    worse_e4 = occasion.order_price_e4 - prev_close_e4 if occasion.side == BUY else prev_close_e4 - occasion.order_price_e4
    return worse_e4 * PPM >= beyond_ppm * prev_close_e4


cdef bint meets_filters(const Occasion *occasion, RuleBook book, State state, const Gauge *gauge) noexcept:
    """Whether this event has what the feature's other filters ask for; what few events have is asked first."""
    cdef int filters = gauge.filters
    if filters & FILTER_AFTER and not book.marks[gauge.mark].is_set:
        return False
    if filters & FILTER_WITHIN and occasion.age_ns > gauge.within_ns:
        return False
    if filters & FILTER_BEST5 and not is_in_best5(occasion):
        return False
    if filters & FILTER_BEYOND and not is_beyond(occasion, gauge.beyond_ppm):
        return False
    return not filters & FILTER_AFTER or is_mark_younger(occasion, state, &book.marks[gauge.mark], gauge,
                                                         SELL if occasion.side == BUY else BUY)


cdef int64_t phase_number(const Occasion *occasion, State state, const Gauge *gauge) noexcept:
    cdef int venue = 0
    if gauge.key == KEY_FIXED:
        venue = gauge.venue
    elif gauge.is_by_venue:
        venue = occasion.venue
    return state.phase_number[venue if 0 <= venue < VENUE_COUNT else 0]


cdef bint is_mark_younger(const Occasion *occasion, State state, const MarkRow *mark, const Gauge *gauge, int side) noexcept:
    """Whether the side's mark, in this event's row of the mark's key, is younger than the feature's window."""
    cdef uint32_t row = occasion.rows[mark.key]
    cdef const MarkCell *cell
    if mark.cells == NULL or row >= mark.rows:
        return False
    cell = &mark.cells[row]
    if cell.last_ns[side] == 0:
        return False
    if gauge.window_ns == WINDOW_DAY:
        return True
    if gauge.window_ns == WINDOW_PHASE:
        return (cell.phase[side] if gauge.is_by_venue else cell.any_phase[side]) == phase_number(occasion, state, gauge)
    return occasion.now_ns - cell.last_ns[side] < gauge.window_ns
