"""Tables to a file and back, without what is zero, under one checksum. Opens no file, and knows no table."""

from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ext.journal cimport crc32c

cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long word)


class SnapshotError(Exception):
    """A snapshot that must not be used, and why."""


cdef class Passage:
    """move: write(octets) or, when is_loading, read(octets) -> how many it filled, 0 at the end."""

    def __init__(self, move, bint is_loading):
        self.move = move
        self.is_loading = is_loading
        self.packed = <uint64_t *>malloc(PACKED_WORDS * sizeof(uint64_t))
        if self.packed == NULL:
            raise MemoryError("no memory for a snapshot's batch")

    def __dealloc__(self):
        free(self.packed)

    cdef carry(self, void *at, size_t size):
        """Rows of one table, up to whole words. Where rows are loaded to is zero: what is zero is neither kept nor touched."""
        cdef uint64_t *words = <uint64_t *>at
        cdef size_t left = (size + 7) // 8
        cdef size_t count
        cdef uint64_t packed
        while left:
            count = min(left, <size_t>BATCH_WORDS)
            packed = 0 if self.is_loading else pack(self.packed, words, count)
            self.carry_octets(&packed, sizeof(packed))
            if packed > PACKED_WORDS:
                raise SnapshotError("it is damaged: a part is larger than it can be")
            self.carry_octets(self.packed, packed * sizeof(uint64_t))
            if self.is_loading and not unpack(words, count, self.packed, packed):
                raise SnapshotError("it is damaged: a part has more in it than fits")
            words += count
            left -= count

    cdef carry_octets(self, void *at, size_t size):
        cdef size_t carried = 0
        cdef uint8_t *octets = <uint8_t *>at
        if self.is_loading:
            while carried < size:
                count = self.move(PyMemoryView_FromMemory(<char *>octets + carried, size - carried, PyBUF_WRITE))
                if count <= 0:
                    raise SnapshotError(f"it ends after {self.octets + carried} bytes")
                carried += count
        self.crc = crc_of(octets, size, self.crc)
        if not self.is_loading and size:
            self.move(PyMemoryView_FromMemory(<char *>octets, size, PyBUF_READ))
        self.octets += size

    cdef finish(self):
        """The checksum over all that went before."""
        cdef uint64_t expected = self.crc
        cdef uint64_t found = expected
        self.carry_octets(&found, sizeof(uint64_t))
        if found != expected:
            raise SnapshotError("it is damaged: its checksum is another")


cdef uint32_t crc_of(const uint8_t *octets, size_t size, uint32_t seed) noexcept:
    """As crc32c, of any size: what is missing to whole words counts as zero."""
    cdef size_t whole = size & ~<size_t>7
    cdef uint64_t rest = 0
    cdef uint32_t crc = crc32c(octets, whole, seed)
    if whole == size:
        return crc
    memcpy(&rest, octets + whole, size - whole)
    return crc32c(<const uint8_t *>&rest, sizeof(rest), crc)


cdef size_t pack(uint64_t *packed, const uint64_t *words, size_t count) noexcept nogil:
    """A bit for each piece that is not all zero, and of these a bit for each word that is not, and those words; how many there
    are then."""
    cdef size_t size = 1
    cdef size_t piece, first, last, at, used
    cdef uint64_t *bits
    packed[0] = 0
    for piece in range((count + PIECE_WORDS - 1) // PIECE_WORDS):
        first = piece * PIECE_WORDS
        last = min(first + PIECE_WORDS, count)
        bits = packed + size
        used = PIECE_GROUPS
        memset(bits, 0, PIECE_GROUPS * sizeof(uint64_t))
        for at in range(first, last):
            # Written whether it counts or not: a branch on what no one can predict costs more.
            bits[used] = words[at]
            bits[(at - first) // GROUP_WORDS] |= <uint64_t>(words[at] != 0) << ((at - first) % GROUP_WORDS)
            used += words[at] != 0
        if used > PIECE_GROUPS:
            packed[0] |= <uint64_t>1 << piece
            size += used
    return size


cdef bint unpack(uint64_t *words, size_t count, const uint64_t *packed, size_t size) noexcept nogil:
    """The words again; False when that is not what pack made of so many."""
    cdef size_t next = 1
    cdef size_t piece, group, at
    cdef const uint64_t *bits
    cdef uint64_t rest
    if size == 0:
        return False
    for piece in range((count + PIECE_WORDS - 1) // PIECE_WORDS):
        if not packed[0] >> piece & 1:
            continue
        bits = packed + next
        next += PIECE_GROUPS
        if next > size:
            return False
        for group in range(PIECE_GROUPS):
            rest = bits[group]
            while rest:
                at = piece * PIECE_WORDS + group * GROUP_WORDS + <size_t>__builtin_ctzll(rest)
                if at >= count or next >= size:
                    return False
                words[at] = packed[next]
                next += 1
                rest &= rest - 1
    return next == size
