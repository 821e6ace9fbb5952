"""The statistics that the page computes, against scipy and arithmetic by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
import scipy.stats
from playwright.sync_api import Browser
from sklearn.metrics import cohen_kappa_score

from bob.statistics.complementarity import Complementarity
from tests.leaderboards.page.conftest import Evaluate, evaluating


@pytest.fixture(scope="module")
def evaluate(browser: Browser) -> Iterator[Evaluate]:
    yield from evaluating(browser, "statistics")


def test_ranks_and_correlations_agree_with_scipy(evaluate: Evaluate) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 20).tolist(), rng.integers(0, 6, 20).tolist()
    assert evaluate(f"ranks({x})") == scipy.stats.rankdata([-value for value in x]).tolist()
    assert evaluate(f"spearman({x}, {y})") == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


def test_correlation_is_undefined_for_two_values_or_constants(evaluate: Evaluate) -> None:
    assert evaluate("spearman([1, 2], [1, 2])") is None
    assert evaluate("spearman([1, 1, 1], [1, 2, 3])") is None


def test_pareto_front_by_hand(evaluate: Evaluate) -> None:
    """Equal points are both on the front; dominated ones are not."""
    points = (
        "[{id: 0, quality: 1, cost: 1}, {id: 1, quality: 2, cost: 2}, "
        "{id: 2, quality: 2, cost: 3}, {id: 3, quality: 0, cost: 1}, {id: 4, quality: 2, cost: 2}]"
    )
    assert evaluate(f"paretoFront({points}).map((point) => point.id)") == [0, 1, 4]


# Counts of images that both, only a, only b and neither has right.
@pytest.mark.parametrize("counts", [(4, 2, 1, 3), (0, 6, 3, 1), (50, 0, 20, 30), (9, 0, 4, 3)])
def test_pairs_have_the_limits_of_the_command_compare(
    evaluate: Evaluate, counts: tuple[int, ...]
) -> None:
    """Wilson's are scipy's too; those of κ are its values without each image in turn."""
    both, only_a, only_b, neither = counts
    found = evaluate(
        f"complementarity({{both: {both}, onlyA: {only_a}, onlyB: {only_b}, neither: {neither}}})"
    )
    ours = Complementarity(*counts)
    for name, count, n, limits in (
        ("only", only_a + only_b, sum(counts), ours.one_right_limits),
        ("oracle", min(only_a, only_b), sum(counts), ours.oracle_gain_limits),
        ("rescue", only_b, only_b + neither, ours.rescued_by_b_limits),
    ):
        scipys = scipy.stats.binomtest(count, n).proportion_ci(method="wilson")
        expected = [count / n, scipys.low, scipys.high]
        assert list(found[name].values()) == pytest.approx(expected, abs=1e-12)
        assert limits == pytest.approx((scipys.low, scipys.high), abs=1e-12)
    a, b = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    without = [cohen_kappa_score(np.delete(a, i), np.delete(b, i)) for i in range(len(a))]
    reach = 1.959963984540054 * np.sqrt((len(a) - 1) * np.var(without))
    kappa = cohen_kappa_score(a, b)
    expected = [kappa, max(kappa - reach, -1), min(kappa + reach, 1)]
    assert list(found["kappa"].values()) == pytest.approx(expected, abs=1e-12)
    assert ours.kappa_limits == pytest.approx(expected[1:], abs=1e-12)


def test_kappa_has_no_limits_where_one_is_never_right(evaluate: Evaluate) -> None:
    """It is 0 then, whatever the other is."""
    found = evaluate("complementarity({both: 0, onlyA: 0, onlyB: 4, neither: 3}).kappa")
    assert abs(found["value"]) < 1e-12 and np.isnan(found["low"]) and np.isnan(found["high"])
    ours = Complementarity(0, 0, 4, 3)
    assert ours.kappa == pytest.approx(0, abs=1e-12) and ours.kappa_limits is None


def test_pairs_without_errors_have_no_limits(evaluate: Evaluate) -> None:
    found = evaluate("complementarity({both: 3, onlyA: 0, onlyB: 0, neither: 0})")
    for name in ("rescue", "kappa"):
        assert all(np.isnan(value) for value in found[name].values())
    assert found["only"]["value"] == 0
    ours = Complementarity(3, 0, 0, 0)
    assert ours.rescued_by_a_limits is ours.rescued_by_b_limits is ours.kappa_limits is None
