"""A validated program made ready to run: cells taken over from the rule set before it, rules sorted by what they wait for.

Loading allocates and may take its time; nothing else here does. It judges nothing and counts nothing.
"""

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ext.codes cimport PHASE_COUNT, PHASE_OPEN_CALL, PHASE_OPEN_CALL_LOCKED
from ext.program cimport (
    FEATURE_AGE, FEATURE_HIGH, FEATURE_INSTANT, FEATURE_LOW, FEATURE_MOVE, FILTER_MARKET, FILTER_SELF, KEY_ACCOUNT,
    KEY_CONTROLLER, KEY_FIRM, KEY_INSTRUMENT, MODE_OFF, NOTHING, ON_CANCELED, ON_FILL, ON_ORDER, ON_QUOTE, OP_HIT, OP_JUMP, OP_LOAD, OP_LOAD_SIDE, OP_MISS, OP_UNLESS_GT,
    OP_UNLESS_LOAD_GT, WINDOW_DAY, Feature, Mark, open_program,
)
from ext.tables cimport hash_bytes, map_pages, map_small_pages, unmap_pages
from ext.windows cimport CELL_STEPS, cell_size

cdef enum:
    LINE = 64                          # octets of a cache line


cdef void *cleared(size_t count, size_t size) except NULL:
    """Zeroed memory for so many structs, and one to spare: none of them is no reason to fail."""
    cdef void *room = calloc(count + 1, size)
    if room == NULL:
        raise MemoryError(f"no memory for a rule set's table of {count * size} bytes")
    return room


cdef void *new_cells(size_t size, int64_t now_ns) except NULL:
    """Cells that begin with the day are made real ahead of their use, so huge pages cost no order anything; those that a reload
    brings are touched first by an order."""
    return map_pages(size) if now_ns == 0 else map_small_pages(size)


