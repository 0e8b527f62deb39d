# The ladder (docs/ladder.md), rows 7 to 33: pure checks over state, first failing code wins.
from libc.stdint cimport int64_t, uint32_t
from ext.market cimport Market, TopOfBook
from ext.state cimport Account, Instrument, PortState, Position, Profile, State

# One order on its way down, with what the checks look up once and what they find.
cdef struct Candidate:
    const Account *account
    const Profile *profile
    const PortState *port
    const Instrument *instrument       # NULL: unknown
    const TopOfBook *top               # NULL with it
    const Position *position           # of the account, NULL: none yet
    const Position *match_owner        # whose open orders it could meet, NULL: none
    uint32_t account_index
    uint32_t instrument_index
    int venue
    int side
    int ord_type
    int phase
    int64_t order_qty_shares
    int64_t price_e4
    int64_t now_ns
    bint confirmed                     # a suspended order on its second way down: it waits for nothing
    # found on the way
    int64_t wpx_e4
    int64_t notional_e4
    int64_t hold_e4
    int64_t value                      # of the check that failed
    int64_t limit
    int scope
    uint32_t rule                      # of the rule set in force, that stops it, from 1; 0: none
    bint is_aggressive
    int wait_code                      # why it must be confirmed first, 0: it need not
    int64_t wait_value
    int64_t wait_limit
    uint32_t wait_ttl_ms               # how long it may wait, 0: CONFIRM_TTL_MS

cdef enum:
    CONFIRM_TTL_MS = 30000

cdef int check_new_order(State state, Market market, Candidate *order) noexcept
