"""What comes from files into the core: the day, rules, groups, profiles, accounts, instruments, positions and ports, as events.

Each function journals one event, and none when nothing would change, so the same files can be loaded again after a
restart. It reads no file: the caller has validated every value. An OSError says that the journal is full.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from ext.codes cimport BOARD_COUNT, BOARD_INDEX, PHASE_COUNT, XSHE, XSHG
from ext.engine cimport Engine
from ext.events cimport (
    EV_ACCOUNT, EV_DAY, EV_GROUP, EV_INSTRUMENT, EV_LOCATE, EV_PORT, EV_POSITION, EV_PROFILE, EV_RESTRICTION, EV_RULES,
    EV_SESSION, EV_STRATEGY, EV_UNIT, DayEvent, Frame, LocateEvent, PortEvent, PositionEvent, RestrictionEvent, SessionEvent,
    StrategyEvent, UnitEvent,
)
from ext.state cimport (
    INSTRUMENT_INDEX, MOST_GROUPS, MOST_INSTRUMENTS, MOST_PORTS, MOST_PROFILES, MOST_STRATEGIES, MOST_UNITS, NONE,
    OPTIONAL_CHECK, OPTIONAL_HOLDING, OPTIONAL_ORDERED, RULE_ID_SIZE, Account, AccountEvent, DayLimits, Group, Instrument,
    OptionalLimits, PortState, Position, Profile, Rules,
)

from ext.journal import JournalError
from ext.replay import layout_number


cdef Frame *room(Engine engine, int type, size_t size, uint32_t account, int64_t now_ns) except NULL:
    cdef Frame *frame = engine.reserve(type, size, account, False, now_ns)
    if frame == NULL:
        raise OSError("the journal is full")
    return frame


cdef bint is_unchanged(const void *ours, const Frame *event, size_t size) noexcept:
    """Whether the part behind the frame header is what the state already holds."""
    return memcmp(<const char *>ours + sizeof(Frame), <const char *>event + sizeof(Frame), size - sizeof(Frame)) == 0


cdef keep(Engine engine, Frame *frame, bint changed):
    """Record the event when it changes something; else wipe it, for a smaller frame written over it would leave its end behind
    the journal's, and recovery would take that for damage."""
    if changed:
        engine.record(frame)
    else:
        memset(frame, 0, frame.size)


cdef copy_text(char *to, str text, size_t size):
    cdef bytes octets = text.encode()
    if len(octets) > size:
        raise ValueError(f"{text!r}: longer than {size} bytes")
    memcpy(to, <const char *>octets, len(octets))


def begin_day(Engine engine, uint32_t trade_date, uint32_t shard, int64_t now_ns) -> None:
    """First event of a new journal. trade_date: YYYYMMDD. Raises JournalError when the journal is of another day or shard."""
    cdef DayEvent *event
    if engine.state.trade_date:
        if engine.state.trade_date != trade_date or engine.state.shard != shard:
            raise JournalError(engine.journal.path, 0, f"it is of {engine.state.trade_date}, shard {engine.state.shard}; "
                               f"asked for {trade_date}, shard {shard}")
        return
    event = <DayEvent *>room(engine, EV_DAY, sizeof(DayEvent), NONE, now_ns)
    event.trade_date = trade_date
    event.shard = shard
    event.layout = layout_number()
    engine.record(&event.head)


