"""The OrderEntry service: cold messages and queries around the engine. Takes no decision about an order."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError, Message

from ext import baskets, queries, suspended, sweeps
from ext.audience import MOVING
from ext.clock import utc_now_ns
from ext.codes import REJECT_CODES
from ext.logon import logon_of
from ext.rpc import ColdUnary, HotStream, HotUnary, RpcError, Status
from ext.session import Session, UnaryOrder
from gateway.errands import Errands
from gateway.logons import ACCOUNTS_A_STEP, MOST_WAITING_BYTES, SWEEP_S, LogOn, Sessions
from gateway.pb import order_entry_pb2 as pb
from gateway.session_rejects import NOT_OWNER, WRONG_SHARD, end_away, refuse, reject, reject_elsewhere

SERVICE = "/tidegate.v1.OrderEntry/"
MOST_LISTED = 1_000
DEFAULT_LISTED = 100
LISTED_A_STEP = 16
LINES_A_STEP = 16
MOST_LINES = 1_000  # of a basket
MOST_COLD_CALLS = 256  # that wait for their turn
MOST_COLD_BYTES = 1 << 16  # of a message that is neither an order nor a cancel nor a Logon
PASS = 1
NS_PER_MS = 1_000_000
REFUSALS = {
    1603: "room in the journal",
    1604: "an order of this account",
    1606: "a suspended order that still has time",
}


class OrderEntry:
    """Serves one engine's front ends.

    log: called with an event and its fields, at session events only. session_limit_bytes: most bytes that may wait for
    one slow session before it is cut. sessions: how many there may be.
    """

    def __init__(
        self,
        engine: Any,
        turn: Any,
        stages: Any,
        log: Callable[..., None],
        session_limit_bytes: int = 1 << 23,
        errands: Errands | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self.engine = engine
        self.turn = turn
        self.stages = stages
        self.log = log
        self.session_limit_bytes = session_limit_bytes
        self.errands = errands or Errands()
        self.sessions = sessions or Sessions()
        self.cold_calls = 0
        self.disconnects: dict[int, asyncio.TimerHandle] = {}
        self.away: str | None = None  # host:port where this shard is served, empty when not known now; None: here
        self.is_over = False  # it was handed over: nothing may be read here, either

    def methods(self) -> dict[str, Any]:
        """Method path -> how it is served."""
        cold: dict[str, Callable[[bytes, Any], Awaitable[bytes]]] = {
            "MassCancel": self.if_here(self.mass_cancel),
            "SubmitBasket": self.if_here(self.in_turn(self.submit_basket)),
            "Confirm": self.if_here(self.confirm),
            "GetOrder": self.in_turn(self.get_order),
            "ListOrders": self.in_turn(self.list_orders),
            "GetAccount": self.in_turn(self.get_account),
        }
        return {
            SERVICE + "Session": HotStream(
                lambda call: self.sessions.open(
                    Session(self.turn, self.engine, self.stages, self, self.session_limit_bytes)
                )
            ),
            SERVICE + "Submit": HotUnary(
                lambda call: UnaryOrder(self.turn, self.engine, self.stages, self.trading_port_of(call), False)
            ),
            SERVICE + "Cancel": HotUnary(
                lambda call: UnaryOrder(self.turn, self.engine, self.stages, self.trading_port_of(call), True)
            ),
            **{SERVICE + name: ColdUnary(handler) for name, handler in cold.items()},
        }

    def check_here(self) -> None:
        """Raises when this process only follows the shard: it may be read here, and nothing else."""
        if self.away is not None:
            raise RpcError(Status.UNAVAILABLE, f"{NOT_OWNER}{self.away}")

    def if_here(self, method: Callable[[bytes, Any], Awaitable[bytes]]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def checked(octets: bytes, call: Any) -> bytes:
            self.check_here()
            return await method(octets, call)

        return checked

    def trading_port_of(self, call: Any) -> int:
        self.check_here()
        return self.port_of(call)

    # Sessions

    def on_cold(self, session: Any, octets: bytes, recv_ns: int) -> None:
        """Any message that is not an order or cancel of a logged-on session."""
        logon = None if session.accounts else logon_of(octets)
        if logon is not None:
            self.log_on(session, logon, recv_ns)
            return
        if len(octets) > MOST_COLD_BYTES:
            reject(session, "R1605", "message.length", str(len(octets)), f"at most {MOST_COLD_BYTES}")
            return
        try:
            message = pb.ClientMessage.FromString(octets)
        except DecodeError:
            self.on_malformed(session)
            return
        kind = message.WhichOneof("message")
        if kind == "logon" and not session.accounts:
            self.log_on(session, message.logon.SerializeToString(), recv_ns)
        elif kind == "logon":
            reject(session, "R1001", "logon", "a second Logon", "one Logon per stream", fatal=True)
        elif kind is None:
            expected = "logon, new_order, cancel_order, mass_cancel, confirm_order or heartbeat"
            reject(session, "R1605", "message", "none", expected)
        elif not session.accounts:
            reject(session, "R1001", kind, "before Logon", "a Logon first", fatal=True)
        elif kind == "new_order":
            session.order(message.new_order.SerializeToString(), recv_ns)
        elif kind == "cancel_order":
            session.cancel(message.cancel_order.SerializeToString(), recv_ns)
        elif kind == "mass_cancel":
            report = self.cancel_many(session.port, partial(self.watches, session), message.mass_cancel, recv_ns)
            session.send(pb.ServerMessage(mass_cancel_report=report).SerializeToString())
        elif kind == "confirm_order":
            self.confirm_on(session, message.confirm_order, recv_ns)
        else:
            session.send(pb.ServerMessage(heartbeat=pb.Heartbeat(time_ns=utc_now_ns())).SerializeToString())

    def on_malformed(self, session: Any) -> None:
        reject(
            session,
            "R1605",
            "message",
            "undecodable bytes",
            "a tidegate.v1.ClientMessage",
            fatal=True,
            status=Status.INVALID_ARGUMENT,
        )

    def log_on(self, session: Any, logon: bytes, recv_ns: int) -> None:
        """Begin to log on; what it takes is done beside the orders of others."""
        if self.away is not None:
            end_away(session, self.away)
            return
        coming = LogOn(
            session, logon, recv_ns, self.engine, self.sessions, self.errands, self.keep_orders, refuse, self.log
        )
        self.errands.add(coming.step)

    def redirect_of(self, port: int, account: str) -> str | None:
        """host:port of the other shard where an account of this token lives, empty when not known now; None: there is
        none."""
        elsewhere = self.engine.audience.elsewhere
        found: bytes | None = elsewhere(port, account.encode()) if elsewhere is not None else None
        return None if found is None else "" if found == MOVING else found.decode()

    def send_away(self, session: Any, account: str, redirect: str) -> None:
        """Tells a session that one of its accounts lives elsewhere from now on; without any left it ends."""
        reject_elsewhere(session, redirect, [account], "accounts", fatal=not session.accounts)

    def hand_over(self, redirect: str) -> None:
        """Ends every session: this shard is served at `redirect` (host:port) from now on."""
        self.away = redirect
        for session in [*self.sessions.strangers, *self.sessions.admitted]:
            end_away(session, redirect)

    def watches(self, session: Any, account: int | None) -> bool:
        """Whether it is an account that the session logged on with."""
        return account is not None and self.engine.audience.watches_account(session, account)

    def on_end(self, session: Any) -> None:
        """The stream is over. With cancel on disconnect, the port's last session leaves its grace behind."""
        if self.sessions.leave(session):
            self.log("session_end", port=session.port)
            self.start_grace(session.port)
        self.errands.add(partial(session.log_off, ACCOUNTS_A_STEP))

    async def sweep(self) -> None:
        """End streams that never log on, and the slowest readers when too much waits for all, as long as it runs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            late = self.sessions.end_late_strangers()
            if late:
                self.log("never_logged_on", streams=late)
            cut = self.engine.audience.relieve(MOST_WAITING_BYTES)
            if cut:
                self.log("slow_readers_cut", sessions=cut)

    def start_grace(self, port: int) -> None:
        """When no session of the port is left, its orders are cancelled after the grace it asked for."""
        choice = queries.port_settings(self.engine, port)
        if not choice["cancel_on_disconnect"] or self.sessions.logged_on_of[port]:
            return
        self.keep_orders(port)
        loop = asyncio.get_running_loop()
        self.disconnects[port] = loop.call_later(choice["grace_ms"] / 1000, self.cancel_disconnected, port)

    def resume_graces(self) -> None:
        """After a restart: a port whose sessions went with the old process has its grace from now."""
        for port in range(queries.counts(self.engine)["ports"]):
            self.start_grace(port)

    def keep_orders(self, port: int) -> None:
        waiting = self.disconnects.pop(port, None)
        if waiting is not None:
            waiting.cancel()

    def cancel_disconnected(self, port: int) -> None:
        self.disconnects.pop(port, None)
        affected, queued = sweeps.cancel_port(self.engine, port, utc_now_ns())
        self.log("cancel_on_disconnect", port=port, affected_orders=affected, queued_orders=queued)

    # Unary calls

    def port_of(self, call: Any) -> int:
        """The port of a call's bearer token."""
        kind, _, token = str(call.metadata.get("authorization", "")).partition(" ")
        port: int | None = queries.port_of(self.engine, hashlib.sha256(token.encode()).digest())
        if kind.lower() != "bearer" or port is None:
            raise RpcError(Status.UNAUTHENTICATED, "authorization: expected 'Bearer <token>' with a valid token")
        return port

    def account_of(self, call: Any, name: str) -> int:
        """Index of an account that the call's token may see."""
        port = self.port_of(call)
        index: int | None = queries.account_index(self.engine, name)
        if index is not None and self.engine.audience.allows(port, index):
            return index
        redirect = self.redirect_of(port, name)
        if redirect is not None:
            raise RpcError(Status.FAILED_PRECONDITION, f"{WRONG_SHARD}{redirect}")
        raise RpcError(Status.PERMISSION_DENIED, f"account: got {name!r}, expected an account of this token")

    def in_turn(self, work: Callable[[bytes, Any], Any]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """A cold method as an errand; past a bounded queue of them it is refused."""

        async def serve(octets: bytes, call: Any) -> bytes:
            if self.is_over:
                self.check_here()
            if self.cold_calls >= MOST_COLD_CALLS:
                text = f"R1609 OVERLOAD v={self.cold_calls + 1} lim={MOST_COLD_CALLS} scope=calls"
                raise RpcError(Status.RESOURCE_EXHAUSTED, text)
            self.cold_calls += 1
            try:
                return bytes(await self.errands.result_of(partial(work, octets, call)))
            finally:
                self.cold_calls -= 1

        return serve

    async def mass_cancel(self, octets: bytes, call: Any) -> bytes:
        request = decoded(pb.MassCancelRequest, octets)
        account = self.account_of(call, request.account)
        report = self.cancel_many(self.port_of(call), account.__eq__, request, utc_now_ns())
        return bytes(report.SerializeToString())

    def cancel_many(
        self, port: int, may: Callable[[int | None], bool], request: pb.MassCancelRequest, now_ns: int
    ) -> pb.MassCancelReport:
        """One mass cancel, by a session or a unary call, over accounts it may trade."""
        report = pb.MassCancelReport(cl_ord_id=request.cl_ord_id, account=request.account)
        account = queries.account_index(self.engine, request.account)
        redirect = None if account is not None and may(account) else self.redirect_of(port, request.account)
        if redirect is not None:
            report.reject_code, report.text, report.redirect = "R1610", f"{WRONG_SHARD}{redirect}", redirect
            return report
        if account is None or not may(account):
            report.reject_code, report.text = (
                "R1001",
                f"account: got {request.account!r}, expected an account of this session",
            )
            return report
        if request.side not in pb.Side.values():
            report.reject_code = "R1605"
            report.text = f"side: got {request.side}, expected 1 (BUY), 2 (SELL) or nothing"
            return report
        narrowed: dict[str, int] = {"side": request.side}
        if request.symbol:
            instrument = queries.instrument_index(self.engine, request.security_exchange, request.symbol)
            if instrument is None:
                report.reject_code = "R1003"
                place = f"security_exchange {request.security_exchange}"
                report.text = f"symbol: got {request.symbol!r}, expected an instrument of {place}"
                return report
            narrowed["instrument"] = instrument
        report.total_affected_orders, report.queued_orders = sweeps.mass_cancel(
            self.engine, port, account, now_ns, **narrowed
        )
        return report

    def submit_basket(self, octets: bytes, call: Any) -> Generator[None, None, bytes]:
        """A basket, judged as a whole (R1312), then each of its lines, some in a step."""
        basket = decoded(pb.Basket, octets)
        report = pb.BasketReport(basket_id=basket.basket_id)
        account = self.account_of(call, basket.orders[0].account) if basket.orders else 0
        fault = fault_of(basket)
        if fault:
            report.reject_code, report.text = "R1605", f"R1605 MALFORMED {fault}"
            return bytes(report.SerializeToString())
        what, shed, value, limit = self.stages.shedder.judge(held_bytes=self.stages.shedder.held_bytes)
        if shed:
            report.reject_code = f"R{shed}"
            report.text = f"R{shed} {REJECT_CODES[shed][0]} field={what}_bytes v={value} lim={limit}"
            return bytes(report.SerializeToString())
        port, now_ns = self.port_of(call), utc_now_ns()
        lines = [line.SerializeToString() for line in basket.orders]
        yield
        verdict = baskets.judge(self.engine, port, account, basket.basket_id, lines, now_ns)
        if verdict[0] != PASS:
            report.reject_code = f"R{verdict[0]}"
            report.text = f"R{verdict[0]} {REJECT_CODES[verdict[0]][0]} v={verdict[1]} lim={verdict[2]} scope=basket"
        for at in range(0, len(lines), LINES_A_STEP):
            yield
            some = lines[at : at + LINES_A_STEP]
            answers = baskets.submit(self.engine, self.turn, port, some, verdict, utc_now_ns())
            for line, answer in zip(basket.orders[at : at + LINES_A_STEP], answers, strict=True):
                told = pb.ExecutionReport.FromString(answer) if answer is not None else rate_refused(line)
                report.reports.append(told)
        return bytes(report.SerializeToString())

    def confirm_on(self, session: Any, request: pb.ConfirmOrder, now_ns: int) -> None:
        """A session's confirmation: the order's next report goes to all who watch, a refusal to it alone."""
        account = queries.account_index(self.engine, request.account)
        watched = self.watches(session, account)
        redirect = None if watched else self.redirect_of(session.port, request.account)
        if redirect is not None:
            reject_elsewhere(session, redirect, [request.account], "confirm_order.account", fatal=False)
            return
        if not watched:
            reject(session, "R1001", "confirm_order.account", repr(request.account), "an account of this session")
            return
        code, number = self.confirm_order(account, request, session.port, now_ns)
        if code in REFUSALS:
            reject(session, f"R{code}", "confirm_order", self.named(request, number), REFUSALS[code])

    async def confirm(self, octets: bytes, call: Any) -> bytes:
        request = decoded(pb.ConfirmOrder, octets)
        account = self.account_of(call, request.account)
        code, number = self.confirm_order(account, request, self.port_of(call), utc_now_ns())
        if code in REFUSALS:
            text = f"R{code}: confirm: got {self.named(request, number)}, expected {REFUSALS[code]}"
            raise RpcError(Status.FAILED_PRECONDITION if number else Status.NOT_FOUND, text)
        report: bytes = queries.newest_report(self.engine, account)
        return report

    def confirm_order(self, account: int, request: pb.ConfirmOrder, port: int, now_ns: int) -> tuple[int, int]:
        """(code, order number, 0: none) of a confirmation or a withdrawal by the client."""
        number = queries.order_no_of(self.engine, account, request.cl_ord_id, request.order_id)
        end = suspended.deny if request.withdraw else suspended.confirm
        return end(self.engine, number, f"port:{port}", now_ns), number

    def named(self, request: pb.ConfirmOrder, number: int) -> str:
        """What a confirmation named, and where that order stands."""
        name = f"cl_ord_id {request.cl_ord_id!r}" if request.cl_ord_id else f"order_id {request.order_id}"
        if number == 0:
            return name
        status = pb.ExecutionReport.FromString(queries.order_state(self.engine, number)[0]).ord_status
        return f"{name}, which is {pb.OrdStatus.Name(status)}"

    def get_order(self, octets: bytes, call: Any) -> bytes:
        request = decoded(pb.GetOrderRequest, octets)
        account = self.account_of(call, request.account)
        number = queries.order_no_of(self.engine, account, request.cl_ord_id, request.order_id)
        if number == 0:
            raise RpcError(
                Status.NOT_FOUND,
                f"R1604: account {request.account} has no order with cl_ord_id "
                f"{request.cl_ord_id!r} or order_id {request.order_id}",
            )
        return bytes(self.order_of(number).SerializeToString())

    def order_of(self, number: int) -> pb.Order:
        state, accepted_ns, cancel_pending = queries.order_state(self.engine, number)
        return pb.Order(
            state=pb.ExecutionReport.FromString(state), accepted_ns=accepted_ns, cancel_pending=cancel_pending
        )

    def list_orders(self, octets: bytes, call: Any) -> Generator[None, None, bytes]:
        request = decoded(pb.ListOrdersRequest, octets)
        account = self.account_of(call, request.account)
        if request.limit > MOST_LISTED:
            raise RpcError(Status.INVALID_ARGUMENT, f"limit: got {request.limit}, expected at most {MOST_LISTED}")
        numbers, more = queries.orders_of(
            self.engine, account, request.open_only, request.after_order_id, request.limit or DEFAULT_LISTED
        )
        answer = pb.ListOrdersResponse(more=more)
        for at in range(0, len(numbers), LISTED_A_STEP):
            yield
            answer.orders.extend(self.order_of(number) for number in numbers[at : at + LISTED_A_STEP])
        return bytes(answer.SerializeToString())

    def get_account(self, octets: bytes, call: Any) -> bytes:
        account = self.account_of(call, decoded(pb.GetAccountRequest, octets).account)
        view = queries.account_view(self.engine, account)
        view["positions"] = [pb.Position(**position) for position in view["positions"]]
        view["limits"] = [
            pb.LimitUse(code=code, scope=scope, used=used, limit=limit, unit=unit)
            for code, scope, used, limit, unit in view["limits"]
        ]
        return bytes(pb.Account(**view).SerializeToString())


def fault_of(basket: pb.Basket) -> str:
    """What is wrong with a basket itself, empty when nothing is."""
    if not 1 <= len(basket.basket_id.encode()) <= 64:
        return f"field=basket_id.length v={len(basket.basket_id.encode())} expected=1..64"
    if not 1 <= len(basket.orders) <= MOST_LINES:
        return f"field=orders.length v={len(basket.orders)} expected=1..{MOST_LINES}"
    others = [at for at, line in enumerate(basket.orders) if line.account != basket.orders[0].account]
    return f"field=orders[{others[0]}].account expected=the_account_of_orders[0]" if others else ""


def rate_refused(line: pb.NewOrder) -> pb.ExecutionReport:
    """The report of a line that the token's inbound rate refused: it left no order behind."""
    return pb.ExecutionReport(
        account=line.account,
        cl_ord_id=line.cl_ord_id,
        exec_type=pb.ExecType.REJECTED,
        ord_status=pb.OrdStatus.STATUS_REJECTED,
        reject_code="R1203",
        text="R1203 RATE_IN: this token's rate is used up",
    )



def decoded(message: type[Message], octets: bytes) -> Any:
    """A cold request, or INVALID_ARGUMENT."""
    try:
        return message.FromString(octets)
    except DecodeError:
        raise RpcError(Status.INVALID_ARGUMENT, f"the request is not a valid {message.DESCRIPTOR.full_name}") from None
