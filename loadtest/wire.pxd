# The few protobuf messages a load client writes and reads by hand; tidegate/v1/order_entry.proto has their fields.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    MAX_REQUEST_SIZE = 256             # no request written here is larger
    CL_ORD_ID_SIZE = 16

cdef struct OrderRequest:              # NewOrder, or CancelOrder when orig_cl_ord_id is set
    uint8_t cl_ord_id[CL_ORD_ID_SIZE]
    uint8_t orig_cl_ord_id[CL_ORD_ID_SIZE]
    const uint8_t *account
    size_t account_size
    uint32_t symbol
    uint8_t security_exchange
    uint8_t side
    uint8_t ord_type
    int64_t order_qty_shares
    int64_t price_e4
    int64_t planned_ns

cdef enum EventKind:                   # the field numbers of ServerMessage
    EVENT_MALFORMED = 0
    EVENT_LOGON_ACK = 1
    EVENT_EXECUTION_REPORT = 2
    EVENT_CANCEL_REJECT = 3
    EVENT_SESSION_REJECT = 4
    EVENT_HEARTBEAT = 5
    EVENT_MASS_CANCEL_REPORT = 6
    EVENT_RISK_NOTICE = 7

cdef struct ServerEvent:               # pointers lead into the message
    int kind
    const uint8_t *body                # the message inside ServerMessage
    size_t body_size
    uint64_t event_seq
    const uint8_t *account
    size_t account_size
    const uint8_t *cl_ord_id           # of the order; for a CancelReject of the cancel
    size_t cl_ord_id_size
    int exec_type
    int ord_status
    int64_t last_qty_shares
    int64_t leaves_qty_shares
    int64_t cum_qty_shares
    int reject_code                    # R1301 is 1301; 0: none
    int64_t time_ns
    bint possible_duplicate

cdef struct ClientRequest:             # what the mirror needs of a ClientMessage; pointers lead into the message
    int kind                           # the field number of ClientMessage: 1 Logon, 2 NewOrder, 3 CancelOrder; 0 malformed
    const uint8_t *body
    size_t body_size
    const uint8_t *cl_ord_id           # of the order that is meant: a CancelOrder's orig_cl_ord_id
    size_t cl_ord_id_size
    const uint8_t *account
    size_t account_size

cdef size_t encode_new_order(uint8_t *dst, const OrderRequest *request) noexcept nogil
cdef size_t encode_cancel_order(uint8_t *dst, const OrderRequest *request) noexcept nogil
cdef void decode_server_message(const uint8_t *message, size_t size, ServerEvent *event) noexcept nogil
cdef void decode_client_message(const uint8_t *message, size_t size, ClientRequest *request) noexcept nogil
# An ExecutionReport about the order of a request; needs 40 bytes more than the request has.
cdef size_t encode_report(uint8_t *dst, const ClientRequest *request, uint64_t event_seq, int exec_type,
                          int ord_status) noexcept nogil
