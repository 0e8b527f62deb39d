"""Events into journal and state: the one place where both meet. Judges nothing, and reads no clock."""

from cpython.pythread cimport PyThread_get_thread_ident

from libc.stdint cimport uint16_t

from ext.apply cimport apply


cdef extern from "Python.h":
    void Py_FatalError(const char *message) noexcept


cdef class Records(ReportSink):
    """One shard's journal and state.

    Only the thread that made it may touch it: another one that tries ends the process, before anything is written.
    """

    def __init__(self, State state, Journal journal):
        self.state = state
        self.journal = journal
        self.market = Market(state)
        self.audience = Audience(state, journal)
        self.owner_thread = PyThread_get_thread_ident()

    cdef Frame *reserve(self, int type, size_t size, uint32_t account, bint sequenced, int64_t now_ns) noexcept:
        """Room for one event in the journal, header filled; NULL when the journal is full."""
        cdef Frame *frame = self.journal.reserve(<uint16_t>type, size, now_ns)
        if frame == NULL:
            return NULL
        frame.account = account
        if sequenced:
            frame.event_seq = self.state.accounts[account].event_seq + 1
            frame.prev_offset = self.state.accounts[account].last_offset
        return frame

    cdef uint64_t record(self, Frame *frame) noexcept:
        """Journal, then apply: the only way state changes."""
        cdef uint64_t offset
        if PyThread_get_thread_ident() != self.owner_thread:
            Py_FatalError(b"tidegate: a shard's state was touched by a thread that does not own it")
        offset = self.journal.commit(frame)
        apply(self.state, frame, offset)
        self.event_counts[frame.type] += 1
        return offset
