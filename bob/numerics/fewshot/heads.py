"""Linear heads fitted to many small samples of train rows at once.

A sample of n = C · shots rows with n ≤ D is solved in the span of its rows, all samples together
(`bob.numerics.linear.batched_dual`); a larger one by the solvers of the linear and ridge probes.
The penalty is l2 times the mean squared length of the centred rows. A sample whose rows are all
equal separates no classes: all tie, and one in C predictions is right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bob.numerics import centroid
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.linear import batched_dual, logistic_path, ridge_path
from bob.numerics.linear.path_solver import penalty_of
from bob.numerics.matmul import product, products
from bob.numerics.scale import common_scale, divided
from bob.numerics.search.similarity import unit
from bob.numerics.threads import map_stripes

SAMPLED_BYTES = 256 << 20
"""Size of the sampled rows, and of their products, that are in memory at once."""
LOGIT_CELLS = 1 << 24
"""Scores of test rows in memory at once: 64 MiB in float32."""


@dataclass(frozen=True, eq=False)
class SampleAnswers:
    """Answers of a head to Q test rows, fitted to R samples at S numbers of shots."""

    top1: Doubles
    """(R, S) accuracy."""
    right: Doubles
    """(Q,) the share of samples that answer right at the last number of shots; 0 without any."""
    gap: float
    """The largest gap of a fit."""


def sample_answers(
    head: str,
    x: Floats,
    samples: Ints,
    shots: Sequence[int],
    test_x: Floats,
    test_y: Ints,
    l2: float,
    device: str,
) -> SampleAnswers:
    """Return the answers to the test rows of R samples at S numbers of shots.

    `samples` (R, C, max shots) are train rows, of which n shots are the first n of each class.
    """
    classes, top1 = samples.shape[1], np.empty((len(samples), len(shots)))
    right = np.zeros((len(samples), len(test_y)))
    scale = common_scale(x, test_x)
    x, test_x = divided(x, scale), divided(test_x, scale)
    centre = x.mean(0, dtype=np.float64).astype(np.float32)
    test = _prepared(head, test_x, centre, device)

    def solve(jobs: Sequence[tuple[int, slice]]) -> float:
        """Fill in some samples at some numbers of shots."""
        largest = 0.0
        for j, part in jobs:
            rows = samples[part, :, : shots[j]].reshape(-1, classes * shots[j])
            train = _prepared(head, x[rows], centre, device)
            y = np.repeat(np.arange(classes), shots[j])
            weight, bias, gap = fit_head(head, train, y, classes, l2)
            answers = right_answers(weight, bias, test, test_y)
            top1[part, j] = answers.mean(1)
            if j == len(shots) - 1:
                right[part] = answers
            largest = max(gap, largest)
        return largest

    jobs = [
        (j, part)
        for j, count in enumerate(shots)
        for part in _chunks(len(samples), classes * count, x.shape[1])
    ]
    balanced = jobs[::2] + jobs[1::2]  # more shots are more work
    workers = torch.get_num_threads() if device == "cpu" else 1
    gap = max(map_stripes(solve, balanced, workers))
    return SampleAnswers(top1, right.mean(0), gap)


def fit_head(
    head: str, x: Tensor, y: Ints, classes: int, l2: float
) -> tuple[Tensor, Tensor, float]:
    """Return weights (B, C, D), bias (B, C) and gap of one head.

    x (B, n, D) are the rows of B samples, which all have the labels y (n,). The gap at which the
    logistic head stops is, in the span of the rows, relative to the objective that the weights gain
    over zero weights, and else relative to the objective.
    """
    if head == "centroid":
        weight, bias = centroid.fit(x, _labels(y, x), classes)
        return *_without_noise(weight, bias, _same_rows(x, x - x.mean(1, keepdim=True))), 0.0
    if x.shape[1] > x.shape[2]:
        fits = [_fit_one(head, rows, y, classes, l2) for rows in x]
        weights, biases, gaps = zip(*fits, strict=True)
        return torch.stack(weights), torch.stack(biases), max(gaps)
    return _fit_in_span(head, x, y, classes, l2)


def _fit_in_span(
    head: str, x: Tensor, y: Ints, classes: int, l2: float
) -> tuple[Tensor, Tensor, float]:
    """Fit all samples at once, in the span of their rows."""
    mean = x.mean(1, keepdim=True)
    rows = x - mean
    same = _same_rows(x, rows)
    scale = _inverse_deviation(rows) if head == "ridge" else torch.ones_like(mean)
    scale = torch.where(same[:, None, None], 0.0, scale)
    rows = rows * scale
    gram, labels = batched_dual.centred(products(rows, rows)), _labels(y, x)
    penalty = torch.where(same, 1.0, l2 * gram.diagonal(dim1=1, dim2=2).mean(1))
    if head == "ridge":
        solution = batched_dual.ridge(gram, labels, classes, penalty)
    else:
        solution = batched_dual.logistic(gram, labels, classes, penalty)
    weight = solution.coefficient.transpose(1, 2) @ rows * scale
    bias = solution.bias - (weight @ mean.transpose(1, 2))[:, :, 0]
    return *_without_noise(weight, bias, same), solution.gap


def _fit_one(
    head: str, x: Tensor, y: Ints, classes: int, l2: float
) -> tuple[Tensor, Tensor, float]:
    """Fit one sample of more rows than features by the solvers of the probes."""
    rows, device = x.cpu().numpy(), str(x.device)
    if _same_rows(x[None], (x - x.mean(0))[None]).item():
        return x.new_zeros(classes, x.shape[1]), x.new_zeros(classes), 0.0
    if head == "ridge":
        varying = int((rows != rows[0]).any(0).sum())
        (ridge,) = ridge_path.fit_path(rows, y, classes, [l2 * max(varying, 1)], device=device)
        return torch.from_numpy(ridge.weight).to(x), torch.from_numpy(ridge.bias).to(x), 0.0
    penalty = l2 * float((x - x.mean(0)).square().sum(1).mean())
    c = penalty_of(penalty, 1, classes)  # 1 / penalty, or 2 / penalty of two classes
    tolerance = batched_dual.TOLERANCE
    (fit,) = logistic_path.fit_path(rows, y, classes, [c], tolerance=tolerance, device=device)
    return torch.from_numpy(fit.weight).to(x), torch.from_numpy(fit.bias).to(x), fit.gap


def _same_rows(x: Tensor, centred: Tensor) -> Tensor:
    """Return whether the rows of each sample (B, n, D) are equal up to rounding, (B,)."""
    size, variation = (values.square().mean((1, 2)) for values in (x, centred))
    return variation <= batched_dual.SAME_ROWS * size


def _without_noise(weight: Tensor, bias: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (B, C, D) and biases (B, C), 0 for samples of equal rows (B,)."""
    return weight.masked_fill(same[:, None, None], 0.0), bias.masked_fill(same[:, None], 0.0)


