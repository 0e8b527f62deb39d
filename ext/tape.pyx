"""Driving an engine by hand, from Python: for tests, simulation and what-if runs. Adds nothing that the live path does not do."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.audience cimport Caller
from ext.buffers cimport Turn
from ext.clock cimport now_ns as clock_ns
from ext.codec cimport KIND_NEW_ORDER, NewOrder, Text, decode_client_message, decode_new_order
from ext.engine cimport Engine
from ext.histogram cimport Histogram
from ext.reports cimport Refusal
from ext.quotes cimport MarketTrade, Quote
from ext.venue cimport REPORT_APPLIED, REPORT_TRADE, VenueCancel, VenueOrder, VenueOutlet, VenueReport
from ext.venue_ids cimport ID_ORDER, encode_venue_id


cdef class VenueTape(VenueOutlet):
    """An exchange link that only remembers: `orders` and `cancels` as dicts, oldest first; `sequence` has the ClOrdID of each
    and, for a cancel, its order's, as they left."""

    cdef public list orders
    cdef public list cancels
    cdef public list sequence

    def __init__(self):
        VenueOutlet.__init__(self, Turn(lambda run: None))
        self.orders = []
        self.cancels = []
        self.sequence = []

    cdef void send_new_order(self, const VenueOrder *order) noexcept:
        self.sequence.append((order.cl_ord_id[:10].decode(), ""))
        self.orders.append({
            "cl_ord_id": order.cl_ord_id[:10].decode(), "account": order.account[:12].decode().rstrip(), "symbol": order.symbol,
            "side": order.side, "ord_type": order.ord_type, "owner_type": order.owner_type,
            "order_qty_shares": order.order_qty_shares, "price_e4": order.price_e4, "time_ns": order.time_ns,
        })

    cdef void send_cancel(self, const VenueCancel *cancel) noexcept:
        self.sequence.append((cancel.cl_ord_id[:10].decode(), cancel.orig_cl_ord_id[:10].decode()))
        self.cancels.append({
            "cl_ord_id": cancel.cl_ord_id[:10].decode(), "orig_cl_ord_id": cancel.orig_cl_ord_id[:10].decode(),
            "symbol": cancel.symbol, "side": cancel.side, "order_qty_shares": cancel.order_qty_shares,
            "venue_order_id": cancel.venue_order_id[:16].decode().rstrip(), "time_ns": cancel.time_ns,
        })


def feed(Caller caller, bytes message, int64_t recv_ns) -> None:
    """One whole message to a session or a unary call, as a transport would hand it over."""
    caller.on_message(<const uint8_t *>message, len(message), recv_ns)


def close(Caller caller) -> None:
    """The stream of a session ended."""
    caller.on_closed()


def taken(Caller caller) -> list:
    """Whole messages the caller was sent since the last look, without their gRPC prefix."""
    octets = caller.out.take()
    messages, at = [], 0
    while at < len(octets):
        size = int.from_bytes(octets[at + 1:at + 5], "big")
        messages.append(octets[at + 5:at + 5 + size])
        at += 5 + size
    return messages


cdef copy_padded(char *to, object text, size_t size):
    cdef bytes octets = text.encode().ljust(size)
    memcpy(to, <const char *>octets, size)


def report(Engine engine, int venue, int kind, int64_t now_ns, *, str cl_ord_id="", str orig_cl_ord_id="", int partition=1,
           report_index=0, last_qty_shares=0, last_px_e4=0, leaves_qty_shares=0, canceled_qty_shares=0, reason=0,
           str venue_order_id="", str exec_id="") -> int:
    """One exchange report to the engine: 1 applied, 2 duplicate, 3 gap. kind: venue.VenueReportKind."""
    cdef VenueReport event
    memset(&event, 0, sizeof(VenueReport))
    event.kind = <uint8_t>kind
    event.partition = partition
    event.report_index = report_index
    copy_padded(event.cl_ord_id, cl_ord_id, 10)
    copy_padded(event.orig_cl_ord_id, orig_cl_ord_id, 10)
    copy_padded(event.venue_order_id, venue_order_id, 16)
    copy_padded(event.exec_id, exec_id, 16)
    event.last_qty_shares = last_qty_shares
    event.last_px_e4 = last_px_e4
    event.leaves_qty_shares = leaves_qty_shares
    event.canceled_qty_shares = canceled_qty_shares
    event.reason = reason
    return engine.on_report(venue, &event, now_ns)


def quote(Engine engine, int venue, uint32_t symbol, int64_t now_ns, *, bid_px_e4=0, ask_px_e4=0, last_px_e4=0,
          bids=(), asks=(), total_volume_shares=0, total_turnover_e4=0) -> None:
    """The market of one instrument: its best bid and ask, or up to five levels (price, shares) of each side, best first."""
    cdef Quote event
    memset(&event, 0, sizeof(Quote))
    event.symbol = symbol
    event.bid_px_e4[0] = bid_px_e4
    event.ask_px_e4[0] = ask_px_e4
    for at, (price_e4, shares) in enumerate(bids[:5]):
        event.bid_px_e4[<int>at] = price_e4
        event.bid_qty_shares[<int>at] = shares
    for at, (price_e4, shares) in enumerate(asks[:5]):
        event.ask_px_e4[<int>at] = price_e4
        event.ask_qty_shares[<int>at] = shares
    event.last_px_e4 = last_px_e4
    event.total_volume_shares = total_volume_shares
    event.total_turnover_e4 = total_turnover_e4
    engine.on_quote(venue, &event, now_ns)


