# The order store: finding an order by the client's name, and the lists of open orders (per account; per owner x instrument).
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.codes cimport BUY, LIMIT
from ext.journal cimport Journal
from ext.state cimport Order, State

cdef uint64_t cl_ord_id_hash(uint32_t account, const uint8_t *cl_ord_id, size_t size) noexcept
cdef uint32_t find_order(State state, Journal journal, uint32_t account, const uint8_t *cl_ord_id, size_t size) noexcept
cdef void index_order(State state, uint32_t order_no, uint64_t cl_hash) noexcept
cdef void open_order(State state, uint32_t order_no) noexcept
cdef void close_order(State state, uint32_t order_no) noexcept

# What an open order counts as when another of the same owner would meet it.
cdef inline int64_t match_px_e4(const Order *order) noexcept:
    if order.ord_type == LIMIT:
        return order.price_e4
    return order.wpx_e4 if order.side == BUY else 0
