"""Sessions, what they watch, and events to those who watch. Decides nothing about orders."""

from libc.stdint cimport uint8_t

from ext.codec cimport MOST_REPORT_SIZE
from ext.reports cimport encode_event
from ext.state cimport NONE
from ext.tables cimport map_pages, unmap_pages

cdef enum:
    MOST_WATCHES = 1 << 22


cdef class Caller(StreamSink):
    """Whoever asks; see audience.pxd."""

    def __init__(self, turn, size_t limit=1 << 22):
        StreamSink.__init__(self, turn, limit)
        self.port = NONE
        self.slot = NONE


cdef class Audience:
    """The sessions of one shard."""

    def __init__(self, State state, Journal journal):
        self.state = state
        self.journal = journal
        self.callers = []
        self.allowed = []
        self.watch_head = <uint32_t *>map_pages(state.most_accounts * sizeof(uint32_t))
        self.watches = <Watch *>map_pages(MOST_WATCHES * sizeof(Watch))

    def __dealloc__(self):
        if self.state is not None:
            unmap_pages(self.watch_head, self.state.most_accounts * sizeof(uint32_t))
        unmap_pages(self.watches, MOST_WATCHES * sizeof(Watch))

    cdef void publish(self, Caller asking, const Frame *frame) noexcept:
        """One sequenced event to every session that watches the account, and to the unary call that caused it."""
        cdef uint32_t at = self.watch_head[frame.account]
        cdef Caller caller
        cdef uint8_t *room
        while at:
            caller = <Caller>self.callers[self.watches[at - 1].slot]
            at = self.watches[at - 1].next
            if caller.catching_up:
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
        cdef uint32_t at
        if account == NONE:
            return False
        if caller.slot == NONE:
            return self.is_allowed(caller.port, account)
        at = self.watch_head[account]
        while at:
            if self.watches[at - 1].slot == caller.slot:
                return True
            at = self.watches[at - 1].next
        return False

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

    def connect(self, Caller caller, uint32_t port) -> None:
        """Give a session its slot."""
        caller.port = port
        for slot, taken in enumerate(self.callers):
            if taken is None:
                self.callers[slot] = caller
                caller.slot = slot
                return
        caller.slot = len(self.callers)
        self.callers.append(caller)

    def disconnect(self, Caller caller, accounts) -> None:
        """Forget a session; accounts: the indexes it watched."""
        for account in accounts:
            self.unwatch(caller, account)
        self.callers[caller.slot] = None
        caller.slot = NONE

    cdef void watch(self, Caller caller, uint32_t account) noexcept:
        cdef uint32_t entry = self.free_watch
        if entry:
            self.free_watch = self.watches[entry - 1].next
        elif self.watch_count < MOST_WATCHES:
            self.watch_count += 1
            entry = self.watch_count
        else:
            return
        self.watches[entry - 1].slot = caller.slot
        self.watches[entry - 1].next = self.watch_head[account]
        self.watch_head[account] = entry

    cdef void unwatch(self, Caller caller, uint32_t account) noexcept:
        cdef uint32_t *link = &self.watch_head[account]
        cdef uint32_t entry = link[0]
        while entry and self.watches[entry - 1].slot != caller.slot:
            link = &self.watches[entry - 1].next
            entry = link[0]
        if entry:
            link[0] = self.watches[entry - 1].next
            self.watches[entry - 1].next = self.free_watch
            self.free_watch = entry
