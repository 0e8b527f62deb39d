"""One instrument's order book: price levels, their queues, and the call auction's price. Knows no order type and no phase."""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset
from ext.codes cimport BUY, SELL

cdef extern from *:
    int __builtin_ctzll(unsigned long long) noexcept nogil

cdef enum:
    FIRST_SLOTS = 4096
    MAX_TICKS = 0x1000000


cdef class Slab:
    """Storage of the orders of one market; grows by doubling, so in steady state nothing is allocated."""

    def __cinit__(self):
        self.used = 1
        self.free = NO_ORDER
        self.capacity = FIRST_SLOTS
        self.orders = <Order *>calloc(self.capacity, sizeof(Order))
        if self.orders == NULL:
            raise MemoryError(f"no memory for {FIRST_SLOTS} orders")

    def __dealloc__(self):
        free(self.orders)

    cdef uint32_t take(self) noexcept:
        cdef uint32_t slot = self.free
        cdef Order *grown
        if slot != NO_ORDER:
            self.free = self.orders[slot].next
            self.live += 1
            return slot
        if self.used == self.capacity:
            grown = <Order *>realloc(self.orders, 2 * <size_t>self.capacity * sizeof(Order))
            if grown == NULL:
                return NO_ORDER
            self.orders = grown
            self.capacity *= 2
        slot = self.used
        self.used += 1
        self.live += 1
        return slot

    cdef void give(self, uint32_t slot) noexcept:
        memset(&self.orders[slot], 0, sizeof(Order))
        self.orders[slot].next = self.free
        self.free = slot
        self.live -= 1


