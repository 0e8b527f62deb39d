"""The newest quotes, phases and link states, and the day's profits at these quotes. Remembers, judges nothing."""

from ext.state cimport MOST_INSTRUMENTS, MOST_STRATEGIES, NONE, Position
from ext.tables cimport map_pages, unmap_pages


cdef class Market:
    """Market view of both exchanges over one State's instruments."""

    def __cinit__(self, State state):
        self.state = state
        self.tops = <TopOfBook *>map_pages(MOST_INSTRUMENTS * sizeof(TopOfBook))
        self.account_marks = <Mark *>map_pages(state.most_accounts * sizeof(Mark))
        self.strategy_marks = <Mark *>map_pages(MOST_STRATEGIES * sizeof(Mark))

    def __dealloc__(self):
        unmap_pages(self.tops, MOST_INSTRUMENTS * sizeof(TopOfBook))
        unmap_pages(self.account_marks, self.state.most_accounts * sizeof(Mark))
        unmap_pages(self.strategy_marks, MOST_STRATEGIES * sizeof(Mark))

    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept:
        self.phase[status.venue] = status.phase
        self.feed_ns[status.venue] = now_ns

    cdef void on_quote(self, int venue, const Quote *quote, int64_t now_ns) noexcept:
        cdef uint32_t instrument = self.state.find_instrument(venue, quote.symbol)
        cdef TopOfBook *top
        self.feed_ns[venue] = now_ns
        if instrument == NONE:
            return
        top = &self.tops[instrument]
        top.bid_px_e4 = quote.bid_px_e4[0]
        top.ask_px_e4 = quote.ask_px_e4[0]
        top.last_px_e4 = quote.last_px_e4
        top.quote_ns = now_ns

    cdef void on_trade(self, int venue, const MarketTrade *trade, int64_t now_ns) noexcept:
        cdef uint32_t instrument = self.state.find_instrument(venue, trade.symbol)
        self.feed_ns[venue] = now_ns
        if instrument != NONE:
            self.tops[instrument].last_px_e4 = trade.last_px_e4

    cdef int64_t mark_px_e4(self, uint32_t instrument) noexcept:
        """The last price, before the first trade the previous close."""
        cdef int64_t last_px_e4 = self.tops[instrument].last_px_e4
        return last_px_e4 if last_px_e4 else self.state.instruments[instrument].prev_close_e4

    cdef int64_t account_profit_e4(self, uint32_t account, int64_t now_ns) noexcept:
        """Worth of the account now less its worth at the opening."""
        cdef Mark *mark = &self.account_marks[account]
        cdef State state = self.state
        cdef uint32_t next = state.account_days[account].first_position
        cdef const Position *position
        cdef int64_t shares
        if is_fresh(mark, now_ns):
            return mark.profit_e4
        mark.marked_ns = now_ns
        mark.profit_e4 = state.accounts[account].cash_e4 - state.account_days[account].opening_e4
        while next:
            position = &state.positions[next - 1]
            shares = position.total_shares - state.holdings[next - 1].short_filled_shares
            mark.profit_e4 += shares * self.mark_px_e4(position.instrument)
            next = position.next_of_owner
        return mark.profit_e4

    cdef int64_t strategy_profit_e4(self, uint32_t strategy, int64_t now_ns) noexcept:
        """Its cash flow of the day and what it bought and still has; a day begins flat."""
        cdef Mark *mark = &self.strategy_marks[strategy]
        cdef uint32_t next = self.state.strategies[strategy].first_position
        cdef const Position *position
        if is_fresh(mark, now_ns):
            return mark.profit_e4
        mark.marked_ns = now_ns
        mark.profit_e4 = self.state.strategies[strategy].flow_e4
        while next:
            position = &self.state.positions[next - 1]
            mark.profit_e4 += position.total_shares * self.mark_px_e4(position.instrument)
            next = position.next_of_owner
        return mark.profit_e4

    cdef int64_t firm_profit_e4(self, int64_t now_ns) noexcept:
        """Of all accounts together."""
        cdef uint32_t at
        if is_fresh(&self.firm_mark, now_ns):
            return self.firm_mark.profit_e4
        self.firm_mark.marked_ns = now_ns
        self.firm_mark.profit_e4 = self.state.firm_cash_e4 - self.state.firm_opening_e4
        for at in range(self.state.instrument_count):
            if self.state.firm_shares[at]:
                self.firm_mark.profit_e4 += self.state.firm_shares[at] * self.mark_px_e4(at)
        return self.firm_mark.profit_e4
