"""Mahalanobis distances under the covariance of Ledoit & Wolf, with fewer rows than features too.

Let X (n, D) be centred rows and S = XᵀX / n. The covariance is (1 − ρ) S + ρ m I with m = tr S / D,
and the shrinkage ρ = min(β, δ) / δ, where δ = ‖S − m I‖² / D and β = Σᵢ ‖xᵢxᵢᵀ − S‖² / (n² D), in
Frobenius norms (Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4). With the eigenpairs
(sᵢ, vᵢ) of S, the squared distance of a centred row c is

    Σᵢ (vᵢ·c)² / ((1 − ρ) sᵢ + ρ m) + ‖c − Σᵢ vᵢ vᵢᵀc‖² / (ρ m),

where i runs over the r ≤ min(n, D) directions with sᵢ > 0. For n < D they come from the (n, n)
matrix XXᵀ / n, so that no (D, D) matrix is needed. ρ is that of scikit-learn's `LedoitWolf`.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Doubles, Floats
from bob.numerics.linear.feature_rows import row_slices

ROUNDING = 1e-12
"""Deviations below this share of the features themselves are the rounding of float64 sums."""


class LedoitWolfGaussian:
    """The mean of rows, and their covariance shrunk towards a multiple of the identity."""

    def __init__(self, x: Floats, device: str) -> None:
        """Fit rows (N, D)."""
        self.device = device
        self.mean = torch.from_numpy(x.mean(0, dtype=np.float64)).to(device)
        n, width = x.shape
        variances, self.directions = self._eigenpairs(x)
        self.level = float(variances.sum()) / width
        others = width - len(variances)
        delta = (float((variances - self.level).square().sum()) + others * self.level**2) / width
        fourth = sum(float(rows.square().sum(1).square().sum()) for rows in self._blocks(x))
        beta = (fourth / n - float(variances.square().sum())) / (n * width)
        self.shrinkage = min(max(beta, 0.0), delta) / delta if delta > 0 else 0.0
        self.spread = (1 - self.shrinkage) * variances + self.shrinkage * self.level
        least = (ROUNDING * float(self.mean.abs().max())) ** 2
        smallest = self.shrinkage * self.level if others else float(self.spread.min())
        self.usable = self.level > least and smallest > ROUNDING**2 * float(self.spread.max())
        """Whether the covariance can be inverted: rows vary, in all directions or shrunk."""

    def distances(self, queries: Floats) -> Doubles:
        """Return the squared distance (Q,) of each row (Q, D) to the mean."""
        parts = []
        for centred in self._blocks(queries):
            along = centred @ self.directions
            squares = (along.square() / self.spread).sum(1)
            if self.directions.shape[1] < len(self.mean):
                across = centred - along @ self.directions.T
                squares += across.square().sum(1) / (self.shrinkage * self.level)
            parts.append(squares.cpu().numpy())
        return np.concatenate(parts) if parts else np.empty(0)

    def _eigenpairs(self, x: Floats) -> tuple[Tensor, Tensor]:
        """Return the variances (r,) above rounding and their directions (D, r)."""
        n, width = x.shape
        if n >= width:
            covariance = self.mean.new_zeros(width, width)
            for rows in self._blocks(x):
                covariance += rows.T @ rows
            variances, directions = torch.linalg.eigh(covariance / n)
            return variances.clamp(min=0), directions
        rows = torch.cat(list(self._blocks(x)))
        variances, weights = torch.linalg.eigh(rows @ rows.T / n)
        kept = variances > n * torch.finfo(torch.float64).eps * variances[-1]
        variances, weights = variances[kept], weights[:, kept]
        return variances, rows.T @ weights / (n * variances).sqrt()

    def _blocks(self, x: Floats) -> Iterator[Tensor]:
        """Yield the rows (n, D) minus the mean, in float64, a block at a time."""
        for part in row_slices(*x.shape):
            yield torch.from_numpy(x[part]).to(self.device, torch.float64) - self.mean
