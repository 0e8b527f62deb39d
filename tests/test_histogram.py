"""The C histogram against numpy and against the hdrhistogram package."""

import itertools

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from ext.histogram import HIGHEST_NS, Histogram
from loadtest.measure import encode_hdr

PER_MILLION = [0, 1, 100_000, 500_000, 900_000, 990_000, 999_000, 999_900, 1_000_000]


def recorded(values):
    histogram = Histogram()
    histogram.record_all(np.asarray(values, dtype=np.int64))
    return histogram


def reference(values):
    histogram = HdrHistogram(1, HIGHEST_NS, 3)
    for value in values:
        assert histogram.record_value(int(value))
    return histogram


@pytest.mark.parametrize("per_million", PER_MILLION)
def test_percentiles_are_within_a_thousandth_of_numpy(per_million):
    values = np.random.default_rng(3).lognormal(11, 2, 50_000).astype(np.int64)
    exact = int(np.quantile(values, per_million / 1e6, method="inverted_cdf"))
    assert exact <= recorded(values).percentile_ns(per_million) <= exact * 1.001 + 1


@given(st.lists(st.integers(0, HIGHEST_NS), min_size=1, max_size=60))
def test_every_bucket_is_that_of_hdrhistogram(values):
    ours, theirs = recorded(values), reference(values)
    assert ours.count == theirs.get_total_count()
    assert dict(ours.counts()) == {at: theirs.counts[at] for at in range(theirs.counts_len) if theirs.counts[at]}
    assert (ours.min_ns, ours.max_ns, ours.sum_ns) == (min(values), max(values), sum(values))


def test_the_encoded_form_is_read_back_by_hdrhistogram():
    values = np.random.default_rng(5).lognormal(10, 1.5, 5_000).astype(np.int64)
    ours = recorded(values)
    theirs = HdrHistogram.decode(encode_hdr(ours))
    assert theirs.get_total_count() == 5_000
    for percentile in (50, 90, 99, 99.9):
        assert theirs.get_value_at_percentile(percentile) == pytest.approx(
            ours.percentile_ns(int(percentile * 10_000)), rel=0.002
        )


def test_merge_equals_recording_both():
    rng = np.random.default_rng(9)
    left, right = rng.integers(0, 10**9, 1_000), rng.integers(5, 10**6, 1_000)
    merged = recorded(left)
    merged.merge(recorded(right))
    merged.merge(Histogram())
    both = recorded(np.concatenate([left, right]))
    assert merged.counts() == both.counts()
    assert (merged.count, merged.min_ns, merged.max_ns, merged.mean_ns) == (
        both.count,
        both.min_ns,
        both.max_ns,
        both.mean_ns,
    )


def test_what_cannot_be_is_counted_apart():
    histogram = recorded([-1, 10, HIGHEST_NS + 1])
    assert (histogram.below_count, histogram.above_count, histogram.count) == (1, 1, 2)
    assert histogram.max_ns == HIGHEST_NS


def test_empty_and_reset():
    histogram = Histogram()
    assert (histogram.percentile_ns(990_000), histogram.mean_ns, histogram.counts()) == (0, 0, [])
    histogram.record_ns(42)
    assert (histogram.percentile_ns(0), histogram.percentile_ns(1_000_000), histogram.mean_ns) == (42, 42, 42)
    histogram.reset()
    assert (histogram.count, histogram.max_ns, histogram.counts()) == (0, 0, [])


@pytest.mark.parametrize("per_million", [-1, 1_000_001])
def test_a_percentile_out_of_range_is_refused(per_million):
    with pytest.raises(ValueError, match="per_million"):
        Histogram().percentile_ns(per_million)


def test_buckets_cover_what_was_recorded():
    values = np.random.default_rng(1).integers(0, 10**8, 2_000)
    buckets = recorded(values).buckets()
    assert sum(count for _, count in buckets) == 2_000
    assert buckets[-1][0] == values.max()
    assert all(low < high for (low, _), (high, _) in itertools.pairwise(buckets))
