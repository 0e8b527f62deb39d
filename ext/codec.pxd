# The hot messages of order_entry.proto, by hand: NewOrder and CancelOrder in, ExecutionReport and CancelReject out. What
# protobuf accepts these accept, what it refuses these refuse; everything cold goes through the protobuf classes.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef struct Text:                      # borrowed from the message
    const uint8_t *at
    uint32_t size

cdef struct NewOrder:
    Text cl_ord_id
    Text account
    Text symbol
    int64_t security_exchange
    int64_t side
    int64_t ord_type
    int64_t order_qty_shares
    int64_t price_e4
    int64_t time_in_force
    int64_t planned_ns
    Text strategy
    Text parent_id
    int64_t parent_qty_shares
    bint short_sale

cdef struct CancelOrder:
    Text cl_ord_id
    Text account
    Text orig_cl_ord_id
    uint64_t order_id
    int64_t planned_ns

cdef struct ExecutionReport:
    uint64_t event_seq
    Text account
    Text cl_ord_id
    uint64_t order_id
    uint64_t exec_id
    uint32_t exec_type
    uint32_t ord_status
    uint32_t symbol                    # NO_SYMBOL: left out
    uint32_t security_exchange
    uint32_t side
    uint32_t ord_type
    int64_t order_qty_shares
    int64_t price_e4
    int64_t last_qty_shares
    int64_t last_px_e4
    int64_t leaves_qty_shares
    int64_t cum_qty_shares
    int64_t cum_notional_e4
    Text venue_order_id
    uint32_t reject_code               # 0: none
    uint32_t ord_rej_reason
    Text text
    int64_t time_ns
    int64_t planned_ns
    bint possible_duplicate
    int64_t confirm_by_ns
    Text redirect

cdef struct CancelReject:
    uint64_t event_seq
    Text account
    Text cl_ord_id
    Text orig_cl_ord_id
    uint64_t order_id
    uint32_t ord_status
    uint32_t reject_code
    uint32_t cxl_rej_reason
    Text text
    int64_t time_ns
    int64_t planned_ns
    Text redirect

cdef enum ClientMessageKind:           # field numbers of ClientMessage's oneof
    KIND_MALFORMED = 0
    KIND_NEW_ORDER = 2
    KIND_CANCEL_ORDER = 3
    KIND_COLD = 100                    # anything else, or a form that needs protobuf itself

cdef enum MemberField:                 # wrap_field of the outer messages
    BARE = 0
    SERVER_EXECUTION_REPORT = 2        # ServerMessage.execution_report
    SERVER_CANCEL_REJECT = 3           # ServerMessage.cancel_reject
    RESPONSE_EXECUTION_REPORT = 1      # CancelResponse.execution_report
    RESPONSE_CANCEL_REJECT = 2         # CancelResponse.cancel_reject

cdef enum:
    NO_SYMBOL = 0xFFFFFFFF
    MOST_REPORT_SIZE = 768             # an encoded ExecutionReport or CancelReject never needs more

# Which message a ClientMessage holds; for the two hot ones, body is its inner message.
cdef int decode_client_message(const uint8_t *message, size_t size, Text *body) noexcept nogil
cdef bint decode_new_order(const uint8_t *message, size_t size, NewOrder *order) noexcept nogil
cdef bint decode_cancel_order(const uint8_t *message, size_t size, CancelOrder *cancel) noexcept nogil
# Each writes at most MOST_REPORT_SIZE bytes and returns how many. wrap_field: as this member of an outer message, 0: bare.
cdef size_t encode_execution_report(uint8_t *dst, const ExecutionReport *report, uint32_t wrap_field) noexcept nogil
cdef size_t encode_cancel_reject(uint8_t *dst, const CancelReject *reject, uint32_t wrap_field) noexcept nogil

# Six digits as a number, NO_SYMBOL for anything else.
cdef inline uint32_t symbol_number(const Text *symbol) noexcept nogil:
    cdef uint32_t number = 0
    cdef uint32_t k
    if symbol.size != 6:
        return NO_SYMBOL
    for k in range(6):
        if not 48 <= symbol.at[k] <= 57:
            return NO_SYMBOL
        number = number * 10 + symbol.at[k] - 48
    return number
