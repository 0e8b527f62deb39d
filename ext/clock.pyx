"""Time for the shell, as UTC nanoseconds. Must not be imported by the core: there, time is an argument."""

from libc.time cimport time_t


cdef extern from "time.h" nogil:
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME
    int clock_gettime(int clock_id, timespec *ts)


cdef inline int64_t read_clock_ns(int clock_id) noexcept nogil:
    cdef timespec ts
    clock_gettime(clock_id, &ts)
    return <int64_t>ts.tv_sec * 1000000000 + ts.tv_nsec


cdef int64_t utc_offset_ns = read_clock_ns(CLOCK_REALTIME) - read_clock_ns(CLOCK_MONOTONIC)


cdef int64_t now_ns() noexcept nogil:
    return read_clock_ns(CLOCK_MONOTONIC) + utc_offset_ns


def utc_now_ns() -> int:
    """UTC nanoseconds since the Unix epoch; monotonic within one process."""
    return now_ns()
