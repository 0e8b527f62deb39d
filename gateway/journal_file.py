"""Opens and closes the journal's file, under a lock. Knows no frame."""

import fcntl
import os
from pathlib import Path

from ext.journal import Journal, JournalError


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

    def follow(self, end: int) -> None:
        """For a reader of a file that another process writes: it goes at least to end by now."""
        if end > self.journal.allocated:
            self.journal.follow(os.fstat(self.fd).st_size)

    def close(self) -> None:
        """Write everything to the disk and let go of the file."""
        self.journal.sync()
        os.close(self.fd)
