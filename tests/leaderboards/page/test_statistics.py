"""The statistics that the page computes, against scipy, arithmetic by hand, and the build."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from playwright.sync_api import Browser, expect

from bob.leaderboards.page.assets import asset, wrap_module
from bob.leaderboards.published import read_published
from tests.leaderboards.page.conftest import Opener

RETRIEVAL_TABLE = Path(__file__).parents[2] / "data" / "bob_retrieval_mrr.csv"

Evaluate = Callable[[str], Any]


@pytest.fixture(scope="module")
def evaluate(browser: Browser) -> Iterator[Evaluate]:
    """Evaluate an expression that calls functions of statistics.js."""
    page = browser.new_page()
    text = asset("scripts/statistics.js")
    exports = re.findall(r"^export (?:const|function) (\w+)", text, re.MULTILINE)
    setup = f"{wrap_module('statistics', text)} const {{ {', '.join(exports)} }} = statistics_;"
    yield lambda expression: page.evaluate(f"(() => {{ {setup} return {expression}; }})()")
    page.close()


def test_ranks_and_correlations_agree_with_scipy(evaluate: Evaluate) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 20).tolist(), rng.integers(0, 6, 20).tolist()
    assert evaluate(f"ranks({x})") == scipy.stats.rankdata([-value for value in x]).tolist()
    assert evaluate(f"spearman({x}, {y})") == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


def test_correlation_is_undefined_for_two_values_or_constants(evaluate: Evaluate) -> None:
    assert evaluate("spearman([1, 2], [1, 2])") is None
    assert evaluate("spearman([1, 1, 1], [1, 2, 3])") is None


@pytest.mark.parametrize(("difference", "variance"), [(0.3, 0.04), (-2.0, 0.5), (1e-3, 1.0)])
def test_normal_p_values_agree_with_scipy(
    evaluate: Evaluate, difference: float, variance: float
) -> None:
    expected = 2 * scipy.stats.norm.sf(abs(difference) / variance**0.5)
    assert evaluate(f"normalP({difference}, {variance})") == pytest.approx(expected, abs=5e-7)


def test_paired_t_tests_agree_with_scipy(evaluate: Evaluate) -> None:
    rng = np.random.default_rng(1)
    for datasets in (2, 3, 4, 8, 41):
        a, b = rng.normal(0.2, 1, (2, datasets))
        expected = scipy.stats.ttest_rel(a, b).pvalue
        actual = evaluate(f"pairedT({a.tolist()}, {b.tolist()})")
        assert actual == pytest.approx(expected, abs=1e-12)


def test_paired_t_test_of_equal_rows_or_a_single_pair_decides_nothing(evaluate: Evaluate) -> None:
    assert evaluate("pairedT([1, 2], [1, 2])") == 1
    assert evaluate("pairedT([1], [2])") == 1


def test_dataset_contributions_average_to_the_mean(evaluate: Evaluate) -> None:
    # 2 and 4 average to 3, as 1, 2 and 6 do.
    assert evaluate("datasetContributions([1, 2, 6], ['a', 'a', 'b'])") == [2, 4]


def test_ties_of_the_page_are_those_of_the_build(show: Opener) -> None:
    """Without contaminated cells the page computes ties itself; this table has none."""
    records, _ = read_published(RETRIEVAL_TABLE.read_text(encoding="utf-8"), RETRIEVAL_TABLE.name)
    page = show(records).page
    tied = page.locator(".standings tr.tied")
    wins = page.locator(".standings tbody tr td:last-child")
    count = tied.count()
    assert wins.all_inner_texts()[:2] == ["60 %", "18 %"] and count > 1
    page.evaluate("location.hash = 'clean=1'")
    expect(tied).to_have_count(count)
    assert abs(int(wins.first.inner_text().rstrip(" %")) - 60) <= 2  # other resamples


def test_holm_by_hand(evaluate: Evaluate) -> None:
    # 3 · .01; 2 · .03; max(.06, 1 · .04)
    assert evaluate("holm([0.01, 0.04, 0.03])") == pytest.approx([0.03, 0.06, 0.06])
    assert evaluate("tiedWith(0, [1, 0.01, 0.04, 0.03])") == [True, False, True, True]


def test_pareto_front_by_hand(evaluate: Evaluate) -> None:
    """Equal points are both on the front; dominated ones are not."""
    points = (
        "[{id: 0, quality: 1, cost: 1}, {id: 1, quality: 2, cost: 2}, "
        "{id: 2, quality: 2, cost: 3}, {id: 3, quality: 0, cost: 1}, {id: 4, quality: 2, cost: 2}]"
    )
    assert evaluate(f"paretoFront({points}).map((point) => point.id)") == [0, 1, 4]


def test_resampled_datasets_agree_with_enumeration(evaluate: Evaluate) -> None:
    """Two datasets, of which a resample holds the first twice, both, or the second twice.

    These have probabilities 1/4, 1/2 and 1/4. With both, the means of the two backbones are 2/3 and
    1.5/3, so the first backbone wins unless the second dataset is drawn twice.
    """
    means = "resampledMeans([[1, 1, 0], [0, 0, 1.5]], ['a', 'a', 'b'], 10000)"
    assert evaluate(f"winShares({means}, 2)") == pytest.approx([0.75, 0.25], abs=0.015)
    means = "resampledMeans([[1, 1, 0]], ['a', 'a', 'b'], 2000)"
    assert evaluate(f"meanLimits({means}, 1)") == [[0, 1]]
    means = "resampledMeans([[1, 2], [0, 1], [0, 1]], ['a', 'b'], 100)"
    assert evaluate(f"rankLimits({means}, 3)") == [[1, 1], [2, 2], [2, 2]]
