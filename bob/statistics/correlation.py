"""Rank correlations between two settings, corrected for ties."""

import numpy as np

from bob.numerics.arrays import Doubles
from bob.statistics.aggregate import ranks


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
    sign_x, sign_y = (np.sign(values[:, None] - values[None])[above] for values in (x, y))
    return float((sign_x * sign_y).sum() / np.sqrt((sign_x**2).sum() * (sign_y**2).sum()))


def _is_undefined(x: Doubles, y: Doubles) -> bool:
    return len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0
