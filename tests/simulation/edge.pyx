"""The simulator's edge: clients' and exchanges' messages as octets and tuples, and rows of the core as tuples. Decides nothing.

What a client sends is protobuf written here and read by the product; what a client reads is protobuf written by the product
and read here, so that neither end can hide a mistake of the other.
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.apply cimport apply
from ext.buffers cimport Turn
from ext.engine cimport Engine
from ext.events cimport EV_ORDER, EV_TRADE, Frame, ReportEvent
from ext.gate cimport FOR_EVER, Gate
from ext.journal cimport JOURNAL_START, Journal, crc32c
from ext.quotes cimport Quote
from ext.rpc cimport Carrier, StreamSink
from ext.state cimport NONE, Account, Position, State, Usage
from ext.venue cimport VenueCancel, VenueOrder, VenueOutlet, VenueReport
from ext.venue_ids cimport ID_ORDER, encode_venue_id


NOBODY = <uint32_t>NONE                # slot of a session that has not logged on

cdef enum:
    TAG_ORDER = 78                     # 'N' and 'C': the first octet of what leaves for an exchange
    TAG_CANCEL = 67


# ---- protobuf, both ways

cdef inline uint8_t *put_varint(uint8_t *at, uint64_t value) noexcept:
    while value >= 128:
        at[0] = <uint8_t>(value | 128)
        value >>= 7
        at += 1
    at[0] = <uint8_t>value
    return at + 1


cdef inline uint8_t *put_text(uint8_t *at, uint8_t tag, bytes text) noexcept:
    cdef size_t size = len(text)
    at[0] = tag
    at = put_varint(at + 1, size)
    memcpy(at, <const char *>text, size)
    return at + size


cdef bytes wrapped(uint8_t tag, const uint8_t *body, size_t size):
    cdef uint8_t whole[512]
    whole[0] = tag
    cdef uint8_t *at = put_varint(whole + 1, size)
    memcpy(at, body, size)
    return (<const char *>whole)[:at + size - whole]


def new_order(bytes cl_ord_id, bytes account, bytes symbol, int venue, int side, int ord_type, int64_t qty, int64_t price_e4):
    """A ClientMessage with a NewOrder; texts of at most 64 bytes."""
    cdef uint8_t body[400]
    cdef uint8_t *at = put_text(body, 10, cl_ord_id)
    at = put_text(at, 18, account)
    at = put_text(at, 26, symbol)
    at[0] = 32
    at = put_varint(at + 1, venue)
    at[0] = 40
    at = put_varint(at + 1, side)
    at[0] = 48
    at = put_varint(at + 1, ord_type)
    at[0] = 56
    at = put_varint(at + 1, qty)
    at[0] = 64
    at = put_varint(at + 1, price_e4)
    return wrapped(18, body, at - body)


def cancel_order(bytes cl_ord_id, bytes account, bytes orig_cl_ord_id):
    """A ClientMessage with a CancelOrder."""
    cdef uint8_t body[400]
    cdef uint8_t *at = put_text(body, 10, cl_ord_id)
    at = put_text(at, 18, account)
    at = put_text(at, 26, orig_cl_ord_id)
    return wrapped(26, body, at - body)


cdef inline const uint8_t *get_varint(const uint8_t *at, uint64_t *value) noexcept:
    cdef int shift = 0
    value[0] = 0
    while True:
        value[0] |= <uint64_t>(at[0] & 127) << shift
        at += 1
        if (at - 1)[0] < 128:
            return at
        shift += 7


def report_of(bytes message):
    """What a ServerMessage says: (kind, event_seq, account, cl_ord_id, order_id, exec_type, ord_status, last_qty, last_px,
    leaves, cum_qty, reject_code, possible_duplicate, exec_id, side, order_qty, price, orig_cl_ord_id); kind 2 is an
    ExecutionReport, 3 a CancelReject. Any other message: (kind,)."""
    cdef const uint8_t *at = <const uint8_t *><const char *>message
    cdef const uint8_t *end = at + len(message)
    cdef uint64_t numbers[32]
    cdef uint64_t value
    cdef uint32_t field
    cdef int kind = at[0] >> 3
    texts = {}
    if kind != 2 and kind != 3:
        return (kind,)
    memset(numbers, 0, sizeof(numbers))
    at = get_varint(at + 1, &value)
    if at + value != end:
        raise ValueError(f"a ServerMessage of {len(message)} bytes does not end with its member")
    while at < end:
        at = get_varint(at, &value)
        field = <uint32_t>(value >> 3)
        if value & 7 == 2:
            at = get_varint(at, &value)
            texts[field] = (<const char *>at)[:value]
            at += value
        else:
            at = get_varint(at, &value)
            numbers[field & 31] = value
    if kind == 2:
        return (2, numbers[1], texts[2], texts[3], numbers[4], numbers[6], numbers[7], <int64_t>numbers[14], <int64_t>numbers[15],
                <int64_t>numbers[16], <int64_t>numbers[17], texts.get(20, b""), numbers[25], numbers[5], numbers[10],
                <int64_t>numbers[12], <int64_t>numbers[13], b"")
    return (3, numbers[1], texts.get(2, b""), texts.get(3, b""), numbers[5], 0, numbers[6], 0, 0, 0, 0, texts.get(7, b""), 0, 0,
            0, 0, 0, texts.get(4, b""))


def split(bytes octets) -> list:
    """The whole messages of a stream's octets, without their gRPC prefix."""
    cdef const uint8_t *at = <const uint8_t *><const char *>octets
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t whole = len(octets)
    cdef Py_ssize_t size
    messages = []
    while start < whole:
        size = (at[start + 1] << 24) | (at[start + 2] << 16) | (at[start + 3] << 8) | at[start + 4]
        messages.append(octets[start + 5:start + 5 + size])
        start += 5 + size
    return messages


