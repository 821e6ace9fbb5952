"""Products with (A + λI)⁻¹ for many λ, from one reduction of a symmetric A to three diagonals.

With A = QTQᵀ, (A + λI)⁻¹ b = Q (T + λI)⁻¹ Qᵀ b, where T is tridiagonal: each λ then costs no more
than reading the right side, and a product with Q. The eigenvectors of A are not formed, which takes
a quarter of the time of an eigendecomposition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bob.numerics.tridiagonal import Tridiagonal


@dataclass(frozen=True, eq=False)
class ShiftedSystem:
    """A positive semi-definite A (n, n), float64, of which A + λI is to be inverted."""

    reduced: Tridiagonal | None
    """A on the CPU."""
    eigenpairs: tuple[Tensor, Tensor] | None
    """A on a GPU, or of a single row: its eigenvalues (n,) and vectors (n, n)."""

    @classmethod
    def of(cls, system: Tensor) -> "ShiftedSystem":
        """Reduce A (n, n)."""
        if system.device.type == "cpu" and len(system) > 1:
            return cls(Tridiagonal.of(system.numpy()), None)
        values, vectors = torch.linalg.eigh(system)
        return cls(None, (values.clamp(min=0), vectors))

    def solutions(self, right: Tensor, shifts: Sequence[float]) -> list[Tensor]:
        """Return (A + λI)⁻¹ right (n, k) for each λ > 0; an eigenvalue below 0 counts as 0."""
        if self.reduced is None:
            assert self.eigenpairs is not None
            values, vectors = self.eigenpairs
            along = vectors.T @ right
            return [vectors @ (along / (values + shift)[:, None]) for shift in shifts]
        turned = self.reduced.turned(right.numpy())
        solved = [self.reduced.solved(turned, shift) for shift in shifts]
        back = self.reduced.back(np.concatenate(solved, axis=1))
        return list(torch.split(torch.from_numpy(back), right.shape[1], dim=1))


def shifted_products(
    system: Tensor, left: Tensor, right: Tensor, shifts: Sequence[float]
) -> Iterator[Tensor]:
    """Yield left (A + λI)⁻¹ right (m, k) for each λ > 0.

    A (n, n) is positive semi-definite, left (m, n), right (n, k), all float64. On a GPU, A is
    decomposed. Infinity for a λ that rounding errors of A exceed.
    """
    if system.device.type != "cpu" or len(system) == 1:
        values, vectors = torch.linalg.eigh(system)
        across, along = left @ vectors, vectors.T @ right
        for shift in shifts:
            yield across @ (along / (values.clamp(min=0) + shift)[:, None])
        return
    reduced = Tridiagonal.of(system.numpy())
    across = torch.from_numpy(reduced.turned(left.numpy().T)).T
    along = reduced.turned(right.numpy())
    for shift in shifts:
        solution = reduced.shifted_solution(along, shift)
        if solution is None:
            yield left.new_full((len(left), right.shape[1]), np.inf)
        else:
            yield across @ torch.from_numpy(solution)
