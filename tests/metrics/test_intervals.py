"""Intervals of metrics: against scipy and statsmodels, by hand, and for degenerate outcomes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import foldnorm, ttest_1samp
from statsmodels.stats.proportion import confint_proportions_2indep

from bob.errors import UndefinedError
from bob.metrics import METRICS, classification
from bob.metrics.intervals import CLOSED_FORMS, bootstrap, interval, resampled
from bob.metrics.metric import Metric
from bob.outcomes import (
    ClassPredictions,
    FewShotCurves,
    OodScores,
    PairedPreprocessing,
    ShiftResults,
)
from bob.statistics.limits import paired_shares, wilson
from tests.builders.interval_coverage import shift_results
from tests.builders.outcomes import class_predictions, few_shot_curves

CLASSIFICATION = {metric.name: metric for metric in classification.METRICS}


# ---- every metric


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_every_metric_suits_its_kind_of_interval(metric: Metric) -> None:
    kind = metric.interval
    assert kind == "bootstrap" or kind in CLOSED_FORMS
    assert (metric.shares is not None) == (kind in ("score", "newcombe", "ratio"))
    assert metric.per_example is not None or kind not in ("effective", "hall", "tango", "t")
    assert (metric.leave_one_out is not None) == (kind in ("jackknife", "folded"))
    assert (metric.bias_range is not None) == (kind == "folded")
    assert (metric.accuracies is not None) == (kind in ("lowest", "gap"))
    assert (metric.at_quantile is not None) == (kind == "quantile")
    assert (metric.median_of is not None) == (kind == "median")
    if kind in ("effective", "jackknife", "folded", "lowest", "gap", "quantile"):
        assert (metric.lowest, metric.highest) == (0, 1)


def test_every_bootstrapped_metric_is_bounded() -> None:
    """The bootstrap's standard error goes into Wilson's limits, which are those of a share: of the
    metric's place in its range.
    """
    bootstrapped = {name: one for name, one in METRICS.items() if one.interval == "bootstrap"}
    assert {"f1_max", "label_ap_11_point"} <= set(bootstrapped)
    ranges = {(metric.lowest, metric.highest) for metric in bootstrapped.values()}
    assert ranges == {(0, 1), (-0.5, 1), (-1, 1), (0, 6)}


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("n", [1, 2, 30])
def test_every_interval_contains_its_value(name: str, n: int) -> None:
    value, low, high, kind = interval(name, class_predictions(n, 6, seed=n), seed=0)
    assert kind == METRICS[name].interval
    assert low is None or high is None or 0 <= low <= value <= high <= METRICS[name].highest


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", [name for name in CLASSIFICATION if name != "log_loss"])
def test_bounded_metrics_have_width_when_all_examples_agree(name: str, right: bool) -> None:
    y = np.arange(40) % 8
    predicted = y if right else (y + 1) % 8
    logits = 1e4 * (np.eye(8)[predicted] - np.eye(8)[y] * (not right))
    value, low, high, _ = interval(name, ClassPredictions.from_logits(logits, y), seed=0)
    assert value in (0, 1)
    assert low is not None and high is not None
    assert 0 <= low <= value <= high <= 1
    assert 0.05 < high - low < 0.5  # Wilson on 40: 0.088


# ---- the jackknife


@pytest.mark.parametrize("n", [2, 3, 12, 60])
@pytest.mark.parametrize("name", ["macro_f1", "ece"])
def test_leave_one_out_is_the_metric_on_the_other_examples(name: str, n: int) -> None:
    metric, outcome = METRICS[name], class_predictions(n, 6, seed=n)
    expected = [metric.function(outcome.take(np.delete(np.arange(n), i))) for i in range(n)]
    assert metric.leave_one_out is not None
    assert metric.leave_one_out(outcome) == pytest.approx(expected, abs=1e-12)


def test_the_bias_of_the_calibration_error_is_that_of_a_folded_normal() -> None:
    """One bin, 8 right and 2 wrong at a confidence of 0.7.

    The gap is 0.1 and its standard error sqrt(0.2 · 0.8 / 9); scipy has the mean of a folded
    normal.
    """
    y, predicted = np.zeros(10, np.int64), np.arange(10) // 8
    outcome = ClassPredictions(y, predicted, predicted, 2, None, np.full(10, 0.7))
    error = (0.16 / 9) ** 0.5
    metric = METRICS["ece"]
    assert metric.function(outcome) == pytest.approx(0.1) and metric.bias_range is not None
    least, most = metric.bias_range(outcome)
    assert least == pytest.approx(foldnorm.mean(0.1 / error, scale=error) - 0.1)
    assert most == pytest.approx(foldnorm.mean(0, scale=error))  # 0.1 is 0.75 standard errors


def test_the_interval_of_a_calibrated_probe_contains_its_ece_and_zero() -> None:
    """The plain percentile interval contains neither: resamples only add to absolute gaps."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (rng.random((400, 1)) > probabilities.cumsum(1)).sum(1)
    value, low, high, kind = interval("ece", ClassPredictions.from_logits(logits, y), seed=0)
    assert low == 0 and high is not None and value < high
    assert kind == "folded"


