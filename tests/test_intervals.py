"""Intervals: against scipy, coverage by simulation, and the degenerate cases."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp

from bob.errors import UndefinedError
from bob.intervals import Z, bootstrap, effective_wilson, interval, mean_of_shares, mover, resampled, wilson
from bob.metrics import classification
from bob.metrics.metric import Metric
from bob.outcomes import Classified, Draws
from bob.protocols.protocol import Part
from bob.scoring import scores

METRICS = {metric.name: metric for metric in classification.METRICS}


def classified(n: int, classes: int, seed: int, skill: float = 1.5) -> Classified:
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return Classified.from_logits(rng.normal(size=(n, classes)) + skill * np.eye(classes)[y], y)


def test_z_is_the_normal_quantile() -> None:
    assert norm.ppf(0.975) == pytest.approx(Z, abs=1e-15)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (13, 40), (1999, 2000), (650, 700)])
def test_wilson_against_scipy(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("n", [1, 7, 100])
def test_wilson_holds_its_estimate_and_has_width(n: int) -> None:
    for successes in range(n + 1):
        low, high = wilson(successes, n)
        assert 0 <= low <= successes / n <= high <= 1
        assert low < high


@pytest.mark.parametrize(("share", "n"), [(0.5, 200), (0.8, 200), (0.9, 500), (0.35, 1000)])
def test_wilson_covers(share: float, n: int) -> None:
    draws = np.random.default_rng(11).binomial(n, share, 20_000)
    limits = {int(k): wilson(int(k), n) for k in np.unique(draws)}
    covered = np.mean([limits[int(k)][0] <= share <= limits[int(k)][1] for k in draws])
    assert 0.94 <= covered <= 0.965


def test_mover_by_hand() -> None:
    successes, n = np.array([8.0, 3.0]), np.array([10.0, 6.0])
    (l1, u1), (l2, u2) = wilson(8, 10), wilson(3, 6)
    mean = (0.8 + 0.5) / 2
    low = mean - np.sqrt((0.5 * (0.8 - l1)) ** 2 + (0.5 * (0.5 - l2)) ** 2)
    high = mean + np.sqrt((0.5 * (u1 - 0.8)) ** 2 + (0.5 * (u2 - 0.5)) ** 2)
    assert mover(successes, n) == pytest.approx((low, high), abs=1e-12)


def test_mover_of_one_class_is_wilson() -> None:
    assert mover(np.array([13.0]), np.array([40.0])) == pytest.approx(wilson(13, 40), abs=1e-12)


COVERAGE = {
    "three classes": ([0.5, 0.7, 0.9], [40, 60, 80]),
    "nine alike": ([0.8] * 9, [70] * 9),
    "one small class": ([0.98, 0.9], [400, 20]),
    "many small classes": ([0.9] * 40, [20] * 40),
    "three images per class": ([0.6] * 100, [3] * 100),
    "one image per class": ([0.8] * 50, [1] * 50),
    "nearly perfect": ([0.99] * 9, [70] * 9),
}


def simulated(shares: list[float], sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """2000 draws of successes (2000, K), and n (K,)."""
    return np.random.default_rng(5).binomial(sizes, shares, (2000, len(sizes))).astype(np.float64), np.array(sizes, np.float64)


@pytest.mark.parametrize("case", COVERAGE)
def test_mean_of_shares_covers(case: str) -> None:
    shares, sizes = COVERAGE[case]
    draws, n = simulated(shares, sizes)
    limits = np.array([mean_of_shares(row, n) for row in draws])
    covered = np.mean((limits[:, 0] <= np.mean(shares)) & (np.mean(shares) <= limits[:, 1]))
    assert 0.94 <= covered <= 0.985  # 2000 trials: standard error 0.5 points


def test_why_neither_method_serves_alone() -> None:
    for method, case in ((mover, "one image per class"), (effective_wilson, "one small class")):
        shares, sizes = COVERAGE[case]
        draws, n = simulated(shares, sizes)
        limits = np.array([method(row, n) for row in draws])
        assert np.mean((limits[:, 0] <= np.mean(shares)) & (np.mean(shares) <= limits[:, 1])) < 0.88


def test_effective_wilson_of_equal_classes_is_wilson_of_all() -> None:
    # shares 1/2, 1/2 of 10 each: variance 2 * (1/4)/9 / 4 = 1/72, that of 1/4 / 18: size 18
    assert effective_wilson(np.array([5.0, 5.0]), np.array([10.0, 10.0])) == pytest.approx(wilson(9, 18), abs=1e-12)
    # all right: 2² / (1/10 + 1/10) = 20
    assert effective_wilson(np.array([10.0, 10.0]), np.array([10.0, 10.0])) == pytest.approx(wilson(20, 20), abs=1e-12)


@pytest.mark.parametrize("name", ["macro_f1", "log_loss"])
def test_bootstrap_covers(name: str) -> None:
    metric = METRICS[name]
    truth = metric.function(classified(200_000, 4, seed=0))
    limits = [bootstrap(classified(300, 4, seed), metric, seed, draws=200) for seed in range(1, 401)]
    covered = np.mean([limit is not None and limit[0] <= truth <= limit[1] for limit in limits])
    assert 0.92 <= covered <= 0.975  # 400 trials: standard error 1.1 points


def test_bootstrap_of_a_mean_against_the_normal_approximation() -> None:
    outcome = classified(2000, 5, seed=2)
    assert outcome.log_prob is not None
    low, high = bootstrap(outcome, METRICS["log_loss"], seed=0) or (0.0, 0.0)
    reach = Z * outcome.log_prob.std() / np.sqrt(2000)
    centre = -outcome.log_prob.mean()
    assert (low, high) == pytest.approx((centre - reach, centre + reach), abs=0.1 * reach)


def test_bootstrap_follows_its_seed() -> None:
    outcome, metric = classified(100, 3, seed=0), METRICS["macro_f1"]
    assert bootstrap(outcome, metric, seed=1) == bootstrap(outcome, metric, seed=1)
    assert bootstrap(outcome, metric, seed=1) != bootstrap(outcome, metric, seed=2)


def test_the_interval_of_a_calibrated_probe_holds_its_ece() -> None:
    """The plain percentile interval does not: resampling only adds to a sum of absolute gaps."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (rng.random((400, 1)) > chances.cumsum(1)).sum(1)
    value, low, high, kind = interval("ece", Classified.from_logits(logits, y), seed=0)
    assert low is not None and high is not None
    assert 0 <= low < value < high
    assert kind == "bootstrap"


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", [name for name in METRICS if name != "log_loss"])
def test_bounded_metrics_have_width_when_all_examples_agree(name: str, right: bool) -> None:
    y = np.arange(40) % 8
    predicted = y if right else (y + 1) % 8
    value, low, high, _ = interval(name, Classified.from_logits(1e4 * (np.eye(8)[predicted] - np.eye(8)[y] * (not right)), y), seed=0)
    assert value in (0, 1)
    assert low is not None and high is not None
    assert 0 <= low <= value <= high <= 1
    assert 0.05 < high - low < 0.5  # Wilson on 40: 0.088


