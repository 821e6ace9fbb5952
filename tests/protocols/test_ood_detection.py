"""OOD detection: metrics against scikit-learn, torchmetrics and by hand; scores against scikit-learn; laws, known answers and degenerate cases."""

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from scipy.optimize import brentq
from scipy.stats import beta, kurtosis, norm
from scipy.stats import t as student_t
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from statsmodels.stats.proportion import proportion_confint
from torchmetrics.functional.classification import binary_average_precision

from bob.errors import UndefinedError
from bob.metrics.detection import METRICS, aupr_in, aupr_out, auroc, fpr_at_95_tpr
from bob.metrics.intervals import interval
from bob.outcomes import Detected
from bob.protocols.detection import SCORES, detection, of_logits
from bob.protocols.protocol import Problem
from bob.specs.settings import OodDetectionSettings

SETTINGS = OodDetectionSettings(log10_c=(-4.0, 4.0, 5), held_out=0.2, tolerance=1e-4, k=5)


def draw(seed, inside, outside, levels=None):
    """Scores that know something, with ties where there are few levels."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.7, 1, inside), rng.normal(0, 1, outside)
    return Detected.of(
        *(score if levels is None else np.round(score * levels) / levels for score in scores)
    )


def fpr_by_hand(outcome):
    """Every threshold in turn: the lowest share of in-distribution images at or below one that finds 95 % of the others."""
    own, other = outcome.score[outcome.inside], outcome.score[~outcome.inside]
    return min(
        (own <= threshold).mean()
        for threshold in outcome.score
        if (other <= threshold).mean() >= 0.95
    )


# --- metrics


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize(
    ("inside", "outside"), [(1, 1), (1, 30), (30, 1), (7, 9), (60, 40), (300, 700)]
)
@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_other_implementations(seed, inside, outside, levels):
    outcome = draw(seed, inside, outside, levels)
    assert auroc(outcome) == pytest.approx(sk.roc_auc_score(~outcome.inside, -outcome.score))
    assert aupr_in(outcome) == pytest.approx(
        sk.average_precision_score(outcome.inside, outcome.score)
    )
    assert aupr_out(outcome) == pytest.approx(
        sk.average_precision_score(~outcome.inside, -outcome.score)
    )
    assert fpr_at_95_tpr(outcome) == pytest.approx(fpr_by_hand(outcome))
    ranks = torch.from_numpy(
        np.unique(outcome.score, return_inverse=True)[1] / len(outcome)
    )  # torchmetrics wants probabilities
    assert aupr_in(outcome) == pytest.approx(
        binary_average_precision(ranks, torch.from_numpy(outcome.inside).long()).item(), abs=1e-6
    )


def test_by_hand():
    # From the lowest score: out 0.1, in 0.2, out 0.3, out 0.3 with in 0.3, in 0.9.
    outcome = Detected.of(np.array([0.2, 0.3, 0.9]), np.array([0.1, 0.3, 0.3]))
    # Pairs (in, out) in the right order, ties half: 0.2 beats 0.1 (1 of 3); 0.3 beats 0.1 and ties with two (2 of 3); 0.9 beats all (3 of 3).
    assert auroc(outcome) == pytest.approx(6 / 9)
    # All three of the others are found at 0.3, where two of three in-distribution images are rejected.
    assert fpr_at_95_tpr(outcome) == pytest.approx(2 / 3)
    # Others first: 1 of 1 at 0.1 (recall 1/3), then 3 of 5 at 0.3 (recall 1; 0.2 adds no recall).
    assert aupr_out(outcome) == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 5)
    # In-distribution first: 1 of 1 at 0.9, 2 of 4 at 0.3, 3 of 5 at 0.2.
    assert aupr_in(outcome) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


def test_one_in_twenty_of_the_others_may_be_missed():
    """95 % of 20 is 19: the last one does not count; of 19, all do."""
    own = np.arange(10.0)
    assert fpr_at_95_tpr(Detected.of(own, np.append(np.full(19, -1.0), 100))) == 0
    assert fpr_at_95_tpr(Detected.of(own, np.append(np.full(18, -1.0), 100))) == 1


@pytest.mark.parametrize("levels", [None, 2])
def test_what_must_not_move_a_metric(levels):
    outcome = draw(0, 80, 50, levels)
    order = np.random.default_rng(1).permutation(130)
    for metric in METRICS:
        value = metric.function(outcome)
        assert metric.function(outcome.take(order)) == pytest.approx(value)
        assert metric.function(Detected(np.exp(outcome.score), outcome.inside)) == pytest.approx(
            value
        )
        assert metric.function(outcome.take(np.tile(np.arange(130), 3))) == pytest.approx(value)


def test_perfect_useless_and_reversed_scores():
    perfect, reversed_ = Detected.of(np.ones(4), np.zeros(6)), Detected.of(np.zeros(4), np.ones(6))
    assert [metric.function(perfect) for metric in METRICS] == [1, 1, 1, 0]
    assert auroc(reversed_) == 0 and fpr_at_95_tpr(reversed_) == 1
    useless = Detected.of(np.zeros(4), np.zeros(6))
    assert [metric.function(useless) for metric in METRICS] == pytest.approx([0.5, 0.4, 0.6, 1])


@pytest.mark.parametrize(
    ("inside", "outside", "lacking"), [(0, 3, "in"), (3, 0, "out-of"), (0, 0, "in")]
)
def test_one_sided_sets_are_undefined(inside, outside, lacking):
    for metric in METRICS:
        with pytest.raises(
            UndefinedError, match=f"there are no {lacking}-distribution test images"
        ):
            metric.function(Detected.of(np.zeros(inside), np.zeros(outside)))


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda metric: metric.name)
def test_leaving_out_is_the_metric_on_the_others(metric, levels):
    outcome = draw(2, 12, 9, levels)
    expected = [metric.function(outcome.take(np.delete(np.arange(21), i))) for i in range(21)]
    assert metric.left_out(outcome) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda metric: metric.name)
def test_without_the_only_image_of_a_side_there_is_no_value_and_no_interval(metric):
    outcome = Detected.of(np.array([0.5]), np.array([0.1, 0.6, 0.2]))
    assert np.isnan(metric.left_out(outcome)).tolist() == [True, False, False, False]
    assert interval(metric.name, outcome, 0)[1:3] == (None, None)


@pytest.mark.parametrize("levels", [None, 3])
def test_the_limits_of_auroc_are_wilsons_with_delongs_variance(levels):
    """S10 / m + S01 / n of the shares of pairs that each image wins, by plain loops (DeLong et al. 1988, equations 4 and 5); kurtosis by scipy."""
    outcome = draw(1, 24, 19, levels)
    own, other = outcome.score[outcome.inside], outcome.score[~outcome.inside]
    pairs = np.array([[(a > b) + 0.5 * (a == b) for b in other] for a in own])
    won = pairs.mean(1), pairs.mean(0)
    parts = np.array([side.var(ddof=1) / len(side) for side in won])
    doubt = sum(
        part**2 * (kurtosis(side, fisher=False) - 1) / (len(side) - 1)
        for part, side in zip(parts, won, strict=True)
    )
    size = auroc(outcome) * (1 - auroc(outcome)) / parts.sum()
    quantile = student_t.ppf(0.975, 2 * parts.sum() ** 2 / doubt)
    expected = proportion_confint(
        auroc(outcome) * size, size, alpha=2 * norm.sf(quantile), method="wilson"
    )
    assert interval("auroc", outcome, 0)[1:3] == pytest.approx(expected, abs=1e-9)


def test_the_limits_of_a_perfect_auroc_are_of_twice_the_harmonic_mean():
    """10 and 40 images are worth 4 / (1 / 10 + 1 / 40) = 32; ten thousand images beside 10 others are worth 40, not ten thousand."""
    for inside, size in ((40, 32), (10_000, 4 / (1 / 10 + 1 / 10_000))):
        _, low, high, kind = interval("auroc", Detected.of(np.ones(inside), np.zeros(10)), 0)
        assert (low, high, kind) == (
            pytest.approx(proportion_confint(size, size, method="wilson")[0]),
            1,
            "jackknife",
        )


def test_the_rate_at_a_known_threshold_has_the_quantiles_limits():
    """With very many in-distribution images only the threshold is unsure: its limits are where the share of others below it, Beta(k, 201 - k) for the
    k-th of 200, is below 95 % with a chance of 97.5 % and 2.5 %. In-distribution scores are uniform, so that rates are thresholds.
    """
    other = np.random.default_rng(0).uniform(0, 1, 200)
    inside = (np.arange(2_000_000) + 0.5) / 2_000_000
    places = [
        brentq(lambda k, chance=chance: beta.cdf(0.95, k, 201 - k) - chance, 1, 200.99)
        for chance in (0.975, 0.025)
    ]
    expected = np.interp(places, np.arange(202), [0, *np.sort(other), 1])
    assert interval("fpr_at_95_tpr", Detected.of(inside, other), 0)[1:3] == pytest.approx(
        tuple(expected), abs=1e-3
    )


def test_the_rate_at_a_sure_threshold_has_wilsons_limits():
    """All others score 0, as do 30 of 100 in-distribution images: wherever the threshold is taken from, it is 0."""
    outcome = Detected.of(np.arange(100) >= 30, np.zeros(400))
    assert interval("fpr_at_95_tpr", outcome, 0)[1:3] == pytest.approx(
        proportion_confint(30, 100, method="wilson"), abs=1e-9
    )


def test_both_kinds_of_doubt_add_up():
    """Squared distances from the rate: 4 in-distribution images scored 1 to 4, others 0 to 4 of which the 5th is the threshold: 4 of 4.

    The lower place k among 5, with Beta(k, 6 - k) below 0.95 by 97.5 %, cuts off c images; c (c - 1) / 4 · 3 is its squared distance.
    """
    outcome = Detected.of(np.arange(1.0, 5), np.arange(0.0, 5))
    place = brentq(lambda k: beta.cdf(0.95, k, 6 - k) - 0.975, 0.5, 5.5)
    cut = 4 - np.interp(place, np.arange(7), [0, 0, 1, 2, 3, 4, 4])
    low = proportion_confint(4, 4, method="wilson")[0]
    assert interval("fpr_at_95_tpr", outcome, 0)[1:3] == pytest.approx(
        (1 - np.hypot((max(0, cut * (cut - 1)) / 12) ** 0.5, 1 - low), 1), abs=1e-9
    )


def test_nothing_varies_where_all_scores_are_equal_or_apart():
    for outcome in (Detected.of(np.zeros(4), np.zeros(6)), Detected.of(np.ones(4), np.zeros(6))):
        assert all(
            np.ptp(metric.left_out(outcome)[side]) < 1e-12
            for metric in METRICS[:1]
            for side in (outcome.inside, ~outcome.inside)
        )
        assert all(
            low < high
            for _, low, high, _ in (interval(metric.name, outcome, 0) for metric in METRICS)
        )


def test_intervals_hold_the_value():
    for metric in METRICS:
        value, low, high, _ = interval(metric.name, draw(0, 60, 40), seed=0)
        assert 0 <= low <= value <= high <= 1 and high > low


def test_outcomes_are_checked_and_stored_bit_for_bit():
    outcome = draw(0, 5, 6)
    again = Detected.from_arrays(outcome.to_arrays())
    assert (
        (again.score == outcome.score).all()
        and (again.inside == outcome.inside).all()
        and len(again) == 11
    )
    with pytest.raises(
        ValueError, match=r"score and inside must both have shape \(N,\); got \(2,\) and \(3,\)"
    ):
        Detected(np.zeros(2), np.zeros(3, bool))
    with pytest.raises(ValueError, match="scores must hold no NaN"):
        Detected(np.array([np.nan]), np.array([True]))


# --- scores


def made(seed=0, n=200, width=12, classes=3, queries=60):
    rng = np.random.default_rng(seed)
    means = 0.7 * rng.standard_normal(
        (classes, width)
    )  # classes overlap, so that the probe's best strength lies inside its grid
    mix = rng.standard_normal((width, width))

    def rows(labels):
        return ((means[labels] + rng.standard_normal((len(labels), width))) @ mix + 5).astype(
            np.float32
        )

    y, test_y = rng.integers(classes, size=n), rng.integers(classes, size=queries)
    return Problem(rows(y), y, np.arange(n) % 5 == 0, rows(test_y), test_y, classes), (
        rng.standard_normal((queries, width)) @ mix
    ).astype(np.float32)


def found_in(problem, other, settings=SETTINGS):
    """Score name → outcome, and the record's detail."""
    result = detection(problem, {"other": other}, {"other": "near"}, settings, "cpu")
    return {part.facets["score"]: part.outcome for part in result.parts[1:]}, result


