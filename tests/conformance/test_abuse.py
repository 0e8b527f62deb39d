"""Hand-built frames: what each abuse is answered with, and that a healthy client beside it notices nothing."""

import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from gateway.transport import Limits
from tests.conformance import raw
from tests.conformance.harness import RunningServer
from tests.conformance.raw import RawClient, frame, hpack, message, request_headers
from tests.conformance.service import BUFFER_BYTES, COMMAND, COMMANDS, ECHO, ECHO_ONE

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
Connect = Callable[..., RawClient]


class Site:
    """A native server with a healthy grpcio client, and raw connections to it."""

    def __init__(self, start: Callable[..., RunningServer]) -> None:
        self.start = start
        self.clients: list[RawClient] = []
        self.server: RunningServer | None = None

    def serve(self, **limits: int) -> RunningServer:
        self.server = self.start("native", limits=Limits(**limits))
        self.channel = grpc.insecure_channel(self.server.address)
        self.healthy = self.channel.stream_stream(ECHO)
        assert self.works()
        return self.server

    def works(self) -> bool:
        return list(self.healthy(iter([b"a", b"b"]), timeout=10)) == [b"a", b"b"]

    def connect(self, *, greet: bool = True, **settings: int) -> RawClient:
        if self.server is None:
            self.serve()
        assert self.server is not None
        self.clients.append(RawClient(self.server.port, greet=greet, **settings))
        return self.clients[-1]

    def cuts(self) -> dict[str, int]:
        assert self.server is not None
        return dict(self.server.counters()["cuts"])


@pytest.fixture
def site(start: Callable[..., RunningServer]) -> Iterator[Site]:
    site = Site(start)
    yield site
    assert site.works(), "the healthy client suffered"
    site.channel.close()
    for client in site.clients:
        client.close()


@pytest.fixture
def anywhere(server: RunningServer) -> Iterator[RawClient]:
    """A raw connection to the default server of each transport."""
    client = RawClient(server.port)
    yield client
    client.close()


# Requests that break gRPC's rules: both transports.


def test_a_plain_raw_call_works(anywhere: RawClient) -> None:
    anywhere.call(1, ECHO_ONE, message(b"hello"))
    reply = anywhere.reply(1)
    assert (reply.status, reply.body, reply.headers[":status"]) == (0, message(b"hello"), "200")
    assert reply.headers["content-type"] == "application/grpc"


def test_octet_by_octet(anywhere: RawClient) -> None:
    block = hpack(request_headers(ECHO))
    octets = frame(raw.HEADERS, raw.END_HEADERS, 1, block)
    octets += b"".join(
        frame(raw.DATA, 0, 1, bytes([octet])) for octet in message(b"split") + message(b"") + message(b"up")
    )
    for octet in octets + frame(raw.DATA, raw.END_STREAM, 1):
        anywhere.send(bytes([octet]))
    reply = anywhere.reply(1)
    assert (reply.status, reply.body) == (0, message(b"split") + message(b"") + message(b"up"))


def test_unknown_method_is_trailers_only(anywhere: RawClient) -> None:
    anywhere.call(1, "/no/Method", message(b"x"))
    reply = anywhere.reply(1)
    assert (reply.status, reply.body) == (grpc.StatusCode.UNIMPLEMENTED.value[0], b"")


# The same, where the native transport promises one exact answer.


def test_wrong_content_type_is_http_415(site: Site) -> None:
    client = site.connect()
    for i, wrong in enumerate(("application/json", "application/grpcx", "text/plain", None)):
        client.call(2 * i + 1, ECHO_ONE, message(b"x"), content_type=wrong)
        assert client.reply(2 * i + 1).headers == {":status": "415"}
    for i, right in enumerate(("application/grpc+proto", "application/grpc;charset=utf-8")):
        client.call(2 * i + 9, ECHO_ONE, message(b"x"), content_type=right)
        assert client.reply(2 * i + 9).status == 0


def test_a_method_that_is_not_post_is_http_405(site: Site) -> None:
    client = site.connect()
    client.call(1, ECHO_ONE, method="PUT")
    assert client.reply(1).headers == {":status": "405"}


