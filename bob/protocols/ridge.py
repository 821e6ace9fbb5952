"""Ridge regression on ±1 targets as a classifier: closed form, one eigendecomposition for a whole path of strengths.

Follows big_vision's few-shot probe (evaluators/fewshot_lsr.py; Kolesnikov et al. 2020, arXiv:1912.11370): features standardised with train mean and
standard deviation, one-vs-rest targets of ±1, the largest output wins.
Differs in two points: the intercept is free, where theirs is a constant feature of 100 under the penalty, so that a class's share of train never
shrinks; and the sums are float64, so that the result does not depend on the device. As a protocol (`ridge`) the penalty is chosen on held-out
train data, where theirs is chosen by the mean over datasets, and counts per train example, so that the refit on all of train means the same by it.
"""

from dataclasses import replace

import numpy as np

from bob.numerics.linear.ridge_path import fit_path, scores
from bob.outcomes import Classified
from bob.protocols.protocol import Part, Problem, Result
from bob.specs.settings import RidgeSettings


def ridge(problem: Problem, settings: RidgeSettings, device: str) -> Result:
    """Penalty chosen on held-out train rows (highest top-1, then strongest), refit on all of train, scored on test."""
    first, last, count = settings.log10_l2
    grid, held = 10.0 ** np.linspace(first, last, count), problem.held_out
    fits = fit_path(
        problem.x[~held], problem.y[~held], problem.classes, grid * (~held).sum(), device=device
    )
    top1 = [
        float((scores(fit, problem.x[held]).argmax(1) == problem.y[held]).mean()) for fit in fits
    ]
    best = max(range(count), key=lambda i: (top1[i], grid[i]))
    (fit,) = fit_path(
        problem.x, problem.y, problem.classes, [grid[best] * len(problem.y)], device=device
    )
    outcome = Classified.by_blocks(
        lambda rows: scores(fit, problem.test_x[rows]), problem.test_y, problem.classes
    )
    detail = {
        "l2_per_example": float(grid[best]),
        "l2_at_edge": count > 1 and best in (0, count - 1),
        "held_out_top1": top1[best],
        "held_out_rows": int(held.sum()),
    }
    return Result(
        (Part(replace(outcome, log_prob=None, confidence=None)),), detail
    )  # outputs are no logits
