"""A reconnect storm: thousands of sessions that log on, are all dropped at once, and come back. Sends no order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from ext.buffers import Turn
from loadtest.drive import Endpoint
from loadtest.grpc_client import ClientConnection, connect
from loadtest.storm import StormSession

AT_A_TIME = 256  # sessions on their way in
TRIES = 20
RETRY_S = 0.25
LOGON_S = 30.0


@dataclass(slots=True)
class Wave:
    """What it took to bring every session in."""

    took_s: float = 0.0
    retries: int = 0
    logons_ns: list[int] = field(default_factory=list)  # from each Logon to its answer
    failures: list[str] = field(default_factory=list)  # why sessions never came in


@dataclass(slots=True)
class Storm:
    """Sessions of one token: `lone` with a connection each, the rest spread over `shared` connections.

    accounts: what each session watches, one list a session.
    """

    target: Endpoint
    token: str
    accounts: Sequence[list[str]]
    lone: int
    shared: int = 8
    connections: list[ClientConnection] = field(default_factory=list)
    sessions: list[StormSession] = field(default_factory=list)

    async def come(self) -> Wave:
        """Log every session on, some at a time; one that is turned away tries again."""
        wave = Wave()
        loop = asyncio.get_running_loop()
        began = loop.time()
        gate = asyncio.Semaphore(AT_A_TIME)
        shared = [await self.open() for _ in range(self.shared if self.lone < len(self.accounts) else 0)]
        await asyncio.gather(*(self.enter(at, shared, gate, wave) for at in range(len(self.accounts))))
        wave.took_s = loop.time() - began
        return wave

    async def enter(self, at: int, shared: list[ClientConnection], gate: asyncio.Semaphore, wave: Wave) -> None:
        """One session, on a connection of its own or on a shared one."""
        reason = ""
        for _ in range(TRIES):
            try:
                async with gate:
                    connection = await self.open() if at < self.lone else shared[at % len(shared)]
                    session = StormSession(connection, self.token, self.accounts[at])
                    wave.logons_ns.append(await asyncio.wait_for(session.logged_on, LOGON_S))
                self.sessions.append(session)
                return
            except (OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                wave.retries += 1
                await asyncio.sleep(RETRY_S)
        wave.failures.append(reason)

    async def open(self) -> ClientConnection:
        turn = Turn(asyncio.get_running_loop().call_soon)
        self.connections.append(await connect(turn, self.target.host, self.target.port))
        return self.connections[-1]

    def drop(self) -> None:
        """Every connection is gone at once, as when a network fails."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        self.sessions.clear()

