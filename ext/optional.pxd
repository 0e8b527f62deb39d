# The ladder, rows 34 to 47: limits that may be absent, and orders with a strategy, a parent or borrowed shares.
from ext.market cimport Market
from ext.risk cimport Candidate
from ext.state cimport State

cdef int check_optional(State state, Market market, Candidate *order) noexcept
