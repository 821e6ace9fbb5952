"""Metrics of OOD detection against scikit-learn, torchmetrics and by hand; their intervals."""

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from scipy.optimize import brentq
from scipy.stats import beta, kurtosis, norm
from scipy.stats import t as student_t
from sklearn.metrics import f1_score, precision_recall_curve
from statsmodels.stats.proportion import proportion_confint
from torchmetrics.functional.classification import binary_average_precision

from bob.errors import UndefinedError
from bob.metrics.intervals import interval
from bob.metrics.metric import Metric
from bob.metrics.ood_detection import (
    METRICS,
    aupr_in,
    aupr_out,
    auroc,
    f1_all_anomalous,
    f1_max,
    fpr_at_95_tpr,
)
from bob.outcomes import OodScores


def random_scores(seed: int, inside: int, outside: int, levels: int | None = None) -> OodScores:
    """Return overlapping scores, with ties where there are few levels."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.7, 1, inside), rng.normal(0, 1, outside)
    return OodScores.from_scores(
        *(score if levels is None else np.round(score * levels) / levels for score in scores)
    )


def slow_fpr(outcome: OodScores) -> float:
    """Return the lowest share of in-distribution images at or below a threshold that finds 95 % of
    the others, trying every threshold in turn.
    """
    inside, outside = outcome.score[outcome.inside], outcome.score[~outcome.inside]
    return min(
        float((inside <= threshold).mean())
        for threshold in outcome.score
        if (outside <= threshold).mean() >= 0.95
    )


def limits(metric: str, outcome: OodScores) -> tuple[float | None, float | None]:
    _, low, high, _ = interval(metric, outcome, 0)
    return low, high


# --- values


def test_metrics_by_hand() -> None:
    """From the lowest score: out 0.1, in 0.2, out 0.3, out 0.3 with in 0.3, in 0.9."""
    outcome = OodScores.from_scores(np.array([0.2, 0.3, 0.9]), np.array([0.1, 0.3, 0.3]))
    # Pairs (in, out) in the right order, ties half: 0.2 is above 0.1 (1 of 3); 0.3 is above 0.1
    # and ties with two (2 of 3); 0.9 is above all (3 of 3).
    assert auroc(outcome) == pytest.approx(6 / 9)
    # All three of the others are found at 0.3, where two of three in-distribution images are
    # rejected.
    assert fpr_at_95_tpr(outcome) == pytest.approx(2 / 3)
    # Others first: 1 of 1 at 0.1 (recall 1/3), then 3 of 5 at 0.3 (recall 1; 0.2 adds none).
    assert aupr_out(outcome) == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 5)
    # In-distribution first: 1 of 1 at 0.9, 2 of 4 at 0.3, 3 of 5 at 0.2.
    assert aupr_in(outcome) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


def test_one_in_twenty_of_the_others_may_be_missed() -> None:
    """95 % of 20 is 19, so that the last one does not count; of 19, all do."""
    inside = np.arange(10.0)
    outside_20, outside_19 = (np.append(np.full(n, -1.0), 100) for n in (19, 18))
    assert fpr_at_95_tpr(OodScores.from_scores(inside, outside_20)) == 0
    assert fpr_at_95_tpr(OodScores.from_scores(inside, outside_19)) == 1


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize(
    ("inside", "outside"), [(1, 1), (1, 30), (30, 1), (7, 9), (60, 40), (300, 700)]
)
@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_other_implementations(
    seed: int, inside: int, outside: int, levels: int | None
) -> None:
    outcome = random_scores(seed, inside, outside, levels)
    assert auroc(outcome) == pytest.approx(sk.roc_auc_score(~outcome.inside, -outcome.score))
    assert aupr_in(outcome) == pytest.approx(
        sk.average_precision_score(outcome.inside, outcome.score)
    )
    assert aupr_out(outcome) == pytest.approx(
        sk.average_precision_score(~outcome.inside, -outcome.score)
    )
    assert fpr_at_95_tpr(outcome) == pytest.approx(slow_fpr(outcome))
    # torchmetrics takes probabilities
    ranks = np.unique(outcome.score, return_inverse=True)[1] / len(outcome)
    expected = binary_average_precision(
        torch.from_numpy(ranks), torch.from_numpy(outcome.inside).long()
    )
    assert aupr_in(outcome) == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("levels", [None, 2])
def test_order_monotone_maps_and_repetition_change_no_metric(levels: int | None) -> None:
    outcome = random_scores(0, 80, 50, levels)
    order = np.random.default_rng(1).permutation(130)
    mapped = OodScores(np.exp(outcome.score), outcome.inside)
    for metric in METRICS:
        value = metric.function(outcome)
        assert metric.function(outcome.take(order)) == pytest.approx(value)
        assert metric.function(mapped) == pytest.approx(value)
        assert metric.function(outcome.take(np.tile(np.arange(130), 3))) == pytest.approx(value)


def test_perfect_useless_and_reversed_scores() -> None:
    perfect = OodScores.from_scores(np.ones(4), np.zeros(6))
    reversed_ = OodScores.from_scores(np.zeros(4), np.ones(6))
    assert [metric.function(perfect) for metric in METRICS] == pytest.approx([1, 1, 1, 0, 1, 0.75])
    assert auroc(reversed_) == 0 and fpr_at_95_tpr(reversed_) == 1
    useless = OodScores.from_scores(np.zeros(4), np.zeros(6))
    assert [metric.function(useless) for metric in METRICS] == pytest.approx(
        [0.5, 0.4, 0.6, 1, 0.75, 0.75]
    )


@pytest.mark.parametrize(
    ("inside", "outside", "lacking"), [(0, 3, "in"), (3, 0, "out-of"), (0, 0, "in")]
)
def test_metrics_need_images_in_and_out_of_distribution(
    inside: int, outside: int, lacking: str
) -> None:
    outcome = OodScores.from_scores(np.zeros(inside), np.zeros(outside))
    for metric in METRICS:
        with pytest.raises(
            UndefinedError, match=f"there are no {lacking}-distribution test images"
        ):
            metric.function(outcome)


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda metric: metric.name)
def test_leave_one_out_is_the_metric_on_the_other_images(
    metric: Metric, levels: int | None
) -> None:
    outcome = random_scores(2, 12, 9, levels)
    expected = [metric.function(outcome.take(np.delete(np.arange(21), i))) for i in range(21)]
    assert metric.leave_one_out is not None
    assert metric.leave_one_out(outcome) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda metric: metric.name)
def test_a_single_image_in_distribution_leaves_no_interval(metric: Metric) -> None:
    outcome = OodScores.from_scores(np.array([0.5]), np.array([0.1, 0.6, 0.2]))
    assert metric.leave_one_out is not None
    assert np.isnan(metric.leave_one_out(outcome)).tolist() == [True, False, False, False]
    assert limits(metric.name, outcome) == (None, None)


# --- intervals


@pytest.mark.parametrize("levels", [None, 3])
def test_the_limits_of_auroc_are_wilson_s_with_delong_s_variance(levels: int | None) -> None:
    """S10 / m + S01 / n of the shares of pairs that each image wins, by plain loops (DeLong et al.
    1988, equations 4 and 5); kurtosis by scipy.
    """
    outcome = random_scores(1, 24, 19, levels)
    inside, outside = outcome.score[outcome.inside], outcome.score[~outcome.inside]
    pairs = np.array([[(a > b) + 0.5 * (a == b) for b in outside] for a in inside])
    won = pairs.mean(1), pairs.mean(0)
    parts = np.array([side.var(ddof=1) / len(side) for side in won])
    uncertainty = sum(
        part**2 * (kurtosis(side, fisher=False) - 1) / (len(side) - 1)
        for part, side in zip(parts, won, strict=True)
    )
    size = auroc(outcome) * (1 - auroc(outcome)) / parts.sum()
    quantile = student_t.ppf(0.975, 2 * parts.sum() ** 2 / uncertainty)
    expected = proportion_confint(
        auroc(outcome) * size, size, alpha=2 * norm.sf(quantile), method="wilson"
    )
    assert limits("auroc", outcome) == pytest.approx(expected, abs=1e-9)


def test_the_limits_of_a_perfect_auroc_are_of_twice_the_harmonic_mean() -> None:
    """10 and 40 images are worth 4 / (1 / 10 + 1 / 40) = 32; ten thousand images beside 10 others
    are worth 40, not ten thousand.
    """
    for inside, size in ((40, 32), (10_000, 4 / (1 / 10 + 1 / 10_000))):
        outcome = OodScores.from_scores(np.ones(inside), np.zeros(10))
        _, low, high, kind = interval("auroc", outcome, 0)
        expected = proportion_confint(size, size, method="wilson")[0]
        assert low == pytest.approx(expected) and (high, kind) == (1, "jackknife")


def test_the_rate_at_an_estimated_threshold_has_the_limits_of_the_quantile() -> None:
    """With very many in-distribution images only the threshold is uncertain. Its limits are where
    the share of others below it, Beta(k, 201 - k) for the k-th of 200, is below 95 % with a
    probability of 97.5 % and 2.5 %. In-distribution scores are uniform, so that rates are
    thresholds.
    """
    outside = np.random.default_rng(0).uniform(0, 1, 200)
    inside = (np.arange(2_000_000) + 0.5) / 2_000_000
    places = [
        brentq(lambda k, p=p: beta.cdf(0.95, k, 201 - k) - p, 1, 200.99) for p in (0.975, 0.025)
    ]
    expected = np.interp(places, np.arange(202), [0, *np.sort(outside), 1])
    outcome = OodScores.from_scores(inside, outside)
    assert limits("fpr_at_95_tpr", outcome) == pytest.approx(tuple(expected), abs=1e-3)


def test_the_rate_at_a_certain_threshold_has_wilson_s_limits() -> None:
    """All others score 0, as do 30 of 100 in-distribution images: any threshold is 0."""
    outcome = OodScores.from_scores(np.arange(100) >= 30, np.zeros(400))
    expected = proportion_confint(30, 100, method="wilson")
    assert limits("fpr_at_95_tpr", outcome) == pytest.approx(expected, abs=1e-9)


def test_both_sources_of_uncertainty_add_up() -> None:
    """Squared distances from the rate, 4 of 4: in-distribution images score 1 to 4, others 0 to 4,
    of which the 5th is the threshold.

    The lower place k among 5, with Beta(k, 6 - k) below 0.95 with a probability of 97.5 %, cuts off
    c images; c (c - 1) / 4 · 3 is its squared distance.
    """
    outcome = OodScores.from_scores(np.arange(1.0, 5), np.arange(0.0, 5))
    place = brentq(lambda k: beta.cdf(0.95, k, 6 - k) - 0.975, 0.5, 5.5)
    cut = 4 - np.interp(place, np.arange(7), [0, 0, 1, 2, 3, 4, 4])
    low = proportion_confint(4, 4, method="wilson")[0]
    expected = (1 - np.hypot((max(0, cut * (cut - 1)) / 12) ** 0.5, 1 - low), 1)
    assert limits("fpr_at_95_tpr", outcome) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("inside", [0, 1])
def test_intervals_have_a_width_where_all_scores_are_equal_or_separated(inside: int) -> None:
    outcome = OodScores.from_scores(np.full(4, inside), np.zeros(6))
    assert METRICS[0].leave_one_out is not None
    for side in (outcome.inside, ~outcome.inside):
        assert np.ptp(METRICS[0].leave_one_out(outcome)[side]) < 1e-12
    for metric in METRICS:
        low, high = limits(metric.name, outcome)
        assert low is not None and high is not None and low < high


def test_intervals_contain_the_value() -> None:
    for metric in METRICS:
        value, low, high, _ = interval(metric.name, random_scores(0, 60, 40), seed=0)
        assert low is not None and high is not None
        assert 0 <= low <= value <= high <= 1 and high > low


# --- F1


def test_f1_by_hand() -> None:
    """Anomaly scores .1, .4 of normal images and .35, .8 of anomalies: at .35, 2 · 2 / (2 + 3) is
    the best F1; calling all four anomalies has 2 · 2 / (2 + 4).
    """
    outcome = OodScores.from_scores(-np.array([0.1, 0.4]), -np.array([0.35, 0.8]))
    assert f1_max(outcome) == 0.8
    assert f1_all_anomalous(outcome) == pytest.approx(2 / 3)
    assert auroc(outcome) == 0.75
    assert aupr_out(outcome) == pytest.approx(0.8333333333)


@pytest.mark.parametrize("seed", range(20))
def test_f1_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside, outside = rng.integers(6, size=9) + 1.0, rng.integers(6, size=int(rng.integers(1, 9)))
    outcome = OodScores.from_scores(inside, outside)
    precision, recall, _ = precision_recall_curve(~outcome.inside, -outcome.score)
    expected = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    assert f1_max(outcome) == pytest.approx(expected)
    assert f1_all_anomalous(outcome) == pytest.approx(
        f1_score(~outcome.inside, np.ones(len(outcome)))
    )
    assert f1_max(outcome) >= f1_all_anomalous(outcome) - 1e-15


def test_f1_without_skill_is_that_of_calling_all_anomalous() -> None:
    outcome = OodScores.from_scores(np.zeros(3), np.zeros(5))
    assert f1_max(outcome) == pytest.approx(f1_all_anomalous(outcome)) == pytest.approx(10 / 13)
