"""Metrics of a classifier's outcome."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.outcomes import Classified, Floats

ECE_BINS = 15
"""Equal-width bins of the calibration error; the number used throughout Guo et al. 2017 (arXiv:1706.04599)."""


def top1(outcome: Classified) -> float:
    """Share of examples whose best-scored class is the true one."""
    _not_empty(outcome)
    return float((outcome.rank == 0).mean())


def top5(outcome: Classified) -> float:
    """Share of examples whose true class is among the five best-scored. A class without votes is never among them."""
    _not_empty(outcome)
    if outcome.classes < 6:
        raise UndefinedError(f"top5 needs at least 6 classes; there are {outcome.classes}")
    return float((outcome.rank < 5).mean())


def mean_per_class(outcome: Classified) -> float:
    """Mean over the classes that occur in y of the share of their examples that are predicted right (mean per-class recall)."""
    correct, count = per_class(outcome)
    return float((correct / count).mean())


def balanced_accuracy(outcome: Classified) -> float:
    """The same quantity as `mean_per_class`, under the name that scikit-learn gives it."""
    return mean_per_class(outcome)


def macro_f1(outcome: Classified) -> float:
    """Mean of the per-class F1 = 2 TP / (true + predicted) over the classes that occur in y or among the predictions; scikit-learn's f1_score."""
    _not_empty(outcome)
    size = outcome.classes
    right = np.bincount(outcome.y[outcome.rank == 0], minlength=size)
    both = np.bincount(outcome.y, minlength=size) + np.bincount(outcome.predicted, minlength=size)
    present = both > 0
    return float((2 * right[present] / both[present]).mean())


def log_loss(outcome: Classified) -> float:
    """Mean of -log(probability of the true class), in nats. Not clipped: a probability of exactly 0 leaves it undefined."""
    _not_empty(outcome)
    log_prob = _probabilities(outcome.log_prob)
    if np.isneginf(log_prob).any():
        raise UndefinedError("log_loss is infinite: a true class has probability 0")
    return float(-log_prob.mean(dtype=np.float64))


def ece(outcome: Classified) -> float:
    """Expected calibration error, L1, 15 equal-width bins ((m-1)/15, m/15] of the predicted class's probability (Guo et al. 2017, arXiv:1706.04599).

    Sum over bins of |bin| / N * |accuracy - mean confidence|, which is |sum over the bin of (right - confidence)| / N.
    """
    _not_empty(outcome)
    confidence = _probabilities(outcome.confidence)
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=(outcome.rank == 0) - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(outcome))


def per_class(outcome: Classified) -> tuple[Floats, Floats]:
    """Examples predicted right, and all examples, of each class that occurs in y: two arrays (K,), K <= C."""
    _not_empty(outcome)
    count = np.bincount(outcome.y, minlength=outcome.classes)
    correct = np.bincount(outcome.y[outcome.rank == 0], minlength=outcome.classes)
    return correct[count > 0].astype(np.float64), count[count > 0].astype(np.float64)


def _in_first(places: int) -> Callable[[Classified], NDArray[np.float64]]:
    """Of each example (N,), 1 where the true class is among the first `places`."""
    return lambda outcome: (outcome.rank < places).astype(np.float64)


def _weighed_by_class(outcome: Classified) -> NDArray[np.float64]:
    """(N,) N / (K n) for an example of a class of n that is right, K being the number of classes in y: their mean is the mean over classes."""
    count = np.bincount(outcome.y, minlength=outcome.classes)
    weight: NDArray[np.float64] = len(outcome) / ((count > 0).sum() * count[outcome.y])
    weighed: NDArray[np.float64] = weight * (outcome.rank == 0)
    return weighed


def _surprise(outcome: Classified) -> NDArray[np.float64]:
    """(N,) -log(probability of the true class), in nats."""
    return -np.asarray(_probabilities(outcome.log_prob), np.float64)


def _not_empty(outcome: Classified) -> None:
    if not len(outcome):
        raise UndefinedError("there are no test examples")


def _probabilities(values: Floats | None) -> Floats:
    if values is None:
        raise UndefinedError("the protocol gives no probabilities")
    return values


METRICS = (
    Metric(top1, Classified, "wilson", 1.0, True, "accuracy of the best-scored class", each=_in_first(1)),
    Metric(top5, Classified, "wilson", 1.0, True, "true class among the five best-scored", each=_in_first(5)),
    Metric(mean_per_class, Classified, "score", 1.0, True, "accuracy averaged over classes", each=_weighed_by_class, shares=per_class),
    Metric(balanced_accuracy, Classified, "score", 1.0, True, "mean_per_class under scikit-learn's name", each=_weighed_by_class, shares=per_class),
    Metric(macro_f1, Classified, "bootstrap", 1.0, True, "F1 averaged over classes"),
    Metric(log_loss, Classified, "hall", float("inf"), False, "mean negative log-probability of the true class, in nats", each=_surprise),
    Metric(ece, Classified, "bootstrap", 1.0, False, "expected calibration error, 15 bins", biased=True),
)
