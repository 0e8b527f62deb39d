"""What must hold after every step, looked at where the step touched it; the whole of it now and then, and at the end.

The judge knows the exchanges' truth, what clients wanted and were told, and its own ledger. It asks the core only
for the rows that it compares.
"""

from __future__ import annotations

import io
from typing import Any

from ext import queries, replay, snapshot
from ext.engine import Engine
from ext.journal import Journal
from ext.state import State
from tests.simulation import edge
from tests.simulation.exchange import DONE, GONE, OPEN, TURNED_AWAY, Exchange, Truth
from tests.simulation.ledger import CANCELED, EXPIRED, FILLED, NEW, PENDING, REJECTED, Entry, Ledger
from tests.simulation.scene import ACCOUNTS, GROUP_OF, INDEX_OF, SYMBOLS, VENUE_OF

GROUP_OWNER = 1 << 31
PORT, ACCOUNT, GROUP, FIRM = 1, 2, 3, 4
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def order_number(cl_ord_id: bytes) -> int:
    """Of our own ClOrdID at an exchange."""
    return int(cl_ord_id[3:], 36)


def venue_id(order_no: int) -> bytes:
    digits = ""
    for _ in range(7):
        order_no, digit = divmod(order_no, 36)
        digits = DIGITS[digit] + digits
    return b"N00" + digits.encode()


class Latch:
    """A kill as its officer knows it. end: the journal's end behind it; is_told: the officer was told that it is
    done."""

    __slots__ = ("end", "is_told", "place")

    def __init__(self, place: tuple[int, int], end: int) -> None:
        self.place, self.end, self.is_told = place, end, False

    def tell(self) -> None:
        self.is_told = True


