"""Metrics of following objects through videos, as on DAVIS 2017 (arXiv:1704.00675).

J is the intersection over union of an object's pixels, F the agreement of its boundaries; both are
averaged over the frames of an object's video, then over objects.
"""

from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import FollowedObjects

_EMPTY = "there is no video with an object"


def j_and_f(outcome: FollowedObjects) -> float:
    """Return the mean of J and F. Range [0, 1]."""
    return mean_of(_both(outcome), if_empty=_EMPTY)


def region_j(outcome: FollowedObjects) -> float:
    """Return J, the mean intersection over union of objects. Range [0, 1]."""
    return mean_of(outcome.region, if_empty=_EMPTY)


def contour_f(outcome: FollowedObjects) -> float:
    """Return F, the mean agreement of the boundaries of objects. Range [0, 1]."""
    return mean_of(outcome.boundary, if_empty=_EMPTY)


def _both(outcome: FollowedObjects) -> Doubles:
    return (outcome.region + outcome.boundary) / 2


METRICS = (
    Metric(
        j_and_f,
        FollowedObjects,
        interval="effective",
        higher_is_better=True,
        summary="mean of J and F of objects in videos",
        per_example=_both,
    ),
    Metric(
        region_j,
        FollowedObjects,
        interval="effective",
        higher_is_better=True,
        summary="intersection over union of objects in videos",
        per_example=lambda outcome: outcome.region,
    ),
    Metric(
        contour_f,
        FollowedObjects,
        interval="effective",
        higher_is_better=True,
        summary="agreement of the boundaries of objects in videos",
        per_example=lambda outcome: outcome.boundary,
    ),
)
