"""Intervals: against scipy, coverage by simulation, and the degenerate cases."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit, xlogy
from scipy.stats import betabinom, binomtest, foldnorm, kurtosis, norm, sem, skew, ttest_1samp
from scipy.stats import t as student_t
from statsmodels.stats.proportion import confint_proportions_2indep

from bob.engine.scores import scores
from bob.errors import UndefinedError
from bob.metrics import METRICS as ALL
from bob.metrics import classification
from bob.metrics.intervals import CLOSED_FORMS, bootstrap, interval, resampled
from bob.metrics.metric import Metric
from bob.outcomes import ClassPredictions, FewShotCurves, OodScores, ShiftResults
from bob.outcomes.paired_preprocessing import PairedPreprocessing
from bob.protocols.protocol import Part
from bob.statistics.jackknife import jackknife_limits, jackknife_bias
from bob.statistics.limits import (
    Z,
    _overdispersion,
    difference,
    mean_of_bounded,
    mean_of_shares,
    mean_of_skewed,
    paired_shares,
    ratio,
    wilson,
)
from tests.builders import interval_coverage as coverage

METRICS = {metric.name: metric for metric in classification.METRICS}


def classified(n: int, classes: int, seed: int, skill: float = 1.5) -> ClassPredictions:
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return ClassPredictions.from_logits(rng.normal(size=(n, classes)) + skill * np.eye(classes)[y], y)


def test_z_is_the_normal_quantile() -> None:
    assert norm.ppf(0.975) == pytest.approx(Z, abs=1e-15)


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (13, 40), (1999, 2000), (650, 700)]
)
def test_wilson_against_scipy(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(np.float64(successes), np.float64(n)) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


@pytest.mark.parametrize("n", [1, 7, 100])
def test_wilson_holds_its_estimate_and_has_width(n: int) -> None:
    for successes in range(n + 1):
        low, high = wilson(np.float64(successes), np.float64(n))
        assert 0 <= low <= successes / n <= high <= 1
        assert low < high


def test_limits_of_a_mean_of_shares_solve_the_score_equation() -> None:
    """Two alike classes of 10 and 30: at each limit m', |m - m'| is Z times the error at m', found by scipy instead of by halving."""
    successes, n = np.array([7.0, 21.0]), np.array([10.0, 30.0])
    a = 1 / 0.01 - 1  # equal shares: no correlation within classes beyond the least that is assumed
    share = (0.7 * 40 + 0.5) / 41
    start = logit((successes + a * share) / (n + a))

    def score(shift: float, side: int) -> float:
        p = expit(start + shift)
        return float(p.mean() + side * Z * np.sqrt((p * (1 - p) / n).sum()) / 2 - 0.7)

    expected = [expit(start + brentq(score, -9, 9, args=(side,))).mean() for side in (1, -1)]
    assert mean_of_shares(successes, n) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (13, 40), (40, 40), (49_000, 50_000)])
def test_the_mean_of_one_share_has_wilsons_limits(successes: int, n: int) -> None:
    assert mean_of_shares(np.array([float(successes)]), np.array([float(n)])) == pytest.approx(
        wilson(np.float64(successes), np.float64(n)), abs=1e-9
    )


@pytest.mark.parametrize("right", [0.0, 7.0, 10.0])
def test_equal_shares_of_equal_classes_have_wilsons_limits_of_all(right: float) -> None:
    assert mean_of_shares(np.full(5, right), np.full(5, 10.0)) == pytest.approx(
        wilson(5 * right, np.float64(50)), abs=1e-9
    )


def test_overdispersion_recovers_that_of_a_beta_binomial() -> None:
    """Shares drawn from Beta(6, 2) have a correlation within classes of 1 / (6 + 2 + 1)."""
    n = np.array([5.0, 20.0, 80.0] * 20)
    successes = betabinom.rvs(n.astype(int), 6, 2, size=(4000, 60), random_state=0).astype(
        np.float64
    )
    assert _overdispersion(successes, n).mean() == pytest.approx(1 / 9, abs=0.005)


