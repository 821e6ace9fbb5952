"""A symmetric matrix plus an outer product: numpy's eigenvalues, and vectors that are right."""

import numpy as np
import pytest

from bob.numerics.rank_one import plus_outer_product


def test_two_directions_by_hand() -> None:
    """diag(0, 3) + (2, 0)(2, 0)ᵀ = diag(4, 3): the first direction comes last."""
    values, vectors = plus_outer_product(np.array([0.0, 3.0]), np.array([2.0, 0.0]))
    assert values == pytest.approx([3, 4])
    assert np.abs(vectors) == pytest.approx(np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize(
    ("values", "z"),
    [
        ([1.0, 2.0, 5.0], [0.5, -1.0, 2.0]),
        ([0.0, 1e-12, 1.0, 1e6], [1.0, 1e-3, -2.0, 1e3]),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        ([1.0, 2.0, 3.0], [0.0, 1.0, 1e-20]),
        ([2.0, 2.0, 2.0, 7.0], [1.0, 2.0, 3.0, 4.0]),
        ([0.0, 0.0], [1.0, 1.0]),
        ([0.0], [3.0]),
        ([4.0], [0.0]),
    ],
)
def test_values_and_vectors_rebuild_the_matrix(values: list[float], z: list[float]) -> None:
    matrix = np.diag(values) + np.outer(z, z)
    updated, vectors = plus_outer_product(np.array(values), np.array(z))
    size = np.abs(matrix).max()
    assert updated == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-14 * size)
    assert vectors.T @ vectors == pytest.approx(np.eye(len(z)), abs=1e-12)
    assert vectors * updated @ vectors.T == pytest.approx(matrix, abs=1e-13 * size)


def test_vectors_of_close_values_are_orthogonal() -> None:
    rng = np.random.default_rng(0)
    values = np.cumsum(10.0 ** rng.uniform(-11, 0, 80))
    z = rng.normal(size=80)
    updated, vectors = plus_outer_product(values, z)
    assert np.abs(vectors.T @ vectors - np.eye(80)).max() < 1e-12
    assert np.all(updated[:-1] <= values[1:]) and np.all(updated >= values)
