"""One pass over the data: mean cross-entropy of a softmax, its gradient, and a bound on the distance to the optimum.

θ is (C, R + 1), float64: weights in the eigenbasis, then the bias. Products run in the source's dtype, sums over examples in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bob.protocols.spectrum import Source

RESIDUAL_BYTES = 1 << 30
"""Residuals of all examples are kept for the certificate up to this size."""


@dataclass(frozen=True, eq=False)
class Point:
    """The cross-entropy at one θ. It does not depend on the penalty, so a change of λ costs no pass."""

    theta: Tensor
    loss: float
    slope: Tensor
    """(C, R + 1) float64: gradient of the mean cross-entropy."""
    spread: Tensor
    """(C,) float64: mean of p(1 - p)."""
    residuals: list[Tensor] | None
    """Blocks (C, n) of softmax minus one-hot label; None where they do not fit."""

    def objective(self, penalty: float) -> float:
        return self.loss + 0.5 * penalty * float(self.theta[:, :-1].square().sum())

    def gradient(self, penalty: float) -> Tensor:
        gradient = self.slope.clone()
        gradient[:, :-1].add_(self.theta[:, :-1], alpha=penalty)
        return gradient


def evaluate(source: Source, y: Tensor, theta: Tensor) -> Point:
    """One pass: two products per block."""
    n, classes = len(y), len(theta)
    weight, bias = source.outward(theta[:, :-1].to(source.dtype)), theta[:, -1:].to(source.dtype)
    gradient = torch.zeros_like(weight, memory_format=torch.contiguous_format)
    loss = torch.zeros((), dtype=torch.float64, device=theta.device)
    sums = torch.zeros(3, classes, dtype=torch.float64, device=theta.device)
    keep: list[Tensor] | None = [] if classes * n * 4 <= RESIDUAL_BYTES else None
    for rows, block in source.blocks():
        residual = torch.addmm(bias, weight, block.T)
        loss += _softmax(residual, y[rows])
        gradient.addmm_(residual, block)
        sums[0] += residual.sum(1)
        sums[1] += torch.linalg.vector_norm(residual, 1, 1)
        sums[2] += torch.linalg.vector_norm(residual, 2, 1).square_()
        if keep is not None:
            keep.append(residual)
    slope = torch.cat((source.inward(gradient).double(), sums[0][:, None]), 1).div_(n)
    return Point(theta, float(loss) / n, slope, (sums[1] - sums[2]).clamp_(min=0) / n, keep)


def _softmax(logits: Tensor, y: Tensor) -> Tensor:
    """Turns (C, n) logits into softmax minus one-hot, in place; the summed cross-entropy, float64.

    The label's own entry is minus the sum of the others, not p - 1: a confident example keeps its small residual at full relative precision.
    """
    label = y[None]
    logits -= logits.amax(0)
    own = logits.gather(0, label)
    others = logits.exp_().scatter_(0, label, 0).sum(0, keepdim=True)
    total = others + own.exp()
    loss = torch.where(own == 0, others.log1p(), total.log() - own)
    logits.div_(total).scatter_(0, label, -others / total)
    return loss.sum(dtype=torch.float64)


def bias_step(point: Point, y: Tensor, iterations: int = 50) -> Tensor:
    """(C,) v with S v = -g_b, by conjugate gradients: the Newton step of the bias. S = mean of diag(p) - p pᵀ, from the kept residuals."""
    gradient = point.slope[:, -1]
    scale = 1 / point.spread.clamp(min=1e-30)
    step, rest = torch.zeros_like(gradient), -gradient
    towards = scale * rest
    product = float(rest @ towards)
    for _ in range(iterations):
        curved = _bias_hessian(point, y, towards)
        curvature = float(towards @ curved)
        if curvature <= 0 or product == 0:
            break
        step, rest = step + product / curvature * towards, rest - product / curvature * curved
        previous, product = product, float(rest @ (scale * rest))
        if product <= 1e-8 * float(gradient @ (scale * gradient)):
            break
        towards = scale * rest + product / previous * towards
    return step


def _bias_hessian(point: Point, y: Tensor, v: Tensor) -> Tensor:
    """S v, (C,)."""
    classes, n = len(v), len(y)
    total, start = torch.zeros_like(v), 0
    for residual in point.residuals or ():
        label = y[start : start + residual.shape[1]]
        start += residual.shape[1]
        mean = (v.to(residual.dtype) @ residual).double() + v[label]
        tilt = v[label] - mean
        total += torch.zeros_like(v).index_add_(0, label, tilt)
        total += v * residual.sum(1, dtype=torch.float64) - (residual @ mean.to(residual.dtype)).double()
    assert classes == len(total)
    return total / n


def certificate(point: Point, y: Tensor, penalty: float, largest: float) -> tuple[float, Tensor]:
    """An upper bound on objective - optimum, and the Newton step of the bias. `largest` is the covariance's largest eigenvalue.

    Let q = p + δ with δ_n = (diag(p_n) - p_n p_nᵀ) v and S v = -g_b. The rows of q lie in the simplex where |v_c - p_n·v| ≤ 1, and their mean is that
    of the labels, so q is feasible in the Fenchel dual, where the duality gap is  ‖g_W + Δ‖² / 2λ + mean KL(q ‖ p),  Δ = mean of δ_n x_nᵀ.
    KL ≤ vᵀSv because (1 + t) log(1 + t) ≤ t + t²;  ‖Δ‖² ≤ largest · vᵀSv by Cauchy and Schwarz.
    """
    step = bias_step(point, y) if point.residuals is not None else -point.slope[:, -1] / point.spread.clamp(min=1e-30)
    curved = float(-(step @ point.slope[:, -1]))
    if float(step.max() - step.min()) > 1:
        return float("inf"), step
    gradient = float(point.gradient(penalty)[:, :-1].norm()) + (largest * max(curved, 0)) ** 0.5
    return gradient**2 / (2 * penalty) + max(curved, 0.0), step
