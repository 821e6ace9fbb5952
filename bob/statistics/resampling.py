"""Uncertainty of an order of backbones: resampled datasets, and normal sampling errors."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import ndtr

from bob.numerics.arrays import Bools, Doubles, Ints

DRAWS = 10_000
"""Resamples of the datasets."""

BLOCK = 500
"""Draws compared at once: 2.5 MB for 70 backbones."""

TAILS = (2.5, 97.5)
"""The percentiles that bound 95 %."""

ROUNDING = 1e-12
"""Means that differ by less than this are tied."""


def resampled_means(
    values: Doubles, units: Sequence[str], seed: int = 0, draws: int = DRAWS
) -> Doubles:
    """Return (draws, R) the mean over settings of each backbone in resamples of the datasets.

    values (R, S); units (S,) the dataset of each setting. Complete datasets are sampled with
    replacement, all settings of a dataset together, since two tasks on the same images are not
    independent. Each setting has equal weight, as in the mean over the settings themselves.
    """
    names, unit = np.unique(np.asarray(units), return_inverse=True)
    chosen = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    weight = _counts(chosen, len(names))[:, unit].astype(np.float64)
    means: Doubles = weight @ values.T / weight.sum(1, keepdims=True)
    return means


def dataset_contributions(values: Doubles, units: Sequence[str]) -> Doubles:
    """Return (R, D) each dataset's contribution to each backbone's mean over settings.

    values (R, S); units (S,) the dataset of each setting. Contributions are scaled so that they
    average to the mean over settings. A paired test over datasets compares their differences
    between two backbones.
    """
    names, unit = np.unique(np.asarray(units), return_inverse=True)
    sums = np.zeros((len(names), len(values)))
    np.add.at(sums, unit, values.T)
    return np.asarray(sums.T * len(names) / values.shape[1])


def _counts(chosen: Ints, size: int) -> Ints:
    """Return (draws, size) how often each of `size` datasets occurs in each row of `chosen`."""
    index = chosen + size * np.arange(len(chosen))[:, None]
    return np.bincount(index.ravel(), minlength=size * len(chosen)).reshape(len(chosen), size)


def win_share(drawn: Doubles) -> Doubles:
    """Return (R,) the share of the draws (draws, R) in which each backbone is best.

    Tied backbones share a draw.
    """
    best = np.isclose(drawn, drawn.max(1, keepdims=True), rtol=0, atol=ROUNDING)
    share: Doubles = (best / best.sum(1, keepdims=True)).mean(0)
    return share


def rank_interval(drawn: Doubles) -> tuple[Doubles, Doubles]:
    """Return the lowest (R,) and highest (R,) rank of each backbone in 95 % of the draws.

    1 is the best; tied backbones all have the best of their ranks.
    """
    rank = 1 + np.concatenate([ahead.sum(1) for ahead in _ahead(drawn)])
    low, high = np.percentile(rank, TAILS, axis=0, method="nearest")
    return low, high


def _ahead(drawn: Doubles) -> Iterator[Bools]:
    """Yield (block, R, R) whether the first backbone beats the second, for blocks of draws."""
    for start in range(0, len(drawn), BLOCK):
        block = drawn[start : start + BLOCK]
        yield block[:, :, None] > block[:, None, :] + ROUNDING


def normal_draws(means: Doubles, covariance: Doubles, seed: int = 0, draws: int = DRAWS) -> Doubles:
    """Return (draws, R) samples of normal means, given means (R,) and covariance (R, R).

    The covariance is that of the sampling errors; both are estimated from per-example values.
    """
    root = np.linalg.eigh(covariance)
    scale = root.eigenvectors * np.sqrt(np.maximum(0.0, root.eigenvalues))
    noise = np.random.default_rng(seed).standard_normal((draws, len(means)))
    drawn: Doubles = means + noise @ scale.T
    return drawn


def normal_p_values(means: Doubles, covariance: Doubles) -> Doubles:
    """Return (R, R) two-sided p-values of the pairs' differences; 1 for equal means.

    A difference is normal, with the variance that follows from the covariance (R, R).
    """
    gap = np.abs(means[:, None] - means)
    variance = np.diag(covariance)
    error = np.sqrt(np.maximum(0.0, variance[:, None] + variance - 2 * covariance))
    return np.where(gap > ROUNDING, 2 * ndtr(-gap / np.maximum(error, np.finfo(float).tiny)), 1.0)
