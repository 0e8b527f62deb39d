"""The writer of windows, marks and hit cells: called by apply alone, live and in recovery alike. Judges nothing."""

from libc.string cimport memcmp, memcpy

from ext.codes cimport BOARD_INDEX, BUY, PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, SELL, VENUE_COUNT
from ext.events cimport (
    EV_ADMIN, EV_HIT, EV_LEVEL, EV_MARK, EV_PHASE, EV_QUOTE, EV_RULE_SET, EV_TICKET, RuleSetEvent,
)
from ext.occasion cimport (
    Occasion, open_occasion, passes, place_of, set_amount, set_order, set_rows,
)
from ext.program cimport (
    AMOUNT_E4, FEATURE_SUM, FILTER_MARKET, KEY_ACCOUNT_INSTRUMENT, KEY_CONTROLLER, KEY_CONTROLLER_INSTRUMENT, KEY_CONTROLLER_VENUE, KEY_FIXED, KEY_VENUE, NOTHING, ON_CANCEL, ON_CANCELED, ON_FILL, ON_MARK,
    ON_ORDER, ON_QUOTE, ON_REJECT, WINDOW_DAY, Rule, validate_program,
)
from ext.rule_book cimport NO_ROW, Gauge, MarkRow, RuleBook, Run, step_of, touch
from ext.rule_state cimport MOST_RULE_SETS, RECENT_FILLS, FillRing, HitCell, RecentFill, RecordedQuote, RuleState, hit_key
from ext.state cimport GROUP_OWNER, NONE, VENUES, Position, position_key
from ext.windows cimport SlidingCell, WholeCell, cell_add, sliding_add, whole_sum_add

cdef enum:
    SELF_FILL_NS = 1000000             # two sides of a trade against oneself come within this time


# Events of orders

cdef void count_order(State state, const Order *order, int64_t now_ns) noexcept:
    """An order was accepted."""
    state.rule_state.recorded[order.instrument].is_ordered = True
    count_own(state, ON_ORDER, order, order.order_qty_shares, 0, now_ns)


cdef void count_cancel_sent(State state, const Order *order, int64_t now_ns) noexcept:
    count_own(state, ON_CANCEL, order, order.leaves_qty_shares, 0, now_ns)


cdef void count_canceled(State state, const Order *order, int64_t rest_shares, int64_t now_ns) noexcept:
    """The unfilled rest left the book by request."""
    count_own(state, ON_CANCELED, order, rest_shares, 0, now_ns)


cdef inline void open_own(Occasion *occasion, State state, int event, const Order *order, int64_t now_ns) noexcept:
    open_occasion(occasion, state, event, order.account, order.instrument, order.side, now_ns)
    set_rows(occasion, state, &state.positions[order.position], &state.positions[order.match_position])
    set_order(occasion, order)


cdef void count_own(State state, int event, const Order *order, int64_t shares, int64_t price_e4, int64_t now_ns) noexcept:
    """price_e4: of a trade, else 0 for the order's."""
    cdef Occasion occasion
    if state.rule_state.book.fed_by[event][order.side].count == 0:
        return
    open_own(&occasion, state, event, order, now_ns)
    set_amount(&occasion, shares, price_e4 if price_e4 else occasion.order_price_e4)
    feed(state, &occasion, state.rule_state.book.fed_by[event][order.side])


cdef void count_fill(State state, const Order *order, const ReportEvent *event) noexcept:
    cdef RuleBook book = state.rule_state.book
    cdef Occasion occasion
    if book.fed_by[<int>ON_FILL][order.side].count == 0:
        return
    open_own(&occasion, state, ON_FILL, order, event.head.time_ns)
    if book.is_self_counted:
        occasion.is_self = meets_own_fill(&state.rule_state.rings[order.match_position], order.side, event)
    set_amount(&occasion, event.last_qty_shares, event.last_px_e4)
    feed(state, &occasion, book.fed_by[<int>ON_FILL][order.side])


cdef void count_reject(State state, uint32_t account, uint32_t instrument, int side, int64_t now_ns) noexcept:
    """An order that we rejected; it opens no record, and counts in those that are there."""
    cdef Occasion occasion
    if state.rule_state.book.fed_by[<int>ON_REJECT][side].count == 0:
        return
    open_occasion(&occasion, state, ON_REJECT, account, instrument, side, now_ns)
    find_rows(&occasion, state)
    feed(state, &occasion, state.rule_state.book.fed_by[<int>ON_REJECT][side])