def set_rules(Engine engine, fees, boards, collars, int64_t max_quote_age_ms, firm, str rule_id, uint32_t version,
              int64_t now_ns) -> None:
    """Rules every account shares, in the shape of gateway.limit_types: Fees, {board: BoardRules}, {phase: Collar}, Firm."""
    cdef Rules *event = <Rules *>room(engine, EV_RULES, sizeof(Rules), NONE, now_ns)
    event.commission_rate_e7 = fees.commission_rate_e7
    event.commission_min_e4 = fees.commission_min_e4
    event.pass_through_rate_e7 = fees.transfer_rate_e7 + fees.handling_rate_e7 + fees.regulatory_rate_e7
    event.stamp_rate_e7 = fees.stamp_rate_e7
    event.max_quote_age_ns = max_quote_age_ms * 1000000
    event.capital_limit_e4 = firm.capital_limit_e4
    event.firm.gross_limit_e4 = firm.gross_limit_e4
    event.firm.long_limit_e4 = firm.long_limit_e4
    event.firm.short_limit_e4 = firm.short_limit_e4
    for board, rules in boards.items():
        if not 0 < board < BOARD_COUNT:
            raise ValueError(f"board {board}: expected 1 to {BOARD_COUNT - 1}")
        event.boards[<int>board].max_limit_shares = rules.max_limit_shares
        event.boards[<int>board].max_market_shares = rules.max_market_shares
        event.boards[<int>board].cage_bps = rules.cage_bps
        event.boards[<int>board].cage_ticks = rules.cage_ticks
        event.boards[<int>board].ord_types = rules.ord_type_mask
    for phase, collar in collars.items():
        if not 0 < phase < PHASE_COUNT:
            raise ValueError(f"phase {phase}: expected 1 to {PHASE_COUNT - 1}")
        event.collars[<int>phase].bps = collar.bps
        event.collars[<int>phase].ticks = collar.ticks
    event.optional = set_day(&event.firm_day, firm)
    event.version = version
    copy_text(event.rule_id, rule_id, RULE_ID_SIZE)
    keep(engine, &event.head, not is_unchanged(&engine.state.rules, &event.head, sizeof(Rules)))


cdef uint32_t set_day(DayLimits *day, limits):
    """The optional limits of a day's business, from any shape that has some of them; which rows they need."""
    day.ordered_limit_e4 = getattr(limits, "order_value_per_day_e4", 0)
    day.traded_limit_e4 = getattr(limits, "traded_value_per_day_e4", 0)
    day.loss_limit_e4 = getattr(limits, "loss_limit_e4", 0)
    day.loss_action = getattr(limits, "loss_action", 0)
    return OPTIONAL_CHECK if day.ordered_limit_e4 or day.traded_limit_e4 or day.loss_limit_e4 else 0


def set_group(Engine engine, uint32_t index, group, int64_t now_ns) -> None:
    """A controller group's limits (gateway.limit_types.Group)."""
    cdef Group *event
    cdef const Group *ours
    if index >= MOST_GROUPS:
        raise ValueError(f"group {index}: at most {MOST_GROUPS} groups")
    event = <Group *>room(engine, EV_GROUP, sizeof(Group), NONE, now_ns)
    event.index = index
    event.scope.gross_limit_e4 = group.gross_limit_e4
    event.scope.long_limit_e4 = group.long_limit_e4
    event.scope.short_limit_e4 = group.short_limit_e4
    event.optional = set_day(&event.day, group)
    copy_text(event.id, group.id, 16)
    ours = &engine.state.groups[index]
    keep(engine, &event.head, index >= engine.state.group_count or memcmp(&ours.scope, &event.scope, sizeof(event.scope)) != 0
         or memcmp(&ours.day, &event.day, sizeof(event.day)) != 0)


def set_profile(Engine engine, uint32_t index, limits, int64_t now_ns) -> None:
    """Limits that accounts share (gateway.limit_types.AccountLimits), with their banned instruments."""
    cdef Profile *event
    if index >= MOST_PROFILES:
        raise ValueError(f"profile {index}: at most {MOST_PROFILES} different sets of limits")
    event = <Profile *>room(engine, EV_PROFILE, sizeof(Profile), NONE, now_ns)
    event.scope.gross_limit_e4 = limits.gross_limit_e4
    event.scope.long_limit_e4 = limits.long_limit_e4
    event.scope.short_limit_e4 = limits.short_limit_e4
    event.max_qty_shares = limits.max_qty_shares
    event.max_ntl_e4 = limits.max_ntl_e4
    event.position_limit_shares = limits.position_limit_shares
    event.dup_window_ns = <int64_t>limits.dup_window_ms * 1000000
    event.dup_max = limits.dup_max
    event.open_orders = limits.open_orders
    event.open_orders_per_symbol = limits.open_orders_per_symbol
    event.rate_out_per_s = limits.rate_out_per_s
    event.rate_out_per_day = limits.rate_out_per_day
    event.rate_symbol_per_s = limits.rate_symbol_per_s
    event.boards = limits.board_mask
    event.ord_types = limits.ord_type_mask
    event.index = index
    event.restricted = bool(limits.restricted)
    event.optional = set_optional(&event.extra, limits)
    keep(engine, &event.head,
         index >= engine.state.profile_count or not is_unchanged(&engine.state.profiles[index], &event.head, sizeof(Profile)))
    set_bans(engine, index, limits.restricted, now_ns)


