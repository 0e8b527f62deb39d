# One feature's memory of one row: sums and extremes over a sliding window of 17 steps, over the day, or over a phase. `at` is
# the number of now's step; of a phase window the phase's number; of a day window 0. Reading is pure, adding moves the cell on.
from libc.stdint cimport int64_t
from ext.program cimport FEATURE_HIGH, FEATURE_LOW, FEATURE_MAX, FEATURE_MOVE, FEATURE_SUM, PPM

cdef extern from *:
    """
    #define TIDEGATE_UNDEFINED INT64_MIN
    """
    const int64_t UNDEFINED "TIDEGATE_UNDEFINED"       # no value: every comparison with it is false

cdef enum:
    CELL_STEPS = 17                    # now's step and the 16 before it

cdef struct SlidingCell:               # sums and extremes
    int64_t step                       # the newest step counted
    int64_t total                      # of a sum, over all steps
    int64_t steps[CELL_STEPS]

cdef struct WholeCell:                 # of a day or a phase
    int64_t number
    int64_t value

cdef struct MoveCell:                  # first and last price of each step
    int64_t step
    int64_t before                     # last price before the oldest step, 0: none
    int64_t last                       # newest price, 0: none yet
    int64_t first_of[CELL_STEPS]
    int64_t last_of[CELL_STEPS]

cdef struct WholeMoveCell:
    int64_t number
    int64_t before
    int64_t last
    int64_t first

cdef size_t cell_size(int kind, bint sliding) noexcept
cdef void cell_add(void *cell, int kind, bint sliding, int64_t at, int64_t amount) noexcept
cdef int64_t cell_value(const void *cell, int kind, bint sliding, int64_t at) noexcept

# What one more event would make of a value.
cdef inline int64_t with_one_more(int kind, int64_t value, int64_t amount) noexcept nogil:
    if kind == FEATURE_MAX:
        return max(value, amount)
    return value + amount

# Most features are sums, and most of what is read or added lies within the newest step.
cdef inline int64_t sliding_sum(const SlidingCell *cell, int64_t at) noexcept nogil:
    cdef int64_t total = cell.total
    cdef int64_t step
    if at <= cell.step or total == 0:
        return total
    if at - cell.step >= CELL_STEPS:
        return 0
    for step in range(cell.step + 1, at + 1):
        total -= cell.steps[<size_t>step % CELL_STEPS]
    return total

cdef inline void whole_sum_add(WholeCell *cell, int64_t number, int64_t amount) noexcept nogil:
    if cell.number != number:
        cell.number = number
        cell.value = 0
    cell.value += amount

cdef inline void sliding_add(SlidingCell *cell, int64_t at, int64_t amount) noexcept nogil:
    cdef int64_t step
    if at > cell.step:
        if at - cell.step >= CELL_STEPS:
            for step in range(CELL_STEPS):
                cell.steps[step] = 0
            cell.total = 0
        else:
            for step in range(cell.step + 1, at + 1):
                cell.total -= cell.steps[<size_t>step % CELL_STEPS]
                cell.steps[<size_t>step % CELL_STEPS] = 0
        cell.step = at
    cell.steps[<size_t>cell.step % CELL_STEPS] += amount
    cell.total += amount

# Whether two times lie less than a span apart. A time long after now was written before the clock was set back: it is not.
cdef inline bint is_within(int64_t now_ns, int64_t before_ns, int64_t span_ns) noexcept nogil:
    return -span_ns < now_ns - before_ns < span_ns
