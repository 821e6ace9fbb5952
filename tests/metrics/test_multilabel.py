"""Metrics of multi-label predictions, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.metrics.multilabel import (
    METRICS,
    label_ap,
    label_set_top1,
    label_set_top_k,
    roc_auc,
)
from bob.outcomes import MultilabelPredictions


def random_predictions(n: int = 200, classes: int = 5, ties: bool = False) -> MultilabelPredictions:
    """Return scores that are one standard deviation higher where the class is present."""
    rng = np.random.default_rng(0)
    labels = rng.random((n, classes)) < 0.3
    scores = labels + rng.normal(0, 1, (n, classes))
    return MultilabelPredictions((scores.round(1) if ties else scores).astype(np.float32), labels)


def test_label_sets_by_hand() -> None:
    """The best classes are 0, 2, 1 and 0. The first and the third image have theirs; the fourth has
    no class and does not count.
    """
    scores = np.array([[9, 1, 2], [0, 1, 5], [3, 4, 1], [1, 0, 0]], np.float32)
    labels = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert label_set_top1(MultilabelPredictions(scores, labels)) == pytest.approx(2 / 3)


def test_as_many_guesses_as_labels_by_hand() -> None:
    """The first image has classes 0 and 2 and finds both, the second 0 and 1 of which it finds
    class 1 (2 and 1 are best), the third class 1; the fourth has none and does not count.
    """
    scores = np.array([[9, 1, 2], [0, 1, 5], [3, 4, 1], [1, 0, 0]], np.float32)
    labels = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    outcome = MultilabelPredictions(scores, labels)
    assert label_set_top_k(outcome) == pytest.approx((1 + 1 / 2 + 1) / 3)
    everything = MultilabelPredictions(scores, np.ones((4, 3), bool))
    assert label_set_top_k(everything) == 1
    ties = MultilabelPredictions(np.zeros((3, 3), np.float32), np.eye(3, dtype=bool))
    assert label_set_top_k(ties) == pytest.approx(1 / 3), "ties go to the lower class"
    with pytest.raises(UndefinedError, match="no test image has a class"):
        label_set_top_k(MultilabelPredictions(scores, np.zeros((4, 3), bool)))


def test_with_one_label_each_it_is_the_accuracy_of_the_best_class() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, size=(50, 4)).astype(np.float32)
    outcome = MultilabelPredictions(scores, np.eye(4, dtype=bool)[rng.integers(4, size=50)])
    assert label_set_top_k(outcome) == pytest.approx(label_set_top1(outcome))


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_agree_with_scikit_learn(ties: bool) -> None:
    outcome = random_predictions(ties=ties)
    expected_ap = average_precision_score(outcome.labels, outcome.scores)
    assert label_ap(outcome) == pytest.approx(expected_ap, abs=1e-12)
    expected_auc = roc_auc_score(outcome.labels, outcome.scores)
    assert roc_auc(outcome) == pytest.approx(expected_auc, abs=1e-12)


@pytest.mark.parametrize(
    "metric",
    [metric for metric in METRICS if metric.leave_one_out],
    ids=lambda metric: metric.name,
)
def test_leave_one_out_is_the_metric_on_the_other_images(metric: Metric) -> None:
    """Of 25 images, one class has a single image, one all but one, and one none, so that classes
    enter and leave the mean with an image.
    """
    outcome = random_predictions(25, 6, ties=True)
    labels = outcome.labels.copy()
    labels[:, 0], labels[:, 1], labels[:, 2] = np.arange(25) == 3, np.arange(25) != 5, False
    outcome = MultilabelPredictions(outcome.scores, labels)
    assert metric.leave_one_out is not None
    expected = [metric.function(outcome.take(np.delete(np.arange(25), i))) for i in range(25)]
    assert metric.leave_one_out(outcome) == pytest.approx(expected, abs=1e-6)  # float32 scores


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_permuting_images_changes_nothing_and_perfect_scores_give_1(metric: Metric) -> None:
    outcome, order = random_predictions(), np.random.default_rng(1).permutation(200)
    assert metric.function(outcome.take(order)) == pytest.approx(metric.function(outcome))
    perfect = MultilabelPredictions(outcome.labels.astype(np.float32), outcome.labels)
    assert metric.function(perfect.take(np.flatnonzero(outcome.labels.any(1)))) == 1


def test_classes_without_images_are_excluded_from_the_mean() -> None:
    outcome = random_predictions(classes=3)
    wider = MultilabelPredictions(
        np.pad(outcome.scores, ((0, 0), (0, 1))), np.pad(outcome.labels, ((0, 0), (0, 1)))
    )
    assert label_ap(wider) == label_ap(outcome)


def test_undefined_metrics_give_the_reason() -> None:
    unlabelled = MultilabelPredictions(np.zeros((4, 2), np.float32), np.zeros((4, 2), bool))
    with pytest.raises(UndefinedError, match="no class has test images both with and without it"):
        roc_auc(unlabelled)
    with pytest.raises(UndefinedError, match="no test image has a class"):
        label_set_top1(unlabelled)
