"""Metrics of instance masks: COCO's average precision, where pixels of masks overlap.

They are computed as those of boxes are; see `bob.metrics.boxes`.
"""

from bob.metrics.boxes import EVERY, ap_metric, ap_value, at_overlap, of_range
from bob.metrics.metric import Metric
from bob.outcomes import MaskMatches


def mask_ap(outcome: MaskMatches) -> float:
    """Return AP averaged over the thresholds 0.5, 0.55, ..., 0.95: COCO's mask AP. Range [0, 1]."""
    return ap_value(outcome, "all", EVERY)


def mask_ap_50(outcome: MaskMatches) -> float:
    """Return AP at an intersection over union of 0.5. Range [0, 1]."""
    return ap_value(outcome, "all", at_overlap(0.5))


def mask_ap_75(outcome: MaskMatches) -> float:
    """Return AP at an intersection over union of 0.75. Range [0, 1]."""
    return ap_value(outcome, "all", at_overlap(0.75))


def mask_ap_small(outcome: MaskMatches) -> float:
    """Return AP of objects of at most 32² pixels. Range [0, 1]."""
    return ap_value(outcome, "small", EVERY)


def mask_ap_medium(outcome: MaskMatches) -> float:
    """Return AP of objects of 32² to 96² pixels. Range [0, 1]."""
    return ap_value(outcome, "medium", EVERY)


def mask_ap_large(outcome: MaskMatches) -> float:
    """Return AP of objects of at least 96² pixels. Range [0, 1]."""
    return ap_value(outcome, "large", EVERY)


_DEFINITIONS = (
    (mask_ap, "all", EVERY, "of masks, over overlaps of 0.5 to 0.95"),
    (mask_ap_50, "all", at_overlap(0.5), "of masks at an overlap of 0.5"),
    (mask_ap_75, "all", at_overlap(0.75), "of masks at an overlap of 0.75"),
    (mask_ap_small, "small", EVERY, "of masks of at most 32² pixels"),
    (mask_ap_medium, "medium", EVERY, "of masks of 32² to 96² pixels"),
    (mask_ap_large, "large", EVERY, "of masks of at least 96² pixels"),
)
METRICS: tuple[Metric, ...] = tuple(
    ap_metric(function, of_range(area, thresholds), f"average precision {what}", MaskMatches)
    for function, area, thresholds, what in _DEFINITIONS
)
