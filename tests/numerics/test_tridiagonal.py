"""A reduced symmetric matrix: its products rebuild the matrix, and numpy's eigenvalues."""

import numpy as np
import pytest

from bob.numerics.tridiagonal import Tridiagonal


@pytest.mark.parametrize("n", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("rank", [1, 50])
def test_eigenvectors_rebuild_the_matrix(n: int, rank: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, rank))
    matrix = rows @ rows.T
    reduced = Tridiagonal.of(matrix)
    values, vectors = reduced.eigen()
    turned = reduced.back(vectors)
    assert values == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-12 * values[-1])
    assert turned * values @ turned.T == pytest.approx(matrix, abs=1e-12 * values[-1])
    assert turned.T @ turned == pytest.approx(np.eye(n), abs=1e-12)
    assert reduced.turned(turned) == pytest.approx(vectors, abs=1e-12)


def test_two_rows_by_hand() -> None:
    """[[2, 1], [1, 2]] has the eigenvalues 1 and 3, and is not to be turned."""
    reduced = Tridiagonal.of(np.array([[2.0, 1.0], [1.0, 2.0]]))
    assert reduced.eigen()[0] == pytest.approx([1, 3])
    columns = np.array([[1.0], [5.0]])
    assert np.array_equal(reduced.turned(columns), columns)
