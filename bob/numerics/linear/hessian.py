"""The full Hessian of the mean cross-entropy, for problems with few weights: a step is Newton's.

Where features are few, each is informative, so that probes are fitted under weak regularisation,
classes overlap, and no example is decided (`bob.numerics.linear.low_rank_curvature` would store
more terms than there are weights). Everything is float64: the Hessian may be as ill-conditioned as
the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import Eigenbasis, FeatureBlocks
from bob.numerics.linear.preconditioner import residual_blocks
from bob.numerics.linear.softmax import Evaluation
from bob.numerics.threads import map_stripes

MAX_ENTRIES = 256
"""Most weights and biases of a small problem.

One Hessian then costs at most about twenty passes, and most penalties take one or two Hessians.
"""
RIDGES = (1e-14, 1e-11, 1e-8, 1e-5)
"""Added to the diagonal, relative to its largest entry: the first that offsets rounding is used."""


def is_small(classes: int, eigenbasis: Eigenbasis) -> bool:
    """Return whether a problem has so few weights that it is solved with the full Hessian."""
    return classes * (len(eigenbasis.eigenvalues) + 1) <= MAX_ENTRIES


@dataclass(frozen=True, eq=False)
class CholeskyPreconditioner:
    """H₀ for one penalty, as a Cholesky factor of all weights and biases."""

    factor: Tensor

    def solve(self, vector: Tensor) -> Tensor:
        """Return  H₀⁻¹ vector  (C, R + 1), float64."""
        return torch.cholesky_solve(vector.reshape(-1, 1), self.factor).view(vector.shape)


@dataclass(frozen=True, eq=False)
class Hessian:
    """The Hessian of the mean cross-entropy at one θ."""

    matrix: Tensor
    """(C, R + 1, C, R + 1) float64."""

    @property
    def shift(self) -> Tensor:
        """(C, R): mean of x weighted by p(1 - p)."""
        column = torch.stack([self.matrix[c, :, c, -1] for c in range(len(self.matrix))])
        return column[:, :-1] / column[:, -1:].clamp(min=1e-30)

    def preconditioner(self, penalty: float) -> CholeskyPreconditioner:
        """Return H₀ of the objective with this penalty.

        Equal biases change nothing, nor does the bias of a class without examples: these directions
        get an ordinary size.
        """
        classes, width = self.matrix.shape[:2]
        penalised = self.matrix.clone()
        between = penalised[:, -1, :, -1]
        ordinary, diagonal = between.diagonal().mean(), between.diagonal()
        diagonal.add_(torch.where(diagonal > 0, 0.0, ordinary))
        between += ordinary / classes
        flat = penalised.view(classes * width, -1)
        flat.diagonal().view(classes, width)[:, :-1].add_(penalty)
        for ridge in RIDGES:
            factor, failed = torch.linalg.cholesky_ex(
                flat + torch.diag(flat.new_full((len(flat),), ridge * float(flat.diagonal().max())))
            )
            if not failed:
                break
        return CholeskyPreconditioner(factor)


def full_hessian(blocks: FeatureBlocks, y: Tensor, evaluation: Evaluation, workers: int) -> Hessian:
    """Return the mean of  (diag(p) - p pᵀ) ⊗ x xᵀ  over all rows; x ends with a constant 1."""
    numbered = list(enumerate(blocks.slices))
    sums = map_stripes(lambda stripe: _accumulate(blocks, y, evaluation, stripe), numbered, workers)
    return Hessian(torch.stack(sums).sum(0).div_(len(y)))


def _accumulate(
    blocks: FeatureBlocks, y: Tensor, evaluation: Evaluation, numbered: Sequence[tuple[int, slice]]
) -> Tensor:
    theta = evaluation.theta
    classes, width = theta.shape
    total = theta.new_zeros(classes, width, classes, width)
    for rows, residual in residual_blocks(blocks, y, evaluation, numbered):
        ones = theta.new_ones(1, residual.shape[1])
        p = residual.double().scatter_add(0, y[rows][None], ones).clamp_(0, 1)
        block = blocks.rotated_block(rows).double()
        x = torch.cat((block, block.new_ones(len(block), 1)), 1)
        weighted = (p[:, None] * x.T).reshape(classes * width, -1)
        total.view(classes * width, -1).sub_(weighted @ weighted.T)
        for c, second_moment in enumerate((weighted @ x).view(classes, width, width)):
            total[c, :, c] += second_moment
    return total
