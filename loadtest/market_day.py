"""The simulated trading day: what time it is in the market and which phase that means. Reads no clock itself."""

from bisect import bisect_right
from datetime import date, datetime, time, timedelta, timezone
from enum import IntEnum

SHANGHAI = timezone(timedelta(hours=8))
NS = 1_000_000_000


class Phase(IntEnum):
    """codes.Phase, for Python."""

    CLOSED = 1
    OPEN_CALL = 2
    OPEN_CALL_LOCKED = 3
    QUIET = 4
    CONTINUOUS = 5
    LUNCH = 6
    CLOSE_CALL = 7
    ENDED = 8


SCHEDULE = [(time(0, 0), Phase.CLOSED), (time(9, 15), Phase.OPEN_CALL), (time(9, 20), Phase.OPEN_CALL_LOCKED),
            (time(9, 25), Phase.QUIET), (time(9, 30), Phase.CONTINUOUS), (time(11, 30), Phase.LUNCH),
            (time(13, 0), Phase.CONTINUOUS), (time(14, 57), Phase.CLOSE_CALL), (time(15, 0), Phase.ENDED)]


def of_day_ns(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * NS + at.microsecond * 1000


class MarketDay:
    """Market time that starts at `start` when the process's clock reads `began_ns`, and runs `speed` times as fast.

    A speed of 0 stands still between calls of advance_to. The day ends at `end`, whatever the schedule says then. All
    times are Shanghai's; _ns are UTC nanoseconds.
    """

    def __init__(self, day: date, start: time, speed: float, end: time, began_ns: int) -> None:
        self.midnight_ns = int(datetime.combine(day, time(0), SHANGHAI).timestamp()) * NS
        self.start_ns = self.midnight_ns + of_day_ns(start)
        self.speed = speed
        self.began_ns = began_ns
        changes = [(of_day_ns(at), phase) for at, phase in SCHEDULE if at < end]
        changes.append((of_day_ns(end), Phase.ENDED))
        self.change_ns = [self.midnight_ns + at for at, _ in changes]
        self.phases = [phase for _, phase in changes]

    def market_ns(self, now_ns: int) -> int:
        """UTC ns of the market's own clock."""
        return self.start_ns + int((now_ns - self.began_ns) * self.speed)

    def advance_to(self, of_day: time, now_ns: int) -> None:
        """Move the clock forward to a time of day; ValueError when that time has passed."""
        to_ns = self.midnight_ns + of_day_ns(of_day)
        if to_ns < self.market_ns(now_ns):
            raise ValueError(f"to: {of_day}, expected a time that has not passed")
        self.start_ns, self.began_ns = to_ns, now_ns

    def phase_index(self, market_ns: int) -> int:
        """Index in `phases` of the phase the market is in."""
        return max(0, bisect_right(self.change_ns, market_ns) - 1)

    def of_day_us(self, market_ns: int) -> int:
        """Microseconds since Shanghai's midnight, the time of flow files."""
        return (market_ns - self.midnight_ns) // 1000
