"""Metrics of classification: by hand, against scikit-learn and torchmetrics, and laws."""

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
)

from bob.errors import UndefinedError
from bob.metrics import classification
from bob.metrics.classification import (
    balanced_accuracy,
    ece,
    log_loss,
    macro_f1,
    mean_per_class,
    top1,
    top5,
)
from bob.outcomes import ClassPredictions

METRICS = {metric.name: metric for metric in classification.METRICS}

GRID = [
    (seed, n, classes)
    for seed, (n, classes) in enumerate([(1, 2), (6, 2), (50, 6), (200, 9), (333, 40), (1000, 12)])
]
WITH_PROBABILITIES = ("log_loss", "ece")


def simulate(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return informative logits (n, classes), and true classes (n,) of unequal sizes."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.geometric(0.2, n) - 1, classes - 1)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), y] += 1
    return logits, y


def probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def predicting(y: list[int], predicted: list[int], classes: int) -> ClassPredictions:
    return ClassPredictions.from_votes(np.eye(classes)[predicted], np.array(y))


def test_accuracy_and_f1_by_hand() -> None:
    outcome = predicting([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], 4)
    assert top1(outcome) == 4 / 6
    assert mean_per_class(outcome) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)  # class 3 never occurs
    # 2 TP / (true + predicted): 4/(3+2), 2/(2+2), 2/(1+2)
    assert macro_f1(outcome) == pytest.approx((4 / 5 + 2 / 4 + 2 / 3) / 3)


def test_a_class_that_is_predicted_but_never_true_counts_in_macro_f1_only() -> None:
    outcome = predicting([0, 0], [0, 2], 3)
    assert mean_per_class(outcome) == 1 / 2
    assert macro_f1(outcome) == pytest.approx((2 / 3 + 0) / 2)  # class 0: 2/(2+1); class 2: 0/(0+1)


