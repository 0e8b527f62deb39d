"""Sessions that only log on, for a reconnect storm, and one that never reads. Sends no order, measures only its logons."""

from asyncio import get_running_loop

from libc.stdint cimport int64_t, uint8_t

from ext.clock cimport now_ns
from ext.http2 cimport Http2Connection
from loadtest.grpc_client cimport ClientConnection, ClientStream, RequestHead
from loadtest.wire cimport EVENT_LOGON_ACK, EVENT_SESSION_REJECT, ServerEvent, decode_server_message

from gateway.pb import order_entry_pb2 as pb

HEAD = RequestHead("/tidegate.v1.OrderEntry/Session")


cdef class StormSession(ClientStream):
    """One session that logs on and then counts what it is told.

    token: None sends no Logon at all. accounts: names, or (name, event sequence last seen). heard: keeps the messages (octets) and when each came, UTC ns; None:
    they are only counted. logged_on: a future of how long the gateway took from the Logon to its answer, ns; ConnectionError
    when it refused. ended: a future of (gRPC status, text).
    """

    cdef readonly object logged_on
    cdef readonly object ended
    cdef readonly int64_t events
    cdef list heard
    cdef int64_t began_ns

    def __init__(self, ClientConnection connection, str token, list accounts, list heard=None):
        ClientStream.__init__(self, connection, HEAD)
        self.heard = heard
        self.ended = get_running_loop().create_future()
        self.logged_on = get_running_loop().create_future()
        self.began_ns = now_ns()
        if token is None:
            self.open()
            return
        cursors = [(each, 0) if isinstance(each, str) else each for each in accounts]
        logon = pb.Logon(token=token, accounts=[pb.AccountCursor(account=name, last_event_seq=seen) for name, seen in cursors])
        self.send(pb.ClientMessage(logon=logon).SerializeToString())

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef ServerEvent event
        decode_server_message(message, size, &event)
        if self.heard is not None:
            self.heard.append(((<const char *>message)[:size], recv_ns))
        if self.logged_on.done():
            self.events += 1
        elif event.kind == EVENT_LOGON_ACK:
            self.logged_on.set_result(recv_ns - self.began_ns)
        elif event.kind == EVENT_SESSION_REJECT:
            reject = pb.SessionReject.FromString((<const char *>event.body)[:event.body_size])
            self.logged_on.set_exception(ConnectionError(reject.text))

    cdef void on_finished(self, int status, str text) except *:
        if not self.logged_on.done():
            self.logged_on.set_exception(ConnectionError(f"gRPC status {status}: {text}"))
        self.ended.set_result((status, text))

    def stop_reading(self) -> None:
        """Take nothing more from the socket: the gateway must bear it."""
        cdef Http2Connection connection = self.connection
        connection.transport.pause_reading()
