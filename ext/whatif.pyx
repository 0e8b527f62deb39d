"""A recorded day through candidate rules. What really happened is applied frame by frame; beside it every order, cancel, fill and
quote is judged by the rules as live would, and what they find goes into a scratch journal. The recorded one is only read.

Nothing here acts: no order is sent, no level is set, nothing is killed.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.apply cimport apply
from ext.codes cimport PASS, R1502_MANUAL, TAG_MARKET_MAKER
from ext.engine cimport Engine
from ext.events cimport (
    EV_ACCOUNT, EV_CANCEL_SENT, EV_CANCELED, EV_DAY, EV_HIT, EV_LEVEL, EV_MARK, EV_ORDER, EV_ORDER_RELEASED, EV_POSITION,
    EV_QUOTE, EV_RULE_SET, EV_TICKET, EV_TRADE, ORDER_PROGRAMME, ORDER_SUSPENDED, CancelEvent, DayEvent, Frame, OrderEvent, QuoteEvent,
    ReleaseEvent, ReportEvent, RuleSetEvent,
)
from ext.journal cimport JOURNAL_START, Journal, crc32c
from ext.program cimport (
    KEY_ACCOUNT, KEY_ACCOUNT_INSTRUMENT, KEY_ACCOUNT_VENUE, KEY_FIRM, KEY_FIXED, KEY_INSTRUMENT, KEY_VENUE, Program,
    ProgramHeader, Rule, open_program,
)
from ext.risk cimport Candidate, set_worst_case
from ext.state cimport FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, GROUP_OWNER, NONE, Order, State
from ext.survey cimport Found

from ext.program import validate
from ext.replay import layout_number

cdef enum:
    LEFT_NS = 100000000                # how often live goes on with the rows that a quote left over
    LEAST_ROWS = 1024


def measure(Journal journal) -> dict:
    """What is in a recorded day: {frames, orders, accounts, positions (at most), rule_sets, trade_date, start}. start: where
    candidate rules come into force: at the day's first rule set when no order came before it, else before what is no setting.

    Checks every frame. JournalError: damaged, or written by another build; ValueError: it has no order.
    """
    cdef uint64_t offset = JOURNAL_START
    cdef uint64_t first_event = 0
    cdef uint64_t start = 0
    cdef uint32_t orders = 0
    cdef uint32_t accounts = 0
    cdef uint64_t positions = 0
    cdef uint32_t rule_sets = 0
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
        elif frame.type == EV_RULE_SET:
            rule_sets += 1
            start = offset if orders == 0 and start == 0 else start
        if first_event == 0 and frame.type >= EV_ORDER:
            first_event = offset
        offset = journal.end
    if orders == 0:
        raise ValueError(f"{journal.path}: it has no order")
    return {"frames": journal.seq, "orders": orders, "accounts": accounts, "positions": positions, "rule_sets": rule_sets,
            "trade_date": trade_date, "start": start or first_event}


cdef check_layout(Journal journal, const DayEvent *day, uint64_t offset):
    if day.layout != layout_number():
        raise journal.error(offset, f"it was written by another build, with other frames: layout {day.layout}, "
                            f"expected {layout_number()}")


def without_validity(bytes program) -> bytes:
    """The same program with rules that are valid at any time: for rules of one day on the events of another."""
    cdef bytearray copy = bytearray(program)
    cdef Program opened
    cdef Rule *rule
    cdef uint32_t at
    validate(program)
    open_program(copy, &opened)
    for at in range(opened.head.rule_count):
        rule = <Rule *>&opened.rules[at]
        rule.valid_from_ns = 0
        rule.valid_to_ns = 0
    (<ProgramHeader *>opened.head).crc = crc32c(<const uint8_t *>opened.head + sizeof(ProgramHeader),
                                                len(program) - sizeof(ProgramHeader), 0)
    return bytes(copy)


def state_for(dict size) -> State:
    """An empty state with the rows that a measured day needs."""
    return State(max(size["accounts"], LEAST_ROWS), max(size["positions"], LEAST_ROWS), max(size["orders"], LEAST_ROWS))


cdef struct Decided:                   # how rules decided an order
    int code                           # PASS, or why it was refused or waits
    bint waits
    uint32_t rule                      # 0: no rule stopped it
    uint32_t rule_set
    int64_t value
    int64_t limit


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
        elif frame.type == EV_ORDER_RELEASED:
            self.adopt_release(<const ReleaseEvent *>frame, offset)
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
        cdef bint is_judged = passed_ladder(event)
        if is_judged:
            self.set_candidate(event, event.head.time_ns, event.bid_px_e4, event.ask_px_e4, event.last_px_e4, &order)
            if event.rule == 0 and event.code != PASS:
                order.wait_code = event.code
            self.judge_again(&event.head, event.code, event.flags & ORDER_SUSPENDED, event.rule, event.rule_set, event.value,
                             event.limit, &order)
        apply(self.state, &event.head, offset)
        if is_judged:
            self.record_order_found(event.head.order_no, event.code == PASS)

    cdef void adopt_release(self, const ReleaseEvent *event, uint64_t offset) noexcept:
        """A suspended order's end; one that was confirmed and passed the ladder again is judged again."""
        cdef Candidate order
        cdef const OrderEvent *asked = <const OrderEvent *>self.recorded.at(self.state.orders[event.head.order_no].frame_offset)
        cdef bint has_quote = event.bid_px_e4 or event.ask_px_e4 or event.last_px_e4   # of a second judgement alone
        cdef bint is_judged = event.code == PASS or (event.rule != 0 and has_quote)
        if is_judged:
            self.set_candidate(asked, event.head.time_ns, event.bid_px_e4, event.ask_px_e4, event.last_px_e4, &order)
            order.confirmed = True
            # Accepted now, it still names the rule that made it wait.
            self.judge_again(&event.head, event.code, False, 0 if event.code == PASS else event.rule, event.rule_set, event.value,
                             event.limit, &order)
        apply(self.state, &event.head, offset)
        if is_judged:
            self.record_order_found(event.head.order_no, event.code == PASS)

    cdef void set_candidate(self, const OrderEvent *event, int64_t now_ns, int64_t bid_px_e4, int64_t ask_px_e4,
                            int64_t last_px_e4, Candidate *order) noexcept:
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
        order.now_ns = now_ns
        self.market.tops[event.instrument].bid_px_e4 = bid_px_e4
        self.market.tops[event.instrument].ask_px_e4 = ask_px_e4
        self.market.tops[event.instrument].last_px_e4 = last_px_e4
        self.market.phase[event.venue] = event.phase
        self.find_holdings(order)
        self.find_rows(order)
        set_worst_case(self.state, order)

    cdef void respond(self, const Found *found, int level) noexcept:
        """No level is set here; noted is the highest that was asked for, for whom."""
        cdef const Rule *rule = &self.state.rule_state.book.program.rules[found.rule]
        if level > 0:
            self.note_level(level, rule.key, found.rule + 1)

    # What is different

    cdef void judge_again(self, const Frame *frame, int live_code, bint waited, uint32_t live_rule, uint32_t live_set,
                          int64_t live_value, int64_t live_limit, Candidate *order) noexcept:
        """Ask the rules; count what they stop (refuse, or let wait), and note where that is not what happened."""
        cdef Decided live = Decided(live_code, waited, live_rule, live_set, live_value, live_limit)
        cdef Decided here = Decided(self.survey_order(order), False, order.rule, self.state.rule_state.book.number, order.value,
                                    order.limit)
        self.judged += 1
        if here.rule == 0 and live.rule == 0:
            return
        if here.code == PASS and here.rule:
            here.waits = not order.port.programme
            here.code, here.value, here.limit = order.wait_code, order.wait_value, order.wait_limit
        if here.rule:
            self.stopped += 1
            count(self.blocked, (here.rule_set, here.rule))
        if live.rule:
            self.stopped_live += 1
            count(self.blocked_live, (live.rule_set, live.rule))
        if not live.rule:
            self.note("blocked", frame, order, &live, &here)
        elif not here.rule:
            self.note("let through", frame, order, &live, &here)
        elif here.code != live.code or here.waits != live.waits or here.value != live.value or here.limit != live.limit or (
                not self.program and here.rule != live.rule):
            self.note("other rule", frame, order, &live, &here)

    cdef note(self, str kind, const Frame *frame, const Candidate *order, const Decided *live, const Decided *here):
        cdef const Found *found = self.decisive() if here.rule else NULL
        counted = self.counts[kind]
        counted[0] += 1
        counted[1] += order.notional_e4
        counted[2] += bool(self.state.accounts[frame.account].tags & TAG_MARKET_MAKER)
        of_account = self.accounts[kind].setdefault(frame.account, [0, 0])
        of_account[0] += 1
        of_account[1] += order.notional_e4
        if counted[0] > self.kept:
            return
        self.differences.append({
            "kind": kind, "order_id": frame.order_no, "time_ns": frame.time_ns, "account": frame.account,
            "instrument": order.instrument_index, "side": order.side, "order_qty_shares": order.order_qty_shares,
            "price_e4": order.price_e4, "notional_e4": order.notional_e4, "live": live[0], "candidate": here[0],
            "factors": [] if found == NULL else [
                {"value": found.factors[at].value, "limit": found.factors[at].limit, "factor": found.factors[at].factor,
                 "unit": found.factors[at].unit} for at in range(found.factor_count)],
        })

    cdef note_level(self, int level, int key, uint32_t rule):
        owner = self.owner_of(key)
        if level > self.reached.get(owner, {"level": 0})["level"]:
            self.reached[owner] = {"owner": owner, "level": level, "time_ns": self.occasion.now_ns,
                                   "rule_set": self.state.rule_state.book.number, "rule": rule}

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


cdef bint passed_ladder(const OrderEvent *event) noexcept:
    """Whether the rules were asked: the order was accepted, a rule stopped it, or it only had to wait. A programme's order that
    had to wait (R1502) was refused at once instead."""
    if event.code == PASS or event.rule or event.flags & ORDER_SUSPENDED:
        return True
    return event.code == R1502_MANUAL and event.flags & ORDER_PROGRAMME


KINDS = ("blocked", "let through", "other rule")


cdef count(dict counts, key):
    counts[key] = counts.get(key, 0) + 1
