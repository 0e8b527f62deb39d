"""The interpreter: features onto a stack of integers, comparisons that jump, HIT or MISS. Pure: it writes no state.

What comes here has been validated: jumps go forward only, so every run ends, and the stack cannot pass its bounds.
"""

from libc.stdint cimport uint64_t

from ext.events cimport MOST_FACTORS
from ext.instants cimport instant_value
from ext.occasion cimport is_counted, place_of
from ext.codes cimport BUY
from ext.program cimport (
    FEATURE_AGE, FEATURE_INSTANT, FEATURE_MAX, FEATURE_SUM, MOST_STACK, OP_ABS, OP_ADD, OP_CONST, OP_HIT, OP_JUMP,
    OP_LOAD, OP_LOAD_SIDE, OP_MAX, OP_MIN, OP_MISS, OP_MUL, OP_MUL_PPM, OP_NEG, OP_RATIO, OP_SUB, OP_UNLESS_EQ, OP_UNLESS_GE,
    OP_UNLESS_GT, OP_UNLESS_LE, OP_UNLESS_LOAD_GE, OP_UNLESS_LOAD_GT, OP_UNLESS_LOAD_LE, OP_UNLESS_LOAD_LT, OP_UNLESS_LT,
    UNIT_COUNT, UNIT_RATIO, Op,
)
from ext.rule_book cimport Gauge, MarkCell, MarkRow, Memo, is_touched, row_of, step_of
from ext.windows cimport UNDEFINED, SlidingCell, WholeCell, cell_value, sliding_sum, with_one_more

cdef extern from *:
    """
    #define TG_LEAST (INT64_MIN + 1)
    static inline int64_t tg_clamp(__int128 wide) {
        return wide > INT64_MAX ? INT64_MAX : wide < TG_LEAST ? TG_LEAST : (int64_t)wide;
    }
    static inline __int128 tg_floor_div(__int128 a, __int128 b) {
        __int128 whole = a / b;
        return (a % b != 0 && (a < 0) != (b < 0)) ? whole - 1 : whole;
    }
    static inline int64_t tg_add(int64_t a, int64_t b) { return tg_clamp((__int128)a + b); }
    static inline int64_t tg_sub(int64_t a, int64_t b) { return tg_clamp((__int128)a - b); }
    static inline int64_t tg_mul(int64_t a, int64_t b) { return tg_clamp((__int128)a * b); }
    /* Nearly every product fits 64 bits; a 128-bit division is ten times as slow. */
    static inline int64_t tg_floor_div64(int64_t a, int64_t b) {
        int64_t whole = a / b;
        return (a % b != 0 && (a < 0) != (b < 0)) ? whole - 1 : whole;
    }
    static inline int64_t tg_mul_ppm(int64_t a, int64_t b) {
        int64_t product;
        if (!__builtin_mul_overflow(a, b, &product))
            return tg_floor_div64(product, 1000000);
        return tg_clamp(tg_floor_div((__int128)a * b, 1000000));
    }
    static inline int64_t tg_ratio(int64_t a, int64_t b) {
        int64_t scaled;
        if (b == 0)
            return INT64_MIN;
        if (!__builtin_mul_overflow(a, (int64_t)1000000, &scaled) && scaled != INT64_MIN)
            return tg_floor_div64(scaled, b);
        return tg_clamp(tg_floor_div((__int128)a * 1000000, b));
    }
    """
    int64_t tg_add(int64_t a, int64_t b) noexcept nogil
    int64_t tg_sub(int64_t a, int64_t b) noexcept nogil
    int64_t tg_mul(int64_t a, int64_t b) noexcept nogil
    int64_t tg_mul_ppm(int64_t a, int64_t b) noexcept nogil
    int64_t tg_ratio(int64_t a, int64_t b) noexcept nogil

cdef enum:
    UNIT_UNKNOWN = 255                 # of a constant: it takes the other side's


