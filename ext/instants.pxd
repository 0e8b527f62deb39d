# Features without a window: read from the event, from state, or from the newest recorded quote.
from libc.stdint cimport int64_t
from ext.occasion cimport Occasion
from ext.rule_book cimport Gauge
from ext.state cimport State

cdef int64_t instant_value(const Occasion *occasion, State state, const Gauge *gauge) noexcept
