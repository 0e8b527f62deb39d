"""One exchange behind its sockets: turns client messages into market calls and market events into reports. Opens nothing."""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset
from ext.codes cimport (BUY, LIMIT, SELL, STATUS_CANCELED, STATUS_FILLED, STATUS_NEW, STATUS_PARTIALLY_FILLED,
                        STATUS_REJECTED)
from ext.clock cimport now_ns
from ext.matching cimport REASON_CAPACITY, REASON_CXL_NOT_OPEN, REASON_CXL_UNKNOWN, REASON_PASS
from ext.venue cimport REPORT_ACCEPTED, REPORT_CANCEL_REJECTED, REPORT_CANCELED, REPORT_REJECTED, REPORT_TRADE
from loadtest.venue_session cimport OrderEntrySink

cdef enum:
    FIRST_ORDERS = 0x10000
    CLIENT_PLACES = 0x100000
    ROWS_PER_CLOCK_READ = 16
    SPACE = 32

# A cookie is the index of a client order, or this bit, a symbol (20 bits) and a background order's number (43 bits).
cdef uint64_t BACKGROUND = <uint64_t>1 << 63


# A row of background flow, as loadtest.flow_csv.FLOW_DTYPE lays it out.
cdef struct FlowRow:
    int64_t ts_us
    int64_t oid
    int64_t price_e4
    int64_t qty_shares
    uint32_t symbol
    uint8_t act
    uint8_t side


cdef class ClientOrders(OrderEntrySink):
    """The desk's way into the market."""

    cdef ExchangeCore core

    def __init__(self, ExchangeCore core not None):
        self.core = core

    cdef void on_order(self, int member, const VenueOrder *order, int64_t now_ns) noexcept:
        self.core.on_new_order(member, order)

    cdef void on_cancel(self, int member, const VenueCancel *cancel, int64_t now_ns) noexcept:
        self.core.on_cancel(member, cancel)


cdef inline uint64_t background_cookie(uint32_t symbol, uint64_t oid) noexcept:
    return BACKGROUND | (<uint64_t>symbol << 43) | (oid & ((<uint64_t>1 << 43) - 1))


cdef inline void split_id(const char *cl_ord_id, int member, uint64_t *key) noexcept:
    """The 16-byte key of a member's ClOrdID."""
    key[0] = 0
    key[1] = <uint64_t>member << 16
    memcpy(&key[0], cl_ord_id, 8)
    memcpy(&key[1], cl_ord_id + 8, 2)


cdef void write_number(char *dst, uint64_t number) noexcept:
    """Sixteen decimal digits."""
    cdef int i
    for i in range(15, -1, -1):
        dst[i] = 48 + number % 10
        number //= 10


