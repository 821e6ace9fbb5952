"""Metrics of calibration and of selective prediction, beside `ece` and `log_loss`."""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.binned import (
    binned_bias_range,
    binned_error,
    binned_leave_one_out,
    equal_mass_bins,
    equal_width_bins,
)
from bob.metrics.metric import Metric
from bob.numerics.arrays import Bools, Doubles, Ints
from bob.outcomes import ClassPredictions, ClassProbabilities, SelectivePredictions

Gaps = tuple[Doubles, Ints]


def equal_mass_ece(outcome: ClassPredictions) -> float:
    """Return the expected calibration error over 15 bins with equally many images.

    As `ece`, with bins by the order of confidences (Nguyen & O'Connor 2015, arXiv:1508.05154; Nixon
    et al. 2019, arXiv:1904.01685). Equal confidences share a bin. Range [0, 1], lower is better.
    """
    return binned_error(*_confidence_gaps(outcome))


def classwise_ece(outcome: ClassProbabilities) -> float:
    """Return the mean over classes of the calibration error of each class's probability.

    Per class: the sum over 15 equal-width bins of its probability of |share of the class - mean
    probability| |bin| / N (Kull et al. 2019, arXiv:1910.12656). Range [0, 1], lower is better.
    """
    return float(np.mean([binned_error(*gaps) for gaps in _class_gaps(outcome)]))


def brier(outcome: ClassProbabilities) -> float:
    """Return the mean over images of the squared distance of probabilities from the truth.

    The sum over classes of (p - [class is true])² (Brier 1950). Range [0, 2], lower is better.
    """
    return float(_squared_distances(outcome).mean())


def aurc(outcome: ClassPredictions) -> float:
    """Return the area under the risk-coverage curve: the mean error of the k most confident.

    (1/N) Σ over k = 1 … N of the error among the k most confident images (Geifman & El-Yaniv 2017,
    arXiv:1705.08500; Geifman et al. 2019, arXiv:1805.08206). Of equally confident images, the
    expectation over their orders counts. Range [0, 1], lower is better.
    """
    return float(_ranked_errors(outcome).area())


def risk_at_coverage(outcome: SelectivePredictions) -> float:
    """Return the error among the most confident share of the images.

    That is ⌈coverage · N⌉ images; of equally confident ones at the end, the expectation over their
    orders counts. Range [0, 1], lower is better.
    """
    errors, answered = _errors_among_answered(outcome)
    return float(errors[0] / answered[0])


class _RankedErrors:
    """Errors of N images by descending confidence, those of equal confidence averaged."""

    def __init__(self, right: Bools, confidence: Doubles) -> None:
        _, self.group, count = np.unique(-confidence, return_inverse=True, return_counts=True)
        errors = np.bincount(self.group, weights=~right)
        self.wrong, self.count, self.sums = (~right).astype(np.float64), count, errors
        self.end = np.cumsum(count)
        self.start = self.end - count
        # H[j] = 1 + 1/2 + … + 1/j, so that position j weighs H[N] − H[j]
        self.harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(right) + 1))])
        self.before = np.concatenate([[0.0], np.cumsum(self.harmonic)])

    def area(self) -> float:
        """Return the area: (1/N) Σ over positions j of error · (H[N] − H[j])."""
        n = len(self.wrong)
        return float((self.sums / self.count * self._weights(self.start, self.end, n)).sum() / n)

    def area_without_each(self) -> Doubles:
        """Return (N,) the area without each image; NaN for a single image."""
        n = len(self.wrong)
        if n < 2:
            return np.full(n, np.nan)
        mean = self.sums / self.count
        ahead = np.cumsum(mean * self._weights(self.start, self.end, n - 1))
        ahead -= mean * self._weights(self.start, self.end, n - 1)
        behind = mean * self._weights(
            np.maximum(self.start - 1, 0), np.maximum(self.end - 1, 0), n - 1
        )
        behind = np.cumsum(behind[::-1])[::-1] - behind
        g = self.group
        others = np.maximum(self.count[g] - 1, 1)
        rest = (self.sums[g] - self.wrong) / others
        rest = np.where(self.count[g] > 1, rest, 0.0)
        within = rest * self._weights(self.start, self.end - 1, n - 1)[g]
        area: Doubles = (ahead[g] + behind[g] + within) / (n - 1)
        return area

    def _weights(self, start: Ints, end: Ints, n: int) -> Doubles:
        """Return the sums of H[n] − H[j] over the positions start ≤ j < end."""
        weights: Doubles = (end - start) * self.harmonic[n] - (
            self.before[end] - self.before[start]
        )
        return weights


