"""Colours of patches against scikit-learn's principal components."""

import numpy as np
from sklearn.decomposition import PCA

from bob.numerics.dense.principal import SPREAD, PrincipalColours


def colours_of(x: np.ndarray) -> PrincipalColours:
    return PrincipalColours.of(float(len(x)), x.sum(axis=0), x.T @ x)


def test_axes_are_those_of_scikit_learn_up_to_signs() -> None:
    x = np.random.default_rng(0).normal(size=(400, 6)) * [5, 1, 3, 0.5, 2, 0.1] + 7
    colours, pca = colours_of(x), PCA(3, whiten=True, svd_solver="full").fit(x)
    mine, theirs = (x - colours.mean) @ colours.axes, pca.transform(x)
    # whitening divides by N - 1, the sums by N
    theirs *= np.sqrt(400 / 399)
    for axis in range(3):
        sign = np.sign(mine[0, axis] * theirs[0, axis])
        np.testing.assert_allclose(mine[:, axis], sign * theirs[:, axis], atol=1e-8)
        assert colours.axes[np.abs(colours.axes[:, axis]).argmax(), axis] > 0


def test_the_mean_is_grey_and_far_features_are_clipped() -> None:
    """The mean is 127.5, rounded either way; SPREAD standard deviations are 255, as are more."""
    x = np.random.default_rng(0).normal(size=(50, 4))
    colours = colours_of(x)
    step = np.linalg.pinv(colours.axes)[0]
    grid = np.stack([colours.mean, colours.mean + SPREAD * step, colours.mean + 9 * step])
    expected = [[127.5, 127.5, 127.5], [255, 127.5, 127.5], [255, 127.5, 127.5]]
    assert np.abs(colours(grid[None].astype(np.float32))[0] - expected).max() <= 1


def test_features_of_two_channels_or_without_variance_have_colours() -> None:
    x = np.column_stack([np.arange(4.0), np.full(4, 3.0)])
    shown = colours_of(x)(x[None].astype(np.float32))
    assert shown.shape == (1, 4, 3) and np.isin(shown[..., 1:], (127, 128)).all()
    assert (np.diff(shown[0, :, 0].astype(int)) > 0).all()
