"""Reading a journal: folding it into state, and its frames as Python values for people. Writes nothing."""

from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t

from ext.apply cimport apply
from ext.codes cimport VENUE_COUNT
from ext.engine cimport Engine
from ext.events cimport (
    EV_ACCOUNT, EV_ACCOUNT_CAME, EV_ACCOUNT_LEFT, EV_ADMIN, EV_BASKET, EV_CANCELED, EV_CANCEL_QUEUED, EV_CANCEL_REJECTED,
    EV_CANCEL_SENT, EV_DAY, EV_EXPIRED, EV_HIT, EV_KILL, EV_LEVEL, EV_LOCATE, EV_MARK, EV_NEW, EV_ORDER, EV_ORDER_RELEASED,
    EV_OWNER, EV_PHASE, EV_POSITION, EV_QUOTA, EV_QUOTE, EV_REARM, EV_REPORT_SKIPPED, EV_RULE_SET, EV_TICKET, EV_TRADE,
    EV_VENUE_REJECTED, MOST_FACTORS, QUOTA_KINDS, SCOPE_FIRM, AdminEvent, BasketEvent, CameEvent, CancelEvent, DayEvent,
    Frame, HitEvent, KillEvent, LeftEvent, LevelEvent, LocateEvent, MarkEvent, OrderEvent, OwnerEvent, PhaseEvent,
    PortEvent, PositionEvent, QuotaEvent, QuoteEvent, RearmEvent, ReleaseEvent, ReportEvent, RuleSetEvent, StrategyEvent,
    TicketEvent, UnitEvent,
)
from ext.journal cimport JOURNAL_START, Journal
from ext.state cimport NONE, AccountEvent, Group, Instrument, Profile, Rules, State

EVENT_NAMES = {
    1: "DAY", 2: "RULES", 3: "GROUP", 4: "PROFILE", 5: "RESTRICTION", 6: "ACCOUNT", 7: "INSTRUMENT", 8: "POSITION", 9: "PORT",
    10: "STRATEGY", 11: "LOCATE", 12: "UNIT",
    16: "ORDER", 17: "NEW", 18: "TRADE", 19: "CANCELED", 20: "EXPIRED", 21: "VENUE_REJECTED", 22: "CANCEL_SENT",
    23: "CANCEL_QUEUED", 24: "CANCEL_REJECTED", 25: "REPORT_SKIPPED", 26: "KILL", 27: "SESSION", 28: "REARM", 29: "BASKET",
    32: "ORDER_RELEASED", 33: "LEVEL", 34: "TICKET", 40: "QUOTE", 41: "RULE_SET", 42: "MARK", 43: "HIT", 44: "ADMIN",
    45: "PHASE", 46: "OWNER", 47: "QUOTA", 48: "ACCOUNT_LEFT", 49: "ACCOUNT_CAME",
}


def fold(State state, Journal journal, uint64_t to_seq=0) -> int:
    """Apply every frame from the first (to_seq: up to that one); how many. Raises JournalError at a damaged frame, and at one
    that the state has no row for: the journal was written with larger tables."""
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    journal.rewind()
    while True:
        frame = next_to_apply(state, journal, offset)
        if frame == NULL:
            return journal.seq
        apply(state, frame, offset)
        offset = journal.end
        if journal.seq == to_seq:
            return to_seq


def newest_owner(Journal journal) -> str:
    """The node that the newest EV_OWNER names; empty: none."""
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    node = ""
    while offset < journal.end:
        frame = journal.at(offset)
        if frame.type == EV_OWNER:
            node = text((<const OwnerEvent *>frame).node, 32)
        offset += frame.size
    return node