def _inverse_deviation(rows: Tensor) -> Tensor:
    """Return 1 / standard deviation (B, 1, D) of centred rows.

    It is 0 where a feature varies by no more than the rounding of the largest.
    """
    deviation = rows.square().mean(1, keepdim=True).sqrt()
    return torch.where(deviation > 1e-6 * deviation.amax(2, keepdim=True), 1 / deviation, 0.0)


def _labels(y: Ints, x: Tensor) -> Tensor:
    return torch.as_tensor(y, device=x.device).expand(x.shape[0], -1)


def _prepared(head: str, rows: Floats, centre: Floats, device: str) -> Tensor:
    """Return rows (..., D) as a head takes them.

    Those of the centroid head have length 1; others are moved by the mean of train, which changes
    no answer and spares digits of float32.
    """
    if head == "centroid":
        rows = unit(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape)
        return torch.from_numpy(rows).to(device)
    return torch.from_numpy(rows - centre).to(device)


def right_answers(weight: Tensor, bias: Tensor, x: Tensor, y: Ints) -> Doubles:
    """Return (B, Q) whether the largest score of each row (Q, D) is that of its class, 1 or 0.

    Equal scores go to the lower class. Without weights and biases all classes tie, and 1 / C of
    every answer is right: that of guesses.
    """
    flat, true = weight.flatten(0, 1), torch.as_tensor(y, device=x.device)
    right = torch.empty((len(weight), len(x)), dtype=torch.bool, device=x.device)
    size = max(1, LOGIT_CELLS // len(flat))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        scores = product(x[rows], flat).view(-1, *bias.shape) + bias
        right[:, rows] = (scores.argmax(2) == true[rows, None]).T
    answers: Doubles = right.cpu().numpy().astype(np.float64)
    guesses = ~(weight.flatten(1).any(1) | bias.any(1))
    answers[guesses.cpu().numpy()] = 1 / bias.shape[1]
    return answers


def _chunks(count: int, rows: int, width: int) -> Iterator[slice]:
    """Yield slices of `count` samples of `rows` rows that fit in memory."""
    size = max(1, SAMPLED_BYTES // (4 * rows * (width + min(rows, width))))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
