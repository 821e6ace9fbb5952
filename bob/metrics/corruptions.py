"""Metrics of robustness to common corruptions (Hendrycks & Dietterich 2019, arXiv:1903.12261).

Errors are plain means over corruptions and severities. The paper's mCE divides each corruption's
error by AlexNet's on the same images before averaging; AlexNet's errors exist for ImageNet-C only,
so on any other dataset the ratio has no reference. The errors under each corruption are scores of
their own, from which a ratio to any backbone can be computed.
"""

from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import CorruptionResults

EMPTY = "there are no test examples"


def corruption_error(outcome: CorruptionResults) -> float:
    """Return the share of wrong predictions over all corruptions and severities.

    Each condition has equal weight. Range [0, 1], lower is better. Differs from the paper's mCE in
    that no error is divided by AlexNet's.
    """
    return mean_of(_error(outcome), if_empty=EMPTY)


def corruption_drop(outcome: CorruptionResults) -> float:
    """Return `corruption_error` minus the error on the same images without corruption.

    Range [-1, 1], lower is better. Differs from the paper's relative mCE in that the difference is
    not divided by AlexNet's.
    """
    return mean_of(_accuracy_lost(outcome), if_empty=EMPTY)


def _error(outcome: CorruptionResults) -> Doubles:
    """Return (N,) the share of conditions under which each image is predicted wrong."""
    error: Doubles = 1.0 - outcome.right.mean(1)
    return error


def _accuracy_lost(outcome: CorruptionResults) -> Doubles:
    """Return (N,) each image's clean correctness minus its share of right predictions."""
    lost: Doubles = outcome.clean - outcome.right.mean(1)
    return lost


METRICS = (
    Metric(
        corruption_error,
        CorruptionResults,
        interval="effective",
        higher_is_better=False,
        summary="error over corruptions and severities",
        per_example=_error,
    ),
    Metric(
        corruption_drop,
        CorruptionResults,
        interval="hall",
        higher_is_better=False,
        summary="error that corruptions add",
        lowest=-1.0,
        per_example=_accuracy_lost,
    ),
)
