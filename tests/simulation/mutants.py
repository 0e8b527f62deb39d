"""Mistakes, each of which the simulator must find: the product as it is, with one thing done wrong at a seam around
it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from gateway import owner, replication
from gateway.pb import order_entry_pb2 as pb
from tests.simulation import edge
from tests.simulation.exchange import CANCELLED, NO_ID, NOWHERE, TRADE
from tests.simulation.node import TORN, Node
from tests.simulation.scene import ACCOUNT_NAMES, ACCOUNTS, INDEX_OF, SYMBOLS
from tests.simulation.world import Violation, World

SOME = 0.2  # how often a mistake is made where it could be


@dataclass(frozen=True)
class Mutant:
    """node: stands in for every node; patches: (owner, attribute, value) for the time of a life. kind: a world in
    which the mistake can matter, as World's `kind`."""

    node: type[Node] = Node
    patches: tuple[tuple[Any, str, Any], ...] = field(default=())
    kind: str = ""


class AppliesTwice(Node):
    def take_report(self, venue: int, report: tuple) -> bool:
        taken = super().take_report(venue, report)
        if taken and report[0] == TRADE and self.world.random() < SOME:
            super().take_report(venue, (*report[:2], self.engine.next_report_index(venue, report[1]), *report[3:]))
        return taken


class IgnoresGaps(Node):
    def take_report(self, venue: int, report: tuple) -> bool:
        index = self.engine.next_report_index(venue, report[1])
        return super().take_report(venue, (*report[:2], index, *report[3:]) if report[2] > index else report)


class ReleasesOnRequest(Node):
    def on_client(self, stream: Any, octets: bytes) -> Any:
        if octets[0] == 26 and self.is_serving and self.world.random() < SOME:
            wanted = self.world.wanted.get(cancelled_by(octets))
            if wanted is not None and wanted.order_no:
                self.take_report(
                    1, (CANCELLED, 1, 0, edge.venue_id(wanted.order_no), NO_ID, NOWHERE, NOWHERE, 0, 0, 0, 0, 0)
                )
        return super().on_client(stream, octets)


def cancelled_by(octets: bytes) -> tuple[int, bytes]:
    cancel = pb.ClientMessage.FromString(octets).cancel_order
    return INDEX_OF[cancel.account.encode()], cancel.orig_cl_ord_id.encode()


class ForgetsKills(Node):
    def kill(self, scope: int, index: int, killed: bool) -> None:
        if killed:
            self.checks.latch((scope, index), self.journal.end).tell()


class ResendsAnew(Node):
    def link(self, venue: int) -> None:
        super().link(venue)
        octets = self.outlets[venue].take()
        if octets:
            edge.send(self.turn, self.outlets[venue].stream, edge.renamed(octets, self.state.order_count + 1))


class NeverResends(Node):
    def link(self, venue: int) -> None:
        super().link(venue)
        self.outlets[venue].take()


class SendsFirst(Node):
    """What it says leaves before the journal has it."""

    def doom(self) -> None:
        super().doom()
        self.loop.is_muted = False

    def turn_over(self) -> None:
        if self.doomed is not None and self.doomed[2] == TORN and self.is_serving:
            self.flush(None)
        super().turn_over()


class BelievesTornFrames(Node):
    def crash(self) -> None:
        start, is_torn = self.doomed[1], self.doomed[2] == TORN
        disk, end = self.disk, self.journal.end
        before = edge.newest_crc(self.journal, start)
        super().crash()
        if is_torn and end > start:
            edge.complete(disk.fd, start, end, before)


class ForgetsSequences(Node):
    def compare_left(self, found: Any) -> None:
        super().compare_left(found)
        for account in range(len(ACCOUNTS)) if self.lives > 1 else ():
            edge.forget_sequence(self.state, account)


class SkipsBacklogs(Node):
    def on_client(self, stream: Any, octets: bytes) -> Any:
        if octets[0] == 10 and self.is_serving:
            logon = pb.ClientMessage.FromString(octets)
            for cursor in logon.logon.accounts:
                cursor.last_event_seq = edge.account_row(self.state, INDEX_OF[cursor.account.encode()])[3]
            octets = logon.SerializeToString()
        return super().on_client(stream, octets)


class KeepsPositions(Node):
    """A fill moves money and no shares."""

    def take_report(self, venue: int, report: tuple) -> bool:
        places = [(account, at) for account in range(len(ACCOUNT_NAMES)) for at in range(len(SYMBOLS))]
        before = {place: edge.position_row(self.state, *place) for place in places}
        taken = super().take_report(venue, report)
        for place in places:
            edge.set_total(self.state, *place, before[place][0])
        return taken


