"""One number per backbone out of many settings: z-scores, ranks, wins, Borda.

Everything takes values (R, S) of R backbones in S settings without a gap, and higher (S,), whether more is better there.
What comes out depends on the pool of R backbones, so whoever prints it names the pool.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def z_scores(values: Floats, higher: Sequence[bool]) -> Floats:
    """(R, S) standard deviations above the pool's mean, better positive, as in *Battle of the Backbones* (arXiv:2310.19909): per setting, ddof 1.

    A setting in which all are equal tells nobody apart: 0 for all. NaN for a pool of one, which has no spread.
    """
    if len(values) < 2:
        return np.full(values.shape, np.nan)
    gap = values - values.mean(0)
    spread = np.where(np.ptp(values, axis=0) > 0, values.std(0, ddof=1), np.inf)
    z: Floats = np.where(np.asarray(higher, bool), 1, -1) * gap / spread
    return z


def wins(values: Floats, higher: Sequence[bool]) -> Floats:
    """(R, S) how many others of the pool each one beats in each setting; an equal one counts half."""
    oriented = np.where(np.asarray(higher, bool), values, -values)
    more, equal = oriented[:, None] > oriented[None], oriented[:, None] == oriented[None]
    count: Floats = more.sum(1) + (equal.sum(1) - 1) / 2
    return count


def ranks(values: Floats, higher: Sequence[bool]) -> Floats:
    """(R, S) 1 is best; equal values share the mean of their places."""
    return len(values) - wins(values, higher)


def borda(values: Floats, higher: Sequence[bool]) -> Floats:
    """(R,) points: one for each other backbone beaten in each setting, half for an equal one (Borda's count)."""
    points: Floats = wins(values, higher).sum(1)
    return points


def win_rate(values: Floats, higher: Sequence[bool]) -> Floats:
    """(R,) share of duels won, over all others and all settings, equals counting half; NaN for a pool of one."""
    if len(values) < 2:
        return np.full(len(values), np.nan)
    rate: Floats = wins(values, higher).mean(1) / (len(values) - 1)
    return rate
