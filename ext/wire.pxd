# What both exchanges' wires share: big-endian integers, the checksum, Shanghai's calendar, six-digit symbols, and the
# face (VenueWire) that a link or an acceptor sees of a protocol.
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from ext.codes cimport (
    BUY, SELL, STATUS_CANCELED, STATUS_FILLED, STATUS_NEW, STATUS_PARTIALLY_FILLED, STATUS_REJECTED,
)
from ext.venue cimport VenueCancel, VenueOrder, VenueReport

cdef extern from "<endian.h>" nogil:
    uint16_t be16toh(uint16_t)
    uint16_t htobe16(uint16_t)
    uint32_t be32toh(uint32_t)
    uint32_t htobe32(uint32_t)
    uint64_t be64toh(uint64_t)
    uint64_t htobe64(uint64_t)

cdef extern from *:
    """
    #define TIDEGATE_SECOND_NS INT64_C(1000000000)
    #define TIDEGATE_DAY_NS (86400 * TIDEGATE_SECOND_NS)
    #define TIDEGATE_SHANGHAI_NS (8 * 3600 * TIDEGATE_SECOND_NS)
    """
    const int64_t SECOND_NS "TIDEGATE_SECOND_NS"
    const int64_t DAY_NS "TIDEGATE_DAY_NS"
    const int64_t SHANGHAI_NS "TIDEGATE_SHANGHAI_NS"       # UTC+8

cdef enum WireFault:                   # why a whole frame is not one of ours; negative, so that no fault reads as a size
    FAULT_LENGTH = -1
    FAULT_MSG_TYPE = -2
    FAULT_APPLICATION = -3             # BizID, ApplID or SecurityIDSource is not the cash auction's
    FAULT_SYMBOL = -4                  # SecurityID is not six digits and spaces
    FAULT_SIDE = -5
    FAULT_ORD_TYPE = -6                # OrdType, TimeInForce, MaxPriceLevels, MinQty name no order type
    FAULT_QUANTITY = -7                # negative, or not whole shares
    FAULT_PRICE = -8                   # negative, or not whole 1e-4 yuan
    FAULT_TIME = -9                    # not a moment of the calendar between 1970 and 2261
    FAULT_OWNER_TYPE = -10
    FAULT_ACCOUNT = -11                # longer than twelve characters
    FAULT_STATUS = -12                 # ExecType and OrdStatus contradict each other or are unknown
    FAULT_INDEX = -13                  # ReportIndex or partition out of range
    FAULT_PBU = -14                    # a report of another PBU's stream

cdef enum FrameKind:
    FRAME_SESSION = 0
    FRAME_ORDER = 1
    FRAME_CANCEL = 2
    FRAME_REPORT = 3

cdef enum DoorReason:                  # of a business reject, besides those of ext.venue
    DOOR_NOT_OPEN = 2                  # platform is not open
    DOOR_THROTTLE = 3
    DOOR_PBU = 4                       # the PBU is not this session's
    DOOR_FIELD = 100                   # a wrong field: this minus its WireFault

cdef enum:
    MAX_FRAME = 512                    # no order, cancel or report is longer
    MAX_BODY = 1 << 16                 # nor any session message


# ---- scalars

cdef inline uint32_t checksum(const uint8_t *octets, size_t size) noexcept nogil:
    """Sum of all octets mod 256. Four 16-bit lanes add eight octets a step and are folded before they can overflow."""
    cdef uint64_t lanes, word, total = 0
    cdef size_t i = 0, stop
    while size - i >= 8:
        lanes = 0
        stop = i + 1024 if size - i >= 1024 else i + ((size - i) & ~<size_t>7)
        while i < stop:
            memcpy(&word, octets + i, 8)
            lanes += (word & 0x00ff00ff00ff00ffULL) + ((word >> 8) & 0x00ff00ff00ff00ffULL)
            i += 8
        total += (lanes & 0xffff) + ((lanes >> 16) & 0xffff) + ((lanes >> 32) & 0xffff) + (lanes >> 48)
    while i < size:
        total += octets[i]
        i += 1
    return <uint32_t>(total & 0xff)


