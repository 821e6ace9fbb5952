"""One pass over the data: the mean cross-entropy of a softmax and its gradient.

θ is (C, R + 1) float64: weights in the eigenbasis, then the bias. Products run in the dtype of the
feature blocks, sums over examples in float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bob.numerics.linear.eigenbasis import FeatureBlocks
from bob.numerics.matmul import product
from bob.numerics.threads import map_stripes

RESIDUAL_BYTES = 1 << 30
"""Residuals of all examples are stored for the certificate up to this size."""
GROUP_BYTES = 1 << 18
"""Logits up to this size are turned into residuals at once: they stay in cache."""
FEW_CLASSES = 32
"""Up to this many, rows times weights and a transposition are faster than weights times rows.

oneDNN packs its second matrix: the rows, or the few weights.
"""
NEGLIGIBLE_NATS = 40.0
"""Logits are raised to this far below the largest of their row.

p < 1e-17 adds nothing to any sum, but subnormal numbers make products many times slower.
"""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The mean cross-entropy at one θ.

    It does not depend on the penalty, so that a change of λ costs no pass.
    """

    theta: Tensor
    loss: float
    """Mean cross-entropy, nats."""
    loss_gradient: Tensor
    """(C, R + 1) float64: gradient of the mean cross-entropy."""
    variance: Tensor
    """(C,) float64: mean of p(1 - p)."""
    residuals: list[Tensor] | None
    """Blocks (C, n) of softmax minus one-hot label; None where they exceed `RESIDUAL_BYTES`."""

    def objective(self, penalty: float) -> float:
        """Return the mean cross-entropy + λ/2 ‖W‖²."""
        return self.loss + 0.5 * penalty * float(self.theta[:, :-1].square().sum())

    def gradient(self, penalty: float) -> Tensor:
        """Return the gradient of the objective, (C, R + 1)."""
        gradient = self.loss_gradient.clone()
        gradient[:, :-1].add_(self.theta[:, :-1], alpha=penalty)
        return gradient


def evaluate(
    blocks: FeatureBlocks,
    y: Tensor,
    theta: Tensor,
    workers: int = 1,
    absent: Tensor | None = None,
) -> Evaluation:
    """Make one pass: two products per block, blocks divided among `workers`.

    `absent` (k,) lists classes without examples. At the optimum their probability is 0, and it is
    set to 0 while their biases are far below those of other classes: the remainder would be all
    that stands between an iterate and a bound on its gap.
    """
    n, classes = len(y), len(theta)
    weight, bias = block_weights(blocks, theta)
    store_residuals = classes * n * 4 <= RESIDUAL_BYTES
    stripes = map_stripes(
        lambda slices: _accumulate(blocks, y, weight, bias, slices, store_residuals, absent),
        blocks.slices,
        workers,
    )
    gradients, stripe_sums, losses, residuals = zip(*stripes, strict=True)
    gradient, sums, loss = (
        torch.stack(gradients).sum(0),
        torch.stack(stripe_sums).sum(0),
        torch.stack(losses).sum(0),
    )
    weight_gradient = blocks.to_eigenbasis(gradient).double()
    return Evaluation(
        theta,
        float(loss) / n,
        torch.cat((weight_gradient, sums[0][:, None]), 1).div_(n),
        (sums[0] - 2 * sums[1] - sums[2]).clamp_(min=0) / n,
        [block for stripe in residuals for block in stripe] if store_residuals else None,
    )


def block_weights(blocks: FeatureBlocks, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (C, ·) and biases (C, 1) in block coordinates and dtype."""
    weight = blocks.to_blocks(theta[:, :-1].to(blocks.dtype)).contiguous()
    return weight, theta[:, -1:].to(blocks.dtype)


def _accumulate(
    blocks: FeatureBlocks,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    slices: Sequence[slice],
    store_residuals: bool,
    absent: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Sum over some blocks: weight gradient (C, ·), residual sums (3, C), loss; and the residuals.

    The three residual sums are over all examples, over those of the class itself, and of squares.
    """
    gradient = torch.zeros_like(weight)
    residuals: list[Tensor] = []
    loss = torch.zeros((), dtype=torch.float64, device=weight.device)
    sums = torch.zeros(3, len(weight), dtype=torch.float64, device=weight.device)
    for group in _groups(slices, len(weight)):
        logits = _products(blocks, weight, group).add_(bias)
        label = y[group[0].start : group[-1].stop]
        residual, label_residual, group_loss = softmax_residuals(logits, label)
        loss += group_loss
        if absent is not None:
            residual[absent] = 0
        parts = torch.split(residual, [rows.stop - rows.start for rows in group], 1)
        for rows, part in zip(group, parts, strict=True):
            gradient += product(part, blocks.block(rows).T)
        sums[0] += residual.sum(1)
        sums[1].index_add_(0, label, label_residual.double())
        sums[2] += torch.linalg.vector_norm(residual, 2, 1).square_()
        if store_residuals:
            residuals.extend(parts)
    return gradient, sums, loss, residuals


def _products(blocks: FeatureBlocks, weight: Tensor, group: Sequence[slice]) -> Tensor:
    """Return weights (C, ·) times the rows of a group of blocks, (C, n)."""
    if len(weight) <= FEW_CLASSES:
        by_row = [product(blocks.block(rows), weight) for rows in group]
        return (by_row[0] if len(group) == 1 else torch.cat(by_row)).T.contiguous()
    by_class = [product(weight, blocks.block(rows)) for rows in group]
    return by_class[0] if len(group) == 1 else torch.cat(by_class, 1)


def _groups(slices: Sequence[slice], classes: int) -> Iterator[Sequence[slice]]:
    """Divide adjacent blocks into groups whose logits are turned into residuals at once.

    Of few classes, a block has so few logits that the calls would take longer than their work.
    """
    rows = slices[0].stop - slices[0].start
    count = max(1, GROUP_BYTES // (4 * rows * classes))
    return (slices[i : i + count] for i in range(0, len(slices), count))


def softmax_residuals(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn logits (C, n) in place into residuals: softmax minus one-hot label.

    Return these, their entries at the labels (n,), and the summed cross-entropy in float64. The
    entry at the label is minus the sum of the others, not p - 1: a confident example keeps its
    small residual at full relative precision.
    """
    label = y[None]
    logits -= logits.amax(0)
    label_logit = logits.gather(0, label)
    others = logits.clamp_(min=-NEGLIGIBLE_NATS).exp_().scatter_(0, label, 0).sum(0, keepdim=True)
    total = others + label_logit.exp()
    loss = torch.where(label_logit == 0, others.log1p(), total.log() - label_logit)
    label_residual = -others / total
    logits.mul_(1 / total).scatter_(0, label, label_residual)
    return logits, label_residual[0], loss.sum(dtype=torch.float64)
