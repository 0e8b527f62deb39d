"""Keeps a process alive beside the shard: starts it, again when it dies. Trading never waits for it.

Parent and child talk over a socket pair; a child ends when its end of it closes.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.framing import Framed
from gateway.settings import Settings

REDIS = "TIDEGATE_REDIS"  # the variable a child finds its Redis in: a URL may hold a password, and arguments are public
START_S = 30.0
STOP_S = 3.0
MOST_RESTARTS = 20  # one after the other, each dead within RESTED_S
RESTED_S = 60.0
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0


class KeptChild:
    """One kind of child. name: of its lines in the log; module: what it runs; log: the shard's logger."""

    def __init__(self, name: str, module: str, log: Any, redis: str = "") -> None:
        self.name = name
        self.module = module
        self.log = log
        self.redis = redis
        self.frames: Framed | None = None
        self.running: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.keeping: asyncio.Task[None] | None = None

    async def launch(self) -> str:
        """Run one process (run) and hear that it is ready; empty, or why it is not."""
        raise NotImplementedError

    async def begin(self) -> str:
        """The first launch; when it is well, it is kept alive from then on."""
        error = await self.launch()
        if error:
            await self.stop()
        else:
            self.keeping = asyncio.get_running_loop().create_task(self.keep())
        return error

    async def run(self, frames: Framed, settings: Callable[[int], msgspec.Struct]) -> None:
        """One process. frames: our end of its socket; settings: its one argument, by the number of its own end."""
        ours, theirs = socket.socketpair()
        self.frames = frames
        await asyncio.get_running_loop().create_unix_connection(lambda: frames, sock=ours)
        self.running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.module,
            msgspec.json.encode(settings(theirs.fileno())).decode(),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env={"GRPC_VERBOSITY": "NONE"} | os.environ | {"PYTHONPATH": python_path(), REDIS: self.redis},
        )
        theirs.close()

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
                self.log.error(f"{self.name}_given_up", exit_code=code, restarts=self.restarts)
                return
            self.log.warning(f"{self.name}_lost", exit_code=code, again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MOST_PAUSE_S)
            self.restarts += 1
            error = await self.launch()
            if error:
                self.log.warning(f"{self.name}_not_ready", reason=error)
                await self.end()
            else:
                self.log.info(f"{self.name}_ready", restarts=self.restarts, **self.ready_fields())

    def ready_fields(self) -> dict[str, Any]:
        """What the log says of a child that was started again."""
        return {}

    async def end(self) -> None:
        """End the process that runs now: it ends by itself when its socket closes."""
        if self.frames is not None:
            self.frames.close()
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


def cpus_of(settings: Settings) -> tuple[int, ...]:
    """Where children may run: off the shard's own core."""
    own = {settings.cpu} if settings.cpu is not None else set()
    return tuple(set(range(os.cpu_count() or 1)) - own or own)


def python_path() -> str:
    """Where this very code lies first, then where it was told to look."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))


def tell(ready: asyncio.Future[str], error: str) -> None:
    if not ready.done():
        ready.set_result(error)
