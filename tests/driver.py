"""The real engine in the place of the reference model: the same actions, the same outcomes.

It translates; it judges nothing and keeps no ledger.
"""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ext import baskets, queries, quota, response, suspended, sweeps, tape
from ext.buffers import Turn
from ext.engine import Engine
from ext.journal import Journal
from ext.rpc import Status
from ext.session import Session, Stages, UnaryOrder
from gateway.pb import order_entry_pb2 as pb
from tests import actions as act
from tests.driver_world import World, open_state
from tests.model import Model
from tests.model_state import PASS, PENDING_NEW, XSHE, XSHG, NewOrder, Report, Sent

SCOPES = {"port": 1, "account": 2, "group": 3, "firm": 4}
KINDS = {"accepted": 1, "canceled": 2, "rejected": 3, "trade": 4, "cancel_rejected": 5, "business_reject": 6,
         "cancel_unknown": 5}  # fmt: skip
APPLIED, DUPLICATE, GAP = 1, 2, 3
UNKNOWN_ORDER = 2101                          # the exchange's reason (docs/exchange.md)
DETAIL = re.compile(r"R\d{4} [A-Z_]+ v=(?P<value>-?\d+) lim=(?P<limit>-?\d+) rule=model@1 scope=(?P<scope>[a-z]+)")
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Message = pb.ExecutionReport | pb.CancelReject


