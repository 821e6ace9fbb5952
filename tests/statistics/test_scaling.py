"""Power laws: exact ones are found, unrelated ones have no exponent, and few points none at all."""

import numpy as np
import pytest

from bob.statistics.scaling import fit_power_law, scaling_fit

X = np.array([1.0, 2, 4, 8, 16, 32, 64, 128])


def test_an_exact_law_is_found_and_predicts_the_largest() -> None:
    """error = 2 x^-0.5 + 0.1."""
    error = 2 * X**-0.5 + 0.1
    law = fit_power_law(X, error)
    assert law.exponent == pytest.approx(0.5, abs=1e-5)
    assert law.floor == pytest.approx(0.1, abs=1e-5)
    assert law.amplitude * law.scale**law.exponent == pytest.approx(2, rel=1e-5)
    assert law(np.array([1024.0])) == pytest.approx(2 / 32 + 0.1, rel=1e-4)
    fit = scaling_fit(X, error, draws=10)
    assert fit is not None and fit.largest == pytest.approx(2 * 128**-0.5 + 0.1)
    assert fit.largest_predicted == pytest.approx(fit.largest, rel=1e-4)
    assert fit.exponent_low == pytest.approx(0.5, abs=0.01)


def test_units_of_x_change_no_exponent_and_no_prediction() -> None:
    rng = np.random.default_rng(0)
    error = X**-0.3 * np.exp(0.05 * rng.normal(size=8))
    law, other = fit_power_law(X, error), fit_power_law(1000 * X, error)
    assert other.exponent == pytest.approx(law.exponent, abs=1e-4)
    assert other(1000 * X) == pytest.approx(law(X), rel=1e-4)


def test_errors_without_relation_have_an_interval_around_0() -> None:
    error = np.array([0.3, 0.2, 0.25, 0.35, 0.22, 0.31, 0.24, 0.28])
    fit = scaling_fit(X, error, draws=40)
    assert fit is not None and fit.exponent_low < 0 < fit.exponent_high


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (X[:5], X[:5] ** -0.5),
        (X, np.where(X > 64, 0, 0.3)),
        (np.repeat([1.0, 2, 4], 3), np.full(9, 0.3)),
    ],
    ids=["five points", "an error of 0", "three sizes"],
)
def test_too_little_to_fit(x: np.ndarray, error: np.ndarray) -> None:
    assert scaling_fit(x, error) is None
