"""The seam between a gRPC transport and a service: whole messages in, framed messages out. Knows neither side's inside."""

from libc.string cimport memcpy

from asyncio import get_running_loop

cdef enum:
    PREFIX_SIZE = 5                    # gRPC: one compressed flag, four bytes of length

SERVICE_FAILED = "the service failed on this call"


class RpcError(Exception):
    """Ends the call with a gRPC status.

    status: one of Status, never OK. text: what the client reads as the status message.
    """

    def __init__(self, int status, str text):
        if status < <int>CANCELLED or status > <int>UNAUTHENTICATED:
            raise ValueError(f"status: {status}, expected {CANCELLED} to {UNAUTHENTICATED}")
        super().__init__(status, text)
        self.status = status
        self.text = text


cdef class Call:
    """One call as its method sees it: where it came from, what it carried, until when it may run."""

    def __init__(self, str path, str peer, dict metadata, int64_t deadline_ns=0):
        self.path = path
        self.peer = peer
        self.metadata = metadata
        self.deadline_ns = deadline_ns


cdef class Carrier:
    """A transport's end of one call."""

    cdef void ready(self) noexcept:
        pass


cdef class StreamSink(Outlet):
    """One call as its service sees it; see rpc.pxd for who calls what.

    limit: most bytes that may wait for a slow client; past it the transport ends the call with RESOURCE_EXHAUSTED.
    """

    def __init__(self, turn, size_t limit=1 << 22):
        Outlet.__init__(self, turn, limit)
        self.status = -1
        self.status_text = ""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        pass

    cdef void on_half_close(self) except *:
        self.finish(OK, "")

    cdef void on_closed(self) except *:
        pass

    cdef uint8_t *begin_message(self, size_t max_size) noexcept:
        cdef uint8_t *room = self.out.reserve(max_size + PREFIX_SIZE)
        if room == NULL:
            self.mark()
            return NULL
        return room + PREFIX_SIZE

    cdef void end_message(self, size_t size) noexcept:
        cdef uint8_t *prefix = self.out.data + self.out.end
        prefix[0] = 0
        prefix[1] = <uint8_t>(size >> 24)
        prefix[2] = <uint8_t>(size >> 16)
        prefix[3] = <uint8_t>(size >> 8)
        prefix[4] = <uint8_t>size
        self.out.commit(size + PREFIX_SIZE)
        self.queued += 1
        self.mark()

    cdef void finish(self, int status, str text):
        if self.status < 0:
            self.status = status
            self.status_text = text
            self.mark()

    cdef void mark(self) noexcept:
        # The carrier, not the turn: a connection gathers its calls and leaves in one write. A sink that is marked
        # before it has a carrier is picked up when the transport sets one.
        if not self.marked:
            self.marked = True
            if self.carrier is not None:
                self.carrier.ready()

    def send(self, bytes message) -> bool:
        """Queue one whole message (cold path); False when the peer's buffer is full."""
        cdef size_t size = len(message)
        cdef uint8_t *room = self.begin_message(size)
        if room == NULL:
            return False
        memcpy(room, <const uint8_t *>message, size)
        self.end_message(size)
        return True

    def end(self, int status=0, str text="") -> None:
        """End the call with this status once every queued message has left (cold path)."""
        self.finish(status, text)


cdef class PythonSink(StreamSink):
    """A call served in Python, for cold streams and tests: override `message`, `half_close` and `closed`."""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.message((<const char *>message)[:size], recv_ns)

    cdef void on_half_close(self) except *:
        self.half_close()

    cdef void on_closed(self) except *:
        self.closed()

    def message(self, bytes message, int64_t recv_ns) -> None:
        """One whole message arrived."""

    def half_close(self) -> None:
        """The client sent its last message."""
        self.finish(OK, "")

    def closed(self) -> None:
        """The call is over; nothing more may be sent."""


