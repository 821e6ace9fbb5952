"""How much metrics of detection vary when images are drawn again, both sides keeping their sizes: what the bootstrap estimates, without drawing.

- AUROC is a mean over pairs; its variance is that of DeLong et al. 1988 (doi:10.2307/2531595), from the share of pairs that each image wins. Sorting
  gives these without going through the pairs (Sun & Xu 2014, doi:10.1109/LSP.2014.2337313).
- Average precision is smooth in the images' weights: the infinitesimal jackknife (Efron 1982), the sum of squared derivatives by the weights.
- The false positive rate at a quantile is not. But which of the sorted others is the quantile of a resample has a known distribution, and given it
  the rate is binomial: the variance over all resamples is exact (Maritz & Jarrett 1978, doi:10.1080/01621459.1978.10480027, for the quantile).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from bob.outcomes import Detected, Floats

ROUNDING = 1e-24
"""A variance below this is 0: the square of what float64 loses in sums of shares."""


def auroc_variance(outcome: Detected) -> float:
    """DeLong's."""
    own, other = _sides(outcome)
    won_by_own, lost_by_other = _share_below(other, own), 1 - _share_below(own, other)
    return _positive(sum(share.var() / max(len(share) - 1, 1) for share in (won_by_own, lost_by_other)))


def average_precision_variance(positive: NDArray[np.bool_], score: Floats) -> float:
    """Of finding the positive (N,) by high scores (N,). With H and M the positives and negatives down to a score, and h the positives at it, the
    derivative by a positive's weight is (P - AP + sum of h M / (H + M)² from its score down) / H_all, by a negative's minus the same sum of h H."""
    _, group = np.unique(-score, return_inverse=True)
    at = np.bincount(group, weights=positive)
    hits, passed = np.cumsum(at), np.cumsum(np.bincount(group))
    precision = hits / passed
    average = (at * precision).sum() / hits[-1]
    after_miss, after_hit = (np.cumsum((at * side / passed**2)[::-1])[::-1] for side in (hits, passed - hits))
    slope = np.where(positive, precision[group] - average + after_hit[group], -after_miss[group]) / hits[-1]
    return _positive(sum(((side - side.mean()) ** 2).sum() for side in (slope[positive], slope[~positive])))


def quantile_rate_variance(outcome: Detected, tpr: float) -> float:
    """Of the share of in-distribution images at or below the score that a share `tpr` of the others is at or below."""
    own, other = _sides(outcome)
    n = len(other)
    nth = int(np.argmax(np.arange(1, n + 1) >= tpr * n))  # other images below the threshold, of a resample as of the sample
    up_to = bdtrc(nth, n, np.arange(n + 1) / n)  # that the threshold of a resample is one of the first so many
    chance = np.diff(up_to)
    rate = np.searchsorted(np.sort(own), np.sort(other), side="right") / len(own)
    mean = chance @ rate
    return _positive(float(chance @ (rate * (1 - rate)) / len(own) + chance @ (rate - mean) ** 2))


def _sides(outcome: Detected) -> tuple[Floats, Floats]:
    return outcome.score[outcome.inside], outcome.score[~outcome.inside]


def _share_below(among: Floats, values: Floats) -> Floats:
    """(V,) of `among` (A,), equal ones by half."""
    ordered = np.sort(among)
    share: Floats = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(among))
    return share


def _positive(variance: float) -> float:
    return float(variance) if variance > ROUNDING else 0.0