@pytest.mark.parametrize("right", [5, 12, 20])
def test_a_mean_of_rights_and_wrongs_is_nearly_wilsons(right: int) -> None:
    """The unbiased variance divides by n - 1, and t is wider than Z: at n = 400 both together move a limit by 1 % of the width."""
    values = np.repeat(np.arange(20) < right, 20).astype(np.float64)
    low, high = wilson(20.0 * right, np.float64(400))
    assert mean_of_bounded(values) == pytest.approx((low, high), abs=0.01 * (high - low))


def test_halls_limits_invert_the_cubic() -> None:
    """At each limit the transformed t of a true mean lying there is Student's quantile."""
    values = np.random.default_rng(0).exponential(size=60)
    c = skew(values) / np.sqrt(60)
    for limit, quantile in zip(
        mean_of_skewed(values), student_t.ppf((0.975, 0.025), 59), strict=True
    ):
        t = (values.mean() - limit) / sem(values)
        assert t + c * t**2 / 3 + c**2 * t**3 / 27 + c / 6 == pytest.approx(quantile, abs=1e-9)


def test_halls_limits_without_skewness_are_students() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean_of_skewed(values) == pytest.approx(
        tuple(ttest_1samp(values, 0).confidence_interval(0.95))
    )


def test_a_difference_and_a_ratio_by_hand() -> None:
    # 0.8 in (0.7, 0.88) less 0.5 in (0.4, 0.6): 0.3 - hypot(0.1, 0.1), 0.3 + hypot(0.08, 0.1)
    sides = (
        np.float64(0.8),
        (np.float64(0.7), np.float64(0.88)),
        np.float64(0.5),
        (np.float64(0.4), np.float64(0.6)),
    )
    assert difference(*sides) == pytest.approx((0.3 - 0.02**0.5, 0.3 + 0.0164**0.5))
    # low: (0.4 - sqrt(0.16 - 0.88 (1.6 - 0.88) 0.4 (1 - 0.4))) / (0.88 (1.6 - 0.88)); high: with 0.7 and 0.6
    low, high = 0.88 * (1.6 - 0.88), 0.7 * (1.6 - 0.7)
    assert ratio(*sides) == pytest.approx(
        (
            (0.4 - (0.16 - low * 0.4 * 0.6) ** 0.5) / low,
            (0.4 + (0.16 - high * 0.6 * 0.4) ** 0.5) / high,
        )
    )


# ---- coverage, on the grids of interval_coverage.py


def held_to(covered: list[float], mean: tuple[float, float], point: tuple[float, float]) -> None:
    """The mean over the grid, and nine tenths of its points, which also scatter by the number of trials."""
    assert mean[0] <= np.mean(covered) <= mean[1]
    low, high = np.quantile(covered, (0.05, 0.95))
    assert point[0] <= low and high <= point[1]


def test_wilson_covers() -> None:
    """Exact: no trials. Every point with ten expected mistakes or more."""
    exact = coverage.shares_exactly()
    assert all(
        0.94 <= one <= 0.96
        for (n, share), one in exact.items()
        if n * (1 - share) >= coverage.FEW_WRONG
    )
    assert 0.945 <= np.mean(list(exact.values())) <= 0.955


def test_the_mean_over_classes_is_covered() -> None:
    found = list(coverage.class_means(250, sizes=(100, 1_000)))
    held_to(
        [one for _, decisive, one in found if decisive >= coverage.FEW_WRONG],
        (0.945, 0.955),
        (0.92, 0.978),
    )  # 250 trials: error 1.4 points
    held_to([one for _, _, one in found], (0.945, 0.96), (0.915, 0.985))


def test_means_are_covered() -> None:
    """1000 trials: standard error of a point 0.7 points."""
    found = coverage.means_covered(1_000, (100, 400))
    held_to(list(found["effective"].values()), (0.943, 0.957), (0.93, 0.968))
    held_to(list(found["hall"].values()), (0.94, 0.96), (0.925, 0.97))


