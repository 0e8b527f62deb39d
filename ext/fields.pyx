"""Ranges of every field a client sends (R1605). Looks nothing up."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from ext.codec cimport NO_SYMBOL, symbol_number
from ext.codes cimport BUY, LIMIT, ORD_TYPE_COUNT, PASS, R1605_MALFORMED, SELL, XSHE, XSHG
from ext.events cimport ORDER_SHORT

cdef enum:
    MOST_NUMBER = 1000000000           # of shares, and of a price in 1e-4 yuan: their product stays in int64


cdef inline int malformed(Refusal *refusal, const char *field, int64_t value, const char *expected) noexcept:
    refusal.field = field
    refusal.value = value
    refusal.expected = expected
    return R1605_MALFORMED


cdef int check_fields(const NewOrder *order, Refusal *refusal) noexcept:
    """PASS, or R1605 with the field, its value (its length, for text) and what was expected."""
    if not 1 <= order.cl_ord_id.size <= 64:
        return malformed(refusal, b"cl_ord_id.length", order.cl_ord_id.size, b"1..64")
    if not 1 <= order.account.size <= 16:
        return malformed(refusal, b"account.length", order.account.size, b"1..16")
    if symbol_number(&order.symbol) == NO_SYMBOL:
        return malformed(refusal, b"symbol.length", order.symbol.size, b"6(digits)")
    if order.security_exchange != XSHG and order.security_exchange != XSHE:
        return malformed(refusal, b"security_exchange", order.security_exchange, b"1(XSHG)|2(XSHE)")
    if order.side != BUY and order.side != SELL:
        return malformed(refusal, b"side", order.side, b"1(BUY)|2(SELL)")
    if not LIMIT <= order.ord_type < ORD_TYPE_COUNT:
        return malformed(refusal, b"ord_type", order.ord_type, b"1..7")
    if not 0 <= order.time_in_force <= 1:
        return malformed(refusal, b"time_in_force", order.time_in_force, b"0|1(DAY)")
    if not 1 <= order.order_qty_shares <= MOST_NUMBER:
        return malformed(refusal, b"order_qty_shares", order.order_qty_shares, b"1..1000000000")
    if not 0 <= order.price_e4 <= MOST_NUMBER:
        return malformed(refusal, b"price_e4", order.price_e4, b"0..1000000000")
    if order.ord_type == LIMIT and order.price_e4 == 0:
        return malformed(refusal, b"price_e4", 0, b"1..1000000000(LIMIT)")
    if order.strategy.size > 16:
        return malformed(refusal, b"strategy.length", order.strategy.size, b"0..16")
    if order.parent_id.size > 64:
        return malformed(refusal, b"parent_id.length", order.parent_id.size, b"0..64")
    if order.parent_id.size and not 1 <= order.parent_qty_shares <= MOST_NUMBER:
        return malformed(refusal, b"parent_qty_shares", order.parent_qty_shares, b"1..1000000000(with_parent_id)")
    if order.parent_id.size == 0 and order.parent_qty_shares:
        return malformed(refusal, b"parent_qty_shares", order.parent_qty_shares, b"0(without_parent_id)")
    if order.short_sale and order.side != SELL:
        return malformed(refusal, b"short_sale", 1, b"0(BUY)")
    return PASS


cdef int check_cancel_fields(const CancelOrder *cancel, Refusal *refusal) noexcept:
    if not 1 <= cancel.cl_ord_id.size <= 64:
        return malformed(refusal, b"cl_ord_id.length", cancel.cl_ord_id.size, b"1..64")
    if not 1 <= cancel.account.size <= 16:
        return malformed(refusal, b"account.length", cancel.account.size, b"1..16")
    if cancel.orig_cl_ord_id.size > 64 or (cancel.orig_cl_ord_id.size == 0 and cancel.order_id == 0):
        return malformed(refusal, b"orig_cl_ord_id.length", cancel.orig_cl_ord_id.size, b"1..64(or_order_id)")
    return PASS


cdef void copy_cancel_name(CancelEvent *to, const CancelEvent *source) noexcept:
    """The client's name of a cancel, from one event of it to the next."""
    to.planned_ns = source.planned_ns
    to.cl_ord_id_size = source.cl_ord_id_size
    memcpy(to.cl_ord_id, source.cl_ord_id, source.cl_ord_id_size)


cdef bint is_same(const OrderEvent *event, const NewOrder *message, uint32_t strategy, uint64_t parent) noexcept:
    """Whether a repeated cl_ord_id asks for the same order again. strategy, parent: of the message, looked up."""
    return (event.symbol == symbol_number(&message.symbol) and event.venue == message.security_exchange
            and event.side == message.side and event.ord_type == message.ord_type
            and event.order_qty_shares == message.order_qty_shares and event.price_e4 == message.price_e4
            and event.strategy == strategy and event.parent == parent
            and event.parent_qty_shares == message.parent_qty_shares
            and (event.flags & ORDER_SHORT != 0) == message.short_sale)
