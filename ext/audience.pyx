"""Sessions, what they watch, and events to those who watch. Decides nothing about orders."""

from libc.stdint cimport int64_t, uint8_t

from ext.codec cimport MOST_REPORT_SIZE
from ext.codes cimport R1001_AUTH, R1610_WRONG_SHARD, R1611_MOVING
from ext.reports cimport encode_event
from ext.state cimport NONE
from ext.tables cimport map_pages, unmap_pages

cdef enum:
    MOST_FURTHER = 4194304             # sessions that watch an account besides its first

MOVING = b"-"                          # what `elsewhere` says of an account on its way from or to this shard


cdef class Caller(StreamSink):
    """Whoever asks; see audience.pxd."""

    def __init__(self, turn, size_t limit=1 << 22):
        StreamSink.__init__(self, turn, limit)
        self.port = NONE
        self.slot = NONE

    def cut(self) -> None:
        """End it as one that reads too slowly: what waits for it is dropped."""
        self.out.overflowed = True
        self.mark()


cdef class Audience:
    """The sessions of one shard."""

    def __init__(self, State state, Journal journal):
        self.state = state
        self.journal = journal
        self.callers = []
        self.free_slots = []
        self.room = BacklogRoom()
        self.allowed = []
        self.moving = NONE
        self.watch_count = state.most_accounts
        self.watches = <Watch *>map_pages((<size_t>state.most_accounts + MOST_FURTHER) * sizeof(Watch))

    def __dealloc__(self):
        if self.state is not None:
            unmap_pages(self.watches, (<size_t>self.state.most_accounts + MOST_FURTHER) * sizeof(Watch))

    cdef void publish(self, Caller asking, const Frame *frame) noexcept:
        """One sequenced event to every session that watches the account, and to the unary call that caused it."""
        cdef const Watch *watch = &self.watches[frame.account]
        cdef Caller caller
        cdef uint8_t *room
        while watch != NULL and watch.session:
            caller = <Caller>self.callers[watch.session - 1]
            watch = &self.watches[watch.next] if watch.next else NULL
            if caller.catching_up:
                # The event just applied is the newest of its account.
                if caller.backlog is not None:
                    caller.backlog.add(self.state.accounts[frame.account].last_offset)
                continue
            room = caller.begin_message(MOST_REPORT_SIZE)
            if room != NULL:
                caller.end_message(encode_event(room, self.state, self.journal, frame, True))
        if asking is not None and asking.slot == NONE:
            room = asking.begin_message(MOST_REPORT_SIZE)
            if room != NULL:
                asking.end_message(encode_event(room, self.state, self.journal, frame, False))

    cdef bint may_trade(self, Caller caller, uint32_t account) noexcept:
        """A session trades the accounts it logged on with; a unary call those of its token."""
        cdef const Watch *watch
        if account == NONE or account == self.moving:
            return False
        if caller.slot == NONE:
            return self.is_allowed(caller.port, account)
        watch = &self.watches[account]
        while watch.session != caller.slot + 1:
            if watch.next == 0:
                return False
            watch = &self.watches[watch.next]
        return True

    cdef int not_here(self, Caller caller, const Text *account, Refusal *refusal) noexcept:
        """R1001: no account of this caller; R1610, with its address, when it is one of his token's that lives at another shard."""
        refusal.code = R1001_AUTH
        if self.elsewhere is None:
            return R1001_AUTH
        self.redirect = self.elsewhere(caller.port, (<const char *>account.at)[:account.size])
        if self.redirect == MOVING:
            refusal.code = R1611_MOVING
        elif self.redirect is not None:
            refusal.redirect = <const char *>self.redirect
            refusal.code = R1610_WRONG_SHARD
        return refusal.code

    cdef bint is_allowed(self, uint32_t port, uint32_t account) noexcept:
        cdef bytearray accounts
        if port >= <uint32_t>len(self.allowed):
            return False
        accounts = <bytearray>self.allowed[port]
        return (<unsigned char>accounts[account >> 3]) >> (account & 7) & 1

    def allows(self, uint32_t port, uint32_t account) -> bool:
        """Whether the port's token covers the account."""
        return self.is_allowed(port, account)

    def allow(self, uint32_t port, accounts) -> None:
        """What a token may trade and watch: account indexes."""
        cdef bytearray bits = bytearray(self.state.most_accounts // 8 + 1)
        for account in accounts:
            bits[account >> 3] |= 1 << (account & 7)
        while len(self.allowed) <= port:
            self.allowed.append(bytearray(self.state.most_accounts // 8 + 1))
        self.allowed[port] = bits

    def allow_one(self, uint32_t account, ports) -> None:
        """Exactly these ports may trade the account: none when it left."""
        for port in range(len(self.allowed)):
            bits = <bytearray>self.allowed[port]
            bits[account >> 3] = bits[account >> 3] & ~(1 << (account & 7)) & 0xFF | (port in ports) << (account & 7)

    def forget(self, uint32_t account) -> list:
        """Nobody watches the account here any more; the sessions that did."""
        cdef const Watch *watch = &self.watches[account]
        found = []
        while watch != NULL and watch.session:
            found.append(self.callers[watch.session - 1])
            watch = &self.watches[watch.next] if watch.next else NULL
        for caller in found:
            self.unwatch(caller, account)
            caller.accounts.remove(account)
        return found

    def connect(self, Caller caller, uint32_t port) -> None:
        """Give a session its slot."""
        caller.port = port
        caller.slot = self.free_slots.pop() if self.free_slots else len(self.callers)
        if caller.slot == <uint32_t>len(self.callers):
            self.callers.append(caller)
        else:
            self.callers[caller.slot] = caller

    def relieve(self, int64_t most_bytes) -> int:
        """Cut the sessions that have most waiting for them until all have no more than so many octets; how many were cut."""
        cdef Caller caller, heaviest
        cdef int64_t total = 0
        cdef int cuts = 0
        for caller in self.callers:
            if caller is not None and not caller.out.overflowed:
                total += caller.out.size()
        while total > most_bytes:
            heaviest = None
            for caller in self.callers:
                if caller is not None and not caller.out.overflowed and (heaviest is None or caller.out.size() > heaviest.out.size()):
                    heaviest = caller
            total -= heaviest.out.size()
            heaviest.cut()
            cuts += 1
        return cuts

    def disconnect(self, Caller caller, accounts) -> None:
        """Forget a session; accounts: the indexes it watched."""
        for account in accounts:
            self.unwatch(caller, account)
        self.callers[caller.slot] = None
        self.free_slots.append(caller.slot)
        caller.slot = NONE

    def watches_account(self, Caller caller, uint32_t account) -> bool:
        """Whether the session logged on with the account."""
        return caller.slot != NONE and self.may_trade(caller, account)

    cdef bint watch(self, Caller caller, uint32_t account) noexcept:
        cdef Watch *first = &self.watches[account]
        cdef const Watch *one = first
        cdef uint32_t further = self.free_watch
        cdef int watchers = 1
        if first.session == 0:
            first.session = caller.slot + 1
            return True
        while one.next and watchers < MOST_WATCHERS:
            one = &self.watches[one.next]
            watchers += 1
        if watchers >= MOST_WATCHERS:
            return False
        if further:
            self.free_watch = self.watches[further].next
        elif self.watch_count < self.state.most_accounts + MOST_FURTHER:
            further = self.watch_count
            self.watch_count += 1
        else:
            return False
        self.watches[further].session = caller.slot + 1
        self.watches[further].next = first.next
        first.next = further
        return True

    cdef void unwatch(self, Caller caller, uint32_t account) noexcept:
        cdef Watch *watch = &self.watches[account]
        cdef uint32_t further
        while watch.session != caller.slot + 1:
            if watch.next == 0:
                return
            watch = &self.watches[watch.next]
        # The place of one that leaves is taken by the next, so that an account's first is never empty before others.
        further = watch.next
        if further:
            watch[0] = self.watches[further]
            self.watches[further].next = self.free_watch
            self.free_watch = further
        elif watch == &self.watches[account]:
            watch.session = 0
        else:
            self.drop_last(account, caller.slot + 1)

    cdef void drop_last(self, uint32_t account, uint32_t session) noexcept:
        """Take the last of an account's further watches off its list."""
        cdef Watch *watch = &self.watches[account]
        cdef uint32_t last
        while self.watches[watch.next].session != session:
            watch = &self.watches[watch.next]
        last = watch.next
        watch.next = 0
        self.watches[last].next = self.free_watch
        self.free_watch = last
