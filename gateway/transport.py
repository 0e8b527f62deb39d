"""What both gRPC transports share: their limits, the shape of a running server, and the choice between them."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway.errands import Errands

TRANSPORTS = ("native", "grpcio")
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """What one server grants its clients. Sizes in bytes, times in nanoseconds."""

    max_message_bytes: int = 1 << 22
    max_partial_bytes: int = 1 << 24  # unfinished messages of one connection, over all its streams
    max_header_bytes: int = 1 << 14
    max_concurrent_streams: int = 1024
    max_connections: int = 8192
    backlog: int = 4096  # connections that the kernel keeps for us until they are taken in
    stream_window_bytes: int = 1 << 20
    connection_window_bytes: int = 1 << 24
    control_frames_per_s: int = 200  # PING, SETTINGS, PRIORITY and empty DATA frames of one connection
    resets_per_s: int = 1000  # streams one connection may reset, or have reset for its own errors
    handshake_ns: int = 10 * SECOND_NS  # until the client's first SETTINGS, and for one header block
    idle_ns: int = 1800 * SECOND_NS  # without any stream
    keepalive_ns: int = 30 * SECOND_NS  # without a byte from the client, until it is pinged
    keepalive_timeout_ns: int = 10 * SECOND_NS  # from that ping until the connection is cut
    write_stall_ns: int = 20 * SECOND_NS  # the client's socket takes nothing

    @property
    def tick_s(self) -> float:
        """How often connections are looked after: a few times per shortest limit."""
        shortest = min(
            self.handshake_ns, self.idle_ns, self.keepalive_ns, self.keepalive_timeout_ns, self.write_stall_ns
        )
        return min(max(shortest / 4 / SECOND_NS, 0.02), 1.0)


class Server(Protocol):
    """A running gRPC server, whichever transport it is."""

    port: int

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, let the running ones end for grace_s seconds, end the rest with UNAVAILABLE, close."""

    async def close(self) -> None:
        """Close at once."""

    def counters(self) -> dict[str, Any]:
        """What the server has seen since it started; see ext.http2.Counters.snapshot."""


@dataclass(frozen=True)
class Tls:
    """PEM files of the server's certificate chain and private key."""

    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """A context that speaks HTTP/2 alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["h2"])
        return context

    def pem(self) -> tuple[bytes, bytes]:
        """The octets of both files: key, certificate chain."""
        return Path(self.key).read_bytes(), Path(self.certificate).read_bytes()


async def serve(
    transport: str,
    service: Mapping[str, Any],
    turn: Any,
    host: str,
    port: int,
    *,
    tls: Tls | None = None,
    limits: Limits | None = None,
    errands: Errands | None = None,
) -> Server:
    """Serve `service` (method path -> ext.rpc.Method) on host:port by the named transport; port 0 picks a free one.

    errands: where the native transport takes in connections, one at a time; grpcio has threads of its own for that.

    Raises ValueError for an unknown transport and OSError when the port cannot be bound.
    """
    if transport == "native":
        from gateway import grpc_native

        return await grpc_native.serve(service, turn, host, port, tls=tls, limits=limits, errands=errands)
    if transport == "grpcio":
        from gateway import grpc_reference

        return await grpc_reference.serve(service, turn, host, port, tls=tls, limits=limits)
    raise ValueError(f"transport: {transport!r}, expected one of {', '.join(TRANSPORTS)}")


async def wait_until_gone(connections: set[Any], timeout_s: float) -> bool:
    """Wait until the set is empty; False when it is not after timeout_s."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while connections and loop.time() < end:
        await asyncio.sleep(0.01)
    return not connections


def stay_awake(loop: asyncio.AbstractEventLoop) -> None:
    """Poll the sockets instead of sleeping on them, for as long as the loop runs.

    Saves the wake-up of an idle core on every lone message, and burns that core: only for a process that owns one.
    """

    def again() -> None:
        loop.call_soon(again)

    again()
