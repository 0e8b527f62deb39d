"""Keeps a price-level book per symbol so that generated orders stand where a real book would put them; it reports no trade.

A level knows its shares and how many have traded there since it was last empty, so an order's place in the queue tells whether it
is still there; cancels ahead of it are ignored, which errs towards calling it live.
"""

import numpy as np

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t


cdef enum:
    NEW = 78  # ord("N")
    CANCEL = 67  # ord("C")
    BUY = 66  # ord("B")
    SELL = 83  # ord("S")


cdef struct Level:
    int64_t shares
    int64_t traded
    int32_t life  # counts how often the level was emptied
    int32_t padding


cdef struct Book:
    int64_t offset  # of the symbol's first level
    int64_t floor_ticks
    int64_t cap_ticks
    int64_t bid  # floor_ticks - 1: no bid
    int64_t ask  # cap_ticks + 1: no ask


LEVEL_DTYPE = np.dtype([("shares", "<i8"), ("traded", "<i8"), ("life", "<i4"), ("padding", "<i4")])
BOOK_DTYPE = np.dtype([(name, "<i8") for name in ("offset", "floor_ticks", "cap_ticks", "bid", "ask")])
PLACE_DTYPE = np.dtype([("ticks", "<i8"), ("until", "<i8"), ("life", "<i4"), ("is_buy", "<i4")])


cdef struct Place:
    int64_t ticks
    int64_t until  # the order is gone when its level has traded this much ...
    int32_t life  # ... or was emptied since
    int32_t is_buy


cdef packed struct Intent:
    int64_t ts_us
    int64_t oid
    int64_t fair_ticks  # where the symbol's price is drawn to
    int64_t distance_ticks  # aggressive: through the opposite touch; else: behind the own touch
    int64_t qty_shares
    int64_t slot  # a cancel, or an order to be cancelled: its entry in the places; else -1
    double side_draw  # uniform in [0, 1): below the chance to buy it buys
    double buy_share
    double pull_ticks  # the distance from fair at which every aggressive order pulls back
    uint32_t symbol
    uint8_t is_cancel
    uint8_t is_aggressive
    uint8_t padding0
    uint8_t padding1


INTENT_DTYPE = np.dtype(
    [(name, "<i8") for name in ("ts_us", "oid", "fair_ticks", "distance_ticks", "qty_shares", "slot")]
    + [(name, "<f8") for name in ("side_draw", "buy_share", "pull_ticks")]
    + [("symbol", "<u4"), ("is_cancel", "u1"), ("is_aggressive", "u1"), ("padding0", "u1"), ("padding1", "u1")]
)
"""What a client means to do; the book turns it into a side and a price."""


cdef struct Row:  # FLOW_DTYPE
    int64_t ts_us
    int64_t oid
    int64_t price_e4
    int64_t qty_shares
    uint32_t symbol
    uint8_t act
    uint8_t side


