"""A cluster and a network in one thread, for the client's machine: shards that know only the contract, wires that lose.

Nothing is reordered within a stream; everything else that can happen happens: streams break with messages on their way,
what was sent before the break may still arrive after it, shards die and come back, move, are handed over, send twice,
refuse for a moment. The world notes every order it executes, so that what the client tells its callers can be held
against it.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from gateway.client import requests
from gateway.client.client_state import Answered, Broken, ClientState, Event, Failed
from gateway.client.errors import ClientError, NotSent
from gateway.client.requests import DONE, Request
from gateway.client.session_state import Close, Open, Send
from gateway.pb import order_entry_pb2 as pb

MS = 1_000_000
TOKEN = "t"
ADDRESSES = ("a:1", "b:1", "c:1")
PASSING = ("R1203", "R1609", "R1611", "R1614", "R1603")


@dataclass
class Book:
    """One account, wherever it lives."""

    home: str
    events: list[Any] = field(default_factory=list)
    orders: dict[str, Any] = field(default_factory=dict)  # cl_ord_id -> (order, newest report)


@dataclass
class Wire:
    address: str
    up: deque[Any] = field(default_factory=deque)
    down: deque[Any] = field(default_factory=deque)
    accounts: set[str] = field(default_factory=set)
    is_cut: bool = False  # the client hears no more; what it sent may still arrive
    is_dying: bool = False  # the server end is gone: what is on its way down arrives, then the end


class World:
    def __init__(self, seed: int, accounts: int = 3) -> None:
        self.random = Random(seed)
        self.now_ns = 0
        self.books = {f"A{number}": Book(ADDRESSES[number % 2]) for number in range(accounts)}
        self.alive = dict.fromkeys(ADDRESSES, True)
        self.served: dict[str, str] = {}  # handed over: old address -> new
        self.wires: dict[int, Wire] = {}
        self.refuse_next = ""
        self.names = 0
        cursors = dict.fromkeys(self.books, 0)
        self.client = ClientState(list(ADDRESSES[:1]), TOKEN, cursors, self.random.random)
        self.seen: dict[str, list[int]] = {name: [] for name in self.books}
        self.asked: list[Request] = []
        self.outcomes: dict[Request, Any] = {}
        self.said_refused: set[tuple[str, str]] = set()
        self.never_sent: set[tuple[str, str]] = set()
        self.broken: ClientError | None = None
        self.has_lost = False
        self.tick(0)

    # what the client wants done

    def perform(self) -> None:
        for output in self.client.take():
            match output:
                case Open(stream, address):
                    self.wires[stream] = Wire(address, is_dying=not self.alive[address])
                    self.client.on_open(stream, self.now_ns)
                    self.perform()
                case Send(stream, message):
                    wire = self.wires.get(stream)
                    if wire is not None and not wire.is_dying:
                        wire.up.append(message)
                case Close(stream):
                    if stream in self.wires:
                        self.wires[stream].is_cut = True
                case Event(message):
                    self.seen[message.account].append(message.event_seq)
                    assert message == self.books[message.account].events[message.event_seq - 1]
                case Answered(request, answer):
                    self.outcomes[request] = answer
                    self.check_answer(request, answer)
                case Failed(request, error):
                    self.outcomes[request] = error
                    if isinstance(error, NotSent):
                        self.never_sent.add((request.account, request.key[1]))
                case Broken(error):
                    self.broken = error
        self.check_sequences()

    def check_sequences(self) -> None:
        for name, seen in self.seen.items():
            assert seen == list(range(1, len(seen) + 1)), name

    def check_answer(self, request: Request, answer: Any) -> None:
        """Only what is so: an accepted order is there, a refused one is not and will not be."""
        assert (answer.account, request.account) == (request.account, answer.account)
        name = (request.account, request.key[1])
        if request.key[0] == "new_order":
            if answer.order_id:
                assert request.key[1] in self.books[request.account].orders
                assert answer.order_qty_shares == request.message.new_order.order_qty_shares
            elif answer.reject_code != "R1201":
                assert request.key[1] not in self.books[request.account].orders
                self.said_refused.add(name)
        elif request.key[0] == "cancel_order" and isinstance(answer, pb.ExecutionReport):
            assert answer.ord_status in DONE
            assert answer.cl_ord_id == request.orig_cl_ord_id

    # what callers ask

    def submit(self, account: str, cl_ord_id: str = "", timeout_ms: int = 3000, qty: int = 100) -> Request | None:
        self.names += 1
        order = pb.NewOrder(cl_ord_id=cl_ord_id or f"o{self.names}", account=account, symbol="600000", side=pb.BUY,
                            security_exchange=pb.XSHG, ord_type=pb.LIMIT, order_qty_shares=qty, price_e4=100_000)
        return self.ask(requests.new_order(order, self.now_ns + timeout_ms * MS))

    def cancel(self, account: str, orig_cl_ord_id: str, timeout_ms: int = 3000) -> Request | None:
        self.names += 1
        cancel = pb.CancelOrder(cl_ord_id=f"x{self.names}", account=account, orig_cl_ord_id=orig_cl_ord_id)
        return self.ask(requests.cancel_order(cancel, self.now_ns + timeout_ms * MS))

    def ask(self, request: Request) -> Request | None:
        try:
            self.client.ask(request, self.now_ns)
        except ClientError:
            return None
        self.said_refused.discard((request.account, request.key[1]))
        self.never_sent.discard((request.account, request.key[1]))
        self.asked.append(request)
        self.perform()
        return request

    # what happens

    def tick(self, by_ns: int) -> None:
        """Time passes, and alarms go off when they are due."""
        end_ns = self.now_ns + by_ns
        for _ in range(1000):
            due_ns = self.client.next_ns()
            if due_ns is None or due_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, due_ns)
            self.client.on_time(self.now_ns)
            self.perform()
        else:
            raise AssertionError("the machine never rests")
        self.now_ns = end_ns

    def carry_up(self, stream: int) -> bool:
        """The next message reaches its shard."""
        wire = self.wires.get(stream)
        if wire is None or not wire.up or not self.alive[wire.address]:
            return False
        self.on_client_message(wire, wire.up.popleft())
        return True

    def carry_down(self, stream: int) -> bool:
        """The next message, or the stream's end, reaches the client."""
        wire = self.wires.get(stream)
        if wire is None or wire.is_cut:
            return False
        if wire.down:
            self.client.on_message(stream, wire.down.popleft(), self.now_ns)
        elif wire.is_dying:
            del self.wires[stream]
            self.client.on_closed(stream, "UNAVAILABLE", "gone", self.now_ns)
        else:
            return False
        self.perform()
        return True

    def cut(self, stream: int) -> None:
        """The stream breaks for the client; some of what it sent may still arrive."""
        wire = self.wires.get(stream)
        if wire is None or wire.is_cut:
            return
        wire.is_cut = True
        self.client.on_closed(stream, "UNAVAILABLE", "cut", self.now_ns)
        self.perform()

    def crash(self, address: str) -> None:
        """kill -9: what it had written may arrive, as far as it got."""
        self.alive[address] = False
        for stream, wire in list(self.wires.items()):
            if wire.address == address:
                wire.up.clear()
                wire.is_dying = True
                while wire.down and self.random.random() < 0.5:
                    wire.down.pop()
                if wire.is_cut:
                    del self.wires[stream]

    def restart(self, address: str) -> None:
        self.alive[address] = True

    def hand_over(self, old: str, new: str) -> None:
        """All accounts of a shard are served elsewhere from now on; its sessions are told, and end."""
        self.served[old] = new
        self.served.pop(new, None)
        for book in self.books.values():
            book.home = new if book.home == old else book.home
        reject = pb.SessionReject(reject_code="R1614", fatal=True, redirect=new)
        for wire in self.wires.values():
            if wire.address == old and not wire.is_dying:
                wire.down.append(pb.ServerMessage(session_reject=reject))
                wire.is_dying = True
                wire.up.clear()

    def move(self, account: str, address: str) -> None:
        """One account to another shard, with everything it has; whoever watched it is told."""
        self.books[account].home = address
        reject = pb.SessionReject(reject_code="R1610", redirect=address, accounts=[account])
        for wire in self.wires.values():
            if account in wire.accounts and wire.address != address:
                wire.accounts.discard(account)
                wire.down.append(pb.ServerMessage(session_reject=reject))

    def send_again(self, account: str, back: int) -> None:
        """Events that the client has had come once more."""
        book = self.books[account]
        for event in book.events[-back:]:
            self.tell(account, event)

    def lose(self, stream: int) -> None:
        """An event is left out, as no correct shard would."""
        wire = self.wires.get(stream)
        if wire is not None and wire.down and wire.down[0].WhichOneof("message") == "execution_report":
            wire.down.popleft()
            self.has_lost = True

    # the shards

    def on_client_message(self, wire: Wire, message: Any) -> None:
        kind = message.WhichOneof("message")
        if kind == "logon":
            self.on_logon(wire, message.logon)
        elif kind == "heartbeat":
            wire.down.append(pb.ServerMessage(heartbeat=message.heartbeat))
        elif kind == "new_order":
            self.on_order(wire, message.new_order)
        elif kind == "cancel_order":
            self.on_cancel(wire, message.cancel_order)

    def on_logon(self, wire: Wire, logon: Any) -> None:
        away: dict[str, list[str]] = {}
        own = []
        for cursor in logon.accounts:
            book = self.books[cursor.account]
            assert cursor.last_event_seq <= len(book.events)
            if book.home == wire.address:
                own.append(cursor)
            else:
                away.setdefault(book.home, []).append(cursor.account)
        for number, (home, names) in enumerate(away.items(), 1):
            fatal = number == len(away) and not own
            reject = pb.SessionReject(reject_code="R1610", redirect=home, accounts=names, fatal=fatal)
            wire.down.append(pb.ServerMessage(session_reject=reject))
            wire.is_dying = wire.is_dying or fatal
        if not own:
            return
        newest = [
            pb.AccountCursor(account=one.account, last_event_seq=len(self.books[one.account].events)) for one in own
        ]
        wire.down.append(pb.ServerMessage(logon_ack=pb.LogonAck(accounts=newest)))
        for cursor in own:
            wire.accounts.add(cursor.account)
            for event in self.books[cursor.account].events[cursor.last_event_seq :]:
                wire.down.append(wrapped(event))

    def on_order(self, wire: Wire, order: Any) -> None:
        book = self.books[order.account]
        refusal = pb.ExecutionReport(account=order.account, cl_ord_id=order.cl_ord_id, exec_type=pb.REJECTED,
                                     ord_status=pb.STATUS_REJECTED)
        if book.home != wire.address or order.account not in wire.accounts:
            refusal.reject_code = "R1610" if book.home != wire.address else "R1001"
            refusal.redirect = book.home if book.home != wire.address else ""
            wire.down.append(wrapped(refusal))
        elif self.refuse_next in PASSING[:4]:
            refusal.reject_code, self.refuse_next = self.refuse_next, ""
            wire.down.append(wrapped(refusal))
        elif order.cl_ord_id in book.orders:
            first, report = book.orders[order.cl_ord_id]
            if first == order:
                state = pb.ExecutionReport()
                state.CopyFrom(report)
                state.event_seq, state.possible_duplicate = 0, True
                wire.down.append(wrapped(state))
            else:
                refusal.reject_code = "R1201"
                wire.down.append(wrapped(refusal))
        elif self.refuse_next:
            refusal.reject_code, self.refuse_next = self.refuse_next, ""
            wire.down.append(wrapped(refusal))
        else:
            self.accept(book, order)

    def accept(self, book: Book, order: Any) -> None:
        name = (order.account, order.cl_ord_id)
        assert name not in self.said_refused, f"{name} was told refused, and is executed"
        assert name not in self.never_sent, f"{name} was told never sent, and is executed"
        report = pb.ExecutionReport(
            account=order.account, cl_ord_id=order.cl_ord_id, order_id=len(book.orders) + 1, symbol=order.symbol,
            security_exchange=order.security_exchange, side=order.side, ord_type=order.ord_type,
            order_qty_shares=order.order_qty_shares, price_e4=order.price_e4)
        book.orders[order.cl_ord_id] = (order, report)
        self.add(book, report, pb.PENDING_NEW, pb.STATUS_PENDING_NEW)

    def add(self, book: Book, report: Any, exec_type: int, status: int) -> None:
        """One more event of an order, to everyone who watches."""
        event = pb.ExecutionReport()
        event.CopyFrom(report)
        event.event_seq, event.exec_type, event.ord_status = len(book.events) + 1, exec_type, status
        report.exec_type, report.ord_status = exec_type, status
        book.events.append(event)
        self.tell(report.account, event)

    def tell(self, account: str, event: Any) -> None:
        for wire in self.wires.values():
            if account in wire.accounts and not wire.is_dying and self.books[account].home == wire.address:
                wire.down.append(wrapped(event))

    def on_cancel(self, wire: Wire, cancel: Any) -> None:
        book = self.books[cancel.account]
        names = {"cl_ord_id": cancel.cl_ord_id, "orig_cl_ord_id": cancel.orig_cl_ord_id}
        reject = pb.CancelReject(account=cancel.account, **names)
        _, report = book.orders.get(cancel.orig_cl_ord_id, (None, None))
        if book.home != wire.address:
            reject.reject_code, reject.redirect = "R1610", book.home
        elif report is None:
            reject.reject_code = "R1604"
        elif report.ord_status in DONE:
            reject.reject_code = "R1606"
        elif report.text == "cancelling":
            reject.reject_code = "R1607"
        else:
            report.text = "cancelling"
            return
        wire.down.append(pb.ServerMessage(cancel_reject=reject))

    def advance(self, account: str, at: int) -> None:
        """The exchange says something about one of the account's open orders."""
        book = self.books[account]
        open_orders = [report for _, report in book.orders.values() if report.ord_status not in DONE]
        if not open_orders or not self.alive[book.home]:
            return
        report = open_orders[at % len(open_orders)]
        if report.text == "cancelling":
            report.text = ""
            self.add(book, report, pb.CANCELED, pb.STATUS_CANCELED)
        elif report.ord_status == pb.STATUS_PENDING_NEW:
            self.add(book, report, pb.NEW, pb.STATUS_NEW)
        else:
            self.add(book, report, pb.TRADE, pb.STATUS_FILLED)

    # the end

    def settle(self) -> None:
        """Everything heals; in the end every request has its outcome and every event has come, once."""
        for address in ADDRESSES:
            self.restart(address)
        self.refuse_next = ""
        for stream in list(self.wires) if self.has_lost else ():
            self.cut(stream)  # what is lost at the very end of a stream shows at the next logon
        for _ in range(4000):
            streams = [stream for stream in list(self.wires) if self.carry_up(stream) | self.carry_down(stream)]
            for name in self.books:
                self.advance(name, 0)
            if not streams:
                self.tick(5 * MS)
                if self.client.is_ready and self.is_quiet():
                    break
        assert self.broken is None
        assert self.is_quiet()

    def is_quiet(self) -> bool:
        everything = all(len(self.seen[name]) == len(book.events) for name, book in self.books.items())
        return everything and all(request in self.outcomes or request.is_over for request in self.asked)


def wrapped(message: Any) -> Any:
    return pb.ServerMessage(execution_report=message)
