"""Append-only, memory-mapped journal with a checksum chain. Decides nothing; knows frames only by their header.

It opens nothing: the shell hands it every segment's file. What is wrong with a damaged one is worked out in journal_faults.
"""

from libc.errno cimport EINTR, ENOSPC, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset, strlen

from ext.events cimport EV_ACCOUNT_CAME, EV_RULE_SET, EV_TYPE_COUNT

import os


cdef extern from "sys/mman.h" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int PROT_NONE, PROT_READ, PROT_WRITE, MAP_ANONYMOUS, MAP_FIXED, MAP_SHARED, MAP_PRIVATE, MAP_NORESERVE
    void *MAP_FAILED

cdef extern from "sys/statvfs.h" nogil:
    cdef struct statvfs:
        unsigned long f_frsize
        uint64_t f_bavail
    int fstatvfs(int fd, statvfs *found)

cdef extern from "fcntl.h" nogil:
    int posix_fallocate(int fd, long offset, long length)

cdef extern from "unistd.h" nogil:
    ssize_t pread(int fd, void *to, size_t size, long offset)
    ssize_t pwrite(int fd, const void *octets, size_t size, long offset)
    int fdatasync(int fd)

cdef extern from "nmmintrin.h" nogil:
    unsigned long long _mm_crc32_u64(unsigned long long crc, unsigned long long value)

cdef enum:
    PAGE = 4096
    CHUNK = 1 << 26                    # a file grows by this much, unless told
    LEAST_CHUNK = 1 << 16              # and by this much when the disk is nearly full
    MOST_LONG_FRAME = 1 << 26          # a compiled rule set, or an account that came with its day

cdef const char *MAGIC = b"tidegate journal 1\n"

KEPT_BACK = SPARE_FOR_REPORTS


cdef uint64_t most_size(const Frame *frame) noexcept nogil:
    return MOST_LONG_FRAME if frame.type == EV_RULE_SET or frame.type == EV_ACCOUNT_CAME else MOST_FRAME


