"""The one door to state, and the way down: orders and cancels in, judged, journaled, sent to their exchange, answered.

Must not read a clock, open anything or log: time is an argument, files and sockets belong to the shell.
"""

from libc.string cimport memcpy, memset

from ext.audience cimport Watch
from ext.codec cimport (
    BARE, MOST_REPORT_SIZE, RESPONSE_CANCEL_REJECT, RESPONSE_EXECUTION_REPORT, SERVER_CANCEL_REJECT, SERVER_EXECUTION_REPORT,
    symbol_number,
)
from ext.codes cimport (
    PASS, PHASE_CONTINUOUS, PHASE_LUNCH, PHASE_OPEN_CALL, PHASE_UNKNOWN, R1001_AUTH, R1004_SESSION, R1201_DUP_ID,
    R1203_RATE_IN, R1207_REJ_BREAK, R1601_VENUE_DOWN, R1603_CAPACITY, R1604_NOT_FOUND, R1606_NOT_OPEN,
    R1607_CANCEL_PENDING, R1609_OVERLOAD, R1610_WRONG_SHARD, R1612_QUOTA, R1613_DISK_FULL, STATUS_SUSPENDED, XSHG,
)
from ext.events cimport (
    EV_CANCELED, EV_CANCEL_QUEUED, EV_CANCEL_SENT, EV_EXPIRED, EV_NEW, EV_ORDER, EV_TRADE, EV_VENUE_REJECTED,
    LEVEL_CONFIRM, LEVEL_OBSERVE, ORDER_AGGRESSIVE, ORDER_BEYOND, ORDER_PROGRAMME, ORDER_SHORT, SCOPE_ACCOUNT, SCOPE_GROUP,
    SCOPE_PORT,
)
from ext.fields cimport check_cancel_fields, check_fields, copy_cancel_name
from ext.orders cimport cl_ord_id_hash, find_order
from ext.reports cimport encode_cancel_refusal, encode_order_state, encode_refusal, refuse_with
from ext.risk cimport check_new_order, fail
from ext.state cimport (
    FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, GROUP_OWNER, MOST_SHORTAGES, NONE, OPTIONAL_CHECK, Account, AccountDay, PortState, Shortage,
    position_key, window_add, window_count,
)
from ext.survey cimport Found
from ext.tables cimport hash_bytes, map_full, map_prefetch, prefetch
from ext.venue cimport VenueCancel, VenueOrder
from ext.venue_ids cimport ID_CANCEL, ID_ORDER, encode_venue_id


