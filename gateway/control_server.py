"""The control process: one gRPC server for officers beside a shard, on a thread and an interpreter of its own.

python -m gateway.control_server SETTINGS (JSON of control_child.ControlSettings). It ends when the shard does.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import uvloop
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from ext import program
from ext.clock import utc_now_ns
from gateway.alert_hub import AlertHub
from gateway.broadcast import Broadcast, KeptFile
from gateway.broadcast_apply import Applier, Cluster
from gateway.control_child import ControlSettings
from gateway.control_file import ControlFile, Person, load_control_file
from gateway.control_service import ControlService
from gateway.desk import Desk
from gateway.engine_link import ControlError, EngineLink
from gateway.kept_child import REDIS
from gateway.log import logger, start_log, stop_log
from gateway.pb import control_pb2 as api
from gateway.pb import control_pb2_grpc
from gateway.pb import engine_command_pb2 as pb
from gateway.rule_compiler import Compiler
from gateway.rule_store import RuleStore, StoreError
from gateway.rule_watch import watch_rules
from gateway.tasks import end_tasks
from gateway.topology import Directory, TopologyStore
from risk_rules.marked import ConfigError

SERVICE = "tidegate.v1.Control"
OPEN_SERVICES = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
REPORT_S = 0.5
MOST_COUNTS = 5  # of levels, until none changes meanwhile
MOST_MESSAGE_BYTES = 1 << 24
GRACE_S = 0.5
REMEMBERED = 2048  # alerts of before its start that a new process keeps at hand
CATCH_UP_S = 20.0


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets nobody without a token at what is neither Control, which asks for roles itself, nor open to all."""

    def __init__(self, people: ControlFile, has_client_ca: bool) -> None:
        self.people = people
        self.has_client_ca = has_client_ca

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        service = details.method.split("/")[1]
        if service in (SERVICE, *OPEN_SERVICES) or self.has_client_ca:
            return await continuation(details)
        if self.people.by_token(bearer_of(details.invocation_metadata)) is not None:
            return await continuation(details)

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)

        return grpc.unary_unary_rpc_method_handler(refuse)


NO_TOKEN = "authorization: expected 'Bearer <token>' of a person in the control file"


def bearer_of(metadata: Any) -> str:
    """The token of a call, empty when it has none."""
    for key, value in metadata or ():
        kind, _, token = str(value).partition(" ")
        if key == "authorization" and kind.lower() == "bearer":
            return token
    return ""


def person_of(people: ControlFile, context: Any) -> Person | str:
    """Who calls, by certificate, token or both; else why nobody does."""
    token = bearer_of(context.invocation_metadata())
    by_token = people.by_token(token) if token else None
    if token and by_token is None:
        return NO_TOKEN
    names = context.auth_context().get("x509_common_name", [])
    subject = names[0].decode("utf-8", "replace") if names else ""
    by_subject = people.by_subject(subject) if subject else None
    if by_token and by_subject and by_token != by_subject:
        return f"the token is {by_token.name}'s, the certificate {by_subject.name}'s: expected one person"
    found = by_token or by_subject
    if found is not None:
        return found
    return (
        f"the certificate's common name {subject!r} is no person's subject in the control file" if subject else NO_TOKEN
    )


