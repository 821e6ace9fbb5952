"""Ridge regression for a path of penalties, in closed form, for labels or target matrices.

Let X (N, D) be the standardised features and T (N, C) the targets. For each l2 the solver minimises
Σ (output - target)² + l2 ‖W‖² with a free bias. Because X is centred, the optimal bias is the mean
target t, and

    W = (T - t)ᵀ X (Xᵀ X + l2 I)⁻¹ = (T - t)ᵀ (X Xᵀ + l2 I)⁻¹ X.

One reduction to three diagonals serves the whole path (`bob.numerics.shifted_systems`): of the
(D, D) matrix Xᵀ X where D ≤ N, of the (N, N) matrix X Xᵀ where D > N. Sums are float64, so that
results do not depend on the device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from bob.numerics.arrays import Doubles, Ints
from bob.numerics.linear.feature_rows import FeatureRows, linear_scores, read_rows, row_slices
from bob.numerics.memo import Memo
from bob.numerics.shifted_systems import ShiftedSystem

CONSTANT_BELOW = 1e-12
"""Ratio of standard deviation to mean at which a feature is constant up to float64 rounding."""

DECOMPOSITIONS: Memo[ShiftedSystem] = Memo(2)
"""The last two: tasks that regress on the same features share those without the held-out rows and
those of all rows, whatever their targets."""
MOST_KEPT = 2048
"""Side of the largest Gram matrix whose decomposition is kept: 32 MiB."""


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A ridge regression at one penalty."""

    l2: float
    """Penalty in  Σ (output - target)² + l2 ‖W‖²,  features standardised: scikit-learn's alpha."""
    weight: Doubles
    """(C, D), for features before standardisation."""
    bias: Doubles
    """(C,)"""


def fit_path(
    x: FeatureRows,
    y: Ints | Doubles,
    classes: int,
    strengths: ArrayLike,
    *,
    constant_below: float = CONSTANT_BELOW,
    device: str = "cpu",
) -> list[RidgeFit]:
    """Fit (N, D) rows at every l2 of `strengths`, in their order.

    `y` holds labels (N,) int64, which stand for one-vs-rest targets of ±1, or a matrix of targets
    (N, C). Features whose standard deviation is at most `constant_below` times their mean get
    weight 0.
    """
    values = np.asarray(strengths, dtype=float).tolist()
    if not all(value > 0 for value in values):
        raise ValueError(f"ridge: every strength must be above 0; got {values!r}.")
    if np.ndim(y) == 2 and np.shape(y)[1] != classes:
        raise ValueError(f"ridge: targets must have {classes} columns; got shape {np.shape(y)!r}.")
    dtype = torch.int64 if np.ndim(y) == 1 else torch.float64
    targets = torch.as_tensor(np.asarray(y), dtype=dtype).to(device)
    target_mean = _target_mean(targets, classes)
    mean, scale = _moments(x, constant_below, device)
    solve = _solve_by_features if x.shape[1] <= x.shape[0] else _solve_by_rows
    fits = []
    for value, weight in zip(
        values, solve(x, targets, target_mean, mean, scale, values), strict=True
    ):
        weight = weight * scale
        bias = target_mean - weight @ mean
        fits.append(RidgeFit(value, weight.cpu().numpy(), bias.cpu().numpy()))
    return fits


def scores(fit: RidgeFit, x: FeatureRows) -> Doubles:
    """Return the (N, C) outputs for (N, D) rows."""
    return linear_scores(fit.weight, fit.bias, x)


def _target_mean(targets: Tensor, classes: int) -> Tensor:
    """Return the mean target per class, (C,)."""
    if targets.ndim == 2:
        return targets.mean(0)
    return 2 * torch.bincount(targets, minlength=classes).double() / len(targets) - 1


def _moments(x: FeatureRows, constant_below: float, device: str) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / standard deviation per feature, each (D,); 0 for a constant feature."""
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=device)
    for rows in row_slices(*x.shape[:2]):
        total += read_rows(x, rows, device, torch.float64).sum(0)
    mean, squares = total / x.shape[0], torch.zeros_like(total)
    for rows in row_slices(*x.shape[:2]):
        squares += (read_rows(x, rows, device, torch.float64) - mean).square().sum(0)
    deviation = (squares / x.shape[0]).sqrt()
    return mean, torch.where(deviation > constant_below * mean.abs(), 1 / deviation, 0.0)


def _solve_by_features(
    x: FeatureRows,
    targets: Tensor,
    target_mean: Tensor,
    mean: Tensor,
    scale: Tensor,
    strengths: list[float],
) -> list[Tensor]:
    """Solve by the (D, D) Gram matrix, for D ≤ N. Return weights (C, D) for standardised rows."""
    products = mean.new_zeros(len(target_mean), x.shape[1])
    for rows in row_slices(*x.shape[:2]):
        block = (read_rows(x, rows, str(mean.device), torch.float64) - mean) * scale
        if targets.ndim == 1:  # (T - t)ᵀ X is twice the sums per class, because X is centred
            products.index_add_(0, targets[rows], block, alpha=2)
        else:
            products.addmm_((targets[rows] - target_mean).T, block)

    def decompose() -> ShiftedSystem:
        gram = mean.new_zeros(x.shape[1], x.shape[1])
        for rows in row_slices(*x.shape[:2]):
            block = (read_rows(x, rows, str(mean.device), torch.float64) - mean) * scale
            gram.addmm_(block.T, block)
        return ShiftedSystem.of(gram)

    system = _kept(x, mean, scale, decompose)
    return [solution.T for solution in system.solutions(products.T, strengths)]


def _solve_by_rows(
    x: FeatureRows,
    targets: Tensor,
    target_mean: Tensor,
    mean: Tensor,
    scale: Tensor,
    strengths: list[float],
) -> list[Tensor]:
    """Solve by the (N, N) Gram matrix, for D > N. Return weights (C, D) for standardised rows."""
    rows = (read_rows(x, slice(0, x.shape[0]), str(mean.device), torch.float64) - mean) * scale

    system = _kept(x, mean, scale, lambda: ShiftedSystem.of(rows @ rows.T))
    if targets.ndim == 1:
        matrix = 2 * torch.nn.functional.one_hot(targets, len(target_mean)).T.double() - 1
    else:
        matrix = targets.T
    centred = matrix - matrix.mean(1, keepdim=True)
    return [solution.T @ rows for solution in system.solutions(centred.T, strengths)]


def _kept(
    x: FeatureRows, mean: Tensor, scale: Tensor, decompose: Callable[[], ShiftedSystem]
) -> ShiftedSystem:
    """Return the reduced Gram matrix, a former one where rows and scale are the same."""
    if not isinstance(x, np.ndarray) or mean.is_cuda or min(x.shape) > MOST_KEPT:
        return decompose()
    return DECOMPOSITIONS.result((x, mean.numpy(), scale.numpy()), decompose)
