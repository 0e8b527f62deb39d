"""Holds what leaves until it may. Knows no message: octets, and how much of the journal they rest on.

What `safe` means is the durability mode's: written (process), synced (disk), held by the standby (replica). Everything that was
sent while octets of the journal were not safe yet waits for them, in order, the exchanges' octets like the clients'. So nobody
outside has seen what a crash can still take back.
"""

from collections import deque

from ext.clock cimport now_ns


cdef class Gate:
    """The gate of one shard's journal; open for ever until it is told otherwise."""

    def __init__(self, Journal journal not None):
        self.journal = journal
        self.safe_end = ALWAYS_SAFE
        self.until_ns = FOR_EVER
        self.held = deque()

    cdef bint may_speak(self) noexcept:
        return self.until_ns == FOR_EVER or now_ns() < self.until_ns

    cdef bint is_open(self) noexcept:
        return self.journal.end <= self.safe_end and self.may_speak()

    cdef void send(self, object transport, bytes octets) except *:
        """Write octets to a transport, now or once they may leave; after `shut` they are dropped."""
        if self.is_shut:
            return
        if not self.held and self.is_open():
            transport.write(octets)
        else:
            self.hold(transport, octets)

    cdef void close(self, object transport) except *:
        """Close a transport behind all that is held for it."""
        if self.held and not self.is_shut:
            self.hold(transport, None)
        else:
            transport.close()

    cdef void hold(self, object transport, object octets) except *:
        self.held.append((self.journal.end, transport, octets))
        self.held_bytes += 0 if octets is None else len(octets)

    cdef void end_turn(self) except *:
        """The turn's outputs are in: have made safe what is not."""
        if self.journal.end > self.safe_end and self.on_unsafe is not None:
            self.on_unsafe()

    cdef void release(self) except *:
        """Write, in order, what may leave by now."""
        cdef uint64_t end
        if not self.may_speak():
            return
        while self.held:
            end, transport, octets = self.held[0]
            if end > self.safe_end:
                return
            self.held.popleft()
            if octets is None:
                transport.close()
            elif callable(transport):
                transport()
            else:
                self.held_bytes -= len(octets)
                if not transport.is_closing():
                    transport.write(octets)

    def advance(self, uint64_t end) -> None:
        """So many octets of the journal are safe."""
        if end > self.safe_end or self.safe_end == ALWAYS_SAFE:
            self.safe_end = end
        self.release()

    def ask(self) -> None:
        """Have made safe what is not; as at the end of a turn."""
        self.end_turn()

    def trust(self) -> None:
        """From now on the journal is safe as it is written."""
        self.safe_end = ALWAYS_SAFE
        self.release()

    def allow_until(self, until_ns: int | None) -> None:
        """This process may speak for the shard until then (UTC ns as ext.clock tells them); None: without end."""
        self.until_ns = <int64_t>FOR_EVER if until_ns is None else until_ns
        self.release()

    def let_refusals_out(self) -> None:
        """The shard was handed over, and all that is said here from now on is that: it rests on no journal. What is held rests on
        what the new owner does not have, and is dropped."""
        self.held.clear()
        self.held_bytes = 0
        self.safe_end = ALWAYS_SAFE
        self.until_ns = FOR_EVER

    def shut(self) -> None:
        """Another process owns the shard: what is held is dropped, and nothing leaves any more."""
        self.is_shut = True
        self.held.clear()
        self.held_bytes = 0

    def close_when_safe(self, transport) -> None:
        """As close, for a peer that has no outlet."""
        self.close(transport)

    def when_safe(self, callback) -> None:
        """Call back once everything that has happened so far may be told; never after `shut`."""
        if self.is_shut:
            return
        if not self.held and self.is_open():
            callback()
        else:
            self.held.append((self.journal.end, callback, b""))
            self.end_turn()
