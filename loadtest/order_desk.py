"""Order entry of one exchange: the day's phases as platform states, and the faults its sessions can show on demand."""

import asyncio
import sys

import structlog

from ext.buffers import Turn
from loadtest.market_day import Phase
from loadtest.venue_acceptor import ACCEPTORS, VENUES, MemberConfig
from loadtest.venue_session import Desk, ExchangeSession, OrderEntrySink

NOT_OPEN, OPEN, BREAK, CLOSED = 0, 2, 3, 4
PLATFORM_STATES = {Phase.CLOSED: NOT_OPEN, Phase.LUNCH: BREAK, Phase.ENDED: CLOSED}

LAST_REPORTS_S = 0.2  # for the closing auction's reports to leave before their streams are said to be complete

logger = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))  # stdout is for the ready line


class OrderDesk:
    """The members' way in. `desk` is what the matching side reports to; `protocol` makes one session per connection."""

    def __init__(self, venue: str, turn: Turn, members: list[MemberConfig], trade_date: int, partitions: int) -> None:
        self.desk = Desk(VENUES[venue], turn, OrderEntrySink(), partitions)
        self.acceptor = ACCEPTORS[venue](self.desk, members, venue, trade_date, logger.info)
        self.address = ("", 0)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        self.address = (host, await self.acceptor.start(host, port))
        return self.address[1]

    async def stop(self) -> None:
        """Log every member out and stop listening."""
        await self.acceptor.stop()

    def enter(self, phase: Phase) -> None:
        """Tell every session what the phase means for it; the end of the day also ends its report streams."""
        state = PLATFORM_STATES.get(phase, OPEN)
        if state != self.desk.platform_state:
            self.acceptor.set_platform_state(state)
        if phase == Phase.ENDED:
            asyncio.get_running_loop().call_later(LAST_REPORTS_S, self.acceptor.end_day)

    # ---- faults

    def live(self) -> list[ExchangeSession]:
        return self.acceptor.live_sessions()

    def disconnect(self) -> int:
        """Cut every connection without a word; returns how many there were."""
        sessions = list(self.acceptor.sessions)
        for session in sessions:
            session.cut("dropped on demand")
        return len(sessions)

    def refuse(self) -> int:
        """Close the port and cut every connection: the exchange is down."""
        if self.acceptor.server is not None:
            self.acceptor.server.close()
            self.acceptor.server = None
        return self.disconnect()

    async def accept(self) -> None:
        """Open the port again."""
        if self.acceptor.server is None:
            loop = asyncio.get_running_loop()
            self.acceptor.server = await loop.create_server(self.acceptor.new_session, *self.address)

    def stall(self, stalled: bool) -> int:
        """Neither read nor write on any live session, or go on."""
        sessions = self.live()
        for session in sessions:
            session.hold(stalled)
            if stalled:
                session.stop_reading()
            else:
                session.resume_reading()
        return len(sessions)

    def repeat_report(self) -> int:
        """Send the next report of every live session twice."""
        for session in self.live():
            session.repeat_report()
        return len(self.live())

    def skip_report(self) -> int:
        """Leave out the next report of every live session: a gap in its numbers."""
        for session in self.live():
            session.skip_report()
        return len(self.live())
