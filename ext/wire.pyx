"""What both exchanges' wires share, and the codec of their session messages. Knows no exchange's message by name."""

import struct

from libc.string cimport memset
from ext.venue_fields cimport cancel_from, cancel_fields, order_from, order_fields, report_from, report_fields

FAULTS: dict[int, str] = {
    FAULT_LENGTH: "length", FAULT_MSG_TYPE: "MsgType", FAULT_APPLICATION: "BizID/ApplID/SecurityIDSource",
    FAULT_SYMBOL: "SecurityID", FAULT_SIDE: "Side", FAULT_ORD_TYPE: "OrdType", FAULT_QUANTITY: "quantity",
    FAULT_PRICE: "price", FAULT_TIME: "TransactTime", FAULT_OWNER_TYPE: "OwnerType", FAULT_ACCOUNT: "Account",
    FAULT_STATUS: "ExecType/OrdStatus", FAULT_INDEX: "ReportIndex", FAULT_PBU: "Pbu",
}
INTEGERS = {"u16": "H", "u32": "I", "u64": "Q", "i32": "i", "i64": "q"}


class SessionMessage:
    """Layout of one cold message, written as in the exchange's table: "name:type ..." with cN, u16, u32, u64, i32, i64.

    A repeated group is "name:count_type*[...]"; its value is a list of dicts. Text is str without its padding.
    """

    def __init__(self, name: str, layout: str) -> None:
        self.name = name
        self.fields = parse_layout(layout.replace("*[", "*[ ").replace("]", " ]").split())

    def encode(self, fields: dict) -> bytes:
        """The body; ValueError names a field that is missing, unknown or does not fit."""
        return b"".join(encode_fields(self.name, self.fields, fields))

    def decode(self, body: bytes) -> dict:
        """The fields; ValueError when the body is shorter or longer than its own counts say."""
        fields, end = decode_fields(self.name, self.fields, body, 0)
        if end != len(body):
            raise ValueError(f"{self.name}: body of {len(body)} octets, expected {end}")
        return fields


def parse_layout(words: list) -> list:
    """[(name, format, group)], consuming words up to the end or a closing bracket."""
    fields = []
    while words and words[0] != "]":
        name, kind = words.pop(0).split(":")
        if kind.endswith("*["):
            fields.append((name, ">" + INTEGERS[kind.removesuffix("*[")], parse_layout(words)))
            words.pop(0)
        else:
            fields.append((name, ">" + (INTEGERS.get(kind) or f"{kind[1:]}s"), None))
    return fields


def encode_fields(where: str, layout: list, values: dict) -> list:
    if values.keys() != {name for name, _, _ in layout}:
        raise ValueError(f"{where}: fields {sorted(values)}, expected {[name for name, _, _ in layout]}")
    parts = []
    for name, form, group in layout:
        value = values[name]
        if group is not None:
            parts.append(pack(where, name, form, len(value)))
            for entry in value:
                parts.extend(encode_fields(f"{where}.{name}", group, entry))
        elif form.endswith("s"):
            parts.append(pad(where, name, struct.calcsize(form), value))
        else:
            parts.append(pack(where, name, form, value))
    return parts


def pack(where: str, name: str, form: str, value: int) -> bytes:
    try:
        return struct.pack(form, value)
    except struct.error as error:
        raise ValueError(f"{where}.{name}: {value!r}, expected {error}") from None


def pad(where: str, name: str, width: int, value: str) -> bytes:
    octets = value.encode("latin-1", "replace")
    if len(octets) > width:
        raise ValueError(f"{where}.{name}: {value!r}, expected at most {width} octets")
    return octets.ljust(width)


def decode_fields(where: str, layout: list, body: bytes, offset: int) -> tuple:
    values: dict = {}
    for name, form, group in layout:
        width = struct.calcsize(form)
        if offset + width > len(body):
            raise ValueError(f"{where}.{name}: body of {len(body)} octets ends before it")
        (value,) = struct.unpack_from(form, body, offset)
        offset += width
        if group is not None:
            entries = []
            for _ in range(value):
                entry, offset = decode_fields(f"{where}.{name}", group, body, offset)
                entries.append(entry)
            values[name] = entries
        else:
            values[name] = value.decode("latin-1").rstrip(" ") if form.endswith("s") else value
    return values, offset


cdef int put_name(char *dst, size_t width, str field, str value) except -1:
    """An identity's text, padded; ValueError names the field when it does not fit."""
    cdef bytes octets = value.encode("ascii", "replace")
    cdef size_t size = len(octets)
    if size > width:
        raise ValueError(f"{field}: {value!r}, expected at most {width} characters")
    memset(dst, 32, width)
    memcpy(dst, <const char *>octets, size)
    return 1


