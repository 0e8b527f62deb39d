"""Frames and refusals as ExecutionReports and CancelRejects, texts included. Changes nothing."""

from libc.string cimport memcpy, memset, strlen

from ext.codec cimport (
    BARE, SERVER_CANCEL_REJECT, SERVER_EXECUTION_REPORT, CancelReject, ExecutionReport, Text, encode_cancel_reject,
    encode_execution_report, symbol_number,
)
from ext.codes cimport (
    EXEC_CANCELED, EXEC_EXPIRED, EXEC_NEW, EXEC_PENDING_NEW, EXEC_REJECTED, EXEC_SUSPENDED, EXEC_TRADE, PASS,
    R1602_VENUE_REJECT, R1610_WRONG_SHARD, STATUS_CANCELED, STATUS_EXPIRED, STATUS_NEW, STATUS_PENDING_NEW, STATUS_REJECTED, STATUS_SUSPENDED,
)
from ext.codes import REJECT_CODES
from ext.events cimport (
    EV_CANCELED, EV_CANCEL_REJECTED, EV_EXPIRED, EV_NEW, EV_ORDER, EV_ORDER_RELEASED, EV_TRADE, ORDER_SUSPENDED,
    SCOPE_ACCOUNT, SCOPE_FIRM, SCOPE_GROUP, SCOPE_INSTRUMENT, SCOPE_PARENT, SCOPE_PORT, SCOPE_STRATEGY, SCOPE_UNIT,
    CancelEvent, OrderEvent, ReleaseEvent, ReportEvent, RuleSetEvent,
)
from ext.program cimport Program, Rule, open_program
from ext.rule_state cimport MOST_RULE_SETS, RuleState
from ext.state cimport FLAG_CONFIRMED, NONE, RULE_ID_SIZE, Account, Order
from ext.tables cimport strnlen

cdef enum:
    CODES = 1700
    MOST_TEXT = 200

cdef list kept_names = [(name.encode(), fix103, fix102) for name, fix103, fix102 in REJECT_CODES.values()]
cdef const char *code_name[CODES]
cdef uint32_t ord_rej_reason[CODES]
cdef uint32_t cxl_rej_reason[CODES]


def load_names() -> None:
    """Fill the C tables from REJECT_CODES, once; a number that is no code reads INTERNAL."""
    for code in range(CODES):
        code_name[code] = b"INTERNAL"
    for code, (name, fix103, fix102) in zip(REJECT_CODES, kept_names, strict=True):
        code_name[code] = <const char *>name
        ord_rej_reason[code] = fix103
        cxl_rej_reason[code] = fix102


load_names()


cdef inline char *put(char *at, const char *text) noexcept:
    cdef size_t size = strlen(text)
    memcpy(at, text, size)
    return at + size


cdef char *put_int(char *at, int64_t number) noexcept:
    cdef char digits[20]
    cdef int size = 0
    cdef unsigned long long rest = <unsigned long long>(-number if number < 0 else number)
    if number < 0:
        at[0] = c'-'
        at += 1
    while True:
        digits[size] = <char>(48 + rest % 10)
        size += 1
        rest //= 10
        if rest == 0:
            break
    while size:
        size -= 1
        at[0] = digits[size]
        at += 1
    return at


cdef char *put_scope(char *at, State state, int scope, uint32_t account_index) noexcept:
    cdef const Account *account = NULL if account_index == NONE else &state.accounts[account_index]
    cdef size_t size
    if scope == SCOPE_FIRM:
        return put(at, b"firm")
    if scope == SCOPE_PORT:
        return put(at, b"session")
    if scope == SCOPE_GROUP and account != NULL and account.group != NONE:
        at = put(at, b"group:")
        size = 0
        while size < 16 and state.groups[account.group].id[size]:
            size += 1
        memcpy(at, state.groups[account.group].id, size)
        return at + size
    if scope == SCOPE_INSTRUMENT:
        return put(at, b"instrument")
    if scope == SCOPE_STRATEGY:
        return put(at, b"strategy")
    if scope == SCOPE_UNIT:
        return put(at, b"unit")
    if scope == SCOPE_PARENT:
        return put(at, b"parent")
    if scope == SCOPE_ACCOUNT and account != NULL:
        at = put(at, b"account:")
        memcpy(at, account.id, account.id_size)
        return at + account.id_size
    return put(at, b"market")