def test_log_loss_of_one_example_has_no_interval() -> None:
    value, low, high, _ = interval("log_loss", Classified.from_logits(np.array([[0.0, 0.0]]), np.array([0])), seed=0)
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
    (made,) = scores(Part(outcome, "k20", metrics="ranking", facets={"k": 20}), ["top1", "top5"], seed=3)
    assert (made.metric, made.facets, made.seed, made.n, made.undefined) == ("top1_k20", {"k": 20}, 3, 60, None)
    assert (made.value, made.low, made.high, made.interval) == (value, low, high, kind)


def test_an_undefined_score_says_why() -> None:
    (made,) = scores(Part(classified(60, 4, seed=4)), ["top5"], seed=None)
    assert (made.value, made.low, made.high, made.n, made.interval) == (None, None, None, 60, "wilson")
    assert made.undefined == "top5 needs at least 6 classes; there are 4"


def draws(n: int, seed: int, spread: float = 0.05) -> Draws:
    return Draws(np.clip(0.7 + spread * np.random.default_rng(seed).normal(size=(n, 1)), 0, 1), np.array([5]))


def test_student_against_scipy() -> None:
    outcome = draws(10, seed=0)
    value, low, high, kind = interval("few_shot_top1", outcome, seed=0)
    expected = ttest_1samp(outcome.top1[:, 0], 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high)) and kind == "t"
    assert value == pytest.approx(outcome.top1.mean())


def test_student_covers() -> None:
    limits = [interval("few_shot_top1", draws(10, seed), seed=0)[1:3] for seed in range(3000)]
    assert 0.94 <= np.mean([low is not None and high is not None and low <= 0.7 <= high for low, high in limits]) <= 0.96


def test_student_says_nothing_of_one_draw_or_of_equal_ones() -> None:
    for outcome in (draws(1, seed=0), draws(5, seed=0, spread=0)):
        assert interval("few_shot_top1", outcome, seed=0)[1:3] == (None, None)


def test_student_stays_in_range() -> None:
    high = interval("few_shot_top1", Draws(np.array([[1.0], [1.0], [0.2]]), np.array([1])), seed=0)[2]
    assert high == 1


def test_resamples_without_a_value_are_left_out() -> None:
    """Of four examples of four classes, 4! / 4^4 = 9 % of resamples hold all; of eighty, nearly all do."""

    def every_class(outcome: Classified) -> float:
        if len(np.unique(outcome.y)) < 4:
            raise UndefinedError("a class is missing")
        return float((outcome.rank == 0).mean())

    metric = Metric(every_class, Classified, "bootstrap", 1.0, True, "for this test")
    few = Classified(np.arange(4), np.zeros(4, np.int64), np.arange(4), 4)
    assert np.isnan(resampled(few, metric, 0, 1000)).mean() == pytest.approx(1 - 24 / 256, abs=0.03)
    assert bootstrap(few, metric, seed=0) is None
    many = classified(80, 4, seed=0)
    low, high = bootstrap(many, metric, seed=0) or (1.0, 0.0)
    assert low < every_class(many) < high


def test_a_drop_may_be_negative() -> None:
    def drop(outcome: Classified) -> float:
        return float((outcome.rank == 0).mean()) - 0.9

    metric = Metric(drop, Classified, "bootstrap", 1.0, True, "for this test", lowest=-1.0)
    low, high = bootstrap(classified(60, 4, seed=0, skill=0.2), metric, seed=0) or (0.0, 0.0)
    assert low < high < 0
