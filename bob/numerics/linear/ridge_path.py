"""Ridge_path."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bob.numerics.linear.eigenbasis import Rows, read, slices


@dataclass(frozen=True, eq=False)
class Fit:
    """A ridge classifier."""

    l2: float
    """Minimises  Σ (output - target)² + l2 ‖W‖²  on standardised features: scikit-learn's alpha."""
    weight: NDArray[np.float64]
    """(C, D), for features as given."""
    bias: NDArray[np.float64]
    """(C,)"""


def fit_path(
    x: Rows, y: NDArray[np.int64], classes: int, strengths: ArrayLike, *, device: str = "cpu"
) -> list[Fit]:
    """Fits of (N, D) rows with labels (N,) for every l2 of `strengths`, in their order. A constant feature gets weight 0."""
    values = np.asarray(strengths, dtype=float).tolist()
    if not all(value > 0 for value in values):
        raise ValueError(f"ridge: every strength must be above 0; got {values!r}.")
    labels = torch.as_tensor(np.asarray(y), dtype=torch.int64).to(device)
    mean, scale = _moments(x, device)
    target = 2 * torch.bincount(labels, minlength=classes).double() / len(labels) - 1
    solve = _narrow if x.shape[1] <= x.shape[0] else _wide
    fits = []
    for value, weight in zip(values, solve(x, labels, classes, mean, scale, values), strict=True):
        weight = weight * scale
        fits.append(Fit(value, weight.cpu().numpy(), (target - weight @ mean).cpu().numpy()))
    return fits


def scores(fit: Fit, x: Rows) -> NDArray[np.float64]:
    """(N, C) outputs for (N, D) rows."""
    weight, bias = torch.from_numpy(fit.weight).T, torch.from_numpy(fit.bias)
    outputs = torch.empty(x.shape[0], len(bias), dtype=torch.float64)
    for rows in slices(*x.shape[:2]):
        outputs[rows] = torch.addmm(bias, read(x, rows, "cpu", torch.float64), weight)
    values: NDArray[np.float64] = outputs.numpy()
    return values


def _moments(x: Rows, device: str) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation per feature, (D,); 0 for a feature that varies by no more than its rounding."""
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=device)
    for rows in slices(*x.shape[:2]):
        total += read(x, rows, device, torch.float64).sum(0)
    mean, squares = total / x.shape[0], torch.zeros_like(total)
    for rows in slices(*x.shape[:2]):
        squares += (read(x, rows, device, torch.float64) - mean).square().sum(0)
    deviation = (squares / x.shape[0]).sqrt()
    return mean, torch.where(deviation > 1e-12 * mean.abs(), 1 / deviation, 0.0)


def _narrow(
    x: Rows, y: Tensor, classes: int, mean: Tensor, scale: Tensor, strengths: list[float]
) -> list[Tensor]:
    """D ≤ N: from the (D, D) Gram matrix. Centred targets times features are twice the class sums, because features are centred."""
    width = x.shape[1]
    gram, sums = mean.new_zeros(width, width), mean.new_zeros(classes, width)
    for rows in slices(*x.shape[:2]):
        block = (read(x, rows, str(mean.device), torch.float64) - mean) * scale
        gram.addmm_(block.T, block)
        sums.index_add_(0, y[rows], block, alpha=2)
    eigenvalue, basis = torch.linalg.eigh(gram)
    rotated = sums @ basis
    return [(rotated / (eigenvalue.clamp(min=0) + strength)) @ basis.T for strength in strengths]


def _wide(
    x: Rows, y: Tensor, classes: int, mean: Tensor, scale: Tensor, strengths: list[float]
) -> list[Tensor]:
    """D > N: from the (N, N) Gram matrix."""
    rows = (read(x, slice(0, x.shape[0]), str(mean.device), torch.float64) - mean) * scale
    eigenvalue, basis = torch.linalg.eigh(rows @ rows.T)
    target = 2 * torch.nn.functional.one_hot(y, classes).T.double() - 1
    rotated = (target - target.mean(1, keepdim=True)) @ basis
    return [
        (rotated / (eigenvalue.clamp(min=0) + strength)) @ basis.T @ rows for strength in strengths
    ]
