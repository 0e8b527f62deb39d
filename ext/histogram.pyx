"""Counts latencies in HDR buckets, without allocating or rounding beyond 1/1,000. Must not measure, print or hold a float."""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from *:
    int __builtin_clzll(unsigned long long value) nogil

cdef int64_t highest_ns = 3_600_000_000_000
HIGHEST_NS = highest_ns


cdef inline int64_t index_of(int64_t value_ns) noexcept nogil:
    cdef int bucket = 64 - __builtin_clzll(<unsigned long long>value_ns | (2 * HALF_COUNT - 1)) - SUB_BUCKET_BITS
    return <int64_t>bucket * HALF_COUNT + (value_ns >> bucket)


cdef inline int64_t lowest_at(int64_t index) noexcept nogil:
    if index < 2 * HALF_COUNT:
        return index
    return (index % HALF_COUNT + HALF_COUNT) << (index // HALF_COUNT - 1)


cdef inline int64_t highest_at(int64_t index) noexcept nogil:
    return lowest_at(index + 1) - 1


cdef class Histogram:
    """Latencies of one kind, in nanoseconds. The buckets are those of HdrHistogram(1, HIGHEST_NS, 3)."""

    def __cinit__(self):
        self.counts_ptr = <int64_t *>calloc(COUNTS_SIZE, sizeof(int64_t))
        if self.counts_ptr == NULL:
            raise MemoryError(f"no memory for {COUNTS_SIZE} histogram counters")

    def __dealloc__(self):
        free(self.counts_ptr)

    cdef void record(self, int64_t value_ns) noexcept nogil:
        if value_ns < 0:
            self.below_count += 1
            return
        if value_ns > highest_ns:
            self.above_count += 1
            value_ns = highest_ns
        if self.count == 0 or value_ns < self.min_ns:
            self.min_ns = value_ns
        if value_ns > self.max_ns:
            self.max_ns = value_ns
        self.counts_ptr[index_of(value_ns)] += 1
        self.count += 1
        self.sum_ns += value_ns

    cdef int64_t value_at_rank(self, int64_t rank) noexcept nogil:
        cdef int64_t index, seen = 0
        for index in range(COUNTS_SIZE):
            seen += self.counts_ptr[index]
            if seen >= rank:
                return min(highest_at(index), self.max_ns)
        return self.max_ns

    def record_ns(self, int64_t value_ns) -> None:
        """Record one value; a negative one is refused and counted in `below_count`."""
        self.record(value_ns)

    def record_all(self, const int64_t[::1] values_ns) -> None:
        """Record every value of an int64 array."""
        cdef Py_ssize_t at
        for at in range(values_ns.shape[0]):
            self.record(values_ns[at])

    def percentile_ns(self, int64_t per_million) -> int:
        """The value that per_million of a million recorded ones do not pass (990_000: p99); 0 when empty.

        As in HdrHistogram, a value stands for the highest one of its bucket, but never for more than the maximum.
        """
        if not 0 <= per_million <= 1_000_000:
            raise ValueError(f"per_million: {per_million}, expected 0 to 1,000,000 (990,000 is p99)")
        # The rank is rounded up, so that a percentile never understates; 1 is the smallest value.
        rank = (self.count * per_million + 999_999) // 1_000_000
        return self.value_at_rank(max(rank, 1)) if self.count else 0

    @property
    def mean_ns(self) -> int:
        """The exact mean, rounded down; 0 when empty."""
        return self.sum_ns // self.count if self.count else 0

    def merge(self, Histogram other not None) -> None:
        """Add everything that another histogram recorded."""
        cdef int64_t index
        if other.count:
            self.min_ns = min(self.min_ns, other.min_ns) if self.count else other.min_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        for index in range(COUNTS_SIZE):
            self.counts_ptr[index] += other.counts_ptr[index]
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.below_count += other.below_count
        self.above_count += other.above_count

    def reset(self) -> None:
        """Forget everything recorded."""
        memset(self.counts_ptr, 0, COUNTS_SIZE * sizeof(int64_t))
        self.count = self.sum_ns = self.min_ns = self.max_ns = self.below_count = self.above_count = 0

    def counts(self) -> list[tuple[int, int]]:
        """(bucket index, count) of every bucket that is not empty, in order of value."""
        cdef int64_t index
        return [(index, self.counts_ptr[index]) for index in range(COUNTS_SIZE) if self.counts_ptr[index]]

    def buckets(self) -> list[tuple[int, int]]:
        """(highest value of the bucket in ns, count) of every bucket that is not empty, in order of value."""
        return [(min(highest_at(index), self.max_ns), count) for index, count in self.counts()]
