"""Memory of the core's tables: anonymous pages, mapped once. Holds no file and no lock."""


cdef extern from "sys/mman.h" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int madvise(void *addr, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MADV_HUGEPAGE, MADV_NOHUGEPAGE
    void *MAP_FAILED

cdef enum:
    HUGE_PAGE = 1 << 21
    MADV_POPULATE_WRITE = 23           # since Linux 5.14; older kernels refuse it, and pages become real as they are used


cdef void *map_pages(size_t size) except NULL:
    cdef void *pages = reserve_pages(size)
    # Random probes into a large table miss the TLB on 4 KiB pages more often than they miss the cache.
    if size >= HUGE_PAGE:
        madvise(pages, size, MADV_HUGEPAGE)
    return pages


cdef void *map_small_pages(size_t size) except NULL:
    # A rule set that comes into force while trading brings tables that nothing has made real: a first touch must stay cheap.
    cdef void *pages = reserve_pages(size)
    madvise(pages, size, MADV_NOHUGEPAGE)
    return pages


cdef void *reserve_pages(size_t size) except NULL:
    cdef void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if pages == MAP_FAILED:
        raise MemoryError(f"no address space for a table of {size} bytes")
    return pages


cdef void fault_in(void *pages, size_t size) noexcept nogil:
    # The first touch of a huge page clears 2 MiB, which takes a virtual machine milliseconds: an order must not wait for that.
    cdef size_t first = <size_t>pages & ~<size_t>4095
    madvise(<void *>first, <size_t>pages + size - first, MADV_POPULATE_WRITE)


cdef void unmap_pages(void *pages, size_t size) noexcept:
    if pages != NULL:
        munmap(pages, size)


cdef void map_open(Map *table, uint32_t most) except *:
    cdef uint64_t slots = 64
    while slots < 2 * <uint64_t>most:
        slots *= 2
    table.slots = <MapSlot *>map_pages(slots * sizeof(MapSlot))
    table.mask = slots - 1
    table.count = 0
    table.most = most


cdef void map_close(Map *table) noexcept:
    unmap_pages(table.slots, (table.mask + 1) * sizeof(MapSlot))
    table.slots = NULL
