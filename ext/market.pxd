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

cdef struct Mark:                      # the day's profit at the newest prices, as it was at most a second ago
    int64_t profit_e4
    int64_t marked_ns                  # 0: never

cdef class Market:
    cdef State state
    cdef TopOfBook *tops               # by instrument index
    cdef int phase[VENUE_COUNT]
    cdef int64_t feed_ns[VENUE_COUNT]  # when anything last came from the exchange's feed
    cdef bint link_ready[VENUE_COUNT]
    cdef Mark *account_marks           # of accounts and strategies with a loss limit, by index
    cdef Mark *strategy_marks
    cdef Mark firm_mark

    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept
    cdef void on_quote(self, int venue, const Quote *quote, int64_t now_ns) noexcept
    cdef void on_trade(self, int venue, const MarketTrade *trade, int64_t now_ns) noexcept
    # The day's realised and marked profit in 1e-4 yuan, fees taken; computed anew at most once a second.
    cdef int64_t mark_px_e4(self, uint32_t instrument) noexcept
    cdef int64_t account_profit_e4(self, uint32_t account, int64_t now_ns) noexcept
    cdef int64_t strategy_profit_e4(self, uint32_t strategy, int64_t now_ns) noexcept
    cdef int64_t firm_profit_e4(self, int64_t now_ns) noexcept

cdef inline bint is_fresh(const Mark *mark, int64_t now_ns) noexcept:
    return mark.marked_ns != 0 and now_ns - mark.marked_ns < 1000000000
