"""95 % limits of shares and means, closed forms all: what another sample of test examples could give.

Each takes a batch (..., K) or (..., N), so that a simulation is one call; `python -m tests.builders.interval_coverage` prints what each covers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

Floats = NDArray[np.floating[Any]]
Z = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 %."""

HALVINGS = 48
"""Of the interval in which a limit is looked for: to 1e-12."""
FARTHEST = 60.0
"""The largest shift of a logit that is tried; no share of fewer than 1e20 examples needs it."""
OVERDISPERSION = (0.01, 0.9)
"""Bounds of the estimated correlation within classes, so that a class lends between 0.1 and 99 examples' worth to another."""

Limits = tuple[Floats, Floats]


def wilson(successes: Floats, n: Floats, z: Floats | float = Z) -> Limits:
    """Limits of a share `successes` / n (Wilson 1927): the shares that a score test at 5 % does not reject. Never of width 0, nor outside [0, 1].

    The share lies between them in exact arithmetic; min and max keep it so after rounding.
    """
    share = successes / n
    centre = share + z**2 / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return np.clip((centre - reach) / scale, 0, share), np.clip((centre + reach) / scale, share, 1)


def mean_of_shares(successes: Floats, n: Floats) -> Limits:
    """Limits (...) of the unweighted mean of K independent shares; successes (..., K) of n (K,): Wilson's score test for a mean of shares.

    A mean m' is tested where the standard error is what it would be were m' true: all shares are moved by one shift of their logits until their
    mean is m', K^-2 sum p (1 - p) / n is the variance there, and m' is a limit where the mean seen is Z standard errors away. Of one share this is
    Wilson's interval exactly, and so it is of equal shares of classes of equal size.

    The shares that are moved are not those seen, of which a small class's may be 1 by luck, but each drawn towards the mean as much as the classes
    are alike: (successes + a m) / (n + a), with a = 1 / r - 1 and r the correlation within classes (`_overdispersion`).
    """
    share = successes / n
    seen, total = share.mean(-1), n.sum()
    weight = 1 / np.clip(_overdispersion(successes, n), *OVERDISPERSION) - 1
    middle = (seen * total + 0.5) / (total + 1)  # never 0 or 1, whose logit no shift moves
    shrunk = (successes + (weight * middle)[..., None]) / (n + weight[..., None])
    low, high = (_tested(logit(shrunk), n, seen, side) for side in (-1, 1))
    return np.minimum(low, seen), np.maximum(high, seen)


def _overdispersion(successes: Floats, n: Floats) -> Floats:
    """(...) the correlation r of two examples of one class, by moments of the beta-binomial (Kleinman 1973, doi:10.1080/01621459.1973.10481332).

    With m the share of all N examples, E sum n (p - m)² = m (1 - m) [K - 1 + r (N - sum n² / N - (K - 1))].
    """
    total, more = n.sum(), len(n) - 1
    m = successes.sum(-1) / total
    spread = (n * (successes / n - m[..., None]) ** 2).sum(-1)
    free, chance = total - (n**2).sum() / total - more, m * (1 - m)
    some = (chance > 0) & (free > 0)
    return np.where(
        some, (spread / np.where(some, chance, 1) - more) / (free if free > 0 else 1), 0.0
    )


def _tested(logits: Floats, n: Floats, seen: Floats, side: int) -> Floats:
    """(...) the mean below (side -1) or above (side 1) `seen` (...) that lies Z of its own standard errors from it; logits (..., K)."""
    least, most = np.full(seen.shape, -FARTHEST), np.full(seen.shape, FARTHEST)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        mean, error = _moved(logits, n, middle)
        below = mean - side * Z * error < seen
        least, most = np.where(below, middle, least), np.where(below, most, middle)
    return _moved(logits, n, (least + most) / 2)[0]


def _moved(logits: Floats, n: Floats, shift: Floats) -> Limits:
    """The mean of the shares once all logits have moved by `shift` (...), and its standard error."""
    p: Floats = expit(logits + shift[..., None])
    return p.mean(-1), np.sqrt((p * (1 - p) / n).sum(-1)) / len(n)


def mean_of_bounded(values: Floats) -> Limits:
    """Limits (...) of the mean of values (..., N) in [0, 1]: Wilson's, as if of the number of examples that gives a share the same variance.

    As for surveys (Dean & Pagano 2015, doi:10.1093/jssam/smv024), with Student's t for Z. Where all are equal, the size is N.
    """
    n, mean = values.shape[-1], values.mean(-1)
    if n < 2:
        return wilson(mean, np.ones_like(mean))
    return effective_wilson(mean, values.var(-1, ddof=1) / n, n)


