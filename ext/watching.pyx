"""Own rows that the next recorded quote of their instrument concerns, the oldest first. What a rule says of them is not known here."""

from ext.codes cimport PASS
from ext.events cimport EV_CANCELED, EV_CANCEL_SENT, EV_ORDER, EV_QUOTE, EV_TRADE, OrderEvent, QuoteEvent
from ext.journal cimport Journal
from ext.program cimport ON_QUOTE
from ext.state cimport MOST_INSTRUMENTS, State
from ext.tables cimport map_small_pages, unmap_pages

cdef enum:
    ROWS_AT_ONCE = 64                  # that one recorded quote is looked at for


cdef class Watching(Recorder):
    """Who did something in which instrument since its newest recorded quote."""

    def __init__(self, State state, Journal journal):
        Recorder.__init__(self, state, journal)
        self.watch_rows = state.most_positions
        self.watch_head = <uint32_t *>map_small_pages(MOST_INSTRUMENTS * sizeof(uint32_t))
        self.watch_tail = <uint32_t *>map_small_pages(MOST_INSTRUMENTS * sizeof(uint32_t))
        self.left = <uint32_t *>map_small_pages(MOST_INSTRUMENTS * sizeof(uint32_t))
        self.is_left = <unsigned char *>map_small_pages(MOST_INSTRUMENTS)
        self.watch_next = <uint32_t *>map_small_pages(<size_t>state.most_positions * sizeof(uint32_t))
        self.is_watched = <unsigned char *>map_small_pages(state.most_positions)

    def __dealloc__(self):
        unmap_pages(self.watch_head, MOST_INSTRUMENTS * sizeof(uint32_t))
        unmap_pages(self.watch_tail, MOST_INSTRUMENTS * sizeof(uint32_t))
        unmap_pages(self.left, MOST_INSTRUMENTS * sizeof(uint32_t))
        unmap_pages(self.is_left, MOST_INSTRUMENTS)
        unmap_pages(self.watch_next, <size_t>self.watch_rows * sizeof(uint32_t))
        unmap_pages(self.is_watched, self.watch_rows)

    cdef void watch(self, uint32_t position) noexcept:
        """Something happened in this controller's record: the next quote of its instrument concerns it, if there are rules."""
        cdef uint32_t instrument
        if self.state.rule_state.book.number == 0 or self.is_watched[position]:
            return
        instrument = self.state.positions[position].instrument
        self.is_watched[position] = True
        self.watch_next[position] = 0
        if self.watch_head[instrument] == 0:
            self.watch_head[instrument] = position + 1
        else:
            self.watch_next[self.watch_tail[instrument] - 1] = position + 1
        self.watch_tail[instrument] = position + 1

    cdef void watch_frame(self, const Frame *frame) noexcept:
        """A frame of the journal that was applied: whom the next quote concerns since it. From the first rule set on."""
        if self.state.rule_state.rule_set_count == 0:
            return
        if frame.type == EV_QUOTE:
            self.unwatch((<const QuoteEvent *>frame).instrument)
        elif frame.type in (EV_TRADE, EV_CANCELED, EV_CANCEL_SENT) or (
                frame.type == EV_ORDER and (<const OrderEvent *>frame).code == PASS):
            self.watch(self.state.orders[frame.order_no].match_position)

    cdef void on_recorded(self, uint32_t instrument, int64_t now_ns) noexcept:
        """A quote was recorded: look at the rows that something happened in, the oldest first, so many at most."""
        cdef uint32_t stop = self.watch_tail[instrument]
        cdef uint32_t position
        cdef int count = 0
        # As recovery does it, which cannot tell whether anything looked: it counts as looked at.
        if not self.state.rule_state.book.judged & (1 << ON_QUOTE):
            self.unwatch(instrument)
            return
        while self.watch_head[instrument] and count < ROWS_AT_ONCE:
            position = self.watch_head[instrument] - 1
            self.watch_head[instrument] = self.watch_next[position]
            self.is_watched[position] = False
            if self.watch_head[instrument]:
                self.fetch_watched(self.watch_head[instrument] - 1)
            self.survey_row(position, instrument, now_ns)
            count += 1
            if position + 1 == stop:
                return
        if self.watch_head[instrument] and not self.is_left[instrument]:
            self.is_left[instrument] = True
            self.left[self.left_count] = instrument
            self.left_count += 1

    cdef void survey_left(self, int64_t now_ns) noexcept:
        """Go on with the rows that quotes left over."""
        cdef uint32_t count = self.left_count
        cdef uint32_t at
        self.left_count = 0
        for at in range(count):
            self.is_left[self.left[at]] = False
            self.on_recorded(self.left[at], now_ns)

    cdef void unwatch(self, uint32_t instrument) noexcept:
        """The instrument's rows were looked at."""
        cdef uint32_t position
        while self.watch_head[instrument]:
            position = self.watch_head[instrument] - 1
            self.watch_head[instrument] = self.watch_next[position]
            self.is_watched[position] = False

    cdef void fetch_watched(self, uint32_t position) noexcept:
        """Start loading the row that is next (ext/survey)."""
        pass

    cdef void survey_row(self, uint32_t position, uint32_t instrument, int64_t now_ns) noexcept:
        """Look at one row (ext/survey)."""
        pass
