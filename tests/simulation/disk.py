"""One machine's disk: the journal's file in memory, and what a crash leaves of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

POOL: list[int] = []
CAPACITY = 1 << 25
PAGE = 4096
CHUNK = 1 << 16  # the file grows by this much
HEADER_SYNCED = 32  # where the header says how much is on the disk for certain


class Disk:
    """One file. It is taken from a pool and given back by `close`, emptied: real pages cost more than a life in
    them."""

    def __init__(self) -> None:
        self.fd = POOL.pop() if POOL else os.memfd_create("journal")
        self.size = 0  # of the file, as its machine believes
        self.used = 0  # most bytes ever written in this life
        self.synced = 0  # what its last header but one said to be on the disk

    def size_for(self, end: int, allocated: int) -> int:
        """The file's size for whoever opens it next: what is used and some zeros behind it. The pages allocated for
        later are not counted, for to look through them all takes longer than a life's recovery."""
        return min(allocated, end // CHUNK * CHUNK + 2 * CHUNK)

    def close(self) -> None:
        if self.used:
            os.pwrite(self.fd, bytes(self.used + 2 * PAGE), 0)
        POOL.append(self.fd)

    def tear(self, start: int, end: int, random: Callable[[], float]) -> None:
        """A process died while it filled frames in place: those behind one of them are not there, and of that one
        some words, in any order; its checksum comes last."""
        octets = bytearray(os.pread(self.fd, end - start, start))
        frames, at = [], 0
        while at < len(octets):
            frames.append(at)
            at += int.from_bytes(octets[at : at + 4], "little")
        chosen = int(random() * (len(frames) + 1))
        if chosen == len(frames):
            return
        first = frames[chosen]
        last = frames[chosen + 1] if chosen + 1 < len(frames) else len(octets)
        octets[last:] = bytes(len(octets) - last)
        octets[first + 4 : first + 8] = bytes(4)
        share = random()
        for word in range(first, last, 8):
            if random() < share:
                octets[word : word + 8] = bytes(8)
        os.pwrite(self.fd, bytes(octets), start)

    def lose_power(self, durable: int, octets: bytes, random: Callable[[], float]) -> None:
        """The power fails while octets behind `durable` are on their way: each page of them is there or not, in any
        order, and the header may be older than what it speaks of."""
        at = durable
        while at < durable + len(octets):
            until = min((at // PAGE + 1) * PAGE, durable + len(octets))
            if random() < 0.5:
                os.pwrite(self.fd, octets[at - durable : until - durable], at)
            at = until
        if random() < 0.5:
            os.pwrite(self.fd, self.synced.to_bytes(8, "little"), HEADER_SYNCED)


def fill_up() -> None:
    """No file can grow any more, in this whole process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def make_room() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
