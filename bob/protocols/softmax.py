"""One pass over the data: the mean cross-entropy of a softmax and its gradient; and a bound on the distance to the optimum.

θ is (C, R + 1), float64: weights in the eigenbasis, then the bias. Products run in the source's dtype, sums over examples in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.protocols.spectrum import Source
from bob.protocols.threads import striped

RESIDUAL_BYTES = 1 << 30
"""Residuals of all examples are kept for the certificate up to this size."""
NEGLIGIBLE_NATS = 40.0
"""Logits are raised to this far below the row's largest: p < 1e-17 adds nothing, but subnormal numbers make products many times slower."""


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


def evaluate(source: Source, y: Tensor, theta: Tensor, workers: int = 1) -> Point:
    """One pass: two products per block, blocks shared among `workers`."""
    n, classes = len(y), len(theta)
    weight, bias = source.outward(theta[:, :-1].to(source.dtype)).contiguous(), theta[:, -1:].to(source.dtype)
    keep = classes * n * 4 <= RESIDUAL_BYTES
    parts = striped(lambda cuts: _part(source, y, weight, bias, cuts, keep), source.cuts, workers)
    gradients, sums_of, losses, residuals = zip(*parts, strict=True)
    gradient, sums, loss = torch.stack(gradients).sum(0), torch.stack(sums_of).sum(0), torch.stack(losses).sum(0)
    slope = torch.cat((source.inward(gradient).double(), sums[0][:, None]), 1).div_(n)
    return Point(
        theta, float(loss) / n, slope, (sums[1] - sums[2]).clamp_(min=0) / n, [block for blocks in residuals for block in blocks] if keep else None
    )


def _part(source: Source, y: Tensor, weight: Tensor, bias: Tensor, cuts: Sequence[slice], keep: bool) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Of some blocks: summed gradient (C, ·); residuals' sums, absolute sums and sums of squares (3, C); loss; and the residuals."""
    gradient, kept = torch.zeros_like(weight), []
    loss = torch.zeros((), dtype=torch.float64, device=weight.device)
    sums = torch.zeros(3, len(weight), dtype=torch.float64, device=weight.device)
    for rows in cuts:
        block = source.block(rows)
        residual = torch.addmm(bias, weight, block.T)
        loss += _softmax(residual, y[rows])
        gradient.addmm_(residual, block)
        sums[0] += residual.sum(1)
        sums[1] += torch.linalg.vector_norm(residual, 1, 1)
        sums[2] += torch.linalg.vector_norm(residual, 2, 1).square_()
        if keep:
            kept.append(residual)
    return gradient, sums, loss, kept


def _softmax(logits: Tensor, y: Tensor) -> Tensor:
    """Turns (C, n) logits into softmax minus one-hot, in place; the summed cross-entropy, float64.

    The label's own entry is minus the sum of the others, not p - 1: a confident example keeps its small residual at full relative precision.
    """
    label = y[None]
    logits -= logits.amax(0)
    own = logits.gather(0, label)
    others = logits.clamp_(min=-NEGLIGIBLE_NATS).exp_().scatter_(0, label, 0).sum(0, keepdim=True)
    total = others + own.exp()
    loss = torch.where(own == 0, others.log1p(), total.log() - own)
    logits.div_(total).scatter_(0, label, -others / total)
    return loss.sum(dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Certificate:
    """How far a point is from the optimum, at most."""

    gap: float
    """objective - optimum ≤ gap, up to the rounding of the residuals."""
    step: Tensor
    """(C,) the Newton step of the bias, which the bound is built from."""


def certificate(source: Source, point: Point, y: Tensor, penalty: float, allowed: float) -> Certificate:
    """A bound from the dual; the exact one costs half a pass and is made only where the free one is above `allowed`.

    The dual of  min mean CE + λ/2 ‖W‖²  wants rows q in the simplex whose mean is the labels' (because b is free). Softmax p misses that by g_b.
    Take q = p + δ with δ_n = (diag(p_n) - p_n p_nᵀ) v and S v = -g_b, S the mean of that matrix: feasible while |t| ≤ 1, t_nc = v_c - p_n·v.
    Then  objective - optimum ≤ ‖g_W + Δ‖² / 2λ + mean KL(q ‖ p)  with Δ = mean of δ_n x_nᵀ, and
    KL ≤ vᵀSv because (1 + t) log(1 + t) ≤ t + t²;  ‖Δ‖² ≤ (largest eigenvalue of the covariance) · vᵀSv.
    Where residuals do not fit in memory, S is taken to be diagonal and Δ zero: an estimate, no bound.
    """
    gradient = point.gradient(penalty)
    if point.residuals is None:
        step = -gradient[:, -1] / point.spread.clamp(min=1e-30)
        return Certificate(_bound(gradient[:, :-1], 0.0, -float(step @ gradient[:, -1]), penalty), step)
    step = bias_step(point, y)
    curved = max(-float(step @ gradient[:, -1]), 0.0)
    if float(step.max() - step.min()) > 1:
        return Certificate(float("inf"), step)
    free = _bound(gradient[:, :-1], (source.largest * curved) ** 0.5, curved, penalty)
    if free <= allowed:
        return Certificate(free, step)
    return Certificate(_bound(gradient[:, :-1] + _tilted(source, point, y, step), 0.0, curved, penalty), step)


def _bound(gradient: Tensor, excess: float, curved: float, penalty: float) -> float:
    return (float(gradient.norm()) + excess) ** 2 / (2 * penalty) + curved


def _tilted(source: Source, point: Point, y: Tensor, v: Tensor) -> Tensor:
    """Δ, (C, R): mean of p_n ∘ (v - p_n·v) x_nᵀ, one product per block."""
    total: Tensor | None = None
    for rows, residual in zip(source.cuts, point.residuals or (), strict=True):
        block, label = source.block(rows), y[rows]
        mean = v.to(residual.dtype) @ residual + v[label].to(residual.dtype)
        tilt = residual * (v.to(residual.dtype)[:, None] - mean)
        tilt.scatter_add_(0, label[None], (v[label].to(residual.dtype) - mean)[None])
        total = tilt @ block if total is None else total.addmm_(tilt, block)
    assert total is not None
    return source.inward(total).double() / len(y)


def bias_step(point: Point, y: Tensor, iterations: int = 50) -> Tensor:
    """(C,) v with S v = -g_b, by conjugate gradients on the kept residuals."""
    gradient = point.slope[:, -1]
    scale = 1 / point.spread.clamp(min=1e-30)
    step, rest = torch.zeros_like(gradient), -gradient
    towards = scale * rest
    start = product = float(rest @ towards)
    for _ in range(iterations):
        curved = _bias_hessian(point, y, towards)
        curvature = float(towards @ curved)
        if curvature <= 0 or product <= 1e-8 * start:
            break
        step, rest = step + product / curvature * towards, rest - product / curvature * curved
        previous, product = product, float(rest @ (scale * rest))
        towards = scale * rest + product / previous * towards
    return step


def _bias_hessian(point: Point, y: Tensor, v: Tensor) -> Tensor:
    """S v, (C,), with p = residual + one-hot label."""
    total, start = torch.zeros_like(v), 0
    for residual in point.residuals or ():
        label = y[start : start + residual.shape[1]]
        start += residual.shape[1]
        mean = (v.to(residual.dtype) @ residual).double() + v[label]
        total.index_add_(0, label, v[label] - mean)
        total += v * residual.sum(1, dtype=torch.float64) - (residual @ mean.to(residual.dtype)).double()
    return total / len(y)
