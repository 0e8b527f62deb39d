"""The compiled rule set: assembled from the compiler's plain values, validated octet by octet, its names read back. Runs nothing.

`assemble` fills in no default and judges no rule: the compiler does. `validate_program` trusts no octet.
"""

import json

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ext.codes cimport PHASE_COUNT, SELL, VENUE_COUNT
from ext.events cimport LEVEL_FIRM_KILL
from ext.journal cimport crc32c
from ext.tables cimport hash_bytes

from ext.program_pack import pack

FAULTS: dict[int, str] = {
    FAULT_SIZE: "size: the octets are not as many as the header says, or not 8-byte aligned",
    FAULT_MAGIC: "magic: this is no compiled rule set",
    FAULT_LAYOUT: "layout: compiled for another version",
    FAULT_CRC: "crc: the octets were damaged",
    FAULT_COUNTS: "counts: more of something than a program may have",
    FAULT_FEATURE: "feature: a field out of range",
    FAULT_MARK: "mark: a field out of range",
    FAULT_RULE: "rule: a field out of range",
    FAULT_OP: "op: an unknown code or a feature that is not there",
    FAULT_JUMP: "jump: not forward, or out of the code",
    FAULT_STACK: "stack: too deep, empty, or not the same on two ways",
    FAULT_SCOPE: "scope: the table of names is no table",
    FAULT_SECURITY: "security: not sorted, or out of range",
    FAULT_EXEMPT: "exempt: not sorted",
    FAULT_MEMORY: "memory: there is not enough",
}

cdef enum:
    MOST_OPS = 1 << 22
    MOST_LISTED = 1 << 22              # rule numbers, prefixes, securities, exemptions, slots
    MOST_SYMBOL = 999999
    DAY_S = 86400
    ALL_EVENTS = (1 << RULE_EVENT_COUNT) - 1
    JUDGED_EVENTS = (1 << ON_REJECT) - 1
    ALL_EFFECTS = EFFECT_BLOCK | EFFECT_CONFIRM | EFFECT_SELLS | EFFECT_THIS_INSTRUMENT
    ALL_FILTERS = 2 * FILTER_MARKET - 1

cdef int64_t LEAST_WINDOW_NS = 100000000
cdef int64_t MOST_WINDOW_NS = 1800000000000


# --- where things stand ---


cdef inline uint64_t aligned(uint64_t size) noexcept:
    return (size + 7) & ~<uint64_t>7


cdef void open_program(const uint8_t *octets, Program *program) noexcept:
    """Sets the pointers; reads only the header, whose counts it believes."""
    cdef const ProgramHeader *head = <const ProgramHeader *>octets
    cdef uint64_t at = sizeof(ProgramHeader)
    program.head = head
    program.features = <const Feature *>(octets + at)
    at += head.feature_count * <uint64_t>sizeof(Feature)
    program.marks = <const Mark *>(octets + at)
    at += head.mark_count * <uint64_t>sizeof(Mark)
    program.rules = <const Rule *>(octets + at)
    at += aligned(head.rule_count * <uint64_t>sizeof(Rule))
    program.ops = <const Op *>(octets + at)
    at += head.op_count * <uint64_t>sizeof(Op)
    program.slots = <const ScopeSlot *>(octets + at)
    at += head.slot_count * <uint64_t>sizeof(ScopeSlot)
    program.lists = <const uint32_t *>(octets + at)
    at += aligned(head.list_count * <uint64_t>sizeof(uint32_t))
    program.prefixes = <const ScopePrefix *>(octets + at)
    at += head.prefix_count * <uint64_t>sizeof(ScopePrefix)
    program.securities = <const SecurityEntry *>(octets + at)
    at += head.security_count * <uint64_t>sizeof(SecurityEntry)
    program.exempts = <const ExemptEntry *>(octets + at)
    at += head.exempt_count * <uint64_t>sizeof(ExemptEntry)
    program.names = <const char *>(octets + at)
    program.size = at + aligned(head.names_size)


# --- validation ---


