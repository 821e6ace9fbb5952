"""A probe for images of which each can have several classes: one ridge regression on targets of ±1 per class, all in one eigendecomposition.

Features are standardised with train mean and standard deviation, intercepts are free, sums are float64. The penalty, one for all classes, is the
one with the highest mean average precision on held-out train rows (the strongest of equals); then all of train is fitted again, and test is scored
once. Published probes for VOC 2007 (Kornblith et al. 2019, arXiv:1805.08974; ssl-transfer) fit a logistic regression per class instead, on trainval
without a held-out share after the choice: numbers are near theirs and not theirs.
"""

from dataclasses import dataclass

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.multilabel import label_ap
from bob.numerics.arrays import Bools, Doubles, Floats
from bob.numerics.linear import ridge_path
from bob.numerics.linear.ridge_path import RidgeFit
from bob.outcomes.multilabel import MultilabelPredictions
from bob.protocols.protocol import Part, Result
from bob.specs.settings.multilabel import MultilabelSettings

CONSTANT_BELOW = 1e-6
"""Ratio of standard deviation to mean at which a feature is constant up to float32 rounding."""


@dataclass(frozen=True, eq=False)
class MultilabelProblem:
    """Features with roles."""

    x: Floats
    """(N, D) train features, those of a val split among them."""
    labels: Bools
    """(N, C)"""
    held_out: Bools
    """(N,) the train rows on which the penalty is chosen."""
    test_x: Floats
    """(Q, D)"""
    test_labels: Bools
    """(Q, C)"""


def multilabel(problem: MultilabelProblem, settings: MultilabelSettings) -> Result:
    """Penalty chosen on held-out train rows, refit on all of train, scored on test."""
    first, last, count = settings.log10_l2
    grid, held = 10.0 ** np.linspace(first, last, count), problem.held_out
    fits = fit_path(problem.x[~held], problem.labels[~held], grid)
    chosen_by = [
        _held_out_ap(predictions(fit, problem.x[held], problem.labels[held])) for fit in fits
    ]
    best = max(range(count), key=lambda i: (chosen_by[i], grid[i]))
    (fit,) = fit_path(problem.x, problem.labels, grid[best : best + 1])
    detail = {
        "l2_per_example": float(grid[best]),
        "l2_at_edge": count > 1 and best in (0, count - 1),
        "held_out_label_ap": chosen_by[best],
        "held_out_rows": int(held.sum()),
    }
    return Result((Part(predictions(fit, problem.test_x, problem.test_labels)),), detail)


def fit_path(x: Floats, labels: Bools, penalties: Doubles) -> list[RidgeFit]:
    """Fit ridge regressions on targets of ±1, one for each penalty per example."""
    l2, targets = penalties * len(x), np.where(labels, 1.0, -1.0)
    return ridge_path.fit_path(x, targets, labels.shape[1], l2, constant_below=CONSTANT_BELOW)


def predictions(fit: RidgeFit, x: Floats, labels: Bools) -> MultilabelPredictions:
    """Return the outputs (N, C) for rows (N, D), beside their label sets (N, C)."""
    return MultilabelPredictions(ridge_path.scores(fit, x).astype(np.float32), labels)


def _held_out_ap(outcome: MultilabelPredictions) -> float:
    """0 for every penalty where the held-out rows can tell none apart."""
    try:
        return label_ap(outcome)
    except UndefinedError:
        return 0.0