# ---- the bootstrap


def test_bootstrap_of_a_share_is_nearly_wilsons() -> None:
    outcome = class_predictions(2000, 5, seed=2)
    expected = wilson((outcome.rank == 0).sum(), np.float64(2000))
    assert bootstrap(outcome, METRICS["top1"], seed=0) == pytest.approx(
        expected, abs=0.1 * (expected[1] - expected[0])
    )


def test_bootstrap_is_reproducible_by_its_seed() -> None:
    outcome, metric = shift_results(100, (0.8, 0.7), seed=0), METRICS["worst_group"]
    assert bootstrap(outcome, metric, seed=1) == bootstrap(outcome, metric, seed=1)
    assert bootstrap(outcome, metric, seed=1) != bootstrap(outcome, metric, seed=2)


def test_resamples_keep_the_sizes_of_both_sides() -> None:
    """30 images in distribution and 10 out of distribution: their share never changes."""

    def share_inside(outcome: OodScores) -> float:
        return float(outcome.inside.mean())

    outcome = OodScores.from_scores(np.arange(30.0), np.arange(10.0))
    metric = Metric(
        share_inside,
        OodScores,
        interval="bootstrap",
        higher_is_better=True,
        summary="for this test",
        strata=lambda outcome: outcome.inside,
    )
    assert set(resampled(outcome, metric, 0, 50)) == {0.75}
    assert len(set(resampled(outcome, replace(metric, strata=None), 0, 50))) > 5


def test_undefined_resamples_are_excluded() -> None:
    """Of four examples of four classes, 4! / 4^4 = 9 % of resamples have all classes.

    Of eighty examples, nearly all have.
    """

    def every_class(outcome: ClassPredictions) -> float:
        if len(np.unique(outcome.y)) < 4:
            raise UndefinedError("a class is missing")
        return float((outcome.rank == 0).mean())

    metric = Metric(
        every_class,
        ClassPredictions,
        interval="bootstrap",
        higher_is_better=True,
        summary="for this test",
    )
    few = ClassPredictions(np.arange(4), np.zeros(4, np.int64), np.arange(4), 4)
    assert np.isnan(resampled(few, metric, 0, 1000)).mean() == pytest.approx(1 - 24 / 256, abs=0.03)
    assert bootstrap(few, metric, seed=0) is None
    many = class_predictions(80, 4, seed=0)
    low, high = bootstrap(many, metric, seed=0) or (1.0, 0.0)
    assert low < every_class(many) < high


# ---- means, differences and ratios


def test_log_loss_of_one_example_has_no_interval() -> None:
    outcome = ClassPredictions.from_logits(np.array([[0.0, 0.0]]), np.array([0]))
    value, low, high, _ = interval("log_loss", outcome, seed=0)
    assert (value, low, high) == (pytest.approx(np.log(2)), None, None)


def test_the_interval_of_few_shot_accuracy_agrees_with_scipy() -> None:
    outcome = few_shot_curves(10, seed=0)
    value, low, high, kind = interval("few_shot_top1", outcome, seed=0)
    expected = ttest_1samp(outcome.top1[:, 0], 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high)) and kind == "t"
    assert value == pytest.approx(outcome.top1.mean())


def test_one_draw_and_equal_draws_have_no_interval() -> None:
    for outcome in (few_shot_curves(1, seed=0), few_shot_curves(5, seed=0, spread=0)):
        assert interval("few_shot_top1", outcome, seed=0)[1:3] == (None, None)


def test_students_limits_stay_in_range() -> None:
    outcome = FewShotCurves(np.array([[1.0], [1.0], [0.2]]), np.array([1]))
    assert interval("few_shot_top1", outcome, seed=0)[2] == 1


def test_a_drop_may_be_negative() -> None:
    """0.3 in distribution and 0.6 under shift: the drop is -0.3 and the relative drop -1."""
    outcome = ShiftResults.from_test_sets([np.arange(500) < 150, np.arange(500) < 300])
    value, low, high, kind = interval("drop", outcome, seed=0)
    assert (value, kind) == (pytest.approx(-0.3), "newcombe")
    assert low is not None and high is not None and low < value < high < 0
    # statsmodels has the hybrid score limits of a difference of independent shares
    expected = confint_proportions_2indep(150, 500, 300, 500, compare="diff", method="newcomb")
    assert (low, high) == pytest.approx(expected, abs=1e-9)
    value, low, high, kind = interval("relative_drop", outcome, seed=0)
    assert (value, kind) == (pytest.approx(-1.0), "ratio")
    assert low is not None and high is not None and low < value < high < 0


def test_a_gain_has_the_limits_of_a_paired_difference() -> None:
    own, other = np.arange(200) < 100, np.arange(200) % 2 == 0
    value, low, high, kind = interval("top1_gain", PairedPreprocessing(own, other), seed=0)
    assert (value, kind) == (0.0, "tango")
    assert (low, high) == pytest.approx(
        tuple(map(float, paired_shares(np.float64(50), np.float64(50), 200)))
    )
