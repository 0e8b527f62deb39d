"""A recorded day through candidate rules. What really happened is applied frame by frame; beside it every order, cancel, fill and
quote is judged by the rules as live would, and what they find goes into a scratch journal. The recorded one is only read.

Nothing here acts: no order is sent, no level is set, nothing is killed.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.apply cimport apply
from ext.codes cimport PASS, TAG_MARKET_MAKER
from ext.engine cimport Engine
from ext.events cimport (
    EV_ACCOUNT, EV_CANCEL_SENT, EV_CANCELED, EV_DAY, EV_HIT, EV_LEVEL, EV_MARK, EV_ORDER, EV_ORDER_RELEASED, EV_POSITION,
    EV_QUOTE, EV_RULE_SET, EV_TICKET, EV_TRADE, ORDER_SUSPENDED, CancelEvent, DayEvent, Frame, OrderEvent, QuoteEvent,
    ReleaseEvent, ReportEvent, RuleSetEvent,
)
from ext.journal cimport JOURNAL_START, Journal
from ext.program cimport (
    KEY_ACCOUNT, KEY_ACCOUNT_INSTRUMENT, KEY_ACCOUNT_VENUE, KEY_FIRM, KEY_FIXED, KEY_INSTRUMENT, KEY_VENUE, Rule,
)
from ext.risk cimport Candidate, set_worst_case
from ext.state cimport FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, GROUP_OWNER, NONE, Order, State
from ext.survey cimport Found, Survey, stage_of

from ext.journal import JournalError
from ext.replay import layout_number

cdef enum:
    LEFT_NS = 100000000                # how often live goes on with the rows that a quote left over
    LEAST_ROWS = 1024


def measure(Journal journal) -> dict:
    """What is in a recorded day: {frames, orders, accounts, positions (at most), trade_date, start}. start: where candidate rules
    come into force: at the day's first rule set when no order came before it, else before anything that is no setting.

    Checks every frame. JournalError: damaged, or written by another build; ValueError: it has no order.
    """
    cdef uint64_t offset = JOURNAL_START
    cdef uint64_t first_event = 0
    cdef uint64_t start = 0
    cdef uint32_t orders = 0
    cdef uint32_t accounts = 0
    cdef uint64_t positions = 0
    cdef uint32_t trade_date = 0
    cdef const Frame *frame
    journal.rewind()
    while True:
        frame = journal.next_frame(offset)
        if frame == NULL:
            break
        if frame.type == EV_DAY:
            check_layout(journal, <const DayEvent *>frame, offset)
            trade_date = (<const DayEvent *>frame).trade_date
        elif frame.type == EV_ACCOUNT:
            accounts = max(accounts, frame.account + 1)
        elif frame.type == EV_POSITION or frame.type == EV_LEVEL:
            positions += 2
        elif frame.type == EV_ORDER:
            orders = max(orders, frame.order_no)
            positions += 3
        elif frame.type == EV_RULE_SET and orders == 0 and start == 0:
            start = offset
        if first_event == 0 and frame.type >= EV_ORDER:
            first_event = offset
        offset = journal.end
    if orders == 0:
        raise ValueError(f"{journal.path}: it has no order")
    return {"frames": journal.seq, "orders": orders, "accounts": accounts, "positions": positions, "trade_date": trade_date,
            "start": start or first_event}


cdef check_layout(Journal journal, const DayEvent *day, uint64_t offset):
    if day.layout != layout_number():
        raise JournalError(journal.path, offset, f"it was written by another build, with other frames: layout {day.layout}, "
                           f"expected {layout_number()}")


def state_for(dict size) -> State:
    """An empty state with the rows that a measured day needs."""
    return State(max(size["accounts"], LEAST_ROWS), max(size["positions"], LEAST_ROWS), max(size["orders"], LEAST_ROWS))


cdef class Rehearsal(Engine):
    """One day under other rules. step() until it says that there is nothing left; then what it counted is to be read.

    recorded: the day, measured; scratch: an empty journal for what the rules find. program: the candidate's octets, b"": the rule
    sets the day was traded under, each from its own place on.
    """

    cdef Journal recorded
    cdef uint64_t offset               # of the next frame
    cdef uint64_t start                # where the candidate comes into force
    cdef uint64_t last
    cdef bytes program
    cdef int64_t left_ns
    cdef readonly uint64_t frames      # adopted so far
    cdef readonly int64_t judged       # orders
    cdef readonly int64_t stopped      # by the candidate
    cdef readonly int64_t stopped_live # by a rule, when it happened
    cdef readonly int64_t cancels_stopped
    cdef readonly dict blocked         # (rule set, rule) -> orders it stopped here
    cdef readonly dict blocked_live    # the same of what happened
    cdef readonly dict accounts        # kind -> account index -> [orders, notional in 1e-4 yuan]
    cdef readonly list differences     # the first of each kind, with what the candidate's rule compared
    cdef readonly dict counts          # kind -> [orders, notional_e4, of market makers]
    cdef dict reached
    cdef int kept

    def __init__(self, State state, Journal scratch, Journal recorded, dict size, bytes program=b"", *, int kept=100):
        Engine.__init__(self, state, scratch)
        self.recorded = recorded
        self.offset = JOURNAL_START
        self.start = size["start"]
        self.last = recorded.end
        self.program = program
        self.blocked, self.blocked_live, self.accounts = {}, {}, {kind: {} for kind in KINDS}
        self.counts = {kind: [0, 0, 0] for kind in KINDS}
        self.differences, self.reached = [], {}
        self.kept = kept

    def step(self, uint64_t most) -> bool:
        """Adopt so many frames; whether there are more."""
        cdef uint64_t stop = self.frames + most
        cdef const Frame *frame
        while self.frames < stop and self.offset < self.last:
            frame = self.recorded.at(self.offset)
            if self.offset == self.start and self.program:
                self.put_candidate(frame.time_ns)
            if self.left_count and frame.time_ns - self.left_ns >= LEFT_NS:
                self.left_ns = frame.time_ns
                self.survey_left(frame.time_ns)
            self.adopt(frame, self.offset)
            self.offset += frame.size
            self.frames += 1
        return self.offset < self.last

    def put_candidate(self, int64_t now_ns) -> None:
        cdef size_t size = len(self.program)
        cdef RuleSetEvent *event = <RuleSetEvent *>self.reserve(EV_RULE_SET, sizeof(RuleSetEvent) + size, NONE, False, now_ns)
        if event == NULL:
            raise OSError("the scratch journal is full")
        event.number = 1
        event.program_size = <uint32_t>size
        memcpy(<char *>event + sizeof(RuleSetEvent), <const char *>self.program, size)
        self.record(&event.head)

    # One frame

    cdef void adopt(self, const Frame *frame, uint64_t offset) noexcept:
        """Apply what happened, and let the rules look at it where live lets them look."""
        if frame.type == EV_ORDER:
            self.adopt_order(<const OrderEvent *>frame, offset)
        elif frame.type == EV_TRADE or frame.type == EV_CANCELED:
            self.adopt_report(<const ReportEvent *>frame, offset)
        elif frame.type == EV_CANCEL_SENT:
            self.adopt_cancel(<const CancelEvent *>frame, offset)
        elif frame.type == EV_RULE_SET:
            self.adopt_rule_set(<const RuleSetEvent *>frame)
        elif frame.type not in (EV_MARK, EV_HIT, EV_LEVEL, EV_TICKET):
            apply(self.state, frame, offset)
            if frame.type == EV_QUOTE:
                self.on_recorded((<const QuoteEvent *>frame).instrument, frame.time_ns)

    cdef void adopt_rule_set(self, const RuleSetEvent *event) noexcept:
        """The day's own rule set, when it is the day's own rules that are asked for."""
        cdef Frame *copy
        if self.program:
            return
        copy = self.reserve(EV_RULE_SET, event.head.size, NONE, False, event.head.time_ns)
        if copy == NULL:
            return
        memcpy(<char *>copy + sizeof(Frame), <const char *>event + sizeof(Frame), event.head.size - sizeof(Frame))
        self.record(copy)

    cdef void adopt_report(self, const ReportEvent *event, uint64_t offset) noexcept:
        """A fill, or the end of a rest; the rules look at a rest that left by request."""
        cdef bint is_by_request = self.state.orders[event.head.order_no].flags & FLAG_CANCEL_SENT
        apply(self.state, &event.head, offset)
        if event.head.type == EV_TRADE or is_by_request:
            self.survey_report(event)

    cdef void adopt_cancel(self, const CancelEvent *event, uint64_t offset) noexcept:
        """A cancel that left; a client's is looked at, and one that waited for its phase was not."""
        cdef const Order *order = &self.state.orders[event.head.order_no]
        cdef bint is_clients = event.cl_ord_id_size and not order.flags & FLAG_CANCEL_QUEUED
        if is_clients and self.survey_cancel(order, event.head.order_no, event.head.time_ns) != PASS:
            self.cancels_stopped += 1
        apply(self.state, &event.head, offset)
        self.watch(order.match_position)
        if is_clients:
            self.record_found(event.head.order_no, True)

    cdef void adopt_order(self, const OrderEvent *event, uint64_t offset) noexcept:
        """A decision: made again by the rules when the ladder let the order pass, compared, then applied as it was."""
        cdef Candidate order
        cdef int code = PASS
        cdef bint is_judged = event.code == PASS or event.rule != 0 or event.flags & ORDER_SUSPENDED
        if is_judged:
            self.set_candidate(event, &order)
            code = self.survey_order(&order)
            self.judged += 1
            self.compare(event, &order, code)
        apply(self.state, &event.head, offset)
        if is_judged:
            self.record_order_found(event.head.order_no, event.code == PASS)

    cdef void set_candidate(self, const OrderEvent *event, Candidate *order) noexcept:
        """The order as the ladder left it for the rules, on the quote it saw."""
        memset(order, 0, sizeof(Candidate))
        order.port = &self.state.ports[event.port]
        order.account_index = event.head.account
        order.instrument_index = event.instrument
        order.venue = event.venue
        order.side = event.side
        order.ord_type = event.ord_type
        order.order_qty_shares = event.order_qty_shares
        order.price_e4 = event.price_e4
        order.now_ns = event.head.time_ns
        self.market.tops[event.instrument].bid_px_e4 = event.bid_px_e4
        self.market.tops[event.instrument].ask_px_e4 = event.ask_px_e4
        self.market.tops[event.instrument].last_px_e4 = event.last_px_e4
        self.market.phase[event.venue] = event.phase
        self.find_holdings(order)
        self.find_rows(order)
        set_worst_case(self.state, order)

    # What is different

    cdef void compare(self, const OrderEvent *event, const Candidate *order, int code) noexcept:
        """Count what the candidate stops, and note where that is not what happened."""
        cdef bint was_stopped = event.rule != 0
        if code == PASS and not was_stopped:
            return
        if code != PASS:
            self.stopped += 1
            count(self.blocked, (self.state.rule_state.book.number, order.rule))
        if was_stopped:
            self.stopped_live += 1
            count(self.blocked_live, (event.rule_set, event.rule))
        if not was_stopped:
            self.note("blocked", event, order, code)
        elif code == PASS:
            self.note("let through", event, order, code)
        elif code != event.code or order.value != event.value or order.limit != event.limit or (
                not self.program and order.rule != event.rule):
            self.note("other rule", event, order, code)

    cdef note(self, str kind, const OrderEvent *event, const Candidate *order, int code):
        cdef const Found *found = NULL if code == PASS else self.decisive()
        counted = self.counts[kind]
        counted[0] += 1
        counted[1] += order.notional_e4
        counted[2] += bool(self.state.accounts[event.head.account].tags & TAG_MARKET_MAKER)
        of_account = self.accounts[kind].setdefault(event.head.account, [0, 0])
        of_account[0] += 1
        of_account[1] += order.notional_e4
        if counted[0] > self.kept:
            return
        self.differences.append({
            "kind": kind, "order_id": event.head.order_no, "time_ns": event.head.time_ns, "account": event.head.account,
            "instrument": event.instrument, "side": event.side, "order_qty_shares": event.order_qty_shares,
            "price_e4": event.price_e4, "notional_e4": order.notional_e4,
            "live": {"code": event.code, "rule_set": event.rule_set, "rule": event.rule, "value": event.value,
                     "limit": event.limit},
            "candidate": {"code": code, "rule_set": self.state.rule_state.book.number, "rule": order.rule, "value": order.value,
                          "limit": order.limit},
            "factors": [] if found == NULL else [
                {"value": found.factors[at].value, "limit": found.factors[at].limit, "factor": found.factors[at].factor,
                 "unit": found.factors[at].unit} for at in range(found.factor_count)],
        })

    cdef void record_hit(self, const Found *found, uint32_t order_no) noexcept:
        """As live records it; and the highest level it asked for, for whom."""
        cdef const Rule *rule = &self.state.rule_state.book.program.rules[found.rule]
        cdef int level = stage_of(rule, found.stage).level
        Survey.record_hit(self, found, order_no)
        if found.is_enforced and level > 0:
            self.note_level(level, rule, found)

    cdef note_level(self, int level, const Rule *rule, const Found *found):
        owner = self.owner_of(rule.key)
        if level > self.reached.get(owner, {"level": 0})["level"]:
            self.reached[owner] = {"owner": owner, "level": level, "time_ns": self.occasion.now_ns,
                                   "rule_set": self.state.rule_state.book.number, "rule": found.rule + 1}

    cdef uint32_t owner_of(self, int key) noexcept:
        """Whom a rule of this key binds on this occasion: an account, GROUP_OWNER | group, or NONE: nobody in particular."""
        if key in (KEY_INSTRUMENT, KEY_VENUE, KEY_FIRM, KEY_FIXED):
            return NONE
        if key in (KEY_ACCOUNT, KEY_ACCOUNT_VENUE, KEY_ACCOUNT_INSTRUMENT) or self.occasion.group == NONE:
            return self.occasion.account_index
        return GROUP_OWNER | self.occasion.group

    def levels(self) -> list:
        """The highest level that some rule asked for, of each subject: {owner, level, time_ns, rule_set, rule}."""
        return sorted(self.reached.values(), key=lambda found: (-found["level"], found["owner"]))

    def account_name(self, uint32_t account) -> str:
        """An account's id."""
        return self.state.accounts[account].id[:self.state.accounts[account].id_size].decode("utf-8", "replace")

    def owner_name(self, uint32_t owner) -> str:
        """`account A1`, `group G1`, or `firm` for nobody in particular."""
        if owner == NONE:
            return "firm"
        if owner & GROUP_OWNER:
            return "group " + self.state.groups[owner & ~<uint32_t>GROUP_OWNER].id[:16].decode("utf-8", "replace").rstrip("\0")
        return f"account {self.account_name(owner)}"


KINDS = ("blocked", "let through", "other rule")


cdef count(dict counts, key):
    counts[key] = counts.get(key, 0) + 1
