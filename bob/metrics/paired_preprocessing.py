"""The metric of a change of preprocessing: the accuracy gained on the same images."""

import numpy as np

from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import PairedPreprocessing


def top1_gain(outcome: PairedPreprocessing) -> float:
    """Return top-1 with the other preprocessing minus top-1 with the backbone's own.

    Range [-1, 1], higher is better. Defined here.
    """
    return mean_of(_gain(outcome), if_empty="there are no test examples")


def _gain(outcome: PairedPreprocessing) -> Doubles:
    """Return (N,) 1 where only the other prediction is right, -1 where only the own one is."""
    return outcome.other.astype(np.float64) - outcome.own


METRICS = (
    Metric(
        top1_gain,
        PairedPreprocessing,
        interval="tango",
        higher_is_better=True,
        summary="accuracy gained over the backbone's own preprocessing",
        lowest=-1.0,
        per_example=_gain,
    ),
)
