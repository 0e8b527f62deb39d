"""Append-only, memory-mapped journal with a checksum chain. Decides nothing; knows frames only by their header."""

from libc.string cimport memcmp, memcpy, memset, strlen

from ext.events cimport EV_RULE_SET, EV_TYPE_COUNT


cdef extern from "sys/mman.h" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int msync(void *addr, size_t length, int flags)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_NORESERVE, MS_SYNC
    void *MAP_FAILED

cdef extern from "fcntl.h" nogil:
    int posix_fallocate(int fd, long offset, long length)

cdef extern from "unistd.h" nogil:
    int ftruncate(int fd, long length)

cdef extern from "nmmintrin.h" nogil:
    unsigned long long _mm_crc32_u64(unsigned long long crc, unsigned long long value)

cdef enum:
    CHUNK = 1 << 26                    # the file grows by this much, unless told
    MOST_FRAME = 1 << 12
    MOST_RULE_SET_FRAME = 1 << 26      # a compiled rule set is one frame, and the only long one

cdef const char *MAGIC = b"tidegate journal 1\n"


cdef inline uint64_t most_size(const Frame *frame) noexcept nogil:
    return MOST_RULE_SET_FRAME if frame.type == EV_RULE_SET else MOST_FRAME


class JournalError(Exception):
    """A journal that must not be used: file, offset of the first bad frame, and what is wrong with it."""

    def __init__(self, path: str, offset: int, text: str):
        super().__init__(f"{path}: offset {offset}: {text}")
        self.path = path
        self.offset = offset
        self.text = text


cdef uint32_t crc32c(const uint8_t *octets, size_t size, uint32_t seed) noexcept nogil:
    cdef unsigned long long crc = seed
    cdef unsigned long long word
    cdef size_t at = 0
    while at < size:
        memcpy(&word, octets + at, 8)
        crc = _mm_crc32_u64(crc, word)
        at += 8
    return <uint32_t>crc


