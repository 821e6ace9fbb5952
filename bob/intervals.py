"""95 % intervals: Wilson for a share of examples, MOVER (widened) for a mean over classes, Student's t over draws, a seeded bootstrap for the rest.

The test examples (queries, draws) are taken for a random sample of those one cares about; training is taken as given.
"""

import numpy as np
from scipy.special import stdtrit

from bob.errors import UndefinedError
from bob.metrics import Metric, metric_named
from bob.metrics.classification import per_class
from bob.outcomes import Classified, Floats, Outcome

Z = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 %."""

TAILS = (2.5, 97.5)
"""The percentiles that bound 95 %."""

DRAWS = 1000
"""Resamples per bootstrap; Efron & Tibshirani (1993, section 13.3) advise at least 1000 for percentile limits."""

SAME = 1e-12
"""Draws closer together than this differ by rounding only."""

Limits = tuple[float, float]


def interval(metric: str, outcome: Outcome, seed: int) -> tuple[float, float | None, float | None, str]:
    """The metric's value, its 95 % limits and how they were made. `seed` is the bootstrap's. Limits are None where the examples hold no spread."""
    known = metric_named(metric)
    value = known.function(outcome)
    limits = _limits(known, value, outcome, seed)
    return (value, *(limits or (None, None)), known.interval)


def _limits(metric: Metric, value: float, outcome: Outcome, seed: int) -> Limits | None:
    if metric.interval == "wilson":
        return wilson(value * len(outcome), len(outcome))
    if metric.interval == "mover" and isinstance(outcome, Classified):
        return mean_of_shares(*per_class(outcome))
    if metric.interval == "t" and metric.each is not None:
        return student(metric.each(outcome), metric)
    return bootstrap(outcome, metric, seed)


def wilson(successes: float, n: float) -> Limits:
    """Limits of a share `successes` / n (Wilson 1927): the shares that a score test at 5 % does not reject. Never of width 0, nor outside [0, 1]."""
    low, high = _wilson(np.array([successes], np.float64), np.array([n], np.float64))
    return float(low[0]), float(high[0])


def _wilson(successes: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Wilson's limits elementwise, (K,) and (K,). The share lies between them in exact arithmetic; min and max keep it so after rounding."""
    share = successes / n
    centre = share + Z**2 / (2 * n)
    reach = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return np.clip((centre - reach) / scale, 0, share), np.clip((centre + reach) / scale, share, 1)


def mean_of_shares(successes: Floats, n: Floats) -> Limits:
    """Limits of the unweighted mean of K independent shares `successes` / n, both (K,): on each side the wider of two methods.

    Neither holds alone, in simulations at nominal 95 % (tests/test_intervals.py): MOVER covers 80-90 % where many classes have few examples each,
    since Wilson limits are skewed and skews add up; the other covers 84 % where one of two classes is small and by luck all right. The wider
    covers 95-98 %.
    """
    (low, high), (low_2, high_2) = mover(successes, n), effective_wilson(successes, n)
    return min(low, low_2), max(high, high_2)


def effective_wilson(successes: Floats, n: Floats) -> Limits:
    """Wilson's limits of the mean share, as if from the number of examples that would give a single share the same variance.

    As for surveys (Dean & Pagano 2015, doi:10.1093/jssam/smv024). The variance is K^-2 sum p (1 - p) / (n - 1), unbiased; a class of one example says
    nothing about its own, and takes mean (1 - mean). Without any variance (all right) the size is that of equal classes, K² / sum(1 / n).
    """
    share, k = successes / n, len(n)
    mean = float(share.mean())
    own = np.where(n > 1, share * (1 - share) / np.maximum(n - 1, 1), mean * (1 - mean))
    size = mean * (1 - mean) * k**2 / own.sum() if own.sum() > 0 else k**2 / (1 / n).sum()
    return wilson(mean * size, size)


def mover(successes: Floats, n: Floats) -> Limits:
    """Limits of the unweighted mean of K independent shares `successes` / n, both (K,).

    Method of variance estimates recovery (Zou & Donner 2008, doi:10.1002/sim.3095): each share's distance to its own Wilson limit stands for its
    error on that side, and squared distances add up. With w = 1/K: low = mean - sqrt(sum w² (p - l)²), high = mean + sqrt(sum w² (u - p)²).
    Works at 100 %, where a standard error would be 0.
    """
    share = successes / n
    low, high = _wilson(successes, n)
    mean, weight = share.mean(), 1 / len(share)
    below = weight * np.sqrt(((share - low) ** 2).sum())
    above = weight * np.sqrt(((high - share) ** 2).sum())
    return float(max(0.0, mean - below)), float(min(1.0, mean + above))


def student(values: Floats, metric: Metric) -> Limits | None:
    """Student's t limits of the mean of draws (N,), clipped to the metric's range; None for a single draw, and where all are equal."""
    if len(values) < 2 or np.ptp(values) < SAME:
        return None
    mean, reach = float(values.mean()), float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))
    return max(metric.lowest, mean - reach), min(metric.highest, mean + reach)


def bootstrap(outcome: Outcome, metric: Metric, seed: int, draws: int = DRAWS) -> Limits | None:
    """Percentile limits over resampled examples, moved so that the draws are centred on the estimate, and clipped to the metric's range.

    Differs from the plain percentile bootstrap (Efron 1979) in the centring: resampling inflates a calibration error (noise only adds to a sum of
    absolute gaps), so that plain limits can lie above the estimate altogether.

    Draws that are all equal (all right, all wrong, one example) say nothing: Wilson's limits on n stand in for a metric in [0, 1], None for others.
    A draw in which the metric has no value (one side of a two-sided test set is missing) is left out; None where that is every second one.
    """
    value = metric.function(outcome)
    drawn = resampled(outcome, metric, seed, draws)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) <= draws / 2:
        return None
    if np.ptp(drawn) < SAME:
        return wilson(value * len(outcome), len(outcome)) if (metric.lowest, metric.highest) == (0, 1) else None
    low, high = value + np.percentile(drawn, TAILS) - drawn.mean()
    return float(np.clip(low, metric.lowest, value)), float(np.clip(high, value, metric.highest))


def resampled(outcome: Outcome, metric: Metric, seed: int, draws: int) -> Floats:
    """(draws,) the metric over resampled examples, NaN where it has no value. Outcomes of equal length see the same resamples under one seed."""
    rng, n = np.random.default_rng(seed), len(outcome)
    return np.array([_value(metric, outcome.take(rng.integers(n, size=n))) for _ in range(draws)], np.float64)


def _value(metric: Metric, outcome: Outcome) -> float:
    try:
        return metric.function(outcome)
    except UndefinedError:
        return float("nan")
