"""Paired tests of sums of means over several samples of examples."""

import numpy as np
import pytest
from scipy import stats

from bob.statistics.paired_tests import normal_flips
from bob.statistics.sums_of_means import Sample, sum_covariance, sum_p_values

RNG = np.random.default_rng(0)


def test_p_values_by_hand() -> None:
    """Sample 1: differences 1, 0, 1, 0: mean 1/2, variance 2/16. Sample 2: -1, 1/2: -1/4, 5/16."""
    first = Sample(np.array([[1.0, 0, 1, 0], [0, 0, 0, 0]]), False)
    second = Sample(np.array([[0.0, 0.5], [1, 0]]), False)
    expected = 2 * stats.norm.sf(0.25 / np.sqrt(2 / 16 + 5 / 16))
    assert sum_p_values([first, second])[0, 1] == pytest.approx(expected)


def test_a_single_sample_of_examples_is_tested_like_sign_flips() -> None:
    values = RNG.random((4, 3000))
    assert sum_p_values([Sample(values, False)]) == pytest.approx(normal_flips(values))


def test_a_single_sample_of_draws_is_tested_by_student() -> None:
    a, b = RNG.normal(0.5, 0.1, (2, 10))
    p = sum_p_values([Sample(np.stack([a, b]), True)])
    assert p[0, 1] == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_two_draws_are_enough_for_students_test() -> None:
    a, b = np.array([0.7, 0.8]), np.array([0.5, 0.4])
    p = sum_p_values([Sample(np.stack([a, b]), True)])[0, 1]
    assert p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    of_two = sum_covariance([Sample(np.stack([a, b]), True)])
    assert of_two == pytest.approx(np.cov(np.stack([a, b])) / 2)


def test_two_samples_of_draws_have_satterthwaites_degrees_of_freedom() -> None:
    """Welch's test has them: the difference of two means is a sum with the second one negated."""
    a, b = RNG.normal(0.5, 0.1, 10), RNG.normal(0.45, 0.3, 6)
    samples = [Sample(np.stack([a, 0 * a]), True), Sample(np.stack([-b, 0 * b]), True)]
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert sum_p_values(samples)[0, 1] == pytest.approx(expected)


def test_few_examples_decide_nothing() -> None:
    """Right on all four images of two settings each, against wrong on all: at best 2 / 2^4."""
    values = np.array([[1.0] * 4, [0.0] * 4])
    assert sum_p_values([Sample(values, False)])[0, 1] > 0.04
    many = np.repeat(values, 10, axis=1)
    assert sum_p_values([Sample(many, False)])[0, 1] < 1e-9


def test_copies_have_p_1_and_a_single_draw_is_undefined() -> None:
    values = RNG.random((1, 9)).repeat(3, axis=0)
    assert (sum_p_values([Sample(values, False), Sample(values, True)]) == 1).all()
    assert np.isnan(sum_p_values([Sample(values[:, :1], True)])).all()


def test_covariance_adds_over_samples() -> None:
    first, second = RNG.random((3, 20)), RNG.random((3, 8))
    expected = np.cov(first) / 20 + np.cov(second) / 8
    assert sum_covariance([Sample(first, False), Sample(second, True)]) == pytest.approx(expected)
    assert sum_covariance([Sample(first[:, :1], False)]) is None
