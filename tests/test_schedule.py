"""The pacer against tables: what is due when, for base rates, surges and every arrival shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.schedule import (
    Pace,
    ScheduleError,
    Surge,
    flow_steps,
    parse_duration_ns,
    parse_surges,
    planned_times_ns,
)

S = 1_000_000_000
MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "ns"), [("1s", S), ("500ms", 500 * MS), ("2m", 120 * S), ("1.5s", 1500 * MS), ("250us", 250_000)]
)
def test_durations(text, ns):
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1h", "1 s s"])
def test_bad_durations_say_what_was_expected(text):
    with pytest.raises(ScheduleError, match="expected a number and a unit"):
        parse_duration_ns(text)


def test_surges_are_sorted_by_start():
    assert parse_surges("20000x500ms@10s, 50000x1s@5s") == [Surge(5 * S, S, 50_000), Surge(10 * S, 500 * MS, 20_000)]
    assert parse_surges("") == []


@pytest.mark.parametrize("text", ["50000", "50000x1s", "x1s@5s", "50000x1s@5", "1e4x1s@5s", "5x@1s"])
def test_bad_surges_name_the_item(text):
    with pytest.raises(ScheduleError, match="surge"):
        parse_surges(text)


@pytest.mark.parametrize(
    ("rate", "seconds", "surges", "planned"),
    [
        (1_000, 10, "", 10_000),
        (1_000, 10, "50000x1s@5s", 9_000 + 50_000),
        (1_000, 10, "50000x1s@0s", 9_000 + 50_000),
        (1_000, 10, "50000x1s@9s", 9_000 + 50_000),
        (1_000, 10, "50000x1s@2s,20000x500ms@5s", 8_500 + 50_000 + 10_000),
        (1_000, 10, "100x5s@5s", 5_500),
        (3, 1, "", 3),
        (7, 3, "1000x1ms@1s", 22),
    ],
)
def test_planned_counts(rate, seconds, surges, planned):
    pace = Pace(rate, seconds * S, tuple(parse_surges(surges)))
    assert pace.planned_count == planned
    times = planned_times_ns(pace)
    assert abs(len(times) - planned) <= 1
    assert times[0] == 0
    assert times[-1] < seconds * S


def test_even_spacing_inside_and_outside_a_surge():
    times = planned_times_ns(Pace(1_000, 4 * S, (Surge(2 * S, S, 50_000),)))
    gaps = np.diff(times)
    inside = (times[:-1] >= 2 * S) & (times[:-1] < 3 * S - 20_000)
    assert set(gaps[inside]) <= {19_999, 20_000, 20_001}
    assert set(gaps[times[:-1] < 2 * S - MS]) <= {MS - 1, MS, MS + 1}
    assert np.count_nonzero((times >= 2 * S) & (times < 3 * S)) == 50_000


@pytest.mark.parametrize(
    ("rate", "duration_ns", "surges"),
    [
        (0, S, ()),
        (-5, S, ()),
        (10**9, S, ()),
        (10, 0, ()),
        (10, S, (Surge(0, 2 * S, 10),)),
        (10, 9 * S, (Surge(0, 2 * S, 10), Surge(S, S, 10))),
        (10, S, (Surge(0, S, 0),)),
        (10, S, (Surge(0, 0, 5),)),
    ],
)
def test_impossible_paces_are_refused(rate, duration_ns, surges):
    with pytest.raises(ScheduleError, match="expected"):
        Pace(rate, duration_ns, surges)


def test_poisson_keeps_the_rate_and_has_poisson_counts():
    times = planned_times_ns(Pace(10_000, 10 * S), "poisson", seed=7)
    assert abs(len(times) - 100_000) < 5 * 100_000**0.5
    per_10ms = np.bincount(times // (10 * MS))
    assert 0.8 < per_10ms.var() / per_10ms.mean() < 1.2
    assert np.array_equal(times, planned_times_ns(Pace(10_000, 10 * S), "poisson", seed=7))
    assert not np.array_equal(times[:100], planned_times_ns(Pace(10_000, 10 * S), "poisson", seed=8)[:100])


def test_flow_shape_keeps_bursts_and_meets_the_rate():
    # Half of the flow in one burst of a tenth of its time.
    arrivals_us = np.concatenate([np.linspace(0, 900_000, 500), np.linspace(900_001, 1_000_000, 500)]).astype(np.int64)
    times = planned_times_ns(Pace(1_000, S), "flow", arrivals_us=arrivals_us)
    assert abs(len(times) - 1_000) <= 2
    assert abs(np.count_nonzero(times > 0.9 * S) - 500) <= 5


def test_a_short_flow_is_repeated():
    steps = flow_steps([0, 10, 20, 30], 10)
    assert len(steps) == 12
    assert np.all(np.diff(steps) >= 0)
    assert steps[-1] == pytest.approx(11)


@pytest.mark.parametrize("arrivals_us", [[], [5], [5, 5], [5, 3, 9]])
def test_a_flow_without_a_shape_is_refused(arrivals_us):
    with pytest.raises(ScheduleError, match="flow"):
        flow_steps(arrivals_us, 10)


@pytest.mark.parametrize("arrivals", ["flow", "uniform", ""])
def test_unknown_arrivals_are_refused(arrivals):
    with pytest.raises(ScheduleError, match="arrivals"):
        planned_times_ns(Pace(10, S), arrivals)


@given(st.integers(1, 20_000), st.integers(1, 3_000), st.integers(1, 100_000), st.sampled_from(["even", "poisson"]))
def test_times_ascend_and_stay_inside(rate, duration_ms, surge_rate, arrivals):
    third_ns = duration_ms * MS // 3
    surges = (Surge(third_ns, third_ns, surge_rate),) if third_ns else ()
    times = planned_times_ns(Pace(rate, duration_ms * MS, surges), arrivals, seed=rate)
    assert np.all(np.diff(times) >= 0)
    assert len(times) == 0 or (times[0] >= 0 and times[-1] < duration_ms * MS)