cdef uint32_t set_optional(OptionalLimits *extra, limits):
    """A profile's optional limits; which rows they need."""
    cdef uint32_t optional = set_day(&extra.day, limits)
    extra.instrument.long_limit_e4 = limits.instrument_long_limit_e4
    extra.instrument.short_limit_e4 = limits.instrument_short_limit_e4
    extra.price_window_ntl_e4 = limits.price_window_ntl_e4
    extra.price_window_ns = <int64_t>limits.price_window_ms * 1000000
    extra.price_window_bps = limits.price_window_bps
    extra.soft_ntl_e4 = limits.soft_ntl_e4
    extra.soft_qty_shares = limits.soft_qty_shares
    extra.confirm_ttl_ms = limits.confirm_ttl_ms
    extra.basket_ntl_e4 = limits.basket_max_ntl_e4
    extra.basket_lines = limits.basket_max_lines
    extra.basket_gross_bps = limits.basket_max_gross_bps
    extra.adv_bps = limits.max_adv_bps
    extra.float_bps = limits.max_float_bps
    extra.position_float_bps = limits.position_float_bps
    extra.concentration_bps = limits.concentration_bps
    if extra.instrument.long_limit_e4 or extra.instrument.short_limit_e4 or extra.concentration_bps:
        optional |= OPTIONAL_CHECK | OPTIONAL_HOLDING
    if extra.day.ordered_limit_e4:
        optional |= OPTIONAL_ORDERED
    if (extra.price_window_ntl_e4 or extra.soft_ntl_e4 or extra.soft_qty_shares or extra.adv_bps or extra.float_bps
            or extra.position_float_bps):
        optional |= OPTIONAL_CHECK
    return optional


cdef set_bans(Engine engine, uint32_t profile, restrictions, int64_t now_ns):
    """The profile's banned instruments; a ban that is no longer listed is lifted."""
    cdef uint32_t at
    banned = {}
    for restriction in restrictions:
        instrument = engine.state.find_instrument(restriction.venue, restriction.symbol)
        if instrument == NONE:
            raise ValueError(f"restricted {restriction.symbol:06d}: no such instrument on that exchange")
        banned[instrument] = restriction.side_mask
    for at in range(engine.state.restriction_map.count):
        if engine.state.restrictions[at].profile == profile:
            banned.setdefault(engine.state.restrictions[at].instrument, 0)
    for instrument, side_mask in banned.items():
        set_ban(engine, profile, instrument, side_mask, now_ns)


cdef set_ban(Engine engine, uint32_t profile, uint32_t instrument, uint32_t side_mask, int64_t now_ns):
    cdef RestrictionEvent *event
    if engine.state.restriction(profile, instrument) == side_mask:
        return
    event = <RestrictionEvent *>room(engine, EV_RESTRICTION, sizeof(RestrictionEvent), NONE, now_ns)
    event.profile = profile
    event.instrument = instrument
    event.side_mask = side_mask
    engine.record(&event.head)


def set_account(Engine engine, account, uint32_t profile, int64_t now_ns) -> int:
    """An account (gateway.limit_types.Account) under a profile; its index. Cash counts only when the account is new."""
    cdef bytes name = account.id.encode()
    cdef uint32_t index = engine.state.find_account(<const uint8_t *>name, len(name))
    cdef AccountEvent *event
    cdef const Account *ours
    if index == NONE:
        index = engine.state.account_count
    if index >= engine.state.most_accounts:
        raise ValueError(f"account {account.id}: at most {engine.state.most_accounts} accounts")
    event = <AccountEvent *>room(engine, EV_ACCOUNT, sizeof(AccountEvent), index, now_ns)
    event.cash_e4 = account.cash_e4
    event.profile = profile
    event.group = NONE if account.group_index < 0 else account.group_index
    event.owner_type = account.owner_type
    event.state = account.state
    event.traits = account.traits
    event.unit = account.unit_index + 1
    event.tags = account.tags
    event.id_size = <uint8_t>len(name)
    copy_text(event.id, account.id, 16)
    memset(event.shareholder, 32, sizeof(event.shareholder))
    copy_text(event.shareholder[XSHG - 1], account.shareholder_xshg, 12)
    copy_text(event.shareholder[XSHE - 1], account.shareholder_xshe, 12)
    ours = &engine.state.accounts[index]
    keep(engine, &event.head,
         index == engine.state.account_count or ours.profile != event.profile or ours.group != event.group
         or ours.state != event.state or ours.owner_type != event.owner_type or ours.traits != event.traits
         or ours.unit != event.unit or ours.tags != event.tags
         or memcmp(ours.shareholder, event.shareholder, sizeof(event.shareholder)) != 0)
    return index


