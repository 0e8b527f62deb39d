# Fixed-size tables of the core: page-backed slabs and one open-addressing map. They never grow while trading (no rehash
# pause); a full table is an answer (R1603), not an exception.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "<string.h>" nogil:
    size_t strnlen(const char *text, size_t most)      # of ids, which are padded with zeros

cdef struct MapSlot:                   # eight bytes, so that one cache line holds eight
    uint32_t tag                       # upper half of the key, 0: free
    uint32_t value

cdef struct Map:
    MapSlot *slots
    uint64_t mask
    uint32_t count
    uint32_t most                      # entries it takes before it counts as full

cdef void *map_pages(size_t size) except NULL          # zeroed memory; touched pages only are real
cdef void *map_small_pages(size_t size) except NULL    # in ordinary pages: of tables that are used here and there
cdef void fault_in(void *pages, size_t size) noexcept nogil   # make these pages real now, not at their first use
cdef void unmap_pages(void *pages, size_t size) noexcept
cdef void map_open(Map *table, uint32_t most) except *
cdef void map_close(Map *table) noexcept

cdef inline uint64_t mix(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t h = (a ^ 0x9E3779B97F4A7C15ULL) * 0xBF58476D1CE4E5B9ULL
    h ^= (h >> 29) ^ b
    h *= 0x94D049BB133111EBULL
    return h ^ (h >> 32)

# Any bytes, as they come off the wire: reads size bytes, no more.
cdef inline uint64_t hash_bytes(const uint8_t *text, size_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t h = seed ^ size
    cdef uint64_t word
    while size >= 8:
        memcpy(&word, text, 8)
        h = mix(h, word)
        text += 8
        size -= 8
    if size:
        word = 0
        memcpy(&word, text, size)
        h = mix(h, word)
    return h | 1                       # never 0, the mark of a free slot

cdef inline uint32_t map_tag(uint64_t key) noexcept nogil:
    return <uint32_t>(key >> 32) | 1

# First slot that may hold key, or the free slot where it belongs. Tags repeat: the caller compares what the slot names, and
# goes on with map_next.
cdef inline MapSlot *map_find(const Map *table, uint64_t key) noexcept nogil:
    cdef uint64_t at = key & table.mask
    while table.slots[at].tag and table.slots[at].tag != map_tag(key):
        at = (at + 1) & table.mask
    return &table.slots[at]

cdef inline MapSlot *map_next(const Map *table, MapSlot *slot) noexcept nogil:
    cdef uint32_t tag = slot.tag
    cdef uint64_t at = (<uint64_t>(slot - table.slots) + 1) & table.mask
    while table.slots[at].tag and table.slots[at].tag != tag:
        at = (at + 1) & table.mask
    return &table.slots[at]

cdef inline bint map_full(const Map *table) noexcept nogil:
    return table.count >= table.most

cdef inline void map_put(Map *table, MapSlot *free_slot, uint64_t key, uint32_t value) noexcept nogil:
    free_slot.tag = map_tag(key)
    free_slot.value = value
    table.count += 1

cdef extern from * nogil:
    void __builtin_prefetch(const void *at)

# Ask for what will be read soon. Tables are larger than the caches, so an order's rows are fetched side by side, not in turn.
cdef inline void map_prefetch(const Map *table, uint64_t key) noexcept nogil:
    __builtin_prefetch(&table.slots[key & table.mask])

cdef inline void prefetch(const void *at, size_t size) noexcept nogil:
    cdef const char *line = <const char *>at
    cdef size_t offset = 0
    while offset < size:
        __builtin_prefetch(line + offset)
        offset += 64
