"""Events into state, one function per event type. Decides nothing: whatever is in the journal has happened."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset

from ext.bounds cimport bind_firm, bind_group
from ext.codes cimport (
    PASS, STATUS_CANCELED, STATUS_EXPIRED, STATUS_FILLED, STATUS_PENDING_NEW, STATUS_REJECTED, STATUS_SUSPENDED,
)
from ext.events cimport (
    EV_ACCOUNT, EV_ACCOUNT_CAME, EV_ACCOUNT_LEFT, EV_ADMIN, EV_CANCELED, EV_CANCEL_QUEUED, EV_CANCEL_REJECTED,
    EV_CANCEL_SENT, EV_DAY, EV_EXPIRED, EV_GROUP, EV_INSTRUMENT, EV_KILL, EV_LEVEL, EV_LOCATE, EV_NEW, EV_ORDER,
    EV_ORDER_RELEASED, EV_OWNER, EV_PORT, EV_POSITION, EV_PROFILE, EV_QUOTA, EV_REARM, EV_REPORT_SKIPPED, EV_RESTRICTION,
    EV_RULES, EV_SESSION, EV_STRATEGY, EV_TICKET, EV_TRADE, EV_UNIT, EV_VENUE_REJECTED, KILL_ACCOUNT, KILL_FIRM, KILL_GROUP,
    KILL_PORT, ORDER_AGGRESSIVE, ORDER_SUSPENDED, SCOPE_FIRM, STEP_CARRIED, SUBJECT_ACCOUNT, SUBJECT_FIRM, SUBJECT_GROUP,
    AdminEvent, CameEvent, CancelEvent, DayEvent, KillEvent, LeftEvent, LevelEvent, LocateEvent, OrderEvent, OwnerEvent,
    PortEvent, PositionEvent, QuotaEvent, RearmEvent, ReleaseEvent, ReportEvent, RestrictionEvent, SessionEvent,
    StrategyEvent, TicketEvent, UnitEvent,
)
from ext.counting cimport (
    apply_surveillance, count_cancel_sent, count_canceled, count_fill, count_order, count_reject,
)
from ext.ledger cimport fill, hold, release
from ext.orders cimport cl_ord_id_hash, close_order, index_order, open_order
from ext.state cimport (
    FLAG_ACKED, FLAG_AGGRESSIVE, FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, FLAG_CONFIRMED, FLAG_TIED, GROUP_OWNER, NONE,
    Account, AccountDay, AccountEvent, Group, Instrument, Order, PortState, Position, Profile, Rules, State, Strategy, Ticket, Usage,
    window_add,
)
from ext.tables cimport MapSlot, hash_bytes, map_find, map_next, map_put
from ext.ties cimport count_decision, count_trade, place_tied, retie_order, tie_order


cdef void apply(State state, const Frame *frame, uint64_t offset) noexcept:
    cdef Account *account
    if frame.event_seq:
        account = &state.accounts[frame.account]
        account.event_seq = frame.event_seq
        account.last_offset = offset
    if frame.type == EV_ORDER:
        apply_order(state, <const OrderEvent *>frame, offset)
    elif frame.type in (EV_NEW, EV_TRADE, EV_CANCELED, EV_EXPIRED, EV_VENUE_REJECTED):
        apply_report(state, <const ReportEvent *>frame)
    elif frame.type in (EV_CANCEL_SENT, EV_CANCEL_QUEUED, EV_CANCEL_REJECTED):
        apply_cancel(state, <const CancelEvent *>frame, offset)
    elif frame.type == EV_ORDER_RELEASED:
        apply_release(state, <const ReleaseEvent *>frame, offset)
    elif frame.type == EV_REPORT_SKIPPED:
        count_report(state, <const ReportEvent *>frame)
    elif frame.type == EV_QUOTA:
        apply_quota(state, <const QuotaEvent *>frame)
    elif frame.type == EV_OWNER:
        state.epoch = (<const OwnerEvent *>frame).epoch
    elif frame.type == EV_ACCOUNT_CAME:
        apply_came(state, <const CameEvent *>frame, offset)
    elif frame.type == EV_ACCOUNT_LEFT:
        apply_left(state, <const LeftEvent *>frame)
    elif frame.type >= EV_LEVEL:
        apply_response(state, frame, offset)
        apply_surveillance(state, frame, offset)
    else:
        apply_setting(state, frame)


cdef void apply_order(State state, const OrderEvent *event, uint64_t offset) noexcept:
    """A decision: the order exists from now on, and holds what it needs when it was accepted."""
    cdef uint32_t order_no = event.head.order_no
    cdef Order *order = &state.orders[order_no]
    cdef Account *account = &state.accounts[event.head.account]
    state.order_count = order_no
    order.frame_offset = offset
    order.order_qty_shares = event.order_qty_shares
    order.price_e4 = event.price_e4
    order.wpx_e4 = event.wpx_e4
    order.account = event.head.account
    order.instrument = event.instrument
    order.port = event.port
    order.side = event.side
    order.ord_type = event.ord_type
    order.venue = event.venue
    order.previous_of_account = account.last_order
    account.last_order = order_no
    index_order(state, order_no,
                cl_ord_id_hash(event.head.account, <const unsigned char *>event.cl_ord_id, event.cl_ord_id_size))
    tie_order(state, order_no, event)
    if event.strategy != NONE:
        count_decision(state, event)
    if event.flags & ORDER_SUSPENDED:
        order.ord_status = STATUS_SUSPENDED
        order.leaves_qty_shares = event.order_qty_shares
        state.suspended_count += 1
        return
    if event.code != PASS:
        order.ord_status = STATUS_REJECTED
        count_reject(state, event.head.account, event.instrument, event.side, event.head.time_ns)
        return
    order.ord_status = STATUS_PENDING_NEW
    order.leaves_qty_shares = event.order_qty_shares
    order.hold_e4 = event.hold_e4
    if event.flags & ORDER_AGGRESSIVE:
        order.flags |= FLAG_AGGRESSIVE
    place_order(state, order_no, event.head.time_ns)


cdef void apply_release(State state, const ReleaseEvent *event, uint64_t offset) noexcept:
    """A suspended order's end: it is an accepted order from now on, or a rejected one."""
    cdef Order *order = &state.orders[event.head.order_no]
    state.suspended_count -= 1
    if event.code != PASS:
        order.ord_status = STATUS_REJECTED
        order.leaves_qty_shares = 0
        order.cancel_offset = offset
        count_reject(state, order.account, order.instrument, order.side, event.head.time_ns)
        return
    order.ord_status = STATUS_PENDING_NEW
    order.flags |= FLAG_CONFIRMED
    if event.flags & ORDER_AGGRESSIVE:
        order.flags |= FLAG_AGGRESSIVE
    order.wpx_e4 = event.wpx_e4
    order.hold_e4 = event.hold_e4
    retie_order(state, event.head.order_no, event)
    place_order(state, event.head.order_no, event.head.time_ns)