def fold_on(Engine engine, uint64_t limit=UINT64_MAX) -> None:
    """Apply the frames that begin before limit, from where the engine's journal stands, and watch what they touch. Errors as
    of fold."""
    cdef Journal journal = engine.journal
    cdef const Frame *frame
    while journal.end < limit:
        frame = next_to_apply(engine.state, journal, journal.end)
        if frame == NULL:
            return
        if not is_next(engine.state, frame):
            raise journal.error(journal.newest, f"frame {frame.seq} ({EVENT_NAMES.get(frame.type)}) is not the next of its "
                                f"account's events, or of its exchange's reports: {fields_of(frame)}")
        apply(engine.state, frame, journal.newest)
        engine.watch_frame(frame)


cdef inline const Frame *next_to_apply(State state, Journal journal, uint64_t offset) except? NULL:
    """The frame at offset, when this build and these tables can take it; NULL: the end."""
    cdef const Frame *frame = journal.next_frame(offset)
    if frame == NULL:
        return NULL
    if frame.type == EV_DAY and (<const DayEvent *>frame).layout != layout_number():
        raise journal.error(offset, "it was written by another build, with other frames: layout "
                            f"{(<const DayEvent *>frame).layout}, expected {layout_number()}")
    if not has_row(state, frame):
        raise journal.error(offset, f"it has more orders, accounts or positions than fit: at most {state.most_orders} orders "
                            f"(--max-orders), {state.most_accounts} accounts, {state.most_positions} positions")
    return frame


cdef inline bint is_next(State state, const Frame *frame) noexcept:
    """Whether the frame's numbers follow: in its account's events, and in its exchange's reports. The checksums only tell that
    it stands as it was written."""
    cdef const ReportEvent *report = <const ReportEvent *>frame
    cdef const CancelEvent *cancel = <const CancelEvent *>frame
    if frame.event_seq and (frame.account >= state.account_count
                            or frame.event_seq != state.accounts[frame.account].event_seq + 1
                            or frame.prev_offset != state.accounts[frame.account].last_offset):
        return False
    if frame.type in (EV_NEW, EV_TRADE, EV_CANCELED, EV_EXPIRED, EV_VENUE_REJECTED, EV_REPORT_SKIPPED):
        return is_next_report(state, report.venue, report.partition, report.report_index)
    if frame.type == EV_CANCEL_REJECTED:
        return is_next_report(state, cancel.venue, cancel.partition, cancel.report_index)
    return True


cdef inline bint is_next_report(State state, int venue, int partition, uint64_t number) noexcept:
    return venue < VENUE_COUNT and number in (0, state.report_index[venue][partition & 255] + 1)


def scan(Journal journal) -> int:
    """Read and check every frame without applying any; how many. Raises JournalError at a damaged frame."""
    cdef uint64_t offset = JOURNAL_START
    journal.rewind()
    while journal.next_frame(offset) != NULL:
        offset = journal.end
    return journal.seq


def verify(Journal journal, uint64_t limit) -> None:
    """Read the checksums of all frames before limit, where the journal stands: what a snapshot spares the fold is still proven
    whole. Raises JournalError at a damaged frame."""
    cdef uint64_t seq = journal.seq
    cdef uint32_t crc = journal.crc
    cdef uint64_t offset = JOURNAL_START
    journal.rewind()
    while journal.end < limit and journal.next_frame(offset) != NULL:
        offset = journal.end
    if journal.end != limit or journal.seq != seq or journal.crc != crc:
        raise journal.error(journal.end, f"frame {journal.seq + 1} is damaged: the journal ends there, and went on to frame {seq}")


def layout_number() -> int:
    """A number that changes when a struct in the journal changes size."""
    number = 0
    for size in (sizeof(Rules), sizeof(Profile), sizeof(AccountEvent), sizeof(Instrument), sizeof(Group), sizeof(PortEvent),
                 sizeof(PositionEvent), sizeof(OrderEvent), sizeof(ReportEvent), sizeof(CancelEvent), sizeof(KillEvent),
                 sizeof(ReleaseEvent), sizeof(LevelEvent), sizeof(TicketEvent), sizeof(AdminEvent),
                 sizeof(StrategyEvent), sizeof(UnitEvent), sizeof(LocateEvent), sizeof(BasketEvent),
                 sizeof(QuoteEvent), sizeof(RuleSetEvent), sizeof(MarkEvent), sizeof(HitEvent), sizeof(OwnerEvent),
                 sizeof(QuotaEvent), sizeof(LeftEvent), sizeof(CameEvent)):
        number = (number * 8191 + size) & 0xFFFFFFFFFFFF
    return number


