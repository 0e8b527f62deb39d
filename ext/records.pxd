# One shard's journal and state: every change of state passes `record`.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from ext.audience cimport Audience
from ext.events cimport EV_TYPE_COUNT, Frame
from ext.journal cimport Journal
from ext.market cimport Market
from ext.state cimport State
from ext.venue cimport ReportSink

cdef class Records(ReportSink):
    cdef readonly State state
    cdef readonly Market market
    cdef readonly Journal journal
    cdef readonly Audience audience
    cdef unsigned long owner_thread
    cdef int64_t event_counts[EV_TYPE_COUNT]   # events recorded since start, by type

    cdef Frame *reserve(self, int type, size_t size, uint32_t account, bint sequenced, int64_t now_ns) noexcept
    cdef uint64_t record(self, Frame *frame) noexcept
