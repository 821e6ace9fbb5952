"""The metric of image-text retrieval that joins both directions."""

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes import RecallSums


def rsum(outcome: RecallSums) -> float:
    """Return the sum of R@1, R@5 and R@10 in both directions of image-text retrieval.

    Range [0, 6]; papers multiply by 100 (VSE++, Faghri et al. 2018, arXiv:1707.05612).
    """
    sides = [outcome.found[outcome.direction == side] for side in (0, 1)]
    if not all(len(side) for side in sides):
        raise UndefinedError("rsum needs queries in both directions")
    return float(sum(side.mean(0).sum() for side in sides))


METRICS = (
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
