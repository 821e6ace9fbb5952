"""Preconditioner of L-BFGS: an initial Hessian H₀ from one pass over the data.

The Hessian of the mean cross-entropy is the mean of (diag(p) - p pᵀ) ⊗ x xᵀ. Two parts of it are
computed exactly: for each class the diagonal over features, taken around that class's own mean, and
between classes the block of the biases. The cheaper choice, an average of p(1 - p) times the
eigenvalues and a diagonal for the biases, takes 2 to 4 times as many passes on real features: under
weak regularisation p(1 - p) depends on x, and the bias is what classes share. Optionally the terms
of single undecided examples are added (`bob.numerics.linear.low_rank_curvature`), which account for
most of the remaining passes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import FeatureBlocks
from bob.numerics.linear.low_rank_curvature import (
    ClassPairs,
    DiagonalPlusLowRank,
    LowRankCurvature,
    gather_pairs,
    heaviest_pairs,
    merge_pairs,
)
from bob.numerics.linear.softmax import Evaluation, block_weights, softmax_residuals
from bob.numerics.matmul import product
from bob.numerics.threads import map_stripes

MAX_COUPLED_CLASSES = 2048
"""Up to this many classes the block of the biases is a matrix; above, a diagonal."""
BIAS_RIDGE = 1e-6
"""Added to the diagonal of that matrix, relative to its mean: a class without examples has 0."""
REMOVED_SHARE = 0.99
"""Share of the low-rank terms that is subtracted from the sums: all could leave only rounding."""


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """H₀ for one penalty. The features of class c are shifted by -m_c."""

    diagonal: Tensor
    """(C, R) in the weights, with the penalty."""
    shift: Tensor
    """(C, R) m."""
    bias_inverse: Tensor
    """(C, C), or (C,) of a diagonal."""
    low_rank: DiagonalPlusLowRank | None
    """Replaces `diagonal` and `bias_inverse` alone."""

    def solve(self, vector: Tensor) -> Tensor:
        """Return  H₀⁻¹ vector  (C, R + 1).

        Shifting the features keeps w and turns b into b + m_c·w.
        """
        weight, bias = vector[:, :-1] - self.shift * vector[:, -1:], vector[:, -1]
        if self.low_rank:
            weight, bias = self.low_rank.solve(weight, bias)
        else:
            inverse = self.bias_inverse
            weight = weight.div_(self.diagonal)
            bias = inverse @ bias if inverse.ndim == 2 else inverse * bias
        return torch.cat((weight, (bias - (self.shift * weight).sum(1))[:, None]), 1)


@dataclass(frozen=True, eq=False)
class Curvature:
    """Parts of the Hessian of the mean cross-entropy at one θ, in float32.

    The features of class c are shifted by -m_c, which separates its weights from its bias.
    """

    diagonal: Tensor
    """(C, R): mean of p(1 - p) (x - m)²."""
    shift: Tensor
    """(C, R) m: mean of x weighted by p(1 - p)."""
    bias_inverse: Tensor
    """(C, C) inverse of diag(mean p) - mean p pᵀ, or (C,) inverse of its diagonal."""
    pairs: LowRankCurvature | None = None
    """Terms stored exactly; if present, the other fields cover the remaining terms."""

    def preconditioner(self, penalty: float) -> Preconditioner:
        """Return H₀ of the objective with this penalty."""
        diagonal, low_rank = self.diagonal + penalty, None
        if self.pairs is not None:
            low_rank = DiagonalPlusLowRank(self.pairs, diagonal, self.shift, self.bias_inverse)
        return Preconditioner(diagonal, self.shift, self.bias_inverse, low_rank)


def estimate_curvature(
    blocks: FeatureBlocks, y: Tensor, evaluation: Evaluation, workers: int = 1, pairs: int = 0
) -> Curvature:
    """Make one pass over float32 rows, or one and a half if residuals were not stored.

    The `pairs` heaviest terms are stored exactly, if the block of the biases is a matrix.
    """
    numbered = list(enumerate(blocks.slices))
    sums, stripe_pairs = zip(
        *map_stripes(
            lambda stripe: _accumulate(blocks, y, evaluation, stripe, pairs), numbered, workers
        ),
        strict=True,
    )
    mean, square, between = (
        torch.stack(stripe).sum(0).div_(len(y)) for stripe in zip(*sums, strict=True)
    )
    variance, low_rank = evaluation.variance.float().clamp(min=1e-20), None
    if pairs and len(between):
        heaviest = merge_pairs([part for parts in stripe_pairs for part in parts], pairs)
        low_rank = gather_pairs(blocks, heaviest)
        between.add_(low_rank.bias_hessian(len(between)), alpha=REMOVED_SHARE)
        for total, part in zip(
            (mean, square, variance), low_rank.moments(len(between)), strict=True
        ):
            total.sub_(part, alpha=REMOVED_SHARE)
    shift = mean / variance[:, None]
    diagonal = (square - shift * mean).clamp_(min=0)
    return Curvature(diagonal, shift, _bias_inverse(between, evaluation, y), low_rank)


def _accumulate(
    blocks: FeatureBlocks,
    y: Tensor,
    evaluation: Evaluation,
    numbered: Sequence[tuple[int, slice]],
    count: int,
) -> tuple[tuple[Tensor, Tensor, Tensor], list[ClassPairs]]:
    """Sum p(1 - p) x, p(1 - p) x² (C, R) and p pᵀ (C, C) over some blocks; find the heaviest pairs.

    The last sum is empty above `MAX_COUPLED_CLASSES`.
    """
    pairs: list[ClassPairs] = []
    theta = evaluation.theta
    classes, rank = len(theta), theta.shape[1] - 1
    coupled = classes if classes <= MAX_COUPLED_CLASSES else 0
    mean, square, between = (
        torch.zeros(shape, device=theta.device)
        for shape in ((classes, rank), (classes, rank), (coupled, coupled))
    )
    for rows, residual in residual_blocks(blocks, y, evaluation, numbered):
        ones = torch.ones(1, residual.shape[1], device=residual.device)
        p = residual.float().scatter_add(0, y[rows][None], ones).clamp_(0, 1)
        block = blocks.rotated_block(rows)
        if count and coupled:
            pairs = [merge_pairs([*pairs, heaviest_pairs(p, rows.start, count)], count)]
        if coupled:
            between += product(p, p)
        weight = p.sub_(p.square())
        mean += product(weight, block.T)
        square += product(weight, block.square().T)
    return (mean, square, between), pairs


def residual_blocks(
    blocks: FeatureBlocks,
    y: Tensor,
    evaluation: Evaluation,
    numbered: Sequence[tuple[int, slice]],
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the residuals (C, n) of some numbered blocks in their dtype: stored, or recomputed."""
    stored = evaluation.residuals
    if stored is not None and _same_blocks(stored, numbered):
        yield from ((rows, stored[number].to(blocks.dtype)) for number, rows in numbered)
        return
    weight, bias = block_weights(blocks, evaluation.theta)
    for _, rows in numbered:
        logits = product(weight, blocks.block(rows)).add_(bias)
        yield rows, softmax_residuals(logits, y[rows])[0]


