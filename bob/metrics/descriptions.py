"""Descriptions of features. They rank nothing; `bob.numerics` defines each.

Intervals are Student's, over the pseudo-values of a jackknife that leaves out one of J parts of the
rows at a time (Tukey 1958). The value depends on the number of rows: limits are for its mean over
samples of as many, and `benchmarks/interval_coverage.py --only descriptions` has how often they
hold it.
"""

import math
from collections.abc import Callable

import numpy as np

from bob.errors import UndefinedError
from bob.metrics.metric import Metric
from bob.numerics.arrays import Doubles
from bob.outcomes import FeatureDiagnostics, ShiftDistances
from bob.outcomes.descriptions import Descriptions

NLEEP_SATURATED = -0.01
"""N-LEEP above which the mixture's components tell classes apart. Another sample may have one of
two classes, which parts that share a mixture cannot show: there are no limits then."""


def rank_me(outcome: FeatureDiagnostics) -> float:
    """Return RankMe, the exponential of the entropy of the singular values, at least 1."""
    return _value(outcome, "rank_me")


def participation_ratio(outcome: FeatureDiagnostics) -> float:
    """Return the number of directions that share the variance, at least 1."""
    return _value(outcome, "participation_ratio")


def intrinsic_dimension(outcome: FeatureDiagnostics) -> float:
    """Return the TwoNN estimate of the dimension, above 0."""
    return _value(outcome, "intrinsic_dimension")


def alpha_req(outcome: FeatureDiagnostics) -> float:
    """Return the exponent of the decay of the eigenvalues, at least 0."""
    return _value(outcome, "alpha_req")


def log_me(outcome: FeatureDiagnostics) -> float:
    """Return LogME, the log evidence of the labels per row, in nats; unbounded."""
    return _value(outcome, "log_me")


def h_score(outcome: FeatureDiagnostics) -> float:
    """Return the H-score, from 0 to the number of classes minus 1."""
    return _value(outcome, "h_score")


def shrunk_h_score(outcome: FeatureDiagnostics) -> float:
    """Return the H-score with a shrunk covariance, at least 0."""
    return _value(outcome, "shrunk_h_score")


def trans_rate(outcome: FeatureDiagnostics) -> float:
    """Return TransRate, in nats, of features whose mean squared length is 1; at least 0."""
    return _value(outcome, "trans_rate")


def nleep(outcome: FeatureDiagnostics) -> float:
    """Return N-LEEP, the mean log-probability of classes given a Gaussian mixture; at most 0."""
    return _value(outcome, "nleep")


def nearest_is_same(outcome: FeatureDiagnostics) -> float:
    """Return the share of train rows whose nearest other row has the same class, in [0, 1]."""
    return _value(outcome, "nearest_is_same")


def frechet_distance(outcome: ShiftDistances) -> float:
    """Return the Fréchet distance to train features, relative to the variance of these; ≥ 0."""
    return _value(outcome, "frechet_distance")


def prdc_precision(outcome: ShiftDistances) -> float:
    """Return the share of images that are near some train image, in [0, 1]."""
    return _value(outcome, "prdc_precision")


def prdc_recall(outcome: ShiftDistances) -> float:
    """Return the share of train images that are near some image, in [0, 1]."""
    return _value(outcome, "prdc_recall")


def prdc_density(outcome: ShiftDistances) -> float:
    """Return how many train images have an image within reach, relative to k; at least 0."""
    return _value(outcome, "prdc_density")


def prdc_coverage(outcome: ShiftDistances) -> float:
    """Return the share of train images that have an image within their reach, in [0, 1]."""
    return _value(outcome, "prdc_coverage")


def _value(outcome: Descriptions, name: str) -> float:
    value = float(outcome.value[outcome.NAMES.index(name)])
    if math.isnan(value):
        raise UndefinedError(f"{name} is undefined for these features: too few rows or directions")
    return value


def _pseudo_values(name: str) -> Callable[[Descriptions], Doubles]:
    """Return a function to (J,) pseudo-values around the value of all rows."""

    def pseudo_values(outcome: Descriptions) -> Doubles:
        column = outcome.NAMES.index(name)
        without = outcome.without[:, column]
        gaps = without.mean() - without
        if name == "nleep" and outcome.value[column] > NLEEP_SATURATED:
            gaps = np.zeros_like(gaps)
        return np.asarray(outcome.value[column] + (len(without) - 1) * gaps)

    return pseudo_values


def _metric(
    function: Callable[..., float],
    summary: str,
    lowest: float = 0.0,
    highest: float = float("inf"),
    outcome: type[Descriptions] = FeatureDiagnostics,
) -> Metric:
    return Metric(
        function,
        outcome,
        interval="t",
        higher_is_better=True,
        summary=summary,
        lowest=lowest,
        highest=highest,
        per_example=_pseudo_values(function.__name__),
        describes=True,
    )


def _distance(
    function: Callable[..., float], summary: str, highest: float = float("inf")
) -> Metric:
    return _metric(function, summary, highest=highest, outcome=ShiftDistances)


METRICS = (
    _metric(rank_me, "exponential of the entropy of the singular values", 0.0),
    _metric(participation_ratio, "number of directions that share the variance"),
    _metric(intrinsic_dimension, "TwoNN estimate of the dimension"),
    _metric(alpha_req, "exponent of the decay of the eigenvalues", -float("inf")),
    _metric(log_me, "log evidence of the labels per row", -float("inf")),
    _metric(h_score, "variance between classes relative to all variance, over directions"),
    _metric(shrunk_h_score, "H-score with a shrunk covariance"),
    _metric(trans_rate, "coding rate of all rows minus that within classes"),
    _metric(nleep, "log-probability of classes given a Gaussian mixture", -float("inf"), 0.0),
    _metric(nearest_is_same, "train rows whose nearest other row has their class", highest=1.0),
    _distance(frechet_distance, "Fréchet distance to train, relative to the variance of train"),
    _distance(prdc_precision, "images that are near some train image", 1.0),
    _distance(prdc_recall, "train images that are near some image", 1.0),
    _distance(prdc_density, "train images within whose reach an image is, relative to k"),
    _distance(prdc_coverage, "train images within whose reach some image is", 1.0),
)
