"""A symmetric matrix as QTQᵀ with T of three diagonals, where no product with it needs Q itself.

LAPACK's dsytrd takes a third of the time of an eigendecomposition, most of the rest of which forms
eigenvectors: those of T take little, and Q is applied to the few columns that are wanted.

Matrices of medium size are reduced and multiplied on one thread. With 1,280 rows, two threads take
0.19 to 0.34 s for an eigendecomposition on an idle machine, and 0.37 to 0.68 s of the processor;
one takes 0.26 s of either, and hardly longer beside a busy process.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bob.numerics.arrays import Doubles

LEAST_ROWS = 3
"""Rows from which a symmetric matrix has anything to reduce: below, Q is the identity."""
BLOCK = 64
"""Columns of LAPACK's work arrays."""
ONE_THREAD_ROWS = 2048
"""Matrices of up to so many rows are reduced and multiplied on one thread."""
LEAST_LIMITED = 256 * 256
"""Entries from which it pays to limit the threads, which takes a millisecond."""


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """A reduced symmetric matrix (n, n)."""

    diagonal: Doubles
    """(n,) of T"""
    beside: Doubles
    """(n − 1,) beside the diagonal of T"""
    reflectors: Any
    factors: Any
    """Q as dsytrd leaves it."""

    @classmethod
    def of(cls, matrix: Doubles) -> "Tridiagonal":
        """Reduce a symmetric matrix (n, n), of which the upper triangle is read."""
        from scipy.linalg.lapack import dsytrd

        if len(matrix) < LEAST_ROWS:
            return cls(np.diag(matrix).copy(), np.diag(matrix, -1).copy(), None, None)
        with _threads(*matrix.shape):
            reflectors, diagonal, beside, factors, _ = dsytrd(
                matrix.T, lower=1, lwork=BLOCK * len(matrix)
            )
        return cls(diagonal, beside, reflectors, factors)

    def eigen(self) -> tuple[Doubles, Doubles]:
        """Return the eigenvalues (n,), ascending, and the eigenvectors of T in columns (n, n)."""
        from scipy.linalg import eigh_tridiagonal

        rows = len(self.diagonal)
        with _threads(rows, rows):
            values, vectors = eigh_tridiagonal(self.diagonal, self.beside, lapack_driver="stevd")
        return values, vectors

    def shifted_solution(self, right: Doubles, shift: float) -> Doubles | None:
        """Return (T + λI)⁻¹ right (n, k); None where T + λI is not positive definite."""
        from scipy.linalg.lapack import dptsv

        *_, solution, failed = dptsv(self.diagonal + shift, self.beside, right)
        return None if failed else solution

    def solved(self, right: Doubles, shift: float) -> Doubles:
        """Return (T + λI)⁻¹ right (n, k) for λ > 0; an eigenvalue of T below 0 counts as 0."""
        solution = self.shifted_solution(right, shift)
        if solution is None:
            values, vectors = self.eigen()
            solution = vectors @ (vectors.T @ right / (values.clip(min=0) + shift)[:, None])
        return solution

    def turned(self, columns: Doubles) -> Doubles:
        """Return Qᵀ times columns (n, k)."""
        return self._times("T", columns)

    def back(self, columns: Doubles) -> Doubles:
        """Return Q times columns (n, k)."""
        return self._times("N", columns)

    def _times(self, form: str, columns: Doubles) -> Doubles:
        """Multiply by Q or Qᵀ, which leave the first row as it is."""
        from scipy.linalg.lapack import dormqr

        if self.reflectors is None:
            return columns
        rows, work = np.asfortranarray(columns[1:]), BLOCK * max(1, columns.shape[1])
        with _threads(*columns.shape):
            rest, *_ = dormqr("L", form, self.reflectors[1:, :-1], self.factors, rows, lwork=work)
        return np.concatenate([columns[:1], rest])


def _threads(rows: int, columns: int) -> AbstractContextManager[None]:
    """Limit LAPACK to one thread for arrays of medium size."""
    is_medium = rows <= ONE_THREAD_ROWS and rows * columns >= LEAST_LIMITED
    return threadpool_limits(1, "blas") if is_medium else nullcontext()
