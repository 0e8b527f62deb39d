# Price-time matching of one exchange: all its books, its order types, its phases, its call auctions.
# The caller submits and cancels; what happens comes back through a MatchSink before the call returns.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from ext.book cimport Auction, Book, Order, Slab
from ext.codes cimport Phase
from ext.quotes cimport Quote

# Why the exchange refused: the numbers it puts into OrdRejReason and CxlRejReason. They are this simulator's own, since
# neither exchange publishes its table. 20xx orders, 21xx cancels.
cdef enum ExchangeReason:
    REASON_INTERNAL = 0
    REASON_PASS = 1
    REASON_SYMBOL = 2001               # not listed here
    REASON_SUSPENDED = 2002
    REASON_PHASE = 2003                # this phase takes no orders, or no market orders
    REASON_ORD_TYPE = 2004             # order type or side unknown to this exchange
    REASON_LOT = 2005                  # buy quantity below the minimum or off the step; any quantity not positive
    REASON_MAX_QTY = 2006
    REASON_TICK = 2007
    REASON_PRICE_LIMIT = 2008
    REASON_CAGE = 2009
    REASON_CAPACITY = 2011
    REASON_CXL_UNKNOWN = 2101          # no such order
    REASON_CXL_NOT_OPEN = 2102         # already filled, cancelled or refused
    REASON_CXL_WINDOW = 2103           # this phase takes no cancels

cdef struct Trade:
    uint64_t trade_no                  # from 1, in order, over the whole market
    int64_t last_px_e4
    int64_t last_qty_shares
    uint32_t book
    uint8_t aggressor                  # codes.Side of the incoming order; 0 in a call auction

# What happened, as it happens. The orders pointed to are valid during the call only; leaves are what remains after the
# event, and an order with nothing left is gone when the call returns. A sink never calls the market back.
cdef class MatchSink:
    cdef void on_accepted(self, uint32_t slot, const Order *order) noexcept
    cdef void on_trade(self, const Trade *trade, const Order *buy, const Order *sell) noexcept
    cdef void on_canceled(self, const Order *order, int64_t canceled_qty_shares) noexcept

cdef class Market:
    cdef readonly int venue            # codes.Venue
    cdef readonly int phase            # codes.Phase
    cdef readonly uint64_t order_count # orders accepted so far; the newest order's order_no
    cdef readonly uint64_t trade_count
    cdef Slab slab
    cdef MatchSink sink
    cdef Book *books
    cdef readonly uint32_t book_count
    cdef uint32_t book_capacity
    cdef uint32_t *changed             # books changed since the list was last emptied
    cdef uint32_t changed_count
    cdef int32_t *index_of             # [1000000]: index of a symbol's book, -1 when it is not listed

    cdef int32_t find(self, uint32_t symbol) noexcept
    cdef int check_order(self, int32_t book, uint8_t side, uint8_t ord_type, int64_t qty_shares, int64_t price_e4) noexcept
    # REASON_PASS after the events, or why not (and no event). price_e4 of a market order: its protection price, 0 for none.
    cdef int submit(self, int32_t book, uint8_t side, uint8_t ord_type, int64_t qty_shares, int64_t price_e4,
                    uint64_t cookie) noexcept
    cdef int cancel(self, uint32_t slot, uint64_t order_no) noexcept
    cdef void enter(self, int phase) noexcept
    cdef void fill_quote(self, uint32_t book, Quote *quote) noexcept
    cdef Auction auction(self, uint32_t book) noexcept
    cdef void touch(self, uint32_t book) noexcept

    cdef int check_price(self, const Book *book, uint8_t side, uint8_t ord_type, int64_t price_e4) noexcept
    cdef void trade(self, Book *book, Order *bid, Order *ask, int64_t price_e4, int64_t qty_shares, uint8_t aggressor) noexcept
    cdef void sweep(self, Book *book, Order *taker, int32_t limit_rank, int max_levels) noexcept
    cdef void match_limit(self, Book *book, uint32_t slot, int64_t price_e4) noexcept
    cdef void match_market(self, Book *book, uint32_t slot, int64_t protection_e4) noexcept
    cdef void uncross(self, uint32_t index) noexcept
    cdef void fill_levels(self, const Book *book, Quote *quote) noexcept
    cdef bint grow_books(self) except False
