"""Whether two settings order backbones alike: rank correlations, both with corrections for equal values."""

import numpy as np

from bob.statistics.aggregate import Floats, ranks


def spearman(x: Floats, y: Floats) -> float | None:
    """Correlation of the ranks of x and y, both (R,); None for fewer than 3 backbones, or where all are equal in one of the two."""
    if _says_nothing(x, y):
        return None
    placed = ranks(np.stack([x, y], axis=1), (True, True))
    return float(np.asarray(np.corrcoef(placed.T))[0, 1])


def kendall(x: Floats, y: Floats) -> float | None:
    """Kendall's tau-b: (pairs ordered alike - pairs ordered otherwise) / sqrt(pairs that x orders * pairs that y orders); None as for `spearman`."""
    if _says_nothing(x, y):
        return None
    above = np.triu_indices(len(x), 1)
    sign_x, sign_y = (np.sign(values[:, None] - values[None])[above] for values in (x, y))
    return float((sign_x * sign_y).sum() / np.sqrt((sign_x**2).sum() * (sign_y**2).sum()))


def _says_nothing(x: Floats, y: Floats) -> bool:
    return len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0
