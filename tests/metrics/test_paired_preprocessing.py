"""The gain of other preprocessing, by hand."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.paired_preprocessing import METRICS, top1_gain
from bob.outcomes import PairedPreprocessing

OUTCOME = PairedPreprocessing(np.array([1, 1, 0, 0, 0], bool), np.array([0, 1, 1, 1, 0], bool))
"""The backbone's own preprocessing is right on images 0 and 1, the other on 1, 2 and 3."""


def test_gain_by_hand() -> None:
    """Two images gained and one lost, of five."""
    assert top1_gain(OUTCOME) == pytest.approx(1 / 5)
    (metric,) = METRICS
    assert metric.per_example is not None
    assert metric.per_example(OUTCOME).tolist() == [-1, 0, 1, 1, 0]
    assert top1_gain(OUTCOME.take(np.array([0, 0, 2]))) == pytest.approx(-1 / 3)


def test_gain_needs_images() -> None:
    with pytest.raises(UndefinedError, match="there are no test examples"):
        top1_gain(OUTCOME.take(np.array([], int)))
