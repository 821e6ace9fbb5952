"""Effective robustness: how far a backbone's accuracy under shift lies above what its accuracy in distribution leads one to expect.

Follows Taori et al. 2020 (arXiv:2007.00644) and Miller et al. 2021 (arXiv:2107.04649): a straight line through the pool's points, logit of accuracy
under shift against logit of accuracy in distribution, by least squares; effective robustness is the accuracy minus the line's, as accuracies.

It is a property of the pool that draws the line, so that it is always quoted with that pool. Differs from them in one point: whose line it
is, is the caller's choice (`pool`); they take backbones trained without further data.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bob.statistics.aggregate import Floats


class EffectiveRobustness(NamedTuple):
    """Residuals, and the line that they are from."""

    residual: Floats
    """(R,) accuracy under shift minus the line's; NaN where an accuracy is exactly 0 or 1, whose logit is infinite."""
    slope: float
    intercept: float
    """logit(shifted) = intercept + slope · logit(own)"""
    pool: NDArray[np.bool_]
    """(R,) the backbones that drew the line."""


def effective_robustness(
    own: Floats, shifted: Floats, pool: NDArray[np.bool_] | None = None
) -> EffectiveRobustness | None:
    """Of R backbones with accuracies (R,) in distribution and under shift, both fractions; `pool` (R,) draws the line, None is all.

    None where no line can be drawn: fewer than 3 backbones of the pool strictly between 0 and 1 in both, or all equal in distribution.
    """
    finite = (own > 0) & (own < 1) & (shifted > 0) & (shifted < 1)
    drawing = finite if pool is None else finite & pool
    if drawing.sum() < 3 or np.ptp(own[drawing]) == 0:
        return None
    x, y = logit(own[drawing]), logit(shifted[drawing])
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / np.square(x - x.mean()).sum())
    intercept = float(y.mean() - slope * x.mean())
    residual = np.full(len(own), np.nan)
    residual[finite] = shifted[finite] - expit(intercept + slope * logit(own[finite]))
    return EffectiveRobustness(residual, slope, intercept, drawing)