def set_instrument(Engine engine, instrument, int64_t now_ns) -> int:
    """An instrument (gateway.reference.Instrument); its index."""
    cdef uint32_t index = engine.state.find_instrument(instrument.venue, instrument.symbol)
    cdef Instrument *event
    if index == NONE and engine.state.instrument_count >= MOST_INSTRUMENTS:
        raise ValueError(f"instrument {instrument.symbol:06d}: at most {MOST_INSTRUMENTS} instruments")
    event = <Instrument *>room(engine, EV_INSTRUMENT, sizeof(Instrument), NONE, now_ns)
    event.prev_close_e4 = instrument.prev_close_e4
    event.up_limit_e4 = instrument.up_limit_e4
    event.down_limit_e4 = instrument.down_limit_e4
    event.tick_e4 = instrument.tick_e4
    event.buy_min_shares = instrument.buy_min_shares
    event.buy_step_shares = instrument.buy_step_shares
    event.max_limit_shares = instrument.max_limit_shares
    event.max_market_shares = instrument.max_market_shares
    event.symbol = instrument.symbol
    event.venue = instrument.venue
    event.board = instrument.board
    event.status = INSTRUMENT_INDEX if instrument.board == BOARD_INDEX else instrument.status
    event.is_st = instrument.is_st
    event.t_plus = instrument.t_plus
    event.risk_level = instrument.risk_level
    event.shortable = instrument.shortable
    event.adv20_shares = instrument.adv20_shares
    event.float_shares = instrument.float_shares
    keep(engine, &event.head,
         index == NONE or not is_unchanged(&engine.state.instruments[index], &event.head, sizeof(Instrument)))
    return engine.state.find_instrument(instrument.venue, instrument.symbol)


def set_position(Engine engine, uint32_t account, int venue, uint32_t symbol, int64_t total_shares, int64_t sellable_shares,
                 int64_t now_ns) -> None:
    """A start-of-day holding; counts only for a holding that is not there yet."""
    cdef uint32_t instrument = engine.state.find_instrument(venue, symbol)
    cdef PositionEvent *event
    if instrument == NONE:
        raise ValueError(f"position in {symbol:06d}: no such instrument on exchange {venue}")
    if engine.state.find_position(account, instrument) != NULL:
        return
    if engine.state.position_count + (1 if engine.state.accounts[account].group == NONE else 2) > engine.state.most_positions:
        raise ValueError(f"position in {symbol:06d}: at most {engine.state.most_positions} positions")
    event = <PositionEvent *>room(engine, EV_POSITION, sizeof(PositionEvent), account, now_ns)
    event.instrument = instrument
    event.total_shares = total_shares
    event.sellable_shares = sellable_shares
    engine.record(&event.head)


def allow_port(Engine engine, token) -> bool:
    """What a token may trade, without an event: of a port that the journal has made. Whether there is one."""
    cdef bytes digest = bytes.fromhex(token.token_sha256)
    cdef uint32_t port
    for port in range(engine.state.port_count):
        if memcmp(engine.state.ports[port].token_hash, <const char *>digest, 32) == 0:
            engine.audience.allow(port, token.account_indexes)
            return True
    return False


def set_port(Engine engine, token, int64_t now_ns) -> int:
    """A token's limits (gateway.limit_types.Token) and what it may trade; its port index."""
    cdef bytes digest = bytes.fromhex(token.token_sha256)
    cdef uint32_t port = 0
    cdef PortEvent *event
    cdef const PortState *ours
    while port < engine.state.port_count and memcmp(engine.state.ports[port].token_hash, <const char *>digest, 32) != 0:
        port += 1
    if port >= MOST_PORTS:
        raise ValueError(f"at most {MOST_PORTS} tokens")
    event = <PortEvent *>room(engine, EV_PORT, sizeof(PortEvent), NONE, now_ns)
    event.port = port
    event.rate_in_per_s = token.rate_in_per_s
    event.cancel_rate_in_per_s = token.cancel_rate_in_per_s
    event.reject_streak_max = token.reject_streak_max
    event.reject_latch_ms = token.reject_latch_ms
    event.programme = token.programme
    memcpy(event.token_hash, <const char *>digest, 32)
    ours = &engine.state.ports[port]
    keep(engine, &event.head,
         port == engine.state.port_count or ours.rate_in_per_s != event.rate_in_per_s
         or ours.cancel_rate_in_per_s != event.cancel_rate_in_per_s or ours.reject_streak_max != event.reject_streak_max
         or ours.reject_latch_ns != <int64_t>event.reject_latch_ms * 1000000 or ours.programme != event.programme)
    engine.audience.allow(port, token.account_indexes)
    return port


