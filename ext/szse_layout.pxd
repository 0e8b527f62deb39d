# Shenzhen's binary messages (V5, cash auction), as packed structs in the order of the exchange's tables. Integers are
# big-endian, text is space-padded; prices count 1e-4 yuan, quantities 1e-2 shares, TransactTime is YYYYMMDDHHMMSSsss in
# Shanghai. Frames carry no sequence number.
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset
from ext.codes cimport LIMIT, MARKET_BEST5_CANCEL, MARKET_FOK, MARKET_IOC, MARKET_OPPOSITE_BEST, MARKET_OWN_BEST
from ext.wire cimport be64toh, clock_ns, clock_of, date_of, day_start_ns, htobe32, htobe64

cdef enum SzseMsgType:
    SZSE_LOGON = 1
    SZSE_LOGOUT = 2
    SZSE_HEARTBEAT = 3
    SZSE_BUSINESS_REJECT = 4
    SZSE_REPORT_SYNCHRONIZATION = 5
    SZSE_PLATFORM_STATE = 6
    SZSE_REPORT_FINISHED = 7
    SZSE_PLATFORM_PARTITIONS = 9       # PlatformInfo
    SZSE_NEW_ORDER = 100101
    SZSE_CANCEL = 190007
    SZSE_EXECUTION_REPORT = 200102
    SZSE_TRADE_REPORT = 200115
    SZSE_CANCEL_REJECT = 290008

cdef enum:
    QTY_SCALE = 100                    # i64 of 1e-2 shares to shares; prices are carried as they are
    TIME_UNIT_NS = 1000000
    CLOCK_SPAN = 1000000000            # HHMMSSsss takes nine digits of TransactTime
    MAX_SYMBOL = 999999
    MAX_REASON = 65535

cdef packed struct SzseHeader:
    uint32_t msg_type
    uint32_t body_length

cdef packed struct SzseNewOrder:       # 100101
    SzseHeader header
    char appl_id[3]
    char submitting_pbu_id[6]
    char security_id[8]
    char security_id_source[4]
    uint16_t owner_type
    char clearing_firm[2]
    uint64_t transact_time
    char user_info[8]
    char cl_ord_id[10]
    char account_id[12]
    char branch_id[4]
    char order_restrictions[4]
    char side
    char ord_type
    uint64_t order_qty
    uint64_t price
    uint64_t stop_px
    uint64_t min_qty
    uint16_t max_price_levels
    char time_in_force
    char cash_margin
    uint32_t checksum

cdef packed struct SzseCancel:         # 190007
    SzseHeader header
    char appl_id[3]
    char submitting_pbu_id[6]
    char security_id[8]
    char security_id_source[4]
    uint16_t owner_type
    char clearing_firm[2]
    uint64_t transact_time
    char user_info[8]
    char cl_ord_id[10]
    char orig_cl_ord_id[10]
    char side
    char order_id[16]
    uint64_t order_qty
    uint32_t checksum

cdef packed struct SzseReportHead:     # the beginning that every numbered report shares
    SzseHeader header
    uint32_t partition_no
    uint64_t report_index
    char appl_id[3]
    char reporting_pbu_id[6]
    char submitting_pbu_id[6]
    char security_id[8]
    char security_id_source[4]
    uint16_t owner_type
    char clearing_firm[2]
    uint64_t transact_time
    char user_info[8]

cdef packed struct SzseExecutionReport:  # 200102
    SzseReportHead head
    char order_id[16]
    char cl_ord_id[10]
    char quote_msg_id[10]
    char orig_cl_ord_id[10]
    char exec_id[16]
    char exec_type
    char ord_status
    uint16_t ord_rej_reason
    uint64_t leaves_qty
    uint64_t cum_qty
    char side
    char ord_type
    uint64_t order_qty
    uint64_t price
    char account_id[12]
    char branch_id[4]
    char order_restrictions[4]
    uint64_t stop_px
    uint64_t min_qty
    uint16_t max_price_levels
    char time_in_force
    char cash_margin
    uint32_t checksum

cdef packed struct SzseTradeReport:    # 200115
    SzseReportHead head
    char order_id[16]
    char cl_ord_id[10]
    char quote_msg_id[10]
    char exec_id[16]
    char exec_type
    char ord_status
    uint64_t last_px
    uint64_t last_qty
    uint64_t leaves_qty
    uint64_t cum_qty
    char side
    char account_id[12]
    char branch_id[4]
    char cash_margin
    uint32_t checksum

cdef packed struct SzseCancelReject:   # 290008
    SzseReportHead head
    char cl_ord_id[10]
    char orig_cl_ord_id[10]
    char side
    char ord_status
    uint16_t cxl_rej_reason
    char reject_text[16]
    char order_id[16]
    uint32_t checksum

