"""Ridge and logistic regression of many small problems at once, in the span of their rows.

With n train rows X (n, D), n at most about D, the optimal weights are W = Aᵀ X with A (n, C) (representer theorem), so that a problem is its Gram
matrix X Xᵀ. Rows are centred first: the bias is free, so this changes nothing but makes weights and bias nearly independent.
B problems of one shape are solved together: every tensor has B as its first axis, and every step is a batched product. Inside, classes come before
rows: a softmax over few classes is several times faster across rows than along them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_STEPS = 2000
"""Steps of one solution; 10 to 100 are usual."""
FIRST_LOOK, LOOK_EVERY = 10, 5
"""Steps before the first look at the gap, and between two, each of which costs as much as two steps; later every eighth of the steps so far."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Scores of a row x are  coefficient · (X x) + bias, with X the centred train rows and x centred by their mean."""

    coefficient: Tensor
    """(B, n, C)"""
    bias: Tensor
    """(B, C)"""
    gap: float
    """Largest estimate over problems of (objective - optimum) / (objective without weights - objective); 0 in closed form."""


def centred(gram: Tensor) -> Tensor:
    """(B, n, n) products of rows → those of the same rows minus their mean."""
    row = gram.mean(2, keepdim=True)
    return gram - row - row.transpose(1, 2) + row.mean(1, keepdim=True)


def centred_queries(products: Tensor, gram: Tensor) -> Tensor:
    """(B, Q, n) products of queries with train rows → both minus the mean of the train rows, whose own products are `gram` (B, n, n)."""
    row = gram.mean(2)
    return products - products.mean(2, keepdim=True) - row[:, None] + row.mean(1)[:, None, None]


def ridge(gram: Tensor, y: Tensor, classes: int, l2: Tensor) -> Solution:
    """Minimises  Σ (output - target)² + l2 ‖W‖²  on ±1 targets. gram (B, n, n) is centred; y (B, n) int64; l2 (B,).

    The objective of scikit-learn's RidgeClassifier at alpha = l2, its two-class form included.
    """
    target = 2 * torch.nn.functional.one_hot(y, classes).to(gram.dtype) - 1
    mean = target.mean(1, keepdim=True)
    penalised = gram + torch.diag_embed(l2[:, None].expand(gram.shape[:2]).to(gram.dtype))
    factor = torch.linalg.cholesky(penalised)
    return Solution(torch.cholesky_solve(target - mean, factor), mean[:, 0], 0.0)


def logistic(
    gram: Tensor, y: Tensor, classes: int, l2: Tensor, tolerance: float = 1e-6
) -> Solution:
    """Minimises  Σ cross-entropy + l2/2 ‖W‖²  with a free bias. gram (B, n, n) is centred; y (B, n) int64; l2 (B,) = 1 / C of scikit-learn.

    (Two classes: scikit-learn's objective at 2 / l2; see `bob.numerics.linear.logistic_path.penalty_of`.)

    Method: Nesterov's accelerated gradient with the constant momentum of strong convexity (Nesterov 2004, scheme 2.2.22). A step in W is one in A:
    the gradient is (R + l2 A)ᵀ X with R = softmax - one-hot label. Steps have length 1 / (e/2 + l2): a softmax bends by at most 1/2, and e, at least
    the largest eigenvalue of the Gram matrix, is the smaller of its row-sum and Frobenius norms. The bias steps as the weight of one more feature,
    constant and so orthogonal to the centred ones, of the size at which that feature's own e is the same.
    """
    label = torch.nn.functional.one_hot(y, classes).to(gram.dtype).transpose(1, 2).contiguous()
    penalty = l2.to(gram.dtype)[:, None, None]
    largest = torch.minimum(gram.abs().sum(2).amax(1), gram.square().sum((1, 2)).sqrt())[
        :, None, None
    ].clamp(min=1e-30)
    step, constant = 1 / (largest / 2 + penalty), largest / gram.shape[1]
    share = (penalty * step).sqrt()
    momentum, gap, look = (1 - share) / (1 + share), float("inf"), FIRST_LOOK
    weights = ahead = torch.zeros_like(label)
    bias = bias_ahead = label.new_zeros(len(y), classes, 1)
    for i in range(MAX_STEPS):
        projected = ahead @ gram
        residual = torch.softmax(projected + bias_ahead, 1) - label
        if i == look:
            look += max(LOOK_EVERY, i // 8)
            gap = _gap(gram, projected, ahead, bias_ahead, label, penalty)
            if gap <= tolerance:
                break
        before, bias_before = weights, bias
        weights = ahead - step * (residual + penalty * ahead)
        bias = bias_ahead - step * constant * residual.sum(2, keepdim=True)
        ahead, bias_ahead = (
            weights + momentum * (weights - before),
            bias + momentum * (bias - bias_before),
        )
    return Solution(ahead.transpose(1, 2), bias_ahead[:, :, 0], gap)


def _gap(
    gram: Tensor, projected: Tensor, weights: Tensor, bias: Tensor, label: Tensor, penalty: Tensor
) -> float:
    """Largest over problems of an estimate of (objective - optimum) / what the weights gain over none. Weights and labels are (B, C, n).

    Relative to the gain, because under a strong penalty the objective hardly differs from that of no weights, while predictions depend on them.
    Strong convexity bounds what the weights can gain by ‖gradient‖² / (2 l2); the bias by its Newton step, its Hessian taken to be diagonal.
    """
    log_prob = torch.log_softmax(projected + bias, 1)
    prob = log_prob.exp()
    objective = -(log_prob * label).sum((1, 2)) + (penalty * weights * projected).sum((1, 2)) / 2
    gradient = prob - label + penalty * weights
    of_weights = (gradient * (gradient @ gram) / (2 * penalty)).sum((1, 2))
    of_bias = (
        (prob - label).sum(2).square() / (2 * (prob * (1 - prob)).sum(2).clamp(min=1e-12))
    ).sum(1)
    entropy = -torch.xlogy(label.sum(2), label.mean(2)).sum(1)
    gain = (entropy - objective).clamp(min=1e-6 * entropy.clamp(min=1e-12))
    return float(((of_weights + of_bias) / gain).max())
