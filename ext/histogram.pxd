# Latency histogram: HDR buckets (1 ns to one hour at three significant digits) in one C array.
from libc.stdint cimport int64_t

cdef enum:
    SUB_BUCKET_BITS = 11               # 2,048 linear steps per power of two: 1/1,000 of any value
    HALF_COUNT = 1 << (SUB_BUCKET_BITS - 1)
    BUCKET_COUNT = 32                  # 2,048 << 31 passes HIGHEST_NS
    COUNTS_SIZE = (BUCKET_COUNT + 1) * HALF_COUNT

cdef class Histogram:
    cdef int64_t *counts_ptr
    cdef readonly int64_t count        # values recorded
    cdef readonly int64_t sum_ns       # their exact sum
    cdef readonly int64_t min_ns       # smallest and largest recorded value, exact; 0 when empty
    cdef readonly int64_t max_ns
    cdef readonly int64_t below_count  # negative values: refused, because a latency cannot be negative
    cdef readonly int64_t above_count  # values past HIGHEST_NS: recorded in the last bucket

    cdef void record(self, int64_t value_ns) noexcept nogil
    cdef int64_t value_at_rank(self, int64_t rank) noexcept nogil  # the highest value equivalent to the rank-th (from 1)
