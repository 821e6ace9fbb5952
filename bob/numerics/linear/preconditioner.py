"""Parts of the Hessian of the mean cross-entropy at one point, for the initial Hessian of L-BFGS; and residuals again, where none were kept.

The Hessian is the mean of (diag(p) - p pᵀ) ⊗ x xᵀ. Taken from it, for each class: the diagonal over features around the class's own mean, exactly,
and between classes: the part of the biases, exactly. On real features an average of p(1 - p) times the eigenvalues in their place, and biases apart
from each other, take 2 to 4 times as many passes: under weak regularisation p(1 - p) depends on x, and the bias is what classes share. On top of it
come, where they are asked for, the pairs of classes that single rows contest (`bob.numerics.linear.low_rank_curvature`), which take most of the passes left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import Source
from bob.numerics.linear.low_rank_curvature import (
    Candidates,
    Contested,
    Coupling,
    candidates,
    contested,
    heaviest,
)
from bob.numerics.linear.softmax import Point, outward, residuals_of
from bob.numerics.matmul import product
from bob.numerics.threads import striped

COUPLED_CLASSES = 2048
"""Up to this many classes the biases' part is a matrix; above, its diagonal."""
RIDGE = 1e-6
"""Added to that matrix's diagonal, relative to its mean: a class without rows has nothing there."""
TAKEN = 0.99
"""Share of the contested pairs' parts that is taken out of the sums: the whole could leave nothing but rounding."""


@dataclass(frozen=True, eq=False)
class Metric:
    """H₀ of a curvature and a penalty."""

    diagonal: Tensor
    shift: Tensor
    bias: Tensor
    coupling: Coupling | None
    """In place of the diagonal and the biases' part alone."""

    def divide(self, vector: Tensor) -> Tensor:
        """H₀⁻¹ vector, (C, R + 1): in moved features w stays and b becomes b + m_c·w."""
        weight, bias = vector[:, :-1] - self.shift * vector[:, -1:], vector[:, -1]
        if self.coupling:
            weight, bias = self.coupling.divide(weight, bias)
        else:
            weight, bias = (
                weight.div_(self.diagonal),
                self.bias @ bias if self.bias.ndim == 2 else self.bias * bias,
            )
        return torch.cat((weight, (bias - (self.shift * weight).sum(1))[:, None]), 1)


@dataclass(frozen=True, eq=False)
class Curvature:
    """At one point. Float32. The features of class c are moved by -m_c, so that the weights' part and the biases' part are apart."""

    diagonal: Tensor
    """(C, R): mean of p(1 - p) (x - m)²."""
    shift: Tensor
    """(C, R) m: mean of x weighed by p(1 - p)."""
    bias: Tensor
    """(C, C) the inverse of diag(mean p) - mean p pᵀ, or (C,) of its diagonal."""
    pairs: Contested | None = None
    """Pairs of classes in single rows that are kept exactly: all else is that of the others."""

    def initial(self, penalty: float) -> Metric:
        diagonal = self.diagonal + penalty
        return Metric(
            diagonal,
            self.shift,
            self.bias,
            None if self.pairs is None else Coupling(self.pairs, diagonal, self.shift, self.bias),
        )


def curvature(
    source: Source, y: Tensor, point: Point, workers: int = 1, pairs: int = 0
) -> Curvature:
    """One pass over float32 rows, one and a half where residuals were not kept. `pairs` are kept exactly, where the biases' part is a matrix."""
    numbered = list(enumerate(source.cuts))
    parts, found = zip(
        *striped(lambda some: _part(source, y, point, some, pairs), numbered, workers), strict=True
    )
    mean, square, between = (torch.stack(of).sum(0).div_(len(y)) for of in zip(*parts, strict=True))
    spread, kept = point.spread.float().clamp(min=1e-20), None
    if pairs and len(between):
        kept = contested(source, heaviest([some for of in found for some in of], pairs))
        between.add_(kept.between(len(between)), alpha=TAKEN)
        for total, part in zip((mean, square, spread), kept.sums(len(between)), strict=True):
            total.sub_(part, alpha=TAKEN)
    shift = mean / spread[:, None]
    return Curvature(
        (square - shift * mean).clamp_(min=0), shift, _inverse(between, point, y), kept
    )


def _part(
    source: Source, y: Tensor, point: Point, numbered: Sequence[tuple[int, slice]], pairs: int
) -> tuple[tuple[Tensor, Tensor, Tensor], list[Candidates]]:
    """Sums over some blocks of p(1 - p) x, p(1 - p) x² (C, R) and p pᵀ (C, C; none where it would be too large); and the heaviest pairs."""
    found: list[Candidates] = []
    classes, rank = len(point.theta), point.theta.shape[1] - 1
    size = classes if classes <= COUPLED_CLASSES else 0
    mean, square, between = (
        torch.zeros(shape, device=point.theta.device)
        for shape in ((classes, rank), (classes, rank), (size, size))
    )
    for rows, residual in residuals(source, y, point, numbered):
        p = (
            residual.float()
            .scatter_add(0, y[rows][None], torch.ones(1, residual.shape[1], device=residual.device))
            .clamp_(0, 1)
        )
        block = source.turned(rows)
        if pairs and size:
            found = [heaviest([*found, candidates(p, rows.start, pairs)], pairs)]
        if size:
            between += product(p, p)
        weight = p.sub_(p.square())
        mean += product(weight, block.T)
        square += product(weight, block.square().T)
    return (mean, square, between), found


def residuals(
    source: Source, y: Tensor, point: Point, numbered: Sequence[tuple[int, slice]]
) -> Iterator[tuple[slice, Tensor]]:
    """The residuals (C, n) of some numbered blocks, in the source's dtype: as kept, or computed again."""
    if point.residuals is not None and _cut_alike(point.residuals, numbered):
        yield from ((rows, point.residuals[number].to(source.dtype)) for number, rows in numbered)
        return
    weight, bias = outward(source, point.theta)
    for _, rows in numbered:
        yield rows, residuals_of(product(weight, source.block(rows)).add_(bias), y[rows])[0]


def _inverse(between: Tensor, point: Point, y: Tensor) -> Tensor:
    if not len(between):
        return (1 / point.spread.clamp(min=1e-20)).float()
    share = (point.slope[:, -1] + torch.bincount(y, minlength=len(between)) / len(y)).clamp_(min=0)
    matrix = torch.diag(share) - between.double()
    size = float(matrix.diagonal().mean()) + 1e-20
    matrix.add_(
        size / len(matrix)
    )  # equal biases are none, nor is that of a class without rows: these directions get an ordinary size
    matrix.diagonal().add_(RIDGE * size + torch.where(share > 0, 0.0, size))
    inverse: Tensor = torch.linalg.inv(matrix).float()
    return inverse


def _cut_alike(kept: Sequence[Tensor], numbered: Sequence[tuple[int, slice]]) -> bool:
    """Whether kept residuals are of these blocks: those of a float64 pass, over more columns, are of shorter ones."""
    return all(
        number < len(kept) and kept[number].shape[1] == rows.stop - rows.start
        for number, rows in numbered
    )