@pytest.mark.parametrize(
    ("flag", "code"),
    [(1, grpc.StatusCode.UNIMPLEMENTED), (2, grpc.StatusCode.INTERNAL), (255, grpc.StatusCode.INTERNAL)],
)
def test_compressed_flag(site: Site, flag: int, code: grpc.StatusCode) -> None:
    client = site.connect()
    client.call(1, ECHO_ONE, message(b"x", flag))
    reply = client.reply(1)
    assert (reply.status, reply.headers["grpc-accept-encoding"]) == (code.value[0], "identity")
    client.call(3, ECHO, b"\1")
    assert client.reply(3).status == grpc.StatusCode.INTERNAL.value[0]


def test_unary_calls_carry_one_message(site: Site) -> None:
    client = site.connect()
    client.call(1, COMMAND, b"")
    assert client.reply(1).status == grpc.StatusCode.INTERNAL.value[0]
    client.call(3, COMMAND, message(b"echo:1") + message(b"echo:2"))
    assert client.reply(3).status == grpc.StatusCode.INTERNAL.value[0]


@pytest.mark.parametrize("timeout", ["", "1", "x", "1s", "-1S", "123456789S", "1.5S", "S"])
def test_malformed_timeout(site: Site, timeout: str) -> None:
    client = site.connect()
    client.call(1, COMMAND, message(b"echo:x"), grpc_timeout=timeout)
    assert client.reply(1).status == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.parametrize("timeout", ["0n", "1n", "50m", "20000u"])
def test_deadline_by_raw_timeout(site: Site, timeout: str) -> None:
    client = site.connect()
    client.call(1, COMMAND, message(b"sleep:3000"), grpc_timeout=timeout)
    reply = client.reply(1)
    assert reply.status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


def test_a_status_before_the_client_ended_resets_without_error(site: Site) -> None:
    client = site.connect()
    client.call(1, COMMANDS, message(b"end:5:gone"), end=False)
    assert client.reply(1).status == 5
    found = client.next_frame(raw.RST_STREAM)
    assert found is not None
    assert (found.stream_id, found.error_code) == (1, raw.NO_ERROR)


def test_a_message_cut_short_by_the_end_of_the_stream(site: Site) -> None:
    client = site.connect()
    for i, path in enumerate((ECHO, ECHO_ONE, COMMAND)):
        for j, size in enumerate((1, 4, 5, 9)):
            stream_id = 8 * i + 2 * j + 1
            client.call(stream_id, path, message(b"whole")[:size])
            assert client.reply(stream_id).status == grpc.StatusCode.INTERNAL.value[0]


# Metadata.


def send_headers(client: RawClient, headers: dict[str, str]) -> None:
    block = hpack(headers)
    pieces = [block[i : i + 16_000] for i in range(0, len(block), 16_000)]
    for i, piece in enumerate(pieces):
        kind = raw.CONTINUATION if i else raw.HEADERS
        client.send(frame(kind, raw.END_HEADERS if i == len(pieces) - 1 else 0, 1, piece))


def test_oversized_metadata_ends_the_call(site: Site) -> None:
    client = site.connect()
    send_headers(client, request_headers(ECHO_ONE, big="v" * 20_000))
    assert client.reply(1).status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    client.call(3, ECHO_ONE, message(b"x"))
    assert client.reply(3).status == 0


def test_a_flood_of_metadata_ends_the_connection(site: Site) -> None:
    site.serve(max_header_bytes=1 << 12)
    client = site.connect()
    send_headers(client, request_headers(ECHO_ONE) | {f"k{i}": "v" * 50 for i in range(500)})
    assert client.closed()
    assert site.cuts()["header_flood"] == 1


def test_endless_continuation_frames(site: Site) -> None:
    client = site.connect()
    client.send(frame(raw.HEADERS, 0, 1, hpack(request_headers(ECHO_ONE))))
    for _ in range(2000):
        if not client.send(frame(raw.CONTINUATION, 0, 1)):
            break
    assert client.closed()


