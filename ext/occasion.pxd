# One event as the rules see it: who, in what, how much, and the rows it belongs to. Made anew for every event, kept nowhere.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.program cimport AMOUNT_E4, FILTER_AGGRESSIVE, FILTER_AT_LIMIT, FILTER_PASSIVE, FILTER_SELF, KEY_COUNT, WINDOW_PHASE
from ext.rule_book cimport Gauge, MarkRow, RuleBook, step_of
from ext.rule_state cimport RecordedQuote, RuleState
from ext.state cimport Account, Instrument, Order, Position, State

cdef enum:
    AMOUNTS = AMOUNT_E4 + 1
    PLAIN_FILTERS = FILTER_AGGRESSIVE | FILTER_PASSIVE | FILTER_AT_LIMIT | FILTER_SELF     # what an event has or has not

cdef struct Occasion:
    int64_t now_ns
    uint64_t word                      # venue, board, side, ST, tags, phase and event as bits, against Gate.forbidden
    uint64_t number                    # RuleBook.occasion, for what is remembered while it lasts
    int64_t price_e4                   # of a market order what it is held at; of a trade the trade's
    int64_t order_price_e4             # of the order in either case
    int64_t amounts[AMOUNTS]           # by Amount: 1, shares, price times shares
    int64_t age_ns                     # since the order was accepted
    int64_t deviation_ppm              # order price against previous close; UNDEFINED without one
    const Account *account             # NULL: a group's row, at a quote
    const Instrument *instrument
    const RecordedQuote *market
    const Position *own                # of the account, NULL: none yet
    const Position *shared             # of its controller: the group's record, or the same
    uint32_t account_index
    uint32_t group
    uint32_t instrument_index
    uint32_t order_no                  # of the order, 0: none yet
    uint32_t tags
    uint32_t met                       # the filters among PLAIN_FILTERS that this event meets
    uint32_t rows[KEY_COUNT]
    int event                          # RuleEvent
    int side
    int venue
    bint is_pending                    # not applied yet: values count it in
    bint is_order                      # an order's event: there is a `this`
    bint is_aggressive
    bint is_market_type
    bint is_self                       # a fill whose other side is of the same controller

cdef void open_occasion(Occasion *occasion, State state, int event, uint32_t account, uint32_t instrument, int side, int64_t now_ns) noexcept
cdef void set_rows(Occasion *occasion, State state, const Position *own, const Position *shared) noexcept
cdef void set_order(Occasion *occasion, const Order *order) noexcept
cdef void set_amount(Occasion *occasion, int64_t shares, int64_t price_e4) noexcept
cdef bint is_at_limit(const Occasion *occasion) noexcept
cdef bint is_in_best5(const Occasion *occasion) noexcept
cdef bint meets_filters(const Occasion *occasion, RuleBook book, State state, const Gauge *gauge) noexcept
cdef int64_t phase_number(const Occasion *occasion, State state, const Gauge *gauge) noexcept
cdef bint is_mark_younger(const Occasion *occasion, State state, const MarkRow *mark, const Gauge *gauge, int side) noexcept

# The price an order counts at: what market orders are held at stands in for the limit they do not have.
cdef inline int64_t counted_price_e4(int ord_type, int64_t price_e4, int64_t wpx_e4) noexcept nogil:
    return price_e4 if ord_type == 1 else wpx_e4

cdef inline bint passes(const Occasion *occasion, RuleBook book, State state, const Gauge *gauge) noexcept:
    cdef uint32_t others = gauge.filters & ~<uint32_t>PLAIN_FILTERS
    if gauge.filters & PLAIN_FILTERS & ~occasion.met:
        return False
    return others == 0 or meets_filters(occasion, book, state, gauge)

# Whether the feature counts this event: its side, and every one of its filters.
cdef inline bint is_counted(const Occasion *occasion, RuleBook book, State state, const Gauge *gauge) noexcept:
    if gauge.side and gauge.side != occasion.side:
        return False
    return gauge.filters == 0 or passes(occasion, book, state, gauge)

# Now's step, or the phase's number, or 0 for the day: what cells are read and added at.
cdef inline int64_t place_of(const Occasion *occasion, RuleBook book, State state, const Gauge *gauge) noexcept:
    if gauge.step_ns:
        return step_of(book, gauge, occasion.now_ns)
    return phase_number(occasion, state, gauge) if gauge.window_ns == WINDOW_PHASE else 0
