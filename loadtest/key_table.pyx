# cython: overflowcheck=False
# Hashes and distances between places wrap around by design, in the checked build too.
"""A hash table from a 16-byte key to a number; linear probing, grows at half full. Keeps no object and no order of entry."""

from libc.stdlib cimport calloc, free


cdef inline uint64_t mix(uint64_t high, uint64_t low) noexcept nogil:
    cdef uint64_t h = (high ^ (low * <uint64_t>0x9E3779B97F4A7C15)) * <uint64_t>0xBF58476D1CE4E5B9
    return h ^ (h >> 29)


cdef class KeyTable:
    """places: how many to start with, a power of two."""

    def __cinit__(self, uint64_t places=1 << 12):
        if places == 0 or places & (places - 1):
            raise ValueError(f"places {places}: expected a power of two")
        self.entries = <Entry *>calloc(places, sizeof(Entry))
        if self.entries == NULL:
            raise MemoryError(f"no memory for a table of {places} places")
        self.mask = places - 1

    def __dealloc__(self):
        free(self.entries)

    cdef uint64_t place_of(self, uint64_t high, uint64_t low) noexcept:
        """Where the key is, or the free place where it would go."""
        cdef uint64_t place = mix(high, low) & self.mask
        cdef Entry *entry = &self.entries[place]
        while entry.value and (entry.high != high or entry.low != low):
            place = (place + 1) & self.mask
            entry = &self.entries[place]
        return place

    cdef uint64_t find(self, uint64_t high, uint64_t low) noexcept:
        return self.entries[self.place_of(high, low)].value

    cdef bint put(self, uint64_t high, uint64_t low, uint64_t value) noexcept:
        cdef Entry *entry
        if 2 * self.count > self.mask and not self.grow():
            return False
        entry = &self.entries[self.place_of(high, low)]
        if entry.value == 0:
            self.count += 1
        entry.high = high
        entry.low = low
        entry.value = value
        return True

    cdef void remove(self, uint64_t high, uint64_t low) noexcept:
        """Free the key's place and pull back the entries that probed past it."""
        cdef uint64_t hole = self.place_of(high, low)
        cdef uint64_t place = hole
        cdef uint64_t home
        if self.entries[hole].value == 0:
            return
        self.count -= 1
        while True:
            self.entries[hole].value = 0
            place = (place + 1) & self.mask
            if self.entries[place].value == 0:
                return
            home = mix(self.entries[place].high, self.entries[place].low) & self.mask
            if ((place - home) & self.mask) >= ((place - hole) & self.mask):
                self.entries[hole] = self.entries[place]
                hole = place

    cdef bint grow(self) noexcept:
        cdef Entry *old = self.entries
        cdef uint64_t places = self.mask + 1
        cdef uint64_t place
        cdef Entry *entries = <Entry *>calloc(2 * places, sizeof(Entry))
        if entries == NULL:
            return False
        self.entries = entries
        self.mask = 2 * places - 1
        for place in range(places):
            if old[place].value:
                self.entries[self.place_of(old[place].high, old[place].low)] = old[place]
        free(old)
        return True

    # -- for Python: tests

    def get(self, uint64_t high, uint64_t low) -> int:
        return self.find(high, low)

    def set(self, uint64_t high, uint64_t low, uint64_t value) -> None:
        if value == 0 or not self.put(high, low, value):
            raise ValueError(f"value {value}: expected more than 0, and memory for it")

    def discard(self, uint64_t high, uint64_t low) -> None:
        self.remove(high, low)
