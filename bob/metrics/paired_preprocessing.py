"""The metric of a change of preprocessing: what it gains, image by image."""

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes.paired_preprocessing import PairedPreprocessing


def top1_gain(outcome: PairedPreprocessing) -> float:
    """Top-1 in the other way less top-1 in the backbone's own."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    return float(_gain(outcome).mean())


def _gain(outcome: PairedPreprocessing) -> NDArray[np.float64]:
    """(N,) 1 where only the other way is right, -1 where only the own one is."""
    return outcome.other.astype(np.float64) - outcome.own


METRICS = (
    Metric(
        top1_gain,
        PairedPreprocessing,
        "tango",
        1.0,
        True,
        "accuracy gained over the backbone's own preprocessing",
        lowest=-1.0,
        per_example=_gain,
    ),
)