def effective_wilson(mean: Floats, variance: Floats, n: int) -> Limits:
    """Limits (...) of an estimate in [0, 1] from N examples, given its sampling variance (...)."""
    known = (variance > 0) & (mean > 0) & (mean < 1)
    size = np.where(known, mean * (1 - mean) / np.where(known, variance, 1), n)
    return wilson(mean * size, size, np.where(known, stdtrit(n - 1, 0.975), Z))


def mean_of_skewed(values: Floats) -> Limits:
    """Limits (...) of the mean of values (..., N), N > 1, not all equal: Student's t with the skewness taken out.

    After Hall (1992, doi:10.1111/j.2517-6161.1992.tb01876.x).

    With e = sd / sqrt(N) and c = skewness / sqrt(N), t + c t² / 3 + c² t³ / 27 + c / 6 of t = (mean - true mean) / e is nearer to normal than t is;
    it is a cubic without turning points, so that its inverse gives limits. Differs from Hall in Student's quantile where he has the normal one.
    """
    n, mean = values.shape[-1], values.mean(-1)
    error = values.std(-1, ddof=1) / np.sqrt(n)
    c = _skewness(values) / np.sqrt(n)
    reach: Any = stdtrit(n - 1, 0.975)
    return np.minimum(mean, mean - error * _unskewed(reach, c)), np.maximum(
        mean, mean - error * _unskewed(-reach, c)
    )


def _skewness(values: Floats) -> Floats:
    gap = values - values.mean(-1, keepdims=True)
    skewness: Floats = (gap**3).mean(-1) / (gap**2).mean(-1) ** 1.5
    return skewness


def _unskewed(x: float, c: Floats) -> Floats:
    """The t at which Hall's cubic is x; for c = 0 that is x."""
    flat = np.abs(c) < 1e-8
    safe = np.where(flat, 1.0, c)
    return np.where(flat, x, 3 / safe * (np.cbrt(1 + safe * (x - safe / 6)) - 1))


def student(values: Floats) -> Limits:
    """Student's t limits (...) of the mean of values (..., N), N > 1."""
    n, mean = values.shape[-1], values.mean(-1)
    reach = stdtrit(n - 1, 0.975) * values.std(-1, ddof=1) / np.sqrt(n)
    return mean - reach, mean + reach


def difference(first: Floats, limits: Limits, second: Floats, others: Limits) -> Limits:
    """Limits of first - second, independent, from the limits of each: squared distances add up (Newcombe 1998; Zou & Donner 2008)."""
    gap = first - second
    return gap - np.hypot(first - limits[0], others[1] - second), gap + np.hypot(
        limits[1] - first, second - others[0]
    )


def ratio(first: Floats, limits: Limits, second: Floats, others: Limits) -> Limits:
    """Limits of second / first, independent and not negative, first > 0, from the limits of each.

    After Donner & Zou (2012, doi:10.1177/0962280210383748).
    """
    product = first * second

    def root(own: Floats, other: Floats, side: int) -> Floats:
        scale, rest = own * (2 * first - own), other * (2 * second - other)
        found: Floats = (
            product + side * np.sqrt(np.maximum(0.0, product**2 - scale * rest))
        ) / scale
        return found

    return np.maximum(0.0, root(limits[1], others[0], -1)), root(limits[0], others[1], 1)


def paired_shares(first: Floats, second: Floats, n: int) -> Limits:
    """Limits (...) of the difference of two shares of the same N examples, `first` (...) of which only the first has right, `second` only the second.

    The differences that a score test at 5 % does not reject (Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B).
    """
    seen = np.asarray((first - second) / n, np.float64)
    low, high = (_farthest(seen, np.asarray(second, np.float64), n, side) for side in (-1.0, 1.0))
    return low, high


def _farthest(seen: Floats, second: Floats, n: int, side: float) -> Floats:
    """(...) the difference farthest from the one seen, on one side, that lies within Z standard errors of it."""
    inside, outside = seen, np.full(seen.shape, side)
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        kept = np.abs(seen - middle) <= Z * _error_under(middle, seen, second, n)
        inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
    return inside


def _error_under(gap: Floats, seen: Floats, second: Floats, n: int) -> Floats:
    """Standard error of the difference were it `gap`: the share that only the second has right is then q, a quadratic's root (maximum likelihood)."""
    discordant = seen * n + 2 * second
    b, c = (2 * n - seen * n) * gap - discordant, -second * gap * (1 - gap)
    q = (np.sqrt(np.maximum(0.0, b**2 - 8 * n * c)) - b) / (4 * n)
    return np.sqrt(np.maximum(0.0, (2 * q + gap * (1 - gap)) / n))


def clip_limits(
    value: float, limits: tuple[Any, Any], lowest: float, highest: float
) -> tuple[float, float]:
    """Limits of one value as plain numbers, within the metric's range and never past the value itself."""
    return float(np.clip(limits[0], lowest, value)), float(np.clip(limits[1], value, highest))