cdef int64_t feature_value(const Occasion *occasion, State state, RuleBook book, uint32_t number) noexcept:
    """A feature's value now, this event counted in when it is not applied yet; computed once per occasion."""
    cdef Memo *memo = &book.memos[number]
    if memo.occasion != occasion.number:
        memo.value = read_feature(occasion, state, book, &book.gauges[number])
        memo.occasion = occasion.number
    return memo.value


cdef inline int64_t read_feature(const Occasion *occasion, State state, RuleBook book, const Gauge *gauge) noexcept:
    cdef uint32_t row
    cdef const char *head
    cdef const WholeCell *cell
    cdef int64_t value = 0
    if gauge.kind == FEATURE_INSTANT:
        return instant_value(occasion, state, gauge)
    if gauge.kind == FEATURE_AGE:
        return mark_age(occasion, &book.marks[gauge.mark], gauge.side)
    row = occasion.rows[gauge.key]
    head = NULL if row >= gauge.rows else row_of(gauge, row)
    if head != NULL and is_touched(gauge, head):
        if gauge.step_ns and gauge.kind == FEATURE_SUM:
            value = sliding_sum(<const SlidingCell *>(head + gauge.offset), step_of(book, gauge, occasion.now_ns))
        elif gauge.kind == FEATURE_SUM:
            cell = <const WholeCell *>(head + gauge.offset)
            value = cell.value if cell.number == place_of(occasion, book, state, gauge) else 0
        else:
            value = cell_value(head + gauge.offset, gauge.kind, gauge.step_ns != 0, place_of(occasion, book, state, gauge))
    elif gauge.kind > FEATURE_MAX:
        return UNDEFINED
    if occasion.is_pending and gauge.events & (1 << occasion.event) and is_counted(occasion, book, state, gauge):
        return with_one_more(gauge.kind, value, occasion.amounts[gauge.amount])
    return value


cdef int64_t mark_age(const Occasion *occasion, const MarkRow *mark, int side) noexcept:
    cdef uint32_t row = occasion.rows[mark.key]
    if row >= mark.rows or mark.cells == NULL or mark.cells[row].last_ns[side] == 0:
        return UNDEFINED
    return occasion.now_ns - mark.cells[row].last_ns[side]


cdef inline bint holds(int code, int64_t a, int64_t b) noexcept nogil:
    """code: OP_UNLESS_GT to OP_UNLESS_NE. Nothing can be said of what is undefined."""
    if a == UNDEFINED or b == UNDEFINED:
        return False
    if code == OP_UNLESS_GT:
        return a > b
    if code == OP_UNLESS_GE:
        return a >= b
    if code == OP_UNLESS_LT:
        return a < b
    if code == OP_UNLESS_LE:
        return a <= b
    return a == b if code == OP_UNLESS_EQ else a != b


cdef inline int64_t combine(int code, int64_t a, int64_t b) noexcept nogil:
    """The arithmetic of two."""
    if a == UNDEFINED or b == UNDEFINED:
        return UNDEFINED
    if code == OP_ADD:
        return tg_add(a, b)
    if code == OP_SUB:
        return tg_sub(a, b)
    if code == OP_MUL:
        return tg_mul(a, b)
    if code == OP_MUL_PPM:
        return tg_mul_ppm(a, b)
    if code == OP_RATIO:
        return tg_ratio(a, b)
    return min(a, b) if code == OP_MIN else max(a, b)


cdef inline int64_t alter(int code, int64_t a) noexcept nogil:
    """The arithmetic of one."""
    if a == UNDEFINED:
        return a
    return tg_sub(0, a) if code == OP_NEG or a < 0 else a


