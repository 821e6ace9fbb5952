"""Data efficiency: the area under accuracy against the logarithm of the train set's size."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.learning_curve import area_per_example, data_efficiency
from bob.outcomes import LearningCurve


def test_the_area_by_hand() -> None:
    """Accuracies 0, 0.5, 1 at 1, 2, 8: (0.25 * log 2 + 0.75 * log 4) / log 8 = 1.75 / 3."""
    right = np.array([[False, True, True], [False, False, True]])
    outcome = LearningCurve(right, np.array([1, 2, 8]))
    assert data_efficiency(outcome) == pytest.approx(1.75 / 3)


def test_it_is_numpys_trapezoid_of_the_accuracies() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([40, 90, 200, 1000])
    outcome = LearningCurve(rng.random((50, 4)) < [0.4, 0.5, 0.6, 0.7], sizes)
    trapezoid = getattr(np, "trapezoid", None) or np.trapz  # renamed in NumPy 2
    log_sizes = np.log(sizes)
    expected = trapezoid(outcome.right.mean(0), log_sizes) / (log_sizes[-1] - log_sizes[0])
    assert data_efficiency(outcome) == pytest.approx(float(expected))
    assert area_per_example(outcome).mean() == pytest.approx(data_efficiency(outcome))


def test_right_everywhere_is_one_and_a_single_size_is_undefined() -> None:
    perfect = LearningCurve(np.ones((3, 2), bool), np.array([1, 5]))
    assert data_efficiency(perfect) == pytest.approx(1)
    with pytest.raises(UndefinedError, match="at least two sizes"):
        data_efficiency(LearningCurve(np.ones((3, 1), bool), np.array([5])))
    with pytest.raises(UndefinedError, match="no test examples"):
        data_efficiency(LearningCurve(np.ones((0, 2), bool), np.array([1, 5])))


def test_sizes_ascend_and_fit() -> None:
    with pytest.raises(ValueError, match="must ascend"):
        LearningCurve(np.ones((3, 2), bool), np.array([5, 5]))
    with pytest.raises(ValueError, match="must have shape"):
        LearningCurve(np.ones((3, 2), bool), np.array([5]))
