"""Price-time matching of one exchange: orders in, events out. Reads no clock, keeps no client, encodes no report."""

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset
from ext.book cimport (NO_ORDER, Ladder, Level, auction_price, best_price_e4, close_book, next_occupied, open_book, price_of,
                       rank_of, rest, unlink)
from ext.codes cimport (BUY, LIMIT, MARKET_BEST5_CANCEL, MARKET_BEST5_LIMIT, MARKET_FOK, MARKET_IOC, MARKET_OPPOSITE_BEST,
                        MARKET_OWN_BEST, ORD_TYPE_COUNT, PHASE_CLOSE_CALL, PHASE_CLOSED, PHASE_CONTINUOUS, PHASE_COUNT,
                        PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED, SELL, XSHE, XSHG)

cdef enum:
    SYMBOLS = 1000000
    ALL_LEVELS = 0x7FFFFFFF
    BEST_FIVE = 5
    BPS = 10000

REASONS: dict[int, str] = {
    REASON_SYMBOL: "SYMBOL", REASON_SUSPENDED: "SUSPENDED", REASON_PHASE: "PHASE", REASON_ORD_TYPE: "ORD_TYPE",
    REASON_LOT: "LOT", REASON_MAX_QTY: "MAX_QTY", REASON_TICK: "TICK", REASON_PRICE_LIMIT: "PRICE_LIMIT",
    REASON_CAGE: "CAGE", REASON_CAPACITY: "CAPACITY",
    REASON_CXL_UNKNOWN: "CXL_UNKNOWN", REASON_CXL_NOT_OPEN: "CXL_NOT_OPEN", REASON_CXL_WINDOW: "CXL_WINDOW",
}


cdef inline bint is_call(int phase) noexcept nogil:
    return phase == PHASE_OPEN_CALL or phase == PHASE_OPEN_CALL_LOCKED or phase == PHASE_CLOSE_CALL


cdef inline bint takes_cancels(int phase) noexcept nogil:
    return phase == PHASE_OPEN_CALL or phase == PHASE_CONTINUOUS


cdef class MatchSink:
    """Receives what a Market does; this base ignores everything."""

    cdef void on_accepted(self, uint32_t slot, const Order *order) noexcept:
        pass

    cdef void on_trade(self, const Trade *trade, const Order *buy, const Order *sell) noexcept:
        pass

    cdef void on_canceled(self, const Order *order, int64_t canceled_qty_shares) noexcept:
        pass


