"""The service the conformance suite calls: echoes, and methods that obey commands sent as messages."""

import asyncio
from typing import Any

from ext.buffers import Turn
from ext.echo import EchoStream, EchoUnary
from ext.rpc import Call, ColdUnary, HotStream, HotUnary, PythonSink, RpcError

ECHO = "/test.Service/Echo"
ECHO_ONE = "/test.Service/EchoOne"
COMMANDS = "/test.Service/Commands"
COMMAND = "/test.Service/Command"
REFUSED = "/test.Service/Refused"
BUFFER_BYTES = 1 << 18


class Commands(PythonSink):
    """A stream that obeys: echo:TEXT, end:STATUS:TEXT, crash, flood:COUNT:SIZE, later:MS:TEXT, closed (count)."""

    def __init__(self, turn: Turn, call: Call, closed: list[str]) -> None:
        super().__init__(turn, BUFFER_BYTES)
        self.call = call
        self.closed_calls = closed

    def message(self, message: bytes, recv_ns: int) -> None:
        command, _, rest = message.decode().partition(":")
        if command == "echo":
            self.send(rest.encode())
        elif command == "end":
            status, _, text = rest.partition(":")
            self.end(int(status), text)
        elif command == "flood":
            count, size = map(int, rest.split(":"))
            sent = sum(self.send(b"f" * size) for _ in range(count))
            assert sent <= count
        elif command == "later":
            ms, _, text = rest.partition(":")
            asyncio.get_running_loop().call_later(int(ms) / 1e3, self.send, text.encode())
        elif command == "closed":
            self.send(str(len(self.closed_calls)).encode())
        else:
            raise RuntimeError(f"told to {command}")

    def closed(self) -> None:
        self.closed_calls.append(self.call.path)


async def obey(request: bytes, call: Call) -> bytes:
    """A unary method that obeys: echo:TEXT, fail:STATUS:TEXT, crash, sleep:MS, metadata:KEY, deadline, peer, size:N."""
    command, _, rest = request.decode().partition(":")
    if command == "echo":
        return rest.encode()
    if command == "fail":
        status, _, text = rest.partition(":")
        raise RpcError(int(status), text)
    if command == "sleep":
        await asyncio.sleep(int(rest) / 1e3)
        return b"slept"
    if command == "size":
        return b"s" * int(rest)
    answers: dict[str, Any] = {"metadata": call.metadata.get(rest), "deadline": call.deadline_ns, "peer": call.peer}
    if command not in answers:
        raise RuntimeError(f"told to {command}")
    return repr(answers[command]).encode()


def refuse(call: Call) -> None:
    raise RpcError(16, f"no token for {call.path}")


def make_service(turn: Turn) -> dict[str, Any]:
    """Method path -> Method, as a transport serves it."""
    closed: list[str] = []
    return {
        ECHO: HotStream(lambda call: EchoStream(turn, BUFFER_BYTES)),
        ECHO_ONE: HotUnary(lambda call: EchoUnary(turn, 1 << 23)),
        COMMANDS: HotStream(lambda call: Commands(turn, call, closed)),
        COMMAND: ColdUnary(obey),
        REFUSED: HotStream(refuse),
    }
