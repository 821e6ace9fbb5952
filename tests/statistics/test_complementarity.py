"""Complementarity of two classifiers: by hand, against scikit-learn, laws, and coverage."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from bob.statistics.complementarity import Complementarity, complementarity


def of(a: list[int], b: list[int]) -> Complementarity:
    counted = complementarity(np.array(a, float), np.array(b, float))
    assert counted is not None
    return counted


def test_by_hand() -> None:
    """Of five, both get the first and third right, a the second, b the fourth: the oracle has .8,
    agreement is .6 where .6 · .6 + .4 · .4 = .52 is expected: κ = .08 / .48.
    """
    counts = of([1, 1, 1, 0, 0], [1, 0, 1, 1, 0])
    assert (counts.both, counts.only_a, counts.only_b, counts.neither) == (2, 1, 1, 1)
    assert counts.oracle_gain == pytest.approx(0.2)
    assert counts.rescued_by_a == counts.rescued_by_b == 0.5
    assert counts.kappa == pytest.approx(1 / 6)


def test_shares_and_their_limits_are_those_of_statsmodels() -> None:
    """Of 20: both 8, only a 5, only b 3, neither 4. b is wrong on 9, of which a rescues 5."""
    counts = Complementarity(both=8, only_a=5, only_b=3, neither=4)
    assert counts.one_right == pytest.approx(8 / 20)
    assert counts.rescued_by_a == pytest.approx(5 / 9)
    assert counts.rescued_by_b == pytest.approx(3 / 7)
    assert counts.oracle_gain == pytest.approx(3 / 20)
    for limits, count, n in (
        (counts.one_right_limits, 8, 20),
        (counts.rescued_by_a_limits, 5, 9),
        (counts.rescued_by_b_limits, 3, 7),
        (counts.oracle_gain_limits, 3, 20),
    ):
        assert limits == pytest.approx(proportion_confint(count, n, method="wilson"))


@pytest.mark.parametrize("n", [12, 60])
def test_limits_of_kappa_are_the_jackknife_s(n: int) -> None:
    """Every example is left out in turn."""
    a, b = np.random.default_rng(n).integers(2, size=(2, n))
    kappa = cohen_kappa_score(a, b)
    without = [cohen_kappa_score(np.delete(a, i), np.delete(b, i)) for i in range(n)]
    reach = norm.ppf(0.975) * np.sqrt((n - 1) / n * ((without - np.mean(without)) ** 2).sum())
    expected = max(-1, kappa - reach), min(1, kappa + reach)
    assert of(a.tolist(), b.tolist()).kappa_limits == pytest.approx(expected)


def test_kappa_has_no_limits_beside_a_classifier_that_is_always_right_or_wrong() -> None:
    assert of([1, 0, 1, 0], [1, 1, 1, 1]).kappa_limits is None
    assert of([1, 0, 1, 0], [0, 0, 0, 0]).kappa_limits is None


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_cohen_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(2, size=60) for _ in range(2))
    counts = of(a.tolist(), b.tolist())
    assert counts.kappa == pytest.approx(cohen_kappa_score(a, b))
    right = np.maximum(a, b).mean()
    assert counts.oracle_gain == pytest.approx(right - max(a.mean(), b.mean()))


def test_a_classifier_with_itself_and_with_a_perfect_one() -> None:
    same = of([1, 0, 1, 0], [1, 0, 1, 0])
    assert same.oracle_gain == 0 and same.kappa == 1
    perfect = of([1, 0, 1, 0], [1, 1, 1, 1])
    assert perfect.rescued_by_b == 1 and perfect.rescued_by_a is None
    assert perfect.oracle_gain == 0


def test_kappa_is_undefined_where_both_are_always_right() -> None:
    counts = of([1, 1], [1, 1])
    assert counts.kappa is None and counts.kappa_limits is None


def test_limits_are_undefined_where_one_example_decides() -> None:
    assert of([1, 1, 0], [1, 1, 0]).kappa_limits is None
    low, high = of([1, 0] * 30, [1, 1, 0, 0] * 15).kappa_limits or (0.0, 0.0)
    assert low < 0 < high


def test_other_values_have_no_counts() -> None:
    ones = np.ones(3)
    assert complementarity(ones, np.array([0, 0.5, 1])) is None
    assert complementarity(ones, np.ones(2)) is None
    assert complementarity(np.empty(0), np.empty(0)) is None


def test_limits_cover() -> None:
    """500 trials: standard error of a coverage 1 percentage point."""
    shares = np.array([0.6, 0.15, 0.1, 0.15])
    rng = np.random.default_rng(0)
    exact = Complementarity(6000, 1500, 1000, 1500)
    assert exact.kappa is not None
    kappas, gains = [], []
    for counts in rng.multinomial(300, shares, 500):
        found = Complementarity(*counts.tolist())
        low, high = found.kappa_limits or (0.0, 0.0)
        kappas.append(low <= exact.kappa <= high)
        low, high = found.oracle_gain_limits
        gains.append(low <= exact.oracle_gain <= high)
    assert 0.92 <= np.mean(kappas) <= 0.98
    assert np.mean(gains) >= 0.92
