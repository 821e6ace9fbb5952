"""The jackknife on statistics whose variance and bias are known exactly."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import beta, kurtosis
from scipy.stats import t as student_t
from statsmodels.stats.proportion import proportion_confint

from bob.metrics.binary import area_under_roc, area_under_roc_leave_one_out
from bob.statistics.jackknife import (
    jackknife_bias,
    jackknife_limits,
    median_limits,
    one_sample_values,
    rate_at_quantile,
    resample_values,
)
from bob.statistics.limits import wilson


def test_the_jackknife_of_a_mean_has_its_variance_and_no_bias() -> None:
    """Without x_i the mean m of n values is (n m - x_i) / (n - 1).

    The size is m (1 - m) n / variance; scipy's kurtosis gives the degrees of freedom.
    """
    values = np.random.default_rng(0).beta(2, 1, 40)
    leave_one_out = (values.sum() - values) / 39
    assert jackknife_bias(values.mean(), leave_one_out) == pytest.approx(0, abs=1e-12)
    size = values.mean() * (1 - values.mean()) * 40 / values.var(ddof=1)
    quantile = student_t.ppf(0.975, 2 * 39 / (kurtosis(values, fisher=False) - 1))
    assert jackknife_limits(values.mean(), leave_one_out, np.zeros(40)) == pytest.approx(
        wilson(values.mean() * size, np.asarray(size), quantile)
    )


def test_the_jackknife_estimates_the_bias_of_a_square() -> None:
    """The square of a mean is too high by variance / n, exactly (Quenouille 1956)."""
    values = np.random.default_rng(0).random(30)
    leave_one_out = ((values.sum() - values) / 29) ** 2
    assert jackknife_bias(values.mean() ** 2, leave_one_out) == pytest.approx(
        values.var(ddof=1) / 30
    )


def test_an_estimate_that_no_example_moves_has_wilsons_limits() -> None:
    """Two samples of 10 and 40 count as two of their harmonic mean, 2 / (1/10 + 1/40) = 16."""
    for value in (1.0, 0.0, 0.25):
        alone = jackknife_limits(value, np.full(12, value), np.zeros(12))
        assert alone == pytest.approx(proportion_confint(value * 12, 12, method="wilson"))
        both = jackknife_limits(value, np.full(50, value), np.arange(50) < 10)
        assert both == pytest.approx(proportion_confint(value * 32, 32, method="wilson"))


def test_a_perfect_estimate_that_some_example_moves_counts_all_examples() -> None:
    """An estimate of 1 has no variance on the scale of a share."""
    leave_one_out = np.array([1.0] * 11 + [0.9])
    expected = proportion_confint(12, 12, method="wilson")
    assert jackknife_limits(1.0, leave_one_out, np.zeros(12)) == pytest.approx(expected)


def test_a_sample_of_one_or_an_undefined_estimate_has_no_limits() -> None:
    values = np.array([0.4, 0.5, 0.6, 0.7])
    assert jackknife_limits(0.5, values, np.array([0, 0, 1, 1])) is not None
    assert jackknife_limits(0.5, values, np.array([0, 0, 0, 1])) is None
    assert jackknife_limits(0.5, np.array([0.4, np.nan, 0.6, 0.7]), np.zeros(4)) is None


# ---- a rate at a quantile


def test_a_rate_at_a_known_threshold_has_wilsons_limits() -> None:
    """A million ordered scores in [0, 1]: 95 % are at or below 0.95, and so are 7 of 10 counted."""
    counted = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.94, 0.96, 0.97, 0.98])
    limits = rate_at_quantile(counted, np.arange(1, 1_000_001) / 1e6, 0.95)
    assert limits == pytest.approx(proportion_confint(7, 10, method="wilson"))


@pytest.mark.parametrize("decimals", [1, 6])
def test_limits_of_a_rate_add_those_of_its_threshold(decimals: int) -> None:
    """Places among the 30 ordered scores solve a beta distribution's equation; ties count below."""
    rng = np.random.default_rng(decimals)
    counted, ordered = (rng.normal(size=n).round(decimals) for n in (40, 30))
    threshold = np.quantile(ordered, 0.9, method="inverted_cdf")
    at_or_below = [0, *((counted <= score).sum() for score in np.sort(ordered)), 40]
    observed = int((counted <= threshold).sum())
    added = []
    for probability in (0.975, 0.025):
        place = brentq(lambda k, p=probability: beta.cdf(0.9, k, 31 - k) - p, 1e-9, 31 - 1e-9)
        below = math.floor(place)
        share = place - below
        count = (1 - share) * at_or_below[below] + share * at_or_below[below + 1]
        distance = abs(count - observed)
        added.append(max(0.0, distance * (distance - 1)) / (40 * 39))
    low, high = proportion_confint(observed, 40, method="wilson")
    rate = observed / 40
    expected = (
        rate - math.hypot(math.sqrt(added[0]), rate - low),
        rate + math.hypot(math.sqrt(added[1]), high - rate),
    )
    assert max(added) > 0
    assert rate_at_quantile(counted, ordered, 0.9) == pytest.approx(expected, abs=1e-7)


