"""Metrics: an outcome in, one float out. Pure; a metric without a value raises UndefinedError with the reason."""

from bob.errors import ConfigError, nearest
from bob.metrics import (
    classification,
    corruptions,
    fewshot,
    multilabel,
    ood_detection,
    paired_preprocessing,
    retrieval,
    shifts,
)
from bob.metrics.metric import IntervalKind, Metric

_MODULES = (
    classification,
    fewshot,
    shifts,
    ood_detection,
    retrieval,
    corruptions,
    paired_preprocessing,
    multilabel,
)
METRICS: dict[str, Metric] = {
    metric.name: metric for module in _MODULES for metric in module.METRICS
}
"""Every metric by its name."""


def metric_named(name: str) -> Metric:
    """The metric of that name."""
    if name not in METRICS:
        raise ConfigError(
            f"unknown metric {name!r}{nearest(name, METRICS)} Known metrics: {', '.join(METRICS)}."
        )
    return METRICS[name]


__all__ = ["METRICS", "IntervalKind", "Metric", "metric_named"]
