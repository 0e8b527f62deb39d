"""Starts the exchanges and the gateway of a load run on loopback, and ends only those. Sends no order."""

import json
import os
import re
import selectors
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from loadtest.drive import Endpoint
from loadtest.measure import Latency
from loadtest.scenario import Scenario

ROOT = Path(__file__).parent.parent
EXCHANGE = "import typer; from loadtest.cli import exchange; typer.run(exchange)"
GATEWAY = "from gateway.cli import main; main()"
WATCH = "import runpy; runpy.run_module('loadtest.alerts', run_name='__main__', alter_sys=True)"
SHIPPED_RULES = ROOT / "risk_rules"
START_S = 60.0
STOP_S = 10.0
LOOPBACK = "127.0.0.1"
TRADING_DAY = "2026-11-23"  # of the exchanges and the gateway; both run it from 09:30:00 on, whatever the clock says
QUANTILES = {"0.5": "p50_us", "0.9": "p90_us", "0.99": "p99_us", "0.999": "p99_9_us", "1.0": "max_us"}


class StartError(Exception):
    """A process that did not come up: which, and the last thing it said."""


class Child:
    """One process that says on its first line of stdout, in JSON, where it listens."""

    def __init__(self, name: str, code: str, arguments: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        """The ready line's fields; raises StartError when it does not come within START_S."""
        assert self.process.stdout is not None
        line = read_line(self.process.stdout, START_S)
        try:
            fields = json.loads(line)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            self.stop()
            raise StartError(f"{self.name} did not start: {self.last_words() or line.decode(errors='replace').strip()}")
        return fields

    def last_words(self) -> str:
        """The last line it wrote to stderr."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def pin(self, cores: set[int]) -> None:
        """Keep it on these cores."""
        os.sched_setaffinity(self.process.pid, cores)

    def stop(self) -> None:
        """Ask it to end; kill it when it does not within STOP_S."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


def read_line(stream: IO[bytes], timeout_s: float) -> bytes:
    """One line, or what came of it until the time was up or the stream ended."""
    line, deadline = b"", time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(deadline - time.monotonic(), 0)):
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                break
            line += chunk
    return line.split(b"\n", 1)[0]


