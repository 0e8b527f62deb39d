"""Keeps the control process alive beside the shard: starts it, again when it dies. Trading never waits for it."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway import engine_views
from gateway.commands import Commands
from gateway.metrics import ControlFigures
from gateway.pb import engine_command_pb2 as pb
from gateway.settings import SettingError

START_S = 30.0
STOP_S = 3.0
MOST_RESTARTS = 20  # one after the other, each dead within RESTED_S
RESTED_S = 60.0
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0


class ControlSettings(msgspec.Struct, frozen=True):
    """What the control process is started with, as one argument of JSON."""

    fd: int  # its end of the socket pair
    host: str
    port: int
    control: str  # the control file
    store: str  # folder of rule sets and history
    trade_date: int
    shard: int
    cpus: tuple[int, ...]  # where it may run: never on the shard's own core
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    limits: str = ""  # file of the accounts that pushed rules are held against; empty: they are not
    watch: str = ""  # folder of rule files; empty: not watched
    debug: bool = False


class ControlChild:
    """The control process of one shard. log: the shard's logger; turn, hand_over: as in commands.Commands."""

    def __init__(
        self, engine: Any, settings: ControlSettings, log: Any, turn: Any = None,
        hand_over: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.turn = turn
        self.hand_over = hand_over
        self.settings = settings
        self.log = log
        self.port = settings.port
        self.commands: Commands | None = None
        self.running: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.keeping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Its port, once it listens. Raises SettingError when it cannot."""
        error = await self.launch()
        if error:
            await self.stop()
            raise SettingError(f"--control-port: {error}")
        self.keeping = asyncio.get_running_loop().create_task(self.keep())
        return self.port

    async def launch(self) -> str:
        """One process, and its word that it listens; empty, or why it does not."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[str] = loop.create_future()
        ours, theirs = socket.socketpair()
        settings = msgspec.structs.replace(self.settings, fd=theirs.fileno(), port=self.port)
        commands = self.commands = Commands(
            self.engine, self.on_ready(ready), lambda: tell(ready, "it ended at once"), self.turn, self.hand_over
        )
        await loop.create_unix_connection(lambda: commands.frames, sock=ours)
        self.running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.control_server",
            msgspec.json.encode(settings).decode(),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env={"GRPC_VERBOSITY": "NONE"} | os.environ | {"PYTHONPATH": python_path()},
        )
        theirs.close()
        try:
            return await asyncio.wait_for(ready, START_S)
        except TimeoutError:
            return f"the control process was not ready in {START_S:g} s"

    def on_ready(self, ready: asyncio.Future[str]) -> Callable[[int, str], None]:
        def listening(port: int, error: str) -> None:
            self.port = port or self.port
            tell(ready, error)

        return listening

    def figures(self) -> ControlFigures:
        """For the metrics; called by the thread that is scraped."""
        report = self.commands.report if self.commands else pb.ControlReport()
        return ControlFigures(
            rule_set=engine_views.rule_set_number(self.engine),
            alerts=engine_views.newest_alert(self.engine),
            alerts_sent=report.alerts_sent,
            alerts_lag=report.most_lag,
            alert_streams=report.alert_streams,
            proposals=report.proposals,
            levels=list(report.levels),
            restarts=self.restarts,
            up=self.commands is not None and self.commands.frames.is_open,
        )

    async def keep(self) -> None:
        """Start it again whenever it dies, with a pause that grows; give up when it never lives."""
        loop = asyncio.get_running_loop()
        pause_s, deaths = FIRST_PAUSE_S, 0
        while self.running is not None:
            began = loop.time()
            code = await self.running.wait()
            if loop.time() - began > RESTED_S:
                pause_s, deaths = FIRST_PAUSE_S, 0
            deaths += 1
            if deaths > MOST_RESTARTS:
                self.log.error("control_given_up", exit_code=code, restarts=self.restarts)
                return
            self.log.warning("control_lost", exit_code=code, again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MOST_PAUSE_S)
            self.restarts += 1
            error = await self.launch()
            if error:
                self.log.warning("control_not_ready", reason=error)
                await self.end()
            else:
                self.log.info("control_ready", port=self.port, restarts=self.restarts)

    async def end(self) -> None:
        """End the process that runs now: it ends by itself when its socket closes."""
        if self.commands is not None:
            self.commands.frames.close()
        if self.running is None or self.running.returncode is not None:
            return
        try:
            await asyncio.wait_for(self.running.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.running.kill()
            await self.running.wait()

    async def stop(self) -> None:
        if self.keeping is not None:
            self.keeping.cancel()
            await asyncio.gather(self.keeping, return_exceptions=True)
        await self.end()


def python_path() -> str:
    """Where this very code lies first, then where it was told to look."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))


def tell(ready: asyncio.Future[str], error: str) -> None:
    if not ready.done():
        ready.set_result(error)
