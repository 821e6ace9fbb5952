"""Metrics of correspondence: the percentage of correct keypoints (PCK), as a share.

A point is correct if it is found within a share of the longer side of the object's box (0.1 in the
headline). SPair-71k (Min et al. 2019, arXiv:1908.10543) averages over pairs of images; others count
all points alike.
"""

from bob.errors import UndefinedError
from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import PairHits

_EMPTY = "there is no pair of images with corresponding points"


def pck(outcome: PairHits) -> float:
    """Return the share of a pair's points that are correct, averaged over pairs. Range [0, 1]."""
    return mean_of(_shares(outcome), if_empty=_EMPTY)


def pck_per_point(outcome: PairHits) -> float:
    """Return the share of all pairs' points that are correct. Range [0, 1]."""
    if not len(outcome):
        raise UndefinedError(_EMPTY)
    return float(outcome.hits.sum() / outcome.points.sum())


def _shares(outcome: PairHits) -> Doubles:
    return outcome.hits / outcome.points


def _chance(outcome: PairHits) -> float:
    return mean_of(outcome.by_chance, if_empty=_EMPTY)


def _chance_per_point(outcome: PairHits) -> float:
    if not len(outcome):
        raise UndefinedError(_EMPTY)
    return float((outcome.by_chance * outcome.points).sum() / outcome.points.sum())


METRICS = (
    Metric(
        pck,
        PairHits,
        interval="effective",
        higher_is_better=True,
        summary="share of a pair's points that are found, averaged over pairs of images",
        per_example=_shares,
        chance=_chance,
    ),
    Metric(
        pck_per_point,
        PairHits,
        interval="bootstrap",
        higher_is_better=True,
        summary="share of all pairs' points that are found",
        chance=_chance_per_point,
    ),
)
