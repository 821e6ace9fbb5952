"""Numbers of examples against statsmodels, and by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.power import NormalIndPower

from bob.statistics.power import discordant_examples_needed, examples_needed


@pytest.mark.parametrize(("deviation", "difference"), [(0.5, 0.05), (0.3, 0.03), (0.9, -0.2)])
def test_examples_needed_equal_those_of_statsmodels(deviation: float, difference: float) -> None:
    """`ratio=0` is statsmodels' one-sample test."""
    n = 400
    half = 1.959963984540054 * deviation / np.sqrt(n)
    theirs = NormalIndPower().solve_power(abs(difference) / deviation, None, 0.05, 0.8, ratio=0)
    assert examples_needed(-half, half, n, difference) == np.ceil(theirs)


def test_examples_needed_by_hand() -> None:
    """100 examples leave an interval of ±0.098, so that s = 0.5; (2.8016 · 0.5 / 0.1)² = 196.2."""
    assert examples_needed(-0.098, 0.098, 100, 0.1) == 197


def test_discordant_examples_needed_by_hand() -> None:
    """Of 100, 12 and 6: d = 0.06, variance 0.18 - 0.0036; 2.8016² · 0.1764 / 0.0036 = 384.6."""
    assert discordant_examples_needed(12, 6, 100) == 385
    assert discordant_examples_needed(6, 12, 100) == 385
    assert discordant_examples_needed(7, 7, 100) is None


def test_paired_tests_of_as_many_examples_have_the_power() -> None:
    """Exact McNemar tests of 385 simulated examples: 80 %, less what discreteness costs."""
    outcomes = np.random.default_rng(1).multinomial(385, [0.12, 0.06, 0.82], size=4000)
    p = [binomtest(int(a), int(a + b)).pvalue for a, b, _ in outcomes[:1000]]
    assert 0.72 < np.mean(np.array(p) < 0.05) < 0.84
