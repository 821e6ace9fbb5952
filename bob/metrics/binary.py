"""Measures of one score against one binary label, and their values without each example.

Scores (N,) are higher for positives; positive (N,) says which examples are. Tied examples cross a
threshold together. The leave-one-out functions return (N,) the measure without each example, NaN
where it is then undefined: what the jackknife needs, without N evaluations.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.numerics.arrays import Bools, Doubles, Floats, Ints


def counts_at_thresholds(scores: Floats | Doubles, positive: Bools) -> tuple[Ints, Ints]:
    """Return hits (K,) and counts (K,) at each distinct score, the highest score first.

    They are the numbers of positives and of all examples with that score or a higher one.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return np.cumsum(positive[order])[ends], ends + 1


def area_under_roc(scores: Floats | Doubles, positive: Bools) -> float:
    """Return the share of pairs (positive, negative) that the positive wins; ties count half.

    This is the Mann-Whitney statistic divided by the number of pairs; range [0, 1], chance 0.5.
    """
    hits, counts = counts_at_thresholds(scores, positive)
    misses = counts - hits
    won_twice = np.diff(misses, prepend=0) * (np.append(0, hits[:-1]) + hits)
    return float(won_twice.sum() / (2 * hits[-1] * misses[-1]))


def average_precision(scores: Floats | Doubles, positive: Bools) -> float:
    """Return the sum over distinct scores of the precision times the recall gained.

    Range (0, 1]; chance is the share of positives. This is scikit-learn's definition.
    """
    precision, recall = _precision_and_recall(scores, positive)
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def eleven_point_precision(scores: Floats | Doubles, positive: Bools) -> float:
    """Return the mean, over recalls 0, 0.1, ..., 1, of the best precision at that recall or higher.

    Range (0, 1]. A recall counts as reached up to 1e-12, the rounding error of tenths.
    """
    precision, recall = _precision_and_recall(scores, positive)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(recall, np.arange(11) / 10 - 1e-12)
    return float(best[first].mean())


def _precision_and_recall(scores: Floats | Doubles, positive: Bools) -> tuple[Doubles, Doubles]:
    """Return precision (K,) and recall (K,) at each distinct score, the highest score first."""
    hits, counts = counts_at_thresholds(scores, positive)
    return hits / counts, hits / hits[-1]


def area_under_roc_leave_one_out(scores: Floats | Doubles, positive: Bools) -> Doubles:
    """Return (N,) `area_under_roc` without each example.

    The area is a mean over pairs, so an example takes the share of pairs that it wins with it. The
    jackknife's variance is then that of DeLong et al. 1988 (doi:10.2307/2531595). Sorting gives the
    shares without a loop over pairs (Sun & Xu 2014, doi:10.1109/LSP.2014.2337313).
    """
    positives, negatives = np.sort(scores[positive]), np.sort(scores[~positive])
    won = np.empty(len(scores))
    won[positive] = _share_below(negatives, scores[positive])
    won[~positive] = 1 - _share_below(positives, scores[~positive])
    size = np.where(positive, len(positives), len(negatives))
    return _quotient(size * won[positive].mean() - won, size - 1)


def average_precision_leave_one_out(scores: Floats | Doubles, positive: Bools) -> Doubles:
    """Return (N,) `average_precision` without each example.

    Without an example, hits and counts are one lower at its score and below, and unchanged above.
    """
    _, group = np.unique(-scores, return_inverse=True)
    gained = np.bincount(group, weights=positive)
    hits, counts = np.cumsum(gained), np.cumsum(np.bincount(group))
    above = np.cumsum(gained * hits / counts) - gained * hits / counts
    one_less = _quotient(hits - 1, counts - 1, 0.0)
    without_positive = _sums_from_here(gained * one_less) - one_less
    without_negative = _sums_from_here(gained * _quotient(hits, counts - 1, 0.0))
    sums = np.where(
        positive, above[group] + without_positive[group], above[group] + without_negative[group]
    )
    single_negative = (counts - hits)[-1] == 1  # without it there is nothing to rank
    undefined = ~positive & single_negative
    return np.where(undefined, np.nan, _quotient(sums, hits[-1] - positive))


def mean_over_classes_leave_one_out(
    measure: Callable[[Floats | Doubles, Bools], Doubles], scores: Floats | Doubles, labels: Bools
) -> Doubles:
    """Return (N,) the mean of a leave-one-out `measure` over classes; scores and labels (N, C).

    The mean excludes classes that all images have or that none has, also where leaving out one
    image makes them so.
    """
    total, classes = np.zeros(len(labels)), np.zeros(len(labels))
    for score, label in zip(scores.T, labels.T, strict=True):
        if label.any() and not label.all():
            values = measure(score, label)
            total += np.nan_to_num(values)
            classes += ~np.isnan(values)
    return _quotient(total, classes)


def _share_below(reference: NDArray[Any], values: NDArray[Any]) -> Doubles:
    """Return (V,) the share of `reference` (A,), ascending, below each value; ties count half."""
    below = np.searchsorted(reference, values, "left")
    not_above = np.searchsorted(reference, values, "right")
    share: Doubles = (below + not_above) / (2 * len(reference))
    return share


def _sums_from_here(values: Doubles) -> Doubles:
    """Return (K,) the sums of each value and all values after it."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def _quotient(
    numerator: NDArray[Any], denominator: NDArray[Any], if_zero: float = float("nan")
) -> Doubles:
    """Divide element by element; a denominator of 0 gives `if_zero`."""
    quotient: Doubles = np.divide(
        numerator, denominator, out=np.full(len(numerator), if_zero), where=denominator != 0
    )
    return quotient
