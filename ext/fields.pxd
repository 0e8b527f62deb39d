# Row 1 of the ladder: whether a message is an order or a cancel at all.
from libc.stdint cimport uint32_t, uint64_t
from ext.codec cimport CancelOrder, NewOrder
from ext.events cimport CancelEvent, OrderEvent
from ext.reports cimport Refusal

cdef int check_fields(const NewOrder *order, Refusal *refusal) noexcept
cdef int check_cancel_fields(const CancelOrder *cancel, Refusal *refusal) noexcept
cdef bint is_same(const OrderEvent *event, const NewOrder *message, uint32_t strategy, uint64_t parent) noexcept
cdef void copy_cancel_name(CancelEvent *to, const CancelEvent *source) noexcept