def test_scores_are_those_of_scikit_learn():
    problem, other = made()
    found, _ = found_in(problem, other)
    x, queries = (
        problem.x.astype(np.float64),
        np.concatenate([problem.test_x, other]).astype(np.float64),
    )
    distance, _ = NearestNeighbors(n_neighbors=5).fit(normalize(x)).kneighbors(normalize(queries))
    assert found["knn"].score == pytest.approx(-distance[:, -1], abs=1e-5)
    means = np.stack([x[problem.y == c].mean(0) for c in range(3)])
    within = EmpiricalCovariance(assume_centered=True).fit(x - means[problem.y])
    own = -np.stack([within.mahalanobis(queries - mean) for mean in means]).min(0)
    background = -EmpiricalCovariance().fit(x).mahalanobis(queries)
    assert found["mahalanobis"].score == pytest.approx(own, rel=1e-5)
    assert found["relative_mahalanobis"].score == pytest.approx(
        own - background, rel=1e-4, abs=1e-4
    )


def test_scores_of_logits_by_hand():
    # Two classes with logits log 3 and 0: probabilities 3/4 and 1/4, sum of exponentials 4.
    found = of_logits(np.log([[3.0, 1.0]]))
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(
        {"msp": np.log(3 / 4), "max_logit": np.log(3), "energy": np.log(4)}
    )
    assert of_logits(np.array([[2000.0, 0.0], [1000.0, 0.0]]))["energy"].tolist() == [2000, 1000]


