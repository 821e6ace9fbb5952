"""Mahalanobis distances under Ledoit & Wolf's covariance, against scikit-learn and in limits."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from bob.numerics.arrays import Floats
from bob.numerics.ledoit_wolf import LedoitWolfGaussian


def rows(n: int, width: int, seed: int = 0) -> Floats:
    """Return correlated rows far from the origin."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(9).normal(size=(width, width))
    return np.asarray(rng.normal(size=(n, width)) @ mix + 3, np.float32)


@pytest.mark.parametrize(("n", "width"), [(60, 7), (200, 40), (30, 50), (12, 200), (40, 40)])
def test_distances_are_those_of_scikit_learn(n: int, width: int) -> None:
    x, queries = rows(n, width), rows(25, width, 1)
    reference = LedoitWolf().fit(x.astype(np.float64))
    fitted = LedoitWolfGaussian(x, "cpu")
    assert fitted.shrinkage == pytest.approx(reference.shrinkage_, rel=1e-9)
    assert fitted.usable
    expected = reference.mahalanobis(queries.astype(np.float64))
    assert fitted.distances(queries) == pytest.approx(expected, rel=1e-7)


def test_the_shrinkage_by_hand() -> None:
    """Rows ±(2, 0), ±(0, 1): S = diag(2, 1/2), m = 5/4, δ = (9/16 + 9/16) / 2 = 9/16.

    Σ‖x‖⁴ = 16 + 16 + 1 + 1 = 34 and ‖S‖² = 17/4, so β = (34/4 − 17/4) / (4 · 2) = 17/32, and
    ρ = 17/32 / (9/16) = 17/18: variances 2/18 + 17/18 · 5/4 = 93/72 and 87/72. The query (1, 1) has
    72/93 + 72/87.
    """
    x = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]], np.float32)
    fitted = LedoitWolfGaussian(x, "cpu")
    assert fitted.shrinkage == pytest.approx(17 / 18)
    assert fitted.distances(np.ones((1, 2), np.float32)) == pytest.approx([72 / 93 + 72 / 87])


def test_rows_alike_in_all_directions_are_shrunk_not_at_all() -> None:
    """S = I / 2 is a multiple of the identity already: distances are 2 ‖c‖²."""
    x = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    fitted = LedoitWolfGaussian(x, "cpu")
    assert fitted.distances(np.array([[3, 4]], np.float32)) == pytest.approx([50])


@pytest.mark.parametrize("n", [1, 5])
def test_equal_rows_are_not_usable(n: int) -> None:
    equal = np.tile(np.arange(1, 9, dtype=np.float32) / 30, (n, 1))
    assert not LedoitWolfGaussian(equal, "cpu").usable


def test_two_rows_are_not_usable() -> None:
    """S has rank 1; β = (2 a⁴ / 2 − a⁴) / (n D) = 0 for rows ±a: nothing is shrunk, and across the
    line between the rows the covariance is singular.
    """
    assert not LedoitWolfGaussian(np.array([[1, 1, 0], [3, 1, 0]], np.float32), "cpu").usable


def test_rotation_translation_and_scale_change_nothing() -> None:
    x, queries = rows(40, 12), rows(20, 12, 1)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))[0]

    def moved(values: Floats) -> Floats:
        return np.asarray(4 * (values @ turn) - 2, np.float32)

    expected = LedoitWolfGaussian(x, "cpu").distances(queries)
    actual = LedoitWolfGaussian(moved(x), "cpu").distances(moved(queries))
    assert actual == pytest.approx(expected, rel=1e-4)


def test_no_queries_have_no_distances() -> None:
    assert LedoitWolfGaussian(rows(9, 3), "cpu").distances(rows(9, 3)[:0]).shape == (0,)