cdef packed struct SzseBusinessReject: # 4
    SzseHeader header
    char appl_id[3]
    uint64_t transact_time
    char submitting_pbu_id[6]
    char security_id[8]
    char security_id_source[4]
    uint64_t ref_seq_num
    uint32_t ref_msg_type
    char business_reject_ref_id[10]
    uint16_t business_reject_reason
    char business_reject_text[50]
    uint32_t checksum

cdef struct SzseIdentity:
    char pbu_id[6]                     # submitting and reporting
    char clearing_firm[2]
    char branch_id[4]


# ---- both directions

cdef inline size_t fixed_body(uint32_t msg_type) noexcept nogil:
    """Body length of an order, cancel or report; 0 for a session message."""
    if msg_type == SZSE_NEW_ORDER:
        return sizeof(SzseNewOrder) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_CANCEL:
        return sizeof(SzseCancel) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_EXECUTION_REPORT:
        return sizeof(SzseExecutionReport) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_TRADE_REPORT:
        return sizeof(SzseTradeReport) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_CANCEL_REJECT:
        return sizeof(SzseCancelReject) - sizeof(SzseHeader) - 4
    if msg_type == SZSE_BUSINESS_REJECT:
        return sizeof(SzseBusinessReject) - sizeof(SzseHeader) - 4
    return 0


cdef inline void begin_frame(uint8_t *dst, uint32_t msg_type, size_t size) noexcept nogil:
    """Header, and spaces everywhere: a text field that is not set is blank."""
    cdef SzseHeader *header = <SzseHeader *>dst
    memset(dst, 32, size)
    header.msg_type = htobe32(msg_type)
    header.body_length = htobe32(<uint32_t>(size - sizeof(SzseHeader) - 4))


cdef inline uint64_t wire_time(int64_t time_ns) noexcept nogil:
    return htobe64(<uint64_t>date_of(time_ns) * <uint64_t>CLOCK_SPAN + clock_of(time_ns, TIME_UNIT_NS))


cdef inline int64_t time_of(uint64_t transact_time) noexcept nogil:
    """UTC ns of a TransactTime off the wire; -1 where that is no moment."""
    cdef uint64_t stamp = be64toh(transact_time)
    cdef uint64_t date = stamp // <uint64_t>CLOCK_SPAN
    cdef int64_t start_ns, since_midnight_ns
    if date > 99991231:
        return -1
    start_ns = day_start_ns(<uint32_t>date)
    since_midnight_ns = clock_ns(stamp % <uint64_t>CLOCK_SPAN, TIME_UNIT_NS)
    if start_ns == INT64_MAX or since_midnight_ns < 0 or start_ns + since_midnight_ns < 0:
        return -1
    return start_ns + since_midnight_ns


cdef struct Terms:                     # how Shenzhen spells an order type
    char ord_type
    char time_in_force
    uint16_t max_price_levels
    bint all_or_none                   # MinQty is OrderQty, else 0


cdef inline Terms terms_of(uint8_t ord_type) noexcept nogil:
    """ord_type 0 in the answer: Shenzhen has no such type."""
    cdef Terms terms
    terms.ord_type = b"1"
    terms.time_in_force = b"3"
    terms.max_price_levels = 0
    terms.all_or_none = ord_type == MARKET_FOK
    if ord_type == LIMIT:
        terms.ord_type = b"2"
        terms.time_in_force = b"0"
    elif ord_type == MARKET_OWN_BEST:
        terms.ord_type = b"U"
        terms.time_in_force = b"0"
    elif ord_type == MARKET_OPPOSITE_BEST:
        terms.time_in_force = b"0"
        terms.max_price_levels = 1
    elif ord_type == MARKET_BEST5_CANCEL:
        terms.max_price_levels = 5
    elif ord_type != MARKET_IOC and ord_type != MARKET_FOK:
        terms.ord_type = 0
    return terms


cdef inline uint8_t ord_type_of(char ord_type, char time_in_force, uint16_t max_price_levels, uint64_t min_qty,
                                uint64_t order_qty) noexcept nogil:
    """The order type that five fields spell (levels in host order, quantities as they came); 0 where they spell none."""
    if min_qty != 0 and (ord_type != b"1" or time_in_force != b"3" or max_price_levels != 0 or min_qty != order_qty):
        return 0
    if min_qty != 0:
        return MARKET_FOK
    if ord_type == b"2" and time_in_force == b"0" and max_price_levels == 0:
        return LIMIT
    if ord_type == b"U" and time_in_force == b"0" and max_price_levels == 0:
        return MARKET_OWN_BEST
    if ord_type != b"1":
        return 0
    if time_in_force == b"0" and max_price_levels == 1:
        return MARKET_OPPOSITE_BEST
    if time_in_force == b"3" and max_price_levels == 5:
        return MARKET_BEST5_CANCEL
    return MARKET_IOC if time_in_force == b"3" and max_price_levels == 0 else 0


cdef inline bint is_cash_auction(const char *appl_id, const char *security_id_source) noexcept nogil:
    return memcmp(appl_id, b"010", 3) == 0 and memcmp(security_id_source, b"102 ", 4) == 0