def test_known_answers():
    problem, _ = made()
    found, _ = found_in(problem, (-1000 - problem.test_x).astype(np.float32))
    assert auroc(found["mahalanobis"]) == auroc(found["knn"]) == 1
    same, _ = found_in(problem, problem.test_x)
    assert all(auroc(outcome) == 0.5 for outcome in same.values())


def test_rotations_of_features_change_nothing():
    problem, other = made()
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((12, 12)))[0]
    rotated = Problem(
        (problem.x @ turn).astype(np.float32),
        problem.y,
        problem.held_out,
        (problem.test_x @ turn).astype(np.float32),
        problem.test_y,
        3,
    )
    here, there = (
        found_in(problem, other)[0],
        found_in(rotated, (other @ turn).astype(np.float32))[0],
    )
    for name in SCORES:
        assert auroc(there[name]) == pytest.approx(auroc(here[name]), abs=2e-3)


def test_more_features_than_rows_and_constant_features():
    problem, other = made(n=30, width=50)
    x, test_x, other = (
        np.concatenate([rows, np.full((len(rows), 1), 7, np.float32)], 1)
        for rows in (problem.x, problem.test_x, other)
    )
    found, result = found_in(
        Problem(x, problem.y, problem.held_out, test_x, problem.test_y, 3),
        other,
        SETTINGS.model_copy(update={"k": 100}),
    )
    assert all(np.isfinite(outcome.score).all() for outcome in found.values())
    assert result.detail["k"] == 30


