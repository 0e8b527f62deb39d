# The market data of one exchange: who listens, and what they are sent.
from libc.stdint cimport int64_t, uint8_t, uint32_t
from ext.buffers cimport Outlet, Turn
from ext.matching cimport Market, Trade
from ext.quotes cimport Quote

cdef class Subscriber(Outlet):
    cdef object transport
    cdef bint paused                   # the socket is full: bytes wait here, up to the limit

cdef class Index:
    cdef Quote quote
    cdef const int64_t[::1] books      # of the shares it is of
    cdef const double[::1] shares      # how many of each count
    cdef double base                   # their worth at the previous close

cdef class MarketFeed:
    cdef Market market
    cdef list subscribers
    cdef public int64_t market_time_ns # UTC ns of the simulated day; set by the shell before anything happens
    cdef public bint muted             # send nothing, keep the connections
    cdef list indices                  # Index: what each is of, and its quote
    cdef readonly uint32_t cut_count   # subscribers cut because they read too slowly

    cdef void send(self, const uint8_t *frame, size_t size) noexcept
    cdef void on_trade(self, uint32_t symbol, const Trade *trade) noexcept
    cdef size_t quote_frame(self, uint8_t *dst, uint32_t book) noexcept
    cdef void measure(self, Index index) noexcept
    cdef size_t status_frame(self, uint8_t *dst) noexcept
