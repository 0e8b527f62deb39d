"""Keeps the memory that the owner thread will write next real and writable, from a thread that never takes the GIL.

Changes no byte: a page is made real by adding nothing to it, atomically. It knows neither frames nor orders.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.time cimport time_t

from ext.journal cimport Journal
from ext.program cimport MOST_FEATURES
from ext.rule_state cimport CellPages
from ext.state cimport Order, State
from ext.tables cimport fault_in


cdef extern from "time.h" nogil:
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int nanosleep(const timespec *wanted, timespec *left)

cdef extern from * nogil:
    """
    static inline void touch_byte(uint8_t *at) { __atomic_fetch_or(at, 0, __ATOMIC_RELAXED); }
    """
    void touch_byte(uint8_t *at)

cdef enum:
    PAGE = 4096
    JOURNAL_AHEAD = 67108864           # bytes: some seconds of a surge
    ORDERS_AHEAD = 262144              # rows
    PERIOD_NS = 10000000
    ROWS_AHEAD = 32768                 # of cells, by position record
    PERIODS_FULL = 10                  # between two tries on a full disk
    SLICE = 4194304                    # most bytes made ready per period, so that this thread never holds a core for long


cdef uint64_t make_ready(uint8_t *base, uint64_t first, uint64_t last, uint64_t most) noexcept nogil:
    """Make the pages of base[first:last] real, at most so many bytes of them; returns where it stopped."""
    cdef uint64_t at = first & ~<uint64_t>(PAGE - 1)
    last = min(last, first + most)
    while at < last:
        touch_byte(base + at)
        at += PAGE
    return max(first, last)


cdef class Ahead:
    """What lies ahead of one shard's journal and order table."""

    cdef Journal journal
    cdef State state
    cdef uint64_t journal_ready        # offsets up to which pages are real
    cdef uint64_t orders_ready
    cdef uint8_t *cells_base[MOST_FEATURES]
    cdef uint64_t cells_ready[MOST_FEATURES]   # octets of each feature's cells
    cdef uint32_t periods
    cdef bint stopping

    def __init__(self, Journal journal not None, State state not None):
        self.journal = journal
        self.state = state

    def prepare(self) -> None:
        """Make the first stretch ready before trading begins."""
        self.journal.grow(JOURNAL_AHEAD)
        self.advance(JOURNAL_AHEAD + ORDERS_AHEAD * sizeof(Order))

    def run(self) -> None:
        """Stay ahead until `stop`; for a thread of its own."""
        cdef timespec pause = timespec(0, PERIOD_NS)
        self.journal.is_ahead = True
        with nogil:
            while not self.stopping:
                self.advance(SLICE)
                nanosleep(&pause, NULL)
        self.journal.is_ahead = False

    def stop(self) -> None:
        """Let `run` end within a period."""
        self.stopping = True

    cdef void advance(self, uint64_t most) noexcept nogil:
        cdef uint64_t end = self.journal.end
        cdef uint64_t wanted = end + JOURNAL_AHEAD
        cdef uint64_t order = (<uint64_t>self.state.order_count + 1) * sizeof(Order)
        # A file that cannot grow is the owner's to notice: it keeps room for reports and refuses orders.
        self.periods += 1
        if self.journal.grow_error == 0 or self.periods % PERIODS_FULL == 0:
            self.journal.extend(wanted)
            self.journal.look_at_disk()
        self.journal_ready = make_ready(self.journal.base, max(self.journal_ready, end),
                                        min(wanted, self.journal.allocated), most)
        self.orders_ready = make_ready(<uint8_t *>self.state.orders, max(self.orders_ready, order),
                                       min(order + ORDERS_AHEAD * sizeof(Order),
                                           (<uint64_t>self.state.most_orders + 1) * sizeof(Order)), most)
        self.advance_cells()

    cdef void advance_cells(self) noexcept nogil:
        """The rows that rules will count in: of every account, and of the position records to come."""
        cdef uint32_t at
        cdef uint64_t rows, wanted
        cdef CellPages pages
        for at in range(min(self.state.rule_state.page_count, <uint32_t>MOST_FEATURES)):
            pages = self.state.rule_state.pages[at]
            if self.cells_base[at] != pages.base:
                self.cells_base[at] = pages.base
                self.cells_ready[at] = 0
            rows = self.state.position_count + ROWS_AHEAD if pages.is_by_position else self.state.account_count * 2 + 1
            wanted = min(rows, pages.rows) * pages.row_size
            if wanted > self.cells_ready[at]:
                fault_in(pages.base + self.cells_ready[at], wanted - self.cells_ready[at])
                self.cells_ready[at] = wanted
