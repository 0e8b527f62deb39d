"""grpcio's asyncio client against every transport."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from tests.conformance.harness import RunningServer
from tests.conformance.service import COMMAND, COMMANDS, ECHO, ECHO_ONE

WAIT_S = 10


def run_with_channel(server: RunningServer, test: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with grpc.aio.insecure_channel(server.address) as channel:
            return await asyncio.wait_for(test(channel), WAIT_S)

    return asyncio.run(main())


def test_sixty_four_unary_calls_in_flight(server: RunningServer) -> None:
    async def test(channel: grpc.aio.Channel) -> list[bytes]:
        call = channel.unary_unary(ECHO_ONE)
        return await asyncio.gather(*(call(b"%d" % i) for i in range(640)))

    assert run_with_channel(server, test) == [b"%d" % i for i in range(640)]


def test_ping_pong_on_a_stream(server: RunningServer) -> None:
    async def test(channel: grpc.aio.Channel) -> None:
        stream = channel.stream_stream(ECHO)()
        for i in range(200):
            await stream.write(b"ping %d" % i)
            assert await stream.read() == b"ping %d" % i
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK

    run_with_channel(server, test)


def test_the_server_may_end_a_stream_first(server: RunningServer) -> None:
    async def test(channel: grpc.aio.Channel) -> None:
        stream = channel.stream_stream(COMMANDS)()
        await stream.write(b"end:7:not you")
        assert await stream.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await stream.details() == "not you"

    run_with_channel(server, test)


def test_cold_calls_do_not_wait_for_each_other(server: RunningServer) -> None:
    async def test(channel: grpc.aio.Channel) -> float:
        call = channel.unary_unary(COMMAND)
        start = asyncio.get_running_loop().time()
        assert await asyncio.gather(*(call(b"sleep:200") for _ in range(20))) == [b"slept"] * 20
        return asyncio.get_running_loop().time() - start

    assert run_with_channel(server, test) < 2.0


def test_cancelled_calls_leave_the_connection_usable(server: RunningServer) -> None:
    async def test(channel: grpc.aio.Channel) -> bytes:
        call = channel.unary_unary(COMMAND)
        for _ in range(20):
            running = call(b"sleep:5000")
            await asyncio.sleep(0.005)
            running.cancel()
        return await channel.unary_unary(ECHO_ONE)(b"still here")

    assert run_with_channel(server, test) == b"still here"
