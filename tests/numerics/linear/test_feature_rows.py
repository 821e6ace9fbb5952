"""Spread of features: against NumPy, where the first row is unlike the others."""

import numpy as np
import pytest

from bob.numerics.linear import feature_rows
from bob.numerics.linear.feature_rows import spread_of


def test_spread_by_hand():
    """Column means 2 and 1; squares around them 1 + 1 and 1 + 1, over 4 entries."""
    assert spread_of(np.array([[1.0, 0.0], [3.0, 2.0]], np.float32), "cpu") == 1.0


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("first", [1.0, 1e6])
def test_spread_is_the_root_mean_square_around_the_means(monkeypatch, first, offset):
    monkeypatch.setattr(feature_rows, "BLOCK_BYTES", 1 << 10)
    x = (np.random.default_rng(0).standard_normal((1000, 6)) + offset).astype(np.float32)
    x[0] *= first
    expected = np.sqrt(x.astype(np.float64).var(0).mean())
    assert spread_of(x, "cpu") == pytest.approx(expected, rel=1e-12)


def test_equal_rows_have_no_spread():
    assert spread_of(np.full((1001, 3), 0.1, np.float32), "cpu") == 0
