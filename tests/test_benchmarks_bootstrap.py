"""Bootstrap intervals against what is known of them without any drawing."""

import numpy as np
import pytest

scipy_stats = pytest.importorskip("scipy.stats")
from rt_melody.benchmarks.bootstrap import FEWEST, interval, weighted_mean


def width(bounds):
    assert bounds is not None
    return bounds[1] - bounds[0]


def test_the_interval_of_a_constant_difference_is_that_constant():
    assert interval(np.full(9, -1.25)) == pytest.approx((-1.25, -1.25))
    assert interval(np.full(9, -1.25), np.arange(1.0, 10.0)) == pytest.approx((-1.25, -1.25))


def test_of_zeros_and_ones_it_is_the_binomial_distributions():
    """A mean of n drawn from k ones in n is a binomial share: its quantiles are known exactly."""
    values = np.repeat([0.0, 1.0], [28, 12])
    wanted = scipy_stats.binom.ppf([0.025, 0.975], 40, 12 / 40) / 40
    assert interval(values, resamples=40_000) == pytest.approx(tuple(wanted), abs=0.5 / 40)


def test_on_gaussian_differences_it_is_close_to_students():
    values = np.random.default_rng(3).normal(2.0, 5.0, 60)
    bounds = interval(values)
    students = scipy_stats.t.interval(0.95, 59, values.mean(), scipy_stats.sem(values))
    assert bounds == pytest.approx(students, abs=0.06 * width(students))
    assert width(interval(values, level=0.5)) == pytest.approx(width(scipy_stats.t.interval(0.5, 59, 0, scipy_stats.sem(values))), rel=0.06)


def test_about_95_in_a_hundred_hold_the_true_mean():
    """94 on 30 values: percentiles are a little narrow."""
    rng = np.random.default_rng(8)
    bounds = [interval(rng.normal(1.0, 3.0, 30), resamples=1000) for _ in range(1000)]
    held = sum(b is not None and b[0] <= 1.0 <= b[1] for b in bounds)
    assert 915 <= held <= 965


def test_pairing_makes_it_narrower_where_clips_are_hard_in_both_ways():
    """A clip's own difficulty, 10 points, is in both; what differs is 1. Unpaired it would stand in the interval twice."""
    rng = np.random.default_rng(1)
    clip = rng.normal(80.0, 10.0, 40)
    one, other = clip + rng.normal(0.0, 1.0, 40), clip + 1.0 + rng.normal(0.0, 1.0, 40)
    paired = interval(one - other)
    unpaired = interval(one - rng.permutation(other))
    assert width(paired) == pytest.approx(2 * 1.96 * np.sqrt(2.0 / 40), rel=0.25)
    assert width(unpaired) > 6 * width(paired)


def test_a_weight_counts_as_so_many_frames():
    """Pooled over frames: a clip of three frames at 90 and one of one frame at 50 make 80; what weighs nothing is as if absent."""
    assert weighted_mean(np.array([90.0, 50.0, 7.0]), np.array([3.0, 1.0, 0.0])) == pytest.approx(80.0)
    assert weighted_mean(np.array([7.0]), np.array([0.0])) is None
    values = np.random.default_rng(2).normal(size=12)
    absent = interval(np.append(values, 1e6), np.append(np.ones(12), 0.0))
    assert absent == interval(values)
    bounds = interval(np.append(values, 100.0), np.append(np.full(12, 1e-9), 1.0))
    assert bounds is not None and bounds[1] == pytest.approx(100.0, abs=0.1)


def test_it_is_the_same_each_time_and_none_of_few():
    values = np.random.default_rng(5).normal(size=20)
    assert interval(values) == interval(values) != interval(values, seed=1)
    assert interval(values[: FEWEST - 1]) is None and interval(values[:FEWEST]) is not None
    assert interval(values, np.r_[np.ones(FEWEST - 1), np.zeros(20 - FEWEST + 1)]) is None


@pytest.mark.parametrize("values, weights", (([1.0, np.nan], None), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.0, -1.0]), ([[1.0], [2.0]], None)))
def test_what_is_no_number_a_clip_is_refused(values, weights):
    with pytest.raises(ValueError, match="one finite number a clip"):
        interval(np.array(values), None if weights is None else np.array(weights))
