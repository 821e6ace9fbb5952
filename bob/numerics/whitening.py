"""PCA whitening: features are projected on the leading directions of train, each of variance 1.

After Jégou & Chum 2012 (doi:10.1007/978-3-642-33709-3_55): each leading direction of the covariance
is divided by its standard deviation; cosine similarity then normalises the rows again. The result
equals that of scikit-learn's `PCA(whiten=True)` up to signs; with as many dimensions as the
features have, it is a rotation of the whitened space.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.numerics.tridiagonal import Tridiagonal

FLAT = 1e-9
"""A direction with less than this share of the largest variance is float32 noise, which whitening
would amplify."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """The map x → (x − mean) @ projection."""

    mean: NDArray[np.float64]
    """(D,)"""
    projection: NDArray[np.float64]
    """(D, d)"""

    def apply(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return whitened features (N, d) of features (N, D)."""
        whitened: NDArray[np.float32] = ((x - self.mean) @ self.projection).astype(np.float32)
        return whitened


def fit_whitening(x: NDArray[Any], dimensions: int) -> Whitening:
    """Learn whitening from train features (N, D).

    At most `dimensions` directions are retained, fewer where train does not span as many.
    UndefinedError where all rows are equal.
    """
    mean = x.mean(0, dtype=np.float64)
    centred = x - mean
    reduced = Tridiagonal.of(centred.T @ centred / max(1, len(x) - 1))
    variance, vectors = reduced.eigen()
    leading = np.flatnonzero(variance > FLAT * max(variance[-1], 0.0))[::-1][:dimensions]
    if not len(leading):
        raise UndefinedError(
            f"whitening needs train features that differ; the {len(x):,} rows here are all equal"
        )
    directions = reduced.back(vectors[:, leading])
    return Whitening(mean, directions / np.sqrt(variance[leading]))