cdef class Engine:
    """One shard's orders, money and rules.

    state, journal: as opened by the shell; market is made here. Every method must be called from the thread that made it.
    """

    def __init__(self, State state, Journal journal):
        Waiting.__init__(self, state, journal)
        self.queued = []

    def attach(self, VenueOutlet xshg, VenueOutlet xshe) -> None:
        """The two exchanges' links."""
        self.xshg = xshg
        self.xshe = xshe

    cdef VenueOutlet link(self, int venue):
        return self.xshg if venue == XSHG else self.xshe

    cdef void respond(self, const Found *found, int level) noexcept:
        """What a rule's hit asks for beyond the order itself: a level of its subject. Rare, so it takes the officers' way."""
        if level in (LEVEL_OBSERVE, LEVEL_CONFIRM):
            return
        try:
            from ext.escalation import raise_level
            raise_level(self, found.rule, found.stage, level, self.occasion.account_index, self.occasion.group,
                        self.occasion.instrument_index, found.offset, self.occasion.now_ns)
        except Exception:
            self.levels_failed += 1

    # A new order

    cdef void on_new_order(self, Caller caller, const NewOrder *message, int64_t now_ns) noexcept:
        """Judge one order, journal the decision, hold, send it on, and tell everyone who watches."""
        cdef Refusal refusal
        cdef const Frame *decision = self.judge(caller, message, &refusal, now_ns)
        self.answer(caller, message, decision, &refusal, now_ns)

    cdef void answer(self, Caller caller, const NewOrder *message, const Frame *decision, const Refusal *refusal, int64_t now_ns) noexcept:
        """Whoever asked, whoever watches and, when it passed, the exchange hear of a decision; NULL: of a refusal."""
        if decision == NULL and refusal.code == R1201_DUP_ID and refusal.value == 0:
            self.repeat(caller, <uint32_t>refusal.limit)
        elif decision == NULL:
            self.refuse(caller, message, refusal, now_ns)
        else:
            if (<const OrderEvent *>decision).code == PASS:
                self.forward(decision.order_no, now_ns)
            self.audience.publish(caller, decision)

    cdef const Frame *judge(self, Caller caller, const NewOrder *message, Refusal *refusal, int64_t now_ns) noexcept:
        """The whole decision: admitted, through the ladder, journaled, held. NULL: refused before it became an order."""
        cdef Candidate order
        cdef int code = self.admit(caller, message, &order, refusal, now_ns)
        if code != PASS:
            return NULL
        self.look_up(message, &order, now_ns)
        self.fetch_cells(&order)
        code = check_new_order(self.state, self.market, &order)
        if code == R1612_QUOTA:
            self.note_shortage(&order)
        if code == PASS:
            code = self.survey_order(&order)
        if code == PASS and order.wait_code:
            code = self.auto_deny(&order)
        if code != PASS or order.wait_code == 0:
            self.count_decision(caller.port, code, now_ns)
        return self.decide(caller, message, &order, code)

    cdef void note_shortage(self, const Candidate *order) noexcept:
        """What this shard's share of a limit should have been, for whoever leases more of it."""
        cdef Shortage *shortage = &self.state.shortages[self.state.shortage_count % MOST_SHORTAGES]
        shortage.scope = order.scope
        shortage.index = order.account.group if order.scope == SCOPE_GROUP else 0
        shortage.kind = order.quota_kind
        shortage.value = order.value
        self.state.shortage_count += 1

    cdef int admit(self, Caller caller, const NewOrder *message, Candidate *order, Refusal *refusal, int64_t now_ns) noexcept:
        """Rows 1 to 6 of the ladder: what is refused here leaves no order behind."""
        cdef PortState *port = &self.state.ports[caller.port]
        cdef uint32_t order_no
        memset(refusal, 0, sizeof(Refusal))
        memset(order, 0, sizeof(Candidate))
        order.port = port
        refusal.scope = SCOPE_PORT
        refusal.code = check_fields(message, refusal)
        if refusal.code != PASS:
            return refusal.code
        self.fetch_rows(message, order)
        order.account_index = self.state.find_account(message.account.at, message.account.size)
        if not self.audience.may_trade(caller, order.account_index):
            return self.audience.not_here(caller, &message.account, refusal)
        if not self.read_names(message, order):
            refusal.code = R1001_AUTH
            return R1001_AUTH
        refusal.value = window_count(&port.orders_in, now_ns)
        refusal.limit = port.rate_in_per_s
        if refusal.value >= refusal.limit:
            return refuse_with(refusal, R1203_RATE_IN, refusal.value + 1, refusal.limit)
        window_add(&port.orders_in, now_ns)
        if order.instrument_index != NONE:
            self.state.fetch_position(order.account_index, order.instrument_index)
        if now_ns < port.latched_until_ns:
            return refuse_with(refusal, R1207_REJ_BREAK, port.reject_streak_max, port.reject_streak_max)
        order_no = find_order(self.state, self.journal, order.account_index, message.cl_ord_id.at, message.cl_ord_id.size)
        if order_no:
            refusal.code = R1201_DUP_ID
            # Another order under a used name: v names the order that has it. The same order: limit, for repeat to find it.
            refusal.value = 0 if self.is_same(order_no, message, order) else order_no
            refusal.limit = order_no if refusal.value == 0 else 0
            return R1201_DUP_ID
        if self.state.order_count >= self.state.most_orders or self.state.position_count + MOST_NEW_POSITIONS > self.state.most_positions \
                or not self.has_parent_row(order):
            return refuse_with(refusal, R1603_CAPACITY, self.state.order_count, self.state.most_orders)
        if not self.journal.has_room(SPARE_FOR_REPORTS):
            return refuse_with(refusal, R1613_DISK_FULL, self.journal.free_bytes(), SPARE_FOR_REPORTS)
        self.find_holdings(order)
        return PASS

    cdef bint read_names(self, const NewOrder *message, Candidate *order) noexcept:
        """Strategy and parent, where it names them; False when there is no such strategy."""
        order.strategy = NONE
        if message.parent_id.size:
            order.parent = hash_bytes(message.parent_id.at, message.parent_id.size, 0)
        if message.strategy.size == 0:
            return True
        order.strategy = self.state.find_strategy(message.strategy.at, message.strategy.size)
        return order.strategy != NONE

    cdef bint has_parent_row(self, const Candidate *order) noexcept:
        """Whether its parent, if any, has a row or can have one."""
        return (order.parent == 0 or self.state.find_parent(order.account_index, order.parent) != NULL
                or not map_full(&self.state.parent_map))

    cdef void fetch_rows(self, const NewOrder *message, Candidate *order) noexcept:
        """Start loading every row this order will touch: with a million accounts none of them is in a cache. The account is
        the one its hash names; whether it is really that one is checked when its row is there."""
        cdef State state = self.state
        cdef uint32_t account = state.probable_account(message.account.at, message.account.size)
        order.instrument_index = state.find_instrument(<int>message.security_exchange, symbol_number(&message.symbol))
        if account == NONE:
            return
        prefetch(&state.accounts[account], sizeof(Account))
        prefetch(&state.account_days[account], sizeof(AccountDay))
        prefetch(&self.audience.watches[account], sizeof(Watch))
        map_prefetch(&state.position_map, position_key(account, order.instrument_index))
        map_prefetch(&state.order_map, cl_ord_id_hash(account, message.cl_ord_id.at, message.cl_ord_id.size))

    cdef void fetch_newest(self, uint32_t order_no) noexcept:
        """The head of a list of open orders, whose link to the order before it is about to be written."""
        if order_no != NONE:
            prefetch(&self.state.orders[order_no], sizeof(Order))

    cdef void find_holdings(self, Candidate *order) noexcept:
        """The records of account (and group) in this instrument, on their way into the cache while the rest is checked."""
        cdef uint32_t group = self.state.accounts[order.account_index].group
        if order.instrument_index == NONE:
            return
        order.position = self.state.find_position(order.account_index, order.instrument_index)
        order.match_owner = order.position
        self.fetch_newest(self.state.accounts[order.account_index].open_head)
        if order.position != NULL:
            self.fetch_newest(order.position.open_head)
        if group != NONE:
            order.match_owner = self.state.find_position(GROUP_OWNER | group, order.instrument_index)

    cdef bint is_same(self, uint32_t order_no, const NewOrder *message, const Candidate *order) noexcept:
        """Whether a repeated cl_ord_id asks for the same order again."""
        cdef const OrderEvent *event = <const OrderEvent *>self.journal.at(self.state.orders[order_no].frame_offset)
        return (event.symbol == symbol_number(&message.symbol) and event.venue == message.security_exchange
                and event.side == message.side and event.ord_type == message.ord_type
                and event.order_qty_shares == message.order_qty_shares and event.price_e4 == message.price_e4
                and event.strategy == order.strategy and event.parent == order.parent
                and event.parent_qty_shares == message.parent_qty_shares
                and (event.flags & ORDER_SHORT != 0) == message.short_sale)

    cdef void look_up(self, const NewOrder *message, Candidate *order, int64_t now_ns) noexcept:
        """What the message asks for, and the rows of state the ladder reads."""
        order.venue = <int>message.security_exchange
        order.side = <int>message.side
        order.ord_type = <int>message.ord_type
        order.order_qty_shares = message.order_qty_shares
        order.price_e4 = message.price_e4
        order.parent_qty_shares = message.parent_qty_shares
        order.short_sale = message.short_sale
        order.now_ns = now_ns
        self.find_rows(order)

    cdef void find_rows(self, Candidate *order) noexcept:
        """The rows of state the ladder reads, found once."""
        cdef State state = self.state
        order.account = &state.accounts[order.account_index]
        order.profile = &state.profiles[order.account.profile]
        order.phase = self.market.phase[order.venue]
        order.optional = order.profile.optional | state.rules.optional | order.account.traits | order.account.unit
        if order.account.group != NONE:
            order.optional |= state.groups[order.account.group].optional
        if order.strategy != NONE or order.parent or order.short_sale:
            order.optional |= OPTIONAL_CHECK
        if order.instrument_index == NONE:
            return
        order.instrument = &state.instruments[order.instrument_index]
        order.top = &self.market.tops[order.instrument_index]

    cdef const Frame *decide(self, Caller caller, const NewOrder *message, const Candidate *order, int code) noexcept:
        """The decision as an event, journaled and applied."""
        cdef OrderEvent *event = <OrderEvent *>self.reserve(EV_ORDER, sizeof(OrderEvent), order.account_index, True, order.now_ns)
        event.head.order_no = self.state.order_count + 1
        event.order_qty_shares = order.order_qty_shares
        event.price_e4 = order.price_e4
        event.code = <uint16_t>code
        event.port = <uint16_t>caller.port
        event.instrument = order.instrument_index
        event.symbol = symbol_number(&message.symbol)
        event.venue = <uint8_t>order.venue
        event.side = <uint8_t>order.side
        event.ord_type = <uint8_t>order.ord_type
        event.phase = <uint8_t>order.phase
        event.planned_ns = message.planned_ns
        event.strategy = order.strategy
        event.parent = order.parent
        event.parent_qty_shares = order.parent_qty_shares
        event.flags = (ORDER_SHORT if order.short_sale else 0) | (ORDER_BEYOND if order.beyond else 0)
        event.cl_ord_id_size = <uint8_t>message.cl_ord_id.size
        memcpy(event.cl_ord_id, message.cl_ord_id.at, message.cl_ord_id.size)
        if order.top != NULL:
            event.bid_px_e4 = order.top.bid_px_e4
            event.ask_px_e4 = order.top.ask_px_e4
            event.last_px_e4 = order.top.last_px_e4
        if order.port.programme:
            event.flags |= ORDER_PROGRAMME
        if code == PASS and order.wait_code:
            self.suspend(event, order)
        elif code == PASS:
            event.wpx_e4 = order.wpx_e4
            event.hold_e4 = order.hold_e4
        else:
            event.value = order.value
            event.limit = order.limit
            event.scope = <uint8_t>order.scope
        if order.is_aggressive:
            event.flags |= ORDER_AGGRESSIVE
        if self.state.rule_state.book.number:
            event.rule = order.rule
            event.rule_set = self.state.rule_state.book.number
        self.record(&event.head)
        self.record_order_found(event.head.order_no, code == PASS and order.wait_code == 0)
        return &event.head

    cdef void forward(self, uint32_t order_no, int64_t now_ns) noexcept:
        """The journaled order to its exchange."""
        cdef const Order *order = &self.state.orders[order_no]
        cdef const Account *account = &self.state.accounts[order.account]
        cdef VenueOrder venue_order
        encode_venue_id(venue_order.cl_ord_id, ID_ORDER, self.state.shard, order_no)
        memcpy(venue_order.account, account.shareholder[order.venue - 1], 12)
        venue_order.symbol = self.state.instruments[order.instrument].symbol
        venue_order.side = order.side
        venue_order.ord_type = order.ord_type
        venue_order.owner_type = account.owner_type
        venue_order.order_qty_shares = order.order_qty_shares
        venue_order.price_e4 = order.price_e4
        venue_order.time_ns = now_ns
        self.link(order.venue).send_new_order(&venue_order)

    cdef void count_decision(self, uint32_t port_index, int code, int64_t now_ns) noexcept:
        """Counters, and the streak of rejects that latches a port (R1207)."""
        cdef PortState *port = &self.state.ports[port_index]
        self.decisions[code] += 1
        if code == PASS:
            port.reject_streak = 0
            return
        port.reject_streak += 1
        if port.reject_streak >= port.reject_streak_max:
            port.reject_streak = 0
            port.latched_until_ns = now_ns + port.reject_latch_ns

    cdef void refuse(self, Caller caller, const NewOrder *message, const Refusal *refusal, int64_t now_ns) noexcept:
        """An answer to whoever asked, and to nobody else: no event."""
        cdef uint8_t *room
        caller.throttled = refusal.code == R1203_RATE_IN
        # None of these says anything about how good the client's orders are.
        if refusal.code in (R1203_RATE_IN, R1207_REJ_BREAK, R1601_VENUE_DOWN, R1609_OVERLOAD, R1610_WRONG_SHARD, R1613_DISK_FULL):
            self.decisions[refusal.code] += 1
        else:
            self.count_decision(caller.port, refusal.code, now_ns)
        if caller.throttled and caller.slot == NONE:
            return
        room = caller.begin_message(MOST_REPORT_SIZE)
        if room != NULL:
            caller.end_message(encode_refusal(room, self.state, message, refusal, now_ns,
                                              BARE if caller.slot == NONE else SERVER_EXECUTION_REPORT))

    cdef void repeat(self, Caller caller, uint32_t order_no) noexcept:
        """The same order again: its state, not a second order."""
        cdef uint8_t *room = caller.begin_message(MOST_REPORT_SIZE)
        self.repeats_answered += 1
        if room != NULL:
            caller.end_message(encode_order_state(room, self.state, self.journal, order_no, True,
                                                  BARE if caller.slot == NONE else SERVER_EXECUTION_REPORT))

    # A cancel

    cdef void on_cancel(self, Caller caller, const CancelOrder *message, int64_t now_ns) noexcept:
        """Send, queue or reject one cancel. It releases nothing: only the exchange's answer does."""
        cdef Refusal refusal
        cdef uint32_t order_no = 0
        cdef uint8_t *room
        cdef int code = self.admit_cancel(caller, message, &order_no, &refusal, now_ns)
        if code == PASS:
            memset(&self.refused_by, 0, sizeof(self.refused_by))
            code = self.request_cancel(order_no, message, caller.port, now_ns)
            refusal.rule = self.refused_by.rule
            refusal.value = self.refused_by.value
            refusal.limit = self.refused_by.limit
            refusal.scope = self.refused_by.scope
            if code == PASS and caller.slot == NONE:
                room = caller.begin_message(MOST_REPORT_SIZE)
                caller.end_message(encode_order_state(room, self.state, self.journal, order_no, False,
                                                      RESPONSE_EXECUTION_REPORT))
            if code == PASS:
                return
            refusal.code = code
            refusal.order_no = order_no
        self.decisions[code] += 1
        room = caller.begin_message(MOST_REPORT_SIZE)
        if room != NULL:
            caller.end_message(encode_cancel_refusal(room, self.state, message, &refusal, now_ns,
                                                     RESPONSE_CANCEL_REJECT if caller.slot == NONE else SERVER_CANCEL_REJECT))

    cdef int admit_cancel(self, Caller caller, const CancelOrder *message, uint32_t *order_no, Refusal *refusal,
                          int64_t now_ns) noexcept:
        """Whose order it is, and the port's own budget for cancels."""
        cdef PortState *port = &self.state.ports[caller.port]
        cdef uint32_t account
        memset(refusal, 0, sizeof(Refusal))
        refusal.scope = SCOPE_PORT
        refusal.code = check_cancel_fields(message, refusal)
        if refusal.code != PASS:
            return refusal.code
        account = self.state.find_account(message.account.at, message.account.size)
        if not self.audience.may_trade(caller, account):
            return self.audience.not_here(caller, &message.account, refusal)
        refusal.value = window_count(&port.cancels_in, now_ns) + 1
        refusal.limit = port.cancel_rate_in_per_s
        if refusal.value > refusal.limit:
            refusal.code = R1203_RATE_IN
            return R1203_RATE_IN
        window_add(&port.cancels_in, now_ns)
        refusal.value = refusal.limit = 0
        if message.orig_cl_ord_id.size:
            order_no[0] = find_order(self.state, self.journal, account, message.orig_cl_ord_id.at, message.orig_cl_ord_id.size)
        elif message.order_id <= self.state.order_count and self.state.orders[message.order_id].account == account:
            order_no[0] = <uint32_t>message.order_id
        if order_no[0] == 0:
            refusal.code = R1604_NOT_FOUND
            return R1604_NOT_FOUND
        return PASS

    cdef int cancel_phase(self, int venue) noexcept:
        """PASS: cancels go now; R1004: not in this phase. Lunch passes, and request_cancel queues."""
        cdef int phase = self.market.phase[venue]
        if phase in (PHASE_OPEN_CALL, PHASE_CONTINUOUS, PHASE_LUNCH, PHASE_UNKNOWN):
            return PASS
        return R1004_SESSION

    cdef int request_cancel(self, uint32_t order_no, const CancelOrder *message, uint32_t port, int64_t now_ns) noexcept:
        """Journal a cancel and send it, or queue it. message NULL: ours (mass cancel, kill, disconnect), which queues wherever
        the phase or the link forbids. PASS, or why not."""
        cdef Order *order = &self.state.orders[order_no]
        cdef CancelEvent *event
        cdef int phase_code = self.cancel_phase(order.venue)
        cdef bint link_ready = self.market.link_ready[order.venue]
        cdef int phase = self.market.phase[order.venue]
        # A cancel that already waits for its phase goes on waiting until the phase is known again after a restart.
        cdef bint must_wait = phase == PHASE_LUNCH or (phase == PHASE_UNKNOWN and order.flags & FLAG_CANCEL_QUEUED)
        cdef bint now_possible = link_ready and phase_code == PASS and not must_wait
        cdef int code
        if order.ord_status == STATUS_SUSPENDED:
            return self.deny(order_no, b"sweep" if port == NONE else b"port:%d" % port, now_ns)
        if not is_open(order):
            return R1606_NOT_OPEN
        if order.flags & FLAG_CANCEL_SENT or (order.flags & FLAG_CANCEL_QUEUED and not now_possible):
            return R1607_CANCEL_PENDING
        if message != NULL and not link_ready:
            return R1601_VENUE_DOWN
        if message != NULL and phase_code != PASS:
            return phase_code
        if message != NULL and now_possible:
            code = self.survey_cancel(order, order_no, now_ns)
            if code != PASS:
                self.record_found(order_no, False)
                return code
        event = <CancelEvent *>self.reserve(EV_CANCEL_SENT if now_possible else EV_CANCEL_QUEUED, sizeof(CancelEvent), order.account,
                                            False, now_ns)
        if event == NULL:
            return R1603_CAPACITY
        event.head.order_no = order_no
        event.venue = order.venue
        event.port = <uint16_t>port
        event.ord_status = order.ord_status
        if message != NULL:
            event.planned_ns = message.planned_ns
            event.cl_ord_id_size = <uint8_t>message.cl_ord_id.size
            memcpy(event.cl_ord_id, message.cl_ord_id.at, message.cl_ord_id.size)
        elif order.cancel_offset and order.flags & FLAG_CANCEL_QUEUED:
            copy_cancel_name(event, <const CancelEvent *>self.journal.at(order.cancel_offset))
        if now_possible:
            event.cancel_no = self.state.cancel_no + 1
        else:
            self.queued.append(order_no)
        self.record(&event.head)
        if not now_possible:
            return PASS
        self.watch(order.match_position)
        if message != NULL:
            self.record_found(order_no, True)
        self.forward_cancel(order_no, event.cancel_no, now_ns)
        return PASS

    cdef void forward_cancel(self, uint32_t order_no, uint32_t cancel_no, int64_t now_ns) noexcept:
        cdef const Order *order = &self.state.orders[order_no]
        cdef const Account *account = &self.state.accounts[order.account]
        cdef VenueCancel cancel
        encode_venue_id(cancel.cl_ord_id, ID_CANCEL, self.state.shard, cancel_no)
        encode_venue_id(cancel.orig_cl_ord_id, ID_ORDER, self.state.shard, order_no)
        memcpy(cancel.account, account.shareholder[order.venue - 1], 12)
        cancel.symbol = self.state.instruments[order.instrument].symbol
        cancel.side = order.side
        cancel.owner_type = account.owner_type
        cancel.order_qty_shares = order.order_qty_shares
        memset(cancel.venue_order_id, 32, 16)
        if order.venue_order_id[0]:
            memcpy(cancel.venue_order_id, order.venue_order_id, 16)
        cancel.time_ns = now_ns
        self.link(order.venue).send_cancel(&cancel)

    # The market

    cdef void on_status(self, const MarketStatus *status, int64_t now_ns) noexcept:
        """The exchange's phase; a change lets waiting cancels go."""
        cdef int before = self.market.phase[status.venue]
        self.market.on_status(status, now_ns)
        self.record_phase(status, now_ns)
        if status.phase != before and self.queued:
            self.send_queued(status.venue, now_ns)

    cdef int send_queued(self, int venue, int64_t now_ns) noexcept:
        """Send the cancels that waited for this exchange's no-cancel window to end; how many left."""
        cdef uint32_t order_no
        cdef const Order *order
        cdef int sent = 0
        waiting, self.queued = self.queued, []
        for order_no in waiting:
            order = &self.state.orders[order_no]
            if not is_open(order) or not order.flags & FLAG_CANCEL_QUEUED:
                continue
            if order.venue != venue or self.request_cancel(order_no, NULL, order.port, now_ns) != PASS:
                self.queued.append(order_no)
            else:
                sent += 1
        return sent

    def report_counts(self) -> dict:
        """Execution reports since start by ExecType name."""
        return {"PENDING_NEW": self.decisions[<int>PASS], "NEW": self.event_counts[<int>EV_NEW],
                "TRADE": self.event_counts[<int>EV_TRADE], "CANCELED": self.event_counts[<int>EV_CANCELED],
                "EXPIRED": self.event_counts[<int>EV_EXPIRED], "REJECTED": self.event_counts[<int>EV_VENUE_REJECTED]}

    def decision_counts(self) -> dict:
        """Decisions since start by code; PASS (1) counts accepted orders."""
        return {code: self.decisions[code] for code in range(MOST_CODE) if self.decisions[code]}
