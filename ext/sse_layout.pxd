# Shanghai's TDGW binary messages, as packed structs in the order of the exchange's tables. Integers are big-endian,
# text is space-padded; prices count 1e-5 yuan, quantities 1e-3 shares, ntime is HHMMSSsssnnnn in Shanghai.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from ext.codes cimport LIMIT, MARKET_BEST5_CANCEL, MARKET_BEST5_LIMIT, MARKET_OPPOSITE_BEST, MARKET_OWN_BEST
from ext.wire cimport day_start_ns, htobe32, htobe64

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
    SSE_EXEC_RPT_GROUPS = 208          # ExecRptInfo
    SSE_PLATFORM_STATE = 209
    SSE_EXEC_RPT_END_OF_STREAM = 210

cdef enum:
    SSE_BIZ_ID = 300101                # stock auction orders and their cancels
    PRICE_SCALE = 10                   # i64 of 1e-5 yuan to 1e-4
    QTY_SCALE = 1000                   # i64 of 1e-3 shares to shares
    NTIME_UNIT_NS = 100
    MAX_SYMBOL = 999999

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


# ---- both directions

cdef inline size_t fixed_body(uint32_t msg_type) noexcept nogil:
    """Body length of an order, cancel or report; 0 for a session message."""
    if msg_type == SSE_NEW_ORDER:
        return sizeof(SseNewOrder) - sizeof(SseHeader) - 4
    if msg_type == SSE_CANCEL:
        return sizeof(SseCancel) - sizeof(SseHeader) - 4
    if msg_type == SSE_EXECUTION_REPORT:
        return sizeof(SseExecutionReport) - sizeof(SseHeader) - 4
    if msg_type == SSE_TRADE_REPORT:
        return sizeof(SseTradeReport) - sizeof(SseHeader) - 4
    if msg_type == SSE_CANCEL_FAIL:
        return sizeof(SseCancelFail) - sizeof(SseHeader) - 4
    if msg_type == SSE_ORDER_REJECT:
        return sizeof(SseOrderReject) - sizeof(SseHeader) - 4
    return 0


cdef inline void begin_frame(uint8_t *dst, uint32_t msg_type, uint64_t msg_seq_num, size_t size) noexcept nogil:
    """Header, and spaces everywhere: a text field that is not set is blank."""
    cdef SseHeader *header = <SseHeader *>dst
    memset(dst, 32, size)
    header.msg_type = htobe32(msg_type)
    header.msg_seq_num = htobe64(msg_seq_num)
    header.msg_body_len = htobe32(<uint32_t>(size - sizeof(SseHeader) - 4))


cdef inline char ord_type_char(uint8_t ord_type) noexcept nogil:
    """The wire's OrdType; 0 for a type that Shanghai does not have."""
    if ord_type == LIMIT:
        return b"2"
    if ord_type == MARKET_BEST5_CANCEL:
        return b"1"
    if ord_type == MARKET_BEST5_LIMIT:
        return b"3"
    if ord_type == MARKET_OWN_BEST:
        return b"4"
    if ord_type == MARKET_OPPOSITE_BEST:
        return b"5"
    return 0


cdef inline uint8_t ord_type_of(char code) noexcept nogil:
    if code == b"2":
        return LIMIT
    if code == b"1":
        return MARKET_BEST5_CANCEL
    if code == b"3":
        return MARKET_BEST5_LIMIT
    if code == b"4":
        return MARKET_OWN_BEST
    if code == b"5":
        return MARKET_OPPOSITE_BEST
    return 0
