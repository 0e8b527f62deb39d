"""Follows every request of a load run from its plan to its last report, in flat arrays. Sends nothing and reads no clock."""

import numpy as np

from libc.string cimport memcmp, memcpy

from ext.codes cimport (BUY, EXEC_CANCELED, EXEC_NEW, EXEC_PENDING_NEW, EXEC_REJECTED, EXEC_TRADE, STATUS_FILLED,
                        STATUS_PENDING_NEW)
from loadtest.wire cimport (CL_ORD_ID_SIZE, EVENT_CANCEL_REJECT, EVENT_EXECUTION_REPORT, EVENT_RISK_NOTICE, OrderRequest,
                            encode_cancel_order, encode_new_order)

cdef enum:
    PREFIX_SIZE = 6
    TICK_E4 = 100                      # A-shares trade in steps of 0.01 yuan
    BEHIND_BPS = 150                   # no trade soon, and within the gateway's collar
    CAGE_BPS = 90                      # well inside the exchange's 2 %, because the touch may be a moment old


cdef class OrderTracker:
    """One run's requests.

    plan: a loadtest.plan.Plan; prefix: six ASCII characters that no other run of the day uses; start_ns: when the run begins.
    """

    def __init__(self, plan, str prefix, int64_t start_ns=0):
        cdef bytes octets = prefix.encode()
        if len(octets) != PREFIX_SIZE:
            raise ValueError(f"prefix: {prefix!r}, expected {PREFIX_SIZE} ASCII characters")
        memcpy(self.prefix, <const uint8_t *>octets, PREFIX_SIZE)
        self.start_ns = start_ns
        self.count = len(plan.planned_ns)
        self.planned_ns, self.order_qty_shares, self.price_e4 = plan.planned_ns, plan.order_qty_shares, plan.price_e4
        self.account, self.cancel_of, self.touch, self.symbol = plan.account, plan.cancel_of, plan.touch, plan.symbol
        self.kind, self.venue, self.side = plan.kind, plan.venue, plan.side
        self.ord_type, self.price_rule = plan.ord_type, plan.price_rule
        self.sent_ns, self.decided_ns, self.acked_ns = (np.full(self.count, -1, dtype=np.int64) for _ in range(3))
        self.cum_qty_shares = np.zeros(self.count, dtype=np.int64)
        self.cancelled_by = np.full(self.count, -1, dtype=np.int32)
        self.reject_code = np.zeros(self.count, dtype=np.uint16)
        self.ord_status = np.zeros(self.count, dtype=np.uint8)
        self.account_ids = [name.encode() for name in plan.accounts]
        self.account_index = {name: at for at, name in enumerate(self.account_ids)}
        self.event_seq, self.replayed_seq = (np.zeros(len(plan.accounts), dtype=np.uint64) for _ in range(2))
        self.bid_e4, self.ask_e4 = (np.zeros(plan.touch_count, dtype=np.int64) for _ in range(2))
        self.last_e4 = plan.prev_close_e4
        self.recent_decision, self.recent_ack = Histogram(), Histogram()
        cancels = np.flatnonzero(np.asarray(plan.cancel_of) >= 0)
        np.asarray(self.cancelled_by)[np.asarray(plan.cancel_of)[cancels]] = cancels

    # --- what to send ---

    cdef size_t encode(self, Py_ssize_t number, uint8_t *dst) noexcept:
        cdef OrderRequest request
        cdef bytes account = <bytes>self.account_ids[self.account[number]]
        self.put_id(request.cl_ord_id, number)
        request.account, request.account_size = account, len(account)
        request.planned_ns = self.start_ns + self.planned_ns[number]
        if self.kind[number] == CANCEL_ORDER:
            self.put_id(request.orig_cl_ord_id, self.cancel_of[number])
            return encode_cancel_order(dst, &request)
        request.symbol = self.symbol[number]
        request.security_exchange, request.side = self.venue[number], self.side[number]
        request.ord_type = self.ord_type[number]
        request.order_qty_shares = self.order_qty_shares[number]
        request.price_e4 = self.price_of(number)
        return encode_new_order(dst, &request)

    cdef int64_t price_of(self, Py_ssize_t number) noexcept:
        cdef int64_t price = self.price_e4[number]
        cdef int64_t bid = self.bid_e4[self.touch[number]]
        cdef int64_t ask = self.ask_e4[self.touch[number]]
        cdef int64_t last = self.last_e4[self.touch[number]]
        cdef int rule = self.price_rule[number]
        cdef bint buys = self.side[number] == BUY
        if rule == FIXED:
            return price
        if rule == REST:
            return (bid if buys else ask) or price
        if rule == BEHIND:
            if buys:
                return max(price, bid * (10_000 - BEHIND_BPS) // (10_000 * TICK_E4) * TICK_E4)
            return min(price, (ask * (10_000 + BEHIND_BPS) // (10_000 * TICK_E4) + 1) * TICK_E4) if ask else price
        if rule == CROSS:
            return (ask if buys else bid) or price
        # NEAR: the gateway measures the cage from the opposite side, then the own side, then the last price; rounded inwards
        if buys:
            return min(price, (ask or bid or last) * (10_000 + CAGE_BPS) // (10_000 * TICK_E4) * TICK_E4)
        return max(price, ((bid or ask or last) * (10_000 - CAGE_BPS) // (10_000 * TICK_E4) + 1) * TICK_E4)

    cdef void put_id(self, uint8_t *dst, Py_ssize_t number) noexcept:
        cdef int at
        memcpy(dst, self.prefix, PREFIX_SIZE)
        for at in range(CL_ORD_ID_SIZE - 1, PREFIX_SIZE - 1, -1):
            dst[at] = <uint8_t>(48 + number % 10)
            number //= 10

    cdef void mark_sent(self, Py_ssize_t number, int64_t now_ns) noexcept:
        self.sent_ns[number] = now_ns - self.start_ns
        self.sent_count += 1

    cdef void set_touch(self, int32_t touch, int64_t bid_e4, int64_t ask_e4, int64_t last_e4) noexcept:
        self.bid_e4[touch], self.ask_e4[touch] = bid_e4, ask_e4
        if last_e4 > 0:
            self.last_e4[touch] = last_e4

    # --- what came back ---

    cdef void on_event(self, const ServerEvent *event, int64_t recv_ns) noexcept:
        cdef Py_ssize_t number
        cdef int32_t account
        if event.kind == EVENT_RISK_NOTICE:
            self.notice_count += 1
            return
        if event.kind != EVENT_EXECUTION_REPORT and event.kind != EVENT_CANCEL_REJECT:
            self.malformed_count += 1
            return
        number = self.number_of(event)
        if number < 0 or self.sent_ns[number] < 0:
            self.follow_stranger(event)
            return
        account = self.account[number]
        if not self.in_sequence(account, event.event_seq):
            return
        if event.kind == EVENT_CANCEL_REJECT:
            self.apply_cancel_reject(number, event, recv_ns - self.start_ns)
        elif self.kind[number] == NEW_ORDER:
            self.apply_report(number, event, recv_ns - self.start_ns)
        else:
            self.stray_count += 1

    cdef Py_ssize_t number_of(self, const ServerEvent *event) noexcept:
        cdef Py_ssize_t number = 0
        cdef int at
        if event.cl_ord_id_size != CL_ORD_ID_SIZE or memcmp(event.cl_ord_id, self.prefix, PREFIX_SIZE) != 0:
            return -1
        for at in range(PREFIX_SIZE, CL_ORD_ID_SIZE):
            if not 48 <= event.cl_ord_id[at] <= 57:
                return -1
            number = number * 10 + event.cl_ord_id[at] - 48
        return number if number < self.count else -1

    cdef bint in_sequence(self, int32_t account, uint64_t event_seq) noexcept:
        # True when the event is new; a gap is counted, and the event still taken.
        if event_seq == 0:
            return True
        if event_seq <= self.event_seq[account]:
            if event_seq > self.replayed_seq[account]:
                self.repeated_count += 1
            return False
        if event_seq != self.event_seq[account] + 1:
            self.disorder_count += 1
        self.event_seq[account] = event_seq
        return True

    cdef void follow_stranger(self, const ServerEvent *event) noexcept:
        # An event of an order that this run did not send still has its place in its account's sequence.
        at = self.account_index.get(event.account[:event.account_size]) if event.account != NULL else None
        if at is None or (event.event_seq > self.replayed_seq[<int32_t>at] or event.event_seq == 0):
            self.stray_count += 1
        if at is not None:
            self.in_sequence(<int32_t>at, event.event_seq)

    cdef void apply_report(self, Py_ssize_t number, const ServerEvent *event, int64_t at_ns) noexcept:
        cdef uint8_t status = self.ord_status[number]
        if event.exec_type == EXEC_PENDING_NEW and self.decided_ns[number] >= 0:
            self.repeated_count += 1
            return
        # Never backwards, and nothing after the end; further fills of a partly filled order keep its status.
        if event.ord_status < status or status >= STATUS_FILLED:
            self.disorder_count += 1
            return
        self.ord_status[number] = <uint8_t>event.ord_status
        if event.exec_type == EXEC_PENDING_NEW:
            self.decide(number, at_ns)
        elif event.exec_type == EXEC_REJECTED:
            self.refuse(number, event.reject_code, at_ns)
        elif status < STATUS_PENDING_NEW:
            self.disorder_count += 1
        elif event.exec_type == EXEC_NEW:
            self.acknowledge(number, at_ns)
        elif event.exec_type == EXEC_TRADE:
            self.trade_count += 1
            if event.cum_qty_shares != self.cum_qty_shares[number] + event.last_qty_shares:
                self.disorder_count += 1
            self.cum_qty_shares[number] = event.cum_qty_shares
            self.acknowledge(number, at_ns)
        else:
            self.acknowledge(number, at_ns)
            if event.exec_type == EXEC_CANCELED and self.cancelled_by[number] >= 0:
                if self.sent_ns[self.cancelled_by[number]] >= 0:
                    self.acknowledge(self.cancelled_by[number], at_ns)

    cdef void apply_cancel_reject(self, Py_ssize_t number, const ServerEvent *event, int64_t at_ns) noexcept:
        if self.kind[number] != CANCEL_ORDER:
            self.stray_count += 1
            return
        if self.reject_code[number]:
            self.repeated_count += 1
            return
        # The order ended before its cancel was judged: an end both may report
        if self.acked_ns[number] < 0:
            self.answered_count += 1
        self.decided_ns[number] = at_ns
        self.reject_code[number] = <uint16_t>event.reject_code

    cdef void decide(self, Py_ssize_t number, int64_t at_ns) noexcept:
        self.decided_ns[number] = at_ns
        self.recent_decision.record(at_ns - self.planned_ns[number])

    cdef void acknowledge(self, Py_ssize_t number, int64_t at_ns) noexcept:
        if self.acked_ns[number] >= 0 or self.reject_code[number]:
            return
        self.acked_ns[number] = at_ns
        self.answered_count += 1
        if self.kind[number] == NEW_ORDER:
            self.recent_ack.record(at_ns - self.planned_ns[number])

    cdef void refuse(self, Py_ssize_t number, int code, int64_t at_ns) noexcept:
        # Refused by the gateway at once, or by the exchange after the gateway had accepted it
        if self.decided_ns[number] >= 0:
            self.acknowledge(number, at_ns)
        else:
            self.decide(number, at_ns)
            self.answered_count += 1
        self.reject_code[number] = <uint16_t>(code if code > 0 else 1)

    # --- for the shell ---

    def set_start(self, int64_t start_ns) -> None:
        """The UTC time from which planned times count; before anything is sent."""
        self.start_ns = start_ns

    def begin_replay(self, dict newest_seq) -> None:
        """What a LogonAck said: events of these accounts up to these numbers are from before this run."""
        for account, seq in newest_seq.items():
            at = self.account_index.get(account.encode())
            if at is not None:
                self.replayed_seq[<int32_t>at] = seq

    def arrays(self) -> dict:
        """sent_ns, decided_ns, acked_ns, reject_code, ord_status, cum_qty_shares and event_seq, as they are now."""
        return {"sent_ns": np.asarray(self.sent_ns), "decided_ns": np.asarray(self.decided_ns),
                "acked_ns": np.asarray(self.acked_ns), "reject_code": np.asarray(self.reject_code),
                "ord_status": np.asarray(self.ord_status), "cum_qty_shares": np.asarray(self.cum_qty_shares),
                "event_seq": np.asarray(self.event_seq)}
