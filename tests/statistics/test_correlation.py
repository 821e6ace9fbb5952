"""Rank correlations."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bob.numerics.arrays import Doubles
from bob.statistics.correlation import kendall, spearman

Correlation = Callable[[Doubles, Doubles], float | None]


@pytest.mark.parametrize("seed", range(3))
def test_correlations_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 8, (2, 15)).astype(float)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


@pytest.mark.parametrize("correlation", [spearman, kendall])
def test_values_that_differ_by_rounding_are_tied(correlation: Correlation) -> None:
    x, y = np.array([1.0, 1, 2, 3, 4]), np.array([2.0, 1, 3, 5, 4])
    scipy = {spearman: stats.spearmanr, kendall: stats.kendalltau}[correlation]
    rounded = x * np.array([1 + 1e-15, 1, 1, 1, 1])
    assert correlation(rounded, y) == pytest.approx(scipy(x, y).statistic, abs=1e-12)
    assert correlation(np.array([0.1 + 0.2, 0.3, 0.3]), np.arange(3.0)) is None


@pytest.mark.parametrize("correlation", [spearman, kendall])
def test_constant_and_short_vectors_have_no_correlation(correlation: Correlation) -> None:
    assert correlation(np.ones(5), np.arange(5.0)) is None
    assert correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
