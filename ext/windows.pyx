"""A feature's cells: what was added, step by step, and its value at a time. Knows neither rules nor rows."""

from libc.stdint cimport int64_t


cdef size_t cell_size(int kind, bint sliding) noexcept:
    if kind == FEATURE_MOVE:
        return sizeof(MoveCell) if sliding else sizeof(WholeMoveCell)
    return sizeof(SlidingCell) if sliding else sizeof(WholeCell)


cdef void cell_add(void *cell, int kind, bint sliding, int64_t at, int64_t amount) noexcept:
    """Count an amount (of FEATURE_MOVE, HIGH and LOW: a price) in now's step; a clock that went back counts in the newest."""
    if kind == FEATURE_MOVE:
        if sliding:
            move_add(<MoveCell *>cell, at, amount)
        else:
            whole_move_add(<WholeMoveCell *>cell, at, amount)
    elif not sliding:
        whole_add(<WholeCell *>cell, kind, at, amount)
    elif kind == FEATURE_SUM:
        sliding_add(<SlidingCell *>cell, at, amount)
    else:
        extreme_add(<SlidingCell *>cell, kind, at, amount)


cdef int64_t cell_value(const void *cell, int kind, bint sliding, int64_t at) noexcept:
    """The value at now: sums and maxima of nothing are 0, prices of nothing UNDEFINED."""
    if kind == FEATURE_MOVE:
        if sliding:
            return move_value(<const MoveCell *>cell, at)
        return whole_move_value(<const WholeMoveCell *>cell, at)
    if not sliding:
        return whole_value(<const WholeCell *>cell, kind, at)
    if kind == FEATURE_SUM:
        return sliding_sum(<const SlidingCell *>cell, at)
    return extreme_value(<const SlidingCell *>cell, kind, at)


# A day or a phase

cdef inline int64_t better(int kind, int64_t value, int64_t amount) noexcept:
    """The extreme of two; 0 is no price."""
    if kind == FEATURE_LOW and value and (amount == 0 or value < amount):
        return value
    if kind == FEATURE_LOW:
        return amount
    return max(value, amount)


cdef void whole_add(WholeCell *cell, int kind, int64_t number, int64_t amount) noexcept:
    if cell.number != number:
        cell.number = number
        cell.value = 0
    cell.value = cell.value + amount if kind == FEATURE_SUM else better(kind, cell.value, amount)


cdef int64_t whole_value(const WholeCell *cell, int kind, int64_t number) noexcept:
    cdef int64_t value = cell.value if cell.number == number else 0
    return UNDEFINED if value == 0 and (kind == FEATURE_HIGH or kind == FEATURE_LOW) else value


cdef void whole_move_add(WholeMoveCell *cell, int64_t number, int64_t price_e4) noexcept:
    if cell.number != number:
        cell.number = number
        cell.before = cell.last
        cell.first = 0
    if cell.first == 0:
        cell.first = price_e4
    cell.last = price_e4


cdef int64_t whole_move_value(const WholeMoveCell *cell, int64_t number) noexcept:
    if cell.last == 0:
        return UNDEFINED
    if cell.number != number:
        return 0
    return moved_ppm(cell.last, cell.before if cell.before else cell.first)


# Extremes over sliding steps

cdef void extreme_add(SlidingCell *cell, int kind, int64_t at, int64_t amount) noexcept:
    cdef int64_t step
    if at > cell.step:
        for step in range(max(cell.step + 1, at - CELL_STEPS + 1), at + 1):
            cell.steps[<size_t>step % CELL_STEPS] = 0
        cell.step = at
    step = <int64_t>(<size_t>cell.step % CELL_STEPS)
    cell.steps[step] = better(kind, cell.steps[step], amount)


cdef int64_t extreme_value(const SlidingCell *cell, int kind, int64_t at) noexcept:
    cdef int64_t step
    cdef int64_t value = 0
    at = max(at, cell.step)
    for step in range(max(at - CELL_STEPS + 1, 0), cell.step + 1):
        value = better(kind, value, cell.steps[<size_t>step % CELL_STEPS])
    return UNDEFINED if value == 0 and kind != FEATURE_MAX else value


# The price one window ago

cdef inline int64_t moved_ppm(int64_t last_e4, int64_t reference_e4) noexcept:
    """Floor of the move in ppm; prices stay below 1e12, so the product fits."""
    cdef int64_t moved = (last_e4 - reference_e4) * PPM
    cdef int64_t whole = moved // reference_e4
    return whole - 1 if moved < 0 and whole * reference_e4 != moved else whole


cdef void move_add(MoveCell *cell, int64_t at, int64_t price_e4) noexcept:
    cdef int64_t step
    if at > cell.step:
        for step in range(max(cell.step - CELL_STEPS + 1, 0), min(cell.step, at - CELL_STEPS) + 1):
            if cell.last_of[<size_t>step % CELL_STEPS]:
                cell.before = cell.last_of[<size_t>step % CELL_STEPS]
        for step in range(max(cell.step + 1, at - CELL_STEPS + 1), at + 1):
            cell.first_of[<size_t>step % CELL_STEPS] = 0
            cell.last_of[<size_t>step % CELL_STEPS] = 0
        cell.step = at
    step = <int64_t>(<size_t>cell.step % CELL_STEPS)
    if cell.first_of[step] == 0:
        cell.first_of[step] = price_e4
    cell.last_of[step] = price_e4
    cell.last = price_e4


cdef int64_t move_value(const MoveCell *cell, int64_t at) noexcept:
    cdef int64_t step
    cdef int64_t before = cell.before
    if cell.last == 0:
        return UNDEFINED
    at = max(at, cell.step)
    for step in range(max(cell.step - CELL_STEPS + 1, 0), min(cell.step, at - CELL_STEPS) + 1):
        if cell.last_of[<size_t>step % CELL_STEPS]:
            before = cell.last_of[<size_t>step % CELL_STEPS]
    if before:
        return moved_ppm(cell.last, before)
    for step in range(max(at - CELL_STEPS + 1, 0), cell.step + 1):
        if cell.first_of[<size_t>step % CELL_STEPS]:
            return moved_ppm(cell.last, cell.first_of[<size_t>step % CELL_STEPS])
    return 0
