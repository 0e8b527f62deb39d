# For whoever applies frames that another process decided.
from ext.engine cimport Engine
from ext.events cimport Frame

cdef void rewatch(Engine engine, const Frame *frame) noexcept
cdef void watch_holdings(Engine engine) noexcept
