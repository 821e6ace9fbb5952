"""Calibration and selective prediction: by hand, against torchmetrics and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from bob.errors import UndefinedError
from bob.metrics.binned import binned_error, equal_mass_bins, equal_width_bins
from bob.metrics.calibration import (
    METRICS,
    aurc,
    brier,
    classwise_ece,
    equal_mass_ece,
    risk_at_coverage,
)
from bob.metrics.classification import ece
from bob.metrics.intervals import interval
from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import ClassPredictions, ClassProbabilities, SelectivePredictions
from tests.builders import interval_coverage as grids


def logits_of(n: int = 200, classes: int = 4, seed: int = 0) -> tuple[Doubles, Ints]:
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return 2 * (rng.normal(size=(n, classes)) + np.eye(classes)[y]), y


def ranked(right: list[int], confidence: list[float]) -> ClassPredictions:
    """Return predictions with this correctness and confidence."""
    rank = 1 - np.array(right)
    zeros = np.zeros(len(right), np.int64)
    return ClassPredictions(zeros, rank, rank, 2, confidence=np.array(confidence))


def slow_aurc(outcome: ClassPredictions) -> float:
    """Return the mean over k of the error of the k most confident, ties shared evenly."""
    assert outcome.confidence is not None
    wrong, confidence = outcome.rank > 0, outcome.confidence
    risks = []
    for k in range(1, len(wrong) + 1):
        errors = 0.0
        for level in np.unique(confidence):
            above, here = (confidence > level).sum(), confidence == level
            errors += wrong[here].mean() * np.clip(k - above, 0, here.sum())
        risks.append(errors / k)
    return float(np.mean(risks))


# --- calibration


def test_calibration_by_hand() -> None:
    """Two classes. Image 0 (true 0) has .8, .2: Brier .04 + .04; image 1 (true 0) has .4, .6:
    .36 + .36; the mean is .4. Class 0: gaps 1 − .8 and 1 − .4 in other bins: (.2 + .6) / 2; class
    1: .2 and .6 likewise.
    """
    outcome = ClassProbabilities(np.array([0, 0]), np.array([[0.8, 0.2], [0.4, 0.6]]))
    assert brier(outcome) == pytest.approx(0.4)
    assert classwise_ece(outcome) == pytest.approx(0.4)


def test_equal_mass_bins_by_hand() -> None:
    """Thirty values make 15 bins of two; equal values share the bin of their middle place."""
    values = np.arange(30) / 30
    assert equal_mass_bins(values).tolist() == [i // 2 for i in range(30)]
    assert set(equal_mass_bins(np.full(30, 0.5)).tolist()) == {7}
    shuffled = np.random.default_rng(0).permutation(30)
    assert equal_mass_bins(values[shuffled]).tolist() == (shuffled // 2).tolist()


def test_brier_is_the_sum_of_scikit_learn_s_over_classes() -> None:
    logits, y = logits_of()
    outcome = ClassProbabilities.from_logits(logits, y)
    expected = sum(brier_score_loss(y == c, outcome.probabilities[:, c]) for c in range(4))
    assert brier(outcome) == pytest.approx(expected)


def test_classwise_ece_is_the_mean_of_binary_errors() -> None:
    """torchmetrics' multiclass error of two classes whose first is always predicted."""
    logits, y = logits_of()
    outcome = ClassProbabilities.from_logits(logits, y)
    errors = []
    for c in range(4):
        p = outcome.probabilities[:, c]
        in_bins = np.clip(np.ceil(p * 15).astype(int) - 1, 0, 14)
        errors.append(
            sum(
                abs((y == c)[in_bins == b].mean() - p[in_bins == b].mean()) * (in_bins == b).mean()
                for b in np.unique(in_bins)
            )
        )
    assert classwise_ece(outcome) == pytest.approx(np.mean(errors))


def test_ece_is_still_that_of_torchmetrics() -> None:
    logits, y = logits_of()
    reference = multiclass_calibration_error(
        torch.from_numpy(logits).softmax(1), torch.from_numpy(y), 4, n_bins=15
    )
    assert ece(ClassPredictions.from_logits(logits, y)) == pytest.approx(float(reference), abs=1e-6)


def test_a_constant_prior_is_calibrated() -> None:
    y = np.repeat([0, 1, 2], [5, 3, 2])
    prior = np.tile([0.5, 0.3, 0.2], (10, 1))
    assert classwise_ece(ClassProbabilities(y, prior)) == pytest.approx(0, abs=1e-12)
    assert equal_mass_ece(ClassPredictions.from_logits(np.log(prior), y)) == pytest.approx(0)


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(100_000, 3))
    p = ClassProbabilities.from_logits(logits, np.zeros(100_000)).probabilities
    y = (rng.random((100_000, 1)) > np.cumsum(p, 1)).sum(1)
    assert equal_mass_ece(ClassPredictions.from_logits(logits, y)) < 0.01
    assert classwise_ece(ClassProbabilities(y, p)) < 0.01


