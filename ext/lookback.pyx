"""Looking back into a journal for people: the frames one question is about, as Python values. Writes nothing, folds nothing."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from ext.events cimport (
    EV_ACCOUNT, EV_ADMIN, EV_DAY, EV_GROUP, EV_HIT, EV_INSTRUMENT, EV_ORDER, EV_ORDER_RELEASED, EV_PROFILE, EV_QUOTE,
    EV_RULE_SET, EV_RULES, EV_TYPE_COUNT, AdminEvent, DayEvent, Frame, OrderEvent, QuoteEvent, ReleaseEvent, RuleSetEvent,
)
from ext.journal cimport JOURNAL_START, Journal
from ext.state cimport NONE, AccountEvent, Group, Instrument, Profile, Rules

from ext.program import names as program_names
from ext.replay import EVENT_NAMES, frame_fields

def picked(Journal journal, types, *, account=None, uint32_t order_no=0, instrument=None, uint64_t before=0):
    """Frames of these types (names as in replay.EVENT_NAMES), oldest first, each as {offset, type, time_ns, ...its fields}.

    account, order_no, instrument (of EV_QUOTE alone): only frames of theirs. before: none from this offset on. A frame that is
    not wanted costs its checksum and no Python object. Raises JournalError at a damaged frame.
    """
    cdef bint wanted[<int>EV_TYPE_COUNT]
    cdef uint32_t wanted_account = NONE if account is None else account
    cdef uint32_t wanted_instrument = NONE if instrument is None else instrument
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    for number in range(EV_TYPE_COUNT):
        wanted[<int>number] = EVENT_NAMES.get(number) in types
    journal.rewind()
    while before == 0 or offset < before:
        frame = journal.next_frame(offset)
        if frame == NULL:
            return
        end = journal.end
        if wanted[frame.type] and is_of(frame, wanted_account, order_no, wanted_instrument):
            yield {"offset": offset, **fields_at(journal, offset)}
        offset = end


cdef inline bint is_of(const Frame *frame, uint32_t account, uint32_t order_no, uint32_t instrument) noexcept:
    if account != NONE and frame.account != account:
        return False
    if order_no and frame.order_no != order_no:
        return False
    return instrument == NONE or frame.type != EV_QUOTE or (<const QuoteEvent *>frame).instrument == instrument


def find_order(Journal journal, *, uint32_t order_no=0, account=None, str cl_ord_id="") -> int:
    """Offset of an order's EV_ORDER, by its number or by account index and cl_ord_id; 0: there is none."""
    cdef bytes name = cl_ord_id.encode()
    cdef const char *octets = name
    cdef uint32_t wanted_account = NONE if account is None else account
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    cdef const OrderEvent *event
    journal.rewind()
    while True:
        frame = journal.next_frame(offset)
        if frame == NULL:
            return 0
        if frame.type == EV_ORDER:
            event = <const OrderEvent *>frame
            if order_no:
                if frame.order_no == order_no:
                    return offset
            elif (frame.account == wanted_account and event.cl_ord_id_size == len(name)
                    and memcmp(event.cl_ord_id, octets, event.cl_ord_id_size) == 0):
                return offset
        offset = journal.end


def newest_quote(Journal journal, uint32_t instrument, uint64_t before) -> dict | None:
    """The last recorded quote of an instrument before an offset."""
    cdef uint64_t offset = JOURNAL_START
    cdef uint64_t found = 0
    cdef const Frame *frame
    journal.rewind()
    while offset < before:
        frame = journal.next_frame(offset)
        if frame == NULL:
            break
        if frame.type == EV_QUOTE and (<const QuoteEvent *>frame).instrument == instrument:
            found = offset
        offset = journal.end
    return fields_at(journal, found) if found else None


def find_account(Journal journal, str account) -> int | None:
    """An account's index by its id."""
    cdef bytes name = account.encode()
    cdef const char *octets = name
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    journal.rewind()
    while True:
        frame = journal.next_frame(offset)
        if frame == NULL:
            return None
        if (frame.type == EV_ACCOUNT and (<const AccountEvent *>frame).id_size == len(name)
                and memcmp((<const AccountEvent *>frame).id, octets, len(name)) == 0):
            return frame.account
        offset = journal.end


# --- one frame for people ---


def fields_at(Journal journal, uint64_t offset) -> dict:
    """The fields of the frame at an offset that is known to hold one, its type and time; of a setting what it is called."""
    cdef const Frame *frame = journal.at(offset)
    fields = frame_fields(journal, offset) | {"seq": frame.seq}
    if frame.type == EV_ORDER:
        return fields | {"instrument": (<const OrderEvent *>frame).instrument}
    if frame.type == EV_ORDER_RELEASED:
        return fields | {"order_id": frame.order_no, "rule": (<const ReleaseEvent *>frame).rule,
                         "rule_set": (<const ReleaseEvent *>frame).rule_set}
    if frame.type == EV_HIT:
        return fields | {"account": frame.account, "order_id": frame.order_no}
    if frame.type == EV_RULE_SET:
        return fields | program_of(<const RuleSetEvent *>frame)
    if frame.type == EV_ADMIN:
        return fields | {"sha256": hex_of((<const AdminEvent *>frame).sha256)}
    return fields | setting_fields(frame)


cdef dict setting_fields(const Frame *frame):
    """What a setting is called, and where it hangs."""
    if frame.type == EV_DAY:
        return {"trade_date": (<const DayEvent *>frame).trade_date, "shard": (<const DayEvent *>frame).shard}
    if frame.type == EV_RULES:
        return {"id": text((<const Rules *>frame).rule_id, 24), "version": (<const Rules *>frame).version}
    if frame.type == EV_GROUP:
        return {"index": (<const Group *>frame).index, "id": text((<const Group *>frame).id, 16)}
    if frame.type == EV_PROFILE:
        return {"index": (<const Profile *>frame).index}
    if frame.type == EV_ACCOUNT:
        return {"account": frame.account, "id": text((<const AccountEvent *>frame).id, 16),
                "profile": (<const AccountEvent *>frame).profile, "group": (<const AccountEvent *>frame).group,
                "state": (<const AccountEvent *>frame).state, "tags": (<const AccountEvent *>frame).tags}
    if frame.type == EV_INSTRUMENT:
        return {"symbol": f"{(<const Instrument *>frame).symbol:06d}", "venue": (<const Instrument *>frame).venue}
    return {}


cdef str text(const char *at, int size):
    return at[:size].decode("utf-8", "replace").rstrip(" \x00")


cdef str hex_of(const uint8_t *digest):
    return (<const char *>digest)[:32].hex()


cdef dict program_of(const RuleSetEvent *event):
    """A rule set's octets, and its names as the compiler left them."""
    program = (<const char *>event)[sizeof(RuleSetEvent):sizeof(RuleSetEvent) + event.program_size]
    return {"program": program, "names": program_names(program)}