cdef void place_order(State state, uint32_t order_no, int64_t time_ns) noexcept:
    """An accepted order's hold, its place in the lists, and what it counts in."""
    cdef Order *order = &state.orders[order_no]
    cdef Account *account = &state.accounts[order.account]
    cdef Position *position = state.open_position(order.account, order.instrument)
    cdef Position *owner = position
    cdef const Profile *profile = &state.profiles[account.profile]
    cdef int64_t notional_e4 = order.wpx_e4 * order.leaves_qty_shares
    if account.group != NONE:
        owner = state.open_position(GROUP_OWNER | account.group, order.instrument)
        state.groups[account.group].ordered_e4 += notional_e4
    state.firm_ordered_e4 += notional_e4
    order.position = <uint32_t>(position - state.positions)
    order.match_position = <uint32_t>(owner - state.positions)
    if order.flags & FLAG_TIED or account.unit or profile.optional:
        place_tied(state, order_no, time_ns)
    hold(state, order)
    open_order(state, order_no)
    window_add(&account.sent[order.venue - 1], time_ns)
    account.sent_today[order.venue - 1] += 1
    window_add(&position.accepted, time_ns)
    if account.leveled:
        window_add(&state.accepted[order.account], time_ns)
    if state.group_leveled and account.group != NONE:
        window_add(&state.group_accepted[account.group], time_ns)
        window_add(&owner.accepted, time_ns)
    if (position.dup_count and position.dup_px_e4 == order.price_e4 and position.dup_qty_shares == order.order_qty_shares
            and position.dup_side == order.side and position.dup_type == order.ord_type
            and time_ns - position.dup_ns <= profile.dup_window_ns):
        position.dup_count += 1
    else:
        position.dup_count = 1
        position.dup_px_e4 = order.price_e4
        position.dup_qty_shares = order.order_qty_shares
        position.dup_side = order.side
        position.dup_type = order.ord_type
    position.dup_ns = time_ns
    order.accepted_ns = time_ns
    count_order(state, order, time_ns)


