"""The real engine in the place of the reference model: the same world, actions, outcomes and snapshots.

It translates and compares; it judges nothing itself and keeps no ledger.
"""
from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from ext.audience import Caller
from ext.buffers import Turn
from ext.engine import Engine
from ext.journal import Journal
from ext.state import State
from gateway.pb import order_entry_pb2 as pb

from ext import sweeps
from tests import actions as act
from tests import probe
from tests.model import Model, Usage
from tests.model_state import BUY, PASS, PENDING_NEW, SELL, XSHE, XSHG, Account, Instrument, Port, Report, Sent

MOST_U32 = 2**32 - 1
STATES = {"NORMAL": 1, "SELL_ONLY": 2, "CANCEL_ONLY": 3, "FROZEN": 4}
STATUSES = {"NORMAL": 1, "SUSPENDED": 2, "DELISTED": 4}
SCOPES = {"port": 1, "account": 2, "group": 3, "firm": 4}
KINDS = {"accepted": 1, "canceled": 2, "rejected": 3, "trade": 4, "cancel_rejected": 5, "business_reject": 6}
DUPLICATE = 2
COUNTS = ("dup_max", "rate_out_per_s", "rate_out_per_day", "rate_symbol_per_s", "open_orders", "open_orders_per_symbol")


def mask(numbers: set[int] | frozenset[int]) -> int:
    return sum(1 << n for n in numbers)


def open_state(orders: int = 4_096) -> State:
    return State(accounts=64, positions=1_024, orders=orders)


def open_journal(path: Path) -> Journal:
    """A journal file, new or as a dead process left it. The descriptor lives as long as the test process."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    return Journal(fd, os.fstat(fd).st_size, str(path), capacity=1 << 30)


class World:
    """Where the model's names are in the engine's tables."""

    def __init__(self, model: Model) -> None:
        self.accounts = {name: index for index, name in enumerate(model.accounts)}
        self.groups = {name: index for index, name in enumerate(model.groups)}
        self.ports = {name: index for index, name in enumerate(model.ports)}
        self.instruments = {key: index for index, key in enumerate(model.instruments)}

    def snapshot(self, state: State) -> dict[str, object]:
        """What Model.snapshot shows, read from the engine's state."""
        orders = [probe.order_row(state, number) for number in range(1, state.order_count + 1)]
        return {
            "accounts": {name: self.account_snapshot(state, name, orders) for name in self.accounts},
            "groups": {name: Usage(*probe.group_usage(state, index)) for name, index in self.groups.items()},
            "firm": Usage(*probe.firm_usage(state)),
            "orders": [row[:5] for row in orders],
        }

    def account_snapshot(self, state: State, name: str, orders: list[tuple[int, ...]]) -> dict[str, object]:
        row = probe.account_row(state, self.accounts[name])
        own = [o for o in orders if probe.order_account(state, o[0]) == self.accounts[name] and o[1] <= 3]
        assert row["open_count"] == len(own), name
        assert row["cash_held"] == sum(o[5] for o in own), name
        positions = {k: probe.position_row(state, self.accounts[name], i) for k, i in sorted(self.instruments.items())}
        return {
            "cash": row["cash"], "cash_held": row["cash_held"], "event_seq": row["event_seq"],
            "open_orders": sorted(o[0] for o in own), "usage": Usage(*row["usage"]), "positions": positions,
        }  # fmt: skip


