"""How far one set of features is from another: the Fréchet distance and PRDC.

x is (n, D), y (m, D), both in float64. Neither says how much accuracy is lost between the sets
(Guillory et al. 2021, arXiv:2107.03315; docs/explanation/further_tasks.md has what was measured).
"""

import math

import numpy as np

from bob.numerics.arrays import Doubles


def frechet_distance(x: Doubles, y: Doubles) -> float:
    """Return ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½, at least 0 (Heusel et al. 2017,
    arXiv:1706.08500); NaN for fewer than two rows.

    Covariances divide by n − 1 and m − 1. With centred rows A (n, D) and B (m, D), tr (Σ₁ Σ₂)^½ is
    the sum of the singular values of A Bᵀ / √((n − 1) (m − 1)), so that no root of a matrix is
    taken.
    """
    if min(len(x), len(y)) < 2:
        return math.nan
    a = (x - x.mean(0)) / math.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / math.sqrt(len(y) - 1)
    product = a @ b.T if min(len(x), len(y)) <= x.shape[1] else _root(a) @ _root(b).T
    shared = float(np.linalg.svd(product, compute_uv=False).sum())
    gap = float(((x.mean(0) - y.mean(0)) ** 2).sum())
    return max(gap + float((a**2).sum()) + float((b**2).sum()) - 2 * shared, 0.0)


def _root(a: Doubles) -> Doubles:
    """Return R (D, D) with Rᵀ R = Aᵀ A of rows (n, D), which are more than D."""
    return np.asarray(np.linalg.qr(a, mode="r"))


def prdc(x: Doubles, y: Doubles, k: int) -> tuple[float, float, float, float]:
    """Return precision, recall, density and coverage of y as a sample of what x is a sample of.

    The reach of a row is the distance to its k-th nearest other row of its own set. Precision is
    the share of y within the reach of some x, recall that of x within the reach of some y
    (Kynkäänniemi et al. 2019, arXiv:1904.06991); density the mean over y of the number of x within
    whose reach it is, divided by k, and coverage the share of x within whose reach some y is (Naeem
    et al. 2020, arXiv:2002.09797). Within is strictly less, as in their code. NaN where a set has
    at most k rows.
    """
    if min(len(x), len(y)) <= k:
        return (math.nan,) * 4
    across = _squared_distances(x, y)
    reach_x, reach_y = (
        np.partition(_squared_distances(rows, rows), k, axis=1)[:, k] for rows in (x, y)
    )
    within_x, within_y = across < reach_x[:, None], across < reach_y
    return (
        float(within_x.any(0).mean()),
        float(within_y.any(1).mean()),
        float(within_x.sum(0).mean() / k),
        float((across.min(1) < reach_x).mean()),
    )


def _squared_distances(x: Doubles, y: Doubles) -> Doubles:
    """Return (n, m) squared distances; 0 of a row with itself."""
    centre = x.mean(0)
    a, b = x - centre, y - centre
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    distances: Doubles = np.maximum(squares, 0)
    if x is y:
        np.fill_diagonal(distances, 0)
    return distances
