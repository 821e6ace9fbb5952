"""Whether stored scores lie in the ranges of their metrics."""

from functools import cache

from bob.metrics import METRICS
from bob.records.record import Record, Score

TOLERANCE = 1e-6
"""How far rounding may move a value beyond its metric's range."""


@cache
def base_metric(score: str, metrics: tuple[str, ...]) -> str:
    """Return the metric that a score's name starts with.

    `top1_k20` gives `top1` and `top1_gain_112px` gives `top1_gain`, the longest match. `metrics`
    are the task's metrics, beside those of `bob.metrics`.
    """
    names = [name for name in (*metrics, *METRICS) if score == name or score.startswith(f"{name}_")]
    return max(names, key=len, default=score)


def score_problem(record: Record) -> str | None:
    """Return which score of a record is out of its metric's range; None if none is.

    A metric that no installed package defines has no known range.
    """
    for score in record.scores:
        if _is_out_of_range(score, _range(score.metric, record.task.metrics)):
            metric = base_metric(score.metric, record.task.metrics)
            lowest, highest = METRICS[metric].lowest, METRICS[metric].highest
            return (
                f"{score.metric} is {score.value!r} [{score.low!r}, {score.high!r}], "
                f"and {metric} lies between {lowest:g} and {highest:g}"
            )
    return None


def _is_out_of_range(score: Score, limits: tuple[float, float] | None) -> bool:
    if limits is None:
        return False
    lowest, highest = limits[0] - TOLERANCE, limits[1] + TOLERANCE
    for number in (score.low, score.value, score.high):  # in this order, where they exist
        if number is not None:
            if not lowest <= number <= highest:
                return True
            lowest = max(lowest, number - TOLERANCE)
    return False


@cache
def _range(score: str, metrics: tuple[str, ...]) -> tuple[float, float] | None:
    metric = METRICS.get(base_metric(score, metrics))
    return (metric.lowest, metric.highest) if metric else None
