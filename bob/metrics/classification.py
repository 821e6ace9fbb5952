"""Metrics of a classifier's outcome."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes import ClassPredictions, Floats

ECE_BINS = 15
"""Equal-width bins of the calibration error; the number used throughout Guo et al. 2017 (arXiv:1706.04599)."""


FAR = 40.0
"""Standard errors beyond which a gap is not mistaken for one on the other side: erfc is 0 in float64."""


def top1(outcome: ClassPredictions) -> float:
    """Share of examples whose best-scored class is the true one."""
    _not_empty(outcome)
    return float((outcome.rank == 0).mean())


def top5(outcome: ClassPredictions) -> float:
    """Share of examples whose true class is among the five best-scored. A class without votes is never among them."""
    _not_empty(outcome)
    if outcome.classes < 6:
        raise UndefinedError(f"top5 needs at least 6 classes; there are {outcome.classes}")
    return float((outcome.rank < 5).mean())


def mean_per_class(outcome: ClassPredictions) -> float:
    """Mean over the classes that occur in y of the share of their examples that are predicted right (mean per-class recall)."""
    correct, count = per_class(outcome)
    return float((correct / count).mean())


def balanced_accuracy(outcome: ClassPredictions) -> float:
    """The same quantity as `mean_per_class`, under the name that scikit-learn gives it."""
    return mean_per_class(outcome)


def macro_f1(outcome: ClassPredictions) -> float:
    """Mean of the per-class F1 = 2 TP / (true + predicted) over the classes that occur in y or among the predictions; scikit-learn's f1_score."""
    right, both = _agreement(outcome)
    present = both > 0
    return float((2 * right[present] / both[present]).mean())


def _macro_f1_leave_one_out(outcome: ClassPredictions) -> Floats:
    """(N,) `macro_f1` without each example: the F1 of its two classes, or of its one, are of one example fewer.

    A smooth function of the confusion matrix, for which Takahashi et al. 2022 (doi:10.1007/s10489-021-02635-5) have the delta method.
    """
    right, both = _agreement(outcome)
    hit, f1 = outcome.rank == 0, _f1(right, both)
    y, predicted = outcome.y, outcome.predicted
    total, classes = (
        f1.sum() - f1[y] + _f1(right[y] - hit, both[y] - 1 - hit),
        (both > 0).sum() - (both[y] == 1 + hit),
    )
    total += np.where(hit, 0.0, _f1(right[predicted], both[predicted] - 1) - f1[predicted])
    classes -= ~hit & (both[predicted] == 1)
    left: Floats = np.divide(total, classes, out=np.full(len(y), np.nan), where=classes > 0)
    return left


