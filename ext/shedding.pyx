"""The shedding of new orders when a shard is behind: a comparison with four limits. Keeps no memory of the order before.

So it can neither flap nor stick: an order is shed for what it meets itself. Cancels and reports are never asked about.
"""

from libc.string cimport memset

from ext.codes cimport R1601_VENUE_DOWN, R1609_OVERLOAD

NAMES = ("nothing", "waited", "held", "venue_bytes", "venue_silent")

cdef enum:
    NS_PER_US = 1000
    NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Shedder:
    """Limits of one shard, and how many orders each has shed. What is not given is no limit.

    most_waited_ns: in our own queues; most_held_bytes: for the journal; most_venue_bytes: for one exchange's socket;
    most_venue_silent_ns: since an exchange owes an answer.
    """

    def __init__(self, int64_t most_waited_ns=NEVER, int64_t most_held_bytes=NEVER, int64_t most_venue_bytes=NEVER,
                 int64_t most_venue_silent_ns=NEVER):
        self.most_waited_ns = most_waited_ns
        self.most_held_bytes = most_held_bytes
        self.most_venue_bytes = most_venue_bytes
        self.most_venue_silent_ns = most_venue_silent_ns

    cdef int sheds(self, const Load *load, Refusal *refusal) noexcept:
        if load.waited_ns <= self.most_waited_ns and load.held_bytes <= self.most_held_bytes \
                and load.venue_bytes <= self.most_venue_bytes and load.venue_silent_ns <= self.most_venue_silent_ns:
            return SHED_NOTHING
        memset(refusal, 0, sizeof(Refusal))
        refusal.code = R1609_OVERLOAD
        if load.waited_ns > self.most_waited_ns:
            refusal.field, refusal.value, refusal.limit = b"waited_us", load.waited_ns // NS_PER_US, self.most_waited_ns // NS_PER_US
            return self.count(SHED_WAITED)
        if load.held_bytes > self.most_held_bytes:
            refusal.field, refusal.value, refusal.limit = b"held_bytes", load.held_bytes, self.most_held_bytes
            return self.count(SHED_HELD)
        if load.venue_bytes > self.most_venue_bytes:
            refusal.field, refusal.value, refusal.limit = b"exchange_unread_bytes", load.venue_bytes, self.most_venue_bytes
            return self.count(SHED_VENUE_BYTES)
        # Nothing says that it is down, and nothing that it lives: an order for it may wait for ever.
        refusal.code = R1601_VENUE_DOWN
        refusal.field = b"exchange_silent_us"
        refusal.value = load.venue_silent_ns // NS_PER_US
        refusal.limit = self.most_venue_silent_ns // NS_PER_US
        return self.count(SHED_VENUE_SILENT)

    cdef int count(self, int what) noexcept:
        self.counts[what] += 1
        return what

    def judge(self, int64_t waited_ns=0, int64_t held_bytes=0, int64_t venue_bytes=0, int64_t venue_silent_ns=0) -> tuple:
        """(what for, code, value, limit) of an order that meets this; code 0: it is not shed."""
        cdef Load load = Load(waited_ns, held_bytes, venue_bytes, venue_silent_ns)
        cdef Refusal refusal
        memset(&refusal, 0, sizeof(Refusal))
        what = self.sheds(&load, &refusal)
        return NAMES[what], refusal.code, refusal.value, refusal.limit

    def shed_counts(self) -> dict:
        """How many orders were shed, by what for."""
        return {NAMES[what]: self.counts[what] for what in range(1, SHED_COUNT)}
