"""Starts real exchanges and real gateways on loopback for the system tests, and ends only those. Judges nothing."""

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import grpc
import yaml

from gateway.pb import order_entry_pb2_grpc as rpc
from loadtest.universe import Instrument, list_share, write_instruments
from tests.system.limits import limits_of

ROOT = Path(__file__).parents[2]
EXCHANGE = "import typer; from loadtest.cli import exchange; typer.run(exchange)"
GATEWAY = "from gateway.cli import main; main()"
DAY = "2026-11-23"
START_S = 60.0
STOP_S = 10.0
MEMBERS = 240
PARTITIONS = 3  # of each exchange's reports: each is numbered and resynchronised on its own
BLOCK = 6  # symbols of one gateway on each exchange, so that no test meets another's orders in a book
PREV_CLOSE_E4 = 100_000


class StartError(Exception):
    """A process that did not come up: which, its exit code, and what it said."""

    def __init__(self, name: str, code: int | None, said: str) -> None:
        super().__init__(f"{name} ended with {code}: {said}")
        self.code = code
        self.said = said


class Child:
    """One process whose first line of stdout is JSON and says where it listens."""

    def __init__(self, name: str, code: str, arguments: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def ready(self, within_s: float = START_S) -> dict[str, Any]:
        """The ready line's fields; raises StartError when it does not come."""
        assert self.process.stdout is not None
        line = read_line(self.process.stdout, within_s)
        if not line.startswith(b"{"):
            code = self.process.poll() if line else self.process.wait(STOP_S)
            self.stop()
            raise StartError(self.name, code, self.log.read_text(errors="replace"))
        fields: dict[str, Any] = json.loads(line)
        return fields

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every line of the log with this event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_S)
        self.close()

    def stop(self) -> int | None:
        """SIGTERM, kill -9 when that is not enough; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
        self.close()
        return self.process.returncode

    def close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


def read_line(stream: IO[bytes], within_s: float) -> bytes:
    """One line, or what came of it until the time was up or the stream ended."""
    line, deadline = b"", time.monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(deadline - time.monotonic(), 0)):
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                break
            line += chunk
    return line.split(b"\n", 1)[0]


def wait_until(holds: Callable[[], Any], what: str, within_s: float = 10.0) -> Any:
    """The first true value of holds()."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        value = holds()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {within_s:g} s: {what}")


def small_universe() -> list[Instrument]:
    """A few hundred main-board shares at 10.00 yuan on each exchange, and one of each special kind."""
    shares = [
        list_share(f"{first + number:06d}", f"Share {first + number:06d}", 0, PREV_CLOSE_E4, "NORMAL", 10**9)
        for first in (600_000, 1)
        for number in range(MEMBERS * BLOCK)
    ]
    shares += [
        list_share("688001", "Star", 0, PREV_CLOSE_E4, "NORMAL", 10**9),
        list_share("300001", "ChiNext", 0, PREV_CLOSE_E4, "NORMAL", 10**9),
        list_share("605001", "Suspended", 0, PREV_CLOSE_E4, "SUSPENDED", 10**9),
    ]
    return shares