@pytest.mark.parametrize("kind", ["tango", "newcombe", "ratio"])
def test_differences_and_ratios_are_covered(kind: str) -> None:
    held_to(list(coverage.differences(4_000)[kind].values()), (0.945, 0.955), (0.935, 0.965))


JACKKNIFED = [
    (
        "detection",
        lambda: coverage.detections(
            150, ("auroc", "aupr_in", "aupr_out"), ((300, 150), (100, 1_000))
        ),
    ),
    ("macro_f1", lambda: coverage.f1_scores(150, (300,))),
    ("several labels", lambda: coverage.marks(150, ("label_ap", "roc_auc"), (200,))),
    ("calibration", lambda: coverage.calibration(250)),
]


@pytest.mark.parametrize(("kind", "points"), JACKKNIFED, ids=[kind for kind, _ in JACKKNIFED])
def test_the_jackknife_covers(kind: str, points: Callable[[], Iterator[coverage.Point]]) -> None:
    """150 trials: standard error of a point 1.8 points, of the mean over ten points 0.6."""
    held_to(
        [one for _, decisive, one in points() if decisive >= coverage.FEW_WRONG],
        (0.935, 0.965),
        (0.89, 1.0),
    )


def test_a_rate_at_a_quantile_is_covered() -> None:
    held_to(
        [
            one
            for _, _, one in coverage.detections(
                200, ("fpr_at_95_tpr",), ((300, 150), (100, 1_000))
            )
        ],
        (0.94, 0.975),
        (0.91, 1.0),
    )


def test_bootstrap_covers() -> None:
    found = [
        coverage.of_metric(
            "worst_group",
            coverage.grouped,
            (200, (0.9, 0.7, 0.5)),
            coverage.grouped(200_000, (0.9, 0.7, 0.5), 0),
            400,
            100,
        )
    ]
    held_to(
        [one for _, _, one in found], (0.925, 0.975), (0.925, 0.975)
    )  # 400 trials: standard error 1.1 points


@pytest.mark.parametrize("n", [2, 3, 12, 60])
@pytest.mark.parametrize("name", ["macro_f1", "ece"])
def test_leaving_out_is_the_metric_on_the_others(name: str, n: int) -> None:
    metric, outcome = METRICS[name], classified(n, 6, seed=n)
    expected = [metric.function(outcome.take(np.delete(np.arange(n), i))) for i in range(n)]
    assert metric.leave_one_out is not None and metric.leave_one_out(outcome) == pytest.approx(
        expected, abs=1e-12
    )


def test_the_jackknife_of_a_mean_has_its_variance_and_no_bias() -> None:
    """Without x_i the mean of n is (n m - x_i) / (n - 1). The size is m (1 - m) n / variance; scipy's kurtosis gives the degrees of freedom."""
    values = np.random.default_rng(0).beta(2, 1, 40)
    left_out = (values.sum() - values) / 39
    assert jackknife_bias(values.mean(), left_out) == pytest.approx(0, abs=1e-12)
    size = values.mean() * (1 - values.mean()) * 40 / values.var(ddof=1)
    quantile = student_t.ppf(0.975, 2 * 39 / (kurtosis(values, fisher=False) - 1))
    assert jackknife_limits(values.mean(), left_out, np.zeros(40)) == pytest.approx(
        wilson(values.mean() * size, np.asarray(size), quantile)
    )


def test_the_jackknife_takes_out_the_bias_of_a_square() -> None:
    """The square of a mean is too high by variance / n, which is exactly what leaving out shows (Quenouille 1956)."""
    values = np.random.default_rng(0).random(30)
    left_out = ((values.sum() - values) / 29) ** 2
    assert jackknife_bias(values.mean() ** 2, left_out) == pytest.approx(values.var(ddof=1) / 30)