cdef bint meets_own_fill(FillRing *ring, int side, const ReportEvent *event) noexcept:
    """Whether the other side of this fill is one of the controller's own; that one is then used up. Else this one waits."""
    cdef RecentFill *fill
    cdef int at
    for at in range(<int>min(ring.next_at, <uint64_t>RECENT_FILLS)):
        fill = &ring.fills[at]
        if (fill.shares == event.last_qty_shares and fill.price_e4 == event.last_px_e4 and fill.side == BUY + SELL - side
                and (memcmp(fill.exec_id, event.exec_id, 16) == 0 or event.head.time_ns - fill.time_ns <= SELF_FILL_NS)):
            fill.shares = 0
            return True
    fill = &ring.fills[ring.next_at % RECENT_FILLS]
    ring.next_at += 1
    fill.shares = event.last_qty_shares
    fill.price_e4 = event.last_px_e4
    fill.time_ns = event.head.time_ns
    fill.side = side
    memcpy(fill.exec_id, event.exec_id, 16)
    return False


cdef void feed(State state, const Occasion *occasion, Run run) noexcept:
    """Count the event in every feature of the run, which has those of its side."""
    cdef RuleBook book = state.rule_state.book
    cdef const Gauge *gauge
    cdef uint32_t at, row
    cdef int64_t amount
    if state.rule_state.is_closed:
        return
    for at in range(run.first, run.first + run.count):
        gauge = &book.gauges[book.feeds[at]]
        row = occasion.rows[gauge.key]
        if row >= gauge.rows or (gauge.filters and not passes(occasion, book, state, gauge)):
            continue
        amount = occasion.amounts[gauge.amount]
        if gauge.kind != FEATURE_SUM:
            cell_add(touch(gauge, row), gauge.kind, gauge.step_ns != 0, place_of(occasion, book, state, gauge), amount)
        elif gauge.step_ns:
            sliding_add(<SlidingCell *>touch(gauge, row), step_of(book, gauge, occasion.now_ns), amount)
        else:
            whole_sum_add(<WholeCell *>touch(gauge, row), place_of(occasion, book, state, gauge), amount)


# Frames of the rules themselves

cdef void apply_surveillance(State state, const Frame *frame, uint64_t offset) noexcept:
    if frame.type == EV_QUOTE:
        apply_quote(state, <const QuoteEvent *>frame)
    elif frame.type == EV_MARK:
        apply_mark(state, <const MarkEvent *>frame)
    elif frame.type == EV_HIT:
        apply_hit(state, <const HitEvent *>frame)
        state.rule_state.add_alert(offset)
    elif frame.type in (EV_LEVEL, EV_TICKET, EV_ADMIN):
        state.rule_state.add_alert(offset)
    elif frame.type == EV_PHASE:
        apply_phase(state, <const PhaseEvent *>frame)
    elif frame.type == EV_RULE_SET:
        apply_rule_set(state, <const RuleSetEvent *>frame, offset)


cdef void apply_phase(State state, const PhaseEvent *event) noexcept:
    """A phase window begins anew at every change, but not where the opening call only stops taking cancels."""
    cdef int before = state.phase[event.venue]
    state.phase[event.venue] = event.phase
    if before == PHASE_OPEN_CALL and event.phase == PHASE_OPEN_CALL_LOCKED:
        return
    state.phase_number[event.venue] += 1
    state.phase_number[0] += 1
    state.phase_since_ns[event.venue] = event.head.time_ns
    state.phase_since_ns[0] = event.head.time_ns


cdef void apply_quote(State state, const QuoteEvent *event) noexcept:
    """The market's state as the rules know it from now on, and its volume since the quote before."""
    cdef RecordedQuote *quote = &state.rule_state.recorded[event.instrument]
    cdef bint is_first = quote.time_ns == 0
    cdef int64_t volume_shares = max(event.total_volume_shares - quote.total_volume_shares, 0)
    cdef int64_t turnover_e4 = max(event.total_turnover_e4 - quote.total_turnover_e4, 0)
    quote.time_ns = event.head.time_ns
    quote.last_px_e4 = event.last_px_e4
    quote.total_volume_shares = event.total_volume_shares
    quote.total_turnover_e4 = event.total_turnover_e4
    quote.phase = event.phase
    memcpy(quote.bid_px_e4, event.bid_px_e4, sizeof(quote.bid_px_e4))
    memcpy(quote.ask_px_e4, event.ask_px_e4, sizeof(quote.ask_px_e4))
    memcpy(quote.bid_qty_shares, event.bid_qty_shares, sizeof(quote.bid_qty_shares))
    memcpy(quote.ask_qty_shares, event.ask_qty_shares, sizeof(quote.ask_qty_shares))
    if state.rule_state.book.market_fed.count:
        feed_market(state, event, volume_shares, turnover_e4, is_first)