class LosesHolds(Node):
    """Every fill gives back a little more than it should."""

    def take_report(self, venue: int, report: tuple) -> bool:
        taken = super().take_report(venue, report)
        if report[0] == TRADE:
            edge.release_cash(self.state, 0, 1)
        return taken


class AnswersAtOnce(Node):
    """Nothing waits at the gate: neither for the disk nor for the standby."""

    def flush(self, most: int | None) -> None:
        for line in self.ready[:most]:
            octets = line.take()
            if octets:
                line.stream.write(octets)
            if line.sink.status >= 0:
                line.stream.close()
        self.ready.clear()
        for outlet in self.outlets.values() if most is None else ():
            octets = outlet.take()
            if octets:
                outlet.stream.write(octets)
        edge.end_turn(self.gate)


class AppliesFramesTwice(Node):
    """A standby that applies now and then a frame again."""

    def on_followed(self, end: int) -> None:
        if not self.is_serving:
            edge.apply_again(self.engine, self.journal.newest)


class StaysOpen(Node):
    """It hands over and goes on."""

    stays = 0  # the life in which it did

    async def hand_over(self) -> None:
        if not self.member.standby_address or not self.is_serving:
            return
        try:
            await self.member.hand_over()
        except replication.ReplicationError:
            return
        self.stays = self.lives
        self.gate = edge.ClockedGate(self.journal, self.world.clock, self.wall_ns)
        self.turn = edge.turn_of(self.gate)

    def on_lost(self, record: Any) -> None:
        if self.stays != self.lives:
            super().on_lost(record)


async def steps_down_alone(self: Any, feed: Any) -> None:
    """In the place of Owner.name: without a standby it speaks on, whatever the store says."""
    if feed is not None:
        await named(self, feed)
        return
    self.ownership.has_named = False
    self.trust()
    await asyncio.sleep(0)


named = owner.Owner.name
followed = replication.Follow.on_message


def says_too_early(self: Any, message: bytes, now_ns: int) -> None:
    """In the place of Follow.on_message: says that octets are here, and appends them when the next ones come."""
    late = self.__dict__.setdefault("late", [])
    if message[0] != replication.OCTETS or self.welcomed is None:
        followed(self, message, now_ns)
        return
    while late:
        followed(self, late.pop(), now_ns)
    late.append(message)
    kept, self.journal_end = self.journal_end, self.journal_end + len(message) - 9
    self.acknowledge(0)
    self.journal_end = kept


MUTANTS = {
    "applies a report twice": Mutant(AppliesTwice),
    "ignores a gap in the reports": Mutant(IgnoresGaps),
    "releases the hold on a cancel request": Mutant(ReleasesOnRequest),
    "sends after the kill latch": Mutant(ForgetsKills),
    "resends an order in doubt under a new ClOrdID": Mutant(ResendsAnew),
    "never resends what is in doubt": Mutant(NeverResends),
    "sends before it journals": Mutant(SendsFirst, kind="process"),
    "takes a torn frame for whole": Mutant(BelievesTornFrames, kind="process"),
    "forgets the event sequences over a restart": Mutant(ForgetsSequences),
    "resumes a session without its backlog": Mutant(SkipsBacklogs),
    "does not move the position on a fill": Mutant(KeepsPositions),
    "gives back more than the hold": Mutant(LosesHolds),
    "acknowledges before the disk has it": Mutant(AnswersAtOnce, kind="disk"),
    "acknowledges before the standby has it": Mutant(AnswersAtOnce, kind="replica"),
    "a standby applies a frame twice": Mutant(AppliesFramesTwice, kind="replica"),
    "a hand-over leaves both open": Mutant(StaysOpen, kind="replica"),
    "steps down without asking the store": Mutant(patches=((owner.Owner, "name", steps_down_alone),), kind="replica"),
    "a standby acknowledges what it has not appended": Mutant(
        patches=((replication.Follow, "on_message", says_too_early),), kind="replica"
    ),
}


SEEDS = range(1, 41)  # where a mistake is looked for
STEPS = 8_000


def is_caught(mutant: Mutant) -> bool:
    """Whether some life with the mistake ends in a violation."""
    return any(ends_in_violation(seed, mutant) for seed in SEEDS)


def ends_in_violation(seed: int, mutant: Mutant) -> bool:
    try:
        World(seed, kind=mutant.kind, node_class=mutant.node, patches=mutant.patches).run(STEPS)
    except Violation:
        return True
    return False