cdef int validate_program(const uint8_t *octets, size_t size) noexcept:
    """1 when every index, jump and range of the octets is sound, else a ProgramFault. Reads nothing behind `size`."""
    cdef Program program
    cdef const ProgramHeader *head = <const ProgramHeader *>octets
    cdef int verdict
    if size < sizeof(ProgramHeader) or size % 8 or <size_t>octets % 8:
        return FAULT_SIZE
    if head.magic != PROGRAM_MAGIC:
        return FAULT_MAGIC
    if head.layout != PROGRAM_LAYOUT:
        return FAULT_LAYOUT
    open_program(octets, &program)
    if head.size != size or program.size != size:
        return FAULT_SIZE
    if head.crc != crc32c(octets + sizeof(ProgramHeader), size - sizeof(ProgramHeader), 0):
        return FAULT_CRC
    if (head.feature_count > MOST_FEATURES or head.mark_count > MOST_MARKS or head.rule_count > MOST_RULES
            or head.op_count > MOST_OPS or head.slot_count > MOST_LISTED or head.list_count > MOST_LISTED
            or head.prefix_count > MOST_LISTED or head.security_count > MOST_LISTED or head.exempt_count > MOST_LISTED):
        return FAULT_COUNTS
    verdict = check_features(&program)
    if verdict == 1:
        verdict = check_marks(&program)
    if verdict == 1:
        verdict = check_rules(&program)
    if verdict == 1:
        verdict = check_scopes(&program)
    return check_code(&program) if verdict == 1 else verdict


cdef inline bint is_index(uint32_t index, uint32_t count) noexcept:
    return index == NOTHING or index < count


cdef int check_features(const Program *program) noexcept:
    cdef const Feature *feature
    cdef uint32_t at
    for at in range(program.head.feature_count):
        feature = &program.features[at]
        if (feature.kind > FEATURE_INSTANT or feature.amount > AMOUNT_E4 or feature.events > ALL_EVENTS
                or feature.side > SELL or feature.key >= KEY_COUNT or feature.venue >= VENUE_COUNT
                or feature.unit > UNIT_FLAG or feature.instant >= INSTANT_COUNT or feature.filters > ALL_FILTERS):
            return FAULT_FEATURE
        if feature.beyond_ppm < 0 or feature.within_ns < 0 or not is_index(feature.mark, program.head.mark_count):
            return FAULT_FEATURE
        if feature.key == KEY_FIXED and (feature.venue == 0 or feature.symbol > MOST_SYMBOL):
            return FAULT_FEATURE
        if not is_window_sound(feature) or not is_source_sound(feature):
            return FAULT_FEATURE
    return 1


cdef bint is_window_sound(const Feature *feature) noexcept:
    if feature.kind == FEATURE_AGE or feature.kind == FEATURE_INSTANT:
        return True
    if feature.window_ns in (WINDOW_DAY, WINDOW_PHASE):
        return True
    return LEAST_WINDOW_NS <= feature.window_ns <= MOST_WINDOW_NS


cdef bint is_source_sound(const Feature *feature) noexcept:
    """What a feature is fed by goes together: marks where a mark is needed, market features only of an instrument's or venue's row."""
    cdef bint needs_mark = (feature.kind == FEATURE_AGE or feature.filters & FILTER_AFTER
                            or (feature.kind <= FEATURE_MAX and feature.events & (1 << ON_MARK)))
    cdef bint of_market = feature.kind in (FEATURE_MOVE, FEATURE_HIGH, FEATURE_LOW)
    if needs_mark and feature.mark == NOTHING:
        return False
    if of_market and feature.key != KEY_INSTRUMENT and feature.key != KEY_FIXED:
        return False
    if not feature.filters & FILTER_MARKET:
        return of_market or feature.key != KEY_FIXED or feature.kind == FEATURE_INSTANT
    return (feature.kind == FEATURE_SUM and feature.amount != AMOUNT_ONE and feature.events == 0
            and (feature.key == KEY_INSTRUMENT or feature.key == KEY_VENUE or feature.key == KEY_FIXED))


cdef int check_marks(const Program *program) noexcept:
    cdef const Mark *mark
    cdef uint32_t at
    for at in range(program.head.mark_count):
        mark = &program.marks[at]
        if (mark.gap_ns < 0 or mark.rule >= program.head.rule_count or mark.key >= KEY_FIXED
                or mark.events > JUDGED_EVENTS or not is_index(mark.code, program.head.op_count)):
            return FAULT_MARK
    return 1


cdef bint is_stage_sound(const Stage *stage, uint32_t op_count) noexcept:
    return (stage.until_ns >= 0 and is_index(stage.code, op_count) and stage.level <= LEVEL_FIRM_KILL
            and stage.effects <= ALL_EFFECTS)


