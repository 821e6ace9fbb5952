"""Metrics of robustness to corruptions, by hand."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics.corruptions import METRICS, corruption_drop, corruption_error
from bob.metrics.metric import Metric
from bob.outcomes import CorruptionResults

OUTCOME = CorruptionResults(
    np.array([True, True, False]), np.array([[True, False], [False, False], [True, True]])
)
"""Three images and two conditions: 1, 2 and 0 of 2 predictions are wrong; the last image's clean
prediction is wrong."""


def test_metrics_by_hand() -> None:
    assert corruption_error(OUTCOME) == pytest.approx(3 / 6)
    assert corruption_drop(OUTCOME) == pytest.approx(3 / 6 - 1 / 3)
    assert corruption_error(OUTCOME.under(np.array([True, False]))) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_are_means_over_images(metric: Metric) -> None:
    assert metric.per_example is not None
    assert metric.per_example(OUTCOME).mean() == pytest.approx(metric.function(OUTCOME))
    repeated = OUTCOME.take(np.array([1, 1, 0]))
    expected = metric.per_example(OUTCOME)[[1, 1, 0]].mean()
    assert metric.function(repeated) == pytest.approx(expected)
    with pytest.raises(UndefinedError, match="there are no test examples"):
        metric.function(OUTCOME.take(np.array([], int)))
