# The fold: apply is the only thing that changes state, live and in recovery alike.
from libc.stdint cimport uint64_t
from ext.events cimport Frame
from ext.state cimport State

cdef void apply(State state, const Frame *frame, uint64_t offset) noexcept
