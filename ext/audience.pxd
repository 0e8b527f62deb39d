# Who may ask and who must hear: sessions by slot, the accounts each watches, and what each token may trade. Not state:
# sessions end with the process.
from libc.stdint cimport uint32_t
from ext.backlog cimport Backlog, BacklogRoom
from ext.codec cimport Text
from ext.events cimport Frame
from ext.journal cimport Journal
from ext.reports cimport Refusal
from ext.rpc cimport StreamSink
from ext.state cimport State

# Whoever asks: a session's stream (slot set, sees every event of its accounts) or one unary call (slot NONE).
cdef class Caller(StreamSink):
    cdef public uint32_t port
    cdef public uint32_t slot
    cdef bint throttled                # its last order was refused by R1203: a unary call ends RESOURCE_EXHAUSTED
    cdef public bint catching_up       # it still receives old events from the journal; live ones wait there for it
    cdef Backlog backlog               # which they are; None once it is live

cdef struct Watch:                     # one session watching one account
    uint32_t session                   # its slot + 1, 0: nobody
    uint32_t next                      # another session watching the same account, 0: none

cdef enum:
    MOST_WATCHERS = 64                 # sessions on one account: what an event costs at most

cdef class Audience:
    cdef State state
    cdef Journal journal
    cdef readonly list callers         # by slot; None where free
    cdef list free_slots
    cdef readonly BacklogRoom room     # of the sessions' backlogs
    cdef Watch *watches                # one per account, most of which have one session; then the further ones
    cdef uint32_t free_watch           # list of further ones not in use, 0: none
    cdef uint32_t watch_count          # accounts and further ones used so far
    cdef list allowed                  # by port: bytearray with one bit per account
    # Where accounts that are not here live, None: all are here. elsewhere(port, account: bytes) -> "host:port" as bytes (at most 128,
    # empty: not known now), or None when it is no account of the port's token at all.
    cdef public object elsewhere
    cdef public uint32_t moving        # the account on its way to another shard, NONE: none
    cdef bytes redirect                # the newest such address: a refusal that is being answered points at it

    cdef bint is_allowed(self, uint32_t port, uint32_t account) noexcept
    cdef int not_here(self, Caller caller, const Text *account, Refusal *refusal) noexcept
    cdef bint may_trade(self, Caller caller, uint32_t account) noexcept
    cdef bint watch(self, Caller caller, uint32_t account) noexcept      # False: nobody more can watch it
    cdef void unwatch(self, Caller caller, uint32_t account) noexcept
    cdef void drop_last(self, uint32_t account, uint32_t session) noexcept
    cdef void publish(self, Caller asking, const Frame *frame) noexcept
