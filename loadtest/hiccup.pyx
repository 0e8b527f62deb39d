"""Measures how late the machine wakes a thread that only sleeps. Must not spin, nor take the GIL while it measures."""

import os
import threading

import numpy as np

from libc.errno cimport EINTR
from libc.stdint cimport int64_t
from libc.time cimport time_t

from ext.clock cimport now_ns


cdef extern from "time.h" nogil:
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_nanosleep(int clock_id, int flags, const timespec *request, timespec *remain)

cdef extern from "sys/prctl.h" nogil:
    int PR_SET_TIMERSLACK
    int prctl(int option, unsigned long value)


cdef class HiccupMeter:
    """A thread on one core that sleeps a millisecond at a time and notes how late it woke.

    core: the CPU it is pinned to; capacity: the most sleeps it notes (it stops by itself then).
    """

    cdef readonly int core
    cdef readonly str error            # why it could not be pinned, or empty
    cdef readonly Py_ssize_t count
    cdef int64_t[::1] woke_ns, late_ns
    cdef volatile bint stopping
    cdef object thread

    def __init__(self, int core, Py_ssize_t capacity=600_000):
        self.core = core
        self.error = ""
        self.woke_ns = np.zeros(capacity, dtype=np.int64)
        self.late_ns = np.zeros(capacity, dtype=np.int64)
        self.thread = threading.Thread(target=self.run, name=f"hiccup-{core}", daemon=True)

    def start(self) -> None:
        """Begin to measure, in a thread of its own."""
        self.thread.start()

    def run(self) -> None:
        """The thread's body: sleeps until stopped or full."""
        try:
            os.sched_setaffinity(0, {self.core})
        except OSError as error:
            self.error = str(error)
            return
        with nogil:
            # Without this the kernel may wake a sleeper 50 us late on purpose, which is no hiccup.
            prctl(PR_SET_TIMERSLACK, 1)
            while not self.stopping and self.count < self.woke_ns.shape[0]:
                self.sleep_once()

    cdef void sleep_once(self) noexcept nogil:
        cdef timespec rest
        cdef int64_t due_ns, woke_ns
        rest.tv_sec = 0
        rest.tv_nsec = 1_000_000
        due_ns = now_ns() + rest.tv_nsec
        if clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL) == EINTR:
            return
        woke_ns = now_ns()
        self.woke_ns[self.count] = woke_ns
        self.late_ns[self.count] = woke_ns - due_ns
        self.count += 1

    def stop(self) -> tuple[np.ndarray, np.ndarray]:
        """End the thread; (when it woke, UTC ns; how late, ns), one of each per sleep."""
        self.stopping = True
        if self.thread.is_alive():
            self.thread.join(timeout=5)
        count = self.count
        return np.asarray(self.woke_ns)[:count].copy(), np.asarray(self.late_ns)[:count].copy()