cdef int check_rules(const Program *program) noexcept:
    cdef const Rule *rule
    cdef const ProgramHeader *head = program.head
    cdef uint32_t at
    for at in range(head.rule_count):
        rule = &program.rules[at]
        if not is_stage_sound(&rule.warn, head.op_count) or not is_stage_sound(&rule.breach, head.op_count):
            return FAULT_RULE
        if (rule.valid_from_ns < 0 or rule.valid_to_ns < 0 or rule.for_ns < 0 or rule.cool_off_ns < 0
                or rule.escalate_within_ns < WINDOW_PHASE or rule.time_from_s > DAY_S or rule.time_to_s > DAY_S):
            return FAULT_RULE
        if (not is_index(rule.for_mark, head.mark_count) or not is_index(rule.hit_mark, head.mark_count)
                or not is_index(rule.hit_feature, head.feature_count)):
            return FAULT_RULE
        if (rule.for_ns > 0 and rule.for_mark == NOTHING) or (rule.escalate_hits and rule.hit_feature == NOTHING):
            return FAULT_RULE
        if (rule.reject_code < 2 or rule.events > JUDGED_EVENTS or rule.key >= KEY_FIXED or rule.mode > MODE_ENFORCE
                or rule.canary_pct > 100 or rule.st > 2 or rule.escalate_to > LEVEL_FIRM_KILL
                or rule.phases >= 1 << PHASE_COUNT or not is_name(rule.id, sizeof(rule.id))):
            return FAULT_RULE
        if not are_securities_sound(program, rule):
            return FAULT_SECURITY
        if not are_exempts_sound(program, rule):
            return FAULT_EXEMPT
    return 1


cdef bint is_name(const char *text, size_t size) noexcept:
    """Printable ASCII, then zeros: names go into texts of rejects."""
    cdef size_t at = 0
    while at < size and 33 <= text[at] <= 126:
        at += 1
    if at == 0:
        return False
    while at < size and text[at] == 0:
        at += 1
    return at == size


cdef inline uint64_t security_key(const SecurityEntry *entry) noexcept:
    return (<uint64_t>entry.venue << 32) | entry.symbol


cdef bint are_securities_sound(const Program *program, const Rule *rule) noexcept:
    cdef const SecurityEntry *entries = program.securities + rule.securities
    cdef uint32_t at
    if <uint64_t>rule.securities + rule.security_count > program.head.security_count:
        return False
    for at in range(rule.security_count):
        if entries[at].venue == 0 or entries[at].venue >= VENUE_COUNT or entries[at].symbol > MOST_SYMBOL:
            return False
        if at and security_key(&entries[at - 1]) >= security_key(&entries[at]):
            return False
    return True


cdef bint are_exempts_sound(const Program *program, const Rule *rule) noexcept:
    cdef const ExemptEntry *entries = program.exempts + rule.exempt
    cdef uint32_t at
    if <uint64_t>rule.exempt + rule.exempt_count > program.head.exempt_count:
        return False
    for at in range(1, rule.exempt_count):
        if entries[at - 1].hash > entries[at].hash:
            return False
    return True


cdef int check_scopes(const Program *program) noexcept:
    cdef const ProgramHeader *head = program.head
    cdef uint32_t at
    cdef uint32_t taken = 0
    if head.slot_count & (head.slot_count - 1) or (head.slot_count == 1):
        return FAULT_SCOPE
    for at in range(head.slot_count):
        if program.slots[at].hash == 0:
            continue
        taken += 1
        if (<uint64_t>program.slots[at].first + program.slots[at].count > head.list_count
                or not is_name(program.slots[at].id, sizeof(program.slots[at].id))):
            return FAULT_SCOPE
    if taken > head.slot_count // 2:
        return FAULT_SCOPE
    for at in range(head.list_count):
        if program.lists[at] >= head.rule_count:
            return FAULT_SCOPE
    for at in range(head.prefix_count):
        if (program.prefixes[at].rule >= head.rule_count
                or not 1 <= program.prefixes[at].size <= sizeof(program.prefixes[at].prefix)):
            return FAULT_SCOPE
    return 1


# --- validation of the code: jumps go forward only, so one pass from front to back knows the stack's depth at every op ---


cdef int check_code(const Program *program) noexcept:
    cdef uint32_t count = program.head.op_count
    cdef uint8_t *depths           # 0: no way leads here (yet); else depth + 1
    cdef int verdict
    depths = <uint8_t *>calloc(count + 1, 1)
    if depths == NULL:
        return FAULT_MEMORY
    note_entries(program, depths)
    verdict = check_ops(program, depths)
    free(depths)
    return verdict


