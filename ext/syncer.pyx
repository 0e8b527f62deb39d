"""Writes a journal to the disk, group by group, from a thread that never takes the GIL. Knows neither frames nor orders.

Whatever is committed while one group is being written goes with the next. A failed write is final: nothing is called
written any more, because the kernel may have dropped the pages that it could not write.
"""

from libc.stdint cimport uint8_t


cdef extern from "sys/mman.h" nogil:
    int madvise(void *addr, size_t length, int advice)
    int MADV_DONTNEED

cdef extern from "unistd.h" nogil:
    ssize_t read(int fd, void *to, size_t size)
    ssize_t write(int fd, const void *octets, size_t size)

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern from * nogil:
    """
    static inline int exchange(int *at, int value) { return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); }
    static inline int replace(int *at, int from, int to) {
        return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    static inline void publish_end(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
    static inline int is_set(volatile int *at) { return *at; }
    """
    int exchange(int *at, int value)
    int replace(int *at, int before, int after)
    void publish_end(uint64_t *at, uint64_t value)
    int is_set(int *at)

cdef enum:
    PAGE = 4096
    SLEEPS = 0
    WORKS = 1
    ASKED = 2
    KEPT_BEHIND = 67108864             # octets behind the end that stay in memory: orders whose reports are still to come


cdef class Syncer:
    """One journal's way to the disk.

    request_fd, done_fd: eventfds, opened and closed by the shell. request() asks for everything committed so far; when it is
    on the disk, synced_end has passed it and done_fd is readable. failed: errno of a failed write, for good.
    """

    def __init__(self, Journal journal not None, int request_fd, int done_fd):
        self.journal = journal
        self.request_fd = request_fd
        self.done_fd = done_fd
        self.synced_end = journal.synced_end

    cdef void request(self) noexcept:
        """Let all that is committed by now be written; wakes the thread only when it sleeps."""
        if exchange(&self.state, ASKED) == SLEEPS:
            signal(self.request_fd)

    def ask(self) -> None:
        """As request, for the shell."""
        self.request()

    def run(self) -> None:
        """Write whenever asked, until `stop`; for a thread of its own."""
        with nogil:
            while not is_set(<int *>&self.stopping):
                exchange(&self.state, WORKS)
                self.write_batch()
                if replace(&self.state, WORKS, SLEEPS):
                    wait(self.request_fd)
            self.write_batch()

    def stop(self) -> None:
        """Let `run` end, when everything that is committed by now is written."""
        self.stopping = True
        signal(self.request_fd)

    cdef void write_batch(self) noexcept nogil:
        cdef uint64_t end = self.journal.end
        if end <= self.synced_end or self.failed:
            return
        self.failed = self.journal.write_out(end)
        if not self.failed:
            self.batches += 1
            publish_end(&self.synced_end, end)
            self.give_back(end)
        signal(self.done_fd)

    cdef void give_back(self, uint64_t end) noexcept nogil:
        """Drop our own copies of pages that the file has, so that memory stays flat; reads then come from the file's pages."""
        cdef uint64_t last = end - KEPT_BEHIND & ~<uint64_t>(PAGE - 1) if end > KEPT_BEHIND else 0
        if self.journal.private and last > self.given_back:
            madvise(self.journal.base + self.given_back, last - self.given_back, MADV_DONTNEED)
            self.given_back = last


cdef void signal(int fd) noexcept nogil:
    """Make an eventfd readable; one that already is, or that is closed, has nobody to wake."""
    cdef uint64_t one = 1
    if write(fd, &one, sizeof(one)) < 0:
        return


cdef void wait(int fd) noexcept nogil:
    """Until an eventfd is readable; takes its count."""
    cdef pollfd waited
    cdef uint64_t count
    waited.fd = fd
    waited.events = <short>POLLIN
    waited.revents = 0
    poll(&waited, 1, -1)
    if read(fd, &count, sizeof(count)) < 0:
        return