def test_top5_by_hand() -> None:
    votes = np.array(
        [[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [6, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]
    )
    # the true class is fifth; sixth; without votes; tied, last by index
    outcome = ClassPredictions.from_votes(votes, np.array([4, 5, 1, 5]))
    assert top5(outcome) == 1 / 4


def test_log_loss_and_ece_by_hand() -> None:
    logits = np.log([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])
    outcome = ClassPredictions.from_logits(logits, np.array([0, 1, 1]))
    assert log_loss(outcome) == pytest.approx(-(np.log(0.8) + np.log(0.2) + np.log(0.7)) / 3)
    # Bins of width 1/15: both 0.8 share one (1 of 2 right), 0.7 is in another (1 of 1 right).
    assert ece(outcome) == pytest.approx(2 / 3 * abs(0.5 - 0.8) + 1 / 3 * abs(1 - 0.7))


def test_ece_bins_are_closed_above() -> None:
    # 0.6 = 9/15 is in bin 9, 0.62 in bin 10: their gaps do not cancel
    confidence = np.array([0.6, 0.62])
    outcome = ClassPredictions(
        np.array([0, 0]), np.array([0, 1]), np.array([0, 1]), 2, np.log(confidence), confidence
    )
    assert ece(outcome) == pytest.approx((abs(1 - 0.6) + abs(0 - 0.62)) / 2)


@pytest.mark.parametrize(("seed", "n", "classes"), GRID)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50")
def test_metrics_agree_with_scikit_learn(seed: int, n: int, classes: int) -> None:
    logits, y = simulate(seed, n, classes)
    outcome, predicted = ClassPredictions.from_logits(logits, y), logits.argmax(1)
    assert top1(outcome) == pytest.approx(sk.accuracy_score(y, predicted), abs=1e-12)
    assert balanced_accuracy(outcome) == pytest.approx(
        sk.balanced_accuracy_score(y, predicted), abs=1e-12
    )
    assert macro_f1(outcome) == pytest.approx(
        sk.f1_score(y, predicted, average="macro", zero_division=0), abs=1e-12
    )
    assert log_loss(outcome) == pytest.approx(
        sk.log_loss(y, probabilities(logits), labels=range(classes)), abs=1e-12
    )
    if classes > 5:
        assert top5(outcome) == pytest.approx(
            sk.top_k_accuracy_score(y, logits, k=5, labels=range(classes)), abs=1e-12
        )


@pytest.mark.parametrize(("seed", "n", "classes"), GRID)
def test_metrics_agree_with_torchmetrics(seed: int, n: int, classes: int) -> None:
    logits, y = simulate(seed, n, classes)
    outcome, scores, true = (
        ClassPredictions.from_logits(logits, y),
        torch.from_numpy(probabilities(logits)),
        torch.from_numpy(y),
    )
    assert top1(outcome) == pytest.approx(
        multiclass_accuracy(scores, true, classes, average="micro").item(), abs=1e-6
    )
    assert macro_f1(outcome) == pytest.approx(
        multiclass_f1_score(scores, true, classes, average="macro").item(), abs=1e-6
    )
    assert ece(outcome) == pytest.approx(
        multiclass_calibration_error(scores, true, classes, n_bins=15, norm="l1").item(), abs=1e-6
    )
    if classes > 5:
        assert top5(outcome) == pytest.approx(
            multiclass_accuracy(scores, true, classes, average="micro", top_k=5).item(), abs=1e-6
        )


def _changed(
    name: str, logits: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> ClassPredictions:
    if name == "permuted":
        order = rng.permutation(len(y))
        return ClassPredictions.from_logits(logits[order], y[order])
    if name == "relabelled":
        order = rng.permutation(logits.shape[1])
        return ClassPredictions.from_logits(logits[:, order], np.argsort(order)[y])
    return ClassPredictions.from_logits(np.repeat(logits, 3, 0), np.repeat(y, 3))


@pytest.mark.parametrize("change", ["permuted", "relabelled", "tripled"])
@pytest.mark.parametrize("name", METRICS)
def test_order_labels_and_repetition_do_not_change_a_metric(name: str, change: str) -> None:
    logits, y = simulate(7, 120, 8)
    changed = _changed(change, logits, y, np.random.default_rng(0))
    assert METRICS[name].function(changed) == pytest.approx(
        METRICS[name].function(ClassPredictions.from_logits(logits, y)), abs=1e-12
    )


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions_have_the_best_value_and_wrong_ones_the_worst(name: str) -> None:
    metric, y = METRICS[name], np.arange(30) % 7
    perfect = metric.function(ClassPredictions.from_logits(1e4 * np.eye(7)[y], y))
    # the true class is the last of seven, with a probability that rounds to 0
    wrong = metric.function(
        ClassPredictions.from_logits(1e4 * np.eye(7)[(y + 1) % 7] - 1e4 * np.eye(7)[y], y)
    )
    assert perfect == (1 if metric.higher_is_better else 0)
    assert wrong == (0 if metric.higher_is_better else pytest.approx(min(metric.highest, 2e4)))


def test_random_predictions_have_the_chance_value() -> None:
    rng = np.random.default_rng(3)
    outcome = ClassPredictions.from_logits(
        rng.normal(size=(20_000, 10)), rng.integers(10, size=20_000)
    )
    for name, chance in (("top1", 0.1), ("top5", 0.5), ("mean_per_class", 0.1), ("macro_f1", 0.1)):
        assert METRICS[name].function(outcome) == pytest.approx(chance, abs=0.01)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_no_examples_are_undefined(name: str) -> None:
    with pytest.raises(UndefinedError, match="there are no test examples"):
        METRICS[name].function(ClassPredictions.from_logits(np.empty((0, 9)), np.empty(0, int)))


@pytest.mark.parametrize("classes", [2, 5])
def test_top5_needs_six_classes(classes: int) -> None:
    with pytest.raises(UndefinedError, match=f"top5 needs at least 6 classes; there are {classes}"):
        top5(predicting([0, 1], [0, 1], classes))


@pytest.mark.parametrize("name", WITH_PROBABILITIES)
def test_votes_are_not_probabilities(name: str) -> None:
    with pytest.raises(UndefinedError, match="the protocol gives no probabilities"):
        METRICS[name].function(predicting([0, 1], [0, 1], 2))


def test_infinite_log_loss_is_undefined() -> None:
    with pytest.raises(UndefinedError, match="log_loss is infinite"):
        log_loss(ClassPredictions.from_logits(np.array([[0.0, -np.inf]]), np.array([1])))
