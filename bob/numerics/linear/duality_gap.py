"""An upper bound on the distance from the optimum, from the dual problem.

The dual of  min mean CE + λ/2 ‖W‖²  takes a distribution q_n over classes for each example, such
that the mean of q equals that of the labels (because b is free). Its value,

    mean entropy(q) - ‖mean (q - label) x‖² / 2λ,

is below the optimum for every q. Each iterate k offers one q: its softmax p_k. Entropy is concave,
so that a mixture Σ a_k p_k has at least the mixture of their entropies. Let θ = (W, b) be the
current iterate, s_k the gradient of the mean CE at θ_k, s̄ = Σ a_k s_k, and
B_k = CE(θ) - CE(θ_k) - (θ - θ_k)·s_k ≥ 0. Then

    objective - optimum  ≤  ‖λW + s̄_W + a₀ Δ‖² / 2λ  +  Σ a_k B_k  +  a₀ vᵀSv.

With a₀ = 1 alone this is the usual ‖gradient‖² / 2λ, which penalises directions of high curvature
where steps overshoot to and fro; a mixture cancels them.

The tilt v makes the mixture's mean that of the labels. The p of the current iterate is tilted to
q_n = p_n + (diag(p_n) - p_n p_nᵀ) v with a₀ S v = -s̄_b, where S is the mean of that matrix; this
moves the weights' gradient by Δ. The result is a distribution while |t| ≤ 1, t_nc = v_c - p_n·v,
and costs KL(q ‖ p) ≤ vᵀSv because (1 + t) log(1 + t) ≤ t + t². Also
‖Δ‖² ≤ (largest eigenvalue of the covariance) · vᵀSv.

Where the curvature stores terms of undecided examples, these examples alone are moved to where a
step would take them: p_n becomes q_n = softmax(logits_n + z_n). This costs the mean KL(q ‖ p), and
removes from the gradient what lies in the directions of highest curvature. A tilt of q to q' by v
then costs KL(q' ‖ q) + mean (q' - q)·z, the latter at most √(vᵀSv · mean variance of z under q).
"""

from collections import deque
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from bob.numerics.arrays import Doubles
from bob.numerics.linear.eigenbasis import FeatureBlocks
from bob.numerics.linear.low_rank_curvature import LowRankCurvature
from bob.numerics.linear.preconditioner import Preconditioner, residual_blocks
from bob.numerics.linear.softmax import Evaluation, softmax_residuals
from bob.numerics.matmul import product

MAX_ITERATES = 24
"""Most iterates in a mixture; fewer where their gradients would exceed `ITERATE_BYTES`."""
ITERATE_BYTES = 1 << 28
MIN_CURRENT_SHARE = 0.1
"""Least share of the current iterate, whose tilt makes the mixture's mean that of the labels."""
MAX_EXCHANGES = 400
"""Steps of the search for the best shares. Any shares give a valid bound."""


@dataclass(frozen=True, eq=False)
class DualPoint:
    """Distributions q_n whose mean may still differ from that of the labels.

    The current iterate's distributions are among those mixed.
    """

    loss_gradient: Tensor
    """(C, R + 1) float64: mean of (q - label) (x, 1)."""
    cost: float = 0.0
    """Upper bound of  CE of the current iterate - mean entropy(q) - mean (q - label)·logits."""
    current_share: float = 1.0
    """Share of the current iterate's distributions, which are tilted."""
    variance: float = 0.0
    """Mean variance, under these distributions, of the change z of their logits."""
    predicted_gap: float = float("inf")
    """Expected size of the bound after the tilt."""


