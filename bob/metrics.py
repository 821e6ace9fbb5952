"""Metrics: an outcome in, one float out. Pure; a metric without a value raises UndefinedError with the reason."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bob.errors import ConfigError, UndefinedError
from bob.outcomes import Classified, Floats
from bob.parse import nearest

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


def _not_empty(outcome: Classified) -> None:
    if not len(outcome):
        raise UndefinedError("there are no test examples")


def _probabilities(values: Floats | None) -> Floats:
    if values is None:
        raise UndefinedError("the protocol gives no probabilities")
    return values


@dataclass(frozen=True)
class Metric:
    """A registered metric and how it is read."""

    function: Callable[[Classified], float]
    interval: Literal["wilson", "mover", "bootstrap"]
    """How its interval is made; see `bob.intervals`."""
    highest: float
    """Its largest possible value; the smallest is 0."""
    higher_is_better: bool
    summary: str

    @property
    def name(self) -> str:
        return self.function.__name__


METRICS = {
    metric.name: metric
    for metric in (
        Metric(top1, "wilson", 1.0, True, "accuracy of the best-scored class"),
        Metric(top5, "wilson", 1.0, True, "true class among the five best-scored"),
        Metric(mean_per_class, "mover", 1.0, True, "accuracy averaged over classes"),
        Metric(balanced_accuracy, "mover", 1.0, True, "mean_per_class under scikit-learn's name"),
        Metric(macro_f1, "bootstrap", 1.0, True, "F1 averaged over classes"),
        Metric(log_loss, "bootstrap", float("inf"), False, "mean negative log-probability of the true class, in nats"),
        Metric(ece, "bootstrap", 1.0, False, "expected calibration error, 15 bins"),
    )
}


def metric_named(name: str) -> Metric:
    """The metric of that name."""
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}{nearest(name, METRICS)} Known metrics: {', '.join(METRICS)}.")
    return METRICS[name]