cdef void feed_market(State state, const QuoteEvent *event, int64_t volume_shares, int64_t turnover_e4, bint is_first) noexcept:
    """Prices, and traded volume: that of before the day's first quote belongs to the day alone."""
    cdef RuleBook book = state.rule_state.book
    cdef Occasion occasion
    cdef Gauge *gauge
    cdef uint32_t at, row
    cdef int64_t amount
    open_occasion(&occasion, state, ON_QUOTE, NONE, event.instrument, 0, event.head.time_ns)
    set_rows(&occasion, state, NULL, NULL)
    for at in range(book.market_fed.first, book.market_fed.first + book.market_fed.count):
        gauge = &book.gauges[book.feeds[at]]
        row = occasion.rows[gauge.key]
        if gauge.key == KEY_FIXED and (occasion.instrument.symbol != gauge.symbol or occasion.venue != gauge.venue):
            continue
        if row >= gauge.rows or (gauge.key == KEY_VENUE and occasion.instrument.board == BOARD_INDEX):
            continue
        amount = event.last_px_e4
        if gauge.filters & FILTER_MARKET:
            amount = turnover_e4 if gauge.amount == AMOUNT_E4 else volume_shares
            if is_first and gauge.window_ns != WINDOW_DAY:
                amount = 0
        elif amount == 0:
            continue
        cell_add(touch(gauge, row), gauge.kind, gauge.step_ns != 0,
                 place_of(&occasion, book, state, gauge), amount)


cdef void apply_mark(State state, const MarkEvent *event) noexcept:
    cdef RuleBook book = state.rule_state.book
    if event.mark < book.mark_count and event.rule_set == book.number:
        set_mark(state, event.mark, &event.head, row_of_journal(state, book.marks[event.mark].key, event.row), event.instrument, event.side, event.ends)


cdef void set_mark(State state, uint32_t number, const Frame *head, uint32_t row, uint32_t instrument, int side, bint ends) noexcept:
    """Set it for its side and for any, or end it; a mark that is set counts as an event of its own."""
    cdef RuleBook book = state.rule_state.book
    cdef MarkRow *mark = &book.marks[number]
    cdef Occasion occasion
    cdef Run fed
    cdef int venue = 0 if instrument >= state.instrument_count else state.instruments[instrument].venue
    cdef uint32_t at
    if mark.cells == NULL or row >= mark.rows or not 0 <= side <= SELL:
        return
    if ends:
        mark.cells[row].last_ns[side] = 0
        mark.cells[row].last_ns[0] = max(mark.cells[row].last_ns[<int>BUY], mark.cells[row].last_ns[<int>SELL])
        return
    mark.is_set = True
    mark.cells[row].last_ns[0] = mark.cells[row].last_ns[side] = head.time_ns
    mark.cells[row].phase[0] = mark.cells[row].phase[side] = state.phase_number[venue]
    mark.cells[row].any_phase[0] = mark.cells[row].any_phase[side] = state.phase_number[0]
    fed = book.fed_by[<int>ON_MARK][side]
    if fed.count == 0:
        return
    open_occasion(&occasion, state, ON_MARK, NONE if head.account >= state.account_count else head.account,
                  NONE if venue == 0 else instrument, side, head.time_ns)
    if occasion.account == NULL:
        occasion.group = group_of_row(state, mark.key, row)
    find_rows(&occasion, state)
    occasion.rows[mark.key] = row
    for at in range(fed.first, fed.first + fed.count):
        if book.gauges[book.feeds[at]].mark == number:
            feed(state, &occasion, Run(at, 1))


cdef uint32_t group_of_row(State state, int key, uint32_t row) noexcept:
    """The group that a controller's row is of, NONE: it is no group's."""
    cdef uint32_t owner = NONE
    if key == KEY_CONTROLLER_INSTRUMENT and row < state.position_count:
        owner = state.positions[row].owner
        return owner & ~GROUP_OWNER if owner & GROUP_OWNER else NONE
    if key == KEY_CONTROLLER and row >= state.most_accounts:
        return row - state.most_accounts
    if key == KEY_CONTROLLER_VENUE and row // VENUES >= state.most_accounts:
        return row // VENUES - state.most_accounts
    return NONE


