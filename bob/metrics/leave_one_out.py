"""Metrics with each example left out in turn, which is what the jackknife takes their variance from, without N evaluations.

`Metric.left_out` of a metric is one of these, of an outcome: (N,) its value on all other examples, NaN where it has none there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.outcomes import Floats

Bools = NDArray[np.bool_]


def auroc_leave_one_out(positive: Bools, score: NDArray[np.floating[Any]]) -> Floats:
    """(N,) AUROC without each example, of positive (N,) and scores (N,), higher for positives; equal scores count one half.

    AUROC is a mean over pairs, so that an example takes the share of pairs that it wins with it. The jackknife's variance is then that of DeLong et
    al. 1988 (doi:10.2307/2531595). Sorting gives the shares without going through the pairs (Sun & Xu 2014, doi:10.1109/LSP.2014.2337313).
    """
    own, other = np.sort(score[positive]), np.sort(score[~positive])
    won = np.empty(len(score))
    won[positive], won[~positive] = (
        _share_below(other, score[positive]),
        1 - _share_below(own, score[~positive]),
    )
    size = np.where(positive, len(own), len(other))
    return _quotient(size * won[positive].mean() - won, size - 1)


def average_precision_leave_one_out(positive: Bools, score: NDArray[np.floating[Any]]) -> Floats:
    """(N,) average precision without each example, of positive (N,) and scores (N,), higher for positives; equal scores are passed together.

    Without an example, hits and passed examples are one fewer from its score down, and as they were above it.
    """
    _, group = np.unique(-score, return_inverse=True)
    at = np.bincount(group, weights=positive)
    hits, passed = np.cumsum(at), np.cumsum(np.bincount(group))
    above = np.cumsum(at * hits / passed) - at * hits / passed
    one_less = _quotient(hits - 1, passed - 1, 0.0)
    after_positive, after_negative = (
        _from_here(at * one_less) - one_less,
        _from_here(at * _quotient(hits, passed - 1, 0.0)),
    )
    sums = np.where(
        positive, above[group] + after_positive[group], above[group] + after_negative[group]
    )
    alone = (passed - hits)[-1] == 1  # without the only negative there is nothing to rank
    return np.where(~positive & alone, np.nan, _quotient(sums, hits[-1] - positive))


def mean_over_classes_leave_one_out(
    of: Callable[[Bools, NDArray[np.float32]], Floats], labels: Bools, scores: NDArray[np.float32]
) -> Floats:
    """(N,) the mean over classes without each image; labels and scores (N, C); `of` is one of the functions above.

    A class without images, or without others, is in no mean; neither is one whose only image is left out.
    """
    total, classes = np.zeros(len(labels)), np.zeros(len(labels))
    for there, score in zip(labels.T, scores.T, strict=True):
        if there.any() and not there.all():
            found = of(there, score)
            total += np.nan_to_num(found)
            classes += ~np.isnan(found)
    return _quotient(total, classes)


def _share_below(among: Floats, values: Floats) -> Floats:
    """(V,) of `among` (A,), ascending, equal ones by half."""
    share: Floats = (
        np.searchsorted(among, values, "left") + np.searchsorted(among, values, "right")
    ) / (2 * len(among))
    return share


def _from_here(values: Floats) -> Floats:
    """(K,) sums of each value and all after it."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def _quotient(above: NDArray[Any], below: NDArray[Any], otherwise: float = float("nan")) -> Floats:
    """Element by element, `otherwise` where the divisor is 0."""
    found: Floats = np.divide(above, below, out=np.full(len(above), otherwise), where=below != 0)
    return found
