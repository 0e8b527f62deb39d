"""The exchange's end of order entry: checks at the door, numbered and kept reports, resynchronisation. Matches nothing.

A report is encoded once, into the log of its partition. Sending is always the same act: copy the next frames from the
log to the socket, a page at a time; resynchronisation, live reports and a slow reader are one path, and none needs memory.
"""

from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset
from ext.buffers cimport Turn
from ext.venue cimport REASON_DUPLICATE_CL_ORD_ID, REPORT_BUSINESS_REJECT
from ext.wire cimport (
    DOOR_FIELD, DOOR_NOT_OPEN, DOOR_PBU, DOOR_THROTTLE, FRAME_CANCEL, FRAME_ORDER, FRAME_SESSION,
    MAX_FRAME, FrameKind,
)

cdef enum:
    PAGE = 1 << 16                     # most octets of reports put into one write
    ID_SIZE = 10
    FIRST_IDS = 1 << 10
    FIRST_FRAMES = 1 << 14
    FIRST_BEGINS = 1 << 8


cdef class OrderEntrySink:
    """Takes the orders and cancels that passed the door; the matching engine subclasses it."""

    cdef void on_order(self, int member, const VenueOrder *order, int64_t now_ns) noexcept:
        pass

    cdef void on_cancel(self, int member, const VenueCancel *cancel, int64_t now_ns) noexcept:
        pass


cdef class ReportLog:
    """The day's encoded reports of one partition of one member; grows, and never forgets."""

    def __cinit__(self):
        self.capacity = FIRST_FRAMES
        self.begins_capacity = FIRST_BEGINS
        self.frames = <uint8_t *>malloc(self.capacity)
        self.begins = <uint64_t *>malloc(self.begins_capacity * sizeof(uint64_t))
        if self.frames == NULL or self.begins == NULL:
            raise MemoryError("no memory for a report log")

    def __dealloc__(self):
        free(self.frames)
        free(self.begins)

    cdef uint8_t *reserve(self) noexcept:
        cdef void *grown
        if self.size + MAX_FRAME > self.capacity:
            grown = realloc(self.frames, self.capacity * 2)
            if grown == NULL:
                return NULL
            self.frames = <uint8_t *>grown
            self.capacity *= 2
        if self.count == self.begins_capacity:
            grown = realloc(self.begins, self.begins_capacity * 2 * sizeof(uint64_t))
            if grown == NULL:
                return NULL
            self.begins = <uint64_t *>grown
            self.begins_capacity *= 2
        return self.frames + self.size

    cdef void commit(self, size_t size) noexcept:
        self.begins[self.count] = self.size
        self.count += 1
        self.size += size

    cdef const uint8_t *frame(self, uint64_t report_index, size_t *size) noexcept:
        cdef uint64_t begin = self.begins[report_index - 1]
        size[0] = (self.size if report_index == self.count else self.begins[report_index]) - begin
        return self.frames + begin


cdef class ClOrdIdSet:
    """The ClOrdIDs of one PBU and day."""

    def __cinit__(self):
        self.mask = FIRST_IDS - 1
        self.slots = <char *>calloc(FIRST_IDS, ID_SIZE)
        if self.slots == NULL:
            raise MemoryError("no memory for ClOrdIDs")

    def __dealloc__(self):
        free(self.slots)

    cdef bint add(self, const char *cl_ord_id) noexcept:
        cdef char *slot
        if self.count * 4 >= self.mask * 3 and not self.grow():
            return False
        slot = self.slot_of(self.slots, self.mask, cl_ord_id)
        if memcmp(slot, cl_ord_id, ID_SIZE) == 0:
            return False
        memcpy(slot, cl_ord_id, ID_SIZE)
        self.count += 1
        return True

    cdef char *slot_of(self, char *slots, size_t mask, const char *cl_ord_id) noexcept:
        """Where the id is, or the free slot where it belongs."""
        cdef uint64_t first, second
        cdef char[ID_SIZE] free_slot
        cdef char *slot
        cdef size_t at
        memset(free_slot, 0, ID_SIZE)
        memcpy(&first, cl_ord_id, 8)
        memcpy(&second, cl_ord_id + 2, 8)
        first = (first ^ (second >> 7)) * <uint64_t>0x9E3779B97F4A7C15ULL
        at = <size_t>((first ^ (first >> 29)) & mask)
        slot = slots + at * ID_SIZE
        while memcmp(slot, cl_ord_id, ID_SIZE) != 0 and memcmp(slot, free_slot, ID_SIZE) != 0:
            at = (at + 1) & mask
            slot = slots + at * ID_SIZE
        return slot

    cdef bint grow(self) noexcept:
        cdef size_t mask = self.mask * 2 + 1, at
        cdef char *slots = <char *>calloc(mask + 1, ID_SIZE)
        cdef char[ID_SIZE] free_slot
        if slots == NULL:
            return False
        memset(free_slot, 0, ID_SIZE)
        for at in range(self.mask + 1):
            if memcmp(self.slots + at * ID_SIZE, free_slot, ID_SIZE) != 0:
                memcpy(self.slot_of(slots, mask, self.slots + at * ID_SIZE), self.slots + at * ID_SIZE, ID_SIZE)
        free(self.slots)
        self.slots = slots
        self.mask = mask
        return True


