# Shenzhen's binary messages (V5, cash auction), as packed structs in the order of the exchange's tables. Integers are
# big-endian, text is space-padded; prices count 1e-4 yuan, quantities 1e-2 shares, TransactTime is YYYYMMDDHHMMSSsss in
# Shanghai. Frames carry no sequence number.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from ext.venue cimport VenueCancel, VenueOrder, VenueReport
from ext.wire cimport VenueWire

cdef enum SzseMsgType:
    SZSE_LOGON = 1
    SZSE_LOGOUT = 2
    SZSE_HEARTBEAT = 3
    SZSE_BUSINESS_REJECT = 4
    SZSE_REPORT_SYNCHRONIZATION = 5
    SZSE_PLATFORM_STATE = 6
    SZSE_REPORT_FINISHED = 7
    SZSE_PLATFORM_INFO = 9
    SZSE_NEW_ORDER = 100101
    SZSE_CANCEL = 190007
    SZSE_EXECUTION_REPORT = 200102
    SZSE_TRADE_REPORT = 200115
    SZSE_CANCEL_REJECT = 290008

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

# Frame size at p, 0 when more bytes are needed, -1 when malformed.
cdef ssize_t peek_frame(const uint8_t *p, size_t size) noexcept nogil
# dst has room for MAX_FRAME; returns the frame's size, 0 when Shenzhen has no such order or a number does not fit.
cdef size_t encode_new_order(uint8_t *dst, const VenueOrder *order, const SzseIdentity *identity) noexcept nogil
cdef size_t encode_cancel(uint8_t *dst, const VenueCancel *cancel, const SzseIdentity *identity) noexcept nogil
cdef size_t encode_report(uint8_t *dst, const VenueReport *report, const SzseIdentity *identity) noexcept nogil
# A whole frame that peek_frame let pass, to a struct; returns size or a WireFault.
cdef ssize_t decode_new_order(const uint8_t *frame, size_t size, VenueOrder *order) noexcept nogil
cdef ssize_t decode_cancel(const uint8_t *frame, size_t size, VenueCancel *cancel) noexcept nogil
cdef ssize_t decode_report(const uint8_t *frame, size_t size, VenueReport *report) noexcept nogil

cdef class SzseWire(VenueWire):
    cdef SzseIdentity identity
