"""Closed-loop load on one connection, for comparing transports: keeps a number of messages in flight. Paces nothing."""

from asyncio import get_running_loop

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ext.clock cimport now_ns
from loadtest.grpc_client cimport ClientConnection, ClientStream, RequestHead


cdef class Pump:
    """Sends `total` copies of a message and keeps up to `in_flight` of them unanswered; times every round trip."""

    cdef ClientConnection connection
    cdef RequestHead head
    cdef bytes message
    cdef readonly int64_t total, sent, answered, failed, started_ns, ended_ns
    cdef int64_t *round_trips_ns
    cdef object done

    def __init__(self, ClientConnection connection, RequestHead head, bytes message, int64_t total):
        self.connection = connection
        self.head = head
        self.message = message
        self.total = total
        self.done = get_running_loop().create_future()
        self.round_trips_ns = <int64_t *>calloc(total, sizeof(int64_t))
        if self.round_trips_ns == NULL:
            raise MemoryError(f"no memory for {total} round trips")

    def __dealloc__(self):
        free(self.round_trips_ns)

    cdef void answer(self, int64_t round_trip_ns):
        self.round_trips_ns[self.answered] = round_trip_ns
        self.answered += 1
        if self.answered == self.total:
            self.ended_ns = now_ns()
            self.done.set_result(None)

    cdef void fail(self, int status, str text):
        self.failed += 1
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"status {status}: {text}"))

    def round_trips(self) -> list:
        """Every answered round trip, in nanoseconds."""
        return [self.round_trips_ns[i] for i in range(self.answered)]

    def rate(self) -> float:
        """Answers per second."""
        return self.answered * 1e9 / (self.ended_ns - self.started_ns)

    async def run_stream(self, int64_t in_flight) -> None:
        """Pump over one bidirectional stream."""
        self.started_ns = now_ns()
        stream = PumpStream(self.connection, self.head, self, in_flight)
        (<PumpStream>stream).top_up(self.started_ns)
        await self.done
        stream.half_close()

    async def run_unary(self, int64_t in_flight) -> None:
        """Pump with one unary call per message."""
        cdef int64_t i
        self.started_ns = now_ns()
        for i in range(in_flight):
            start_call(self)
        await self.done


cdef class PumpStream(ClientStream):
    """The stream of a pump: answers come in order, so send times wait in a ring."""

    cdef Pump pump
    cdef int64_t in_flight
    cdef int64_t *sent_ns

    def __init__(self, connection, head, Pump pump, int64_t in_flight):
        ClientStream.__init__(self, connection, head)
        self.pump = pump
        self.in_flight = in_flight
        self.sent_ns = <int64_t *>calloc(in_flight, sizeof(int64_t))
        if self.sent_ns == NULL:
            raise MemoryError(f"no memory for {in_flight} send times")

    def __dealloc__(self):
        free(self.sent_ns)

    cdef void top_up(self, int64_t now) except *:
        cdef Pump pump = self.pump
        cdef size_t size = len(pump.message)
        cdef uint8_t *room
        while pump.sent < pump.total and pump.sent - pump.answered < self.in_flight:
            room = self.begin_message(size)
            if room == NULL:
                return
            memcpy(room, <const uint8_t *>pump.message, size)
            self.end_message(size)
            self.sent_ns[pump.sent % self.in_flight] = now
            pump.sent += 1

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        self.pump.answer(recv_ns - self.sent_ns[self.pump.answered % self.in_flight])
        self.top_up(recv_ns)

    cdef void on_finished(self, int status, str text) except *:
        if status != 0 or self.pump.answered < self.pump.total:
            self.pump.fail(status, text)


cdef class PumpCall(ClientStream):
    """One unary call of a pump; starts the next one when it ends."""

    cdef Pump pump
    cdef int64_t sent_ns

    cdef void on_finished(self, int status, str text) except *:
        if status != 0:
            self.pump.fail(status, text)
            return
        self.pump.answer(self.connection.recv_ns - self.sent_ns)
        start_call(self.pump)


cdef void start_call(Pump pump) except *:
    cdef PumpCall call
    cdef size_t size = len(pump.message)
    cdef uint8_t *room
    if pump.sent == pump.total:
        return
    call = PumpCall(pump.connection, pump.head, size + 5)
    call.pump = pump
    room = call.begin_message(size)
    memcpy(room, <const uint8_t *>pump.message, size)
    call.end_message(size)
    call.end_sending()
    call.sent_ns = now_ns()
    pump.sent += 1
