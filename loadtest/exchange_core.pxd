# One exchange behind its sockets: client orders in, numbered reports out, background orders beside them.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.book cimport Order
from ext.matching cimport Market, MatchSink, Trade
from ext.venue cimport VenueCancel, VenueOrder, VenueReport
from loadtest.key_table cimport KeyTable
from loadtest.market_feed cimport MarketFeed
from loadtest.venue_session cimport Desk

cdef struct ClientOrder:
    VenueOrder order
    uint64_t order_no                  # 0: the market refused it
    int64_t leaves_qty_shares
    int64_t cum_qty_shares
    uint32_t slot
    int member                         # whose, at the desk

cdef class ExchangeCore(MatchSink):
    cdef readonly Market market
    cdef readonly MarketFeed feed
    cdef readonly Desk desk            # numbers, keeps and sends the reports
    cdef KeyTable clients              # (cl_ord_id, member) -> index in orders
    cdef KeyTable resting              # background cookie -> slot
    cdef ClientOrder *orders           # from 1
    cdef uint64_t order_count
    cdef uint64_t order_capacity
    cdef const VenueCancel *canceling   # the cancel under way, NULL when there is none
    cdef readonly uint64_t accepted_count
    cdef readonly uint64_t rejected_count
    cdef readonly uint64_t background_count
    cdef readonly uint64_t background_refused_count

    cdef void on_new_order(self, int member, const VenueOrder *order) noexcept
    cdef void on_cancel(self, int member, const VenueCancel *cancel) noexcept
    cdef bint background_order(self, uint32_t symbol, uint8_t side, int64_t price_e4, int64_t qty_shares, uint64_t oid) noexcept
    cdef bint background_cancel(self, uint32_t symbol, uint64_t oid) noexcept

    cdef uint64_t take_order(self) noexcept
    cdef void fill(self, const Trade *trade, const Order *order) noexcept
    cdef void describe(self, VenueReport *report, const ClientOrder *client) noexcept
    cdef void reject(self, ClientOrder *client, int reason) noexcept
    cdef void reject_cancel(self, int member, const VenueCancel *cancel, uint64_t index, int reason) noexcept
