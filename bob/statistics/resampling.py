"""Uncertainty of an order of backbones: resampled datasets, and normal sampling errors."""

from collections.abc import Sequence

import numpy as np

from bob.numerics.arrays import Doubles, Ints
from bob.statistics.rounding import ROUNDING

DRAWS = 10_000
"""Resamples of the datasets."""

TAILS = (2.5, 97.5)
"""The percentiles that bound 95 %."""


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
    order = np.argsort(-drawn, axis=1, kind="stable")
    best_first = np.take_along_axis(drawn, order, 1)
    place = np.broadcast_to(np.arange(drawn.shape[1]), drawn.shape)
    is_lower = np.ones(drawn.shape, bool)
    is_lower[:, 1:] = best_first[:, :-1] > best_first[:, 1:] + ROUNDING
    rank = np.empty(drawn.shape)
    np.put_along_axis(rank, order, 1.0 + np.maximum.accumulate(place * is_lower, axis=1), 1)
    low, high = np.percentile(rank, TAILS, axis=0, method="nearest")
    return low, high


def mean_interval(drawn: Doubles) -> tuple[Doubles, Doubles]:
    """Return the limits (R,) and (R,) of each backbone's mean in 95 % of the draws (draws, R)."""
    low, high = np.percentile(drawn, TAILS, axis=0, method="nearest")
    return low, high


def normal_draws(means: Doubles, covariance: Doubles, seed: int = 0, draws: int = DRAWS) -> Doubles:
    """Return (draws, R) samples of normal means, given means (R,) and covariance (R, R).

    The covariance is that of the sampling errors; both are estimated from per-example values.
    """
    root = np.linalg.eigh(covariance)
    scale = root.eigenvectors * np.sqrt(np.maximum(0.0, root.eigenvalues))
    noise = np.random.default_rng(seed).standard_normal((draws, len(means)))
    drawn: Doubles = means + noise @ scale.T
    return drawn
