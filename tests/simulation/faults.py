"""What goes wrong, and when: every fault is drawn from the world's seed."""
from __future__ import annotations

from typing import Any

from tests.simulation.checks import ACCOUNT, FIRM, GROUP, PORT, Latch
from tests.simulation.network import CALLED, Stream
from tests.simulation.scene import CONTINUOUS, LUNCH, MS, XSHE, XSHG

PLACES = ((PORT, 0), (PORT, 1), (PORT, 2), (ACCOUNT, 0), (ACCOUNT, 1), (ACCOUNT, 2), (ACCOUNT, 3), (GROUP, 0), (FIRM, 0))


class Faults:
    """Draws a fault again and again, some milliseconds apart, until the world is calm."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.pause_ns = int((2 + 20 * world.random()) * MS)
        self.report_faults = 0.002 if world.random() < 0.7 else 0.0
        self.kinds = [
            (self.crash, 3.0), (self.hang_up, 3.0), (self.cut_exchange, 3.0), (self.pause, 2.0), (self.kill, 1.0),
            (self.unkill, 3.0), (self.lunch, 1.0), (self.reload, 1.0), (self.stall, 2.0), (self.partition, 1.0),
        ]  # fmt: skip
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

    # Faults; each says whether it did anything

    def crash(self) -> bool:
        """kill -9: at once, or within whatever it does next."""
        world = self.world
        node = world.node
        if not node.is_up or node.doomed is not None:
            return False
        node.doom()
        if world.random() < 0.3:
            node.turn_over()
        return True

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

    def pause(self) -> bool:
        """SIGSTOP for some milliseconds."""
        world = self.world
        world.node.paused_until = world.now + int((1 + world.random() * 30) * MS)
        return True

    def stall(self) -> bool:
        """One stream's packets are held up."""
        world = self.world
        streams = list(world.node.streams)
        if not streams:
            return False
        streams[int(world.random() * len(streams))].stall(world.now + int(world.random() * 10 * MS))
        return True

    def partition(self) -> bool:
        """Everything from and to the shard is held up for a while."""
        world = self.world
        until_ns = world.now + int(world.random() * 20 * MS)
        for stream in world.node.streams:
            stream.stall(until_ns)
        return True

    def kill(self) -> bool:
        world = self.world
        if not world.node.is_up or world.node.paused_until > world.now:
            return False
        place = PLACES[int(world.random() * len(PLACES))]
        life = world.node.lives
        end = world.node.kill(place, True)
        latch = Latch(place, end)
        if place not in world.checks.latches:
            world.checks.latches[place] = latch
        if world.node.is_up and world.node.lives == life:
            world.checks.latches[place].is_told = True
        return True

    def unkill(self) -> bool:
        world = self.world
        if not world.node.is_up or not world.checks.latches or world.node.paused_until > world.now:
            return False
        place = min(world.checks.latches)
        latch = world.checks.latches.pop(place)
        world.node.kill(place, False)
        if not world.node.is_up:
            # It died before it said whether it had unlatched: the next life is asked again.
            latch.is_told = False
            world.doubtful.add(place)
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
        world = self.world
        if not world.node.is_up or world.node.paused_until > world.now:
            return False
        scene = world.scene
        world.node.reload(scene.tight_limits if world.random() < 0.5 else scene.limits, world.next_program())
        return True
