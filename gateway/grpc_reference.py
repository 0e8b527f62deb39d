"""The reference gRPC server: the same services on grpcio's asyncio server, to compare with. Not built for rates."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

from ext.clock import utc_now_ns
from ext.rpc import SERVICE_FAILED, Call, CallCarrier, RpcError, Status
from gateway.transport import Limits, Tls

IDENTITY_ONLY = 1  # the bit set of compression algorithms: identity
MS_NS = 1_000_000
CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class OpenCall:
    """One running call: its sink, and its client as grpcio sees it."""

    def __init__(self, calls: "Calls", method: Any, context: grpc.aio.ServicerContext) -> None:
        self.calls = calls
        self.context = context
        self.woken = asyncio.Event()
        self.sending = asyncio.Lock()
        self.cut: tuple[int, str] | None = None
        remaining_s = context.time_remaining()
        deadline_ns = 0 if remaining_s is None else utc_now_ns() + int(remaining_s * 1e9)
        call = Call(calls.path_of[method], peer_address(context), metadata_of(context), deadline_ns)
        self.carrier = CallCarrier(method, call, calls.turn, self.woken.set)
        calls.open_calls.add(self)

    async def send(self) -> None:
        """Write what the sink has queued; a client that lets its buffer overflow is cut."""
        async with self.sending:
            if self.carrier.overflowed:
                await self.context.abort(CODES[Status.RESOURCE_EXHAUSTED], "the client reads too slowly")
            messages = self.carrier.take()
            await self.until_safe()
            for message in messages:
                self.calls.counted["messages_out"] += 1
                await self.context.write(message)

    async def until_safe(self) -> None:
        """Until what has happened so far may be told; see ext.gate."""
        gate = self.calls.turn.gate
        if gate is None:
            return
        safe = asyncio.Event()
        gate.when_safe(safe.set)
        await safe.wait()

    async def send_when_woken(self) -> None:
        """Write what the sink queues outside of its own reads, until the call has a status."""
        while self.carrier.status < 0 and self.cut is None:
            await self.woken.wait()
            self.woken.clear()
            await self.send()

    async def receive(self) -> None:
        """Feed the sink until the client's last message."""
        while self.carrier.status < 0:
            message = await self.context.read()
            if message is grpc.aio.EOF:
                self.carrier.half_close()
                break
            self.calls.counted["messages_in"] += 1
            self.carrier.feed(message, utc_now_ns())
            await self.send()
        self.woken.set()

    async def end(self) -> None:
        """End the call with the status the service gave it."""
        status, text = self.cut or (self.carrier.status, self.carrier.status_text)
        if status != Status.OK:
            await self.context.abort(CODES[status], text)

    def end_now(self, status: int, text: str) -> None:
        """End the call from outside of it."""
        self.cut = (status, text)
        self.woken.set()


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Opens the sinks of a service for grpcio and carries messages between the two."""

    def __init__(self, service: Mapping[str, Any], turn: Any) -> None:
        self.turn = turn
        self.open_calls: set[OpenCall] = set()
        self.counted = {"streams": 0, "messages_in": 0, "messages_out": 0, "sink_errors": 0}
        self.path_of = {method: path for path, method in service.items()}
        self.handlers = {path: self.handler(method) for path, method in service.items()}

    def service(self, handler_call_details: Any) -> Any:
        """grpcio asks which handler serves a method path; None: unknown."""
        return self.handlers.get(handler_call_details.method)

    def handler(self, method: Any) -> Any:
        """The grpcio handler of one method, on bytes."""
        if method.streaming:

            async def serve_stream(_: Any, context: grpc.aio.ServicerContext) -> None:
                await self.run(method, context, self.pump)

            return grpc.stream_stream_rpc_method_handler(serve_stream)

        async def serve_unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            async def answer(call: OpenCall) -> bytes:
                return await self.answer(call, request)

            return bytes(await self.run(method, context, answer))

        return grpc.unary_unary_rpc_method_handler(serve_unary)

    async def run(self, method: Any, context: Any, serve: Callable[[OpenCall], Awaitable[Any]]) -> Any:
        """Open a call, serve it, close its sink however it ends."""
        self.counted["streams"] += 1
        call: OpenCall | None = None
        try:
            call = OpenCall(self, method, context)
            return await serve(call)
        except RpcError as error:
            await context.abort(CODES[error.status], error.text)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:
            self.counted["sink_errors"] += 1
            asyncio.get_running_loop().call_exception_handler({"message": "a call failed", "exception": error})
            await context.abort(CODES[Status.INTERNAL], SERVICE_FAILED)
        finally:
            if call is not None:
                self.open_calls.discard(call)
                call.carrier.close()

    async def pump(self, call: OpenCall) -> None:
        """Serve one stream: read and write until the service ends it."""
        reading = asyncio.ensure_future(call.receive())
        writing = asyncio.ensure_future(call.send_when_woken())
        try:
            # What was written last may be the call's status: then nothing more is read.
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            await writing
        finally:
            reading.cancel()
            writing.cancel()
        await call.send()
        await call.end()

    async def answer(self, call: OpenCall, request: bytes) -> bytes:
        """Serve one unary call: feed its message, wait for its status, return its response."""
        self.counted["messages_in"] += 1
        call.carrier.feed(request, utc_now_ns())
        if call.carrier.status < 0:
            call.carrier.half_close()
        while call.carrier.status < 0 and call.cut is None:
            await call.woken.wait()
            call.woken.clear()
        messages = call.carrier.take()
        await call.until_safe()
        await call.end()
        self.counted["messages_out"] += 1
        return bytes(messages[0])

    def end_all(self, status: int, text: str) -> None:
        """End every running call with this status."""
        for call in list(self.open_calls):
            call.end_now(status, text)


class ReferenceServer:
    """A running grpcio server; see gateway.transport.Server."""

    def __init__(self, server: grpc.aio.Server, port: int, calls: Calls) -> None:
        self.server = server
        self.port = port
        self.calls = calls

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, let the running ones end for grace_s seconds, end the rest with UNAVAILABLE, close."""
        stopping = asyncio.get_running_loop().create_task(self.server.stop(grace_s + 1.0))
        await asyncio.wait({stopping}, timeout=grace_s)
        self.calls.end_all(int(Status.UNAVAILABLE), "the server is shutting down")
        await stopping

    async def close(self) -> None:
        """Close at once."""
        await self.server.stop(None)

    def counters(self) -> dict[str, Any]:
        """Calls and messages alone: grpcio keeps the rest to itself."""
        return dict(self.calls.counted)


