"""A standby's end of the journal: another process's octets, appended as they came and applied. It decides nothing.

Primary and standby journals are the same octets at the same offsets, so their states are equal, and their hashes prove it.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.apply cimport apply
from ext.engine cimport Engine
from ext.events cimport EV_DAY, EV_OWNER, DayEvent, Frame, OwnerEvent
from ext.journal cimport JOURNAL_START, Journal
from ext.replay cimport has_row
from ext.state cimport NONE
from ext.sweeps cimport copy_name

from ext.journal import JournalError
from ext.replay import layout_number


cdef class Follower:
    """Appends frames to an engine's journal and applies them to its state; the engine decides nothing meanwhile.

    `applied` is where applying has got to: frames are safe here once they are appended, and applied a little later.
    """

    cdef Engine engine
    cdef readonly uint64_t applied
    cdef readonly int64_t frames

    def __init__(self, Engine engine not None):
        self.engine = engine
        self.applied = engine.journal.end

    def append(self, uint64_t offset, bytes octets) -> int:
        """Take whole frames that belong at `offset`, the end of this journal; the new end.

        Raises JournalError when they do not continue this journal's chain, or when there is no room for them.
        """
        cdef Journal journal = self.engine.journal
        cdef uint64_t size = len(octets)
        if offset != journal.end:
            raise JournalError(journal.path, journal.end, f"octets for offset {offset} came, expected {journal.end}")
        if not journal.has_room(size):
            raise JournalError(journal.path, journal.end, f"no room for {size} octets more")
        memcpy(journal.base + offset, <const char *>octets, size)
        try:
            while journal.end < offset + size:
                if journal.next_frame(journal.end) == NULL:
                    raise JournalError(journal.path, journal.end, "what came is not a whole number of frames")
                self.frames += 1
        except JournalError:
            # What is not part of the chain must not lie behind it, where recovery would take it for damage.
            memset(journal.base + journal.end, 0, offset + size - journal.end)
            raise
        return journal.end

    def apply(self) -> None:
        """Apply every frame that was appended. Raises JournalError at one that this state has no row for."""
        cdef Journal journal = self.engine.journal
        cdef const Frame *frame
        while self.applied < journal.end:
            frame = journal.at(self.applied)
            if frame.type == EV_DAY and (<const DayEvent *>frame).layout != layout_number():
                raise JournalError(journal.path, self.applied, "the primary is of another build, with other frames")
            if not has_row(self.engine.state, frame):
                raise JournalError(journal.path, self.applied, "it has more orders, accounts or positions than fit here")
            apply(self.engine.state, frame, self.applied)
            self.engine.watch_frame(frame)
            self.applied += frame.size


def tail(Journal journal) -> tuple:
    """(end, offset of the newest frame, its sequence, its checksum): what a standby says it has."""
    return journal.end, journal.newest, journal.seq, journal.crc


def is_part(Journal journal, uint64_t end, uint64_t newest, uint64_t seq, uint32_t crc) -> bool:
    """Whether a journal with this tail is the beginning of this one."""
    cdef const Frame *frame
    if end == JOURNAL_START:
        return True
    if not JOURNAL_START <= newest < journal.end or newest % 8 or newest + sizeof(Frame) > journal.end:
        return False
    frame = journal.at(newest)
    return frame.seq == seq and frame.crc == crc and newest + frame.size == end


def octets(Journal journal, uint64_t start, uint64_t most) -> bytes:
    """Whole frames from `start` on: at most so many octets of them, but one frame at least; empty at the end."""
    cdef uint64_t end = start
    if journal.end - start <= most:
        end = journal.end
    while end < journal.end and (end == start or end + journal.at(end).size - start <= most):
        end += journal.at(end).size
    return (<const char *>journal.base + start)[:end - start]


def record_owner(Engine engine, uint32_t epoch, str node, int64_t now_ns) -> None:
    """This process owns the shard from now on; journaled before anything else it does. OSError: the journal is full."""
    cdef OwnerEvent *event = <OwnerEvent *>engine.reserve(EV_OWNER, sizeof(OwnerEvent), NONE, False, now_ns)
    if event == NULL:
        raise OSError("the journal is full")
    event.epoch = epoch
    copy_name(event.node, node, sizeof(event.node))
    engine.record(&event.head)
