"""The OrderEntry service: log-on, cold messages and queries around the engine. Takes no decision about an order."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import DecodeError, Message

from ext import baskets, queries, response, settings, suspended, sweeps
from ext.clock import utc_now_ns
from ext.codes import REJECT_CODES
from ext.rpc import ColdUnary, HotStream, HotUnary, RpcError, Status
from ext.session import Session, UnaryOrder
from gateway.pb import order_entry_pb2 as pb

SERVICE = "/tidegate.v1.OrderEntry/"
MOST_ACCOUNTS = 65_536
MOST_LISTED = 1_000
DEFAULT_LISTED = 100
MOST_LINES = 1_000  # of a basket
PASS = 1
CATCH_UP_PAUSE_S = 0.001
NS_PER_MS = 1_000_000
NOT_OWNER = "R1614 NOT_OWNER redirect="
WRONG_SHARD = "R1610 WRONG_SHARD redirect="  # and host:port, in the text of a status too
REFUSALS = {
    1603: "room in the journal",
    1604: "an order of this account",
    1606: "a suspended order that still has time",
}


class OrderEntry:
    """Serves one engine's front ends.

    log: called with an event and its fields, at session events only. session_limit_bytes: most bytes that may wait for
    one slow session before it is cut.
    """

    def __init__(
        self, engine: Any, turn: Any, stages: Any, log: Callable[..., None], session_limit_bytes: int = 1 << 23
    ) -> None:
        self.engine = engine
        self.turn = turn
        self.stages = stages
        self.log = log
        self.session_limit_bytes = session_limit_bytes
        self.sessions: set[Any] = set()
        self.session_count = 0
        self.disconnects: dict[int, asyncio.TimerHandle] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.away: str | None = None  # host:port where this shard is served, empty when not known now; None: here

    def methods(self) -> dict[str, Any]:
        """Method path -> how it is served."""
        cold: dict[str, Callable[[bytes, Any], Awaitable[bytes]]] = {
            "MassCancel": self.if_here(self.mass_cancel),
            "SubmitBasket": self.if_here(self.submit_basket),
            "Confirm": self.if_here(self.confirm),
            "GetOrder": self.get_order,
            "ListOrders": self.list_orders,
            "GetAccount": self.get_account,
        }
        return {
            SERVICE + "Session": HotStream(
                lambda call: Session(self.turn, self.engine, self.stages, self, self.session_limit_bytes)
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
        try:
            message = pb.ClientMessage.FromString(octets)
        except DecodeError:
            self.on_malformed(session)
            return
        kind = message.WhichOneof("message")
        if kind == "logon" and not session.accounts:
            self.log_on(session, message.logon, recv_ns)
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
            report = self.cancel_many(session.port, set(session.accounts), message.mass_cancel, recv_ns)
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

    def log_on(self, session: Any, logon: pb.Logon, recv_ns: int) -> None:
        """Token, accounts, cursors: all right, or a fatal reject that names the field."""
        if self.away is not None:
            send_away(session, self.away)
            return
        port = queries.port_of(self.engine, hashlib.sha256(logon.token.encode()).digest())
        if port is None:
            self.log("logon_refused", reason="unknown token")
            reject(
                session,
                "R1001",
                "token",
                "unknown" if logon.token else "empty",
                "a valid token",
                fatal=True,
                status=Status.UNAUTHENTICATED,
            )
            return
        cursors = self.cursors_of(session, port, logon)
        if cursors is None or not self.send_elsewhere(session, port, logon, bool(cursors)):
            return
        self.keep_orders(port)
        choice = logon.cancel_on_disconnect
        settings.set_session(self.engine, port, choice.enabled, choice.grace_ms, recv_ns)
        session.log_on(port, {index: seen for index, (_, seen) in cursors.items()})
        self.sessions.add(session)
        self.session_count += 1
        newest = [
            pb.AccountCursor(account=name, last_event_seq=queries.event_seq(self.engine, index))
            for index, (name, _) in cursors.items()
        ]
        acknowledged = pb.LogonAck(
            session_id=self.session_count,
            time_ns=utc_now_ns(),
            accounts=newest,
            max_orders_per_s=queries.port_settings(self.engine, port)["rate_in_per_s"],
        )
        session.send(pb.ServerMessage(logon_ack=acknowledged).SerializeToString())
        response.remind(self.engine, session, session.accounts, recv_ns)
        self.log("logon", session=self.session_count, port=port, accounts=len(cursors))
        if not session.catch_up():
            self.spawn(self.catch_up(session))

    def cursors_of(self, session: Any, port: int, logon: pb.Logon) -> dict[int, tuple[str, int]] | None:
        """{account index: (account, last event sequence seen)} of those at home here; None after a reject."""
        if not 0 < len(logon.accounts) <= MOST_ACCOUNTS:
            reject(session, "R1605", "accounts", str(len(logon.accounts)), f"1 to {MOST_ACCOUNTS} accounts", fatal=True)
            return None
        cursors: dict[int, tuple[str, int]] = {}
        for cursor in logon.accounts:
            index = queries.account_index(self.engine, cursor.account)
            if index is None or not self.engine.audience.allows(port, index):
                if self.redirect_of(port, cursor.account) is not None:
                    continue
                reject(session, "R1001", "accounts", cursor.account, "an account of this token", fatal=True)
                return None
            newest = queries.event_seq(self.engine, index)
            if index in cursors:
                reject(session, "R1605", "accounts", cursor.account, "each account once", fatal=True)
                return None
            if cursor.last_event_seq > newest:
                value = str(cursor.last_event_seq)
                reject(session, "R1605", "accounts.last_event_seq", value, f"at most {newest}", fatal=True)
                return None
            cursors[index] = (cursor.account, cursor.last_event_seq)
        return cursors

    def send_elsewhere(self, session: Any, port: int, logon: pb.Logon, has_more: bool) -> bool:
        """One reject for each shard where accounts of a logon live; whether there are others, that live here."""
        away: dict[str, list[str]] = {}
        for cursor in logon.accounts:
            redirect = self.redirect_of(port, cursor.account)
            if redirect is not None:
                away.setdefault(redirect, []).append(cursor.account)
        for left, (redirect, accounts) in enumerate(away.items(), 1 - len(away)):
            is_last = left == 0 and not has_more
            reject_elsewhere(session, redirect, accounts, "accounts", fatal=is_last)
        return has_more

    def redirect_of(self, port: int, account: str) -> str | None:
        """host:port of the other shard where an account of this token lives, empty when not known now; None: there is none."""
        elsewhere = self.engine.audience.elsewhere
        found: bytes | None = elsewhere(port, account.encode()) if elsewhere is not None else None
        return None if found is None else found.decode()

    def hand_over(self, redirect: str) -> None:
        """Ends every session: this shard is served at `redirect` (host:port) from now on."""
        self.away = redirect
        for session in list(self.sessions):
            send_away(session, redirect)

    async def catch_up(self, session: Any) -> None:
        while not session.catch_up():
            await asyncio.sleep(CATCH_UP_PAUSE_S)

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_end(self, session: Any) -> None:
        """The stream is over. With cancel on disconnect, the port's last session leaves its grace behind."""
        port, logged_on = session.port, session in self.sessions
        session.log_off()
        self.sessions.discard(session)
        if logged_on:
            self.log("session_end", port=port)
            self.start_grace(port)

    def start_grace(self, port: int) -> None:
        """When no session of the port is left, its orders are cancelled after the grace it asked for."""
        choice = queries.port_settings(self.engine, port)
        if not choice["cancel_on_disconnect"] or any(session.port == port for session in self.sessions):
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

    async def mass_cancel(self, octets: bytes, call: Any) -> bytes:
        request = decoded(pb.MassCancelRequest, octets)
        account = self.account_of(call, request.account)
        return bytes(self.cancel_many(self.port_of(call), {account}, request, utc_now_ns()).SerializeToString())

    def cancel_many(
        self, port: int, accounts: set[int], request: pb.MassCancelRequest, now_ns: int
    ) -> pb.MassCancelReport:
        """One mass cancel, by a session or a unary call, over accounts it may trade."""
        report = pb.MassCancelReport(cl_ord_id=request.cl_ord_id, account=request.account)
        account = queries.account_index(self.engine, request.account)
        redirect = self.redirect_of(port, request.account) if account not in accounts else None
        if redirect is not None:
            report.reject_code, report.text, report.redirect = "R1610", f"{WRONG_SHARD}{redirect}", redirect
            return report
        if account not in accounts:
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

    async def submit_basket(self, octets: bytes, call: Any) -> bytes:
        """A basket, judged as a whole (R1312), then each of its lines."""
        basket = decoded(pb.Basket, octets)
        report = pb.BasketReport(basket_id=basket.basket_id)
        account = self.account_of(call, basket.orders[0].account) if basket.orders else 0
        fault = fault_of(basket)
        if fault:
            report.reject_code, report.text = "R1605", f"R1605 MALFORMED {fault}"
            return bytes(report.SerializeToString())
        port, now_ns = self.port_of(call), utc_now_ns()
        lines = [line.SerializeToString() for line in basket.orders]
        verdict = baskets.judge(self.engine, port, account, basket.basket_id, lines, now_ns)
        if verdict[0] != PASS:
            report.reject_code = f"R{verdict[0]}"
            report.text = f"R{verdict[0]} {REJECT_CODES[verdict[0]][0]} v={verdict[1]} lim={verdict[2]} scope=basket"
        answers = baskets.submit(self.engine, self.turn, port, lines, verdict, now_ns)
        for line, answer in zip(basket.orders, answers, strict=True):
            told = pb.ExecutionReport.FromString(answer) if answer is not None else rate_refused(line)
            report.reports.append(told)
        return bytes(report.SerializeToString())

    def confirm_on(self, session: Any, request: pb.ConfirmOrder, now_ns: int) -> None:
        """A session's confirmation: the order's next report goes to all who watch, a refusal to it alone."""
        account = queries.account_index(self.engine, request.account)
        redirect = self.redirect_of(session.port, request.account) if account not in session.accounts else None
        if redirect is not None:
            reject_elsewhere(session, redirect, [request.account], "confirm_order.account", fatal=False)
            return
        if account not in session.accounts:
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

    async def get_order(self, octets: bytes, call: Any) -> bytes:
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

    async def list_orders(self, octets: bytes, call: Any) -> bytes:
        request = decoded(pb.ListOrdersRequest, octets)
        account = self.account_of(call, request.account)
        if request.limit > MOST_LISTED:
            raise RpcError(Status.INVALID_ARGUMENT, f"limit: got {request.limit}, expected at most {MOST_LISTED}")
        numbers, more = queries.orders_of(
            self.engine, account, request.open_only, request.after_order_id, request.limit or DEFAULT_LISTED
        )
        return bytes(
            pb.ListOrdersResponse(orders=[self.order_of(number) for number in numbers], more=more).SerializeToString()
        )

    async def get_account(self, octets: bytes, call: Any) -> bytes:
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