# ---- time, and the gate

cdef class Clock:
    """The world's time, and what the clock of the node that is running is ahead of it."""

    cdef public int64_t now_ns
    cdef public int64_t offset_ns

    def utc_now_ns(self) -> int:
        """As ext.clock's, for modules of the gateway that run in a world."""
        return self.now_ns + self.offset_ns


cdef class ClockedGate(Gate):
    """The gate of a node of a world: the real one, with the node's clock."""

    cdef Clock clock
    cdef int64_t offset_ns

    def __init__(self, Journal journal not None, Clock clock not None, int64_t offset_ns):
        Gate.__init__(self, journal)
        self.clock = clock
        self.offset_ns = offset_ns

    cdef bint may_speak(self) noexcept:
        return self.until_ns == FOR_EVER or self.clock.now_ns + self.offset_ns < self.until_ns


def send(Turn turn, object transport, bytes octets) -> None:
    """Octets on their way out, as a transport's flush sends them."""
    turn.send(transport, octets)


def close(Turn turn, object transport) -> None:
    turn.close(transport)


def end_turn(Gate gate) -> None:
    gate.end_turn()


# ---- outlets

cdef class Line(Carrier):
    """A client's connection as the session sees it; when it has something to say it puts itself into `ready`, once."""

    cdef readonly StreamSink sink
    cdef list ready_lines
    cdef public object stream

    def __init__(self, StreamSink sink, list ready_lines, stream):
        self.sink = sink
        self.ready_lines = ready_lines
        self.stream = stream
        sink.carrier = self

    cdef void ready(self) noexcept:
        self.ready_lines.append(self)

    def take(self) -> bytes:
        """Everything the session has to say; it may mark itself again from now on."""
        self.sink.marked = False
        self.sink.queued = 0
        return self.sink.out.take()


