"""The majority class and chance beside scores."""

from math import log

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from bob.engine.majority import majority_predictions
from bob.engine.scores import scores
from bob.metrics import METRICS
from bob.outcomes import ClassPredictions, FewShotCurves, MultilabelPredictions, OodScores
from bob.protocols import ResultPart

TRAIN = np.array([3, 2, 1])
"""Train images of each class."""
TEST = np.array([0, 0, 1, 1, 1, 2, 2, 2])


def predictions(y: np.ndarray, classes: int = 3) -> ClassPredictions:
    logits = np.random.default_rng(0).normal(size=(len(y), classes))
    return ClassPredictions.from_logits(logits, y)


def test_majority_scores_by_hand() -> None:
    """Class 0 leads train: 2 of 8 test images are right, and one class of three."""
    found = {
        score.metric: score
        for score in scores(
            ResultPart(predictions(TEST)), ("top1", "mean_per_class", "log_loss"), None, TRAIN
        )
    }
    assert found["top1"].majority == 2 / 8 and found["top1"].chance == 1 / 3
    assert found["mean_per_class"].majority == pytest.approx(1 / 3)
    assert found["mean_per_class"].chance == 1 / 3
    # shares of train: 1/2, 1/3, 1/6
    assert found["log_loss"].majority == pytest.approx((2 * log(2) + 3 * log(3) + 3 * log(6)) / 8)
    assert found["log_loss"].chance == pytest.approx(log(3))


@pytest.mark.parametrize("seed", range(5))
def test_majority_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, test = rng.choice(7, 60, p=rng.dirichlet(np.ones(7))), rng.integers(0, 7, 40)
    train[:7] = np.arange(7)
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((60, 1)), train)
    predicted = dummy.predict(np.zeros((40, 1)))
    probabilities = dummy.predict_proba(np.zeros((40, 1)))
    majority = majority_predictions(np.bincount(train), predictions(test, 7))
    assert majority is not None
    values = {
        name: METRICS[name].function(majority)
        for name in ("top1", "balanced_accuracy", "macro_f1", "log_loss")
    }
    assert values["top1"] == (predicted == test).mean()
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(test, predicted))
    assert values["macro_f1"] == pytest.approx(
        f1_score(test, predicted, average="macro", zero_division=0)
    )
    assert values["log_loss"] == pytest.approx(log_loss(test, probabilities, labels=list(range(7))))


def test_majority_of_the_five_largest_classes_counts_for_top5() -> None:
    """Classes 0 to 4 lead train, and 3 of 4 test images are of these."""
    train = np.array([9, 8, 7, 6, 5, 2, 1])
    (score,) = scores(ResultPart(predictions(np.array([0, 4, 4, 6]), 7)), ("top5",), None, train)
    assert score.majority == 3 / 4 and score.chance == pytest.approx(5 / 7)


def test_ties_between_classes_go_to_the_lower_index() -> None:
    majority = majority_predictions(np.array([0, 2, 2]), predictions(TEST))
    assert majority is not None and set(majority.predicted.tolist()) == {1}
    assert majority.rank.tolist() == [2, 2, 0, 0, 0, 1, 1, 1]


def test_without_labels_of_train_there_is_no_majority() -> None:
    part = ResultPart(predictions(TEST))
    assert scores(part, ("top1",), None)[0].majority is None
    assert scores(part, ("top1",), None, np.zeros(3, np.int64))[0].majority is None


def test_among_fewer_classes_there_is_no_majority() -> None:
    (score,) = scores(ResultPart(predictions(np.array([0, 1]), 2)), ("top1",), None, TRAIN)
    assert score.majority is None and score.chance == 1 / 2


def test_a_constant_curve_has_the_value_of_chance_in_every_few_shot_metric() -> None:
    curve = FewShotCurves(np.full((3, 4), 1 / 5), np.array([1, 2, 5, 10]))
    part = ResultPart(curve, chance=1 / 5)
    for score in scores(part, ("label_efficiency", "few_shot_top1"), 0):
        if score.value is not None:
            assert score.value == pytest.approx(1 / 5) and score.chance == 1 / 5


def test_chance_of_detection_is_that_of_equal_scores() -> None:
    """With 3 images inside and 1 outside, precision is 3/4 or 1/4 wherever the threshold is."""
    outcome = OodScores.from_scores(np.zeros(3), np.zeros(1))
    for score in scores(ResultPart(outcome), ("auroc", "aupr_in", "aupr_out"), None, TRAIN):
        assert score.chance == score.value and score.majority is None
    assert outcome.inside.mean() == 3 / 4


def test_chance_of_average_precision_is_the_share_of_positives() -> None:
    """Shares of 1/4 and 3/4: their mean is 1/2."""
    labels = np.array([[1, 1], [0, 1], [0, 1], [0, 0]], bool)
    ranked = np.random.default_rng(0).normal(size=(4, 2))
    part = ResultPart(MultilabelPredictions(ranked, labels))
    by_name = {s.metric: s.chance for s in scores(part, ("label_ap", "roc_auc"), None)}
    assert by_name == {"label_ap": 0.5, "roc_auc": 0.5}
