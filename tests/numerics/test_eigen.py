"""Eigendecompositions of symmetric matrices against numpy's."""

import numpy as np
import pytest
import torch

from bob.numerics.eigen import symmetric_eigen


@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_eigenpairs_are_those_of_the_lower_triangle(n: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, 40))
    matrix = rows @ rows.T
    values, vectors = symmetric_eigen(torch.from_numpy(np.tril(matrix)))
    assert values.numpy() == pytest.approx(np.linalg.eigvalsh(matrix), rel=1e-9)
    assert (vectors * values @ vectors.T).numpy() == pytest.approx(matrix, abs=1e-9)
    assert (vectors.T @ vectors).numpy() == pytest.approx(np.eye(n), abs=1e-12)
