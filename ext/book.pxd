# One instrument's order book: an array of price levels per side, indexed by tick between the day's limits.
# A level's index is its rank: 0 is the best price that side could ever have (the up limit for bids, the down limit for
# asks), so both sides read alike and the opposite side's rank of the same price is `ticks - 1 - rank`.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    NO_ORDER = 0                       # slot 0 of a slab is never used

cdef struct Order:
    uint64_t order_no                  # from 1, in order of arrival at this market
    uint64_t cookie                    # the caller's own; untouched here
    int64_t order_qty_shares
    int64_t leaves_qty_shares
    int64_t price_e4                   # where it rests; 0 for a market order that never rested
    uint32_t book                      # index of its book
    int32_t rank                       # on its own side
    uint32_t next                      # slots of its neighbours in the level's queue, NO_ORDER at the ends
    uint32_t prev
    uint8_t side                       # codes.Side
    uint8_t ord_type                   # codes.OrdType

cdef struct Level:
    uint32_t head
    uint32_t tail
    int64_t qty_shares

cdef struct Ladder:                    # one side
    Level *levels                      # [ticks]
    uint64_t *occupied                 # one bit per level that holds an order
    int32_t best                       # rank of the best occupied level; `ticks` when the side is empty
    int32_t ticks

cdef struct Auction:                   # what a call auction would do now
    int64_t price_e4                   # 0: nothing matches
    int64_t qty_shares
    int64_t surplus_shares             # bought less sold at that price

cdef struct Book:
    uint32_t symbol
    uint8_t suspended
    uint8_t changed                    # listed in the market's `changed`
    int32_t ticks                      # price levels between the limits, both included
    int64_t tick_e4
    int64_t up_limit_e4
    int64_t down_limit_e4
    int64_t prev_close_e4
    int64_t last_px_e4                 # 0 before the first trade
    int64_t volume_shares
    int64_t turnover_e4
    int64_t buy_min_shares
    int64_t buy_step_shares
    int64_t max_limit_shares
    int64_t max_market_shares
    int32_t cage_bps                   # 0: no cage
    int32_t cage_ticks
    Ladder sides[3]                    # by codes.Side

# Orders of all books, by slot; freed slots are used again first.
cdef class Slab:
    cdef Order *orders
    cdef uint32_t capacity
    cdef uint32_t used                 # slots ever handed out, slot 0 included
    cdef uint32_t free                 # chain of freed slots through `next`
    cdef readonly uint32_t live
    cdef uint32_t take(self) noexcept  # a slot, NO_ORDER when memory is out; may move `orders`
    cdef void give(self, uint32_t slot) noexcept

cdef bint open_book(Book *book) except False             # allocates both ladders from the limits and the tick
cdef void close_book(Book *book) noexcept
cdef int32_t rank_of(const Book *book, uint8_t side, int64_t price_e4) noexcept nogil
cdef int64_t price_of(const Book *book, uint8_t side, int32_t rank) noexcept nogil
cdef int64_t best_price_e4(const Book *book, uint8_t side) noexcept nogil   # 0 when the side is empty
cdef int32_t next_occupied(const Ladder *ladder, int32_t rank) noexcept nogil  # first at or after rank; ticks when none
cdef void rest(Slab slab, Book *book, uint32_t slot) noexcept               # at the tail of its level
cdef void unlink(Slab slab, Book *book, uint32_t slot) noexcept             # out of its level, wherever it stands
cdef Auction auction_price(const Book *book, bint midpoint, int64_t reference_e4) noexcept nogil
