"""An OrderEntry that decides nothing: every order is accepted at once. What a load run measures against it is its own noise."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from ext.buffers cimport Turn
from ext.codes cimport (EXEC_CANCELED, EXEC_NEW, EXEC_PENDING_NEW, STATUS_CANCELED, STATUS_NEW, STATUS_PENDING_NEW)
from ext.rpc cimport INVALID_ARGUMENT, StreamSink
from loadtest.wire cimport MAX_REQUEST_SIZE, ClientRequest, decode_client_message, encode_report

from ext.rpc import HotStream
from gateway.pb import order_entry_pb2 as pb

cdef enum:
    LOGON = 1
    NEW_ORDER = 2
    CANCEL_ORDER = 3
    HEARTBEAT = 5


cdef class MirrorSession(StreamSink):
    """One session. Accounts are counted by name in `event_seq`, which all sessions share."""

    cdef dict event_seq

    def __init__(self, Turn turn, dict event_seq):
        StreamSink.__init__(self, turn, 1 << 24)
        self.event_seq = event_seq

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef ClientRequest request
        decode_client_message(message, size, &request)
        if request.kind == NEW_ORDER:
            self.report(&request, EXEC_PENDING_NEW, STATUS_PENDING_NEW)
            self.report(&request, EXEC_NEW, STATUS_NEW)
        elif request.kind == CANCEL_ORDER:
            self.report(&request, EXEC_CANCELED, STATUS_CANCELED)
        elif request.kind == LOGON:
            logon = pb.Logon.FromString((<const char *>request.body)[:request.body_size])
            # Nothing is kept for a later session, so each begins a day of its own
            self.event_seq.update({cursor.account.encode(): 0 for cursor in logon.accounts})
            self.send(pb.ServerMessage(logon_ack=pb.LogonAck(session_id=1, accounts=[
                pb.AccountCursor(account=cursor.account) for cursor in logon.accounts])).SerializeToString())
        elif request.kind == HEARTBEAT:
            self.send(pb.ServerMessage(heartbeat=pb.Heartbeat(time_ns=recv_ns)).SerializeToString())
        else:
            self.finish(INVALID_ARGUMENT, "the mirror knows Logon, NewOrder, CancelOrder and Heartbeat")

    cdef void report(self, const ClientRequest *request, int exec_type, int ord_status) except *:
        cdef uint8_t *room = self.begin_message(MAX_REQUEST_SIZE)
        cdef uint64_t event_seq
        if room == NULL or request.account_size + request.cl_ord_id_size + 40 > MAX_REQUEST_SIZE:
            return
        account = request.account[:request.account_size]
        event_seq = self.event_seq.get(account, 0) + 1
        self.event_seq[account] = event_seq
        self.end_message(encode_report(room, request, event_seq, exec_type, ord_status))


def mirror_service(Turn turn) -> dict:
    """The service `OrderEntry.Session`, for either transport."""
    event_seq: dict = {}
    return {"/tidegate.v1.OrderEntry/Session": HotStream(lambda call: MirrorSession(turn, event_seq))}
