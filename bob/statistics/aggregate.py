"""Summaries of a backbone over many settings: z-scores, ranks, wins and Borda counts.

All functions take values (R, S) of R backbones in S settings, without missing entries, and higher
(S,), whether a higher value is better in each setting. The results depend on the pool of the R
backbones, so every table that shows them names the pool. Values of a setting that differ by
rounding alone are equal.
"""

from collections.abc import Sequence

import numpy as np

from bob.numerics.arrays import Doubles, Ints
from bob.statistics.rounding import tolerance


def z_scores(values: Doubles, higher: Sequence[bool], pool: int | None = None) -> Doubles:
    """Return (R, S) standard deviations from the pool's mean in each setting; better is positive.

    As in *Battle of the Backbones* (arXiv:2310.19909): per setting, with ddof 1. The first `pool`
    rows are the pool (all by default). A setting in which all values of the pool are equal gives 0
    to all. A pool of one has no spread and gives NaN.
    """
    pooled = values[:pool]
    if len(pooled) < 2:
        return np.full(values.shape, np.nan)
    z: Doubles = _sign(higher) * (values - pooled.mean(0)) / _spread(pooled)
    return z


def scales(values: Doubles, higher: Sequence[bool]) -> Doubles:
    """Return (S,) the z-score per unit of value: ± 1 / standard deviation, 0 without a spread."""
    return np.asarray(_sign(higher) / _spread(values))


def _sign(higher: Sequence[bool]) -> Ints:
    return np.where(np.asarray(higher, bool), 1, -1)


def _spread(values: Doubles) -> Doubles:
    are_spread = np.ptp(values, axis=0) > tolerance(values, axis=0)
    return np.where(are_spread, values.std(0, ddof=1), np.inf)


def wins(values: Doubles, higher: Sequence[bool]) -> Doubles:
    """Return (R, S) the number of other backbones that each beats in each setting; ties are 1/2."""
    oriented, rounding = _sign(higher) * values, tolerance(values, axis=0)
    lead = oriented[:, None] - oriented[None]
    equal = np.abs(lead) <= rounding
    count: Doubles = (lead > rounding).sum(1) + (equal.sum(1) - 1) / 2
    return count


def ranks(values: Doubles, higher: Sequence[bool]) -> Doubles:
    """Return (R, S) the rank in each setting, 1 being the best; ties share their mean rank."""
    return len(values) - wins(values, higher)


def borda(values: Doubles, higher: Sequence[bool]) -> Doubles:
    """Return (R,) Borda counts: `wins` summed over settings."""
    points: Doubles = wins(values, higher).sum(1)
    return points


def win_rate(values: Doubles, higher: Sequence[bool]) -> Doubles:
    """Return (R,) the share of pairwise comparisons won, over all other backbones and settings.

    Ties count half. A pool of one gives NaN.
    """
    if len(values) < 2:
        return np.full(len(values), np.nan)
    rate: Doubles = wins(values, higher).mean(1) / (len(values) - 1)
    return rate
