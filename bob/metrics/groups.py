"""Accuracy by groups of an attribute and a class, as in Waterbirds and SubpopBench.

Groups are the pairs of a value and a class (Sagawa et al. 2020, arXiv:1911.08731; Yang et al. 2023,
arXiv:2302.12254), not the values alone. The protocol leaves out groups of few images: their
accuracy is mostly noise, and the smallest of many noisy accuracies is low by chance.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles
from bob.outcomes import GroupResults


def worst_group_top1(outcome: GroupResults) -> float:
    """Return the lowest accuracy of a group.

    Range [0, 1].
    """
    return float(_accuracies(outcome).min())


def group_gap(outcome: GroupResults) -> float:
    """Return the highest accuracy of a group minus the lowest.

    Range [0, 1], lower is better. Noise alone makes it positive; a cell's detail states the gap
    that a shuffled attribute has.
    """
    return float(np.ptp(_accuracies(outcome)))


def group_ratio(outcome: GroupResults) -> float:
    """Return the lowest accuracy of a group divided by the highest.

    Range [0, 1]; undefined where the highest is 0.
    """
    accuracies = _accuracies(outcome)
    if accuracies.max() == 0:
        raise UndefinedError("no group has a right prediction")
    return float(accuracies.min() / accuracies.max())


def adjusted_top1(outcome: GroupResults) -> float:
    """Return the mean accuracy of groups, each counting equally.

    Range [0, 1].
    """
    return float(_accuracies(outcome).mean())


def recall_gap(outcome: GroupResults) -> float:
    """Return how much the accuracy of a class differs between values, averaged over classes.

    The mean, over classes with at least two groups, of the highest minus the lowest accuracy: the
    equal-opportunity gap, with each class in turn as the positive one. Range [0, 1], lower is
    better.
    """
    gaps = []
    for c in np.unique(outcome.y):
        of_class = outcome.take(np.flatnonzero(outcome.y == c))
        right, count = _counts(of_class)
        if len(count) >= 2:
            gaps.append(np.ptp(right / count))
    if not gaps:
        raise UndefinedError("no class has two groups that are large enough")
    return float(np.mean(gaps))


def gap_by_chance(outcome: GroupResults, shuffles: int = 200) -> float:
    """Return the 95th percentile of `group_gap` with the attribute shuffled within each class.

    A gap below it says nothing about the attribute.
    """
    rng, gaps = np.random.default_rng(0), []
    rows = [np.flatnonzero(outcome.y == c) for c in np.unique(outcome.y)]
    for _ in range(shuffles):
        value = outcome.value.copy()
        for of_class in rows:
            value[of_class] = rng.permutation(value[of_class])
        gaps.append(group_gap(GroupResults(outcome.right, outcome.y, value)))
    return float(np.quantile(gaps, 0.95))


def _accuracies(outcome: GroupResults) -> Doubles:
    """Return the accuracies (G,) of at least two groups."""
    right, count = _counts(outcome)
    if len(count) < 2:
        raise UndefinedError("a comparison needs two groups that are large enough; there is one")
    return right / count


def _counts(outcome: GroupResults) -> tuple[Doubles, Doubles]:
    """Return right predictions (G,) and images (G,) of the groups with images."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    count = np.bincount(outcome.group).astype(np.float64)
    right = np.bincount(outcome.group, weights=outcome.right).astype(np.float64)
    return right[count > 0], count[count > 0]


METRICS = (
    Metric(
        worst_group_top1,
        GroupResults,
        interval="bootstrap",
        higher_is_better=True,
        summary="lowest accuracy of a value and class",
        strata=lambda outcome: outcome.group,
    ),
    Metric(
        group_gap,
        GroupResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="highest minus lowest accuracy of a value and class",
        strata=lambda outcome: outcome.group,
        biased=True,
    ),
    Metric(
        group_ratio,
        GroupResults,
        interval="bootstrap",
        higher_is_better=True,
        summary="lowest divided by highest accuracy of a value and class",
        strata=lambda outcome: outcome.group,
        biased=True,
    ),
    Metric(
        adjusted_top1,
        GroupResults,
        interval="score",
        higher_is_better=True,
        summary="accuracy averaged over values and classes",
        shares=_counts,
    ),
    Metric(
        recall_gap,
        GroupResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="difference of a class's accuracy between values, averaged over classes",
        strata=lambda outcome: outcome.group,
        biased=True,
    ),
)
