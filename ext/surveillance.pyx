"""The rules for whoever governs them: a rule set put in force, what is in force, the alerts. Judges nothing."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.engine cimport Engine
from ext.events cimport EV_HIT, EV_RULE_SET, Frame, HitEvent, RuleSetEvent
from ext.journal cimport JOURNAL_START
from ext.program cimport Program, open_program, validate_program
from ext.rule_state cimport MOST_ALERTS, MOST_RULE_SETS
from ext.state cimport NONE
from ext.tables cimport strnlen

from ext.program import names, validate
from ext.replay import frame_fields


cdef copy_text(char *to, str text, size_t size):
    cdef bytes octets = text.encode()
    memcpy(to, <const char *>octets, min(len(octets), size))


def put_in_force(Engine engine, bytes program, *, str id, bytes sha256, str by, str approved_by, str reason, int64_t now_ns) -> int:
    """The compiled rules are the rules from now on; their number. sha256: 32 bytes, of the sources.

    Windows, marks and hits go on where their definitions stayed the same. ValueError when the program is not sound or a text is
    too long, OSError when the journal is full: then nothing has changed.
    """
    cdef RuleSetEvent *event
    cdef size_t size = len(program)
    validate(program)
    if len(sha256) != 32:
        raise ValueError(f"sha256: got {len(sha256)} bytes, expected 32")
    if engine.state.rule_state.rule_set_count + 1 >= MOST_RULE_SETS:
        raise ValueError(f"rule sets: {MOST_RULE_SETS - 1} were in force today, which is the most")
    for name, text, most in (("id", id, 48), ("by", by, 32), ("approved_by", approved_by, 32), ("reason", reason, 96)):
        if len(text.encode()) > most:
            raise ValueError(f"{name}: {text!r} is longer than {most} bytes")
    event = <RuleSetEvent *>engine.reserve(EV_RULE_SET, sizeof(RuleSetEvent) + size, NONE, False, now_ns)
    if event == NULL:
        raise OSError("the journal is full")
    event.number = engine.state.rule_state.rule_set_count + 1
    event.program_size = <uint32_t>size
    memcpy(event.sha256, <const char *>sha256, 32)
    copy_text(event.id, id, sizeof(event.id))
    copy_text(event.by, by, sizeof(event.by))
    copy_text(event.approved_by, approved_by, sizeof(event.approved_by))
    copy_text(event.reason, reason, sizeof(event.reason))
    memcpy(<char *>event + sizeof(RuleSetEvent), <const char *>program, size)
    number = event.number
    engine.record(&event.head)
    if engine.state.rule_state.book.number != number:
        raise MemoryError(f"rule set {number}: no memory for its tables; rule set {engine.state.rule_state.book.number} stays in force")
    return number


def drop_retired(Engine engine) -> None:
    """Give back what only the rule set before this one held; it takes a while when that is much."""
    engine.state.rule_state.retired = None


cdef const RuleSetEvent *rule_set_event(Engine engine, uint32_t number) except NULL:
    if not 0 < number <= engine.state.rule_state.rule_set_count:
        raise ValueError(f"rule set {number}: expected 1 to {engine.state.rule_state.rule_set_count}")
    return <const RuleSetEvent *>engine.journal.at(engine.state.rule_state.rule_sets[number])


def rule_set(Engine engine, uint32_t number=0) -> dict:
    """The rule set in force, or another of today: {number, id, sha256, by, approved_by, reason, time_ns, program}; number 0 when
    none is."""
    cdef const RuleSetEvent *event
    if number == 0:
        number = engine.state.rule_state.book.number
    if number == 0:
        return {"number": 0}
    event = rule_set_event(engine, number)
    return {
        "number": number, "id": text(event.id, 48), "sha256": (<const char *>event.sha256)[:32].hex(), "by": text(event.by, 32),
        "approved_by": text(event.approved_by, 32), "reason": text(event.reason, 96), "time_ns": event.head.time_ns,
        "program": (<const char *>event + sizeof(RuleSetEvent))[:event.program_size],
    }


cdef str text(const char *at, size_t size):
    return at[:strnlen(at, size)].decode("utf-8", "replace")


def alert_count(Engine engine) -> int:
    """Number of the newest alert."""
    return engine.state.rule_state.alert_count


def alerts(Engine engine, uint64_t after_seq, int most) -> list:
    """Alerts newer than after_seq, oldest first, at most so many: {alert_seq, type, time_ns, ...} with the frame's fields, and
    account, group, symbol and venue by name where the alert has them. Factors are {factor, unit, value, limit}."""
    cdef uint64_t number
    cdef uint64_t last = min(engine.state.rule_state.alert_count, MOST_ALERTS, after_seq + max(most, 0))
    found = []
    for number in range(after_seq + 1, last + 1):
        found.append(alert(engine, number))
    return found


cdef dict alert(Engine engine, uint64_t number):
    cdef const Frame *frame = engine.journal.at(engine.state.rule_state.alerts[number])
    fields = frame_fields(engine.journal, engine.state.rule_state.alerts[number])
    fields["alert_seq"] = number
    fields["offset"] = engine.state.rule_state.alerts[number]
    if frame.account < engine.state.account_count:
        fields["account"] = text(engine.state.accounts[frame.account].id, 16)
        group = engine.state.accounts[frame.account].group
        fields["group"] = "" if group == NONE else text(engine.state.groups[<uint32_t>group].id, 16)
    if frame.type == EV_HIT:
        name_hit(engine, <const HitEvent *>frame, fields)
    return fields


cdef name_hit(Engine engine, const HitEvent *event, dict fields):
    """The rule's id and version, and the instrument's symbol."""
    cdef Program program
    open_program(<const uint8_t *>rule_set_event(engine, event.rule_set) + sizeof(RuleSetEvent), &program)
    fields["rule_id"] = text(program.rules[event.rule - 1].id, 24)
    fields["rule_version"] = program.rules[event.rule - 1].version
    if event.instrument < engine.state.instrument_count:
        fields["symbol"] = f"{engine.state.instruments[event.instrument].symbol:06d}"
        fields["venue"] = engine.state.instruments[event.instrument].venue


def hit_counts(Engine engine) -> dict:
    """{recorded, cooling, lost} since start: hits in the journal, not repeated because of cool_off, and without room."""
    return {"recorded": engine.event_counts[<int>EV_HIT], "cooling": engine.hits_cooling, "lost": engine.hits_lost}


def on_time(Engine engine, int64_t now_ns) -> None:
    """Called ten times a second: quotes that waited long enough are recorded, and own rows that were left over looked at."""
    engine.record_due(now_ns)
    engine.survey_left(now_ns)


def resume(Engine engine) -> None:
    """After a fold of its own: find again whom the next quote of each instrument concerns, from what came since its last one."""
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    cdef bint has_rules = False
    while offset < engine.journal.end:
        frame = engine.journal.at(offset)
        has_rules = has_rules or frame.type == EV_RULE_SET
        if has_rules:
            engine.watch_frame(frame)
        offset += frame.size
    resume_holding(engine)


def resume_holding(Engine engine) -> None:
    """After a fold that watched: go on with the rows where a condition with `for` holds."""
    cdef uint32_t position
    for position in range(engine.state.position_count):
        engine.watch_holding(position)
