"""Keeps the best prices of the instruments a load run trades, from an exchange's market data. Publishes and trades nothing."""

from libc.stdint cimport int32_t, uint32_t, uint8_t

from ext.quotes cimport MSG_MARKET_STATUS, MSG_QUOTE, MarketStatus, MarketTrade, Quote, decode_frame
from loadtest.tracker cimport OrderTracker

cdef enum:
    SYMBOL_COUNT = 1_000_000

import numpy as np


cdef class TouchFeed:
    """An asyncio protocol that reads one exchange's market-data port.

    touches: venue -> symbol (as a number) -> its index in the tracker; quotes of others are skipped. Which venue it is, the
    market's status says, which comes first of all.
    """

    cdef OrderTracker tracker
    cdef dict touches
    cdef int32_t[::1] touch_of         # of this venue
    cdef uint8_t venue                 # 0: not known yet
    cdef bytes rest
    cdef readonly Py_ssize_t quote_count
    cdef readonly str error            # why the feed ended, or empty

    def __init__(self, OrderTracker tracker, dict touches):
        self.tracker = tracker
        self.touches = touches
        self.touch_of = np.full(SYMBOL_COUNT, -1, dtype=np.int32)
        self.rest = b""
        self.error = ""

    def connection_made(self, transport) -> None:
        """The port is open; it sends without being asked."""

    def data_received(self, bytes chunk) -> None:
        """Take every whole frame, keep the rest."""
        cdef bytes octets = self.rest + chunk if self.rest else chunk
        cdef const uint8_t *start = octets
        cdef size_t at = 0, size = len(octets)
        cdef ssize_t used
        cdef uint32_t msg_type = 0
        cdef MarketStatus status
        cdef Quote quote
        cdef MarketTrade trade
        while at < size:
            used = decode_frame(start + at, size - at, &msg_type, &status, &quote, &trade)
            if used < 0:
                self.error = f"malformed market data after {self.quote_count} quotes"
                return
            if used == 0:
                break
            if msg_type == MSG_QUOTE:
                self.take(&quote)
            elif msg_type == MSG_MARKET_STATUS and self.venue != status.venue:
                self.enter(status.venue)
            at += used
        self.rest = octets[at:]

    cdef enter(self, uint8_t venue):
        self.venue = venue
        for symbol, touch in self.touches.get(venue, {}).items():
            self.touch_of[<Py_ssize_t>symbol] = touch

    cdef void take(self, const Quote *quote) noexcept:
        self.quote_count += 1
        if quote.symbol < SYMBOL_COUNT and self.touch_of[quote.symbol] >= 0:
            self.tracker.set_touch(self.touch_of[quote.symbol], quote.bid_px_e4[0], quote.ask_px_e4[0], quote.last_px_e4)

    def eof_received(self) -> None:
        """The exchange closed its port."""
        self.error = self.error or "the exchange closed its market data"

    def connection_lost(self, error) -> None:
        """The connection is gone."""
        if error is not None:
            self.error = self.error or str(error)
