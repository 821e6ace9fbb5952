"""One pass over the data: the mean cross-entropy of a softmax and its gradient.

θ is (C, R + 1), float64: weights in the eigenbasis, then the bias. Products run in the source's dtype, sums over examples in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import Source
from bob.numerics.matmul import product
from bob.numerics.threads import striped

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


def evaluate(
    source: Source, y: Tensor, theta: Tensor, workers: int = 1, empty: Tensor | None = None
) -> Point:
    """One pass: two products per block, blocks shared among `workers`.

    `empty` (k,): classes without rows. At the optimum they have no probability, and it is taken for none while their biases are far below others':
    what is left of it would be all that stands between a point and a bound on its gap.
    """
    n, classes = len(y), len(theta)
    weight, bias = outward(source, theta)
    keep = classes * n * 4 <= RESIDUAL_BYTES
    parts = striped(
        lambda cuts: _part(source, y, weight, bias, cuts, keep, empty), source.cuts, workers
    )
    gradients, sums_of, losses, residuals = zip(*parts, strict=True)
    gradient, sums, loss = (
        torch.stack(gradients).sum(0),
        torch.stack(sums_of).sum(0),
        torch.stack(losses).sum(0),
    )
    slope = torch.cat((source.inward(gradient).double(), sums[0][:, None]), 1).div_(n)
    spread = (sums[0] - 2 * sums[1] - sums[2]).clamp_(min=0) / n
    return Point(
        theta,
        float(loss) / n,
        slope,
        spread,
        [block for blocks in residuals for block in blocks] if keep else None,
    )


def outward(source: Source, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (C, ·) and biases (C, 1) as the source's blocks need them."""
    return source.outward(theta[:, :-1].to(source.dtype)).contiguous(), theta[:, -1:].to(
        source.dtype
    )


def _part(
    source: Source,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    cuts: Sequence[slice],
    keep: bool,
    empty: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Of some blocks: summed gradient (C, ·); residuals' sums, sums at own labels and sums of squares (3, C); loss; and the residuals."""
    gradient, kept = torch.zeros_like(weight), []
    loss = torch.zeros((), dtype=torch.float64, device=weight.device)
    sums = torch.zeros(3, len(weight), dtype=torch.float64, device=weight.device)
    for rows in cuts:
        block, label = source.block(rows), y[rows]
        residual, own, block_loss = residuals_of(product(weight, block).add_(bias), label)
        loss += block_loss
        if empty is not None:
            residual[empty] = 0
        gradient += product(residual, block.T)
        sums[0] += residual.sum(1)
        sums[1].index_add_(0, label, own.double())
        sums[2] += torch.linalg.vector_norm(residual, 2, 1).square_()
        if keep:
            kept.append(residual)
    return gradient, sums, loss, kept


def residuals_of(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(C, n) logits become softmax minus one-hot label, in place: these, those at the own labels (n,), and the summed cross-entropy, float64.

    The label's own entry is minus the sum of the others, not p - 1: a confident example keeps its small residual at full relative precision.
    """
    label = y[None]
    logits -= logits.amax(0)
    own = logits.gather(0, label)
    others = logits.clamp_(min=-NEGLIGIBLE_NATS).exp_().scatter_(0, label, 0).sum(0, keepdim=True)
    total = others + own.exp()
    loss = torch.where(own == 0, others.log1p(), total.log() - own)
    missing = -others / total
    logits.mul_(1 / total).scatter_(0, label, missing)
    return logits, missing[0], loss.sum(dtype=torch.float64)