def _bias_inverse(between: Tensor, evaluation: Evaluation, y: Tensor) -> Tensor:
    """Invert  diag(mean p) - mean p pᵀ, or its diagonal where `between` (mean p pᵀ) is empty.

    Equal biases change nothing, nor does the bias of a class without examples: these directions get
    an ordinary size.
    """
    if not len(between):
        return (1 / evaluation.variance.clamp(min=1e-20)).float()
    frequency = torch.bincount(y, minlength=len(between)) / len(y)
    mean = (evaluation.loss_gradient[:, -1] + frequency).clamp_(min=0)
    matrix = torch.diag(mean) - between.double()
    size = float(matrix.diagonal().mean()) + 1e-20
    matrix.add_(size / len(matrix))
    matrix.diagonal().add_(BIAS_RIDGE * size + torch.where(mean > 0, 0.0, size))
    inverse: Tensor = torch.linalg.inv(matrix).float()
    return inverse


def _same_blocks(stored: Sequence[Tensor], numbered: Sequence[tuple[int, slice]]) -> bool:
    """Return whether stored residuals belong to these blocks.

    Those of a float64 pass may not: its rows can be wider, so that its blocks are shorter.
    """
    return all(
        number < len(stored) and stored[number].shape[1] == rows.stop - rows.start
        for number, rows in numbered
    )
