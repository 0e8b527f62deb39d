# The bytecode of rules (program.pxd, OpCode), run on one occasion.
from libc.stdint cimport int64_t, uint32_t
from ext.events cimport Factor
from ext.occasion cimport Occasion
from ext.rule_book cimport RuleBook
from ext.state cimport State

cdef int64_t feature_value(const Occasion *occasion, State state, RuleBook book, uint32_t number) noexcept
cdef bint is_met(const Occasion *occasion, State state, RuleBook book, uint32_t entry) noexcept
cdef int trace(const Occasion *occasion, State state, RuleBook book, uint32_t entry, Factor *factors) noexcept
