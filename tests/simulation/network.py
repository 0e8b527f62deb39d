"""Streams between actors: in order, with latency, until they break. Nothing is lost in a stream but by its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLER, CALLED = 0, 1


class Stream:
    """One connection. receive, lost: of the caller's end and the called end."""

    __slots__ = (
        "arrived",
        "called_by",
        "called_venue",
        "is_open",
        "is_silent",
        "latency_ns",
        "lost",
        "receive",
        "stalled_until",
        "world",
    )

    def __init__(self, world: Any, latency_ns: int) -> None:
        self.world, self.latency_ns = world, latency_ns
        self.receive: list[Callable[[Stream, Any], Any]] = [ignore, ignore]
        self.lost: list[Callable[[Stream], Any]] = [ignore_end, ignore_end]
        self.arrived = [0, 0]
        self.stalled_until = 0
        self.is_open = True
        self.is_silent = False
        self.called_by: Any = None

    def send(self, end: int, message: Any) -> None:
        """To the other end, after everything sent before."""
        if not self.is_open:
            return
        world = self.world
        when = world.now + self.latency_ns + int(world.random() * self.latency_ns)
        when = max(when, self.arrived[end], self.stalled_until)
        self.arrived[end] = when
        world.at(when, self.arrive_at_called if end == CALLER else self.arrive_at_caller, message)

    def arrive_at_called(self, message: Any) -> Any:
        return self.receive[CALLED](self, message) if self.is_open else False

    def arrive_at_caller(self, message: Any) -> Any:
        return self.receive[CALLER](self, message) if self.is_open else False

    def stall(self, until_ns: int) -> None:
        """A partition: nothing arrives before then."""
        self.stalled_until = until_ns

    def cut(self, *, after_ns: tuple[int, int] = (0, 0)) -> None:
        """Lose what is under way; each end hears of it so much later."""
        if not self.is_open:
            return
        self.is_open = False
        for end in (CALLER, CALLED):
            self.world.after(after_ns[end], self.lost[end], self)


def ignore(stream: Stream, message: Any) -> bool:
    return False


def ignore_end(stream: Stream) -> bool:
    return False
