"""What the engine's public views leave out and the tests compare: usage sums, order rows, and a journal frame by frame."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ext.apply cimport apply
from ext.events cimport Frame
from ext.journal cimport JOURNAL_START, Journal, crc32c
from ext.state cimport FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, Order, State, Usage
from ext.windows cimport UNDEFINED, cell_add, cell_size, cell_value


cdef tuple usage_row(const Usage *usage):
    return (usage.open_buy_e4, usage.open_sell_e4, usage.filled_buy_e4, usage.filled_sell_e4)


def account_usage(State state, uint32_t index) -> tuple:
    """(open buys, open sells, filled buys, filled sells) in 1e-4 yuan."""
    return usage_row(&state.accounts[index].usage)


def group_usage(State state, uint32_t index) -> tuple:
    """As account_usage."""
    return usage_row(&state.groups[index].usage)


def firm_usage(State state) -> tuple:
    """As account_usage."""
    return usage_row(&state.firm)


def unit_usage(State state, uint32_t index) -> tuple:
    """As account_usage."""
    return usage_row(&state.units[index].usage)


def strategy_row(State state, uint32_t index) -> tuple:
    """(usage, the code that switched it off or 0, rejects in a row)"""
    return usage_row(&state.strategies[index].usage), state.strategies[index].off, state.strategies[index].reject_streak


def order_row(State state, uint32_t order_no) -> tuple:
    """(order_id, OrdStatus, filled shares, filled notional, whether a cancel is under way)"""
    cdef const Order *order = &state.orders[order_no]
    return (order_no, order.ord_status, order.cum_qty_shares, order.cum_notional_e4,
            bool(order.flags & (FLAG_CANCEL_SENT | FLAG_CANCEL_QUEUED)))


def frame_offsets(Journal journal) -> list:
    """Offset of every committed frame, and of the end."""
    cdef uint64_t at = JOURNAL_START
    offsets = [at]
    while at < journal.end:
        at += journal.at(at).size
        offsets.append(at)
    return offsets


def fold_one(State state, Journal journal, uint64_t offset) -> int:
    """Apply the frame at offset; returns the next one's offset, 0 at the end."""
    cdef const Frame *frame = journal.next_frame(offset)
    if frame == NULL:
        return 0
    apply(state, frame, offset)
    return journal.end


def crc_of(bytes octets) -> int:
    """CRC-32C, of a multiple of 8 bytes."""
    return crc32c(<const unsigned char *><const char *>octets, len(octets), 0)


cdef class Cell:
    """One cell of a feature. kind: 0 sum, 1 max, 2 move, 3 high, 4 low; sliding: else of a day or phase."""

    cdef void *at
    cdef int kind
    cdef bint sliding

    def __cinit__(self, int kind, bint sliding):
        self.kind, self.sliding = kind, sliding
        self.at = calloc(1, cell_size(kind, sliding))

    def __dealloc__(self):
        free(self.at)

    def add(self, int64_t step, int64_t amount):
        cell_add(self.at, self.kind, self.sliding, step, amount)

    def value(self, int64_t step):
        """None: undefined."""
        value = cell_value(self.at, self.kind, self.sliding, step)
        return None if value == UNDEFINED else value
