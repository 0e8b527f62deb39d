"""An empty service for benchmarks and conformance tests: every message goes back as it came. Holds no state of its own."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from ext.buffers cimport Turn
from ext.rpc cimport OK, StreamSink

from ext.rpc import HotStream, HotUnary


cdef class EchoStream(StreamSink):
    """Sends back each message of a stream."""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef uint8_t *room = self.begin_message(size)
        if room == NULL:
            return
        memcpy(room, message, size)
        self.end_message(size)


cdef class EchoUnary(EchoStream):
    """Sends back the one message of a unary call."""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        EchoStream.on_message(self, message, size, recv_ns)
        self.finish(OK, "")

    cdef void on_half_close(self) except *:
        pass


def echo_service(Turn turn, size_t limit=1 << 22) -> dict:
    """The service `/tidegate.Echo/Stream` and `/tidegate.Echo/Unary`."""
    return {
        "/tidegate.Echo/Stream": HotStream(lambda call: EchoStream(turn, limit)),
        "/tidegate.Echo/Unary": HotUnary(lambda call: EchoUnary(turn, limit)),
    }
