"""Fixtures of the system tests: both exchanges once per module, gateways and sessions as a test asks for them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.transport import TRANSPORTS
from tests.system.front import Front
from tests.system.officers import Listener, write_control_file
from tests.system.plant import Exchanges, Gateway


@pytest.fixture(scope="session")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    """Both exchanges at 10:00:00, their clocks standing still."""
    running = Exchanges(tmp_path_factory.mktemp("exchanges"))
    yield running
    running.stop()


@pytest.fixture
def start_gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """start_gateway(exchanges, transport, flags, change, member, wait_for) -> a Gateway that runs, ended after it."""
    started: list[Gateway] = []

    def start(**choices: Any) -> Gateway:
        folder = tmp_path / f"gateway-{len(started)}"
        folder.mkdir()
        wait_for = choices.pop("wait_for", ("XSHG", "XSHE"))
        exchanges = choices.pop("exchanges", None) or request.getfixturevalue("exchanges")
        started.append(Gateway(exchanges, folder, **choices))
        return started[-1].start(wait_for)

    yield start
    for gateway in started:
        gateway.stop()


@pytest.fixture(scope="module", params=TRANSPORTS)
def shared_gateway(
    request: pytest.FixtureRequest, exchanges: Exchanges, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """One gateway for a module's tests, on each transport."""
    gateway = Gateway(exchanges, tmp_path_factory.mktemp(f"gateway-{request.param}"), transport=str(request.param))
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@pytest.fixture
def fronts() -> Iterator[Callable[..., Front]]:
    """fronts(gateway, token, *accounts, ...) -> a Front, logged on when a token is given; ended after the test."""
    opened: list[Front] = []

    def open_front(gateway: Gateway, token: str | None = None, *accounts: str, **choices: Any) -> Front:
        opened.append(Front(gateway.stub()))
        if token is not None:
            opened[-1].log_on(token, *accounts, **choices)
        return opened[-1]

    yield open_front
    for front in opened:
        if not front.ended:
            front.cut()


@pytest.fixture
def start_controlled(start_gateway, tmp_path):
    """start_controlled(*flags, **choices): a gateway with a control port."""

    def start(*flags, control=None, **choices):
        control = control or write_control_file(tmp_path / "control.yaml")
        return start_gateway(flags=("--control-port", "0", "--control", str(control), *flags), **choices)

    return start


@pytest.fixture
def listen():
    """listen(officer, after_seq): a Listener, stopped after the test."""
    started = []

    def start(*arguments):
        started.append(Listener(*arguments))
        return started[-1]

    yield start
    for listener in started:
        listener.stop()
