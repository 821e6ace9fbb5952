"""The statistics that the page computes, against scipy and arithmetic by hand."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
from playwright.sync_api import Browser

from bob.leaderboards.page.assets import asset, wrap_module

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


def test_pareto_front_by_hand(evaluate: Evaluate) -> None:
    """Equal points are both on the front; dominated ones are not."""
    points = (
        "[{id: 0, quality: 1, cost: 1}, {id: 1, quality: 2, cost: 2}, "
        "{id: 2, quality: 2, cost: 3}, {id: 3, quality: 0, cost: 1}, {id: 4, quality: 2, cost: 2}]"
    )
    assert evaluate(f"paretoFront({points}).map((point) => point.id)") == [0, 1, 4]
