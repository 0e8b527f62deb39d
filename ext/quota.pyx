"""This shard's shares of the limits of groups and firm: what it uses, what it has leased, and changes of that as events.

It leases nothing itself and decides on no order: gateway/quota.py asks, the ladder holds orders to what is leased.
Amounts are in 1e-4 yuan, in tuples by QuotaKind: gross, long, short, capital, ordered, traded.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from ext.bounds cimport firm_limits, group_limits
from ext.engine cimport Engine
from ext.events cimport EV_QUOTA, QUOTA_KINDS, SCOPE_FIRM, SCOPE_GROUP, QuotaEvent
from ext.risk cimport gross_e4
from ext.state cimport MOST_GROUPS, MOST_SHORTAGES, NONE, Bounds, Group, Shortage, Usage

KINDS = ("gross", "long", "short", "capital", "ordered", "traded")
FIRM = 0                               # number of a scope: the firm's; a group's is its index + 1


cdef void set_used(Bounds *used, const Usage *usage, int64_t ordered_e4) noexcept:
    """What the ladder compares with each limit, but for the order in question."""
    cdef int64_t net_e4 = usage.filled_buy_e4 - usage.filled_sell_e4
    used.scope.gross_limit_e4 = gross_e4(usage)
    used.scope.long_limit_e4 = usage.open_buy_e4 + max(net_e4, 0)
    used.scope.short_limit_e4 = usage.open_sell_e4 + max(-net_e4, 0)
    used.capital_limit_e4 = gross_e4(usage)
    used.ordered_limit_e4 = ordered_e4
    used.traded_limit_e4 = usage.filled_buy_e4 + usage.filled_sell_e4


cdef tuple row_of(const int64_t *amounts_e4):
    return tuple([amounts_e4[kind] for kind in range(QUOTA_KINDS)])


cdef class Shares:
    """One engine's shares, by number of scope. Call it from the engine's thread only."""

    cdef Engine engine
    cdef int64_t *seen                 # by scope: what moved() last saw of it
    cdef uint64_t shortages_read

    def __cinit__(self, Engine engine):
        self.engine = engine
        self.seen = <int64_t *>calloc((<size_t>MOST_GROUPS + 1) * QUOTA_KINDS, sizeof(int64_t))
        if self.seen == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.seen)

    def scopes(self) -> list:
        """Every scope: its number and its name, the same on every shard; of groups those with accounts here."""
        cdef uint32_t account, group
        cdef set here = set()
        for account in range(self.engine.state.account_count):
            group = self.engine.state.accounts[account].group
            if group != NONE:
                here.add(group)
        return [(scope, self.name(scope)) for scope in (FIRM, *(at + 1 for at in sorted(here)))]

    def name(self, uint32_t scope) -> str:
        """As scopes() has it."""
        self.check_scope(scope)
        return "firm" if scope == FIRM else f"group:{self.group_id(scope - 1)}"

    cdef str group_id(self, uint32_t at):
        return self.engine.state.groups[at].id[:16].rstrip(b"\0").decode()

    @property
    def version(self) -> int:
        """Of the limits in force."""
        return self.engine.state.rules.version

    @property
    def divided(self) -> bool:
        """Whether shares are in force; without them every limit holds for this shard alone."""
        return self.engine.state.divided

    cdef int check_scope(self, uint32_t scope) except -1:
        if scope > self.engine.state.group_count:
            raise ValueError(f"scope {scope}: expected 0, the firm, to {self.engine.state.group_count}")
        return 0

    cdef void read_used(self, uint32_t scope, int64_t *used_e4) noexcept:
        cdef const Group *group
        if scope == FIRM:
            set_used(<Bounds *>used_e4, &self.engine.state.firm, self.engine.state.firm_ordered_e4)
            return
        group = &self.engine.state.groups[scope - 1]
        set_used(<Bounds *>used_e4, &group.usage, group.ordered_e4)

    def used(self, uint32_t scope) -> tuple:
        """What is used of each limit now."""
        cdef int64_t used_e4[QUOTA_KINDS]
        self.check_scope(scope)
        self.read_used(scope, used_e4)
        return row_of(used_e4)

    def limits(self, uint32_t scope) -> tuple:
        """The limits of all shards together, as this shard's file has them; 0: there is none."""
        cdef Bounds limits
        self.check_scope(scope)
        if scope == FIRM:
            limits = firm_limits(self.engine.state)
        else:
            limits = group_limits(&self.engine.state.groups[scope - 1])
        return row_of(<const int64_t *>&limits)

    def leased(self, uint32_t scope) -> tuple:
        """The shares in force."""
        self.check_scope(scope)
        if scope == FIRM:
            return row_of(self.engine.state.firm_leased_e4)
        return row_of(self.engine.state.groups[scope - 1].leased_e4)

    def moved(self) -> list:
        """Numbers of the scopes whose use is not what this last saw. Walks every group; makes objects of the moved ones only."""
        cdef int64_t used_e4[QUOTA_KINDS]
        cdef uint32_t scope
        found = []
        for scope in range(self.engine.state.group_count + 1):
            self.read_used(scope, used_e4)
            if memcmp(used_e4, &self.seen[scope * QUOTA_KINDS], sizeof(used_e4)) != 0:
                memcpy(&self.seen[scope * QUOTA_KINDS], used_e4, sizeof(used_e4))
                found.append(scope)
        return found

    def shortages(self) -> list:
        """(scope, kind, share it would have taken) of the orders that R1612 refused since the last call, the newest 64 at most."""
        cdef uint64_t count = self.engine.state.shortage_count
        cdef const Shortage *shortage
        found = []
        self.shortages_read = max(self.shortages_read, count - min(count, <uint64_t>MOST_SHORTAGES))
        while self.shortages_read < count:
            shortage = &self.engine.state.shortages[self.shortages_read % MOST_SHORTAGES]
            found.append((FIRM if shortage.scope == SCOPE_FIRM else shortage.index + 1, shortage.kind, shortage.value))
            self.shortages_read += 1
        return found

    def put_in_force(self, uint32_t scope, wanted, uint64_t epoch, int64_t now_ns, bint keep_used = True) -> tuple:
        """Journal new shares; what is in force then. A share that falls stops at what is used of it, unless keep_used is
        False: then what is used beyond it stays, and no order is let through. Nothing changed: no event. Raises OSError
        when the journal is full, ValueError for an amount below 0."""
        cdef int64_t used_e4[QUOTA_KINDS]
        cdef int kind
        cdef QuotaEvent *event
        leased = self.leased(scope)
        self.read_used(scope, used_e4)
        amounts = list(wanted)
        for kind in range(QUOTA_KINDS):
            if amounts[kind] < 0:
                raise ValueError(f"{KINDS[kind]}: got {amounts[kind]}, expected a share of 0 or more")
            if keep_used and amounts[kind] < leased[kind]:
                amounts[kind] = max(amounts[kind], min(used_e4[kind], leased[kind]))
        if tuple(amounts) == leased and self.engine.state.divided:
            return leased
        event = <QuotaEvent *>self.engine.reserve(EV_QUOTA, sizeof(QuotaEvent), NONE, False, now_ns)
        if event == NULL:
            raise OSError("the journal is full")
        for kind in range(QUOTA_KINDS):
            event.leased_e4[kind] = amounts[kind]
        event.scope = SCOPE_FIRM if scope == FIRM else SCOPE_GROUP
        event.index = 0 if scope == FIRM else scope - 1
        event.epoch = epoch
        self.engine.record(&event.head)
        return tuple(amounts)

    def journal_end(self) -> int:
        """Offset behind the newest event: what is told to others must be safe up to here."""
        return self.engine.journal.end
