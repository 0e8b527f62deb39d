"""What is wrong with a damaged journal, told apart as far as its octets can tell. Reads only, and only where a frame is bad.

A frame's checksum begins with the one before it, so two neighbours prove each other wherever they stand.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ext.events cimport EV_TYPE_COUNT, Frame
from ext.journal cimport MOST_FRAME, Journal, crc32c, most_size

cdef enum:
    MOST_WALKED = 1 << 20              # frames that are looked through for one that is out of order
    MOST_LOOKED = 1 << 20              # octets behind a bad frame that are looked through for the next one
    NEAR = 256                         # frames that may be lost between them


def fault(Journal journal, uint64_t offset) -> Exception:
    """The JournalError of the frame at offset, which is not the one that should follow journal.seq there."""
    cdef uint64_t number = journal.seq + 1
    cdef uint64_t segment = touched(journal, offset)
    cdef const Frame *frame = plausible(journal, offset)
    if journal.last_octet(offset) <= offset or offset + sizeof(Frame) > journal.allocated:
        return journal.error(offset, f"frame {number} is missing: {why_it_ends(journal, offset)}")
    if continued(journal, offset):
        return journal.error(offset, f"frame {number} is changed: {what_changed(journal, frame)}")
    if is_cut_short(journal, offset):
        return journal.error(offset, f"frame {number} is cut short: it goes on in the next segment, which is not there")
    if frame != NULL and crc_as(frame, number, journal.crc) == frame.crc:
        return journal.error(offset, f"frame {number} is changed: {what_changed(journal, frame)}")
    if segment:
        return foreign(journal, segment, number)
    if frame != NULL and frame.seq != number:
        return journal.error(offset, misplaced(journal, frame, number))
    return journal.error(offset, unreadable(journal, offset, number))


cdef uint64_t touched(Journal journal, uint64_t offset) noexcept:
    """The segment that begins inside the frame at offset, or with it; 0: none does."""
    cdef const Frame *frame = plausible(journal, offset)
    cdef uint64_t first = offset // journal.segment_size
    cdef uint64_t last = (offset + (frame.size if frame != NULL else sizeof(Frame)) - 1) // journal.segment_size
    if last != first:
        return first + 1
    return first if offset % journal.segment_size == 0 else 0


cdef const Frame *plausible(Journal journal, uint64_t offset) noexcept:
    """The frame at offset when its header could be one and it ends within the journal; NULL: it cannot be one."""
    cdef const Frame *frame
    if offset + sizeof(Frame) > journal.allocated:
        return NULL
    frame = journal.at(offset)
    if not sizeof(Frame) <= frame.size <= most_size(frame) or frame.size % 8 or offset + frame.size > journal.allocated:
        return NULL
    return frame if 0 < frame.type < EV_TYPE_COUNT else NULL


cdef const Frame *behind(Journal journal, const Frame *frame) noexcept:
    return plausible(journal, <uint64_t>(<const uint8_t *>frame - journal.base) + frame.size)


cdef uint32_t crc_as(const Frame *frame, uint64_t number, uint32_t seed) noexcept:
    """The frame's checksum, had it this number: the number is its first octets that count."""
    cdef uint32_t crc = crc32c(<const uint8_t *>&number, sizeof(uint64_t), seed)
    return crc32c(<const uint8_t *>frame + 16, frame.size - 16, crc)


def is_followed(Journal journal, uint64_t offset) -> bool:
    """Whether frames that were committed later stand behind what is at offset, wherever that would end."""
    cdef uint64_t last = min(journal.allocated, offset + MOST_LOOKED)
    cdef uint64_t at = offset + 8
    cdef const Frame *frame
    while at < last:
        frame = plausible(journal, at)
        if frame != NULL and journal.seq + 1 < frame.seq <= journal.seq + NEAR:
            return True
        at += 8
    return False


cdef bint continued(Journal journal, uint64_t offset) noexcept:
    """Whether the frame that should come next comes somewhere behind, and continues the one at offset: by the checksum that
    this one says, or by the one it should have."""
    cdef uint64_t at = offset + sizeof(Frame)
    cdef const Frame *frame = plausible(journal, offset)
    cdef const Frame *after
    # No further than a frame can be long: in swapped segments it stands elsewhere.
    cdef uint64_t last = offset + (MOST_FRAME if frame == NULL else max(<uint64_t>MOST_FRAME, frame.size))
    while at <= last:
        after = plausible(journal, at)
        if after != NULL and after.seq == journal.seq + 2:
            if after.crc == crc_as(after, after.seq, journal.at(offset).crc):
                return True
            if frame != NULL and after.crc == crc_as(after, after.seq, crc_as(frame, frame.seq, journal.crc)):
                return True
        at += 8
    return False