cdef class ExchangeOutlet(VenueOutlet):
    """An exchange link: octets of orders and cancels while it is up; without one they are refused, as a real link does."""

    cdef public object stream
    cdef public bint up
    cdef public int64_t refused

    def __init__(self):
        VenueOutlet.__init__(self, Turn(lambda run: None))

    cdef void send_new_order(self, const VenueOrder *order) noexcept:
        self.put(TAG_ORDER, order, sizeof(VenueOrder))

    cdef void send_cancel(self, const VenueCancel *cancel) noexcept:
        self.put(TAG_CANCEL, cancel, sizeof(VenueCancel))

    cdef void put(self, uint8_t tag, const void *body, size_t size) noexcept:
        cdef uint8_t *room
        if not self.up:
            self.refused += 1
            return
        room = self.out.reserve(size + 1)
        if room == NULL:
            return
        room[0] = tag
        memcpy(room + 1, body, size)
        self.out.commit(size + 1)

    def take(self) -> bytes:
        return self.out.take()


def orders_of(bytes octets) -> list:
    """What left for an exchange: (cl_ord_id, account, symbol, side, ord_type, qty, price_e4) of an order,
    (cl_ord_id, orig_cl_ord_id, account, symbol, side) of a cancel."""
    cdef const uint8_t *at = <const uint8_t *><const char *>octets
    cdef const uint8_t *end = at + len(octets)
    cdef VenueOrder order
    cdef VenueCancel cancel
    found = []
    while at < end:
        if at[0] == TAG_ORDER:
            memcpy(&order, at + 1, sizeof(VenueOrder))
            found.append((order.cl_ord_id[:10], order.account[:12], order.symbol, order.side, order.ord_type,
                          order.order_qty_shares, order.price_e4))
            at += 1 + sizeof(VenueOrder)
        else:
            memcpy(&cancel, at + 1, sizeof(VenueCancel))
            found.append((cancel.cl_ord_id[:10], cancel.orig_cl_ord_id[:10], cancel.account[:12], cancel.symbol, cancel.side))
            at += 1 + sizeof(VenueCancel)
    return found


# ---- into the engine

cdef inline void put_padded(char *to, bytes text, size_t size) noexcept:
    memset(to, 32, size)
    memcpy(to, <const char *>text, min(size, <size_t>len(text)))


def report(Engine engine, int venue, tuple told, int64_t now_ns) -> int:
    """One exchange report, (kind, partition, report_index, cl_ord_id, orig_cl_ord_id, venue_order_id, exec_id, last_qty,
    last_px_e4, leaves, canceled, reason): what the engine made of it (ReportVerdict)."""
    cdef VenueReport event
    memset(&event, 0, sizeof(VenueReport))
    event.kind = <uint8_t><int>told[0]
    event.partition = told[1]
    event.report_index = told[2]
    put_padded(event.cl_ord_id, <bytes>told[3], 10)
    put_padded(event.orig_cl_ord_id, <bytes>told[4], 10)
    put_padded(event.venue_order_id, <bytes>told[5], 16)
    put_padded(event.exec_id, <bytes>told[6], 16)
    event.last_qty_shares = told[7]
    event.last_px_e4 = told[8]
    event.leaves_qty_shares = told[9]
    event.canceled_qty_shares = told[10]
    event.reason = told[11]
    return engine.on_report(venue, &event, now_ns)


def quote(Engine engine, int venue, uint32_t symbol, int64_t bid_px_e4, int64_t ask_px_e4, int64_t last_px_e4, int64_t now_ns):
    """The best of one instrument's book."""
    cdef Quote event
    memset(&event, 0, sizeof(Quote))
    event.symbol = symbol
    event.bid_px_e4[0] = bid_px_e4
    event.ask_px_e4[0] = ask_px_e4
    event.last_px_e4 = last_px_e4
    engine.on_quote(venue, &event, now_ns)


# ---- mistakes, for mutants

def venue_id(uint64_t order_no) -> bytes:
    """The shard's ClOrdID of an order."""
    cdef char encoded[10]
    encode_venue_id(encoded, ID_ORDER, 0, order_no)
    return encoded[:10]


