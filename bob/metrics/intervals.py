"""95 % intervals: which of `bob.statistics.limits` serves a metric, and a seeded bootstrap for those without a closed form.

The test examples (queries, draws) are taken for a random sample of those one cares about; training is taken as given. What each kind covers stands in
docs/statistics.md, from `python -m tests.builders.interval_coverage`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics import Metric, metric_named
from bob.outcomes import Floats, Outcome
from bob.statistics import limits as closed
from bob.statistics.jackknife import jackknife_limits, rate_at_quantile, jackknife_bias
from bob.statistics.limits import clip_limits

DRAWS = 1000
"""Resamples per bootstrap: the standard error is then known to 2 %."""

SAME = 1e-12
"""Values closer together than this differ by rounding only."""

Limits = tuple[float, float]


def interval(
    metric: str, outcome: Outcome, seed: int
) -> tuple[float, float | None, float | None, str]:
    """The metric's value, its 95 % limits and how they were made. `seed` is the bootstrap's. Limits are None where the examples hold no spread."""
    known = metric_named(metric)
    value = known.function(outcome)
    limits = (
        bootstrap(outcome, known, seed)
        if known.interval == "bootstrap"
        else CLOSED_FORMS[known.interval](value, known, outcome)
    )
    return (value, *(limits or (None, None)), known.interval)


def _wilson(value: float, metric: Metric, outcome: Outcome) -> Limits:
    n = np.asarray(len(outcome), np.float64)
    return clip_limits(value, closed.wilson(value * n, n), 0, 1)


def _score(value: float, metric: Metric, outcome: Outcome) -> Limits:
    """Of a mean of shares."""
    return clip_limits(value, closed.mean_of_shares(*_shares(metric, outcome)), 0, 1)


def _newcombe(value: float, metric: Metric, outcome: Outcome) -> Limits:
    """Of the first share less the mean of the others."""
    return clip_limits(value, closed.difference(*_sides(metric, outcome)), metric.lowest, metric.highest)


def _ratio(value: float, metric: Metric, outcome: Outcome) -> Limits:
    """Of 1 less the mean of the other shares over the first."""
    low, high = closed.ratio(*_sides(metric, outcome))
    return clip_limits(value, (1 - high, 1 - low), metric.lowest, metric.highest)


def _sides(metric: Metric, outcome: Outcome) -> tuple[Floats, closed.Limits, Floats, closed.Limits]:
    """The first share and the mean of the others, each with its limits."""
    successes, n = _shares(metric, outcome)
    share = successes / n
    own, others = closed.wilson(successes[0], n[0]), closed.mean_of_shares(successes[1:], n[1:])
    return share[0], own, share[1:].mean(), others


def _shares(metric: Metric, outcome: Outcome) -> tuple[Floats, Floats]:
    assert metric.shares is not None, metric.name
    return metric.shares(outcome)


def _effective(value: float, metric: Metric, outcome: Outcome) -> Limits:
    return clip_limits(value, closed.mean_of_bounded(_each(metric, outcome)), 0, 1)


def _hall(value: float, metric: Metric, outcome: Outcome) -> Limits | None:
    values = _each(metric, outcome)
    return (
        None
        if _says_nothing(values)
        else clip_limits(value, closed.mean_of_skewed(values), metric.lowest, metric.highest)
    )


def _student(value: float, metric: Metric, outcome: Outcome) -> Limits | None:
    values = _each(metric, outcome)
    return (
        None
        if _says_nothing(values)
        else clip_limits(value, closed.student(values), metric.lowest, metric.highest)
    )


def _tango(value: float, metric: Metric, outcome: Outcome) -> Limits:
    """Of a mean of values -1, 0 and 1: a difference of two shares of the same examples."""
    values = _each(metric, outcome)
    return clip_limits(
        value, closed.paired_shares((values > 0).sum(), (values < 0).sum(), len(values)), -1, 1
    )


def _jackknife(value: float, metric: Metric, outcome: Outcome) -> Limits | None:
    assert metric.leave_one_out is not None, metric.name
    left_out = np.asarray(metric.leave_one_out(outcome), np.float64)
    bias = (
        metric.bias(outcome)
        if metric.bias
        else jackknife_bias(value, left_out)
        if metric.biased
        else 0.0
    )
    limits = jackknife_limits(value, left_out, _strata(metric, outcome), bias)
    return None if limits is None else clip_limits(value, limits, 0, 1)


def _quantile(value: float, metric: Metric, outcome: Outcome) -> Limits:
    assert metric.at_quantile is not None, metric.name
    return clip_limits(value, rate_at_quantile(*metric.at_quantile(outcome)), 0, 1)


def _strata(metric: Metric, outcome: Outcome) -> NDArray[Any]:
    return np.zeros(len(outcome)) if metric.strata is None else metric.strata(outcome)


def _each(metric: Metric, outcome: Outcome) -> Floats:
    assert metric.per_example is not None, metric.name
    return np.asarray(metric.per_example(outcome), np.float64)


def _says_nothing(values: Floats) -> bool:
    """A single value, or all equal."""
    return len(values) < 2 or bool(np.ptp(values) < SAME)


CLOSED_FORMS: Mapping[str, Callable[[float, Metric, Outcome], Limits | None]] = {
    "wilson": _wilson,
    "score": _score,
    "newcombe": _newcombe,
    "ratio": _ratio,
    "effective": _effective,
    "hall": _hall,
    "tango": _tango,
    "t": _student,
    "jackknife": _jackknife,
    "quantile": _quantile,
}
"""Kind of interval → limits of a value."""


def bootstrap(outcome: Outcome, metric: Metric, seed: int, draws: int = DRAWS) -> Limits | None:
    """Wilson's limits of a metric in [0, 1] from the standard error that resampled examples show.

    Draws that are all equal (all right, all wrong, one example) say nothing: the size is then that of the sample.

    A draw in which the metric has no value (one side of a two-sided test set is missing) is left out; None where that is every second one.
    """
    value = metric.function(outcome)
    drawn = resampled(outcome, metric, seed, draws)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) <= draws / 2:
        return None
    if np.ptp(drawn) < SAME:
        return clip_limits(
            value,
            closed.wilson(np.asarray(value * len(outcome)), np.asarray(float(len(outcome)))),
            0,
            1,
        )
    centre = np.clip(2 * value - drawn.mean(), 0, 1) if metric.biased else np.asarray(value)
    return clip_limits(
        value,
        closed.effective_wilson(centre, drawn.var(ddof=1), len(outcome)),
        metric.lowest,
        metric.highest,
    )


def resampled(outcome: Outcome, metric: Metric, seed: int, draws: int) -> Floats:
    """(draws,) the metric over resampled examples, NaN where it has no value. Outcomes on the same examples see the same resamples under one seed."""
    rng, strata = np.random.default_rng(seed), _strata(metric, outcome)
    parts = [np.flatnonzero(strata == one) for one in np.unique(strata)]
    return np.array(
        [_value(metric, outcome.take(_resample(rng, parts))) for _ in range(draws)], np.float64
    )


def _resample(rng: np.random.Generator, parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([part[rng.integers(len(part), size=len(part))] for part in parts])


def _value(metric: Metric, outcome: Outcome) -> float:
    try:
        return metric.function(outcome)
    except UndefinedError:
        return float("nan")
