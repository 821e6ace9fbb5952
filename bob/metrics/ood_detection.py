"""Metrics of out-of-distribution detection, in the conventions of OpenOOD.

Source: Yang et al. 2022 (arXiv:2210.07242; openood/evaluators/metrics.py). Out-of-distribution
images are the positives of AUROC, of the false positive rate at 95 % TPR, and of `aupr_out`;
in-distribution images are those of `aupr_in`. (Part of the literature, after ODIN, calls the
in-distribution images positive in the false positive rate too: another number.)

Differs from OpenOOD's code in two points:
- areas under precision and recall are average precision, the sum of (R_n - R_n-1) P_n; OpenOOD
  joins the points of the curve by straight lines. Between tied scores that is too high (Davis &
  Goadrich 2006): a constant score would get (1 + share) / 2 rather than the share of positives;
- the threshold at 95 % is sought among all scores; OpenOOD's curve drops points on straight
  stretches, and takes the next point where the threshold falls on one.
"""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.binary import (
    area_under_roc,
    area_under_roc_leave_one_out,
    average_precision_leave_one_out,
    counts_at_thresholds,
)
from bob.metrics.metric import Metric
from bob.numerics.arrays import Bools, Doubles
from bob.outcomes import OodScores

TPR = 0.95
"""True positive rate at which false positives are counted (Hendrycks & Gimpel 2017, and since)."""


def auroc(outcome: OodScores) -> float:
    """Return the probability that an in-distribution image scores higher than another image.

    Ties count one half. Range [0, 1], chance 0.5; the value is the same whichever side is positive.
    As OpenOOD's.
    """
    _require_both_sides(outcome)
    return area_under_roc(outcome.score, outcome.inside)


def aupr_in(outcome: OodScores) -> float:
    """Return the average precision of finding in-distribution images by high scores.

    The sum of (R_n - R_n-1) P_n over distinct scores. Range (0, 1]; chance is their share. OpenOOD
    joins the points by straight lines instead (see the module).
    """
    _require_both_sides(outcome)
    return _average_precision(outcome.score, outcome.inside)


def aupr_out(outcome: OodScores) -> float:
    """Return the average precision of finding out-of-distribution images by low scores.

    The sum of (R_n - R_n-1) P_n over distinct scores. Range (0, 1]; chance is their share. OpenOOD
    joins the points by straight lines instead (see the module).
    """
    _require_both_sides(outcome)
    return _average_precision(-outcome.score, ~outcome.inside)


def fpr_at_95_tpr(outcome: OodScores) -> float:
    """Return the share of in-distribution images rejected where 95 % of the others are.

    The threshold is the strictest one that rejects at least 95 % of the out-of-distribution images.
    Range [0, 1], lower is better. OpenOOD may take the next threshold (see the module).
    """
    _require_both_sides(outcome)
    hits, counts = counts_at_thresholds(-outcome.score, ~outcome.inside)
    misses = counts - hits
    first = int(np.argmax(hits >= TPR * hits[-1]))
    return float(misses[first] / misses[-1])


def f1_max(outcome: OodScores) -> float:
    """Return the best F1 of any threshold, out-of-distribution images being the positives.

    The maximum of 2 TP / (2 TP + FP + FN) over thresholds at the distinct scores, that which
    rejects every image among them. Range (0, 1]. The threshold is chosen on the test images, so
    that the value is never below `f1_all_anomalous`. Common for MVTec AD (anomalib's `F1Max`).
    """
    _require_both_sides(outcome)
    hits, counts = counts_at_thresholds(-outcome.score, ~outcome.inside)
    return float((2 * hits / (hits[-1] + counts)).max())


def f1_all_anomalous(outcome: OodScores) -> float:
    """Return the F1 of calling every image out of distribution: 2π / (1 + π) of their share π.

    Range (0, 1): what `f1_max` is without any skill.
    """
    _require_both_sides(outcome)
    share = float((~outcome.inside).mean())
    return 2 * share / (1 + share)


def _require_both_sides(outcome: OodScores) -> None:
    if outcome.inside.all() or not outcome.inside.any():
        missing = "out-of" if outcome.inside.any() else "in"
        raise UndefinedError(f"there are no {missing}-distribution test images")


def _average_precision(scores: Doubles, positive: Bools) -> float:
    """Return the average precision of `bob.metrics.binary`, from counts rather than from recalls.

    It divides once, after the sum, so the last digit can differ.
    """
    hits, counts = counts_at_thresholds(scores, positive)
    return float((np.diff(hits, prepend=0) * (hits / counts)).sum() / hits[-1])


def _side(outcome: OodScores) -> Bools:
    """Return (N,) the stratum of each image: the two sides have fixed sizes."""
    return outcome.inside


def _auroc_leave_one_out(outcome: OodScores) -> Doubles:
    return area_under_roc_leave_one_out(outcome.score, outcome.inside)


def _aupr_in_leave_one_out(outcome: OodScores) -> Doubles:
    return average_precision_leave_one_out(outcome.score, outcome.inside)


def _aupr_out_leave_one_out(outcome: OodScores) -> Doubles:
    return average_precision_leave_one_out(-outcome.score, ~outcome.inside)


def _f1_all_anomalous_leave_one_out(outcome: OodScores) -> Doubles:
    n, positive = len(outcome), ~outcome.inside
    positives = positive.sum() - positive
    return np.asarray(2 * positives / (n - 1 + positives))


def _scores_and_tpr(outcome: OodScores) -> tuple[Doubles, Doubles, float]:
    """Return the scores of both sides, in distribution first, and the level of the quantile."""
    return outcome.score[outcome.inside], outcome.score[~outcome.inside], TPR


METRICS = (
    Metric(
        auroc,
        OodScores,
        interval="jackknife",
        higher_is_better=True,
        summary="probability that an in-distribution image scores higher than another",
        strata=_side,
        leave_one_out=_auroc_leave_one_out,
        chance=lambda _: 0.5,
    ),
    Metric(
        aupr_in,
        OodScores,
        interval="jackknife",
        higher_is_better=True,
        summary="average precision of finding in-distribution images",
        strata=_side,
        leave_one_out=_aupr_in_leave_one_out,
        chance=lambda outcome: float(outcome.inside.mean()),
    ),
    Metric(
        aupr_out,
        OodScores,
        interval="jackknife",
        higher_is_better=True,
        summary="average precision of finding out-of-distribution images",
        strata=_side,
        leave_one_out=_aupr_out_leave_one_out,
        chance=lambda outcome: 1 - float(outcome.inside.mean()),
    ),
    Metric(
        fpr_at_95_tpr,
        OodScores,
        interval="quantile",
        higher_is_better=False,
        summary="in-distribution images rejected where 95 % of the others are",
        strata=_side,
        at_quantile=_scores_and_tpr,
    ),
    Metric(
        f1_max,
        OodScores,
        interval="bootstrap",
        higher_is_better=True,
        summary="best F1 of any threshold, chosen on the test images; see f1_all_anomalous",
        strata=_side,
        biased=True,
    ),
    Metric(
        f1_all_anomalous,
        OodScores,
        interval="jackknife",
        higher_is_better=True,
        summary="F1 of calling every image an anomaly, which f1_max always reaches",
        leave_one_out=_f1_all_anomalous_leave_one_out,
    ),
)
