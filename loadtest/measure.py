"""Turns the arrays of a finished run into latencies, windows and counts. Pure: measures nothing itself."""

import ctypes
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from ext.histogram import HIGHEST_NS, Histogram
from loadtest.schedule import Surge

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEW_ORDER, CANCEL_ORDER = 1, 2
PERCENTILES = {"p50": 500_000, "p90": 900_000, "p99": 990_000, "p99_9": 999_000}
WINDOW_NS = 100_000_000


@dataclass(slots=True)
class Outcome:
    """What became of every request, by its number. Times are ns from the start of the run; -1: it never happened.

    The first answer to an order is the gateway's decision; the exchange's ack is its NEW, first TRADE or rejection.
    A cancel is acked by the CANCELED report of its order, or decided by a CancelReject.
    """

    planned_ns: Ints
    sent_ns: Ints
    decided_ns: Ints
    acked_ns: Ints
    kind: npt.NDArray[np.uint8]
    expected_code: npt.NDArray[np.uint16]  # the reject code this request must get, 0: it must not be rejected
    reject_code: npt.NDArray[np.uint16]  # the reject code it got, 0: none
    repeated_count: int = 0  # reports that told again what had been told
    disorder_count: int = 0  # gaps or steps back in an account's event sequence, or an order that went backwards
    stray_count: int = 0  # reports of orders this run never sent
    malformed_count: int = 0  # messages that could not be read
    trade_count: int = 0
    broken_sessions: list[str] = field(default_factory=list)  # why a session ended before the run did

    @property
    def orders(self) -> Mask:
        return self.kind == NEW_ORDER

    @property
    def cancels(self) -> Mask:
        return self.kind == CANCEL_ORDER

    @property
    def answered(self) -> Mask:
        """Nothing more is owed to the request: it was refused, or the exchange has answered."""
        return (self.acked_ns >= 0) | ((self.decided_ns >= 0) & (self.reject_code > 0))

    @property
    def unsent_count(self) -> int:
        return int(np.count_nonzero(self.sent_ns < 0))

    @property
    def unanswered_count(self) -> int:
        return int(np.count_nonzero((self.sent_ns >= 0) & ~self.answered))

    def since_planned(self, times_ns: Ints, among: Mask) -> Ints:
        """Latencies of the requests among these that have such a time, counted from when each was due."""
        chosen = among & (times_ns >= 0)
        return times_ns[chosen] - self.planned_ns[chosen]


class Latency(msgspec.Struct, kw_only=True):
    """One kind of latency of a run, in microseconds; `hdr` is the whole histogram as HdrHistogram writes it."""

    name: str
    count: int
    p50_us: float
    p90_us: float
    p99_us: float
    p99_9_us: float
    max_us: float
    mean_us: float
    hdr: str


class Window(msgspec.Struct, kw_only=True):
    """The requests that were due in one tenth of a second."""

    start_s: float
    planned: int
    decision_p50_us: float | None
    decision_p99_us: float | None
    decision_max_us: float | None
    ack_p50_us: float | None
    ack_p99_us: float | None
    ack_max_us: float | None


class RejectCount(msgspec.Struct, kw_only=True):
    """How often one reject code came, and whether it was meant to."""

    code: str
    name: str
    expected: int
    unexpected: int
    missing: int  # requests that had to be rejected with this code and were not
    cancels: int  # cancels refused with it, mostly because their order had already ended


def encode_hdr(histogram: Histogram) -> str:
    """The compressed, base64 form that every HdrHistogram library decodes."""
    hdr = HdrHistogram(1, HIGHEST_NS, 3)
    counts = np.frombuffer((ctypes.c_char * (hdr.counts_len * 8)).from_address(ctypes.addressof(hdr.counts)), np.int64)
    filled = histogram.counts()
    for index, count in filled:
        counts[index] = count
    if filled:
        hdr.set_internal_tacking_values(filled[0][0], filled[-1][0], histogram.count)
    return str(hdr.encode().decode())


def latency(name: str, values_ns: Ints) -> Latency:
    """The percentiles of these values."""
    histogram = Histogram()
    histogram.record_all(np.ascontiguousarray(values_ns, dtype=np.int64))
    return latency_of(name, histogram)


