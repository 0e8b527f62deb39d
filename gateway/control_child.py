"""The control process as its shard sees it: what it is told at its start, and what it says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway import engine_views
from gateway.commands import Commands
from gateway.kept_child import START_S, KeptChild, cpus_of, tell
from gateway.metrics import ControlFigures
from gateway.pb import engine_command_pb2 as pb
from gateway.rule_start import STORE
from gateway.settings import SettingError, Settings


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
    cluster: str = "tidegate"  # that it belongs to, when it has a Redis
    watch: str = ""  # folder of rule files; empty: not watched
    debug: bool = False


class ControlChild(KeptChild):
    """The control process of one shard. log: the shard's logger; turn, hand_over: as in commands.Commands."""

    def __init__(
        self, engine: Any, settings: ControlSettings, log: Any, redis: str = "", turn: Any = None,
        hand_over: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__("control", "gateway.control_server", log, redis)
        self.engine = engine
        self.turn = turn
        self.hand_over = hand_over
        self.settings = settings
        self.port = settings.port
        self.commands: Commands | None = None

    async def start(self) -> int:
        """Its port, once it listens. Raises SettingError when it cannot."""
        error = await self.begin()
        if error:
            raise SettingError(f"--control-port: {error}")
        return self.port

    async def launch(self) -> str:
        """One process, and its word that it listens; empty, or why it does not."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        commands = self.commands = Commands(
            self.engine, self.on_ready(ready), lambda: tell(ready, "it ended at once"), self.turn, self.hand_over
        )
        await self.run(commands.frames, lambda fd: msgspec.structs.replace(self.settings, fd=fd, port=self.port))
        try:
            return await asyncio.wait_for(ready, START_S)
        except TimeoutError:
            return f"the control process was not ready in {START_S:g} s"

    def on_ready(self, ready: asyncio.Future[str]) -> Callable[[int, str], None]:
        def listening(port: int, error: str) -> None:
            self.port = port or self.port
            tell(ready, error)

        return listening

    def ready_fields(self) -> dict[str, Any]:
        return {"port": self.port}

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
            cluster=(report.cluster_up, report.cluster_commands) if report.is_in_cluster else None,
        )


def control_settings(settings: Settings) -> ControlSettings:
    """What the control process is told."""
    paths = {"tls_cert": settings.tls_cert, "tls_key": settings.tls_key, "tls_client_ca": settings.tls_client_ca,
             "limits": settings.limits, "watch": settings.rules if settings.watch_rules else None}
    return ControlSettings(
        fd=-1, host=settings.host, port=settings.control_port or 0, control=str(settings.control),
        store=str(settings.journal / STORE), trade_date=settings.trade_date, shard=settings.shard,
        cpus=cpus_of(settings), debug=settings.debug, cluster=settings.cluster,
        **{name: str(path) for name, path in paths.items() if path},
    )