def trade(Engine engine, int venue, uint32_t symbol, int64_t now_ns, int64_t last_px_e4) -> None:
    """A trade of the market."""
    cdef MarketTrade event
    memset(&event, 0, sizeof(MarketTrade))
    event.symbol = symbol
    event.last_px_e4 = last_px_e4
    engine.market.on_trade(venue, &event, now_ns)


def time_messages(Caller caller, bytes blob, const int64_t[::1] ends, int64_t now_ns, int64_t step_ns, Histogram taken_ns) -> None:
    """Feed messages that lie end to end in blob (ends: where each stops) and record how long each took.

    now_ns: the time the core is told, step_ns later for each message. What the caller is sent is thrown away.
    """
    cdef const uint8_t *at = blob
    cdef int64_t start = 0
    cdef int64_t before_ns
    cdef Py_ssize_t k
    for k in range(ends.shape[0]):
        before_ns = clock_ns()
        caller.on_message(at + start, ends[k] - start, now_ns)
        taken_ns.record(clock_ns() - before_ns)
        caller.out.consume(caller.out.size())
        start = ends[k]
        now_ns += step_ns


def time_decisions(Engine engine, Caller caller, bytes blob, const int64_t[::1] ends, int64_t now_ns, int64_t step_ns,
                   Histogram taken_ns) -> None:
    """As time_messages, of ClientMessages that hold a NewOrder: the decision alone, neither decoded, sent nor reported."""
    cdef const uint8_t *at = blob
    cdef int64_t start = 0
    cdef int64_t before_ns
    cdef Py_ssize_t k
    cdef Text body
    cdef NewOrder order
    cdef Refusal refusal
    for k in range(ends.shape[0]):
        if (decode_client_message(at + start, ends[k] - start, &body) != KIND_NEW_ORDER
                or not decode_new_order(body.at, body.size, &order)):
            raise ValueError(f"message {k}: not a NewOrder")
        before_ns = clock_ns()
        engine.judge(caller, &order, &refusal, now_ns)
        taken_ns.record(clock_ns() - before_ns)
        start = ends[k]
        now_ns += step_ns


def run_mixed(Engine engine, Caller caller, bytes blob, const int64_t[::1] ends, const int64_t[::1] kinds, int64_t now_ns,
              int64_t step_ns, uint64_t report_index) -> int:
    """Many messages with no clock between them: kinds 0 and 1 are ClientMessages, decoded and judged, 2 is the number of an
    order that fills whole at 9.90, 3 the symbol of a quote of Shanghai. Returns the next report index."""
    cdef const uint8_t *at = blob
    cdef int64_t start = 0
    cdef Py_ssize_t k
    cdef uint64_t number
    cdef Quote quote
    cdef VenueReport report
    cdef Text body
    cdef NewOrder order
    cdef Refusal refusal
    memset(&quote, 0, sizeof(Quote))
    memset(&report, 0, sizeof(VenueReport))
    report.kind = REPORT_TRADE
    report.partition = 1
    report.last_qty_shares = 100
    report.last_px_e4 = 99000
    memset(report.cl_ord_id, 32, sizeof(report.cl_ord_id))
    quote.last_px_e4 = 100000
    quote.bid_px_e4[0] = 99900
    quote.ask_px_e4[0] = 100100
    for k in range(ends.shape[0]):
        if kinds[k] == 0:
            decode_client_message(at + start, ends[k] - start, &body)
            decode_new_order(body.at, body.size, &order)
            engine.judge(caller, &order, &refusal, now_ns)
        elif kinds[k] == 1:
            caller.on_message(at + start, ends[k] - start, now_ns)
        else:
            memcpy(&number, at + start, 8)
            if kinds[k] == 2:
                encode_venue_id(report.cl_ord_id, ID_ORDER, engine.state.shard, number)
                report.report_index = report_index
                report_index += engine.on_report(1, &report, now_ns) == REPORT_APPLIED
            else:
                quote.symbol = <uint32_t>number
                quote.total_volume_shares += 100
                engine.on_quote(1, &quote, now_ns)
        caller.out.consume(caller.out.size())
        start = ends[k]
        now_ns += step_ns
    return report_index


cdef class NullOutlet(VenueOutlet):
    """A link that takes every order and forgets it: what remains is the gateway's own cost."""

    def __init__(self):
        VenueOutlet.__init__(self, Turn(lambda run: None))


cdef class NullCaller(Caller):
    """A caller that does nothing with a message: the empty baseline of time_messages."""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        pass
