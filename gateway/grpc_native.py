"""The native gRPC server: sockets and time limits around ext.grpc_transport's connections. Serves no method itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ext.grpc_transport import ServerConnection, ServerContext
from ext.rpc import Status

from gateway.transport import Limits, Tls, wait_until_gone

LAST_WORDS_S = 1.0


class NativeServer:
    """A running native server; see gateway.transport.Server."""

    def __init__(self, context: Any, listener: asyncio.Server, limits: Limits) -> None:
        self.context = context
        self.listener = listener
        self.limits = limits
        self.port: int = listener.sockets[0].getsockname()[1]
        self.ticking = asyncio.get_running_loop().create_task(self.tick())

    async def tick(self) -> None:
        """Look after every connection's time limits until the server closes."""
        while True:
            await asyncio.sleep(self.limits.tick_s)
            for connection in list(self.context.connections):
                connection.tick()

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, let the running ones end for grace_s seconds, end the rest with UNAVAILABLE, close."""
        self.listener.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        for connection in list(self.context.connections):
            connection.drain()
        await asyncio.sleep(min(0.06, grace_s))
        while self.context.connections and loop.time() < end:
            for connection in list(self.context.connections):
                connection.go_away()
            await asyncio.sleep(0.02)
        for connection in list(self.context.connections):
            connection.end_calls(int(Status.UNAVAILABLE), "the server is shutting down")
            connection.go_away()
        await asyncio.sleep(0)
        for connection in list(self.context.connections):
            connection.go_away()
        await wait_until_gone(self.context.connections, LAST_WORDS_S)
        await self.close()

    async def close(self) -> None:
        """Close at once."""
        self.ticking.cancel()
        self.listener.close()
        for connection in list(self.context.connections):
            connection.abort()
        await wait_until_gone(self.context.connections, LAST_WORDS_S)

    def counters(self) -> dict[str, Any]:
        """What the server has seen since it started; see ext.http2.Counters.snapshot."""
        counters: dict[str, Any] = self.context.counters.snapshot()
        return counters | {"open_connections": len(self.context.connections)}


async def serve(
    service: Mapping[str, Any], turn: Any, host: str, port: int, *, tls: Tls | None = None, limits: Limits | None = None
) -> NativeServer:
    """Serve `service` (method path -> ext.rpc.Method) on host:port; port 0 picks a free one."""
    limits = limits or Limits()
    loop = asyncio.get_running_loop()
    context = ServerContext(turn, dict(service), limits, loop)
    tls_arguments: dict[str, Any] = {}
    if tls is not None:
        tls_arguments = {"ssl": tls.context(), "ssl_handshake_timeout": limits.handshake_ns / 1e9}
    listener = await loop.create_server(lambda: ServerConnection(context), host, port, backlog=1024, **tls_arguments)
    return NativeServer(context, listener, limits)
