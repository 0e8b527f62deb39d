"""Orders by name and by list. Keeps the indexes and the best own prices true; changes no money."""

from libc.stdint cimport int64_t
from libc.string cimport memcmp

from ext.codes cimport BUY
from ext.events cimport OrderEvent
from ext.state cimport NO_SELL, NONE, Account, Position
from ext.tables cimport MapSlot, hash_bytes, map_find, map_next, map_put


cdef uint64_t cl_ord_id_hash(uint32_t account, const uint8_t *cl_ord_id, size_t size) noexcept:
    return hash_bytes(cl_ord_id, size, (<uint64_t>account + 1) * 0x9E3779B97F4A7C15ULL)


cdef uint32_t find_order(State state, Journal journal, uint32_t account, const uint8_t *cl_ord_id, size_t size) noexcept:
    """Number of the account's order with this cl_ord_id, 0: none. The id itself is read from the order's frame."""
    cdef MapSlot *slot = map_find(&state.order_map, cl_ord_id_hash(account, cl_ord_id, size))
    cdef const OrderEvent *event
    while slot.tag:
        event = <const OrderEvent *>journal.at(state.orders[slot.value].frame_offset)
        if event.head.account == account and event.cl_ord_id_size == size and memcmp(event.cl_ord_id, cl_ord_id, size) == 0:
            return slot.value
        slot = map_next(&state.order_map, slot)
    return 0


cdef void index_order(State state, uint32_t order_no, uint64_t cl_hash) noexcept:
    cdef MapSlot *slot = map_find(&state.order_map, cl_hash)
    while slot.tag:
        slot = map_next(&state.order_map, slot)
    map_put(&state.order_map, slot, cl_hash, order_no)


cdef void open_order(State state, uint32_t order_no) noexcept:
    cdef Order *order = &state.orders[order_no]
    cdef Account *account = &state.accounts[order.account]
    cdef Position *owner = &state.positions[order.match_position]
    order.prev_open = NONE
    order.next_open = account.open_head
    if account.open_head != NONE:
        state.orders[account.open_head].prev_open = order_no
    account.open_head = order_no
    order.prev_match = NONE
    order.next_match = owner.open_head
    if owner.open_head != NONE:
        state.orders[owner.open_head].prev_match = order_no
    owner.open_head = order_no
    if order.side == BUY:
        owner.best_buy_e4 = max(owner.best_buy_e4, match_px_e4(order))
    else:
        owner.best_sell_e4 = min(owner.best_sell_e4, match_px_e4(order))
    account.open_orders += 1
    state.positions[order.position].open_orders += 1
    if order.match_position != order.position:
        owner.open_orders += 1
    state.open_count += 1


cdef void close_order(State state, uint32_t order_no) noexcept:
    cdef Order *order = &state.orders[order_no]
    cdef Account *account = &state.accounts[order.account]
    cdef Position *owner = &state.positions[order.match_position]
    if order.prev_open == NONE:
        account.open_head = order.next_open
    else:
        state.orders[order.prev_open].next_open = order.next_open
    if order.next_open != NONE:
        state.orders[order.next_open].prev_open = order.prev_open
    if order.prev_match == NONE:
        owner.open_head = order.next_match
    else:
        state.orders[order.prev_match].next_match = order.next_match
    if order.next_match != NONE:
        state.orders[order.next_match].prev_match = order.prev_match
    account.open_orders -= 1
    state.positions[order.position].open_orders -= 1
    if order.match_position != order.position:
        owner.open_orders -= 1
    state.open_count -= 1
    if match_px_e4(order) == (owner.best_buy_e4 if order.side == BUY else owner.best_sell_e4):
        find_best(state, owner, order.side)


cdef void find_best(State state, Position *owner, int side) noexcept:
    """Own best price of one side after its best left; an owner's open orders in one instrument are few (R1208)."""
    cdef int64_t best = 0 if side == BUY else NO_SELL
    cdef uint32_t order_no = owner.open_head
    cdef Order *order
    while order_no != NONE:
        order = &state.orders[order_no]
        if order.side == side:
            best = max(best, match_px_e4(order)) if side == BUY else min(best, match_px_e4(order))
        order_no = order.next_match
    if side == BUY:
        owner.best_buy_e4 = best
    else:
        owner.best_sell_e4 = best