def test_the_bias_of_the_calibration_error_is_that_of_a_folded_normal() -> None:
    """One bin, 8 right and 2 wrong at a confidence of 0.7: the gap is 0.1, its error sqrt(0.2 · 0.8 / 9); scipy has the mean of a folded normal."""
    outcome = ClassPredictions(
        np.zeros(10, np.int64), np.arange(10) // 8, np.arange(10) // 8, 2, None, np.full(10, 0.7)
    )
    error = (0.16 / 9) ** 0.5
    metric = METRICS["ece"]
    assert metric.function(outcome) == pytest.approx(0.1) and metric.bias is not None
    assert metric.bias(outcome) == pytest.approx(foldnorm.mean(0.1 / error, scale=error) - 0.1)


def test_bootstrap_of_a_share_is_nearly_wilsons() -> None:
    outcome = classified(2000, 5, seed=2)
    expected = wilson((outcome.rank == 0).sum(), np.float64(2000))
    assert bootstrap(outcome, METRICS["top1"], seed=0) == pytest.approx(
        expected, abs=0.1 * (expected[1] - expected[0])
    )


def test_every_bootstrapped_metric_lies_between_0_and_1() -> None:
    """Wilson's limits, which the standard error goes into, are those of a share."""
    kinds = {metric.name: metric for metric in ALL.values() if metric.interval == "bootstrap"}
    assert {"worst_group", "label_ap_11_point"} <= set(kinds)
    assert {(metric.lowest, metric.highest) for metric in kinds.values()} == {(0, 1)}


def test_every_metric_has_what_its_kind_of_interval_reads() -> None:
    for metric in ALL.values():
        assert metric.interval == "bootstrap" or metric.interval in CLOSED_FORMS
        assert (metric.shares is not None) == (metric.interval in ("score", "newcombe", "ratio")), (
            metric.name
        )
        assert metric.per_example is not None or metric.interval not in (
            "effective",
            "hall",
            "tango",
            "t",
        ), metric.name
        assert metric.interval not in ("effective", "jackknife", "quantile") or (
            metric.lowest,
            metric.highest,
        ) == (0, 1)
        assert (metric.leave_one_out is not None) == (metric.interval == "jackknife"), metric.name
        assert (metric.at_quantile is not None) == (metric.interval == "quantile"), metric.name


def test_bootstrap_follows_its_seed() -> None:
    outcome, metric = coverage.grouped(100, (0.8, 0.7), seed=0), ALL["worst_group"]
    assert bootstrap(outcome, metric, seed=1) == bootstrap(outcome, metric, seed=1)
    assert bootstrap(outcome, metric, seed=1) != bootstrap(outcome, metric, seed=2)


