"""gateway.transport: the choice of a transport, its port, its limits."""

import asyncio
import socket

import pytest
import uvloop

from ext.buffers import Turn
from ext.echo import echo_service
from gateway.transport import SECOND_NS, TRANSPORTS, Limits, serve


async def serve_echo(transport: str, port: int = 0) -> int:
    turn = Turn(asyncio.get_running_loop().call_soon)
    server = await serve(transport, echo_service(turn), turn, "127.0.0.1", port)
    await server.close()
    return server.port


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_free_port_is_picked(transport: str) -> None:
    assert uvloop.run(serve_echo(transport)) > 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_port_in_use_is_an_os_error(transport: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"."):
            uvloop.run(serve_echo(transport, taken.getsockname()[1]))


def test_an_unknown_transport_is_named() -> None:
    with pytest.raises(ValueError, match="'http3', expected one of native, grpcio"):
        uvloop.run(serve_echo("http3"))


@pytest.mark.parametrize(
    ("shortest_ns", "tick_s"), [(2 * SECOND_NS, 0.5), (SECOND_NS // 1000, 0.02), (10 * SECOND_NS, 1.0)]
)
def test_ticks_follow_the_shortest_limit(shortest_ns: int, tick_s: float) -> None:
    assert Limits(handshake_ns=shortest_ns).tick_s == tick_s
