"""ext.rpc: sinks, methods and the carrier that drives them from Python."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.buffers import Turn
from ext.echo import EchoStream, EchoUnary
from ext.rpc import Call, CallCarrier, ColdUnary, HotStream, HotUnary, Method, PythonSink, RpcError, Status

CALL = Call("/a.B/C", "127.0.0.1:1", {}, 0)


def carrier_of(method: Method, ready: Any = lambda: None) -> CallCarrier:
    return CallCarrier(method, CALL, Turn(lambda work: None), ready)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_messages_come_back_whole_and_in_order(messages: list[bytes]) -> None:
    turn = Turn(lambda work: None)
    carrier = carrier_of(HotStream(lambda call: EchoStream(turn)))
    for message in messages:
        carrier.feed(message, 0)
    assert carrier.take() == messages
    assert carrier.take() == []
    assert carrier.status == -1
    carrier.half_close()
    assert carrier.status == Status.OK


def test_a_unary_sink_ends_with_its_message() -> None:
    turn = Turn(lambda work: None)
    carrier = carrier_of(HotUnary(lambda call: EchoUnary(turn)))
    carrier.feed(b"once", 0)
    assert (carrier.status, carrier.take()) == (Status.OK, [b"once"])


def test_the_limit_overflows_the_sink() -> None:
    turn = Turn(lambda work: None)
    sink = PythonSink(turn, 100)
    assert sink.send(b"x" * 95)
    assert not sink.out.overflowed
    assert not sink.send(b"")
    assert sink.out.overflowed


def test_the_first_status_stays() -> None:
    sink = PythonSink(Turn(lambda work: None))
    sink.end(int(Status.NOT_FOUND), "first")
    sink.end(int(Status.INTERNAL), "second")
    assert (sink.status, sink.status_text) == (Status.NOT_FOUND, "first")


def test_ready_is_called_for_what_is_sent_outside_a_read_only() -> None:
    called: list[int] = []
    sinks: list[PythonSink] = []

    def factory(call: Call) -> PythonSink:
        sinks.append(PythonSink(Turn(lambda work: None)))
        return sinks[0]

    carrier = carrier_of(HotStream(factory), lambda: called.append(1))
    sinks[0].send(b"a")
    sinks[0].send(b"b")
    assert called == [1]
    assert carrier.take() == [b"a", b"b"]
    sinks[0].send(b"c")
    assert called == [1, 1]


def run_cold(handler: Any, *, close: bool = False) -> tuple[int, str, list[bytes]]:
    async def main() -> tuple[int, str, list[bytes]]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        carrier = carrier_of(ColdUnary(handler))
        carrier.feed(b"request", 0)
        carrier.half_close()
        await asyncio.sleep(0)
        if close:
            carrier.close()
        for _ in range(5):
            await asyncio.sleep(0)
        return carrier.status, carrier.status_text, carrier.take()

    return asyncio.run(main())


def test_a_cold_handler_answers() -> None:
    async def handler(request: bytes, call: Call) -> bytes:
        return request + call.path.encode()

    assert run_cold(handler) == (Status.OK, "", [b"request/a.B/C"])


def test_a_cold_handler_refuses() -> None:
    async def handler(request: bytes, call: Call) -> bytes:
        raise RpcError(int(Status.NOT_FOUND), "no such account")

    assert run_cold(handler) == (Status.NOT_FOUND, "no such account", [])


def test_a_cold_handler_crashes_without_telling_why() -> None:
    async def handler(request: bytes, call: Call) -> bytes:
        raise KeyError("a secret")

    assert run_cold(handler) == (Status.INTERNAL, "the service failed on this call", [])


def test_a_closed_cold_call_is_cancelled() -> None:
    cancelled: list[bool] = []

    async def handler(request: bytes, call: Call) -> bytes:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return b""

    assert run_cold(handler, close=True)[0] == -1
    assert cancelled == [True]


@pytest.mark.parametrize("status", [-1, 0, 17, 99])
def test_an_error_is_no_ok_and_no_invention(status: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 16"):
        RpcError(status, "")
