# The rule set in force, made ready to run: features with their cells, marks with theirs, and the rules of each event. Only
# apply writes cells. It knows no account and no order: rows are numbers.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.codes cimport PHASE_COUNT, VENUE_COUNT
from ext.program cimport KEY_COUNT, RULE_EVENT_COUNT, ExemptEntry, Op, Program, Rule, ScopePrefix, ScopeSlot
from ext.tables cimport hash_bytes, prefetch

cdef enum:
    NO_ROW = 0xFFFFFFFF
    MOST_CLOCKS = 64                   # window lengths that share their step number; more of them count for themselves
    SIDES = 3                          # any, BUY, SELL
    HEAD_WORDS = 4                     # of a row: a bit for each cell
    MOST_CELLS = 64 * HEAD_WORDS       # of a row

cdef enum Fetched:                     # events that are worth fetching cells for ahead
    FETCHED_ORDER = 0
    FETCHED_FILL = 1
    FETCHED_CANCELED = 2
    FETCHED = 3

cdef struct Span:                      # in a row
    uint32_t first
    uint32_t size

# Cells of the features of one key that came into force together, a row's side by side: what one event touches lies in few
# cache lines. A row begins with a bit for each of its cells: one that nothing was ever added to is not even looked at.
cdef struct Block:
    char *base
    size_t stride                      # octets of a row
    uint32_t rows
    uint32_t features                  # that still have their cells here
    Span fetched[FETCHED][SIDES]       # cells that every order, fill or canceled rest of a side feeds
    uint8_t key
    uint8_t is_listed                  # while a list of blocks is made

cdef struct Gauge:                     # a feature that some rule uses
    Block *block                       # NULL: an instant, or an age
    char *base                         # of its block
    size_t stride
    size_t offset                      # of its cell in a row
    int64_t step_ns                    # of a sliding window, else 0
    int64_t window_ns
    int64_t beyond_ppm
    int64_t within_ns
    uint64_t signature
    int64_t since_ns                   # counted since then; 0: since the day began
    uint32_t since_phase[VENUE_COUNT]  # phase numbers at that time
    uint32_t cell_size
    uint32_t bit                       # of its cell in a row's head
    uint32_t rows
    uint32_t clock                     # of its step number, MOST_CLOCKS: none
    uint32_t mark
    uint32_t symbol
    uint16_t filters
    uint8_t kind
    uint8_t amount
    uint8_t events
    uint8_t side
    uint8_t key
    uint8_t venue
    uint8_t unit
    uint8_t instant
    uint8_t is_used
    uint8_t is_by_venue                # its phase is one exchange's

cdef struct Clock:                     # the step that contains the newest time it was asked for
    int64_t length_ns
    int64_t begin_ns
    int64_t step

cdef struct MarkCell:                  # when it was last set, 0: never
    int64_t last_ns[SIDES]
    uint32_t phase[SIDES]              # number of the phase it was set in: of its exchange
    uint32_t any_phase[SIDES]          # of both exchanges together

cdef struct MarkRow:                   # a mark and its cells
    MarkCell *cells
    uint64_t signature
    int64_t gap_ns
    uint32_t code
    uint32_t rule
    uint32_t rows
    uint8_t events
    uint8_t key
    uint8_t is_used
    uint8_t is_set                     # some row's ever was

cdef enum Rare:                        # what few rules ask for, bits
    RARE_TIME = 1
    RARE_VALID = 2
    RARE_SECURITIES = 4
    RARE_EXCEPT = 8                    # exempt for ever: not of the rule's scope
    RARE_FOR = 16

cdef struct Gate:                      # what decides whether a rule, or a rule's mark, is looked at
    uint64_t forbidden                 # bits of Occasion.word that must not be set
    uint32_t tags_any                  # one of these tags, 0: all accounts
    uint32_t rule
    uint32_t code                      # that is run first
    uint32_t mark                      # NOTHING: the rule itself
    uint32_t rare
    uint32_t feature                   # that must be above `least` or nothing is met, NOTHING: not known without running it
    int64_t least

cdef struct Run:                       # a stretch of gates
    uint32_t first
    uint32_t count

cdef struct Memo:                      # a feature's value on this occasion
    uint64_t occasion
    int64_t value