cdef class RuleBook:
    """The rule set in force; a new one is empty. Cells that nothing uses any more are given back when it is dropped."""

    def __cinit__(self):
        self.gauges = NULL

    def __dealloc__(self):
        cdef uint32_t at
        if self.gauges != NULL:
            for at in range(self.feature_count):
                leave_block(self.gauges[at].block)
        if self.marks != NULL:
            for at in range(self.mark_count):
                unmap_pages(self.marks[at].cells, <size_t>self.marks[at].rows * sizeof(MarkCell))
        free(self.octets)
        free(self.gauges)
        free(self.marks)
        free(self.memos)
        free(self.rule_keys)
        free(self.gates)
        free(self.general)
        free(self.feeds)
        free(self.blocks)
        free(self.prefix_heads)
        free(self.prefix_next)
        free(self.seen)
        free(self.rule_marks)
        free(self.waiting)
        free(self.next_mark)

    cdef uint32_t rows_of(self, int key) noexcept:
        return self.room[key]

    cdef load(self, const uint8_t *octets, size_t size, RuleBook before, int64_t now_ns, const uint32_t *phases):
        """Copies a validated program and opens it. before: cells of equal signature are taken over from it, and it has them no
        more. now_ns: since when new features count, 0: since the day began; phases: numbers of the phases at that time."""
        cdef uint32_t at
        open_program(octets, &self.program)
        cdef size_t needed = <const uint8_t *>self.program.names - octets
        self.octets = <uint8_t *>cleared(needed, 1)
        memcpy(self.octets, octets, needed)
        open_program(self.octets, &self.program)
        self.feature_count = self.program.head.feature_count
        self.mark_count = self.program.head.mark_count
        self.rule_count = self.program.head.rule_count
        self.rule_keys = <uint64_t *>cleared(self.rule_count, sizeof(uint64_t))
        for at in range(self.rule_count):
            # With its key: rows of another key are numbered alike, and are others.
            self.rule_keys[at] = hash_bytes(<const uint8_t *>self.program.rules[at].id, sizeof(self.program.rules[at].id),
                                            self.program.rules[at].key)
        self.gauges = <Gauge *>cleared(self.feature_count, sizeof(Gauge))
        self.marks = <MarkRow *>cleared(self.mark_count, sizeof(MarkRow))
        self.memos = <Memo *>cleared(self.feature_count, sizeof(Memo))
        self.note_used()
        self.open_features(before, now_ns, phases)
        self.open_marks(before)
        self.open_feeds()
        self.open_gates()
        self.open_prefixes()

    # What is used at all

    cdef note_used(self):
        """Mark the features and marks that a rule in force reaches; what none reaches is not counted."""
        cdef const Rule *rule
        cdef uint32_t at
        for at in range(self.rule_count):
            rule = &self.program.rules[at]
            if rule.mode == MODE_OFF:
                continue
            if rule.hit_feature != NOTHING:
                self.gauges[rule.hit_feature].is_used = True
            if rule.hit_mark != NOTHING:
                self.marks[rule.hit_mark].is_used = True
            if rule.for_mark != NOTHING:
                self.marks[rule.for_mark].is_used = True
        self.note_reached()
        for at in range(self.feature_count):
            if self.gauges[at].is_used and self.program.features[at].mark != NOTHING:
                self.marks[self.program.features[at].mark].is_used = True
        for at in range(self.mark_count):
            if self.program.rules[self.program.marks[at].rule].mode == MODE_OFF:
                self.marks[at].is_used = False

    cdef note_reached(self):
        """Mark the features that any code that is run reaches."""
        cdef uint32_t count = self.program.head.op_count
        cdef uint8_t *reached = <uint8_t *>cleared(count, 1)
        cdef const Rule *rule
        cdef const Op *op
        cdef uint32_t at
        for at in range(self.rule_count):
            rule = &self.program.rules[at]
            if rule.mode != MODE_OFF:
                self.note_entry(reached, rule.warn.code)
                self.note_entry(reached, rule.breach.code)
        for at in range(self.mark_count):
            if self.program.rules[self.program.marks[at].rule].mode != MODE_OFF:
                self.note_entry(reached, self.program.marks[at].code)
                # A mark that nothing asks for is set, too, and keeps its gap.
                if self.program.marks[at].code != NOTHING:
                    self.marks[at].is_used = True
        for at in range(count):
            op = &self.program.ops[at]
            if not reached[at]:
                continue
            if op.code == OP_LOAD or op.code == OP_LOAD_SIDE or op.code >= OP_UNLESS_LOAD_GT:
                self.gauges[op.a].is_used = True
            if op.code == OP_LOAD_SIDE:
                self.gauges[op.b].is_used = True
            if op.code == OP_JUMP or op.code >= OP_UNLESS_GT:
                reached[op.to] = True
            if op.code != OP_JUMP and op.code != OP_HIT and op.code != OP_MISS:
                reached[at + 1] = True
        free(reached)

    cdef note_entry(self, uint8_t *reached, uint32_t entry):
        if entry != NOTHING:
            reached[entry] = True

    # Features and marks

    cdef open_features(self, RuleBook before, int64_t now_ns, const uint32_t *phases):
        """Each used feature with its cells: those it had before, or new ones."""
        cdef uint32_t at, old
        cdef Gauge *gauge
        cdef const Feature *feature
        kept = {before.gauges[old].signature: old for old in range(before.feature_count) if before.gauges[old].block != NULL}
        fresh = {}
        for at in range(self.feature_count):
            gauge = &self.gauges[at]
            feature = &self.program.features[at]
            set_gauge(gauge, feature)
            if gauge.is_used and feature.filters & FILTER_SELF:
                self.is_self_counted = True
            if not gauge.is_used or feature.kind == FEATURE_INSTANT or feature.kind == FEATURE_AGE:
                continue
            gauge.rows = self.rows_of(feature.key)
            gauge.cell_size = <uint32_t>cell_size(feature.kind, gauge.step_ns != 0)
            self.set_clock(gauge)
            gauge.since_ns = now_ns
            memcpy(gauge.since_phase, phases, sizeof(gauge.since_phase))
            found = kept.pop(feature.signature, None)
            old = 0 if found is None else found
            if found is None or not is_same_shape(gauge, &before.gauges[old]):
                fresh.setdefault(feature.key, []).append(at)
                continue
            set_place(gauge, before.gauges[old].block, before.gauges[old].offset, before.gauges[old].bit)
            gauge.since_ns = before.gauges[old].since_ns
            memcpy(gauge.since_phase, before.gauges[old].since_phase, sizeof(gauge.since_phase))
            before.gauges[old].block = NULL
        for key, numbers in fresh.items():
            numbers.sort(key=lambda number: place_in_row(&self.gauges[<uint32_t>number]))
            for at in range(0, len(numbers), MOST_CELLS):
                self.open_block(numbers[at:at + MOST_CELLS], key, now_ns)
        self.list_blocks()

    cdef open_block(self, list numbers, int key, int64_t now_ns):
        """New cells for features of one key, in this order in every row."""
        cdef Block *block = <Block *>cleared(1, sizeof(Block))
        cdef size_t size = HEAD_WORDS * sizeof(uint64_t)
        cdef uint32_t number, bit
        block.key = <uint8_t>key
        block.rows = self.rows_of(key)
        for bit, number in enumerate(numbers):
            set_place(&self.gauges[number], block, size, bit)
            if fetched_by(&self.gauges[number]) < FETCHED:
                widen(&block.fetched[fetched_by(&self.gauges[number])][self.gauges[number].side], size, self.gauges[number].cell_size)
            size += self.gauges[number].cell_size
        block.features = <uint32_t>len(numbers)
        block.stride = (size + LINE - 1) // LINE * LINE
        block.base = <char *>new_cells(block.rows * block.stride, now_ns)
        for number in numbers:
            set_place(&self.gauges[number], block, self.gauges[number].offset, self.gauges[number].bit)

    cdef list_blocks(self):
        """The blocks that features in force have cells in, each once."""
        cdef uint32_t at
        cdef Block *block
        self.blocks = <Block **>cleared(self.feature_count, sizeof(Block *))
        for at in range(self.feature_count):
            block = self.gauges[at].block
            if block != NULL and not block.is_listed:
                block.is_listed = True
                self.blocks[self.block_count] = block
                self.block_count += 1
        for at in range(self.block_count):
            self.blocks[at].is_listed = False

    cdef open_marks(self, RuleBook before):
        cdef uint32_t at, old
        cdef MarkRow *mark
        kept = {before.marks[old].signature: old for old in range(before.mark_count) if before.marks[old].cells != NULL}
        for at in range(self.mark_count):
            mark = &self.marks[at]
            mark.signature = self.program.marks[at].signature
            mark.gap_ns = self.program.marks[at].gap_ns
            mark.code = self.program.marks[at].code
            mark.rule = self.program.marks[at].rule
            mark.events = self.program.marks[at].events
            mark.key = self.program.marks[at].key
            if not mark.is_used:
                continue
            mark.rows = self.rows_of(mark.key)
            found = kept.pop(mark.signature, None)
            old = 0 if found is None else found
            if found is not None and before.marks[old].key == mark.key:
                mark.cells = before.marks[old].cells
                mark.is_set = before.marks[old].is_set
                before.marks[old].cells = NULL
            else:
                mark.cells = <MarkCell *>map_small_pages(<size_t>mark.rows * sizeof(MarkCell))

    cdef void set_clock(self, Gauge *gauge) noexcept:
        cdef uint32_t at = 0
        gauge.clock = MOST_CLOCKS
        if gauge.step_ns == 0:
            return
        while at < MOST_CLOCKS and self.clocks[at].length_ns and self.clocks[at].length_ns != gauge.step_ns:
            at += 1
        if at < MOST_CLOCKS:
            self.clocks[at].length_ns = gauge.step_ns
            gauge.clock = at

    cdef open_feeds(self):
        """Which features each event of each side feeds, and which recorded quotes do."""
        cdef uint32_t event
        cdef uint32_t count = 0
        cdef int side
        self.feeds = <uint32_t *>cleared((RULE_EVENT_COUNT * SIDES + 1) * self.feature_count, sizeof(uint32_t))
        for event in range(RULE_EVENT_COUNT):
            for side in range(SIDES):
                self.fed_by[event][side].first = count
                count = self.add_feeds(count, event, side)
                self.fed_by[event][side].count = count - self.fed_by[event][side].first
        self.market_fed.first = count
        self.market_fed.count = self.add_feeds(count, RULE_EVENT_COUNT, 0) - count

    cdef uint32_t add_feeds(self, uint32_t count, uint32_t event, int side):
        """Append the features that the event feeds; how many there are then."""
        cdef uint32_t at
        for at in range(self.feature_count):
            if self.gauges[at].block != NULL and is_fed(&self.gauges[at], event) and self.gauges[at].side in (0, side):
                self.feeds[count] = at
                count += 1
        return count

    # Rules

    cdef bint is_general(self, uint32_t rule) noexcept:
        """Whether the rule is looked at for every account: it names none, or it is for tags, too."""
        return self.program.rules[rule].tags_any != 0 or self.seen[rule] == 0

    cdef open_gates(self):
        """Every rule's gate, and those of its marks."""
        cdef uint32_t at
        cdef uint32_t total = self.rule_count + self.mark_count
        self.gates = <Gate *>cleared(total, sizeof(Gate))
        self.seen = <uint64_t *>cleared(total, sizeof(uint64_t))
        for at in range(self.rule_count):
            self.set_gate(&self.gates[at], at, first_code(&self.program.rules[at]), self.program.rules[at].events)
            self.gates[at].mark = NOTHING
            if self.program.rules[at].scope:
                self.seen[at] = 1
        for at in range(self.program.head.prefix_count):
            self.seen[self.program.prefixes[at].rule] = 1
        self.rule_marks = <uint32_t *>cleared(self.rule_count, sizeof(uint32_t))
        self.next_mark = <uint32_t *>cleared(self.mark_count, sizeof(uint32_t))
        for at in range(self.mark_count):
            self.next_mark[at] = self.rule_marks[self.marks[at].rule]
            self.rule_marks[self.marks[at].rule] = at + 1
            self.set_gate(&self.gates[self.rule_count + at], self.marks[at].rule, self.marks[at].code, self.marks[at].events)
            self.gates[self.rule_count + at].mark = at
        self.open_general(total)
        memset(self.seen, 0, total * sizeof(uint64_t))
        self.note_judged(total)

    cdef open_general(self, uint32_t total):
        """For each event and phase the gates of all accounts that it may open, in a row."""
        cdef uint32_t at, event
        cdef int phase
        cdef uint64_t wanted
        everyone = [at for at in range(total) if self.gates[at].code != NOTHING and self.is_general(self.gates[at].rule)]
        chosen = []
        for event in range(RULE_EVENT_COUNT):
            for phase in range(PHASE_COUNT):
                wanted = <uint64_t>1 << (WORD_EVENT + event) | <uint64_t>1 << (WORD_PHASE + phase)
                self.of_event[event][phase].first = <uint32_t>len(chosen)
                for at in everyone:
                    if not self.gates[at].forbidden & wanted:
                        chosen.append(at)
                self.of_event[event][phase].count = <uint32_t>len(chosen) - self.of_event[event][phase].first
        self.general = <Gate *>cleared(len(chosen), sizeof(Gate))
        for number, at in enumerate(chosen):
            self.general[<size_t>number] = self.gates[at]

    cdef note_judged(self, uint32_t total):
        """Which events any rule waits for, and which rules wait for a condition to hold on through quotes."""
        cdef uint32_t at
        cdef uint64_t events
        self.waiting = <uint32_t *>cleared(self.rule_count, sizeof(uint32_t))
        for at in range(total):
            if self.gates[at].code == NOTHING:
                continue
            events = ~self.gates[at].forbidden >> WORD_EVENT & ((1 << RULE_EVENT_COUNT) - 1)
            self.judged |= <uint32_t>events
            if self.gates[at].mark == NOTHING and self.gates[at].rare & RARE_FOR and events & (1 << ON_QUOTE):
                self.waiting[self.waiting_count] = at
                self.waiting_count += 1

    cdef void set_gate(self, Gate *gate, uint32_t number, uint32_t code, uint8_t events) noexcept:
        cdef const Rule *rule = &self.program.rules[number]
        cdef uint64_t phases = rule.phases if rule.phases else 0x1FF
        cdef uint64_t allowed
        cdef uint32_t at
        gate.rule = number
        gate.code = NOTHING if rule.mode == MODE_OFF else code
        gate.tags_any = rule.tags_any
        if phases & (1 << PHASE_OPEN_CALL):
            phases |= 1 << PHASE_OPEN_CALL_LOCKED
        allowed = (<uint64_t>(rule.venues if rule.venues else 7) & 7) << WORD_VENUE
        allowed |= (<uint64_t>(rule.boards if rule.boards else 31) & 31) << WORD_BOARD
        allowed |= (<uint64_t>(rule.sides if rule.sides else 7) & 7) << WORD_SIDE
        allowed |= (<uint64_t>1 << WORD_ST) * (rule.st != 2) | (<uint64_t>1 << WORD_NOT_ST) * (rule.st != 1)
        allowed |= <uint64_t>(~rule.tags_none & 0xFFFF) << WORD_TAGS
        allowed |= (phases & 0x1FF) << WORD_PHASE
        allowed |= <uint64_t>events << WORD_EVENT
        gate.forbidden = ~allowed
        self.set_least(gate)
        gate.rare = RARE_TIME if rule.time_from_s or rule.time_to_s < 86400 else 0
        gate.rare |= RARE_VALID if rule.valid_from_ns or rule.valid_to_ns else 0
        gate.rare |= RARE_SECURITIES if rule.security_count else 0
        gate.rare |= RARE_FOR if rule.for_mark != NOTHING and rule.for_ns else 0
        for at in range(rule.exempt, rule.exempt + rule.exempt_count):
            if self.program.exempts[at].until_ns == INT64_MAX:
                gate.rare |= RARE_EXCEPT

    cdef void set_least(self, Gate *gate) noexcept:
        """Most conditions begin with a comparison that must hold, and almost never does."""
        cdef const Op *op
        gate.feature = NOTHING
        if gate.code == NOTHING:
            return
        op = &self.program.ops[gate.code]
        if op.code != OP_UNLESS_LOAD_GT or self.program.ops[op.to].code != OP_MISS:
            return
        gate.feature = op.a
        gate.least = op.value

    cdef open_prefixes(self):
        """A hash table over the prefixes that accounts are named by: as many probes as there are different lengths."""
        cdef uint32_t count = self.program.head.prefix_count
        cdef uint64_t slots = 2
        cdef uint64_t at
        cdef uint32_t number
        cdef const ScopePrefix *prefix
        while slots < 2 * <uint64_t>count:
            slots *= 2
        self.prefix_mask = slots - 1
        self.prefix_heads = <uint32_t *>cleared(slots, sizeof(uint32_t))
        self.prefix_next = <uint32_t *>cleared(count, sizeof(uint32_t))
        for number in range(count):
            prefix = &self.program.prefixes[number]
            self.prefix_sizes |= 1 << prefix.size
            at = prefix_hash(<const uint8_t *>prefix.prefix, prefix.size) & self.prefix_mask
            self.prefix_next[number] = self.prefix_heads[at]
            self.prefix_heads[at] = number + 1


