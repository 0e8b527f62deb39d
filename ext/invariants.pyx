"""Whether what state keeps of orders is what the orders say (rule catalogue, section 1.1): each sum computed again. Changes nothing."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ext.codes cimport BUY, STATUS_SUSPENDED, VENUE_COUNT
from ext.engine cimport Engine
from ext.events cimport Frame
from ext.journal cimport Journal
from ext.orders cimport match_px_e4
from ext.returns cimport is_open
from ext.state cimport (
    FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, FLAG_SHORT, FLAG_TIED, GROUP_OWNER, NO_SELL, NONE, STRATEGY_OWNER, TIE_HOLDING, Account,
    Order, Parent, Position, State, Tie, Usage,
)
from ext.ties cimport move_usage

cdef enum:
    MOST_FAULTS = 20                   # told; one is enough to refuse a state

cdef struct AccountSums:
    Usage usage
    int64_t held_e4
    int64_t open_orders

cdef struct GroupSums:
    Usage usage
    int64_t ordered_e4

cdef struct PositionSums:              # of a record; those of a group's are of all its accounts
    Usage holding                      # of orders that count in it
    int64_t open_buy_shares
    int64_t open_sell_shares
    int64_t sell_held_shares
    int64_t bought_shares
    int64_t short_open_shares
    int64_t short_filled_shares
    int64_t net_shares                 # of a strategy
    int64_t open_orders
    int64_t listed                     # open orders that stand in its own list
    int64_t best_buy_e4
    int64_t best_sell_e4


def compare(Engine engine) -> tuple:
    """(how many sums were compared, what does not add up: one line each, twenty at most)."""
    cdef Audit audit = Audit(engine.state, engine.journal)
    audit.add_orders()
    audit.compare_accounts()
    audit.compare_groups()
    audit.compare_positions()
    audit.compare_ties()
    audit.compare_counts()
    audit.walk_lists()
    return audit.compared, audit.faults


cdef void *cleared(size_t count, size_t size) except NULL:
    cdef void *room = calloc(count + 1, size)
    if room == NULL:
        raise MemoryError(f"no memory to compare {count} sums")
    return room


cdef class Audit:
    """The sums of one state's orders, and what is kept of them."""

    cdef State state
    cdef Journal journal
    cdef AccountSums *accounts
    cdef GroupSums *groups
    cdef PositionSums *positions
    cdef Usage *strategies
    cdef Usage *units
    cdef int64_t *parents
    cdef int64_t *firm_shares
    cdef Usage firm
    cdef int64_t firm_ordered_e4
    cdef int64_t open_orders, suspended
    cdef uint64_t compared
    cdef list faults

    def __cinit__(self, State state, Journal journal):
        self.state = state
        self.journal = journal
        self.faults = []
        self.accounts = <AccountSums *>cleared(state.account_count, sizeof(AccountSums))
        self.groups = <GroupSums *>cleared(state.group_count, sizeof(GroupSums))
        self.positions = <PositionSums *>cleared(state.position_count, sizeof(PositionSums))
        self.strategies = <Usage *>cleared(state.strategy_count, sizeof(Usage))
        self.units = <Usage *>cleared(state.unit_count, sizeof(Usage))
        self.parents = <int64_t *>cleared(state.parent_map.count, sizeof(int64_t))
        self.firm_shares = <int64_t *>cleared(state.instrument_count, sizeof(int64_t))

    def __dealloc__(self):
        free(self.accounts)
        free(self.groups)
        free(self.positions)
        free(self.strategies)
        free(self.units)
        free(self.parents)
        free(self.firm_shares)

    cdef expect(self, const char *what, uint64_t number, const char *name, int64_t kept, int64_t found):
        """One sum: as it is kept, and as it was found."""
        self.compared += 1
        if kept != found and len(self.faults) < MOST_FAULTS:
            self.faults.append(f"{what.decode()} {number}: {name.decode()} {kept}, found {found}")

    cdef expect_usage(self, const char *what, uint64_t number, const Usage *kept, const Usage *found):
        self.expect(what, number, b"open_buy_e4", kept.open_buy_e4, found.open_buy_e4)
        self.expect(what, number, b"open_sell_e4", kept.open_sell_e4, found.open_sell_e4)
        self.expect(what, number, b"filled_buy_e4", kept.filled_buy_e4, found.filled_buy_e4)
        self.expect(what, number, b"filled_sell_e4", kept.filled_sell_e4, found.filled_sell_e4)

    # One pass over all orders

    cdef add_orders(self):
        cdef uint32_t number
        cdef const Order *order
        for number in range(self.state.position_count):
            self.positions[number].best_sell_e4 = NO_SELL
        for number in range(1, self.state.order_count + 1):
            order = &self.state.orders[number]
            self.suspended += order.ord_status == STATUS_SUSPENDED
            if order.accepted_ns:
                self.add_order(order)
            elif is_open(order):
                self.faults.append(f"order {number}: open, and was never accepted")

    cdef void add_order(self, const Order *order) noexcept:
        """An order that was accepted, in every scope it counts in."""
        cdef AccountSums *account = &self.accounts[order.account]
        cdef PositionSums *own = &self.positions[order.position]
        cdef PositionSums *shared = &self.positions[order.match_position]
        cdef bint open = is_open(order)
        cdef int64_t open_e4 = order.wpx_e4 * order.leaves_qty_shares
        cdef uint32_t owner = self.state.positions[order.match_position].owner
        move_usage(&account.usage, order.side, open_e4, order.cum_notional_e4)
        move_usage(&self.firm, order.side, open_e4, order.cum_notional_e4)
        self.firm_ordered_e4 += order.wpx_e4 * order.order_qty_shares
        if owner & GROUP_OWNER:
            move_usage(&self.groups[owner & ~<uint32_t>GROUP_OWNER].usage, order.side, open_e4, order.cum_notional_e4)
            self.groups[owner & ~<uint32_t>GROUP_OWNER].ordered_e4 += order.wpx_e4 * order.order_qty_shares
        account.held_e4 += order.hold_e4
        account.open_orders += open
        self.open_orders += open
        self.add_to(own, order, open)
        if shared != own:
            self.add_to(shared, order, open)
        if order.side != BUY and not order.flags & FLAG_SHORT:
            own.sell_held_shares += order.leaves_qty_shares
        shared.listed += open
        if open and order.side == BUY:
            shared.best_buy_e4 = max(shared.best_buy_e4, match_px_e4(order))
        elif open:
            shared.best_sell_e4 = min(shared.best_sell_e4, match_px_e4(order))
        if order.flags & FLAG_TIED:
            self.add_tied(order, own)

    cdef void add_to(self, PositionSums *sums, const Order *order, bint open) noexcept:
        sums.open_orders += open
        if order.side == BUY:
            sums.open_buy_shares += order.leaves_qty_shares
            sums.bought_shares += order.cum_qty_shares
        else:
            sums.open_sell_shares += order.leaves_qty_shares

    cdef void add_tied(self, const Order *order, PositionSums *own) noexcept:
        """Strategy, trading unit, parent order, borrowed shares."""
        cdef const Tie *tie = &self.state.ties[order - self.state.orders]
        cdef int64_t open_e4 = order.wpx_e4 * order.leaves_qty_shares
        cdef const Position *position
        cdef const Parent *parent
        if order.flags & FLAG_SHORT:
            own.short_open_shares += order.leaves_qty_shares
            own.short_filled_shares += order.cum_qty_shares
        if tie.flags & TIE_HOLDING:
            move_usage(&own.holding, order.side, open_e4, order.cum_notional_e4)
        if 0 < tie.unit <= self.state.unit_count:
            move_usage(&self.units[tie.unit - 1], order.side, open_e4, order.cum_notional_e4)
        if tie.parent:
            parent = self.state.find_parent(order.account, tie.parent)
            if parent != NULL:
                self.parents[parent - self.state.parents] += order.leaves_qty_shares + order.cum_qty_shares
        if tie.strategy >= self.state.strategy_count:
            return
        move_usage(&self.strategies[tie.strategy], order.side, open_e4, order.cum_notional_e4)
        position = self.state.find_position(STRATEGY_OWNER | tie.strategy, order.instrument)
        if position != NULL:
            self.positions[position - self.state.positions].net_shares += order.cum_qty_shares if order.side == BUY else -order.cum_qty_shares

    # Against what is kept

    cdef compare_accounts(self):
        """And that each account's newest event is in the journal under its number."""
        cdef uint32_t at
        cdef const Account *account
        cdef const Frame *newest
        cdef int64_t cash_e4 = 0
        for at in range(self.state.account_count):
            account = &self.state.accounts[at]
            cash_e4 += account.cash_e4
            self.expect(b"account", at, b"cash_held_e4", account.cash_held_e4, self.accounts[at].held_e4)
            self.expect(b"account", at, b"open_orders", account.open_orders, self.accounts[at].open_orders)
            self.expect_usage(b"account", at, &account.usage, &self.accounts[at].usage)
            if account.last_offset:
                newest = self.journal.at(account.last_offset)
                self.expect(b"account", at, b"event_seq", account.event_seq, newest.event_seq)
                self.expect(b"account", at, b"its own newest event of account", at, newest.account)
        self.expect_usage(b"firm", 0, &self.state.firm, &self.firm)
        self.expect(b"firm", 0, b"cash_e4", self.state.firm_cash_e4, cash_e4)
        self.expect(b"firm", 0, b"ordered_e4", self.state.firm_ordered_e4, self.firm_ordered_e4)

    cdef compare_groups(self):
        cdef uint32_t at
        for at in range(self.state.group_count):
            self.expect_usage(b"group", at, &self.state.groups[at].usage, &self.groups[at].usage)
            self.expect(b"group", at, b"ordered_e4", self.state.groups[at].ordered_e4, self.groups[at].ordered_e4)

    cdef compare_positions(self):
        cdef uint32_t at
        cdef const Position *kept
        cdef const PositionSums *found
        for at in range(self.state.position_count):
            kept = &self.state.positions[at]
            found = &self.positions[at]
            if kept.owner & STRATEGY_OWNER and not kept.owner & GROUP_OWNER:
                self.expect(b"position", at, b"net_shares", kept.total_shares, found.net_shares)
                continue
            self.expect(b"position", at, b"open_buy_shares", kept.open_buy_shares, found.open_buy_shares)
            self.expect(b"position", at, b"open_sell_shares", kept.open_sell_shares, found.open_sell_shares)
            self.expect(b"position", at, b"open_orders", kept.open_orders, found.open_orders)
            self.expect(b"position", at, b"bought_today_shares", kept.bought_today_shares, found.bought_shares)
            self.expect(b"position", at, b"best_buy_e4", kept.best_buy_e4, found.best_buy_e4)
            self.expect(b"position", at, b"best_sell_e4", kept.best_sell_e4, found.best_sell_e4)
            if kept.owner & GROUP_OWNER:
                continue
            self.expect(b"position", at, b"sell_held_shares", kept.sell_held_shares, found.sell_held_shares)
            self.expect(b"position", at, b"short_open_shares", self.state.holdings[at].short_open_shares, found.short_open_shares)
            self.expect(b"position", at, b"short_filled_shares", self.state.holdings[at].short_filled_shares, found.short_filled_shares)
            self.expect_usage(b"holding", at, &self.state.holdings[at].usage, &found.holding)
            self.firm_shares[kept.instrument] += kept.total_shares - self.state.holdings[at].short_filled_shares

    cdef compare_ties(self):
        cdef uint32_t at
        for at in range(self.state.strategy_count):
            self.expect_usage(b"strategy", at, &self.state.strategies[at].usage, &self.strategies[at])
        for at in range(self.state.unit_count):
            self.expect_usage(b"unit", at, &self.state.units[at].usage, &self.units[at])
        for at in range(self.state.parent_map.count):
            self.expect(b"parent", at, b"used_shares", self.state.parents[at].used_shares, self.parents[at])
        for at in range(self.state.instrument_count):
            self.expect(b"instrument", at, b"firm_shares", self.state.firm_shares[at], self.firm_shares[at])

    cdef compare_counts(self):
        self.expect(b"shard", self.state.shard, b"open_orders", self.state.open_count, self.open_orders)
        self.expect(b"shard", self.state.shard, b"suspended_orders", self.state.suspended_count, self.suspended)
        self.expect(b"shard", self.state.shard, b"named_orders", self.state.order_map.count, self.state.order_count)

    # Lists

    cdef walk_lists(self):
        """Each open order stands once in its account's list and once in that of its controller's record, and no other does."""
        cdef uint32_t at
        for at in range(self.state.account_count):
            self.expect(b"account", at, b"open orders in its list", self.state.accounts[at].open_orders, self.walk_account(at))
        for at in range(self.state.position_count):
            self.expect(b"position", at, b"open orders in its list", self.walk_position(at), self.positions[at].listed)

    cdef int64_t walk_account(self, uint32_t account) noexcept:
        """How many orders its list has; -1 when one does not belong there or a link back is wrong."""
        cdef uint32_t at = self.state.accounts[account].open_head
        cdef uint32_t before = NONE
        cdef int64_t count = 0
        cdef const Order *order
        while at != NONE and count <= self.state.open_count:
            order = &self.state.orders[at]
            if at > self.state.order_count or order.account != account or not is_open(order) or order.prev_open != before:
                return -1
            before = at
            at = order.next_open
            count += 1
        return count

    cdef int64_t walk_position(self, uint32_t position) noexcept:
        """As walk_account, of a controller's record."""
        cdef uint32_t at = self.state.positions[position].open_head
        cdef uint32_t before = NONE
        cdef int64_t count = 0
        cdef const Order *order
        while at != NONE and count <= self.state.open_count:
            order = &self.state.orders[at]
            if at > self.state.order_count or order.match_position != position or not is_open(order) or order.prev_match != before:
                return -1
            before = at
            at = order.next_match
            count += 1
        return count
