"""Frames put into a journal one by one, and how long each took: what tests and benchmarks of the journal itself need."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from ext.clock cimport now_ns
from ext.events cimport EV_PHASE, EV_RULE_SET, Frame
from ext.journal cimport Journal
from ext.syncer cimport Syncer


def append(Journal journal, uint64_t size, int octet, bint is_rule_set=False) -> bool:
    """One frame of so many octets, its body filled with one octet; False: no room."""
    cdef Frame *frame = journal.reserve(EV_RULE_SET if is_rule_set else EV_PHASE, size, 1)
    if frame == NULL:
        return False
    memset(<uint8_t *>frame + sizeof(Frame), octet, size - sizeof(Frame))
    journal.commit(frame)
    return True


def half_append(Journal journal, uint64_t size, int octet) -> bool:
    """As append, but the frame is not committed: what a process leaves that dies then."""
    cdef Frame *frame = journal.reserve(EV_PHASE, size, 1)
    if frame == NULL:
        return False
    memset(<uint8_t *>frame + sizeof(Frame), octet, size - sizeof(Frame))
    return True


def read_all(Journal journal) -> list:
    """(offset, size, seq) of every frame from the first, as recovery reads them."""
    cdef uint64_t offset = 64
    cdef const Frame *frame
    found = []
    journal.rewind()
    while True:
        frame = journal.next_frame(offset)
        if frame == NULL:
            return found
        found.append((offset, frame.size, frame.seq))
        offset = journal.end


def append_times(Journal journal, list into, uint64_t count, uint64_t size, int64_t pause_ns, Syncer syncer=None) -> None:
    """So many frames, one each pause_ns; how many ns each append took goes into `into`. The syncer is asked after each."""
    cdef int64_t began, took
    cdef int64_t due = now_ns()
    for _ in range(count):
        due += pause_ns
        while now_ns() < due:
            pass
        began = now_ns()
        append(journal, size, 7)
        if syncer is not None:
            syncer.request()
        took = now_ns() - began
        into.append(took)


def has_room_for(Journal journal, uint64_t size) -> bool:
    """As the engine asks."""
    return journal.has_room(size)


def touch(Journal journal, uint64_t size) -> None:
    """Make the next pages real, as ext/ahead does."""
    cdef uint64_t at = journal.end
    cdef volatile uint8_t *octet
    while at < journal.end + size:
        octet = <volatile uint8_t *>(journal.base + at)
        octet[0] = octet[0]
        at += 4096