cdef bint is_cut_short(Journal journal, uint64_t offset) noexcept:
    """Whether the frame at offset reaches past the last segment, which is full."""
    cdef const Frame *frame = journal.at(offset)
    return (journal.allocated == journal.segment_count * journal.segment_size
            and sizeof(Frame) <= frame.size <= most_size(frame) and offset + frame.size > journal.allocated)


cdef str what_changed(Journal journal, const Frame *frame):
    cdef uint64_t number = journal.seq + 1
    if frame == NULL:
        return "its header fits no frame"
    if frame.seq != number and crc_as(frame, number, journal.crc) == frame.crc:
        return f"its number says {frame.seq}"
    if frame.crc == crc_as(frame, frame.seq, journal.crc):
        return f"its number says {frame.seq}"
    return "its octets and its checksum do not agree"


cdef str why_it_ends(Journal journal, uint64_t offset):
    """Nothing stands at the offset, and something should."""
    if offset < journal.synced_end:
        return f"the journal ends here, but was on the disk up to offset {journal.synced_end} of the day"
    return f"the last segment, {journal.paths[journal.segment_count - 1]}, is full, and the next one is not there"


cdef foreign(Journal journal, uint64_t segment, uint64_t number):
    """The frame breaks where a segment begins: what is in that segment instead."""
    cdef uint64_t begins = segment * journal.segment_size
    cdef uint64_t other
    if segment >= journal.segment_count:
        return journal.error(begins - 1, f"frame {number} is cut short: the next segment is not there")
    first = first_number(journal, segment)
    if first is None:
        return journal.error(begins, f"frame {number} is broken where this segment begins: it holds no frame")
    for other in range(1, journal.segment_count):
        if other != segment and first_number(journal, other) in (number, number + 1):
            return journal.error(begins, f"frame {number} is broken where this segment begins: it begins with frame {first}; what "
                                 f"belongs here is in {journal.paths[other]}: they are swapped")
    return journal.error(begins, f"frame {number} is broken where this segment begins: it does not continue the one before it and "
                         f"begins with frame {first}: it is of another journal, or changed")


cdef first_number(Journal journal, uint64_t segment):
    """Number of the first frame that begins in a segment and is proven by its neighbour; None: there is none."""
    found = proven(journal, segment * journal.segment_size, min((segment + 1) * journal.segment_size, journal.allocated))
    return None if found is None else found[1]


cdef proven(Journal journal, uint64_t first, uint64_t last):
    """(offset, number) of the first frame in a stretch that the one behind it continues; None: there is none."""
    cdef const Frame *frame
    cdef const Frame *after
    cdef uint64_t at = (first + 7) & ~<uint64_t>7
    while at < last:
        frame = plausible(journal, at)
        after = frame
        if frame != NULL:
            after = behind(journal, frame)
        if after != NULL and after.seq == frame.seq + 1 and after.crc == crc_as(after, after.seq, frame.crc):
            return at, frame.seq
        at += 8
    return None


cdef str misplaced(Journal journal, const Frame *frame, uint64_t number):
    """A frame with another number stands where this one belongs."""
    cdef const Frame *after = frame
    cdef int walked = 0
    cdef uint64_t stands = frame.seq
    while after != NULL and walked < MOST_WALKED:
        if after.seq == number:
            at = <uint64_t>(<const uint8_t *>after - journal.base)
            return f"frame {number} is out of order: frame {stands} stands in its place, and frame {number} behind it, at offset {at} of the day"
        after = behind(journal, after)
        walked += 1
    if stands < number:
        return f"frame {number} is missing: frame {stands} stands in its place, a second time"
    return f"{numbered(number, stands)} missing: frame {stands} stands in {'its' if stands == number + 1 else 'their'} place"


cdef str numbered(uint64_t first, uint64_t after):
    """Of the frames from first up to, without, after."""
    return f"frame {first} is" if after == first + 1 else f"frames {first} to {after - 1} are"


cdef str unreadable(Journal journal, uint64_t offset, uint64_t number):
    """No frame that could be one: where frames go on, if they do."""
    cdef const Frame *frame = journal.at(offset)
    found = proven(journal, offset, journal.allocated)
    instead = "zeros stand in its place" if frame.size == 0 and frame.seq == 0 and frame.crc == 0 else \
        "its octets and its checksum do not agree"
    if found is None:
        return f"frame {number} is changed: {instead}; no whole frame follows"
    if frame.size == 0 and found[1] > number:
        return f"{numbered(number, found[1])} missing: {instead}; frame {found[1]} follows at offset {found[0]} of the day"
    return f"frame {number} is changed: {instead}; frame {found[1]} follows at offset {found[0]} of the day"