cdef bint has_row(State state, const Frame *frame) noexcept:
    """Whether every row that the frame may add exists; an order adds three positions at most."""
    if frame.type in (EV_ORDER, EV_ORDER_RELEASED):
        return frame.order_no <= state.most_orders and state.position_count + 3 <= state.most_positions
    if frame.type == EV_ACCOUNT:
        return frame.account < state.most_accounts
    if frame.type == EV_POSITION:
        return state.position_count + (1 if state.accounts[frame.account].group == NONE else 2) <= state.most_positions
    if frame.type == EV_ACCOUNT_CAME:
        return (state.order_count + (<const CameEvent *>frame).orders <= state.most_orders
                and state.position_count + 3 * (<const CameEvent *>frame).orders <= state.most_positions)
    if frame.type == EV_QUOTE:
        return (<const QuoteEvent *>frame).instrument < state.instrument_count
    if frame.type == EV_QUOTA:
        return (<const QuotaEvent *>frame).scope == SCOPE_FIRM or (<const QuotaEvent *>frame).index < state.group_count
    if frame.type == EV_PHASE:
        return 0 < (<const PhaseEvent *>frame).venue < VENUE_COUNT
    return frame.type not in (EV_LOCATE, EV_LEVEL) or state.position_count < state.most_positions


def frames(Journal journal, uint64_t from_seq=0, uint64_t to_seq=0, str type="", set accounts=None):
    """Frames as (offset, seq, type name, time_ns, fields): from and up to a number, of one type, of some accounts, where these are
    given. Every frame before the last of them is checked, wanted or not."""
    cdef uint64_t offset = JOURNAL_START
    cdef const Frame *frame
    journal.rewind()
    while True:
        frame = journal.next_frame(offset)
        if frame == NULL or journal.seq > to_seq > 0:
            return
        name = EVENT_NAMES.get(frame.type, f"{frame.type}")
        if journal.seq >= from_seq and (not type or type == name) and (accounts is None or frame.account in accounts):
            yield offset, frame.seq, name, frame.time_ns, fields_of(frame)
        offset = journal.end


cdef dict fields_of(const Frame *frame):
    """The fields of one frame that a person reads; settings are named by type alone."""
    fields = {"account": frame.account, "event_seq": frame.event_seq, "order_id": frame.order_no}
    if frame.type == EV_ORDER:
        return fields | order_fields(<const OrderEvent *>frame)
    if frame.type in (EV_NEW, EV_TRADE, EV_CANCELED, EV_EXPIRED, EV_VENUE_REJECTED, EV_REPORT_SKIPPED):
        return fields | report_fields(<const ReportEvent *>frame)
    if frame.type in (EV_CANCEL_SENT, EV_CANCEL_QUEUED, EV_CANCEL_REJECTED):
        return fields | cancel_fields(<const CancelEvent *>frame)
    if frame.type == EV_ACCOUNT_LEFT:
        return {"account": frame.account, "target": (<const LeftEvent *>frame).target, "by": text((<const LeftEvent *>frame).by, 32)}
    if frame.type == EV_ACCOUNT_CAME:
        return {"account": frame.account, "source": (<const CameEvent *>frame).source, "orders": (<const CameEvent *>frame).orders,
                "frames": (<const CameEvent *>frame).frames, "by": text((<const CameEvent *>frame).by, 32)}
    if frame.type == EV_KILL:
        return {"scope": (<const KillEvent *>frame).scope, "id": (<const KillEvent *>frame).id,
                "killed": bool((<const KillEvent *>frame).killed), "by": text((<const KillEvent *>frame).by, 32),
                "approved_by": text((<const KillEvent *>frame).approved_by, 32)}
    if frame.type == EV_REARM:
        return {"strategy": (<const RearmEvent *>frame).strategy, "off": (<const RearmEvent *>frame).off, "by": text((<const RearmEvent *>frame).by, 32)}
    if frame.type == EV_BASKET:
        return fields | basket_fields(<const BasketEvent *>frame)
    if frame.type == EV_ORDER_RELEASED:
        return fields | release_fields(<const ReleaseEvent *>frame)
    if frame.type == EV_LEVEL:
        return level_fields(<const LevelEvent *>frame)
    if frame.type == EV_TICKET:
        return ticket_fields(<const TicketEvent *>frame)
    if frame.type == EV_QUOTA:
        quota = <const QuotaEvent *>frame
        return {"scope": quota.scope, "index": quota.index, "epoch": quota.epoch,
                "leased_e4": [quota.leased_e4[kind] for kind in range(QUOTA_KINDS)]}
    if frame.type == EV_ADMIN:
        return admin_fields(<const AdminEvent *>frame)
    if frame.type == EV_OWNER:
        return {"epoch": (<const OwnerEvent *>frame).epoch, "node": text((<const OwnerEvent *>frame).node, 32)}
    found = {key: value for key, value in fields.items() if value and value != 0xFFFFFFFF}
    return found | rule_fields(frame) if frame.type >= EV_QUOTE else found