def renamed(bytes octets, uint64_t number) -> bytes:
    """What leaves for an exchange, with the first order under another number."""
    return octets[:1] + venue_id(number) + octets[11:] if octets[:1] == b"N" else octets


def newest_crc(Journal journal, uint64_t end) -> int:
    """Checksum of the frame that ends there."""
    cdef uint64_t at = JOURNAL_START
    cdef uint32_t crc = 0
    while at < end:
        crc = journal.at(at).crc
        at += journal.at(at).size
    return crc


def complete(int fd, uint64_t start, uint64_t end, uint32_t crc) -> None:
    """Give every frame from `start` on, torn or not, the checksum that continues the chain."""
    cdef bytearray octets = bytearray(os.pread(fd, end - start, start))
    cdef uint64_t at = 0
    cdef Frame *frame
    while at + sizeof(Frame) <= <uint64_t>len(octets):
        frame = <Frame *>(<char *>octets + at)
        if frame.size < sizeof(Frame) or frame.size % 8 or at + frame.size > <uint64_t>len(octets) or not 0 < frame.type < EV_ORDER + 6:
            break
        crc = frame.crc = crc32c(<const uint8_t *>frame + 8, frame.size - 8, crc)
        at += frame.size
    os.pwrite(fd, bytes(octets), start)


def forget_sequence(State state, uint32_t account) -> None:
    state.accounts[account].event_seq = 0


def set_total(State state, uint32_t account, uint32_t instrument, int64_t shares) -> None:
    cdef Position *row = state.find_position(account, instrument)
    if row != NULL:
        row.total_shares = shares


def release_cash(State state, uint32_t account, int64_t cash_e4) -> None:
    state.accounts[account].cash_held_e4 -= cash_e4


def apply_again(Engine engine, uint64_t offset) -> None:
    """The frame at offset once more, when it is a partial fill whose order has that much left."""
    cdef const ReportEvent *event = <const ReportEvent *>engine.journal.at(offset)
    if offset and event.head.type == EV_TRADE and event.leaves_qty_shares > event.last_qty_shares:
        apply(engine.state, &event.head, offset)


def turn_of(Gate gate) -> Turn:
    return Turn(lambda run: None, gate)


# ---- rows of the state

cdef inline tuple usage_row(const Usage *usage):
    return (usage.open_buy_e4, usage.open_sell_e4, usage.filled_buy_e4, usage.filled_sell_e4)


def account_row(State state, uint32_t index) -> tuple:
    """(cash, cash held, open orders, event_seq, open buys, open sells, filled buys, filled sells)"""
    cdef const Account *row = &state.accounts[index]
    return (row.cash_e4, row.cash_held_e4, row.open_orders, row.event_seq, row.usage.open_buy_e4, row.usage.open_sell_e4,
            row.usage.filled_buy_e4, row.usage.filled_sell_e4)


def position_row(State state, uint32_t owner, uint32_t instrument):
    """(total, sellable, sell held, bought today, open buys, open sells); all 0 when there is no record."""
    cdef const Position *row = state.find_position(owner, instrument)
    if row == NULL:
        return (0, 0, 0, 0, 0, 0)
    return (row.total_shares, row.sellable_shares, row.sell_held_shares, row.bought_today_shares, row.open_buy_shares,
            row.open_sell_shares)


def firm_row(State state) -> tuple:
    """(open buys, open sells, filled buys, filled sells)"""
    return usage_row(&state.firm)


def group_row(State state, uint32_t index) -> tuple:
    """(open buys, open sells, filled buys, filled sells)"""
    return usage_row(&state.groups[index].usage)


def order_row(State state, uint32_t order_no) -> tuple:
    """(ord_status, leaves, cum_qty, cum_notional, cash held, acknowledged by its exchange)"""
    return (state.orders[order_no].ord_status, state.orders[order_no].leaves_qty_shares, state.orders[order_no].cum_qty_shares,
            state.orders[order_no].cum_notional_e4, state.orders[order_no].hold_e4, bool(state.orders[order_no].flags & 4))