def test_an_image_at_0_is_in_the_first_bin() -> None:
    assert equal_width_bins(np.array([0, 1 / 15, 0.07, 1])).tolist() == [0, 0, 1, 14]
    assert binned_error(np.array([0.5, -0.5]), np.array([3, 3])) == 0


# --- selective prediction


def test_the_area_by_hand() -> None:
    """Errors by confidence 0, 1, 0, 1: risks 0, 1/2, 1/3, 1/2. All confidences equal: 1/2 each."""
    outcome = ranked([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    assert aurc(outcome) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert aurc(ranked([0, 1, 0, 1], [0.5] * 4)) == pytest.approx(1 / 2)


@pytest.mark.parametrize("seed", range(6))
def test_the_area_and_its_leave_one_out_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outcome = ranked(rng.integers(2, size=14).tolist(), (rng.integers(5, size=14) / 5).tolist())
    assert aurc(outcome) == pytest.approx(slow_aurc(outcome))
    (metric,) = (metric for metric in METRICS if metric.function is aurc)
    assert metric.leave_one_out is not None
    others = [aurc(outcome.take(np.delete(np.arange(14), i))) for i in range(14)]
    assert metric.leave_one_out(outcome) == pytest.approx(others)


def test_risk_at_coverage_by_hand() -> None:
    """Of five images, 60 % are three: errors 0, 1, then half of one of two tied images."""
    right = np.array([True, False, False, True, True])
    confidence = np.array([0.9, 0.8, 0.5, 0.5, 0.1])

    def risk(coverage: float) -> float:
        return risk_at_coverage(SelectivePredictions(right, confidence, coverage))

    assert risk(0.6) == pytest.approx(1.5 / 3)
    assert risk(0.2) == 0 and risk(0.4) == 0.5
    assert risk(1) == pytest.approx(2 / 5)


def test_the_curve_ends_at_the_error() -> None:
    outcome = ClassPredictions.from_logits(*logits_of())
    assert outcome.confidence is not None
    full = SelectivePredictions(outcome.rank == 0, outcome.confidence, 1.0)
    assert risk_at_coverage(full) == pytest.approx((outcome.rank > 0).mean())


# --- all


def outcome_for(metric):
    logits, y = logits_of(60)
    predictions = ClassPredictions.from_logits(logits, y)
    if metric.outcome is ClassPredictions:
        return predictions
    if metric.outcome is ClassProbabilities:
        return ClassProbabilities.from_logits(logits, y)
    return SelectivePredictions(predictions.rank == 0, predictions.confidence, 0.8)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_have_intervals_and_ignore_order(metric) -> None:
    outcome = outcome_for(metric)
    value, low, high, _ = interval(metric.name, outcome, 0)
    assert low is not None and high is not None and 0 <= low <= value <= high and low < high
    order = np.random.default_rng(3).permutation(len(outcome))
    assert metric.function(outcome.take(order)) == pytest.approx(value)
    assert type(outcome).from_arrays(outcome.to_arrays()).to_arrays().keys() == (
        outcome.to_arrays().keys()
    )
    with pytest.raises(UndefinedError, match="no test examples"):
        metric.function(outcome.take(np.array([], np.int64)))


def test_metrics_need_probabilities() -> None:
    votes = ClassPredictions.from_votes(np.eye(3), np.arange(3))
    for metric in (aurc, equal_mass_ece):
        with pytest.raises(UndefinedError, match="gives no probabilities"):
            metric(votes)


def test_outcomes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"y must have shape \(N,\)"):
        ClassProbabilities(np.zeros(2, np.int64), np.ones((3, 1)))
    with pytest.raises(ValueError, match="right and confidence"):
        SelectivePredictions(np.ones(2, bool), np.ones(3), 0.5)
    with pytest.raises(ValueError, match="coverage must lie in"):
        SelectivePredictions(np.ones(2, bool), np.ones(2), 0)


def test_intervals_of_the_area_cover() -> None:
    """200 trials: standard error of a point 1.5 percentage points."""
    points = []
    for skill in (0.5, 1.0, 2.0):
        make = grids.class_predictions
        large = make(200_000, 5, 0.0, skill, 1.0, 0)
        points.append(grids.metric_point("aurc", make, (300, 5, 0.0, skill, 1.0), large, 200))
    assert all(point.coverage > 0.88 for point in points)
    assert np.mean([point.coverage for point in points]) > 0.92
