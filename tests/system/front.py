"""A front end for tests, over grpcio: one session with everything it was sent, and the unary calls."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from gateway.pb import order_entry_pb2 as pb

WAIT_S = 10.0
DONE = {pb.STATUS_FILLED, pb.STATUS_CANCELED, pb.STATUS_EXPIRED, pb.STATUS_REJECTED}


class Front:
    """One OrderEntry.Session. messages: everything received, oldest first."""

    def __init__(self, stub: Any) -> None:
        self.outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.messages: list[Any] = []
        self.changed = threading.Condition()
        self.ended = False
        self.cursors: dict[str, int] = {}
        self.call = stub.Session(self.outgoing_messages())
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def outgoing_messages(self) -> Iterator[Any]:
        while (message := self.outgoing.get()) is not None:
            yield message

    def read(self) -> None:
        try:
            for message in self.call:
                with self.changed:
                    self.messages.append(message)
                    self.changed.notify_all()
        except grpc.RpcError:
            pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def send(self, **message: Any) -> None:
        self.outgoing.put(pb.ClientMessage(**message))

    def wait(self, holds: Callable[[], Any], what: str, within_s: float = WAIT_S) -> Any:
        """The first true value of holds(), looked at whenever something arrives."""
        deadline = time.monotonic() + within_s
        with self.changed:
            while not (value := holds()):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {within_s:g} s: {what}; the last messages: {self.messages[-5:]}"
                self.changed.wait(left)
            return value

    def log_on(
        self, token: str, *accounts: str, seen: dict[str, int] | None = None, grace_ms: int | None = None
    ) -> Any:
        """Log on to these accounts from the event sequences in `seen`; the LogonAck."""
        cursors = [
            pb.AccountCursor(account=account, last_event_seq=(seen or {}).get(account, 0)) for account in accounts
        ]
        choice = pb.CancelOnDisconnect(enabled=grace_ms is not None, grace_ms=grace_ms or 0)
        self.send(logon=pb.Logon(token=token, accounts=cursors, cancel_on_disconnect=choice))
        return self.first("logon_ack")

    def of(self, kind: str) -> list[Any]:
        """Everything of one kind so far."""
        return [getattr(message, kind) for message in list(self.messages) if message.WhichOneof("message") == kind]

    def first(self, kind: str, matches: Callable[[Any], bool] = lambda message: True, within_s: float = WAIT_S) -> Any:
        """The first message of a kind that matches; each is looked at once, however often something arrives."""
        looked_at = 0

        def found() -> Any:
            nonlocal looked_at
            while looked_at < len(self.messages):
                message = self.messages[looked_at]
                looked_at += 1
                if message.WhichOneof("message") == kind and matches(getattr(message, kind)):
                    return getattr(message, kind)
            return None

        return self.wait(found, f"a {kind}", within_s)

    def report(
        self, cl_ord_id: str, exec_type: int | None = None, status: int | None = None, within_s: float = WAIT_S
    ) -> Any:
        """The first report of an order with this type and status."""
        return self.first(
            "execution_report",
            lambda report: (
                report.cl_ord_id == cl_ord_id
                and exec_type in (None, report.exec_type)
                and status in (None, report.ord_status)
            ),
            within_s,
        )

    def order(self, order: Any) -> Any:
        """Send an order; its first report."""
        self.send(new_order=order)
        return self.report(order.cl_ord_id)

    def accepted(self, order: Any) -> Any:
        """Send an order; the exchange's NEW."""
        self.send(new_order=order)
        return self.report(order.cl_ord_id, pb.NEW)

    def cancel(self, account: str, orig_cl_ord_id: str, name: str = "") -> None:
        self.send(
            cancel_order=pb.CancelOrder(
                cl_ord_id=name or f"x-{orig_cl_ord_id}", account=account, orig_cl_ord_id=orig_cl_ord_id
            )
        )

    def sequence(self, account: str) -> list[int]:
        """Event sequence numbers of the account, as they arrived."""
        found = []
        for message in list(self.messages):
            event = getattr(message, message.WhichOneof("message"))
            if hasattr(event, "event_seq") and event.event_seq and event.account == account:
                found.append(event.event_seq)
        return found

    def named(self) -> set[str]:
        """Every cl_ord_id that a report named."""
        return {report.cl_ord_id for report in self.of("execution_report")}

    def end(self) -> None:
        """Half-close, and wait for the stream to end."""
        self.outgoing.put(None)
        self.wait(lambda: self.ended, "the end of the stream")

    def cut(self) -> None:
        """Cancel the stream."""
        self.call.cancel()
        self.outgoing.put(None)
        self.wait(lambda: self.ended, "the end of the stream")


class Flow:
    """Orders of one account that rest in the book, some hundred a second, until it is stopped."""

    def __init__(self, gateway: Any, front: Front, account: str, most: int = 5000) -> None:
        self.over = threading.Event()
        self.sent = 0
        self.thread = threading.Thread(target=self.run, args=(gateway, front, account, most), daemon=True)
        self.thread.start()

    def run(self, gateway: Any, front: Front, account: str, most: int) -> None:
        symbols = [*gateway.symbols["XSHG"], *gateway.symbols["XSHE"]]
        while not self.over.is_set() and self.sent < most:
            for _ in range(10):
                order = limit_order(f"f{self.sent}", account, symbols[self.sent % len(symbols)], price_e4=95_000)
                front.send(new_order=order)
                self.sent += 1
            time.sleep(0.01)

    def stop(self) -> None:
        self.over.set()
        self.thread.join(5.0)


def bearer(token: str) -> dict[str, Any]:
    """Keyword arguments of a unary call with this token."""
    return {"metadata": [("authorization", f"Bearer {token}")], "timeout": WAIT_S}


def limit_order(
    cl_ord_id: str, account: str, symbol: str, side: int = pb.BUY, qty: int = 100, price_e4: int = 99_000, **fields: Any
) -> Any:
    """A DAY limit order; the exchange follows from the symbol unless it is given."""
    exchange = pb.XSHG if symbol.startswith("6") else pb.XSHE
    return pb.NewOrder(
        **{
            "cl_ord_id": cl_ord_id,
            "account": account,
            "symbol": symbol,
            "security_exchange": exchange,
            "side": side,
            "ord_type": pb.LIMIT,
            "order_qty_shares": qty,
            "price_e4": price_e4,
            "time_in_force": pb.DAY,
        }
        | fields
    )


def refused_with(code: grpc.StatusCode, call: Any, *arguments: Any, **keywords: Any) -> str:
    """The details of a call that must end with this status."""
    with pytest.raises(grpc.RpcError) as refusal:
        call(*arguments, **keywords)
    assert refusal.value.code() == code
    return str(refusal.value.details())


def state_of(gateway: Any, account: str, token: str = "alpha") -> Any:
    return gateway.stub().GetAccount(pb.GetAccountRequest(account=account), **bearer(token))
