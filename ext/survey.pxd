# The rules at work: one occasion at a time, what it hits, and what follows from that.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from ext.events cimport MOST_FACTORS, Factor, ReportEvent
from ext.occasion cimport Occasion
from ext.program cimport Rule, Stage
from ext.risk cimport Candidate
from ext.rule_book cimport Gate
from ext.state cimport Order, Position
from ext.watching cimport Watching

cdef enum HitStage:
    STAGE_WARN = 1
    STAGE_BREACH = 2

cdef struct Found:                     # a rule whose condition is met on this occasion
    uint32_t rule                      # index in the program
    int stage
    bint is_enforced
    bint is_blocking                   # the order or cancel is refused or suspended for it
    bint is_cooling                    # it hit the same row not long ago: not recorded again
    uint64_t offset                    # of its EV_HIT, 0: none was recorded
    int factor_count
    Factor factors[MOST_FACTORS]

cdef struct MetMark:
    uint32_t mark
    bint ends

cdef struct RefusedBy:                 # what refused the newest cancel
    uint32_t rule                      # from 1, 0: no rule
    int scope
    int64_t value
    int64_t limit

cdef class Survey(Watching):
    cdef RefusedBy refused_by
    cdef Occasion occasion
    cdef bint is_open                  # it was begun for the order that comes next
    cdef Found *found
    cdef uint32_t found_count
    cdef MetMark *met
    cdef uint32_t met_count
    cdef readonly int64_t hits_cooling # hits not recorded because of cool_off
    cdef readonly int64_t hits_lost    # hits for which the journal had no room

    # what engine and returns call
    cdef void fetch_cells(self, const Candidate *order) noexcept
    cdef void fetch_report(self, const Order *order, int event) noexcept
    cdef int survey_order(self, Candidate *order) noexcept
    cdef void ask_confirmation(self, Candidate *order, const Found *decisive) noexcept
    cdef int survey_cancel(self, const Order *order, uint32_t order_no, int64_t now_ns) noexcept
    cdef void survey_report(self, const ReportEvent *event) noexcept
    cdef void record_order_found(self, uint32_t order_no, bint accepted) noexcept
    cdef void record_found(self, uint32_t order_no, bint with_marks) noexcept
    cdef const Found *decisive(self) noexcept
    cdef void watch_holding(self, uint32_t position) noexcept
    cdef void open_row(self, uint32_t position, uint32_t instrument, int side, int64_t now_ns) noexcept

    # one occasion
    cdef void evaluate(self, Occasion *occasion) noexcept
    cdef void look_at_named(self, const Occasion *occasion) noexcept
    cdef void look_at_listed(self, const Occasion *occasion, const char *id, size_t size, int seed) noexcept
    cdef void look_at_prefixed(self, const Occasion *occasion) noexcept
    cdef void look_at_rule(self, const Occasion *occasion, uint32_t rule) noexcept
    cdef void look(self, const Occasion *occasion, const Gate *gate) noexcept
    cdef bint has_held(self, const Occasion *occasion, const Rule *rule) noexcept
    cdef void note_mark(self, uint32_t mark, bint ends) noexcept
    cdef void note_hit(self, const Occasion *occasion, const Gate *gate) noexcept
    cdef bint is_cooling(self, const Occasion *occasion, const Found *found) noexcept
    cdef void record_hit(self, Found *found, uint32_t order_no) noexcept
    cdef int level_after(self, const Found *found) noexcept
    cdef void respond(self, const Found *found, int level) noexcept
    cdef void record_mark(self, const MetMark *met) noexcept

cdef inline const Stage *stage_of(const Rule *rule, int stage) noexcept nogil:
    return &rule.warn if stage == STAGE_WARN else &rule.breach
