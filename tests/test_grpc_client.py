"""loadtest.grpc_client and its pump, against both transports."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from ext.buffers import Turn
from ext.rpc import RpcError, Status
from gateway.transport import TRANSPORTS, Limits, serve
from loadtest.grpc_client import ClientConnection, RequestHead, UnaryCall, connect
from loadtest.grpc_pump import Pump
from tests.conformance.service import COMMAND, ECHO, ECHO_ONE, make_service

WAIT_S = 10


def run_against(transport: str, test: Callable[[ClientConnection], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        turn = Turn(asyncio.get_running_loop().call_soon)
        server = await serve(
            transport, make_service(turn), turn, "127.0.0.1", 0, limits=Limits(max_concurrent_streams=100)
        )
        connection = await connect(turn, "127.0.0.1", server.port)
        try:
            return await asyncio.wait_for(test(connection), WAIT_S)
        finally:
            connection.close()
            await server.close()

    return uvloop.run(main())


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("size", [0, 1, 80, 20_000, 300_000])
def test_a_unary_call(transport: str, size: int) -> None:
    async def test(connection: ClientConnection) -> bytes:
        return await UnaryCall(connection, RequestHead(ECHO_ONE), b"x" * size).response

    assert run_against(transport, test) == b"x" * size


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_status_is_an_rpc_error(transport: str) -> None:
    async def test(connection: ClientConnection) -> tuple[int, str]:
        with pytest.raises(RpcError) as caught:
            await UnaryCall(connection, RequestHead(COMMAND), "fail:16:谁?".encode()).response
        return caught.value.status, caught.value.text

    assert run_against(transport, test) == (Status.UNAUTHENTICATED, "谁?")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_metadata_is_sent(transport: str) -> None:
    async def test(connection: ClientConnection) -> list[bytes]:
        head = RequestHead(COMMAND, {"authorization": "Bearer t", "raw-bin": b"\0\xff"})
        return [
            await UnaryCall(connection, head, f"metadata:{key}".encode()).response
            for key in ("authorization", "raw-bin")
        ]

    assert run_against(transport, test) == [b"'Bearer t'", rb"b'\x00\xff'"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("in_flight", [1, 7, 64])
def test_a_stream_pump_gets_every_answer(transport: str, in_flight: int) -> None:
    async def test(connection: ClientConnection) -> tuple[int, bool]:
        pump = Pump(connection, RequestHead(ECHO), b"o" * 80, 1000)
        await pump.run_stream(in_flight)
        return pump.answered, all(0 < round_trip < WAIT_S * 10**9 for round_trip in pump.round_trips())

    assert run_against(transport, test) == (1000, True)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("in_flight", [1, 64])
def test_a_unary_pump_gets_every_answer(transport: str, in_flight: int) -> None:
    async def test(connection: ClientConnection) -> int:
        pump = Pump(connection, RequestHead(ECHO_ONE), b"o" * 80, 500)
        await pump.run_unary(in_flight)
        return pump.answered

    assert run_against(transport, test) == 500


def test_a_failing_pump_says_so() -> None:
    async def test(connection: ClientConnection) -> None:
        await Pump(connection, RequestHead("/no/Method"), b"", 10).run_unary(2)

    with pytest.raises(RuntimeError, match="status 12: unknown method /no/Method"):
        run_against("native", test)


def test_calls_end_with_the_connection() -> None:
    async def test(connection: ClientConnection) -> list[int]:
        running = UnaryCall(connection, RequestHead(COMMAND), b"sleep:5000")
        await asyncio.sleep(0.05)
        unsent = UnaryCall(connection, RequestHead(COMMAND), b"sleep:5000")
        connection.close()
        ended = await asyncio.gather(running.response, unsent.response, return_exceptions=True)
        late = UnaryCall(connection, RequestHead(COMMAND), b"sleep:5000")
        ended += await asyncio.gather(late.response, return_exceptions=True)
        return [error.status for error in ended]

    assert run_against("native", test) == [Status.UNAVAILABLE] * 3


def test_a_server_that_does_not_greet_times_out() -> None:
    async def main(port: int) -> None:
        await connect(Turn(asyncio.get_running_loop().call_soon), "127.0.0.1", port, timeout_s=0.2)

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TimeoutError):
            uvloop.run(main(silent.getsockname()[1]))
