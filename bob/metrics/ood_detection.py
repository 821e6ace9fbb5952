"""Metrics of out-of-distribution detection, in the conventions of OpenOOD (Yang et al. 2022, arXiv:2210.07242; openood/evaluators/metrics.py).

Out-of-distribution images are the positives of AUROC, of the false positive rate at 95 % TPR, and of `aupr_out`; in-distribution images are those of
`aupr_in`. (Part of the literature, after ODIN, calls the in-distribution images positive in the false positive rate too: another number.)

Differs from OpenOOD's code in two points:
- areas under precision and recall are average precision, the sum of (R_n - R_n-1) P_n, where OpenOOD joins the points of the curve by straight
  lines: between tied scores that is too high (Davis & Goadrich 2006), and a constant score would be given (1 + share) / 2 rather than the share;
- the threshold at 95 % is looked for among all scores; OpenOOD's curve leaves out points on straight stretches, where it then takes the next one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.metrics.leave_one_out import auroc_leave_one_out, average_precision_leave_one_out
from bob.metrics.metric import Metric
from bob.outcomes import Floats, OodScores

TPR = 0.95
"""The true positive rate at which false positives are counted (Hendrycks & Gimpel 2017 and all since)."""


def auroc(outcome: OodScores) -> float:
    """Probability that an in-distribution image scores higher than one that is not; equal scores count one half. The same whichever is positive."""
    curve = _curve(outcome, inside=False)
    before = np.concatenate([[0], curve.hits[:-1]])
    misses = np.diff(curve.misses, prepend=0)
    return float((misses * (before + curve.hits)).sum() / (2 * curve.hits[-1] * curve.misses[-1]))


def aupr_in(outcome: OodScores) -> float:
    """Average precision of finding in-distribution images by high scores. Chance: their share."""
    return _average_precision(_curve(outcome, inside=True))


def aupr_out(outcome: OodScores) -> float:
    """Average precision of finding out-of-distribution images by low scores. Chance: their share."""
    return _average_precision(_curve(outcome, inside=False))


def fpr_at_95_tpr(outcome: OodScores) -> float:
    """Share of in-distribution images taken for out-of-distribution ones at the strictest threshold that finds 95 % of the latter."""
    curve = _curve(outcome, inside=False)
    first = int(np.argmax(curve.hits >= TPR * curve.hits[-1]))
    return float(curve.misses[first] / curve.misses[-1])


@dataclass(frozen=True, eq=False)
class _Curve:
    """Counts up to and including each distinct score (K,), from the most positive on."""

    hits: Floats
    """Positives."""
    misses: Floats
    """Negatives."""


def _curve(outcome: OodScores, inside: bool) -> _Curve:
    """Thresholds from the most positive score to the least; equal scores are passed together."""
    if outcome.inside.all() or not outcome.inside.any():
        raise UndefinedError(
            f"there are no {'out-of' if outcome.inside.any() else 'in'}-distribution test images"
        )
    positive = outcome.inside if inside else ~outcome.inside
    score = outcome.score if inside else -outcome.score
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    return _Curve(hits, 1.0 + last - hits)


def _average_precision(curve: _Curve) -> float:
    precision = curve.hits / (curve.hits + curve.misses)
    return float((np.diff(curve.hits, prepend=0) * precision).sum() / curve.hits[-1])


def _inside(outcome: OodScores) -> NDArray[np.bool_]:
    return outcome.inside


def _auroc_leave_one_out(outcome: OodScores) -> Floats:
    return auroc_leave_one_out(outcome.inside, outcome.score)


def _aupr_in_leave_one_out(outcome: OodScores) -> Floats:
    return average_precision_leave_one_out(outcome.inside, outcome.score)


def _aupr_out_leave_one_out(outcome: OodScores) -> Floats:
    return average_precision_leave_one_out(~outcome.inside, -outcome.score)


def _at_tpr(outcome: OodScores) -> tuple[Floats, Floats, float]:
    return outcome.score[outcome.inside], outcome.score[~outcome.inside], TPR


METRICS = (
    Metric(
        auroc,
        OodScores,
        "jackknife",
        1.0,
        True,
        "an in-distribution image scores higher than one that is not",
        strata=_inside,
        leave_one_out=_auroc_leave_one_out,
    ),
    Metric(
        aupr_in,
        OodScores,
        "jackknife",
        1.0,
        True,
        "average precision of finding in-distribution images",
        strata=_inside,
        leave_one_out=_aupr_in_leave_one_out,
    ),
    Metric(
        aupr_out,
        OodScores,
        "jackknife",
        1.0,
        True,
        "average precision of finding out-of-distribution images",
        strata=_inside,
        leave_one_out=_aupr_out_leave_one_out,
    ),
    Metric(
        fpr_at_95_tpr,
        OodScores,
        "quantile",
        1.0,
        False,
        "in-distribution images rejected where 95 % of the others are",
        strata=_inside,
        at_quantile=_at_tpr,
    ),
)