cdef void find_rows(Occasion *occasion, State state) noexcept:
    """Rows of an account, or of a group alone, in an instrument: by search."""
    cdef const Position *own = NULL
    cdef const Position *shared = NULL
    if occasion.instrument != NULL and occasion.account != NULL:
        own = shared = state.find_position(occasion.account_index, occasion.instrument_index)
    if occasion.instrument != NULL and occasion.group != NONE:
        shared = state.find_position(GROUP_OWNER | occasion.group, occasion.instrument_index)
    set_rows(occasion, state, own, shared)


cdef uint32_t journal_row(State state, int key, uint32_t row) noexcept:
    """A row as journals name it: groups do not stand behind the most accounts, of which a process may have more or fewer."""
    cdef uint32_t first = state.most_accounts * (VENUES if key == KEY_CONTROLLER_VENUE else 1)
    if key not in (KEY_CONTROLLER, KEY_CONTROLLER_VENUE) or row == NO_ROW or row < first:
        return row
    return GROUP_OWNER | (row - first)


cdef uint32_t row_of_journal(State state, int key, uint32_t row) noexcept:
    """The row again."""
    if key not in (KEY_CONTROLLER, KEY_CONTROLLER_VENUE) or row == NO_ROW or not row & GROUP_OWNER:
        return row
    return (row & ~<uint32_t>GROUP_OWNER) + state.most_accounts * (VENUES if key == KEY_CONTROLLER_VENUE else 1)


cdef uint64_t row_identity(State state, int key, uint32_t row, uint32_t account, uint32_t group, uint32_t instrument) noexcept:
    """What hits of a row are remembered under: of a position by whose it is, for its record may not exist yet."""
    if key == KEY_ACCOUNT_INSTRUMENT:
        return position_key(account, instrument)
    if key == KEY_CONTROLLER_INSTRUMENT:
        return position_key(account if group == NONE else GROUP_OWNER | group, instrument)
    return journal_row(state, key, row)


cdef void apply_hit(State state, const HitEvent *event) noexcept:
    """When the rule last hit the row, and, when it was enforced, one more for its escalation."""
    cdef RuleBook book = state.rule_state.book
    cdef const Rule *rule
    cdef HitCell *cell
    cdef uint32_t row = event.row
    cdef uint32_t group
    if event.rule_set != book.number or not 0 < event.rule <= book.rule_count:
        return
    rule = &book.program.rules[event.rule - 1]
    row = row_of_journal(state, rule.key, row)
    group = group_of_row(state, rule.key, row) if event.head.account >= state.account_count else state.accounts[event.head.account].group
    cell = state.rule_state.find_hit(
        hit_key(book.rule_keys[event.rule - 1],
                row_identity(state, rule.key, row, event.head.account, group, event.instrument), event.stage, event.enforced), True)
    if cell != NULL:
        cell.last_ns = event.head.time_ns
    if event.enforced and rule.hit_mark != NOTHING:
        if row == NO_ROW:
            row = open_row(state, rule.key, event.head.account, group, event.instrument)
        set_mark(state, rule.hit_mark, &event.head, row, event.instrument, event.side, False)


cdef uint32_t open_row(State state, int key, uint32_t account, uint32_t group, uint32_t instrument) noexcept:
    """The record that hits on an order are counted in, when the order was refused before there was any."""
    cdef Position *position = NULL
    if key in (KEY_ACCOUNT_INSTRUMENT, KEY_CONTROLLER_INSTRUMENT) and account < state.account_count and instrument < state.instrument_count:
        if key == KEY_CONTROLLER_INSTRUMENT and group != NONE:
            account = GROUP_OWNER | group
        position = state.open_position(account, instrument)
    return NO_ROW if position == NULL else <uint32_t>(position - state.positions)


cdef void apply_rule_set(State state, const RuleSetEvent *event, uint64_t offset) noexcept:
    """The compiled rules behind the frame come into force. Windows go on where features stayed the same."""
    cdef RuleState ours = state.rule_state
    cdef RuleBook book
    cdef const unsigned char *octets = <const unsigned char *>event + sizeof(RuleSetEvent)
    cdef int64_t since_ns = event.head.time_ns
    if sizeof(RuleSetEvent) + event.program_size > event.head.size or validate_program(octets, event.program_size) != 1:
        return
    # With nothing behind it, a rule set misses nothing: its windows are as full as the day is.
    if ours.rule_set_count == 0 and state.order_count == 0:
        since_ns = 0
    book = ours.new_book()
    book.load(octets, event.program_size, ours.book, since_ns, state.phase_number)
    book.number = event.number
    ours.retired = ours.book
    ours.book = book
    ours.note_pages()
    ours.rule_set_count = event.number
    if event.number < MOST_RULE_SETS:
        ours.rule_sets[event.number] = offset
