# Limits that span shards: what the ladder is held to, and which code says why. Inline, for apply and the ladder; no state of its own.
from libc.stdint cimport int64_t, uint32_t
from ext.codes cimport R1612_QUOTA
from ext.events cimport QUOTA_KINDS, SCOPE_FIRM, SCOPE_GROUP
from ext.risk cimport Candidate
from ext.state cimport Bounds, DayLimits, Group, ScopeLimits, State

cdef enum:
    NOTHING_LEASED = -1                # as a bound: 0 would mean that there is no limit

cdef inline Bounds limits_of(const ScopeLimits *scope, int64_t capital_limit_e4, const DayLimits *day) noexcept:
    cdef Bounds limits
    limits.scope = scope[0]
    limits.capital_limit_e4 = capital_limit_e4
    limits.ordered_limit_e4 = day.ordered_limit_e4
    limits.traded_limit_e4 = day.traded_limit_e4
    return limits

cdef inline Bounds group_limits(const Group *group) noexcept:
    """The group's own limits, all shards together."""
    return limits_of(&group.scope, 0, &group.day)

cdef inline Bounds firm_limits(State state) noexcept:
    return limits_of(&state.rules.firm, state.rules.capital_limit_e4, &state.rules.firm_day)

cdef inline void divide(Bounds *bounds, const int64_t *leased_e4) noexcept:
    """Each limit that is there falls to what is leased of it."""
    cdef int64_t *bound = <int64_t *>bounds
    cdef int kind
    for kind in range(QUOTA_KINDS):
        if bound[kind]:
            bound[kind] = min(bound[kind], leased_e4[kind] if leased_e4[kind] > 0 else NOTHING_LEASED)

cdef inline void bind_group(State state, uint32_t index) noexcept:
    """After any change of the group's limits or shares: what the ladder reads."""
    cdef Group *group = &state.groups[index]
    group.bounds = group_limits(group)
    if state.divided:
        divide(&group.bounds, group.leased_e4)

cdef inline void bind_firm(State state) noexcept:
    """As bind_group."""
    state.firm_bounds = firm_limits(state)
    if state.divided:
        divide(&state.firm_bounds, state.firm_leased_e4)

cdef inline int shared_code(State state, Candidate *order, int code, int kind) noexcept:
    """The code of a limit that failed: its own when the limit itself is passed, R1612 when only this shard's share of it is."""
    cdef Bounds limits
    cdef const int64_t *leased_e4
    if not state.divided or (order.scope != SCOPE_GROUP and order.scope != SCOPE_FIRM):
        return code
    if order.scope == SCOPE_FIRM:
        limits = firm_limits(state)
        leased_e4 = state.firm_leased_e4
    else:
        limits = group_limits(&state.groups[order.account.group])
        leased_e4 = state.groups[order.account.group].leased_e4
    order.limit = (<int64_t *>&limits)[kind]
    if order.value > order.limit:
        return code
    order.limit = leased_e4[kind]
    order.quota_kind = kind
    return R1612_QUOTA