cdef bint is_met(const Occasion *occasion, State state, RuleBook book, uint32_t entry) noexcept:
    """Runs the code from its first op to HIT or MISS."""
    cdef int64_t stack[MOST_STACK + 2]
    cdef int depth = 0
    cdef const Op *op = &book.program.ops[entry]
    cdef int64_t value
    while True:
        if op.code >= OP_UNLESS_LOAD_GT:
            value = feature_value(occasion, state, book, op.a)
            if not holds(op.code - OP_UNLESS_LOAD_GT + OP_UNLESS_GT, value, op.value):
                op = &book.program.ops[op.to]
                continue
        elif op.code >= OP_UNLESS_GT:
            depth -= 2
            if not holds(op.code, stack[depth], stack[depth + 1]):
                op = &book.program.ops[op.to]
                continue
        elif op.code == OP_LOAD or (op.code == OP_LOAD_SIDE and occasion.side == BUY):
            stack[depth] = feature_value(occasion, state, book, op.a)
            depth += 1
        elif op.code == OP_LOAD_SIDE:
            stack[depth] = feature_value(occasion, state, book, op.b)
            depth += 1
        elif op.code == OP_CONST:
            stack[depth] = op.value
            depth += 1
        elif op.code == OP_NEG or op.code == OP_ABS:
            stack[depth - 1] = alter(op.code, stack[depth - 1])
        elif op.code == OP_JUMP:
            op = &book.program.ops[op.to]
            continue
        elif op.code == OP_HIT or op.code == OP_MISS:
            return op.code == OP_HIT
        else:
            depth -= 1
            stack[depth - 1] = combine(op.code, stack[depth - 1], stack[depth])
        op += 1


cdef inline int note_factor(Factor *factors, int count, const Op *op, int64_t value, int64_t limit, int unit) noexcept:
    if count == MOST_FACTORS:
        return count
    factors[count].value = value
    factors[count].limit = limit
    factors[count].factor = op.factor
    factors[count].unit = unit
    return count + 1


cdef inline int unit_of(int code, int a, int b) noexcept:
    if code == OP_RATIO:
        return UNIT_RATIO
    return b if a == UNIT_UNKNOWN else a


cdef int trace(const Occasion *occasion, State state, RuleBook book, uint32_t entry, Factor *factors) noexcept:
    """Runs code that was met once more and notes every comparison on the way that held; how many. room: MOST_FACTORS."""
    cdef int64_t stack[MOST_STACK + 2]
    cdef int units[MOST_STACK + 2]
    cdef int depth = 0
    cdef int count = 0
    cdef const Op *op = &book.program.ops[entry]
    cdef uint32_t number
    while op.code != OP_HIT and op.code != OP_MISS:
        if op.code == OP_JUMP:
            op = &book.program.ops[op.to]
            continue
        if op.code >= OP_UNLESS_LOAD_GT:
            stack[depth] = feature_value(occasion, state, book, op.a)
            units[depth] = book.gauges[op.a].unit
            stack[depth + 1] = op.value
            units[depth + 1] = UNIT_UNKNOWN
            if not holds(op.code - OP_UNLESS_LOAD_GT + OP_UNLESS_GT, stack[depth], op.value):
                op = &book.program.ops[op.to]
                continue
            count = note_factor(factors, count, op, stack[depth], op.value, units[depth])
        elif op.code >= OP_UNLESS_GT:
            depth -= 2
            if not holds(op.code, stack[depth], stack[depth + 1]):
                op = &book.program.ops[op.to]
                continue
            count = note_factor(factors, count, op, stack[depth], stack[depth + 1], unit_of(op.code, units[depth], units[depth + 1]))
        elif op.code in (OP_LOAD, OP_LOAD_SIDE, OP_CONST):
            number = op.a if op.code == OP_LOAD or occasion.side == BUY else op.b
            stack[depth] = op.value if op.code == OP_CONST else feature_value(occasion, state, book, number)
            units[depth] = UNIT_UNKNOWN if op.code == OP_CONST else book.gauges[number].unit
            depth += 1
        elif op.code == OP_NEG or op.code == OP_ABS:
            stack[depth - 1] = alter(op.code, stack[depth - 1])
        else:
            depth -= 1
            stack[depth - 1] = combine(op.code, stack[depth - 1], stack[depth])
            units[depth - 1] = unit_of(op.code, units[depth - 1], units[depth])
        op += 1
    return count