def test_the_interval_of_a_calibrated_probe_holds_its_ece() -> None:
    """The plain percentile interval does not: resampling only adds to a sum of absolute gaps."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (rng.random((400, 1)) > chances.cumsum(1)).sum(1)
    value, low, high, kind = interval("ece", ClassPredictions.from_logits(logits, y), seed=0)
    assert low is not None and high is not None
    assert 0 <= low < value < high
    assert kind == "jackknife"


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", [name for name in METRICS if name != "log_loss"])
def test_bounded_metrics_have_width_when_all_examples_agree(name: str, right: bool) -> None:
    y = np.arange(40) % 8
    predicted = y if right else (y + 1) % 8
    value, low, high, _ = interval(
        name,
        ClassPredictions.from_logits(1e4 * (np.eye(8)[predicted] - np.eye(8)[y] * (not right)), y),
        seed=0,
    )
    assert value in (0, 1)
    assert low is not None and high is not None
    assert 0 <= low <= value <= high <= 1
    assert 0.05 < high - low < 0.5  # Wilson on 40: 0.088


def test_log_loss_of_one_example_has_no_interval() -> None:
    value, low, high, _ = interval(
        "log_loss", ClassPredictions.from_logits(np.array([[0.0, 0.0]]), np.array([0])), seed=0
    )
    assert (value, low, high) == (pytest.approx(np.log(2)), None, None)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("n", [1, 2, 30])
def test_every_interval_holds_its_value(name: str, n: int) -> None:
    value, low, high, kind = interval(name, classified(n, 6, seed=n), seed=0)
    assert kind == METRICS[name].interval
    assert low is None or high is None or 0 <= low <= value <= high <= METRICS[name].highest


def test_score() -> None:
    outcome = classified(60, 6, seed=4)
    value, low, high, kind = interval("top1", outcome, seed=0)
    (made,) = scores(
        Part(outcome, "k20", metrics="ranking", facets={"k": 20}), ["top1", "top5"], seed=3
    )
    assert (made.metric, made.facets, made.seed, made.n, made.undefined) == (
        "top1_k20",
        {"k": 20},
        3,
        60,
        None,
    )
    assert (made.value, made.low, made.high, made.interval) == (value, low, high, kind)


def test_an_undefined_score_says_why() -> None:
    (made,) = scores(Part(classified(60, 4, seed=4)), ["top5"], seed=None)
    assert (made.value, made.low, made.high, made.n, made.interval) == (
        None,
        None,
        None,
        60,
        "wilson",
    )
    assert made.undefined == "top5 needs at least 6 classes; there are 4"


def draws(n: int, seed: int, spread: float = 0.05) -> FewShotCurves:
    return FewShotCurves(
        np.clip(0.7 + spread * np.random.default_rng(seed).normal(size=(n, 1)), 0, 1), np.array([5])
    )


def test_student_against_scipy() -> None:
    outcome = draws(10, seed=0)
    value, low, high, kind = interval("few_shot_top1", outcome, seed=0)
    expected = ttest_1samp(outcome.top1[:, 0], 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high)) and kind == "t"
    assert value == pytest.approx(outcome.top1.mean())


def test_student_covers() -> None:
    limits = [interval("few_shot_top1", draws(10, seed), seed=0)[1:3] for seed in range(3000)]
    assert (
        0.94
        <= np.mean(
            [low is not None and high is not None and low <= 0.7 <= high for low, high in limits]
        )
        <= 0.96
    )


def test_student_says_nothing_of_one_draw_or_of_equal_ones() -> None:
    for outcome in (draws(1, seed=0), draws(5, seed=0, spread=0)):
        assert interval("few_shot_top1", outcome, seed=0)[1:3] == (None, None)


def test_student_stays_in_range() -> None:
    high = interval("few_shot_top1", FewShotCurves(np.array([[1.0], [1.0], [0.2]]), np.array([1])), seed=0)[
        2
    ]
    assert high == 1


def test_resamples_keep_the_sizes_of_both_sides() -> None:
    """30 in distribution and 10 not, whatever is drawn: the share of either never moves, as the datasets fix it."""

    def share_inside(outcome: OodScores) -> float:
        return float(outcome.inside.mean())

    outcome = OodScores.from_scores(np.arange(30.0), np.arange(10.0))
    metric = Metric(
        share_inside,
        OodScores,
        "bootstrap",
        1.0,
        True,
        "for this test",
        strata=lambda outcome: outcome.inside,
    )
    assert set(resampled(outcome, metric, 0, 50)) == {0.75}
    assert len(set(resampled(outcome, replace(metric, strata=None), 0, 50))) > 5


def test_auroc_near_1_is_covered() -> None:
    """Scores normal, 3.5 apart: AUROC is Phi(3.5 / sqrt 2) = 0.9933."""
    truth, found = norm.cdf(3.5 / 2**0.5), []
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        _, low, high, _ = interval(
            "auroc", OodScores.from_scores(rng.normal(3.5, 1, 200), rng.normal(0, 1, 100)), seed=0
        )
        found.append(low is not None and high is not None and low <= truth <= high)
    assert 0.93 <= np.mean(found) <= 0.97  # 1000 trials: standard error 0.7 points


def test_resamples_without_a_value_are_left_out() -> None:
    """Of four examples of four classes, 4! / 4^4 = 9 % of resamples hold all; of eighty, nearly all do."""

    def every_class(outcome: ClassPredictions) -> float:
        if len(np.unique(outcome.y)) < 4:
            raise UndefinedError("a class is missing")
        return float((outcome.rank == 0).mean())

    metric = Metric(every_class, ClassPredictions, "bootstrap", 1.0, True, "for this test")
    few = ClassPredictions(np.arange(4), np.zeros(4, np.int64), np.arange(4), 4)
    assert np.isnan(resampled(few, metric, 0, 1000)).mean() == pytest.approx(1 - 24 / 256, abs=0.03)
    assert bootstrap(few, metric, seed=0) is None
    many = classified(80, 4, seed=0)
    low, high = bootstrap(many, metric, seed=0) or (1.0, 0.0)
    assert low < every_class(many) < high


def test_a_drop_may_be_negative() -> None:
    """0.3 against 0.6: far below 0, as are its limits; the ratio of the two is about 2, and the relative drop -1."""
    outcome = ShiftResults.from_test_sets([np.arange(500) < 150, np.arange(500) < 300])
    value, low, high, kind = interval("drop", outcome, seed=0)
    assert (
        (value, kind) == (pytest.approx(-0.3), "newcombe")
        and low is not None
        and high is not None
        and low < value < high < 0
    )
    assert (low, high) == pytest.approx(newcombe(150, 300, 500), abs=1e-9)
    value, low, high, kind = interval("relative_drop", outcome, seed=0)
    assert (
        (value, kind) == (pytest.approx(-1.0), "ratio")
        and low is not None
        and high is not None
        and low < value < high < 0
    )


def newcombe(first: int, second: int, n: int) -> tuple[float, float]:
    """statsmodels' hybrid score limits of a difference of independent shares."""
    low, high = confint_proportions_2indep(first, n, second, n, compare="diff", method="newcomb")
    return float(low), float(high)


