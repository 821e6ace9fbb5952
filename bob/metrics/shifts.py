"""Metrics of generalisation to shifted test sets.

Accuracy under shift, the accuracy lost compared with in distribution, and the worst group, as in
Taori et al. 2020 (arXiv:2007.00644) and WILDS (Koh et al. 2021, arXiv:2012.07421). Effective
robustness is a property of a pool of backbones: see `bob.statistics.effective_robustness`.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import GroupAccuracies, Metric
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import ShiftResults


def shifted_top1(outcome: ShiftResults) -> float:
    """Return top-1 on the shifted test sets, averaged over sets with equal weight.

    Range [0, 1].
    """
    return float(_accuracy_per_shift(outcome)[1:].mean())


def drop(outcome: ShiftResults) -> float:
    """Return top-1 in distribution minus `shifted_top1`.

    Range [-1, 1], lower is better; negative if the shifted images are easier.
    """
    top1 = _accuracy_per_shift(outcome)
    return float(top1[0] - top1[1:].mean())


def relative_drop(outcome: ShiftResults) -> float:
    """Return `drop` divided by top-1 in distribution.

    Range (-inf, 1], lower is better. A common ratio without a single source.
    """
    top1 = _accuracy_per_shift(outcome)
    if top1[0] == 0:
        raise UndefinedError("top-1 in distribution is 0, so there is no accuracy to lose")
    return float((top1[0] - top1[1:].mean()) / top1[0])


def worst_group(outcome: ShiftResults) -> float:
    """Return the lowest top-1 of any group (worst-group accuracy of WILDS).

    Groups are all test sets, in distribution and shifted, or parts of them; groups without images
    do not count. Range [0, 1].
    """
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    right, count = _counts_by(outcome, outcome.group)
    return float((right / count).min())


def _accuracy_per_shift(outcome: ShiftResults) -> Doubles:
    """Return (K,) top-1 in distribution, then of each shift with images."""
    in_distribution = outcome.shift == 0
    if not in_distribution.any() or in_distribution.all():
        missing = "shifted" if in_distribution.any() else "in-distribution"
        raise UndefinedError(f"there are no {missing} test examples")
    right, count = _counts_per_shift(outcome)
    return right / count


def _counts_per_shift(outcome: ShiftResults) -> tuple[Doubles, Doubles]:
    """Return right predictions (K,) and images (K,), in distribution first, then per shift."""
    return _counts_by(outcome, outcome.shift)


def _counts_of_shifts(outcome: ShiftResults) -> tuple[Doubles, Doubles]:
    """Return `_counts_per_shift` without the in-distribution test set."""
    right, count = _counts_per_shift(outcome)
    return right[1:], count[1:]


def _counts_by(outcome: ShiftResults, key: Ints) -> tuple[Doubles, Doubles]:
    """Return right predictions (K,) and images (K,) of each value of `key` (N,), ascending."""
    count = np.bincount(key)
    right = np.bincount(key, weights=outcome.right)[count > 0].astype(np.float64)
    return right, count[count > 0].astype(np.float64)


def _group_accuracies(outcome: ShiftResults) -> GroupAccuracies:
    """Return the accuracies of all groups with images, of which the lowest is looked for."""
    right, count = _counts_by(outcome, outcome.group)
    compared = np.zeros(len(count), np.int64)
    return GroupAccuracies(right, count, compared, lambda accuracy: np.asarray(accuracy.min(-1)))


def _shifted_top1_per_image(outcome: ShiftResults) -> Doubles:
    """Return (M,) right predictions on the shifted images, weighted by the size of their set."""
    return _weighted(outcome.take(np.flatnonzero(outcome.shift != 0)))


def _drop_per_image(outcome: ShiftResults) -> Doubles:
    """Return (N,) right predictions, in distribution with weight 1, on shifted sets with -1."""
    inside, shifts = outcome.shift == 0, len(np.unique(outcome.shift)) - 1
    sign = np.where(inside, 1.0, -1.0 / max(shifts, 1)) * (1 + shifts)
    return np.asarray(sign * _weighted(outcome))


def _weighted(outcome: ShiftResults) -> Doubles:
    """Return (N,) values whose mean is the mean over test sets of top-1."""
    count = np.bincount(outcome.shift)
    sets = np.count_nonzero(count)
    return np.asarray(outcome.right * (len(outcome) / (sets * count[outcome.shift])), np.float64)


METRICS = (
    Metric(
        shifted_top1,
        ShiftResults,
        interval="score",
        higher_is_better=True,
        summary="accuracy on shifted test sets",
        per_example=_shifted_top1_per_image,
        shares=_counts_of_shifts,
    ),
    Metric(
        drop,
        ShiftResults,
        interval="newcombe",
        higher_is_better=False,
        summary="accuracy lost from in distribution to shifted",
        lowest=-1.0,
        per_example=_drop_per_image,
        shares=_counts_per_shift,
    ),
    Metric(
        relative_drop,
        ShiftResults,
        interval="ratio",
        higher_is_better=False,
        summary="accuracy lost, as a share of the accuracy in distribution",
        lowest=-float("inf"),
        shares=_counts_per_shift,
    ),
    Metric(
        worst_group,
        ShiftResults,
        interval="lowest",
        higher_is_better=True,
        summary="accuracy on the worst group",
        strata=lambda outcome: outcome.group,
        accuracies=_group_accuracies,
    ),
)
