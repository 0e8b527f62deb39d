"""Opens and closes the journal's file, keeps its pages ready ahead of the owner thread. Knows no frame."""

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from ext.journal import Journal, JournalError

AHEAD_BYTES = 1 << 23
PERIOD_S = 0.02


class JournalFile:
    """One journal file, held under a lock so that two gateways never share it.

    Raises JournalError when the file is damaged, not a journal, or held by another process.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        try:
            self.fd = os.open(path, flags, 0o640)
        except OSError as error:
            raise JournalError(str(path), 0, f"cannot be opened: {error.strerror}") from None
        try:
            if writable:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.journal = Journal(self.fd, os.fstat(self.fd).st_size, str(path), writable=writable)
        except BlockingIOError:
            os.close(self.fd)
            raise JournalError(str(path), 0, "another gateway holds it") from None
        except BaseException:
            os.close(self.fd)
            raise
        self.ahead: list[Callable[[], None]] = []  # what else is made ready ahead of the owner thread
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.populate, name="tidegate-journal", daemon=True)

    def start(self) -> None:
        """Begin to fault pages in ahead of the writer, so that an order never waits for one."""
        self.journal.grow(AHEAD_BYTES)
        self.journal.populate(AHEAD_BYTES)
        self.thread.start()

    def populate(self) -> None:
        while not self.stopping.wait(PERIOD_S):
            self.journal.populate(AHEAD_BYTES)
            for populate in self.ahead:
                populate()

    def close(self) -> None:
        """Write everything to the disk and let go of the file."""
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join()
        self.journal.sync()
        os.close(self.fd)