def latency_of(name: str, histogram: Histogram) -> Latency:
    """The percentiles of a histogram."""
    shares = {f"{label}_us": histogram.percentile_ns(share) / 1e3 for label, share in PERCENTILES.items()}
    return Latency(
        name=name,
        count=histogram.count,
        max_us=histogram.max_ns / 1e3,
        mean_us=histogram.mean_ns / 1e3,
        hdr=encode_hdr(histogram),
        **shares,
    )


def inside_surges(planned_ns: Ints, surges: tuple[Surge, ...]) -> Mask:
    """Which requests were due while a surge lasted."""
    inside = np.zeros(planned_ns.shape, dtype=np.bool_)
    for surge in surges:
        inside |= (planned_ns >= surge.start_ns) & (planned_ns < surge.end_ns)
    return inside


def latencies(outcome: Outcome, surges: tuple[Surge, ...]) -> list[Latency]:
    """Every latency a run is judged and described by; the ones that nothing fell into are left out."""
    orders, surging = outcome.orders, inside_surges(outcome.planned_ns, surges)
    rejected = outcome.reject_code > 0
    decided, acked = outcome.decided_ns, outcome.acked_ns
    rows = [
        ("order to decision", decided, orders),
        ("order to decision, accepted", decided, orders & ~rejected),
        ("order to decision, rejected", decided, orders & rejected),
        ("order to decision, in surges", decided, orders & surging),
        ("order to exchange ack", acked, orders),
        ("order to exchange ack, in surges", acked, orders & surging),
        ("order to exchange ack, base rate", acked, orders & ~surging),
        ("cancel to exchange ack", acked, outcome.cancels),
        ("planned to sent", outcome.sent_ns, orders | outcome.cancels),
    ]
    measured = [latency(name, outcome.since_planned(times_ns, among)) for name, times_ns, among in rows]
    both = orders & (decided >= 0)
    measured.append(latency("sent to decision", decided[both] - outcome.sent_ns[both]))
    return [row for row in measured if row.count]


def windows(outcome: Outcome, duration_ns: int) -> list[Window]:
    """Latencies by the tenth of a second in which the orders were due; None where no order was answered."""
    window = outcome.planned_ns // WINDOW_NS
    count = -(-duration_ns // WINDOW_NS)
    planned = np.bincount(window, minlength=count)
    decision = _by_window(outcome, outcome.decided_ns, window, count)
    ack = _by_window(outcome, outcome.acked_ns, window, count)
    return [
        Window(
            start_s=at * WINDOW_NS / 1e9,
            planned=int(planned[at]),
            decision_p50_us=decision[at][0],
            decision_p99_us=decision[at][1],
            decision_max_us=decision[at][2],
            ack_p50_us=ack[at][0],
            ack_p99_us=ack[at][1],
            ack_max_us=ack[at][2],
        )
        for at in range(count)
    ]


def _by_window(outcome: Outcome, times_ns: Ints, window: Ints, count: int) -> list[tuple[float | None, ...]]:
    chosen = outcome.orders & (times_ns >= 0)
    values, where = times_ns[chosen] - outcome.planned_ns[chosen], window[chosen]
    order = np.argsort(where, kind="stable")
    values, where = values[order], where[order]
    edges = np.searchsorted(where, np.arange(count + 1))
    rows: list[tuple[float | None, ...]] = []
    for at in range(count):
        inside = np.sort(values[edges[at] : edges[at + 1]])
        if inside.size == 0:
            rows.append((None, None, None))
            continue
        ranks = [max(-(-inside.size * share // 1_000_000), 1) - 1 for share in (500_000, 990_000, 1_000_000)]
        rows.append(tuple(float(inside[rank]) / 1e3 for rank in ranks))
    return rows


def reject_counts(outcome: Outcome, names: dict[int, str]) -> list[RejectCount]:
    """Reject codes seen or demanded, in order of code."""
    wanted, got, orders = outcome.expected_code, outcome.reject_code, outcome.orders
    rows = []
    for code in sorted({int(code) for code in np.union1d(wanted, got)} - {0}):
        met = int(np.count_nonzero(orders & (got == code) & (wanted == code)))
        rows.append(
            RejectCount(
                code=f"R{code}",
                name=names.get(code, "?"),
                expected=met,
                unexpected=int(np.count_nonzero(orders & (got == code))) - met,
                missing=int(np.count_nonzero((wanted == code) & (outcome.decided_ns >= 0))) - met,
                cancels=int(np.count_nonzero(outcome.cancels & (got == code))),
            )
        )
    return rows