cdef class ColdSink(StreamSink):
    """One cold unary call: its handler runs as a task of the loop from the half close on, and dies with the call."""

    cdef object handler
    cdef Call call
    cdef object task
    cdef bytes request

    def __init__(self, turn, handler, Call call, size_t limit=1 << 24):
        StreamSink.__init__(self, turn, limit)
        self.handler = handler
        self.call = call
        self.request = b""

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.request = (<const char *>message)[:size]

    cdef void on_half_close(self) except *:
        self.task = get_running_loop().create_task(self.answer())

    cdef void on_closed(self) except *:
        if self.task is not None:
            self.task.cancel()
            self.task = None

    async def answer(self):
        """Run the handler and end the call with its response, its RpcError, or INTERNAL."""
        try:
            response = await self.handler(self.request, self.call)
            self.send(response)
            self.finish(OK, "")
        except RpcError as error:
            self.finish(error.status, error.text)
        except Exception as error:
            self.finish(INTERNAL, SERVICE_FAILED)
            get_running_loop().call_exception_handler({"message": f"{self.call.path} failed", "exception": error})
        finally:
            self.task = None


cdef class CallCarrier(Carrier):
    """Drives one call's sink for a transport written in Python.

    on_ready: called, without arguments, when the sink has bytes or a status and was not being fed.
    """

    cdef StreamSink sink
    cdef object on_ready
    cdef bint feeding

    def __init__(self, Method method, Call call, Turn turn, on_ready):
        self.on_ready = on_ready
        self.sink = method.open(call, turn)
        self.sink.carrier = self

    cdef void ready(self) noexcept:
        if not self.feeding:
            self.on_ready()

    @property
    def status(self) -> int:
        """The status the service ended the call with, -1 while it runs."""
        return self.sink.status

    @property
    def status_text(self) -> str:
        """The text that goes with the status."""
        return self.sink.status_text

    @property
    def overflowed(self) -> bool:
        """The client reads too slowly: the call must end with RESOURCE_EXHAUSTED."""
        return self.sink.out.overflowed

    def feed(self, bytes message, int64_t recv_ns) -> None:
        """Give the sink one whole message; what it raises is raised."""
        self.feeding = True
        try:
            self.sink.on_message(<const uint8_t *>message, len(message), recv_ns)
        finally:
            self.feeding = False

    def half_close(self) -> None:
        """Tell the sink that the client sent its last message."""
        self.feeding = True
        try:
            self.sink.on_half_close()
        finally:
            self.feeding = False

    def take(self) -> list:
        """Every message the sink has queued, in order, without prefix."""
        cdef const uint8_t *at
        cdef size_t size
        messages = []
        self.sink.marked = False
        while self.sink.out.size() > 0:
            at = self.sink.out.head()
            size = (<size_t>at[1] << 24) | (<size_t>at[2] << 16) | (<size_t>at[3] << 8) | at[4]
            messages.append((<const char *>at)[PREFIX_SIZE:PREFIX_SIZE + size])
            self.sink.out.consume(PREFIX_SIZE + size)
        return messages

    def close(self) -> None:
        """Tell the sink that the call is over."""
        self.sink.carrier = None
        self.sink.on_closed()


cdef class Method:
    """How one method path is served: opens one sink per call. Use HotStream, HotUnary or ColdUnary."""

    cdef StreamSink open(self, Call call, Turn turn):
        raise NotImplementedError(type(self).__name__)


cdef class HotStream(Method):
    """A stream served by `factory(call) -> StreamSink`."""

    cdef object factory

    def __init__(self, factory):
        self.factory = factory
        self.streaming = True

    cdef StreamSink open(self, Call call, Turn turn):
        return self.factory(call)


cdef class HotUnary(HotStream):
    """A unary method served by `factory(call) -> StreamSink`: the sink gets one message, sends one, and finishes."""

    def __init__(self, factory):
        self.factory = factory
        self.streaming = False


cdef class ColdUnary(Method):
    """A unary method served by `async handler(request: bytes, call: Call) -> bytes`, which may raise RpcError."""

    cdef object handler

    def __init__(self, handler):
        self.handler = handler
        self.streaming = False

    cdef StreamSink open(self, Call call, Turn turn):
        return ColdSink(turn, self.handler, call)
