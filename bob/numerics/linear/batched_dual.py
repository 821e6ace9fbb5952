"""Ridge and logistic regression of many small problems at once, in the span of their rows.

With n train rows X (n, D), n at most about D, the optimal weights are W = Aᵀ X with A (n, C)
(representer theorem), so that a problem is its Gram matrix X Xᵀ. Rows are centred first: the bias
is free, so this changes nothing but makes weights and bias nearly independent. B problems of one
shape are solved together: every tensor has B as its first axis, and every step is a batched
product. Internally classes come before rows: a softmax over few classes is several times faster
across rows than along them.

For single problems of any size see `bob.numerics.linear.ridge_path` and
`bob.numerics.linear.logistic_path`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-7
"""Gap at which the logistic heads stop. At 1e-5 the slack decided up to 15 of 2,000 test rows at
one shot; float32 reaches 1e-7 in as much time."""
SAME_ROWS = (4 * torch.finfo(torch.float32).eps) ** 2
"""Rows whose mean squared distance from their mean is a smaller share of their mean square differ
by rounding alone."""
MAX_STEPS = 2000
"""Most gradient steps of one solution; 10 to 100 are usual."""
FIRST_CHECK, CHECK_EVERY = 10, 5
"""Steps before the gap is first computed, and between two checks, each as costly as two steps.

Later checks are an eighth of the steps so far apart.
"""


@dataclass(frozen=True, eq=False)
class DualSolution:
    """B linear models whose scores of a row x are  coefficient · (X x) + bias.

    X are the centred train rows, and x is centred by their mean.
    """

    coefficient: Tensor
    """(B, n, C)"""
    bias: Tensor
    """(B, C)"""
    gap: float
    """Largest estimate over problems of the relative gap; 0 in closed form.

    Relative: (objective - optimum) / (objective without weights - objective).
    """


def centred(gram: Tensor) -> Tensor:
    """Return the Gram matrices (B, n, n) of the same rows minus their mean."""
    row = gram.mean(2, keepdim=True)
    return gram - row - row.transpose(1, 2) + row.mean(1, keepdim=True)


def centred_queries(products: Tensor, gram: Tensor) -> Tensor:
    """Return products of queries with train rows (B, Q, n), both minus the mean of the train rows.

    `gram` (B, n, n) holds the products of the train rows with each other, not centred.
    """
    row = gram.mean(2)
    return products - products.mean(2, keepdim=True) - row[:, None] + row.mean(1)[:, None, None]


def ridge(gram: Tensor, y: Tensor, classes: int, l2: Tensor) -> DualSolution:
    """Minimise  Σ (output - target)² + l2 ‖W‖²  on targets of ±1, by a Cholesky factorisation.

    `gram` (B, n, n) is centred; y (B, n) int64; l2 (B,). The objective is that of scikit-learn's
    RidgeClassifier at alpha = l2, its form for two classes included.
    """
    target = 2 * torch.nn.functional.one_hot(y, classes).to(gram.dtype) - 1
    mean = target.mean(1, keepdim=True)
    penalised = gram + torch.diag_embed(l2[:, None].expand(gram.shape[:2]).to(gram.dtype))
    factor = torch.linalg.cholesky(penalised)
    return DualSolution(torch.cholesky_solve(target - mean, factor), mean[:, 0], 0.0)


def logistic(
    gram: Tensor, y: Tensor, classes: int, l2: Tensor, tolerance: float = TOLERANCE
) -> DualSolution:
    """Minimise  Σ cross-entropy + l2/2 ‖W‖²  with a free bias.

    `gram` (B, n, n) is centred; y (B, n) int64; l2 (B,) is 1 / C of scikit-learn. (Two classes:
    scikit-learn's objective at 2 / l2; see `bob.numerics.linear.path_solver.penalty_of`.)

    Method: Nesterov's accelerated gradient with the constant momentum of strong convexity (Nesterov
    2004, scheme 2.2.22). A step in W is one in A: the gradient is (R + l2 A)ᵀ X with R = softmax -
    one-hot label. Steps have length 1 / (e/2 + l2): the curvature of a softmax is at most 1/2, and
    e, an upper bound of the largest eigenvalue of the Gram matrix, is the smaller of its row-sum
    and Frobenius norms. The bias steps as the weight of one more feature, constant and therefore
    orthogonal to the centred ones, scaled so that its own e is the same.
    """
    label = torch.nn.functional.one_hot(y, classes).to(gram.dtype).transpose(1, 2).contiguous()
    penalty = l2.to(gram.dtype)[:, None, None]
    row_sum, frobenius = gram.abs().sum(2).amax(1), gram.square().sum((1, 2)).sqrt()
    largest = torch.minimum(row_sum, frobenius)[:, None, None].clamp(min=1e-30)
    step, constant = 1 / (largest / 2 + penalty), largest / gram.shape[1]
    inverse_root_condition = (penalty * step).sqrt()
    momentum = (1 - inverse_root_condition) / (1 + inverse_root_condition)
    gap, next_check = float("inf"), FIRST_CHECK
    weights = extrapolated = torch.zeros_like(label)
    bias = bias_extrapolated = label.new_zeros(len(y), classes, 1)
    for i in range(MAX_STEPS):
        projected = extrapolated @ gram
        residual = torch.softmax(projected + bias_extrapolated, 1) - label
        if i == next_check:
            next_check += max(CHECK_EVERY, i // 8)
            gap = _relative_gap(gram, projected, extrapolated, bias_extrapolated, label, penalty)
            if gap <= tolerance:
                break
        previous, bias_previous = weights, bias
        weights = extrapolated - step * (residual + penalty * extrapolated)
        bias = bias_extrapolated - step * constant * residual.sum(2, keepdim=True)
        extrapolated = weights + momentum * (weights - previous)
        bias_extrapolated = bias + momentum * (bias - bias_previous)
    return DualSolution(extrapolated.transpose(1, 2), bias_extrapolated[:, :, 0], gap)


def _relative_gap(
    gram: Tensor, projected: Tensor, weights: Tensor, bias: Tensor, label: Tensor, penalty: Tensor
) -> float:
    """Return the largest estimated relative gap over problems, as `DualSolution.gap` defines it.

    Weights and labels are (B, C, n). Relative to the decrease that the weights achieve over none,
    because under a strong penalty the objective hardly differs from that of no weights, while
    predictions depend on them. Strong convexity bounds what the weights can still gain by
    ‖gradient‖² / (2 l2); for the bias it is estimated by a Newton step with diagonal Hessian.
    """
    log_prob = torch.log_softmax(projected + bias, 1)
    prob = log_prob.exp()
    objective = -(log_prob * label).sum((1, 2)) + (penalty * weights * projected).sum((1, 2)) / 2
    gradient = prob - label + penalty * weights
    weight_gap = (gradient * (gradient @ gram) / (2 * penalty)).sum((1, 2))
    bias_curvature = (prob * (1 - prob)).sum(2).clamp(min=1e-12)
    bias_gap = ((prob - label).sum(2).square() / (2 * bias_curvature)).sum(1)
    entropy = -torch.xlogy(label.sum(2), label.mean(2)).sum(1)
    gain = (entropy - objective).clamp(min=1e-6 * entropy.clamp(min=1e-12))
    return float(((weight_gap + bias_gap) / gain).max())
