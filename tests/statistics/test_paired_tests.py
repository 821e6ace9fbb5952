"""Paired tests and intervals of differences: against scipy and statsmodels, and their laws."""

import itertools
from typing import get_args

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from bob.metrics import METRICS
from bob.outcomes import ClassPredictions
from bob.statistics.paired_tests import (
    EXACT,
    FLIPS,
    MANY,
    PairedTest,
    choose_test,
    compare_paired,
    mcnemar,
    normal_flips,
    p_values,
    pairwise_limits,
    sign_flips,
    t_tests,
)
from bob.statistics.ties import tie_groups

TESTS: tuple[PairedTest, ...] = ("mcnemar", "sign_flip", "t")


def right(n: int, *shares: float, seed: int = 0) -> np.ndarray:
    """Return (R, N) zeros and ones: each backbone is right on its share of the examples.

    Examples are equally easy for all backbones, apart from noise.
    """
    ease = np.random.default_rng(seed).random(n)
    noise = np.random.default_rng(seed + 1).random((len(shares), n))
    return (0.7 * ease + 0.3 * noise < np.array(shares)[:, None]).astype(np.float64)


# ---- McNemar


@pytest.mark.parametrize("seed", range(4))
def test_mcnemar_agrees_with_scipy_and_statsmodels(seed: int) -> None:
    a, b = right(300, 0.7, 0.75, seed=10 * seed)
    only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    both, neither = int(((a == 1) & (b == 1)).sum()), int(((a == 0) & (b == 0)).sum())
    p = mcnemar(np.stack([a, b]))[0, 1]
    assert p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert p == pytest.approx(
        statsmodels_mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
    )


def test_mcnemar_by_hand() -> None:
    # only the first is right on 4 examples, only the second on 1: 2 (C(5,0) + C(5,1)) / 32 = 0.375
    values = np.array([[1, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1, 0.0]])
    assert mcnemar(values)[0, 1] == pytest.approx(0.375)


@pytest.mark.parametrize("test", TESTS)
def test_all_pairs_at_once_equal_each_pair_alone(test: PairedTest) -> None:
    values = right(80, 0.6, 0.7, 0.8)
    together = p_values(values, test)
    for i, j in itertools.permutations(range(3), 2):
        assert together[i, j] == pytest.approx(p_values(values[[i, j]], test)[0, 1])


# ---- sign flips and t


