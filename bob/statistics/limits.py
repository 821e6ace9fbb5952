"""95 % confidence limits of shares and means, all in closed form or by bisection.

The limits say how far another sample of test examples could move an estimate. All functions take a
batch (..., K) or (..., N), so that a simulation is one call;
`python -m tests.builders.interval_coverage` prints what each of them covers.
"""

from typing import Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from bob.numerics.arrays import Doubles
from bob.statistics.rounding import ROUNDING

Z = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 %."""

HALVINGS = 48
"""Bisection steps for a limit: to 1e-12."""

MAX_SHIFT = 60.0
"""The largest shift of a logit that is tried; no share of fewer than 1e20 examples needs it."""

OVERDISPERSION = (0.01, 0.9)
"""Bounds of the estimated correlation within classes.

With them, a class lends between 0.1 and 99 examples' worth to another.
"""

Limits = tuple[Doubles, Doubles]
"""Lower and upper limits, each of the shape of the estimate."""


def wilson(successes: Doubles | float, n: Doubles | float, z: Doubles | float = Z) -> Limits:
    """Return the limits of a share `successes` / n (Wilson 1927).

    They bound the shares that a score test at 5 % does not reject; their width is never 0, and they
    never leave [0, 1]. In exact arithmetic the share lies between them; clipping ensures it after
    rounding.
    """
    share = successes / n
    centre = share + z**2 / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return np.clip((centre - reach) / scale, 0, share), np.clip((centre + reach) / scale, share, 1)


def mean_of_shares(successes: Doubles, n: Doubles) -> Limits:
    """Return the limits (...) of the unweighted mean of K independent shares.

    successes (..., K) of n (K,). This is Wilson's score test for a mean of shares. A mean m' is
    tested with the standard error it would have if m' were true: the logits of all shares p move by
    the same shift until their mean is m', the variance there is K^-2 sum p (1 - p) / n, and m' is a
    limit if the observed mean is Z standard errors away. For one share this is exactly Wilson's
    interval, and so it is for equal shares of classes of equal size.

    The shares that move are not the observed ones, since that of a small class may be 1 by luck.
    Each is shrunk towards the mean m by as much as the classes are alike:
    (successes + a m) / (n + a), where a = 1 / r - 1 and r is the correlation within classes
    (`_overdispersion`).
    """
    share = successes / n
    observed, total = share.mean(-1), n.sum()
    weight = 1 / np.clip(_overdispersion(successes, n), *OVERDISPERSION) - 1
    centre = (observed * total + 0.5) / (total + 1)  # never 0 or 1, whose logits are infinite
    shrunk = (successes + (weight * centre)[..., None]) / (n + weight[..., None])
    low, high = (_score_limit(logit(shrunk), n, observed, side) for side in (-1, 1))
    return np.minimum(low, observed), np.maximum(high, observed)


def _overdispersion(successes: Doubles, n: Doubles) -> Doubles:
    """Return (...) the correlation r of two examples of the same class.

    By the moments of the beta-binomial (Kleinman 1973, doi:10.1080/01621459.1973.10481332), where m
    is the share of all N examples:
    E sum n (p - m)² = m (1 - m) [K - 1 + r (N - sum n² / N - (K - 1))].
    """
    total, degrees = n.sum(), len(n) - 1
    m = successes.sum(-1) / total
    spread = (n * (successes / n - m[..., None]) ** 2).sum(-1)
    weight, variance = total - (n**2).sum() / total - degrees, m * (1 - m)
    defined = (variance > 0) & (weight > 0)
    excess = spread / np.where(defined, variance, 1) - degrees
    return np.where(defined, excess / (weight if weight > 0 else 1), 0.0)


def _score_limit(logits: Doubles, n: Doubles, observed: Doubles, side: int) -> Doubles:
    """Return (...) the mean Z of its own standard errors below or above the observed one (...).

    logits (..., K); side is -1 for the lower limit and 1 for the upper one.
    """
    low, high = np.full(observed.shape, -MAX_SHIFT), np.full(observed.shape, MAX_SHIFT)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mean, error = _shifted_mean(logits, n, middle)
        below = mean - side * Z * error < observed
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return _shifted_mean(logits, n, (low + high) / 2)[0]


def _shifted_mean(logits: Doubles, n: Doubles, shift: Doubles) -> tuple[Doubles, Doubles]:
    """Return the mean share (...) after a shift (...) of all logits, and its standard error."""
    p: Doubles = expit(logits + shift[..., None])
    return p.mean(-1), np.sqrt((p * (1 - p) / n).sum(-1)) / len(n)


def mean_of_bounded(values: Doubles) -> Limits:
    """Return the limits (...) of the mean of values (..., N) in [0, 1].

    They are Wilson's, with the number of examples that gives a share the same variance, and with
    Student's t for Z, as for surveys (Dean & Pagano 2015, doi:10.1093/jssam/smv024). If all values
    are equal but for rounding, the number is N.
    """
    n, mean = values.shape[-1], values.mean(-1)
    if n < 2:
        return wilson(mean, np.ones_like(mean))
    variance = np.where(np.ptp(values, -1) <= ROUNDING, 0.0, values.var(-1, ddof=1))
    return effective_wilson(mean, variance / n, n)


def effective_wilson(mean: Doubles, variance: Doubles, n: int) -> Limits:
    """Return the limits (...) of an estimate in [0, 1] from N examples with a variance (...)."""
    defined = (variance > 0) & (mean > 0) & (mean < 1)
    size = np.where(defined, mean * (1 - mean) / np.where(defined, variance, 1), n)
    return wilson(mean * size, size, np.where(defined, stdtrit(n - 1, 0.975), Z))


def mean_of_skewed(values: Doubles) -> Limits:
    """Return the limits (...) of the mean of values (..., N), N > 1 and not all equal.

    They are Student's t limits, corrected for skewness (Hall 1992,
    doi:10.1111/j.2517-6161.1992.tb01876.x). With e = sd / sqrt(N), c = skewness / sqrt(N) and
    t = (mean - true mean) / e, the polynomial t + c t² / 3 + c² t³ / 27 + c / 6 is closer to normal
    than t. It is a cubic without turning points, so its inverse gives limits. Differs from Hall in
    the use of Student's quantile instead of the normal one.
    """
    n, mean = values.shape[-1], values.mean(-1)
    error = values.std(-1, ddof=1) / np.sqrt(n)
    c = _skewness(values) / np.sqrt(n)
    reach: Any = stdtrit(n - 1, 0.975)
    low = np.minimum(mean, mean - error * _inverse_cubic(reach, c))
    return low, np.maximum(mean, mean - error * _inverse_cubic(-reach, c))


def _skewness(values: Doubles) -> Doubles:
    gap = values - values.mean(-1, keepdims=True)
    skewness: Doubles = (gap**3).mean(-1) / (gap**2).mean(-1) ** 1.5
    return skewness


def _inverse_cubic(x: float, c: Doubles) -> Doubles:
    """Return the t at which Hall's cubic is x; for c = 0 that is x."""
    flat = np.abs(c) < 1e-8
    safe = np.where(flat, 1.0, c)
    return np.where(flat, x, 3 / safe * (np.cbrt(1 + safe * (x - safe / 6)) - 1))


