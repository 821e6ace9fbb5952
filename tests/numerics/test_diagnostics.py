"""Descriptions of features against the official codes' values on iris, by hand, and in limits."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_iris

from bob.numerics.diagnostics import (
    Uncentred,
    alpha_req,
    decomposed,
    h_score,
    intrinsic_dimension,
    log_me,
    mixture_responsibilities,
    nleep,
    participation_ratio,
    rank_me,
    trans_rate,
)

X = np.array([[1, 0, 2], [0, 1, 1], [2, 1, 0], [1, 3, 1], [0, 2, 4], [3, 1, 1]], np.float64)
Y = np.array([0, 0, 1, 1, 1, 0])
IRIS, SPECIES = load_iris(return_X_y=True)


def test_scores_of_iris_are_those_of_the_official_codes() -> None:
    assert log_me(decomposed(IRIS), SPECIES) == pytest.approx(-0.1600602436, abs=1e-9)
    assert h_score(decomposed(IRIS, centred=True), SPECIES) == pytest.approx(1.1918988250)
    assert h_score(decomposed(IRIS, centred=True), SPECIES, shrunk=True) == pytest.approx(
        1.1778424993
    )
    assert trans_rate(decomposed(IRIS, centred=True), SPECIES) == pytest.approx(0.5894054064)


def test_log_me_is_the_maximum_of_the_evidence() -> None:
    """Over α and β, of the density of the targets, class by class."""
    best = []
    for c in (0, 1):
        t = (c == Y).astype(float)

        def minus_evidence(logs: np.ndarray, t: np.ndarray = t) -> float:
            alpha, beta = np.exp(logs)
            covariance = np.eye(6) / beta + X @ X.T / alpha
            return float(-multivariate_normal(np.zeros(6), covariance).logpdf(t) / 6)

        best.append(-minimize(minus_evidence, np.zeros(2), method="Nelder-Mead").fun)
    assert log_me(decomposed(X), Y) == pytest.approx(np.mean(best), abs=1e-6)
    assert log_me(decomposed(X), Y) == pytest.approx(-0.99513148485, abs=1e-8)
    assert sorted(best) == pytest.approx([-1.06408532, -0.92617765], abs=1e-6)


@pytest.mark.parametrize("width", [8, 200])
def test_log_me_with_more_features_than_rows(width: int) -> None:
    """Features of 0 add nothing, on either side of N = D."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 8)), rng.integers(2, size=50)
    padded = np.concatenate([x, np.zeros((50, width - 8))], 1)
    assert log_me(decomposed(padded), y) == pytest.approx(log_me(decomposed(x), y), abs=1e-6)


def test_nleep_by_hand() -> None:
    """Component 0 has the weight 2.5, of which class 0 has 2; component 1 has 1.5, class 0 has 0.
    Then P(0 | z) is 0.8 and 0, P(1 | z) 0.2 and 1: likelihoods .8, .8, .6 and 1.
    """
    responsibilities = np.array([[1, 0], [1, 0], [0.5, 0.5], [0, 1]])
    expected = np.log([0.8, 0.8, 0.5 * 0.2 + 0.5, 1]).mean()
    assert nleep(responsibilities, np.array([0, 0, 1, 1])) == pytest.approx(expected)
    assert nleep(responsibilities, np.array([7, 7, 9, 9])) == pytest.approx(expected)


def test_nleep_of_pure_components_is_0_and_of_labels_without_relation_their_entropy() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 4
    x = 20 * np.eye(4, 6)[y] + rng.normal(size=(400, 6))
    of_classes = mixture_responsibilities(decomposed(x, centred=True), 20)
    assert nleep(of_classes, y) == pytest.approx(0, abs=1e-6)
    assert np.log(1 / 4) < nleep(of_classes, rng.permutation(y)) < -1.2
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    turned = mixture_responsibilities(decomposed(100 * x @ turn, centred=True), 20)
    assert nleep(turned, y) == pytest.approx(0, abs=1e-6)


def test_the_rank_by_hand_and_of_equal_directions() -> None:
    """Singular values of the identity are equal: the rank is D. One direction: 1."""
    assert rank_me(decomposed(np.eye(5)).eigenvalues) == pytest.approx(5, rel=1e-4)
    one = np.outer(np.arange(1.0, 9), np.ones(4))
    assert rank_me(decomposed(one).eigenvalues) == pytest.approx(1, abs=1e-4)
    assert rank_me(decomposed(X).eigenvalues) == pytest.approx(2.76002347)
    assert participation_ratio(decomposed(X, centred=True).eigenvalues) == pytest.approx(2.22017867)


def test_h_score_and_trans_rate_of_six_rows() -> None:
    assert h_score(decomposed(X, centred=True), Y) == pytest.approx(0.50159431)
    assert trans_rate(decomposed(X, centred=True), Y) == pytest.approx(1.41054675)
    assert trans_rate(decomposed(X, centred=True), Y, 1.0) == pytest.approx(0.13058671)


