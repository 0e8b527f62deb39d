"""Two nodes of one shard with a real Redis: an owner and its standby, for the system tests. Judges nothing."""

from pathlib import Path
from typing import Any

import grpc

from gateway.pb import order_entry_pb2_grpc as rpc
from tests.redis_server import RedisServer
from tests.system.plant import GATEWAY, Child, Exchanges, Gateway, wait_until


class Node(Gateway):
    """One of them: it may start as a standby, whose links are down."""

    def launch(self) -> "Node":
        """Start it, whatever it becomes."""
        self.child = Child("gateway", GATEWAY, self.arguments(), self.log)
        ready = self.child.ready()
        self.role = ready["role"]
        self.address = f"127.0.0.1:{ready['port']}"
        self.metrics_port, self.control_port = ready["metrics_port"], ready["control_port"]
        self.channel = grpc.insecure_channel(self.address)
        return self

    def stub(self) -> Any:
        return rpc.OrderEntryStub(self.channel)

    def wait_for(self, event: str, count: int = 1, within_s: float = 15.0) -> dict[str, Any]:
        """The newest line of its log with this event, once there are so many."""
        assert self.child is not None
        wait_until(lambda: len(self.child.logged(event)) >= count, f"{event} of {self.folder.name}", within_s)
        return self.child.logged(event)[-1]


class Pair:
    """Nodes a and b, of one member; neither runs yet."""

    def __init__(self, exchanges: Exchanges, folder: Path, *flags: str, durability: str = "replica") -> None:
        self.redis = RedisServer(folder / "redis").start()
        member = exchanges.next_member()
        flags = ("--redis", self.redis.url, "--cluster", "t", "--durability", durability, *flags)
        self.nodes = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            self.nodes.append(Node(exchanges, folder / name, flags=flags, member=member))

    def start(self) -> tuple[Node, Node]:
        """a as the owner, ready to trade; b as the standby in step."""
        owner, standby = self.nodes
        owner.launch()
        for venue in ("XSHG", "XSHE"):
            owner.wait_for_link(venue)
        standby.launch()
        assert (owner.role, standby.role) == ("owner", "waiting"), (owner.role, standby.role)
        owner.wait_for("standby_in_step")
        wait_until(lambda: len(owner.child.logged("quotes_connected")) >= 2, "market data connected")
        return owner, standby

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
        self.redis.kill()
