"""Ridge regression on ±1 targets as a classifier: one eigendecomposition for all penalties.

Follows big_vision's few-shot probe (evaluators/fewshot_lsr.py; Kolesnikov et al. 2020,
arXiv:1912.11370): features standardised with train mean and standard deviation, one-vs-rest targets
of ±1, the largest output wins.

Differs in these points:
- the intercept is free, where theirs is a constant feature of 100 under the penalty, so that a
  class's share of train is never shrunk;
- sums are float64, so that the result does not depend on the device;
- the penalty is chosen on held-out train data, where theirs is chosen by the mean over datasets,
  and counts per train example, so that it means the same in the refit on all of train.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from bob.numerics.arrays import Doubles
from bob.outcomes import ClassPredictions
from bob.protocols.caveats import Caveats, at_edge, features_checked
from bob.protocols.classification import ClassificationProblem, Classifier, answers_of
from bob.protocols.protocol import Result, ResultPart
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.linear.ridge_path import RidgeFit


class RidgeSettings(Closed):
    """Settings of the ridge probe."""

    log10_l2: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of the penalty per train example, and the number of values."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """Share of train, per class, on which the penalty is chosen where there is no val split."""


class RidgeProbe(Classifier[RidgeSettings]):
    """The penalty with the highest held-out top-1 (the strongest of equals), refit on all rows."""

    name = "ridge"
    settings = RidgeSettings

    def solve(self, problem: ClassificationProblem, settings: RidgeSettings, device: str) -> Result:
        checked = features_checked(train=problem.x, test=problem.test_x)
        chosen = fit_ridge(problem, settings, device)
        grid, best = chosen.grid, chosen.best
        outcome = predictions(chosen.fit, problem)
        detail = {
            "l2_per_example": float(grid[best]),
            "l2_at_edge": len(grid) > 1 and best in (0, len(grid) - 1),
            "held_out_top1": chosen.held_out_top1,
            "held_out_rows": int(problem.held_out.sum()),
        }
        caveats = checked or penalty_at_edge(grid, best)
        return Result((ResultPart(outcome),), detail, caveats, {"": answers_of(outcome)})


@dataclass(frozen=True, eq=False)
class ChosenRidge:
    """A ridge probe whose penalty was chosen on held-out rows."""

    fit: "RidgeFit"
    """That of all rows."""
    held_out_fit: "RidgeFit"
    """That with the same penalty per example, fitted without the held-out rows."""
    grid: Doubles
    """(P,) penalties per example, ascending."""
    best: int
    """Place of the chosen one."""
    held_out_top1: float


def fit_ridge(problem: ClassificationProblem, settings: RidgeSettings, device: str) -> ChosenRidge:
    """Return the probe with the highest held-out top-1, refit on all rows."""
    from bob.numerics.linear.ridge_path import fit_path, scores

    first, last, count = settings.log10_l2
    grid, held = 10.0 ** np.linspace(first, last, count), problem.held_out
    x, y, classes = problem.x, problem.y, problem.classes
    fits = fit_path(x[~held], y[~held], classes, grid * (~held).sum(), device=device)
    top1 = [float((scores(fit, x[held]).argmax(1) == y[held]).mean()) for fit in fits]
    best = max(range(count), key=lambda i: (top1[i], grid[i]))
    (fit,) = fit_path(x, y, classes, [grid[best] * len(y)], device=device)
    return ChosenRidge(fit, fits[best], grid, best, top1[best])


def predictions(fit: "RidgeFit", problem: ClassificationProblem) -> ClassPredictions:
    """Return the predictions of a probe for the test rows.

    They have no probabilities: outputs are not logits.
    """
    from bob.numerics.linear.ridge_path import scores

    outcome = ClassPredictions.from_logits_in_blocks(
        lambda rows: scores(fit, problem.test_x[rows]), problem.test_y, problem.classes
    )
    return replace(outcome, log_prob=None, confidence=None)


def penalty_at_edge(grid: Doubles, best: int) -> Caveats:
    """Return a caveat where the best of several penalties is the first or the last."""
    if len(grid) < 2:
        return ()
    ends = float(grid[0]), float(grid[-1])
    return at_edge("penalty per example", float(grid[best]), ends, widened=False)


PROTOCOL = RidgeProbe()