class OpenJournal:
    """A journal file, new or as a dead process left it; open until this is dropped."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)
        self.journal = Journal(self.fd, os.fstat(self.fd).st_size, str(path), capacity=1 << 30)

    def __del__(self) -> None:
        os.close(self.fd)


class Driver:
    """The engine, given the model's world before anything happened in it."""

    def __init__(self, model: Model, path: Path, now_ns: int) -> None:
        self.model, self.path, self.world = model, path, World(model)
        self.tapes = {XSHG: tape.VenueTape(), XSHE: tape.VenueTape()}
        self.turn, self.stages = Turn(lambda _: None), Stages()
        self.port_accounts = {name: sorted(port.accounts & set(model.accounts)) for name, port in model.ports.items()}
        self.start(now_ns)
        self.order_ids: dict[tuple[str, str], tuple[int, int]] = {}     # -> (order_id, exchange)
        self.cancel_ids: dict[int, str] = {}
        self.observed: list[Message] = []
        self.notices: list[Any] = []
        self.detail: tuple[int, int, str] | None = None
        self.report_index: dict[tuple[int, int], int] = {}
        for exchange, venue in model.venues.items():
            sweeps.set_link(self.engine, exchange, venue.link_ready, now_ns)
            sweeps.set_phase(self.engine, exchange, venue.phase, now_ns)

    def close(self) -> None:
        """Remove the journal: each takes a whole chunk of the disk."""
        self.path.unlink(missing_ok=True)

    def start(self, now_ns: int) -> None:
        """Begin, or begin again from the journal."""
        self.state = open_state(min(self.model.order_capacity, 4_096))
        self.file = OpenJournal(self.path)
        self.journal = self.file.journal
        self.engine = Engine(self.state, self.journal)
        assert sweeps.recover(self.engine)["torn_bytes"] == 0
        self.world.load(self.engine, self.model, now_ns)
        self.engine.attach(self.tapes[XSHG], self.tapes[XSHE])
        self.sessions: dict[tuple[int, str], Session] = {}
        self.heard: dict[tuple[int, str], tuple[int, list[Message]]] = {}   # -> (observed before it logged on, events)
        self.observer = self.log_on(0, list(self.model.accounts))

    # Callers

    def log_on(self, port: int, accounts: list[str]) -> Session:
        session = Session(self.turn, self.engine, self.stages, None)
        indexes = [self.world.accounts[name] for name in accounts]
        session.log_on(port, {index: queries.event_seq(self.engine, index) for index in indexes})
        assert session.catch_up()
        return session

    def resend(self, cursors: dict[str, int]) -> list[Message]:
        """What a new session receives that saw so many events of each account."""
        session = Session(self.turn, self.engine, self.stages, None, 1 << 14)
        session.log_on(0, {self.world.accounts[name]: seen for name, seen in cursors.items()})
        messages, live = [], False
        while not live:
            live = session.catch_up()
            messages += self.take(session)
        session.log_off()
        return messages

    def ask(self, port: str, number: int, now_ns: int, *, order: Any = None, cancel: Any = None) -> list[Any]:
        """One NewOrder or CancelOrder through a session's stream, or as a unary call (session 0); what comes back."""
        request = order if cancel is None else cancel
        if number == 0:
            caller = UnaryOrder(self.turn, self.engine, self.stages, self.world.ports[port], cancel is not None)
            tape.feed(caller, request.SerializeToString(), now_ns)
            kind = pb.ExecutionReport if cancel is None else pb.CancelResponse
            if caller.status == Status.RESOURCE_EXHAUSTED:
                assert not tape.taken(caller)
                return [kind(reject_code="R1203") if cancel is None else kind(cancel_reject={"reject_code": "R1203"})]
            return [kind.FromString(m) for m in tape.taken(caller)]
        if (number, port) not in self.sessions:
            self.sessions[number, port] = self.log_on(self.world.ports[port], self.port_accounts[port])
            self.heard[number, port] = len(self.observed), []
        session = self.sessions[number, port]
        earlier = self.take(session)
        tape.feed(session, pb.ClientMessage(new_order=order, cancel_order=cancel).SerializeToString(), now_ns)
        answers = self.take(session)
        self.heard[number, port][1].extend(m for m in earlier + answers if m.event_seq)
        return answers

    def check_sessions(self) -> None:
        """Every session has heard each event of its own accounts since it logged on, once and in order."""
        for (number, port), session in self.sessions.items():
            since, events = self.heard[number, port]
            events.extend(m for m in self.take(session) if m.event_seq)
            assert events == [m for m in self.observed[since:] if m.account in self.port_accounts[port]], (number, port)

    # Actions

    def apply(self, action: act.Action) -> act.Outcome:
        """Let it happen to the engine."""
        for link in self.tapes.values():
            link.orders.clear()
            link.cancels.clear()
            link.sequence.clear()
        self.detail = None
        self.lines: tuple[int, ...] = ()
        code, affected, queued = self.act(action)
        messages = self.take(self.observer)
        self.observed += messages
        for m in messages:
            if isinstance(m, pb.ExecutionReport) and m.exec_type == PENDING_NEW:
                self.order_ids[m.account, m.cl_ord_id] = m.order_id, m.security_exchange
        reports = tuple(report_of(m) for m in messages)
        return act.Outcome(code, self.detail, affected, queued, reports, tuple(self.take_sent()), self.lines)

    def act(self, action: act.Action) -> tuple[int, int, int]:
        engine, now_ns = self.engine, action.now_ns
        match action:
            case act.Submit():
                return self.submit(action), 0, 0
            case act.SubmitBasket():
                return self.submit_basket(action), 0, 0
            case act.Rearm(_, strategy):
                sweeps.rearm(engine, list(self.model.strategies).index(strategy), "test", now_ns)
            case act.PutInForce(_, name, shares):
                scope = 0 if name == "firm" else self.world.groups[name] + 1
                quota.Shares(engine).put_in_force(scope, shares, 1, now_ns)
            case act.Cancel():
                return self.cancel(action), 0, 0
            case act.MassCancel():
                return self.mass_cancel(action)
            case act.VenueAnswer():
                self.answer(action)
            case act.MarketQuote(_, exchange, symbol, quote):
                tape.quote(engine, exchange, int(symbol), now_ns, bid_px_e4=quote.bid1, ask_px_e4=quote.ask1,
                           last_px_e4=quote.last)
            case act.MarketPhase(_, exchange, phase):
                sweeps.set_phase(engine, exchange, phase, now_ns)
            case act.Link(_, exchange, ready):
                sweeps.set_link(engine, exchange, ready, now_ns)
            case act.Kill(_, scope, name, on):
                index = {"port": self.world.ports, "account": self.world.accounts, "group": self.world.groups,
                         "firm": {"": 0}}[scope][name]  # fmt: skip
                affected, queued = sweeps.kill(engine, SCOPES[scope], index, on, "test", now_ns, approved_by="second")
                return (PASS if on else 0), affected, queued
            case act.Disconnect(_, port):
                return PASS, *sweeps.cancel_port(engine, self.world.ports[port], now_ns)
            case act.SetLevel() | act.ReleaseLevel():
                return self.change_level(action), 0, 0
            case act.Confirm(_, account, cl_ord_id, withdraw):
                number = queries.order_no_of(engine, self.world.accounts[account], cl_ord_id)
                return (suspended.deny if withdraw else suspended.confirm)(engine, number, "ann", now_ns), 0, 0
            case act.OnTime():
                response.on_time(engine, now_ns)
            case act.EndOfDay(_, exchange):
                sweeps.end_of_day(engine, exchange, now_ns)
            case act.Restart():
                self.check_sessions()
                before = self.state.hash()
                self.start(now_ns)
                assert self.state.hash() == before, "recovered into another state"
        return 0, 0, 0

    def change_level(self, action: act.SetLevel | act.ReleaseLevel) -> int:
        kind, index, instrument = self.world.subject(action.subject)
        more = {"instrument": instrument, "now_ns": action.now_ns}
        try:
            if isinstance(action, act.ReleaseLevel):
                response.release_level(self.engine, kind, index, action.level, by=action.by,
                                       approved_by=action.approved_by, **more)  # fmt: skip
                return PASS
            ask = action.change
            terms = {"mask": ask.mask, "throttle_per_s": ask.throttle, "until_ns": ask.until_ns, "by": ask.by}
            changed = response.set_level(self.engine, kind, index, ask.level, rule=ask.rule, **terms, **more)
        except ValueError:
            return 1605
        return PASS if changed else 0

    def submit(self, action: act.Submit) -> int:
        message = message_of(action.request)
        answers = self.ask(action.port, action.session, action.now_ns, order=message)
        assert len(answers) == 1, answers
        assert answers[0].planned_ns == 7 or answers[0].possible_duplicate or answers[0].reject_code == "R1203"
        found = DETAIL.search(answers[0].text)
        if found and not answers[0].possible_duplicate:
            self.detail = int(found["value"]), int(found["limit"]), found["scope"].replace("session", "port")
        return code_of(answers[0].reject_code)

    def submit_basket(self, action: act.SubmitBasket) -> int:
        lines = [message_of(request).SerializeToString() for request in action.requests]
        port, account = self.world.ports[action.port], self.world.accounts[action.requests[0].account]
        verdict = baskets.judge(self.engine, port, account, "basket", lines, action.now_ns)
        answers = baskets.submit(self.engine, self.turn, port, lines, verdict, action.now_ns)
        told = [pb.ExecutionReport.FromString(answer) if answer else None for answer in answers]
        self.lines = tuple(1203 if report is None else code_of(report.reject_code) for report in told)
        return int(verdict[0])

    def cancel(self, action: act.Cancel) -> int:
        known = self.order_ids.get((action.account, action.orig_cl_ord_id))
        order_id = known[0] if known and action.by_order_id else 0
        message = pb.CancelOrder(
            cl_ord_id="cancel", account=action.account, order_id=order_id,
            orig_cl_ord_id="" if order_id else action.orig_cl_ord_id,
        )  # fmt: skip
        answers = self.ask(action.port, action.session, action.now_ns, cancel=message)
        if action.session == 0:
            assert len(answers) == 1
            answers = [getattr(answers[0], answers[0].WhichOneof("response"))]
        refused = [m for m in answers if isinstance(m, pb.CancelReject)]
        return code_of(refused[0].reject_code) if refused else PASS

    def mass_cancel(self, action: act.MassCancel) -> tuple[int, int, int]:
        if action.account not in self.port_accounts[action.port]:
            return 1001, 0, 0                 # judged before the engine is asked
        narrowed = {}
        if action.symbol:
            narrowed["instrument"] = self.world.instruments[action.exchange, action.symbol]
        port, account = self.world.ports[action.port], self.world.accounts[action.account]
        return PASS, *sweeps.mass_cancel(self.engine, port, account, action.now_ns, side=action.side, **narrowed)

    def answer(self, action: act.VenueAnswer) -> None:
        order_id, exchange = self.order_ids.get((action.account, action.cl_ord_id), (0, 0))
        cancel_id = self.cancel_ids.get(order_id, "")
        is_refused_cancel = action.kind in ("cancel_rejected", "cancel_unknown")
        if order_id == 0 or (is_refused_cancel and not cancel_id):
            return
        fields: dict[str, Any] = {"cl_ord_id": venue_id("N", order_id), "partition": order_id % 3 + 1}
        if (action.kind == "canceled" or is_refused_cancel) and cancel_id:
            fields |= {"orig_cl_ord_id": fields["cl_ord_id"], "cl_ord_id": cancel_id}
        if is_refused_cancel:
            del self.cancel_ids[order_id]
            fields["reason"] = UNKNOWN_ORDER if action.kind == "cancel_unknown" else 2102
        if action.kind == "trade":
            fields |= {"last_qty_shares": action.qty, "last_px_e4": action.px, "exec_id": f"T{order_id}"}
        if action.kind != "business_reject":
            key = exchange, order_id % 3 + 1
            self.report_index[key] = fields["report_index"] = self.report_index.get(key, 0) + 1
            early = {**fields, "report_index": self.report_index[key] + 1}
            if action.gap:
                assert tape.report(self.engine, exchange, KINDS[action.kind], action.now_ns, **early) == GAP
        for outcome in (APPLIED, DUPLICATE)[: 1 + action.twice]:
            found = tape.report(self.engine, exchange, KINDS[action.kind], action.now_ns, **fields)
            assert found == outcome or action.kind == "business_reject"

    # Output

    def take(self, session: Session) -> list[Message]:
        """Every message that waits for the session."""
        messages = [pb.ServerMessage.FromString(octets) for octets in tape.taken(session)]
        self.notices += [m.risk_notice for m in messages if m.WhichOneof("message") == "risk_notice"]
        events = [m for m in messages if m.WhichOneof("message") != "risk_notice"]
        return [getattr(m, m.WhichOneof("message")) for m in events]

    def take_sent(self) -> list[Sent]:
        sent = []
        for exchange, link in self.tapes.items():
            assert len(link.sequence) == len(link.orders) + len(link.cancels)
            for cl_ord_id, orig_cl_ord_id in link.sequence:
                number = number_of(orig_cl_ord_id or cl_ord_id)
                if orig_cl_ord_id:
                    self.cancel_ids[number] = cl_ord_id
                assert Sent("cancel", exchange, number) not in sent, f"order {number}: more after its cancel"
                sent.append(Sent("cancel" if orig_cl_ord_id else "new", exchange, number))
        return sent


