"""How sure an order over datasets is: the bootstrap over datasets."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bob.statistics.aggregate import Floats

DRAWS = 10_000
"""Resamples of the datasets."""

BLOCK = 500
"""Draws compared at once: 2.5 MB for 70 backbones."""
TAILS = (2.5, 97.5)
"""The percentiles that bound 95 %."""


def resampled_means(values: Floats, units: Sequence[str], seed: int = 0, draws: int = DRAWS) -> Floats:
    """(draws, R) each backbone's mean over settings in resamples of the datasets; values (R, S), units (S,) the dataset of each setting.

    Whole datasets are drawn with replacement, all settings of one together, since two tasks on the same images are not two findings.
    Each setting weighs the same, as in the mean over the settings themselves.
    """
    names, unit = np.unique(np.asarray(units), return_inverse=True)
    chosen = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    weight = _counts(chosen, len(names))[:, unit].astype(np.float64)
    means: Floats = weight @ values.T / weight.sum(1, keepdims=True)
    return means


def dataset_contributions(values: Floats, units: Sequence[str]) -> Floats:
    """(R, D) each dataset's part in each backbone's mean over settings, so scaled that they average to it; values (R, S), units (S,).

    Differences of these between two backbones are what a paired test over datasets sees.
    """
    names, unit = np.unique(np.asarray(units), return_inverse=True)
    parts = np.zeros((len(names), len(values)))
    np.add.at(parts, unit, values.T)
    return np.asarray(parts.T * len(names) / values.shape[1])


def _counts(chosen: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """(draws, size) how often each of `size` datasets is in each row of `chosen`."""
    cell = chosen + size * np.arange(len(chosen))[:, None]
    return np.bincount(cell.ravel(), minlength=size * len(chosen)).reshape(len(chosen), size)


def win_share(drawn: Floats) -> Floats:
    """(R,) the share of draws in which each is best; equals share a draw."""
    best = np.isclose(drawn, drawn.max(1, keepdims=True), rtol=0, atol=1e-12)
    share: Floats = (best / best.sum(1, keepdims=True)).mean(0)
    return share


def rank_interval(drawn: Floats) -> tuple[Floats, Floats]:
    """(R,) and (R,): the places between which each lies in 95 % of draws; 1 is best, and a place shared counts as its best one."""
    place = 1 + np.concatenate([ahead.sum(1) for ahead in _ahead(drawn)])
    low, high = np.percentile(place, TAILS, axis=0, method="nearest")
    return low, high


def _ahead(drawn: Floats) -> Iterator[NDArray[np.bool_]]:
    """(some draws, R, R) whether the first is ahead of the second by more than rounding, some draws at a time."""
    for start in range(0, len(drawn), BLOCK):
        part = drawn[start : start + BLOCK]
        yield part[:, :, None] > part[:, None, :] + 1e-12


def normal_draws(means: Floats, covariance: Floats, seed: int = 0, draws: int = DRAWS) -> Floats:
    """(draws, R) where R means could have come out, given the covariance (R, R) of their sampling errors; both from per-example values."""
    root = np.linalg.eigh(covariance)
    scale = root.eigenvectors * np.sqrt(np.maximum(0.0, root.eigenvalues))
    drawn: Floats = (
        means + np.random.default_rng(seed).standard_normal((draws, len(means))) @ scale.T
    )
    return drawn


def normal_p_values(means: Floats, covariance: Floats) -> Floats:
    """(R, R) two-sided p of each pair's difference, which is normal with the variance that the covariance (R, R) gives it; 1 for equals."""
    gap = np.abs(means[:, None] - means)
    own = np.diag(covariance)
    error = np.sqrt(np.maximum(0.0, own[:, None] + own - 2 * covariance))
    return np.where(gap > 1e-12, 2 * ndtr(-gap / np.maximum(error, np.finfo(float).tiny)), 1.0)
