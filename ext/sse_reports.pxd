# Reports of Shanghai's TDGW binary protocol, both directions; see sse_layout.pxd for the messages.
from libc.stdint cimport uint8_t, uint64_t
from ext.venue cimport VenueReport
from ext.sse_layout cimport SseIdentity

# dst has room for MAX_FRAME; returns the frame's size, 0 when a number does not fit or a field is missing.
cdef size_t encode_report(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num,
                          const SseIdentity *identity) noexcept nogil
# A whole frame that peek_frame let pass; returns size or a WireFault.
cdef ssize_t decode_report(const uint8_t *frame, size_t size, VenueReport *report) noexcept nogil
