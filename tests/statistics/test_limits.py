"""Confidence limits of shares and means: against scipy and statsmodels, and by their equations."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit, xlogy
from scipy.stats import betabinom, binomtest, norm, sem, skew, ttest_1samp
from scipy.stats import t as student_t
from statsmodels.stats.proportion import proportion_confint

from bob.statistics.limits import (
    Z,
    _overdispersion,
    difference,
    mean_of_bounded,
    mean_of_shares,
    mean_of_skewed,
    paired_shares,
    ratio,
    student,
    wilson,
)


def test_z_is_the_normal_quantile() -> None:
    assert norm.ppf(0.975) == pytest.approx(Z, abs=1e-15)


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (13, 40), (1999, 2000), (650, 700)]
)
def test_wilson_agrees_with_scipy(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(np.float64(successes), np.float64(n)) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


@pytest.mark.parametrize("n", [1, 7, 100])
def test_wilson_contains_its_estimate_and_has_width(n: int) -> None:
    for successes in range(n + 1):
        low, high = wilson(np.float64(successes), np.float64(n))
        assert 0 <= low <= successes / n <= high <= 1
        assert low < high


def test_limits_of_a_mean_of_shares_solve_the_score_equation() -> None:
    """Two classes of 10 and 30 with equal shares, solved by scipy instead of by bisection.

    At each limit m', |m - m'| is Z times the standard error at m'.
    """
    successes, n = np.array([7.0, 21.0]), np.array([10.0, 30.0])
    a = 1 / 0.01 - 1  # equal shares: the correlation within classes is at its lower bound
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
    """Shares sampled from Beta(6, 2) have a correlation within classes of 1 / (6 + 2 + 1)."""
    n = np.array([5.0, 20.0, 80.0] * 20)
    successes = betabinom.rvs(n.astype(int), 6, 2, size=(4000, 60), random_state=0).astype(
        np.float64
    )
    assert _overdispersion(successes, n).mean() == pytest.approx(1 / 9, abs=0.005)


@pytest.mark.parametrize("right", [5, 12, 20])
def test_limits_of_a_mean_of_zeros_and_ones_are_nearly_wilsons(right: int) -> None:
    """The unbiased variance divides by n - 1, and t is wider than Z.

    At n = 400 both together move a limit by 1 % of the width.
    """
    values = np.repeat(np.arange(20) < right, 20).astype(np.float64)
    low, high = wilson(20.0 * right, np.float64(400))
    assert mean_of_bounded(values) == pytest.approx((low, high), abs=0.01 * (high - low))


def test_limits_of_a_mean_of_ones_are_wilsons() -> None:
    """20 values: those of 20 out of 20; a single value: those of 1 out of 1."""
    for n in (20, 1):
        assert mean_of_bounded(np.ones(n)) == pytest.approx(wilson(np.float64(n), np.float64(n)))


@pytest.mark.parametrize("n", [2, 5, 40])
def test_limits_of_a_bounded_mean_solve_wilsons_equation_with_students_quantile(n: int) -> None:
    """The mean of as many zeros and ones as give the same variance is t standard errors away."""
    values = np.random.default_rng(n).uniform(0.2, 0.9, n)
    mean = values.mean()
    size = mean * (1 - mean) / (values.var(ddof=1) / n)
    quantile = student_t.ppf(0.975, n - 1)
    expected = [
        brentq(lambda p: (mean - p) ** 2 - quantile**2 * p * (1 - p) / size, *sorted((mean, end)))
        for end in (0.0, 1.0)
    ]
    assert mean_of_bounded(values) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("n", [2, 9])
def test_students_limits_are_those_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert student(values) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", [3, 50, 1000])
@pytest.mark.parametrize("value", [0.1, 0.2, 0.3, 1 / 3, 0.7])
def test_limits_of_a_mean_of_equal_values_are_wilsons(value: float, n: int) -> None:
    """Whose variance is not 0 in float64: every query of constant features has one such value."""
    expected = proportion_confint(value * n, n, method="wilson")
    assert mean_of_bounded(np.full(n, value)) == pytest.approx(expected, abs=1e-9)


def test_halls_limits_invert_the_cubic() -> None:
    """If the true mean is at a limit, the transformed t is Student's quantile."""
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


def test_limits_of_a_difference_and_a_ratio_by_hand() -> None:
    # 0.8 in (0.7, 0.88) minus 0.5 in (0.4, 0.6): 0.3 - hypot(0.1, 0.1), 0.3 + hypot(0.08, 0.1)
    sides = (
        np.float64(0.8),
        (np.float64(0.7), np.float64(0.88)),
        np.float64(0.5),
        (np.float64(0.4), np.float64(0.6)),
    )
    assert difference(*sides) == pytest.approx((0.3 - 0.02**0.5, 0.3 + 0.0164**0.5))
    # low: (0.4 - sqrt(0.16 - 0.88 (1.6 - 0.88) 0.4 (1 - 0.4))) / (0.88 (1.6 - 0.88))
    # high: the same with +, 0.7 for 0.88, and 0.6 for 0.4
    low, high = 0.88 * (1.6 - 0.88), 0.7 * (1.6 - 0.7)
    assert ratio(*sides) == pytest.approx(
        (
            (0.4 - (0.16 - low * 0.4 * 0.6) ** 0.5) / low,
            (0.4 + (0.16 - high * 0.6 * 0.4) ** 0.5) / high,
        )
    )


@pytest.mark.parametrize(
    ("gained", "lost", "n"),
    [(5, 3, 100), (0, 0, 40), (12, 0, 50), (40, 40, 80), (300, 250, 10_000)],
)
def test_limits_of_a_paired_difference_solve_the_score_equation(
    gained: int, lost: int, n: int
) -> None:
    """At each limit the score statistic is Z.

    Here the nuisance share maximises the multinomial likelihood numerically, without its formula.
    """

    def score(gap: float) -> float:
        def negative_log_likelihood(q: float) -> float:
            return -float(
                xlogy(gained, q + gap) + xlogy(lost, q) + xlogy(n - gained - lost, 1 - 2 * q - gap)
            )

        q = minimize_scalar(
            negative_log_likelihood,
            bounds=(max(0.0, -gap), (1 - gap) / 2),
            method="bounded",
            options={"xatol": 1e-12},
        ).x
        return float((gained - lost - n * gap) / np.sqrt(n * (2 * q + gap * (1 - gap))))

    low, high = paired_shares(np.float64(gained), np.float64(lost), n)
    assert -1 < low < (gained - lost) / n < high < 1
    assert (score(float(low)), score(float(high))) == pytest.approx((Z, -Z), abs=2e-3)
