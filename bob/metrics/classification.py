"""Metrics of single-label classification."""

from collections.abc import Callable
from math import log

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.binned import (
    binned_bias_range,
    binned_error,
    binned_leave_one_out,
    equal_width_bins,
)
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import ClassPredictions


def top1(outcome: ClassPredictions) -> float:
    """Return the share of examples whose best-scored class is the true one.

    Range [0, 1]. The same as scikit-learn's `accuracy_score`; ties go to the lower class index.
    """
    _require_examples(outcome)
    return float((outcome.rank == 0).mean())


def top5(outcome: ClassPredictions) -> float:
    """Return the share of examples whose true class is among the five best-scored classes.

    Range [0, 1]; undefined for fewer than six classes. Source: Russakovsky et al. 2015
    (arXiv:1409.0575). Differs from scikit-learn's `top_k_accuracy_score` in that a class without
    votes never counts, and that ties go to the lower class index.
    """
    _require_examples(outcome)
    if outcome.classes < 6:
        raise UndefinedError(f"top5 needs at least 6 classes; there are {outcome.classes}")
    return float((outcome.rank < 5).mean())


def mean_per_class(outcome: ClassPredictions) -> float:
    """Return the mean per-class accuracy: the recall, averaged over the classes that occur in y.

    Range [0, 1]. The same as scikit-learn's `recall_score(average="macro")` over the classes in y.
    """
    correct, count = _counts_per_class(outcome)
    return float((correct / count).mean())


def balanced_accuracy(outcome: ClassPredictions) -> float:
    """Return `mean_per_class` under scikit-learn's name, `balanced_accuracy_score`.

    Range [0, 1].
    """
    return mean_per_class(outcome)


def macro_f1(outcome: ClassPredictions) -> float:
    """Return the mean over classes of F1 = 2 TP / (true + predicted).

    The classes are those that occur in y or among the predictions. Range [0, 1]. The same as
    scikit-learn's `f1_score(average="macro", zero_division=0)`.
    """
    true_positives, total = _agreement(outcome)
    present = total > 0
    return float((2 * true_positives[present] / total[present]).mean())


def _macro_f1_leave_one_out(outcome: ClassPredictions) -> Doubles:
    """Return (N,) `macro_f1` without each example.

    Only the F1 of the example's true class and of its predicted class change. Macro F1 is a smooth
    function of the confusion matrix, for which Takahashi et al. 2022
    (doi:10.1007/s10489-021-02635-5) give the delta method.
    """
    true_positives, total = _agreement(outcome)
    hit, f1 = outcome.rank == 0, _f1(true_positives, total)
    y, predicted = outcome.y, outcome.predicted
    f1_sum = f1.sum() - f1[y] + _f1(true_positives[y] - hit, total[y] - 1 - hit)
    classes = (total > 0).sum() - (total[y] == 1 + hit)
    without_prediction = _f1(true_positives[predicted], total[predicted] - 1)
    f1_sum += np.where(hit, 0.0, without_prediction - f1[predicted])
    classes -= ~hit & (total[predicted] == 1)
    values: Doubles = np.divide(f1_sum, classes, out=np.full(len(y), np.nan), where=classes > 0)
    return values


def _agreement(outcome: ClassPredictions) -> tuple[Ints, Ints]:
    """Return true positives (C,), and examples plus predictions (C,), of each class."""
    _require_examples(outcome)
    classes = outcome.classes
    true_positives = np.bincount(outcome.y[outcome.rank == 0], minlength=classes)
    examples = np.bincount(outcome.y, minlength=classes)
    return true_positives, examples + np.bincount(outcome.predicted, minlength=classes)


def _f1(true_positives: Ints, total: Ints) -> Doubles:
    """Return 2 TP / (true + predicted), and 0 for a class that does not occur."""
    return np.asarray(2 * true_positives / np.maximum(total, 1))


def log_loss(outcome: ClassPredictions) -> float:
    """Return the mean of -log(probability of the true class), in nats.

    Range [0, inf), lower is better. The same as scikit-learn's `log_loss`, except that nothing is
    clipped: a probability of exactly 0 leaves the metric undefined.
    """
    _require_examples(outcome)
    log_prob = _probabilities(outcome.log_prob)
    if np.isneginf(log_prob).any():
        raise UndefinedError("log_loss is infinite: a true class has probability 0")
    return float(-log_prob.mean(dtype=np.float64))


