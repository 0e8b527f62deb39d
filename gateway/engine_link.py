"""The control process's way to the engine: commands and their results, alerts from the shard. It decides nothing."""

import asyncio
import itertools
import socket
from collections.abc import Callable
from typing import Any

import msgspec
from google.protobuf.message import Message

from gateway.framing import Framed
from gateway.pb import engine_command_pb2 as pb

CALL_TIMEOUT_S = 30.0
STATUS_OF = {  # of a Result, as the gRPC status that the caller's client sees
    pb.Result.INVALID: "INVALID_ARGUMENT",
    pb.Result.NOT_FOUND: "NOT_FOUND",
    pb.Result.CONFLICT: "ABORTED",
    pb.Result.REFUSED: "FAILED_PRECONDITION",
    pb.Result.FAILED: "UNAVAILABLE",
}


class ControlError(Exception):
    """A call that cannot be done. status: name of a gRPC status; text: one line for a person."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class EngineLink:
    """Calls to the engine, answered in any order.

    on_alerts: called with (first_seq, alerts) of each batch that comes; on_lost: the shard is gone.
    """

    def __init__(
        self, on_alerts: Callable[[int, list[dict[str, Any]]], None], on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self.on_alerts = on_alerts
        self.on_shard_lost = on_lost
        self.calls: dict[int, asyncio.Future[Any]] = {}
        self.numbers = itertools.count(1)
        self.frames = Framed(self.on_message, self.on_lost)

    async def connect(self, connection: socket.socket) -> None:
        await asyncio.get_running_loop().create_unix_connection(lambda: self.frames, sock=connection)

    def on_message(self, octets: bytes) -> None:
        message = pb.ToControl.FromString(octets)
        if message.WhichOneof("body") == "alerts":
            self.on_alerts(message.alerts.first_seq, msgspec.json.decode(message.alerts.json))
            return
        waiting = self.calls.pop(message.result.call, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message.result)

    def on_lost(self) -> None:
        for waiting in self.calls.values():
            if not waiting.done():
                waiting.set_exception(ControlError("UNAVAILABLE", "the shard is gone"))
        self.calls.clear()
        self.on_shard_lost()

    def tell(self, **body: Message) -> None:
        """A message that has no answer."""
        self.frames.send(pb.ToShard(**body).SerializeToString())

    async def call(self, **body: Message) -> Any:
        """One command; its result's value. Raises ControlError when the engine refuses it, or does not answer."""
        if not self.frames.is_open:
            raise ControlError("UNAVAILABLE", "the shard is gone")
        number = next(self.numbers)
        waiting = self.calls[number] = asyncio.get_running_loop().create_future()
        self.frames.send(pb.ToShard(call=number, **body).SerializeToString())
        try:
            result = await asyncio.wait_for(waiting, CALL_TIMEOUT_S)
        except TimeoutError:
            self.calls.pop(number, None)
            raise ControlError("DEADLINE_EXCEEDED", f"the engine did not answer in {CALL_TIMEOUT_S:g} s") from None
        if result.status != pb.Result.OK:
            raise ControlError(STATUS_OF.get(result.status, "INTERNAL"), result.text)
        value: Any = msgspec.json.decode(result.json) if result.json else None
        return {**value, "program": result.program} if result.program else value

    async def read(self, topic: str, **fields: Any) -> Any:
        """Something of the engine's state; topic: a name of ReadState.Topic."""
        return await self.call(read=pb.ReadState(topic=pb.ReadState.Topic.Value(topic), **fields))
