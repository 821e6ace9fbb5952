"""The part of the Hessian that a few undecided examples contribute.

The Hessian of one example's cross-entropy is

    Σ_{a<b} p_a p_b (e_a - e_b)(e_a - e_b)ᵀ ⊗ x xᵀ,

one rank-one term per pair of classes. Under weak regularisation most examples are decided, and a
few thousand terms (an example, its likeliest class and one other class) contribute nearly all of
the sum. Stored exactly, beside a diagonal for all other terms, they make an initial Hessian that
represents interactions between classes, which no diagonal does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import FeatureBlocks
from bob.numerics.matmul import product


@dataclass(frozen=True, eq=False)
class ClassPairs:
    """Rank-one terms: k pairs of classes, each of one example; all fields are (k,)."""

    weight: Tensor
    """float32: probability of the other class times probability of the likeliest class."""
    row: Tensor
    """int64 position of the example."""
    likeliest: Tensor
    """int64 class."""
    other: Tensor
    """int64 class."""


def heaviest_pairs(p: Tensor, start: int, count: int) -> ClassPairs:
    """Return the `count` heaviest pairs of a block of probabilities (C, n), heaviest first.

    `start` is the position of the block's first example.
    """
    largest, likeliest = p.max(0)
    weight = (p * largest).scatter_(0, likeliest[None], 0.0).flatten()
    top = weight.topk(min(count, len(weight)))
    column = top.indices % p.shape[1]
    return ClassPairs(top.values, start + column, likeliest[column], top.indices // p.shape[1])


def merge_pairs(parts: Sequence[ClassPairs], count: int) -> ClassPairs:
    """Return the `count` heaviest pairs of several blocks, ordered by row."""
    joined = ClassPairs(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("weight", "row", "likeliest", "other")
        )
    )
    top = joined.weight.topk(min(count, len(joined.weight))).indices
    top = top[joined.row[top].argsort(stable=True)]
    return ClassPairs(joined.weight[top], joined.row[top], joined.likeliest[top], joined.other[top])


@dataclass(frozen=True, eq=False)
class LowRankCurvature:
    """M rank-one terms of the Hessian of the mean cross-entropy, from m examples."""

    x: Tensor
    """(m, R) float32: the examples in the eigenbasis."""
    index: Tensor
    """(m,) int64: their positions among all examples, ascending."""
    likeliest: Tensor
    """(m,) int64 likeliest class of each example."""
    row: Tensor
    """(M,) int64 row of `x` of each pair, ascending."""
    other: Tensor
    """(M,) int64 other class of each pair."""
    weight: Tensor
    """(M,) float32: product of both classes' probabilities, divided by the number of examples."""

    def differences(self, values: Tensor) -> Tensor:
        """Return other minus likeliest (M,) of values (m, C)."""
        return values[self.row, self.other] - values[self.row, self.likeliest[self.row]]

    def table(self, values: Tensor, classes: int, sign: int) -> Tensor:
        """Scatter values (M,) to a table (m, C).

        Each is placed at its other class; each row's sum times `sign` at its likeliest class.
        """
        table = values.new_zeros(len(self.x), classes)
        table[self.row, self.other] = values
        return table.scatter_(1, self.likeliest[:, None], sign * table.sum(1, keepdim=True))

    def moments(self, classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the terms' parts of the means over all examples that make up the diagonal.

        These are the means of p(1 - p) x (C, R), of p(1 - p) x² (C, R) and of p(1 - p) (C,).
        """
        weight = self.table(self.weight, classes, 1).T.contiguous()
        return product(weight, self.x.T), product(weight, self.x.square().T), weight.sum(1)

    def bias_hessian(self, classes: int) -> Tensor:
        """Return the sum of  weight · (e_a - e_b)(e_a - e_b)ᵀ  (C, C)."""
        others = self.weight.new_zeros(len(self.x), classes)
        others[self.row, self.other] = self.weight
        likeliest = torch.zeros_like(others).scatter_(1, self.likeliest[:, None], 1.0)
        across = others.T @ likeliest
        across += across.T.clone()
        return torch.diag(across.sum(1)) - across


def gather_pairs(blocks: FeatureBlocks, pairs: ClassPairs) -> LowRankCurvature:
    """Read the examples of pairs that are ordered by row."""
    index, row = torch.unique_consecutive(pairs.row, return_inverse=True)
    likeliest = torch.empty_like(index)
    likeliest[row] = pairs.likeliest
    weight = pairs.weight / blocks.x.shape[0]
    return LowRankCurvature(blocks.gather(index), index, likeliest, row, pairs.other, weight)


class DiagonalPlusLowRank:
    """H₀ = D + Σ weight · u uᵀ, inverted by Woodbury's identity.

    D is diagonal in the weights and a matrix in the biases. The features of class c are shifted by
    -m_c: u is (x_n - m_a, 1) at the other class a, and -(x_n - m_b, 1) at the likeliest class b.
    """

    def __init__(
        self, pairs: LowRankCurvature, diagonal: Tensor, shift: Tensor, bias_inverse: Tensor
    ) -> None:
        """Factorise, in about M³ operations.

        `diagonal` (C, R), positive, is D in the weights, `bias_inverse` (C, C) the inverse of D in
        the biases; `shift` (C, R) is m.
        """
        self.pairs, self.diagonal, self.shift = pairs, diagonal, shift
        self.bias_inverse = bias_inverse
        root = pairs.weight.sqrt()
        inner = _inner_products(pairs, diagonal, shift, bias_inverse).mul_(root[:, None] * root)
        inner.diagonal().add_(1)
        self.inverse = regularised_inverse(inner).mul_(root[:, None] * root)

    def solve(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return H₀⁻¹ times a vector, given and returned as (C, R) and (C,)."""
        weight, bias = weight / self.diagonal, self.bias_inverse @ bias
        logits = product(self.pairs.x, weight) + (bias - (self.shift * weight).sum(1))
        coefficients = self.inverse @ self.pairs.differences(logits)
        table = self.pairs.table(coefficients, len(weight), -1)
        back = product(table.T, self.pairs.x.T).sub_(table.sum(0)[:, None] * self.shift)
        return weight.sub_(back.div_(self.diagonal)), bias - self.bias_inverse @ table.sum(0)


def _inner_products(
    pairs: LowRankCurvature, diagonal: Tensor, shift: Tensor, bias_inverse: Tensor
) -> Tensor:
    """Return  uᵀ D⁻¹ u'  for all pairs, (M, M)."""
    likeliest = pairs.likeliest[pairs.row]
    sides = bias_inverse[pairs.other] - bias_inverse[likeliest]
    total = sides[:, pairs.other] - sides[:, likeliest]
    for c in torch.unique(torch.cat((likeliest, pairs.other))).tolist():
        as_other, as_likeliest = (
            (pairs.other == c).nonzero()[:, 0],
            (likeliest == c).nonzero()[:, 0],
        )
        chosen = torch.cat((as_other, as_likeliest))
        shifted = pairs.x[pairs.row[chosen]] - shift[c]
        shifted[len(as_other) :].neg_()
        total[chosen[:, None], chosen] += product(shifted / diagonal[c], shifted)
    return total


def regularised_inverse(matrix: Tensor) -> Tensor:
    """Invert a positive definite matrix, with as small a ridge as rounding makes necessary."""
    largest = float(matrix.diagonal().max())
    for ridge in (0.0, 1e-6, 1e-4, 1e-2):
        factor, failed = torch.linalg.cholesky_ex(
            matrix + torch.diag(matrix.new_full((len(matrix),), ridge * largest))
            if ridge
            else matrix
        )
        if not failed:
            break
    inverse: Tensor = torch.cholesky_inverse(factor)
    return inverse