cdef class ShadowBook:
    """Books of all symbols between their price limits, in ticks.

    cancels_tried, cancels_live: int64 per symbol, how many cancels came and how many found their order still there.
    """

    cdef readonly object cancels_tried, cancels_live
    cdef int64_t[::1] ticks_e4
    cdef Level[::1] levels
    cdef Book[::1] books
    cdef Place[::1] places

    def __init__(self, floor_ticks, cap_ticks, tick_e4):
        """floor_ticks, cap_ticks: int64 arrays, the lowest and highest price of each symbol; tick_e4: its tick in 1e-4 yuan."""
        self.ticks_e4 = tick_e4
        self.cancels_tried, self.cancels_live = np.zeros(len(tick_e4), np.int64), np.zeros(len(tick_e4), np.int64)
        books = np.zeros(len(floor_ticks), BOOK_DTYPE)
        width = cap_ticks - floor_ticks + 1
        books["offset"] = np.cumsum(width) - width
        books["floor_ticks"], books["cap_ticks"] = floor_ticks, cap_ticks
        books["bid"], books["ask"] = floor_ticks - 1, cap_ticks + 1
        self.books = books
        self.levels = np.zeros(int(width.sum()), LEVEL_DTYPE)
        self.places = np.zeros(1024, PLACE_DTYPE)

    def grow(self, Py_ssize_t slots):
        """Make room for slots 0 to `slots` - 1."""
        if slots > self.places.shape[0]:
            places = np.zeros(max(slots, 2 * self.places.shape[0]), PLACE_DTYPE)
            places[: self.places.shape[0]] = np.asarray(self.places)
            self.places = places

    def place(self, Intent[::1] intents, int64_t[::1] order, Row[::1] rows):
        """Take the intents (INTENT_DTYPE) in the given order and write each as a row of FLOW_DTYPE; returns the rows written.

        A cancel whose order has gone writes none.
        """
        cdef int64_t[::1] tried = self.cancels_tried, live = self.cancels_live
        cdef Intent* intent
        cdef Row* row
        cdef Py_ssize_t index, written = 0
        cdef int64_t price
        cdef uint8_t is_buy = 0
        for index in range(order.shape[0]):
            intent = &intents[order[index]]
            row = &rows[written]
            if intent.is_cancel:
                tried[intent.symbol] += 1
                price = self.places[intent.slot].ticks
                is_buy = <uint8_t> self.places[intent.slot].is_buy
                if not self.cancel(intent):
                    continue
                live[intent.symbol] += 1
            else:
                price = self.enter(intent, &is_buy)
            row.ts_us, row.oid, row.qty_shares, row.symbol = intent.ts_us, intent.oid, intent.qty_shares, intent.symbol
            row.price_e4 = price * self.ticks_e4[intent.symbol]
            row.act, row.side = CANCEL if intent.is_cancel else NEW, BUY if is_buy else SELL
            written += 1
        return written

    cdef int64_t enter(self, Intent* intent, uint8_t* buys) noexcept:
        """Choose side and price against the touch, trade what crosses and rest what is left."""
        cdef Book* book = &self.books[intent.symbol]
        cdef int64_t price = choose_price(book, intent, buys)
        cdef int64_t left = intent.qty_shares
        cdef Level* level
        if buys[0]:
            left = self.trade_asks(book, price, left)
        else:
            left = self.trade_bids(book, price, left)
        level = &self.levels[book.offset + price - book.floor_ticks]
        if left > 0:
            level.shares += left
            if buys[0]:
                book.bid = max(book.bid, price)
            else:
                book.ask = min(book.ask, price)
        if intent.slot >= 0:
            self.places[intent.slot].ticks = price
            self.places[intent.slot].until = level.traded + level.shares if left > 0 else 0
            self.places[intent.slot].life = level.life
            self.places[intent.slot].is_buy = buys[0]
        return price

    cdef int64_t trade_asks(self, Book* book, int64_t limit, int64_t left) noexcept:
        """Buy at asks up to `limit`; returns the shares left over."""
        while left > 0 and book.ask <= limit:
            left = self.trade_level(&self.levels[book.offset + book.ask - book.floor_ticks], left)
            self.settle(book)
        return left

    cdef int64_t trade_bids(self, Book* book, int64_t limit, int64_t left) noexcept:
        """Sell at bids down to `limit`; returns the shares left over."""
        while left > 0 and book.bid >= limit:
            left = self.trade_level(&self.levels[book.offset + book.bid - book.floor_ticks], left)
            self.settle(book)
        return left

    cdef int64_t trade_level(self, Level* level, int64_t left) noexcept:
        """Trade at one level; returns the shares left over."""
        cdef int64_t traded = min(left, level.shares)
        level.shares -= traded
        level.traded += traded
        if level.shares == 0:
            level.traded = 0
            level.life += 1
        return left - traded

    cdef void settle(self, Book* book) noexcept:
        """Move both touches off emptied levels."""
        while book.ask <= book.cap_ticks and self.levels[book.offset + book.ask - book.floor_ticks].shares == 0:
            book.ask += 1
        while book.bid >= book.floor_ticks and self.levels[book.offset + book.bid - book.floor_ticks].shares == 0:
            book.bid -= 1

    cdef uint8_t cancel(self, Intent* intent) noexcept:
        """Take the order off its level if it is still there: 1, else 0."""
        cdef Place* place = &self.places[intent.slot]
        cdef Book* book = &self.books[intent.symbol]
        cdef Level* level = &self.levels[book.offset + place.ticks - book.floor_ticks]
        cdef int64_t left = min(min(place.until - level.traded, intent.qty_shares), level.shares)
        if level.life != place.life or left <= 0:
            return 0
        level.shares -= left
        if level.shares == 0:
            level.traded = 0
            level.life += 1
            self.settle(book)
        return 1


cdef int64_t choose_price(Book* book, Intent* intent, uint8_t* buys) noexcept:
    """Side and price in ticks; an empty side is taken to stand one tick from fair."""
    cdef int64_t bid = book.bid if book.bid >= book.floor_ticks else min(intent.fair_ticks, book.ask) - 1
    cdef int64_t ask = book.ask if book.ask <= book.cap_ticks else max(intent.fair_ticks, book.bid) + 1
    cdef double lean = (<double> intent.fair_ticks - 0.5 * (bid + ask)) / intent.pull_ticks
    cdef double chance = intent.buy_share
    cdef int64_t behind = intent.distance_ticks if intent.distance_ticks > bid - ask else 0
    cdef int64_t price
    if intent.is_aggressive:
        chance += max(-1.0, min(lean, 1.0)) * (0.5 - fabs(0.5 - chance))
    buys[0] = intent.side_draw < chance
    if intent.is_aggressive:
        price = ask + intent.distance_ticks if buys[0] else bid - intent.distance_ticks
    else:
        price = bid - behind if buys[0] else ask + behind
    return max(book.floor_ticks, min(price, book.cap_ticks))