cdef const Rule *rule_of(State state, Journal journal, uint32_t number, uint32_t rule_set) noexcept:
    """A rule of a rule set that is or was in force today, NULL when none decided."""
    cdef RuleState ours = state.rule_state
    cdef Program program
    if number == 0 or not 0 < rule_set <= ours.rule_set_count or rule_set >= MOST_RULE_SETS:
        return NULL
    if rule_set == ours.book.number:
        return &ours.book.program.rules[number - 1]
    open_program(<const uint8_t *>journal.at(ours.rule_sets[rule_set]) + sizeof(RuleSetEvent), &program)
    return &program.rules[number - 1]


cdef size_t write_text(char *text, State state, int code, int64_t value, int64_t limit, int scope, uint32_t account_index,
                       const char *field, const char *expected, const Rule *rule) noexcept:
    """`R1301 CASH v=<value> lim=<limit> rule=<id>@<version> scope=<scope>`; a malformed field is named instead of a
    limit, and so is what a shard is behind with (`R1609 OVERLOAD field=<what> v=<value> lim=<limit>`).
    rule: the surveillance rule that decided, NULL: the limits did."""
    cdef char *at = text
    cdef size_t size = 0
    at[0] = c'R'
    at = put_int(at + 1, code)
    at[0] = c' '
    at = put(at + 1, code_name[code])
    if code == R1610_WRONG_SHARD:
        return put(put(at, b" redirect="), expected) - text
    if field != NULL:
        at = put(put(at, b" field="), field)
        at = put_int(put(at, b" v="), value)
        at = put(put(at, b" expected="), expected) if expected != NULL else put_int(put(at, b" lim="), limit)
        return at - text
    at = put_int(put(at, b" v="), value)
    at = put_int(put(at, b" lim="), limit)
    at = put(at, b" rule=")
    if rule != NULL:
        size = strnlen(rule.id, sizeof(rule.id))
        memcpy(at, rule.id, size)
        at = put_int(put(at + size, b"@"), rule.version)
        at = put_scope(put(at, b" scope="), state, scope, account_index)
        return at - text
    size = strnlen(state.rules.rule_id, RULE_ID_SIZE)
    memcpy(at, state.rules.rule_id, size)
    at = put_int(put(at + size, b"@"), state.rules.version)
    at = put_scope(put(at, b" scope="), state, scope, account_index)
    return at - text


cdef inline Text borrowed(const char *at, size_t size) noexcept:
    cdef Text text = Text(<const uint8_t *>at, <uint32_t>size)
    return text


cdef inline size_t padded_size(const char *at, size_t size) noexcept:
    """Length of a space- or zero-padded field without its padding."""
    while size and (at[size - 1] == 32 or at[size - 1] == 0):
        size -= 1
    return size


cdef void set_order(ExecutionReport *report, State state, Journal journal, uint32_t order_no) noexcept:
    """The part of a report that is the same in every report of the order."""
    cdef const Order *order = &state.orders[order_no]
    cdef const OrderEvent *event = <const OrderEvent *>journal.at(order.frame_offset)
    cdef const Account *account = &state.accounts[order.account]
    report.account = borrowed(account.id, account.id_size)
    report.cl_ord_id = borrowed(event.cl_ord_id, event.cl_ord_id_size)
    report.order_id = order_no
    report.symbol = event.symbol
    report.security_exchange = event.venue
    report.side = event.side
    report.ord_type = event.ord_type
    report.order_qty_shares = event.order_qty_shares
    report.price_e4 = event.price_e4
    report.planned_ns = event.planned_ns
    report.venue_order_id = borrowed(order.venue_order_id, padded_size(order.venue_order_id, 16))


