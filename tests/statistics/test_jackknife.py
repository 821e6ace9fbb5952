"""The jackknife on statistics whose variance and bias are known exactly."""

import numpy as np
import pytest
from scipy.stats import kurtosis
from scipy.stats import t as student_t

from bob.statistics.jackknife import jackknife_bias, jackknife_limits
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
