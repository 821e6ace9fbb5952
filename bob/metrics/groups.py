"""Accuracy by groups of an attribute and a class, as in Waterbirds and SubpopBench.

Groups are the pairs of a value and a class (Sagawa et al. 2020, arXiv:1911.08731; Yang et al. 2023,
arXiv:2302.12254), not the values alone. The protocol leaves out groups of few images: their
accuracy is mostly noise, and the smallest of many noisy accuracies is low by chance.

All metrics are functions of the accuracies of groups. A bootstrap within groups therefore needs no
images: the answers of a resampled group are multinomial.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import GroupAccuracies, Metric, mean_of
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import GroupResults

SHUFFLED_CELLS = 4_000_000
"""Shuffled answers in memory at once: 32 MB."""
OfAccuracies = Callable[[Doubles, Ints], Doubles]
"""Accuracies (..., G) and classes (G,) of groups → values (...,), NaN where undefined."""


def group_top1(outcome: GroupResults) -> float:
    """Return the accuracy of the images of one group.

    Range [0, 1].
    """
    return mean_of(outcome.right, if_empty="there are no test examples")


def worst_group_top1(outcome: GroupResults) -> float:
    """Return the lowest accuracy of a group.

    Range [0, 1].
    """
    return _value(outcome, _worst)


def group_gap(outcome: GroupResults) -> float:
    """Return the highest accuracy of a group minus the lowest.

    Range [0, 1], lower is better. Noise alone makes it positive; a cell's detail states the gap
    that a shuffled attribute has.
    """
    return _value(outcome, _gap)


def group_ratio(outcome: GroupResults) -> float:
    """Return the lowest accuracy of a group divided by the highest.

    Range [0, 1]; undefined where the highest is 0.
    """
    return _value(outcome, _ratio, "no group has a right prediction")


def adjusted_top1(outcome: GroupResults) -> float:
    """Return the mean accuracy of groups, each counting equally.

    Range [0, 1].
    """
    return _value(outcome, lambda accuracy, y: np.asarray(accuracy.mean(-1)))


def recall_gap(outcome: GroupResults) -> float:
    """Return how much the accuracy of a class differs between values, averaged over classes.

    The mean, over classes with at least two groups, of the highest minus the lowest accuracy: the
    equal-opportunity gap, with each class in turn as the positive one. Range [0, 1], lower is
    better.
    """
    return _value(outcome, _recall_gap, "no class has two groups that are large enough")


def paired_drop(outcome: GroupResults) -> float:
    """Return how much more accurate a class is on easy images than on hard ones, over classes.

    Value 0 is easy and 1 hard; classes without images of both do not count (Wang et al. 2024,
    arXiv:2403.11497, of classes on common and on counter backgrounds). Range [-1, 1], lower is
    better.
    """
    return _value(outcome, _drop, "no class has easy and hard images")


def gap_by_chance(outcome: GroupResults, shuffles: int = 200) -> float:
    """Return the 95th percentile of `group_gap` with the attribute shuffled within each class.

    A gap below it says nothing about the attribute.
    """
    rng, order = np.random.default_rng(0), np.argsort(outcome.group, kind="stable")
    right, y, group = outcome.right[order], outcome.y[order], outcome.group[order]
    lowest, highest = np.full(shuffles, np.inf), np.full(shuffles, -np.inf)
    for start, end in _runs(y):
        borders = np.array([first for first, _ in _runs(group[start:end])])
        count = np.diff(np.append(borders, end - start))
        step = max(1, SHUFFLED_CELLS // (end - start))
        for first in range(0, shuffles, step):
            some = slice(first, min(first + step, shuffles))
            copies = np.tile(right[start:end], (some.stop - some.start, 1))
            accuracy = np.add.reduceat(rng.permuted(copies, axis=1), borders, axis=1) / count
            lowest[some] = np.minimum(lowest[some], accuracy.min(1))
            highest[some] = np.maximum(highest[some], accuracy.max(1))
    return float(np.quantile(highest - lowest, 0.95))


def _worst(accuracy: Doubles, y: Ints) -> Doubles:
    return np.asarray(accuracy.min(-1))


def _gap(accuracy: Doubles, y: Ints) -> Doubles:
    return np.asarray(np.ptp(accuracy, axis=-1))


def _ratio(accuracy: Doubles, y: Ints) -> Doubles:
    highest = accuracy.max(-1)
    undefined = np.full(highest.shape, np.nan)
    return np.asarray(np.divide(accuracy.min(-1), highest, out=undefined, where=highest > 0))


def _recall_gap(accuracy: Doubles, y: Ints) -> Doubles:
    starts, ends = np.array([*_runs(y)]).T
    gaps = np.maximum.reduceat(accuracy, starts, axis=-1)
    gaps -= np.minimum.reduceat(accuracy, starts, axis=-1)
    compared = ends - starts >= 2
    if not compared.any():
        return np.full(accuracy.shape[:-1], np.nan)
    return np.asarray(gaps[..., compared].mean(-1))


def _drop(accuracy: Doubles, y: Ints) -> Doubles:
    """Return the mean over classes with two groups of the first's accuracy minus the second's."""
    paired = np.flatnonzero(np.diff(y) == 0)
    if not len(paired):
        return np.full(accuracy.shape[:-1], np.nan)
    return np.asarray((accuracy[..., paired] - accuracy[..., paired + 1]).mean(-1))


def _runs(values: Ints) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of every run of equal values (N,)."""
    borders = [*np.flatnonzero(np.diff(values, prepend=values[:1] - 1)).tolist(), len(values)]
    yield from pairwise(borders)