cdef bint open_book(Book *book) except False:
    """Allocate the ladders of a book whose tick and limits are set."""
    cdef int64_t span = book.up_limit_e4 - book.down_limit_e4
    cdef Ladder *ladder
    if book.tick_e4 <= 0 or book.down_limit_e4 <= 0 or span < 0 or span % book.tick_e4 or book.down_limit_e4 % book.tick_e4:
        raise ValueError(f"symbol {book.symbol:06d}: limits {book.down_limit_e4}..{book.up_limit_e4} do not fit tick {book.tick_e4}")
    if span // book.tick_e4 >= MAX_TICKS:
        raise ValueError(f"symbol {book.symbol:06d}: {span // book.tick_e4 + 1} ticks between the limits, at most {MAX_TICKS}")
    book.ticks = <int32_t>(span // book.tick_e4) + 1
    for side in range(BUY, SELL + 1):
        ladder = &book.sides[side]
        ladder.ticks = book.ticks
        ladder.best = book.ticks
        ladder.levels = <Level *>calloc(book.ticks, sizeof(Level))
        ladder.occupied = <uint64_t *>calloc((book.ticks + 63) // 64, sizeof(uint64_t))
        if ladder.levels == NULL or ladder.occupied == NULL:
            raise MemoryError(f"symbol {book.symbol:06d}: no memory for {book.ticks} price levels")
    return True


cdef void close_book(Book *book) noexcept:
    for side in range(BUY, SELL + 1):
        free(book.sides[side].levels)
        free(book.sides[side].occupied)


cdef int32_t rank_of(const Book *book, uint8_t side, int64_t price_e4) noexcept nogil:
    """Rank of a price that is on a tick and within the limits."""
    if side == BUY:
        return <int32_t>((book.up_limit_e4 - price_e4) // book.tick_e4)
    return <int32_t>((price_e4 - book.down_limit_e4) // book.tick_e4)


cdef int64_t price_of(const Book *book, uint8_t side, int32_t rank) noexcept nogil:
    if side == BUY:
        return book.up_limit_e4 - rank * book.tick_e4
    return book.down_limit_e4 + rank * book.tick_e4


cdef int64_t best_price_e4(const Book *book, uint8_t side) noexcept nogil:
    cdef int32_t best = book.sides[side].best
    return price_of(book, side, best) if best < book.ticks else 0


cdef int32_t next_occupied(const Ladder *ladder, int32_t rank) noexcept nogil:
    cdef int32_t word = rank >> 6
    cdef int32_t words = (ladder.ticks + 63) >> 6
    cdef uint64_t bits
    if rank >= ladder.ticks:
        return ladder.ticks
    bits = ladder.occupied[word] >> (rank & 63) << (rank & 63)
    while bits == 0:
        word += 1
        if word == words:
            return ladder.ticks
        bits = ladder.occupied[word]
    return (word << 6) + __builtin_ctzll(bits)


cdef void rest(Slab slab, Book *book, uint32_t slot) noexcept:
    cdef Order *order = &slab.orders[slot]
    cdef Ladder *ladder = &book.sides[order.side]
    cdef Level *level = &ladder.levels[order.rank]
    order.next = NO_ORDER
    order.prev = level.tail
    if level.tail != NO_ORDER:
        slab.orders[level.tail].next = slot
    else:
        level.head = slot
        ladder.occupied[order.rank >> 6] |= <uint64_t>1 << (order.rank & 63)
        if order.rank < ladder.best:
            ladder.best = order.rank
    level.tail = slot
    level.qty_shares += order.leaves_qty_shares


cdef void unlink(Slab slab, Book *book, uint32_t slot) noexcept:
    cdef Order *order = &slab.orders[slot]
    cdef Ladder *ladder = &book.sides[order.side]
    cdef Level *level = &ladder.levels[order.rank]
    if order.prev != NO_ORDER:
        slab.orders[order.prev].next = order.next
    else:
        level.head = order.next
    if order.next != NO_ORDER:
        slab.orders[order.next].prev = order.prev
    else:
        level.tail = order.prev
    level.qty_shares -= order.leaves_qty_shares
    if level.head == NO_ORDER:
        ladder.occupied[order.rank >> 6] &= ~(<uint64_t>1 << (order.rank & 63))
        if order.rank == ladder.best:
            ladder.best = next_occupied(ladder, order.rank)


# The candidate prices of an auction form one run [low, high] of equal volume and surplus.
cdef struct Candidates:
    int64_t low_e4
    int64_t high_e4
    int64_t qty_shares
    int64_t surplus_shares


cdef inline void offer(Candidates *best, int64_t price_e4, int64_t bought, int64_t sold) noexcept nogil:
    """Keep the price if it trades more, or as much with less left over; an equal one lengthens the run."""
    cdef int64_t qty = bought if bought < sold else sold
    cdef int64_t surplus = bought - sold
    cdef bint equal = qty == best.qty_shares and qty > 0 and abs64(surplus) == abs64(best.surplus_shares)
    if equal:
        best.high_e4 = price_e4
        return
    if qty < best.qty_shares or qty == 0:
        return
    if qty == best.qty_shares and abs64(surplus) > abs64(best.surplus_shares):
        return
    best.low_e4 = price_e4
    best.high_e4 = price_e4
    best.qty_shares = qty
    best.surplus_shares = surplus


cdef inline int64_t abs64(int64_t value) noexcept nogil:
    return value if value >= 0 else -value


cdef Auction auction_price(const Book *book, bint midpoint, int64_t reference_e4) noexcept nogil:
    """The price of greatest volume, then of least surplus, then of the exchange's tie rule.

    Every bid above it and every ask below it trades in full, which a price of greatest volume alone does not promise.
    midpoint (Shanghai): candidates are order prices only, and the middle of a tie counts, rounded half up to the tick.
    Otherwise (Shenzhen): any tick is a candidate, and the one nearest reference_e4 counts.
    """
    cdef const Ladder *bids = &book.sides[<int>BUY]
    cdef const Ladder *asks = &book.sides[<int>SELL]
    cdef int32_t last = book.ticks - 1
    cdef int32_t high = last - bids.best
    cdef int32_t bid_rank = bids.best
    cdef int32_t rank = asks.best
    cdef int64_t bought = 0, sold = 0
    cdef int64_t above, below
    cdef bint declared
    cdef Candidates best
    cdef Auction auction
    memset(&best, 0, sizeof(best))
    memset(&auction, 0, sizeof(auction))
    # Ranks of asks rise with price. Every bid at or above the lowest ask is in play at the lowest price.
    while bid_rank <= last - asks.best:
        bought += bids.levels[bid_rank].qty_shares
        bid_rank = next_occupied(bids, bid_rank + 1)
    while rank <= high:
        sold += asks.levels[rank].qty_shares
        above = bought - bids.levels[last - rank].qty_shares
        below = sold - asks.levels[rank].qty_shares
        declared = above < bought or below < sold
        if (declared or not midpoint) and above <= sold and below <= bought:
            offer(&best, price_of(book, SELL, rank), bought, sold)
        bought = above
        rank += 1
    if best.qty_shares == 0:
        return auction
    auction.qty_shares = best.qty_shares
    auction.surplus_shares = best.surplus_shares
    auction.price_e4 = settle(book, &best, midpoint, reference_e4)
    return auction


cdef int64_t settle(const Book *book, const Candidates *best, bint midpoint, int64_t reference_e4) noexcept nogil:
    cdef int64_t ticks
    if midpoint:
        ticks = ((best.low_e4 + best.high_e4) // book.tick_e4 + 1) // 2
        return ticks * book.tick_e4
    if reference_e4 < best.low_e4:
        return best.low_e4
    if reference_e4 > best.high_e4:
        return best.high_e4
    return reference_e4
