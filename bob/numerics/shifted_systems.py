"""Products with (A + λI)⁻¹ for many λ, from one reduction of a symmetric A to three diagonals.

With A = QTQᵀ, left (A + λI)⁻¹ right = (left Q) (T + λI)⁻¹ (Qᵀ right), where T is tridiagonal: each
λ then costs no more than reading the right side. Neither the eigenvectors of A nor Q are formed,
which takes a quarter of the time of an eigendecomposition.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bob.numerics.tridiagonal import Tridiagonal


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
    from scipy.linalg.lapack import dptsv

    reduced = Tridiagonal.of(system.numpy())
    across = torch.from_numpy(reduced.turned(left.numpy().T)).T
    along = reduced.turned(right.numpy())
    for shift in shifts:
        *_, solution, failed = dptsv(reduced.diagonal + shift, reduced.beside, along)
        if failed:
            yield left.new_full((len(left), right.shape[1]), np.inf)
        else:
            yield across @ torch.from_numpy(solution)
