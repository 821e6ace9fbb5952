"""The Fréchet distance and PRDC: by hand, against scipy and the official code's formulas, laws."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import pairwise_distances

from bob.numerics.arrays import Doubles
from bob.numerics.set_distances import frechet_distance, prdc

X = np.array([[1, 0, 2], [0, 1, 1], [2, 1, 0], [1, 3, 1], [0, 2, 4], [3, 1, 1]], np.float64)


def normal(n: int, width: int, seed: int) -> Doubles:
    return np.random.default_rng(seed).normal(size=(n, width))


def test_frechet_distance_in_one_dimension_by_hand() -> None:
    """Means 1 and 5, variances 2 and 8: 16 + (√8 - √2)² = 18. Rows (0, 2) and (3, 7)."""
    x, y = np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])
    assert frechet_distance(x, y) == pytest.approx(18)


@pytest.mark.parametrize(("n", "m", "width"), [(6, 6, 3), (40, 25, 5), (12, 30, 20), (8, 9, 30)])
def test_frechet_distance_is_that_of_the_root_of_the_covariances(
    n: int, m: int, width: int
) -> None:
    """As in pytorch-fid: scipy's root of the product of both covariances."""
    x, y = (X, 2 * X[:, [1, 0, 2]] + 1) if n == 6 else (normal(n, width, 0), normal(m, width, 1))
    a, b = (np.cov(rows, rowvar=False) for rows in (x, y))
    gap = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = gap + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)


def test_frechet_distance_of_the_integer_example() -> None:
    """22.3521194085, computed with the eigenvalues of the product of both covariances."""
    value = frechet_distance(X, 2 * X[:, [1, 0, 2]] + 1)
    assert value == pytest.approx(22.352119408514, abs=1e-9)


def test_laws_of_the_frechet_distance() -> None:
    """0 to itself, symmetric, equal after a rotation and a shift, squared by a scale."""
    x, y = normal(30, 6, 0), normal(40, 6, 1) + 0.5
    value = frechet_distance(x, y)
    rotation, _ = np.linalg.qr(normal(6, 6, 2))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(y, x) == pytest.approx(value)
    assert frechet_distance(x @ rotation + 3, y @ rotation + 3) == pytest.approx(value)
    assert frechet_distance(4 * x, 4 * y) == pytest.approx(16 * value)


def test_the_distance_of_equal_distributions_falls_with_their_number() -> None:
    """Its bias is proportional to 1 / n."""
    small, large = (frechet_distance(normal(n, 4, 0), normal(n, 4, 1)) for n in (50, 800))
    assert 0 < large < small / 4


def official_prdc(x: Doubles, y: Doubles, k: int) -> tuple[float, float, float, float]:
    """Return PRDC as clovaai/generative-evaluation-prdc computes it."""
    across = pairwise_distances(x, y)
    reach = [np.partition(pairwise_distances(rows), k, axis=-1)[:, k] for rows in (x, y)]
    return (
        (across < reach[0][:, None]).any(0).mean(),
        (across < reach[1][None]).any(1).mean(),
        (across < reach[0][:, None]).sum(0).mean() / k,
        (across.min(1) < reach[0]).mean(),
    )


def test_prdc_on_a_line_by_hand() -> None:
    """x = 0, 1, 3 reach 1, 1, 2 (k = 1); y = 0.5, 9, 10 reach 8.5, 1, 1.

    0.5 is within the reach of 0 and of 1, not of 3 (2.5); 9 and 10 of none: precision 1/3, density
    2/3, coverage 2/3. All of x are within 8.5 of 0.5: recall 1.
    """
    x, y = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [9.0], [10.0]])
    assert prdc(x, y, 1) == pytest.approx((1 / 3, 1, 2 / 3, 2 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_prdc_is_that_of_the_official_code(seed: int) -> None:
    x, y = normal(60, 8, seed), 1.1 * normal(50, 8, seed + 10) + 0.2
    assert prdc(x, y, 5) == pytest.approx(official_prdc(x, y, 5))


def test_laws_of_prdc() -> None:
    """Equal distributions have a density near 1, far sets have nothing in common, and neither a
    shift nor a scale of both sets changes anything."""
    x, y = normal(300, 3, 0), normal(300, 3, 1)
    values = prdc(x, y, 5)
    assert values[2] == pytest.approx(1, abs=0.15) and min(values[0], values[1], values[3]) > 0.8
    assert prdc(x, y + 100, 5) == (0, 0, 0, 0)
    assert prdc(8 * x + 2, 8 * y + 2, 5) == pytest.approx(values)


def test_too_few_rows_have_no_value() -> None:
    assert np.isnan(frechet_distance(X[:1], X))
    assert np.isnan(prdc(X, X[:5], 5)).all() and not np.isnan(prdc(X, X, 5)).any()