cdef void set_decision(ExecutionReport *report, State state, Journal journal, const OrderEvent *event, char *text) noexcept:
    report.exec_type = EXEC_PENDING_NEW
    report.ord_status = STATUS_PENDING_NEW
    report.leaves_qty_shares = event.order_qty_shares
    if event.code == PASS:
        return
    report.text = borrowed(text, write_text(text, state, event.code, event.value, event.limit, event.scope, event.head.account,
                                            NULL, NULL, rule_of(state, journal, event.rule, event.rule_set)))
    if event.flags & ORDER_SUSPENDED:
        report.exec_type = EXEC_SUSPENDED
        report.ord_status = STATUS_SUSPENDED
        report.confirm_by_ns = confirm_by_ns(event)
        return
    report.exec_type = EXEC_REJECTED
    report.ord_status = STATUS_REJECTED
    report.leaves_qty_shares = 0
    report.reject_code = event.code
    report.ord_rej_reason = ord_rej_reason[event.code]


cdef void set_release(ExecutionReport *report, State state, Journal journal, const ReleaseEvent *event, char *text) noexcept:
    """The end of a suspended order."""
    if event.code == PASS:
        report.exec_type = EXEC_PENDING_NEW
        report.ord_status = STATUS_PENDING_NEW
        report.leaves_qty_shares = report.order_qty_shares
        return
    report.exec_type = EXEC_REJECTED
    report.ord_status = STATUS_REJECTED
    report.reject_code = event.code
    report.ord_rej_reason = ord_rej_reason[event.code]
    report.text = borrowed(text, write_text(text, state, event.code, event.value, event.limit, event.scope, event.head.account,
                                            NULL, NULL, rule_of(state, journal, event.rule, event.rule_set)))


cdef void set_report(ExecutionReport *report, State state, const ReportEvent *event, char *text) noexcept:
    cdef int type = event.head.type
    report.exec_type = (EXEC_NEW if type == EV_NEW else EXEC_TRADE if type == EV_TRADE else EXEC_CANCELED if type == EV_CANCELED
                        else EXEC_EXPIRED if type == EV_EXPIRED else EXEC_REJECTED)
    report.ord_status = event.ord_status
    report.last_qty_shares = event.last_qty_shares
    report.last_px_e4 = event.last_px_e4
    report.leaves_qty_shares = event.leaves_qty_shares
    report.cum_qty_shares = event.cum_qty_shares
    report.cum_notional_e4 = event.cum_notional_e4
    report.venue_order_id = borrowed(event.venue_order_id, padded_size(event.venue_order_id, 16))
    if report.exec_type == EXEC_REJECTED:
        report.reject_code = R1602_VENUE_REJECT
        report.ord_rej_reason = ord_rej_reason[<int>R1602_VENUE_REJECT]
        report.text = borrowed(text, write_text(text, state, R1602_VENUE_REJECT, event.reason, 0, 0, event.head.account,
                                                b"exchange_reason", b"acceptance", NULL))


cdef size_t encode_event(uint8_t *dst, State state, Journal journal, const Frame *frame, bint wrapped) noexcept:
    cdef ExecutionReport report
    cdef char text[MOST_TEXT]
    if frame.type == EV_CANCEL_REJECTED:
        return encode_cancel_event(dst, state, journal, <const CancelEvent *>frame, SERVER_CANCEL_REJECT if wrapped else BARE)
    memset(&report, 0, sizeof(ExecutionReport))
    set_order(&report, state, journal, frame.order_no)
    report.event_seq = frame.event_seq
    report.exec_id = frame.seq
    report.time_ns = frame.time_ns
    if frame.type == EV_ORDER:
        report.venue_order_id.size = 0
        set_decision(&report, state, journal, <const OrderEvent *>frame, text)
    elif frame.type == EV_ORDER_RELEASED:
        report.venue_order_id.size = 0
        set_release(&report, state, journal, <const ReleaseEvent *>frame, text)
    else:
        set_report(&report, state, <const ReportEvent *>frame, text)
    return encode_execution_report(dst, &report, SERVER_EXECUTION_REPORT if wrapped else BARE)


