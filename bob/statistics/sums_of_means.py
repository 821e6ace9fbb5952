"""Paired tests of estimates that are sums of means over several independent samples.

A mean z-score over settings is one: each dataset's test examples are a sample, on which several
tasks may have been scored. Backbone r has the estimate `sum over samples u of mean_i x_u[r, i]`.

The variance of a difference is added up over samples. On examples it is that of sign flips,
sum d_i² / n², which never vanishes between unequal backbones: with few examples nothing is
significant. On draws, whose differences vary little, it is the sample's, and the test is Student's
with Satterthwaite's degrees of freedom (1946, doi:10.2307/3002019); it is normal otherwise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtr

from bob.numerics.arrays import Doubles
from bob.statistics.paired_tests import squared_distances
from bob.statistics.rounding import ROUNDING


class Sample(NamedTuple):
    """The values of R backbones on the same n examples."""

    values: Doubles
    """(R, n)"""
    draws: bool
    """Whether the examples are draws of train images (few-shot) rather than test images."""


def sum_p_values(samples: Sequence[Sample]) -> Doubles:
    """Return (R, R) two-sided p-values of all pairs; 1 for equal estimates, NaN if undefined.

    Undefined is a difference on a single draw, whose variance is unknown.
    """
    means = sum(sample.values.mean(1) for sample in samples)
    gap = np.abs(np.subtract.outer(means, means))
    parts = [(_variance(sample), sample) for sample in samples]
    variance = sum(part for part, _ in parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_draws = sum(
            part**2 / (sample.values.shape[1] - 1) for part, sample in parts if sample.draws
        )
        freedom = np.asarray(variance**2 / of_draws)
        statistic = -gap / np.sqrt(variance)
    exact = np.isfinite(freedom)
    p = np.where(exact, 2 * stdtr(np.where(exact, freedom, 1.0), statistic), 2 * ndtr(statistic))
    return np.where(np.isnan(variance), np.nan, np.where(gap > ROUNDING, p, 1.0))


def _variance(sample: Sample) -> Doubles:
    """Return (R, R) variances of the mean differences between backbones."""
    values, n = sample.values, sample.values.shape[1]
    if sample.draws:
        if n < 2:
            return np.full((len(values),) * 2, np.nan)
        values = values - values.mean(1, keepdims=True)
    size = n * (n - 1) if sample.draws else n**2
    return np.asarray(squared_distances(values) / size)


def sum_covariance(samples: Sequence[Sample]) -> Doubles | None:
    """Return the (R, R) covariance of the estimates over other samples; None for one example."""
    if any(sample.values.shape[1] < 2 for sample in samples):
        return None
    return np.asarray(
        sum(np.cov(sample.values) / sample.values.shape[1] for sample in samples), np.float64
    )
