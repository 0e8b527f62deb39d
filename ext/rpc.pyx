"""The seam between a gRPC transport and a service: whole messages in, framed messages out. Knows neither side's inside."""

from libc.string cimport memcpy


cdef enum:
    PREFIX_SIZE = 5                    # gRPC: one compressed flag, four bytes of length


cdef class StreamSink(Outlet):
    """One call as its service sees it; see rpc.pxd for who calls what."""

    def __init__(self, turn, size_t limit=1 << 22):
        Outlet.__init__(self, turn, limit)
        self.status = -1
        self.status_text = ""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) noexcept:
        pass

    cdef void on_half_close(self) noexcept:
        self.finish(0, "")

    cdef void on_closed(self) noexcept:
        pass

    cdef uint8_t *begin_message(self, size_t max_size) noexcept:
        cdef uint8_t *room = self.out.reserve(max_size + PREFIX_SIZE)
        return NULL if room == NULL else room + PREFIX_SIZE

    cdef void end_message(self, size_t size) noexcept:
        cdef uint8_t *prefix = self.out.data + self.out.end
        prefix[0] = 0
        prefix[1] = <uint8_t>(size >> 24)
        prefix[2] = <uint8_t>(size >> 16)
        prefix[3] = <uint8_t>(size >> 8)
        prefix[4] = <uint8_t>size
        self.out.commit(size + PREFIX_SIZE)
        self.mark()

    cdef void finish(self, int status, str text):
        if self.status < 0:
            self.status = status
            self.status_text = text
            self.mark()

    def send(self, bytes message) -> bool:
        """Queue one whole message (cold path); False when the peer's buffer is full."""
        cdef size_t size = len(message)
        cdef uint8_t *room = self.begin_message(size)
        if room == NULL:
            return False
        memcpy(room, <const uint8_t *>message, size)
        self.end_message(size)
        return True
