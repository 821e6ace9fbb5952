"""A bound on the distance to the optimum, from the dual.

The dual of  min mean CE + λ/2 ‖W‖²  takes a distribution q over classes for each row, the mean of q that of the labels (because b is free), and is
mean entropy(q) - ‖mean (q - label) x‖² / 2λ: below the optimum whatever q. Points seen on the way give one each: their softmax p_k. Entropy is
concave, so that a mixture Σ a_k p_k is worth at least the mixture of theirs. With θ = (W, b) the present point, s_k the slope of the mean CE at
θ_k, s̄ = Σ a_k s_k, and B_k = CE(θ) - CE(θ_k) - (θ - θ_k)·s_k ≥ 0:

    objective - optimum  ≤  ‖λW + s̄_W + a₀ Δ‖² / 2λ  +  Σ a_k B_k  +  a₀ vᵀSv .

With a₀ = 1 alone this is the usual ‖gradient‖² / 2λ, which punishes directions of high curvature where steps overshoot to and fro; their mixture
does not. v makes the mixture's mean that of the labels: p of the present point is tilted to q_n = p_n + (diag(p_n) - p_n p_nᵀ) v with
a₀ S v = -s̄_b, S the mean of that matrix, which moves the weights' slope by Δ. That is a distribution while |t| ≤ 1, t_nc = v_c - p_n·v, and costs
KL(q ‖ p) ≤ vᵀSv because (1 + t) log(1 + t) ≤ t + t²;  ‖Δ‖² ≤ (largest eigenvalue of the covariance) · vᵀSv.

Where the curvature holds contested rows, they alone are moved to where a step would take them: p_n becomes q_n = softmax(logits_n + z_n). It costs
the mean KL(q ‖ p), and takes from the slope what lies in the directions of highest curvature. A tilt of q by v costs KL(q' ‖ q) + mean (q' - q)·z
more, the last at most √(vᵀSv · mean variance of z under q).
"""

from collections import deque
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bob.numerics.linear.eigenbasis import Source
from bob.numerics.linear.low_rank_curvature import Contested
from bob.numerics.linear.preconditioner import Metric, residuals
from bob.numerics.linear.softmax import Point, residuals_of
from bob.numerics.matmul import product

KEPT = 24
"""Points mixed; fewer where their slopes would not fit in `KEPT_BYTES`."""
KEPT_BYTES = 1 << 28
OWN_SHARE = 0.1
"""The least share of the present point, whose tilt makes the mixture's mean that of the labels."""
EXCHANGES = 400
"""Of the search for the best shares. Any shares give a true bound."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A point of the dual but for its mean: some q_n, with the present point's distributions among them."""

    slope: Tensor
    """(C, R + 1) float64: mean of (q - label) (x, 1)."""
    cost: float = 0.0
    """CE of the present point less  mean entropy(q) + mean (q - label)·logits, at most."""
    own: float = 1.0
    """Share of the present point's distributions, which are tilted."""
    variance: float = 0.0
    """Mean variance under them of their change of logits."""
    hope: float = float("inf")
    """What the tilt is expected to leave of the bound."""


