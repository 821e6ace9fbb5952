"""Closed forms on features of odd shapes, against scikit-learn and dense linear algebra.

Fewer rows than features, two classes of which one is rare, repeated rows, constant and empty
features, whole numbers (ties), and rows that were stored in float16.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import pinvh
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.diagnostics import decomposed, h_score, rank_me, trans_rate
from bob.numerics.search.similarity import unit
from bob.protocols.anomaly import AnomalySettings, normality
from bob.protocols.centroid import PROTOCOL as CENTROID
from bob.protocols.centroid import CentroidSettings
from tests.builders.classification import make_problem

Rows = tuple[Floats, Ints]


def drawn(n: int, width: int, seed: int = 0, rare: int | None = None) -> Rows:
    """Return rows of three classes, or of two, of which the second has `rare` rows."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3 if rare is None else (np.arange(n) < rare).astype(np.int64)
    rows = rng.normal(size=(n, width)) + 1.5 * rng.normal(size=(3, width))[y]
    return rows.astype(np.float32), y


def with_constant_features(n: int, width: int) -> Rows:
    x, y = drawn(n, width)
    x[:, 0], x[:, 1] = 3, 0
    return x, y


def repeated(n: int, width: int) -> Rows:
    x, y = drawn(n // 3, width)
    return np.repeat(x, 3, 0), np.repeat(y, 3)


def whole(n: int, width: int) -> Rows:
    x, y = drawn(n, width)
    return np.rint(x).astype(np.float32), y


def halves(n: int, width: int) -> Rows:
    x, y = drawn(n, width)
    return x.astype(np.float16).astype(np.float32), y


DESIGNS: dict[str, Callable[[], Rows]] = {
    "fewer_rows_than_features": lambda: drawn(24, 60),
    "as_many_rows_as_features": lambda: drawn(30, 30),
    "a_rare_class": lambda: drawn(50, 10, rare=2),
    "repeated_rows": lambda: repeated(60, 10),
    "constant_features": lambda: with_constant_features(60, 10),
    "whole_numbers": lambda: whole(60, 5),
    "float16": lambda: halves(60, 10),
}
each_design = pytest.mark.parametrize("name", DESIGNS)


@each_design
def test_anomaly_scores_are_those_of_scikit_learn(name: str) -> None:
    x, _ = DESIGNS[name]()
    queries = drawn(20, x.shape[1], seed=1)[0]
    settings = AnomalySettings(normal="declared", k_cosine=5, k_euclidean=2)
    scores = normality(x, queries, settings, "cpu")
    wide, wide_queries = x.astype(np.float64), queries.astype(np.float64)
    cosine = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(wide)
    expected = (1 - cosine.kneighbors(wide_queries)[0]).sum(1)
    assert scores["knn_cosine"] == pytest.approx(expected, abs=1e-9)
    euclidean = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(wide)
    expected = -(euclidean.kneighbors(wide_queries)[0] ** 2).sum(1)
    assert scores["knn_euclidean"] == pytest.approx(expected, rel=1e-9)
    gaussian = LedoitWolf().fit(unit(x).astype(np.float64))
    expected = -gaussian.mahalanobis(unit(queries).astype(np.float64))
    assert scores["gaussian"] == pytest.approx(expected, rel=1e-6)


@each_design
def test_nearest_means_are_those_of_all_distances(name: str) -> None:
    x, y = DESIGNS[name]()
    queries, query_y = drawn(20, x.shape[1], seed=1)
    classes = int(y.max()) + 1
    query_y = np.minimum(query_y, classes - 1)
    problem = make_problem(x, y, queries, query_y, classes)
    rows, tests = (normalize(each.astype(np.float64)) for each in (x, queries))
    for metric in ("cosine", "euclidean"):
        settings = CentroidSettings(metric=metric, tasks=2)
        outcome = CENTROID.solve(problem, settings, "cpu").outcome
        of = x.astype(np.float64) if metric == "cosine" else rows
        means = np.stack([of[y == c].mean(0) for c in range(classes)])
        if metric == "cosine":
            means = normalize(means)
        distances = ((tests[:, None] - means) ** 2).sum(2)
        assert np.array_equal(outcome.predicted, distances.argmin(1))
        own = distances[np.arange(20), query_y]
        assert np.array_equal(outcome.rank, (distances < own[:, None] - 1e-12).sum(1))


@each_design
def test_descriptions_are_those_of_dense_matrices(name: str) -> None:
    """RankMe by singular values, the H-score by a pseudo-inverse, TransRate by determinants."""
    x, y = DESIGNS[name]()
    rows = x.astype(np.float64)
    singular = np.linalg.svd(rows, compute_uv=False)
    p = singular / singular.sum() + 1e-7
    found = rank_me(decomposed(rows).eigenvalues)
    assert found == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    centred = rows - rows.mean(0)
    means = np.stack([centred[y == c].mean(0) for c in y])
    inverse = pinvh(np.cov(centred.T, ddof=0), rtol=1e-10)
    expected = np.trace(inverse @ (means.T @ means / len(y)))
    assert h_score(decomposed(rows, centred=True), y) == pytest.approx(expected, rel=1e-6)
    rate = coding_rate(centred) - sum(
        (y == c).mean() * coding_rate(centred[y == c]) for c in np.unique(y)
    )
    assert trans_rate(decomposed(rows, centred=True), y) == pytest.approx(rate, rel=1e-9)


def coding_rate(rows: Doubles, epsilon: float = 1e-4) -> float:
    identity = np.eye(rows.shape[1])
    return float(np.linalg.slogdet(identity + rows.T @ rows / (len(rows) * epsilon))[1] / 2)
