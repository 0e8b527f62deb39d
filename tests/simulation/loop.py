"""An event loop of one node whose time is the world's: what the gateway writes for asyncio runs here,
deterministically.

Callbacks run within the step that made them ready. A node that is stopped, or dead, runs none.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.simulation.network import CALLED, CALLER, Stream
from tests.simulation.scene import START_NS

CONNECT_NS = 50_000


class Transport:
    """One end of a stream, as an asyncio transport."""

    def __init__(self, loop: Loop, stream: Stream, end: int, protocol: Any) -> None:
        self.loop, self.stream, self.end, self.protocol = loop, stream, end, protocol
        self.is_over = False
        stream.receive[end] = self.on_octets
        stream.lost[end] = self.on_lost

    def write(self, octets: bytes) -> None:
        if not self.is_over and not self.loop.is_muted:
            self.stream.send(self.end, octets)

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        """What was written arrives; then the other end hears that it is over."""
        if self.is_over or self.loop.is_muted:
            return
        self.is_over = True
        self.stream.send(self.end, None)
        self.loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def on_octets(self, stream: Stream, octets: bytes | None) -> Any:
        """Octets from the other end; None: it closed."""
        if self.loop.is_dead or self.is_over:
            return False
        if self.loop.is_stopped():
            self.loop.world.at(self.loop.node.paused_until, self.on_later, octets)
            return False
        if octets is None:
            return self.on_lost(stream)
        self.loop.enter(self.protocol.data_received, octets)
        return True

    def on_later(self, octets: bytes | None) -> Any:
        return self.on_octets(self.stream, octets)

    def on_lost(self, stream: Stream) -> Any:
        if self.is_over or self.loop.is_dead:
            return False
        self.is_over = True
        self.loop.enter(self.protocol.connection_lost, None)
        return True


class Server:
    """A port that is open."""

    def __init__(self, loop: Loop, factory: Callable[[], Any], port: int) -> None:
        self.loop, self.factory, self.port = loop, factory, port
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return self.loop.node.host, self.port

    def on_connected(self, stream: Stream) -> Any:
        if self.loop.is_dead:
            return False
        protocol = self.factory()
        self.loop.enter(protocol.connection_made, Transport(self.loop, stream, CALLED, protocol))
        return True

    def close(self) -> None:
        self.loop.world.ports.pop((self.loop.node.host, self.port), None)


class Loop(asyncio.AbstractEventLoop):
    """The loop of one life of one node."""

    def __init__(self, world: Any, node: Any) -> None:
        self.world, self.node = world, node
        self.ready: deque[asyncio.Handle] = deque()
        self.is_dead = self.is_muted = False
        self.is_running_now = False
        self.streams: list[Stream] = []
        self.tasks: list[asyncio.Task[Any]] = []

    # What the world calls

    def is_stopped(self) -> bool:
        return bool(self.node.paused_until > self.world.now)

    def enter(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Run a callback as this loop would, and everything it makes ready."""
        if self.is_running_now:
            callback(*arguments)
            return
        before = asyncio._get_running_loop()
        offset_ns = self.world.clock.offset_ns
        self.is_running_now = True
        self.world.clock.offset_ns = self.node.wall_ns
        asyncio._set_running_loop(self)
        try:
            callback(*arguments)
            ready = self.ready
            while ready and not self.is_dead:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            asyncio._set_running_loop(before)
            self.world.clock.offset_ns = offset_ns
            self.is_running_now = False
        if self.is_dead:
            return
        self.node.on_turned()
        if self.node.doomed is not None:
            self.node.crash()

    def fire(self, handle: asyncio.Handle) -> Any:
        """A timer is due."""
        if self.is_dead or handle._cancelled:
            return False
        if self.is_stopped():
            self.world.at(self.node.paused_until, self.fire, handle)
            return False
        self.enter(handle._run)
        return True

    def kill(self) -> None:
        """The process is dead: nothing of it runs again."""
        self.is_dead = self.is_muted = True
        self.ready.clear()
        for task in self.tasks:
            coroutine: Any = task.get_coro()
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
        for server in [server for server in self.world.ports.values() if server.loop is self]:
            server.close()
        for stream in self.streams:
            stream.cut()

    # What asyncio and the gateway call

    def time(self) -> float:
        return (self.world.now - START_NS) / 1e9

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, arguments, self, context)
        self.ready.append(handle)
        if not self.is_running_now:
            self.world.at(self.world.now, self.run_ready, None)
        return handle

    def run_ready(self, _: Any) -> Any:
        if self.is_dead or not self.ready:
            return False
        if self.is_stopped():
            self.world.at(self.node.paused_until, self.run_ready, None)
            return False
        self.enter(lambda: None)
        return True

    def call_later(self, delay: float, callback: Any, *arguments: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.time() + delay, callback, arguments, self, context)
        self.world.after(max(0, round(delay * 1e9)), self.fire, handle)
        return handle

    def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *arguments, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        task._log_destroy_pending = False
        self.tasks.append(task)
        task.add_done_callback(self.on_task_done)
        return task

    def on_task_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None and not self.is_dead:
            self.world.fail(f"{self.node.name}: a task ended with {task.exception()!r}")

    async def create_server(self, factory: Callable[[], Any], host: str, port: int) -> Server:  # type: ignore[override]
        server = Server(self, factory, self.world.next_port())
        self.world.ports[self.node.host, server.port] = server
        return server

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int) -> Any:  # type: ignore[override]
        await asyncio.sleep(CONNECT_NS / 1e9)
        server = self.world.ports.get((host, port))
        if server is None or server.loop.is_dead or not self.world.is_reachable(self.node, server.loop.node):
            raise ConnectionRefusedError(f"nobody listens at {host}:{port}")
        stream = self.world.connect_nodes(self.node, server.loop.node)
        self.streams.append(stream)
        server.loop.streams.append(stream)
        self.world.at(max(self.world.now, server.loop.node.paused_until), server.on_connected, stream)
        protocol = factory()
        transport = Transport(self, stream, CALLER, protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.world.fail(f"{self.node.name}: {context.get('message')}: {error!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.is_running_now

    def is_closed(self) -> bool:
        return self.is_dead

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass
