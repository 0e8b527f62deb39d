# Whom a rule is for, and whether what it finds is enforced.
from libc.stdint cimport uint32_t
from ext.occasion cimport Occasion
from ext.program cimport Stage
from ext.rule_book cimport Gate
from ext.state cimport State

cdef enum:
    ACCOUNT_SEED = 1                   # of the hashes that accounts and groups are looked up by
    GROUP_SEED = 2

cdef bint meets_rare(const Occasion *occasion, State state, const Gate *gate) noexcept
cdef bint is_enforced(const Occasion *occasion, State state, uint32_t number) noexcept
cdef bint is_any_holding(State state, const Occasion *occasion) noexcept
cdef bint is_stopping(const Stage *stage, const Occasion *occasion) noexcept
cdef int scope_of(int key, const Occasion *occasion) noexcept