cdef class RuleBook:
    cdef readonly uint32_t number      # of the rule set, 0: none in force
    cdef readonly uint32_t feature_count, mark_count, rule_count
    cdef uint8_t *octets               # the program, without its names
    cdef Program program
    cdef Gauge *gauges
    cdef MarkRow *marks
    cdef Clock clocks[MOST_CLOCKS]
    cdef Memo *memos
    cdef uint64_t *rule_keys           # hash of each rule's id: what hits are remembered under
    cdef Gate *gates                   # by rule, then by mark
    cdef Gate *general                 # of every account, by event and phase
    cdef Run of_event[RULE_EVENT_COUNT][PHASE_COUNT]   # in general
    cdef uint32_t *feeds               # features by the event that feeds them
    cdef Run fed_by[RULE_EVENT_COUNT][SIDES]   # by the event's side
    cdef Run market_fed                # in feeds: by recorded quotes
    cdef Block **blocks
    cdef uint32_t block_count
    cdef uint32_t *prefix_heads        # by hash of a prefix: its first ScopePrefix + 1
    cdef uint32_t *prefix_next
    cdef uint64_t prefix_mask
    cdef uint32_t prefix_sizes         # bit 1 << size
    cdef uint32_t *rule_marks          # by rule: the first of its marks + 1, and by mark the next
    cdef uint32_t *next_mark
    cdef uint64_t *seen                # by gate: the last occasion that looked at it by name
    cdef uint64_t occasion             # number of the newest
    cdef uint32_t *waiting             # rules with `for` that quotes are looked at for
    cdef uint32_t waiting_count
    cdef uint32_t judged               # bit 1 << RuleEvent: some rule or mark is looked at then
    cdef bint is_self_counted          # some feature asks for fills against oneself

    cdef uint32_t rows_of(self, int key) noexcept

    # while it is made
    cdef uint32_t room[KEY_COUNT]      # rows of each key
    cdef load(self, const uint8_t *octets, size_t size, RuleBook before, int64_t now_ns, const uint32_t *phases)
    cdef note_used(self)
    cdef note_reached(self)
    cdef note_entry(self, uint8_t *reached, uint32_t entry)
    cdef open_features(self, RuleBook before, int64_t now_ns, const uint32_t *phases)
    cdef open_block(self, list numbers, int key, int64_t now_ns)
    cdef list_blocks(self)
    cdef uint32_t add_feeds(self, uint32_t count, uint32_t event, int side)
    cdef open_marks(self, RuleBook before)
    cdef void set_clock(self, Gauge *gauge) noexcept
    cdef open_feeds(self)
    cdef open_gates(self)
    cdef open_general(self, uint32_t total)
    cdef open_prefixes(self)
    cdef note_judged(self, uint32_t total)
    cdef void set_gate(self, Gate *gate, uint32_t rule, uint32_t code, uint8_t events) noexcept
    cdef void set_least(self, Gate *gate) noexcept
    cdef bint is_general(self, uint32_t rule) noexcept

# Cells that are found again where they were (ext/snapshot).
cdef void leave_block(Block *block) noexcept
cdef void set_place(Gauge *gauge, Block *block, size_t offset, uint32_t bit) noexcept

cdef inline uint64_t prefix_hash(const uint8_t *text, size_t size) noexcept nogil:
    return hash_bytes(text, size, 7)

cdef inline void fetch_row(const Block *block, uint32_t row, int event, int side) noexcept nogil:
    """Start loading the lines of a row that such an event touches."""
    cdef const char *head = block.base + row * block.stride
    prefetch(head, HEAD_WORDS * 8)
    prefetch(head + block.fetched[event][0].first, block.fetched[event][0].size)
    prefetch(head + block.fetched[event][side].first, block.fetched[event][side].size)

cdef inline char *row_of(const Gauge *gauge, uint32_t row) noexcept nogil:
    return gauge.base + row * gauge.stride

cdef inline bint is_touched(const Gauge *gauge, const char *head) noexcept nogil:
    return (<const uint64_t *>head)[gauge.bit >> 6] >> (gauge.bit & 63) & 1

# The cell, to be added to.
cdef inline char *touch(const Gauge *gauge, uint32_t row) noexcept nogil:
    cdef char *head = row_of(gauge, row)
    (<uint64_t *>head)[gauge.bit >> 6] |= <uint64_t>1 << (gauge.bit & 63)
    return head + gauge.offset

# Number of now's step in a sliding window. Windows of one length share the division.
cdef inline int64_t step_of(RuleBook book, const Gauge *gauge, int64_t now_ns) noexcept:
    cdef Clock *clock
    cdef int64_t passed
    if gauge.clock == MOST_CLOCKS:
        return now_ns // gauge.step_ns
    clock = &book.clocks[gauge.clock]
    passed = now_ns - clock.begin_ns
    if passed < 0 or passed >= clock.length_ns:
        clock.step = now_ns // clock.length_ns
        clock.begin_ns = clock.step * clock.length_ns
    return clock.step

# The bits of Occasion.word and Gate.forbidden.
cdef enum:
    WORD_VENUE = 0
    WORD_BOARD = 3
    WORD_SIDE = 8
    WORD_ST = 11
    WORD_NOT_ST = 12
    WORD_TAGS = 16
    WORD_PHASE = 32
    WORD_EVENT = 41