class Plant:
    """Two exchanges and one gateway, up between `with` and its end.

    background_per_s: generated orders and cancels a second on each exchange; transport: native or grpcio; flags: more
    of the gateway's. rules: folder of the rules in force; with it come a control port and a follower of its alerts.
    """

    def __init__(
        self,
        scenario: Scenario,
        background_per_s: float,
        transport: str = "native",
        flags: Sequence[str] = (),
        rules: Path | None = None,
    ) -> None:
        self.scenario = scenario
        self.background_per_s = background_per_s
        self.transport = transport
        self.flags = flags
        self.rules = rules
        self.rule_set = ""  # in force at the start, in words
        self.children: list[Child] = []
        self.ready: dict[str, Any] = {}  # the gateway's ready line
        self.market_data: list[Endpoint] = []
        self.target = Endpoint(LOOPBACK, 0)
        self.metrics_port = 0

    def __enter__(self) -> "Plant":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Exchanges first, because the gateway logs on to them; the gateway on a core of its own if there are two."""
        cores = sorted(os.sched_getaffinity(0))
        own = cores[-1] if len(cores) > 1 else None
        exchanges = [self.start_exchange(venue) for venue in ("XSHG", "XSHE")]
        venues = []
        for exchange in exchanges:
            ready = exchange.ready()
            self.market_data.append(Endpoint(LOOPBACK, int(ready["market_data_port"])))
            venues += [
                "--venue",
                f"{ready['exchange']}={LOOPBACK}:{ready['order_entry_port']},{ready['market_data_port']}",
            ]
            if own is not None:
                exchange.pin(set(cores) - {own})
        gateway = self.child(
            "gateway",
            GATEWAY,
            [
                "serve",
                "--instruments",
                str(self.scenario.instruments),
                "--limits",
                str(self.scenario.limits),
                *venues,
                "--journal",
                str(self.scenario.journal),
                "--port",
                "0",
                "--metrics-port",
                "0",
                *("--transport", self.transport),
                *("--date", TRADING_DAY),
                *self.control_flags(),
                *(("--cpu", str(own), "--awake") if own is not None else ()),
                *self.flags,
            ],
        )
        self.ready = gateway.ready()
        self.target = Endpoint(LOOPBACK, int(self.ready["port"]))
        self.metrics_port = int(self.ready.get("metrics_port") or 0)
        self.wait_for_links()
        if self.rules is not None:
            self.watch(set(cores) - {own} if own is not None else set(cores))

    def start_exchange(self, venue: str) -> Child:
        flags = ["--rate", f"{self.background_per_s:g}", "--date", TRADING_DAY]
        return self.child(
            f"exchange {venue}", EXCHANGE, [venue, "--instruments", str(self.scenario.instruments), *flags]
        )

    def control_flags(self) -> tuple[str, ...]:
        if self.rules is None:
            return ()
        return "--rules", str(self.rules), "--control-port", "0", "--control", str(self.scenario.control)

    def watch(self, cores: set[int]) -> None:
        """Somebody who follows the alerts, as an officer would, beside the load."""
        address = f"{LOOPBACK}:{self.ready['control_port']}"
        watch = self.child("alerts", WATCH, [address, str(self.scenario.alerts)])
        self.rule_set = watch.ready()["rule_set"]
        watch.pin(cores)

    def child(self, name: str, code: str, arguments: list[str]) -> Child:
        child = Child(name, code, arguments, self.scenario.folder / f"{name.replace(' ', '-')}.log")
        self.children.append(child)
        return child

    def wait_for_links(self) -> None:
        """Until the gateway's metrics say that both exchange links are ready."""
        deadline = time.monotonic() + START_S
        while self.metrics_port and time.monotonic() < deadline:
            links = re.findall(r'^tidegate_venue_link_up\{venue="(\w+)"\} (\S+)', read_metrics(self.metrics_port), re.M)
            if len(links) == 2 and all(float(up) for _, up in links):
                return
            time.sleep(0.05)
        if self.metrics_port:
            raise StartError(
                f"gateway: exchange links not ready within {START_S:g} s: {self.children[-1].last_words()}"
            )

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name."""
        return {child.name: child.process.pid for child in self.children}

    def fallen(self) -> list[str]:
        """Processes that ended by themselves, with their last words."""
        return [
            f"{child.name} ended with {child.process.returncode}: {child.last_words()}"
            for child in self.children
            if child.process.poll() is not None
        ]

    def stop(self) -> None:
        """End what was started, the gateway first."""
        for child in reversed(self.children):
            child.stop()


def read_metrics(port: int, host: str = LOOPBACK) -> str:
    """The gateway's metrics as text, empty when they cannot be read."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def stages_of(metrics: str) -> list[Latency]:
    """The gateway's own per-stage times; a quantile it does not publish is 0."""
    stages: dict[str, dict[str, float]] = {}
    for name, labels, value in re.findall(r"^tidegate_stage_seconds(\w*)\{(.*?)\} (\S+)", metrics, re.M):
        pairs = dict(re.findall(r'(\w+)="(.*?)"', labels))
        row = stages.setdefault(pairs.get("stage", "?"), {})
        key = {"_count": "count", "_sum": "sum"}.get(name) or QUANTILES.get(pairs.get("quantile", ""), "")
        if key:
            row[key] = float(value)
    return [
        Latency(
            name=stage,
            count=int(row.get("count", 0)),
            hdr="",
            mean_us=row.get("sum", 0) / max(row.get("count", 1), 1) * 1e6,
            **{key: row.get(key, 0.0) * 1e6 for key in QUANTILES.values()},
        )
        for stage, row in stages.items()
    ]
