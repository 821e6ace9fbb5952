"""Metrics of robustness to common corruptions (Hendrycks & Dietterich 2019, arXiv:1903.12261).

Errors here are plain means over corruptions and severities. The paper's mCE divides each corruption's error by that of AlexNet on the same images
before it averages; AlexNet's errors exist for ImageNet-C alone, so that on any other dataset the ratio has no reference.
The errors under each corruption are scores of their own, from which a ratio to any backbone can be made.
"""

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes.corruptions import CorruptionResults

Doubles = NDArray[np.float64]


def corruption_error(outcome: CorruptionResults) -> float:
    """Share predicted wrong, over all corruptions and severities alike."""
    return _mean(_error(outcome))


def corruption_drop(outcome: CorruptionResults) -> float:
    """`corruption_error` less the share predicted wrong of the same images as they are."""
    return _mean(_lost(outcome))


def _mean(values: Doubles) -> float:
    if not len(values):
        raise UndefinedError("there are no test examples")
    return float(values.mean())


def _error(outcome: CorruptionResults) -> Doubles:
    """(N,) of each image, the share of conditions under which it was predicted wrong."""
    error: Doubles = 1.0 - outcome.right.mean(1)
    return error


def _lost(outcome: CorruptionResults) -> Doubles:
    lost: Doubles = outcome.clean - outcome.right.mean(1)
    return lost


METRICS = (
    Metric(
        corruption_error,
        CorruptionResults,
        "effective",
        1.0,
        False,
        "error over corruptions and severities",
        per_example=_error,
    ),
    Metric(
        corruption_drop,
        CorruptionResults,
        "hall",
        1.0,
        False,
        "error that corruptions add",
        lowest=-1.0,
        per_example=_lost,
    ),
)
