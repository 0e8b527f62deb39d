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


DISTURBANCES = (
    "account cash", "account usage", "account open orders", "account list", "group usage", "firm usage", "firm cash",
    "position buy", "position sell", "position held", "position best", "position list", "firm shares", "open count", "strategy", "holding",
    "parent", "order hold", "event sequence",
)


def disturb(State state, str what) -> None:
    """Let one sum, one link or one number be wrong by one. The first order must be open and not be the only one."""
    cdef Order *order = &state.orders[1]
    if what == "account cash":
        state.accounts[order.account].cash_held_e4 += 1
    elif what == "account usage":
        state.accounts[order.account].usage.filled_buy_e4 += 1
    elif what == "account open orders":
        state.accounts[order.account].open_orders += 1
    elif what == "account list":
        state.accounts[order.account].open_head = order.next_open
    elif what == "group usage":
        state.groups[0].usage.open_sell_e4 += 1
    elif what == "firm usage":
        state.firm.open_buy_e4 += 1
    elif what == "firm cash":
        state.firm_cash_e4 += 1
    elif what == "position buy":
        state.positions[order.position].open_buy_shares += 1
    elif what == "position sell":
        state.positions[order.match_position].open_sell_shares += 1
    elif what == "position held":
        state.positions[order.position].sell_held_shares += 1
    elif what == "position best":
        state.positions[order.match_position].best_buy_e4 += 1
    elif what == "position list":
        order.prev_match = 1
    elif what == "firm shares":
        state.firm_shares[order.instrument] += 1
    elif what == "open count":
        state.open_count += 1
    elif what == "strategy":
        state.strategies[0].usage.open_buy_e4 += 1
    elif what == "holding":
        state.holdings[order.position].short_open_shares += 1
    elif what == "parent":
        state.parents[0].used_shares += 1
    elif what == "order hold":
        order.hold_e4 += 1
    elif what == "event sequence":
        state.accounts[order.account].event_seq += 1


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
