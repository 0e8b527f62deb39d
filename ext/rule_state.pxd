# What the journal folds into for the rules: the rule set in force with its cells, recorded quotes, hits, alerts. Part of State.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.program cimport MOST_FEATURES
from ext.rule_book cimport RuleBook
from ext.tables cimport Map

cdef enum:
    MOST_HITS = 1 << 18                # rows that hits are remembered of; beyond them every hit is recorded
    MOST_ALERTS = 1 << 24
    MOST_RULE_SETS = 1 << 12           # in one day
    RECENT_FILLS = 16                  # of a controller in an instrument, that no fill of its own has met yet

cdef struct RecordedQuote:             # the newest EV_QUOTE of an instrument: all that rules know of its market
    int64_t time_ns                    # 0: none yet
    int64_t last_px_e4
    int64_t total_volume_shares
    int64_t total_turnover_e4
    uint32_t phase
    uint32_t is_ordered                # an order of ours was accepted in it today
    uint32_t bid_px_e4[5]
    uint32_t ask_px_e4[5]
    int64_t bid_qty_shares[5]
    int64_t ask_qty_shares[5]

cdef struct HitCell:
    uint64_t key                       # of rule id, row, stage, and whether it was enforced
    int64_t last_ns

cdef struct RecentFill:
    int64_t shares                     # 0: free
    int64_t price_e4
    int64_t time_ns
    char exec_id[16]
    uint32_t side
    uint32_t spare

cdef struct FillRing:
    uint64_t next_at
    RecentFill fills[RECENT_FILLS]

cdef struct CellPages:                 # where a feature's cells lie, for the thread that makes pages real ahead of their use
    uint8_t *base
    uint64_t row_size
    uint64_t rows
    uint32_t is_by_position            # else by account, or by something few
    uint32_t spare

cdef class RuleState:
    cdef RuleBook book
    cdef RuleBook retired              # the one before it: what it still holds is given back later
    cdef RecordedQuote *recorded       # by instrument
    cdef FillRing *rings               # by position record of the controller
    cdef Map hit_map
    cdef HitCell *hits
    cdef uint64_t *alerts              # journal offsets; alert number 1 is the first
    cdef uint64_t *rule_sets           # journal offsets; rule set number 1 is the first
    cdef readonly uint64_t alert_count
    cdef readonly uint32_t rule_set_count
    cdef uint32_t accounts, groups, positions
    cdef CellPages pages[MOST_FEATURES]
    cdef uint32_t page_count
    cdef bint is_closed                # what is applied happened at another shard: no window counts it

    cdef HitCell *find_hit(self, uint64_t key, bint make) noexcept
    cdef void add_alert(self, uint64_t offset) noexcept
    cdef RuleBook new_book(self)
    cdef void note_pages(self) noexcept
    cdef void count_used(self, uint32_t *used, uint32_t accounts, uint32_t positions, uint32_t instruments) noexcept
    cdef hash_cells(self, object digest, const uint32_t *used, uint32_t groups)
    cdef size_t group_rows(self, int key, uint32_t groups) noexcept
    cdef hash_into(self, object digest, uint32_t accounts, uint32_t groups, uint32_t positions, uint32_t instruments)

cdef uint64_t hit_key(uint64_t rule_key, uint64_t row, int stage, bint enforced) noexcept

# The price of the fifth recorded level of a side, or of the last there is; 0: none.
cdef inline int64_t fifth_level_e4(const RecordedQuote *quote, int side) noexcept nogil:
    cdef int at
    for at in range(4, -1, -1):
        if (quote.bid_px_e4[at] if side == 1 else quote.ask_px_e4[at]) != 0:
            return quote.bid_px_e4[at] if side == 1 else quote.ask_px_e4[at]
    return 0