def send_away(session: Any, redirect: str) -> None:
    """Ends a session: another process owns this shard, and serves it at `redirect`."""
    text = f"{NOT_OWNER}{redirect}"
    message = pb.SessionReject(reject_code="R1614", text=text, fatal=True, redirect=redirect)
    session.send(pb.ServerMessage(session_reject=message).SerializeToString())
    session.end(int(Status.UNAVAILABLE), text)


def reject_elsewhere(session: Any, redirect: str, accounts: list[str], field: str, *, fatal: bool) -> None:
    """A SessionReject for accounts that live at the shard of `redirect`; a fatal one ends the stream."""
    text = f"{WRONG_SHARD}{redirect}"
    message = pb.SessionReject(
        reject_code="R1610", field=field, text=text, fatal=fatal, redirect=redirect, accounts=accounts,
        value=accounts[0], expected="accounts of this shard",
    )
    session.send(pb.ServerMessage(session_reject=message).SerializeToString())
    if fatal:
        session.end(int(Status.FAILED_PRECONDITION), text)


def decoded(message: type[Message], octets: bytes) -> Any:
    """A cold request, or INVALID_ARGUMENT."""
    try:
        return message.FromString(octets)
    except DecodeError:
        raise RpcError(Status.INVALID_ARGUMENT, f"the request is not a valid {message.DESCRIPTOR.full_name}") from None


def reject(
    session: Any,
    code: str,
    field: str,
    value: str,
    expected: str,
    *,
    fatal: bool = False,
    status: int = Status.FAILED_PRECONDITION,
) -> None:
    """A SessionReject; a fatal one ends the stream with `status` behind it."""
    text = f"{code} {field}: got {value}, expected {expected}"
    message = pb.SessionReject(reject_code=code, field=field, value=value, expected=expected, text=text, fatal=fatal)
    session.send(pb.ServerMessage(session_reject=message).SerializeToString())
    if fatal:
        session.end(int(status), text)
