"""Metrics of regression: by hand, against scikit-learn and scipy, and laws."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error as sklearn_mae
from sklearn.metrics import r2_score

from bob.errors import UndefinedError
from bob.metrics.intervals import interval
from bob.metrics.regression import METRICS, mean_absolute_error, r2, spearman
from bob.outcomes import RegressionResults


def outcome_of(target: list[float], predicted: list[float]) -> RegressionResults:
    return RegressionResults(np.array(target, float), np.array(predicted, float))


def random_outcome(seed: int) -> RegressionResults:
    rng = np.random.default_rng(seed)
    target = rng.integers(5, size=70).astype(float)
    return RegressionResults(target, target + rng.normal(size=70))


def test_by_hand() -> None:
    """Targets 0, 1, 2 around 1, Σ = 2; errors 1, 0, 0: R² = 1 − 1/2, mean error 1/3. Predictions 1,
    1, 2 have the ranks 1.5, 1.5, 3: covariance 1.5, lengths √(2 · 1.5), ρ = 1.5 / √3.
    """
    outcome = outcome_of([0, 1, 2], [1, 1, 2])
    assert r2(outcome) == pytest.approx(0.5)
    assert mean_absolute_error(outcome) == pytest.approx(1 / 3)
    assert spearman(outcome) == pytest.approx(1.5 / 3**0.5)


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_other_libraries(seed: int) -> None:
    outcome = random_outcome(seed)
    assert r2(outcome) == pytest.approx(r2_score(outcome.target, outcome.predicted))
    expected = sklearn_mae(outcome.target, outcome.predicted)
    assert mean_absolute_error(outcome) == pytest.approx(expected)
    assert spearman(outcome) == pytest.approx(spearmanr(*outcome.to_arrays().values()).statistic)


def test_perfect_mean_and_reversed_predictions() -> None:
    assert [metric.function(outcome_of([0, 1, 3], [0, 1, 3])) for metric in METRICS] == [1, 0, 1]
    assert r2(outcome_of([0, 1, 2], [1, 1, 1])) == 0
    assert spearman(outcome_of([0, 1, 3], [3, 1, 0])) == pytest.approx(-1)


def test_intervals_contain_the_value() -> None:
    for metric in METRICS:
        value, low, high, _ = interval(metric.name, random_outcome(0), 0)
        assert low is not None and high is not None and low < value < high


def test_undefined() -> None:
    constant = outcome_of([1, 1], [0, 1])
    with pytest.raises(UndefinedError, match="test targets that differ"):
        r2(constant)
    with pytest.raises(UndefinedError, match="needs targets and predictions that differ"):
        spearman(constant)
    for metric in METRICS:
        with pytest.raises(UndefinedError, match="no test examples"):
            metric.function(outcome_of([], []))
    with pytest.raises(ValueError, match="must both have shape"):
        outcome_of([1], [1, 2])