cdef void leave_block(Block *block) noexcept:
    """One feature less has its cells there; the last one gives them back."""
    if block == NULL:
        return
    block.features -= 1
    if block.features == 0:
        unmap_pages(block.base, block.rows * block.stride)
        free(block)


cdef void set_place(Gauge *gauge, Block *block, size_t offset, uint32_t bit) noexcept:
    gauge.block = block
    gauge.base = block.base
    gauge.stride = block.stride
    gauge.offset = offset
    gauge.bit = bit


cdef int fetched_by(const Gauge *gauge) noexcept:
    """The event that always feeds it, FETCHED: none, or only some events."""
    if gauge.filters:
        return FETCHED
    if is_fed(gauge, ON_ORDER):
        return FETCHED_ORDER
    if is_fed(gauge, ON_FILL):
        return FETCHED_FILL
    return FETCHED_CANCELED if is_fed(gauge, ON_CANCELED) else FETCHED


cdef void widen(Span *span, size_t first, size_t size) noexcept:
    """One cell more at its end."""
    if span.size == 0:
        span.first = <uint32_t>first
    span.size = <uint32_t>(first + size) - span.first


cdef tuple place_in_row(const Gauge *gauge):
    """What sorts the cells of a row: those that the same event always feeds stand together, by side."""
    return (fetched_by(gauge), gauge.side, gauge.cell_size)


