"""What a linear probe would take if nothing but its matrix products took time.

A pass over n rows of D features with K classes is two products of 2·n·D·K operations. The
preparation is 5/8 of a covariance, an eigendecomposition and a rotation. Products are timed on this
machine in the same run: over the rows of a pass, in its blocks (few classes make products narrow,
and rows come from memory), and square, which is as fast as this machine multiplies.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bob.numerics.linear.feature_rows import row_slices
from bob.numerics.matmul import product

REPEATS = 7
SQUARE = 1024


@dataclass(frozen=True)
class Work:
    """The evaluations that a choice of C and its refit made."""

    rows: int
    """N, all rows."""
    fitted: int
    """Rows without the held-out ones."""
    width: int
    """D."""
    classes: int
    """K."""
    path_passes: int
    refit_passes: int

    @property
    def passes_flop(self) -> float:
        """Operations of all passes."""
        per_row = 4.0 * self.width * self.classes
        return per_row * (self.path_passes * self.fitted + self.refit_passes * self.rows)

    @property
    def preparation_flop(self) -> float:
        """Operations of the preparation's products, without the eigendecomposition."""
        return 2.0 * (5 / 8 + 1) * self.rows * self.width**2


@dataclass(frozen=True)
class Bound:
    """Least processor seconds with these evaluations."""

    own_shape: float
    """Passes at the speed of products in their own shape."""
    square: float
    """Passes at the speed of a square product."""
    own_gflops: float
    square_gflops: float


def bound(work: Work) -> Bound:
    """Time products and an eigendecomposition now, and add them up."""
    weight, rows = torch.randn(work.classes, work.width), torch.randn(work.fitted, work.width)

    def products_of_pass() -> None:
        for part in row_slices(work.fitted, max(work.width, work.classes)):
            product(product(weight, rows[part]), rows[part].T)

    own = 4 * work.fitted * work.width * work.classes / _least_seconds(products_of_pass)
    matrix = torch.randn(SQUARE, SQUARE)
    square = 2 * SQUARE**3 / _least_seconds(lambda: product(matrix, matrix))
    factor = torch.randn(2 * work.width, work.width, dtype=torch.float64)
    covariance = factor.T @ factor
    preparation = work.preparation_flop / square + _least_seconds(
        lambda: torch.linalg.eigh(covariance), repeats=2
    )
    return Bound(
        preparation + work.passes_flop / own,
        preparation + work.passes_flop / square,
        own / 1e9,
        square / 1e9,
    )


def _least_seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the least processor seconds of a call, after one that is not timed."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)
