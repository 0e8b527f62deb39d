"""A small OrderEntry on grpcio for the load client's tests: accepts everything, or misbehaves in one named way."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from gateway.pb import order_entry_pb2 as pb
from gateway.pb import order_entry_pb2_grpc as pb_grpc


@dataclass
class FakeOrderEntry(pb_grpc.OrderEntryServicer):
    """misbehaviour: "", or one of stall (200 ms, once), mute (every 50th order), twice, gap, backwards, refuse,
    garbage, quit.
    """

    misbehaviour: str = ""
    stall_at: int = 100
    orders: list[pb.NewOrder] = field(default_factory=list)
    cancels: list[pb.CancelOrder] = field(default_factory=list)
    event_seq: Counter = field(default_factory=Counter)

    def Session(self, requests, context) -> Iterator[pb.ServerMessage]:
        logon = next(requests).logon
        if logon.token != "load":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
        yield pb.ServerMessage(
            logon_ack=pb.LogonAck(
                session_id=1,
                accounts=[
                    pb.AccountCursor(account=cursor.account, last_event_seq=self.event_seq[cursor.account])
                    for cursor in logon.accounts
                ],
            )
        )
        for cursor in logon.accounts:
            for event_seq in range(1, self.event_seq[cursor.account] + 1):
                yield pb.ServerMessage(
                    execution_report=pb.ExecutionReport(
                        event_seq=event_seq, account=cursor.account, cl_ord_id="of-an-earlier-run", exec_type=pb.NEW
                    )
                )
        for request in requests:
            if request.WhichOneof("message") == "cancel_order":
                yield self.cancel(request.cancel_order)
                continue
            self.orders.append(request.new_order)
            if self.misbehaviour == "quit" and len(self.orders) == self.stall_at:
                context.abort(grpc.StatusCode.INTERNAL, "fell over")
            yield from self.answer(request.new_order)

    def report(self, order: pb.NewOrder, exec_type: int, ord_status: int, **more) -> pb.ServerMessage:
        self.event_seq[order.account] += 1
        return pb.ServerMessage(
            execution_report=pb.ExecutionReport(
                event_seq=self.event_seq[order.account],
                account=order.account,
                cl_ord_id=order.cl_ord_id,
                exec_type=exec_type,
                ord_status=ord_status,
                planned_ns=order.planned_ns,
                **more,
            )
        )

    def answer(self, order: pb.NewOrder) -> Iterator[pb.ServerMessage]:
        number = len(self.orders)
        if self.misbehaviour == "mute" and number % 50 == 0:
            return
        if self.misbehaviour == "stall" and number == self.stall_at:
            time.sleep(0.2)
        if self.misbehaviour == "refuse" and number % 50 == 0:
            yield self.report(order, pb.REJECTED, pb.STATUS_REJECTED, reject_code="R1301")
            return
        if self.misbehaviour == "gap" and number == self.stall_at:
            self.event_seq[order.account] += 1
        pending = self.report(order, pb.PENDING_NEW, pb.STATUS_PENDING_NEW)
        yield pending
        if self.misbehaviour == "twice" and number == self.stall_at:
            yield pending
        if self.misbehaviour == "garbage" and number == self.stall_at:
            yield pb.ServerMessage()
        yield self.report(order, pb.NEW, pb.STATUS_NEW)
        if self.misbehaviour == "backwards" and number == self.stall_at:
            yield self.report(order, pb.TRADE, pb.STATUS_PENDING_NEW)

    def cancel(self, cancel: pb.CancelOrder) -> pb.ServerMessage:
        self.cancels.append(cancel)
        order = pb.NewOrder(account=cancel.account, cl_ord_id=cancel.orig_cl_ord_id)
        return self.report(order, pb.CANCELED, pb.STATUS_CANCELED)


@contextmanager
def serving(service: FakeOrderEntry) -> Iterator[int]:
    """The port it listens on, on loopback."""
    server = grpc.server(ThreadPoolExecutor(8))
    pb_grpc.add_OrderEntryServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()
