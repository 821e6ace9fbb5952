"""Effective robustness: accuracy under shift beyond what accuracy in distribution predicts.

Follows Taori et al. 2020 (arXiv:2007.00644) and Miller et al. 2021 (arXiv:2107.04649): the
prediction is a straight line through the pool's points, logit of accuracy under shift against logit
of accuracy in distribution, fitted by least squares; effective robustness is the accuracy minus the
prediction, both as accuracies.

It is a property of the pool that the line is fitted to, so it is always reported with that pool.
Differs from both papers in one point: the caller chooses the pool; they fit the line to backbones
trained without additional data.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from bob.numerics.arrays import Bools, Doubles


class EffectiveRobustness(NamedTuple):
    """Residuals of R backbones, and the line that they refer to."""

    residual: Doubles
    """(R,) accuracy under shift minus the prediction.

    NaN where an accuracy is exactly 0 or 1, whose logit is infinite.
    """
    slope: float
    intercept: float
    """logit(shifted) = intercept + slope · logit(in distribution)"""
    pool: Bools
    """(R,) the backbones that the line is fitted to."""


def effective_robustness(
    in_distribution: Doubles, shifted: Doubles, pool: Bools | None = None
) -> EffectiveRobustness | None:
    """Return the effective robustness of R backbones with accuracies (R,), as fractions.

    `pool` (R,) selects the backbones that the line is fitted to; None selects all. The result is
    None if no line can be fitted: fewer than 3 backbones of the pool have both accuracies strictly
    between 0 and 1, or all have the same accuracy in distribution.
    """
    finite = (in_distribution > 0) & (in_distribution < 1) & (shifted > 0) & (shifted < 1)
    fitted = finite if pool is None else finite & pool
    if fitted.sum() < 3 or np.ptp(in_distribution[fitted]) == 0:
        return None
    x, y = logit(in_distribution[fitted]), logit(shifted[fitted])
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / np.square(x - x.mean()).sum())
    intercept = float(y.mean() - slope * x.mean())
    residual = np.full(len(in_distribution), np.nan)
    predicted = expit(intercept + slope * logit(in_distribution[finite]))
    residual[finite] = shifted[finite] - predicted
    return EffectiveRobustness(residual, slope, intercept, fitted)
