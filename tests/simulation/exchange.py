"""An exchange that is simple and right, and keeps the truth: what was ordered, executed and cancelled, and every report
of it.

Duplicate ClOrdIDs are refused; one session at a time; reports are numbered without gaps per partition and sent again
from any index. It fills what is open by chance: prices and priority are not its business.
"""

from __future__ import annotations

from typing import Any

from tests.simulation import edge
from tests.simulation.network import CALLED, Stream
from tests.simulation.scene import (
    ACCOUNT_OF_SHAREHOLDER,
    BUY,
    INSTRUMENT_OF,
    LIMIT,
    MS,
    TICK_E4,
)

PARTITIONS = (1, 2)
ACCEPTED, CANCELLED, REFUSED, TRADE, CANCEL_REFUSED, DOOR_REFUSED = range(1, 7)
DUPLICATE_CL_ORD_ID, UNKNOWN_ORDER = 2010, 2101
NOWHERE = b" " * 16
NO_ID = b" " * 10
OPEN, DONE, GONE, TURNED_AWAY = "open", "filled", "cancelled", "refused"


class Truth:
    """One order as the exchange knows it."""

    __slots__ = (
        "account",
        "cl_ord_id",
        "fills",
        "instrument",
        "leaves",
        "number",
        "ord_type",
        "partition",
        "price",
        "qty",
        "side",
        "status",
    )

    def __init__(self, order: tuple, number: int) -> None:
        self.cl_ord_id, shareholder, _, self.side, self.ord_type, self.qty, self.price = order[:7]
        self.account = ACCOUNT_OF_SHAREHOLDER[shareholder.rstrip()]
        self.number, self.leaves, self.status = number, self.qty, OPEN
        self.fills: list[tuple[int, int]] = []

    @property
    def asked(self) -> tuple:
        """What was asked for, whatever it is called: clients never ask for the same twice."""
        return self.account, self.instrument, self.side, self.ord_type, self.qty, self.price


