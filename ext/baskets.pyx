"""Baskets: judged as a whole against their account's hard caps (R1312), then line by line. Cold; works through the engine."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from ext.audience cimport Caller
from ext.codec cimport NewOrder, decode_new_order, symbol_number
from ext.codes cimport PASS, R1312_BASKET, R1613_DISK_FULL
from ext.engine cimport Engine
from ext.events cimport EV_BASKET, SCOPE_ACCOUNT, BasketEvent, Frame
from ext.fields cimport check_fields
from ext.journal cimport SPARE_FOR_REPORTS
from ext.reports cimport Refusal
from ext.risk cimport Candidate, fail, set_worst_case, share_of
from ext.state cimport NONE, Profile

cdef enum:
    MOST_BASKET_BYTES = 1 << 21        # of the reports of a thousand lines


cdef class Lines(Caller):
    """Whoever sent a basket: takes the report of each of its lines."""

    def __init__(self, turn, uint32_t port):
        Caller.__init__(self, turn, MOST_BASKET_BYTES)
        self.port = port

    cdef list taken(self):
        """Reports since the last look; none for a line that the inbound rate refused."""
        cdef bytes octets = self.out.take()
        reports, at = [], 0
        while at < len(octets):
            size = int.from_bytes(octets[at + 1:at + 5], "big")
            reports.append(octets[at + 5:at + 5 + size])
            at += 5 + size
        return reports


cdef object appraise(Engine engine, const NewOrder *line, int64_t now_ns):
    """Worst-case notional of one line in 1e-4 yuan: by its own price where the instrument is unknown, 0 when it is malformed."""
    cdef Candidate order
    cdef Refusal refusal
    memset(&order, 0, sizeof(Candidate))
    if check_fields(line, &refusal) != PASS:
        return 0
    order.strategy = NONE
    order.account_index = engine.state.find_account(line.account.at, line.account.size)
    order.instrument_index = engine.state.find_instrument(<int>line.security_exchange, symbol_number(&line.symbol))
    engine.look_up(line, &order, now_ns)
    if order.instrument == NULL:
        return line.price_e4 * line.order_qty_shares
    set_worst_case(engine.state, &order)
    return order.notional_e4


def judge(Engine engine, uint32_t port, uint32_t account, str basket_id, list lines, int64_t now_ns) -> tuple:
    """(code, value, limit) of a basket of encoded NewOrders, journaled: PASS, R1312 or R1613."""
    cdef const Profile *profile = &engine.state.profiles[engine.state.accounts[account].profile]
    cdef NewOrder line
    cdef BasketEvent *event
    cdef bytes name = basket_id.encode()[:64]
    cdef bytes encoded
    notional = 0
    for encoded in lines:
        if decode_new_order(<const uint8_t *>encoded, len(encoded), &line):
            notional += appraise(engine, &line, now_ns)
    code, value, limit = over_cap(profile, len(lines), notional)
    if not engine.journal.has_room(SPARE_FOR_REPORTS):
        return R1613_DISK_FULL, engine.journal.free_bytes(), SPARE_FOR_REPORTS
    event = <BasketEvent *>engine.reserve(EV_BASKET, sizeof(BasketEvent), account, False, now_ns)
    event.notional_e4 = min(notional, 1 << 62)
    event.value = min(value, 1 << 62)
    event.limit = limit
    event.lines = <uint32_t>len(lines)
    event.port = <uint16_t>port
    event.code = <uint16_t>code
    event.basket_id_size = <uint8_t>len(name)
    memcpy(event.basket_id, <const char *>name, len(name))
    engine.record(&event.head)
    return code, min(value, 1 << 62), limit


cdef tuple over_cap(const Profile *profile, lines, notional):
    """(code, value, limit) of the first cap that the basket breaks; a cap of 0 is not there."""
    gross = share_of(profile.scope.gross_limit_e4, profile.extra.basket_gross_bps)
    for value, limit in ((lines, profile.extra.basket_lines), (notional, profile.extra.basket_ntl_e4), (notional, gross)):
        if limit and value > limit:
            return R1312_BASKET, value, limit
    return PASS, 0, 0


def submit(Engine engine, turn, uint32_t port, list lines, tuple verdict, int64_t now_ns) -> list:
    """Each line's own decision, in order: encoded ExecutionReports, None where the inbound rate (R1203) refused one.

    verdict: as `judge` returned it; a refused basket's lines are all rejected with its code.
    """
    cdef Lines caller = Lines(turn, port)
    cdef NewOrder line
    cdef bytes encoded
    code, value, limit = verdict
    reports = []
    for encoded in lines:
        if not decode_new_order(<const uint8_t *>encoded, len(encoded), &line):
            raise ValueError("a line of the basket is not a NewOrder")
        if code == PASS:
            engine.on_new_order(caller, &line, now_ns)
        else:
            reject_line(engine, caller, &line, code, value, limit, now_ns)
        reports += caller.taken() or [None]
    return reports


cdef void reject_line(Engine engine, Caller caller, const NewOrder *line, int code, int64_t value, int64_t limit,
                      int64_t now_ns) noexcept:
    """A line of a refused basket: an order of its own, rejected with the basket's code."""
    cdef Refusal refusal
    cdef Candidate order
    cdef const Frame *decision = NULL
    if engine.admit(caller, line, &order, &refusal, now_ns) == PASS:
        engine.look_up(line, &order, now_ns)
        fail(&order, code, value, limit, SCOPE_ACCOUNT)
        engine.count_decision(caller.port, code, now_ns)
        decision = engine.decide(caller, line, &order, code)
    engine.answer(caller, line, decision, &refusal, now_ns)