cdef void count_report(State state, const ReportEvent *event) noexcept:
    if event.report_index:
        state.report_index[event.venue][event.partition & 255] = event.report_index


cdef void apply_report(State state, const ReportEvent *event) noexcept:
    """The exchange's word on an order."""
    cdef uint32_t order_no = event.head.order_no
    cdef Order *order = &state.orders[order_no]
    cdef int64_t rest_shares = order.leaves_qty_shares
    cdef bint is_by_request = event.head.type == EV_CANCELED and order.flags & FLAG_CANCEL_SENT
    count_report(state, event)
    if event.head.type != EV_EXPIRED:
        order.flags |= FLAG_ACKED
    if event.venue_order_id[0] > 32:
        memcpy(order.venue_order_id, event.venue_order_id, 16)
    if event.head.type == EV_TRADE:
        fill(state, order, event.last_qty_shares, event.last_px_e4)
        if order.flags & FLAG_TIED:
            count_trade(state, order, event.head.time_ns)
    elif event.head.type != EV_NEW:
        release(state, order)
    order.ord_status = event.ord_status
    if event.ord_status in (STATUS_FILLED, STATUS_CANCELED, STATUS_EXPIRED, STATUS_REJECTED):
        order.flags &= ~(FLAG_CANCEL_SENT | FLAG_CANCEL_QUEUED)
        close_order(state, order_no)
    if event.head.type == EV_TRADE:
        count_fill(state, order, event)
    elif is_by_request:
        count_canceled(state, order, rest_shares, event.head.time_ns)


cdef void apply_cancel(State state, const CancelEvent *event, uint64_t offset) noexcept:
    cdef Order *order = &state.orders[event.head.order_no]
    cdef Account *account = &state.accounts[event.head.account]
    if event.report_index:
        state.report_index[event.venue][event.partition & 255] = event.report_index
    if event.head.type == EV_CANCEL_SENT:
        order.flags = (order.flags | FLAG_CANCEL_SENT) & ~FLAG_CANCEL_QUEUED
        order.cancel_offset = offset
        state.cancel_no = event.cancel_no
        window_add(&account.sent[event.venue - 1], event.head.time_ns)
        account.sent_today[event.venue - 1] += 1
        count_cancel_sent(state, order, event.head.time_ns)
    elif event.head.type == EV_CANCEL_QUEUED:
        order.flags |= FLAG_CANCEL_QUEUED
        order.cancel_offset = offset
    elif event.cancel_no:
        order.flags &= ~FLAG_CANCEL_SENT


