"""The native gRPC server: sockets and time limits around ext.grpc_transport's connections. Serves no method itself."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from ext.grpc_transport import ServerConnection, ServerContext
from ext.rpc import Status
from gateway.errands import Errands
from gateway.transport import Limits, Tls, wait_until_gone

LAST_WORDS_S = 1.0
LOOKED_AFTER_AT_ONCE = 64  # connections in one loop turn
OUT_OF_FILES_S = 0.1
GREETING_NS = 100_000  # what a new connection costs outside of errands: its transport, preface, settings, first headers


class Door:
    """Takes in connections one at a time, as an errand: a storm waits in the kernel's backlog, not in our loop.

    make: a new connection's protocol.
    """

    def __init__(
        self, listener: socket.socket, make: Callable[[], asyncio.Protocol], errands: Errands,
        tls: ssl.SSLContext | None, handshake_s: float
    ) -> None:
        self.listener = listener
        self.make = make
        self.errands = errands
        self.tls = tls
        self.handshake_s = handshake_s
        self.loop = asyncio.get_running_loop()
        self.greetings: set[asyncio.Task[None]] = set()
        self.open()

    def open(self) -> None:
        """Watch the listener, unless it was closed meanwhile."""
        if self.listener.fileno() >= 0:
            self.loop.add_reader(self.listener, self.knock)

    def knock(self) -> None:
        """Somebody waits: no more of that until all who do are in."""
        self.loop.remove_reader(self.listener)
        self.errands.add(self.take_one)

    def take_one(self) -> bool:
        """Take in one connection; True once nobody waits any more."""
        if self.listener.fileno() < 0:
            return True
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            self.open()
            return True
        except ConnectionAbortedError:
            return False
        except OSError:
            self.loop.call_later(OUT_OF_FILES_S, self.open)
            return True
        self.errands.charge(GREETING_NS)
        task = self.loop.create_task(self.greet(connection))
        self.greetings.add(task)
        task.add_done_callback(self.greetings.discard)
        return False

    async def greet(self, connection: socket.socket) -> None:
        """Give the connection its protocol; a client whose TLS fails is gone."""
        timeout_s = None if self.tls is None else self.handshake_s
        with contextlib.suppress(OSError):
            await self.loop.connect_accepted_socket(
                self.make, connection, ssl=self.tls, ssl_handshake_timeout=timeout_s
            )

    def close(self) -> None:
        """Take in nobody more."""
        if self.listener.fileno() >= 0:
            self.loop.remove_reader(self.listener)
            self.listener.close()


class NativeServer:
    """A running native server; see gateway.transport.Server."""

    def __init__(self, context: Any, doors: list[Door], limits: Limits) -> None:
        self.context = context
        self.doors = doors
        self.limits = limits
        self.port: int = doors[0].listener.getsockname()[1]
        self.ticking = asyncio.get_running_loop().create_task(self.tick())

    async def tick(self) -> None:
        """Look after every connection's time limits until the server closes."""
        while True:
            await asyncio.sleep(self.limits.tick_s)
            for at, connection in enumerate(list(self.context.connections)):
                if at % LOOKED_AFTER_AT_ONCE == LOOKED_AFTER_AT_ONCE - 1:
                    await asyncio.sleep(0)
                connection.tick()

    def close_doors(self) -> None:
        for door in self.doors:
            door.close()

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, let the running ones end for grace_s seconds, end the rest with UNAVAILABLE, close."""
        self.close_doors()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        told: set[Any] = set()
        while True:
            # Who was on the way in when the door closed is told later than the others, and given as long.
            known = set(self.context.connections)
            for connection in known - told:
                connection.drain()
            await asyncio.sleep(min(0.06, max(end - loop.time(), 0)) if known - told else 0.02)
            for connection in told & self.context.connections:
                connection.go_away()
            told = known
            if not self.context.connections or loop.time() >= end:
                break
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
        self.close_doors()
        for connection in list(self.context.connections):
            connection.abort()
        await wait_until_gone(self.context.connections, LAST_WORDS_S)

    def counters(self) -> dict[str, Any]:
        """What the server has seen since it started; see ext.http2.Counters.snapshot."""
        counters: dict[str, Any] = self.context.counters.snapshot()
        return counters | {
            "open_connections": len(self.context.connections), "unread_bytes": self.context.turns.unread_size
        }


async def listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """A listener for each address of the host, all on one port. Raises OSError when one cannot be bound."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(listeners) > 1:
                address = (address[0], listeners[0].getsockname()[1], *address[2:])
            listener.bind(address)
            listener.listen(backlog)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


async def serve(
    service: Mapping[str, Any],
    turn: Any,
    host: str,
    port: int,
    *,
    tls: Tls | None = None,
    limits: Limits | None = None,
    errands: Errands | None = None,
) -> NativeServer:
    """Serve `service` (method path -> ext.rpc.Method) on host:port; port 0 picks a free one."""
    limits = limits or Limits()
    errands = errands or Errands()
    loop = asyncio.get_running_loop()
    context = ServerContext(turn, dict(service), limits, loop, errands.add)
    secure = None if tls is None else tls.context()
    listeners = await listen(host, port, limits.backlog)
    doors = [
        Door(listener, lambda: ServerConnection(context), errands, secure, limits.handshake_ns / 1e9)
        for listener in listeners
    ]
    return NativeServer(context, doors, limits)