class Iterates:
    """The last iterates: θ, gradient of the mean cross-entropy, and mean cross-entropy."""

    def __init__(self, entries: int) -> None:
        self._iterates: deque[tuple[Tensor, Tensor, float]] = deque(
            maxlen=max(1, min(MAX_ITERATES, ITERATE_BYTES // (16 * entries)))
        )

    def add(self, evaluation: Evaluation) -> None:
        """Append an iterate, dropping the oldest if the memory is full."""
        self._iterates.append((evaluation.theta, evaluation.loss_gradient, evaluation.loss))

    def mixture(self, current: Evaluation, penalty: float, shift: Tensor) -> DualPoint:
        """Return the best mixture; `current` must be the iterate added last.

        `shift` (C, R) is the mean of the features weighted by p(1 - p) of each class. For the
        choice of shares, not for the bound, a₀Δ is approximated by -m s̄_b, m being the shift, and
        vᵀSv by 0.
        """
        costs = [
            max(0.0, current.loss - loss - float(((current.theta - theta) * gradient).sum()))
            for theta, gradient, loss in self._iterates
        ]
        penalty_gradient = penalty * current.theta[:, :-1]
        residuals = torch.stack(
            [
                (gradient[:, :-1] + penalty_gradient - shift.double() * gradient[:, -1:]).flatten()
                for _, gradient, _ in self._iterates
            ]
        )
        gram = (residuals @ residuals.T / penalty).cpu().numpy()
        shares = best_shares(gram, np.array(costs))
        mean = torch.zeros_like(current.loss_gradient)
        for share, (_, gradient, _) in zip(shares, self._iterates, strict=True):
            mean.add_(gradient, alpha=float(share))
        return DualPoint(mean, float(shares @ costs), float(shares[-1]))


def best_shares(gram: Doubles, cost: Doubles) -> Doubles:
    """Return shares a ≥ 0 that sum to 1 and make  ½ aᵀ gram a + cost·a  small.

    The last is at least `MIN_CURRENT_SHARE`. Each step moves share from the entry with the largest
    derivative to the one with the smallest (pairwise Frank-Wolfe).
    """
    shares = np.zeros(len(cost))
    shares[-1] = 1.0
    least = np.where(np.arange(len(cost)) == len(cost) - 1, MIN_CURRENT_SHARE, 0.0)
    for _ in range(MAX_EXCHANGES):
        derivative = gram @ shares + cost
        giver = int(np.where(shares > least, derivative, -np.inf).argmax())
        taker = int(derivative.argmin())
        gain = derivative[giver] - derivative[taker]
        if gain <= 1e-4 * max(float(shares @ derivative), 1e-300):
            break
        curvature = gram[giver, giver] + gram[taker, taker] - 2 * gram[giver, taker]
        amount = min(shares[giver] - least[giver], gain / max(curvature, 1e-300))
        shares[giver], shares[taker] = shares[giver] - amount, shares[taker] + amount
    return shares


def move_undecided(
    evaluation: Evaluation,
    y: Tensor,
    penalty: float,
    preconditioner: Preconditioner,
    pairs: LowRankCurvature,
) -> tuple[Evaluation, DualPoint]:
    """Move the distributions of undecided examples to where the preconditioned step takes them.

    Return the evaluation with these distributions' residuals and gradient, and their dual point.
    Residuals must have been stored. Let D be H₀ without its low-rank terms: a step s leaves D s of
    the gradient.
    """
    assert evaluation.residuals is not None
    step = preconditioner.solve(evaluation.gradient(penalty).float()).neg_()
    remainder = float((preconditioner.diagonal * step[:, :-1]).square().sum()) / (2 * penalty)
    logits, change = (
        product(pairs.x, theta[:, :-1]).add_(theta[:, -1]).double()
        for theta in (evaluation.theta.float(), step)
    )
    label = y[pairs.index]
    moved = softmax_residuals((logits + change).T.contiguous(), label)[0]
    q = moved.T + torch.nn.functional.one_hot(label, moved.shape[0])
    mean_change = (q * change).sum(1)
    divergence = mean_change - (logits + change).logsumexp(1) + logits.logsumexp(1)
    residuals = torch.cat(evaluation.residuals, 1)
    difference = moved - residuals[:, pairs.index]
    residuals[:, pairs.index] = moved.to(residuals.dtype)
    n = residuals.shape[1]
    gradient = evaluation.loss_gradient.clone()
    gradient[:, :-1].add_(product(difference.float(), pairs.x.T).double(), alpha=1 / n)
    gradient[:, -1].add_(difference.sum(1), alpha=1 / n)
    variance = float(((q * change.square()).sum(1) - mean_change.square()).sum()) / n
    sizes = [block.shape[1] for block in evaluation.residuals]
    cost = float(divergence.sum()) / n
    dual = DualPoint(gradient, cost, variance=variance, predicted_gap=remainder + cost)
    blocks = list(torch.split(residuals, sizes, 1))
    return replace(evaluation, loss_gradient=gradient, residuals=blocks), dual


def gap_bound(
    blocks: FeatureBlocks,
    evaluation: Evaluation,
    y: Tensor,
    penalty: float,
    allowed: float,
    dual: DualPoint,
    final: bool = False,
) -> float:
    """Return an upper bound of  objective - optimum,  up to the rounding of the residuals.

    Where no bound below `allowed` is in sight, the value returned is merely above `allowed`, unless
    `final`. The exact Δ costs half a pass, as do residuals that were not stored and are recomputed:
    only where cheaper bounds do not settle the comparison.
    """
    gradient, share = dual.loss_gradient, dual.current_share
    remainder = gradient[:, :-1] + penalty * evaluation.theta[:, :-1]
    without_tilt = float(remainder.square().sum()) / (2 * penalty) + dual.cost
    if min(without_tilt, dual.predicted_gap) > allowed and not final:
        return without_tilt
    tilt = bias_step(blocks, evaluation, y, gradient[:, -1] / share)
    divergence = max(-float(tilt @ gradient[:, -1]) / share, 0.0)
    if float(tilt.max() - tilt.min()) > 1:
        return float("inf")
    cost = dual.cost + share * (divergence + sqrt(divergence * max(dual.variance, 0.0)))
    tilt_norm = share * sqrt(blocks.largest_eigenvalue * divergence)
    without_pass = (float(remainder.norm()) + tilt_norm) ** 2 / (2 * penalty) + cost
    if without_pass <= allowed:
        return without_pass
    remainder.add_(_tilt_gradient(blocks, evaluation, y, tilt), alpha=share)
    return float(remainder.square().sum()) / (2 * penalty) + cost


def _tilt_gradient(blocks: FeatureBlocks, evaluation: Evaluation, y: Tensor, v: Tensor) -> Tensor:
    """Return Δ (C, R): the mean of  p_n ∘ (v - p_n·v) x_nᵀ,  by one product per block."""
    total: Tensor | None = None
    for rows, residual in residual_blocks(blocks, y, evaluation, list(enumerate(blocks.slices))):
        block, label, v_cast = blocks.block(rows), y[rows], v.to(residual.dtype)
        mean = v_cast @ residual + v[label].to(residual.dtype)
        tilt = residual * (v_cast[:, None] - mean)
        tilt.scatter_add_(0, label[None], (v[label].to(residual.dtype) - mean)[None])
        total = tilt @ block if total is None else total.addmm_(tilt, block)
    assert total is not None
    return blocks.to_eigenbasis(total).double() / len(y)


def bias_step(
    blocks: FeatureBlocks, evaluation: Evaluation, y: Tensor, gradient: Tensor, iterations: int = 50
) -> Tensor:
    """Solve  S v = -gradient  for v (C,) by conjugate gradients; 0 for classes without examples.

    Equal biases change nothing: S has no inverse in their direction. The gradient has nothing there
    but rounding, which is removed, or it would be divided by a curvature that is rounding too.
    """
    variance = evaluation.variance
    present = variance > 0
    scale = torch.where(present, 1 / variance.clamp(min=1e-30), 0.0)
    rounding = gradient.sum() / present.sum().clamp(min=1)
    step, residual = torch.zeros_like(gradient), torch.where(present, rounding, 0.0) - gradient
    direction = scale * residual
    start = norm = float(residual @ direction)
    for _ in range(iterations):
        change = _bias_hessian(blocks, evaluation, y, direction)
        curvature = float(direction @ change)
        if curvature <= 0 or norm <= 1e-8 * start:
            break
        step, residual = (
            step + norm / curvature * direction,
            residual - norm / curvature * change,
        )
        previous, norm = norm, float(residual @ (scale * residual))
        direction = scale * residual + norm / previous * direction
    return step


def _bias_hessian(blocks: FeatureBlocks, evaluation: Evaluation, y: Tensor, v: Tensor) -> Tensor:
    """Return  S v  (C,), with p = residual + one-hot label."""
    total = torch.zeros_like(v)
    for rows, residual in residual_blocks(blocks, y, evaluation, list(enumerate(blocks.slices))):
        label = y[rows]
        mean = (v.to(residual.dtype) @ residual).double() + v[label]
        total.index_add_(0, label, v[label] - mean)
        total += (
            v * residual.sum(1, dtype=torch.float64) - (residual @ mean.to(residual.dtype)).double()
        )
    return total / len(y)
