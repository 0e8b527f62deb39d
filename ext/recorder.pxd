# Quotes and phases into the journal: a sample of what the feeds say, because rules see recorded quotes only.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from ext.quotes cimport MarketStatus, Quote
from ext.records cimport Records

cdef struct Newest:                    # the newest quote of an instrument, recorded or not
    Quote quote
    uint64_t is_listed                 # in the list of those that wait

cdef class Recorder(Records):
    cdef Newest *newest                # by instrument
    cdef uint8_t *is_waiting           # by instrument: its newest quote is not recorded yet; apart, for every order asks
    cdef uint32_t *waiting             # whose newest quote waits for its time
    cdef uint32_t waiting_count

    cdef void on_quote(self, int venue, const Quote *quote, int64_t now_ns) noexcept
    cdef void record_newest(self, uint32_t instrument, int64_t now_ns) noexcept
    cdef bint record_before_first_order(self, uint32_t instrument, int64_t now_ns) noexcept
    cdef void record_due(self, int64_t now_ns) noexcept
    cdef void record_phase(self, const MarketStatus *status, int64_t now_ns) noexcept
    cdef void on_recorded(self, uint32_t instrument, int64_t now_ns) noexcept
    cdef int64_t due_ns(self, uint32_t instrument) noexcept