def test_with_fewer_rows_than_features_both_mahalanobis_distances_are_taken_in_one_space():
    """The covariance within classes is never above that of all, so that rows far out are ever less like train. In two spaces they would be more."""
    problem, _ = made(n=30, width=50)
    mean = problem.x.mean(0)
    far = (mean + 1000 * (problem.x[np.arange(60) % 30] - mean)).astype(np.float32)
    assert auroc(found_in(problem, far)[0]["relative_mahalanobis"]) > 0.95


def test_nothing_is_tuned_on_test_or_foreign_images():
    problem, other = made()
    changed = Problem(
        problem.x, problem.y, problem.held_out, problem.test_x * 0 + 1, (problem.test_y + 1) % 3, 3
    )
    assert found_in(problem, other)[1].detail == found_in(changed, other * 0 - 1)[1].detail


def test_the_first_near_set_is_the_headline():
    problem, other = made()
    result = detection(
        problem,
        {"far away": other + 9, "close": other},
        {"far away": "far", "close": "near"},
        SETTINGS,
        "cpu",
    )
    assert (
        result.parts[0].facets == {"set": "close", "kind": "near", "score": "knn"}
        and result.parts[0].suffix == ""
    )
    assert {part.suffix for part in result.parts[1:]} == {
        f"{name}_{score}" for name in ("far away", "close") for score in SCORES
    }
    assert len(result.parts[0].outcome) == 120
