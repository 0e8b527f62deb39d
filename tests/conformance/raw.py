"""A hand-held HTTP/2 client on a blocking socket: builds any frame, well formed or not, and reads what comes back."""

import ctypes
import socket
import struct
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 0, 1, 3, 6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def error_code(self) -> int:
        """Of a RST_STREAM or GOAWAY frame."""
        return int.from_bytes(self.payload[0:4] if self.kind == RST_STREAM else self.payload[4:8], "big")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream_id) + payload


def settings(**values: int) -> bytes:
    """SETTINGS from names such as INITIAL_WINDOW_SIZE."""
    names = (
        "HEADER_TABLE_SIZE",
        "ENABLE_PUSH",
        "MAX_CONCURRENT_STREAMS",
        "INITIAL_WINDOW_SIZE",
        "MAX_FRAME_SIZE",
        "MAX_HEADER_LIST_SIZE",
    )
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", names.index(k) + 1, v) for k, v in values.items()))


def hpack_integer(value: int, prefix_bits: int) -> bytes:
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([value])
    octets = [most]
    value -= most
    while value >= 128:
        octets.append(value % 128 + 128)
        value //= 128
    return bytes([*octets, value])


def hpack(headers: dict[str, str]) -> bytes:
    """Headers as literals without indexing, not Huffman coded."""
    block = b""
    for name, value in headers.items():
        block += b"\0" + hpack_integer(len(name), 7) + name.encode() + hpack_integer(len(value), 7) + value.encode()
    return block


def request_headers(path: str, **changes: str | None) -> dict[str, str]:
    """The headers of a gRPC request; a change names a header with _ for - and without the colon, None leaves it out."""
    headers: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "localhost",
        ":path": path,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    for name, value in changes.items():
        plain = name.replace("_", "-")
        headers[f":{plain}" if f":{plain}" in headers else plain] = value
    return {name: value for name, value in headers.items() if value is not None}


def message(octets: bytes, compressed: int = 0) -> bytes:
    return bytes([compressed]) + struct.pack(">I", len(octets)) + octets


class Inflater:
    """HPACK decoding by libnghttp2 itself."""

    class Pair(ctypes.Structure):
        _fields_ = (
            ("name", ctypes.POINTER(ctypes.c_char)),
            ("value", ctypes.POINTER(ctypes.c_char)),
            ("name_size", ctypes.c_size_t),
            ("value_size", ctypes.c_size_t),
            ("flags", ctypes.c_uint8),
        )

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libnghttp2.so.14")
        self.inflater = ctypes.c_void_p()
        self.library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
        assert self.library.nghttp2_hd_inflate_new(ctypes.byref(self.inflater)) == 0

    def decode(self, block: bytes) -> dict[str, str]:
        headers = {}
        while True:
            pair, flags = self.Pair(), ctypes.c_int(0)
            used = self.library.nghttp2_hd_inflate_hd2(
                self.inflater, ctypes.byref(pair), ctypes.byref(flags), block, ctypes.c_size_t(len(block)), 1
            )
            assert used >= 0, f"the server's header block does not decode: {used}"
            block = block[used:]
            if flags.value & 2:
                headers[pair.name[: pair.name_size].decode()] = pair.value[: pair.value_size].decode()
            if flags.value & 1:
                self.library.nghttp2_hd_inflate_end_headers(self.inflater)
                return headers


@dataclass
class Reply:
    """What one stream received until it ended."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers.get("grpc-status", "-1"))


class RawClient:
    """One connection. greet=False sends no preface."""

    def __init__(self, port: int, *, greet: bool = True, **values: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.inflater = Inflater()
        self.goaway: Frame | None = None
        if greet:
            self.send(PREFACE + settings(**values) + frame(SETTINGS, ACK, 0))

    def send(self, octets: bytes) -> bool:
        """False when the server has closed."""
        try:
            self.socket.sendall(octets)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def call(self, stream_id: int, path: str, body: bytes = b"", *, end: bool = True, **changes: str | None) -> bool:
        """Open a stream with this body in one DATA frame."""
        block = hpack(request_headers(path, **changes))
        octets = frame(HEADERS, END_HEADERS, stream_id, block)
        return self.send(octets + frame(DATA, END_STREAM if end else 0, stream_id, body))

    def read_frame(self) -> Frame | None:
        """The next frame; None when the server closed. Raises TimeoutError after the socket's timeout."""
        while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3], "big"):
            try:
                octets = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not octets:
                return None
            self.received += octets
        size = int.from_bytes(self.received[:3], "big")
        head, payload = self.received[:9], self.received[9 : 9 + size]
        self.received = self.received[9 + size :]
        return Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)

    def next_frame(self, kind: int, most: int = 10_000) -> Frame | None:
        """The next frame of this kind, skipping others; None when the server closed first."""
        for _ in range(most):
            found = self.read_frame()
            if found is None or found.kind == kind:
                return found
        raise AssertionError(f"no frame of kind {kind} among {most}")

    def reply(self, stream_id: int) -> Reply:
        """Everything the stream receives until it ends, or until the connection does."""
        reply = Reply()
        while (found := self.read_frame()) is not None:
            if found.kind == GOAWAY:
                self.goaway = found
            if found.kind == HEADERS:
                headers = self.inflater.decode(found.payload)
                if found.stream_id == stream_id:
                    reply.headers |= headers
            if found.stream_id != stream_id:
                continue
            if found.kind == DATA:
                reply.body += found.payload
            if found.kind == RST_STREAM:
                reply.reset = found.error_code
                return reply
            if found.kind in (HEADERS, DATA) and found.flags & END_STREAM:
                return reply
        return reply

    def closed(self) -> bool:
        """True once the server has closed, whatever it sent before; the last GOAWAY is kept."""
        try:
            while (found := self.read_frame()) is not None:
                if found.kind == GOAWAY:
                    self.goaway = found
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.socket.close()
