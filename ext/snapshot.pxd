# What the journal folds into, as a snapshot has it: its head, and what it says of the rule set in force.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.codes cimport VENUE_COUNT
from ext.rule_book cimport FETCHED, SIDES, Span

cdef enum:
    SNAPSHOT_VERSION = 2               # one more whenever a fold means something else, or a table is kept in another way

cdef struct Head:                      # where in the journal it stands, how many rows follow, and what is no table
    char magic[24]
    uint64_t layout                    # of the journal's frames
    uint64_t tables                    # of the rows
    uint64_t offset                    # of the last frame folded, 0: none
    uint64_t end                       # where the next one begins
    uint64_t seq
    uint64_t alert_count
    uint64_t order_slots               # of the map of orders
    uint64_t firm_level_offset
    int64_t firm_cash_e4
    int64_t firm_opening_e4
    int64_t firm_ordered_e4
    int64_t phase_since_ns[VENUE_COUNT]
    uint32_t phase_number[VENUE_COUNT]
    uint32_t phase[VENUE_COUNT]
    uint32_t crc                       # of the last frame folded
    uint32_t version
    uint32_t trade_date
    uint32_t shard
    uint32_t groups
    uint32_t profiles
    uint32_t ports
    uint32_t accounts
    uint32_t instruments
    uint32_t positions
    uint32_t orders
    uint32_t restrictions
    uint32_t tickets
    uint32_t strategies
    uint32_t units
    uint32_t parents
    uint32_t hits
    uint32_t rule_sets
    uint32_t rule_set                  # in force, 0: none
    uint32_t blocks
    uint32_t watched
    uint32_t open_orders
    uint32_t suspended_orders
    uint32_t cancel_no
    uint32_t firm_killed
    uint32_t group_leveled
    uint32_t carried
    uint32_t divided
    uint32_t epoch
    uint32_t check                     # CRC-32C of all before it

cdef struct BlockHead:
    uint64_t stride
    Span fetched[FETCHED][SIDES]
    uint32_t key
    uint32_t spare

cdef struct GaugeHead:
    uint64_t signature
    int64_t since_ns
    uint64_t offset
    uint32_t since_phase[VENUE_COUNT]
    uint32_t block                     # index, NONE: it has no cells
    uint32_t bit
    uint32_t cell_size

cdef struct MarkHead:
    uint64_t signature
    uint32_t is_set
    uint32_t has_cells