def peer_address(context: grpc.aio.ServicerContext) -> str:
    """grpcio's "ipv4:127.0.0.1:5000" as "127.0.0.1:5000"."""
    return unquote(context.peer()).partition(":")[2]


def metadata_of(context: grpc.aio.ServicerContext) -> dict[str, str | bytes]:
    """Metadata as ext.rpc.Call documents it: repeated text joined by commas, of repeated binary values the last."""
    metadata: dict[str, str | bytes] = {}
    for key, value in context.invocation_metadata() or ():
        repeated = key in metadata and isinstance(value, str)
        metadata[key] = f"{metadata[key]!s},{value!s}" if repeated else value
    return metadata


def options_of(limits: Limits) -> list[tuple[str, int]]:
    """Limits as grpcio's channel arguments."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", limits.max_header_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_header_bytes),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        ("grpc.keepalive_time_ms", limits.keepalive_ns // MS_NS),
        ("grpc.keepalive_timeout_ms", limits.keepalive_timeout_ns // MS_NS),
        ("grpc.max_connection_idle_ms", limits.idle_ns // MS_NS),
        ("grpc.server_handshake_timeout_ms", limits.handshake_ns // MS_NS),
    ]


async def serve(
    service: Mapping[str, Any], turn: Any, host: str, port: int, *, tls: Tls | None = None, limits: Limits | None = None
) -> ReferenceServer:
    """Serve `service` (method path -> ext.rpc.Method) on host:port; port 0 picks a free one."""
    calls = Calls(service, turn)
    server = grpc.aio.server(options=options_of(limits or Limits()))
    server.add_generic_rpc_handlers((calls,))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, grpc.ssl_server_credentials([tls.pem()]))
    except RuntimeError as error:
        raise OSError(f"cannot bind {address}: {error}") from error
    await server.start()
    return ReferenceServer(server, bound, calls)