cdef void note_entries(const Program *program, uint8_t *depths) noexcept:
    """Every entry into the code starts with an empty stack."""
    cdef uint32_t at
    for at in range(program.head.rule_count):
        if program.rules[at].warn.code != NOTHING:
            depths[program.rules[at].warn.code] = 1
        if program.rules[at].breach.code != NOTHING:
            depths[program.rules[at].breach.code] = 1
    for at in range(program.head.mark_count):
        if program.marks[at].code != NOTHING:
            depths[program.marks[at].code] = 1


cdef int check_ops(const Program *program, uint8_t *depths) noexcept:
    cdef uint32_t count = program.head.op_count
    cdef const Op *op
    cdef uint32_t at
    cdef int depth
    for at in range(count):
        op = &program.ops[at]
        if op.code >= OP_COUNT or not are_operands_sound(op, program.head.feature_count):
            return FAULT_OP
        if is_jump(op.code) and not at < op.to < count:
            return FAULT_JUMP
        if depths[at] == 0 or op.code == OP_HIT or op.code == OP_MISS:
            continue
        depth = depths[at] - 1 - pops(op.code)
        if depth < 0:
            return FAULT_STACK
        depth += pushes(op.code)
        if depth > MOST_STACK or (is_jump(op.code) and not meets(depths, op.to, depth)):
            return FAULT_STACK
        if op.code == OP_JUMP:
            continue
        if at + 1 >= count:
            return FAULT_JUMP
        if not meets(depths, at + 1, depth):
            return FAULT_STACK
    return 1


cdef bint meets(uint8_t *depths, uint32_t at, int depth) noexcept:
    """Notes the depth a way comes in with; False when another way comes in with another."""
    if depths[at] == 0:
        depths[at] = <uint8_t>(depth + 1)
    return depths[at] == depth + 1


cdef inline bint is_jump(int code) noexcept:
    return code == OP_JUMP or code >= OP_UNLESS_GT


cdef bint are_operands_sound(const Op *op, uint32_t feature_count) noexcept:
    if op.code == OP_LOAD or op.code >= OP_UNLESS_LOAD_GT:
        return op.a < feature_count
    return op.code != OP_LOAD_SIDE or (op.a < feature_count and op.b < feature_count)


cdef int pops(int code) noexcept:
    if code in (OP_NEG, OP_ABS):
        return 1
    return 2 if OP_ADD <= code <= OP_UNLESS_NE else 0


cdef int pushes(int code) noexcept:
    return 1 if OP_CONST <= code <= OP_MAX else 0


# --- for Python ---


def validate(bytes program) -> None:
    """Raises ValueError saying what is wrong with the octets."""
    cdef const uint8_t *octets = program
    cdef int verdict = validate_program(octets, len(program))
    if verdict != 1:
        raise ValueError(f"compiled rule set: {FAULTS.get(verdict, 'not sound')}")


def names(bytes program) -> dict:
    """What the program's rules, factors, features and marks are called, and their sources. Raises ValueError."""
    cdef Program opened
    cdef const uint8_t *octets = program
    validate(program)
    open_program(octets, &opened)
    return json.loads(opened.names[:opened.head.names_size])


def hash_id(str text, int seed) -> int:
    """The hash an account (seed 1) or a group (seed 2) is looked up by."""
    cdef bytes octets = text.encode()
    return hash_bytes(octets, len(octets), seed)


def signature_of(bytes text) -> int:
    """64-bit signature of a definition; equal text, equal signature."""
    return hash_bytes(text, len(text), 3)


def assemble(features, marks, rules, code, scopes, prefixes, securities, exempts, bytes names) -> bytes:
    """The octets of a program.

    features, marks, rules, code: objects with the fields of Feature, Mark, Rule and Op (id: str; warn, breach: objects with
    the fields of Stage, or None). scopes: (seed, id, rule indexes) of each account (seed 1) and group (seed 2) that is named.
    prefixes: (text, rule index). securities: (symbol, venue), each rule's run sorted by (venue, symbol). exempts: (seed, id,
    until_ns), each rule's run in any order. Raises ValueError when the result does not validate.
    """
    octets = pack(features, marks, rules, code, scopes, prefixes, securities, exempts, names)
    validate(octets)
    return octets
