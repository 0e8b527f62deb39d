"""Whom a rule is for, and whether what it finds is enforced. Pure."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t

from ext.program cimport (
    MODE_CANARY, MODE_SHADOW, NOTHING, OP_HIT, OP_JUMP, OP_LOAD, OP_LOAD_SIDE, OP_MISS, OP_UNLESS_GT, OP_UNLESS_LOAD_GT,
    WINDOW_DAY, WINDOW_PHASE, ExemptEntry, Op, Rule, SecurityEntry,
)
from ext.rule_book cimport RARE_EXCEPT, RARE_SECURITIES, RARE_TIME, RARE_VALID, Gauge, RuleBook
from ext.state cimport NONE
from ext.tables cimport hash_bytes, strnlen

cdef enum:
    SHANGHAI_S = 28800
    DAY_S = 86400


cdef bint meets_rare(const Occasion *occasion, State state, const Gate *gate) noexcept:
    """Time of day, days of validity, named securities, and whom the rule leaves out."""
    cdef RuleBook book = state.rule_state.book
    cdef const Rule *rule = &book.program.rules[gate.rule]
    cdef int64_t second
    if gate.rare & RARE_TIME:
        second = (occasion.now_ns // 1000000000 + SHANGHAI_S) % DAY_S
        if not rule.time_from_s <= second < rule.time_to_s:
            return False
    if gate.rare & RARE_VALID:
        if occasion.now_ns < rule.valid_from_ns or (rule.valid_to_ns and occasion.now_ns >= rule.valid_to_ns):
            return False
    if gate.rare & RARE_SECURITIES and not is_security_listed(book, rule, occasion):
        return False
    return not gate.rare & RARE_EXCEPT or not is_exempt(occasion, state, rule, True)


cdef bint is_exempt(const Occasion *occasion, State state, const Rule *rule, bint for_ever) noexcept:
    """Whether the account or its group is left out of the rule: for ever by its scope, or until a day by a person."""
    cdef RuleBook book = state.rule_state.book
    cdef const char *group_id
    cdef uint64_t of_account = 0
    cdef uint64_t of_group = 0
    cdef const ExemptEntry *entry
    cdef uint32_t at
    if occasion.account != NULL:
        of_account = hash_bytes(<const uint8_t *>occasion.account.id, occasion.account.id_size, ACCOUNT_SEED)
    if occasion.group != NONE:
        group_id = state.groups[occasion.group].id
        of_group = hash_bytes(<const uint8_t *>group_id, strnlen(group_id, 16), GROUP_SEED)
    for at in range(rule.exempt, rule.exempt + rule.exempt_count):
        entry = &book.program.exempts[at]
        if entry.hash != of_account and entry.hash != of_group:
            continue
        if entry.until_ns == INT64_MAX if for_ever else occasion.now_ns < entry.until_ns:
            return True
    return False


cdef bint is_enforced(const Occasion *occasion, State state, uint32_t number) noexcept:
    """Not in shadow, in the canary's part, not exempt, and with full windows."""
    cdef const Rule *rule = &state.rule_state.book.program.rules[number]
    cdef uint64_t part
    if rule.mode == MODE_SHADOW:
        return False
    if rule.mode == MODE_CANARY:
        part = part_of(state, occasion)
        if part >= rule.canary_pct:
            return False
    if rule.exempt_count and is_exempt(occasion, state, rule, False):
        return False
    return is_full(occasion, state, number)


cdef bint is_full(const Occasion *occasion, State state, uint32_t number) noexcept:
    """Whether every window of the rule and of its marks is as long as it says: a new one is not, at first."""
    cdef RuleBook book = state.rule_state.book
    cdef const Rule *rule = &book.program.rules[number]
    cdef uint32_t mark = book.rule_marks[number]
    if not is_code_full(occasion, state, rule.warn.code) or not is_code_full(occasion, state, rule.breach.code):
        return False
    while mark:
        if not is_code_full(occasion, state, book.marks[mark - 1].code):
            return False
        mark = book.next_mark[mark - 1]
    return True


cdef bint is_code_full(const Occasion *occasion, State state, uint32_t entry) noexcept:
    """The features of one stretch of code: from its entry to the last op that a jump in it reaches."""
    cdef RuleBook book = state.rule_state.book
    cdef const Op *op
    cdef uint32_t last = entry
    cdef uint32_t at = entry
    if entry == NOTHING:
        return True
    while True:
        op = &book.program.ops[at]
        if op.code == OP_LOAD or op.code == OP_LOAD_SIDE or op.code >= OP_UNLESS_LOAD_GT:
            if not is_gauge_full(state, &book.gauges[op.a], occasion.now_ns):
                return False
        if op.code == OP_LOAD_SIDE and not is_gauge_full(state, &book.gauges[op.b], occasion.now_ns):
            return False
        if op.code == OP_JUMP or op.code >= OP_UNLESS_GT:
            last = max(last, op.to)
        if (op.code == OP_HIT or op.code == OP_MISS or op.code == OP_JUMP) and at >= last:
            return True
        at += 1


cdef uint64_t part_of(State state, const Occasion *occasion) noexcept:
    """The hundredth that an account (a group's row: the group) belongs to, for canaries."""
    cdef const char *id
    if occasion.account != NULL:
        return hash_bytes(<const uint8_t *>occasion.account.id, occasion.account.id_size, ACCOUNT_SEED) % 100
    if occasion.group == NONE:
        return 0
    id = state.groups[occasion.group].id
    return hash_bytes(<const uint8_t *>id, strnlen(id, 16), GROUP_SEED) % 100


cdef bint is_gauge_full(State state, const Gauge *gauge, int64_t now_ns) noexcept:
    if gauge.since_ns == 0 or gauge.block == NULL:
        return True
    if gauge.window_ns == WINDOW_DAY:
        return False
    if gauge.window_ns == WINDOW_PHASE:
        return state.phase_number[0] != gauge.since_phase[0]
    return now_ns >= gauge.since_ns + gauge.window_ns


cdef bint is_security_listed(RuleBook book, const Rule *rule, const Occasion *occasion) noexcept:
    """Binary search among the rule's named securities, sorted by exchange and symbol."""
    cdef uint32_t low = rule.securities
    cdef uint32_t high = rule.securities + rule.security_count
    cdef uint32_t middle
    cdef const SecurityEntry *entry
    cdef uint64_t wanted, key
    if occasion.instrument == NULL:
        return False
    wanted = (<uint64_t>occasion.instrument.venue << 32) | occasion.instrument.symbol
    while low < high:
        middle = (low + high) // 2
        entry = &book.program.securities[middle]
        key = (<uint64_t>entry.venue << 32) | entry.symbol
        if key == wanted:
            return True
        if key < wanted:
            low = middle + 1
        else:
            high = middle
    return False