cdef class Market:
    """The books of one exchange (codes.Venue number) and the phase they share; events go to `sink`."""

    def __cinit__(self, int venue, MatchSink sink not None):
        if venue != XSHG and venue != XSHE:
            raise ValueError(f"venue {venue}: expected 1 (XSHG) or 2 (XSHE)")
        self.venue = venue
        self.sink = sink
        self.phase = PHASE_CLOSED
        self.slab = Slab()
        self.index_of = <int32_t *>malloc(SYMBOLS * sizeof(int32_t))
        if self.index_of == NULL:
            raise MemoryError("no memory for the symbol index")
        memset(self.index_of, 0xFF, SYMBOLS * sizeof(int32_t))

    def __dealloc__(self):
        for index in range(self.book_count):
            close_book(&self.books[index])
        free(self.books)
        free(self.changed)
        free(self.index_of)

    def list_instrument(self, uint32_t symbol, *, int64_t tick_e4, int64_t up_limit_e4, int64_t down_limit_e4,
                        int64_t prev_close_e4, int64_t buy_min_shares=100, int64_t buy_step_shares=100,
                        int64_t max_limit_shares=1000000, int64_t max_market_shares=1000000, int32_t cage_bps=200,
                        int32_t cage_ticks=10, bint suspended=False) -> int:
        """Open the book of one instrument; returns its index. cage_bps 0 switches the price cage off."""
        cdef Book *book
        if symbol >= SYMBOLS or self.index_of[symbol] >= 0:
            raise ValueError(f"symbol {symbol:06d}: expected six digits, listed once")
        self.grow_books()
        book = &self.books[self.book_count]
        memset(book, 0, sizeof(Book))
        book.symbol = symbol
        book.suspended = suspended
        book.tick_e4 = tick_e4
        book.up_limit_e4 = up_limit_e4
        book.down_limit_e4 = down_limit_e4
        book.prev_close_e4 = prev_close_e4
        book.buy_min_shares = buy_min_shares
        book.buy_step_shares = buy_step_shares
        book.max_limit_shares = max_limit_shares
        book.max_market_shares = max_market_shares
        book.cage_bps = cage_bps
        book.cage_ticks = cage_ticks
        self.book_count += 1
        open_book(book)
        self.index_of[symbol] = self.book_count - 1
        return self.book_count - 1

    cdef bint grow_books(self) except False:
        cdef uint32_t capacity = max(64, 2 * self.book_capacity)
        cdef void *books
        cdef void *changed
        if self.book_count < self.book_capacity:
            return True
        books = realloc(self.books, capacity * sizeof(Book))
        if books == NULL:
            raise MemoryError(f"no memory for {capacity} books")
        self.books = <Book *>books
        changed = realloc(self.changed, capacity * sizeof(uint32_t))
        if changed == NULL:
            raise MemoryError(f"no memory for {capacity} books")
        self.changed = <uint32_t *>changed
        self.book_capacity = capacity
        return True

    cdef int32_t find(self, uint32_t symbol) noexcept:
        """Index of a symbol's book, -1 when it is not listed."""
        return self.index_of[symbol] if symbol < SYMBOLS else -1

    cdef void touch(self, uint32_t book) noexcept:
        if not self.books[book].changed:
            self.books[book].changed = True
            self.changed[self.changed_count] = book
            self.changed_count += 1

    # -- checks, in the order their reasons take precedence

    cdef int check_order(self, int32_t book, uint8_t side, uint8_t ord_type, int64_t qty_shares, int64_t price_e4) noexcept:
        cdef const Book *b
        cdef bint market = ord_type != LIMIT
        if book < 0 or book >= <int32_t>self.book_count:
            return REASON_SYMBOL
        b = &self.books[book]
        if b.suspended:
            return REASON_SUSPENDED
        if self.phase != PHASE_CONTINUOUS and (market or not is_call(self.phase)):
            return REASON_PHASE
        if side != BUY and side != SELL:
            return REASON_ORD_TYPE
        if ord_type < LIMIT or ord_type >= ORD_TYPE_COUNT:
            return REASON_ORD_TYPE
        if ord_type == MARKET_BEST5_LIMIT and self.venue != XSHG:
            return REASON_ORD_TYPE
        if (ord_type == MARKET_IOC or ord_type == MARKET_FOK) and self.venue != XSHE:
            return REASON_ORD_TYPE
        if qty_shares <= 0:
            return REASON_LOT
        # The odd-lot rule of sells depends on the seller's holding, which this exchange does not keep.
        if side == BUY and (qty_shares < b.buy_min_shares or (qty_shares - b.buy_min_shares) % b.buy_step_shares):
            return REASON_LOT
        if qty_shares > (b.max_market_shares if market else b.max_limit_shares):
            return REASON_MAX_QTY
        return self.check_price(b, side, ord_type, price_e4)

    cdef int check_price(self, const Book *book, uint8_t side, uint8_t ord_type, int64_t price_e4) noexcept:
        cdef int64_t own, opposite, reference, step
        if ord_type != LIMIT and price_e4 == 0:
            return REASON_PASS
        if price_e4 <= 0 or price_e4 % book.tick_e4:
            return REASON_TICK
        if price_e4 > book.up_limit_e4 or price_e4 < book.down_limit_e4:
            return REASON_PRICE_LIMIT
        if ord_type != LIMIT or self.phase != PHASE_CONTINUOUS or book.cage_bps == 0:
            return REASON_PASS
        own = best_price_e4(book, side)
        opposite = best_price_e4(book, BUY + SELL - side)
        reference = opposite or own or book.last_px_e4 or book.prev_close_e4
        step = book.cage_ticks * book.tick_e4
        if side == BUY and price_e4 * BPS > max(reference * (BPS + book.cage_bps), (reference + step) * BPS):
            return REASON_CAGE
        if side == SELL and price_e4 * BPS < min(reference * (BPS - book.cage_bps), (reference - step) * BPS):
            return REASON_CAGE
        return REASON_PASS

    # -- orders and cancels

    cdef int submit(self, int32_t book, uint8_t side, uint8_t ord_type, int64_t qty_shares, int64_t price_e4,
                    uint64_t cookie) noexcept:
        cdef int reason = self.check_order(book, side, ord_type, qty_shares, price_e4)
        cdef uint32_t slot
        cdef Order *order
        if reason != REASON_PASS:
            return reason
        slot = self.slab.take()
        if slot == NO_ORDER:
            return REASON_CAPACITY
        self.order_count += 1
        order = &self.slab.orders[slot]
        order.order_no = self.order_count
        order.cookie = cookie
        order.order_qty_shares = qty_shares
        order.leaves_qty_shares = qty_shares
        order.price_e4 = 0
        order.book = book
        order.side = side
        order.ord_type = ord_type
        self.sink.on_accepted(slot, order)
        self.touch(book)
        if ord_type == LIMIT:
            self.match_limit(&self.books[book], slot, price_e4)
        else:
            self.match_market(&self.books[book], slot, price_e4)
        return REASON_PASS

    cdef int cancel(self, uint32_t slot, uint64_t order_no) noexcept:
        """Take a resting order out of its book. The slot is the one on_accepted named; a slot used again is recognised."""
        cdef Order *order
        cdef int64_t leaves
        if slot == NO_ORDER or slot >= self.slab.used or self.slab.orders[slot].order_no != order_no or order_no == 0:
            return REASON_CXL_NOT_OPEN
        if not takes_cancels(self.phase):
            return REASON_CXL_WINDOW
        order = &self.slab.orders[slot]
        leaves = order.leaves_qty_shares
        unlink(self.slab, &self.books[order.book], slot)
        order.leaves_qty_shares = 0
        self.touch(order.book)
        self.sink.on_canceled(order, leaves)
        self.slab.give(slot)
        return REASON_PASS

    cdef void match_limit(self, Book *book, uint32_t slot, int64_t price_e4) noexcept:
        """Trade as far as the limit reaches (not in a call auction), rest what is left."""
        cdef Order *order = &self.slab.orders[slot]
        order.price_e4 = price_e4
        order.rank = rank_of(book, order.side, price_e4)
        if self.phase == PHASE_CONTINUOUS:
            self.sweep(book, order, book.ticks - 1 - order.rank, ALL_LEVELS)
        if order.leaves_qty_shares:
            rest(self.slab, book, slot)
        else:
            self.slab.give(slot)

    cdef void match_market(self, Book *book, uint32_t slot, int64_t protection_e4) noexcept:
        cdef Order *order = &self.slab.orders[slot]
        cdef uint8_t ord_type = order.ord_type
        cdef uint8_t opposite = BUY + SELL - order.side
        cdef int64_t own_best_e4 = best_price_e4(book, order.side)
        cdef int64_t opposite_best_e4 = best_price_e4(book, opposite)
        cdef int64_t price_e4 = 0
        cdef int64_t leaves
        cdef int32_t limit_rank = book.ticks - 1
        if protection_e4:
            limit_rank = rank_of(book, opposite, protection_e4)
        if ord_type == MARKET_OWN_BEST:
            price_e4 = own_best_e4
        elif ord_type == MARKET_OPPOSITE_BEST:
            price_e4 = opposite_best_e4
        elif ord_type == MARKET_FOK:
            if depth_to(book, opposite, limit_rank) >= order.leaves_qty_shares:
                self.sweep(book, order, limit_rank, ALL_LEVELS)
        else:
            self.sweep(book, order, limit_rank, ALL_LEVELS if ord_type == MARKET_IOC else BEST_FIVE)
        if order.leaves_qty_shares == 0:
            self.slab.give(slot)
            return
        if ord_type == MARKET_BEST5_LIMIT:
            # The rest stands at the last price it paid; untraded, at its own side's best.
            price_e4 = book.last_px_e4 if order.leaves_qty_shares < order.order_qty_shares else own_best_e4
        if price_e4 and within(order.side, price_e4, protection_e4):
            self.match_limit(book, slot, price_e4)
            return
        leaves = order.leaves_qty_shares
        order.leaves_qty_shares = 0
        self.sink.on_canceled(order, leaves)
        self.slab.give(slot)

    cdef void sweep(self, Book *book, Order *taker, int32_t limit_rank, int max_levels) noexcept:
        """Trade the taker against the other side's levels, best first, down to limit_rank (of that side)."""
        cdef uint8_t opposite = BUY + SELL - taker.side
        cdef Ladder *ladder = &book.sides[opposite]
        cdef Level *level
        cdef Order *maker
        cdef uint32_t slot
        cdef int64_t qty, price_e4
        while taker.leaves_qty_shares and ladder.best <= limit_rank and max_levels:
            level = &ladder.levels[ladder.best]
            price_e4 = price_of(book, opposite, ladder.best)
            max_levels -= 1
            while taker.leaves_qty_shares and level.head != NO_ORDER:
                slot = level.head
                maker = &self.slab.orders[slot]
                qty = min(taker.leaves_qty_shares, maker.leaves_qty_shares)
                if taker.side == BUY:
                    self.trade(book, taker, maker, price_e4, qty, BUY)
                else:
                    self.trade(book, maker, taker, price_e4, qty, SELL)
                level.qty_shares -= qty
                if maker.leaves_qty_shares == 0:
                    unlink(self.slab, book, slot)
                    self.slab.give(slot)

    cdef void trade(self, Book *book, Order *bid, Order *ask, int64_t price_e4, int64_t qty_shares, uint8_t aggressor) noexcept:
        cdef Trade trade
        bid.leaves_qty_shares -= qty_shares
        ask.leaves_qty_shares -= qty_shares
        book.last_px_e4 = price_e4
        book.volume_shares += qty_shares
        book.turnover_e4 += qty_shares * price_e4
        self.trade_count += 1
        trade.trade_no = self.trade_count
        trade.last_px_e4 = price_e4
        trade.last_qty_shares = qty_shares
        trade.book = bid.book
        trade.aggressor = aggressor
        self.sink.on_trade(&trade, bid, ask)

    # -- phases and call auctions

    cdef void enter(self, int phase) noexcept:
        """Change the phase; leaving a call auction trades every book at its auction price first."""
        cdef bint leaves_call = is_call(self.phase) and not (is_call(phase) and phase != PHASE_CLOSE_CALL)
        if leaves_call:
            for index in range(self.book_count):
                self.uncross(index)
        if phase != self.phase:
            for index in range(self.book_count):
                self.touch(index)
        self.phase = phase

    cdef Auction auction(self, uint32_t book) noexcept:
        """Price, quantity and surplus of a call auction that ended now."""
        cdef const Book *b = &self.books[book]
        cdef int64_t reference_e4 = b.prev_close_e4
        if self.phase == PHASE_CLOSE_CALL and b.last_px_e4:
            reference_e4 = b.last_px_e4
        return auction_price(b, self.venue == XSHG, reference_e4)

    cdef void uncross(self, uint32_t index) noexcept:
        """Trade one book at its auction price: best bid against best ask, oldest first, until the quantity is done."""
        cdef Auction auction = self.auction(index)
        cdef Book *book = &self.books[index]
        cdef Ladder *bids = &book.sides[<int>BUY]
        cdef Ladder *asks = &book.sides[<int>SELL]
        cdef Order *bid
        cdef Order *ask
        cdef uint32_t bid_slot, ask_slot
        cdef int64_t left = auction.qty_shares
        cdef int64_t qty
        while left > 0:
            bid_slot = bids.levels[bids.best].head
            ask_slot = asks.levels[asks.best].head
            bid = &self.slab.orders[bid_slot]
            ask = &self.slab.orders[ask_slot]
            qty = min(left, min(bid.leaves_qty_shares, ask.leaves_qty_shares))
            self.trade(book, bid, ask, auction.price_e4, qty, 0)
            left -= qty
            bids.levels[bids.best].qty_shares -= qty
            asks.levels[asks.best].qty_shares -= qty
            if bid.leaves_qty_shares == 0:
                unlink(self.slab, book, bid_slot)
                self.slab.give(bid_slot)
            if ask.leaves_qty_shares == 0:
                unlink(self.slab, book, ask_slot)
                self.slab.give(ask_slot)
        self.touch(index)

    # -- what the market shows

    cdef void fill_quote(self, uint32_t book, Quote *quote) noexcept:
        """The five-level quote of a book; in a call auction its first level is the indicative price and quantity.

        market_time_ns is left to the caller; phase is 0, the market's own.
        """
        cdef const Book *b = &self.books[book]
        cdef Auction auction
        memset(quote, 0, sizeof(Quote))
        quote.symbol = b.symbol
        quote.suspended = b.suspended
        quote.prev_close_e4 = b.prev_close_e4
        quote.last_px_e4 = b.last_px_e4
        quote.total_volume_shares = b.volume_shares
        quote.total_turnover_e4 = b.turnover_e4
        if not is_call(self.phase):
            self.fill_levels(b, quote)
            return
        auction = self.auction(book)
        quote.bid_px_e4[0] = auction.price_e4
        quote.ask_px_e4[0] = auction.price_e4
        quote.bid_qty_shares[0] = auction.qty_shares
        quote.ask_qty_shares[0] = auction.qty_shares

    cdef void fill_levels(self, const Book *book, Quote *quote) noexcept:
        cdef const Ladder *ladder = &book.sides[<int>BUY]
        cdef int32_t rank = ladder.best
        cdef int level
        for level in range(BEST_FIVE):
            if rank >= book.ticks:
                break
            quote.bid_px_e4[level] = price_of(book, BUY, rank)
            quote.bid_qty_shares[level] = ladder.levels[rank].qty_shares
            rank = next_occupied(ladder, rank + 1)
        ladder = &book.sides[<int>SELL]
        rank = ladder.best
        for level in range(BEST_FIVE):
            if rank >= book.ticks:
                break
            quote.ask_px_e4[level] = price_of(book, SELL, rank)
            quote.ask_qty_shares[level] = ladder.levels[rank].qty_shares
            rank = next_occupied(ladder, rank + 1)

    # -- for Python: tests and tools

    def enter_phase(self, int phase) -> None:
        """Change the phase (codes.Phase number)."""
        if phase <= 0 or phase >= PHASE_COUNT:
            raise ValueError(f"phase {phase}: expected 1 to {PHASE_COUNT - 1}")
        self.enter(phase)

    def suspend(self, uint32_t symbol, bint suspended) -> None:
        """Suspend one instrument, or let it trade again; resting orders stay. Raises ValueError when it is not listed."""
        cdef int32_t index = self.find(symbol)
        if index < 0:
            raise ValueError(f"symbol: {symbol:06d}, expected one that is listed")
        self.books[index].suspended = suspended
        self.touch(index)

    def new_order(self, uint32_t symbol, int side, int ord_type, int64_t qty_shares, int64_t price_e4, uint64_t cookie) -> int:
        """Submit one order; returns 1 (taken) or its ExchangeReason."""
        return self.submit(self.find(symbol), side, ord_type, qty_shares, price_e4, cookie)

    def cancel_order(self, uint32_t slot, uint64_t order_no) -> int:
        """Cancel by the slot and order_no that on_accepted named; returns 1 or its ExchangeReason."""
        return self.cancel(slot, order_no)

    def depth(self, uint32_t symbol, int side, int levels) -> list:
        """The best levels of one side as (price_e4, qty_shares), best first."""
        cdef const Book *book = &self.books[self.find(symbol)]
        cdef const Ladder *ladder = &book.sides[side]
        cdef int32_t rank = ladder.best
        found = []
        while rank < book.ticks and len(found) < levels:
            found.append((price_of(book, side, rank), ladder.levels[rank].qty_shares))
            rank = next_occupied(ladder, rank + 1)
        return found

    def indicative(self, uint32_t symbol) -> tuple:
        """(price_e4, qty_shares, surplus_shares) of a call auction that ended now."""
        cdef Auction auction = self.auction(self.find(symbol))
        return auction.price_e4, auction.qty_shares, auction.surplus_shares

    def live_orders(self) -> int:
        """Orders resting in all books."""
        return self.slab.live


