# Between the way up and the engine: suspended orders and deadlines. Confirming one is the business of suspended.pyx.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from ext.events cimport Frame, OrderEvent, ReleaseEvent
from ext.journal cimport Journal
from ext.returns cimport Returns
from ext.risk cimport Candidate
from ext.state cimport State

cdef enum:
    MOST_CODE = 1700
    NEVER_NS = 0x7FFFFFFFFFFFFFFF

cdef class Waiting(Returns):
    cdef int64_t decisions[MOST_CODE]  # by code; PASS counts the accepted; a suspended order counts when it ends
    cdef readonly dict suspended       # order number -> confirm_by_ns, oldest first
    cdef list deadlines                # heap of (due_ns, what, number); what: 0 an order, else the Subject of a level
    cdef int64_t next_due_ns           # of the first deadline

    cdef int auto_deny(self, Candidate *order) noexcept
    cdef void suspend(self, OrderEvent *event, const Candidate *order) noexcept
    cdef void expect(self, tuple deadline) noexcept
    cdef ReleaseEvent *reserve_release(self, uint32_t order_no, bytes by, int64_t now_ns) noexcept
    cdef const Frame *record_release(self, ReleaseEvent *event) noexcept
    cdef int deny(self, uint32_t order_no, bytes by, int64_t now_ns) noexcept
