# What apply tells the rules' windows: one call for each kind of event that they count.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from ext.events cimport CancelEvent, Frame, HitEvent, MarkEvent, OrderEvent, PhaseEvent, QuoteEvent, ReportEvent
from ext.state cimport Order, State

cdef void count_order(State state, const Order *order, int64_t now_ns) noexcept
cdef void count_reject(State state, uint32_t account, uint32_t instrument, int side, int64_t now_ns) noexcept
cdef void count_cancel_sent(State state, const Order *order, int64_t now_ns) noexcept
cdef void count_fill(State state, const Order *order, const ReportEvent *event) noexcept
cdef void count_canceled(State state, const Order *order, int64_t rest_shares, int64_t now_ns) noexcept
cdef uint32_t journal_row(State state, int key, uint32_t row) noexcept
cdef uint64_t row_identity(State state, int key, uint32_t row, uint32_t account, uint32_t group, uint32_t instrument) noexcept
cdef void apply_surveillance(State state, const Frame *frame, uint64_t offset) noexcept
