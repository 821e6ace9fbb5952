"""Mahalanobis distances to class means under one covariance, and to the mean of all rows."""

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.eigen import symmetric_eigen
from bob.numerics.linear.feature_rows import row_slices
from bob.numerics.scale import largest

NOISE = 1e-5
"""Deviations below this share of the largest are not reproducible: rows agree between machines to
a relative 1e-5."""
ROUNDING = 1e-12
"""Deviations below this share of the features themselves are the rounding of float64 sums."""


class ClassGaussians:
    """Class means under one covariance, and one Gaussian of all rows."""

    def __init__(self, x: Floats, y: Ints, device: str) -> None:
        """Fit rows (N, D) of classes (N,); classes without rows have no mean."""
        present, labels_of = np.unique(y, return_inverse=True)
        self.device = device
        self.mean = torch.from_numpy(x.mean(0, dtype=np.float64)).to(device)
        sums = self.mean.new_zeros(len(present), len(self.mean))
        labels = torch.from_numpy(labels_of).to(device)
        for rows in row_slices(*x.shape):
            sums.index_add_(0, labels[rows], self._centred(x[rows]))
        self.class_means = sums / torch.bincount(labels)[:, None]
        smallest = (ROUNDING * largest(x)) ** 2
        self.within = _whitening(self._covariance(x, labels, self.class_means), smallest)
        total = self.within.T @ self._covariance(x, labels, None) @ self.within
        self.total = self.within @ _whitening(total)

    @property
    def varies(self) -> bool:
        """Whether rows vary within a class in any direction, without which distances are 0."""
        return self.within.shape[1] > 0

    def distances(self, x: Floats) -> tuple[Doubles, Doubles]:
        """Return squared distances (Q,) of rows (Q, D) to the nearest class mean and the mean."""
        to_class, to_mean = [], []
        means = self.class_means @ self.within
        for rows in row_slices(*x.shape):
            centred = self._centred(x[rows])
            projected = centred @ self.within
            squares = (
                projected.square().sum(1, keepdim=True)
                - 2 * projected @ means.T
                + means.square().sum(1)
            )
            to_class.append(squares.amin(1))
            to_mean.append((centred @ self.total).square().sum(1))
        nearest, background = (
            torch.cat(values).cpu().numpy() if values else np.empty(0)
            for values in (to_class, to_mean)
        )
        return nearest, background

    def _centred(self, x: Floats) -> Tensor:
        """Return rows as float64, minus the mean of all."""
        return torch.from_numpy(x).to(self.device, torch.float64) - self.mean

    def _covariance(self, x: Floats, labels: Tensor, means: Tensor | None) -> Tensor:
        """Return the covariance (D, D) about the class means, or about the mean of all."""
        total = self.mean.new_zeros(x.shape[1], x.shape[1])
        for rows in row_slices(*x.shape):
            centred = self._centred(x[rows])
            centred = centred if means is None else centred - means[labels[rows]]
            total.addmm_(centred.T, centred)
        return total / len(x)


def _whitening(covariance: Tensor, smallest: float = 0.0) -> Tensor:
    """Return W (D, R), where W Wᵀ is the inverse on the R directions with more than noise.

    These are the directions with an eigenvalue above `smallest`, too.
    """
    eigenvalue, basis = symmetric_eigen(covariance)
    noise = NOISE**2 * eigenvalue.max() if len(eigenvalue) else eigenvalue.new_zeros(())
    significant = eigenvalue > noise.clamp(min=smallest)
    whitening: Tensor = basis[:, significant] / eigenvalue[significant].sqrt()
    return whitening
