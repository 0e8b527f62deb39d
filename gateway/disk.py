"""Durability `disk`: the thread that writes the journal to the disk, and the gate that waits for it."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

from ext.syncer import Syncer


class DiskSync:
    """Lets the gate open as far as the journal is on the disk.

    on_failed: called once, with the errno, when the disk refused a write: for good, as nobody can know what it has.
    """

    def __init__(self, journal: Any, gate: Any, on_failed: Callable[[int], None]) -> None:
        self.gate = gate
        self.on_failed = on_failed
        self.request_fd, self.done_fd = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
        self.syncer = Syncer(journal, self.request_fd, self.done_fd)
        self.thread = threading.Thread(target=self.syncer.run, name="tidegate-disk", daemon=True)
        self.is_failed = False

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self.done_fd, self.on_done)
        self.gate.advance(self.syncer.synced_end)
        self.gate.on_unsafe = self.syncer.ask
        self.thread.start()
        self.syncer.ask()

    def on_done(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.done_fd)
        if self.syncer.failed and not self.is_failed:
            self.is_failed = True
            self.on_failed(self.syncer.failed)
        self.gate.advance(self.syncer.synced_end)
        self.gate.ask()

    def stop(self) -> None:
        """Write what is left, and let go."""
        asyncio.get_running_loop().remove_reader(self.done_fd)
        self.syncer.stop()
        self.thread.join()
        os.close(self.request_fd)
        os.close(self.done_fd)
