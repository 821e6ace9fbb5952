"""Colours of patches: their features on the first three principal axes of all train patches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Doubles, Floats

CHANNELS = 3
SPREAD = 2.5
"""Standard deviations from the mean at which a colour channel is darkest or brightest."""


@dataclass(frozen=True, eq=False)
class PrincipalColours:
    """The first three principal components of features, as red, green and blue.

    Axes and scales are those of all patches, so that colours of images compare; they do not compare
    between backbones. An axis points to where its largest entry is positive.
    """

    mean: Doubles
    """(D,)"""
    axes: Doubles
    """(D, 3) unit vectors divided by the standard deviation along them; zeros where D < 3."""

    @classmethod
    def of(cls, weight: float, sums: Doubles, gram: Doubles) -> "PrincipalColours":
        """Return the axes from the weight of patches, their sum (D,) and X'X (D, D)."""
        import scipy.linalg  # every command line imports the protocols

        mean, width = sums / weight, len(sums)
        covariance = gram / weight - np.outer(mean, mean)
        count = min(CHANNELS, width)
        variances, vectors = scipy.linalg.eigh(
            covariance, subset_by_index=(width - count, width - 1)
        )
        variances, vectors = variances[::-1], vectors[:, ::-1]
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])
        # an axis without variance has no scale
        least = 1e-12 * max(float(variances[0]), np.finfo(np.float64).tiny)
        scales = np.where(variances > least, np.sqrt(variances.clip(min=least)), np.inf)
        axes = np.zeros((width, CHANNELS))
        axes[:, :count] = vectors * signs / scales
        return cls(mean, axes)

    def __call__(self, grid: Floats) -> NDArray[np.uint8]:
        """Return the colours (h, w, 3) of a map (h, w, D); the mean is grey."""
        deviations = (grid - self.mean) @ self.axes
        return np.rint((deviations / SPREAD).clip(-1, 1) * 127.5 + 127.5).astype(np.uint8)
