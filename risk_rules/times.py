"""Times, dates and phases of the day as rule files write them. Shanghai time, which knows no summer time."""

from datetime import UTC, date, datetime, timedelta, timezone

from ext.codes import PHASES
from risk_rules.units import UnitError, parse_quantity

SHANGHAI = timezone(timedelta(hours=8))
SECOND_NS = 10**9
DAY_NS = 86400 * SECOND_NS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# When a phase can be, in seconds of the day: what `time` is held against.
PHASE_TIMES: dict[str, tuple[tuple[int, int], ...]] = {
    "CLOSED": ((0, 33300),), "OPEN_CALL": ((33300, 33900),), "QUIET": ((33900, 34200),),
    "CONTINUOUS": ((34200, 41400), (46800, 53820)), "LUNCH": ((41400, 46800),), "CLOSE_CALL": ((53820, 54000),),
    "ENDED": ((54000, 86400),),
}


def span_ns(text: str) -> int:
    """`3 min` in ns. Raises UnitError."""
    quantity = parse_quantity(text)
    if quantity.unit != "time":
        raise UnitError(f"`{text}` is a {quantity.unit}, expected a time like 3 min")
    return quantity.value


def date_ns(text: str) -> int:
    """A date or timestamp in Shanghai time as ns since 1970. Raises ValueError."""
    moment = datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def date_text(ns: int) -> str:
    """The moment as a rule file writes it; 0 is always."""
    if ns == 0:
        return "always"
    moment = (EPOCH + timedelta(microseconds=ns // 1000)).astimezone(SHANGHAI)
    return moment.strftime("%Y-%m-%d" if ns % DAY_NS == DAY_NS - 8 * 3600 * SECOND_NS else "%Y-%m-%d %H:%M:%S")


def day_bounds_ns(day: date) -> tuple[int, int]:
    """Begin and end of a day in Shanghai."""
    begin = date_ns(day.isoformat())
    return begin, begin + DAY_NS


def time_of_day_s(text: str) -> int:
    """09:30 or 09:30:15 in seconds. Raises ValueError."""
    hours, minutes, seconds = (int(part) for part in (text + ":00").split(":")[:3])
    total = hours * 3600 + minutes * 60 + seconds
    if minutes > 59 or seconds > 59 or total > 86400:
        raise ValueError(f"`{text}` is no time of day")
    return total


def phase_mask(names: list[str]) -> int:
    """Bits of the phases; OPEN_CALL is both of its halves."""
    mask: int = sum(1 << PHASES[name] for name in dict.fromkeys(names))
    return mask | (1 << PHASES["OPEN_CALL_LOCKED"] if "OPEN_CALL" in names else 0)


def meets(phases: list[str], from_s: int, to_s: int) -> bool:
    """Whether a stretch of the day has a second of one of these phases."""
    return any(begin < to_s and from_s < end for name in phases for begin, end in PHASE_TIMES[name])
