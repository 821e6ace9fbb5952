"""Errors of predicted depth, alignment by scale and shift, and bins of depth."""

from typing import Literal

import numpy as np

from bob.numerics.arrays import Doubles, Ints

ERRORS = ("delta1", "delta2", "delta3", "abs_rel", "rmse", "rmse_log", "silog")
"""What `depth_errors` returns, in its order."""
DELTA = 1.25
Spacing = Literal["uniform", "log"]


def depth_errors(predicted: Doubles, true: Doubles) -> Doubles:
    """Return the errors (7,) of positive depths (P,) in metres, NaN where P = 0.

    In the order of `ERRORS`: the shares of pixels whose ratio to the truth, or its inverse, is
    below 1.25, 1.25² and 1.25³; the mean of |p - t| / t; the root mean squares of p - t, in
    metres, and of log p - log t; and the standard deviation of the latter (Eigen et al. 2014,
    arXiv:1406.2283). KITTI's SILog is a hundred times that.
    """
    if not len(true):
        return np.full(len(ERRORS), np.nan)
    ratio = np.maximum(predicted / true, true / predicted)
    gap, log_gap = predicted - true, np.log(predicted) - np.log(true)
    return np.array(
        [
            *((ratio < DELTA**power).mean() for power in (1, 2, 3)),
            (np.abs(gap) / true).mean(),
            np.sqrt((gap**2).mean()),
            np.sqrt((log_gap**2).mean()),
            log_gap.std(),
        ]
    )


def scale_and_shift(predicted: Doubles, true: Doubles) -> tuple[float, float]:
    """Return a and b of the smallest sum of (a p + b - t)² over depths (P,); P > 0.

    A constant prediction has no scale: a is 0, and b the mean of the truth.
    """
    p, t = predicted - predicted.mean(), true - true.mean()
    spread = float(p @ p)
    a = float(p @ t) / spread if spread > 1e-12 * float(predicted @ predicted) else 0.0
    return a, float(true.mean() - a * predicted.mean())


def bin_centres(range_m: tuple[float, float], bins: int, spacing: Spacing) -> Doubles:
    """Return the depths (bins,) from the least to the most, at equal steps or equal ratios."""
    least, most = range_m
    return np.linspace(least, most, bins) if spacing == "uniform" else np.geomspace(*range_m, bins)


def nearest_bins(depth: Doubles, range_m: tuple[float, float], bins: int, spacing: Spacing) -> Ints:
    """Return the bin (...) whose centre is nearest to each depth (...), by difference or ratio."""
    least, most = range_m
    if spacing == "log":
        depth, least, most = np.log(depth), float(np.log(least)), float(np.log(most))
    place = (depth - least) / (most - least) * (bins - 1)
    return np.clip(np.rint(place), 0, bins - 1).astype(np.int64)


def expected_depth(shares: Doubles, centres: Doubles) -> Doubles:
    """Return the mean of the centres (B,) weighted by shares (..., B), negative ones taken as 0.

    Where no share is positive, all weigh alike.
    """
    positive = shares.clip(min=0)
    total = positive.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0, positive, 1.0)
    return np.asarray((weights @ centres) / weights.sum(axis=-1), np.float64)