cdef dict rule_fields(const Frame *frame):
    """Of what the rules see, find and are; the octets of a rule set are not shown."""
    if frame.type == EV_QUOTE:
        return quote_fields(<const QuoteEvent *>frame)
    if frame.type == EV_HIT:
        return hit_fields(<const HitEvent *>frame)
    if frame.type == EV_PHASE:
        return {"venue": (<const PhaseEvent *>frame).venue, "phase": (<const PhaseEvent *>frame).phase}
    if frame.type == EV_MARK:
        mark = <const MarkEvent *>frame
        return {"rule_set": mark.rule_set, "mark": mark.mark, "row": mark.row, "instrument": mark.instrument, "side": mark.side,
                "ends": bool(mark.ends)}
    if frame.type == EV_RULE_SET:
        rules = <const RuleSetEvent *>frame
        return {"number": rules.number, "program_size": rules.program_size, "sha256": rules.sha256[:32].hex(), "id": text(rules.id, 48),
                "by": text(rules.by, 32), "approved_by": text(rules.approved_by, 32), "reason": text(rules.reason, 96)}
    return {}


cdef dict quote_fields(const QuoteEvent *event):
    return {
        "instrument": event.instrument, "phase": event.phase, "last_px_e4": event.last_px_e4,
        "total_volume_shares": event.total_volume_shares, "total_turnover_e4": event.total_turnover_e4,
        "bids": [(event.bid_px_e4[at], event.bid_qty_shares[at]) for at in range(5) if event.bid_px_e4[at]],
        "asks": [(event.ask_px_e4[at], event.ask_qty_shares[at]) for at in range(5) if event.ask_px_e4[at]],
    }


cdef dict hit_fields(const HitEvent *event):
    return {
        "hit_seq": event.alert_seq, "caused_ns": event.caused_ns, "rule_set": event.rule_set, "rule": event.rule, "row": event.row,
        "instrument": event.instrument, "stage": event.stage, "level": event.level, "enforced": bool(event.enforced),
        "blocked": bool(event.blocked), "side": event.side, "event": event.event, "bid_px_e4": event.bid_px_e4,
        "ask_px_e4": event.ask_px_e4, "last_px_e4": event.last_px_e4,
        "factors": [{"factor": event.factors[at].factor, "unit": event.factors[at].unit, "value": event.factors[at].value,
                     "limit": event.factors[at].limit} for at in range(min(event.factor_count, MOST_FACTORS))],
    }