cdef class Member:
    """One PBU for the day: what it was told, which ids it used, and its session while there is one."""

    def __init__(self, int index, str pbu, VenueWire wire, int partition_count):
        self.index = index
        self.pbu = pbu
        self.wire = wire
        self.logs = [ReportLog() for _ in range(partition_count)]
        self.ids = ClOrdIdSet()

    def newest_index(self, int partition) -> int:
        """report_index of the newest report of a partition (from 1); 0 when it has none."""
        return (<ReportLog>self.logs[partition - 1]).count


cdef class Desk:
    """One exchange's order entry: its members, and the way to the matching engine and back.

    partition_count: report partitions (SetID, PartitionNo) 1..n; a symbol's is 1 + symbol mod n.
    """

    def __init__(self, int venue, Turn turn not None, OrderEntrySink sink not None, int partition_count=1):
        if not 1 <= partition_count <= MAX_PARTITIONS:
            raise ValueError(f"partition_count: {partition_count}, expected 1 to {MAX_PARTITIONS}")
        self.venue = venue
        self.turn = turn
        self.sink = sink
        self.partition_count = partition_count
        self.members = []

    def add_member(self, str pbu not None, VenueWire wire not None) -> Member:
        """A PBU that may trade; its index is what the sink sees."""
        member = Member(len(self.members), pbu, wire, self.partition_count)
        self.members.append(member)
        return member

    cdef void report(self, int member_index, VenueReport *report) noexcept:
        cdef Member member = <Member>self.members[member_index]
        cdef ReportLog log
        cdef uint8_t *room
        cdef size_t size = 0
        if report.kind == REPORT_BUSINESS_REJECT:
            self.refuse(member, report)
            return
        report.partition = 1 + <int>(report.symbol % <unsigned int>self.partition_count)
        log = <ReportLog>member.logs[report.partition - 1]
        report.report_index = log.count + 1
        room = log.reserve()
        if room != NULL:
            size = member.wire.encode_report(room, report, 0)
        if size == 0:
            self.unsaid += 1
            return
        log.commit(size)
        if member.session is not None:
            member.session.mark()

    cdef void refuse(self, Member member, VenueReport *report) noexcept:
        """An unnumbered reject: sent when the member is there, and never again."""
        cdef ExchangeSession session = member.session
        cdef uint8_t *room
        cdef size_t size = 0
        self.door_rejects += 1
        if session is None:
            return
        room = session.out.reserve(MAX_FRAME)
        if room != NULL:
            size = member.wire.encode_report(room, report, session.msg_seq_num + 1)
        if size > 0:
            session.msg_seq_num += 1
            session.out.commit(size)
        session.mark()


