"""Numbers of examples against statsmodels, and by hand."""

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from bob.statistics.power import examples_needed


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
