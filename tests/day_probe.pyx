"""A whole trading day through the engine as fast as it goes: what a benchmark of recovery needs and no wire is needed for."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memset

from ext.audience cimport Caller
from ext.codec cimport NewOrder, Text
from ext.codes cimport BUY, LIMIT, SELL, XSHG
from ext.engine cimport Engine
from ext.events cimport Frame, OrderEvent
from ext.quotes cimport Quote
from ext.reports cimport Refusal
from ext.venue cimport REPORT_ACCEPTED, REPORT_CANCELED, REPORT_TRADE, VenueReport
from ext.venue_ids cimport ID_CANCEL, ID_ORDER, encode_venue_id

cdef enum:
    LOT = 200
    FIRST_SYMBOL = 600000
    QUOTE_EVERY = 16                   # orders


cdef class Day:
    """Orders of random accounts, all acknowledged; most are filled whole or in two parts, some cancelled, a few left open."""

    cdef Engine engine
    cdef Caller caller
    cdef uint32_t accounts, symbols, traded
    cdef uint64_t draw, reports, orders
    cdef readonly int64_t now_ns

    def __init__(self, Engine engine, Caller caller, uint32_t accounts, uint32_t symbols, uint32_t traded, int64_t now_ns):
        self.engine, self.caller = engine, caller
        self.accounts, self.symbols, self.traded = accounts, symbols, traded
        self.draw = 7
        self.now_ns = now_ns

    def play(self, uint64_t until_seq, int64_t step_ns) -> int:
        """Orders, one each step_ns, until the journal has so many frames; how many orders there are."""
        while self.engine.journal.seq < until_seq:
            self.now_ns += step_ns
            if self.orders % QUOTE_EVERY == 0:
                self.quote()
            self.order()
        return self.orders

    cdef uint32_t random(self, uint32_t below) noexcept:
        self.draw = self.draw * 6364136223846793005ULL + 1442695040888963407ULL
        return <uint32_t>((self.draw >> 33) % below)

    cdef void quote(self) noexcept:
        cdef Quote quote
        memset(&quote, 0, sizeof(Quote))
        quote.symbol = FIRST_SYMBOL + self.random(self.symbols)
        quote.last_px_e4 = 100000 + 100 * <int64_t>self.random(5)
        quote.bid_px_e4[0] = 99900
        quote.ask_px_e4[0] = 100100
        quote.total_volume_shares = <int64_t>self.orders * 100
        self.engine.on_quote(XSHG, &quote, self.now_ns)

    cdef void order(self) except *:
        """One order, and what becomes of it."""
        cdef NewOrder order
        cdef Refusal refusal
        cdef char account[16]
        cdef char name[24]
        cdef char symbol[8]
        cdef uint32_t who = self.random(self.accounts)
        cdef uint32_t fate = self.random(100)
        cdef const Frame *decision
        memset(&order, 0, sizeof(NewOrder))
        self.orders += 1
        order.account = Text(<unsigned char *>account, snprintf(account, sizeof(account), b"A%07u", who))
        order.cl_ord_id = Text(<unsigned char *>name, snprintf(name, sizeof(name), b"order-%lu", <unsigned long>self.orders))
        order.symbol = Text(<unsigned char *>symbol, snprintf(symbol, sizeof(symbol), b"%06u",
                            FIRST_SYMBOL + (who * 7 + self.random(self.traded)) % self.symbols))
        order.security_exchange = XSHG
        order.side = BUY
        order.ord_type = LIMIT
        order.order_qty_shares = LOT
        order.price_e4 = 100000 - 100 * <int64_t>self.random(9)
        order.planned_ns = self.now_ns
        decision = self.engine.judge(self.caller, &order, &refusal, self.now_ns)
        self.caller.out.consume(self.caller.out.size())
        if decision == NULL:
            raise AssertionError(f"order {self.orders}: refused with {refusal.code}")
        if (<const OrderEvent *>decision).code == 1:
            self.follow(decision.order_no, fate)

    cdef void follow(self, uint32_t order_no, uint32_t fate) noexcept:
        self.report(REPORT_ACCEPTED, order_no, 0)
        if fate < 60:
            self.report(REPORT_TRADE, order_no, LOT)
        elif fate < 80:
            self.report(REPORT_TRADE, order_no, LOT // 2)
            self.report(REPORT_TRADE, order_no, LOT // 2)
        elif fate < 95:
            self.engine.request_cancel(order_no, NULL, 0, self.now_ns)
            self.report(REPORT_CANCELED, order_no, 0)

    cdef void report(self, int kind, uint32_t order_no, int64_t last_qty_shares) noexcept:
        cdef VenueReport report
        memset(&report, 0, sizeof(VenueReport))
        memset(report.orig_cl_ord_id, 32, sizeof(report.orig_cl_ord_id))
        memset(report.venue_order_id, 65, sizeof(report.venue_order_id))
        report.kind = <unsigned char>kind
        report.partition = 1
        self.reports += 1
        report.report_index = self.reports
        encode_venue_id(report.cl_ord_id, ID_ORDER, self.engine.state.shard, order_no)
        report.last_qty_shares = last_qty_shares
        report.last_px_e4 = 99000
        self.engine.on_report(XSHG, &report, self.now_ns)
        self.caller.out.consume(self.caller.out.size())
