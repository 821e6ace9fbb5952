"""Metrics of image-text retrieval: the sum of recalls of both directions, and the median rank."""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes import FirstPlaces, RecallSums


def rsum(outcome: RecallSums) -> float:
    """Return the sum of R@1, R@5 and R@10 in both directions of image-text retrieval.

    Range [0, 6]; papers multiply by 100 (VSE++, Faghri et al. 2018, arXiv:1707.05612).
    """
    sides = [outcome.found[outcome.direction == side] for side in (0, 1)]
    if not all(len(side) for side in sides):
        raise UndefinedError("rsum needs queries in both directions")
    return float(sum(side.mean(0).sum() for side in sides))


def median_rank(outcome: FirstPlaces) -> float:
    """Return the median place of the first positive, counted from 1 and rounded down.

    At least 1; 1 where at least half of the queries find a positive first. As "Med r" of Karpathy &
    Fei-Fei 2015 (arXiv:1412.2306) and in the code of VSE++, `floor(median(ranks)) + 1` of ranks
    from 0.
    """
    if not len(outcome):
        raise UndefinedError("no query has a positive in the gallery")
    return float(np.floor(np.median(outcome.place)))


METRICS = (
    Metric(
        median_rank,
        FirstPlaces,
        interval="median",
        higher_is_better=False,
        summary="median place of the first positive",
        lowest=1.0,
        highest=float("inf"),
        median_of=lambda outcome: outcome.place,
    ),
    Metric(
        rsum,
        RecallSums,
        interval="bootstrap",
        higher_is_better=True,
        summary="sum of R@1, R@5 and R@10 in both directions",
        highest=6.0,
        strata=lambda outcome: outcome.direction,
    ),
)
