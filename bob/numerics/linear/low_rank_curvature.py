"""The part of the Hessian that a few undecided examples hold.

The Hessian of one row's cross-entropy is  Σ_{a<b} p_a p_b (e_a - e_b)(e_a - e_b)ᵀ ⊗ x xᵀ : one term of rank one for every pair of classes. Where
regularisation is weak most rows are decided, and a few thousand pairs of (row, class against the row's likeliest class) hold nearly all of the sum.
Kept exactly, beside a diagonal for all others, they make an initial Hessian that holds what classes do to each other, which no diagonal does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import Source
from bob.numerics.matmul import product


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of some rows, the heaviest first, each (k,)."""

    weight: Tensor
    """float32: p of the rival times p of the likeliest class."""
    row: Tensor
    """int64, among all rows."""
    likeliest: Tensor
    """int64 class."""
    rival: Tensor
    """int64 class."""


def candidates(p: Tensor, start: int, count: int) -> Candidates:
    """The heaviest `count` pairs of rows that begin at `start`, from their probabilities (C, n)."""
    most, likeliest = p.max(0)
    weight = (p * most).scatter_(0, likeliest[None], 0.0).flatten()
    top = weight.topk(min(count, len(weight)))
    column = top.indices % p.shape[1]
    return Candidates(top.values, start + column, likeliest[column], top.indices // p.shape[1])


def heaviest(parts: Sequence[Candidates], count: int) -> Candidates:
    """Of several, in order of their rows."""
    joined = Candidates(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("weight", "row", "likeliest", "rival")
        )
    )
    kept = joined.weight.topk(min(count, len(joined.weight))).indices
    kept = kept[joined.row[kept].argsort(stable=True)]
    return Candidates(
        joined.weight[kept], joined.row[kept], joined.likeliest[kept], joined.rival[kept]
    )


@dataclass(frozen=True, eq=False)
class Contested:
    """Pairs that hold most of the curvature, M of them in m rows."""

    x: Tensor
    """(m, R) float32: the rows, in the eigenbasis."""
    index: Tensor
    """(m,) int64: their places among all rows, ascending."""
    likeliest: Tensor
    """(m,) int64 class of each row."""
    row: Tensor
    """(M,) int64, of `x`, ascending."""
    rival: Tensor
    """(M,) int64 class of each pair."""
    weight: Tensor
    """(M,) float32: p of the rival times p of the likeliest class, divided by the number of all rows."""

    def differences(self, values: Tensor) -> Tensor:
        """(M,) rival minus likeliest, of (m, C) values."""
        return values[self.row, self.rival] - values[self.row, self.likeliest[self.row]]

    def table(self, values: Tensor, classes: int, sign: int) -> Tensor:
        """(m, C) with values (M,) at their rivals, and each row's sum times `sign` at its likeliest class."""
        table = values.new_zeros(len(self.x), classes)
        table[self.row, self.rival] = values
        return table.scatter_(1, self.likeliest[:, None], sign * table.sum(1, keepdim=True))

    def sums(self, classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Their parts of the sums over rows of p(1 - p) x and p(1 - p) x² (C, R) and of p(1 - p) (C,)."""
        weight = self.table(self.weight, classes, 1).T.contiguous()
        return product(weight, self.x.T), product(weight, self.x.square().T), weight.sum(1)

    def between(self, classes: int) -> Tensor:
        """(C, C): the sum of weight · (e_a - e_b)(e_a - e_b)ᵀ."""
        rivals = self.weight.new_zeros(len(self.x), classes)
        rivals[self.row, self.rival] = self.weight
        likeliest = torch.zeros_like(rivals).scatter_(1, self.likeliest[:, None], 1.0)
        across = rivals.T @ likeliest
        across += across.T.clone()
        return torch.diag(across.sum(1)) - across


def contested(source: Source, chosen: Candidates) -> Contested:
    """Reads the rows of the chosen pairs."""
    rows, place = torch.unique_consecutive(chosen.row, return_inverse=True)
    likeliest = torch.empty_like(rows)
    likeliest[place] = chosen.likeliest
    return Contested(
        source.gather(rows), rows, likeliest, place, chosen.rival, chosen.weight / source.x.shape[0]
    )


class Coupling:
    """H₀ = D + Σ weight · u uᵀ and its inverse, by Woodbury's identity. Features of class c are moved by -m_c.

    D is diagonal in the weights and a matrix in the biases; u is (x_n - m_a, 1) at the rival a less (x_n - m_b, 1) at the likeliest class b.
    """

    def __init__(self, pairs: Contested, diagonal: Tensor, shift: Tensor, bias: Tensor) -> None:
        """Of D: (C, R) in the weights, positive, and the inverse (C, C) of the biases' part; `shift` (C, R) m. Costs about M³ operations."""
        self.pairs, self.diagonal, self.shift, self.bias = pairs, diagonal, shift, bias
        root = pairs.weight.sqrt()
        inner = _products(pairs, diagonal, shift, bias).mul_(root[:, None] * root)
        inner.diagonal().add_(1)
        self.inverse = inverse_of(inner).mul_(root[:, None] * root)

    def divide(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse times a vector: (C, R) and (C,)."""
        weight, bias = weight / self.diagonal, self.bias @ bias
        logits = product(self.pairs.x, weight) + (bias - (self.shift * weight).sum(1))
        share = self.pairs.table(self.inverse @ self.pairs.differences(logits), len(weight), -1)
        back = product(share.T, self.pairs.x.T).sub_(share.sum(0)[:, None] * self.shift)
        return weight.sub_(back.div_(self.diagonal)), bias - self.bias @ share.sum(0)


def _products(pairs: Contested, diagonal: Tensor, shift: Tensor, bias: Tensor) -> Tensor:
    """(M, M) uᵀ D⁻¹ u'."""
    own = pairs.likeliest[pairs.row]
    sides = bias[pairs.rival] - bias[own]
    total = sides[:, pairs.rival] - sides[:, own]
    for c in torch.unique(torch.cat((own, pairs.rival))).tolist():
        rivals, own_rows = (pairs.rival == c).nonzero()[:, 0], (own == c).nonzero()[:, 0]
        chosen = torch.cat((rivals, own_rows))
        moved = pairs.x[pairs.row[chosen]] - shift[c]
        moved[len(rivals) :].neg_()
        total[chosen[:, None], chosen] += product(moved / diagonal[c], moved)
    return total


def inverse_of(matrix: Tensor) -> Tensor:
    """Of a positive definite matrix, with as little added to its diagonal as rounding asks for."""
    largest = float(matrix.diagonal().max())
    for added in (0.0, 1e-6, 1e-4, 1e-2):
        factor, failed = torch.linalg.cholesky_ex(
            matrix + torch.diag(matrix.new_full((len(matrix),), added * largest))
            if added
            else matrix
        )
        if not failed:
            break
    inverse: Tensor = torch.cholesky_inverse(factor)
    return inverse
