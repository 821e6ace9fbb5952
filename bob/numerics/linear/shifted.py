"""Linear systems that differ by a multiple of the identity: one reduction serves all of them.

Let A (D, D) be symmetric without negative eigenvalues. With A = QTQ', T of three diagonals,

    (a A + s I)^-1 b = Q (a T + s I)^-1 Q' b

for every factor a and shift s: each further system takes a multiple of D operations, and a product
with Q. The reduction takes four Cholesky factors' time, a third of an eigendecomposition's.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from bob.numerics.arrays import Doubles
from bob.numerics.tridiagonal import Tridiagonal

FEW = 4
"""Most systems that are solved one by one, each with a Cholesky factor."""
Shift = tuple[float, float]
"""(a, s) of a A + s I."""


def shifted_solutions(matrix: Doubles, rows: Doubles, shifts: Sequence[Shift]) -> list[Doubles]:
    """Return rows (a A + s I)^-1 (K, D) for each (a, s), from A (D, D) and rows (K, D).

    Where rounding has left a system without a positive definite matrix, negative eigenvalues of A
    count as 0, and a solution has no part along a direction in which a A + s I is 0.
    """
    few = len(shifts) <= FEW or len(matrix) == 1
    try:
        return list((_by_cholesky if few else _by_reduction)(matrix, rows, shifts))
    except np.linalg.LinAlgError:
        return _by_eigenvectors(matrix, rows, shifts)


def _by_cholesky(matrix: Doubles, rows: Doubles, shifts: Sequence[Shift]) -> Iterator[Doubles]:
    from scipy.linalg import cho_factor, cho_solve  # slow to import

    for factor, shift in shifts:
        shifted = factor * matrix
        shifted[np.diag_indices_from(shifted)] += shift
        lower = cho_factor(shifted, overwrite_a=True, check_finite=False)
        yield np.asarray(cho_solve(lower, rows.T, check_finite=False).T, np.float64)


def _by_reduction(matrix: Doubles, rows: Doubles, shifts: Sequence[Shift]) -> Iterator[Doubles]:
    from scipy.linalg.lapack import dptsv  # slow to import

    reduced = Tridiagonal.of(matrix)
    turned = reduced.turned(rows.T)
    for factor, shift in shifts:
        diagonal, beside = factor * reduced.diagonal + shift, factor * reduced.beside
        *_, solution, failed = dptsv(diagonal, beside, turned)
        if failed:
            raise np.linalg.LinAlgError("not positive definite")
        yield np.ascontiguousarray(reduced.back(solution).T)


def _by_eigenvectors(matrix: Doubles, rows: Doubles, shifts: Sequence[Shift]) -> list[Doubles]:
    values, vectors = np.linalg.eigh(matrix)
    rotated, values = rows @ vectors, values.clip(min=0)
    solutions = []
    for factor, shift in shifts:
        spread = factor * values + shift
        solutions.append((rotated / np.where(spread > 0, spread, np.inf)) @ vectors.T)
    return solutions