cdef void apply_setting(State state, const Frame *frame) noexcept:
    """What comes from files and officers: the day, rules, limits, accounts, instruments, kills."""
    cdef const DayEvent *day
    if frame.type == EV_DAY:
        day = <const DayEvent *>frame
        state.trade_date = day.trade_date
        state.shard = day.shard
    elif frame.type == EV_RULES:
        memcpy(&state.rules, frame, sizeof(Rules))
        bind_firm(state)
    elif frame.type == EV_PROFILE:
        memcpy(&state.profiles[(<const Profile *>frame).index], frame, sizeof(Profile))
        state.profile_count = max(state.profile_count, (<const Profile *>frame).index + 1)
    elif frame.type == EV_GROUP:
        apply_group(state, <const Group *>frame)
    elif frame.type == EV_ACCOUNT:
        apply_account(state, <const AccountEvent *>frame)
    elif frame.type == EV_INSTRUMENT:
        apply_instrument(state, <const Instrument *>frame)
    elif frame.type == EV_POSITION:
        apply_position(state, <const PositionEvent *>frame)
    elif frame.type == EV_RESTRICTION:
        state.restrict((<const RestrictionEvent *>frame).profile, (<const RestrictionEvent *>frame).instrument,
                       (<const RestrictionEvent *>frame).side_mask)
    elif frame.type == EV_PORT:
        apply_port(state, <const PortEvent *>frame)
    elif frame.type == EV_SESSION:
        state.ports[(<const SessionEvent *>frame).port].cancel_on_disconnect = (<const SessionEvent *>frame).cancel_on_disconnect
        state.ports[(<const SessionEvent *>frame).port].grace_ms = (<const SessionEvent *>frame).grace_ms
    elif frame.type == EV_KILL:
        apply_kill(state, <const KillEvent *>frame)
    else:
        apply_optional(state, frame)


cdef void apply_optional(State state, const Frame *frame) noexcept:
    """Strategies, trading units and borrowed shares."""
    cdef Strategy *strategy
    cdef Position *position
    cdef uint32_t index
    if frame.type == EV_STRATEGY:
        index = (<const StrategyEvent *>frame).index
        memcpy(&state.strategies[index].limits, frame, sizeof(StrategyEvent))
        state.strategy_count = max(state.strategy_count, index + 1)
    elif frame.type == EV_UNIT:
        index = (<const UnitEvent *>frame).index
        memcpy(&state.units[index].limits, frame, sizeof(UnitEvent))
        state.unit_count = max(state.unit_count, index + 1)
    elif frame.type == EV_LOCATE:
        position = state.open_position(frame.account, (<const LocateEvent *>frame).instrument)
        if position != NULL:
            state.holdings[position - state.positions].located_shares = (<const LocateEvent *>frame).shares
    elif frame.type == EV_REARM:
        strategy = &state.strategies[(<const RearmEvent *>frame).strategy]
        strategy.off = (<const RearmEvent *>frame).off
        strategy.reject_streak = 0
        memset(&strategy.trades, 0, sizeof(strategy.trades))


cdef void apply_group(State state, const Group *event) noexcept:
    """New limits for a group; what it has used stays."""
    cdef Group *group = &state.groups[event.index]
    group.scope = event.scope
    group.day = event.day
    group.optional = event.optional
    group.index = event.index
    memcpy(group.id, event.id, 16)
    state.group_count = max(state.group_count, event.index + 1)
    bind_group(state, event.index)


cdef void apply_quota(State state, const QuotaEvent *event) noexcept:
    """This shard's shares of one scope's limits. The first such event divides the limits of every scope."""
    cdef bint first = not state.divided
    cdef uint32_t group
    state.divided = True
    if event.scope == SCOPE_FIRM:
        memcpy(state.firm_leased_e4, event.leased_e4, sizeof(event.leased_e4))
        bind_firm(state)
    else:
        memcpy(state.groups[event.index].leased_e4, event.leased_e4, sizeof(event.leased_e4))
        bind_group(state, event.index)
    if first:
        bind_firm(state)
        for group in range(state.group_count):
            bind_group(state, group)


