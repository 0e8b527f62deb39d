"""The rules at work: which of them an event meets, whether an order is stopped for it, and the hits and marks to record.

Evaluation is pure: it reads state and writes only its own findings, which become events when the order is decided.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memset

from ext.codes cimport BUY, LIMIT, PASS, SELL
from ext.counting cimport journal_row, row_identity
from ext.events cimport (
    EV_HIT, EV_MARK, EV_TRADE, HitEvent, MarkEvent,
)
from ext.journal cimport Journal
from ext.market cimport TopOfBook
from ext.occasion cimport counted_price_e4, fetch_rows, open_occasion, set_amount, set_order, set_rows
from ext.program cimport (
    EFFECT_BLOCK, KEY_CONTROLLER_INSTRUMENT, MOST_MARKS, MOST_RULES, NOTHING, ON_CANCEL, ON_CANCELED, ON_FILL, ON_ORDER, ON_QUOTE,
    ScopePrefix, ScopeSlot,
)
from ext.rule_book cimport FETCHED_FILL, FETCHED_ORDER, NO_ROW, RARE_FOR, MarkRow, RuleBook, Run, fetch_row, prefix_hash
from ext.rule_code cimport feature_value, is_met, trace
from ext.rule_scope cimport ACCOUNT_SEED, GROUP_SEED, is_any_holding, is_enforced, is_stopping, meets_rare, scope_of
from ext.rule_state cimport HitCell, hit_key
from ext.state cimport GROUP_OWNER, MOST_INSTRUMENTS, NONE, State
from ext.tables cimport hash_bytes, map_small_pages, prefetch, strnlen, unmap_pages
from ext.windows cimport is_within



cdef class Survey(Watching):
    """The rules of one shard. The rule set itself is state; here is what one evaluation needs."""

    def __init__(self, State state, Journal journal):
        Watching.__init__(self, state, journal)
        self.found = <Found *>map_small_pages(MOST_RULES * sizeof(Found))
        self.met = <MetMark *>map_small_pages((MOST_MARKS + MOST_RULES) * sizeof(MetMark))

    def __dealloc__(self):
        unmap_pages(self.found, MOST_RULES * sizeof(Found))
        unmap_pages(self.met, (MOST_MARKS + MOST_RULES) * sizeof(MetMark))

    # What the engine asks

    cdef void fetch_cells(self, const Candidate *order) noexcept:
        """Start loading the cells that the rules will read for this order, while the ladder is at work."""
        cdef RuleBook book = self.state.rule_state.book
        cdef uint32_t at
        self.is_open = False
        if book.number == 0 or order.instrument == NULL:
            return
        open_occasion(&self.occasion, self.state, ON_ORDER, order.account_index, order.instrument_index, order.side, order.now_ns)
        set_rows(&self.occasion, self.state, order.position, order.match_owner)
        self.is_open = True
        prefetch(self.occasion.market, 64)
        if book.program.head.slot_count:
            at = <uint32_t>hash_bytes(<const uint8_t *>order.account.id, order.account.id_size, ACCOUNT_SEED)
            prefetch(&book.program.slots[at & (book.program.head.slot_count - 1)], sizeof(ScopeSlot))
        fetch_rows(book, &self.occasion, FETCHED_ORDER)

    cdef void fetch_report(self, const Order *order, int event) noexcept:
        """Start loading what a report on an order will touch, while it is judged whether it is the next one."""
        cdef RuleBook book = self.state.rule_state.book
        cdef Occasion rows
        prefetch(&self.state.accounts[order.account], 128)
        prefetch(&self.state.positions[order.position], sizeof(Position))
        if order.match_position != order.position:
            prefetch(&self.state.positions[order.match_position], sizeof(Position))
        if book.block_count == 0:
            return
        rows.account_index = order.account
        rows.instrument_index = order.instrument
        rows.group = self.state.accounts[order.account].group
        rows.venue = order.venue
        rows.side = order.side
        set_rows(&rows, self.state, &self.state.positions[order.position], &self.state.positions[order.match_position])
        fetch_rows(book, &rows, event)

    cdef void fetch_watched(self, uint32_t position) noexcept:
        """Start loading a row of our own that a recorded quote will be looked at for, on either side."""
        cdef RuleBook book = self.state.rule_state.book
        cdef uint32_t at
        prefetch(&self.state.positions[position], sizeof(Position))
        for at in range(book.block_count):
            if book.blocks[at].key == KEY_CONTROLLER_INSTRUMENT:
                fetch_row(book.blocks[at], position, FETCHED_FILL, BUY)
                fetch_row(book.blocks[at], position, FETCHED_FILL, SELL)

    cdef int survey_order(self, Candidate *order) noexcept:
        """PASS, or the code of the rule that stops an order which passed the ladder; also whether it is aggressive."""
        cdef Occasion *occasion = &self.occasion
        cdef const Found *decisive
        cdef const Rule *rule
        order.is_aggressive = is_aggressive(order)
        self.found_count = self.met_count = 0
        if self.record_before_first_order(order.instrument_index, order.now_ns):
            self.is_open = False
        if self.state.rule_state.book.number == 0:
            return PASS
        if not self.is_open:
            open_occasion(occasion, self.state, ON_ORDER, order.account_index, order.instrument_index, order.side, order.now_ns)
            set_rows(occasion, self.state, order.position, order.match_owner)
        occasion.is_pending = occasion.is_order = True
        occasion.is_market_type = order.ord_type != LIMIT
        occasion.is_aggressive = order.is_aggressive
        occasion.order_price_e4 = counted_price_e4(order.ord_type, order.price_e4, order.wpx_e4)
        set_amount(occasion, order.order_qty_shares, occasion.order_price_e4)
        self.evaluate(occasion)
        decisive = self.decisive()
        if decisive == NULL:
            return PASS
        rule = &self.state.rule_state.book.program.rules[decisive.rule]
        if not stage_of(rule, decisive.stage).effects & EFFECT_BLOCK:
            self.ask_confirmation(order, decisive)
            return PASS
        order.rule = decisive.rule + 1
        order.value = decisive.factors[0].value
        order.limit = decisive.factors[0].limit
        order.scope = scope_of(rule.key, occasion)
        return rule.reject_code

    cdef void ask_confirmation(self, Candidate *order, const Found *decisive) noexcept:
        """The order waits for a confirmation, unless it was given or something else asks for one already."""
        cdef const Rule *rule = &self.state.rule_state.book.program.rules[decisive.rule]
        if order.confirmed or order.wait_code:
            return
        order.rule = decisive.rule + 1
        order.wait_code = rule.reject_code
        order.wait_value = decisive.factors[0].value
        order.wait_limit = decisive.factors[0].limit
        order.wait_ttl_ms = rule.ttl_ms

    cdef int survey_cancel(self, const Order *order, uint32_t order_no, int64_t now_ns) noexcept:
        """PASS, or the code of the rule that refuses a client's cancel; `decisive` names it."""
        cdef Occasion *occasion = &self.occasion
        cdef const Found *decisive
        self.found_count = self.met_count = 0
        if self.state.rule_state.book.number == 0:
            return PASS
        open_occasion(occasion, self.state, ON_CANCEL, order.account, order.instrument, order.side, now_ns)
        set_rows(occasion, self.state, &self.state.positions[order.position], &self.state.positions[order.match_position])
        set_order(occasion, order)
        set_amount(occasion, order.leaves_qty_shares, occasion.order_price_e4)
        occasion.is_pending = True
        occasion.order_no = order_no
        self.evaluate(occasion)
        decisive = self.decisive()
        if decisive == NULL:
            return PASS
        self.refused_by.rule = decisive.rule + 1
        self.refused_by.value = decisive.factors[0].value
        self.refused_by.limit = decisive.factors[0].limit
        self.refused_by.scope = scope_of(self.state.rule_state.book.program.rules[decisive.rule].key, occasion)
        return self.state.rule_state.book.program.rules[decisive.rule].reject_code

    cdef void survey_report(self, const ReportEvent *event) noexcept:
        """A fill, or the cancel of a rest, that is applied already."""
        cdef Occasion *occasion = &self.occasion
        cdef const Order *order = &self.state.orders[event.head.order_no]
        cdef int kind = ON_FILL if event.head.type == EV_TRADE else ON_CANCELED
        self.watch(order.match_position)
        if self.state.rule_state.book.number == 0:
            return
        open_occasion(occasion, self.state, kind, order.account, order.instrument, order.side, event.head.time_ns)
        set_rows(occasion, self.state, &self.state.positions[order.position], &self.state.positions[order.match_position])
        set_order(occasion, order)
        occasion.order_no = event.head.order_no
        if kind == ON_FILL:
            set_amount(occasion, event.last_qty_shares, event.last_px_e4)
        else:
            set_amount(occasion, order.order_qty_shares - order.cum_qty_shares, occasion.order_price_e4)
        self.evaluate(occasion)
        self.record_found(event.head.order_no, True)

    cdef void record_order_found(self, uint32_t order_no, bint accepted) noexcept:
        """What the rules found at an order, now that its decision is journaled."""
        cdef const Order *order = &self.state.orders[order_no]
        if accepted:
            self.watch(order.match_position)
        if self.found_count + self.met_count == 0:
            return
        if accepted:
            set_rows(&self.occasion, self.state, &self.state.positions[order.position], &self.state.positions[order.match_position])
        self.record_found(order_no, accepted)

    # One occasion

    cdef void evaluate(self, Occasion *occasion) noexcept:
        """Every rule and mark that applies: what is met is found, in the order of the rules."""
        cdef RuleBook book = self.state.rule_state.book
        cdef const Gate *gate
        cdef Run run = book.of_event[occasion.event][self.state.phase[occasion.venue]]
        cdef uint32_t at
        book.occasion += 1
        occasion.number = book.occasion
        self.found_count = self.met_count = 0
        for at in range(run.first, run.first + run.count):
            gate = &book.general[at]
            if gate.forbidden & occasion.word or (gate.tags_any and not gate.tags_any & occasion.tags):
                continue
            if gate.feature != NOTHING and not gate.rare and feature_value(occasion, self.state, book, gate.feature) <= gate.least:
                continue
            self.look(occasion, gate)
        if book.program.head != NULL and (book.program.head.slot_count or book.prefix_sizes):
            self.look_at_named(occasion)

    cdef void look_at_named(self, const Occasion *occasion) noexcept:
        """The rules that name this account, its group, or a beginning of its id."""
        cdef const char *group_id
        if occasion.account != NULL:
            self.look_at_listed(occasion, &occasion.account.id[0], occasion.account.id_size, ACCOUNT_SEED)
            if self.state.rule_state.book.prefix_sizes:
                self.look_at_prefixed(occasion)
        if occasion.group != NONE:
            group_id = self.state.groups[occasion.group].id
            self.look_at_listed(occasion, group_id, strnlen(group_id, 16), GROUP_SEED)

    cdef void look_at_listed(self, const Occasion *occasion, const char *id, size_t size, int seed) noexcept:
        cdef RuleBook book = self.state.rule_state.book
        cdef uint64_t wanted = hash_bytes(<const uint8_t *>id, size, seed)
        cdef uint32_t mask = book.program.head.slot_count - 1
        cdef uint32_t at = <uint32_t>wanted & mask
        cdef uint32_t entry
        cdef const ScopeSlot *slot
        if book.program.head.slot_count == 0:
            return
        while book.program.slots[at].hash:
            slot = &book.program.slots[at]
            if slot.hash == wanted and memcmp(slot.id, id, 16) == 0:
                for entry in range(slot.first, slot.first + slot.count):
                    self.look_at_rule(occasion, book.program.lists[entry])
                return
            at = (at + 1) & mask

    cdef void look_at_prefixed(self, const Occasion *occasion) noexcept:
        cdef RuleBook book = self.state.rule_state.book
        cdef const char *id = &occasion.account.id[0]
        cdef uint32_t size, number
        cdef const ScopePrefix *prefix
        for size in range(1, occasion.account.id_size + 1):
            if not book.prefix_sizes & (1 << size):
                continue
            number = book.prefix_heads[prefix_hash(<const uint8_t *>id, size) & book.prefix_mask]
            while number:
                prefix = &book.program.prefixes[number - 1]
                if prefix.size == size and memcmp(prefix.prefix, id, size) == 0:
                    self.look_at_rule(occasion, prefix.rule)
                number = book.prefix_next[number - 1]

    cdef void look_at_rule(self, const Occasion *occasion, uint32_t rule) noexcept:
        """A rule that names whom this is about, and its marks; once, however often it is named."""
        cdef RuleBook book = self.state.rule_state.book
        cdef const Gate *gate = &book.gates[rule]
        cdef uint32_t mark = book.rule_marks[rule]
        if book.seen[rule] == occasion.number or gate.tags_any & occasion.tags:
            return
        book.seen[rule] = occasion.number
        if gate.code != NOTHING and not gate.forbidden & occasion.word:
            self.look(occasion, gate)
        while mark:
            gate = &book.gates[book.rule_count + mark - 1]
            if gate.code != NOTHING and not gate.forbidden & occasion.word:
                self.look(occasion, gate)
            mark = book.next_mark[mark - 1]

    cdef void look(self, const Occasion *occasion, const Gate *gate) noexcept:
        """One gate that is open: run the code behind it."""
        cdef RuleBook book = self.state.rule_state.book
        if gate.rare and not meets_rare(occasion, self.state, gate):
            return
        if not is_met(occasion, self.state, book, gate.code):
            if gate.rare & RARE_FOR and gate.mark == NOTHING:
                self.note_mark(book.program.rules[gate.rule].for_mark, True)
        elif gate.mark != NOTHING:
            self.note_mark(gate.mark, False)
        else:
            self.note_hit(occasion, gate)

    # What was met

    cdef void note_mark(self, uint32_t mark, bint ends) noexcept:
        """Remember to set (or end) a mark, unless that changes nothing or its gap is not over."""
        cdef const MarkRow *row_of = &self.state.rule_state.book.marks[mark]
        cdef uint32_t row = self.occasion.rows[row_of.key]
        cdef int64_t last_ns = 0
        if row < row_of.rows and row_of.cells != NULL:
            last_ns = row_of.cells[row].last_ns[self.occasion.side]
        if (ends and last_ns == 0) or (not ends and last_ns and is_within(self.occasion.now_ns, last_ns, row_of.gap_ns)):
            return
        if self.met_count < MOST_MARKS + MOST_RULES:
            self.met[self.met_count].mark = mark
            self.met[self.met_count].ends = ends
            self.met_count += 1

    cdef bint has_held(self, const Occasion *occasion, const Rule *rule) noexcept:
        """Whether a condition with `for` has held long enough; it begins to hold now when it did not before, by this clock."""
        cdef const MarkRow *row_of = &self.state.rule_state.book.marks[rule.for_mark]
        cdef uint32_t row = occasion.rows[row_of.key]
        cdef int64_t since_ns = 0
        if row < row_of.rows and row_of.cells != NULL:
            since_ns = row_of.cells[row].last_ns[occasion.side]
        if since_ns == 0 or since_ns > occasion.now_ns:
            self.note_mark(rule.for_mark, False)
            return False
        return occasion.now_ns - since_ns >= rule.for_ns

    cdef void note_hit(self, const Occasion *occasion, const Gate *gate) noexcept:
        """A rule's first condition is met: which stage it is, its factors, and whether anything follows."""
        cdef RuleBook book = self.state.rule_state.book
        cdef const Rule *rule = &book.program.rules[gate.rule]
        cdef Found *found
        cdef const Stage *stage
        cdef uint32_t at = self.found_count
        cdef int number = STAGE_BREACH
        if rule.warn.code != NOTHING and (rule.breach.code == NOTHING or not is_met(occasion, self.state, book, rule.breach.code)):
            number = STAGE_WARN
        if gate.rare & RARE_FOR and not self.has_held(occasion, rule):
            return
        # Found in the order of the rules, whatever brought them here.
        while at and self.found[at - 1].rule > gate.rule:
            self.found[at] = self.found[at - 1]
            at -= 1
        self.found_count += 1
        found = &self.found[at]
        stage = stage_of(rule, number)
        memset(found, 0, sizeof(Found))
        found.rule = gate.rule
        found.stage = number
        found.factor_count = trace(occasion, self.state, book, stage.code, found.factors)
        found.is_enforced = is_enforced(occasion, self.state, gate.rule)
        found.is_blocking = found.is_enforced and is_stopping(stage, occasion)
        found.is_cooling = self.is_cooling(occasion, found)

    cdef bint is_cooling(self, const Occasion *occasion, const Found *found) noexcept:
        """Whether the same hit was recorded not long ago. One from the future, before the clock was set back, keeps nothing apart."""
        cdef RuleBook book = self.state.rule_state.book
        cdef const Rule *rule = &book.program.rules[found.rule]
        cdef uint64_t row = row_identity(self.state, rule.key, occasion.rows[rule.key], occasion.account_index, occasion.group,
                                         occasion.instrument_index)
        cdef uint64_t key = hit_key(book.rule_keys[found.rule], row, found.stage, found.is_enforced)
        cdef const HitCell *cell = self.state.rule_state.find_hit(key, False)
        return cell != NULL and is_within(occasion.now_ns, cell.last_ns, rule.cool_off_ns)

    cdef const Found *decisive(self) noexcept:
        """The first rule that refuses, else the first that suspends; NULL: none stops it."""
        cdef RuleBook book = self.state.rule_state.book
        cdef const Found *first = NULL
        cdef uint32_t at
        for at in range(self.found_count):
            if not self.found[at].is_blocking:
                continue
            if stage_of(&book.program.rules[self.found[at].rule], self.found[at].stage).effects & EFFECT_BLOCK:
                return &self.found[at]
            if first == NULL:
                first = &self.found[at]
        return first

    # What follows

    cdef void record_found(self, uint32_t order_no, bint with_marks) noexcept:
        """Journal the hits, then the marks. with_marks: an order that was rejected sets none."""
        cdef uint32_t at
        for at in range(self.found_count):
            if self.found[at].is_cooling:
                self.hits_cooling += 1
            else:
                self.record_hit(&self.found[at], order_no)
        if with_marks:
            for at in range(self.met_count):
                self.record_mark(&self.met[at])
        for at in range(self.found_count):
            if self.found[at].offset and self.found[at].is_enforced:
                self.respond(&self.found[at], self.level_after(&self.found[at]))
        self.found_count = self.met_count = 0

    cdef int level_after(self, const Found *found) noexcept:
        """The level that the hit asks for: its stage's, or that of its escalation. A confirmation is asked for per order."""
        cdef RuleBook book = self.state.rule_state.book
        cdef const Rule *rule = &book.program.rules[found.rule]
        cdef int level = stage_of(rule, found.stage).level
        if rule.escalate_hits == 0:
            return level
        book.occasion += 1
        self.occasion.number = book.occasion
        self.occasion.is_pending = False
        if feature_value(&self.occasion, self.state, book, rule.hit_feature) >= rule.escalate_hits:
            level = max(level, rule.escalate_to)
        return level

    cdef void respond(self, const Found *found, int level) noexcept:
        """Raise the subject's level (ext/engine)."""
        pass

    cdef void record_hit(self, Found *found, uint32_t order_no) noexcept:
        cdef const Occasion *occasion = &self.occasion
        cdef RuleBook book = self.state.rule_state.book
        cdef const Rule *rule = &book.program.rules[found.rule]
        cdef const TopOfBook *top
        cdef HitEvent *event = <HitEvent *>self.reserve(EV_HIT, sizeof(HitEvent), occasion.account_index, False, occasion.now_ns)
        cdef int at
        if event == NULL:
            self.hits_lost += 1
            return
        event.head.order_no = order_no
        event.alert_seq = self.state.rule_state.alert_count + 1
        event.caused_ns = occasion.now_ns
        event.rule_set = book.number
        event.rule = found.rule + 1
        event.row = journal_row(self.state, rule.key, occasion.rows[rule.key])
        event.instrument = occasion.instrument_index
        event.stage = <uint8_t>found.stage
        event.level = stage_of(rule, found.stage).level
        event.enforced = found.is_enforced
        event.blocked = found.is_blocking
        event.side = <uint8_t>occasion.side
        event.event = <uint8_t>occasion.event
        event.factor_count = <uint8_t>found.factor_count
        for at in range(found.factor_count):
            event.factors[at] = found.factors[at]
        if occasion.instrument_index != NONE:
            top = &self.market.tops[occasion.instrument_index]
            event.bid_px_e4 = top.bid_px_e4
            event.ask_px_e4 = top.ask_px_e4
            event.last_px_e4 = top.last_px_e4
        found.offset = self.record(&event.head)

    cdef void record_mark(self, const MetMark *met) noexcept:
        cdef const Occasion *occasion = &self.occasion
        cdef RuleBook book = self.state.rule_state.book
        cdef MarkEvent *event
        if occasion.rows[book.marks[met.mark].key] == NO_ROW:
            return
        event = <MarkEvent *>self.reserve(EV_MARK, sizeof(MarkEvent), occasion.account_index, False, occasion.now_ns)
        if event == NULL:
            return
        event.rule_set = book.number
        event.mark = met.mark
        event.row = journal_row(self.state, book.marks[met.mark].key, occasion.rows[book.marks[met.mark].key])
        event.instrument = occasion.instrument_index
        event.side = <uint8_t>occasion.side
        event.ends = met.ends
        self.record(&event.head)

    # Rows of our own at a recorded quote

    cdef void survey_row(self, uint32_t position, uint32_t instrument, int64_t now_ns) noexcept:
        """One controller's row at a recorded quote, for each side; it stays watched while a condition waits for its time."""
        cdef int side
        for side in range(BUY, SELL + 1):
            self.open_row(position, instrument, side, now_ns)
            self.evaluate(&self.occasion)
            self.record_found(0, True)
        self.watch_holding(position)

    cdef void open_row(self, uint32_t position, uint32_t instrument, int side, int64_t now_ns) noexcept:
        """The occasion of a quote for one controller: an account, or a group as a whole."""
        cdef const Position *shared = &self.state.positions[position]
        cdef bint is_group = (shared.owner & GROUP_OWNER) != 0
        open_occasion(&self.occasion, self.state, ON_QUOTE, NONE if is_group else shared.owner, instrument, side, now_ns)
        if is_group:
            self.occasion.group = shared.owner & ~<uint32_t>GROUP_OWNER
            set_rows(&self.occasion, self.state, NULL, shared)
        else:
            set_rows(&self.occasion, self.state, shared, shared)

    cdef void watch_holding(self, uint32_t position) noexcept:
        """Go on watching a row while a condition with `for` holds in it."""
        cdef int side
        if self.state.rule_state.book.waiting_count == 0:
            return
        for side in range(BUY, SELL + 1):
            self.open_row(position, self.state.positions[position].instrument, side, 0)
            if is_any_holding(self.state, &self.occasion):
                self.watch(position)



cdef bint is_aggressive(const Candidate *order) noexcept:
    """Whether the order reaches the opposite best of the live book; a market order does by its nature."""
    cdef int64_t opposite_e4
    if order.ord_type != LIMIT:
        return True
    opposite_e4 = order.top.ask_px_e4 if order.side == BUY else order.top.bid_px_e4
    if opposite_e4 == 0:
        return False
    return order.price_e4 >= opposite_e4 if order.side == BUY else order.price_e4 <= opposite_e4
