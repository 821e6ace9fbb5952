"""Shifted systems against inverse matrices, by each way of solution, and where none is regular."""

import numpy as np
import pytest

from bob.numerics.arrays import Doubles
from bob.numerics.linear.shifted import FEW, shifted_solutions

Shifts = list[tuple[float, float]]


def covariance(width: int, rank: int) -> Doubles:
    """Return X'X (D, D) of examples that span a few dimensions."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, rank)) @ rng.normal(size=(rank, width))
    return np.asarray(x.T @ x / 50)


@pytest.mark.parametrize("width", [1, 2, 3, 6, 70])
@pytest.mark.parametrize("count", [1, FEW, FEW + 1], ids=["one", "few", "many"])
def test_solutions_are_those_of_the_inverse(width: int, count: int) -> None:
    """Few systems have a Cholesky factor each, many one tridiagonal form; 70 reflections are more
    than LAPACK applies at once."""
    matrix, rows = covariance(width, width), np.random.default_rng(4).normal(size=(3, width))
    shifts = [(1.0, 0.5), (0.9, 1e-3), (0.0, 2.0), (2.0, 0.1), (1.0, 10.0)][:count]
    for (factor, shift), solution in zip(
        shifts, shifted_solutions(matrix, rows, shifts), strict=True
    ):
        inverse = np.linalg.inv(factor * matrix + shift * np.eye(width))
        np.testing.assert_allclose(solution, rows @ inverse, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("strength", [1e-8, 0.1])
def test_few_systems_have_the_solutions_of_many(strength: float) -> None:
    """6 features span 4 dimensions; rounding errors in the other 2 are divided by the strength."""
    matrix, rows = covariance(6, 4), np.random.default_rng(5).normal(size=(2, 4))
    products = rows @ matrix[:4]
    shifts = [(1.0, strength), *((1.0, float(s)) for s in range(1, 1 + FEW))]
    (alone,) = shifted_solutions(matrix, products, shifts[:1])
    among = shifted_solutions(matrix, products, shifts)[0]
    np.testing.assert_allclose(alone, among, rtol=1e-6, atol=1e-9 + 1e-15 / strength)


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_a_negative_eigenvalue_counts_as_zero(count: int) -> None:
    """As rounding leaves it in a covariance: 1 / (1 + 0.5), and 1 / (0 + 0.5) twice."""
    shifts: Shifts = [(1.0, 0.5)] * count
    for solution in shifted_solutions(np.diag([1.0, -0.75, -0.6]), np.ones((1, 3)), shifts):
        assert solution.tolist() == [[pytest.approx(2 / 3), pytest.approx(2), pytest.approx(2)]]


def test_directions_without_variance_or_shift_have_no_part() -> None:
    (solution,) = shifted_solutions(np.diag([4.0, 0.0, 0.0]), np.ones((1, 3)), [(1.0, 0.0)])
    assert solution.tolist() == [[0.25, 0, 0]]