class Driver:
    """The engine, given the model's world before anything happened in it."""

    def __init__(self, model: Model, path: Path, now_ns: int) -> None:
        self.state = open_state(min(model.order_capacity, 4_096))
        self.journal = open_journal(path)
        self.engine = Engine(self.state, self.journal)
        self.world = World(model)
        self.turn = Turn(lambda _: None)
        self.links = {XSHG: probe.SpyOutlet(self.turn), XSHE: probe.SpyOutlet(self.turn)}
        self.engine.attach(self.links[XSHG], self.links[XSHE])
        self.load(model)
        self.callers: dict[tuple[int, str], Caller] = {}
        self.observer = self.log_on(0, list(model.accounts))
        self.port_accounts = {name: sorted(port.accounts & set(model.accounts)) for name, port in model.ports.items()}
        self.order_ids: dict[tuple[str, str], int] = {}
        self.cancel_ids: dict[int, bytes] = {}
        self.report_index: dict[tuple[int, int], int] = {}
        for exchange, venue in model.venues.items():
            sweeps.set_link(self.engine, exchange, venue.link_ready, now_ns)
            sweeps.set_phase(self.engine, exchange, venue.phase, now_ns)

    # The world

    def load(self, model: Model) -> None:
        account = next(iter(model.accounts.values()))
        limits, firm = account.limits, model.firm
        probe.set_day(self.engine, 20261123)
        firm_limits = {"gross": firm.limits.gross_limit, "long": firm.limits.long_limit,
                       "short": firm.limits.short_limit, "capital": firm.capital_limit}  # fmt: skip
        boards = {number: {**asdict(rules), "ord_types": mask(model.board_ord_types[number])}
                  for number, rules in model.boards.items()}  # fmt: skip
        max_age_ns = model.venues[XSHG].max_age_ms * 10**6
        probe.set_rules(self.engine, asdict(account.fees), firm_limits, boards, limits.collar, max_age_ns)
        for name, group in model.groups.items():
            scope = (group.limits.gross_limit, group.limits.long_limit, group.limits.short_limit)
            probe.set_group(self.engine, self.world.groups[name], name.encode(), scope)
        for instrument in model.instruments.values():
            self.load_instrument(model, instrument)
        for each in model.accounts.values():
            self.load_account(each)
        for port in model.ports.values():
            self.load_port(port)

    def load_instrument(self, model: Model, instrument: Instrument) -> None:
        rules = model.boards[instrument.board]
        index = probe.set_instrument(self.engine, {
            "symbol": int(instrument.symbol), "venue": instrument.exchange, "board": instrument.board,
            "prev_close": instrument.prev_close, "up_limit": instrument.up_limit, "down_limit": instrument.down_limit,
            "tick": instrument.tick, "min_qty": rules.min_qty, "step_qty": rules.step_qty,
            "max_limit_qty": instrument.max_limit_qty, "max_market_qty": instrument.max_market_qty,
            "status": STATUSES[instrument.status], "is_st": instrument.risk_warning, "t_plus": int(not instrument.t0),
        })  # fmt: skip
        assert index == self.world.instruments[instrument.key]

    def load_account(self, account: Account) -> None:
        """Each account has a profile of its own."""
        index = self.world.accounts[account.name]
        limits = asdict(account.limits)
        limits |= {name: min(limits[name], MOST_U32) for name in COUNTS}
        limits |= {"boards": mask(account.boards), "ord_types": mask(account.ord_types)}
        probe.set_profile(self.engine, index, {**limits, "restricted": bool(account.banned)})
        for key, instrument in self.world.instruments.items():
            sides = {side for side in (BUY, SELL) if (*key, side) in account.banned}
            if sides:
                probe.set_restriction(self.engine, index, instrument, mask(sides))
        group = None if account.group is None else self.world.groups[account.group.name]
        probe.set_account(self.engine, index, account.name.encode(), index, group, STATES[account.state], account.cash0)
        for key, total in account.start_total.items():
            instrument = self.world.instruments[key]
            probe.set_position(self.engine, index, instrument, total, account.start_sellable[key])

    def load_port(self, port: Port) -> None:
        index = self.world.ports[port.name]
        rates = (port.rate_in_per_s, port.cancel_rate_in_per_s, port.reject_streak_max, port.reject_latch_ms)
        probe.set_port(self.engine, index, *(min(rate, MOST_U32) for rate in rates))
        known = [self.world.accounts[name] for name in sorted(port.accounts) if name in self.world.accounts]
        self.engine.audience.allow(index, known)

    # Callers

    def log_on(self, port: int, accounts: list[str]) -> Caller:
        caller = Caller(self.turn)
        self.engine.audience.connect(caller, port)
        for name in accounts:
            probe.watch(self.engine, caller, self.world.accounts[name])
        return caller

    def caller_of(self, port: str, session: int) -> Caller:
        """The session's stream; session 0 is a new unary call."""
        if session == 0:
            caller = Caller(self.turn)
            caller.port = self.world.ports[port]
            return caller
        if (session, port) not in self.callers:
            self.callers[session, port] = self.log_on(self.world.ports[port], self.port_accounts[port])
        return self.callers[session, port]

    # Actions

    def apply(self, action: act.Action) -> act.Outcome:
        """Let it happen to the engine."""
        for link in self.links.values():
            link.sent.clear()
        code, affected, queued = self.act(action)
        reports = tuple(report_of(m) for m in self.take(self.observer))
        for report in reports:
            if report.exec_type == PENDING_NEW:
                self.order_ids[report.account, report.cl_ord_id] = report.order_id
        return act.Outcome(code, affected, queued, reports, tuple(self.take_sent()))

    def act(self, action: act.Action) -> tuple[int, int, int]:
        engine, now_ns = self.engine, action.now_ns
        match action:
            case act.Submit():
                return self.submit(action), 0, 0
            case act.Cancel():
                return self.cancel(action), 0, 0
            case act.MassCancel():
                return self.mass_cancel(action)
            case act.VenueAnswer():
                self.answer(action)
            case act.MarketQuote(_, exchange, symbol, quote):
                probe.market_quote(engine, exchange, int(symbol), quote.bid1, quote.ask1, quote.last, now_ns)
            case act.MarketPhase(_, exchange, phase):
                sweeps.set_phase(engine, exchange, phase, now_ns)
            case act.Link(_, exchange, ready):
                sweeps.set_link(engine, exchange, ready, now_ns)
            case act.Kill(_, scope, name, on):
                index = {"port": self.world.ports, "account": self.world.accounts, "group": self.world.groups,
                         "firm": {"": 0}}[scope][name]  # fmt: skip
                affected, queued = sweeps.kill(engine, SCOPES[scope], index, on, "test", now_ns)
                return (PASS if on else 0), affected, queued
            case act.Disconnect(_, port):
                return PASS, *sweeps.cancel_port(engine, self.world.ports[port], now_ns)
            case act.EndOfDay(_, exchange):
                sweeps.end_of_day(engine, exchange, now_ns)
        return 0, 0, 0

    def submit(self, action: act.Submit) -> int:
        r = action.request
        message = pb.NewOrder(
            cl_ord_id=r.cl_ord_id, account=r.account, symbol=r.symbol, security_exchange=r.exchange, side=r.side,
            ord_type=r.ord_type, order_qty_shares=r.qty, price_e4=r.price, time_in_force=r.time_in_force, planned_ns=7,
        )  # fmt: skip
        caller = self.caller_of(action.port, action.session)
        self.take(caller)
        assert probe.new_order(self.engine, caller, message.SerializeToString(), action.now_ns)
        answers = self.take(caller)
        assert len(answers) == 1, answers
        assert answers[0].planned_ns == 7 or answers[0].possible_duplicate
        return code_of(answers[0].reject_code)

    def cancel(self, action: act.Cancel) -> int:
        order_id = self.order_ids.get((action.account, action.orig_cl_ord_id), 0) if action.by_order_id else 0
        message = pb.CancelOrder(
            cl_ord_id="cancel", account=action.account, order_id=order_id,
            orig_cl_ord_id="" if order_id else action.orig_cl_ord_id,
        )  # fmt: skip
        caller = self.caller_of(action.port, action.session)
        self.take(caller)
        assert probe.cancel_order(self.engine, caller, message.SerializeToString(), action.now_ns)
        answers = [m for m in self.take(caller) if isinstance(m, pb.CancelReject)]
        return code_of(answers[0].reject_code) if answers else PASS

    def mass_cancel(self, action: act.MassCancel) -> tuple[int, int, int]:
        if action.account not in self.port_accounts[action.port]:
            return 1001, 0, 0                 # judged before the engine is asked
        narrowed = {}
        if action.symbol:
            narrowed["instrument"] = self.world.instruments[action.exchange, action.symbol]
        port, account = self.world.ports[action.port], self.world.accounts[action.account]
        return PASS, *sweeps.mass_cancel(self.engine, port, account, action.now_ns, side=action.side, **narrowed)

    def answer(self, action: act.VenueAnswer) -> None:
        order_id = self.order_ids.get((action.account, action.cl_ord_id))
        if order_id is None or (action.kind == "cancel_rejected" and order_id not in self.cancel_ids):
            return
        exchange = probe.order_venue(self.state, order_id)
        fields: dict[str, object] = {"cl_ord_id": venue_id(b"N", order_id), "partition": order_id % 3 + 1}
        if action.kind in ("canceled", "cancel_rejected") and order_id in self.cancel_ids:
            fields["orig_cl_ord_id"], fields["cl_ord_id"] = fields["cl_ord_id"], self.cancel_ids[order_id]
        if action.kind == "cancel_rejected":
            del self.cancel_ids[order_id]
        if action.kind == "trade":
            fields |= {"last_qty_shares": action.qty, "last_px_e4": action.px, "exec_id": b"T%d" % order_id}
        if action.kind != "business_reject":
            key = exchange, order_id % 3 + 1
            self.report_index[key] = fields["report_index"] = self.report_index.get(key, 0) + 1
        for outcome in (1, DUPLICATE)[: 1 + action.twice]:
            found = probe.venue_report(self.engine, exchange, KINDS[action.kind], fields, action.now_ns)
            assert found == outcome or action.kind == "business_reject"

    # Output

    def take(self, caller: Caller) -> list[pb.ExecutionReport | pb.CancelReject]:
        """Every message that waits for the caller."""
        octets, messages = caller.out.take(), []
        while octets:
            size = int.from_bytes(octets[1:5], "big")
            messages.append(decode(octets[5 : 5 + size], wrapped=caller.slot != MOST_U32))
            octets = octets[5 + size :]
        return messages

    def take_sent(self) -> list[Sent]:
        sent = []
        for exchange, link in self.links.items():
            for kind, cl_ord_id, *rest in link.sent:
                order_id = int(cl_ord_id[3:], 36)
                assert cl_ord_id == venue_id(b"N", order_id)
                if kind == "cancel":
                    self.cancel_ids[order_id] = rest[0]
                sent.append(Sent(kind, exchange, order_id))
        return sent


