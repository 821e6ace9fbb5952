"""From the parts of a result to scores: each metric's value with its interval and n."""

import math
from collections.abc import Sequence

from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.protocols import ResultPart
from bob.records.record import Score

BOOTSTRAP_SEED = 0


def scores(part: ResultPart, metrics: Sequence[str], seed: int | None) -> list[Score]:
    """Return the scores of a part.

    `metrics` are the task's; `seed` is the protocol's, None where it uses none.
    """
    return [_score(part, name, seed) for name in _metrics_of(part, metrics)]


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
    name = f"{metric}_{part.suffix}" if part.suffix else metric
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
