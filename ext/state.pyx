"""The tables of the core and how to find a row in them. Decides nothing, and writes nothing but its own indexes."""

import hashlib

from libc.string cimport memcmp, memset

from ext.tables cimport (
    MapSlot, fault_in, hash_bytes, map_close, map_find, map_full, map_next, map_open, map_pages, map_put, mix, prefetch, unmap_pages,
)

cdef enum:
    MOST_SHARES = 1000000000           # as ext/fields.pyx admits


cdef class State:
    """All tables, empty. accounts, positions, orders: the most rows of each (address space is reserved, memory is used as touched)."""

    def __cinit__(self, uint32_t accounts=1 << 16, uint32_t positions=1 << 18, uint32_t orders=1 << 20):
        self.most_accounts = accounts
        self.most_positions = positions
        self.most_orders = orders
        self.groups = <Group *>map_pages(MOST_GROUPS * sizeof(Group))
        self.profiles = <Profile *>map_pages(MOST_PROFILES * sizeof(Profile))
        self.ports = <PortState *>map_pages(MOST_PORTS * sizeof(PortState))
        self.accounts = <Account *>map_pages(accounts * sizeof(Account))
        self.instruments = <Instrument *>map_pages(MOST_INSTRUMENTS * sizeof(Instrument))
        self.positions = <Position *>map_pages(positions * sizeof(Position))
        self.orders = <Order *>map_pages((<size_t>orders + 1) * sizeof(Order))
        for venue in range(1, VENUE_COUNT):
            self.instrument_of[venue] = <uint32_t *>map_pages(SYMBOLS * sizeof(uint32_t))
        map_open(&self.account_map, accounts)
        map_open(&self.position_map, positions)
        map_open(&self.order_map, orders)
        map_open(&self.restriction_map, MOST_RESTRICTIONS)
        self.restrictions = <Restriction *>map_pages(MOST_RESTRICTIONS * sizeof(Restriction))
        self.rule_state = RuleState(accounts, MOST_GROUPS, positions, MOST_INSTRUMENTS)
        self.tickets = <Ticket *>map_pages(MOST_TICKETS * sizeof(Ticket))
        self.accepted = <Window *>map_pages(accounts * sizeof(Window))
        self.group_accepted = <Window *>map_pages(MOST_GROUPS * sizeof(Window))
        self.account_days = <AccountDay *>map_pages(accounts * sizeof(AccountDay))
        self.holdings = <Holding *>map_pages(positions * sizeof(Holding))
        self.ties = <Tie *>map_pages((<size_t>orders + 1) * sizeof(Tie))
        self.strategies = <Strategy *>map_pages(MOST_STRATEGIES * sizeof(Strategy))
        self.units = <TradingUnit *>map_pages(MOST_UNITS * sizeof(TradingUnit))
        self.parents = <Parent *>map_pages(MOST_PARENTS * sizeof(Parent))
        self.firm_shares = <int64_t *>map_pages(MOST_INSTRUMENTS * sizeof(int64_t))
        map_open(&self.parent_map, MOST_PARENTS)

    def __dealloc__(self):
        unmap_pages(self.groups, MOST_GROUPS * sizeof(Group))
        unmap_pages(self.profiles, MOST_PROFILES * sizeof(Profile))
        unmap_pages(self.ports, MOST_PORTS * sizeof(PortState))
        unmap_pages(self.accounts, self.most_accounts * sizeof(Account))
        unmap_pages(self.instruments, MOST_INSTRUMENTS * sizeof(Instrument))
        unmap_pages(self.positions, self.most_positions * sizeof(Position))
        unmap_pages(self.orders, (<size_t>self.most_orders + 1) * sizeof(Order))
        for venue in range(1, VENUE_COUNT):
            unmap_pages(self.instrument_of[venue], SYMBOLS * sizeof(uint32_t))
        unmap_pages(self.restrictions, MOST_RESTRICTIONS * sizeof(Restriction))
        unmap_pages(self.tickets, MOST_TICKETS * sizeof(Ticket))
        unmap_pages(self.accepted, self.most_accounts * sizeof(Window))
        unmap_pages(self.group_accepted, MOST_GROUPS * sizeof(Window))
        unmap_pages(self.account_days, self.most_accounts * sizeof(AccountDay))
        unmap_pages(self.holdings, self.most_positions * sizeof(Holding))
        unmap_pages(self.ties, (<size_t>self.most_orders + 1) * sizeof(Tie))
        unmap_pages(self.strategies, MOST_STRATEGIES * sizeof(Strategy))
        unmap_pages(self.units, MOST_UNITS * sizeof(TradingUnit))
        unmap_pages(self.parents, MOST_PARENTS * sizeof(Parent))
        unmap_pages(self.firm_shares, MOST_INSTRUMENTS * sizeof(int64_t))
        map_close(&self.account_map)
        map_close(&self.position_map)
        map_close(&self.order_map)
        map_close(&self.restriction_map)
        map_close(&self.parent_map)

    def fault_in(self) -> None:
        """Make the tables that are used at random places real memory, before trading begins."""
        fault_in(self.accounts, self.most_accounts * sizeof(Account))
        fault_in(self.positions, self.most_positions * sizeof(Position))
        fault_in(self.account_map.slots, (self.account_map.mask + 1) * sizeof(MapSlot))
        fault_in(self.position_map.slots, (self.position_map.mask + 1) * sizeof(MapSlot))
        fault_in(self.order_map.slots, (self.order_map.mask + 1) * sizeof(MapSlot))

    cdef uint32_t find_account(self, const uint8_t *id, size_t size) noexcept:
        """Index of the account with this id, or NONE."""
        cdef MapSlot *slot
        cdef Account *account
        if size == 0 or size > 16:
            return NONE
        slot = map_find(&self.account_map, hash_bytes(id, size, 0))
        while slot.tag:
            account = &self.accounts[slot.value]
            if account.id_size == size and memcmp(account.id, id, size) == 0:
                return slot.value
            slot = map_next(&self.account_map, slot)
        return NONE

    cdef uint32_t probable_account(self, const uint8_t *id, size_t size) noexcept:
        """What find_account will nearly always return, told without reading the account; NONE when there is none."""
        cdef MapSlot *slot = map_find(&self.account_map, hash_bytes(id, size, 0))
        return slot.value if slot.tag else NONE

    cdef uint32_t find_strategy(self, const uint8_t *id, size_t size) noexcept:
        """Index of the strategy with this id, or NONE. There are few, and most orders name none."""
        cdef uint32_t index
        for index in range(self.strategy_count):
            if self.strategies[index].limits.id_size == size and memcmp(self.strategies[index].limits.id, id, size) == 0:
                return index
        return NONE

    cdef Parent *find_parent(self, uint32_t account, uint64_t id) noexcept:
        """The account's parent order, or NULL when none of its children was accepted yet."""
        cdef MapSlot *slot = map_find(&self.parent_map, mix(account, id))
        cdef Parent *parent
        while slot.tag:
            parent = &self.parents[slot.value]
            if parent.id == id and parent.account == account:
                return parent
            slot = map_next(&self.parent_map, slot)
        return NULL

    cdef Parent *open_parent(self, uint32_t account, uint64_t id) noexcept:
        """As find_parent, made when there is none; NULL when the table is full."""
        cdef Parent *parent = self.find_parent(account, id)
        cdef uint64_t key = mix(account, id)
        cdef MapSlot *slot
        if parent != NULL or map_full(&self.parent_map):
            return parent
        slot = map_find(&self.parent_map, key)
        while slot.tag:
            slot = map_next(&self.parent_map, slot)
        parent = &self.parents[self.parent_map.count]
        parent.id = id
        parent.account = account
        parent.qty_shares = MOST_SHARES
        map_put(&self.parent_map, slot, key, self.parent_map.count)
        return parent

    cdef uint32_t *list_of(self, uint32_t owner) noexcept:
        """Where the owner's list of positions begins; NULL for a group, which has none."""
        if owner & GROUP_OWNER:
            return NULL
        if owner & STRATEGY_OWNER:
            return &self.strategies[owner & ~<uint32_t>STRATEGY_OWNER].first_position
        return &self.account_days[owner].first_position

    cdef uint32_t find_instrument(self, int venue, uint32_t symbol) noexcept:
        """Index of the instrument, or NONE."""
        if not 0 < venue < VENUE_COUNT or symbol >= SYMBOLS:
            return NONE
        return self.instrument_of[venue][symbol] - 1

    cdef Position *find_position(self, uint32_t owner, uint32_t instrument) noexcept:
        """The record of owner x instrument, or NULL."""
        cdef MapSlot *slot = map_find(&self.position_map, position_key(owner, instrument))
        cdef Position *position
        while slot.tag:
            position = &self.positions[slot.value]
            if position.owner == owner and position.instrument == instrument:
                return position
            slot = map_next(&self.position_map, slot)
        return NULL

    cdef void fetch_position(self, uint32_t owner, uint32_t instrument) noexcept:
        """Start loading the record that find_position will probably find."""
        cdef MapSlot *slot = map_find(&self.position_map, position_key(owner, instrument))
        if slot.tag:
            prefetch(&self.positions[slot.value], sizeof(Position))

    cdef Position *open_position(self, uint32_t owner, uint32_t instrument) noexcept:
        """The record of owner x instrument, made empty when there is none; NULL when the table is full."""
        cdef Position *position = self.find_position(owner, instrument)
        cdef uint64_t key = position_key(owner, instrument)
        cdef MapSlot *slot
        cdef uint32_t *first = self.list_of(owner)
        if position != NULL:
            return position
        if map_full(&self.position_map):
            return NULL
        slot = map_find(&self.position_map, key)
        while slot.tag:
            slot = map_next(&self.position_map, slot)
        position = &self.positions[self.position_count]
        memset(position, 0, sizeof(Position))
        position.owner = owner
        position.instrument = instrument
        position.open_head = NONE
        position.best_sell_e4 = NO_SELL
        map_put(&self.position_map, slot, key, self.position_count)
        self.position_count += 1
        if first != NULL:
            position.next_of_owner = first[0]
            first[0] = self.position_count
        return position

    cdef uint32_t restriction(self, uint32_t profile, uint32_t instrument) noexcept:
        """Banned sides (bit 1 << Side) of the instrument for the profile."""
        cdef MapSlot *slot = map_find(&self.restriction_map, position_key(profile, instrument))
        cdef const Restriction *row
        while slot.tag:
            row = &self.restrictions[slot.value]
            if row.profile == profile and row.instrument == instrument:
                return row.side_mask
            slot = map_next(&self.restriction_map, slot)
        return 0

    cdef void restrict(self, uint32_t profile, uint32_t instrument, uint32_t side_mask) noexcept:
        """Set the banned sides; a full table keeps what it has."""
        cdef uint64_t key = position_key(profile, instrument)
        cdef MapSlot *slot = map_find(&self.restriction_map, key)
        cdef Restriction *row
        while slot.tag:
            row = &self.restrictions[slot.value]
            if row.profile == profile and row.instrument == instrument:
                row.side_mask = side_mask
                return
            slot = map_next(&self.restriction_map, slot)
        if map_full(&self.restriction_map):
            return
        row = &self.restrictions[self.restriction_map.count]
        row.profile = profile
        row.instrument = instrument
        row.side_mask = side_mask
        map_put(&self.restriction_map, slot, key, self.restriction_map.count)

    def hash(self) -> str:
        """SHA-256 over every table that the journal folds into: equal for equal histories, whatever the process."""
        digest = hashlib.sha256()
        counts = (self.group_count, self.profile_count, self.port_count, self.account_count, self.instrument_count,
                  self.position_count, self.order_count, self.open_count, self.cancel_no, self.trade_date, self.shard,
                  self.firm_killed, self.group_leveled, self.firm_level_offset, self.carried, self.ticket_count,
                  self.suspended_count, self.strategy_count, self.unit_count, self.parent_map.count, self.firm_cash_e4,
                  self.firm_opening_e4, self.firm_ordered_e4, self.epoch)
        digest.update(repr(counts).encode())
        digest.update(repr((self.divided, self.firm_leased_e4)).encode())
        digest.update(<bytes>(<char *>&self.rules)[:sizeof(Rules)])
        digest.update(<bytes>(<char *>&self.firm)[:sizeof(Usage)])
        digest.update(<bytes>(<char *>self.report_index)[:sizeof(self.report_index)])
        self.hash_rows(digest, <char *>self.groups, self.group_count * sizeof(Group))
        self.hash_rows(digest, <char *>self.profiles, self.profile_count * sizeof(Profile))
        self.hash_rows(digest, <char *>self.accounts, self.account_count * sizeof(Account))
        self.hash_rows(digest, <char *>self.instruments, self.instrument_count * sizeof(Instrument))
        self.hash_rows(digest, <char *>self.positions, self.position_count * sizeof(Position))
        self.hash_rows(digest, <char *>self.restrictions, self.restriction_map.count * sizeof(Restriction))
        self.hash_rows(digest, <char *>&self.orders[1], self.order_count * sizeof(Order))
        self.hash_rows(digest, <char *>&self.tickets[1], self.ticket_count * sizeof(Ticket))
        self.hash_rows(digest, <char *>self.group_accepted, self.group_count * sizeof(Window))
        for account in range(self.account_count):
            if self.accounts[<uint32_t>account].leveled:
                self.hash_rows(digest, <char *>&self.accepted[<uint32_t>account], sizeof(Window))
        self.hash_rows(digest, <char *>self.account_days, self.account_count * sizeof(AccountDay))
        self.hash_rows(digest, <char *>self.holdings, self.position_count * sizeof(Holding))
        self.hash_rows(digest, <char *>&self.ties[1], self.order_count * sizeof(Tie))
        self.hash_rows(digest, <char *>self.strategies, self.strategy_count * sizeof(Strategy))
        self.hash_rows(digest, <char *>self.units, self.unit_count * sizeof(TradingUnit))
        self.hash_rows(digest, <char *>self.parents, self.parent_map.count * sizeof(Parent))
        self.hash_rows(digest, <char *>self.firm_shares, self.instrument_count * sizeof(int64_t))
        for port in range(self.port_count):
            digest.update(repr((self.ports[port].killed, self.ports[port].cancel_on_disconnect, self.ports[port].grace_ms)).encode())
        digest.update(repr((self.phase, self.phase_number, self.phase_since_ns)).encode())
        self.rule_state.hash_into(digest, self.account_count, self.group_count, self.position_count, self.instrument_count)
        return digest.hexdigest()

    cdef hash_rows(self, object digest, char *rows, size_t size):
        if size:
            digest.update(<const unsigned char[:size]><unsigned char *>rows)