class Seen:
    """The last points: their θ, slope and loss."""

    def __init__(self, entries: int) -> None:
        self._points: deque[tuple[Tensor, Tensor, float]] = deque(
            maxlen=max(1, min(KEPT, KEPT_BYTES // (16 * entries)))
        )

    def add(self, point: Point) -> None:
        self._points.append((point.theta, point.slope, point.loss))

    def mixed(self, point: Point, penalty: float, shift: Tensor) -> Candidate:
        """The best mixture around the last point. `shift` (C, R): the mean of each class's features, weighed by p(1 - p).

        For this choice, not for the bound, a₀Δ is taken to be -m s̄_b and vᵀSv to be small.
        """
        parted = [
            max(0.0, point.loss - loss - float(((point.theta - theta) * slope).sum()))
            for theta, slope, loss in self._points
        ]
        wanted = penalty * point.theta[:, :-1]
        miss = torch.stack(
            [
                (slope[:, :-1] + wanted - shift.double() * slope[:, -1:]).flatten()
                for _, slope, _ in self._points
            ]
        )
        share = best_shares((miss @ miss.T / penalty).cpu().numpy(), np.array(parted))
        mean = torch.zeros_like(point.slope)
        for part, (_, slope, _) in zip(share, self._points, strict=True):
            mean.add_(slope, alpha=float(part))
        return Candidate(mean, float(share @ parted), float(share[-1]))


def best_shares(gram: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares a ≥ 0 that sum to 1, the last at least `OWN_SHARE`, with a small  ½ aᵀ gram a + cost·a: exchanges between the best and the worst two."""
    share = np.zeros(len(cost))
    share[-1] = 1.0
    least = np.where(np.arange(len(cost)) == len(cost) - 1, OWN_SHARE, 0.0)
    for _ in range(EXCHANGES):
        slope = gram @ share + cost
        spare = share > least
        giver = int(np.where(spare, slope, -np.inf).argmax())
        taker = int(slope.argmin())
        gain = slope[giver] - slope[taker]
        if gain <= 1e-4 * max(float(share @ slope), 1e-300):
            break
        curve = gram[giver, giver] + gram[taker, taker] - 2 * gram[giver, taker]
        amount = min(share[giver] - least[giver], gain / max(curve, 1e-300))
        share[giver], share[taker] = share[giver] - amount, share[taker] + amount
    return share


def foreseen(
    point: Point, y: Tensor, penalty: float, initial: Metric, pairs: Contested
) -> tuple[Point, Candidate]:
    """The point with its contested rows' distributions moved to where the step of `initial` takes them. Its residuals must have been kept.

    With D, H₀ less its pairs, a step s leaves of the gradient what it does not move: D s.
    """
    assert point.residuals is not None
    step = initial.divide(point.gradient(penalty).float()).neg_()
    left = float((initial.diagonal * step[:, :-1]).square().sum()) / (2 * penalty)
    logits, change = (
        product(pairs.x, theta[:, :-1]).add_(theta[:, -1]).double()
        for theta in (point.theta.float(), step)
    )
    moved = residuals_of((logits + change).T.contiguous(), y[pairs.index])[0]
    q = moved.T + torch.nn.functional.one_hot(y[pairs.index], moved.shape[0])
    mean = (q * change).sum(1)
    divergence = mean - (logits + change).logsumexp(1) + logits.logsumexp(1)
    kept = torch.cat(point.residuals, 1)
    difference = moved - kept[:, pairs.index]
    kept[:, pairs.index] = moved.to(kept.dtype)
    n = kept.shape[1]
    slope = point.slope.clone()
    slope[:, :-1].add_(product(difference.float(), pairs.x.T).double(), alpha=1 / n)
    slope[:, -1].add_(difference.sum(1), alpha=1 / n)
    variance = float(((q * change.square()).sum(1) - mean.square()).sum()) / n
    sizes = [block.shape[1] for block in point.residuals]
    cost = float(divergence.sum()) / n
    candidate = Candidate(slope, cost, variance=variance, hope=left + cost)
    return replace(point, slope=slope, residuals=list(torch.split(kept, sizes, 1))), candidate


def gap_bound(
    source: Source,
    point: Point,
    y: Tensor,
    penalty: float,
    allowed: float,
    candidate: Candidate,
    final: bool = False,
) -> float:
    """objective - optimum, at most, up to the rounding of the residuals; some value above `allowed` where that cannot be had, unless `final`.

    The exact Δ costs half a pass, as do residuals that were not kept and are computed again: only where cheaper bounds do not settle it.
    """
    slope, own = candidate.slope, candidate.own
    miss = slope[:, :-1] + penalty * point.theta[:, :-1]
    bare = float(miss.square().sum()) / (2 * penalty) + candidate.cost
    if min(bare, candidate.hope) > allowed and not final:
        return bare
    tilt = bias_step(source, point, y, slope[:, -1] / own)
    curved = max(-float(tilt @ slope[:, -1]) / own, 0.0)
    if float(tilt.max() - tilt.min()) > 1:
        return float("inf")
    cost = candidate.cost + own * (curved + sqrt(curved * max(candidate.variance, 0.0)))
    free = (float(miss.norm()) + own * sqrt(source.largest * curved)) ** 2 / (2 * penalty) + cost
    if free <= allowed:
        return free
    miss.add_(_tilted(source, point, y, tilt), alpha=own)
    return float(miss.square().sum()) / (2 * penalty) + cost


def _tilted(source: Source, point: Point, y: Tensor, v: Tensor) -> Tensor:
    """Δ, (C, R): mean of p_n ∘ (v - p_n·v) x_nᵀ, one product per block."""
    total: Tensor | None = None
    for rows, residual in residuals(source, y, point, list(enumerate(source.cuts))):
        block, label = source.block(rows), y[rows]
        mean = v.to(residual.dtype) @ residual + v[label].to(residual.dtype)
        tilt = residual * (v.to(residual.dtype)[:, None] - mean)
        tilt.scatter_add_(0, label[None], (v[label].to(residual.dtype) - mean)[None])
        total = tilt @ block if total is None else total.addmm_(tilt, block)
    assert total is not None
    return source.inward(total).double() / len(y)


def bias_step(
    source: Source, point: Point, y: Tensor, gradient: Tensor, iterations: int = 50
) -> Tensor:
    """(C,) v with S v = -gradient, by conjugate gradients; 0 for classes without rows."""
    scale = torch.where(point.spread > 0, 1 / point.spread.clamp(min=1e-30), 0.0)
    step, rest = torch.zeros_like(gradient), -gradient
    towards = scale * rest
    start = product = float(rest @ towards)
    for _ in range(iterations):
        curved = _bias_hessian(source, point, y, towards)
        curvature = float(towards @ curved)
        if curvature <= 0 or product <= 1e-8 * start:
            break
        step, rest = step + product / curvature * towards, rest - product / curvature * curved
        previous, product = product, float(rest @ (scale * rest))
        towards = scale * rest + product / previous * towards
    return step


def _bias_hessian(source: Source, point: Point, y: Tensor, v: Tensor) -> Tensor:
    """S v, (C,), with p = residual + one-hot label."""
    total = torch.zeros_like(v)
    for rows, residual in residuals(source, y, point, list(enumerate(source.cuts))):
        label = y[rows]
        mean = (v.to(residual.dtype) @ residual).double() + v[label]
        total.index_add_(0, label, v[label] - mean)
        total += (
            v * residual.sum(1, dtype=torch.float64) - (residual @ mean.to(residual.dtype)).double()
        )
    return total / len(y)
