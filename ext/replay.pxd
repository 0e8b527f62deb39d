# For whoever applies frames that another process wrote.
from ext.events cimport Frame
from ext.state cimport State

cdef bint has_row(State state, const Frame *frame) noexcept   # whether every row that the frame may add exists
