"""From the parts of a result to scores: each metric's value with its interval and n."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.engine.majority import majority_predictions
from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.outcomes import ClassPredictions, Outcome
from bob.protocols import ResultPart
from bob.records.record import Score

BOOTSTRAP_SEED = 0


def scores(
    part: ResultPart,
    metrics: Sequence[str],
    seed: int | None,
    train_counts: NDArray[np.int64] | None = None,
) -> list[Score]:
    """Return the scores of a part, with those of the majority class and of chance.

    `metrics` are the task's; `seed` is the protocol's, None where it uses none; `train_counts` (C,)
    are the train images of each class, None where they have no single label.
    """
    majority = part.majority
    if majority is None and train_counts is not None and isinstance(part.outcome, ClassPredictions):
        majority = majority_predictions(train_counts, part.outcome)
    return [
        _score(part, name, seed).model_copy(update=_references(name, part, majority))
        for name in _metrics_of(part, metrics)
    ]


def score_names(part: ResultPart, metrics: Sequence[str]) -> list[str]:
    """Return the names of the scores of a part, of a task with these metrics."""
    return [_score_name(metric, part) for metric in _metrics_of(part, metrics)]


def _score_name(metric: str, part: ResultPart) -> str:
    return f"{metric}_{part.suffix}" if part.suffix else metric


def _references(metric: str, part: ResultPart, majority: Outcome | None) -> dict[str, float | None]:
    """Return the values of the majority class and of chance that exist."""
    definition = metric_named(metric)
    chance, outcome = definition.chance, part.outcome
    return {
        "majority": None if majority is None else _defined(definition.function, majority),
        "chance": part.chance if chance is None or outcome is None else _defined(chance, outcome),
    }


def _defined(function: Callable[[Any], float], outcome: Outcome) -> float | None:
    try:
        return _finite(function(outcome))
    except UndefinedError:
        return None


def _metrics_of(part: ResultPart, metrics: Sequence[str]) -> Sequence[str]:
    """Return the metrics that are read from a part."""
    if isinstance(part.metrics, tuple):
        return part.metrics
    if part.metrics == "ranking":
        return metrics[:1]
    return [
        name
        for name in metrics
        if part.outcome is None or isinstance(part.outcome, metric_named(name).outcome)
    ]


def _score(part: ResultPart, metric: str, seed: int | None) -> Score:
    """Return one score, undefined with the reason where the metric has no value."""
    name = _score_name(metric, part)
    n = 0 if part.outcome is None else len(part.outcome)
    common = {"metric": name, "facets": dict(part.facets), "seed": seed, "n": n}
    try:
        if part.outcome is None:
            raise UndefinedError(part.undefined or "there is nothing to score")
        value, low, high, kind = interval(metric, part.outcome, BOOTSTRAP_SEED)
        if not math.isfinite(value):
            raise UndefinedError(f"the value is not finite: {value}")
    except UndefinedError as error:
        empty = {"value": None, "low": None, "high": None, "undefined": str(error)}
        return Score(**common, **empty, interval=metric_named(metric).interval)  # type: ignore[arg-type]
    limits = {"low": _finite(low), "high": _finite(high)}
    return Score(**common, value=value, **limits, interval=kind)  # type: ignore[arg-type]


def _finite(limit: float | None) -> float | None:
    """Return a limit of an interval, or None if there is no bound on that side."""
    return limit if limit is not None and math.isfinite(limit) else None
