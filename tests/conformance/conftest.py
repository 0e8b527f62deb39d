"""Fixtures of the conformance suite: a transport, and a factory of running servers."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.transport import TRANSPORTS, Limits, Tls
from tests.conformance.harness import RunningServer
from tests.conformance.service import make_service


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Every test that asks for it runs once per transport."""
    return str(request.param)


@pytest.fixture
def start() -> Iterator[Callable[..., RunningServer]]:
    """start(transport, service_factory=make_service, limits=None, tls=None) -> RunningServer, closed after the test."""
    servers: list[RunningServer] = []

    def start_one(
        transport: str,
        service_factory: Callable[..., Any] = make_service,
        limits: Limits | None = None,
        tls: Tls | None = None,
    ) -> RunningServer:
        servers.append(RunningServer(transport, service_factory, limits, tls))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


@pytest.fixture
def server(transport: str, start: Callable[..., RunningServer]) -> RunningServer:
    """The test service with default limits, on each transport."""
    return start(transport)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A self-signed certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    return Tls(str(certificate), str(key))
