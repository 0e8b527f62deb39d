"""Market data out: status, conflated quotes and every trade to bounded subscribers. Decides nothing about orders."""

from libc.string cimport memcpy, memset
from ext.book cimport Book
from ext.quotes cimport (MAX_QUOTE_FRAME, MarketStatus, MarketTrade, Quote, encode_market_status, encode_quote, encode_trade)


cdef class Subscriber(Outlet):
    """One market data connection. It is cut when it leaves more than `limit` bytes unread."""

    def __init__(self, Turn turn, transport, size_t limit):
        Outlet.__init__(self, turn, limit)
        self.transport = transport

    cdef void flush(self) noexcept:
        if self.transport is None:
            return
        if self.out.overflowed:
            self.transport.abort()
        elif not self.paused:
            self.transport.write(self.out.take())

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.mark()


cdef class Index:
    """One index: the worth of its shares against that at the previous close. books, shares: of each share, one length."""

    def __init__(self, uint32_t symbol, int64_t prev_close_e4, const int64_t[::1] books, const double[::1] shares):
        memset(&self.quote, 0, sizeof(Quote))
        self.quote.symbol = symbol
        self.quote.prev_close_e4 = self.quote.last_px_e4 = prev_close_e4
        self.books, self.shares = books, shares


cdef class MarketFeed:
    """Sends a market to its subscribers; times are the market's own clock, set in market_time_ns."""

    def __init__(self, Market market not None):
        self.market = market
        self.subscribers = []
        self.indices = []

    def add(self, Subscriber subscriber not None) -> None:
        """Begin with the market's status and a quote of every instrument, then everything that changes."""
        cdef uint8_t frame[MAX_QUOTE_FRAME]
        cdef size_t size = self.status_frame(frame)
        put(subscriber, frame, size)
        for book in range(self.market.book_count):
            size = self.quote_frame(frame, book)
            put(subscriber, frame, size)
        self.subscribers.append(subscriber)

    def add_index(self, Index index not None) -> None:
        """Publish this index from now on, once its shares are listed."""
        cdef Py_ssize_t at
        for at in range(index.books.shape[0]):
            index.base += index.shares[at] * self.market.books[index.books[at]].prev_close_e4
        self.indices.append(index)

    def publish_indices(self) -> None:
        """A quote of every index: last price, volume and turnover of its shares; no levels."""
        cdef uint8_t frame[MAX_QUOTE_FRAME]
        cdef Index index
        for index in self.indices:
            self.measure(index)
            self.send(frame, encode_quote(frame, &index.quote))

    def remove(self, Subscriber subscriber not None) -> None:
        """Forget a subscriber whose connection is gone."""
        subscriber.transport = None
        if subscriber in self.subscribers:
            self.subscribers.remove(subscriber)
            self.cut_count += subscriber.out.overflowed

    def publish_status(self) -> None:
        cdef uint8_t frame[MAX_QUOTE_FRAME]
        self.send(frame, self.status_frame(frame))

    def publish_quotes(self, uint32_t most) -> bool:
        """Send the quotes of at most `most` changed books; False when some are left for the next turn."""
        cdef uint8_t frame[MAX_QUOTE_FRAME]
        cdef Market market = self.market
        cdef uint32_t book
        while market.changed_count and most:
            market.changed_count -= 1
            most -= 1
            book = market.changed[market.changed_count]
            market.books[book].changed = False
            if self.subscribers:
                self.send(frame, self.quote_frame(frame, book))
        return market.changed_count == 0

    cdef void measure(self, Index index) noexcept:
        cdef const Book *book
        cdef double worth = 0
        cdef Py_ssize_t at
        index.quote.market_time_ns = self.market_time_ns
        index.quote.total_volume_shares = index.quote.total_turnover_e4 = 0
        for at in range(index.books.shape[0]):
            book = &self.market.books[index.books[at]]
            worth += index.shares[at] * (book.last_px_e4 if book.last_px_e4 else book.prev_close_e4)
            index.quote.total_volume_shares += book.volume_shares
            index.quote.total_turnover_e4 += book.turnover_e4
        if index.base > 0:
            index.quote.last_px_e4 = <int64_t>(index.quote.prev_close_e4 * (worth / index.base) + 0.5)

    cdef size_t status_frame(self, uint8_t *dst) noexcept:
        cdef MarketStatus status
        status.venue = self.market.venue
        status.phase = self.market.phase
        status.market_time_ns = self.market_time_ns
        return encode_market_status(dst, &status)

    cdef size_t quote_frame(self, uint8_t *dst, uint32_t book) noexcept:
        cdef Quote quote
        self.market.fill_quote(book, &quote)
        quote.market_time_ns = self.market_time_ns
        return encode_quote(dst, &quote)

    cdef void on_trade(self, uint32_t symbol, const Trade *trade) noexcept:
        cdef uint8_t frame[MAX_QUOTE_FRAME]
        cdef MarketTrade out
        if not self.subscribers:
            return
        out.symbol = symbol
        out.side = trade.aggressor
        out.market_time_ns = self.market_time_ns
        out.last_px_e4 = trade.last_px_e4
        out.last_qty_shares = trade.last_qty_shares
        out.trade_no = trade.trade_no
        self.send(frame, encode_trade(frame, &out))

    cdef void send(self, const uint8_t *frame, size_t size) noexcept:
        cdef Subscriber subscriber
        if self.muted:
            return
        for subscriber in self.subscribers:
            put(subscriber, frame, size)


cdef void put(Subscriber subscriber, const uint8_t *frame, size_t size) noexcept:
    cdef uint8_t *room = subscriber.out.reserve(size)
    if room != NULL:
        memcpy(room, frame, size)
        subscriber.out.commit(size)
    subscriber.mark()