cdef size_t encode_cancel_event(uint8_t *dst, State state, Journal journal, const CancelEvent *event, uint32_t wrap_field) noexcept:
    cdef CancelReject reject
    cdef char text[MOST_TEXT]
    cdef const Order *order = &state.orders[event.head.order_no]
    cdef const OrderEvent *original = <const OrderEvent *>journal.at(order.frame_offset)
    cdef const Account *account = &state.accounts[event.head.account]
    memset(&reject, 0, sizeof(CancelReject))
    reject.event_seq = event.head.event_seq
    reject.account = borrowed(account.id, account.id_size)
    reject.cl_ord_id = borrowed(event.cl_ord_id, event.cl_ord_id_size)
    reject.orig_cl_ord_id = borrowed(original.cl_ord_id, original.cl_ord_id_size)
    reject.order_id = event.head.order_no
    reject.ord_status = event.ord_status
    reject.reject_code = event.code
    reject.cxl_rej_reason = cxl_rej_reason[event.code]
    reject.text = borrowed(text, write_text(text, state, event.code, event.reason, 0, SCOPE_ACCOUNT, event.head.account, NULL, NULL, NULL))
    reject.time_ns = event.head.time_ns
    reject.planned_ns = event.planned_ns
    return encode_cancel_reject(dst, &reject, wrap_field)


cdef uint32_t exec_type_of(int ord_status) noexcept:
    """The exec type that led to a status: for the answer to a repeated order or a query."""
    if ord_status == STATUS_PENDING_NEW:
        return EXEC_PENDING_NEW
    if ord_status == STATUS_NEW:
        return EXEC_NEW
    if ord_status == STATUS_SUSPENDED:
        return EXEC_SUSPENDED
    if ord_status == STATUS_CANCELED:
        return EXEC_CANCELED
    if ord_status == STATUS_EXPIRED:
        return EXEC_EXPIRED
    return EXEC_REJECTED if ord_status == STATUS_REJECTED else EXEC_TRADE


cdef size_t encode_order_state(uint8_t *dst, State state, Journal journal, uint32_t order_no, bint repeated, uint32_t wrap_field) noexcept:
    """The order as it stands now; not an event, so event_seq is 0."""
    cdef const Order *order = &state.orders[order_no]
    cdef const OrderEvent *event = <const OrderEvent *>journal.at(order.frame_offset)
    cdef ExecutionReport report
    cdef char text[MOST_TEXT]
    memset(&report, 0, sizeof(ExecutionReport))
    set_order(&report, state, journal, order_no)
    if event.flags & ORDER_SUSPENDED and order.ord_status == STATUS_REJECTED and not order.flags & FLAG_CONFIRMED:
        set_release(&report, state, journal, <const ReleaseEvent *>journal.at(order.cancel_offset), text)
    elif event.code != PASS and not order.flags & FLAG_CONFIRMED:
        set_decision(&report, state, journal, event, text)
    elif order.ord_status == STATUS_REJECTED:
        report.reject_code = R1602_VENUE_REJECT
        report.ord_rej_reason = ord_rej_reason[<int>R1602_VENUE_REJECT]
    report.exec_id = event.head.seq
    report.exec_type = exec_type_of(order.ord_status)
    report.ord_status = order.ord_status
    report.leaves_qty_shares = order.leaves_qty_shares
    report.cum_qty_shares = order.cum_qty_shares
    report.cum_notional_e4 = order.cum_notional_e4
    report.time_ns = event.head.time_ns
    report.possible_duplicate = repeated
    return encode_execution_report(dst, &report, wrap_field)


cdef inline Text clipped(Text text, uint32_t most) noexcept:
    """At most so many bytes of a field that may be too long to echo, cut between characters."""
    if text.size > most:
        text.size = most
        while text.size and text.at[text.size] & 0xC0 == 0x80:
            text.size -= 1
    return text


