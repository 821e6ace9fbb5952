"""95 % intervals of metrics: closed forms of `bob.statistics`, and a seeded bootstrap for the rest.

The test examples (queries, draws) are treated as a random sample of those of interest; training is
taken as given. docs/explanation/statistics.md lists what each kind covers, as measured by
`python -m tests.builders.interval_coverage`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics import Metric, metric_named
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import Outcome
from bob.statistics import limits as closed
from bob.statistics.extremes import gap_limits, lowest_limits
from bob.statistics.jackknife import (
    folded_limits,
    jackknife_bias,
    jackknife_limits,
    median_limits,
    rate_at_quantile,
)
from bob.statistics.limits import clip_limits
from bob.statistics.rounding import ROUNDING, are_equal

DRAWS = 1000
"""Resamples per bootstrap, from which the standard error is known to 2 %."""

Interval = tuple[float, float]


def interval(
    metric: str, outcome: Outcome, seed: int
) -> tuple[float, float | None, float | None, str]:
    """Return the metric's value, its 95 % limits and the kind of interval.

    `seed` is the bootstrap's. Limits are None if the examples show no spread.
    """
    definition = metric_named(metric)
    value = definition.function(outcome)
    limits = (
        bootstrap(outcome, definition, seed)
        if definition.interval == "bootstrap"
        else CLOSED_FORMS[definition.interval](value, definition, outcome)
    )
    return (value, *(limits or (None, None)), definition.interval)


def _wilson(value: float, metric: Metric, outcome: Outcome) -> Interval:
    n = np.asarray(len(outcome), np.float64)
    return clip_limits(value, closed.wilson(value * n, n), 0, 1)


def _score(value: float, metric: Metric, outcome: Outcome) -> Interval:
    """Return the limits of a mean of shares."""
    return clip_limits(value, closed.mean_of_shares(*_shares(metric, outcome)), 0, 1)


def _newcombe(value: float, metric: Metric, outcome: Outcome) -> Interval:
    """Return the limits of the first share minus the mean of the others."""
    limits = closed.difference(*_first_and_others(metric, outcome))
    return clip_limits(value, limits, metric.lowest, metric.highest)


def _ratio(value: float, metric: Metric, outcome: Outcome) -> Interval:
    """Return the limits of 1 minus the mean of the other shares divided by the first."""
    low, high = closed.ratio(*_first_and_others(metric, outcome))
    return clip_limits(value, (1 - high, 1 - low), metric.lowest, metric.highest)


def _first_and_others(
    metric: Metric, outcome: Outcome
) -> tuple[Doubles, closed.Limits, Doubles, closed.Limits]:
    """Return the first share and the mean of the others, each followed by its limits."""
    successes, n = _shares(metric, outcome)
    share = successes / n
    first, others = closed.wilson(successes[0], n[0]), closed.mean_of_shares(successes[1:], n[1:])
    return share[0], first, share[1:].mean(), others


def _shares(metric: Metric, outcome: Outcome) -> tuple[Doubles, Doubles]:
    assert metric.shares is not None, metric.name
    return metric.shares(outcome)


def _effective(value: float, metric: Metric, outcome: Outcome) -> Interval:
    return clip_limits(value, closed.mean_of_bounded(_per_example(metric, outcome)), 0, 1)


def _hall(value: float, metric: Metric, outcome: Outcome) -> Interval | None:
    return _limits_of_mean(value, metric, outcome, closed.mean_of_skewed)


def _student(value: float, metric: Metric, outcome: Outcome) -> Interval | None:
    return _limits_of_mean(value, metric, outcome, closed.student)


def _limits_of_mean(
    value: float, metric: Metric, outcome: Outcome, limits: Callable[[Doubles], closed.Limits]
) -> Interval | None:
    """Return the limits of a mean over examples.

    None for a single value, for one that is NaN, or if all are equal.
    """
    values = _per_example(metric, outcome)
    if len(values) < 2 or np.isnan(values).any() or are_equal(values):
        return None
    return clip_limits(value, limits(values), metric.lowest, metric.highest)


def _tango(value: float, metric: Metric, outcome: Outcome) -> Interval:
    """Return the limits of a mean of -1, 0 and 1: a difference of shares of the same examples."""
    values = _per_example(metric, outcome)
    limits = closed.paired_shares((values > 0).sum(), (values < 0).sum(), len(values))
    return clip_limits(value, limits, -1, 1)


def _jackknife(value: float, metric: Metric, outcome: Outcome) -> Interval | None:
    assert metric.leave_one_out is not None, metric.name
    leave_one_out = np.asarray(metric.leave_one_out(outcome), np.float64)
    bias = jackknife_bias(value, leave_one_out) if metric.biased else 0.0
    limits = jackknife_limits(value, leave_one_out, _strata(metric, outcome), bias)
    return None if limits is None else clip_limits(value, limits, 0, 1)


def _folded(value: float, metric: Metric, outcome: Outcome) -> Interval | None:
    assert metric.leave_one_out is not None and metric.bias_range is not None, metric.name
    leave_one_out = np.asarray(metric.leave_one_out(outcome), np.float64)
    limits = folded_limits(value, leave_one_out, metric.bias_range(outcome))
    return None if limits is None else clip_limits(value, limits, 0, 1)


def _lowest(value: float, metric: Metric, outcome: Outcome) -> Interval:
    assert metric.accuracies is not None, metric.name
    groups = metric.accuracies(outcome)
    return clip_limits(value, lowest_limits(groups.right, groups.count), 0, 1)


def _gap(value: float, metric: Metric, outcome: Outcome) -> Interval:
    assert metric.accuracies is not None, metric.name
    groups = metric.accuracies(outcome)
    limits = gap_limits(groups.function, groups.right, groups.count, groups.compared)
    return clip_limits(value, limits, 0, 1)


def _quantile(value: float, metric: Metric, outcome: Outcome) -> Interval:
    assert metric.at_quantile is not None, metric.name
    return clip_limits(value, rate_at_quantile(*metric.at_quantile(outcome)), 0, 1)


def _median(value: float, metric: Metric, outcome: Outcome) -> Interval:
    assert metric.median_of is not None, metric.name
    limits = median_limits(metric.median_of(outcome))
    return clip_limits(value, limits, metric.lowest, metric.highest)


def _strata(metric: Metric, outcome: Outcome) -> NDArray[Any]:
    return np.zeros(len(outcome)) if metric.strata is None else metric.strata(outcome)


def _per_example(metric: Metric, outcome: Outcome) -> Doubles:
    assert metric.per_example is not None, metric.name
    return np.asarray(metric.per_example(outcome), np.float64)


CLOSED_FORMS: Mapping[str, Callable[[float, Metric, Outcome], Interval | None]] = {
    "wilson": _wilson,
    "score": _score,
    "newcombe": _newcombe,
    "ratio": _ratio,
    "effective": _effective,
    "hall": _hall,
    "tango": _tango,
    "t": _student,
    "jackknife": _jackknife,
    "folded": _folded,
    "lowest": _lowest,
    "gap": _gap,
    "quantile": _quantile,
    "median": _median,
}
"""Kind of interval → function of (value, metric, outcome) to its limits."""


def bootstrap(outcome: Outcome, metric: Metric, seed: int, draws: int = DRAWS) -> Interval | None:
    """Return Wilson's limits of a bounded metric, with the standard error of a bootstrap.

    Its range is mapped to [0, 1].

    If all resamples agree (all right, all wrong, one example) the effective size is that of the
    sample. Resamples in which the metric is undefined (one side of a two-sided test set is missing)
    are excluded; the result is None if they are half of all or more.
    """
    lowest, span = metric.lowest, metric.highest - metric.lowest
    value = (metric.function(outcome) - lowest) / span
    values = (
        resampled(outcome, metric, seed, draws)
        if metric.redrawn is None
        else metric.redrawn(outcome, np.random.default_rng(seed), draws)
    )
    drawn = (values - lowest) / span
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) <= draws / 2:
        return None
    if np.ptp(drawn) < ROUNDING:
        n = np.asarray(float(len(outcome)))
        low, high = clip_limits(value, closed.wilson(np.asarray(value * len(outcome)), n), 0, 1)
    else:
        centre = np.clip(2 * value - drawn.mean(), 0, 1) if metric.biased else np.asarray(value)
        limits = closed.effective_wilson(centre, drawn.var(ddof=1), len(outcome))
        low, high = clip_limits(value, limits, 0, 1)
    return lowest + span * low, lowest + span * high


def resampled(outcome: Outcome, metric: Metric, seed: int, draws: int) -> Doubles:
    """Return (draws,) values of the metric on resampled examples, NaN where it is undefined.

    Outcomes on the same examples are resampled alike under the same seed.
    """
    if metric.redrawn is not None and metric.strata is None:
        return metric.redrawn(outcome, np.random.default_rng(seed), draws)
    rng, strata = np.random.default_rng(seed), _strata(metric, outcome)
    positions = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    return np.array(
        [_value(metric, outcome.take(_resample(rng, positions))) for _ in range(draws)], np.float64
    )


def _resample(rng: np.random.Generator, strata: Sequence[Ints]) -> Ints:
    return np.concatenate(
        [positions[rng.integers(len(positions), size=len(positions))] for positions in strata]
    )


def _value(metric: Metric, outcome: Outcome) -> float:
    try:
        return metric.function(outcome)
    except UndefinedError:
        return float("nan")