cdef inline uint32_t first_code(const Rule *rule) noexcept:
    """A warn stage is the weaker condition: what does not meet it cannot meet the breach."""
    return rule.warn.code if rule.warn.code != NOTHING else rule.breach.code


cdef inline bint is_fed(const Gauge *gauge, uint32_t event) noexcept:
    """By an event of ours, or, as the last one, by recorded quotes."""
    cdef bint of_market = gauge.filters & FILTER_MARKET or gauge.kind in (FEATURE_MOVE, FEATURE_HIGH, FEATURE_LOW)
    if event == RULE_EVENT_COUNT:
        return of_market
    return not of_market and gauge.events & (1 << event)


cdef void set_gauge(Gauge *gauge, const Feature *feature) noexcept:
    gauge.signature = feature.signature
    gauge.window_ns = feature.window_ns
    gauge.step_ns = feature.window_ns // (CELL_STEPS - 1) if feature.window_ns > 0 else 0
    gauge.beyond_ppm = feature.beyond_ppm
    gauge.within_ns = feature.within_ns
    gauge.symbol = feature.symbol
    gauge.mark = feature.mark
    gauge.filters = feature.filters
    gauge.kind = feature.kind
    gauge.amount = feature.amount
    gauge.events = feature.events
    gauge.side = feature.side
    gauge.key = feature.key
    gauge.venue = feature.venue
    gauge.unit = feature.unit
    gauge.instant = feature.instant
    gauge.is_by_venue = feature.key not in (KEY_ACCOUNT, KEY_CONTROLLER, KEY_FIRM)


cdef inline bint is_same_shape(const Gauge *gauge, const Gauge *old) noexcept:
    """A forged signature must not hand a feature cells of another size."""
    return gauge.rows == old.rows and gauge.cell_size == old.cell_size and gauge.window_ns == old.window_ns \
        and gauge.kind == old.kind