# Malformed HTTP/2.


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(raw.HEADERS, raw.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), raw.COMPRESSION_ERROR),
        (frame(raw.HEADERS, raw.END_HEADERS, 1, b"\x80"), raw.COMPRESSION_ERROR),
        (frame(raw.DATA, 0, 0, b"x"), raw.PROTOCOL_ERROR),
        (frame(raw.HEADERS, raw.END_HEADERS, 2, hpack(request_headers(ECHO))), raw.PROTOCOL_ERROR),
        (frame(raw.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), raw.PROTOCOL_ERROR),
        (frame(raw.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), raw.FLOW_CONTROL_ERROR),
        (frame(raw.PING, 0, 0, b"short"), raw.FRAME_SIZE_ERROR),
        (frame(raw.DATA, 0, 1, b"x" * 16_385), raw.FRAME_SIZE_ERROR),
        (frame(raw.SETTINGS, raw.ACK, 0, b"123456"), raw.FRAME_SIZE_ERROR),
        (frame(raw.PUSH_PROMISE, raw.END_HEADERS, 1, b"\0\0\0\2"), raw.PROTOCOL_ERROR),
        (frame(raw.CONTINUATION, raw.END_HEADERS, 1, b""), raw.PROTOCOL_ERROR),
    ],
)
def test_malformed_frames(site: Site, octets: bytes, code: int) -> None:
    client = site.connect()
    client.send(octets)
    assert client.closed()
    assert client.goaway is not None
    assert client.goaway.error_code == code


@pytest.mark.parametrize(
    "octets", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100]
)
def test_bad_preface(site: Site, octets: bytes) -> None:
    client = site.connect(greet=False)
    client.send(octets)
    assert client.closed()


def test_headers_that_are_no_request(site: Site) -> None:
    site.serve(handshake_ns=200 * MS_NS)
    client = site.connect()
    client.send(frame(raw.HEADERS, raw.END_HEADERS, 1, hpack({"content-type": "application/grpc"})))
    assert client.reply(1).reset == raw.PROTOCOL_ERROR
    time.sleep(0.5)
    client.call(3, ECHO_ONE, message(b"x"))
    assert client.reply(3).status == 0


def test_data_past_the_window(site: Site) -> None:
    site.serve(stream_window_bytes=1 << 16, connection_window_bytes=1 << 16, max_message_bytes=1 << 20)
    client = site.connect()
    client.call(1, ECHO, b"", end=False)
    # The server opens the window as it takes messages, so only what comes before it could answer is too much.
    burst = b"".join(frame(raw.DATA, 0, 1, b"\0\0\x0f\xff\xff" + b"x" * 16_000) for _ in range(1))
    burst += b"".join(frame(raw.DATA, 0, 1, b"x" * 16_384) for _ in range(200))
    client.send(burst)
    assert client.reply(1).status in (-1, grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])


# Floods.


def test_rapid_reset(site: Site) -> None:
    site.serve(resets_per_s=100)
    client = site.connect()
    block = hpack(request_headers(ECHO))
    for i in range(400):
        octets = frame(raw.HEADERS, raw.END_HEADERS, 2 * i + 1, block)
        if not client.send(octets + frame(raw.RST_STREAM, 0, 2 * i + 1, raw.CANCEL.to_bytes(4, "big"))):
            break
    assert client.closed()
    assert site.cuts()["rapid_reset"] == 1
    assert site.server is not None
    assert site.server.counters()["streams"] < 200


def test_resets_that_the_server_was_made_to_send(site: Site) -> None:
    site.serve(resets_per_s=50)
    client = site.connect()
    block = hpack({"content-type": "application/grpc"})
    for i in range(400):
        if not client.send(frame(raw.HEADERS, raw.END_HEADERS, 2 * i + 1, block)):
            break
    assert client.closed()
    assert site.cuts()["rapid_reset"] == 1