cdef inline Text redirect_of(const Refusal *refusal) noexcept:
    """Where an R1610 sends the client, at most 128 bytes; empty for any other code."""
    return borrowed(refusal.redirect, strlen(refusal.redirect) if refusal.redirect != NULL else 0)


cdef size_t encode_refusal(uint8_t *dst, State state, const NewOrder *order, const Refusal *refusal, int64_t now_ns,
                           uint32_t wrap_field) noexcept:
    """A new order that becomes no event: REJECTED, event_seq 0, order_id 0."""
    cdef ExecutionReport report
    cdef char text[MOST_TEXT]
    memset(&report, 0, sizeof(ExecutionReport))
    report.account = clipped(order.account, 16)
    report.cl_ord_id = clipped(order.cl_ord_id, 64)
    report.symbol = symbol_number(&order.symbol)
    report.security_exchange = <uint32_t>order.security_exchange
    report.side = <uint32_t>order.side
    report.ord_type = <uint32_t>order.ord_type
    report.order_qty_shares = order.order_qty_shares
    report.price_e4 = order.price_e4
    report.exec_type = EXEC_REJECTED
    report.ord_status = STATUS_REJECTED
    report.reject_code = refusal.code
    report.ord_rej_reason = ord_rej_reason[refusal.code]
    report.redirect = redirect_of(refusal)
    report.text = borrowed(text, write_text(text, state, refusal.code, refusal.value, refusal.limit, refusal.scope, NONE,
                                            refusal.field, refusal.expected if refusal.redirect == NULL else refusal.redirect, NULL))
    report.time_ns = now_ns
    report.planned_ns = order.planned_ns
    return encode_execution_report(dst, &report, wrap_field)


cdef inline uint32_t cancel_account(State state, const Refusal *refusal) noexcept:
    """Whose cancel a rule refused; of other refusals nobody is named."""
    return state.orders[refusal.order_no].account if refusal.rule and refusal.order_no else NONE


cdef size_t encode_cancel_refusal(uint8_t *dst, State state, const CancelOrder *cancel, const Refusal *refusal, int64_t now_ns,
                                  uint32_t wrap_field) noexcept:
    """A cancel that names no order of ours, or one that it cannot cancel: event_seq 0."""
    cdef CancelReject reject
    cdef char text[MOST_TEXT]
    memset(&reject, 0, sizeof(CancelReject))
    reject.account = clipped(cancel.account, 16)
    reject.cl_ord_id = clipped(cancel.cl_ord_id, 64)
    reject.orig_cl_ord_id = clipped(cancel.orig_cl_ord_id, 64)
    reject.order_id = refusal.order_no
    if refusal.order_no:
        reject.ord_status = state.orders[refusal.order_no].ord_status
    reject.reject_code = refusal.code
    reject.cxl_rej_reason = cxl_rej_reason[refusal.code]
    reject.redirect = redirect_of(refusal)
    reject.text = borrowed(text, write_text(text, state, refusal.code, refusal.value, refusal.limit, refusal.scope,
                                            cancel_account(state, refusal), refusal.field, refusal.expected if refusal.redirect == NULL else refusal.redirect,
                                            &state.rule_state.book.program.rules[refusal.rule - 1] if refusal.rule else NULL))
    reject.time_ns = now_ns
    reject.planned_ns = cancel.planned_ns
    return encode_cancel_reject(dst, &reject, wrap_field)


def risk_notice(str account, int level, str rule, str text, int64_t now_ns) -> bytes:
    """A RiskNotice in its ServerMessage. Cold: a rule warned, or a level changed."""
    body = b"".join(text_field(number, value) for number, value in ((1, account), (3, rule), (4, text)) if value)
    body += varint(2 << 3) + varint(level) + varint(5 << 3) + varint(now_ns)
    return varint(7 << 3 | 2) + varint(len(body)) + body


cdef bytes text_field(int number, str text):
    octets = text.encode()
    return varint(number << 3 | 2) + varint(len(octets)) + octets


cdef bytes varint(number):
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
