"""What goes wrong, and when: every fault is drawn from the world's seed."""

from __future__ import annotations

from typing import Any

from gateway.owner import Step
from tests.simulation.checks import ACCOUNT, FIRM, GROUP, PORT
from tests.simulation.disk import fill_up, make_room
from tests.simulation.network import CALLED, Stream
from tests.simulation.scene import CONTINUOUS, LUNCH, MS, XSHE, XSHG

PLACES = (
    (PORT, 0),
    (PORT, 1),
    (PORT, 2),
    (ACCOUNT, 0),
    (ACCOUNT, 1),
    (ACCOUNT, 2),
    (ACCOUNT, 3),
    (GROUP, 0),
    (FIRM, 0),
)


class Faults:
    """Draws a fault again and again, some milliseconds apart, until the world is calm."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.pause_ns = int((2 + 20 * world.random()) * MS) << world.has_cluster
        self.report_faults = 0.002 if world.random() < 0.7 else 0.0
        self.kinds = [
            (self.crash, 3.0),
            (self.hang_up, 3.0),
            (self.cut_exchange, 3.0),
            (self.pause, 2.0),
            (self.kill, 1.0),
            (self.unkill, 3.0),
            (self.lunch, 1.0),
            (self.reload, 1.0),
            (self.stall, 2.0),
        ]
        if world.has_cluster:
            self.kinds += [
                (self.partition, 1.5),
                (self.hand_over, 2.0),
                (self.redis_down, 0.3),
                (self.lose_disk, 0.5),
                (self.cut_replication, 1.0),
                (self.long_pause, 0.5),
            ]
        if world.kind == "process":
            self.kinds.append((self.disk_full, 1.0))
        self.total = sum(weight for _, weight in self.kinds)
        world.after(10 * MS, self.strike, None)

    def strike(self, _: Any) -> Any:
        world = self.world
        if world.is_calm:
            return False
        world.after(int(world.random() * 2 * self.pause_ns), self.strike, None)
        draw = world.random() * self.total
        for fault, weight in self.kinds:
            draw -= weight
            if draw < 0:
                return fault()
        return False

    def send_report(self, session: Stream, report: tuple) -> None:
        """An exchange's report on its way: now and then lost with a later one following, or told twice."""
        world = self.world
        if not self.report_faults or world.is_calm or world.random() >= self.report_faults:
            session.send(CALLED, report)
            return
        if world.random() < 0.5:
            session.send(CALLED, report)
            session.send(CALLED, report)

    def some_node(self) -> Any:
        return self.world.nodes[int(self.world.random() * len(self.world.nodes))]

    def judged(self) -> Any:
        """The process that is the shard, if it runs just now."""
        node = self.world.judged
        return node if node is not None and node.is_serving and node.paused_until <= self.world.now else None

    # Processes. Each fault says whether it happened

    def crash(self) -> bool:
        """kill -9: at once, or within whatever it does next."""
        node = self.some_node()
        if not node.is_up or node.doomed is not None:
            return False
        node.doom()
        if self.world.random() < 0.3:
            node.turn_over()
        return True

    def pause(self) -> bool:
        """SIGSTOP for some milliseconds."""
        world = self.world
        return self.stop(self.some_node(), int((1 + world.random() * 30) * MS))

    def long_pause(self) -> bool:
        """SIGSTOP for longer than a lease."""
        world = self.world
        return self.stop(self.some_node(), int((1 + 2 * world.random()) * world.lease_ms * MS))

    def stop(self, node: Any, for_ns: int) -> bool:
        if not node.is_up:
            return False
        node.paused_until = self.world.now + for_ns
        return True

    def hand_over(self) -> bool:
        node = self.judged()
        if node is None or node.doomed is not None:
            return False
        node.loop.enter(node.loop.create_task, node.hand_over())
        return True

    def lose_disk(self) -> bool:
        """A machine is gone with its disk; the owner's only while another holds all that was told."""
        node = self.some_node()
        if not node.is_up or self.world.durability != "replica" or not self.has_other(node):
            return False
        node.lose_disk()
        return True

    def has_other(self, node: Any) -> bool:
        """Whether another disk holds all that this shard ever told."""
        world = self.world
        record, other = world.redis.record, world.nodes[1 - world.nodes.index(node)]
        if record.owner == other.identity:
            return True
        owner = node.member.owner
        feed = owner.feed if owner is not None else None
        in_step = feed is not None and owner.step is Step.IN_STEP and feed.standby.node == other.identity
        return record.owner == node.identity and record.standby == other.identity and in_step

    def disk_full(self) -> bool:
        """The disk takes nothing for a while."""
        fill_up()
        self.world.after(int(self.world.random() * 30 * MS), self.after_disk_full, None)
        return True

    def after_disk_full(self, _: Any) -> bool:
        make_room()
        return True

    # The network

    def hang_up(self) -> bool:
        client = self.world.clients[int(self.world.random() * len(self.world.clients))]
        client.hang_up()
        return True

    def cut_exchange(self) -> bool:
        """The session breaks; one end may hear of it much later than the other."""
        random = self.world.random
        session = self.world.exchanges[XSHG if random() < 0.5 else XSHE].session
        if session is None or not session.is_open:
            return False
        session.cut(after_ns=(int(random() * 3 * MS), int(random() * 3 * MS)))
        return True

    def cut_replication(self) -> bool:
        """The connection between the nodes breaks."""
        node = self.some_node()
        streams = [stream for stream in node.loop.streams if stream.is_open] if node.is_up else []
        if not streams:
            return False
        streams[-1].cut()
        return True

    def stall(self) -> bool:
        """One stream's packets are held up."""
        world, node = self.world, self.some_node()
        streams = list(node.streams)
        if not streams:
            return False
        streams[int(world.random() * len(streams))].stall(world.now + int(world.random() * 10 * MS))
        return True

    def partition(self) -> bool:
        """A node is cut off from the store, from the other node, from its clients and exchanges, or from everything."""
        world, node = self.world, self.some_node()
        until_ns = world.now + int(world.random() * 2 * world.lease_ms * MS)
        draw = world.random()
        if draw < 0.5:
            world.apart[frozenset((node, world.redis))] = until_ns
        if 0.3 < draw < 0.9:
            world.apart[frozenset(world.nodes)] = until_ns
            for stream in node.loop.streams if node.is_up else ():
                stream.stall(until_ns)
        if draw > 0.8:
            for stream in node.streams:
                stream.stall(until_ns)
        return True

    def redis_down(self) -> bool:
        """The store is away for a while."""
        world = self.world
        world.redis.down_until = world.now + int(world.random() * 3 * world.lease_ms * MS)
        return True

    # Officers and the market

    def kill(self) -> bool:
        node = self.judged()
        if node is None:
            return False
        node.kill(*PLACES[int(self.world.random() * len(PLACES))], True)
        return True

    def unkill(self) -> bool:
        node = self.judged()
        if node is None or not self.world.checks.latches:
            return False
        place = min(self.world.checks.latches)
        del self.world.checks.latches[place]
        node.kill(*place, False)
        return True

    def lunch(self) -> bool:
        """No cancels for a while."""
        world = self.world
        venue = XSHG if world.random() < 0.5 else XSHE
        world.phases[venue] = LUNCH
        world.after(int(world.random() * 50 * MS), self.after_lunch, venue)
        return True

    def after_lunch(self, venue: int) -> bool:
        self.world.phases[venue] = CONTINUOUS
        return True

    def reload(self) -> bool:
        node, scene = self.judged(), self.world.scene
        if node is None:
            return False
        node.reload(scene.tight_limits if self.world.random() < 0.5 else scene.limits, self.world.next_program())
        return True