@pytest.mark.parametrize(
    "flood",
    [
        frame(raw.PING, 0, 0, b"12345678"),
        frame(raw.SETTINGS, 0, 0),
        frame(raw.PRIORITY, 0, 1, b"\0\0\0\0\x10"),
        frame(raw.DATA, 0, 1),
    ],
    ids=["ping", "settings", "priority", "empty data"],
)
def test_control_frame_floods(site: Site, flood: bytes) -> None:
    site.serve(control_frames_per_s=50)
    client = site.connect()
    client.call(1, ECHO, end=False)
    for _ in range(40):
        if not client.send(flood * 50):
            break
    assert client.closed()
    assert client.goaway is None or client.goaway.error_code == raw.ENHANCE_YOUR_CALM
    assert site.cuts()["too_many_pings"] == 1


def test_a_flood_is_cut_while_the_server_drains(site: Site) -> None:
    server = site.serve(control_frames_per_s=50)
    client = site.connect()
    client.call(1, COMMAND, message(b"sleep:10000"))
    drained = server.start_drain(8)
    time.sleep(0.3)
    client.send(frame(raw.PING, 0, 0, b"12345678") * 200)
    assert client.closed()
    assert site.cuts()["too_many_pings"] == 1
    drained.result(10)
    site.serve()


def test_a_few_pings_are_answered(site: Site) -> None:
    client = site.connect()
    for i in range(5):
        client.send(frame(raw.PING, 0, 0, b"ping %03d" % i))
        found = client.next_frame(raw.PING)
        assert found is not None
        assert (found.flags & raw.ACK, found.payload) == (raw.ACK, b"ping %03d" % i)


# Clients that do not read.