cdef void apply_account(State state, const AccountEvent *event) noexcept:
    """A new account with its cash, or new limits and state for one that is there."""
    cdef uint32_t index = event.head.account
    cdef Account *account = &state.accounts[index]
    cdef MapSlot *slot
    cdef uint64_t key
    if index == state.account_count:
        memcpy(account.id, event.id, 16)
        account.id_size = event.id_size
        account.cash_e4 = event.cash_e4
        state.account_days[index].opening_e4 = event.cash_e4
        state.firm_cash_e4 += event.cash_e4
        state.firm_opening_e4 += event.cash_e4
        account.open_head = NONE
        account.last_order = NONE
        key = hash_bytes(<const unsigned char *>event.id, event.id_size, 0)
        slot = map_find(&state.account_map, key)
        while slot.tag:
            slot = map_next(&state.account_map, slot)
        map_put(&state.account_map, slot, key, index)
        state.account_count += 1
    account.profile = event.profile
    account.group = event.group
    account.owner_type = event.owner_type
    account.tags = event.tags
    account.state = event.state
    account.traits = event.traits
    account.unit = event.unit
    memcpy(account.shareholder, event.shareholder, sizeof(account.shareholder))


cdef void apply_came(State state, const CameEvent *event, uint64_t offset) noexcept:
    """An account's day at another shard, frame by frame, as if it had been here; but rules' windows count what happens here."""
    cdef size_t at = sizeof(CameEvent)
    cdef const Frame *frame
    state.rule_state.is_closed = True
    while at < event.head.size:
        frame = <const Frame *>(<const char *>event + at)
        apply(state, frame, offset + at)
        at += frame.size
    state.rule_state.is_closed = False


cdef void apply_left(State state, const LeftEvent *event) noexcept:
    """What the account has is elsewhere: nothing of it counts here any more, in its group and the firm neither."""
    cdef Account *account = &state.accounts[event.head.account]
    cdef AccountDay *day = &state.account_days[event.head.account]
    cdef uint32_t next = day.first_position
    cdef Position *position
    cdef Position *shared
    subtract_usage(&state.firm, &account.usage)
    if account.group != NONE:
        subtract_usage(&state.groups[account.group].usage, &account.usage)
    memset(&account.usage, 0, sizeof(account.usage))
    state.firm_cash_e4 -= account.cash_e4
    state.firm_opening_e4 -= day.opening_e4
    account.cash_e4 = 0
    day.opening_e4 = 0
    while next:
        position = &state.positions[next - 1]
        next = position.next_of_owner
        state.firm_shares[position.instrument] -= position.total_shares
        if account.group != NONE:
            shared = state.open_position(GROUP_OWNER | account.group, position.instrument)
            shared.total_shares -= position.total_shares
            shared.bought_today_shares -= position.bought_today_shares
        position.total_shares = 0
        position.sellable_shares = 0
        position.bought_today_shares = 0
    day.left = event.target + 1


cdef inline void subtract_usage(Usage *total, const Usage *part) noexcept:
    total.open_buy_e4 -= part.open_buy_e4
    total.open_sell_e4 -= part.open_sell_e4
    total.filled_buy_e4 -= part.filled_buy_e4
    total.filled_sell_e4 -= part.filled_sell_e4


cdef void apply_instrument(State state, const Instrument *event) noexcept:
    cdef uint32_t *entry = &state.instrument_of[event.venue][event.symbol]
    if entry[0] == 0:
        state.instrument_count += 1
        entry[0] = state.instrument_count
    memcpy(&state.instruments[entry[0] - 1], event, sizeof(Instrument))