class Exchanges:
    """Both exchanges with empty books and MEMBERS members each, at one time of day.

    folder: for their logs and the instruments file; clock: HH:MM:SS; speed: market seconds per second, 0 stands still.
    """

    def __init__(self, folder: Path, clock: str = "10:00:00", speed: float = 0, members: int = MEMBERS) -> None:
        self.folder = folder
        self.instruments = folder / "instruments.csv"
        self.members = members
        self.clock = clock
        self.speed = speed
        self.used = 0
        self.children: dict[str, Child] = {}
        self.ports: dict[str, dict[str, Any]] = {}
        write_instruments(self.instruments, small_universe())
        try:
            self.start("XSHG", "XSHE")
        except BaseException:
            self.stop()
            raise

    def start(self, *venues: str) -> None:
        """Start these; one that ran before listens where it did."""
        for venue in venues:
            arguments = [venue, "--instruments", str(self.instruments), "--empty", "--date", DAY]
            arguments += ["--clock", self.clock, "--speed", f"{self.speed:g}", "--partitions", str(PARTITIONS)]
            for member in range(self.members):
                arguments += ["--member", f"GW{member:02d}:P{member:05d}"]
            for flag, key in (("--order-port", "order_entry_port"), ("--market-data-port", "market_data_port")):
                arguments += [flag, str(self.ports[venue][key])] if venue in self.ports else []
            self.children[venue] = Child(f"exchange {venue}", EXCHANGE, arguments, self.folder / f"{venue}.log")
        for venue in venues:
            self.ports[venue] = self.children[venue].ready()

    def next_member(self) -> int:
        """A member that no gateway has used today."""
        assert self.used < self.members, "more gateways than members: raise MEMBERS"
        self.used += 1
        return self.used - 1

    def control(self, venue: str, fault: str, **fields: Any) -> dict[str, Any]:
        """One request to the exchange's control port."""
        with socket.create_connection(("127.0.0.1", self.ports[venue]["control_port"]), timeout=5) as connection:
            connection.sendall(json.dumps({"fault": fault, **fields}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline())
        assert answer.pop("ok"), answer
        return answer

    def stop(self) -> None:
        for child in self.children.values():
            child.stop()


class Gateway:
    """One gateway of one member, restartable on its journal. Its symbols on each exchange are its own."""

    def __init__(
        self,
        exchanges: Exchanges,
        folder: Path,
        transport: str = "native",
        flags: tuple[str, ...] = (),
        change: Callable[[dict[str, Any]], None] | None = None,
        member: int | None = None,
    ) -> None:
        self.exchanges = exchanges
        self.folder = folder
        self.transport = transport
        self.flags = flags
        self.member = exchanges.next_member() if member is None else member
        self.symbols = {
            venue: [f"{first + self.member * BLOCK + number:06d}" for number in range(BLOCK)]
            for venue, first in (("XSHG", 600_000), ("XSHE", 1))
        }
        self.journal = folder / "journal"
        self.limits = folder / "limits.yaml"
        self.log = folder / "gateway.log"
        limits = limits_of(self.symbols)
        if change is not None:
            change(limits)
        self.limits.write_text(yaml.safe_dump(limits, sort_keys=False))
        self.child: Child | None = None
        self.channel: grpc.Channel | None = None
        self.address = ""
        self.metrics_port = 0
        self.control_port: int | None = None
        self.rule_set: str | None = None  # in force at the start

    @property
    def journal_file(self) -> Path:
        return self.journal / f"{DAY.replace('-', '')}-00.journal"

    def arguments(self) -> list[str]:
        venues = [
            f"{venue}=127.0.0.1:{ports['order_entry_port']},{ports['market_data_port']}"
            for venue, ports in self.exchanges.ports.items()
        ]
        return [
            "serve",
            "--instruments",
            str(self.exchanges.instruments),
            "--limits",
            str(self.limits),
            "--venue",
            venues[0],
            "--venue",
            venues[1],
            "--journal",
            str(self.journal),
            "--port",
            "0",
            "--metrics-port",
            "0",
            "--date",
            DAY,
            "--comp-id",
            f"GW{self.member:02d}",
            "--pbu",
            f"P{self.member:05d}",
            "--transport",
            self.transport,
            "--max-orders",
            "200000",
            *self.flags,
        ]

    def start(self, venues: tuple[str, ...] = ("XSHG", "XSHE")) -> "Gateway":
        """Start it, and wait until the links to these exchanges and all market data are up."""
        self.child = Child("gateway", GATEWAY, self.arguments(), self.log)
        ready = self.child.ready()
        self.address = f"127.0.0.1:{ready['port']}"
        self.metrics_port = ready["metrics_port"]
        self.control_port = ready["control_port"]
        self.rule_set = ready["rule_set"]
        self.channel = grpc.insecure_channel(self.address)
        for venue in venues:
            self.wait_for_link(venue)
        # A quote of every book comes first of all on the feed; it travels while the links log on.
        wait_until(lambda: len(self.child.logged("quotes_connected")) >= 2, "market data connected")
        time.sleep(0.05)
        return self

    def stub(self) -> Any:
        return rpc.OrderEntryStub(self.channel)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def is_link_up(self, venue: str) -> bool:
        return bool(re.search(rf'^tidegate_venue_link_up\{{venue="{venue}"\}} 1', self.metrics(), re.M))

    def wait_for_link(self, venue: str, up: bool = True, within_s: float = 15.0) -> None:
        wait_until(lambda: self.is_link_up(venue) == up, f"link to {venue} {'up' if up else 'down'}", within_s)

    def kill(self) -> None:
        assert self.child is not None
        assert self.channel is not None
        self.child.kill()
        self.channel.close()

    def stop(self) -> int | None:
        if self.child is None:
            return None
        if self.channel is not None:
            self.channel.close()
        return self.child.stop()


def tidegate(*arguments: str, within_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    """One run of the command line."""
    return subprocess.run(
        [sys.executable, "-c", GATEWAY, *arguments],
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