def _ranked_errors(outcome: ClassPredictions) -> _RankedErrors:
    return _RankedErrors(outcome.rank == 0, _confidence(outcome))


def _errors_among_answered(outcome: SelectivePredictions) -> tuple[Doubles, Doubles]:
    """Return the errors (1,) among the answered images, and their number (1,)."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    answered = int(np.ceil(outcome.coverage * len(outcome) - 1e-9))
    ranked = _RankedErrors(outcome.right, outcome.confidence)
    share = np.clip((answered - ranked.start) / ranked.count, 0, 1)
    return np.array([(ranked.sums * share).sum()]), np.array([float(answered)])


def _confidence(outcome: ClassPredictions) -> Doubles:
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    if outcome.confidence is None:
        raise UndefinedError("the protocol gives no probabilities")
    return outcome.confidence


def _confidence_gaps(outcome: ClassPredictions) -> Gaps:
    confidence = _confidence(outcome)
    return (outcome.rank == 0) - confidence, equal_mass_bins(confidence)


def _class_gaps(outcome: ClassProbabilities) -> list[Gaps]:
    """Return the gaps and bins of each class."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    return [
        ((outcome.y == c) - probability, equal_width_bins(probability))
        for c, probability in enumerate(outcome.probabilities.T)
    ]


def _class_bias_range(outcome: ClassProbabilities) -> tuple[float, float]:
    least, most = np.mean([binned_bias_range(*gaps) for gaps in _class_gaps(outcome)], axis=0)
    return float(least), float(most)


def _squared_distances(outcome: ClassProbabilities) -> Doubles:
    """Return (N,) Σ p² − 2 p_y + 1."""
    if not len(outcome):
        raise UndefinedError("there are no test examples")
    p = outcome.probabilities
    true = p[np.arange(len(p)), outcome.y]
    return np.asarray(np.einsum("ij,ij->i", p, p) - 2 * true + 1)


METRICS = (
    Metric(
        equal_mass_ece,
        ClassPredictions,
        interval="folded",
        higher_is_better=False,
        summary="expected calibration error, 15 bins of equal size",
        leave_one_out=lambda outcome: binned_leave_one_out(*_confidence_gaps(outcome)),
        bias_range=lambda outcome: binned_bias_range(*_confidence_gaps(outcome)),
    ),
    Metric(
        aurc,
        ClassPredictions,
        interval="jackknife",
        higher_is_better=False,
        summary="area under the risk-coverage curve",
        leave_one_out=lambda outcome: _ranked_errors(outcome).area_without_each(),
    ),
    Metric(
        brier,
        ClassProbabilities,
        interval="hall",
        higher_is_better=False,
        summary="mean squared distance of the probabilities from the truth",
        highest=2.0,
        per_example=_squared_distances,
    ),
    Metric(
        classwise_ece,
        ClassProbabilities,
        interval="folded",
        higher_is_better=False,
        summary="calibration error of each class's probability, averaged over classes",
        leave_one_out=lambda outcome: np.asarray(
            np.mean([binned_leave_one_out(*gaps) for gaps in _class_gaps(outcome)], axis=0)
        ),
        bias_range=_class_bias_range,
    ),
    Metric(
        risk_at_coverage,
        SelectivePredictions,
        interval="score",
        higher_is_better=False,
        summary="error among the most confident share of the images",
        shares=_errors_among_answered,
    ),
)
