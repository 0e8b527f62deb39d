"""A node's ends of the streams to clients and exchanges, as transports: what is written here has left the process."""

from __future__ import annotations

from typing import Any

from tests.simulation import edge
from tests.simulation.network import CALLED, CALLER, Stream


class ClientWire:
    """To a client: whole messages."""

    __slots__ = ("loop", "node", "stream")

    def __init__(self, node: Any, stream: Stream) -> None:
        self.node, self.stream, self.loop = node, stream, node.loop

    def write(self, octets: bytes) -> None:
        if self.loop.is_muted:
            return
        checks = self.node.checks
        for message in edge.split(octets):
            told = edge.report_of(message)
            if len(told) > 1:
                checks.on_release(told)
            self.stream.send(CALLED, (message, told))

    def is_closing(self) -> bool:
        return not self.stream.is_open

    def close(self) -> None:
        """The call is over: its end is told behind everything else."""
        if not self.loop.is_muted:
            self.stream.send(CALLED, None)


class ExchangeWire:
    """To an exchange: only its owner's process may write here."""

    __slots__ = ("loop", "node", "stream")

    def __init__(self, node: Any, stream: Stream) -> None:
        self.node, self.stream, self.loop = node, stream, node.loop

    def write(self, octets: bytes) -> None:
        if not self.loop.is_muted:
            self.node.checks.on_write(self.node)
            self.stream.send(CALLER, octets)

    def is_closing(self) -> bool:
        return not self.stream.is_open

    def close(self) -> None:
        self.stream.cut()
