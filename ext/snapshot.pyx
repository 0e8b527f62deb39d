"""All that the journal has folded into, to a file and back, so that a start folds only what came after. Decides nothing.

Saving and loading are one walk over the same tables in the same order. A snapshot that does not fit is refused, and what it was
read into must then be thrown away: the journal alone gives the same state.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset, strlen

from ext.engine cimport Engine
from ext.events cimport EV_RULE_SET, Frame, OrderEvent, RuleSetEvent
from ext.journal cimport JOURNAL_START
from ext.orders cimport cl_ord_id_hash
from ext.passage cimport Passage, crc_of
from ext.program cimport KEY_COUNT, validate_program
from ext.rule_book cimport MOST_CELLS, Block, Gauge, MarkCell, RuleBook, leave_block, set_place
from ext.rule_state cimport MOST_ALERTS, MOST_HITS, MOST_RULE_SETS, FillRing, HitCell, RecordedQuote, RuleState
from ext.state cimport (
    MOST_GROUPS, MOST_INSTRUMENTS, MOST_PARENTS, MOST_PORTS, MOST_PROFILES, MOST_RESTRICTIONS, MOST_STRATEGIES, MOST_TICKETS,
    MOST_UNITS, NONE, SYMBOLS, Account, AccountDay, Group, Holding, Instrument, Order, Parent, PortState, Position, Profile,
    Restriction, Rules, State, Strategy, Ticket, Tie, TradingUnit, Usage, Window, position_key,
)
from ext.tables cimport Map, MapSlot, hash_bytes, map_find, map_next, map_pages, map_put, mix

from ext.passage import SnapshotError
from ext.replay import layout_number

cdef const char *MAGIC = b"tidegate snapshot\n"


def save(Engine engine, write) -> int:
    """Everything that engine's journal has folded into, through write(octets); how many octets. The engine only reads the
    journal: one that trades has no time for this."""
    cdef Head head
    cdef Passage passage = Passage(write, False)
    cdef uint32_t[::1] watched = watched_rows(engine)
    fill_head(&head, engine)
    head.watched = <uint32_t>watched.shape[0] - 1
    head.check = head_check(&head)
    passage.carry_octets(&head, sizeof(Head))
    carry_state(passage, engine, &head)
    passage.carry(&watched[0], <size_t>head.watched * sizeof(uint32_t))
    passage.finish()
    return passage.octets


def load(Engine engine, read) -> None:
    """Fill an engine that nothing was folded into from read(octets), and set its journal to go on behind the snapshot.

    SnapshotError when it is damaged, of another build, day, shard or journal, or
    has more rows than fit; what was filled by then is of no use."""
    cdef Head head
    cdef Passage passage = Passage(read, True)
    cdef uint32_t[::1] watched
    cdef uint32_t at
    passage.carry_octets(&head, sizeof(Head))
    check_head(&head, engine)
    take_head(engine, &head)
    carry_state(passage, engine, &head)
    watched = new_rows(head.watched)
    passage.carry(&watched[0], <size_t>head.watched * sizeof(uint32_t))
    passage.finish()
    index_rows(engine, &head)
    engine.state.rule_state.note_pages()
    for at in range(head.watched):
        if watched[at] < head.positions:
            engine.watch(watched[at])
    engine.journal.newest = head.offset
    engine.journal.end = head.end
    engine.journal.seq = head.seq
    engine.journal.crc = head.crc


# The head

cdef uint64_t table_number():
    """A number that changes when a row of some table changes size."""
    number = SNAPSHOT_VERSION
    for size in (sizeof(Rules), sizeof(Group), sizeof(Profile), sizeof(PortState), sizeof(Account), sizeof(Instrument),
                 sizeof(Position), sizeof(Order), sizeof(Restriction), sizeof(Ticket), sizeof(Window), sizeof(AccountDay),
                 sizeof(Holding), sizeof(Tie), sizeof(Strategy), sizeof(TradingUnit), sizeof(Parent), sizeof(RecordedQuote),
                 sizeof(FillRing), sizeof(HitCell), sizeof(MarkCell), sizeof(BlockHead), sizeof(GaugeHead), sizeof(MarkHead)):
        number = (number * 8191 + size) & 0xFFFFFFFFFFFF
    return number


cdef uint32_t head_check(const Head *head) noexcept:
    return crc_of(<const uint8_t *>head, <const uint8_t *>&head.check - <const uint8_t *>head, 0)


cdef fill_head(Head *head, Engine engine):
    cdef State state = engine.state
    cdef RuleState rules = state.rule_state
    cdef int venue
    memset(head, 0, sizeof(Head))
    memcpy(head.magic, MAGIC, strlen(MAGIC))
    head.layout = layout_number()
    head.tables = table_number()
    head.version = SNAPSHOT_VERSION
    head.offset, head.end, head.seq, head.crc = engine.journal.newest, engine.journal.end, engine.journal.seq, engine.journal.crc
    head.trade_date, head.shard = state.trade_date, state.shard
    head.groups, head.profiles, head.ports, head.accounts = state.group_count, state.profile_count, state.port_count, state.account_count
    head.instruments, head.positions, head.orders = state.instrument_count, state.position_count, state.order_count
    head.restrictions, head.parents = state.restriction_map.count, state.parent_map.count
    head.tickets, head.strategies, head.units = state.ticket_count, state.strategy_count, state.unit_count
    head.open_orders, head.suspended_orders, head.cancel_no = state.open_count, state.suspended_count, state.cancel_no
    head.firm_killed, head.group_leveled, head.carried = state.firm_killed, state.group_leveled, state.carried
    head.epoch = state.epoch
    head.firm_level_offset = state.firm_level_offset
    head.firm_cash_e4, head.firm_opening_e4, head.firm_ordered_e4 = state.firm_cash_e4, state.firm_opening_e4, state.firm_ordered_e4
    head.order_slots = state.order_map.mask + 1
    head.hits, head.alert_count = rules.hit_map.count, rules.alert_count
    head.rule_sets, head.rule_set, head.blocks = rules.rule_set_count, rules.book.number, rules.book.block_count
    for venue in range(VENUE_COUNT):
        head.phase[venue] = <uint32_t>state.phase[venue]
        head.phase_number[venue] = state.phase_number[venue]
        head.phase_since_ns[venue] = state.phase_since_ns[venue]


cdef take_head(Engine engine, const Head *head):
    """Counts and all that is no table into a state that is empty."""
    cdef State state = engine.state
    cdef RuleState rules = state.rule_state
    cdef int venue
    state.trade_date, state.shard = head.trade_date, head.shard
    state.group_count, state.profile_count, state.port_count, state.account_count = head.groups, head.profiles, head.ports, head.accounts
    state.instrument_count, state.position_count, state.order_count = head.instruments, head.positions, head.orders
    state.ticket_count, state.strategy_count, state.unit_count = head.tickets, head.strategies, head.units
    state.open_count, state.suspended_count, state.cancel_no = head.open_orders, head.suspended_orders, head.cancel_no
    state.firm_killed, state.group_leveled, state.carried = head.firm_killed, head.group_leveled, head.carried
    state.epoch = head.epoch
    state.firm_level_offset = head.firm_level_offset
    state.firm_cash_e4, state.firm_opening_e4, state.firm_ordered_e4 = head.firm_cash_e4, head.firm_opening_e4, head.firm_ordered_e4
    rules.alert_count, rules.rule_set_count = head.alert_count, head.rule_sets
    for venue in range(VENUE_COUNT):
        state.phase[venue] = <int>head.phase[venue]
        state.phase_number[venue] = head.phase_number[venue]
        state.phase_since_ns[venue] = head.phase_since_ns[venue]


cdef check_head(const Head *head, Engine engine):
    """Raises SnapshotError unless it is of this build and this journal, and fits."""
    cdef State state = engine.state
    cdef const Frame *frame
    if memcmp(head.magic, MAGIC, strlen(MAGIC)) != 0:
        raise SnapshotError("not a snapshot: it does not begin with 'tidegate snapshot'")
    if head.version != SNAPSHOT_VERSION or head.layout != layout_number() or head.tables != table_number():
        raise SnapshotError(f"it was written by another build: version {head.version}, tables {head.tables}, frames {head.layout}; "
                            f"expected {SNAPSHOT_VERSION}, {table_number()}, {layout_number()}")
    if head.check != head_check(head):
        raise SnapshotError("it is damaged: the checksum of its head is another")
    for name, count, most in (
            ("groups", head.groups, MOST_GROUPS), ("profiles", head.profiles, MOST_PROFILES), ("ports", head.ports, MOST_PORTS),
            ("accounts", head.accounts, state.most_accounts), ("instruments", head.instruments, MOST_INSTRUMENTS),
            ("positions", head.positions, state.most_positions), ("orders", head.orders, state.most_orders),
            ("restrictions", head.restrictions, MOST_RESTRICTIONS), ("tickets", head.tickets, MOST_TICKETS - 1),
            ("strategies", head.strategies, MOST_STRATEGIES), ("units", head.units, MOST_UNITS),
            ("parents", head.parents, MOST_PARENTS), ("hits", head.hits, MOST_HITS), ("rule sets", head.rule_sets, MOST_RULE_SETS),
            ("watched rows", head.watched, head.positions)):
        if count > most:
            raise SnapshotError(f"it has {count} {name}, at most {most} fit")
    if head.offset == 0 or head.offset < JOURNAL_START or head.end > engine.journal.allocated or head.offset + sizeof(Frame) > head.end:
        raise SnapshotError(f"the journal is shorter: it has {engine.journal.allocated} bytes, the snapshot was taken at {head.end}")
    frame = engine.journal.at(head.offset)
    if frame.seq != head.seq or frame.crc != head.crc or head.offset + frame.size != head.end:
        raise SnapshotError(f"it is of another journal: at offset {head.offset} stands frame {frame.seq} with checksum "
                            f"{frame.crc:08x}, the snapshot knows frame {head.seq} with checksum {head.crc:08x}")


# The tables

cdef carry_state(Passage passage, Engine engine, const Head *head):
    cdef State state = engine.state
    cdef RuleState rules = state.rule_state
    passage.carry(&state.rules, sizeof(Rules))
    passage.carry(&state.firm, sizeof(Usage))
    passage.carry(state.report_index, sizeof(state.report_index))
    passage.carry(state.groups, <size_t>head.groups * sizeof(Group))
    passage.carry(state.profiles, <size_t>head.profiles * sizeof(Profile))
    passage.carry(state.ports, <size_t>head.ports * sizeof(PortState))
    passage.carry(state.accounts, <size_t>head.accounts * sizeof(Account))
    passage.carry(state.accepted, <size_t>head.accounts * sizeof(Window))
    passage.carry(state.group_accepted, <size_t>head.groups * sizeof(Window))
    passage.carry(state.account_days, <size_t>head.accounts * sizeof(AccountDay))
    passage.carry(state.instruments, <size_t>head.instruments * sizeof(Instrument))
    passage.carry(state.firm_shares, <size_t>head.instruments * sizeof(int64_t))
    passage.carry(state.positions, <size_t>head.positions * sizeof(Position))
    passage.carry(state.holdings, <size_t>head.positions * sizeof(Holding))
    passage.carry(state.restrictions, <size_t>head.restrictions * sizeof(Restriction))
    passage.carry(state.orders, (<size_t>head.orders + 1) * sizeof(Order))
    passage.carry(state.ties, (<size_t>head.orders + 1) * sizeof(Tie))
    passage.carry(state.tickets, (<size_t>head.tickets + 1) * sizeof(Ticket))
    passage.carry(state.strategies, <size_t>head.strategies * sizeof(Strategy))
    passage.carry(state.units, <size_t>head.units * sizeof(TradingUnit))
    passage.carry(state.parents, <size_t>head.parents * sizeof(Parent))
    passage.carry(rules.recorded, <size_t>head.instruments * sizeof(RecordedQuote))
    passage.carry(rules.rings, <size_t>head.positions * sizeof(FillRing))
    passage.carry(rules.hits, <size_t>head.hits * sizeof(HitCell))
    passage.carry(rules.alerts, <size_t>(min(head.alert_count, <uint64_t>MOST_ALERTS) + 1) * sizeof(uint64_t))
    passage.carry(rules.rule_sets, <size_t>(min(head.rule_sets, <uint32_t>MOST_RULE_SETS - 1) + 1) * sizeof(uint64_t))
    carry_order_slots(passage, state, head)
    if head.rule_set:
        carry_book(passage, engine, head)


cdef carry_order_slots(Passage passage, State state, const Head *head):
    """As they lie: the names of orders are in the journal, and reading all of them again takes longer than anything else here.
    Slots of a map of another size are read and left."""
    if head.order_slots == state.order_map.mask + 1:
        passage.carry(state.order_map.slots, head.order_slots * sizeof(MapSlot))
        state.order_map.count = head.orders
        return
    unused = bytearray(head.order_slots * sizeof(MapSlot))
    passage.carry(<char *>unused, len(unused))


cdef index_rows(Engine engine, const Head *head):
    """Every map but that of the orders, from the rows it finds."""
    cdef State state = engine.state
    cdef RuleState rules = state.rule_state
    cdef const OrderEvent *event
    cdef const Instrument *instrument
    cdef uint32_t at
    for at in range(head.accounts):
        add(&state.account_map, hash_bytes(<const uint8_t *>state.accounts[at].id, state.accounts[at].id_size, 0), at)
    for at in range(head.instruments):
        instrument = &state.instruments[at]
        if 0 < instrument.venue < VENUE_COUNT and instrument.symbol < SYMBOLS:
            state.instrument_of[instrument.venue][instrument.symbol] = at + 1
    for at in range(head.positions):
        add(&state.position_map, position_key(state.positions[at].owner, state.positions[at].instrument), at)
    for at in range(head.restrictions):
        add(&state.restriction_map, position_key(state.restrictions[at].profile, state.restrictions[at].instrument), at)
    for at in range(head.parents):
        add(&state.parent_map, mix(state.parents[at].account, state.parents[at].id), at)
    for at in range(head.hits):
        add(&rules.hit_map, rules.hits[at].key, at)
    if head.order_slots == state.order_map.mask + 1:
        return
    for at in range(1, head.orders + 1):
        event = <const OrderEvent *>engine.journal.at(state.orders[at].frame_offset)
        add(&state.order_map, cl_ord_id_hash(event.head.account, <const uint8_t *>event.cl_ord_id, event.cl_ord_id_size), at)


cdef inline void add(Map *table, uint64_t key, uint32_t value) noexcept:
    cdef MapSlot *slot = map_find(table, key)
    while slot.tag:
        slot = map_next(table, slot)
    map_put(table, slot, key, value)


# Rows that the next quotes concern

cdef uint32_t[::1] new_rows(size_t count):
    """One more than asked for: a view of nothing has no address."""
    return memoryview(bytearray((count + 1) * sizeof(uint32_t))).cast("I")


cdef uint32_t[::1] watched_rows(Engine engine):
    """In the order in which they would be looked at, with one more at the end that is none."""
    cdef uint32_t[::1] rows
    cdef size_t count = 0
    cdef uint32_t instrument, row
    for instrument in range(engine.state.instrument_count):
        row = engine.watch_head[instrument]
        while row:
            count += 1
            row = engine.watch_next[row - 1]
    rows = new_rows(count)
    count = 0
    for instrument in range(engine.state.instrument_count):
        row = engine.watch_head[instrument]
        while row:
            rows[count] = row - 1
            count += 1
            row = engine.watch_next[row - 1]
    return rows


# The rule set in force

cdef carry_book(Passage passage, Engine engine, const Head *head):
    """Its program is in the journal; here are its cells and marks, and since when they count."""
    cdef RuleState rules = engine.state.rule_state
    cdef RuleBook book
    cdef uint32_t used[KEY_COUNT]
    cdef uint32_t at
    if passage.is_loading:
        open_book(engine, head)
    book = rules.book
    rules.count_used(used, head.accounts, head.positions, head.instruments)
    carry_gauges(passage, book, head.blocks)
    for at in range(book.block_count):
        carry_cells(passage, rules, head, used, book.blocks[at].base, book.blocks[at].stride, book.blocks[at].rows, book.blocks[at].key)
    carry_marks(passage, book)
    for at in range(book.mark_count):
        if book.marks[at].cells != NULL:
            carry_cells(passage, rules, head, used, book.marks[at].cells, sizeof(MarkCell), book.marks[at].rows, book.marks[at].key)


cdef carry_cells(Passage passage, RuleState rules, const Head *head, const uint32_t *used, void *base, size_t stride, size_t rows, int key):
    """Rows in use; those of groups stand behind the most accounts, of which this State may have more or fewer."""
    cdef size_t last = rules.group_rows(key, head.groups)
    passage.carry(base, used[key] * stride)
    passage.carry(<char *>base + (rows - rules.group_rows(key, rules.groups)) * stride, last * stride)


cdef open_book(Engine engine, const Head *head):
    """The rule set in force from its frame, with cells that are all new."""
    cdef RuleState rules = engine.state.rule_state
    cdef const RuleSetEvent *event
    cdef const uint8_t *octets
    cdef RuleBook book = rules.new_book()
    cdef uint64_t offset = rules.rule_sets[head.rule_set] if head.rule_set <= head.rule_sets < MOST_RULE_SETS else 0
    if not JOURNAL_START <= offset <= head.offset:
        raise SnapshotError(f"it names no frame for rule set {head.rule_set}")
    event = <const RuleSetEvent *>engine.journal.at(offset)
    octets = <const uint8_t *>event + sizeof(RuleSetEvent)
    if (event.head.type != EV_RULE_SET or event.number != head.rule_set or sizeof(RuleSetEvent) + event.program_size > event.head.size
            or validate_program(octets, event.program_size) != 1):
        raise SnapshotError(f"rule set {head.rule_set} is not at offset {offset} of the journal")
    book.load(octets, event.program_size, rules.book, 0, engine.state.phase_number)
    book.number = event.number
    rules.book = book


cdef carry_gauges(Passage passage, RuleBook book, uint32_t block_count):
    """Which features lie in which block, and since when they count."""
    cdef bytearray block_room = bytearray(block_count * sizeof(BlockHead))
    cdef bytearray gauge_room = bytearray(book.feature_count * sizeof(GaugeHead))
    cdef BlockHead *blocks = <BlockHead *><char *>block_room
    cdef GaugeHead *gauges = <GaugeHead *><char *>gauge_room
    cdef uint32_t at, block
    for at in range(0 if passage.is_loading else block_count):
        blocks[at].stride = book.blocks[at].stride
        blocks[at].key = book.blocks[at].key
        memcpy(blocks[at].fetched, book.blocks[at].fetched, sizeof(blocks[at].fetched))
    for at in range(0 if passage.is_loading else book.feature_count):
        gauges[at].signature = book.gauges[at].signature
        gauges[at].since_ns = book.gauges[at].since_ns
        memcpy(gauges[at].since_phase, book.gauges[at].since_phase, sizeof(gauges[at].since_phase))
        gauges[at].cell_size = book.gauges[at].cell_size
        gauges[at].bit, gauges[at].offset = book.gauges[at].bit, book.gauges[at].offset
        gauges[at].block = NONE
        for block in range(block_count):
            if book.blocks[block] == book.gauges[at].block:
                gauges[at].block = block
    passage.carry(blocks, len(block_room))
    passage.carry(gauges, len(gauge_room))
    if passage.is_loading:
        check_gauges(book, blocks, block_count, gauges)
        place_gauges(book, blocks, block_count, gauges)


cdef check_gauges(RuleBook book, const BlockHead *blocks, uint32_t block_count, const GaugeHead *gauges):
    """Raises SnapshotError where the cells would not be those of the program's features."""
    cdef uint32_t at
    cdef const Gauge *gauge
    cdef const BlockHead *block
    for at in range(book.feature_count):
        gauge = &book.gauges[at]
        if gauges[at].signature != gauge.signature or (gauges[at].block == NONE) != (gauge.block == NULL):
            raise SnapshotError(f"feature {at} of rule set {book.number} is another")
        if gauges[at].block == NONE:
            continue
        if gauges[at].block >= block_count:
            raise SnapshotError(f"feature {at} of rule set {book.number} has no block {gauges[at].block}")
        block = &blocks[gauges[at].block]
        if (gauges[at].cell_size != gauge.cell_size or gauges[at].offset + gauge.cell_size > block.stride or block.key != gauge.key
                or gauges[at].bit >= MOST_CELLS or block.stride % 8):
            raise SnapshotError(f"the cells of feature {at} of rule set {book.number} have another shape")