def decode(octets: bytes, wrapped: bool) -> pb.ExecutionReport | pb.CancelReject:
    if wrapped:
        message = pb.ServerMessage.FromString(octets)
        return getattr(message, message.WhichOneof("message"))
    refused = pb.CancelReject.FromString(octets)
    return refused if refused.reject_code else pb.ExecutionReport.FromString(octets)


def venue_id(kind: bytes, number: int) -> bytes:
    """The exchange's ClOrdID of an order, of shard 0."""
    digits = b""
    for _ in range(9):
        number, digit = divmod(number, 36)
        digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit : digit + 1] + digits
    return kind + digits


def code_of(reject_code: str) -> int:
    return int(reject_code[1:]) if reject_code else PASS


def report_of(message: pb.ExecutionReport | pb.CancelReject) -> Report:
    code = code_of(message.reject_code)
    if isinstance(message, pb.CancelReject):
        return Report("cancel_reject", message.account, message.event_seq, message.orig_cl_ord_id, message.order_id,
                      0, message.ord_status, 0, 0, 0, 0, 0, code)  # fmt: skip
    return Report(
        "execution", message.account, message.event_seq, message.cl_ord_id, message.order_id, message.exec_type,
        message.ord_status, message.last_qty_shares, message.last_px_e4, message.leaves_qty_shares,
        message.cum_qty_shares, message.cum_notional_e4, 0 if code == PASS else code, message.possible_duplicate,
    )  # fmt: skip