cdef class ExchangeSession(VenuePeer):
    """One connection of one member: orders in, reports out; faults on demand.

    Session messages go to `on_message`; before `bind` only they are let in.
    """

    def __init__(self, Desk desk not None, VenueWire wire not None, size_t limit=1 << 22):
        VenuePeer.__init__(self, desk.turn, wire, limit)
        self.desk = desk

    def bind(self, Member member not None) -> None:
        """The logon was good: this connection is the member's live one."""
        self.member = member
        self.wire = member.wire
        member.session = self

    cdef void stop(self, str reason):
        self.unbind()
        VenuePeer.stop(self, reason)

    def close(self, str reason not None) -> None:
        VenuePeer.close(self, reason)
        self.unbind()

    def connection_lost(self, exception) -> None:
        self.unbind()
        VenuePeer.connection_lost(self, exception)

    cdef void unbind(self) noexcept:
        # From here on the member may log on again; what this connection was not told, the next one is.
        if self.member is not None and self.member.session is self:
            self.member.session = None

    def synchronise(self, int partition, uint64_t report_index) -> int:
        """Send the partition's reports from report_index on; returns its newest index. ValueError when out of range."""
        cdef ReportLog log
        if not 1 <= partition <= self.desk.partition_count:
            raise ValueError(f"partition: {partition}, expected 1 to {self.desk.partition_count}")
        log = self.member.logs[partition - 1]
        if not 1 <= report_index <= log.count + 1:
            raise ValueError(f"report_index: {report_index}, expected 1 to {log.count + 1}")
        self.next_index[partition - 1] = report_index
        self.mark()
        return log.count

    # ---- in

    cdef bint on_frame(self, FrameKind kind, const uint8_t *frame, size_t size, int64_t now_ns) noexcept:
        cdef VenueOrder order
        cdef VenueCancel cancel
        cdef int reason
        if kind == FRAME_SESSION:
            return VenuePeer.on_frame(self, kind, frame, size, now_ns)
        if self.member is None or kind != FRAME_ORDER and kind != FRAME_CANCEL:
            self.stop(f"{self.wire.type_of(frame)}: not a message for this end, or before Logon")
            return False
        if kind == FRAME_CANCEL:
            reason = self.check_door(frame, self.wire.decode_cancel(frame, size, &cancel), now_ns)
            if reason != 0:
                self.refuse_at_door(cancel.cl_ord_id, cancel.orig_cl_ord_id, cancel.symbol, reason, now_ns)
                return True
            self.desk.cancels += 1
            self.desk.sink.on_cancel(self.member.index, &cancel, now_ns)
            return True
        reason = self.check_door(frame, self.wire.decode_new_order(frame, size, &order), now_ns)
        if reason == 0 and not self.member.ids.add(order.cl_ord_id):
            reason = REASON_DUPLICATE_CL_ORD_ID
        if reason != 0:
            self.refuse_at_door(order.cl_ord_id, NULL, order.symbol, reason, now_ns)
            return True
        self.desk.orders += 1
        self.desk.sink.on_order(self.member.index, &order, now_ns)
        return True

    cdef int check_door(self, const uint8_t *frame, ssize_t taken, int64_t now_ns) noexcept:
        """0 when the message may pass, else the reason; taken: what the decoder said of it."""
        if taken < 0:
            return DOOR_FIELD - <int>taken
        if not self.wire.names_our_pbu(frame):
            return DOOR_PBU
        if self.desk.platform_state != PLATFORM_OPEN:
            return DOOR_NOT_OPEN
        if self.desk.max_orders_per_s == 0:
            return 0
        if now_ns // 1000000000 != self.throttle_second:
            self.throttle_second = now_ns // 1000000000
            self.throttle_count = 0
        self.throttle_count += 1
        return DOOR_THROTTLE if self.throttle_count > self.desk.max_orders_per_s else 0

    cdef void refuse_at_door(self, const char *cl_ord_id, const char *orig_cl_ord_id, unsigned int symbol, int reason,
                             int64_t now_ns) noexcept:
        cdef VenueReport report
        memset(&report, 0, sizeof(report))
        memset(report.orig_cl_ord_id, 32, sizeof(report.orig_cl_ord_id))
        report.kind = REPORT_BUSINESS_REJECT
        report.symbol = symbol
        report.reason = reason
        report.time_ns = now_ns
        memcpy(report.cl_ord_id, cl_ord_id, sizeof(report.cl_ord_id))
        if orig_cl_ord_id != NULL:
            memcpy(report.orig_cl_ord_id, orig_cl_ord_id, sizeof(report.orig_cl_ord_id))
        self.desk.refuse(self.member, &report)

    # ---- out

    cdef void flush(self) noexcept:
        if not self.held:
            VenuePeer.flush(self)

    cdef void fill(self) noexcept:
        cdef ReportLog log
        cdef int partition
        if self.member is None:
            return
        for partition in range(self.desk.partition_count):
            log = <ReportLog>self.member.logs[partition]
            while 0 < self.next_index[partition] <= log.count and self.out.size() < PAGE:
                if not self.send_next(log, partition):
                    return

    cdef bint send_next(self, ReportLog log, int partition) noexcept:
        """Copy the next report of a partition to the socket's buffer; False when there is no room."""
        cdef size_t size
        cdef const uint8_t *frame = log.frame(self.next_index[partition], &size)
        cdef uint8_t *room
        if self.skips > 0:
            self.skips -= 1
            self.next_index[partition] += 1
            return True
        room = self.out.reserve(size)
        if room == NULL:
            return False
        memcpy(room, frame, size)
        self.msg_seq_num += 1
        self.wire.number(room, size, self.msg_seq_num)
        self.out.commit(size)
        if self.repeats > 0:
            self.repeats -= 1
        else:
            self.next_index[partition] += 1
        return True

    cdef bint has_more(self) noexcept:
        cdef int partition
        if self.member is None:
            return False
        for partition in range(self.desk.partition_count):
            if 0 < self.next_index[partition] <= (<ReportLog>self.member.logs[partition]).count:
                return True
        return False

    # ---- faults on demand

    def hold(self, bint held) -> None:
        """Write nothing more until released; reports wait in the log."""
        self.held = held
        if not held:
            self.mark()

    def stop_reading(self) -> None:
        """Leave what the member sends in the socket."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()

    def repeat_report(self, int times=1) -> None:
        """Send the next report `times` more times."""
        self.repeats += times

    def skip_report(self, int times=1) -> None:
        """Leave out the next `times` reports: the member sees a gap."""
        self.skips += times