cdef str text(const char *at, int size):
    return at[:size].decode("utf-8", "replace").rstrip(" \x00")


cdef dict order_fields(const OrderEvent *event):
    return {
        "cl_ord_id": text(event.cl_ord_id, event.cl_ord_id_size), "symbol": f"{event.symbol:06d}", "venue": event.venue,
        "side": event.side, "ord_type": event.ord_type, "order_qty_shares": event.order_qty_shares, "price_e4": event.price_e4,
        "code": event.code, "value": event.value, "limit": event.limit, "scope": event.scope, "wpx_e4": event.wpx_e4,
        "hold_e4": event.hold_e4, "phase": event.phase, "bid_px_e4": event.bid_px_e4, "ask_px_e4": event.ask_px_e4,
        "last_px_e4": event.last_px_e4, "port": event.port, "strategy": event.strategy, "parent": event.parent,
        "parent_qty_shares": event.parent_qty_shares, "flags": event.flags, "ttl_ms": event.ttl_ms, "rule": event.rule,
        "rule_set": event.rule_set,
    }


cdef dict basket_fields(const BasketEvent *event):
    return {
        "basket_id": text(event.basket_id, event.basket_id_size), "lines": event.lines, "notional_e4": event.notional_e4,
        "code": event.code, "value": event.value, "limit": event.limit, "port": event.port,
    }


cdef dict release_fields(const ReleaseEvent *event):
    return {
        "code": event.code, "value": event.value, "limit": event.limit, "scope": event.scope, "wpx_e4": event.wpx_e4,
        "hold_e4": event.hold_e4, "phase": event.phase, "bid_px_e4": event.bid_px_e4, "ask_px_e4": event.ask_px_e4,
        "last_px_e4": event.last_px_e4, "by": text(event.by, 32),
    }


cdef dict level_fields(const LevelEvent *event):
    return {
        "subject": event.subject, "index": event.index, "owner": event.head.account, "instrument": event.instrument,
        "level": event.level, "previous": event.previous, "mask": event.mask, "throttle_per_s": event.throttle_per_s,
        "until_ns": event.until_ns, "rule": event.rule, "rule_set": event.rule_set, "hit_offset": event.hit_offset,
        "ticket": event.ticket, "by": text(event.by, 32), "approved_by": text(event.approved_by, 32),
        "reason": text(event.reason, 96),
    }


cdef dict ticket_fields(const TicketEvent *event):
    return {"ticket": event.ticket, "subject": event.subject, "index": event.index, "is_open": bool(event.is_open),
            "by": text(event.by, 32), "reason": text(event.reason, 96)}


cdef dict admin_fields(const AdminEvent *event):
    return {"step": event.step, "number": event.number, "by": text(event.by, 32), "approved_by": text(event.approved_by, 32),
            "reason": text(event.reason, 96)}


def frame_fields(Journal journal, uint64_t offset) -> dict:
    """The fields of the frame at an offset that is known to hold one, with its type and time."""
    cdef const Frame *frame = journal.at(offset)
    return {"type": EVENT_NAMES.get(frame.type, str(frame.type)), "time_ns": frame.time_ns} | fields_of(frame)


cdef dict report_fields(const ReportEvent *event):
    return {
        "venue": event.venue, "partition": event.partition, "report_index": event.report_index, "ord_status": event.ord_status,
        "last_qty_shares": event.last_qty_shares, "last_px_e4": event.last_px_e4, "leaves_qty_shares": event.leaves_qty_shares,
        "cum_qty_shares": event.cum_qty_shares, "reason": event.reason, "venue_order_id": text(event.venue_order_id, 16),
        "exec_id": text(event.exec_id, 16),
    }


cdef dict cancel_fields(const CancelEvent *event):
    return {
        "cl_ord_id": text(event.cl_ord_id, event.cl_ord_id_size), "venue": event.venue, "cancel_no": event.cancel_no,
        "code": event.code, "reason": event.reason, "report_index": event.report_index,
    }
