"""grpcio's blocking client against every transport."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from gateway.transport import Limits
from tests.conformance.harness import RunningServer
from tests.conformance.service import BUFFER_BYTES, COMMAND, COMMANDS, ECHO, ECHO_ONE, REFUSED

WAIT_S = 10


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


def unary(channel: grpc.Channel, path: str, request: bytes, **options: Any) -> bytes:
    return channel.unary_unary(path)(request, timeout=options.pop("timeout", WAIT_S), **options)


def failure(channel: grpc.Channel, path: str, request: bytes, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, path, request, **options)
    return caught.value.code(), caught.value.details()


def stream_failure(
    channel: grpc.Channel, path: str, *requests: bytes, **options: Any
) -> tuple[grpc.StatusCode, str, list[bytes]]:
    received: list[bytes] = []
    with pytest.raises(grpc.RpcError) as caught:
        received.extend(channel.stream_stream(path)(iter(requests), timeout=options.pop("timeout", WAIT_S), **options))
    return caught.value.code(), caught.value.details(), received


@pytest.mark.parametrize("size", [0, 1, 80, 16_379, 16_380, 65_535, 65_536, 1_000_000, 4_194_304])
def test_unary_echo_of_every_size(channel: grpc.Channel, size: int) -> None:
    message = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    assert unary(channel, ECHO_ONE, message[:size]) == message[:size]


def test_stream_echo_keeps_order(channel: grpc.Channel) -> None:
    requests = [b"%d" % i * (i % 50 + 1) for i in range(3000)]
    assert list(channel.stream_stream(ECHO)(iter(requests), timeout=WAIT_S)) == requests


def test_stream_without_messages_ends_ok(channel: grpc.Channel) -> None:
    call = channel.stream_stream(ECHO)(iter(()), timeout=WAIT_S)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def test_many_streams_at_once(channel: grpc.Channel) -> None:
    calls = [channel.stream_stream(ECHO)(iter([b"%d" % i] * 20), timeout=WAIT_S) for i in range(60)]
    for i, call in enumerate(calls):
        assert list(call) == [b"%d" % i] * 20


def test_many_connections(server: RunningServer) -> None:
    channels = [grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(30)]
    for i, channel in enumerate(channels):
        assert unary(channel, ECHO_ONE, b"%d" % i) == b"%d" % i
    for channel in channels:
        channel.close()


def test_stream_sends_on_its_own_later(channel: grpc.Channel) -> None:
    release = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"later:20:first"
        yield b"later:60:second"
        release.wait(WAIT_S)

    call = channel.stream_stream(COMMANDS)(requests(), timeout=WAIT_S)
    assert [next(call), next(call)] == [b"first", b"second"]
    release.set()
    assert list(call) == []


@pytest.mark.parametrize("status", range(1, 17))
def test_every_status_with_its_text(channel: grpc.Channel, status: int) -> None:
    text = f"第 {status} 状态: 100% of «it»\n"
    code, details = failure(channel, COMMAND, f"fail:{status}:{text}".encode())
    assert (code.value[0], details) == (status, text)
    code, details, received = stream_failure(channel, COMMANDS, b"echo:before", f"end:{status}:{text}".encode())
    assert (code.value[0], details, received) == (status, text, [b"before"])


def test_refused_when_opened(channel: grpc.Channel) -> None:
    code, details, _ = stream_failure(channel, REFUSED, b"x")
    assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, f"no token for {REFUSED}")


def test_unknown_method(channel: grpc.Channel) -> None:
    for path in ("/test.Service/Nothing", "/nothing.Service/Echo", "/x"):
        assert failure(channel, path, b"")[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_crash_ends_its_call_alone(server: RunningServer, channel: grpc.Channel) -> None:
    assert stream_failure(channel, COMMANDS, b"crash")[0] is grpc.StatusCode.INTERNAL
    assert failure(channel, COMMAND, b"crash")[0] is grpc.StatusCode.INTERNAL
    assert unary(channel, ECHO_ONE, b"still here") == b"still here"
    assert server.counters()["sink_errors"] >= 1


def test_metadata_reaches_the_call(channel: grpc.Channel) -> None:
    sent = (("authorization", "Bearer t"), ("many", "a"), ("many", "b"), ("raw-bin", bytes(range(256))))
    expected = {"authorization": "Bearer t", "many": "a,b", "raw-bin": bytes(range(256)), "absent": None}
    for key, value in expected.items():
        assert unary(channel, COMMAND, f"metadata:{key}".encode(), metadata=sent) == repr(value).encode()


def test_peer_is_the_clients_address(channel: grpc.Channel) -> None:
    assert unary(channel, COMMAND, b"peer").startswith(b"'127.0.0.1:")


def test_deadline_of_a_cold_call(channel: grpc.Channel) -> None:
    assert failure(channel, COMMAND, b"sleep:5000", timeout=0.1)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert int(unary(channel, COMMAND, b"deadline")) > 0


def test_deadline_of_a_stream(channel: grpc.Channel) -> None:
    release = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"echo:x"
        release.wait(WAIT_S)

    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(COMMANDS)(requests(), timeout=0.2))
    release.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def wait_for(probe: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(probe() or pause.wait(0.02) for _ in range(250))


def test_cancel_closes_the_sink(channel: grpc.Channel) -> None:
    release = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"echo:x"
        release.wait(WAIT_S)

    call = channel.stream_stream(COMMANDS)(requests())
    assert next(call) == b"x"
    call.cancel()
    release.set()
    assert wait_for(lambda: next(channel.stream_stream(COMMANDS)(iter([b"closed"]), timeout=WAIT_S)) != b"0")


def test_message_over_the_limit(channel: grpc.Channel) -> None:
    assert failure(channel, ECHO_ONE, b"x" * 4_194_305)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stream_failure(channel, ECHO, b"ok", b"x" * 4_194_305)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unary(channel, ECHO_ONE, b"fine") == b"fine"


def test_large_responses_pass_the_client_window(channel: grpc.Channel) -> None:
    assert unary(channel, COMMAND, b"size:3000000") == b"s" * 3_000_000


def test_too_much_metadata(channel: grpc.Channel) -> None:
    code, _ = failure(channel, ECHO_ONE, b"x", metadata=[("big", "v" * 20_000)])
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unary(channel, ECHO_ONE, b"x", metadata=[("small", "v" * 4_000)]) == b"x"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_calls_are_refused(channel: grpc.Channel, compression: grpc.Compression) -> None:
    code, _ = failure(channel, ECHO_ONE, b"x" * 1000, compression=compression)
    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_that_overflows_is_cut(channel: grpc.Channel) -> None:
    count = 2 * BUFFER_BYTES // 1000
    code, _, received = stream_failure(channel, COMMANDS, f"flood:{count}:1000".encode())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(received) < count
    assert unary(channel, ECHO_ONE, b"fine") == b"fine"


def test_drain_lets_calls_end_and_refuses_new_ones(server: RunningServer, channel: grpc.Channel) -> None:
    running = channel.unary_unary(COMMAND).future(b"sleep:300", timeout=WAIT_S)
    assert unary(channel, ECHO_ONE, b"x") == b"x"
    drained = server.start_drain(5.0)
    assert running.result() == b"slept"
    drained.result(WAIT_S)
    assert failure(channel, ECHO_ONE, b"x", timeout=2)[0] in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def test_drain_ends_streams_that_outlive_the_grace(server: RunningServer, channel: grpc.Channel) -> None:
    release = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"echo:x"
        release.wait(WAIT_S)

    call = channel.stream_stream(COMMANDS)(requests())
    assert next(call) == b"x"
    drained = server.start_drain(0.2)
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    release.set()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    drained.result(WAIT_S)


def test_calls_past_max_concurrent_streams_wait_their_turn(start: Callable[..., RunningServer]) -> None:
    # Native alone: grpcio's server frees a stream late and refuses the next one, which its own client then reports.
    server = start("native", limits=Limits(max_concurrent_streams=4))
    with grpc.insecure_channel(server.address) as channel:
        calls = [channel.unary_unary(COMMAND).future(b"sleep:50", timeout=WAIT_S) for _ in range(12)]
        assert [call.result() for call in calls] == [b"slept"] * 12
