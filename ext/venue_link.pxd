# Connections to an exchange. VenuePeer is either end of one: transport, framing, numbering, the write at the end of the
# turn. VenueLink is the gateway's end: the engine's VenueOutlet on one side, the exchange's reports on the other.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from ext.buffers cimport OutBuf
from ext.venue cimport ReportSink, VenueCancel, VenueOrder, VenueOutlet, VenueReport
from ext.wire cimport FrameKind, VenueWire

cdef class VenuePeer(VenueOutlet):
    cdef readonly VenueWire wire
    cdef OutBuf partial                # octets of a frame that has not come whole
    cdef object transport              # None: not connected, or closing
    cdef object closing                # a transport that still writes what was queued before it closes
    cdef size_t limit                  # most octets waiting to be written before the peer is cut as too slow
    cdef bint paused                   # the socket takes no more for now
    cdef int64_t paused_ns             # since when; 0: it takes all
    cdef str why                       # why this end closed the connection; empty when the other did
    cdef readonly uint64_t msg_seq_num # of the last frame sent
    cdef readonly int64_t last_recv_ns
    cdef readonly int64_t last_sent_ns
    cdef public object on_connected    # ()
    cdef public object on_message      # (msg_type, fields) of a session message
    cdef public object on_closed       # (reason); called once per connection

    # For the two ends.
    # A whole frame has come; False: read no further.
    cdef bint on_frame(self, FrameKind kind, const uint8_t *frame, size_t size, int64_t now_ns) noexcept
    cdef void fill(self) noexcept      # about to write: put more into out
    cdef bint has_more(self) noexcept  # fill left something behind
    # Inner.
    cdef ssize_t split(self, const uint8_t *p, size_t size, int64_t now_ns) noexcept
    cdef void stop(self, str reason)

cdef class VenueLink(VenuePeer):
    cdef public ReportSink sink
    cdef public bint ready             # orders and cancels may leave
    cdef readonly uint64_t refused     # orders and cancels that came while not ready, or that the wire cannot say
    cdef readonly uint64_t reports
    cdef int64_t asked_ns              # the first order or cancel sent since it last said anything; 0: none
    cdef readonly uint64_t duplicates
    cdef readonly int64_t last_report_ns       # our clock
    cdef readonly int64_t last_transact_ns     # TransactTime of the last report

    cdef void commit_frame(self, size_t size, int64_t now_ns) noexcept
    cdef void set_down(self)