def set_session(Engine engine, uint32_t port, bint cancel_on_disconnect, uint32_t grace_ms, int64_t now_ns) -> None:
    """A port's choice of cancel on disconnect, from its newest logon."""
    cdef SessionEvent *event
    if engine.state.ports[port].cancel_on_disconnect == cancel_on_disconnect and engine.state.ports[port].grace_ms == grace_ms:
        return
    event = <SessionEvent *>room(engine, EV_SESSION, sizeof(SessionEvent), NONE, now_ns)
    event.port = port
    event.cancel_on_disconnect = cancel_on_disconnect
    event.grace_ms = grace_ms
    engine.record(&event.head)


def set_strategy(Engine engine, uint32_t index, strategy, int64_t now_ns) -> None:
    """A registered strategy and its limits (gateway.limit_types.Strategy); what it did today stays."""
    cdef StrategyEvent *event
    cdef bytes name = strategy.id.encode()
    if index >= MOST_STRATEGIES:
        raise ValueError(f"strategy {strategy.id}: at most {MOST_STRATEGIES} strategies")
    event = <StrategyEvent *>room(engine, EV_STRATEGY, sizeof(StrategyEvent), NONE, now_ns)
    event.index = index
    event.gross_limit_e4 = strategy.gross_limit_e4
    event.loss_limit_e4 = strategy.loss_limit_e4
    event.loss_action = strategy.loss_action
    event.raet_max = strategy.raet_max
    event.raet_window_ns = <int64_t>strategy.raet_window_s * 1000000000
    event.reject_streak_max = strategy.reject_streak_max
    event.id_size = <uint8_t>len(name)
    copy_text(event.id, strategy.id, 16)
    keep(engine, &event.head, index >= engine.state.strategy_count
         or not is_unchanged(&engine.state.strategies[index].limits, &event.head, sizeof(StrategyEvent)))


def set_unit(Engine engine, uint32_t index, unit, int64_t now_ns) -> None:
    """A trading unit and its quota (gateway.limit_types.Unit)."""
    cdef UnitEvent *event
    cdef bytes name = unit.id.encode()
    if index >= MOST_UNITS:
        raise ValueError(f"unit {unit.id}: at most {MOST_UNITS} trading units")
    event = <UnitEvent *>room(engine, EV_UNIT, sizeof(UnitEvent), NONE, now_ns)
    event.index = index
    event.net_buy_quota_e4 = unit.net_buy_quota_e4
    event.id_size = <uint32_t>len(name)
    copy_text(event.id, unit.id, 16)
    keep(engine, &event.head, index >= engine.state.unit_count
         or not is_unchanged(&engine.state.units[index].limits, &event.head, sizeof(UnitEvent)))


def set_locate(Engine engine, uint32_t account, int venue, uint32_t symbol, int64_t shares, int64_t now_ns) -> None:
    """Shares that an account has borrowed to sell short."""
    cdef uint32_t instrument = engine.state.find_instrument(venue, symbol)
    cdef LocateEvent *event
    cdef Position *position
    if instrument == NONE:
        raise ValueError(f"locate of {symbol:06d}: no such instrument on exchange {venue}")
    position = engine.state.find_position(account, instrument)
    if position != NULL and engine.state.holdings[position - engine.state.positions].located_shares == shares:
        return
    if position == NULL and engine.state.position_count >= engine.state.most_positions:
        raise ValueError(f"locate of {symbol:06d}: at most {engine.state.most_positions} positions")
    event = <LocateEvent *>room(engine, EV_LOCATE, sizeof(LocateEvent), account, now_ns)
    event.instrument = instrument
    event.shares = shares
    engine.record(&event.head)
