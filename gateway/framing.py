"""Length-prefixed messages over a stream socket: four octets of size, little-endian, then as many."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

MOST_FRAME_BYTES = 1 << 27
SIZE_BYTES = 4


class Framed(asyncio.Protocol):
    """One end of the connection.

    on_message: called with each whole message; on_lost: called once, when the other end is gone; turn: what leaves
    passes its gate (ext/gate.pyx), None: it leaves at once.
    """

    def __init__(self, on_message: Callable[[bytes], None], on_lost: Callable[[], None], turn: Any = None) -> None:
        self.turn = turn
        self.on_message = on_message
        self.on_lost = on_lost
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.writable = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.writable.clear()
        self.on_lost()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        start = 0
        while len(self.buffer) - start >= SIZE_BYTES:
            size = int.from_bytes(self.buffer[start : start + SIZE_BYTES], "little")
            if size > MOST_FRAME_BYTES:
                self.close()
                return
            end = start + SIZE_BYTES + size
            if len(self.buffer) < end:
                break
            message = bytes(self.buffer[start + SIZE_BYTES : end])
            start = end
            self.on_message(message)
        del self.buffer[:start]

    def send(self, message: bytes) -> None:
        """Queue one message; dropped when the other end is gone, which on_lost has told or will tell."""
        if self.is_open and self.transport is not None:
            octets = len(message).to_bytes(SIZE_BYTES, "little") + message
            if self.turn is None:
                self.transport.write(octets)
            else:
                self.turn.write(self.transport, octets)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