@dataclass(frozen=True, eq=False)
class _GroupCounts:
    """The G groups that have images, by class and value."""

    y: Ints
    """(G,) their classes, ascending."""
    count: Doubles
    """(G,) images."""
    right: Doubles
    """(G,) sums of right answers."""

    @classmethod
    def of(cls, outcome: GroupResults) -> "_GroupCounts":
        if not len(outcome):
            raise UndefinedError("there are no test examples")
        group, first, index = np.unique(outcome.group, return_index=True, return_inverse=True)
        count = np.bincount(index, minlength=len(group)).astype(np.float64)
        right = np.bincount(index, weights=outcome.right).astype(np.float64)
        return cls(outcome.y[first], count, right)


def _value(outcome: GroupResults, function: OfAccuracies, undefined: str = "") -> float:
    """Return a function of the accuracies of at least two groups."""
    groups = _GroupCounts.of(outcome)
    if len(groups.y) < 2:
        raise UndefinedError("a comparison needs two groups that are large enough; there is one")
    value = float(function(groups.right / groups.count, groups.y))
    if np.isnan(value):
        raise UndefinedError(undefined)
    return value


def _counts(outcome: GroupResults) -> tuple[Doubles, Doubles]:
    """Return right predictions (G,) and images (G,) of the groups with images."""
    groups = _GroupCounts.of(outcome)
    return groups.right, groups.count


def _redrawn(
    function: OfAccuracies,
) -> Callable[[GroupResults, np.random.Generator, int], Doubles]:
    """Return a function to (draws,) values of a metric with the images of each group resampled."""

    def values(outcome: GroupResults, rng: np.random.Generator, draws: int) -> Doubles:
        groups = _GroupCounts.of(outcome)
        answers, answer = np.unique(outcome.right, return_inverse=True)
        _, group = np.unique(outcome.group, return_inverse=True)
        shape = len(groups.y), len(answers)
        given = np.bincount(group * shape[1] + answer, minlength=shape[0] * shape[1])
        share = given.reshape(shape) / groups.count[:, None]
        sizes = groups.count.astype(np.int64)
        right = rng.multinomial(sizes, share, size=(draws, len(sizes))) @ answers
        return function(right / groups.count, groups.y)

    return values


def _compared(
    function: OfAccuracies, *, within_classes: bool = False
) -> Callable[[GroupResults], GroupAccuracies]:
    """Return a function to the accuracies of groups, compared with all or with their class."""

    def accuracies(outcome: GroupResults) -> GroupAccuracies:
        groups = _GroupCounts.of(outcome)
        compared = groups.y if within_classes else np.zeros_like(groups.y)
        return GroupAccuracies(
            groups.right, groups.count, compared, lambda accuracy: function(accuracy, groups.y)
        )

    return accuracies


METRICS = (
    Metric(
        group_top1,
        GroupResults,
        interval="effective",
        higher_is_better=True,
        summary="accuracy on one value and class",
        per_example=lambda outcome: outcome.right,
    ),
    Metric(
        worst_group_top1,
        GroupResults,
        interval="lowest",
        higher_is_better=True,
        summary="lowest accuracy of a value and class",
        strata=lambda outcome: outcome.group,
        redrawn=_redrawn(_worst),
        accuracies=_compared(_worst),
    ),
    Metric(
        group_gap,
        GroupResults,
        interval="gap",
        higher_is_better=False,
        summary="highest minus lowest accuracy of a value and class",
        strata=lambda outcome: outcome.group,
        redrawn=_redrawn(_gap),
        accuracies=_compared(_gap),
    ),
    Metric(
        group_ratio,
        GroupResults,
        interval="gap",
        higher_is_better=True,
        summary="lowest divided by highest accuracy of a value and class",
        strata=lambda outcome: outcome.group,
        redrawn=_redrawn(_ratio),
        accuracies=_compared(_ratio),
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
        interval="gap",
        higher_is_better=False,
        summary="difference of a class's accuracy between values, averaged over classes",
        strata=lambda outcome: outcome.group,
        redrawn=_redrawn(_recall_gap),
        accuracies=_compared(_recall_gap, within_classes=True),
    ),
    Metric(
        paired_drop,
        GroupResults,
        interval="bootstrap",
        higher_is_better=False,
        summary="accuracy on easy images of a class minus that on hard ones, averaged over classes",
        lowest=-1.0,
        strata=lambda outcome: outcome.group,
        redrawn=_redrawn(_drop),
    ),
)
