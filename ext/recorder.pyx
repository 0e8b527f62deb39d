"""Quotes and phases into the journal, as often as rules and audits need them. Judges nothing; live quotes stay with the market."""

from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy

from ext.codes cimport BOARD_INDEX, PHASE_COUNT, VENUE_COUNT
from ext.events cimport EV_PHASE, EV_QUOTE, PhaseEvent, QuoteEvent
from ext.journal cimport SPARE_FOR_REPORTS, Journal
from ext.rule_state cimport RecordedQuote
from ext.state cimport MOST_INSTRUMENTS, NONE, State
from ext.tables cimport map_small_pages, unmap_pages

cdef enum:
    OFTEN_NS = 1000000000              # an index, and what we ordered today
    SELDOM_NS = 15000000000
    MOST_PX_E4 = 1000000000000


cdef class Recorder(Records):
    """Samples the feeds of one shard."""

    def __init__(self, State state, Journal journal):
        Records.__init__(self, state, journal)
        self.newest = <Newest *>map_small_pages(MOST_INSTRUMENTS * sizeof(Newest))
        self.is_waiting = <uint8_t *>map_small_pages(MOST_INSTRUMENTS)
        self.waiting = <uint32_t *>map_small_pages(MOST_INSTRUMENTS * sizeof(uint32_t))

    def __dealloc__(self):
        unmap_pages(self.newest, MOST_INSTRUMENTS * sizeof(Newest))
        unmap_pages(self.is_waiting, MOST_INSTRUMENTS)
        unmap_pages(self.waiting, MOST_INSTRUMENTS * sizeof(uint32_t))

    cdef void on_quote(self, int venue, const Quote *quote, int64_t now_ns) noexcept:
        """A quote from the feed: the ladder sees it at once, the rules when it is recorded."""
        cdef uint32_t instrument = self.state.find_instrument(venue, quote.symbol)
        cdef Newest *newest
        self.market.on_quote(venue, quote, now_ns)
        if instrument == NONE:
            return
        newest = &self.newest[instrument]
        newest.quote = quote[0]
        self.is_waiting[instrument] = True
        if now_ns >= self.due_ns(instrument):
            self.record_newest(instrument, now_ns)
        elif not newest.is_listed:
            newest.is_listed = True
            self.waiting[self.waiting_count] = instrument
            self.waiting_count += 1

    cdef int64_t due_ns(self, uint32_t instrument) noexcept:
        """When this instrument's next quote is to be recorded."""
        cdef const RecordedQuote *recorded = &self.state.rule_state.recorded[instrument]
        if recorded.time_ns == 0:
            return 0
        if recorded.is_ordered or self.state.instruments[instrument].board == BOARD_INDEX:
            return recorded.time_ns + OFTEN_NS
        return recorded.time_ns + SELDOM_NS

    cdef bint record_before_first_order(self, uint32_t instrument, int64_t now_ns) noexcept:
        """The day's first order in an instrument is judged on the newest quote, not on one of some seconds ago. Whether one was
        recorded for it."""
        if not self.is_waiting[instrument] or self.state.rule_state.recorded[instrument].is_ordered:
            return False
        self.record_newest(instrument, now_ns)
        return True

    cdef void record_due(self, int64_t now_ns) noexcept:
        """Record what has waited long enough by now, whatever it was when it began to wait; called ten times a second."""
        cdef uint32_t at = 0
        cdef uint32_t instrument
        while at < self.waiting_count:
            instrument = self.waiting[at]
            if self.is_waiting[instrument] and now_ns < self.due_ns(instrument):
                at += 1
                continue
            self.newest[instrument].is_listed = False
            self.waiting_count -= 1
            self.waiting[at] = self.waiting[self.waiting_count]
            if self.is_waiting[instrument]:
                self.record_newest(instrument, now_ns)

    cdef void record_newest(self, uint32_t instrument, int64_t now_ns) noexcept:
        cdef const Quote *quote = &self.newest[instrument].quote
        cdef QuoteEvent *event
        cdef int at
        # On a full disk what is left belongs to reports; no order is judged then that would miss the quote.
        if not self.journal.has_room(SPARE_FOR_REPORTS):
            return
        event = <QuoteEvent *>self.reserve(EV_QUOTE, sizeof(QuoteEvent), NONE, False, now_ns)
        if event == NULL:
            return
        self.is_waiting[instrument] = False
        event.instrument = instrument
        event.phase = self.state.phase[self.state.instruments[instrument].venue]
        event.last_px_e4 = quote.last_px_e4 if 0 < quote.last_px_e4 < MOST_PX_E4 else 0
        event.total_volume_shares = max(quote.total_volume_shares, 0)
        event.total_turnover_e4 = max(quote.total_turnover_e4, 0)
        for at in range(5):
            event.bid_px_e4[at] = level_px_e4(quote.bid_px_e4[at])
            event.ask_px_e4[at] = level_px_e4(quote.ask_px_e4[at])
            event.bid_qty_shares[at] = max(quote.bid_qty_shares[at], 0)
            event.ask_qty_shares[at] = max(quote.ask_qty_shares[at], 0)
        self.record(&event.head)
        self.on_recorded(instrument, now_ns)

    cdef void on_recorded(self, uint32_t instrument, int64_t now_ns) noexcept:
        """The rules look at it (ext/survey)."""
        pass

    cdef void record_phase(self, const MarketStatus *status, int64_t now_ns) noexcept:
        """An exchange's phase, when it is another than the journal's newest."""
        cdef PhaseEvent *event
        if not 0 < status.venue < VENUE_COUNT or status.phase >= PHASE_COUNT or status.phase == self.state.phase[status.venue]:
            return
        event = <PhaseEvent *>self.reserve(EV_PHASE, sizeof(PhaseEvent), NONE, False, now_ns)
        if event == NULL:
            return
        event.venue = status.venue
        event.phase = status.phase
        self.record(&event.head)


cdef inline uint32_t level_px_e4(int64_t price_e4) noexcept:
    """A level's price; what fits no price is no level."""
    return <uint32_t>price_e4 if 0 < price_e4 <= UINT32_MAX else 0
