"""The eigenbasis against NumPy's covariance."""

import numpy as np
import pytest

from bob.numerics.linear.eigenbasis import PANELS, ROUGH_WIDTH, compute_eigenbasis


@pytest.mark.parametrize("width", [1, 3, PANELS, 2 * PANELS + 1, 50])
def test_the_eigenbasis_is_that_of_the_covariance(width):
    """Panels of one column, fewer columns than panels, and a narrower last panel included."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((90, width)) @ rng.standard_normal((width, width)) + 3).astype(
        np.float32
    )
    basis = compute_eigenbasis(x)
    covariance = np.atleast_2d(np.cov(x.astype(np.float64).T, bias=True))
    vectors, eigenvalues = basis.vectors.numpy(), basis.eigenvalues.numpy()
    tolerance = 1e-5 * np.linalg.norm(covariance)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(width), atol=1e-12)
    np.testing.assert_allclose(vectors * eigenvalues @ vectors.T, covariance, atol=tolerance)
    assert (np.diff(eigenvalues) <= 0).all()


def test_a_rough_basis_is_orthonormal_to_float32():
    x = np.random.default_rng(0).standard_normal((300, ROUGH_WIDTH)).astype(np.float32)
    vectors = compute_eigenbasis(x, rough=True).vectors.numpy()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(ROUGH_WIDTH), atol=5e-6)
