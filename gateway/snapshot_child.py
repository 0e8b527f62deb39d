"""Keeps the process that writes snapshots beside the shard: starts it when the first one is due, again when it dies.

The shard tells it how far the journal is committed, and waits for nothing.
"""

import asyncio
import contextlib
import os
import sys
from typing import Any

import msgspec

from gateway.kept_child import cpus_of, python_path
from gateway.metrics import SnapshotFigures
from gateway.settings import Settings
from gateway.snapshots import OFFSET_BYTES, SnapshotSettings, Written

TELL_S = 1.0
MOST_UNREAD_BYTES = 1 << 14  # of a process that does not read: it needs only the newest
STOP_S = 3.0
FIRST_PAUSE_S = 1.0
MOST_PAUSE_S = 60.0


class SnapshotChild:
    """The snapshots of one shard. file_end: how far its journal can be read from its files; log: the shard's logger."""

    def __init__(self, engine: Any, settings: Settings, log: Any) -> None:
        self.journal = engine.journal
        self.settings = snapshot_settings(settings, engine)
        self.log = log
        self.begin_end = int(self.journal.end)
        self.running: asyncio.subprocess.Process | None = None
        self.keeping: asyncio.Task[None] | None = None
        self.written = self.failed = self.restarts = self.newest_seq = 0

    def start(self) -> None:
        self.keeping = asyncio.get_running_loop().create_task(self.keep())

    def figures(self) -> SnapshotFigures:
        """Called by the thread that is scraped."""
        return SnapshotFigures(
            written=self.written, failed=self.failed, restarts=self.restarts, newest_seq=self.newest_seq
        )

    async def keep(self) -> None:
        """Wait until one is due, then keep the process alive, with a pause that grows while it makes none."""
        await self.wait_until_due()
        pause_s = FIRST_PAUSE_S
        while True:
            written = self.written
            try:
                code: object = await self.run()
            except OSError as error:
                code = str(error)
            pause_s = FIRST_PAUSE_S if self.written > written else min(2 * pause_s, MOST_PAUSE_S)
            self.log.warning("snapshots_lost", exit_code=code, again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            self.restarts += 1

    async def wait_until_due(self) -> None:
        """A start of its own costs a short-lived shard, or an idle one, more than it gives."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self.settings.every_s
        while loop.time() < due_s or self.safe_end() == self.begin_end:
            await asyncio.sleep(min(TELL_S, self.settings.every_s))
            if self.settings.every_bytes and self.safe_end() - self.begin_end >= self.settings.every_bytes:
                return

    async def run(self) -> int:
        """One process, until it ends: its exit code."""
        running = self.running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.snapshots",
            msgspec.json.encode(self.settings).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": python_path()},
        )
        assert running.stdin is not None
        assert running.stdout is not None
        telling = asyncio.get_running_loop().create_task(self.tell(running.stdin))
        try:
            async for line in running.stdout:
                self.note(line)
            return await running.wait()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    def safe_end(self) -> int:
        """How far the files have the journal: a private one's frames reach them behind the owner."""
        return int(self.journal.written_end if self.journal.private else self.journal.end)

    async def tell(self, pipe: asyncio.StreamWriter) -> None:
        """How far the journal is committed, again and again; never more than the process reads."""
        told = 0
        while not pipe.is_closing():
            if self.safe_end() != told and pipe.transport.get_write_buffer_size() < MOST_UNREAD_BYTES:
                told = self.safe_end()
                pipe.write(told.to_bytes(OFFSET_BYTES, "little"))
            await asyncio.sleep(TELL_S)

    def note(self, line: bytes) -> None:
        try:
            written = msgspec.json.decode(line, type=Written)
        except msgspec.DecodeError:
            self.log.warning("snapshots_said", line=line.decode(errors="replace").rstrip())
            return
        if written.error:
            self.failed += 1
            self.log.error("snapshot_failed", seq=written.seq, reason=written.error)
            return
        self.written += 1
        self.newest_seq = written.seq
        self.log.info("snapshot_written", name=written.name, seq=written.seq, size=written.size,
                      seconds=round(written.seconds, 3))

    async def stop(self) -> None:
        """The process ends when its pipe does; one that is in the middle of a snapshot is killed, which leaves none."""
        if self.keeping is not None:
            self.keeping.cancel()
            await asyncio.gather(self.keeping, return_exceptions=True)
        running = self.running
        if running is None or running.returncode is not None:
            return
        if running.stdin is not None:
            running.stdin.close()
        try:
            await asyncio.wait_for(running.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                running.kill()
            await running.wait()


def snapshot_settings(settings: Settings, engine: Any) -> SnapshotSettings:
    """What the process is told."""
    return SnapshotSettings(
        journal=engine.journal.path,
        every_s=settings.snapshot_every_s,
        every_bytes=settings.snapshot_every_mb << 20,
        accounts=engine.state.most_accounts,
        positions=engine.state.most_positions,
        orders=engine.state.most_orders,
        cpus=cpus_of(settings),
    )