def message_of(r: NewOrder) -> pb.NewOrder:
    return pb.NewOrder(
        cl_ord_id=r.cl_ord_id, account=r.account, symbol=r.symbol, security_exchange=r.exchange, side=r.side,
        ord_type=r.ord_type, order_qty_shares=r.qty, price_e4=r.price, time_in_force=r.time_in_force, planned_ns=7,
        strategy=r.strategy, parent_id=r.parent_id, parent_qty_shares=r.parent_qty, short_sale=r.short_sale,
    )  # fmt: skip


def venue_id(kind: str, number: int) -> str:
    """The exchange's ClOrdID of an order of shard 0: the kind and nine base-36 digits."""
    digits = ""
    for _ in range(9):
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return kind + digits


def number_of(cl_ord_id: str) -> int:
    number = int(cl_ord_id[3:], 36)
    assert cl_ord_id == venue_id("N", number)
    return number


def code_of(reject_code: str) -> int:
    return int(reject_code[1:]) if reject_code else PASS


def report_of(message: Message) -> Report:
    code = code_of(message.reject_code)
    if isinstance(message, pb.CancelReject):
        return Report("cancel_reject", message.account, message.event_seq, message.orig_cl_ord_id, message.order_id,
                      0, message.ord_status, 0, 0, 0, 0, 0, code)  # fmt: skip
    return Report(
        "execution", message.account, message.event_seq, message.cl_ord_id, message.order_id, message.exec_type,
        message.ord_status, message.last_qty_shares, message.last_px_e4, message.leaves_qty_shares,
        message.cum_qty_shares, message.cum_notional_e4, 0 if code == PASS else code, message.possible_duplicate,
    )  # fmt: skip
