"""95 % limits of an estimate in [0, 1] that is no mean, from its values with each example left out, and of a rate at a quantile."""

from collections.abc import Iterator

import numpy as np
from scipy.special import betainc, stdtrit

from bob.statistics.limits import Floats, Limits, wilson

ROUNDING = 1e-24
"""A variance below this is 0: the square of what float64 loses in sums of shares."""
HALVINGS = 48
"""Of the interval in which a place among sorted values is looked for: to 1e-10 of a place among 10,000."""
TAIL = 0.025
"""Of 5 %, on each side."""


def jackknife_limits(value: float, left_out: Floats, strata: Floats, bias: float = 0.0) -> Limits | None:
    """Wilson's limits of an estimate, as if it were a share of the number of examples that gives the same variance; None where there is no variance.

    left_out (N,): the estimate without each example, NaN where it has none; strata (N,): the sample each example is of, whose size is given. A
    known bias is taken out, within [0, 1].

    The variance is the jackknife's for several samples (Arvesen 1969, doi:10.1214/aoms/1177697287): each adds (n - 1) / n times the sum of squared
    distances of its values from their mean. Near 1 it hangs on a few examples and is itself uncertain: a sample's part v by v² (k - 1) / (n - 1) with
    kurtosis k. Student's quantile has the degrees of freedom of a chi-square as uncertain as that (Satterthwaite 1946, doi:10.2307/3002019; for two
    samples of n normal values they are 2 (n - 1)).

    Where leaving out changes nothing (all right, all wrong) the size is as many examples as two equal samples as informative would have, the
    harmonic mean of the sizes times their number: for an AUROC of 1 that of Hanley & McNeil 1982 (doi:10.1148/radiology.143.1.7063747).
    """
    parts = [left_out[strata == one] for one in np.unique(strata)]
    if min(map(len, parts)) < 2 or np.isnan(left_out).any():
        return None
    each = np.array(list(map(_variance, parts)))
    variance, doubt = each[:, 0].sum(), each[:, 1].sum()
    if variance < ROUNDING or not 0 < value < 1:
        size = np.asarray(len(parts) ** 2 / sum(1 / len(part) for part in parts))
        return wilson(value * size, size)
    centre = float(np.clip(value - bias, 0, 1))
    size = np.asarray(value * (1 - value) / variance)
    return wilson(centre * size, size, stdtrit(max(1.0, 2 * variance**2 / doubt), 1 - TAIL))


def jackknife_bias(value: float, left_out: Floats) -> float:
    """That of an estimate from one sample, as leaving out shows it (Quenouille 1956, doi:10.1093/biomet/43.3-4.353); left_out (N,) as above.

    It matters for a mean over many classes, whose errors average out while their biases do not.
    """
    return float((len(left_out) - 1) * (left_out.mean() - value))


def _variance(left_out: Floats) -> tuple[float, float]:
    """Of one sample's values (n,): what it adds to the variance, and the variance of that."""
    n, squared = len(left_out), (left_out - left_out.mean()) ** 2
    variance = (n - 1) / n * squared.sum()
    if variance < ROUNDING:
        return 0.0, 0.0
    kurtosis = n * (squared**2).sum() / squared.sum() ** 2
    return float(variance), float(variance**2 * max(kurtosis - 1, 1 / n) / (n - 1))


def rate_at_quantile(counted: Floats, ordered_by: Floats, level: float) -> Limits:
    """Limits of the share of `counted` (n,) at or below the score that a share `level` of `ordered_by` (m,) is at or below; two independent samples.

    That score lies between the sorted values at two fractional places, whatever the distribution (Hutson 1999, doi:10.1080/02664769922458), and the
    rates there bound what it adds; the share at the score seen has Wilson's limits; squared distances of both add up (Zou & Donner 2008,
    doi:10.1002/sim.3095). Of a distance of c out of n counted examples, c (c - 1) / n (n - 1) is the square without the examples' own noise.
    """
    own, other = np.sort(counted), np.sort(ordered_by)
    n, m = len(own), len(other)
    below = np.concatenate([[0], np.searchsorted(own, other, side="right"), [n]])
    seen = below[1 + int(np.argmax(np.arange(1, m + 1) >= level * m))]
    places = np.array(list(_places(m, level)))
    away = np.abs(np.interp(places, np.arange(m + 2), below) - seen)
    added = np.maximum(0.0, away * (away - 1)) / (n * max(n - 1, 1))
    low, high = wilson(np.asarray(seen, np.float64), np.asarray(n, np.float64))
    rate = np.asarray(seen / n)
    return rate - np.sqrt(added[0] + (rate - low) ** 2), rate + np.sqrt(
        added[1] + (high - rate) ** 2
    )


def _places(m: int, level: float) -> Iterator[float]:
    """Two places k in 0 ... m + 1 among m sorted values, below and above the quantile at `level` with 97.5 % each.

    The share of all below the k-th value is distributed as Beta(k, m + 1 - k), for fractions of places too.
    """
    for chance in (1 - TAIL, TAIL):
        least, most = 0.0, m + 1.0
        for _ in range(HALVINGS):
            middle = (least + most) / 2
            least, most = (
                (middle, most)
                if betainc(middle, m + 1 - middle, level) > chance
                else (least, middle)
            )
        yield (least + most) / 2
