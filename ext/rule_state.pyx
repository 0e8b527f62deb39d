"""The tables behind the rules. Decides nothing; only apply writes them."""

from libc.string cimport memcpy

from ext.codes cimport VENUE_COUNT
from ext.program cimport (
    KEY_ACCOUNT, KEY_ACCOUNT_INSTRUMENT, KEY_ACCOUNT_VENUE, KEY_CONTROLLER, KEY_CONTROLLER_INSTRUMENT, KEY_CONTROLLER_VENUE,
    KEY_COUNT, KEY_FIRM, KEY_FIXED, KEY_INSTRUMENT, KEY_VENUE,
)
from ext.rule_book cimport Block, Gauge, MarkCell
from ext.tables cimport MapSlot, map_close, map_find, map_full, map_next, map_open, map_pages, map_put, map_small_pages, mix, unmap_pages

cdef enum:
    EXCHANGES = VENUE_COUNT - 1
    STAGES = 2                         # a warning and a breach


cdef class RuleState:
    """No rule set, no quote, no hit. accounts, groups, positions, instruments: the most rows of each."""

    def __cinit__(self, uint32_t accounts, uint32_t groups, uint32_t positions, uint32_t instruments):
        cdef uint32_t *room
        self.accounts = accounts
        self.groups = groups
        self.positions = positions
        self.recorded = <RecordedQuote *>map_small_pages(<size_t>instruments * sizeof(RecordedQuote))
        self.rings = <FillRing *>map_small_pages(<size_t>positions * sizeof(FillRing))
        self.hits = <HitCell *>map_small_pages((MOST_HITS + 1) * sizeof(HitCell))
        self.alerts = <uint64_t *>map_small_pages((MOST_ALERTS + 1) * sizeof(uint64_t))
        self.rule_sets = <uint64_t *>map_small_pages((MOST_RULE_SETS + 1) * sizeof(uint64_t))
        map_open(&self.hit_map, MOST_HITS)
        self.book = RuleBook()
        room = self.book.room
        room[<int>KEY_ACCOUNT] = accounts
        room[<int>KEY_CONTROLLER] = accounts + groups
        room[<int>KEY_ACCOUNT_VENUE] = accounts * EXCHANGES
        room[<int>KEY_CONTROLLER_VENUE] = (accounts + groups) * EXCHANGES
        room[<int>KEY_ACCOUNT_INSTRUMENT] = positions
        room[<int>KEY_CONTROLLER_INSTRUMENT] = positions
        room[<int>KEY_INSTRUMENT] = instruments
        room[<int>KEY_VENUE] = EXCHANGES
        room[<int>KEY_FIRM] = 1
        room[<int>KEY_FIXED] = 1

    def __dealloc__(self):
        unmap_pages(self.recorded, <size_t>self.book.room[<int>KEY_INSTRUMENT] * sizeof(RecordedQuote))
        unmap_pages(self.rings, <size_t>self.positions * sizeof(FillRing))
        unmap_pages(self.hits, (MOST_HITS + 1) * sizeof(HitCell))
        unmap_pages(self.alerts, (MOST_ALERTS + 1) * sizeof(uint64_t))
        unmap_pages(self.rule_sets, (MOST_RULE_SETS + 1) * sizeof(uint64_t))
        map_close(&self.hit_map)

    cdef RuleBook new_book(self):
        """An empty one with room for the same rows."""
        cdef RuleBook book = RuleBook()
        book.room = self.book.room
        return book

    cdef void note_pages(self) noexcept:
        """Tell the thread that works ahead where the cells are now. It may read this half written: then it asks the kernel for
        pages that are not there, and is refused."""
        cdef const Block *block
        cdef uint32_t at
        cdef uint32_t count = 0
        self.page_count = 0
        for at in range(self.book.block_count):
            block = self.book.blocks[at]
            self.pages[count].base = <uint8_t *>block.base
            self.pages[count].row_size = block.stride
            self.pages[count].rows = block.rows
            self.pages[count].is_by_position = block.key in (KEY_ACCOUNT_INSTRUMENT, KEY_CONTROLLER_INSTRUMENT)
            count += 1
        self.page_count = count

    cdef HitCell *find_hit(self, uint64_t key, bint make) noexcept:
        """When a rule last hit a row at a stage; NULL: never, or, when it is to be made, the table is full."""
        cdef MapSlot *slot = map_find(&self.hit_map, key)
        while slot.tag:
            if self.hits[slot.value].key == key:
                return &self.hits[slot.value]
            slot = map_next(&self.hit_map, slot)
        if not make or map_full(&self.hit_map):
            return NULL
        map_put(&self.hit_map, slot, key, self.hit_map.count)
        self.hits[self.hit_map.count - 1].key = key
        return &self.hits[self.hit_map.count - 1]

    cdef void add_alert(self, uint64_t offset) noexcept:
        self.alert_count += 1
        if self.alert_count <= MOST_ALERTS:
            self.alerts[self.alert_count] = offset

    cdef void count_used(self, uint32_t *used, uint32_t accounts, uint32_t positions, uint32_t instruments) noexcept:
        """Rows in use of each key, those that groups have of their own left out."""
        used[<int>KEY_ACCOUNT] = accounts
        used[<int>KEY_CONTROLLER] = accounts
        used[<int>KEY_ACCOUNT_VENUE] = accounts * EXCHANGES
        used[<int>KEY_CONTROLLER_VENUE] = accounts * EXCHANGES
        used[<int>KEY_ACCOUNT_INSTRUMENT] = positions
        used[<int>KEY_CONTROLLER_INSTRUMENT] = positions
        used[<int>KEY_INSTRUMENT] = instruments
        used[<int>KEY_VENUE] = EXCHANGES
        used[<int>KEY_FIRM] = 1
        used[<int>KEY_FIXED] = 1

    cdef hash_into(self, object digest, uint32_t accounts, uint32_t groups, uint32_t positions, uint32_t instruments):
        """Everything here, for State.hash; the counts are of rows in use."""
        cdef uint32_t used[KEY_COUNT]
        self.count_used(used, accounts, positions, instruments)
        digest.update(repr((self.book.number, self.rule_set_count, self.alert_count, self.hit_map.count)).encode())
        add_rows(digest, self.recorded, instruments * sizeof(RecordedQuote))
        add_rows(digest, self.hits, self.hit_map.count * sizeof(HitCell))
        if self.book.is_self_counted:
            add_rows(digest, self.rings, positions * sizeof(FillRing))
        self.hash_cells(digest, used, groups)

    cdef hash_cells(self, object digest, const uint32_t *used, uint32_t groups):
        """Cells and marks; a controller that is a group has its row behind those of all accounts."""
        cdef uint32_t at
        cdef size_t last
        for at in range(self.book.feature_count):
            gauge = &self.book.gauges[at]
            if gauge.block != NULL:
                digest.update(repr((gauge.signature, gauge.since_ns)).encode())
                add_cells(digest, gauge, 0, used[gauge.key])
                add_cells(digest, gauge, gauge.rows - self.group_rows(gauge.key, self.groups), self.group_rows(gauge.key, groups))
        for at in range(self.book.mark_count):
            mark = &self.book.marks[at]
            if mark.cells != NULL:
                digest.update(repr(mark.signature).encode())
                add_rows(digest, mark.cells, <size_t>used[mark.key] * sizeof(MarkCell))
                last = self.group_rows(mark.key, groups)
                add_rows(digest, mark.cells + (mark.rows - self.group_rows(mark.key, self.groups)), last * sizeof(MarkCell))

    cdef size_t group_rows(self, int key, uint32_t groups) noexcept:
        """How many rows of the key so many groups have of their own."""
        return groups if key == KEY_CONTROLLER else groups * EXCHANGES if key == KEY_CONTROLLER_VENUE else 0


cdef add_rows(object digest, const void *rows, size_t size):
    if size:
        digest.update(<const unsigned char[:size]><unsigned char *>rows)


cdef add_cells(object digest, const Gauge *gauge, size_t first, size_t count):
    """One feature's cells of so many rows, side by side wherever they lie."""
    cdef bytearray copy = bytearray(count * gauge.cell_size)
    cdef char *to = copy
    cdef size_t at
    for at in range(count):
        memcpy(to + at * gauge.cell_size, gauge.base + (first + at) * gauge.stride + gauge.offset, gauge.cell_size)
    digest.update(copy)


cdef uint64_t hit_key(uint64_t rule_key, uint64_t row, int stage, bint enforced) noexcept:
    """What hits are kept apart by: one that was only watched cools none that is enforced."""
    return mix(rule_key + <uint64_t>stage + (STAGES if enforced else 0), row)
