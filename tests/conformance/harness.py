"""Runs one server on a thread of its own, so that blocking clients can be used beside it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from ext.buffers import Turn
from gateway.transport import Limits, Server, Tls, serve

WAIT_S = 15.0


class RunningServer:
    """A served service. service_factory: Turn -> mapping of method path -> Method."""

    def __init__(
        self, transport: str, service_factory: Callable[[Turn], Any], limits: Limits | None, tls: Tls | None
    ) -> None:
        self.transport = transport
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.closed = False

        async def start() -> Server:
            turn = Turn(self.loop.call_soon)
            return await serve(transport, service_factory(turn), turn, "127.0.0.1", 0, tls=tls, limits=limits)

        self.server = self.run(start())
        self.port = self.server.port
        self.address = f"127.0.0.1:{self.port}"

    def run(self, work: Awaitable[Any], timeout_s: float = WAIT_S) -> Any:
        """Run a coroutine on the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def counters(self) -> dict[str, Any]:
        async def read() -> dict[str, Any]:
            return self.server.counters()

        return self.run(read())

    def start_drain(self, grace_s: float) -> Any:
        """Begin a graceful shutdown; returns a future."""
        return asyncio.run_coroutine_threadsafe(self.server.drain(grace_s), self.loop)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.run(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT_S)
        self.loop.close()
