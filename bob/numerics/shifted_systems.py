"""Products with (A + λI)⁻¹ for many λ, from one reduction of a symmetric A to three diagonals.

With A = QTQᵀ, left (A + λI)⁻¹ right = (left Q) (T + λI)⁻¹ (Qᵀ right), where T is tridiagonal: each
λ then costs no more than reading the right side. Neither the eigenvectors of A nor Q are formed,
which takes a quarter of the time of an eigendecomposition.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Doubles

LEAST_ROWS = 3
"""Rows from which a symmetric matrix has anything to reduce."""
BLOCK = 64
"""Columns of LAPACK's work arrays."""


def shifted_products(
    system: Tensor, left: Tensor, right: Tensor, shifts: Sequence[float]
) -> Iterator[Tensor]:
    """Yield left (A + λI)⁻¹ right (m, k) for each λ > 0.

    A (n, n) is positive semi-definite, left (m, n), right (n, k), all float64. On a GPU, A is
    decomposed. Infinity for a λ that rounding errors of A exceed.
    """
    if system.device.type != "cpu" or len(system) < LEAST_ROWS:
        values, vectors = torch.linalg.eigh(system)
        across, along = left @ vectors, vectors.T @ right
        for shift in shifts:
            yield across @ (along / (values.clamp(min=0) + shift)[:, None])
        return
    from scipy.linalg.lapack import dptsv, dsytrd

    work = BLOCK * len(system)
    reflectors, diagonal, beside, factors, _ = dsytrd(system.numpy().T, lower=1, lwork=work)
    across = torch.from_numpy(_turned(reflectors, factors, left.numpy().T)).T
    along = _turned(reflectors, factors, right.numpy())
    for shift in shifts:
        *_, solution, failed = dptsv(diagonal + shift, beside, along)
        if failed:
            yield left.new_full((len(left), right.shape[1]), np.inf)
        else:
            yield across @ torch.from_numpy(solution)


def _turned(reflectors: Any, factors: Any, columns: Doubles) -> Doubles:
    """Return Qᵀ times columns (n, k), Q as dsytrd leaves it: it does not turn the first row."""
    from scipy.linalg.lapack import dormqr

    rest, *_ = dormqr(
        "L",
        "T",
        reflectors[1:, :-1],
        factors,
        np.asfortranarray(columns[1:]),
        lwork=BLOCK * max(1, columns.shape[1]),
    )
    return np.concatenate([columns[:1], rest])
