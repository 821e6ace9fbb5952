"""Calibration errors over bins: the sum over bins of |sum of gaps| / N, and its uncertainty.

A gap is an outcome (1 or 0) minus the probability that it was given. Gaps and bins are (N,).
"""

import numpy as np

from bob.numerics.arrays import Doubles, Ints

ECE_BINS = 15
"""Bins of calibration errors; used throughout Guo et al. 2017 (arXiv:1706.04599)."""
DOUBT = 2.0
"""Standard errors by which a true gap may be smaller than the observed one."""
MAX_RATIO = 40.0
"""Ratio of a gap to its standard error above which erfc(ratio / sqrt 2) is 0 in float64."""


def equal_width_bins(probability: Doubles) -> Ints:
    """Return the bins ((m - 1) / 15, m / 15] of probabilities (N,), 0 to 14; 0 is in the first."""
    return np.clip(np.ceil(probability * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)


def equal_mass_bins(probability: Doubles) -> Ints:
    """Return 15 bins of nearly equal size, by the order of probabilities (N,).

    Equal probabilities share a bin, that of the middle of their places, so that the order of
    examples does not matter.
    """
    ordered = np.sort(probability)
    first = np.searchsorted(ordered, probability, "left")
    after = np.searchsorted(ordered, probability, "right")
    bins: Ints = ((first + after) * ECE_BINS // (2 * len(probability))).astype(np.int64)
    return np.minimum(bins, ECE_BINS - 1)


def binned_error(gap: Doubles, bins: Ints) -> float:
    """Return the sum over bins of |sum of gaps| / N."""
    return float(np.abs(np.bincount(bins, weights=gap)).sum() / len(gap))


def binned_leave_one_out(gap: Doubles, bins: Ints) -> Doubles:
    """Return (N,) the error without each example, in the same bins; NaN for a single example."""
    sums = np.bincount(bins, weights=gap)
    total = np.abs(sums).sum() - np.abs(sums[bins]) + np.abs(sums[bins] - gap)
    return np.asarray(total / (len(gap) - 1)) if len(gap) > 1 else np.full(1, np.nan)


def binned_bias_range(gap: Doubles, bins: Ints) -> tuple[float, float]:
    """Return the least and the most by which noise raises the error; see `bias_range_of_bins`."""
    n = len(gap)
    return bias_range_of_bins(
        np.bincount(bins, weights=gap) / n, np.bincount(bins, weights=gap**2) / n, n
    )


def bias_range_of_bins(mean: Doubles, mean_square: Doubles, n: int) -> tuple[float, float]:
    """Return the least and the most by which noise raises a sum of absolute means of `n` examples.

    `mean` and `mean_square` (B,) are those of the examples' gaps in each bin, 0 outside of it. The
    mean of a bin is nearly normal with a standard error s, so that its absolute value is folded
    normal. Where the true gap is g, the expected excess over |g| is

        sqrt(2 / pi) s exp(-g² / 2 s²) - |g| erfc(|g| / s sqrt 2),

    which falls from 0.8 s at g = 0. The observed gap is mostly larger than a small true one, so
    that its excess is too small. The least is the sum over bins at the observed gaps, the most that
    at gaps nearer to 0 by `DOUBT` standard errors.
    """
    variance = (mean_square - mean**2) / max(n - 1, 1)
    error = np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    ratio = np.minimum(np.abs(mean) / error, MAX_RATIO)  # so that no square overflows
    least, most = (
        float((error * _excess(each)).sum()) for each in (ratio, np.maximum(ratio - DOUBT, 0))
    )
    return least, most


def _excess(ratio: Doubles) -> Doubles:
    """Return how much larger the mean of |N(ratio, 1)| is than the ratio, which is at least 0."""
    from scipy.special import erfc  # 0.1 s that `list` and `--help` need not pay

    excess: Doubles = np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) - ratio * erfc(
        ratio / np.sqrt(2)
    )
    return excess