class JournalError(Exception):
    """A journal that must not be used: file, offset in it of the first bad frame, and what is wrong.

    offset: in that file; day_offset: in the trading day, which is the same in a day's first file.
    """

    def __init__(self, path: str, offset: int, text: str, day_offset: int | None = None):
        self.path = path
        self.offset = offset
        self.day_offset = offset if day_offset is None else day_offset
        self.text = text
        where = "" if self.day_offset == offset else f" (offset {self.day_offset} of the day)"
        super().__init__(f"{path}: offset {offset}{where}: {text}")


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
    """One trading day's frames.

    fd: the first segment, open read-write (read-only with writable=False); the caller opens and closes it. size: its present
    length in bytes; capacity: the most bytes of the day; files grow by `chunk` bytes. segment_size: of a new journal's files, a
    multiple of 4096 (an old one's header has it); 0: one file. private: the owner's writes reach the files through write_out
    alone (ext/syncer), so that it never waits for the disk; else they are in the kernel's pages at once.
    Errors: JournalError when the file is not a journal or a frame in it is damaged (a torn tail is cut instead).
    """

    def __cinit__(self, int fd, uint64_t size, str path="journal", uint64_t capacity=1 << 36, bint writable=True,
                  uint64_t chunk=CHUNK, bint private=False, uint64_t segment_size=0):
        cdef Header header
        cdef void *range_start
        memset(&header, 0, sizeof(Header))
        self.chunk = chunk
        self.path = path
        self.paths = []
        self.writable = writable
        self.private = private and writable
        self.limit = (capacity + PAGE - 1) & ~<uint64_t>(PAGE - 1)
        self.end = JOURNAL_START
        if size >= JOURNAL_START:
            read_header(fd, &header, path)
        elif not writable:
            raise JournalError(path, 0, f"{size} bytes, expected a journal of at least {JOURNAL_START}")
        else:
            header.segment_size = segment_size
            header.synced_end = JOURNAL_START if self.private else 0
            start_file(fd, &header, path)
            size = max(size, JOURNAL_START)
        self.synced_end = header.synced_end
        self.segment_size = header.segment_size or max(self.limit, (size + PAGE - 1) & ~<uint64_t>(PAGE - 1))
        if self.segment_size % PAGE:
            raise JournalError(path, 0, f"segments of {self.segment_size} bytes, expected a multiple of {PAGE}")
        self.limit = max(self.limit // self.segment_size, 1) * self.segment_size
        self.fds = <int *>calloc(self.limit // self.segment_size, sizeof(int))
        range_start = mmap(NULL, self.limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if self.fds == NULL or range_start == MAP_FAILED:
            raise JournalError(path, 0, f"no address space for {self.limit} bytes")
        self.base = <uint8_t *>range_start
        self.add_segment(fd, size, path)

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.limit)
        free(self.fds)

    def add_segment(self, int fd, uint64_t size, str path="") -> None:
        """Map the next file of the day behind the last one. size: its present length; path: for errors.

        Raises JournalError when the file before it is shorter than a segment, or when there is no address space left.
        """
        cdef uint64_t first = self.segment_count * self.segment_size
        cdef uint64_t mapped = self.segment_size if self.writable else (size + PAGE - 1) & ~<uint64_t>(PAGE - 1)
        cdef int access = PROT_READ | PROT_WRITE if self.writable else PROT_READ
        cdef int sharing = MAP_PRIVATE if self.private else MAP_SHARED
        if size > self.segment_size:
            raise JournalError(path, 0, f"{size} bytes, expected a segment of at most {self.segment_size}")
        if size and self.allocated != first:
            raise JournalError(self.paths[self.allocated // self.segment_size], 0,
                               f"it is cut short: {self.allocated % self.segment_size} bytes, expected {self.segment_size}: "
                               f"the day goes on in {path}")
        if first >= self.limit:
            raise JournalError(path, 0, f"the day is longer than {self.limit} bytes")
        if mapped and mmap(self.base + first, mapped, access, sharing | MAP_NORESERVE | MAP_FIXED, fd, 0) == MAP_FAILED:
            raise JournalError(path, 0, f"cannot map {mapped} bytes: {os.strerror(errno)}")
        self.fds[self.segment_count] = fd
        self.paths.append(path)
        self.segment_count += 1
        self.allocated += size
        # Last, for the thread that allocates ahead looks at nothing else.
        self.capacity = first + self.segment_size if self.writable else first + size

    def follow(self, uint32_t segment, uint64_t size) -> None:
        """For a reader of what another process writes: a segment, after those before it, has so many bytes by now."""
        cdef uint64_t first = segment * self.segment_size
        cdef uint64_t mapped = (size + PAGE - 1) & ~<uint64_t>(PAGE - 1)
        if first > self.allocated or first + size <= self.allocated:
            return
        if mmap(self.base + first, mapped, PROT_READ, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, self.fds[segment], 0) == MAP_FAILED:
            raise JournalError(self.paths[segment], 0, f"cannot map {mapped} bytes: {os.strerror(errno)}")
        self.allocated = self.capacity = first + size
        self.is_tail_known = False

    # Growing

    def grow(self, uint64_t needed) -> bool:
        """Make sure `needed` bytes past the end exist on disk; False when the disk or the day's range is full."""
        return self.has_room(needed)

    cdef bint find_room(self, uint64_t wanted) noexcept:
        """Whether the day can hold so many bytes; the owner's way, when nobody was ahead of it."""
        if self.capacity < wanted and self.open_more is not None:
            try:
                self.open_more()
            except Exception as error:
                self.cannot_grow(getattr(error, "errno", None) or ENOSPC)
        # On a full disk every try takes its time: with a thread ahead, that one tries again.
        if self.grow_error and self.is_ahead:
            return False
        return self.extend(wanted)

    cdef bint extend(self, uint64_t wanted) noexcept nogil:
        """Let the files hold so many bytes, in whole chunks. Also called ahead of the owner, from another thread: both then ask
        for the same bytes, which does no harm."""
        cdef uint64_t at = self.allocated
        cdef uint64_t size
        cdef int error
        while at < wanted and at < self.capacity:
            size = min(self.chunk - at % self.chunk, self.segment_size - at % self.segment_size)
            error = self.allocate(at, &size)
            if error:
                self.look_at_disk()
                self.grow_error = error
                return False
            at += size
            self.grow_error = 0
            if at > self.allocated:
                self.allocated = at
        return at >= wanted

    cdef int allocate(self, uint64_t at, uint64_t *size) noexcept nogil:
        """The bytes on the disk, fewer of them when it has no more: 0, or the errno."""
        cdef int error
        while True:
            error = posix_fallocate(self.fds[at // self.segment_size], <long>(at % self.segment_size), <long>size[0])
            if error == ENOSPC and size[0] > LEAST_CHUNK:
                size[0] = max(size[0] // 2 & ~<uint64_t>(PAGE - 1), <uint64_t>LEAST_CHUNK)
            elif error != EINTR:
                return error

    cdef void look_at_disk(self) noexcept nogil:
        cdef statvfs found
        if fstatvfs(self.fds[self.segment_count - 1], &found) == 0:
            self.disk_free = found.f_bavail * found.f_frsize

    cdef uint64_t free_bytes(self) noexcept nogil:
        """What the day can still take: allocated and not yet written, and what the disk has."""
        return min(self.limit, self.allocated + self.disk_free) - self.end

    @property
    def free(self) -> int:
        """Bytes left in the journal's files and on their disk."""
        return self.free_bytes()

    @property
    def is_full(self) -> bool:
        """Whether new orders find no room (R1613)."""
        cdef uint64_t wanted = self.end + SPARE_FOR_REPORTS
        return wanted > self.allocated and (self.grow_error != 0 or wanted > self.limit)

    def cannot_grow(self, int error) -> None:
        """The shell could not open another segment: errno."""
        self.look_at_disk()
        self.grow_error = error

    # Writing

    cdef Frame *reserve(self, uint16_t type, size_t size, int64_t time_ns) noexcept:
        cdef size_t padded = (size + 7) & ~<size_t>7
        cdef Frame *frame
        if not self.has_room(padded + MOST_FRAME):
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

    # To the disk

    def sync(self) -> None:
        """Write every committed frame to the disk (blocks; callable from another thread). OSError: it is not there, for good."""
        cdef int error = 0
        if not self.writable:
            return
        with nogil:
            error = self.write_out(self.end) or self.sync_files(0, 1)
        if error:
            raise OSError(error, os.strerror(error), self.path)

    cdef int write_out(self, uint64_t end) noexcept nogil:
        """Everything before `end` to the disk, then so in the header, which itself follows with the next call: 0, or an errno.
        After a failure the kernel may have dropped what it could not write, so none of it is ever called written again."""
        cdef int error = self.sync_error
        if not error and self.private:
            error = self.write_octets(self.written_end, end)
        if not error:
            error = self.sync_files(self.synced_end, end)
        if not error:
            self.written_end = end
            self.synced_end = end
            error = self.write_header(end)
        self.sync_error = error
        return error

    cdef int sync_files(self, uint64_t first, uint64_t last) noexcept nogil:
        """fdatasync of every segment with octets from first to last: 0, or an errno."""
        cdef uint64_t segment
        for segment in range(first // self.segment_size, (last + self.segment_size - 1) // self.segment_size):
            if fdatasync(self.fds[segment]) != 0:
                return errno
        return 0

    cdef int write_octets(self, uint64_t first, uint64_t last) noexcept nogil:
        """A private journal's octets into its files: 0, or an errno."""
        cdef uint64_t size
        cdef ssize_t written
        while first < last:
            size = min(last - first, self.segment_size - first % self.segment_size)
            written = pwrite(self.fds[first // self.segment_size], self.base + first, size, <long>(first % self.segment_size))
            if written < 0 and errno != EINTR:
                return errno
            first += <uint64_t>max(written, 0)
        return 0

    cdef int write_header(self, uint64_t synced_end) noexcept nogil:
        if pwrite(self.fds[0], &synced_end, sizeof(uint64_t), 32) != sizeof(uint64_t):
            return errno
        if self.private:
            (<Header *>self.base).synced_end = synced_end
        return 0

    # Reading

    cdef const Frame *next_frame(self, uint64_t offset) except? NULL:
        """The committed frame at offset, moving `end` past it; NULL at the end of the frames (a torn tail is the end)."""
        cdef const Frame *frame = self.whole_frame(offset)
        if frame == NULL:
            if self.is_end(offset):
                return NULL
            # A journal that is written while it is read has moved on meanwhile.
            frame = self.whole_frame(offset)
        if frame == NULL:
            from ext.journal_faults import fault
            raise fault(self, offset)
        self.crc = frame.crc
        self.seq = frame.seq
        self.newest = offset
        self.end = offset + frame.size
        return frame

    cdef const Frame *whole_frame(self, uint64_t offset) noexcept:
        """The frame at offset when it is all there and the next of the chain."""
        cdef const Frame *frame
        if offset + sizeof(Frame) > self.allocated:
            return NULL
        frame = self.at(offset)
        if not sizeof(Frame) <= frame.size <= most_size(frame) or frame.size % 8 or offset + frame.size > self.allocated:
            return NULL
        if frame.crc != crc32c(<const uint8_t *>frame + 8, frame.size - 8, self.crc):
            return NULL
        return frame if frame.seq == self.seq + 1 and 0 < frame.type < EV_TYPE_COUNT else NULL

    cdef bint is_end(self, uint64_t offset) noexcept:
        """Whether the frames end here: what follows is zeros, or was never acknowledged."""
        cdef uint64_t last
        cdef bint is_cut = offset + sizeof(Frame) > self.allocated
        if self.is_tail_known and (is_cut or self.at(offset).size == 0):
            return True
        last = self.last_octet(offset)
        if offset < self.synced_end:
            return False
        if self.synced_end == 0:
            # A frame ends well before the last segment does: where that is not so, there was another one.
            if self.segment_count * self.segment_size == self.allocated and offset + MOST_FRAME > self.allocated:
                return False
            if last > offset and not is_cut and not self.is_torn(offset, last):
                return False
        self.is_tail_known = True
        return True

    cdef bint is_torn(self, uint64_t offset, uint64_t last) noexcept:
        """Whether the frame at offset is one that was being written when its process died: nothing behind it, and not all there.
        Without a synced end to go by, a frame whose checksum and last octet were written is damaged, not torn."""
        cdef const Frame *frame = self.at(offset)
        cdef uint64_t size = frame.size if sizeof(Frame) <= frame.size <= most_size(frame) else MOST_FRAME
        if last > offset + size:
            return False
        from ext.journal_faults import is_followed
        if is_followed(self, offset):
            return False
        return frame.crc == 0 or last < offset + size or offset + size > self.allocated

    cdef uint64_t last_octet(self, uint64_t offset) noexcept:
        """Where the last octet that is not zero ends, at or behind offset; offset: there is none."""
        cdef uint64_t at = self.allocated
        while at > offset and at % 8:
            at -= 1
            if self.base[at]:
                return at + 1
        while at > offset and (<const uint64_t *>(self.base + at - 8))[0] == 0:
            at -= 8
        while at > offset and self.base[at - 1] == 0:
            at -= 1
        return max(at, offset)

    def cut(self) -> int:
        """Zero whatever follows the last good frame (a torn tail), in the files too; returns how many bytes were not zero. A
        reader only counts them.

        From here on the journal may be written. Of a private one everything so far is on the disk then (blocks), of a shared one
        nothing is certain to be.
        """
        cdef uint64_t last = self.last_octet(self.end)
        cdef uint64_t at
        cdef uint64_t torn = 0
        cdef int error = 0
        for at in range(self.end, last):
            torn += self.base[at] != 0
        if not self.writable:
            return torn
        memset(self.base + self.end, 0, last - self.end)
        self.is_tail_known = True
        self.written_end = self.end
        if self.private:
            # An older tail must not come back behind new frames.
            error = self.write_octets(self.end, last) or self.sync_files(0, last) or self.write_out(self.end)
            error = error or self.sync_files(0, 1)
        else:
            self.synced_end = 0
            error = self.write_header(0)
        if error:
            raise JournalError(self.path, 0, f"cannot be written: {os.strerror(error)}")
        return torn

    def rewind(self) -> None:
        """Start reading from the first frame again."""
        self.end = JOURNAL_START
        self.newest = 0
        self.seq = 0
        self.crc = 0

    def frame_bytes(self, uint64_t offset) -> bytes:
        """The raw frame at a known offset."""
        return (<const char *>(self.base + offset))[:self.at(offset).size]

    def octets(self, uint64_t first, uint64_t last) -> bytes:
        """The day's octets from first to last, as far as they exist."""
        last = min(last, self.allocated)
        return (<const char *>(self.base + first))[:last - first] if first < last else b""

    def error(self, uint64_t offset, str text) -> JournalError:
        """An error at an offset of the day, which names the segment's file and the offset in it."""
        cdef uint64_t segment = min(offset // self.segment_size, <uint64_t>self.segment_count - 1)
        return JournalError(self.paths[segment], offset - segment * self.segment_size, text, offset)


cdef read_header(int fd, Header *header, str path):
    if pread(fd, header, sizeof(Header), 0) != sizeof(Header):
        raise JournalError(path, 0, f"cannot be read: {os.strerror(errno)}")
    if memcmp(header.magic, MAGIC, strlen(MAGIC)) != 0:
        raise JournalError(path, 0, "not a journal: it does not begin with 'tidegate journal 1'")


cdef start_file(int fd, Header *header, str path):
    """The header of a new journal, before anything else exists of it."""
    memcpy(header.magic, MAGIC, strlen(MAGIC))
    if pwrite(fd, header, sizeof(Header), 0) != sizeof(Header):
        raise JournalError(path, 0, f"cannot be created: {os.strerror(errno)}")
