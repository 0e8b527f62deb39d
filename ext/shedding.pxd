# Whether a new order may still be taken on: what the shard is behind with, against how far it may be behind.
from libc.stdint cimport int64_t
from ext.reports cimport Refusal

cdef enum Shed:                        # what an order was shed for; ext/shedding.pyx NAMES
    SHED_NOTHING = 0
    SHED_WAITED = 1                    # it waited too long in our own queues
    SHED_HELD = 2                      # too many octets wait for the journal to be safe
    SHED_VENUE_BYTES = 3               # too many octets wait for its exchange to read them
    SHED_VENUE_SILENT = 4              # its exchange has owed an answer for too long
    SHED_COUNT = 5

cdef struct Load:                      # what one order meets
    int64_t waited_ns
    int64_t held_bytes
    int64_t venue_bytes
    int64_t venue_silent_ns

cdef class Shedder:
    cdef public int64_t most_waited_ns
    cdef public int64_t most_held_bytes
    cdef public int64_t most_venue_bytes
    cdef public int64_t most_venue_silent_ns
    cdef public int64_t held_bytes     # that wait at the gate now; the gate writes it
    cdef int64_t counts[SHED_COUNT]

    cdef int count(self, int what) noexcept

    cdef int sheds(self, const Load *load, Refusal *refusal) noexcept   # Shed; anything but SHED_NOTHING fills refusal
