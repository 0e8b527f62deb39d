"""Arbitrary frames and arbitrary framing of messages against the native server, with a healthy client beside them."""

import socket
from collections.abc import Iterator
from itertools import pairwise

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.transport import Limits
from tests.conformance import raw
from tests.conformance.harness import RunningServer
from tests.conformance.raw import RawClient, frame, hpack, message, request_headers
from tests.conformance.service import COMMAND, COMMANDS, ECHO, ECHO_ONE, make_service

FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PATHS = [ECHO, ECHO_ONE, COMMAND, COMMANDS, "/no/Method", "", "*"]

header_blocks = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(PATHS).map(lambda path: hpack(request_headers(path))),
    st.builds(
        lambda path, name, value: hpack(request_headers(path) | {name: value}),
        st.sampled_from(PATHS),
        st.sampled_from(
            ["grpc-timeout", "content-type", "grpc-encoding", "te", "x-bin", ":path", "Upper", "grpc-status"]
        ),
        st.text(st.characters(codec="ascii"), max_size=20),
    ),
)
payloads = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=40).map(message),
    st.lists(st.binary(max_size=10).map(message), max_size=5).map(b"".join),
    st.sampled_from(
        [message(b"crash"), message(b"end:3:x"), message(b"flood:40:9000"), b"\0\xff\xff\xff\xff", b"\1\0\0\0\0"]
    ),
)
stream_ids = st.one_of(st.integers(0, 9), st.integers(0, (1 << 32) - 1))
frames = st.one_of(
    st.builds(frame, st.integers(0, 255), st.integers(0, 255), stream_ids, payloads),
    st.builds(
        frame,
        st.just(raw.HEADERS),
        st.sampled_from([4, 4, 5, 0, 0x2C]),
        st.sampled_from([1, 3, 5, 7, 2]),
        header_blocks,
    ),
    st.builds(frame, st.just(raw.DATA), st.sampled_from([0, 0, 1, 8]), st.sampled_from([1, 3, 5, 7]), payloads),
    st.builds(
        frame, st.just(raw.RST_STREAM), st.just(0), st.sampled_from([1, 3, 5, 7]), st.binary(min_size=4, max_size=4)
    ),
    st.builds(
        frame, st.just(raw.WINDOW_UPDATE), st.just(0), st.sampled_from([0, 1, 3]), st.binary(min_size=4, max_size=4)
    ),
    st.builds(frame, st.just(raw.SETTINGS), st.sampled_from([0, 0, 1]), st.just(0), st.binary(max_size=18)),
    st.builds(frame, st.just(raw.PING), st.sampled_from([0, 1]), st.just(0), st.binary(min_size=8, max_size=8)),
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[RunningServer, grpc.UnaryUnaryMultiCallable]]:
    server = RunningServer("native", make_service, Limits(), None)
    with grpc.insecure_channel(server.address) as channel:
        yield server, channel.unary_unary(ECHO_ONE)
    server.close()


def send_and_leave(port: int, octets: bytes, *, greet: bool) -> None:
    """Send everything, then read until the server is done with the connection."""
    client = RawClient(port, greet=greet)
    try:
        client.send(octets)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.closed(), "the server kept a connection whose client had left"
    except OSError:
        pass
    finally:
        client.close()


@FUZZ
@given(sent=st.lists(frames, max_size=25))
def test_arbitrary_frames(served: tuple[RunningServer, grpc.UnaryUnaryMultiCallable], sent: list[bytes]) -> None:
    server, echo = served
    send_and_leave(server.port, b"".join(sent), greet=True)
    assert echo(b"healthy", timeout=10) == b"healthy"


@FUZZ
@given(octets=st.binary(max_size=300), prefix=st.sampled_from([b"", raw.PREFACE[:12], raw.PREFACE]))
def test_arbitrary_octets(
    served: tuple[RunningServer, grpc.UnaryUnaryMultiCallable], octets: bytes, prefix: bytes
) -> None:
    server, echo = served
    send_and_leave(server.port, prefix + octets, greet=False)
    assert echo(b"healthy", timeout=10) == b"healthy"


@FUZZ
@given(messages=st.lists(st.binary(max_size=400), max_size=12), cuts=st.lists(st.integers(0, 5000), max_size=20))
def test_messages_survive_any_framing(
    served: tuple[RunningServer, grpc.UnaryUnaryMultiCallable], messages: list[bytes], cuts: list[int]
) -> None:
    server, _ = served
    octets = b"".join(map(message, messages))
    edges = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    client = RawClient(server.port)
    client.send(frame(raw.HEADERS, raw.END_HEADERS, 1, hpack(request_headers(ECHO))))
    for start, end in pairwise(edges):
        client.send(frame(raw.DATA, 0, 1, octets[start:end]))
    client.send(frame(raw.DATA, raw.END_STREAM, 1))
    reply = client.reply(1)
    client.close()
    assert (reply.status, reply.body) == (0, octets)


def test_the_server_is_whole_afterwards(served: tuple[RunningServer, grpc.UnaryUnaryMultiCallable]) -> None:
    server, echo = served
    assert echo(b"x" * 100_000, timeout=10) == b"x" * 100_000
    counters = server.counters()
    assert counters["protocol_errors"] > 0
    assert counters["open_connections"] <= 2
