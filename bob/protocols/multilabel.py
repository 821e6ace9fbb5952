"""A probe for images of which each can have several classes: one ridge regression on targets of ±1 per class, all in one eigendecomposition.

Features are standardised with train mean and standard deviation, intercepts are free, sums are float64. The penalty, one for all classes, is the
one with the highest mean average precision on held-out train rows (the strongest of equals); then all of train is fitted again, and test is scored
once. Published probes for VOC 2007 (Kornblith et al. 2019, arXiv:1805.08974; ssl-transfer) fit a logistic regression per class instead, on trainval
without a held-out share after the choice: numbers are near theirs and not theirs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.multilabel import label_ap
from bob.outcomes.multilabel import Marked
from bob.protocols.protocol import Part, Result
from bob.specs.settings.multilabel import MultilabelSettings

ROWS = 8192
"""Rows that are taken in float64 at once: 80 MB at D = 1,280."""


@dataclass(frozen=True, eq=False)
class MultilabelProblem:
    """Features with roles."""

    x: NDArray[np.float32]
    """(N, D) train features, those of a val split among them."""
    labels: NDArray[np.bool_]
    """(N, C)"""
    held_out: NDArray[np.bool_]
    """(N,) the train rows on which the penalty is chosen."""
    test_x: NDArray[np.float32]
    """(Q, D)"""
    test_labels: NDArray[np.bool_]
    """(Q, C)"""


def multilabel(problem: MultilabelProblem, settings: MultilabelSettings) -> Result:
    """Penalty chosen on held-out train rows, refit on all of train, scored on test."""
    first, last, count = settings.log10_l2
    grid, held = 10.0 ** np.linspace(first, last, count), problem.held_out
    fits = fit_path(problem.x[~held], problem.labels[~held], grid)
    chosen_by = [
        _held_out_ap(Marked(scores(*fit, problem.x[held]), problem.labels[held])) for fit in fits
    ]
    best = max(range(count), key=lambda i: (chosen_by[i], grid[i]))
    (fit,) = fit_path(problem.x, problem.labels, grid[best : best + 1])
    detail = {
        "l2_per_example": float(grid[best]),
        "l2_at_edge": count > 1 and best in (0, count - 1),
        "held_out_label_ap": chosen_by[best],
        "held_out_rows": int(held.sum()),
    }
    return Result((Part(Marked(scores(*fit, problem.test_x), problem.test_labels)),), detail)


def fit_path(
    x: NDArray[np.float32], labels: NDArray[np.bool_], penalties: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Weights (D, C) and biases (C,) for features as given, one pair for each penalty per example; a constant feature gets weight 0."""
    n, mean, targets = len(x), x.mean(0, dtype=np.float64), 2.0 * labels - 1
    deviation = np.sqrt(
        sum(
            (np.square(x[i : i + ROWS] - mean).sum(0) for i in range(0, n, ROWS)),
            np.zeros(x.shape[1]),
        )
        / n
    )
    scale = np.divide(
        1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6 * np.abs(mean)
    )
    centre, gram, cross = (
        targets.mean(0),
        np.zeros((x.shape[1],) * 2),
        np.zeros((x.shape[1], labels.shape[1])),
    )
    for i in range(0, n, ROWS):
        block = (x[i : i + ROWS] - mean) * scale
        gram += block.T @ block / n
        cross += block.T @ (targets[i : i + ROWS] - centre) / n
    eigenvalue, basis = np.linalg.eigh(gram)
    rotated = basis.T @ cross
    weights = [
        scale[:, None] * (basis @ (rotated / (np.maximum(eigenvalue, 0) + penalty)[:, None]))
        for penalty in penalties
    ]
    return [(weight, centre - mean @ weight) for weight in weights]


def scores(
    weight: NDArray[np.float64], bias: NDArray[np.float64], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, C) outputs for (N, D) rows."""
    return np.concatenate(
        [
            (x[i : i + ROWS] @ weight + bias).astype(np.float32)
            for i in range(0, max(len(x), 1), ROWS)
        ]
    )


def _held_out_ap(outcome: Marked) -> float:
    """0 for every penalty where the held-out rows can tell none apart."""
    try:
        return label_ap(outcome)
    except UndefinedError:
        return 0.0
