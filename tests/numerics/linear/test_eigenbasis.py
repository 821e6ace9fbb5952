"""The eigenbasis against NumPy's covariance."""

import numpy as np
import pytest

from bob.numerics.linear.eigenbasis import PANELS, compute_eigenbasis


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


def test_constant_features_and_few_directions_have_an_orthonormal_basis():
    """As a rectified network on images that it was not made for: half of its channels are 0."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((300, 40)) @ rng.standard_normal((40, 256)), 0)
    x[:, ::2] = 0
    vectors = compute_eigenbasis(x.astype(np.float32)).vectors.numpy()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(256), atol=1e-12)
