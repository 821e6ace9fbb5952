"""Metrics of robustness to common corruptions (Hendrycks & Dietterich 2019, arXiv:1903.12261).

Errors are plain means over corruptions and severities. The paper's mCE divides each corruption's
error by AlexNet's on the same images before averaging; AlexNet's errors exist for ImageNet-C only,
so on any other dataset the ratio has no reference. The errors under each corruption are scores of
their own, from which a ratio to any backbone can be computed.

Calibration under corruptions follows Ovadia et al. 2019 (arXiv:1906.02530). The predictions for one
image under several conditions are not independent, so intervals are over images.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.binned import ECE_BINS, bias_range_of_bins, equal_width_bins
from bob.metrics.metric import Metric, mean_of
from bob.numerics.arrays import Doubles
from bob.outcomes import CorruptionProbabilities, CorruptionResults

EMPTY = "there are no test examples"


def corruption_error(outcome: CorruptionResults) -> float:
    """Return the share of wrong predictions over all corruptions and severities.

    Each condition has equal weight. Range [0, 1], lower is better. Differs from the paper's mCE in
    that no error is divided by AlexNet's.
    """
    return mean_of(_error(outcome), if_empty=EMPTY)


def corruption_drop(outcome: CorruptionResults) -> float:
    """Return `corruption_error` minus the error on the same images without corruption.

    Range [-1, 1], lower is better. Differs from the paper's relative mCE in that the difference is
    not divided by AlexNet's.
    """
    return mean_of(_accuracy_lost(outcome), if_empty=EMPTY)


def corruption_log_loss(outcome: CorruptionProbabilities) -> float:
    """Return the mean of -log(probability of the true class) over images and conditions, in nats.

    Range [0, inf), lower is better.
    """
    return mean_of(_log_loss(outcome), if_empty=EMPTY)


def corruption_ece(outcome: CorruptionProbabilities) -> float:
    """Return the expected calibration error of the predictions under all conditions together.

    As `ece`, over the N · K predictions. Range [0, 1], lower is better.
    """
    return float(np.abs(_gaps_by_bin(outcome).mean(0)).sum())


def corruption_brier(outcome: CorruptionProbabilities) -> float:
    """Return the mean of `brier` over images and conditions.

    Range [0, 2], lower is better.
    """
    return mean_of(_brier(outcome), if_empty=EMPTY)


def _error(outcome: CorruptionResults) -> Doubles:
    """Return (N,) the share of conditions under which each image is predicted wrong."""
    error: Doubles = 1.0 - outcome.right.mean(1)
    return error


def _accuracy_lost(outcome: CorruptionResults) -> Doubles:
    """Return (N,) each image's clean correctness minus its share of right predictions."""
    lost: Doubles = outcome.clean - outcome.right.mean(1)
    return lost


def _log_loss(outcome: CorruptionProbabilities) -> Doubles:
    """Return (N,) each image's mean log-loss over conditions."""
    return np.asarray(-outcome.log_prob.mean(1))


def _brier(outcome: CorruptionProbabilities) -> Doubles:
    """Return (N,) each image's mean over conditions of Σ p² − 2 p_y + 1."""
    return np.asarray((outcome.squares - 2 * np.exp(outcome.log_prob) + 1).mean(1))


def _gaps_by_bin(outcome: CorruptionProbabilities) -> Doubles:
    """Return (N, 15) each image's correctness minus confidence in each bin, summed over K, by K."""
    n, conditions = outcome.right.shape
    if not n:
        raise UndefinedError(EMPTY)
    gap = (outcome.right - outcome.confidence) / conditions
    place = np.arange(n)[:, None] * ECE_BINS + equal_width_bins(outcome.confidence)
    sums = np.bincount(place.ravel(), weights=gap.ravel(), minlength=n * ECE_BINS)
    return np.asarray(sums.reshape(n, ECE_BINS))


def _ece_without_each(outcome: CorruptionProbabilities) -> Doubles:
    """Return (N,) `corruption_ece` without each image; NaN for a single one."""
    gaps = _gaps_by_bin(outcome)
    if len(gaps) < 2:
        return np.full(len(gaps), np.nan)
    return np.asarray(np.abs(gaps.sum(0) - gaps).sum(1) / (len(gaps) - 1))


def _ece_bias_range(outcome: CorruptionProbabilities) -> tuple[float, float]:
    gaps = _gaps_by_bin(outcome)
    return bias_range_of_bins(gaps.mean(0), (gaps**2).mean(0), len(gaps))


METRICS = (
    Metric(
        corruption_error,
        CorruptionResults,
        interval="effective",
        higher_is_better=False,
        summary="error over corruptions and severities",
        per_example=_error,
    ),
    Metric(
        corruption_drop,
        CorruptionResults,
        interval="hall",
        higher_is_better=False,
        summary="error that corruptions add",
        lowest=-1.0,
        per_example=_accuracy_lost,
    ),
    Metric(
        corruption_log_loss,
        CorruptionProbabilities,
        interval="hall",
        higher_is_better=False,
        summary="mean negative log-probability of the true class under corruptions, in nats",
        highest=float("inf"),
        per_example=_log_loss,
    ),
    Metric(
        corruption_ece,
        CorruptionProbabilities,
        interval="folded",
        higher_is_better=False,
        summary="expected calibration error under corruptions, 15 bins",
        leave_one_out=_ece_without_each,
        bias_range=_ece_bias_range,
    ),
    Metric(
        corruption_brier,
        CorruptionProbabilities,
        interval="hall",
        higher_is_better=False,
        summary="mean squared distance of the probabilities from the truth under corruptions",
        highest=2.0,
        per_example=_brier,
    ),
)