class Checks:
    def __init__(self, world: Any) -> None:
        self.world, self.scene = world, world.scene
        self.ledger = Ledger(world.scene)
        self.told: dict[tuple[int, int], bytes] = {}  # (account, event_seq) -> what a client read
        self.released = [0] * len(ACCOUNTS)  # newest event of each account that left the shard
        self.released_order = 0
        self.latches: dict[tuple[int, int], Latch] = {}
        self.touched: set[tuple[int, int]] = set()
        self.snapshot: bytearray | None = None  # of the judged process's state, since it became that

    def fail(self, text: str) -> None:
        self.world.fail(text)

    # What leaves

    def on_release(self, told: tuple) -> None:
        """A message to a client left the shard: from now on nothing may take it back."""
        account = INDEX_OF[told[2]]
        if told[1] > self.released[account]:
            self.released[account] = told[1]

    def on_told(self, account: int, event_seq: int, octets: bytes) -> None:
        """An event reached a client: it is the same for everybody, live and resent. Only the text of a reject may
        differ: it names the limits in force when it is read."""
        first = self.told.setdefault((account, event_seq), octets)
        if first is not octets and first != octets and edge.report_of(first) != edge.report_of(octets):
            self.fail(
                f"account {account}: event {event_seq} was told differently: {edge.report_of(first)}, "
                f"now {edge.report_of(octets)}"
            )

    def on_answer(self, wanted: Any, told: tuple) -> None:
        """One cl_ord_id is one order for ever, once its client has heard of it."""
        if wanted.order_no and wanted.order_no != told[4]:
            self.fail(f"{wanted.cl_ord_id!r} is order {told[4]}, and was order {wanted.order_no}")

    def latch(self, place: tuple[int, int], end: int) -> Latch:
        """A kill was journaled; `end`: the journal's end behind it."""
        return self.latches.setdefault(place, Latch(place, end))

    def on_write(self, node: Any) -> None:
        """Octets leave a process for an exchange: the lease store knows it as the owner, and nobody else."""
        record = self.world.redis.record
        if self.world.has_cluster and record.owner and record.owner != node.identity:
            self.fail(
                f"{node.identity} writes to an exchange, and {record.owner} owns the shard in epoch {record.epoch}"
            )

    # What arrives at an exchange

    def on_order_arrives(self, exchange: Exchange, stream: Any, order: tuple) -> None:
        """Nothing reaches an exchange that the shard does not know for good."""
        entry = self.ledger.book.get(order_number(order[0]))
        self.released_order = max(self.released_order, order_number(order[0]))
        if entry is None:
            self.fail(f"order {order[0]!r} is at exchange {exchange.venue}, and not in the shard's journal")

    def on_accepted(self, exchange: Exchange, truth: Truth) -> None:
        """The exchange took an order: one that a client wants, and the only one for it."""
        wanted = self.world.wanted_by.get(truth.asked)
        if wanted is None:
            self.fail(f"{truth.cl_ord_id!r}: nobody wanted {truth.asked}")
        other = exchange.asked.setdefault(truth.asked, truth.cl_ord_id)
        if other != truth.cl_ord_id:
            self.fail(f"{wanted.cl_ord_id!r} is at the exchange twice, as {other!r} and {truth.cl_ord_id!r}")
        entry = self.ledger.book[order_number(truth.cl_ord_id)]
        if entry.leaves == 0:
            self.fail(f"{truth.cl_ord_id!r} comes to the exchange, and the shard has closed it: {entry.status}")
        if entry.wanted is not wanted:
            self.fail(f"{truth.cl_ord_id!r} carries {wanted.cl_ord_id!r}, expected {entry.wanted.cl_ord_id!r}")

    # What happens in the shard

    def on_event(self, told: tuple, tops: list[tuple[int, int, int]]) -> None:
        """The next event of the journal, as an observer of all accounts reads it."""
        account = INDEX_OF.get(told[2])
        if account is None or told[1] == 0:
            return
        seen = self.ledger.accounts[account].event_seq
        if told[1] != seen + 1:
            self.fail(f"account {account}: event {told[1]} after event {seen}")
        event = self.judge(account, told, tops) if told[0] == 2 else None
        entry = self.ledger.apply(event)
        self.ledger.note(account, told[1], event)
        if entry is not None:
            self.touched.add((account, entry.wanted.instrument))
        else:
            self.touched.add((account, 0))

    def judge(self, account: int, told: tuple, tops: list[tuple[int, int, int]]) -> tuple | None:
        """What the event means for the ledger, after the exchange's truth has confirmed it."""
        wanted = self.world.wanted.get((account, told[3]))
        if wanted is None:
            self.fail(f"an event of {told[3]!r}, which nobody sent")
        order_no, exec_type = told[4], told[5]
        self.on_answer(wanted, told)
        entry = self.ledger.book.get(order_no)
        if exec_type == 1:
            return self.judge_accepted(wanted, told, tops)
        if entry is None:
            if exec_type != 6 or not told[11]:
                self.fail(f"order {order_no}: exec_type {exec_type} of an order that was never accepted")
            return None
        truth = self.world.exchanges[VENUE_OF[wanted.instrument]].orders.get(venue_id(order_no))
        if exec_type == 6:
            if truth is not None and truth.status != TURNED_AWAY:
                self.fail(f"order {order_no} is refused, the exchange says {truth.status}")
            return "close", order_no, REJECTED
        if truth is None and exec_type == 4:
            # Killed while in doubt: its cancel found nothing, and it may not arrive any more (on_accepted).
            return "close", order_no, CANCELED
        if truth is None:
            self.fail(f"order {order_no}: exec_type {exec_type}, and the exchange never had it")
        if exec_type == 2:
            return "status", order_no, NEW if entry.status == PENDING else entry.status
        if exec_type == 3:
            fill = truth.fills[entry.fills] if entry.fills < len(truth.fills) else None
            if fill != (told[7], told[8]):
                self.fail(
                    f"order {order_no}: fill {entry.fills + 1} is {told[7]} at {told[8]}, the exchange's is {fill}"
                )
            return "fill", order_no, told[7], told[8]
        if exec_type == 4:
            if truth.status != GONE or entry.fills != len(truth.fills):
                self.fail(
                    f"order {order_no} is cancelled after fill {entry.fills}; exchange: {truth.status}, {truth.fills}"
                )
            return "close", order_no, CANCELED
        if exec_type == 5:
            return "close", order_no, EXPIRED
        self.fail(f"order {order_no}: exec_type {exec_type}")
        return None

    def judge_accepted(self, wanted: Any, told: tuple, tops: list[tuple[int, int, int]]) -> tuple:
        if told[4] in self.ledger.book:
            self.fail(f"order {told[4]} is accepted twice")
        if (told[14], told[15], told[16]) != (wanted.side, wanted.qty, wanted.price):
            self.fail(f"{wanted.cl_ord_id!r}: side, quantity and price are {told[14:17]}, expected {wanted.asked}")
        group = GROUP_OF[wanted.account]
        for place in ((FIRM, 0), (GROUP, group), (ACCOUNT, wanted.account), (PORT, wanted.port)):
            if place in self.latches:
                self.fail(f"order {told[4]} of {wanted.cl_ord_id!r} is accepted behind the kill of {place}")
        bid, _, last = tops[wanted.instrument]
        return "accept", wanted, told[4], bid, last

    # Comparing

    def compare_touched(self, state: Any) -> None:
        """The rows that this step's events changed, against the ledger's."""
        ledger = self.ledger
        for account, instrument in self.touched:
            found, expected = edge.account_row(state, account), ledger.accounts[account].row()
            if found != expected:
                self.fail(
                    f"account {account}: (cash, held, open, seq, open and filled notional) {found}, expected {expected}"
                )
            found = edge.position_row(state, account, instrument)
            expected = ledger.positions[account][instrument].row()
            if found != expected:
                self.fail(
                    f"account {account} instrument {instrument}: (total, sellable, held, bought, open) {found}, "
                    f"expected {expected}"
                )
        self.touched.clear()
        if edge.firm_row(state) != ledger.firm.row():
            self.fail(f"firm: {edge.firm_row(state)}, expected {ledger.firm.row()}")

    def compare_all(self, engine: Any) -> None:
        """Every row, and the sums of both."""
        state = engine.state
        self.touched = {(account, at) for account in range(len(ACCOUNTS)) for at in range(len(SYMBOLS))}
        self.compare_touched(state)
        for group in set(GROUP_OF) - {-1}:
            row, expected = edge.group_row(state, group), self.ledger.group_row(group)
            if row != expected:
                self.fail(f"group {group}: {row}, expected {expected}")
        for order_no, entry in self.ledger.book.items():
            status, leaves, cum, notional, hold, _ = edge.order_row(state, order_no)
            if (status, leaves, cum, notional, hold) != (
                entry.status,
                entry.leaves,
                entry.cum,
                entry.notional,
                entry.hold,
            ):
                self.fail(
                    f"order {order_no}: {(status, leaves, cum, notional, hold)}, expected "
                    f"{(entry.status, entry.leaves, entry.cum, entry.notional, entry.hold)}"
                )
        for fault in [*self.ledger.faults(), *queries.check_invariants(engine)]:
            self.fail(fault)

    def on_recovered(self, engine: Any, journal_end: int) -> None:
        """After a crash: nothing that left the shard is gone; what the judge knew too early is forgotten."""
        kept = [queries.event_seq(engine, account) for account in range(len(ACCOUNTS))]
        for account, released in enumerate(self.released):
            if kept[account] < released:
                self.fail(f"account {account}: event {released} was told, and only {kept[account]} are left")
        if engine.state.order_count < self.released_order:
            self.fail(f"order {self.released_order} was at an exchange, and only {engine.state.order_count} are left")
        for place, latch in list(self.latches.items()):
            if latch.end > journal_end:
                if latch.is_told:
                    self.fail(f"the kill of {place} was confirmed, and is lost")
                del self.latches[place]
        self.ledger.rebuild(self.scene, kept)
        self.snapshot = None

    def compare_hashes(self, node: Any, *, must_follow: bool = False) -> None:
        """The state folded from the journal, and the standby's at the same offset, are the live one's."""
        if node.journal.private and node.journal.synced_end != node.journal.end:
            return
        expected = node.state.hash()
        if self.replayed(node, None).hash() != expected:
            self.fail(f"{node.name}: its journal replayed gives another state at {node.journal.end}")
        if self.snapshot and self.replayed(node, self.snapshot).hash() != expected:
            self.fail(f"{node.name}: an earlier snapshot and the journal behind it give another state")
        self.snapshot = bytearray()
        snapshot.save(node.engine, self.snapshot.extend)
        for other in self.world.nodes:
            if other is node:
                continue
            if other.is_up and other.journal.end == node.journal.end and other.state.hash() != expected:
                self.fail(f"{other.name} follows {node.name} and has another state at {node.journal.end}")
            if must_follow and not (other.is_up and other.journal.end == node.journal.end):
                self.fail(f"{other.name} does not follow {node.name}")

    def replayed(self, node: Any, begun: bytearray | None) -> State:
        """The state that a process would find which started now, from a snapshot or from nothing."""
        state = State(accounts=16, positions=256, orders=node.state.most_orders)
        size = node.disk.size_for(node.journal.end, node.journal.allocated)
        journal = Journal(node.disk.fd, size, node.name, writable=False)
        engine = Engine(state, journal)
        if begun is None:
            journal.rewind()
        else:
            snapshot.load(engine, io.BytesIO(begun).readinto)
        replay.fold_on(engine)
        return state

    def on_end(self, engine: Any) -> None:
        """All is quiet: shard, clients and exchanges believe the same."""
        self.compare_all(engine)
        for exchange in self.world.exchanges.values():
            for partition, log in exchange.logs.items():
                if engine.next_report_index(exchange.venue, partition) != len(log) + 1:
                    self.fail(
                        f"exchange {exchange.venue} partition {partition}: {len(log)} reports, "
                        f"{engine.next_report_index(exchange.venue, partition) - 1} applied"
                    )
            for truth in exchange.orders.values():
                self.compare_truth(self.ledger.book[order_number(truth.cl_ord_id)], truth)
        for entry in self.ledger.book.values():
            exchange = self.world.exchanges[VENUE_OF[entry.wanted.instrument]]
            if entry.leaves and venue_id(entry.order_no) not in exchange.orders:
                self.fail(f"order {entry.order_no} is open, and exchange {exchange.venue} never got it")
        for client in self.world.clients:
            for account, seq in client.cursors.items():
                if seq != queries.event_seq(engine, account):
                    self.fail(
                        f"client {client.port}: account {account}: heard {seq} of {queries.event_seq(engine, account)}"
                    )
            for wanted in client.unanswered.values():
                if not wanted.answered:
                    self.fail(f"client {client.port}: {wanted.cl_ord_id!r} was never answered")

    def compare_truth(self, entry: Entry, truth: Truth) -> None:
        expected = {OPEN: {NEW, 3}, DONE: {FILLED}, GONE: {CANCELED}, TURNED_AWAY: {REJECTED}}[truth.status]
        if entry.status not in expected or entry.leaves != truth.leaves or entry.fills != len(truth.fills):
            self.fail(
                f"order {entry.order_no}: status {entry.status}, leaves {entry.leaves}, fills {entry.fills}; exchange: "
                f"{truth.status}, {truth.leaves}, {len(truth.fills)}"
            )
