"""Metrics of few-shot draws: accuracy at one number of shots, and a summary over all of them."""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles
from bob.outcomes import FewShotCurves


def few_shot_top1(outcome: FewShotCurves) -> float:
    """Return the mean over draws of the share of right predictions, at one number of shots.

    Range [0, 1]. This is how few-shot accuracy is reported since Vinyals et al. 2016
    (arXiv:1606.04080).
    """
    return float(top1_per_draw(outcome).mean())


def label_efficiency(outcome: FewShotCurves) -> float:
    """Return the mean over draws of the normalised area under accuracy against log(shots).

    The area under trapezoids between the numbers of shots is divided by the width in log(shots), so
    the result is an accuracy, averaged over label budgets; going from 1 shot to 2 weighs as much as
    going from 8 to 16. Range [0, 1]. Defined here.
    """
    return float(area_per_draw(outcome).mean())


def top1_per_draw(outcome: FewShotCurves) -> Doubles:
    """Return (R,) the accuracy of each draw."""
    _require_draws(outcome)
    if len(outcome.shots) > 1:
        raise UndefinedError(
            "few_shot_top1 needs an outcome at a single number of shots; "
            f"this one has {len(outcome.shots)}"
        )
    return outcome.top1[:, 0]


def area_per_draw(outcome: FewShotCurves) -> Doubles:
    """Return (R,) the normalised area of each draw."""
    _require_draws(outcome)
    if len(outcome.shots) < 2:
        raise UndefinedError(
            "label_efficiency needs at least two numbers of shots for which every class has enough "
            "train examples"
        )
    log_shots = np.log(outcome.shots)
    heights = (outcome.top1[:, 1:] + outcome.top1[:, :-1]) / 2
    area: Doubles = heights @ np.diff(log_shots) / (log_shots[-1] - log_shots[0])
    return area


def _require_draws(outcome: FewShotCurves) -> None:
    if not len(outcome):
        raise UndefinedError("there are no draws")


METRICS = (
    Metric(
        few_shot_top1,
        FewShotCurves,
        interval="t",
        higher_is_better=True,
        summary="accuracy at one number of shots, averaged over draws",
        per_example=top1_per_draw,
    ),
    Metric(
        label_efficiency,
        FewShotCurves,
        interval="t",
        higher_is_better=True,
        summary="area under accuracy against log shots, averaged over draws",
        per_example=area_per_draw,
    ),
)
