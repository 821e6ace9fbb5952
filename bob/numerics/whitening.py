"""PCA-whitening of features, learned on train: decorrelated, every direction scaled to variance 1, before similarities are taken.

After Jégou & Chum 2012 (doi:10.1007/978-3-642-33709-3_55): the leading directions of the covariance, each divided by its standard deviation; cosine
similarity then normalises the rows again. With as many dimensions as the features have it is a rotation of the whitened space, the same up to signs
as scikit-learn's `PCA(whiten=True)`; with fewer, it is that PCA.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import NotApplicableError

FLAT = 1e-9
"""A direction whose variance is below this share of the largest is noise of float32: whitening would blow it up."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """x → (x − mean) @ projection."""

    mean: NDArray[np.float64]
    """(D,)"""
    projection: NDArray[np.float64]
    """(D, d)"""

    def apply(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """(N, D) → (N, d)."""
        white: NDArray[np.float32] = ((x - self.mean) @ self.projection).astype(np.float32)
        return white


def fit_whitening(x: NDArray[Any], dimensions: int) -> Whitening:
    """From train features (N, D): at most `dimensions` directions, fewer where train does not span as many."""
    mean = x.mean(0, dtype=np.float64)
    centred = x - mean
    variance, direction = np.linalg.eigh(centred.T @ centred / max(1, len(x) - 1))
    kept = np.flatnonzero(variance > FLAT * max(variance[-1], 0.0))[::-1][:dimensions]
    if not len(kept):
        raise NotApplicableError(
            f"whitening needs train features that differ; the {len(x)} rows here are all alike.",
            subject="backbone",
        )
    return Whitening(mean, direction[:, kept] / np.sqrt(variance[kept]))