def ece(outcome: ClassPredictions) -> float:
    """Return the expected calibration error in the L1 norm.

    The sum over bins of |bin| / N * |accuracy - mean confidence|, where the bins are 15 intervals
    ((m - 1) / 15, m / 15] of the predicted class's probability. Range [0, 1], lower is better.
    Source: Guo et al. 2017 (arXiv:1706.04599; github.com/gpleiss/temperature_scaling).

    Computed as the sum over bins of |sum of (right - confidence)| / N, which is the same.
    """
    return binned_error(*_gaps(outcome))


def _gaps(outcome: ClassPredictions) -> tuple[Doubles, Ints]:
    """Return correctness (1 or 0) minus confidence (N,), and the bin of the confidence (N,)."""
    _require_examples(outcome)
    confidence = _probabilities(outcome.confidence)
    return (outcome.rank == 0) - confidence, equal_width_bins(confidence)


def _counts_per_class(outcome: ClassPredictions) -> tuple[Doubles, Doubles]:
    """Return right predictions (K,) and examples (K,) of the K <= C classes that occur in y."""
    _require_examples(outcome)
    count = np.bincount(outcome.y, minlength=outcome.classes)
    correct = np.bincount(outcome.y[outcome.rank == 0], minlength=outcome.classes)
    return correct[count > 0].astype(np.float64), count[count > 0].astype(np.float64)


def _in_top(k: int) -> Callable[[ClassPredictions], Doubles]:
    """Return a function to (N,) 1 if the true class is among the first k, else 0."""
    return lambda outcome: (outcome.rank < k).astype(np.float64)


def _guessed(k: int) -> Callable[[ClassPredictions], float]:
    """Return a function to the expected share of k guesses among C classes that are right."""
    return lambda outcome: k / outcome.classes


def _weighted_by_class(outcome: ClassPredictions) -> Doubles:
    """Return (N,) values whose mean is `mean_per_class`.

    A right example of a class of n has N / (K n), where K is the number of classes in y; a wrong
    one has 0.
    """
    count = np.bincount(outcome.y, minlength=outcome.classes)
    weight: Doubles = len(outcome) / ((count > 0).sum() * count[outcome.y])
    weighted: Doubles = weight * (outcome.rank == 0)
    return weighted


def _negative_log_likelihood(outcome: ClassPredictions) -> Doubles:
    """Return (N,) -log(probability of the true class), in nats."""
    return -np.asarray(_probabilities(outcome.log_prob), np.float64)


def _require_examples(outcome: ClassPredictions) -> None:
    if not len(outcome):
        raise UndefinedError("there are no test examples")


def _probabilities(values: Doubles | None) -> Doubles:
    if values is None:
        raise UndefinedError("the protocol gives no probabilities")
    return values


METRICS = (
    Metric(
        top1,
        ClassPredictions,
        interval="wilson",
        higher_is_better=True,
        summary="accuracy of the best-scored class",
        per_example=_in_top(1),
        chance=_guessed(1),
    ),
    Metric(
        top5,
        ClassPredictions,
        interval="wilson",
        higher_is_better=True,
        summary="true class among the five best-scored",
        per_example=_in_top(5),
        chance=_guessed(5),
    ),
    Metric(
        mean_per_class,
        ClassPredictions,
        interval="score",
        higher_is_better=True,
        summary="accuracy averaged over classes",
        per_example=_weighted_by_class,
        shares=_counts_per_class,
        chance=_guessed(1),
    ),
    Metric(
        balanced_accuracy,
        ClassPredictions,
        interval="score",
        higher_is_better=True,
        summary="mean_per_class under scikit-learn's name",
        per_example=_weighted_by_class,
        shares=_counts_per_class,
        chance=_guessed(1),
    ),
    Metric(
        macro_f1,
        ClassPredictions,
        interval="jackknife",
        higher_is_better=True,
        summary="F1 averaged over classes",
        leave_one_out=_macro_f1_leave_one_out,
        biased=True,
    ),
    Metric(
        log_loss,
        ClassPredictions,
        interval="hall",
        higher_is_better=False,
        summary="mean negative log-probability of the true class, in nats",
        highest=float("inf"),
        per_example=_negative_log_likelihood,
        chance=lambda outcome: log(outcome.classes),
    ),
    Metric(
        ece,
        ClassPredictions,
        interval="folded",
        higher_is_better=False,
        summary="expected calibration error, 15 bins",
        leave_one_out=lambda outcome: binned_leave_one_out(*_gaps(outcome)),
        bias_range=lambda outcome: binned_bias_range(*_gaps(outcome)),
    ),
)
