"""ext.grpc_transport as its server sees it: coalesced writes, counters, time. The wire is in tests/conformance."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.rpc import Call, HotStream, PythonSink, Status
from gateway.grpc_native import NativeServer, serve
from gateway.transport import Limits, stay_awake
from loadtest.grpc_client import ClientConnection, ClientStream, RequestHead, UnaryCall, connect
from loadtest.grpc_pump import Pump
from tests.conformance.service import COMMAND, COMMANDS, ECHO, ECHO_ONE, make_service

WAIT_S = 10
TALK = "/test.Service/Talk"


class Witness(PythonSink):
    """Records what it is told, and answers everything with two messages."""

    def __init__(self, turn: Turn, call: Call, told: list[Any]) -> None:
        super().__init__(turn)
        self.told = told
        told.append(("open", call.path, call.metadata.get("authorization"), call.deadline_ns))

    def message(self, message: bytes, recv_ns: int) -> None:
        self.told.append(("message", message, abs(utc_now_ns() - recv_ns) < 10**9))
        self.send(b"one")
        self.send(b"two")

    def closed(self) -> None:
        self.told.append("closed")


def run_with_server(
    test: Callable[[NativeServer, ClientConnection], Awaitable[Any]],
    told: list[Any] | None = None,
    *,
    awake: bool = False,
) -> Any:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        turn = Turn(loop.call_soon)
        methods = make_service(turn)
        methods[TALK] = HotStream(lambda call: Witness(turn, call, told if told is not None else []))
        server = await serve(methods, turn, "127.0.0.1", 0, limits=Limits())
        if awake:
            stay_awake(loop)
        connection = await connect(turn, "127.0.0.1", server.port)
        try:
            return await asyncio.wait_for(test(server, connection), WAIT_S)
        finally:
            connection.close()
            await server.close()

    return uvloop.run(main())


def test_the_answers_of_one_read_leave_in_one_write() -> None:
    async def test(server: NativeServer, connection: ClientConnection) -> None:
        await Pump(connection, RequestHead(ECHO), b"o" * 80, 1).run_stream(1)
        before = server.counters()
        await Pump(connection, RequestHead(ECHO), b"o" * 80, 200).run_stream(200)
        after = server.counters()
        assert after["messages_out"] - before["messages_out"] == 200
        assert after["writes"] - before["writes"] <= 4

    run_with_server(test)


def test_answers_to_many_calls_of_one_turn_leave_in_one_write() -> None:
    async def test(server: NativeServer, connection: ClientConnection) -> None:
        await UnaryCall(connection, RequestHead(ECHO_ONE), b"warm").response
        before = server.counters()["writes"]
        calls = [UnaryCall(connection, RequestHead(ECHO_ONE), b"%d" % i) for i in range(50)]
        assert [await call.response for call in calls] == [b"%d" % i for i in range(50)]
        assert server.counters()["writes"] - before <= 4

    run_with_server(test)


def test_counters_count() -> None:
    async def test(server: NativeServer, connection: ClientConnection) -> dict[str, Any]:
        for request in (b"echo:a", b"fail:5:no", b"echo:b"):
            await asyncio.wait([UnaryCall(connection, RequestHead(COMMAND), request).response])
        await asyncio.wait([UnaryCall(connection, RequestHead("/no/Method"), b"").response])
        return server.counters()

    counters = run_with_server(test)
    expected = {
        "connections": 1,
        "streams": 4,
        "messages_in": 3,
        "messages_out": 2,
        "open_connections": 1,
        "sink_errors": 0,
    }
    assert {name: counters[name] for name in expected} == expected
    assert counters["cuts"] == {"unknown_method": 1}
    assert counters["bytes_in"] > 100
    assert counters["bytes_out"] > 100


def test_a_sink_lives_from_open_to_closed() -> None:
    told: list[Any] = []

    async def test(server: NativeServer, connection: ClientConnection) -> None:
        call = ClientStream(connection, RequestHead(TALK, {"authorization": "Bearer t", "grpc-timeout": "9S"}))
        call.send(b"hello")
        await asyncio.sleep(0.05)
        assert told[1:] == [("message", b"hello", True)]
        call.reset()
        await asyncio.sleep(0.05)

    run_with_server(test, told)
    path, authorization, deadline_ns = told[0][1:]
    assert (path, authorization) == (TALK, "Bearer t")
    assert 0 < deadline_ns - time.time_ns() < 9 * 10**9
    assert told[-1] == "closed"
    assert told.count("closed") == 1


def test_a_lost_connection_closes_its_sinks() -> None:
    told: list[Any] = []

    async def test(server: NativeServer, connection: ClientConnection) -> None:
        for _ in range(5):
            ClientStream(connection, RequestHead(TALK)).send(b"hello")
        await asyncio.sleep(0.05)
        connection.close()
        await asyncio.sleep(0.05)

    run_with_server(test, told)
    assert told.count("closed") == 5


def test_the_earliest_deadline_comes_first() -> None:
    async def test(server: NativeServer, connection: ClientConnection) -> list[float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        ended: dict[int, float] = {}

        async def call(timeout_ms: int) -> None:
            head = RequestHead(COMMAND, {"grpc-timeout": f"{timeout_ms}m"})
            running = UnaryCall(connection, head, b"sleep:5000")
            await asyncio.wait([running.response])
            assert running.status == Status.DEADLINE_EXCEEDED
            ended[timeout_ms] = loop.time() - start

        await asyncio.gather(*(call(timeout_ms) for timeout_ms in (300, 100, 200)))
        return [ended[timeout_ms] for timeout_ms in (100, 200, 300)]

    for elapsed_s, timeout_s in zip(run_with_server(test), (0.1, 0.2, 0.3), strict=True):
        assert timeout_s - 0.005 <= elapsed_s < timeout_s + 0.5


def test_a_crash_reaches_the_exception_handler() -> None:
    async def test(server: NativeServer, connection: ClientConnection) -> list[str]:
        seen: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(repr(context["exception"])))
        for path in (COMMANDS, COMMAND):
            call = UnaryCall(connection, RequestHead(path), b"crash")
            await asyncio.wait([call.response])
            assert call.response.exception().status == Status.INTERNAL
        return seen

    assert run_with_server(test) == ["RuntimeError('told to crash')"] * 2


def test_an_awake_server_answers() -> None:
    async def test(server: NativeServer, connection: ClientConnection) -> bytes:
        return await UnaryCall(connection, RequestHead(ECHO_ONE), b"awake").response

    assert run_with_server(test, awake=True) == b"awake"