cdef class Journal:
    """One trading day's frames in one file.

    fd: an open file, read-write (read-only with writable=False); the caller opens and closes it.
    size: its present length in bytes; capacity: the most it may grow to, by `chunk` bytes at a time.
    Errors: JournalError when the file is not a journal or a frame in it is damaged (a torn last frame is cut instead).
    """

    def __cinit__(self, int fd, uint64_t size, str path="journal", uint64_t capacity=1 << 36, bint writable=True,
                  uint64_t chunk=CHUNK):
        self.fd = fd
        self.chunk = chunk
        self.path = path
        self.capacity = capacity if writable else size
        self.allocated = size
        self.end = JOURNAL_START
        if size < JOURNAL_START and not writable:
            raise JournalError(path, 0, f"{size} bytes, expected a journal of at least {JOURNAL_START}")
        self.base = <uint8_t *>mmap(NULL, self.capacity, PROT_READ | PROT_WRITE if writable else PROT_READ,
                                    MAP_SHARED | MAP_NORESERVE, fd, 0)
        if self.base == MAP_FAILED:
            self.base = NULL
            raise JournalError(path, 0, f"cannot map {self.capacity} bytes")
        if size < JOURNAL_START:
            self.start_file()
        elif memcmp(self.base, MAGIC, strlen(MAGIC)) != 0:
            raise JournalError(path, 0, "not a journal: it does not begin with 'tidegate journal 1'")

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.capacity)

    def start_file(self):
        if not self.grow(1):
            raise JournalError(self.path, 0, "no space to create it")
        memcpy(self.base, MAGIC, strlen(MAGIC))

    def grow(self, uint64_t needed) -> bool:
        """Make sure `needed` bytes past the end exist on disk; False when the disk or the capacity is full."""
        return self.extend(self.end + needed)

    cdef bint extend(self, uint64_t wanted) noexcept nogil:
        """Let the file be at least so long, in whole chunks. Also called ahead of the owner, from another thread: both then
        ask for the same bytes, which does no harm."""
        cdef uint64_t target = self.allocated
        while target < wanted:
            target += self.chunk
        if target > self.capacity:
            return False
        if target > self.allocated:
            if posix_fallocate(self.fd, <long>self.allocated, <long>(target - self.allocated)) != 0:
                return False
            self.allocated = target
        return True

    def sync(self) -> None:
        """Write every committed frame to the disk (blocks; callable from another thread)."""
        cdef uint64_t size = self.end
        cdef uint8_t *base = self.base
        with nogil:
            msync(base, size, MS_SYNC)

    cdef bint has_room(self, uint64_t size) noexcept:
        return self.end + size <= self.allocated or self.grow(size)

    cdef Frame *reserve(self, uint16_t type, size_t size, int64_t time_ns) noexcept:
        cdef size_t padded = (size + 7) & ~<size_t>7
        cdef Frame *frame
        if self.end + padded + MOST_FRAME > self.allocated and not self.grow(padded + MOST_FRAME):
            return NULL
        frame = <Frame *>(self.base + self.end)
        memset(frame, 0, padded)
        frame.size = <uint32_t>padded
        frame.seq = self.seq + 1
        frame.time_ns = time_ns
        frame.type = type
        return frame

    cdef uint64_t commit(self, Frame *frame) noexcept:
        cdef uint64_t offset = self.end
        frame.crc = crc32c(<const uint8_t *>frame + 8, frame.size - 8, self.crc)
        self.crc = frame.crc
        self.seq = frame.seq
        self.newest = offset
        self.end += frame.size
        return offset

    cdef const Frame *next_frame(self, uint64_t offset) except? NULL:
        """The committed frame at offset, moving `end` past it; NULL at the end of the file's frames (a torn tail is the end)."""
        cdef const Frame *frame
        cdef bint whole
        if offset + sizeof(Frame) > self.allocated:
            return NULL
        frame = self.at(offset)
        if frame.size == 0:
            return NULL
        whole = (sizeof(Frame) <= frame.size <= most_size(frame) and frame.size % 8 == 0
                 and offset + frame.size <= self.allocated)
        if whole and frame.crc == crc32c(<const uint8_t *>frame + 8, frame.size - 8, self.crc):
            if frame.seq != self.seq + 1 or not 0 < frame.type < EV_TYPE_COUNT:
                raise JournalError(self.path, offset, f"frame {frame.seq} of type {frame.type}, expected frame {self.seq + 1}")
            self.crc = frame.crc
            self.seq = frame.seq
            self.newest = offset
            self.end = offset + frame.size
            return frame
        if self.is_torn(offset):
            return NULL
        raise JournalError(self.path, offset, f"frame {self.seq + 1} is damaged: its checksum does not continue the chain")

    cdef bint is_torn(self, uint64_t offset) noexcept:
        """A tail is torn, not damaged, when nothing was ever written behind the frame that stops short."""
        cdef const uint64_t *word = <const uint64_t *>(self.base + offset)
        cdef uint64_t words = (self.allocated - offset) // 8
        cdef const Frame *frame = self.at(offset)
        cdef uint64_t at = (frame.size if sizeof(Frame) <= frame.size <= most_size(frame) else MOST_FRAME) // 8
        while at < words:
            if word[at]:
                return False
            at += 1
        return True

    def cut(self) -> int:
        """Zero whatever follows the last good frame (a torn tail); returns how many bytes were not zero."""
        cdef uint64_t at = self.end
        cdef uint64_t most = MOST_FRAME
        cdef int cut = 0
        if self.end + sizeof(Frame) <= self.allocated:
            most = max(most, min(self.at(self.end).size, most_size(self.at(self.end))))
        while at < min(self.end + most, self.allocated):
            if self.base[at]:
                self.base[at] = 0
                cut += 1
            at += 1
        return cut

    def rewind(self) -> None:
        """Start reading from the first frame again."""
        self.end = JOURNAL_START
        self.newest = 0
        self.seq = 0
        self.crc = 0

    def frame_bytes(self, uint64_t offset) -> bytes:
        """The raw frame at a known offset."""
        return (<const char *>(self.base + offset))[:self.at(offset).size]
