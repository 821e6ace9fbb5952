"""Metrics of regression."""

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles
from bob.outcomes import RegressionResults


def r2(outcome: RegressionResults) -> float:
    """Return 1 minus the squared errors relative to those of the mean target.

    Range (-inf, 1]; 0 for the mean of the test targets. The same as scikit-learn's `r2_score`.
    """
    return float(_explained(outcome).mean())


def mean_absolute_error(outcome: RegressionResults) -> float:
    """Return the mean absolute error, in the unit of the target. Range [0, inf)."""
    return float(_absolute_errors(outcome).mean())


def spearman(outcome: RegressionResults) -> float:
    """Return the rank correlation of predicted and true numbers; ties share their mean rank.

    Range [-1, 1]; undefined where either is constant. The same as scipy's `spearmanr`.
    """
    from scipy.stats import rankdata  # 0.2 s that `list` and `--help` need not pay

    _require_examples(outcome)
    ranks = [rankdata(values) for values in (outcome.target, outcome.predicted)]
    a, b = (rank - rank.mean() for rank in ranks)
    lengths = np.sqrt((a**2).sum() * (b**2).sum())
    if lengths == 0:
        raise UndefinedError("a rank correlation needs targets and predictions that differ")
    return float(np.clip((a * b).sum() / lengths, -1, 1))


def _explained(outcome: RegressionResults) -> Doubles:
    """Return (N,) values whose mean is R² and whose spread is that of R² over test sets.

    With errors e, distances d of targets from their mean and V = Σd² / N, R² is 1 − Σe² / (N V).
    An image moves both sums, R² to first order by ((1 − R²) d² − e²) / (N V).
    """
    _require_examples(outcome)
    distance = (outcome.target - outcome.target.mean()) ** 2
    error = (outcome.predicted - outcome.target) ** 2
    total, variance = distance.sum(), distance.mean()
    if total == 0:
        raise UndefinedError("R² needs test targets that differ")
    value = 1 - error.sum() / total
    return np.asarray(value + ((1 - value) * distance - error) / variance, np.float64)


def _absolute_errors(outcome: RegressionResults) -> Doubles:
    _require_examples(outcome)
    return np.abs(outcome.predicted - outcome.target)


def _require_examples(outcome: RegressionResults) -> None:
    if not len(outcome):
        raise UndefinedError("there are no test examples")


METRICS = (
    Metric(
        r2,
        RegressionResults,
        interval="hall",
        higher_is_better=True,
        summary="share of the targets' variance that is explained",
        lowest=-float("inf"),
        per_example=_explained,
    ),
    Metric(
        mean_absolute_error,
        RegressionResults,
        interval="hall",
        higher_is_better=False,
        summary="mean absolute error, in the target's unit",
        highest=float("inf"),
        per_example=_absolute_errors,
    ),
    Metric(
        spearman,
        RegressionResults,
        interval="bootstrap",
        higher_is_better=True,
        summary="rank correlation of predicted and true numbers",
        lowest=-1.0,
    ),
)