cdef int64_t depth_to(const Book *book, uint8_t side, int32_t limit_rank) noexcept nogil:
    """Shares resting on one side from its best down to limit_rank."""
    cdef const Ladder *ladder = &book.sides[side]
    cdef int32_t rank = ladder.best
    cdef int64_t shares = 0
    while rank <= limit_rank and rank < book.ticks:
        shares += ladder.levels[rank].qty_shares
        rank = next_occupied(ladder, rank + 1)
    return shares


cdef bint within(uint8_t side, int64_t price_e4, int64_t protection_e4) noexcept nogil:
    """Whether a price is no worse than the order's protection price (0: none)."""
    if protection_e4 == 0:
        return True
    return price_e4 <= protection_e4 if side == BUY else price_e4 >= protection_e4


cdef class MatchLog(MatchSink):
    """A sink that keeps every event as a tuple, for tests and tools.

    ("accepted", cookie, slot, order_no), ("trade", trade_no, buy cookie, sell cookie, px_e4, qty, aggressor),
    ("canceled", cookie, canceled shares)
    """

    cdef readonly list events

    def __init__(self):
        self.events = []

    cdef void on_accepted(self, uint32_t slot, const Order *order) noexcept:
        self.events.append(("accepted", order.cookie, slot, order.order_no))

    cdef void on_trade(self, const Trade *trade, const Order *buy, const Order *sell) noexcept:
        self.events.append(("trade", trade.trade_no, buy.cookie, sell.cookie, trade.last_px_e4, trade.last_qty_shares,
                            trade.aggressor))

    cdef void on_canceled(self, const Order *order, int64_t canceled_qty_shares) noexcept:
        self.events.append(("canceled", order.cookie, canceled_qty_shares))
