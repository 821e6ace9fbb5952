"""The whole Hessian of the mean cross-entropy, for problems of few weights: with it a step is Newton's.

Where features are few, each says much, so that probes are fitted under weak regularisation, classes overlap, and all rows are contested
(`bob.numerics.linear.low_rank_curvature` would keep more pairs than there are weights). All in float64: H may be as ill-conditioned as the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import Source, Spectrum
from bob.numerics.linear.preconditioner import residuals
from bob.numerics.linear.softmax import Point
from bob.numerics.threads import striped

ENTRIES = 256
"""Weights and biases of a problem that is small: a Hessian then costs no more than some twenty passes, and most values take one or two."""
RIDGES = (1e-14, 1e-11, 1e-8, 1e-5)
"""Added to the diagonal, relative to its largest entry, the first with which it is positive definite in spite of rounding."""


def is_small(classes: int, spectrum: Spectrum) -> bool:
    return classes * (len(spectrum.eigenvalue) + 1) <= ENTRIES


@dataclass(frozen=True, eq=False)
class Factor:
    """H₀ as a Cholesky factor."""

    factor: Tensor

    def divide(self, vector: Tensor) -> Tensor:
        """H₀⁻¹ vector, (C, R + 1) float64."""
        return torch.cholesky_solve(vector.reshape(-1, 1), self.factor).view(vector.shape)


@dataclass(frozen=True, eq=False)
class Hessian:
    """At one point."""

    matrix: Tensor
    """(C, R + 1, C, R + 1) float64"""

    @property
    def shift(self) -> Tensor:
        """(C, R): mean of x weighed by p(1 - p)."""
        own = torch.stack([self.matrix[c, :, c, -1] for c in range(len(self.matrix))])
        return own[:, :-1] / own[:, -1:].clamp(min=1e-30)

    def initial(self, penalty: float) -> Factor:
        """Equal biases change nothing, nor does that of a class without rows: these directions get an ordinary size."""
        classes, width = self.matrix.shape[:2]
        penalised = self.matrix.clone()
        between = penalised[:, -1, :, -1]
        ordinary, own = between.diagonal().mean(), between.diagonal()
        own.add_(torch.where(own > 0, 0.0, ordinary))
        between += ordinary / classes
        flat = penalised.view(classes * width, -1)
        flat.diagonal().view(classes, width)[:, :-1].add_(penalty)
        for ridge in RIDGES:
            factor, failed = torch.linalg.cholesky_ex(
                flat + torch.diag(flat.new_full((len(flat),), ridge * float(flat.diagonal().max())))
            )
            if not failed:
                break
        return Factor(factor)


def hessian(source: Source, y: Tensor, point: Point, workers: int) -> Hessian:
    """Mean of (diag(p) - p pᵀ) ⊗ x xᵀ over the rows, x with a last feature of ones."""
    numbered = list(enumerate(source.cuts))
    parts = striped(lambda some: _part(source, y, point, some), numbered, workers)
    return Hessian(torch.stack(parts).sum(0).div_(len(y)))


def _part(source: Source, y: Tensor, point: Point, numbered: Sequence[tuple[int, slice]]) -> Tensor:
    classes, width = point.theta.shape
    total = point.theta.new_zeros(classes, width, classes, width)
    for rows, residual in residuals(source, y, point, numbered):
        p = (
            residual.double()
            .scatter_add(0, y[rows][None], point.theta.new_ones(1, residual.shape[1]))
            .clamp_(0, 1)
        )
        block = source.turned(rows).double()
        x = torch.cat((block, block.new_ones(len(block), 1)), 1)
        weighed = (p[:, None] * x.T).reshape(classes * width, -1)
        total.view(classes * width, -1).sub_(weighed @ weighed.T)
        for c, own in enumerate((weighed @ x).view(classes, width, width)):
            total[c, :, c] += own
    return total