def _agreement(outcome: ClassPredictions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per class (C,): true positives, and examples of the class plus predictions of it."""
    _not_empty(outcome)
    size = outcome.classes
    right = np.bincount(outcome.y[outcome.rank == 0], minlength=size)
    return right, np.bincount(outcome.y, minlength=size) + np.bincount(
        outcome.predicted, minlength=size
    )


def _f1(right: NDArray[np.int64], both: NDArray[np.int64]) -> Floats:
    """2 TP / (true + predicted), 0 of a class that does not occur."""
    return np.asarray(2 * right / np.maximum(both, 1))


def log_loss(outcome: ClassPredictions) -> float:
    """Mean of -log(probability of the true class), in nats. Not clipped: a probability of exactly 0 leaves it undefined."""
    _not_empty(outcome)
    log_prob = _probabilities(outcome.log_prob)
    if np.isneginf(log_prob).any():
        raise UndefinedError("log_loss is infinite: a true class has probability 0")
    return float(-log_prob.mean(dtype=np.float64))


def ece(outcome: ClassPredictions) -> float:
    """Expected calibration error, L1, 15 equal-width bins ((m-1)/15, m/15] of the predicted class's probability (Guo et al. 2017, arXiv:1706.04599).

    Sum over bins of |bin| / N * |accuracy - mean confidence|, which is |sum over the bin of (right - confidence)| / N.
    """
    gap, bins = _gaps(outcome)
    return float(np.abs(np.bincount(bins, weights=gap)).sum() / len(outcome))


def _gaps(outcome: ClassPredictions) -> tuple[Floats, NDArray[np.int64]]:
    """Of each example (N,): right (1 or 0) less its confidence, and the bin of its confidence."""
    _not_empty(outcome)
    confidence = _probabilities(outcome.confidence)
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    return (outcome.rank == 0) - confidence, bins


def _ece_leave_one_out(outcome: ClassPredictions) -> Floats:
    """(N,) `ece` without each example, NaN without any."""
    gap, bins = _gaps(outcome)
    sums = np.bincount(bins, weights=gap)
    total = np.abs(sums).sum() - np.abs(sums[bins]) + np.abs(sums[bins] - gap)
    return np.asarray(total / (len(gap) - 1)) if len(gap) > 1 else np.full(1, np.nan)


def _ece_bias(outcome: ClassPredictions) -> float:
    """A bin's gap g is nearly normal with error s, its absolute value folded: sqrt(2 / pi) s exp(-g² / 2 s²) + |g| erf(|g| / s sqrt 2) on average."""
    gap, bins = _gaps(outcome)
    g, squares = (
        np.bincount(bins, weights=gap) / len(gap),
        np.bincount(bins, weights=gap**2) / len(gap),
    )
    error = np.sqrt(np.maximum((squares - g**2) / max(len(gap) - 1, 1), np.finfo(float).tiny))
    ratio = np.minimum(np.abs(g) / error, FAR)  # so that no square overflows
    return float(
        (
            np.sqrt(2 / np.pi) * error * np.exp(-(ratio**2) / 2)
            - np.abs(g) * erfc(ratio / np.sqrt(2))
        ).sum()
    )


def per_class(outcome: ClassPredictions) -> tuple[Floats, Floats]:
    """Examples predicted right, and all examples, of each class that occurs in y: two arrays (K,), K <= C."""
    _not_empty(outcome)
    count = np.bincount(outcome.y, minlength=outcome.classes)
    correct = np.bincount(outcome.y[outcome.rank == 0], minlength=outcome.classes)
    return correct[count > 0].astype(np.float64), count[count > 0].astype(np.float64)


def _in_first(places: int) -> Callable[[ClassPredictions], NDArray[np.float64]]:
    """Of each example (N,), 1 where the true class is among the first `places`."""
    return lambda outcome: (outcome.rank < places).astype(np.float64)


def _weighed_by_class(outcome: ClassPredictions) -> NDArray[np.float64]:
    """(N,) N / (K n) for an example of a class of n that is right, K being the number of classes in y: their mean is the mean over classes."""
    count = np.bincount(outcome.y, minlength=outcome.classes)
    weight: NDArray[np.float64] = len(outcome) / ((count > 0).sum() * count[outcome.y])
    weighed: NDArray[np.float64] = weight * (outcome.rank == 0)
    return weighed


def _surprise(outcome: ClassPredictions) -> NDArray[np.float64]:
    """(N,) -log(probability of the true class), in nats."""
    return -np.asarray(_probabilities(outcome.log_prob), np.float64)


def _not_empty(outcome: ClassPredictions) -> None:
    if not len(outcome):
        raise UndefinedError("there are no test examples")


def _probabilities(values: Floats | None) -> Floats:
    if values is None:
        raise UndefinedError("the protocol gives no probabilities")
    return values


METRICS = (
    Metric(
        top1,
        ClassPredictions,
        "wilson",
        1.0,
        True,
        "accuracy of the best-scored class",
        per_example=_in_first(1),
    ),
    Metric(
        top5,
        ClassPredictions,
        "wilson",
        1.0,
        True,
        "true class among the five best-scored",
        per_example=_in_first(5),
    ),
    Metric(
        mean_per_class,
        ClassPredictions,
        "score",
        1.0,
        True,
        "accuracy averaged over classes",
        per_example=_weighed_by_class,
        shares=per_class,
    ),
    Metric(
        balanced_accuracy,
        ClassPredictions,
        "score",
        1.0,
        True,
        "mean_per_class under scikit-learn's name",
        per_example=_weighed_by_class,
        shares=per_class,
    ),
    Metric(
        macro_f1,
        ClassPredictions,
        "jackknife",
        1.0,
        True,
        "F1 averaged over classes",
        leave_one_out=_macro_f1_leave_one_out,
        biased=True,
    ),
    Metric(
        log_loss,
        ClassPredictions,
        "hall",
        float("inf"),
        False,
        "mean negative log-probability of the true class, in nats",
        per_example=_surprise,
    ),
    Metric(
        ece,
        ClassPredictions,
        "jackknife",
        1.0,
        False,
        "expected calibration error, 15 bins",
        leave_one_out=_ece_leave_one_out,
        bias=_ece_bias,
    ),
)
