"""Limits of the lowest accuracy and of gaps: known expectations, and coverage by simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from bob.numerics.arrays import Doubles
from bob.statistics.extremes import gap_limits, lowest_limits
from bob.statistics.limits import wilson

COVERED = 0.93
"""Of 400 trials, a standard error of 1.1 percentage points below 95 %."""


def gap(accuracy: Doubles) -> Doubles:
    return np.asarray(np.ptp(accuracy, axis=-1))


def ratio(accuracy: Doubles) -> Doubles:
    return np.asarray(accuracy.min(-1) / accuracy.max(-1))


def expected_maximum(groups: int) -> float:
    """Return the mean of the largest of as many standard normal values, by its density."""
    return float(quad(lambda x: x * groups * norm.pdf(x) * norm.cdf(x) ** (groups - 1), -9, 9)[0])


def test_a_clearly_worst_group_has_the_limits_of_its_share() -> None:
    right, count = np.array([40.0, 95.0, 97.0]), np.full(3, 100.0)
    low, high = lowest_limits(right, count)
    assert (low, high) == pytest.approx(wilson(40.0, 100.0), abs=0.01)


def test_among_equal_groups_the_upper_limit_allows_for_the_expected_minimum() -> None:
    """Eight groups of 4,000 images with 75 % right each: their standard error is 0.00685.

    The lower limit is that of a group whose error is the minimum's; Agresti and Coull's two answers
    more change nothing at this size.
    """
    error = np.sqrt(0.75 * 0.25 / 4_000)
    low, high = lowest_limits(np.full(8, 3_000.0), np.full(8, 4_000.0))
    moments = [
        quad(lambda x: x**k * 8 * norm.pdf(x) * norm.sf(x) ** 7, -9, 9)[0]  # noqa: B023
        for k in (1, 2)
    ]
    of_minimum = error * np.sqrt(moments[1] - moments[0] ** 2)
    assert low == pytest.approx(0.75 - 1.96 * of_minimum, abs=0.0006)
    assert high == pytest.approx(0.75 + expected_maximum(8) * error + 1.96 * of_minimum, abs=0.0012)


def test_the_gap_of_two_groups_that_are_told_apart_is_not_corrected() -> None:
    """The standard error of a difference of 90 % and 60 % of 400 images is 0.0287."""
    low, high = gap_limits(gap, np.array([240.0, 360.0]), np.full(2, 400.0), np.zeros(2, int))
    error = np.sqrt((0.9 * 0.1 + 0.6 * 0.4) / 400)
    assert (low, high) == pytest.approx((0.3 - 1.96 * error, 0.3 + 1.96 * error), abs=0.004)


def test_the_ratio_of_equal_groups_may_be_one() -> None:
    """49 and 51 of 100 right are not told apart."""
    _, high = gap_limits(ratio, np.array([49.0, 51.0]), np.full(2, 100.0), np.zeros(2, int))
    assert high >= 1


def test_groups_that_are_not_compared_do_not_correct_each_other() -> None:
    """The gap within each of two classes is 30 points; those of 60 % right are equal by chance."""

    def within(accuracy: Doubles) -> Doubles:
        return np.asarray((gap(accuracy[..., :2]) + gap(accuracy[..., 2:])) / 2)

    right, count = np.array([240.0, 360.0, 240.0, 360.0]), np.full(4, 400.0)
    low, _ = gap_limits(within, right, count, np.array([0, 0, 1, 1]))
    error = np.sqrt((0.9 * 0.1 + 0.6 * 0.4) / 400 / 2)
    assert low == pytest.approx(0.3 - 1.96 * error, abs=0.004)


def test_all_wrong_leaves_room_above() -> None:
    low, high = lowest_limits(np.zeros(3), np.full(3, 20.0))
    assert low == 0 and 0.05 < high < 0.3


def test_all_right_leaves_room_below() -> None:
    low, high = lowest_limits(np.full(3, 20.0), np.full(3, 20.0))
    assert 0.7 < low < 0.95 and high == 1


@pytest.mark.parametrize("shares", [(0.75,) * 3, (0.75,) * 8, (0.9, 0.9, 0.8), (0.9, 0.7, 0.5)])
@pytest.mark.parametrize("n", [50, 300])
def test_limits_cover_equal_and_different_groups(shares: tuple[float, ...], n: int) -> None:
    """Resamples of the images alone cover the gap of eight equal groups in a quarter of trials."""
    rng, count, compared = np.random.default_rng(n), np.full(len(shares), float(n)), len(shares)
    lowest, gaps = [], []
    for _ in range(400):
        right = rng.binomial(n, shares).astype(np.float64)
        lowest.append(contains(lowest_limits, min(shares), right, count))
        low, high = gap_limits(gap, right, count, np.zeros(compared, int))
        gaps.append(low <= max(shares) - min(shares) <= high)
    assert np.mean(lowest) >= COVERED and np.mean(gaps) >= COVERED


def contains(
    limits: Callable[[Doubles, Doubles], tuple[Doubles, Doubles]],
    truth: float,
    right: Doubles,
    count: Doubles,
) -> bool:
    low, high = limits(right, count)
    return bool(low <= truth <= high)
