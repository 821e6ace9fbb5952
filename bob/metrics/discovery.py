"""The metric of object discovery."""

from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import DiscoveredBoxes

OVERLAP = 0.5
"""Intersection over union from which an object is found."""


def corloc(outcome: DiscoveredBoxes) -> float:
    """Return the share of images in which the predicted box fits an object (correct localisation).

    Range [0, 1]. Source: Deselaers et al. 2010; an object of any class counts, as in LOST
    (arXiv:2109.14279).
    """
    return mean_of(_found(outcome), if_empty="there is no image with a box")


def _found(outcome: DiscoveredBoxes) -> Doubles:
    return (outcome.overlap >= OVERLAP).astype(float)


METRICS = (
    Metric(
        corloc,
        DiscoveredBoxes,
        interval="wilson",
        higher_is_better=True,
        summary="images in which the predicted box overlaps with an object by at least half",
        per_example=_found,
    ),
)