class Exchange:
    """venue: 1 names its last reports when asked to synchronise, 2 does not (its reports just flow)."""

    def __init__(self, world: Any, venue: int) -> None:
        self.world, self.venue = world, venue
        self.orders: dict[bytes, Truth] = {}
        self.cancel_ids: set[bytes] = set()
        self.asked: dict[tuple, bytes] = {}
        self.logs: dict[int, list[tuple]] = {partition: [] for partition in PARTITIONS}
        self.session: Stream | None = None
        self.exec_count = 0

    # The session

    def connect(self, stream: Stream) -> None:
        stream.receive[CALLED] = self.on_message
        stream.lost[CALLED] = self.on_lost

    def on_lost(self, stream: Stream) -> Any:
        if self.session is not stream:
            return False
        self.session = None
        return True

    def on_message(self, stream: Stream, message: Any) -> Any:
        if type(message) is bytes:
            for order in edge.orders_of(message):
                if len(order) == 7:
                    self.on_order(stream, order)
                else:
                    self.on_cancel(order)
            return True
        return self.on_logon(stream, message)

    def on_logon(self, stream: Stream, begin: dict[int, int]) -> Any:
        """One live session per CompID. begin: partition -> the next report its owner expects."""
        before = self.session
        if before is not None and before.is_open and before is not stream:
            if self.world.is_heard(before):
                stream.cut(after_ns=(MS, 0))
                return True
            before.cut(after_ns=(MS, 0))
        self.session = stream
        ends = {partition: len(log) for partition, log in self.logs.items()}
        if self.venue == 1:
            stream.send(CALLED, ("synchronised", ends))
        elif self.world.random() < 0.5:
            stream.send(CALLED, ("synchronised", {}))
        for partition, log in self.logs.items():
            for report in log[max(0, begin[partition] - 1 - self.world.overlap()) :]:
                stream.send(CALLED, report)
        if self.venue != 1:
            stream.send(CALLED, ("synchronised", {}))
        return True

    # Orders

    def on_order(self, stream: Stream, order: tuple) -> None:
        world = self.world
        cl_ord_id = order[0]
        world.checks.on_order_arrives(self, stream, order)
        if cl_ord_id in self.orders:
            self.tell_door(cl_ord_id, DUPLICATE_CL_ORD_ID)
            return
        draw = world.random()
        if draw < 0.01:
            self.tell_door(cl_ord_id, 1)
            return
        truth = self.orders[cl_ord_id] = Truth(order, len(self.orders) + 1)
        truth.instrument = INSTRUMENT_OF[self.venue, order[2]]
        truth.partition = PARTITIONS[truth.instrument % len(PARTITIONS)]
        world.checks.on_accepted(self, truth)
        if draw < 0.03:
            truth.status, truth.leaves = TURNED_AWAY, 0
            self.tell(truth, REFUSED, reason=7)
            return
        self.tell(truth, ACCEPTED)
        if draw < 0.75 or truth.ord_type != LIMIT:
            world.after(int(world.random() * world.fill_ns), self.trade, truth)

    def on_cancel(self, cancel: tuple) -> None:
        cl_ord_id, orig = cancel[0], cancel[1]
        if cl_ord_id in self.cancel_ids:
            self.tell_door(cl_ord_id, DUPLICATE_CL_ORD_ID)
            return
        truth = self.orders.get(orig)
        self.cancel_ids.add(cl_ord_id)
        if truth is None:
            partition = PARTITIONS[INSTRUMENT_OF[self.venue, cancel[3]] % len(PARTITIONS)]
            self.publish(partition, CANCEL_REFUSED, cl_ord_id, orig, reason=UNKNOWN_ORDER)
            return
        if truth.status != OPEN:
            self.tell(truth, CANCEL_REFUSED, cl_ord_id=cl_ord_id, reason=2102)
            return
        canceled, truth.leaves, truth.status = truth.leaves, 0, GONE
        self.tell(truth, CANCELLED, cl_ord_id=cl_ord_id, canceled=canceled)

    def trade(self, truth: Truth) -> Any:
        """Some of it is executed, at its limit or a little better; a market order's rest is cancelled in the end."""
        world = self.world
        if truth.status != OPEN or world.is_calm:
            return False
        qty = (
            truth.leaves
            if world.random() < 0.4
            else min(truth.leaves, 100 * (1 + int(world.random() * truth.leaves / 100)))
        )
        better = int(world.random() * 3) * TICK_E4
        px = (truth.price or 100_000) + (-better if truth.side == BUY else better)
        truth.leaves -= qty
        truth.fills.append((qty, px))
        if truth.leaves == 0:
            truth.status = DONE
        self.exec_count += 1
        self.tell(truth, TRADE, qty=qty, px=px)
        if truth.leaves and truth.ord_type != LIMIT and world.random() < 0.5:
            canceled, truth.leaves, truth.status = truth.leaves, 0, GONE
            self.tell(truth, CANCELLED, canceled=canceled)
        elif truth.leaves and world.random() < 0.8:
            world.after(int(world.random() * world.fill_ns), self.trade, truth)
        return True

    # Reports

    def tell(self, truth: Truth, kind: int, *, cl_ord_id: bytes = b"", **numbers: int) -> None:
        """A report of an order; cl_ord_id: of the cancel that it answers."""
        own, orig = (cl_ord_id, truth.cl_ord_id) if cl_ord_id else (truth.cl_ord_id, NO_ID)
        exec_id = b"T%d" % self.exec_count if kind == TRADE else NOWHERE
        ids = {"venue_id": b"V%d" % truth.number, "exec_id": exec_id}
        self.publish(truth.partition, kind, own, orig, leaves=truth.leaves, **ids, **numbers)

    def publish(
        self,
        partition: int,
        kind: int,
        own: bytes,
        orig: bytes,
        *,
        venue_id: bytes = NOWHERE,
        exec_id: bytes = NOWHERE,
        qty: int = 0,
        px: int = 0,
        leaves: int = 0,
        canceled: int = 0,
        reason: int = 0,
    ) -> None:
        """A numbered report: kept for ever, sent to the session there is."""
        log = self.logs[partition]
        index = len(log) + 1
        report = kind, partition, index, own, orig, venue_id, exec_id, qty, px, leaves, canceled, reason
        log.append(report)
        if self.session is not None:
            self.world.faults.send_report(self.session, report)

    def tell_door(self, cl_ord_id: bytes, reason: int) -> None:
        """Refused at the door: not numbered, told once."""
        if self.session is not None:
            self.session.send(CALLED, (DOOR_REFUSED, 1, 0, cl_ord_id, NO_ID, NOWHERE, NOWHERE, 0, 0, 0, 0, reason))
