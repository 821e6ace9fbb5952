"""Rank correlations between two settings, corrected for ties."""

import numpy as np

from bob.numerics.arrays import Doubles
from bob.statistics.aggregate import ranks
from bob.statistics.rounding import are_equal, tolerance


def spearman(x: Doubles, y: Doubles) -> float | None:
    """Return Spearman's correlation of x and y, both (R,).

    None for fewer than 3 backbones, or if all values of x or of y are equal.
    """
    if _is_undefined(x, y):
        return None
    ranked = ranks(np.stack([x, y], axis=1), (True, True))
    return float(np.asarray(np.corrcoef(ranked.T))[0, 1])


def kendall(x: Doubles, y: Doubles) -> float | None:
    """Return Kendall's tau-b of x and y, both (R,); None under the same conditions as `spearman`.

    (concordant pairs - discordant pairs) / sqrt(pairs untied in x * pairs untied in y).
    """
    if _is_undefined(x, y):
        return None
    above = np.triu_indices(len(x), 1)
    sign_x, sign_y = (_order(values)[above] for values in (x, y))
    return float((sign_x * sign_y).sum() / np.sqrt((sign_x**2).sum() * (sign_y**2).sum()))


def _order(values: Doubles) -> Doubles:
    """Return (R, R) 1 where the first of two values is greater, -1 where the second is, else 0."""
    gap = values[:, None] - values[None]
    return np.where(np.abs(gap) <= tolerance(values), 0.0, np.sign(gap))


def _is_undefined(x: Doubles, y: Doubles) -> bool:
    return len(x) < 3 or are_equal(x) or are_equal(y)
