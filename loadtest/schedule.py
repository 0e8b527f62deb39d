"""When each request of an open-loop run is due. Pure: reads no clock, sends nothing, never adapts to answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

UNIT_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
MAX_RATE_PER_S = 10_000_000
ARRIVALS = ("even", "poisson", "flow")


class ScheduleError(ValueError):
    """A schedule that cannot be: names the field, its value and what was expected."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: {value!r}, expected {expected}")


@dataclass(frozen=True, slots=True, order=True)
class Surge:
    """From start_ns on, for duration_ns, rate_per_s replaces the base rate."""

    start_ns: int
    duration_ns: int
    rate_per_s: int

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.duration_ns


def parse_duration_ns(text: str, field: str = "duration") -> int:
    """`1s`, `500ms`, `2m`, `1.5s` -> nanoseconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m)", text.strip())
    if match is None:
        raise ScheduleError(field, text, "a number and a unit: 500ms, 1s, 2m")
    return round(float(match[1]) * UNIT_NS[match[2]])


def parse_surges(text: str) -> list[Surge]:
    """`50000x1s@5s,20000x500ms@10s` -> 50,000/s for 1 s from second 5 on, then 20,000/s for 0.5 s from second 10 on."""
    surges = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d+)x([\d.]+\w+)@([\d.]+\w+)", item)
        if match is None:
            raise ScheduleError("surge", item, "RATExDURATION@START, such as 50000x1s@5s")
        surges.append(Surge(parse_duration_ns(match[3], "surge"), parse_duration_ns(match[2], "surge"), int(match[1])))
    return sorted(surges)


@dataclass(frozen=True, slots=True)
class Pace:
    """The planned rate over time: a base rate, and surges that replace it while they last."""

    rate_per_s: int
    duration_ns: int
    surges: tuple[Surge, ...] = ()

    def __post_init__(self) -> None:
        for rate in (self.rate_per_s, *(surge.rate_per_s for surge in self.surges)):
            if not 0 < rate <= MAX_RATE_PER_S:
                raise ScheduleError("rate", rate, f"1 to {MAX_RATE_PER_S:,} requests a second")
        if self.duration_ns <= 0:
            raise ScheduleError("duration", f"{self.duration_ns} ns", "more than zero")
        end_ns = 0
        for surge in self.surges:
            if surge.duration_ns <= 0 or surge.start_ns < end_ns or surge.end_ns > self.duration_ns:
                raise ScheduleError(
                    "surge",
                    f"{surge.rate_per_s}x{surge.duration_ns}ns@{surge.start_ns}ns",
                    "surges in order, apart, longer than zero, and inside the run",
                )
            end_ns = surge.end_ns

    def knots(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Times (ns) at which the rate changes, and how many requests are due by each."""
        times, due = [0.0], [0.0]

        def extend(until_ns: int, rate_per_s: int) -> None:
            due.append(due[-1] + (until_ns - times[-1]) * rate_per_s / 1e9)
            times.append(float(until_ns))

        for surge in self.surges:
            extend(surge.start_ns, self.rate_per_s)
            extend(surge.end_ns, surge.rate_per_s)
        extend(self.duration_ns, self.rate_per_s)
        return np.array(times), np.array(due)

    @property
    def planned_count(self) -> int:
        """How many requests an even run plans."""
        return round(self.knots()[1][-1])

    def times_ns(self, steps: npt.NDArray[np.float64]) -> Times:
        """Stretch a sequence that averages one request per step over this pace; what falls past the end is dropped."""
        times, due = self.knots()
        inside = steps[steps < due[-1] - 1e-9]
        return np.interp(inside, due, times).astype(np.int64)


def even_steps(count: int) -> npt.NDArray[np.float64]:
    """One request per step, exactly."""
    return np.arange(count, dtype=np.float64)


def poisson_steps(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Memoryless arrivals that average one per step; long enough to cover `count` steps."""
    margin = int(6 * count**0.5) + 10
    return np.cumsum(rng.exponential(size=count + margin))


def flow_steps(arrivals_us: Sequence[int] | Times, count: int) -> npt.NDArray[np.float64]:
    """The arrival shape of a recorded flow, bursts kept, scaled to one per step and repeated to cover `count`."""
    arrivals = np.asarray(arrivals_us, dtype=np.float64)
    if arrivals.size < 2 or arrivals[-1] <= arrivals[0] or np.any(np.diff(arrivals) < 0):
        raise ScheduleError("flow", f"{arrivals.size} arrivals", "at least two arrivals, ascending, not all at once")
    lap = (arrivals - arrivals[0]) / (arrivals[-1] - arrivals[0]) * (arrivals.size - 1)
    laps = -(-count // arrivals.size)
    return np.concatenate([lap + number * arrivals.size for number in range(laps)])


def planned_times_ns(
    pace: Pace, arrivals: str = "even", seed: int = 0, arrivals_us: Sequence[int] | Times | None = None
) -> Times:
    """Due times of all requests of a run, ascending, in nanoseconds from its start.

    arrivals: "even", "poisson" (drawn from `seed`), or "flow" (the shape of `arrivals_us`, scaled to the pace).
    """
    count = pace.planned_count
    if arrivals == "even":
        return pace.times_ns(even_steps(count))
    if arrivals == "poisson":
        return pace.times_ns(poisson_steps(count, np.random.default_rng(seed)))
    if arrivals == "flow" and arrivals_us is not None:
        return pace.times_ns(flow_steps(arrivals_us, count))
    raise ScheduleError("arrivals", arrivals, f"one of {', '.join(ARRIVALS)} (flow needs a flow to follow)")