cdef void apply_position(State state, const PositionEvent *event) noexcept:
    """A start-of-day holding, and what it is worth at the previous close; in the record of its group as well."""
    cdef uint32_t group = state.accounts[event.head.account].group
    cdef Position *position = state.open_position(event.head.account, event.instrument)
    cdef Position *shared
    cdef int64_t added_shares, added_e4
    if position == NULL:
        return
    added_shares = event.total_shares - position.total_shares
    added_e4 = added_shares * state.instruments[event.instrument].prev_close_e4
    state.account_days[event.head.account].opening_e4 += added_e4
    state.firm_opening_e4 += added_e4
    state.firm_shares[event.instrument] += added_shares
    if group != NONE:
        shared = state.open_position(GROUP_OWNER | group, event.instrument)
        if shared != NULL:
            shared.total_shares += added_shares
    position.total_shares = event.total_shares
    position.sellable_shares = event.sellable_shares


cdef void apply_port(State state, const PortEvent *event) noexcept:
    cdef PortState *port = &state.ports[event.port]
    port.rate_in_per_s = event.rate_in_per_s
    port.cancel_rate_in_per_s = event.cancel_rate_in_per_s
    port.reject_streak_max = event.reject_streak_max
    port.reject_latch_ns = <int64_t>event.reject_latch_ms * 1000000
    port.programme = event.programme
    memcpy(port.token_hash, event.token_hash, 32)
    state.port_count = max(state.port_count, event.port + 1)


cdef void apply_kill(State state, const KillEvent *event) noexcept:
    if event.scope == KILL_FIRM:
        state.firm_killed = event.killed
    elif event.scope == KILL_GROUP:
        state.groups[event.id].killed = event.killed
    elif event.scope == KILL_ACCOUNT:
        state.accounts[event.id].killed = <unsigned char>event.killed
    elif event.scope == KILL_PORT:
        state.ports[event.id].killed = event.killed


cdef void apply_response(State state, const Frame *frame, uint64_t offset) noexcept:
    """What the response ladder did: a level, a manual review, or the day before's levels taken over."""
    cdef const TicketEvent *event
    cdef Ticket *ticket
    if frame.type == EV_LEVEL:
        apply_level(state, <const LevelEvent *>frame, offset)
    elif frame.type == EV_TICKET:
        event = <const TicketEvent *>frame
        ticket = &state.tickets[event.ticket]
        ticket.offset = offset
        ticket.subject = event.subject
        ticket.index = event.index
        ticket.is_open = event.is_open
        state.ticket_count = max(state.ticket_count, event.ticket)
    elif (<const AdminEvent *>frame).step == STEP_CARRIED:
        state.carried = True


cdef void apply_level(State state, const LevelEvent *event, uint64_t offset) noexcept:
    """A subject's level; of a subject in one instrument, frame.account is its owner."""
    cdef Account *account
    cdef Group *group
    cdef Position *position
    if event.subject == SUBJECT_FIRM:
        state.firm_level_offset = offset
    elif event.subject == SUBJECT_ACCOUNT:
        account = &state.accounts[event.index]
        account.leveled = True
        account.level_offset = offset
        account.level_until_ns = event.until_ns
        account.throttle_per_s = <unsigned short>event.throttle_per_s
        account.level_mask = event.mask
        account.level = event.level
    elif event.subject == SUBJECT_GROUP:
        group = &state.groups[event.index]
        state.group_leveled = True
        group.level_offset = offset
        group.level_until_ns = event.until_ns
        group.throttle_per_s = event.throttle_per_s
        group.level_mask = event.mask
        group.level = event.level
    else:
        position = state.open_position(event.head.account, event.instrument)
        if event.head.account & GROUP_OWNER:
            state.group_leveled = True
        else:
            state.accounts[event.head.account].leveled = True
        position.level_offset = offset
        position.level_until_ns = event.until_ns
        position.throttle_per_s = event.throttle_per_s
        position.level_mask = event.mask
        position.level = event.level
