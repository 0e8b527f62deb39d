"""The newest quotes, phases and link states. Remembers, judges nothing."""

from ext.state cimport MOST_INSTRUMENTS, NONE
from ext.tables cimport map_pages, unmap_pages


cdef class Market:
    """Market view of both exchanges over one State's instruments."""

    def __cinit__(self, State state):
        self.state = state
        self.tops = <TopOfBook *>map_pages(MOST_INSTRUMENTS * sizeof(TopOfBook))

    def __dealloc__(self):
        unmap_pages(self.tops, MOST_INSTRUMENTS * sizeof(TopOfBook))

    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept:
        self.phase[status.venue] = status.phase
        self.feed_ns[status.venue] = now_ns

    cdef void on_quote(self, int venue, const Quote *quote, int64_t now_ns) noexcept:
        cdef uint32_t instrument = self.state.find_instrument(venue, quote.symbol)
        cdef TopOfBook *top
        self.feed_ns[venue] = now_ns
        if instrument == NONE:
            return
        top = &self.tops[instrument]
        top.bid_px_e4 = quote.bid_px_e4[0]
        top.ask_px_e4 = quote.ask_px_e4[0]
        top.last_px_e4 = quote.last_px_e4
        top.quote_ns = now_ns

    cdef void on_trade(self, int venue, const MarketTrade *trade, int64_t now_ns) noexcept:
        cdef uint32_t instrument = self.state.find_instrument(venue, trade.symbol)
        self.feed_ns[venue] = now_ns
        if instrument != NONE:
            self.tops[instrument].last_px_e4 = trade.last_px_e4
