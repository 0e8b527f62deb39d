"""An exchange's market data stream into the engine: frames off the socket, decoded in place. Connects to nothing itself."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from ext.buffers cimport OutBuf
from ext.clock cimport now_ns
from ext.engine cimport Engine
from ext.quotes cimport (
    MSG_MARKET_STATUS, MSG_QUOTE, MSG_TRADE, MarketStatus, MarketTrade, Quote, decode_frame,
)


cdef class QuoteFeed:
    """asyncio.Protocol of one exchange's market data connection.

    on_closed(reason): called once when the connection ends; a malformed frame ends it, because what follows cannot be trusted.
    """

    cdef Engine engine
    cdef int venue
    cdef OutBuf partial                # octets of a frame that has not come whole
    cdef object transport
    cdef object on_closed
    cdef str fault
    cdef readonly int64_t quotes
    cdef readonly int64_t trades
    cdef readonly int64_t statuses

    def __init__(self, Engine engine, int venue, on_closed):
        self.engine = engine
        self.venue = venue
        self.on_closed = on_closed
        self.fault = ""
        self.partial = OutBuf(1 << 22)

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        self.on_closed(self.fault or str(error or "the exchange closed the feed"))

    def eof_received(self):
        return False

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass

    def data_received(self, bytes octets):
        cdef const uint8_t *at = octets
        cdef size_t size = len(octets)
        cdef int64_t recv_ns = now_ns()
        cdef ssize_t used
        cdef uint8_t *room
        if self.partial.size():
            room = self.partial.reserve(size)
            if room == NULL:
                self.cut("a frame longer than any message")
                return
            memcpy(room, at, size)
            self.partial.commit(size)
            used = self.take(self.partial.head(), self.partial.size(), recv_ns)
            if used > 0:
                self.partial.consume(used)
            return
        used = self.take(at, size, recv_ns)
        if 0 <= used < <ssize_t>size:
            room = self.partial.reserve(size - used)
            memcpy(room, at + used, size - used)
            self.partial.commit(size - used)

    cdef ssize_t take(self, const uint8_t *at, size_t size, int64_t recv_ns):
        """Apply every whole frame; how many octets they were, -1 after a malformed one."""
        cdef MarketStatus status
        cdef Quote quote
        cdef MarketTrade trade
        cdef uint32_t msg_type = 0
        cdef size_t used = 0
        cdef ssize_t frame
        while used < size:
            frame = decode_frame(at + used, size - used, &msg_type, &status, &quote, &trade)
            if frame == 0:
                break
            if frame < 0:
                self.cut("a malformed market data frame")
                return -1
            if msg_type == MSG_QUOTE:
                self.engine.on_quote(self.venue, &quote, recv_ns)
                self.quotes += 1
            elif msg_type == MSG_TRADE:
                self.engine.market.on_trade(self.venue, &trade, recv_ns)
                self.trades += 1
            elif msg_type == MSG_MARKET_STATUS and status.venue == self.venue:
                self.engine.on_status(&status, recv_ns)
                self.statuses += 1
            used += frame
        return <ssize_t>used

    cdef cut(self, str fault):
        self.fault = fault
        if self.transport is not None:
            self.transport.abort()
