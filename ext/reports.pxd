# Journal frames as the messages a client sees: the same bytes live, on resend and after a restart.
from libc.stdint cimport int64_t, uint8_t, uint32_t
from ext.codec cimport NewOrder, CancelOrder
from ext.events cimport Frame, OrderEvent
from ext.journal cimport Journal
from ext.state cimport State

cdef struct Refusal:                   # what is wrong with a message that becomes no event
    int code
    const char *field                  # static text, NULL: none
    const char *expected
    int64_t value
    int64_t limit
    int scope
    uint32_t rule                      # of the rule set in force, from 1; 0: none decided it
    uint32_t order_no                  # the order that a cancel names, 0: none
    const char *redirect               # R1610: host:port of the account's shard, NULL: another code

cdef inline int64_t confirm_by_ns(const OrderEvent *event) noexcept:
    """When a suspended order's time to be confirmed ends."""
    return event.head.time_ns + <int64_t>event.ttl_ms * 1000000

cdef inline int refuse_with(Refusal *refusal, int code, int64_t value, int64_t limit) noexcept:
    """The code, noted with what was found and what is allowed."""
    refusal.code = code
    refusal.value = value
    refusal.limit = limit
    return code

cdef size_t encode_event(uint8_t *dst, State state, Journal journal, const Frame *frame, bint wrapped) noexcept
cdef size_t encode_order_state(uint8_t *dst, State state, Journal journal, uint32_t order_no, bint repeated, uint32_t wrap_field) noexcept
cdef size_t encode_refusal(uint8_t *dst, State state, const NewOrder *order, const Refusal *refusal, int64_t now_ns,
                           uint32_t wrap_field) noexcept
cdef size_t encode_cancel_refusal(uint8_t *dst, State state, const CancelOrder *cancel, const Refusal *refusal, int64_t now_ns,
                                  uint32_t wrap_field) noexcept
