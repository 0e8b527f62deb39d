# Shanghai's TDGW binary messages, as packed structs in the order of the exchange's tables. Integers are big-endian, text
# is space-padded; prices count 1e-5 yuan, quantities 1e-3 shares, ntime is HHMMSSsssnnnn in Shanghai.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from ext.venue cimport VenueCancel, VenueOrder, VenueReport
from ext.wire cimport VenueWire

cdef enum SseMsgType:
    SSE_HEARTBEAT = 33
    SSE_LOGON = 40
    SSE_LOGOUT = 41
    SSE_NEW_ORDER = 58
    SSE_CANCEL = 61
    SSE_EXECUTION_REPORT = 32
    SSE_CANCEL_FAIL = 59
    SSE_TRADE_REPORT = 103
    SSE_ORDER_REJECT = 204
    SSE_EXEC_RPT_SYNC = 206
    SSE_EXEC_RPT_SYNC_RSP = 207
    SSE_EXEC_RPT_INFO = 208
    SSE_PLATFORM_STATE = 209
    SSE_EXEC_RPT_END_OF_STREAM = 210

cdef enum:
    SSE_BIZ_ID = 300101                # stock auction orders and their cancels

cdef packed struct SseHeader:
    uint32_t msg_type
    uint64_t msg_seq_num
    uint32_t msg_body_len

cdef packed struct SseNewOrder:        # 58
    SseHeader header
    uint32_t biz_id
    char biz_pbu[8]
    char cl_ord_id[10]
    char security_id[12]
    char account[13]
    uint8_t owner_type
    char side
    uint64_t price
    uint64_t order_qty
    char ord_type
    char time_in_force
    uint64_t transact_time
    char credit_tag[2]
    char clearing_firm[8]
    char branch_id[8]
    char user_info[32]
    uint32_t checksum

cdef packed struct SseCancel:          # 61
    SseHeader header
    uint32_t biz_id
    char biz_pbu[8]
    char cl_ord_id[10]
    char security_id[12]
    char account[13]
    uint8_t owner_type
    char side
    char orig_cl_ord_id[10]
    uint64_t transact_time
    char branch_id[8]
    char user_info[32]
    uint32_t checksum

cdef packed struct SseExecutionReport: # 32
    SseHeader header
    char pbu[8]
    uint32_t set_id
    uint64_t report_index
    uint32_t biz_id
    char exec_type
    char biz_pbu[8]
    char cl_ord_id[10]
    char security_id[12]
    char account[13]
    uint8_t owner_type
    char side
    uint64_t price
    uint64_t order_qty
    uint64_t leaves_qty
    uint64_t cxl_qty
    char ord_type
    char time_in_force
    char ord_status
    char credit_tag[2]
    char orig_cl_ord_id[10]
    char clearing_firm[8]
    char branch_id[8]
    uint32_t ord_rej_reason
    char ord_cnfm_id[16]
    char orig_ord_cnfm_id[16]
    uint32_t trade_date
    uint64_t transact_time
    char user_info[32]
    uint32_t checksum

cdef packed struct SseCancelFail:      # 59
    SseHeader header
    char pbu[8]
    uint32_t set_id
    uint64_t report_index
    uint32_t biz_id
    char biz_pbu[8]
    char cl_ord_id[10]
    char security_id[12]
    char orig_cl_ord_id[10]
    char branch_id[8]
    uint32_t cxl_rej_reason
    uint32_t trade_date
    uint64_t transact_time
    char user_info[32]
    uint32_t checksum

cdef packed struct SseTradeReport:     # 103
    SseHeader header
    char pbu[8]
    uint32_t set_id
    uint64_t report_index
    uint32_t biz_id
    char exec_type
    char biz_pbu[8]
    char cl_ord_id[10]
    char security_id[12]
    char account[13]
    uint8_t owner_type
    uint64_t order_entry_time
    uint64_t last_px
    uint64_t last_qty
    uint64_t gross_trade_amt
    char side
    uint64_t order_qty
    uint64_t leaves_qty
    char ord_status
    char credit_tag[2]
    char clearing_firm[8]
    char branch_id[8]
    char trd_cnfm_id[16]
    char ord_cnfm_id[16]
    uint32_t trade_date
    uint64_t transact_time
    char user_info[32]
    uint32_t checksum

cdef packed struct SseOrderReject:     # 204
    SseHeader header
    uint32_t biz_id
    char biz_pbu[8]
    char cl_ord_id[10]
    char security_id[12]
    uint32_t ord_rej_reason
    uint32_t trade_date
    uint64_t transact_time
    char user_info[32]
    uint32_t checksum

cdef struct SseIdentity:
    char biz_pbu[8]                    # also the Pbu of reports
    char clearing_firm[8]
    char branch_id[8]
    int64_t day_start_ns               # midnight of the trade date: orders and cancels carry only the time of day

# Frame size at p, 0 when more bytes are needed, -1 when malformed.
cdef ssize_t peek_frame(const uint8_t *p, size_t size) noexcept nogil
# dst has room for MAX_FRAME; returns the frame's size, 0 when Shanghai has no such order or a number does not fit.
cdef size_t encode_new_order(uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num,
                             const SseIdentity *identity) noexcept nogil
cdef size_t encode_cancel(uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num,
                          const SseIdentity *identity) noexcept nogil
cdef size_t encode_report(uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num,
                          const SseIdentity *identity) noexcept nogil
# A whole frame that peek_frame let pass, to a struct; returns size or a WireFault.
cdef ssize_t decode_new_order(const uint8_t *frame, size_t size, const SseIdentity *identity, VenueOrder *order) noexcept nogil
cdef ssize_t decode_cancel(const uint8_t *frame, size_t size, const SseIdentity *identity, VenueCancel *cancel) noexcept nogil
cdef ssize_t decode_report(const uint8_t *frame, size_t size, VenueReport *report) noexcept nogil

cdef class SseWire(VenueWire):
    cdef SseIdentity identity
