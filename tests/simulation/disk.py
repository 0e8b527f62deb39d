"""One machine's disk: the journal's file in memory, and what a crash leaves of it."""
from __future__ import annotations

import mmap
import os
from collections.abc import Callable

POOL: list[int] = []
CAPACITY = 1 << 25


class Disk:
    """One file. It is taken from a pool and given back by `close`, emptied: real pages cost more than a life in them."""

    def __init__(self) -> None:
        self.fd = POOL.pop() if POOL else os.memfd_create("journal")
        self.size = 0                                      # of the file, as its machine believes
        self.used = 0                                      # most bytes ever written in this life

    def close(self) -> None:
        if self.used:
            os.pwrite(self.fd, bytes(self.used + 8_192), 0)
        POOL.append(self.fd)

    def view(self) -> mmap.mmap:
        return mmap.mmap(self.fd, CAPACITY, mmap.MAP_SHARED)

    def tear(self, start: int, end: int, random: Callable[[], float]) -> None:
        """The writer died between start and end: what it had not written yet is not there, its last frame perhaps in parts."""
        cut = start + int(random() * (end - start + 1))
        octets = bytearray(os.pread(self.fd, end - start, start))
        kept = cut - start
        octets[kept:] = bytes(end - start - kept)
        if random() < 0.5 and kept > 8:
            # The frame was being filled in place: some of its words are there, its checksum is not.
            for at in range(max(0, kept - 64) & ~7, kept - 7, 8):
                if random() < 0.3:
                    octets[at:at + 8] = bytes(8)
        os.pwrite(self.fd, bytes(octets), start)
