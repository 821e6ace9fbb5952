"""Metrics of few-shot draws: the mean accuracy at one number of shots, and a summary over all of them."""

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes import FewShotCurves


def few_shot_top1(outcome: FewShotCurves) -> float:
    """Mean over draws of the share of test examples predicted right, at one number of shots."""
    return float(each_top1(outcome).mean())


def label_efficiency(outcome: FewShotCurves) -> float:
    """Mean over draws of the area under accuracy against log(shots), divided by the width in log(shots): an accuracy, averaged over label budgets.

    Trapezoids between the numbers of shots. In log(shots), going from 1 to 2 weighs as much as going from 8 to 16.
    """
    return float(each_area(outcome).mean())


def each_top1(outcome: FewShotCurves) -> NDArray[np.float64]:
    """(R,) accuracy per draw."""
    _not_empty(outcome)
    if len(outcome.shots) > 1:
        raise UndefinedError(
            f"few_shot_top1 is of one number of shots; the outcome has {len(outcome.shots)}"
        )
    return outcome.top1[:, 0]


def each_area(outcome: FewShotCurves) -> NDArray[np.float64]:
    """(R,) normalised area per draw."""
    _not_empty(outcome)
    if len(outcome.shots) < 2:
        raise UndefinedError(
            "label_efficiency needs at least two numbers of shots that every class has train examples for"
        )
    at = np.log(outcome.shots)
    middle = (outcome.top1[:, 1:] + outcome.top1[:, :-1]) / 2
    area: NDArray[np.float64] = middle @ np.diff(at) / (at[-1] - at[0])
    return area


def _not_empty(outcome: FewShotCurves) -> None:
    if not len(outcome):
        raise UndefinedError("there are no draws")


METRICS = (
    Metric(
        few_shot_top1,
        FewShotCurves,
        "t",
        1.0,
        True,
        "accuracy at one number of shots, averaged over draws",
        per_example=each_top1,
    ),
    Metric(
        label_efficiency,
        FewShotCurves,
        "t",
        1.0,
        True,
        "area under accuracy against log shots, averaged over draws",
        per_example=each_area,
    ),
)