def test_h_score_is_between_0_and_the_number_of_classes_minus_1() -> None:
    y = np.arange(60) % 3
    assert h_score(decomposed(np.eye(3)[y] + 0.0, centred=True), y) == pytest.approx(2)
    noise = np.random.default_rng(0).normal(size=(3000, 4))
    assert h_score(decomposed(noise, centred=True), np.arange(3000) % 3) < 0.02
    assert h_score(decomposed(np.ones((9, 2)), centred=True), np.arange(9) % 3) == 0


def test_scores_ignore_rotation_and_h_score_any_linear_map() -> None:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    for score, centred in ((log_me, False), (h_score, True), (trans_rate, True)):
        turned, plain = (decomposed(rows, centred) for rows in (IRIS @ turn, IRIS))
        assert score(turned, SPECIES) == pytest.approx(score(plain, SPECIES))
    mixed = IRIS @ np.triu(np.ones((4, 4))) + 7
    assert h_score(decomposed(mixed, centred=True), SPECIES) == pytest.approx(
        h_score(decomposed(IRIS, centred=True), SPECIES)
    )
    assert log_me(decomposed(100 * IRIS), SPECIES) == pytest.approx(
        log_me(decomposed(IRIS), SPECIES), abs=1e-8
    )


def test_the_exponent_of_a_power_law_is_found() -> None:
    assert alpha_req(np.arange(1.0, 301) ** -1.5) == pytest.approx(1.5)
    assert math.isnan(alpha_req(np.arange(1.0, 15) ** -1.5))


def test_the_intrinsic_dimension_by_hand_and_of_a_plane() -> None:
    """Ratios e and e²: two rows / (1 + 2); a row with a copy is left out."""
    nearest, second = np.array([1.0, 1.0, 0.0]), np.array([np.e, np.e**2, 5.0])
    assert intrinsic_dimension(nearest, second) == pytest.approx(2 / 3)
    assert math.isnan(intrinsic_dimension(np.ones(2), np.ones(2)))
    rng = np.random.default_rng(0)
    plane = rng.random((1500, 2)) @ rng.normal(size=(2, 30))
    distances = np.sort(cdist(plane, plane), axis=1)
    assert intrinsic_dimension(distances[:, 1], distances[:, 2]) == pytest.approx(2, abs=0.15)


def test_fewer_rows_than_features_are_decomposed_by_rows() -> None:
    """In 20 dimensions of which 3 vary, rotated: the values of the 3 alone; Ledoit & Wolf's
    covariance and the trace of the definition are scikit-learn's and numpy's."""
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))
    wide = np.pad(X, ((0, 0), (0, 17))) @ rotation
    tall, few = (decomposed(rows, centred=True) for rows in (X, wide))
    assert not few.is_tall and tall.is_tall
    assert h_score(few, Y) == pytest.approx(h_score(tall, Y))
    assert trans_rate(few, Y) == pytest.approx(trans_rate(tall, Y))
    assert log_me(decomposed(wide), Y) == pytest.approx(log_me(decomposed(X), Y))
    estimate = LedoitWolf().fit(wide)
    means = np.stack([wide[c == Y].mean(0) for c in (0, 1)]) - wide.mean(0)
    between = means.T @ means / 2  # three rows of each class
    trace = np.trace(np.linalg.inv(estimate.covariance_) @ between)
    expected = (1 - estimate.shrinkage_) * trace * 6 / 5
    assert h_score(few, Y, shrunk=True) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "width", "gap"), [(8, 20, 3), (30, 100, 5)])
def test_log_me_of_rows_that_explain_the_classes_without_noise(
    n: int, width: int, gap: float
) -> None:
    """The limit β → ∞ of the evidence: the maximum over α of ln N(t; 0, α⁻¹ XXᵀ) / N, which is at
    α = N / tᵀ(XXᵀ)⁻¹t."""
    y = np.arange(n) % 2
    x = np.random.default_rng(0).normal(size=(n, width)) + gap * np.eye(2, width)[y]
    kernel, best = x @ x.T, []
    for c in (0, 1):
        t = (y == c).astype(np.float64)
        alpha = n / (t @ np.linalg.solve(kernel, t))
        best.append(multivariate_normal(np.zeros(n), kernel / alpha).logpdf(t) / n)
    assert log_me(decomposed(x), y) == pytest.approx(np.mean(best), abs=1e-6)


@pytest.mark.parametrize("case", ["tall", "wide", "mean outside", "no mean", "empty columns"])
def test_the_mean_is_added_to_centred_rows(case: str) -> None:
    """Values, directions and LogME are those of the rows decomposed without centring."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 80 if case == "wide" else 12)) + 0.7
    y = np.arange(30) % 3
    if case == "mean outside":  # constant columns: no centred row has a part in them
        x[:, 3:5] = 2.0
    if case == "no mean":
        x -= x.mean(0)
    if case == "empty columns":
        x[:, 5:] = 0
    direct = decomposed(x)
    added = Uncentred.of(decomposed(x, centred=True), x.mean(0))
    assert added.eigenvalues == pytest.approx(direct.eigenvalues, abs=1e-12)
    assert added.class_sums(y) == pytest.approx(direct.class_sums(y))
    assert np.abs(added.along(x)) == pytest.approx(np.abs(direct.along(x)), abs=1e-8)
    assert log_me(added, y) == pytest.approx(log_me(direct, y), abs=1e-8)
