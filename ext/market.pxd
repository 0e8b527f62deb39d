# What the exchanges say of the market right now: phases, quotes, links. Input to decisions, not state: never journaled,
# unknown again after a restart.
from libc.stdint cimport int64_t, uint32_t
from ext.codes cimport VENUE_COUNT
from ext.quotes cimport MarketStatus, MarketTrade, Quote
from ext.state cimport State

cdef struct TopOfBook:
    int64_t bid_px_e4
    int64_t ask_px_e4
    int64_t last_px_e4
    int64_t quote_ns                   # when the newest quote came, 0: never

cdef class Market:
    cdef State state
    cdef TopOfBook *tops               # by instrument index
    cdef int phase[VENUE_COUNT]
    cdef int64_t feed_ns[VENUE_COUNT]  # when anything last came from the exchange's feed
    cdef bint link_ready[VENUE_COUNT]

    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept
    cdef void on_quote(self, int venue, const Quote *quote, int64_t now_ns) noexcept
    cdef void on_trade(self, int venue, const MarketTrade *trade, int64_t now_ns) noexcept