class ControlServer:
    """Everything in the control process, wired."""

    def __init__(self, settings: ControlSettings) -> None:
        self.settings = settings
        self.log = logger("control")
        self.people = load_control_file(Path(settings.control))
        self.over = asyncio.Event()
        self.hub = AlertHub(self.read_alerts, self.read_names)
        self.link = EngineLink(self.hub.add, self.over.set)
        store = RuleStore(Path(settings.store))
        self.desk = Desk(
            store,
            self.link,
            Compiler(settings.trade_date, Path(settings.limits) if settings.limits else None),
            settings.trade_date,
            self.people.proposal_ttl_min,
            utc_now_ns,
        )
        self.broadcast = self.joined_cluster()
        self.service = ControlService(self.desk, self.link, self.hub, self.person, self.log)
        self.server: grpc.aio.Server | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def joined_cluster(self) -> Broadcast | None:
        """This shard's part in its cluster, None without a Redis."""
        settings, url = self.settings, os.environ.get(REDIS, "")
        if not url:
            return None
        try:
            file = KeptFile(Path(settings.store).parent / f"cluster-{settings.shard:02d}.json")
        except ValueError as error:
            raise StoreError(str(error)) from None
        applier = Applier(settings.shard, self.link, self.desk, self.people, file)
        broadcast = Broadcast(url, settings.cluster, settings.shard, file, applier.apply, self.log)
        self.desk.cluster = Cluster(broadcast, applier)
        return broadcast

    def person(self, context: Any) -> Person | str:
        return person_of(self.people, context)

    async def read_alerts(self, after_seq: int, most: int) -> Any:
        return await self.link.read("ALERTS", after_seq=after_seq, most=most)

    async def read_names(self, number: int) -> dict[str, Any]:
        """The names in a rule set's program, and who put it in force, when and why."""
        found = await self.link.read("RULE_NAMES", number=number)
        names: dict[str, Any] = program.names(found.pop("program"))
        found |= {"version": names["rule_set"]["version"], "rules": len(names["rules"])}
        return names | {"rule_set": found}

    async def run(self) -> None:
        """Until the shard closes the socket, or SIGTERM."""
        await self.link.connect(socket.socket(fileno=self.settings.fd))
        try:
            port = await self.listen()
        except (OSError, StoreError, ControlError, TimeoutError) as error:
            self.link.tell(ready=pb.ControlReady(error=" ".join(str(error).split())))
            await asyncio.sleep(GRACE_S)
            return
        self.link.tell(ready=pb.ControlReady(port=port))
        self.tasks = [asyncio.create_task(self.report())]
        if self.broadcast is not None:
            self.tasks.append(asyncio.create_task(self.broadcast.follow()))
        if url := os.environ.get(REDIS):
            store = TopologyStore(url, self.settings.cluster)
            self.service.directory = Directory(store, None, utc_now_ns, self.log)
            self.tasks.append(asyncio.create_task(self.service.directory.follow()))
        if self.settings.watch:
            self.tasks.append(asyncio.create_task(watch_rules(Path(self.settings.watch), self.desk, self.log)))
        await self.over.wait()
        await end_tasks(self.tasks)
        if self.server is not None:
            await self.server.stop(GRACE_S)

    async def listen(self) -> int:
        """The port that the services are on."""
        settings = self.settings
        await self.desk.reconcile()
        if self.broadcast is not None:
            await self.broadcast.catch_up()
        newest = int((await self.link.read("ENGINE"))["newest_alert_seq"])
        await self.count_levels()
        begin = max(newest - REMEMBERED, 0)
        self.hub.begin(begin)
        self.link.tell(follow_alerts=pb.FollowAlerts(after_seq=begin))
        await asyncio.wait_for(self.hub.reached(newest), CATCH_UP_S)
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES)]
        server = self.server = grpc.aio.server(
            options=options, interceptors=(Gate(self.people, bool(settings.tls_client_ca)),)
        )
        control_pb2_grpc.add_ControlServicer_to_server(self.service, server)
        health_service = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
        channelz.add_channelz_servicer(server)
        names = [
            api.DESCRIPTOR.services_by_name["Control"].full_name,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        ]
        reflection.enable_server_reflection(names, server)
        address = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
        port = self.bind(server, address)
        await server.start()
        await health_service.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        return port

    def bind(self, server: grpc.aio.Server, address: str) -> int:
        settings = self.settings
        if not settings.tls_cert:
            return bound(address, lambda: server.add_insecure_port(address))
        pair = (Path(settings.tls_key).read_bytes(), Path(settings.tls_cert).read_bytes())
        authority = Path(settings.tls_client_ca).read_bytes() if settings.tls_client_ca else None
        credentials = grpc.ssl_server_credentials(
            [pair], root_certificates=authority, require_client_auth=authority is not None
        )
        return bound(address, lambda: server.add_secure_port(address, credentials))

    async def report(self) -> None:
        """For the shard's metrics: proposals, streams, levels. Proposals whose time is over are closed on the way."""
        while True:
            with contextlib.suppress(ControlError):
                async with self.desk.changing:
                    await self.desk.lapse()
            self.link.tell(
                report=pb.ControlReport(
                    proposals=len(self.desk.waiting),
                    alert_streams=self.hub.streams,
                    alerts_sent=self.hub.sent,
                    most_lag=self.hub.most_lag(),
                    is_in_cluster=self.broadcast is not None,
                    cluster_up=self.broadcast is not None and self.broadcast.is_up,
                    cluster_commands=self.broadcast.taken if self.broadcast else 0,
                    levels=[max(self.hub.levels[level], 0) for level in range(8)],
                )
            )
            await asyncio.sleep(REPORT_S)

    async def count_levels(self) -> None:
        """How many subjects stand at each level now; from here on the alerts tell. Visits every account, once."""
        for _ in range(MOST_COUNTS):
            before = (await self.link.read("ENGINE"))["newest_alert_seq"]
            levels = Counter(row["level"] for row in await self.link.read("LEVELS"))
            if (await self.link.read("ENGINE"))["newest_alert_seq"] == before:
                break
        self.hub.begin_levels(levels, before)


def bound(address: str, bind: Callable[[], int]) -> int:
    """The port; grpcio's long error as a short one."""
    try:
        return bind()
    except RuntimeError:
        raise OSError(f"cannot listen on {address}: it is taken, or not of this machine") from None


async def serve(settings: ControlSettings) -> None:
    server = ControlServer(settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.over.set)
    await server.run()


def main(argument: str) -> int:
    """The exit code: 0 when the shard ended it, 1 after an error, which the log names in one line."""
    settings = msgspec.json.decode(argument, type=ControlSettings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, settings.cpus)
    start_log(debug=settings.debug)
    try:
        uvloop.run(serve(settings))
    except (ConfigError, StoreError, OSError) as error:
        logger("control").error("control_failed", reason=" ".join(str(error).split()))
        return 1
    finally:
        stop_log()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
