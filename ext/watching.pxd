# Own rows that recorded quotes concern. Not state: found again from the journal after a restart.
from libc.stdint cimport int64_t, uint32_t
from ext.events cimport Frame
from ext.recorder cimport Recorder

cdef class Watching(Recorder):
    cdef uint32_t *watch_head          # by instrument: list of position records of controllers, + 1
    cdef uint32_t *watch_tail
    cdef uint32_t *watch_next          # by position record
    cdef unsigned char *is_watched
    cdef uint32_t *left                # instruments with more rows than one quote is looked at for
    cdef unsigned char *is_left
    cdef uint32_t left_count
    cdef uint32_t watch_rows

    cdef void watch(self, uint32_t position) noexcept
    cdef void watch_frame(self, const Frame *frame) noexcept
    cdef void unwatch(self, uint32_t instrument) noexcept
    cdef void survey_left(self, int64_t now_ns) noexcept
    cdef void fetch_watched(self, uint32_t position) noexcept
    cdef void survey_row(self, uint32_t position, uint32_t instrument, int64_t now_ns) noexcept
