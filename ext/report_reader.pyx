"""A day's journal read from outside as it grows: each event as the message that sessions get. Never reads past what it is told.

Keeps only what reports are made of (accounts, groups, rules' names, where each order lies); it folds no money and no rules.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ext.apply cimport apply
from ext.codec cimport MOST_REPORT_SIZE
from ext.codes cimport PASS
from ext.events cimport (
    EV_ACCOUNT, EV_CANCELED, EV_CANCEL_REJECTED, EV_DAY, EV_EXPIRED, EV_NEW, EV_ORDER, EV_ORDER_RELEASED, EV_PHASE, EV_RULE_SET,
    EV_TRADE, ORDER_SUSPENDED, DayEvent, Frame, OrderEvent, ReleaseEvent, RuleSetEvent,
)
from ext.journal cimport JOURNAL_START, Journal
from ext.reports cimport encode_event
from ext.rule_state cimport MOST_RULE_SETS
from ext.state cimport State

from ext.journal import JournalError
from ext.replay import layout_number


cdef uint64_t MOST_BYTES = <uint64_t>1 << 36   # of a journal: the range of addresses that is set aside for it


cdef str exec_type_name(const Frame *frame):
    """What a report of this frame says has happened; CANCEL_REJECT: it is a CancelReject."""
    if frame.type == EV_CANCEL_REJECTED:
        return "CANCEL_REJECT"
    if frame.type == EV_ORDER and (<const OrderEvent *>frame).flags & ORDER_SUSPENDED:
        return "SUSPENDED"
    if frame.type == EV_ORDER:
        return "PENDING_NEW" if (<const OrderEvent *>frame).code == PASS else "REJECTED"
    if frame.type == EV_ORDER_RELEASED:
        return "PENDING_NEW" if (<const ReleaseEvent *>frame).code == PASS else "REJECTED"
    return ("NEW" if frame.type == EV_NEW else "TRADE" if frame.type == EV_TRADE else "CANCELED" if frame.type == EV_CANCELED
            else "EXPIRED" if frame.type == EV_EXPIRED else "REJECTED")


cdef class ReportReader:
    """The reports of one journal file.

    fd: the file, open for reading (may be closed afterwards); end: as advance(); the sizes are those of the writer's state.
    Errors: JournalError when the file is no journal, is of another build, or is damaged.
    """

    cdef readonly State state
    cdef readonly Journal journal      # its end: what is read and checked so far
    cdef uint64_t next_offset          # of the frame that take() looks at next
    cdef uint64_t taken_seq
    cdef readonly uint64_t found       # reports up to the journal's end
    cdef readonly uint64_t taken       # of these, before next_offset

    def __init__(self, int fd, str path, uint64_t end, *, uint32_t most_accounts, uint32_t most_positions, uint32_t most_orders):
        if end < JOURNAL_START:
            raise JournalError(path, 0, f"{end} bytes, expected a journal of at least {JOURNAL_START}")
        self.state = State(most_accounts, most_positions, most_orders)
        self.journal = Journal(fd, MOST_BYTES, path, writable=False)
        self.next_offset = JOURNAL_START
        self.advance(end)

    @property
    def waiting(self) -> int:
        """Reports that are read and not taken."""
        return self.found - self.taken

    def advance(self, uint64_t end) -> None:
        """Read on, up to an offset at which the writer has said that whole frames end (or to the last whole frame before it)."""
        cdef uint64_t offset = self.journal.end
        cdef const Frame *frame
        self.journal.allocated = min(end, MOST_BYTES)
        while offset < end:
            frame = self.journal.next_frame(offset)
            if frame == NULL:
                return
            self.check(frame, offset)
            self.note(frame, offset)
            self.found += frame.event_seq != 0
            offset = self.journal.end

    cdef int check(self, const Frame *frame, uint64_t offset) except -1:
        if frame.type == EV_DAY and (<const DayEvent *>frame).layout != layout_number():
            raise JournalError(self.journal.path, offset, "it was written by another build, with other frames")
        if ((frame.type == EV_ORDER and frame.order_no > self.state.most_orders)
                or (frame.type == EV_ACCOUNT and frame.account >= self.state.most_accounts)):
            raise JournalError(self.journal.path, offset, f"it has more orders or accounts than fit: at most {self.state.most_orders}"
                               f" orders, {self.state.most_accounts} accounts")
        return 0

    cdef void note(self, const Frame *frame, uint64_t offset) noexcept:
        """Keep of a frame what later reports need."""
        if frame.type == EV_ORDER:
            self.state.orders[frame.order_no].frame_offset = offset
            self.state.orders[frame.order_no].account = frame.account
        elif frame.type < EV_ORDER or frame.type > EV_PHASE:
            apply(self.state, frame, offset)
        elif frame.type == EV_RULE_SET and (<const RuleSetEvent *>frame).number < MOST_RULE_SETS:
            self.state.rule_state.rule_sets[(<const RuleSetEvent *>frame).number] = offset
            self.state.rule_state.rule_set_count = (<const RuleSetEvent *>frame).number

    def seek(self, uint64_t seq) -> None:
        """Go on behind the frame with this number (0: at the first), forwards or backwards."""
        cdef const Frame *frame
        if seq < self.taken_seq:
            self.next_offset = JOURNAL_START
            self.taken = 0
            self.taken_seq = 0
        while self.next_offset < self.journal.end:
            frame = self.journal.at(self.next_offset)
            if frame.seq > seq:
                return
            self.taken += frame.event_seq != 0
            self.taken_seq = frame.seq
            self.next_offset += frame.size

    def take(self, int most) -> list:
        """The next reports, at most so many: (journal seq, account, event_seq, exec type, octets of a ServerMessage)."""
        cdef const Frame *frame
        cdef uint8_t octets[MOST_REPORT_SIZE]
        cdef size_t size
        reports = []
        while self.next_offset < self.journal.end and len(reports) < most:
            frame = self.journal.at(self.next_offset)
            if frame.event_seq:
                size = encode_event(octets, self.state, self.journal, frame, True)
                account = self.state.accounts[frame.account].id[:self.state.accounts[frame.account].id_size]
                reports.append((frame.seq, account, frame.event_seq, exec_type_name(frame), (<const char *>octets)[:size]))
                self.taken += 1
            self.taken_seq = frame.seq
            self.next_offset += frame.size
        return reports