def test_sign_flips_of_few_examples_are_exact() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9))
    expected = stats.permutation_test(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flips(np.stack([a, b]))[0, 1] == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n", [EXACT + 1, 400, MANY + 1])
def test_sign_flips_of_many_examples_agree_with_the_t_test(n: int) -> None:
    """For normal differences both tests agree, with random flips and with the normal limit."""
    rng = np.random.default_rng(n)
    a = rng.normal(size=n)
    b = a + rng.normal(loc=1.2 / np.sqrt(n), size=n)
    assert sign_flips(np.stack([a, b]))[0, 1] == pytest.approx(
        stats.ttest_rel(a, b).pvalue, abs=0.03
    )


def test_sign_flips_keep_their_level() -> None:
    rng = np.random.default_rng(5)
    rejected = [
        sign_flips(rng.exponential(size=(2, 40)), seed=trial)[0, 1] < 0.05 for trial in range(150)
    ]
    assert np.mean(rejected) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_sign_flips_resolve_p_values_of_1e_4() -> None:
    assert FLIPS == 9_999  # so that the smallest p-value survives Holm over a pool of hundreds


def test_t_tests_agree_with_scipy() -> None:
    a, b = np.random.default_rng(6).normal(size=(2, 12))
    assert t_tests(np.stack([a, b]))[0, 1] == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_t_tests_of_a_single_draw_have_p_1() -> None:
    assert t_tests(np.array([[0.9], [0.1]])).tolist() == [[1, 1], [1, 1]]


def test_every_test_is_that_of_its_name() -> None:
    rng = np.random.default_rng(11)
    answers, values = right(12, 0.5, 0.8, seed=12), rng.random((2, 10))
    gap = values[0] - values[1]
    only_a, only_b = (int(((answers[0] - answers[1]) == sign).sum()) for sign in (1, -1))
    flipped = stats.permutation_test(
        tuple(values),
        lambda x, y, axis: (x - y).mean(axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    normal = 2 * stats.norm.sf(abs(gap.sum()) / np.sqrt((gap**2).sum()))
    expected = {
        "mcnemar": stats.binomtest(only_a, only_a + only_b).pvalue,
        "sign_flip": flipped.pvalue,
        "t": stats.ttest_rel(*values).pvalue,
        "jackknife": normal,
        "bootstrap": normal,
    }
    for name in get_args(PairedTest):
        found = p_values(answers if name == "mcnemar" else values, name)[0, 1]
        assert found == pytest.approx(expected[name]), name


def test_the_test_depends_on_the_values() -> None:
    assert choose_test(np.array([[0.0, 1.0]]), draws=False) == "mcnemar"
    assert choose_test(np.array([[0.5, 1.0]]), draws=False) == "sign_flip"
    assert choose_test(np.array([[0.0, 1.0]]), draws=True) == "t"


# ---- the laws of ties


def beatable(test: PairedTest, n: int) -> np.ndarray:
    """Return (N,) values that another backbone can exceed by 1 on every example."""
    return np.zeros(n) if test == "mcnemar" else np.random.default_rng(7).random(n)


@pytest.mark.parametrize("n", [1, 5, 60, MANY + 1])
@pytest.mark.parametrize("test", TESTS)
def test_two_copies_always_tie(test: PairedTest, n: int) -> None:
    values = beatable(test, n)
    assert p_values(np.stack([values, values]), test)[0, 1] == 1
    assert tie_groups(p_values(np.stack([values] * 5), test)) == [1] * 5


@pytest.mark.parametrize("n", [5, 60, MANY + 1])
@pytest.mark.parametrize("test", ["sign_flip", "t"])
def test_backbones_that_differ_by_rounding_tie(test: PairedTest, n: int) -> None:
    values = np.random.default_rng(8).random(n)
    assert p_values(np.stack([values, values * (1 + 1e-15)]), test)[0, 1] == 1
    assert p_values(np.stack([values, np.nextafter(values, 2)]), test)[0, 1] == 1


@pytest.mark.parametrize("n", [5, 60, MANY + 1])
@pytest.mark.parametrize("test", ["sign_flip", "t"])
@pytest.mark.parametrize("unit", [2.0**-80, 2.0**40])
def test_p_values_do_not_depend_on_the_unit(test: PairedTest, n: int, unit: float) -> None:
    values = np.random.default_rng(9).random((3, n))
    assert (p_values(values * unit, test) == p_values(values, test)).all()


def test_small_differences_of_large_values_keep_their_digits() -> None:
    """Their squares agree in 14 of 16 digits, so that a difference of squares has none."""
    rng = np.random.default_rng(10)
    a = 1e4 + rng.normal(size=MANY + 1)
    b = a + rng.normal(1e-6, 1e-4, size=MANY + 1)
    expected = 2 * stats.norm.sf(abs((a - b).sum()) / np.sqrt(((a - b) ** 2).sum()))
    assert normal_flips(np.stack([a, b]))[0, 1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n", [20, 60, MANY + 1])
@pytest.mark.parametrize("test", TESTS)
def test_better_on_every_example_never_ties(test: PairedTest, n: int) -> None:
    """Among 50 backbones, 49 of which are copies, with 20 examples or more.

    2 * 0.5^20 * 49 is far below 5 %.
    """
    worse = beatable(test, n)
    p = p_values(np.stack([worse + 1] + [worse] * 49), test)
    assert tie_groups(p) == [1] + [2] * 49


# ---- the interval of a difference


@pytest.mark.parametrize(
    ("shares", "n"), [((0.6, 0.7), 200), ((0.8, 0.8), 100), ((0.9, 0.88), 650), ((0.5, 0.3), 60)]
)
def test_the_interval_of_a_difference_of_shares_covers(shares: tuple[float, float], n: int) -> None:
    """1500 trials: standard error 0.6 percentage points."""
    truth = np.subtract(*right(400_000, *shares, seed=99).mean(1))
    covered = []
    for trial in range(1500):
        compared = compare_paired(*right(n, *shares, seed=1000 + 2 * trial))
        assert compared.low is not None and compared.high is not None
        covered.append(compared.low <= truth <= compared.high)
    assert 0.935 <= np.mean(covered) <= 0.965


def test_the_interval_of_a_mean_difference_agrees_with_scipy() -> None:
    a, b = np.random.default_rng(8).normal(size=(2, 50))
    compared = compare_paired(a, b)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (compared.low, compared.high) == pytest.approx((expected.low, expected.high))
    assert compared.value == pytest.approx((a - b).mean())
    assert (compared.n, compared.test) == (50, "sign_flip")


@pytest.mark.parametrize("test", ["mcnemar", "sign_flip"])
def test_limits_of_all_pairs_equal_those_of_each_pair(test: PairedTest) -> None:
    values = (
        right(40, 0.9, 0.9, 0.5) if test == "mcnemar" else np.random.default_rng(0).random((3, 40))
    )
    low, high = pairwise_limits(values, test)
    for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        pair = compare_paired(values[i], values[j], test)
        assert (low[k], high[k]) == pytest.approx((pair.low, pair.high), abs=1e-12)
    single = pairwise_limits(np.array([[0.1], [0.2]]), "sign_flip")
    assert np.isnan(single).all()


def test_a_difference_on_one_example_has_no_interval() -> None:
    compared = compare_paired(np.array([0.3]), np.array([0.1]))
    assert (compared.low, compared.high, compared.p) == (None, None, 1.0)


def test_the_interval_of_equal_backbones_has_width() -> None:
    compared = compare_paired(np.ones(50), np.ones(50))
    assert compared.value == 0 and compared.low is not None and compared.high is not None
    assert compared.low < 0 < compared.high


# ---- values per example


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, metric in METRICS.items()
        if metric.per_example is not None and metric.outcome is ClassPredictions
    ],
)
def test_values_per_example_average_to_the_metric(name: str) -> None:
    rng = np.random.default_rng(9)
    y = np.repeat([0, 0, 1, 2, 3, 5], 15)
    outcome = ClassPredictions.from_logits(rng.normal(size=(90, 7)), y)
    metric = METRICS[name]
    assert metric.per_example is not None
    assert metric.per_example(outcome).mean() == pytest.approx(metric.function(outcome))
    assert metric.per_example(outcome).shape == (90,)
