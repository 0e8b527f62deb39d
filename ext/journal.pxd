# The memory-mapped journal: reserve a frame, fill it in place, commit it. One trading day is one range of offsets, cut into
# segment files that are mapped side by side; a frame may begin in one and end in the next.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.events cimport Frame

cdef enum:
    JOURNAL_START = 64                 # offset of the first frame; before it, the header
    MOST_FRAME = 1 << 12               # octets; of a compiled rule set more
    SPARE_FOR_REPORTS = 16777216       # bytes kept back for cancels and reports when orders are refused (R1613)

# The header of the first segment. The other segments are frames from their first octet to their last.
cdef struct Header:
    char magic[32]
    uint64_t synced_end                # every frame before it is on the disk for certain; 0: nothing is said
    uint64_t segment_size              # 0: the day is this one file
    uint64_t spare[2]

cdef class Journal:
    cdef uint8_t *base                 # the whole day's address range, reserved once; pages exist up to `allocated`
    cdef readonly uint64_t end         # offset where the next frame goes
    cdef readonly uint64_t allocated   # bytes of the day that exist on disk
    cdef readonly uint64_t capacity    # bytes that the open segments can hold
    cdef readonly uint64_t limit       # most bytes of the day
    cdef readonly uint64_t segment_size
    cdef uint64_t chunk                # a file grows by this much
    cdef readonly uint64_t seq         # of the last committed frame
    cdef readonly uint64_t newest      # offset of that frame, 0: none
    cdef uint32_t crc                  # of the last committed frame
    cdef int *fds                      # of the segments
    cdef readonly uint32_t segment_count
    cdef readonly list paths
    cdef readonly str path             # of the first segment
    cdef readonly bint writable
    cdef readonly bint private         # written to the files by write_out alone, never by the owner's stores
    cdef bint is_tail_known            # what follows the last frame was looked at

    # growing
    cdef public object open_more       # called without arguments when the open segments are too short; None: nobody opens more
    cdef bint is_ahead                 # a thread allocates ahead of the owner
    cdef readonly int grow_error       # errno of the last attempt to allocate, 0: it went well
    cdef readonly uint64_t disk_free   # bytes, as of the last look

    # on the disk
    cdef readonly uint64_t written_end # what the files have of a private journal
    cdef readonly uint64_t synced_end  # what is on the disk for certain
    cdef readonly int sync_error       # errno of the write to the disk that failed; final

    cdef Frame *reserve(self, uint16_t type, size_t size, int64_t time_ns) noexcept  # NULL: full
    cdef uint64_t commit(self, Frame *frame) noexcept                              # its offset
    cdef inline bint has_room(self, uint64_t size) noexcept:
        return self.end + size <= self.allocated or self.find_room(self.end + size)
    cdef bint find_room(self, uint64_t wanted) noexcept
    cdef bint extend(self, uint64_t wanted) noexcept nogil
    cdef int allocate(self, uint64_t at, uint64_t *size) noexcept nogil
    cdef void look_at_disk(self) noexcept nogil
    cdef uint64_t free_bytes(self) noexcept nogil
    cdef inline const Frame *at(self, uint64_t offset) noexcept:
        return <const Frame *>(self.base + offset)

    cdef const Frame *next_frame(self, uint64_t offset) except? NULL  # committed frame there; NULL: the end
    cdef const Frame *whole_frame(self, uint64_t offset) noexcept
    cdef bint is_end(self, uint64_t offset) noexcept
    cdef bint is_torn(self, uint64_t offset, uint64_t last) noexcept
    cdef uint64_t last_octet(self, uint64_t offset) noexcept

    cdef int write_out(self, uint64_t end) noexcept nogil
    cdef int sync_files(self, uint64_t first, uint64_t last) noexcept nogil
    cdef int write_octets(self, uint64_t first, uint64_t last) noexcept nogil
    cdef int write_header(self, uint64_t synced_end) noexcept nogil

cdef uint64_t most_size(const Frame *frame) noexcept nogil
cdef uint32_t crc32c(const uint8_t *octets, size_t size, uint32_t seed) noexcept nogil   # size: a multiple of 8