def test_a_client_that_opens_no_window_is_cut(site: Site) -> None:
    client = site.connect()
    client.call(1, ECHO, end=False)
    for _ in range(4 * BUFFER_BYTES // 8000):
        client.send(frame(raw.DATA, 0, 1, message(b"x" * 7995)))
    assert client.reply(1).status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert site.cuts()["slow_reader"] == 1


def test_a_client_that_never_reads_its_socket_is_cut(site: Site) -> None:
    server = site.serve(write_stall_ns=300 * MS_NS)
    before = server.counters()["bytes_out"]
    client = site.connect(INITIAL_WINDOW_SIZE=(1 << 31) - 1)
    client.send(frame(raw.WINDOW_UPDATE, 0, 0, ((1 << 31) - 1 - 65535).to_bytes(4, "big")))
    client.socket.settimeout(0.5)
    for i in range(400):
        if not client.call(2 * i + 1, COMMAND, message(b"size:200000")):
            break
    end = time.monotonic() + 5
    while "write_stall" not in site.cuts() and time.monotonic() < end:
        time.sleep(0.05)
    assert site.cuts()["write_stall"] == 1
    # 80 MB were asked for; what left is what the two sockets' buffers hold.
    assert server.counters()["bytes_out"] - before < 20_000_000


# Clients that say nothing.


def test_a_silent_connection_is_cut(site: Site) -> None:
    site.serve(handshake_ns=200 * MS_NS)
    assert site.connect(greet=False).closed()
    half = site.connect(greet=False)
    half.send(raw.PREFACE[:10])
    assert half.closed()
    assert site.cuts()["handshake"] == 2


def test_a_header_block_that_never_ends_is_cut(site: Site) -> None:
    site.serve(handshake_ns=200 * MS_NS)
    client = site.connect()
    client.send(frame(raw.HEADERS, 0, 1, hpack(request_headers(ECHO))))
    assert client.closed()
    assert site.cuts()["header_stall"] == 1


def test_an_idle_connection_is_told_to_go(site: Site) -> None:
    site.serve(idle_ns=200 * MS_NS)
    client = site.connect()
    assert client.closed()
    assert client.goaway is not None
    assert client.goaway.error_code == raw.NO_ERROR


def test_keepalive_cuts_who_does_not_answer(site: Site) -> None:
    site.serve(keepalive_ns=150 * MS_NS, keepalive_timeout_ns=150 * MS_NS)
    mute, alive = site.connect(), site.connect()
    for _ in range(4):
        found = alive.next_frame(raw.PING)
        assert found is not None
        alive.send(frame(raw.PING, raw.ACK, 0, found.payload))
    assert mute.closed()
    assert site.cuts()["keepalive"] >= 1
    alive.call(1, ECHO_ONE, message(b"alive"))
    assert alive.reply(1).body == message(b"alive")


def test_too_many_connections(site: Site) -> None:
    site.serve(max_connections=3)
    first, second, third = site.connect(), site.connect(), site.connect()
    assert third.closed()
    for client in (first, second):
        client.call(1, ECHO_ONE, message(b"x"))
        assert client.reply(1).status == 0


def test_vanishing_clients_leave_nothing_behind(site: Site) -> None:
    server = site.serve()
    for i in range(20):
        client = site.connect()
        client.call(1, COMMANDS, message(b"echo:x"), end=False)
        client.call(3, COMMAND, message(b"sleep:10000"))
        if i % 2:
            client.send(frame(raw.RST_STREAM, 0, 1, raw.CANCEL.to_bytes(4, "big")))
        client.close()
    end = time.monotonic() + 5
    while server.counters()["open_connections"] > 1 and time.monotonic() < end:
        time.sleep(0.02)
    assert server.counters()["open_connections"] == 1


def test_drain_announces_itself(site: Site) -> None:
    server = site.serve()
    client = site.connect()
    client.call(1, COMMAND, message(b"sleep:300"))
    drained = server.start_drain(5)
    notice = client.next_frame(raw.GOAWAY)
    assert notice is not None
    assert (notice.error_code, notice.payload[:4]) == (raw.NO_ERROR, b"\x7f\xff\xff\xff")
    last = client.next_frame(raw.GOAWAY)
    assert last is not None
    assert (last.error_code, last.payload[:4]) == (raw.NO_ERROR, b"\0\0\0\1")
    assert client.reply(1).body == message(b"slept")
    drained.result(10)
    assert client.closed()
    site.server = None
    site.serve()


def test_unfinished_messages_are_bounded(site: Site) -> None:
    site.serve(max_partial_bytes=100_000, max_message_bytes=1 << 20)
    client = site.connect()
    most = b"\0\0\x0f\xff\xff" + b"x" * 16_000
    for stream_id in range(1, 17, 2):
        client.call(stream_id, ECHO, most, end=False)
    assert client.reply(13).status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert site.cuts()["partial_messages"] >= 1
    client.send(frame(raw.RST_STREAM, 0, 1, raw.CANCEL.to_bytes(4, "big")))
    client.call(101, ECHO, message(b"x" * 15_000))
    assert client.reply(101).body == message(b"x" * 15_000)


# Storms.


def test_what_one_client_sends_at_once_is_answered_in_order_and_holds_up_nobody(site: Site) -> None:
    """Some 3 MB in one go: more than is taken in a turn, and more than may wait unread."""
    site.serve(stream_window_bytes=1 << 24)
    busy = site.connect(INITIAL_WINDOW_SIZE=1 << 30)
    busy.send(frame(raw.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")))
    busy.call(1, ECHO, b"", end=False)
    count = 60_000
    octets = b"".join(message(f"{number:040}".encode()) for number in range(count))
    frames = b"".join(frame(raw.DATA, 0, 1, octets[at : at + 16_384]) for at in range(0, len(octets), 16_384))
    sender = threading.Thread(target=busy.send, args=(frames + frame(raw.DATA, raw.END_STREAM, 1),))
    worked: list[bool] = []
    beside = threading.Thread(target=lambda: worked.extend(site.works() for _ in range(5)))
    sender.start()
    beside.start()
    reply = busy.reply(1)
    sender.join()
    beside.join()
    assert (reply.status, reply.body) == (0, octets)
    assert worked == [True] * 5
    assert site.server is not None
    assert site.server.counters()["unread_bytes"] == 0


def test_a_storm_of_connections_is_taken_in_whole(site: Site) -> None:
    site.serve()
    clients = [site.connect() for _ in range(400)]
    for client in clients:
        client.call(1, ECHO_ONE, message(b"x"))
    assert {client.reply(1).body for client in clients} == {message(b"x")}
    assert site.works()
    for client in clients:
        client.close()
    deadline = time.monotonic() + 10
    assert site.server is not None
    while site.server.counters()["open_connections"] > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert site.server.counters()["open_connections"] <= 1
