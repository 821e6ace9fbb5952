"""95 % confidence limits by the jackknife, and of a rate at a quantile.

They serve estimates in [0, 1] that are not means over examples.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, stdtrit

from bob.numerics.arrays import Doubles
from bob.statistics.limits import Limits, wilson

ROUNDING = 1e-24
"""A variance below this is 0: the square of what float64 loses in sums of shares."""

HALVINGS = 48
"""Bisection steps for a place among sorted values: to 1e-10 of a place among 10,000."""

TAIL = 0.025
"""Probability beyond each limit."""


def jackknife_limits(
    value: float, leave_one_out: Doubles, strata: NDArray[Any], bias: float = 0.0
) -> Limits | None:
    """Return Wilson's limits of an estimate, treated as a share with the jackknife's variance.

    leave_one_out (N,): the estimate without each example, NaN where it is undefined; strata (N,):
    the sample that each example belongs to, whose size is fixed. A known bias is subtracted, within
    [0, 1]. The result is None if there is no variance: a sample of one example, or a NaN.

    The size of the share is the number of examples that gives the same variance. The variance is
    the jackknife's for several samples (Arvesen 1969, doi:10.1214/aoms/1177697287): each adds
    (n - 1) / n times the sum of squared distances of its values from their mean. Near 1 it depends
    on a few examples and is itself uncertain: the contribution v of a sample has the variance
    v² (k - 1) / (n - 1), where k is the kurtosis. Student's quantile has the degrees of freedom of
    a chi-square of the same uncertainty (Satterthwaite 1946, doi:10.2307/3002019; for two samples
    of n normal values they are 2 (n - 1)).

    If leaving examples out changes nothing (all right, all wrong), the size is the harmonic mean of
    the sample sizes times their number: as many examples as samples of equal size would need to be
    as informative. For an AUROC of 1 it is that of Hanley & McNeil 1982
    (doi:10.1148/radiology.143.1.7063747).
    """
    samples = [leave_one_out[strata == stratum] for stratum in np.unique(strata)]
    if min(map(len, samples)) < 2 or np.isnan(leave_one_out).any():
        return None
    contributions = np.array(list(map(_variance, samples)))
    variance, uncertainty = contributions[:, 0].sum(), contributions[:, 1].sum()
    if variance < ROUNDING or not 0 < value < 1:
        size = np.asarray(len(samples) ** 2 / sum(1 / len(sample) for sample in samples))
        return wilson(value * size, size)
    centre = float(np.clip(value - bias, 0, 1))
    size = np.asarray(value * (1 - value) / variance)
    degrees = max(1.0, 2 * variance**2 / uncertainty)
    return wilson(centre * size, size, stdtrit(degrees, 1 - TAIL))


def folded_limits(value: float, leave_one_out: Doubles, bias: tuple[float, float]) -> Limits | None:
    """Return the limits of a sum of absolute values, which noise raises by `bias`: least and most.

    leave_one_out (N,) as in `jackknife_limits`, of one sample. The lower limit is below the value
    by the largest bias, the upper one by the smallest, both widened by the jackknife's standard
    error times Student's quantile, as there. They are symmetric, as the error does not vanish near
    0. None and Wilson's limits are returned under the same conditions as there.
    """
    variance, uncertainty = _variance(leave_one_out)
    if not variance >= ROUNDING:  # NaN too
        return jackknife_limits(value, leave_one_out, np.zeros(len(leave_one_out)))
    reach = stdtrit(max(1.0, 2 * variance**2 / uncertainty), 1 - TAIL) * np.sqrt(variance)
    return np.asarray(value - max(bias) - reach), np.asarray(value - min(bias) + reach)


def jackknife_bias(value: float, leave_one_out: Doubles) -> float:
    """Return the jackknife's estimate of the bias of an estimate from one sample.

    leave_one_out (N,) as in `jackknife_limits` (Quenouille 1956, doi:10.1093/biomet/43.3-4.353). It
    matters for a mean over many classes, whose errors average out while their biases do not.
    """
    return float((len(leave_one_out) - 1) * (leave_one_out.mean() - value))


def one_sample_values(value: float, leave_one_out: Doubles, strata: NDArray[Any]) -> Doubles | None:
    """Return (N,) values whose mean is the estimate and whose standard error is the jackknife's.

    Arguments as of `jackknife_limits`. They are the pseudo-values, centred at the estimate and
    scaled so that the variance of their mean as one sample of N, `var / N`, is the sum over the
    samples that they come from. So two estimates on the same examples can be compared by a paired
    test: for areas under the ROC curve the variance of their difference is that of DeLong et al.
    1988 (doi:10.2307/2531595). None under the same conditions as there.
    """
    total = len(leave_one_out)
    values = np.full(total, float(value))
    for stratum in np.unique(strata):
        inside = strata == stratum
        n = int(inside.sum())
        if n < 2 or np.isnan(leave_one_out[inside]).any():
            return None
        deviation = (n - 1) * (leave_one_out[inside].mean() - leave_one_out[inside])
        values[inside] += deviation * np.sqrt(total * (total - 1) / (n * (n - 1)))
    return values


def resample_values(value: float, drawn: Doubles) -> Doubles | None:
    """Return (draws,) values with the mean of the estimate and the standard error of the bootstrap.

    drawn (draws,): the estimate on resamples, NaN where it is undefined. Estimates on the same
    resamples can be compared by a paired test of these values. None if half of the resamples or
    more are undefined.
    """
    defined = ~np.isnan(drawn)
    count = int(defined.sum())
    if count <= len(drawn) / 2:
        return None
    values = np.full(len(drawn), float(value))
    deviation = drawn[defined] - drawn[defined].mean()
    values[defined] += deviation * len(drawn) / np.sqrt(count)
    return values


def _variance(leave_one_out: Doubles) -> tuple[float, float]:
    """Return the contribution of one sample (n,) to the variance, and the variance of it."""
    n, squared = len(leave_one_out), (leave_one_out - leave_one_out.mean()) ** 2
    variance = (n - 1) / n * squared.sum()
    if variance < ROUNDING:
        return 0.0, 0.0
    kurtosis = n * (squared**2).sum() / squared.sum() ** 2
    return float(variance), float(variance**2 * max(kurtosis - 1, 1 / n) / (n - 1))


def rate_at_quantile(counted: Doubles, ordered_by: Doubles, level: float) -> Limits:
    """Return the limits of the share of `counted` (n,) at or below a quantile of `ordered_by` (m,).

    The threshold is the score that a share `level` of `ordered_by` is at or below; both samples are
    independent. Whatever the distribution, the true threshold lies between the sorted values at two
    fractional places (Hutson 1999, doi:10.1080/02664769922458), and the rates there bound what its
    uncertainty adds. The share at the observed threshold has Wilson's limits. Squared distances of
    both add up (Zou & Donner 2008, doi:10.1002/sim.3095). For a distance of c out of n counted
    examples, c (c - 1) / n (n - 1) is the square without the examples' own noise.
    """
    counted, ordered_by = np.sort(counted), np.sort(ordered_by)
    n, m = len(counted), len(ordered_by)
    below = np.concatenate([[0], np.searchsorted(counted, ordered_by, side="right"), [n]])
    observed = below[1 + int(np.argmax(np.arange(1, m + 1) >= level * m))]
    places = np.array(list(_places(m, level)))
    distance = np.abs(np.interp(places, np.arange(m + 2), below) - observed)
    added = np.maximum(0.0, distance * (distance - 1)) / (n * max(n - 1, 1))
    low, high = wilson(np.asarray(observed, np.float64), np.asarray(n, np.float64))
    rate = np.asarray(observed / n)
    lower = rate - np.sqrt(added[0] + (rate - low) ** 2)
    return lower, rate + np.sqrt(added[1] + (high - rate) ** 2)


def median_limits(values: Doubles) -> Limits:
    """Return the limits of the median of values (m,), whatever their distribution.

    These are sorted values at fractional places (Hutson 1999, doi:10.1080/02664769922458); the
    smallest and the largest where few values leave no place beyond them.
    """
    low, high = (np.asarray(place) for place in _places(len(values), 0.5))
    ordered, at = np.sort(values), np.arange(1, len(values) + 1)
    return np.interp(low, at, ordered), np.interp(high, at, ordered)


def _places(m: int, level: float) -> Iterator[float]:
    """Yield the places k in 0 ... m + 1 among m sorted values that bound the `level` quantile.

    The first is below the quantile, and the second above it, with a probability of 97.5 % each. The
    population's share below the k-th value has the distribution Beta(k, m + 1 - k), also for
    fractional places.
    """
    for probability in (1 - TAIL, TAIL):
        low, high = 0.0, m + 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if betainc(middle, m + 1 - middle, level) > probability:
                low = middle
            else:
                high = middle
        yield (low + high) / 2
