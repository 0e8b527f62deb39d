# The memory-mapped journal: reserve a frame, fill it in place, commit it. A committed frame survives the process.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.events cimport Frame

cdef enum:
    JOURNAL_START = 64                 # offset of the first frame; before it, the file's magic

cdef class Journal:
    cdef uint8_t *base                 # the whole file's address range, reserved once; pages exist up to `allocated`
    cdef int fd
    cdef readonly uint64_t end         # offset where the next frame goes
    cdef readonly uint64_t allocated   # bytes of the file that exist on disk
    cdef readonly uint64_t capacity    # most bytes of the file
    cdef uint64_t chunk                # the file grows by this much
    cdef readonly uint64_t seq         # of the last committed frame
    cdef readonly uint64_t newest      # offset of that frame, 0: none
    cdef uint32_t crc                  # of the last committed frame
    cdef readonly str path

    cdef Frame *reserve(self, uint16_t type, size_t size, int64_t time_ns) noexcept  # NULL: full
    cdef uint64_t commit(self, Frame *frame) noexcept                              # its offset
    cdef bint has_room(self, uint64_t size) noexcept
    cdef bint extend(self, uint64_t wanted) noexcept nogil
    cdef inline const Frame *at(self, uint64_t offset) noexcept:
        return <const Frame *>(self.base + offset)
    cdef const Frame *next_frame(self, uint64_t offset) except? NULL  # committed frame there; NULL: the end
    cdef bint is_torn(self, uint64_t offset) noexcept

cdef uint32_t crc32c(const uint8_t *octets, size_t size, uint32_t seed) noexcept nogil   # size: a multiple of 8