cdef inline size_t seal(uint8_t *frame, size_t size) noexcept nogil:
    """Write the checksum into the last four octets; returns size."""
    cdef uint32_t total = htobe32(checksum(frame, size - 4))
    memcpy(frame + size - 4, &total, 4)
    return size


cdef inline bint is_sealed(const uint8_t *frame, size_t size) noexcept nogil:
    cdef uint32_t stated
    memcpy(&stated, frame + size - 4, 4)
    return be32toh(stated) == checksum(frame, size - 4)


cdef inline bint fits(int64_t value, int64_t scale) noexcept nogil:
    """Whether value, not negative, can be carried in an i64 that counts 1/scale."""
    return 0 <= value <= INT64_MAX // scale


cdef inline bint is_whole(int64_t scaled, int64_t scale) noexcept nogil:
    """Whether an i64 off the wire is not negative and a whole multiple of scale."""
    return scaled >= 0 and scaled % scale == 0


cdef inline bint is_owner_type(uint16_t owner_type) noexcept nogil:
    """Individual, institution, proprietary."""
    return owner_type == 1 or owner_type == 103 or owner_type == 104


cdef inline bint is_side(uint8_t side) noexcept nogil:
    return side == BUY or side == SELL


# ---- OrdStatus

cdef inline char fill_char(int64_t leaves_qty) noexcept nogil:
    """Of a trade: filled when nothing is left."""
    return b"2" if leaves_qty == 0 else b"1"


cdef inline char status_char(uint8_t ord_status) noexcept nogil:
    if ord_status == STATUS_NEW:
        return b"0"
    if ord_status == STATUS_PARTIALLY_FILLED:
        return b"1"
    if ord_status == STATUS_FILLED:
        return b"2"
    if ord_status == STATUS_CANCELED:
        return b"4"
    return b"8" if ord_status == STATUS_REJECTED else 0


cdef inline uint8_t status_of(char code) noexcept nogil:
    if code == b"0":
        return STATUS_NEW
    if code == b"1":
        return STATUS_PARTIALLY_FILLED
    if code == b"2":
        return STATUS_FILLED
    if code == b"4":
        return STATUS_CANCELED
    return STATUS_REJECTED if code == b"8" else 0


# ---- text

cdef int put_name(char *dst, size_t width, str field, str value) except -1

cdef inline void put_symbol(char *dst, uint32_t symbol) noexcept nogil:
    """Six digits; what follows them in the field is the caller's padding."""
    cdef int i
    for i in range(5, -1, -1):
        dst[i] = <char>(48 + symbol % 10)
        symbol //= 10


cdef inline long get_symbol(const char *src, size_t width) noexcept nogil:
    """The number of six digits and spaces up to width, or -1."""
    cdef long symbol = 0
    cdef size_t i
    for i in range(6):
        if not 48 <= src[i] <= 57:
            return -1
        symbol = symbol * 10 + (src[i] - 48)
    for i in range(6, width):
        if src[i] != 32:
            return -1
    return symbol


cdef inline bint is_blank(const char *src, size_t width) noexcept nogil:
    cdef size_t i
    for i in range(width):
        if src[i] != 32:
            return False
    return True



# ---- Shanghai's calendar

