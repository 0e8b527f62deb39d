# A journal's way to the disk, on a thread of its own that never takes the GIL.
from libc.stdint cimport uint64_t
from ext.journal cimport Journal

cdef class Syncer:
    cdef Journal journal
    cdef int request_fd                # an eventfd: the thread sleeps on it
    cdef int done_fd                   # an eventfd: the loop watches it
    cdef int state                     # SLEEPS, WORKS or ASKED; both threads change it, atomically
    cdef bint stopping
    cdef uint64_t given_back           # offset up to which a private journal's pages are the file's again
    cdef readonly uint64_t synced_end  # every frame before it is on the disk
    cdef readonly int failed           # errno of the write that failed, 0: none; it stays
    cdef readonly uint64_t batches

    cdef void request(self) noexcept
    cdef void write_batch(self) noexcept nogil
    cdef void give_back(self, uint64_t end) noexcept nogil
