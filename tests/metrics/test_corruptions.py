"""Metrics of robustness to corruptions, by hand and against those of single test sets."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.metrics import metric_named
from bob.metrics.calibration import brier
from bob.metrics.classification import ece, log_loss
from bob.metrics.corruptions import (
    METRICS,
    corruption_brier,
    corruption_drop,
    corruption_ece,
    corruption_error,
    corruption_log_loss,
)
from bob.metrics.metric import Metric
from bob.outcomes import (
    ClassPredictions,
    ClassProbabilities,
    CorruptionProbabilities,
    CorruptionResults,
)
from tests.builders import interval_coverage as grids

OUTCOME = CorruptionResults(
    np.array([True, True, False]), np.array([[True, False], [False, False], [True, True]])
)
"""Three images and two conditions: 1, 2 and 0 of 2 predictions are wrong; the last image's clean
prediction is wrong."""


def test_metrics_by_hand() -> None:
    assert corruption_error(OUTCOME) == pytest.approx(3 / 6)
    assert corruption_drop(OUTCOME) == pytest.approx(3 / 6 - 1 / 3)
    assert corruption_error(OUTCOME.under(np.array([True, False]))) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", METRICS[:2], ids=lambda metric: metric.name)
def test_metrics_are_means_over_images(metric: Metric) -> None:
    assert metric.per_example is not None
    assert metric.per_example(OUTCOME).mean() == pytest.approx(metric.function(OUTCOME))
    repeated = OUTCOME.take(np.array([1, 1, 0]))
    expected = metric.per_example(OUTCOME)[[1, 1, 0]].mean()
    assert metric.function(repeated) == pytest.approx(expected)
    with pytest.raises(UndefinedError, match="there are no test examples"):
        metric.function(OUTCOME.take(np.array([], int)))


# --- calibration

LOGITS = np.log([[[0.5, 0.5], [0.75, 0.25]], [[0.25, 0.75], [0.75, 0.25]]])
"""(2 conditions, 2 images, 2 classes) logarithms of probabilities."""
Y = np.array([0, 1])


def side_by_side(conditions: np.ndarray, y: np.ndarray) -> CorruptionProbabilities:
    return CorruptionProbabilities.side_by_side(
        [CorruptionProbabilities.from_logits(logits, y) for logits in conditions]
    )


def test_calibration_by_hand() -> None:
    """True classes have 1/2 and 1/4, then 1/4 and 1/4; only the first prediction is right.

    Confidences are 1/2 (right: gap 1/2) and three times 3/4 (wrong: gap -3/4).
    """
    outcome = side_by_side(LOGITS, Y)
    assert corruption_log_loss(outcome) == pytest.approx((np.log(2) + 3 * np.log(4)) / 4)
    assert corruption_ece(outcome) == pytest.approx((1 / 2 + 3 * 3 / 4) / 4)
    assert corruption_brier(outcome) == pytest.approx((2 / 4 + 3 * 2 * 9 / 16) / 4)
    second = outcome.under(np.array([False, True]))
    assert corruption_ece(second) == pytest.approx(3 / 4)


def test_one_condition_is_a_plain_test_set_and_several_are_pooled() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=30)
    conditions = 2 * rng.normal(size=(3, 30, 4)) + np.eye(4)[y]
    one, pooled = conditions[0], conditions.reshape(-1, 4)
    for logits, labels, outcome in (
        (one, y, CorruptionProbabilities.from_logits(one, y)),
        (pooled, np.tile(y, 3), side_by_side(conditions, y)),
    ):
        predictions = ClassPredictions.from_logits(logits, labels)
        assert corruption_log_loss(outcome) == pytest.approx(log_loss(predictions))
        assert corruption_ece(outcome) == pytest.approx(ece(predictions))
        probabilities = ClassProbabilities.from_logits(logits, labels)
        assert corruption_brier(outcome) == pytest.approx(brier(probabilities))


def test_ece_without_each_image_and_its_bias_with_one_condition() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=20)
    conditions = rng.normal(size=(2, 20, 3)) + np.eye(3)[y]
    of = {metric.name: metric for metric in METRICS}["corruption_ece"]
    outcome = side_by_side(conditions, y)
    assert of.leave_one_out is not None and of.bias_range is not None
    without = [corruption_ece(outcome.take(np.delete(np.arange(20), i))) for i in range(20)]
    assert of.leave_one_out(outcome) == pytest.approx(without)
    assert np.isnan(of.leave_one_out(outcome.take(np.array([0])))).all()
    plain = metric_named("ece").bias_range
    assert plain is not None
    one = CorruptionProbabilities.from_logits(conditions[0], y)
    assert of.bias_range(one) == pytest.approx(
        plain(ClassPredictions.from_logits(conditions[0], y))
    )


def test_calibration_of_no_image_is_undefined_and_shapes_are_checked() -> None:
    empty = side_by_side(LOGITS, Y).take(np.array([], int))
    for metric in METRICS[2:]:
        with pytest.raises(UndefinedError, match="there are no test examples"):
            metric.function(empty)
    with pytest.raises(ValueError, match="must all have shape"):
        CorruptionProbabilities(np.ones((2, 1), bool), *np.ones((3, 2, 2)))


def test_intervals_of_ece_are_over_images_not_predictions() -> None:
    """100 images under 8 conditions that share each image's difficulty; 150 trials, error 1.8 %."""
    point = grids.corruption_ece_point(100, 8, 2.0, 2.0, 150)
    assert 0.90 <= point.coverage <= 0.99