cdef place_gauges(RuleBook book, const BlockHead *heads, uint32_t block_count, const GaugeHead *gauges):
    """Give the features their cells where they had them, in place of new ones."""
    cdef bytearray room = bytearray(block_count * sizeof(Block *))
    cdef Block **blocks = <Block **><char *>room
    cdef Block *block
    cdef uint32_t at
    for at in range(book.feature_count):
        leave_block(book.gauges[at].block)
        book.gauges[at].block = NULL
        if gauges[at].block == NONE:
            continue
        block = blocks[gauges[at].block]
        if block == NULL:
            block = blocks[gauges[at].block] = <Block *>calloc(1, sizeof(Block))
            if block == NULL:
                raise MemoryError("no memory for a rule set's cells")
            block.key = <uint8_t>heads[gauges[at].block].key
            block.rows = book.rows_of(block.key)
            block.stride = heads[gauges[at].block].stride
            memcpy(block.fetched, heads[gauges[at].block].fetched, sizeof(block.fetched))
            block.base = <char *>map_pages(block.rows * block.stride)
        block.features += 1
        set_place(&book.gauges[at], block, gauges[at].offset, gauges[at].bit)
        book.gauges[at].since_ns = gauges[at].since_ns
        memcpy(book.gauges[at].since_phase, gauges[at].since_phase, sizeof(gauges[at].since_phase))
    free(book.blocks)
    book.blocks = NULL
    book.block_count = 0
    book.list_blocks()


cdef carry_marks(Passage passage, RuleBook book):
    cdef bytearray room = bytearray(book.mark_count * sizeof(MarkHead))
    cdef MarkHead *marks = <MarkHead *><char *>room
    cdef uint32_t at
    for at in range(0 if passage.is_loading else book.mark_count):
        marks[at].signature = book.marks[at].signature
        marks[at].is_set = book.marks[at].is_set
        marks[at].has_cells = book.marks[at].cells != NULL
    passage.carry(marks, len(room))
    for at in range(book.mark_count if passage.is_loading else 0):
        if marks[at].signature != book.marks[at].signature or marks[at].has_cells != (book.marks[at].cells != NULL):
            raise SnapshotError(f"mark {at} of rule set {book.number} is another")
        book.marks[at].is_set = <uint8_t>marks[at].is_set