# ---- values per example


def test_jackknife_values_of_a_mean_are_its_values() -> None:
    values = np.random.default_rng(0).random(30)
    leave_one_out = (values.sum() - values) / 29
    made = one_sample_values(values.mean(), leave_one_out, np.zeros(30))
    assert made == pytest.approx(values)


def test_jackknife_values_of_areas_have_delongs_covariance() -> None:
    """DeLong, DeLong & Clarke-Pearson 1988: the covariance of two areas on the same images is that
    of the shares won by each positive, divided by their number, plus that of the negatives."""
    rng = np.random.default_rng(1)
    inside = np.arange(50) < 20
    scores = rng.normal(size=(2, 50)) + inside
    won = (scores[:, inside, None] > scores[:, None, ~inside]).astype(float)  # no scores are equal
    expected = np.cov(won.mean(2)) / 20 + np.cov(won.mean(1)) / 30
    values = [
        one_sample_values(
            area_under_roc(row, inside), area_under_roc_leave_one_out(row, inside), inside
        )
        for row in scores
    ]
    stacked = np.stack([made for made in values if made is not None])
    assert stacked.mean(1) == pytest.approx(won.mean((1, 2)))
    assert np.cov(stacked) / 50 == pytest.approx(expected)


def test_values_are_none_for_a_stratum_of_one_or_an_undefined_estimate() -> None:
    strata = np.array([0, 0, 0, 1])
    assert one_sample_values(0.5, np.full(4, 0.5), strata) is None
    assert one_sample_values(0.5, np.array([0.5, np.nan]), np.zeros(2)) is None


def test_resample_values_have_the_bootstraps_standard_error() -> None:
    drawn = np.random.default_rng(2).normal(0.7, 0.05, 1000)
    values = resample_values(0.72, drawn)
    assert values is not None
    assert values.mean() == pytest.approx(0.72)
    assert np.sqrt(values.var() / 1000) == pytest.approx(drawn.std())
    drawn[:499] = np.nan
    some = resample_values(0.72, drawn)
    assert some is not None
    assert np.sqrt(some.var() / 1000) == pytest.approx(np.nanstd(drawn))
    drawn[:500] = np.nan
    assert resample_values(0.72, drawn) is None


# ---- medians


def test_the_limits_of_a_median_are_order_statistics() -> None:
    """The share of the population below the k-th of 9 values is Beta(k, 10 - k); scipy finds the
    places at which the median is beyond with 2.5 %."""
    low, high = (
        brentq(lambda k, p=p: beta.sf(0.5, k, 10 - k) - p, 0.01, 9.99) for p in (0.025, 0.975)
    )
    limits = median_limits(np.arange(9.0, 0.0, -1.0))
    assert limits == pytest.approx((low, high), abs=1e-6) and 1 < low < 5 < high < 9


def test_the_limits_of_few_values_are_their_ends() -> None:
    """Both of 2 values are beyond the median with 25 % each: no place is beyond with 2.5 %."""
    assert median_limits(np.array([4.0, 1.0])) == (1.0, 4.0)


def test_the_limits_of_a_median_cover() -> None:
    """Exponential draws of 30; 95 % of 1,000 intervals hold ln 2, within four standard errors."""
    draws = np.random.default_rng(0).exponential(size=(1000, 30))
    limits = np.array([median_limits(values) for values in draws])
    covered = ((limits[:, 0] <= math.log(2)) & (math.log(2) <= limits[:, 1])).mean()
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 1000))