cdef class VenueWire:
    """One exchange's protocol with the identity of one session; the hot half in C, the session messages as dicts."""

    cdef ssize_t peek(self, const uint8_t *p, size_t size) noexcept:
        return -1

    cdef FrameKind kind(self, const uint8_t *frame) noexcept:
        return FRAME_SESSION

    cdef ssize_t decode_new_order(self, const uint8_t *frame, size_t size, VenueOrder *order) noexcept:
        return FAULT_MSG_TYPE

    cdef ssize_t decode_cancel(self, const uint8_t *frame, size_t size, VenueCancel *cancel) noexcept:
        return FAULT_MSG_TYPE

    cdef ssize_t decode_report(self, const uint8_t *frame, size_t size, VenueReport *report) noexcept:
        return FAULT_MSG_TYPE

    cdef size_t encode_new_order(self, uint8_t *dst, const VenueOrder *order, uint64_t msg_seq_num) noexcept:
        return 0

    cdef size_t encode_cancel(self, uint8_t *dst, const VenueCancel *cancel, uint64_t msg_seq_num) noexcept:
        return 0

    cdef size_t encode_report(self, uint8_t *dst, const VenueReport *report, uint64_t msg_seq_num) noexcept:
        return 0

    cdef void number(self, uint8_t *frame, size_t size, uint64_t msg_seq_num) noexcept:
        pass

    cdef bint names_our_pbu(self, const uint8_t *frame) noexcept:
        return False

    cdef bytes body_of(self, bytes frame):
        return b""

    cdef bytes frame_of(self, uint32_t msg_type, bytes body, uint64_t msg_seq_num):
        return b""

    cdef uint32_t type_of(self, const uint8_t *frame) noexcept:
        cdef uint32_t msg_type
        memcpy(&msg_type, frame, 4)
        return be32toh(msg_type)

    # ---- session messages

    def encode_session(self, uint32_t msg_type, dict fields, uint64_t msg_seq_num=0) -> bytes:
        """One frame of a session message; ValueError names the message or field at fault."""
        message = self.messages.get(msg_type)
        if message is None:
            raise ValueError(f"msg_type: {msg_type}, expected one of {sorted(self.messages)}")
        return self.frame_of(msg_type, message.encode(fields), msg_seq_num)

    def decode_session(self, bytes frame) -> tuple:
        """(msg_type, fields) of a whole frame that peek let pass; ValueError names what is wrong with it."""
        msg_type = self.type_of(<const uint8_t *><const char *>frame)
        message = self.messages.get(msg_type)
        if message is None:
            raise ValueError(f"msg_type: {msg_type}, expected one of {sorted(self.messages)}")
        return msg_type, message.decode(self.body_of(frame))

    def name_of(self, uint32_t msg_type) -> str:
        """The exchange's name of a session message."""
        message = self.messages.get(msg_type)
        return str(msg_type) if message is None else message.name

    # ---- orders, cancels and reports as dicts: tests and tools

    def encode(self, str kind, dict fields, uint64_t msg_seq_num=0) -> bytes:
        """One frame of an "order", "cancel" or "report" (fields: ext.venue_fields); ValueError when the wire cannot say it."""
        cdef uint8_t dst[MAX_FRAME]
        cdef VenueOrder order
        cdef VenueCancel cancel
        cdef VenueReport report
        cdef size_t size
        if kind == "order":
            order = order_from(fields)
            size = self.encode_new_order(dst, &order, msg_seq_num)
        elif kind == "cancel":
            cancel = cancel_from(fields)
            size = self.encode_cancel(dst, &cancel, msg_seq_num)
        elif kind == "report":
            report = report_from(fields)
            size = self.encode_report(dst, &report, msg_seq_num)
        else:
            raise ValueError(f"kind: {kind!r}, expected order, cancel or report")
        if size == 0:
            raise ValueError(f"{kind}: cannot be said on this wire: {fields}")
        return dst[:size]

    def decode(self, const uint8_t[::1] octets not None) -> tuple:
        """(size, kind, fields) of the first frame; size 0 or -1 as `peek`. ValueError names the field at fault."""
        cdef VenueOrder order
        cdef VenueCancel cancel
        cdef VenueReport report
        cdef const uint8_t *p = &octets[0] if octets.shape[0] else NULL
        cdef ssize_t size = self.peek(p, octets.shape[0])
        cdef ssize_t taken
        if size <= 0:
            return size, None, None
        kind = self.kind(p)
        if kind == FRAME_ORDER:
            taken = self.decode_new_order(p, size, &order)
            return size, "order", order_fields(&order) if taken > 0 else refuse(taken)
        if kind == FRAME_CANCEL:
            taken = self.decode_cancel(p, size, &cancel)
            return size, "cancel", cancel_fields(&cancel) if taken > 0 else refuse(taken)
        if kind == FRAME_REPORT:
            taken = self.decode_report(p, size, &report)
            return size, "report", report_fields(&report) if taken > 0 else refuse(taken)
        return size, "session", self.decode_session(bytes(octets[:size]))


def fault_name(fault: int) -> str:
    """The field that a WireFault names."""
    return FAULTS[fault]


def refuse(fault: int) -> None:
    raise ValueError(f"{FAULTS[fault]}: not of this wire")


def wire_clock(time_ns: int) -> tuple[int, int]:
    """(YYYYMMDD, HHMMSSsssnnnn) in Shanghai of a UTC time in ns."""
    return date_of(time_ns), clock_of(time_ns, 100)


def utc_of(date: int, clock: int) -> int:
    """UTC ns of a Shanghai YYYYMMDD and HHMMSSsssnnnn; ValueError where that is no moment."""
    cdef int64_t start = day_start_ns(date)
    cdef int64_t since = clock_ns(clock, 100)
    if start == INT64_MAX or since < 0:
        raise ValueError(f"time: {date} {clock}, expected YYYYMMDD HHMMSSsssnnnn")
    return start + since


def wire_checksum(const uint8_t[::1] octets not None) -> int:
    """Sum of all octets mod 256."""
    return checksum(&octets[0] if octets.shape[0] else NULL, octets.shape[0])
