# Counts and sums over the last second, or as long as their owner says, in sixteenths: part of the tables of ext/state.
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset

cdef enum:
    STEPS = 17                         # of a window: the current sixteenth and the 16 before it
    STEP_NS = 62500000                 # of a window of one second

cdef struct Window:                    # events in the last second, in steps of 1/16 s
    int64_t step                       # the newest step counted
    uint32_t total                     # over all steps
    uint16_t counts[STEPS]

cdef struct SumWindow:                 # signed amounts of the last 16 steps and the current one, as long as its owner says
    int64_t step_ns                    # 0: never added to
    int64_t step                       # the newest step added to
    int64_t total
    int64_t sums[STEPS]

# Window: count first, then ask; both advance it to now's step.
cdef inline void window_advance(Window *window, int64_t now_ns) noexcept nogil:
    cdef int64_t step = now_ns // STEP_NS
    cdef int64_t passed = step - window.step
    cdef int64_t at
    if passed <= 0:
        return
    if passed >= STEPS:
        for at in range(STEPS):
            window.counts[at] = 0
        window.total = 0
    else:
        for at in range(window.step + 1, step + 1):
            window.total -= window.counts[at % STEPS]
            window.counts[at % STEPS] = 0
    window.step = step

cdef inline uint32_t window_count(const Window *window, int64_t now_ns) noexcept nogil:
    """Events still in the window at now, without moving it: checks are pure."""
    cdef int64_t step = now_ns // STEP_NS
    cdef int64_t passed = step - window.step
    cdef int64_t at
    cdef uint32_t total = window.total
    if passed <= 0:
        return total
    if passed >= STEPS or total == 0:
        return 0
    for at in range(window.step + 1, step + 1):
        total -= window.counts[at % STEPS]
    return total

cdef inline void window_add(Window *window, int64_t now_ns) noexcept nogil:
    window_advance(window, now_ns)
    window.counts[window.step % STEPS] += 1
    window.total += 1

# SumWindow: a window of another length than asked for counts as empty, and starts anew when it is added to.
cdef inline int64_t sum_of(const SumWindow *window, int64_t step_ns, int64_t now_ns) noexcept nogil:
    """Sum over the window at now, without moving it."""
    cdef int64_t total = window.total
    cdef int64_t passed, at
    if step_ns != window.step_ns or step_ns == 0:
        return 0
    passed = now_ns // step_ns - window.step
    if passed >= STEPS:
        return 0
    for at in range(window.step + 1, window.step + 1 + max(passed, 0)):
        total -= window.sums[at % STEPS]
    return total

cdef inline void sum_add(SumWindow *window, int64_t step_ns, int64_t now_ns, int64_t amount) noexcept nogil:
    cdef int64_t step = now_ns // step_ns
    cdef int64_t at
    if step_ns != window.step_ns or step - window.step >= STEPS:
        memset(window, 0, sizeof(SumWindow))
        window.step_ns = step_ns
        window.step = step
    for at in range(window.step + 1, step + 1):
        window.total -= window.sums[at % STEPS]
        window.sums[at % STEPS] = 0
    window.step = max(window.step, step)
    window.sums[window.step % STEPS] += amount
    window.total += amount
