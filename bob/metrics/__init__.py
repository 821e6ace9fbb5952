"""Metrics: pure functions from an outcome to one float, and the registry of their names.

A metric that has no value for an outcome raises UndefinedError with the reason.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bob.errors import ConfigError, nearest
from bob.metrics import (
    boxes,
    calibration,
    class_subsets,
    classification,
    clusters,
    concepts,
    correspondence,
    corruptions,
    depth,
    descriptions,
    discovery,
    fewshot,
    frequency,
    groups,
    image_text,
    incremental,
    instance_masks,
    learning_curve,
    multilabel,
    ood_detection,
    paired_preprocessing,
    regression,
    retrieval,
    segmentation,
    shifts,
    triplets,
    video,
)
from bob.metrics.metric import IntervalKind, Metric

_registered: dict[str, Metric] = {}
METRICS: Mapping[str, Metric] = MappingProxyType(_registered)
"""Every registered metric by its name."""


def register(metric: Metric) -> None:
    """Add a metric to `METRICS`, so that tasks can list it by its name.

    Protocols outside this package register their metrics here. Registering the same metric again
    has no effect; raises ConfigError if another metric already has the name.
    """
    registered = _registered.setdefault(metric.name, metric)
    if registered != metric:
        raise ConfigError(
            f"metric {metric.name!r} of {metric.function.__module__}: the name is already taken by "
            f"the metric of {registered.function.__module__}. Rename the function."
        )


def metric_named(name: str) -> Metric:
    """Return the registered metric of that name; an unknown name raises ConfigError."""
    if name not in METRICS:
        raise ConfigError(
            f"unknown metric {name!r}{nearest(name, METRICS)} Known metrics: {', '.join(METRICS)}."
        )
    return METRICS[name]


for _module in (
    classification,
    fewshot,
    shifts,
    ood_detection,
    retrieval,
    corruptions,
    paired_preprocessing,
    multilabel,
    class_subsets,
    incremental,
    learning_curve,
    calibration,
    clusters,
    regression,
    groups,
    descriptions,
    frequency,
    concepts,
    image_text,
    segmentation,
    depth,
    correspondence,
    triplets,
    boxes,
    instance_masks,
    discovery,
    video,
):
    for _metric in _module.METRICS:
        register(_metric)

__all__ = ["METRICS", "IntervalKind", "Metric", "metric_named", "register"]
