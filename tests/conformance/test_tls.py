"""TLS with ALPN on every transport, and who is refused."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from gateway.transport import Limits, Tls
from tests.conformance.harness import RunningServer
from tests.conformance.service import ECHO, ECHO_ONE

WAIT_S = 10
TLS_ALERT = 21


def test_calls_over_tls(transport: str, start: Callable[..., RunningServer], tls: Tls) -> None:
    server = start(transport, tls=tls)
    credentials = grpc.ssl_channel_credentials(Path(tls.certificate).read_bytes())
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        assert channel.unary_unary(ECHO_ONE)(b"x" * 300_000, timeout=WAIT_S) == b"x" * 300_000
        requests = [b"%d" % i for i in range(500)]
        assert list(channel.stream_stream(ECHO)(iter(requests), timeout=WAIT_S)) == requests


@pytest.mark.parametrize("protocols", [["http/1.1"], []])
def test_a_client_without_h2_is_refused(start: Callable[..., RunningServer], tls: Tls, protocols: list[str]) -> None:
    server = start("native", tls=tls)
    context = ssl.create_default_context(cafile=tls.certificate)
    if protocols:
        context.set_alpn_protocols(protocols)
    with socket.create_connection(("localhost", server.port), WAIT_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                received = secure.recv(100)
        except (ssl.SSLError, ConnectionError):
            received = b""
    assert received == b""
    assert server.counters()["connections"] == 0


def test_plain_text_on_a_tls_port(start: Callable[..., RunningServer], tls: Tls) -> None:
    server = start("native", tls=tls, limits=Limits(handshake_ns=300_000_000))
    with socket.create_connection(("localhost", server.port), WAIT_S) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" * 4)
        received = plain.recv(1 << 16)
        assert not received or received[0] == TLS_ALERT
    with socket.create_connection(("localhost", server.port), WAIT_S) as silent:
        assert silent.recv(1) == b""


def test_a_missing_certificate_is_named(start: Callable[..., RunningServer], transport: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start(transport, tls=Tls(str(tmp_path / "none.pem"), str(tmp_path / "none.key")))