cdef class ExchangeCore(MatchSink):
    """The market of one exchange with its clients. Set feed.market_time_ns before each batch of calls."""

    def __init__(self, Desk desk not None):
        self.desk = desk
        self.market = Market(desk.venue, self)
        self.feed = MarketFeed(self.market)
        desk.sink = ClientOrders(self)
        self.clients = KeyTable(CLIENT_PLACES)
        self.resting = KeyTable()
        self.order_count = 1
        self.order_capacity = FIRST_ORDERS
        self.orders = <ClientOrder *>calloc(self.order_capacity, sizeof(ClientOrder))
        if self.orders == NULL:
            raise MemoryError(f"no memory for {FIRST_ORDERS} client orders")

    def __dealloc__(self):
        free(self.orders)

    # -- what clients ask

    cdef void on_new_order(self, int member, const VenueOrder *order) noexcept:
        cdef uint64_t key[2]
        cdef uint64_t index = self.take_order()
        cdef ClientOrder *client = &self.orders[index]
        cdef int reason = REASON_CAPACITY
        client.order = order[0]
        client.member = member
        client.leaves_qty_shares = order.order_qty_shares
        split_id(order.cl_ord_id, member, key)
        if index and self.clients.put(key[0], key[1], index):
            reason = self.market.submit(self.market.find(order.symbol), order.side, order.ord_type, order.order_qty_shares,
                                        order.price_e4, index)
        if reason != REASON_PASS:
            self.reject(client, reason)

    cdef void on_cancel(self, int member, const VenueCancel *cancel) noexcept:
        cdef uint64_t key[2]
        cdef uint64_t index
        cdef int reason = REASON_CXL_NOT_OPEN
        split_id(cancel.orig_cl_ord_id, member, key)
        index = self.clients.find(key[0], key[1])
        if index == 0 or self.orders[index].order.symbol != cancel.symbol:
            self.reject_cancel(member, cancel, 0, REASON_CXL_UNKNOWN)
            return
        if self.orders[index].leaves_qty_shares:
            self.canceling = cancel
            reason = self.market.cancel(self.orders[index].slot, self.orders[index].order_no)
            self.canceling = NULL
        if reason != REASON_PASS:
            self.reject_cancel(member, cancel, index, reason)

    cdef uint64_t take_order(self) noexcept:
        """Index of a fresh client order; 0, a place that is never looked up, when memory is out."""
        cdef ClientOrder *grown
        cdef uint64_t index = self.order_count
        if index == self.order_capacity:
            grown = <ClientOrder *>realloc(self.orders, 2 * self.order_capacity * sizeof(ClientOrder))
            if grown == NULL:
                index = 0
            else:
                self.orders = grown
                self.order_capacity *= 2
        memset(&self.orders[index], 0, sizeof(ClientOrder))
        self.order_count += index > 0
        return index

    # -- what the market did

    cdef void on_accepted(self, uint32_t slot, const Order *order) noexcept:
        cdef ClientOrder *client
        cdef VenueReport report
        if order.cookie & BACKGROUND:
            self.resting.put(order.cookie, 0, slot)
            return
        client = &self.orders[order.cookie]
        client.slot = slot
        client.order_no = order.order_no
        self.accepted_count += 1
        self.describe(&report, client)
        report.kind = REPORT_ACCEPTED
        report.ord_status = STATUS_NEW
        self.desk.report(client.member, &report)

    cdef void on_trade(self, const Trade *trade, const Order *buy, const Order *sell) noexcept:
        self.feed.on_trade(self.market.books[trade.book].symbol, trade)
        self.fill(trade, buy)
        self.fill(trade, sell)

    cdef void fill(self, const Trade *trade, const Order *order) noexcept:
        cdef ClientOrder *client
        cdef VenueReport report
        if order.cookie & BACKGROUND:
            if order.leaves_qty_shares == 0:
                self.resting.remove(order.cookie, 0)
            return
        client = &self.orders[order.cookie]
        client.leaves_qty_shares = order.leaves_qty_shares
        client.cum_qty_shares += trade.last_qty_shares
        self.describe(&report, client)
        report.kind = REPORT_TRADE
        report.ord_status = STATUS_PARTIALLY_FILLED if order.leaves_qty_shares else STATUS_FILLED
        report.last_qty_shares = trade.last_qty_shares
        report.last_px_e4 = trade.last_px_e4
        write_number(report.exec_id, trade.trade_no)
        self.desk.report(client.member, &report)

    cdef void on_canceled(self, const Order *order, int64_t canceled_qty_shares) noexcept:
        cdef ClientOrder *client
        cdef VenueReport report
        if order.cookie & BACKGROUND:
            self.resting.remove(order.cookie, 0)
            return
        client = &self.orders[order.cookie]
        client.leaves_qty_shares = 0
        self.describe(&report, client)
        report.kind = REPORT_CANCELED
        report.ord_status = STATUS_CANCELED
        report.canceled_qty_shares = canceled_qty_shares
        if self.canceling != NULL:
            memcpy(report.orig_cl_ord_id, client.order.cl_ord_id, 10)
            memcpy(report.cl_ord_id, self.canceling.cl_ord_id, 10)
        self.desk.report(client.member, &report)

    # -- reports

    cdef void describe(self, VenueReport *report, const ClientOrder *client) noexcept:
        """What every report says about its order; texts it does not have are spaces."""
        blank(report)
        report.side = client.order.side
        report.ord_type = client.order.ord_type
        report.symbol = client.order.symbol
        memcpy(report.cl_ord_id, client.order.cl_ord_id, 10)
        memcpy(report.account, client.order.account, 12)
        report.order_qty_shares = client.order.order_qty_shares
        report.price_e4 = client.order.price_e4
        report.leaves_qty_shares = client.leaves_qty_shares
        report.time_ns = self.feed.market_time_ns
        if client.order_no:
            write_number(report.venue_order_id, client.order_no)

    cdef void reject(self, ClientOrder *client, int reason) noexcept:
        cdef VenueReport report
        client.leaves_qty_shares = 0
        self.rejected_count += 1
        self.describe(&report, client)
        report.kind = REPORT_REJECTED
        report.ord_status = STATUS_REJECTED
        report.reason = reason
        self.desk.report(client.member, &report)

    cdef void reject_cancel(self, int member, const VenueCancel *cancel, uint64_t index, int reason) noexcept:
        cdef VenueReport report
        blank(&report)
        if index:
            self.describe(&report, &self.orders[index])
        report.kind = REPORT_CANCEL_REJECTED
        report.ord_status = STATUS_REJECTED
        report.reason = reason
        report.side = cancel.side
        report.symbol = cancel.symbol
        report.time_ns = self.feed.market_time_ns
        memcpy(report.cl_ord_id, cancel.cl_ord_id, 10)
        memcpy(report.orig_cl_ord_id, cancel.orig_cl_ord_id, 10)
        self.rejected_count += 1
        self.desk.report(member, &report)

    # -- background orders

    cdef bint background_order(self, uint32_t symbol, uint8_t side, int64_t price_e4, int64_t qty_shares, uint64_t oid) noexcept:
        """Enter one limit order that belongs to no client; False when the market refused it."""
        cdef int reason = self.market.submit(self.market.find(symbol), side, LIMIT, qty_shares, price_e4,
                                             background_cookie(symbol, oid))
        self.background_count += 1
        self.background_refused_count += reason != REASON_PASS
        return reason == REASON_PASS

    cdef bint background_cancel(self, uint32_t symbol, uint64_t oid) noexcept:
        """Cancel a background order; False when it is no longer there."""
        cdef uint64_t cookie = background_cookie(symbol, oid)
        cdef uint32_t slot = <uint32_t>self.resting.find(cookie, 0)
        self.background_count += 1
        if slot == 0:
            return False
        return self.market.cancel(slot, self.market.slab.orders[slot].order_no) == REASON_PASS

    def feed_rows(self, const uint8_t[::1] octets, const uint32_t[::1] symbols, size_t first, int64_t until_us,
                  int64_t budget_ns) -> int:
        """Enter background rows from `first` on, up to those of until_us; returns the first row not entered.

        octets: an array of FLOW_DTYPE, as bytes; symbols: six-digit numbers its symbol column indexes. Stops when budget_ns
        have passed, so that a surge of background flow cannot hold up order entry.
        """
        cdef const FlowRow *rows = <const FlowRow *>&octets[0] if octets.shape[0] else NULL
        cdef const FlowRow *row
        cdef size_t count = octets.shape[0] // sizeof(FlowRow)
        cdef size_t index = first
        cdef int64_t stop_ns = now_ns() + budget_ns
        while index < count and rows[index].ts_us <= until_us:
            row = &rows[index]
            if row.act == c"C":
                self.background_cancel(symbols[row.symbol], row.oid)
            else:
                self.background_order(symbols[row.symbol], BUY if row.side == c"B" else SELL, row.price_e4, row.qty_shares, row.oid)
            index += 1
            if (index - first) % ROWS_PER_CLOCK_READ == 0 and now_ns() >= stop_ns:
                break
        return index


cdef void blank(VenueReport *report) noexcept:
    memset(report, 0, sizeof(VenueReport))
    memset(report.cl_ord_id, SPACE, sizeof(report.cl_ord_id))
    memset(report.orig_cl_ord_id, SPACE, sizeof(report.orig_cl_ord_id))
    memset(report.venue_order_id, SPACE, sizeof(report.venue_order_id))
    memset(report.exec_id, SPACE, sizeof(report.exec_id))
    memset(report.account, SPACE, sizeof(report.account))
