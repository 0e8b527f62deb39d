# Shanghai's TDGW binary protocol: frames, orders and cancels both ways, the whole as a VenueWire. Layouts: sse_layout.pxd.
from libc.stdint cimport uint8_t, uint64_t
from ext.venue cimport VenueOrder, VenueCancel
from ext.wire cimport VenueWire
from ext.sse_layout cimport SseIdentity

# Frame size at p, 0 when more bytes are needed, -1 when malformed.
cdef ssize_t peek_frame(const uint8_t *p, size_t size) noexcept nogil
# dst has room for MAX_FRAME; returns the frame's size, 0 when Shanghai has no such order or a number does not fit.
cdef size_t encode_new_order(uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num,
                             const SseIdentity *identity) noexcept nogil
cdef size_t encode_cancel(uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num,
                          const SseIdentity *identity) noexcept nogil
# A whole frame that peek_frame let pass, to a struct; returns size or a WireFault.
cdef ssize_t decode_new_order(const uint8_t *frame, size_t size, const SseIdentity *identity,
                              VenueOrder *order) noexcept nogil
cdef ssize_t decode_cancel(const uint8_t *frame, size_t size, const SseIdentity *identity,
                           VenueCancel *cancel) noexcept nogil

cdef class SseWire(VenueWire):
    cdef SseIdentity identity
