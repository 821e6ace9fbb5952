"""Similarity of features: by hand, a second implementation, laws, and independent features."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from bob.numerics.arrays import Doubles
from bob.numerics.representation_similarity import debiased_cka, similarity

X = np.array([[1, 0, 2], [0, 1, 1], [2, 1, 0], [1, 3, 1], [0, 2, 4], [3, 1, 1]], np.float64)
Y = np.array([[1, 2], [0, 1], [3, 0], [2, 2], [1, 5], [2, 1]], np.float64)


def random_rows(n: int, width: int, seed: int) -> Doubles:
    return np.random.default_rng(seed).normal(size=(n, width))


def biased_cka(x: Doubles, y: Doubles) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def test_values_of_six_rows() -> None:
    """Of whole numbers: HSIC₁ is 34/9, 39/9 and 4.1777…"""
    values = similarity(X, Y, k=2)
    assert values.cka == pytest.approx(0.8878767651)
    assert values.mutual_knn == pytest.approx(0.583333, abs=1e-6)
    assert biased_cka(X, Y) == pytest.approx(0.8749127707)


def test_rsa_is_spearman_of_all_pairs() -> None:
    """Of rows without equal cosines: rounding decides which of these are ties."""
    x, y = random_rows(6, 3, 1), random_rows(6, 2, 2)

    def cosines(rows: Doubles) -> list[float]:
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return [float(unit[i] @ unit[j]) for i in range(6) for j in range(i + 1, 6)]

    assert similarity(x, y).rsa == pytest.approx(spearmanr(cosines(x), cosines(y)).statistic)


def test_features_with_themselves_turned_and_scaled() -> None:
    rows = random_rows(40, 8, 0)
    turned = 1e-12 * rows @ np.linalg.qr(random_rows(8, 8, 1))[0]
    for other in (rows, turned):
        assert similarity(rows, other) == pytest.approx((1, 1, 1))
    assert debiased_cka(rows, 3 * turned + 5) == pytest.approx(1)
    assert similarity(rows, random_rows(40, 3, 2)) == pytest.approx(
        similarity(random_rows(40, 3, 2), rows)
    )


def test_independent_features_have_a_cka_near_0_where_the_biased_one_is_near_1() -> None:
    x, y = random_rows(200, 2000, 0), random_rows(200, 2000, 1)
    assert abs(debiased_cka(x, y)) < 0.02
    assert biased_cka(x, y) > 0.9
    assert similarity(x, y).mutual_knn == pytest.approx(10 / 199, abs=0.02)
    assert abs(similarity(x, y).rsa) < 0.03


def test_constant_features_are_undefined() -> None:
    values = similarity(X, np.ones((6, 2)))
    assert np.isnan(values.cka) and np.isnan(values.rsa)


def test_k_is_at_most_the_other_rows() -> None:
    assert similarity(X, Y, k=99).mutual_knn == 1