def student(values: Doubles) -> Limits:
    """Return Student's t limits (...) of the mean of values (..., N), N > 1."""
    n, mean = values.shape[-1], values.mean(-1)
    reach = stdtrit(n - 1, 0.975) * values.std(-1, ddof=1) / np.sqrt(n)
    return mean - reach, mean + reach


def difference(
    first: Doubles, first_limits: Limits, second: Doubles, second_limits: Limits
) -> Limits:
    """Return the limits of first - second, independent estimates, from the limits of each.

    Squared distances add up (Newcombe 1998; Zou & Donner 2008).
    """
    gap = first - second
    low = gap - np.hypot(first - first_limits[0], second_limits[1] - second)
    return low, gap + np.hypot(first_limits[1] - first, second - second_limits[0])


def ratio(first: Doubles, first_limits: Limits, second: Doubles, second_limits: Limits) -> Limits:
    """Return the limits of second / first, independent estimates, from the limits of each.

    Neither may be negative, and first > 0 (Donner & Zou 2012, doi:10.1177/0962280210383748).
    """
    product = first * second

    def root(first_limit: Doubles, second_limit: Doubles, side: int) -> Doubles:
        scale = first_limit * (2 * first - first_limit)
        rest = second_limit * (2 * second - second_limit)
        discriminant = np.maximum(0.0, product**2 - scale * rest)
        limit: Doubles = (product + side * np.sqrt(discriminant)) / scale
        return limit

    low = np.maximum(0.0, root(first_limits[1], second_limits[0], -1))
    return low, root(first_limits[0], second_limits[1], 1)


def paired_shares(first: Doubles | float, second: Doubles | float, n: int) -> Limits:
    """Return the limits (...) of the difference of two shares of the same N examples.

    Only the first is right on `first` (...) examples, and only the second on `second` (...). The
    limits bound the differences that a score test at 5 % does not reject (Tango 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B).
    """
    observed, second = np.asarray((first - second) / n, np.float64), np.asarray(second, np.float64)
    low, high = (_paired_limit(observed, second, n, side) for side in (-1.0, 1.0))
    return low, high


def _paired_limit(observed: Doubles, second: Doubles, n: int, side: float) -> Doubles:
    """Return (...) the farthest difference within Z standard errors of the observed one.

    side is -1 for the lower limit and 1 for the upper one.
    """
    inside, outside = observed, np.full(observed.shape, side)
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        accepted = np.abs(observed - middle) <= Z * _error_under(middle, observed, second, n)
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    return inside


def _error_under(gap: Doubles, observed: Doubles, second: Doubles, n: int) -> Doubles:
    """Return the standard error of the difference if the true difference were `gap`.

    The share q on which only the second is right is then the root of a quadratic (maximum
    likelihood).
    """
    discordant = observed * n + 2 * second
    b, c = (2 * n - observed * n) * gap - discordant, -second * gap * (1 - gap)
    q = (np.sqrt(np.maximum(0.0, b**2 - 8 * n * c)) - b) / (4 * n)
    return np.sqrt(np.maximum(0.0, (2 * q + gap * (1 - gap)) / n))


def clip_limits(
    value: float, limits: tuple[Any, Any], lowest: float, highest: float
) -> tuple[float, float]:
    """Return the limits of a value as floats, in [lowest, highest] and on their sides of it."""
    return float(np.clip(limits[0], lowest, value)), float(np.clip(limits[1], value, highest))