@pytest.mark.parametrize(
    ("gained", "lost", "n"),
    [(5, 3, 100), (0, 0, 40), (12, 0, 50), (40, 40, 80), (300, 250, 10_000)],
)
def test_limits_of_a_paired_difference_solve_the_score_equation(
    gained: int, lost: int, n: int
) -> None:
    """At each limit the score statistic is Z; the nuisance share is found by maximising the multinomial likelihood instead of by its formula."""

    def score(gap: float) -> float:
        def unlikely(q: float) -> float:
            return -float(
                xlogy(gained, q + gap) + xlogy(lost, q) + xlogy(n - gained - lost, 1 - 2 * q - gap)
            )

        q = minimize_scalar(
            unlikely,
            bounds=(max(0.0, -gap), (1 - gap) / 2),
            method="bounded",
            options={"xatol": 1e-12},
        ).x
        return float((gained - lost - n * gap) / np.sqrt(n * (2 * q + gap * (1 - gap))))

    low, high = paired_shares(np.float64(gained), np.float64(lost), n)
    assert -1 < low < (gained - lost) / n < high < 1
    assert (score(float(low)), score(float(high))) == pytest.approx((Z, -Z), abs=2e-3)


def test_a_gain_is_a_paired_difference() -> None:
    own, other = np.arange(200) < 100, np.arange(200) % 2 == 0
    value, low, high, kind = interval("top1_gain", PairedPreprocessing(own, other), seed=0)
    assert (value, kind) == (0.0, "tango")
    assert (low, high) == pytest.approx(
        tuple(map(float, paired_shares(np.float64(50), np.float64(50), 200)))
    )


def test_the_average_over_queries_is_between_its_limits() -> None:
    """Of 20 queries, all perfect: Wilson's of 20 out of 20; of a single one, 1 out of 1."""
    for n in (20, 1):
        assert mean_of_bounded(np.ones(n)) == pytest.approx(wilson(np.float64(n), np.float64(n)))