cdef inline uint32_t date_of(int64_t time_ns) noexcept nogil:
    """YYYYMMDD in Shanghai of a UTC time (not negative)."""
    cdef uint32_t days = <uint32_t>((time_ns + SHANGHAI_NS) // DAY_NS) + 719468
    cdef uint32_t era = days // 146097
    cdef uint32_t day_of_era = days - era * 146097
    cdef uint32_t year = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef uint32_t day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    cdef uint32_t month = (5 * day_of_year + 2) // 153
    cdef uint32_t day = day_of_year - (153 * month + 2) // 5 + 1
    # The year of this count begins in March, so that a leap day comes last.
    year += era * 400
    if month < 10:
        return year * 10000 + (month + 3) * 100 + day
    return (year + 1) * 10000 + (month - 9) * 100 + day


cdef inline int64_t day_start_ns(uint32_t date) noexcept nogil:
    """UTC ns of Shanghai's midnight that begins YYYYMMDD; INT64_MAX where that is no day between 1970 and 2261.

    Midnight of 1970-01-01 itself lies before the epoch: -8 hours.
    """
    cdef uint32_t year = date // 10000, month = date // 100 % 100, day = date % 100
    cdef uint32_t era, year_of_era, day_of_year, day_of_era, days
    if not 1970 <= year <= 2261 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return INT64_MAX
    year_of_era = year - (month <= 2)
    era = year_of_era // 400
    year_of_era -= era * 400
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    days = era * 146097 + day_of_era - 719468
    # 31 November counts into December: a day that does not come back as itself does not exist.
    if date_of(<int64_t>days * DAY_NS) != date:
        return INT64_MAX
    return <int64_t>days * DAY_NS - SHANGHAI_NS


cdef inline uint64_t clock_of(int64_t time_ns, int64_t unit_ns) noexcept nogil:
    """HHMMSS and the second's fraction in units of unit_ns, as one number, in Shanghai."""
    cdef int64_t of_day = (time_ns + SHANGHAI_NS) % DAY_NS
    cdef uint32_t seconds = <uint32_t>(of_day // SECOND_NS)
    cdef uint64_t clock = (seconds // 3600) * 10000 + (seconds // 60 % 60) * 100 + seconds % 60
    return clock * <uint64_t>(SECOND_NS // unit_ns) + <uint64_t>(of_day % SECOND_NS // unit_ns)


cdef inline int64_t clock_ns(uint64_t clock, int64_t unit_ns) noexcept nogil:
    """Nanoseconds since midnight of an HHMMSS.. number; -1 where that is no time of day."""
    cdef uint64_t units = <uint64_t>(SECOND_NS // unit_ns)
    cdef uint64_t whole = clock // units
    cdef uint64_t hours = whole // 10000, minutes = whole // 100 % 100, seconds = whole % 100
    if hours > 23 or minutes > 59 or seconds > 59:
        return -1
    return <int64_t>((hours * 3600 + minutes * 60 + seconds) * <uint64_t>SECOND_NS + clock % units * <uint64_t>unit_ns)


# ---- one protocol, as a link or an acceptor sees it

cdef class VenueWire:
    cdef readonly int venue                    # codes.Venue
    cdef readonly uint32_t heartbeat_type
    cdef readonly uint32_t logon_type
    cdef readonly uint32_t logout_type
    cdef dict messages                         # msg_type -> SessionMessage

    # Frames: size of the frame at p, 0 when more bytes are needed, -1 when it is malformed (type, length or checksum).
    cdef ssize_t peek(self, const uint8_t *p, size_t size) noexcept
    cdef FrameKind kind(self, const uint8_t *frame) noexcept
    # A frame that peek let pass, to a struct: its size, or a WireFault (ids are filled as far as they were read).
    cdef ssize_t decode_new_order(self, const uint8_t *frame, size_t size, VenueOrder *order) noexcept
    cdef ssize_t decode_cancel(self, const uint8_t *frame, size_t size, VenueCancel *cancel) noexcept
    cdef ssize_t decode_report(self, const uint8_t *frame, size_t size, VenueReport *report) noexcept
    # A struct to a frame at dst (room for MAX_FRAME): its size, or 0 when this wire cannot say it.
    cdef size_t encode_new_order(self, uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num) noexcept
    cdef size_t encode_cancel(self, uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num) noexcept
    cdef size_t encode_report(self, uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num) noexcept
    # Gives a frame that was encoded with MsgSeqNum 0 its number; a wire without numbers leaves it as it is.
    cdef void number(self, uint8_t *frame, size_t size, uint64_t msg_seq_num) noexcept
    # The PBU that a whole order or cancel frame names is the one of this wire.
    cdef bint names_our_pbu(self, const uint8_t *frame) noexcept
    cdef uint32_t type_of(self, const uint8_t *frame) noexcept
    cdef bytes body_of(self, bytes frame)
    cdef bytes frame_of(self, uint32_t msg_type, bytes body, uint64_t msg_seq_num)
