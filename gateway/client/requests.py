"""What a caller waits for: one order, cancel or mass cancel, and when a message of the gateway is its answer.

The rule behind all of it: nothing is an answer that the gateway did not say about this very request.
"""

from dataclasses import dataclass, field

from gateway.client.session_state import MOVING, NOT_OWNER, WRONG_SHARD
from gateway.pb import order_entry_pb2 as pb

DONE = frozenset({pb.STATUS_FILLED, pb.STATUS_CANCELED, pb.STATUS_EXPIRED, pb.STATUS_REJECTED})
DUPLICATE, MALFORMED, NOT_OPEN, CANCEL_PENDING = "R1201", "R1605", "R1606", "R1607"
MOVED = frozenset({WRONG_SHARD, MOVING, NOT_OWNER})  # nobody judged the request: it is sent again
# An order that was sent before, on a stream that is gone, may still arrive: a refusal of its repetition says nothing
# about it, but for these two, which the first would get as well.
FINAL = frozenset({DUPLICATE, MALFORMED})

Answer = pb.ExecutionReport | pb.CancelReject | pb.MassCancelReport
Key = tuple[str, str]  # kind of request, cl_ord_id


@dataclass(eq=False)
class Request:
    """key: (new_order, cancel_order or mass_cancel; its cl_ord_id). floor: the account's newest event when it was first
    sent: no event up to there can be its own. in_doubt: it was sent on a stream that ended before an answer came."""

    key: Key
    account: str
    message: pb.ClientMessage
    deadline_ns: int
    sends: int = 0
    floor: int = 0
    tries: int = 0
    retry_ns: int = 0
    in_doubt: bool = False
    is_over: bool = False
    last_refusal: Answer | None = field(default=None)

    @property
    def orig_cl_ord_id(self) -> str:
        """The order that a cancel names, as far as it names one."""
        return self.message.cancel_order.orig_cl_ord_id if self.key[0] == "cancel_order" else ""

    def is_about(self, report: pb.ExecutionReport) -> bool:
        """Whether the report is of an order with this request's content, and not of another one under its cl_ord_id."""
        order = self.message.new_order
        return (
            (report.symbol, report.security_exchange, report.side, report.ord_type)
            == (order.symbol, order.security_exchange, order.side, order.ord_type)
            and report.order_qty_shares == order.order_qty_shares
            and report.price_e4 == order.price_e4
        )

    def must_repeat(self, code: str) -> bool:
        """Whether a refusal leaves open what became of the request, so that it has to be sent again."""
        is_order = self.key[0] == "new_order"
        return code in MOVED or (is_order and self.in_doubt and code not in FINAL)


def kind_of(message: pb.ClientMessage) -> str:
    kind: str = message.WhichOneof("message") or ""
    return kind


def new_order(order: pb.NewOrder, deadline_ns: int) -> Request:
    return Request(("new_order", order.cl_ord_id), order.account, pb.ClientMessage(new_order=order), deadline_ns)


def cancel_order(cancel: pb.CancelOrder, deadline_ns: int) -> Request:
    message = pb.ClientMessage(cancel_order=cancel)
    return Request(("cancel_order", cancel.cl_ord_id), cancel.account, message, deadline_ns)


def mass_cancel(request: pb.MassCancelRequest, deadline_ns: int) -> Request:
    message = pb.ClientMessage(mass_cancel=request)
    return Request(("mass_cancel", request.cl_ord_id), request.account, message, deadline_ns)
